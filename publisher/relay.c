/* How it works.
 *
 * Everything that must not happen inside a caller's function, or shall happen once for many calls,
 * is left to `soon`, an idle handle that is active only while there is such work: while one is
 * active the loop does not sleep, so what is queued anywhere in a turn is written at its end.
 *
 * The websocket may not be freed while it reads, and an answer may make the owner close the relay:
 * `reading` defers the end until the read has returned. The poll handle must be closed before the
 * link's descriptor is, or the loop would unregister a stranger's. */
#include "publisher/relay.h"

#include "common/base/clock.h"
#include "common/net/websocket.h"
#include "common/nostr/kinds.h"
#include "common/nostr/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_BUDGET    (64u * 1024u) /* bytes a turn, so that one relay never holds up the others */
#define FRAME_KEEP_LEN (16u * 1024u) /* a larger frame's buffer is given back after use */
#define CHALLENGE_SIZE 512
#define TEXT_SIZE      512

struct relay {
    struct relay_events ev;
    struct websocket_limits limits;
    char url[URL_SIZE];
    struct link_open *opening;
    struct link *link; /* with `ws` and `poll`: all three or none */
    struct websocket *ws;
    enum family family;
    bool reading, closed; /* inside websocket_read; the owner wants no more */
    bool unread;          /* the last read stopped at its budget */
    bool gated;           /* a write was stopped by the gate */
    bool (*may_write)(void *arg);
    void *may_write_arg;
    uint64_t noise;
    struct buf frame;

    bool has_secret;
    uint8_t secret[32];
    uint32_t auth_timeout_ms;
    char challenge[CHALLENGE_SIZE]; /* empty: none came yet */
    enum { AUTH_NONE, AUTH_WANTED, AUTH_SENT } auth;
    uint8_t auth_id[EVENT_ID_LEN]; /* AUTH_SENT: the event's */
    char auth_text[TEXT_SIZE];     /* why it failed, when auth_timer fires */

    uv_poll_t poll;
    int polled; /* what for: starting a poll again costs system calls */
    uv_idle_t soon;
    uv_timer_t auth_timer;
    int handles;
};

static void on_soon(uv_idle_t *h);
static void on_poll(uv_poll_t *h, int status, int events);

static void do_soon(struct relay *r)
{
    if (!r->closed && !uv_is_active((uv_handle_t *)&r->soon))
        uv_idle_start(&r->soon, on_soon);
}

static void watch(struct relay *r, int events)
{
    if (r->polled == events)
        return;
    r->polled = events;
    uv_poll_start(&r->poll, events, on_poll);
}

/* ---- the end ---- */

static void on_handle_closed(uv_handle_t *h)
{
    struct relay *r = h->data;
    if (--r->handles > 0)
        return;
    buf_fini(&r->frame);
    explicit_bzero(r->secret, sizeof r->secret);
    free(r);
}

static void drop_link(struct relay *r)
{
    if (r->link == NULL)
        return;
    uv_close((uv_handle_t *)&r->poll, on_handle_closed);
    websocket_free(r->ws);
    link_close(r->link);
    r->ws = NULL;
    r->link = NULL;
}

static void finish(struct relay *r)
{
    drop_link(r);
    uv_close((uv_handle_t *)&r->soon, on_handle_closed);
    uv_close((uv_handle_t *)&r->auth_timer, on_handle_closed);
}

/* The link broke, or the peer left. Not while reading. */
static void lose(struct relay *r, const char *text)
{
    drop_link(r);
    uv_timer_stop(&r->auth_timer);
    r->auth = AUTH_NONE;
    r->ev.on_lost(r->ev.arg, text);
}

/* ---- writing ---- */

/* The close frame, and whatever is before it, as far as it can leave at once: the link is given up
 * in any case. */
static void last_flush(struct relay *r)
{
    enum err e = websocket_flush(r->ws);
    (void)e;
}

static ssize_t io_send(void *arg, const uint8_t *data, size_t len)
{
    struct relay *r = arg;
    if (r->may_write != NULL && !r->may_write(r->may_write_arg)) {
        r->gated = true;
        return 0;
    }
    return link_send(r->link, data, len);
}

static ssize_t io_recv(void *arg, uint8_t *data, size_t len)
{
    struct relay *r = arg;
    return link_recv(r->link, data, len);
}

static void read_some(struct relay *r);

static void flush(struct relay *r)
{
    r->gated = false;
    enum err e = websocket_flush(r->ws);
    if (e == ERR_NONE || e == ERR_AGAIN) {
        bool wait = e == ERR_AGAIN && !r->gated;
        watch(r, UV_READABLE | (wait ? UV_WRITABLE : 0));
        return;
    }
    /* What the relay answered before it went may still be there, and says why. */
    read_some(r);
    if (!r->closed && r->link != NULL)
        lose(r, "the link broke while writing");
}

enum err relay_send(struct relay *r, const struct event *ev)
{
    if (r->link == NULL || r->closed)
        return ERR_CLOSED;
    buf_clear(&r->frame);
    enum err e = message_put_event(&r->frame, "EVENT", ev->bytes, ev->len);
    if (e == ERR_NONE)
        e = websocket_send_text(r->ws, (const char *)r->frame.data, r->frame.len);
    if (r->frame.cap > FRAME_KEEP_LEN)
        buf_fini(&r->frame);
    do_soon(r);
    return e;
}

void relay_set_gate(struct relay *r, bool (*may_write)(void *arg), void *arg)
{
    r->may_write = may_write;
    r->may_write_arg = arg;
}

void relay_resume(struct relay *r)
{
    if (r->gated)
        do_soon(r);
}

/* ---- AUTH (NIP-42) ---- */

static void end_auth(struct relay *r, bool ok, const char *text)
{
    r->auth = AUTH_NONE;
    uv_timer_stop(&r->auth_timer);
    r->ev.on_auth(r->ev.arg, ok, text);
}

static void on_auth_timer(uv_timer_t *h)
{
    struct relay *r = h->data;
    end_auth(r, false, r->auth_text);
}

static void fail_auth_in(struct relay *r, uint32_t after_ms, const char *text)
{
    (void)snprintf(r->auth_text, sizeof r->auth_text, "%s", text);
    uv_timer_start(&r->auth_timer, on_auth_timer, after_ms, 0);
}

/* The tags of kind 22242: where, and the challenge it answers. */
static enum err auth_tags(const struct relay *r, struct buf *out)
{
    enum err e = buf_add_str(out, "[[\"relay\",");
    if (e == ERR_NONE)
        e = json_put_string(out, r->url, strlen(r->url));
    if (e == ERR_NONE)
        e = buf_add_str(out, "],[\"challenge\",");
    if (e == ERR_NONE)
        e = json_put_string(out, r->challenge, strlen(r->challenge));
    if (e == ERR_NONE)
        e = buf_add_str(out, "]]");
    return e;
}

static enum err put_auth(struct relay *r, struct problem *p)
{
    struct buf tags;
    struct event *ev = NULL;
    buf_init(&tags, (size_t)6 * (URL_SIZE + CHALLENGE_SIZE) + 64);
    enum err e = auth_tags(r, &tags);
    if (e == ERR_NONE)
        e = event_make(r->secret, (uint64_t)clock_wall_s(), KIND_AUTH, buf_str(&tags), "", &ev, p);
    if (e == ERR_NONE) {
        memcpy(r->auth_id, ev->id, sizeof r->auth_id);
        buf_clear(&r->frame);
        e = message_put_event(&r->frame, "AUTH", ev->bytes, ev->len);
    }
    if (e == ERR_NONE)
        e = websocket_send_text(r->ws, (const char *)r->frame.data, r->frame.len);
    event_unref(ev);
    buf_fini(&tags);
    return e;
}

static void send_auth(struct relay *r)
{
    struct problem p = {.text = "the AUTH event could not be sent"};
    if (put_auth(r, &p) != ERR_NONE) {
        fail_auth_in(r, 0, p.text);
        return;
    }
    uv_timer_stop(&r->auth_timer); /* what waited for the challenge */
    r->auth = AUTH_SENT;
    do_soon(r);
}

void relay_auth(struct relay *r)
{
    if (r->auth != AUTH_NONE || r->link == NULL || r->closed)
        return;
    r->auth = AUTH_WANTED;
    if (!r->has_secret)
        fail_auth_in(r, 0, "no key is configured for AUTH");
    else if (r->challenge[0] == '\0')
        fail_auth_in(r, r->auth_timeout_ms, "the relay sent no AUTH challenge");
    else
        send_auth(r);
}

/* ---- reading ---- */

static void on_challenge(struct relay *r, struct json_span raw)
{
    if (raw.len == 0 || raw.len >= sizeof r->challenge) {
        r->noise++; /* cut, it would be answered wrongly */
        return;
    }
    json_copy(raw, r->challenge, sizeof r->challenge);
    if (r->auth == AUTH_WANTED && r->has_secret)
        send_auth(r);
}

static void on_ok(struct relay *r, const struct relay_message *m)
{
    char text[TEXT_SIZE];
    json_copy(m->text, text, sizeof text);
    if (r->auth == AUTH_SENT && memcmp(m->id, r->auth_id, sizeof m->id) == 0)
        end_auth(r, m->accepted, text);
    else
        r->ev.on_answer(r->ev.arg, m->id, m->accepted, text);
}

static bool on_text(void *arg, const char *text, size_t len)
{
    struct relay *r = arg;
    struct relay_message m;
    struct problem p;
    if (message_from_relay(text, len, &m, &p) != ERR_NONE) {
        r->noise++;
    } else if (m.verb == VERB_OK) {
        on_ok(r, &m);
    } else if (m.verb == VERB_AUTH) {
        on_challenge(r, m.text);
    } else {
        r->noise++;
        if (m.verb == VERB_NOTICE) {
            char notice[TEXT_SIZE];
            json_copy(m.text, notice, sizeof notice);
            r->ev.on_notice(r->ev.arg, notice);
        }
    }
    return !r->closed;
}

static void ended(struct relay *r, enum err e)
{
    char text[128];
    uint16_t code = websocket_close_code(r->ws);
    if (e == ERR_CLOSED && code != 0)
        (void)snprintf(text, sizeof text, "the relay closed the link (code %u)", code);
    else if (e == ERR_CLOSED)
        (void)snprintf(text, sizeof text, "the relay hung up");
    else if (e == ERR_TOO_BIG)
        (void)snprintf(text, sizeof text, "the relay sent a message larger than %zu bytes",
                       r->limits.message_max);
    else if (e == ERR_PROTOCOL)
        (void)snprintf(text, sizeof text, "the relay broke the websocket protocol");
    else
        (void)snprintf(text, sizeof text, "the link broke while reading");
    last_flush(r);
    lose(r, text);
}

static void read_some(struct relay *r)
{
    r->reading = true;
    enum err e = websocket_read(r->ws, READ_BUDGET);
    r->reading = false;
    if (r->closed) {
        finish(r);
        return;
    }
    if (e != ERR_NONE && e != ERR_AGAIN) {
        ended(r, e);
        return;
    }
    r->unread = websocket_pending(r->ws);
    if (r->unread || websocket_queued_len(r->ws) > 0)
        do_soon(r);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct relay *r = h->data;
    if (status < 0 || (events & UV_READABLE) != 0)
        read_some(r); /* an error of the descriptor is told by reading it */
    if (!r->closed && r->link != NULL && (events & UV_WRITABLE) != 0)
        flush(r);
}

static void on_soon(uv_idle_t *h)
{
    struct relay *r = h->data;
    uv_idle_stop(h);
    if (r->unread && r->link != NULL)
        read_some(r);
    if (!r->closed && r->link != NULL && websocket_queued_len(r->ws) > 0)
        flush(r);
}

/* ---- opening ---- */

static enum err take_link(struct relay *r, const struct link_result *res)
{
    const struct websocket_io io = {.send = io_send, .recv = io_recv, .on_text = on_text, .arg = r};
    r->link = res->link;
    r->family = res->family;
    r->ws = websocket_new(WEBSOCKET_CLIENT, &io, &r->limits);
    uv_poll_init(r->soon.loop, &r->poll, link_fd(r->link));
    r->poll.data = r;
    r->handles++;
    watch(r, UV_READABLE);
    if (res->extra_len > 0)
        return websocket_preload(r->ws, res->extra, res->extra_len);
    return ERR_NONE;
}

static void on_link(void *arg, const struct link_result *res)
{
    struct relay *r = arg;
    struct link_result told = *res;
    r->opening = NULL;
    if (res->err == ERR_NONE) {
        enum err e = take_link(r, res);
        if (e != ERR_NONE) {
            drop_link(r);
            told.err = e;
        } else {
            r->unread = true; /* more may have come with the handshake, inside TLS too */
            do_soon(r);
        }
    }
    told.link = NULL;
    r->ev.on_open(r->ev.arg, &told);
}

struct relay *relay_open(struct dialer *d, uv_loop_t *loop, const struct relay_options *o,
                         const struct relay_events *ev)
{
    struct relay *r = mem_zero(1, sizeof *r);
    r->ev = *ev;
    r->limits = (struct websocket_limits){o->message_max, o->queue_max};
    r->auth_timeout_ms = o->auth_timeout_ms;
    (void)snprintf(r->url, sizeof r->url, "%s", o->link.url.text);
    r->has_secret = o->auth_secret != NULL;
    if (r->has_secret)
        memcpy(r->secret, o->auth_secret, sizeof r->secret);
    buf_init(&r->frame, EVENT_LEN_MAX + 64);
    uv_idle_init(loop, &r->soon);
    uv_timer_init(loop, &r->auth_timer);
    r->soon.data = r->auth_timer.data = r;
    r->handles = 2;
    r->opening = link_open(d, &o->link, on_link, r);
    return r;
}

void relay_close(struct relay *r)
{
    if (r->closed)
        return;
    if (r->opening != NULL)
        link_cancel(r->opening);
    r->opening = NULL;
    if (r->ws != NULL && !r->reading) {
        websocket_close(r->ws, 1000, "");
        last_flush(r);
    }
    r->closed = true;
    if (!r->reading)
        finish(r);
}

enum family relay_family(const struct relay *r)
{
    return r->family;
}

uint64_t relay_noise(const struct relay *r)
{
    return r->noise;
}
