#include "queue/endpoint.h"

#include "queue/wire.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define IPC              "zmq+ipc://"
#define TCP              "zmq+tcp://"
#define PORT_MAX         65534u /* the tail needs the next one */
#define CONNECT_MS       5000
#define RECONNECT_MAX_MS 2000

static enum err parse_path(const char *path, struct endpoint *out, struct problem *p)
{
    size_t len = strlen(path), stem = len;
    if (len > 5 && strcmp(path + len - 5, ".sock") == 0)
        stem = len - 5;
    if (path[0] != '/')
        return problem_set(p, ERR_INVALID, "queue.url: %s%s: the path must begin with /", IPC,
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

/* Decimal digits and nothing else; 0 when it is none that can be used. */
static unsigned parse_port(const char *text)
{
    unsigned port = 0;
    for (; isdigit((unsigned char)*text) && port <= PORT_MAX; text++)
        port = port * 10 + (unsigned)(*text - '0');
    return *text == '\0' && port <= PORT_MAX ? port : 0;
}

static bool is_name(const char *host)
{
    size_t len = strlen(host);
    bool letters = false;
    for (const char *c = host; *c != '\0'; c++) {
        if (!isalnum((unsigned char)*c) && *c != '-' && *c != '.' && *c != '_')
            return false;
        letters |= isalpha((unsigned char)*c) != 0;
    }
    return letters && host[0] != '-' && host[0] != '.' && host[len - 1] != '-';
}

/* What kind of host it is: IPv6 stands in brackets. */
static bool parse_host(const char *host, struct endpoint *out)
{
    uint8_t address[16];
    char bare[ENDPOINT_HOST_MAX + 1];
    size_t len = strlen(host);
    out->is_ipv6 = len > 2 && host[0] == '[' && host[len - 1] == ']';
    if (out->is_ipv6) {
        memcpy(bare, host + 1, len - 2);
        bare[len - 2] = '\0';
        return inet_pton(AF_INET6, bare, address) == 1;
    }
    if (inet_pton(AF_INET, host, address) == 1)
        return true;
    out->is_name = is_name(host);
    return out->is_name;
}

static enum err parse_tcp(const char *rest, struct endpoint *out, struct problem *p)
{
    char host[ENDPOINT_HOST_MAX + 1];
    const char *colon = strrchr(rest, ':');
    size_t len = colon != NULL ? (size_t)(colon - rest) : 0;
    unsigned port = colon != NULL ? parse_port(colon + 1) : 0;
    if (len == 0 || len > ENDPOINT_HOST_MAX || port == 0)
        return problem_set(p, ERR_INVALID,
                           "queue.url: %s%s: write %sHOST:PORT, the port below 65535 (the next one "
                           "is needed too), an IPv6 address in brackets",
                           TCP, rest, TCP);
    memcpy(host, rest, len);
    host[len] = '\0';
    if (!parse_host(host, out))
        return problem_set(p, ERR_INVALID,
                           "queue.url: %s%s: \"%s\" is no address and no host name (0.0.0.0 and "
                           "[::] are all of this machine's)",
                           TCP, rest, host);
    out->tcp = true;
    (void)snprintf(out->requests, sizeof out->requests, "tcp://%s:%u", host, port);
    (void)snprintf(out->tail, sizeof out->tail, "tcp://%s:%u", host, port + 1);
    return ERR_NONE;
}

enum err endpoint_parse(const char *url, struct endpoint *out, struct problem *p)
{
    *out = (struct endpoint){0};
    if (strncmp(url, IPC, strlen(IPC)) == 0)
        return parse_path(url + strlen(IPC), out, p);
    if (strncmp(url, TCP, strlen(TCP)) == 0)
        return parse_tcp(url + strlen(TCP), out, p);
    if (strstr(url, "://") == NULL)
        return problem_set(p, ERR_INVALID,
                           "queue.url: \"%s\" is no URL; write zmq+ipc://PATH or "
                           "zmq+tcp://HOST:PORT",
                           url);
    return problem_set(
        p, ERR_UNSUPPORTED,
        "queue.url: \"%s\": this build offers zmq+ipc://PATH and zmq+tcp://HOST:PORT", url);
}

#define URL_MAX (sizeof "ipc://" + ENDPOINT_SIZE)

static const char *zmq_url(char url[URL_MAX], const char *at)
{
    (void)snprintf(url, URL_MAX, "%s%s", at[0] == '/' ? "ipc://" : "", at);
    return url;
}

/* One cannot connect to "any address"; what listens on all listens on loopback too. */
static const char *zmq_peer(char url[URL_MAX], const char *at)
{
    static const char *const any[][2] = {{"tcp://0.0.0.0:", "tcp://127.0.0.1:"},
                                         {"tcp://[::]:", "tcp://[::1]:"}};
    for (size_t i = 0; i < COUNT_OF(any); i++)
        if (strncmp(at, any[i][0], strlen(any[i][0])) == 0) {
            (void)snprintf(url, URL_MAX, "%s%s", any[i][1], at + strlen(any[i][0]));
            return url;
        }
    return zmq_url(url, at);
}

enum err endpoint_connect(void *zmq_socket, const char *at)
{
    char url[URL_MAX];
    return zmq_connect(zmq_socket, zmq_peer(url, at)) == 0 ? ERR_NONE : ERR_IO;
}

void endpoint_disconnect(void *zmq_socket, const char *at)
{
    char url[URL_MAX];
    (void)zmq_disconnect(zmq_socket, zmq_peer(url, at)); /* one that ended by itself is gone */
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

static enum err bind_tcp(void *zmq_socket, const char *at, struct problem *p)
{
    if (zmq_bind(zmq_socket, at) == 0)
        return ERR_NONE;
    if (errno == EADDRINUSE)
        return problem_set(p, ERR_LOCKED, "another process listens on %s", at);
    if (errno == EADDRNOTAVAIL || errno == ENODEV)
        return problem_set(p, ERR_INVALID,
                           "can't listen on %s: this machine has no such address (0.0.0.0 and [::] "
                           "are all it has)",
                           at);
    return problem_set(p, ERR_IO, "can't listen on %s: %s", at, zmq_strerror(errno));
}

enum err endpoint_bind(void *zmq_socket, const char *path, struct problem *p)
{
    char url[URL_MAX];
    if (path[0] != '/')
        return bind_tcp(zmq_socket, path, p);
    enum err e = check_unused(path, p);
    if (e != ERR_NONE)
        return e;
    mode_t before = umask(0177);
    int rc = zmq_bind(zmq_socket, zmq_url(url, path));
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

void endpoint_tune(void *zmq_socket, const struct endpoint *e)
{
    if (!e->tcp)
        return;
    endpoint_set(zmq_socket, ZMQ_IPV6, e->is_ipv6);
    endpoint_set(zmq_socket, ZMQ_HANDSHAKE_IVL, ENDPOINT_HANDSHAKE_MS);
    endpoint_set(zmq_socket, ZMQ_HEARTBEAT_IVL, ENDPOINT_BEAT_MS);
    endpoint_set(zmq_socket, ZMQ_HEARTBEAT_TIMEOUT, ENDPOINT_PONG_MS);
    endpoint_set(zmq_socket, ZMQ_CONNECT_TIMEOUT, CONNECT_MS);
    endpoint_set(zmq_socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS);
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
