#include "queue/curve.h"

#include "common/base/secret.h"
#include "queue/endpoint.h"

#include <stdio.h>
#include <string.h>

#define FILE_SIZE 512 /* of a key's file, white space and all */

enum err curve_make(struct curve_pair *out, struct problem *p)
{
    do {
        if (zmq_curve_keypair(out->public, out->secret) != 0)
            return problem_set(p, ERR_UNSUPPORTED,
                               "this libzmq has no CURVE; zmq+tcp is not offered with it");
    } while (out->public[0] == '#');
    return ERR_NONE;
}

enum err curve_parse(const char *text, uint8_t out[CURVE_KEY_LEN])
{
    bool good = strlen(text) == CURVE_TEXT_SIZE - 1 && zmq_z85_decode(out, text) != NULL;
    return good ? ERR_NONE : ERR_INVALID;
}

enum err curve_path(const char *dir, const char *name, char out[CURVE_PATH_SIZE], struct problem *p)
{
    int len = snprintf(out, CURVE_PATH_SIZE, "%s/%s", dir, name);
    if (len < 0 || len >= CURVE_PATH_SIZE)
        return problem_set(p, ERR_TOO_BIG, "the path of %s is too long", name);
    return ERR_NONE;
}

/* One key's file. `mend` is what to do when it is not there. */
static enum err load(const char *dir, const char *name, bool secret, char out[CURVE_TEXT_SIZE],
                     const char *mend, struct problem *p)
{
    char path[CURVE_PATH_SIZE], text[FILE_SIZE];
    uint8_t key[CURVE_KEY_LEN];
    if (curve_path(dir, name, path, p) != ERR_NONE)
        return ERR_INVALID;
    enum err e = secret_read(path, !secret || secret_in_container(), text, sizeof text, p);
    if (e == ERR_NOT_FOUND)
        return problem_set(p, ERR_INVALID, "queue.keys_dir: %s is not there: %s", path, mend);
    if (e != ERR_NONE)
        return ERR_INVALID;
    e = curve_parse(text, key);
    if (e == ERR_NONE)
        memcpy(out, text, CURVE_TEXT_SIZE);
    else
        e = problem_set(p, ERR_INVALID, "%s: no key in it (40 characters of Z85 on one line)",
                        path);
    explicit_bzero(text, sizeof text);
    explicit_bzero(key, sizeof key);
    return e;
}

/* The public key of a secret one: what the pair's other file says need not be believed. */
static void derive(struct curve_pair *pair)
{
    if (zmq_curve_public(pair->public, pair->secret) != 0)
        die("zmq_curve_public: a key that could be decoded is none");
}

static enum err check(const char *dir, struct problem *p)
{
    if (zmq_has("curve") != 1)
        return problem_set(p, ERR_UNSUPPORTED,
                           "this libzmq has no CURVE; zmq+tcp is not offered with it");
    if (dir == NULL || dir[0] == '\0')
        return problem_set(p, ERR_INVALID,
                           "queue.url is zmq+tcp, which needs keys: set queue.keys_dir to the "
                           "directory that 'volley keys' made");
    return ERR_NONE;
}

enum err curve_load_server(const char *dir, struct curve_pair *out, struct problem *p)
{
    enum err e = check(dir, p);
    if (e == ERR_NONE)
        e = load(dir, "server.key", true, out->secret, "make the keys with 'volley keys DIR'", p);
    if (e == ERR_NONE)
        derive(out);
    return e;
}

enum err curve_load_client(const char *dir, struct curve_client *out, struct problem *p)
{
    enum err e = check(dir, p);
    if (e == ERR_NONE)
        e = load(dir, "client.key", true, out->own.secret,
                 "on the queue's machine 'volley keys DIR --client NAME' makes one; copy it here "
                 "under this name",
                 p);
    if (e == ERR_NONE)
        e = load(dir, "server.pub", false, out->server, "copy it from the queue's machine", p);
    if (e == ERR_NONE)
        derive(&out->own);
    return e;
}

static void set_key(void *zmq_socket, int option, const char text[CURVE_TEXT_SIZE])
{
    if (zmq_setsockopt(zmq_socket, option, text, CURVE_TEXT_SIZE - 1) != 0)
        die("a CURVE key that could be decoded is refused: %s", zmq_strerror(zmq_errno()));
}

void curve_serve(void *zmq_socket, const struct curve_pair *server)
{
    endpoint_set(zmq_socket, ZMQ_CURVE_SERVER, 1);
    set_key(zmq_socket, ZMQ_CURVE_SECRETKEY, server->secret);
}

void curve_join(void *zmq_socket, const struct curve_client *client)
{
    set_key(zmq_socket, ZMQ_CURVE_SERVERKEY, client->server);
    set_key(zmq_socket, ZMQ_CURVE_PUBLICKEY, client->own.public);
    set_key(zmq_socket, ZMQ_CURVE_SECRETKEY, client->own.secret);
}
