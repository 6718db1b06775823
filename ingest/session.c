#include "ingest/session.h"

#include "common/base/log.h"
#include "common/nostr/message.h"
#include "ingest/intake.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <utlist.h>

#define NO_ARCHIVE "unsupported: volley keeps no archive, it only passes events on"
#define NO_AUTH    "unsupported: this relay asks for no authentication"

#define CODE_NORMAL    1000
#define CODE_TRY_LATER 1013

/* ---- what a client says */

static void reply_notice(struct session *s, const char *text)
{
    buf_clear(&s->i->reply);
    session_reply(s, message_put_notice(&s->i->reply, text));
}

static void on_event(struct session *s, const struct client_message *m)
{
    intake_event(s, m->event);
}

static void on_count(struct session *s, const struct client_message *m)
{
    buf_clear(&s->i->reply);
    session_reply(s, message_put_closed(&s->i->reply, m->sub, NO_ARCHIVE));
}

static void on_req(struct session *s, const struct client_message *m)
{
    buf_clear(&s->i->reply);
    session_reply(s, message_put_eose(&s->i->reply, m->sub));
    on_count(s, m);
}

/* No subscription ever stays open. */
static void on_close(struct session *s, const struct client_message *m)
{
    (void)s;
    (void)m;
}

static void on_auth(struct session *s, const struct client_message *m)
{
    struct json_span id = message_event_id(m->event);

    if (id.len == 0) {
        reply_notice(s, NO_AUTH);
        return;
    }
    buf_clear(&s->i->reply);
    session_reply(s, message_put_ok(&s->i->reply, id, false, NO_AUTH));
}

static void on_unknown(struct session *s, const struct client_message *m)
{
    char name[24];
    struct problem text;

    json_copy(m->name, name, sizeof name);
    problem_set(&text, ERR_NONE, "unsupported: unknown message '%s'", name);
    reply_notice(s, text.text);
}

static const struct verb_row {
    enum verb verb;
    void (*fn)(struct session *s, const struct client_message *m);
} verbs[] = {
    {VERB_EVENT, on_event}, {VERB_REQ, on_req},   {VERB_COUNT, on_count},
    {VERB_CLOSE, on_close}, {VERB_AUTH, on_auth}, {VERB_OTHER, on_unknown},
};

static void handle_message(struct session *s, const char *text, size_t len)
{
    struct client_message m;
    struct problem p, notice;

    if (message_from_client(text, len, &m, &p) != ERR_NONE) {
        problem_set(&notice, ERR_NONE, "invalid: %s", p.text);
        reply_notice(s, notice.text);
        return;
    }
    for (size_t n = 0; n < COUNT_OF(verbs); n++)
        if (verbs[n].verb == m.verb)
            verbs[n].fn(s, &m);
}

/* ---- bounds */

/* Whether the client takes its replies, so that more may be caused. */
static bool takes_replies(const struct session *s)
{
    const struct ingest *i = s->i;
    size_t own = websocket_queued_len(s->ws);
    size_t all = i->reply_bytes - s->reply_len + own;

    return own < (all > i->limits.replies_max ? i->limits.reply_free : i->limits.reply_pause);
}

static bool may_read(const struct session *s)
{
    const struct ingest *i = s->i;

    return s->state == SESSION_OPEN && i->drain == DRAIN_NO && !i->congested &&
           s->under_way_len < i->limits.client_events_max &&
           s->under_way_bytes < i->limits.client_bytes_max && takes_replies(s);
}

static void set_reply(struct session *s, size_t len)
{
    s->i->reply_bytes += len - s->reply_len;
    s->reply_len = len;
}

static void set_partial(struct session *s, size_t len)
{
    if (s->partial_len == 0)
        s->partial_ms = s->i->now_ms;
    s->i->partial_bytes += len - s->partial_len;
    s->partial_len = len;
}

/* Unfinished messages of many clients could fill the memory one by one: those who add to a long one
 * then have to go, short messages pass. */
static bool too_much_partial(const struct session *s)
{
    return s->i->partial_bytes > s->i->limits.partial_max &&
           s->partial_len > s->i->limits.partial_free;
}

/* ---- the websocket's stream */

static ssize_t on_send(void *arg, const uint8_t *data, size_t len)
{
    struct session *s = arg;
    ssize_t n = send(s->fd, data, len, MSG_NOSIGNAL);

    if (n >= 0) {
        s->progress_ms = s->i->now_ms;
        return n;
    }
    return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

static ssize_t on_recv(void *arg, uint8_t *data, size_t len)
{
    struct session *s = arg;
    ssize_t n = recv(s->fd, data, len, 0);

    if (n > 0) {
        s->heard_ms = s->i->now_ms;
        s->pings = 0;
        return n;
    }
    if (n == 0) {
        s->eof = true;
        return -2;
    }
    return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

static bool on_text(void *arg, const char *text, size_t len)
{
    struct session *s = arg;

    handle_message(s, text, len);
    session_touch(s);
    return may_read(s);
}

/* ---- life */

static void break_off(struct session *s, const char *why)
{
    if (s->state != SESSION_BROKEN)
        LOG(LOG_DEBUG, "client cut off", LOG_S("why", why));
    s->state = SESSION_BROKEN;
    session_touch(s);
}

void session_touch(struct session *s)
{
    if (s->is_touched)
        return;
    s->is_touched = true;
    DL_APPEND2(s->i->touched, s, touched_prev, touched_next);
}

/* To be read again in the next turn, without waiting for the socket. */
static void make_ready(struct session *s)
{
    if (s->is_ready)
        return;
    s->is_ready = true;
    DL_APPEND2(s->i->ready, s, ready_prev, ready_next);
}

void session_new(struct ingest *i, struct listener *l, struct MHD_UpgradeResponseHandle *urh,
                 int fd, const void *extra, size_t extra_len)
{
    struct session *s = mem_zero(1, sizeof *s);
    const struct websocket_io io = {.send = on_send, .recv = on_recv, .on_text = on_text, .arg = s};
    const struct websocket_limits limits = {.message_max = service_message_max(i->max_event),
                                            .queue_max = i->limits.reply_max};
    int one = 1;

    s->i = i;
    s->listener = l;
    s->urh = urh;
    s->fd = fd;
    s->heard_ms = s->progress_ms = i->now_ms;
    s->ws = websocket_new(WEBSOCKET_SERVER, &io, &limits);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (uv_poll_init(i->loop, &s->poll, fd) != 0) {
        LOG(LOG_WARN, "a client's socket can't be polled");
        websocket_free(s->ws);
        free(s);
        (void)MHD_upgrade_action(urh, MHD_UPGRADE_ACTION_CLOSE);
        listener_kick(l);
        return;
    }
    s->poll.data = s;
    DL_APPEND(i->sessions, s);
    if (extra_len > 0 && websocket_preload(s->ws, extra, extra_len) != ERR_NONE)
        break_off(s, "too much came with the handshake");
    if (i->drain != DRAIN_NO)
        session_end(s, CODE_GOING_AWAY, GOING_AWAY);
    session_touch(s); /* the turn reads what came with the handshake */
    LOG(LOG_DEBUG, "client connected", LOG_I("open", i->http.peers.connections_len));
}

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void session_destroy(struct session *s)
{
    struct ingest *i = s->i;

    intake_orphan(s);
    set_partial(s, 0);
    set_reply(s, 0);
    if (s->is_ready)
        DL_DELETE2(i->ready, s, ready_prev, ready_next);
    if (s->is_touched)
        DL_DELETE2(i->touched, s, touched_prev, touched_next);
    DL_DELETE(i->sessions, s);
    websocket_free(s->ws);
    (void)uv_poll_stop(&s->poll);
    uv_close((uv_handle_t *)&s->poll, on_poll_closed);
    (void)MHD_upgrade_action(s->urh, MHD_UPGRADE_ACTION_CLOSE);
    listener_kick(s->listener);
}

void session_end(struct session *s, uint16_t code, const char *reason)
{
    if (s->state != SESSION_OPEN)
        return;
    websocket_close(s->ws, code, reason);
    s->state = SESSION_ENDING;
    s->ending_ms = s->i->now_ms;
    session_touch(s);
}

void session_reply(struct session *s, enum err built)
{
    const struct buf *b = &s->i->reply;

    if (s->state != SESSION_OPEN)
        return;
    if (built != ERR_NONE)
        break_off(s, "a reply grew too long");
    else if (websocket_send_text(s->ws, (const char *)b->data, b->len) == ERR_FULL)
        break_off(s, "does not read its replies");
}

/* ---- reading */

/* After our close: what still comes is thrown away, so that the peer's last bytes in flight don't
 * make the kernel reset the connection before the peer has read our close. */
static void read_the_rest(struct session *s)
{
    uint8_t scrap[4096];
    ssize_t n = on_recv(s, scrap, sizeof scrap);

    if (n < 0)
        break_off(s, "gone");
}

void session_read(struct session *s)
{
    if (s->state == SESSION_ENDING && s->shut)
        read_the_rest(s);
    if (!may_read(s))
        return;
    enum err e = websocket_read(s->ws, s->i->limits.read_budget);
    if (s->state != SESSION_OPEN)
        return;
    set_partial(s, websocket_partial_len(s->ws));
    if (e == ERR_NONE || e == ERR_AGAIN) {
        if (too_much_partial(s))
            session_end(s, CODE_TRY_LATER, "too many long messages at once");
        else if (websocket_pending(s->ws) && may_read(s))
            make_ready(s);
    } else if (e == ERR_IO) {
        break_off(s, "gone");
    } else {
        /* The right close frame is queued already. */
        s->state = SESSION_ENDING;
        s->ending_ms = s->i->now_ms;
    }
    session_touch(s);
}

/* ---- the end of a turn */

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct session *s = handle->data;

    if (status < 0)
        break_off(s, "gone");
    else if (events & UV_READABLE)
        session_read(s);
    session_touch(s); /* writable: the turn flushes */
}

static void poll_for(struct session *s, int events)
{
    if (events == s->polled)
        return;
    s->polled = events;
    if (events == 0)
        (void)uv_poll_stop(&s->poll);
    else
        (void)uv_poll_start(&s->poll, events, on_poll);
}

/* Our close frame is out: our side of the stream ends, the peer's is awaited. */
static void shut(struct session *s)
{
    if (s->shut)
        return;
    s->shut = true;
    if (s->eof || shutdown(s->fd, SHUT_WR) != 0)
        break_off(s, "gone");
}

void session_turn(struct session *s)
{
    if (s->state != SESSION_BROKEN) {
        enum err e = websocket_flush(s->ws);
        s->blocked = e == ERR_AGAIN;
        set_reply(s, websocket_queued_len(s->ws));
        if (e != ERR_NONE && e != ERR_AGAIN && e != ERR_CLOSED)
            break_off(s, "gone");
        else if (s->state == SESSION_ENDING && !s->blocked)
            shut(s);
    }
    if (s->state == SESSION_BROKEN) {
        session_destroy(s);
        return;
    }
    bool reading = s->state == SESSION_OPEN ? may_read(s) : s->shut;
    if (reading && s->state == SESSION_OPEN && websocket_pending(s->ws))
        make_ready(s);
    poll_for(s, (reading ? UV_READABLE : 0) | (s->blocked ? UV_WRITABLE : 0));
}

static void check_silence(struct session *s)
{
    const struct ingest *i = s->i;

    if (!(s->polled & UV_READABLE)) {
        s->heard_ms = i->now_ms; /* it is we who don't listen */
        return;
    }
    if (i->now_ms - s->heard_ms < i->limits.ping_ms * (s->pings + 1))
        return;
    if (s->pings >= i->limits.pings_max) {
        session_end(s, CODE_NORMAL, "no answer to pings");
        return;
    }
    s->pings++;
    if (websocket_ping(s->ws) != ERR_NONE)
        break_off(s, "does not read its replies");
    session_touch(s);
}

void session_tick(struct session *s)
{
    const struct ingest *i = s->i;

    if (websocket_queued_len(s->ws) == 0)
        s->progress_ms = i->now_ms;
    else if (i->now_ms - s->progress_ms >= i->limits.stall_ms)
        break_off(s, "does not read its replies");
    if (s->state == SESSION_ENDING && i->now_ms - s->ending_ms >= i->limits.close_ms)
        break_off(s, "does not close");
    if (s->state != SESSION_OPEN)
        return;
    if (s->partial_len > 0 && i->now_ms - s->partial_ms >= i->limits.message_ms)
        session_end(s, CODE_TRY_LATER, "a message took too long");
    else
        check_silence(s);
}
