#include "probe/peek.h"

#include "common/base/clock.h"
#include "common/net/websocket.h"
#include "common/nostr/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUBSCRIPTION "volley"
#define QUESTION     "[\"REQ\",\"" SUBSCRIPTION "\",{\"kinds\":[1],\"limit\":1}]"
#define THANKS       "[\"CLOSE\",\"" SUBSCRIPTION "\"]"
#define MESSAGE_MAX  (1024u * 1024u)
#define QUEUE_MAX    4096u
#define READ_BUDGET  (64u * 1024u)        /* bytes a turn */
#define BYTES_MAX    (2u * 1024u * 1024u) /* one event was asked for: more is no answer */
#define HANDLES      3

struct peek {
    struct link *link;
    struct websocket *ws;
    uv_poll_t poll;
    uv_timer_t deadline;
    uv_idle_t soon; /* there is something to read that the descriptor does not tell of */
    int polled, handles;
    uint64_t began_us;
    bool posts; /* an EVENT, of this id */
    uint8_t id[EVENT_ID_LEN];
    size_t bytes; /* that came */
    bool over;    /* the answer is there */
    struct peek_result result;
    peek_fn *fn;
    void *arg;
};

static void on_poll(uv_poll_t *h, int status, int events);
static void on_soon(uv_idle_t *h);

/* ---- the end ---- */

static void on_closed(uv_handle_t *h)
{
    struct peek *k = h->data;
    if (--k->handles == 0)
        free(k);
}

/* The poll handle goes before the link's descriptor does. */
static void close_all(struct peek *k)
{
    uv_close((uv_handle_t *)&k->poll, on_closed);
    uv_close((uv_handle_t *)&k->deadline, on_closed);
    uv_close((uv_handle_t *)&k->soon, on_closed);
    websocket_free(k->ws);
    link_close(k->link);
}

static void end(struct peek *k)
{
    k->result.us = clock_boot_us() - k->began_us;
    peek_fn *fn = k->fn;
    void *arg = k->arg;
    const struct peek_result r = k->result;
    close_all(k);
    fn(arg, &r);
}

static void fail(struct peek *k, const char *text)
{
    (void)snprintf(k->result.text, sizeof k->result.text, "%s", text);
    end(k);
}

/* As far as it can leave at once: the link is given up in any case. */
static void part(struct peek *k)
{
    enum err e = k->posts ? ERR_NONE : websocket_send_text(k->ws, THANKS, strlen(THANKS));
    websocket_close(k->ws, 1000, NULL);
    if (e == ERR_NONE)
        e = websocket_flush(k->ws);
    end(k);
}

/* ---- the stream ---- */

static ssize_t io_send(void *arg, const uint8_t *data, size_t len)
{
    return link_send(((struct peek *)arg)->link, data, len);
}

static ssize_t io_recv(void *arg, uint8_t *data, size_t len)
{
    struct peek *k = arg;
    ssize_t n = link_recv(k->link, data, len);
    k->bytes += n > 0 ? (size_t)n : 0;
    return n;
}

static bool is_ours(struct json_span sub)
{
    return sub.len == strlen(SUBSCRIPTION) && memcmp(sub.p, SUBSCRIPTION, sub.len) == 0;
}

static bool answers(const struct peek *k, const struct relay_message *m)
{
    if (k->posts)
        return m->verb == VERB_OK && memcmp(m->id, k->id, sizeof k->id) == 0;
    return (m->verb == VERB_EOSE || m->verb == VERB_CLOSED) && is_ours(m->sub);
}

/* Events, notices and challenges are no answer; neither is what can't be understood. */
static bool on_text(void *arg, const char *text, size_t len)
{
    struct peek *k = arg;
    struct relay_message m;
    if (message_from_relay(text, len, &m, NULL) != ERR_NONE || !answers(k, &m))
        return true;
    k->over = true;
    k->result.answered = true;
    k->result.accepted = m.verb == VERB_OK && m.accepted;
    if (m.verb != VERB_EOSE)
        (void)snprintf(k->result.text, sizeof k->result.text, "%.*s", (int)m.text.len, m.text.p);
    return false;
}

static void watch(struct peek *k, int events)
{
    if (k->polled != events)
        uv_poll_start(&k->poll, events, on_poll);
    k->polled = events;
}

static void go_on(struct peek *k)
{
    enum err e = websocket_read(k->ws, READ_BUDGET);
    if (k->over) {
        part(k);
        return;
    }
    if (e != ERR_NONE) {
        fail(k, e == ERR_CLOSED ? "it hung up without an answer" : "it does not speak NIP-01");
        return;
    }
    if (k->bytes > BYTES_MAX) {
        fail(k, "it sends more than was asked for");
        return;
    }
    e = websocket_flush(k->ws);
    if (e != ERR_NONE && e != ERR_AGAIN) {
        fail(k, "it hung up without an answer");
        return;
    }
    watch(k, e == ERR_AGAIN ? UV_READABLE | UV_WRITABLE : UV_READABLE);
    if (websocket_pending(k->ws))
        uv_idle_start(&k->soon, on_soon);
    else
        uv_idle_stop(&k->soon);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct peek *k = h->data;
    (void)events;
    if (status < 0)
        fail(k, "the connection broke");
    else
        go_on(k);
}

static void on_soon(uv_idle_t *h)
{
    go_on(h->data);
}

static void on_deadline(uv_timer_t *t)
{
    struct peek *k = t->data;
    k->result.timed_out = true;
    fail(k, k->posts ? "no OK in time" : "no answer to a REQ in time");
}

/* ---- beginning ---- */

/* `text` is what is said. */
static struct peek *start(uv_loop_t *loop, struct link *link, const uint8_t *extra,
                          size_t extra_len, struct json_span text, uint32_t timeout_ms, peek_fn *fn,
                          void *arg)
{
    static const struct websocket_limits limits = {MESSAGE_MAX, QUEUE_MAX};
    struct peek *k = mem_zero(1, sizeof *k);
    const struct websocket_io io = {io_send, io_recv, on_text, k};
    k->link = link;
    k->fn = fn;
    k->arg = arg;
    k->began_us = clock_boot_us();
    k->handles = HANDLES;
    k->ws = websocket_new(WEBSOCKET_CLIENT, &io, &limits);
    enum err e = websocket_preload(k->ws, extra, extra_len);
    if (e == ERR_NONE)
        e = websocket_send_text(k->ws, text.p, text.len);
    uv_poll_init(loop, &k->poll, link_fd(link));
    uv_timer_init(loop, &k->deadline);
    uv_idle_init(loop, &k->soon);
    k->poll.data = k->deadline.data = k->soon.data = k;
    /* What does not fit into a new websocket's buffers is no relay's: silence will end it. */
    uv_timer_start(&k->deadline, on_deadline, e == ERR_NONE ? timeout_ms : 0, 0);
    uv_idle_start(&k->soon, on_soon);
    return k;
}

struct peek *peek_start(uv_loop_t *loop, struct link *link, const uint8_t *extra, size_t extra_len,
                        uint32_t timeout_ms, peek_fn *fn, void *arg)
{
    const struct json_span question = {QUESTION, strlen(QUESTION)};
    return start(loop, link, extra, extra_len, question, timeout_ms, fn, arg);
}

struct peek *peek_post(uv_loop_t *loop, struct link *link, const uint8_t *extra, size_t extra_len,
                       const struct event *ev, uint32_t timeout_ms, peek_fn *fn, void *arg)
{
    struct buf text;
    buf_init(&text, QUEUE_MAX);
    /* What does not fit stays unsaid, and silence ends it. */
    if (message_put_event(&text, "EVENT", ev->bytes, ev->len) != ERR_NONE)
        buf_clear(&text);
    const struct json_span said = {(const char *)text.data, text.len};
    struct peek *k = start(loop, link, extra, extra_len, said, timeout_ms, fn, arg);
    k->posts = true;
    memcpy(k->id, ev->id, sizeof k->id);
    buf_fini(&text);
    return k;
}

void peek_cancel(struct peek *k)
{
    if (k != NULL)
        close_all(k);
}
