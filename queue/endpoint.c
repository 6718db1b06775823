#include "queue/endpoint.h"

#include "queue/wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SCHEME "zmq+ipc://"

static enum err parse_path(const char *path, struct endpoint *out, struct problem *p)
{
    size_t len = strlen(path), stem = len;
    if (len > 5 && strcmp(path + len - 5, ".sock") == 0)
        stem = len - 5;
    if (path[0] != '/')
        return problem_set(p, ERR_INVALID, "queue.url: %s%s: the path must begin with /", SCHEME,
                           path);
    if (len + strlen("-tail") > ENDPOINT_PATH_MAX)
        return problem_set(p, ERR_INVALID,
                           "queue.url: the path of a unix socket may have %d bytes, this one has "
                           "%zu: choose a shorter one, or a shorter queue.data_dir: %s",
                           ENDPOINT_PATH_MAX - 5, len, path);
    (void)snprintf(out->requests, sizeof out->requests, "%s", path);
    (void)snprintf(out->tail, sizeof out->tail, "%.*s-tail%s", (int)stem, path, path + stem);
    return ERR_NONE;
}

enum err endpoint_parse(const char *url, struct endpoint *out, struct problem *p)
{
    *out = (struct endpoint){0};
    if (strncmp(url, SCHEME, strlen(SCHEME)) == 0)
        return parse_path(url + strlen(SCHEME), out, p);
    if (strstr(url, "://") == NULL)
        return problem_set(p, ERR_INVALID, "queue.url: \"%s\" is no URL; write zmq+ipc://PATH",
                           url);
    return problem_set(p, ERR_UNSUPPORTED,
                       "queue.url: \"%s\": this build offers zmq+ipc://PATH only", url);
}

#define URL_MAX (sizeof "ipc://" + ENDPOINT_PATH_MAX)

static const char *ipc_url(char url[URL_MAX], const char *path)
{
    (void)snprintf(url, URL_MAX, "ipc://%s", path);
    return url;
}

enum err endpoint_connect(void *zmq_socket, const char *path)
{
    char url[URL_MAX];
    return zmq_connect(zmq_socket, ipc_url(url, path)) == 0 ? ERR_NONE : ERR_IO;
}

/* ZeroMQ would take the file away from whoever listens there without a word. */
static enum err check_unused(const char *path, struct problem *p)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct stat st;
    if (lstat(path, &st) != 0)
        return ERR_NONE;
    if (!S_ISSOCK(st.st_mode))
        return problem_set(p, ERR_EXISTS, "%s is there and is no socket; choose another queue.url",
                           path);
    memcpy(at.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return problem_set(p, ERR_IO, "socket: %s", strerror(errno));
    /* EAGAIN: somebody listens, and so many wait for him that no more may. */
    bool used = connect(fd, (struct sockaddr *)&at, sizeof at) == 0 || errno == EAGAIN;
    close(fd);
    if (used)
        return problem_set(p, ERR_LOCKED, "another queue listens on %s; stop it first", path);
    return ERR_NONE;
}

enum err endpoint_bind(void *zmq_socket, const char *path, struct problem *p)
{
    char url[URL_MAX];
    enum err e = check_unused(path, p);
    if (e != ERR_NONE)
        return e;
    mode_t before = umask(0177);
    int rc = zmq_bind(zmq_socket, ipc_url(url, path));
    umask(before);
    if (rc != 0 || chmod(path, 0600) != 0)
        return problem_set(p, ERR_IO, "can't listen on %s: %s", path, zmq_strerror(errno));
    return ERR_NONE;
}

void *endpoint_socket(void *zmq_ctx, int type, int hwm)
{
    int64_t longest = WIRE_MESSAGE_MAX;
    void *s = zmq_socket(zmq_ctx, type);
    if (s == NULL)
        return NULL;
    endpoint_set(s, ZMQ_LINGER, 0);
    endpoint_set(s, ZMQ_SNDHWM, hwm);
    endpoint_set(s, ZMQ_RCVHWM, hwm);
    if (zmq_setsockopt(s, ZMQ_MAXMSGSIZE, &longest, sizeof longest) != 0)
        die("ZMQ_MAXMSGSIZE: %s", zmq_strerror(errno));
    return s;
}

void endpoint_set(void *zmq_socket, int option, int value)
{
    if (zmq_setsockopt(zmq_socket, option, &value, sizeof value) != 0)
        die("zmq_setsockopt %d to %d: %s", option, value, zmq_strerror(errno));
}

int endpoint_events(void *zmq_socket)
{
    int events = 0;
    size_t len = sizeof events;
    int rc;
    do
        rc = zmq_getsockopt(zmq_socket, ZMQ_EVENTS, &events, &len);
    while (rc != 0 && errno == EINTR);
    return rc == 0 ? events : 0;
}

int endpoint_fd(void *zmq_socket)
{
    int fd = -1;
    size_t len = sizeof fd;
    if (zmq_getsockopt(zmq_socket, ZMQ_FD, &fd, &len) != 0)
        die("ZMQ_FD: %s", zmq_strerror(errno));
    return fd;
}

bool endpoint_recv(void *zmq_socket, zmq_msg_t *frame)
{
    int rc;
    do
        rc = zmq_msg_recv(frame, zmq_socket, ZMQ_DONTWAIT);
    while (rc < 0 && errno == EINTR);
    return rc >= 0;
}

void endpoint_end(void *zmq_ctx)
{
    while (zmq_ctx != NULL && zmq_ctx_term(zmq_ctx) != 0 && errno == EINTR)
        continue;
}
