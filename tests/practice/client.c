/* One connection to a practice relay: handshake, websocket, answers as its manners say. */
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/base/log.h"
#include "common/base/rng.h"
#include "common/net/handshake.h"
#include "common/nostr/kinds.h"
#include "common/nostr/message.h"
#include "tests/practice/practice.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#define REQUEST_MAX 8192u
#define HUGE_LEN    (4u * 1024u * 1024u)

/* An answer that waits for its time. */
struct late {
    uint64_t due_ms;
    char *text;
    struct late *next;
};

struct practice_client {
    struct practice_relay *relay;
    uv_poll_t poll;
    uv_timer_t timer;
    int fd, closing;
    bool v6, authenticated, cut;
    uint64_t number, events;
    struct buf request; /* until the handshake is done */
    struct websocket *ws;
    struct late *late;
    char challenge[33];
    struct practice_client *prev, *next;
};

static uint64_t connections_ever;

/* ---- ending ---- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct practice_client *c = handle->data;
    if (--c->closing > 0)
        return;
    close(c->fd);
    buf_fini(&c->request);
    if (c->ws != NULL)
        websocket_free(c->ws);
    while (c->late != NULL) {
        struct late *l = c->late;
        c->late = l->next;
        free(l->text);
        free(l);
    }
    free(c);
}

static void hang_up(struct practice_client *c)
{
    if (c->closing > 0)
        return;
    c->closing = 2;
    DL_DELETE(c->relay->clients, c);
    c->relay->open--;
    if (c->ws != NULL)
        c->relay->links--;
    shutdown(c->fd, SHUT_RDWR);
    uv_close((uv_handle_t *)&c->poll, on_handle_closed);
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
}

void practice_clients_close(struct practice_relay *r)
{
    struct practice_client *c, *next;
    DL_FOREACH_SAFE(r->clients, c, next)
    hang_up(c);
}

/* ---- bytes ---- */

static void on_io(uv_poll_t *poll, int status, int events);

static void watch(struct practice_client *c)
{
    /* Who does not read still learns that the other side has gone. */
    int events = c->relay->now.noread && c->ws != NULL ? UV_DISCONNECT : UV_READABLE;
    if (c->ws != NULL && websocket_queued_len(c->ws) > 0)
        events |= UV_WRITABLE;
    if (c->closing == 0)
        uv_poll_start(&c->poll, events, on_io);
}

static void flush(struct practice_client *c)
{
    enum err e = websocket_flush(c->ws);
    if (e != ERR_NONE && e != ERR_AGAIN)
        hang_up(c);
    else
        watch(c);
}

static ssize_t io_send(void *arg, const uint8_t *data, size_t len)
{
    struct practice_client *c = arg;
    ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);
    return n >= 0 ? n : errno == EAGAIN ? 0 : -1;
}

static ssize_t io_recv(void *arg, uint8_t *data, size_t len)
{
    struct practice_client *c = arg;
    ssize_t n = recv(c->fd, data, len, 0);
    return n > 0 ? n : n == 0 ? -2 : errno == EAGAIN ? 0 : -1;
}

static void say(struct practice_client *c, const char *text)
{
    if (websocket_send_text(c->ws, text, strlen(text)) != ERR_NONE)
        c->cut = true;
}

/* ---- answers ---- */

static void on_due(uv_timer_t *timer)
{
    struct practice_client *c = timer->data;
    uint64_t now = clock_boot_ms();
    while (c->late != NULL && c->late->due_ms <= now) {
        struct late *l = c->late;
        c->late = l->next;
        say(c, l->text);
        free(l->text);
        free(l);
    }
    if (c->late != NULL)
        uv_timer_start(timer, on_due, c->late->due_ms - now, 0);
    flush(c);
}

static void say_late(struct practice_client *c, const char *text, unsigned delay_ms)
{
    struct late *l = mem_zero(1, sizeof *l), **at = &c->late;
    l->due_ms = clock_boot_ms() + delay_ms;
    l->text = mem_strdup(text);
    while (*at != NULL)
        at = &(*at)->next;
    *at = l;
    if (c->late == l)
        uv_timer_start(&c->timer, on_due, delay_ms, 0);
}

static void answer(struct practice_client *c, const uint8_t id[EVENT_ID_LEN], bool accepted,
                   const char *text)
{
    const struct behaviour *b = &c->relay->now;
    struct buf out;
    buf_init(&out, 4096);
    if (b->silent)
        return;
    if (b->garbage)
        say(c, "[[[ this is no message");
    if (b->wrong_id)
        say(c, "[\"OK\",\"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\",true,"
               "\"\"]");
    if (message_put_ok_id(&out, id, accepted, text) != ERR_NONE)
        die("an answer that is too long");
    if (b->slow_ms > 0)
        say_late(c, buf_str(&out), b->slow_ms);
    else
        say(c, buf_str(&out));
    buf_fini(&out);
}

static void write_down(struct practice_client *c, const struct event *ev, bool accepted)
{
    struct practice_relay *r = c->relay;
    if (r->record != NULL)
        fprintf(r->record, "%" PRIu64 "\t%" PRIu64 "\t%s\t%d\t%.*s\n", clock_boot_ms(), c->number,
                c->v6 ? "ipv6" : "ipv4", accepted, (int)ev->len, ev->bytes);
    if (accepted)
        r->accepted++;
    else
        r->refused++;
    struct seen_id *s;
    HASH_FIND(hh, r->seen, ev->id, EVENT_ID_LEN, s);
    if (s == NULL && accepted) {
        s = mem_zero(1, sizeof *s);
        memcpy(s->id, ev->id, EVENT_ID_LEN);
        HASH_ADD(hh, r->seen, id, EVENT_ID_LEN, s);
        r->unique++;
    }
}

/* What the manners say of this event; NULL: take it. `text` is room for it. */
static const char *refusal(struct practice_client *c, const struct event *ev,
                           char text[REFUSAL_SIZE])
{
    struct practice_relay *r = c->relay;
    const struct behaviour *b = &r->now;
    if (r->verify && event_verify(ev, NULL) != ERR_NONE)
        return "invalid: bad signature";
    if (b->auth && !c->authenticated)
        return "auth-required: this relay wants to know you";
    if (b->refuse[0] != '\0' && r->events % b->refuse_every == 0)
        return behaviour_refusal(b, r->events / b->refuse_every, text);
    uint64_t second = clock_boot_ms() / 1000;
    if (second != r->rate_second) {
        r->rate_second = second;
        r->rate_used = 0;
    }
    if (b->rate > 0 && ++r->rate_used > b->rate)
        return "rate-limited: slow down";
    return NULL;
}

static void on_event(struct practice_client *c, struct event *ev)
{
    struct practice_relay *r = c->relay;
    const struct behaviour *b = &r->now;
    r->events++;
    c->events++;
    if (b->hangup_on[0] != '\0' &&
        memmem(ev->bytes, ev->len, b->hangup_on, strlen(b->hangup_on)) != NULL) {
        write_down(c, ev, false);
        c->cut = true;
        return;
    }
    char text[REFUSAL_SIZE];
    const char *no = refusal(c, ev, text);
    write_down(c, ev, no == NULL);
    c->cut = b->cut_before > 0 && r->events % b->cut_before == 0;
    if (c->cut)
        return;
    answer(c, ev->id, no == NULL || b->duplicate,
           no != NULL     ? no
           : b->duplicate ? "duplicate: have it"
                          : "");
    if (b->cut_after > 0 && r->events % b->cut_after == 0) {
        c->cut = true;
        if (websocket_flush(c->ws) == ERR_AGAIN)
            LOG(LOG_DEBUG, "cut before the answer was out");
    }
}

static bool names_challenge(void *arg, struct json_span value)
{
    struct practice_client *c = arg;
    c->authenticated |= json_equals(value, c->challenge);
    return true;
}

static void on_auth(struct practice_client *c, const struct event *ev)
{
    c->relay->auths++;
    if (ev->kind == KIND_AUTH && event_verify(ev, NULL) == ERR_NONE)
        event_each_tag(ev, "challenge", names_challenge, c);
    answer(c, ev->id, c->authenticated, c->authenticated ? "" : "restricted: that is not you");
}

/* It keeps nothing to be read. */
static void on_req(struct practice_client *c, const struct client_message *m)
{
    char text[128 + SUBSCRIPTION_LEN_MAX];
    int len = (int)m->sub.len;
    c->relay->reads++;
    if (c->relay->now.silent)
        return;
    if (c->relay->now.auth && !c->authenticated)
        (void)snprintf(text, sizeof text, "[\"CLOSED\",\"%.*s\",\"auth-required: who are you\"]",
                       len, m->sub.p);
    else
        (void)snprintf(text, sizeof text, "[\"EOSE\",\"%.*s\"]", len, m->sub.p);
    say(c, text);
}

static bool on_text(void *arg, const char *text, size_t len)
{
    struct practice_client *c = arg;
    struct client_message m;
    struct event *ev = NULL;
    if (c->cut)
        return false;
    enum err e = message_from_client(text, len, &m, NULL);
    if (e == ERR_NONE && (m.verb == VERB_REQ || m.verb == VERB_CLOSE)) {
        if (m.verb == VERB_REQ)
            on_req(c, &m);
        return true;
    }
    if (e != ERR_NONE || (m.verb != VERB_EVENT && m.verb != VERB_AUTH) ||
        event_parse(m.event, EVENT_LEN_MAX, &ev, NULL) != ERR_NONE) {
        c->relay->bad++;
        say(c, "[\"NOTICE\",\"invalid: practice relays take EVENT and AUTH\"]");
        return true;
    }
    if (m.verb == VERB_AUTH)
        on_auth(c, ev);
    else
        on_event(c, ev);
    event_unref(ev);
    return !c->cut;
}

/* ---- the handshake, server's side ---- */

static void greet(struct practice_client *c)
{
    if (c->relay->now.auth) {
        char text[96];
        (void)snprintf(text, sizeof text, "[\"AUTH\",\"%s\"]", c->challenge);
        say(c, text);
    }
    if (c->relay->now.huge) {
        char *text = mem_new(HUGE_LEN);
        memset(text, 'x', HUGE_LEN);
        c->cut |= websocket_send_text(c->ws, text, HUGE_LEN) != ERR_NONE;
        free(text);
    }
}

static void upgrade(struct practice_client *c, const char *key, size_t head_len)
{
    static const struct websocket_limits limits = {.message_max = 2u * 1024u * 1024u,
                                                   .queue_max = 16u * 1024u * 1024u};
    const struct websocket_io io = {.send = io_send, .recv = io_recv, .on_text = on_text, .arg = c};
    char accept[HANDSHAKE_ACCEPT_SIZE], text[256];
    handshake_accept(key, accept);
    int len = snprintf(text, sizeof text,
                       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
                       "Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                       accept);
    if (io_send(c, (const uint8_t *)text, (size_t)len) != len) {
        hang_up(c);
        return;
    }
    c->ws = websocket_new(WEBSOCKET_SERVER, &io, &limits);
    if (++c->relay->links > c->relay->links_max)
        c->relay->links_max = c->relay->links;
    if (websocket_preload(c->ws, c->request.data + head_len, c->request.len - head_len) != ERR_NONE)
        die("cannot keep what came with the handshake");
    buf_fini(&c->request);
    greet(c);
    flush(c);
}

static void refuse_http(struct practice_client *c)
{
    char text[128];
    int len = snprintf(
        text, sizeof text,
        "HTTP/1.1 %u No\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        c->relay->now.http);
    (void)io_send(c, (const uint8_t *)text, (size_t)len);
    hang_up(c);
}

/* NIP-11, where its manners have one. */
static bool asks_for_document(const struct practice_client *c, const char *request)
{
    return c->relay->now.document && strstr(request, "application/nostr+json") != NULL;
}

static void tell_document(struct practice_client *c)
{
    static const char document[] = "{\"name\":\"practice\",\"software\":\"volley practice\"}";
    char text[256];
    int len = snprintf(text, sizeof text,
                       "HTTP/1.1 200 OK\r\nContent-Type: application/nostr+json\r\n"
                       "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
                       strlen(document), document);
    c->relay->documents++;
    (void)io_send(c, (const uint8_t *)text, (size_t)len);
    hang_up(c);
}

static void on_request(struct practice_client *c)
{
    uint8_t bytes[2048];
    ssize_t n = io_recv(c, bytes, sizeof bytes);
    if (n == 0)
        return;
    if (n < 0 || buf_add(&c->request, bytes, (size_t)n) != ERR_NONE) {
        hang_up(c);
        return;
    }
    const char *text = buf_str(&c->request), *end = strstr(text, "\r\n\r\n");
    if (end == NULL || c->relay->now.mute)
        return;
    if (asks_for_document(c, text)) {
        tell_document(c);
        return;
    }
    if (c->relay->now.http > 0) {
        refuse_http(c);
        return;
    }
    const char *key = strcasestr(text, "\r\nSec-WebSocket-Key:");
    char value[HANDSHAKE_KEY_SIZE];
    if (key == NULL || sscanf(key + 20, " %24s", value) != 1) {
        hang_up(c);
        return;
    }
    upgrade(c, value, (size_t)(end + 4 - text));
}

static void on_io(uv_poll_t *poll, int status, int events)
{
    struct practice_client *c = poll->data;
    if (status < 0 || (events & UV_DISCONNECT) != 0) {
        hang_up(c);
        return;
    }
    if (c->ws == NULL) {
        on_request(c);
        if (c->ws == NULL || c->closing > 0)
            return;
    }
    enum err e = ERR_NONE;
    if (!c->relay->now.noread)
        do
            e = websocket_read(c->ws, 1u << 20);
        while (e == ERR_NONE && websocket_pending(c->ws) && !c->cut);
    if (c->cut || (e != ERR_NONE && e != ERR_AGAIN)) {
        hang_up(c);
        return;
    }
    flush(c);
}

void practice_client_new(struct practice_relay *r, int fd, bool v6)
{
    struct practice_client *c = mem_zero(1, sizeof *c);
    uint8_t random[16];
    *c = (struct practice_client){.relay = r, .fd = fd, .v6 = v6, .number = ++connections_ever};
    rng_secure(random, sizeof random);
    hex_str(c->challenge, random, sizeof random);
    buf_init(&c->request, REQUEST_MAX);
    uv_poll_init(r->loop, &c->poll, fd);
    uv_timer_init(r->loop, &c->timer);
    c->poll.data = c->timer.data = c;
    DL_APPEND(r->clients, c);
    r->connections[v6]++;
    if (++r->open > r->open_max)
        r->open_max = r->open;
    watch(c);
}
