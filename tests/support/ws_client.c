#include "tests/support/ws_client.h"

#include "tests/support/spin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_MAX (16u << 20)
#define RAW_MAX     (256u << 20)
#define READ_BUDGET (1u << 20)

static void must(enum err e, const char *what)
{
    if (e != ERR_NONE)
        die("%s: %s", what, err_name(e));
}

/* ---- sockets */

static int connect_to(const struct ws_client_options *o)
{
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in own = {.sin_family = AF_INET};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(o->port)};

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (o->receive_len > 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &o->receive_len, sizeof o->receive_len);
    if (o->from != NULL && (inet_pton(AF_INET, o->from, &own.sin_addr) != 1 ||
                            bind(fd, (struct sockaddr *)&own, sizeof own) != 0))
        die("a client can't have the address %s", o->from);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)
        die("a client can't connect: %s", strerror(errno));
    return fd;
}

static ssize_t moved(ssize_t n)
{
    return n >= 0 ? n : errno == EAGAIN || errno == ENOTCONN ? 0 : -1;
}

/* ---- the websocket's stream */

static ssize_t on_send(void *arg, const uint8_t *data, size_t len)
{
    struct ws_client *c = arg;
    return moved(send(c->fd, data, len, MSG_NOSIGNAL));
}

static ssize_t on_recv(void *arg, uint8_t *data, size_t len)
{
    struct ws_client *c = arg;
    ssize_t n = recv(c->fd, data, len, 0);
    return n == 0 ? -2 : moved(n);
}

static bool on_text(void *arg, const char *text, size_t len)
{
    struct ws_client *c = arg;

    if (c->messages_len == c->messages_cap) {
        c->messages_cap = c->messages_cap * 2 + 16;
        c->messages = mem_grow(c->messages, c->messages_cap * sizeof c->messages[0]);
    }
    c->messages[c->messages_len++] = mem_strndup(text, len);
    return true;
}

/* ---- life */

static void on_poll(uv_poll_t *handle, int status, int events);

static void poll_again(struct ws_client *c)
{
    bool writing = c->raw_sent < c->raw.len || (c->ws != NULL && websocket_queued_len(c->ws) > 0);
    int events = (c->deaf ? 0 : UV_READABLE) | (writing ? UV_WRITABLE : 0);

    if (c->state == WS_CLIENT_ENDED || events == 0)
        (void)uv_poll_stop(&c->poll);
    else
        (void)uv_poll_start(&c->poll, events, on_poll);
}

static void end(struct ws_client *c)
{
    if (c->ws != NULL)
        c->close_code = websocket_close_code(c->ws);
    c->state = WS_CLIENT_ENDED;
    (void)shutdown(c->fd, SHUT_WR);
    poll_again(c);
}

static void flush(struct ws_client *c)
{
    if (c->ws != NULL && websocket_queued_len(c->ws) > 0) {
        enum err e = websocket_flush(c->ws);
        if (e == ERR_IO) {
            end(c);
            return;
        }
        if (e == ERR_AGAIN)
            return;
    }
    while (c->raw_sent < c->raw.len) {
        ssize_t n = on_send(c, c->raw.data + c->raw_sent, c->raw.len - c->raw_sent);
        if (n < 0)
            end(c);
        if (n <= 0)
            return;
        c->raw_sent += (size_t)n;
    }
    c->raw_sent = 0;
    buf_clear(&c->raw);
}

static void open_websocket(struct ws_client *c, size_t answer_len)
{
    const struct websocket_io io = {.send = on_send, .recv = on_recv, .on_text = on_text, .arg = c};
    const struct websocket_limits limits = {.message_max = MESSAGE_MAX, .queue_max = RAW_MAX};

    c->ws = websocket_new(WEBSOCKET_CLIENT, &io, &limits);
    if (c->answer.len > answer_len)
        must(websocket_preload(c->ws, c->answer.data + answer_len, c->answer.len - answer_len),
             "preload");
    c->state = WS_CLIENT_OPEN;
}

static void read_answer(struct ws_client *c)
{
    uint8_t data[4096];
    struct handshake_answer a;
    struct problem p;
    ssize_t n = on_recv(c, data, sizeof data);

    if (n < 0)
        end(c);
    if (n <= 0)
        return;
    must(buf_add(&c->answer, data, (size_t)n), "handshake");
    enum err e = handshake_answer((char *)c->answer.data, c->answer.len, c->key, &a, &p);
    c->status = a.status;
    if (e == ERR_NONE)
        open_websocket(c, a.len);
    else if (e != ERR_AGAIN)
        end(c);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct ws_client *c = handle->data;

    if (c->state == WS_CLIENT_OPENING && (events & UV_READABLE))
        read_answer(c);
    if (c->state == WS_CLIENT_OPEN && (events & UV_READABLE)) {
        enum err e = websocket_read(c->ws, READ_BUDGET);
        if (e != ERR_NONE && e != ERR_AGAIN) {
            enum err sent = websocket_flush(c->ws); /* the answer to a close; it may be too late */
            (void)sent;
            end(c);
        }
    }
    if (status < 0)
        end(c);
    if (c->state != WS_CLIENT_ENDED)
        flush(c);
    poll_again(c);
}

struct ws_client *ws_client_new(uv_loop_t *loop, const struct ws_client_options *o)
{
    struct ws_client *c = mem_zero(1, sizeof *c);

    c->loop = loop;
    c->fd = connect_to(o);
    buf_init(&c->answer, HANDSHAKE_ANSWER_MAX * 2);
    buf_init(&c->raw, RAW_MAX);
    handshake_key(c->key);
    must(buf_addf(&c->raw,
                  "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
                  "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                  "Sec-WebSocket-Key: %s\r\n%s\r\n",
                  c->key, o->headers != NULL ? o->headers : ""),
         "request");
    if (uv_poll_init(loop, &c->poll, c->fd) != 0)
        die("a client can't be polled");
    c->poll.data = c;
    poll_again(c);
    return c;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void ws_client_free(struct ws_client *c)
{
    for (size_t n = 0; n < c->messages_len; n++)
        free(c->messages[n]);
    free(c->messages);
    websocket_free(c->ws);
    buf_fini(&c->answer);
    buf_fini(&c->raw);
    (void)uv_poll_stop(&c->poll);
    (void)close(c->fd);
    uv_close((uv_handle_t *)&c->poll, on_closed);
}

/* ---- what tests do */

static bool is_decided(void *arg)
{
    const struct ws_client *c = arg;
    return c->state != WS_CLIENT_OPENING;
}

bool ws_client_opened(struct ws_client *c)
{
    spin_until(c->loop, is_decided, c, "a websocket's handshake");
    return c->state == WS_CLIENT_OPEN;
}

void ws_client_send(struct ws_client *c, const char *text)
{
    must(websocket_send_text(c->ws, text, strlen(text)), "a client's message");
    flush(c);
    poll_again(c);
}

void ws_client_send_raw(struct ws_client *c, const void *data, size_t len)
{
    must(buf_add(&c->raw, data, len), "a client's bytes");
    if (c->state == WS_CLIENT_OPEN)
        flush(c);
    poll_again(c);
}

bool ws_client_has(const struct ws_client *c)
{
    return c->taken < c->messages_len;
}

static bool has_or_ended(void *arg)
{
    const struct ws_client *c = arg;
    return ws_client_has(c) || c->state == WS_CLIENT_ENDED;
}

const char *ws_client_next(struct ws_client *c)
{
    spin_until(c->loop, has_or_ended, c, "a message from the server");
    return ws_client_has(c) ? c->messages[c->taken++] : NULL;
}

void ws_client_deafen(struct ws_client *c, bool deaf)
{
    c->deaf = deaf;
    poll_again(c);
}

static bool is_ended(void *arg)
{
    const struct ws_client *c = arg;
    return c->state == WS_CLIENT_ENDED;
}

uint16_t ws_client_ended(struct ws_client *c)
{
    spin_until(c->loop, is_ended, c, "the end of a connection");
    return c->close_code;
}

void ws_frame(struct buf *out, uint8_t head, const void *payload, size_t len)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};
    uint8_t start[14] = {head};
    size_t start_len = 2;

    if (len < 126) {
        start[1] = (uint8_t)(0x80 | len);
    } else {
        size_t width = len <= UINT16_MAX ? 2 : 8;
        start[1] = width == 2 ? 0x80 | 126 : 0x80 | 127;
        for (size_t n = 0; n < width; n++)
            start[start_len++] = (uint8_t)((uint64_t)len >> 8 * (width - 1 - n));
    }
    memcpy(start + start_len, mask, sizeof mask);
    must(buf_add(out, start, start_len + sizeof mask), "a frame");
    must(buf_reserve(out, len), "a frame");
    for (size_t n = 0; n < len; n++)
        out->data[out->len + n] = ((const uint8_t *)payload)[n] ^ mask[n % 4];
    out->len += len;
}

/* ---- plain HTTP */

struct asking {
    int fd;
    struct buf *answer;
    bool done;
};

static bool is_whole(struct buf *answer)
{
    const char *text = buf_str(answer);
    const char *body = strstr(text, "\r\n\r\n");
    const char *length = strcasestr(text, "\r\nContent-Length:");

    if (body == NULL || length == NULL || length > body)
        return false;
    return strlen(body + 4) >= strtoul(length + strlen("\r\nContent-Length:"), NULL, 10);
}

static void on_answer(uv_poll_t *handle, int status, int events)
{
    struct asking *a = handle->data;
    uint8_t data[4096];
    ssize_t n = recv(a->fd, data, sizeof data, 0);

    (void)events;
    if (n > 0)
        must(buf_add(a->answer, data, (size_t)n), "an answer");
    a->done = status < 0 || n == 0 || (n < 0 && errno != EAGAIN) || is_whole(a->answer);
}

static bool is_done(void *arg)
{
    return ((struct asking *)arg)->done;
}

static void on_asked(uv_handle_t *handle)
{
    free(handle);
}

static bool is_writable(int fd)
{
    int e = 0;
    socklen_t len = sizeof e;
    struct sockaddr_in peer;
    socklen_t peer_len = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) == 0 && e == 0 &&
           getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0;
}

int http_ask(uv_loop_t *loop, const struct ws_client_options *o, const char *request,
             struct buf *answer)
{
    struct asking a = {.fd = connect_to(o), .answer = answer};
    uv_poll_t *poll = mem_zero(1, sizeof *poll);
    size_t len = strlen(request);

    buf_clear(answer);
    /* To loopback a connection is there at once, and a request fits the socket's buffer. */
    if (!is_writable(a.fd) || send(a.fd, request, len, MSG_NOSIGNAL) != (ssize_t)len)
        die("a request can't be sent");
    if (uv_poll_init(loop, poll, a.fd) != 0)
        die("a client can't be polled");
    poll->data = &a;
    (void)uv_poll_start(poll, UV_READABLE, on_answer);
    spin_until(loop, is_done, &a, "an HTTP answer");
    (void)uv_poll_stop(poll);
    (void)close(a.fd);
    uv_close((uv_handle_t *)poll, on_asked);
    const char *text = buf_str(answer);
    return strncmp(text, "HTTP/1.1 ", 9) == 0 ? (int)strtol(text + 9, NULL, 10) : 0;
}
