/* Each client goes through stages: SOCKS, TLS, the HTTP head, the websocket. A stage that needs
 * more bytes waits for the descriptor. */
#include "tests/support/link_server.h"

#include "common/net/handshake.h"
#include "common/net/websocket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum stage { SOCKS_GREETING, SOCKS_USER, SOCKS_REQUEST, SOCKS_DELAY, TLS, HEAD, OPEN };

struct server_client {
    struct link_server *server; /* NULL: closed */
    struct server_client *next;
    uv_poll_t poll;
    uv_timer_t timer;
    int fd, handles;
    enum stage stage;
    SSL *ssl;
    struct buf in;
    struct websocket *ws;
};

static void on_closed(uv_handle_t *handle)
{
    struct server_client *c = handle->data;
    if (--c->handles == 0)
        free(c);
}

static void drop(struct server_client *c)
{
    struct server_client **at = &c->server->clients;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->server = NULL;
    uv_close((uv_handle_t *)&c->poll, on_closed);
    uv_close((uv_handle_t *)&c->timer, on_closed);
    SSL_free(c->ssl);
    websocket_free(c->ws);
    buf_fini(&c->in);
    (void)close(c->fd);
}

static ssize_t put(void *arg, const uint8_t *data, size_t len)
{
    struct server_client *c = arg;
    if (c->ssl == NULL) {
        ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);
        return n < 0 && errno == EAGAIN ? 0 : n;
    }
    int n = SSL_write(c->ssl, data, (int)len);
    int e = SSL_get_error(c->ssl, n);
    return n > 0 ? n : e == SSL_ERROR_WANT_WRITE || e == SSL_ERROR_WANT_READ ? 0 : -1;
}

static ssize_t take(void *arg, uint8_t *data, size_t len)
{
    struct server_client *c = arg;
    if (c->ssl == NULL || c->stage < TLS) {
        ssize_t n = recv(c->fd, data, len, 0);
        return n < 0 && errno == EAGAIN ? 0 : n == 0 ? -2 : n;
    }
    int n = SSL_read(c->ssl, data, (int)len);
    int e = SSL_get_error(c->ssl, n);
    if (n > 0)
        return n;
    return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? 0 : -2;
}

#define FLOOD_BYTES (8u << 20)

static bool flood(struct server_client *c)
{
    char event[4096];
    size_t len = (size_t)snprintf(event, sizeof event,
                                  "[\"EVENT\",\"volley\",{\"content\":\"%04000d\"}]", 0);
    for (size_t sent = 0; sent < FLOOD_BYTES; sent += len)
        if (websocket_send_text(c->ws, event, len) != ERR_NONE)
            return false;
    return true;
}

static bool echo(void *arg, const char *text, size_t len)
{
    struct server_client *c = arg;
    static const char eose[] = "[\"EOSE\",\"volley\"]";
    if (c->server->o.does == SERVER_FLOODS)
        return flood(c);
    if (strncmp(text, "[\"REQ\",\"volley\"", 15) == 0 && len > 15)
        return websocket_send_text(c->ws, eose, strlen(eose)) == ERR_NONE;
    return websocket_send_text(c->ws, text, len) == ERR_NONE;
}

/* More of what came before the websocket. False at the end of the stream. */
static bool fill(struct server_client *c)
{
    ssize_t n = 1;
    while (n > 0 && buf_reserve(&c->in, 512) == ERR_NONE) {
        n = take(c, c->in.data + c->in.len, 512);
        c->in.len += n > 0 ? (size_t)n : 0;
    }
    return n >= 0;
}

static void say(struct server_client *c, const void *bytes, size_t len)
{
    if (send(c->fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
        die("link server: a short answer was not taken");
}

static void on_delay(uv_timer_t *timer)
{
    struct server_client *c = timer->data;
    uint8_t reply[10] = {5, c->server->o.socks_reply, 0, 1};
    say(c, reply, sizeof reply);
    if (c->server->o.socks_reply != 0) {
        drop(c);
        return;
    }
    c->stage = c->ssl != NULL ? TLS : HEAD;
}

/* RFC 1928 and 1929, one message at a time. False: more bytes are needed. */
static bool socks(struct server_client *c)
{
    struct link_server *s = c->server;
    const uint8_t *d = c->in.data;
    size_t len = c->in.len, used = 0;
    if (c->stage == SOCKS_GREETING && len >= 2 && len >= 2u + d[1]) {
        used = 2u + d[1];
        say(c, s->o.socks_asks_user ? "\5\2" : "\5\0", 2);
        c->stage = s->o.socks_asks_user ? SOCKS_USER : SOCKS_REQUEST;
    } else if (c->stage == SOCKS_USER && len >= 2 && len > 2u + d[1] &&
               len >= 3u + d[1] + d[2 + d[1]]) {
        (void)snprintf(s->socks_user, 256, "%.*s", d[1], (const char *)d + 2);
        (void)snprintf(s->socks_password, 256, "%.*s", d[2 + d[1]], (const char *)d + 3 + d[1]);
        used = 3u + d[1] + d[2 + d[1]];
        say(c, "\1\0", 2);
        c->stage = SOCKS_REQUEST;
    } else if (c->stage == SOCKS_REQUEST && len >= 5) {
        size_t name_len = d[3] == 1 ? 4 : d[3] == 4 ? 16 : 1u + d[4];
        used = 4 + name_len + 2;
        if (len < used)
            return false;
        s->socks_type = d[3];
        if (d[3] == 3)
            (void)snprintf(s->socks_name, 256, "%.*s", d[4], (const char *)d + 5);
        else
            (void)inet_ntop(d[3] == 1 ? AF_INET : AF_INET6, d + 4, s->socks_name, 256);
        s->socks_port = (uint16_t)(d[used - 2] << 8 | d[used - 1]);
        c->stage = SOCKS_DELAY;
        if (!s->o.socks_is_silent)
            uv_timer_start(&c->timer, on_delay, s->o.socks_delay_ms, 0);
    }
    buf_drop(&c->in, used);
    return used > 0;
}

static void upgrade(struct server_client *c)
{
    static const char field[] = "Sec-WebSocket-Key: ";
    struct link_server *s = c->server;
    char accept[HANDSHAKE_ACCEPT_SIZE], key[HANDSHAKE_KEY_SIZE], answer[512];
    const char *at = strstr(buf_str(&c->in), field);
    (void)snprintf(key, sizeof key, "%s", at == NULL ? "" : at + sizeof field - 1);
    handshake_accept(key, accept);
    int len = snprintf(answer, sizeof answer,
                       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n%s",
                       accept, s->o.does == SERVER_GREETS ? "\x81\x05hello" : "");
    struct websocket_io io = {put, take, echo, c};
    struct websocket_limits limits = {4u << 20, 64u << 20};
    c->ws = websocket_new(WEBSOCKET_SERVER, &io, &limits);
    c->stage = OPEN;
    s->upgraded++;
    if (put(c, (const uint8_t *)answer, (size_t)len) != len)
        die("link server: the handshake's answer was not taken");
    buf_clear(&c->in);
}

/* The HTTP head is in: answer as ordered. False: the client is to be dropped. */
static bool answer(struct server_client *c)
{
    struct link_server *s = c->server;
    (void)snprintf(s->request, sizeof s->request, "%s", buf_str(&c->in));
    if (s->o.does == SERVER_IS_SILENT)
        return true;
    if (s->o.does == SERVER_ANSWERS)
        (void)put(c, (const uint8_t *)s->o.answer, strlen(s->o.answer));
    else
        upgrade(c);
    return s->o.does != SERVER_ANSWERS && s->o.does != SERVER_LEAVES;
}

static void on_poll(uv_poll_t *poll, int status, int events);

/* False: the client is gone. */
static bool talk(struct server_client *c)
{
    enum err e = websocket_read(c->ws, SIZE_MAX);
    enum err f = websocket_flush(c->ws);
    if ((e != ERR_NONE && e != ERR_AGAIN) || (f != ERR_NONE && f != ERR_AGAIN))
        return false;
    uv_poll_start(&c->poll, UV_READABLE | (f == ERR_AGAIN ? UV_WRITABLE : 0), on_poll);
    return true;
}

static bool has_left(const struct server_client *c)
{
    char byte;
    return recv(c->fd, &byte, 1, MSG_PEEK) == 0;
}

/* One stage further, if the bytes for it are there. False: the client is to be dropped. */
static bool step(struct server_client *c)
{
    enum link_server_does does = c->server->o.does;
    if (c->stage == SOCKS_DELAY || (c->stage == TLS && does == SERVER_IS_SILENT))
        return !has_left(c);
    if (does == SERVER_HANGS_UP && c->stage >= TLS)
        return false;
    if (c->stage == TLS) {
        int n = SSL_accept(c->ssl), e = SSL_get_error(c->ssl, n);
        if (n == 1)
            c->stage = HEAD;
        return n == 1 || e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE;
    }
    if (c->stage == OPEN)
        return talk(c);
    if (!fill(c))
        return false;
    if (c->stage == HEAD)
        return strstr(buf_str(&c->in), "\r\n\r\n") == NULL || answer(c);
    while (c->stage < SOCKS_DELAY && socks(c))
        continue;
    return true;
}

static void go_on(struct server_client *c)
{
    enum stage before;
    do {
        before = c->stage;
        if (!step(c)) {
            drop(c);
            return;
        }
    } while (c->stage != before);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    go_on(poll->data);
}

static void on_client(uv_poll_t *poll, int status, int events)
{
    struct link_server *s = poll->data;
    (void)status;
    (void)events;
    int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
    if (fd < 0)
        return;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct server_client *c = mem_zero(1, sizeof *c);
    s->accepted++;
    c->server = s;
    c->fd = fd;
    buf_init(&c->in, 16384);
    if (s->o.tls != NULL) {
        c->ssl = SSL_new(s->o.tls);
        SSL_set_fd(c->ssl, fd);
        SSL_set_mode(c->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    }
    c->stage = s->o.socks ? SOCKS_GREETING : c->ssl != NULL ? TLS : HEAD;
    c->next = s->clients;
    s->clients = c;
    uv_poll_init(s->loop, &c->poll, fd);
    uv_timer_init(s->loop, &c->timer);
    c->poll.data = c->timer.data = c;
    c->handles = 2;
    uv_poll_start(&c->poll, UV_READABLE, on_poll);
    if (s->o.does == SERVER_HANGS_UP)
        go_on(c);
}

/* --- servers --------------------------------------------------------------------------------- */

static socklen_t make_address(struct sockaddr_storage *out, const char *address, uint16_t port)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    struct sockaddr_un *un = (struct sockaddr_un *)out;
    memset(out, 0, sizeof *out);
    if (address[0] == '/') {
        un->sun_family = AF_UNIX;
        (void)snprintf(un->sun_path, sizeof un->sun_path, "%s", address);
        return sizeof *un;
    }
    if (strchr(address, ':') == NULL) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        (void)inet_pton(AF_INET, address, &v4->sin_addr);
        return sizeof *v4;
    }
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    (void)inet_pton(AF_INET6, address, &v6->sin6_addr);
    return sizeof *v6;
}

/* A listening socket, -1 when the port is taken. */
static int listen_at(const char *address, uint16_t port, int backlog, uint16_t *out_port)
{
    struct sockaddr_storage a;
    socklen_t len = make_address(&a, address, port);
    int fd = socket(a.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    if (a.ss_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&a, len) != 0 || listen(fd, backlog) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) != 0) {
        (void)close(fd);
        return -1;
    }
    if (a.ss_family == AF_INET)
        *out_port = ntohs(((struct sockaddr_in *)&a)->sin_port);
    else if (a.ss_family == AF_INET6)
        *out_port = ntohs(((struct sockaddr_in6 *)&a)->sin6_port);
    return fd;
}

bool link_server_start(struct link_server *s, uv_loop_t *loop, const struct link_server_options *o)
{
    *s = (struct link_server){.o = *o, .loop = loop};
    s->fd = listen_at(o->address, o->port, 128, &s->port);
    if (s->fd < 0)
        return false;
    s->poll = mem_new(sizeof *s->poll);
    uv_poll_init(loop, s->poll, s->fd);
    s->poll->data = s;
    uv_poll_start(s->poll, UV_READABLE, on_client);
    return true;
}

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle); /* its first member */
}

void link_server_stop(struct link_server *s)
{
    while (s->clients != NULL)
        drop(s->clients);
    uv_close((uv_handle_t *)s->poll, on_poll_closed);
    (void)close(s->fd);
}

uint16_t link_server_pair(struct link_server *ipv4, struct link_server *ipv6, uv_loop_t *loop,
                          const struct link_server_options *o4,
                          const struct link_server_options *o6)
{
    for (int tries = 0; tries < 100; tries++) {
        struct link_server_options six = *o6;
        if (!link_server_start(ipv4, loop, o4))
            break;
        six.port = ipv4->port;
        if (link_server_start(ipv6, loop, &six))
            return ipv4->port;
        link_server_stop(ipv4);
    }
    die("link server: no port is free for both families");
}

void black_hole_open(struct black_hole *h, const char *address, uint16_t port)
{
    struct sockaddr_storage a;
    h->fd = listen_at(address, port, 0, &h->port);
    if (h->fd < 0)
        die("black hole: port %d is taken", port);
    socklen_t len = make_address(&a, address, h->port);
    for (size_t i = 0; i < COUNT_OF(h->fillers); i++) {
        h->fillers[i] = socket(a.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(h->fillers[i], (struct sockaddr *)&a, len);
    }
}

void black_hole_close(struct black_hole *h)
{
    for (size_t i = 0; i < COUNT_OF(h->fillers); i++)
        (void)close(h->fillers[i]);
    (void)close(h->fd);
}
