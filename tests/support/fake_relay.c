#include "tests/support/fake_relay.h"

#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/net/handshake.h"
#include "common/nostr/kinds.h"
#include "common/nostr/message.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#define REQUEST_MAX 4096
#define MESSAGE_MAX (2u * EVENT_LEN_MAX)

struct fake_client {
    struct fake_relay *relay;
    int fd;
    uv_poll_t poll;
    struct websocket *ws; /* NULL until the handshake is done */
    struct buf request;
    bool authenticated, cut, gone;
    struct fake_client *prev, *next;
};

static void on_client(uv_poll_t *h, int status, int events);

/* ---- one client ---- */

static void on_client_closed(uv_handle_t *h)
{
    struct fake_client *c = h->data;
    buf_fini(&c->request);
    free(c);
}

static void drop(struct fake_client *c)
{
    if (c->gone)
        return;
    c->gone = true;
    DL_DELETE(c->relay->clients, c);
    uv_close((uv_handle_t *)&c->poll, on_client_closed);
    websocket_free(c->ws);
    close(c->fd);
}

static ssize_t io_send(void *arg, const uint8_t *data, size_t len)
{
    struct fake_client *c = arg;
    ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);
    return n < 0 && errno == EAGAIN ? 0 : n;
}

static ssize_t io_recv(void *arg, uint8_t *data, size_t len)
{
    struct fake_client *c = arg;
    ssize_t n = recv(c->fd, data, len, 0);
    if (n < 0)
        return errno == EAGAIN ? 0 : -1;
    return n == 0 ? -2 : n;
}

static void watch(struct fake_client *c)
{
    int events = UV_READABLE;
    if (c->relay->mode == FAKE_DEAF && c->ws != NULL)
        events = UV_DISCONNECT;
    if (c->ws != NULL && websocket_queued_len(c->ws) > 0)
        events |= UV_WRITABLE;
    uv_poll_start(&c->poll, events, on_client);
}

static void say(struct fake_client *c, const char *text, size_t len)
{
    if (websocket_send_text(c->ws, text, len) != ERR_NONE)
        die("the fake relay can't send");
}

static void say_ok(struct fake_client *c, const uint8_t id[EVENT_ID_LEN], bool accepted,
                   const char *text)
{
    struct buf out;
    buf_init(&out, 4096);
    if (message_put_ok_id(&out, id, accepted, text) != ERR_NONE)
        die("the fake relay's answer is too long");
    say(c, (const char *)out.data, out.len);
    buf_fini(&out);
}

static void challenge(struct fake_client *c)
{
    struct buf out;
    buf_init(&out, 4096);
    if (message_put_challenge(&out, FAKE_CHALLENGE) != ERR_NONE)
        die("the fake relay's challenge is too long");
    say(c, (const char *)out.data, out.len);
    buf_fini(&out);
}

/* ---- what it gets ---- */

static bool tag_is(void *arg, struct json_span value)
{
    const char **want = arg;
    if (json_equals(value, *want))
        *want = NULL;
    return false;
}

static const char *auth_problem(const struct fake_relay *f, const struct event *ev)
{
    const char *relay = f->url, *wanted = FAKE_CHALLENGE;
    struct problem p;
    int64_t off_s = clock_wall_s() - (int64_t)ev->created_at;
    event_each_tag(ev, "relay", tag_is, &relay);
    event_each_tag(ev, "challenge", tag_is, &wanted);
    if (ev->kind != KIND_AUTH)
        return "the kind is not 22242";
    if (relay != NULL)
        return "the relay tag is not this relay";
    if (wanted != NULL)
        return "the challenge is not ours";
    if (off_s > 60 || off_s < -60)
        return "created_at is not now";
    return event_verify(ev, &p) == ERR_NONE ? NULL : "the signature is bad";
}

static void on_auth(struct fake_client *c, const struct event *ev)
{
    struct fake_relay *f = c->relay;
    const char *problem = auth_problem(f, ev);
    if (problem != NULL)
        (void)snprintf(f->auth_problem, sizeof f->auth_problem, "%s", problem);
    else
        f->auths++;
    c->authenticated = problem == NULL && !f->refuse_auth;
    if (!f->silent_auth)
        say_ok(c, ev->id, c->authenticated, c->authenticated ? "" : "restricted: not you");
}

static void on_event(struct fake_client *c, const struct event *ev)
{
    struct fake_relay *f = c->relay;
    bool ask = (f->mode == FAKE_AUTH || f->mode == FAKE_LATE_AUTH) && !c->authenticated;
    if (!ask && f->len < FAKE_EVENTS_MAX)
        memcpy(f->ids[f->len++], ev->id, EVENT_ID_LEN);
    uint8_t other[EVENT_ID_LEN] = {0xff};
    if (ask)
        say_ok(c, ev->id, false, "auth-required: who are you");
    if (ask && f->mode == FAKE_LATE_AUTH)
        challenge(c);
    if (ask)
        return;
    if (f->mode == FAKE_CUT)
        c->cut = true;
    else if (f->mode == FAKE_WRONG_ID)
        say_ok(c, other, true, "");
    else if (f->mode != FAKE_SILENT && f->mode != FAKE_DEAF)
        say_ok(c, ev->id, !(f->mode == FAKE_OK && f->refuse), f->text != NULL ? f->text : "");
}

static bool on_text(void *arg, const char *text, size_t len)
{
    struct fake_client *c = arg;
    struct client_message m;
    struct event *ev;
    struct problem p;
    if (message_from_client(text, len, &m, &p) != ERR_NONE)
        die("the fake relay got no message: %s", p.text);
    if (m.verb != VERB_EVENT && m.verb != VERB_AUTH)
        die("the fake relay got neither EVENT nor AUTH");
    if (event_parse(m.event, EVENT_LEN_MAX, &ev, &p) != ERR_NONE)
        die("the fake relay got no event: %s", p.text);
    if (m.verb == VERB_AUTH)
        on_auth(c, ev);
    else
        on_event(c, ev);
    event_unref(ev);
    return !c->cut;
}

static void read_on(struct fake_client *c)
{
    enum err e = websocket_read(c->ws, MESSAGE_MAX);
    bool over = c->cut || (e != ERR_NONE && e != ERR_AGAIN);
    enum err written = websocket_flush(c->ws);
    if (over || (written != ERR_NONE && written != ERR_AGAIN))
        drop(c);
}

/* ---- the handshake ---- */

static void greet(struct fake_client *c)
{
    const struct websocket_io io = {.send = io_send, .recv = io_recv, .on_text = on_text, .arg = c};
    const struct websocket_limits limits = {MESSAGE_MAX, MESSAGE_MAX};
    char accept[HANDSHAKE_ACCEPT_SIZE], key[HANDSHAKE_KEY_SIZE] = "";
    const char *line = strstr(buf_str(&c->request), "Sec-WebSocket-Key: ");
    if (line == NULL || sscanf(line, "Sec-WebSocket-Key: %24s", key) != 1)
        die("the fake relay got no key");
    handshake_accept(key, accept);
    char answer[256];
    int len = snprintf(answer, sizeof answer,
                       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                       accept);
    if (io_send(c, (const uint8_t *)answer, (size_t)len) != len)
        die("the fake relay can't answer");
    c->ws = websocket_new(WEBSOCKET_SERVER, &io, &limits);
    c->relay->connections++;
    if (c->relay->mode == FAKE_AUTH)
        challenge(c);
    if (websocket_flush(c->ws) != ERR_NONE)
        die("the fake relay can't challenge");
}

static void read_request(struct fake_client *c)
{
    uint8_t data[REQUEST_MAX];
    ssize_t n = io_recv(c, data, sizeof data);
    if (n < 0 || buf_add(&c->request, data, (size_t)n) != ERR_NONE)
        drop(c);
    else if (strstr(buf_str(&c->request), "\r\n\r\n") != NULL)
        greet(c);
}

static void on_client(uv_poll_t *h, int status, int events)
{
    struct fake_client *c = h->data;
    if (status < 0 || (events & UV_DISCONNECT) != 0) {
        drop(c);
        return;
    }
    if (c->ws == NULL)
        read_request(c);
    else
        read_on(c);
    if (!c->gone)
        watch(c);
}

/* ---- the relay ---- */

static void on_connection(uv_poll_t *h, int status, int events)
{
    struct fake_relay *f = h->data;
    (void)status;
    (void)events;
    int fd = accept4(f->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct fake_client *c = mem_zero(1, sizeof *c);
    c->relay = f;
    c->fd = fd;
    buf_init(&c->request, REQUEST_MAX);
    uv_poll_init(f->loop, &c->poll, fd);
    c->poll.data = c;
    DL_APPEND(f->clients, c);
    watch(c);
}

static void listen_on(struct fake_relay *f, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t len = sizeof a;
    int on = 1;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    f->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(f->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (f->fd < 0 || bind(f->fd, (struct sockaddr *)&a, len) != 0 || listen(f->fd, 64) != 0 ||
        getsockname(f->fd, (struct sockaddr *)&a, &len) != 0)
        die("the fake relay can't listen: %s", strerror(errno));
    f->port = ntohs(a.sin_port);
    uv_poll_init(f->loop, &f->poll, f->fd);
    f->poll.data = f;
    uv_poll_start(&f->poll, UV_READABLE, on_connection);
}

void fake_relay_start(struct fake_relay *f, uv_loop_t *loop)
{
    *f = (struct fake_relay){.loop = loop};
    listen_on(f, 0);
    (void)snprintf(f->url, sizeof f->url, "ws://127.0.0.1:%u", f->port);
}

static void on_listener_closed(uv_handle_t *h)
{
    struct fake_relay *f = h->data;
    close(f->fd);
    f->fd = -1;
}

void fake_relay_down(struct fake_relay *f)
{
    struct fake_client *c, *next;
    DL_FOREACH_SAFE(f->clients, c, next)
    drop(c);
    if (f->down)
        return;
    f->down = true;
    uv_close((uv_handle_t *)&f->poll, on_listener_closed);
    while (f->fd >= 0)
        uv_run(f->loop, UV_RUN_NOWAIT);
}

void fake_relay_up(struct fake_relay *f)
{
    f->down = false;
    listen_on(f, f->port);
}

void fake_relay_stop(struct fake_relay *f)
{
    fake_relay_down(f);
}

void fake_relay_say(struct fake_relay *f, const char *text, size_t len)
{
    struct fake_client *c;
    DL_FOREACH(f->clients, c)
    {
        if (c->ws == NULL)
            continue;
        say(c, text, len);
        watch(c);
    }
}

void fake_relay_spill(struct fake_relay *f, const void *data, size_t len)
{
    struct fake_client *c;
    DL_FOREACH(f->clients, c)
    if (io_send(c, data, len) != (ssize_t)len)
        die("the fake relay can't spill");
}

unsigned fake_relay_count(const struct fake_relay *f, const uint8_t id[EVENT_ID_LEN])
{
    unsigned n = 0;
    for (unsigned i = 0; i < f->len; i++)
        n += memcmp(f->ids[i], id, EVENT_ID_LEN) == 0;
    return n;
}
