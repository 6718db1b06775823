/* Listening, and behaving as told. */
#include "common/base/clock.h"
#include "tests/practice/practice.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const stances[] = {"v4", "v6", "dual", "dead6", "refused6", "refused4"};

const char *stance_name(enum stance s)
{
    return stances[s];
}

void practice_relay_url(const struct practice_relay *r, char *out, size_t size)
{
    const char *host = r->stance == STANCE_V4   ? "127.0.0.1"
                       : r->stance == STANCE_V6 ? "[::1]"
                                                : "localhost";
    (void)snprintf(out, size, "ws://%s:%u", host, r->port);
}

static socklen_t address(bool v6, bool anywhere, uint16_t port, struct sockaddr_storage *out)
{
    *out = (struct sockaddr_storage){0};
    if (v6) {
        struct sockaddr_in6 *a = (struct sockaddr_in6 *)out;
        a->sin6_family = AF_INET6;
        a->sin6_addr = anywhere ? in6addr_any : in6addr_loopback;
        a->sin6_port = htons(port);
        return sizeof *a;
    }
    struct sockaddr_in *a = (struct sockaddr_in *)out;
    a->sin_family = AF_INET;
    a->sin_addr.s_addr = htonl(anywhere ? INADDR_ANY : INADDR_LOOPBACK);
    a->sin_port = htons(port);
    return sizeof *a;
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
    struct listener *l = poll->data;
    (void)status;
    (void)events;
    for (;;) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        practice_client_new(l->relay, fd, l->v6);
    }
}

/* The kernel completes connections until the queue is full, and then drops what knocks: so it is
 * filled. */
static void fill_queue(struct listener *l)
{
    struct sockaddr_storage to;
    socklen_t len = address(l->v6, false, l->relay->port, &to);
    for (size_t i = 0; i < COUNT_OF(l->fill); i++) {
        l->fill[i] =
            socket(l->v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connect(l->fill[i], (struct sockaddr *)&to, len) != 0 && errno != EINPROGRESS)
            die("cannot fill a black hole: %s", strerror(errno));
    }
}

/* Bound to the relay's address and port; 0 picks one. -1: it is taken, or there is no such family.
 */
static int bound(struct practice_relay *r, bool v6)
{
    struct sockaddr_storage at;
    socklen_t len = address(v6, r->anywhere, r->port, &at);
    int yes = 1,
        fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (v6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&at, len) != 0) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    if (r->port == 0) {
        getsockname(fd, (struct sockaddr *)&at, &len);
        r->port = ntohs(v6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                           : ((struct sockaddr_in *)&at)->sin_port);
    }
    return fd;
}

/* The port is the relay's by both families for as long as it lives, whether it listens or not:
 * nobody else gets it meanwhile. Where nobody listens connections are refused all the same. */
static bool keep_port(struct practice_relay *r)
{
    for (int i = 0; i < 2; i++) {
        r->kept[i] = bound(r, i == 1);
        if (r->kept[i] >= 0 || (i == 1 && errno != EADDRINUSE))
            continue;
        if (i == 1)
            close(r->kept[0]);
        return false;
    }
    return true;
}

static enum err listen_on(struct listener *l, bool hole)
{
    l->hole = hole;
    l->fd = bound(l->relay, l->v6);
    if (l->fd >= 0 && listen(l->fd, hole ? 0 : 128) != 0) {
        close(l->fd);
        l->fd = -1;
    }
    if (l->fd < 0)
        return ERR_IO;
    if (hole) {
        fill_queue(l);
        return ERR_NONE;
    }
    l->polled = true;
    uv_poll_init(l->relay->loop, &l->poll, l->fd);
    l->poll.data = l;
    uv_poll_start(&l->poll, UV_READABLE, on_connection);
    return ERR_NONE;
}

static void on_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;
    close(l->fd);
    l->fd = -1;
    l->closing = false;
    /* What was asked for meanwhile. */
    struct behaviour b = l->relay->now;
    practice_relay_set(l->relay, &b);
}

static void stop_listening(struct listener *l)
{
    if (l->closing)
        return;
    if (l->polled) {
        l->polled = false;
        l->closing = true;
        uv_close((uv_handle_t *)&l->poll, on_closed);
        return;
    }
    for (size_t i = 0; l->hole && i < COUNT_OF(l->fill); i++)
        close(l->fill[i]);
    close(l->fd);
    l->fd = -1;
}

static bool has_family(enum stance s, bool v6)
{
    return v6 ? s != STANCE_V4 && s != STANCE_REFUSED6 : s != STANCE_V6 && s != STANCE_REFUSED4;
}

void practice_relay_set(struct practice_relay *r, const struct behaviour *b)
{
    r->now = *b;
    for (int i = 0; i < 2; i++) {
        struct listener *l = &r->listeners[i];
        bool hole = b->blackhole || (l->v6 && r->stance == STANCE_DEAD6);
        bool wanted = has_family(r->stance, l->v6) && !b->down;
        if (l->fd >= 0 && (!wanted || l->hole != hole))
            stop_listening(l);
        if (l->fd < 0 && !l->closing && wanted && listen_on(l, hole) != ERR_NONE)
            die("relay %s cannot listen on port %u: %s", r->name, r->port, strerror(errno));
    }
    if (b->down || b->blackhole)
        practice_clients_close(r);
}

enum err practice_relay_start(struct practice_relay *r, uv_loop_t *loop, const char *name,
                              enum stance stance, uint16_t port, bool anywhere,
                              const char *record_dir, struct problem *p)
{
    *r = (struct practice_relay){
        .loop = loop, .stance = stance, .port = port, .anywhere = anywhere, .now.refuse_every = 1};
    (void)snprintf(r->name, sizeof r->name, "%s", name);
    for (int i = 0; i < 2; i++)
        r->listeners[i] = (struct listener){.relay = r, .fd = -1, .v6 = i == 1};
    for (int tries = 0; !keep_port(r); tries++) {
        if (port != 0 || tries == 20)
            return problem_set(p, ERR_IO, "relay %s cannot have port %u: %s", name, r->port,
                               strerror(errno));
        r->port = 0;
    }
    for (int i = 0; i < 2; i++) {
        struct listener *l = &r->listeners[i];
        if (has_family(stance, l->v6) && listen_on(l, l->v6 && stance == STANCE_DEAD6) != ERR_NONE)
            return problem_set(p, ERR_IO, "relay %s cannot listen on port %u: %s", name, r->port,
                               strerror(errno));
    }
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s.tsv", record_dir, name);
    r->record = record_dir[0] != '\0' ? fopen(path, "ae") : NULL;
    if (record_dir[0] != '\0' && r->record == NULL)
        return problem_set(p, ERR_IO, "%s: %s", path, strerror(errno));
    return ERR_NONE;
}
