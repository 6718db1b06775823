/* The keys of zmq+tcp: CURVE (Curve25519), made by libzmq. The queue has one pair, server.key and
 * server.pub; each client has its own, client.key, and knows the queue by server.pub. All of them
 * lie in queue.keys_dir, each key as 40 characters of Z85 on a line. Who may connect stands in
 * clients.allow there (zap.h). */
#ifndef VOLLEY_QUEUE_CURVE_H
#define VOLLEY_QUEUE_CURVE_H

#include "common/base/err.h"

#include <stdint.h>

#define CURVE_KEY_LEN   32
#define CURVE_TEXT_SIZE 41 /* Z85, with its terminator */
#define CURVE_PATH_SIZE 640

/* Secret keys: to be wiped with explicit_bzero. */
struct curve_pair {
    char secret[CURVE_TEXT_SIZE], public[CURVE_TEXT_SIZE];
};
struct curve_client {
    struct curve_pair own;
    char server[CURVE_TEXT_SIZE];
};

/* A new pair. Its public key does not begin with '#', which is a comment in clients.allow.
 * ERR_UNSUPPORTED: this libzmq was built without CURVE. */
MUST_USE enum err curve_make(struct curve_pair *out, struct problem *p);
/* 40 characters of Z85 to the 32 bytes they stand for. ERR_INVALID. */
MUST_USE enum err curve_parse(const char *text, uint8_t out[CURVE_KEY_LEN]);
/* DIR/NAME. ERR_TOO_BIG. */
MUST_USE enum err curve_path(const char *dir, const char *name, char out[CURVE_PATH_SIZE],
                             struct problem *p);

/* What a queue, or a client, needs of `dir`. A secret that others can read is refused outside
 * containers. ERR_INVALID for everything that is wrong there (it is wrong configuration); `p` says
 * what and how to mend it. */
MUST_USE enum err curve_load_server(const char *dir, struct curve_pair *out, struct problem *p);
MUST_USE enum err curve_load_client(const char *dir, struct curve_client *out, struct problem *p);

/* Before the socket is bound, or connected. */
void curve_serve(void *zmq_socket, const struct curve_pair *server);
void curve_join(void *zmq_socket, const struct curve_client *client);

#endif
