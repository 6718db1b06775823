#include "httpd/listener.h"

#include "common/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#define BACKLOG        1024
#define IDLE_TIMEOUT_S 10u
#define TOLD_EVERY_MS  60000u
#define RUN_EVERY_MS   1000u

/* Stays with a connection for as long as it lives, websockets included; 4 KiB of headers fit. */
#define MEMORY_POOL 12288u
#define MEMORY_STEP 1024u

/* ---- who is connected */

/* libmicrohttpd asks before it serves a connection; MHD_NO closes it. */
static enum MHD_Result on_accept(void *cls, const struct sockaddr *addr, socklen_t len)
{
    struct listener *l = cls;
    struct httpd *h = l->http;
    struct peer *peer;
    (void)len;
    struct address_key key = address_key(addr);

    HASH_FIND(hh, h->peers.by_key, &key, sizeof key, peer);
    if (h->peers.connections_len < h->max_connections &&
        (peer == NULL || peer->connections_len < h->max_per_ip))
        return MHD_YES;
    h->peers.refused++;
    return MHD_NO;
}

static struct peer *peer_of(struct peers *peers, const struct sockaddr *addr)
{
    struct address_key key = address_key(addr);
    struct peer *peer;

    HASH_FIND(hh, peers->by_key, &key, sizeof key, peer);
    if (peer == NULL) {
        peer = mem_zero(1, sizeof *peer);
        peer->key = key;
        HASH_ADD(hh, peers->by_key, key, sizeof key, peer);
    }
    return peer;
}

static struct connection *connection_new(struct httpd *h, struct MHD_Connection *c)
{
    struct connection *conn = mem_zero(1, sizeof *conn);
    const union MHD_ConnectionInfo *addr =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const union MHD_ConnectionInfo *fd =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);

    conn->peer = peer_of(&h->peers, addr->client_addr);
    conn->peer->connections_len++;
    conn->fd = fd->connect_fd;
    conn->since_ms = h->now_ms;
    DL_APPEND(h->peers.connections, conn);
    h->peers.connections_len++;
    return conn;
}

static void connection_free(struct httpd *h, struct connection *conn)
{
    DL_DELETE(h->peers.connections, conn);
    h->peers.connections_len--;
    if (--conn->peer->connections_len == 0) {
        HASH_DEL(h->peers.by_key, conn->peer);
        free(conn->peer);
    }
    free(conn);
}

static void on_connection(void *cls, struct MHD_Connection *c, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct listener *l = cls;

    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = connection_new(l->http, c);
    } else if (*context != NULL) {
        connection_free(l->http, *context);
        *context = NULL;
    }
}

struct connection *connection_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info->socket_context;
}

void peers_tick(struct httpd *h)
{
    struct connection *conn;

    DL_FOREACH(h->peers.connections, conn)
    {
        if (!conn->upgraded && h->now_ms - conn->since_ms >= h->handshake_ms)
            (void)shutdown(conn->fd, SHUT_RDWR); /* the server sees the end and cleans up */
    }
    if (h->peers.refused > 0 && h->now_ms - h->peers.told_ms >= TOLD_EVERY_MS) {
        LOG(LOG_WARN, "connections refused: over max_per_ip or max_connections",
            LOG_I("count", h->peers.refused), LOG_I("open", h->peers.connections_len));
        h->peers.refused = 0;
        h->peers.told_ms = h->now_ms;
    }
}

/* ---- the server under our loop */

static void run(struct listener *l);

static void on_poll(uv_poll_t *handle, int status, int events)
{
    (void)status;
    (void)events;
    run(handle->data);
}

static void on_timer(uv_timer_t *handle)
{
    run(handle->data);
}

static void run(struct listener *l)
{
    MHD_UNSIGNED_LONG_LONG wait_ms;

    l->kicked = false;
    (void)MHD_run(l->daemon);
    /* When descriptors run out, the server takes its listening socket from epoll until a connection
     * ends; it looks at that when it is run, and nothing else would wake it then. */
    if (MHD_get_timeout(l->daemon, &wait_ms) != MHD_YES || wait_ms > RUN_EVERY_MS)
        wait_ms = RUN_EVERY_MS;
    (void)uv_timer_start(&l->timer, on_timer, wait_ms, 0);
}

void listener_kick(struct listener *l)
{
    l->kicked = true;
}

void listener_turn(struct listener *l)
{
    if (l->kicked)
        run(l);
}

static void on_log(void *cls, const char *fmt, va_list args) PRINTF(2, 0);
/* libmicrohttpd's words, about peers mostly: for those who look closely. */
static void on_log(void *cls, const char *fmt, va_list args)
{
    char text[256];

    (void)cls;
    if (!log_on(LOG_DEBUG))
        return;
    (void)vsnprintf(text, sizeof text, fmt, args);
    text[strcspn(text, "\n")] = '\0';
    LOG(LOG_DEBUG, "http server", LOG_S("text", text));
}

static struct MHD_Daemon *start_daemon(struct listener *l)
{
    /* One more than ours, so that it is our count which refuses. */
    unsigned limit = l->http->max_connections + 1;

    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_UPGRADE | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0,
        on_accept, l, l->http->on_request, l, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, l->fd, MHD_OPTION_NOTIFY_CONNECTION, on_connection, l,
        MHD_OPTION_NOTIFY_COMPLETED, l->http->on_completed, l, MHD_OPTION_CONNECTION_LIMIT, limit,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_POOL,
        MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)MEMORY_STEP, MHD_OPTION_CONNECTION_TIMEOUT,
        IDLE_TIMEOUT_S, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
}

/* V6ONLY: [::] and 0.0.0.0 may both be listed. */
static bool listen_on(int fd, const union address *a)
{
    int one = 1;

    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
           (a->any.sa_family != AF_INET6 ||
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) == 0) &&
           bind(fd, &a->any, address_len(a)) == 0 && listen(fd, BACKLOG) == 0;
}

enum err listener_bind(const union address *a, struct bound *out, struct problem *p)
{
    union address got = *a;
    socklen_t len = sizeof got;
    int fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || !listen_on(fd, a) || getsockname(fd, &got.any, &len) != 0) {
        problem_set(p, ERR_IO, "can't listen there: %s%s", strerror(errno),
                    errno == EADDRINUSE ? " (is volley running already?)" : "");
        if (fd >= 0)
            (void)close(fd);
        return ERR_IO;
    }
    out->fd = fd;
    out->loopback = address_is_loopback(a);
    out->port = ntohs(a->any.sa_family == AF_INET6 ? got.v6.sin6_port : got.v4.sin_port);
    return ERR_NONE;
}

struct listener *listener_new(struct httpd *h, const struct bound *b)
{
    struct listener *l = mem_zero(1, sizeof *l);

    l->http = h;
    l->fd = b->fd;
    l->port = b->port;
    l->loopback = b->loopback;
    l->daemon = start_daemon(l);
    if (l->daemon == NULL)
        die("the HTTP server did not start: out of descriptors or memory");
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (uv_poll_init(h->loop, &l->poll, info->epoll_fd) != 0)
        die("the HTTP server's epoll descriptor can't be polled");
    (void)uv_timer_init(h->loop, &l->timer);
    l->poll.data = l->timer.data = l;
    (void)uv_poll_start(&l->poll, UV_READABLE, on_poll);
    return l;
}

void listener_quiesce(struct listener *l)
{
    if (l->fd < 0)
        return;
    /* Gives the listening socket back to us. */
    (void)MHD_quiesce_daemon(l->daemon);
    (void)close(l->fd);
    l->fd = -1;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;

    if (--l->handles_len > 0)
        return;
    void *arg = l->http->arg;
    void (*fn)(void *) = l->on_stopped;
    free(l);
    fn(arg);
}

void listener_stop(struct listener *l, void (*fn)(void *arg))
{
    l->on_stopped = fn;
    l->handles_len = 2;
    listener_quiesce(l);
    (void)uv_poll_stop(&l->poll);
    (void)uv_timer_stop(&l->timer);
    (void)MHD_run(l->daemon); /* cleans up after sessions that just gave their sockets back */
    MHD_stop_daemon(l->daemon);
    uv_close((uv_handle_t *)&l->poll, on_handle_closed);
    uv_close((uv_handle_t *)&l->timer, on_handle_closed);
}
