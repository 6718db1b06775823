/* How it works: each request is a `call`, first waiting, then sent, found again by its number when
 * the reply comes. Both lists are in the order of the calls, so the oldest deadline is at their
 * heads. Appends are collected: those of one turn of the loop are one call, packed when it is sent;
 * all others are packed at once. A call that can't be made (too large, too many) waits too, with
 * its error, so that no callback is ever called from inside the call. */
#include "queue/queue_zmq.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "queue/wire.h"
#include "queue/zmq_client.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#define TIMEOUT_MS    10000u
#define BATCH_LEN_MAX (1024u * 1024u)       /* bytes of one append message, or a single event */
#define BYTES_MAX     (64u * 1024u * 1024u) /* of all calls under way; more are refused */

struct append {
    struct event *ev; /* a reference of its own */
    queue_append_fn *fn;
    void *arg;
};

struct call {
    uint64_t number;
    enum wire_type type;
    uint64_t deadline_ms;
    enum err failed;    /* not to be sent at all */
    struct buf message; /* empty for appends */
    size_t bytes;       /* counted in zmq_queue.bytes */
    union {
        queue_read_fn *read;
        queue_lease_fn *lease;
        queue_commit_fn *commit;
        queue_define_fn *define;
        queue_depth_fn *depth;
        queue_receipt_fn *receipt;
    } fn;
    void *arg;
    struct append *appends;
    size_t appends_len, appends_cap;
    struct call *prev, *next;
    UT_hash_handle hh; /* in zmq_queue.by_number when sent */
};

struct zmq_queue {
    struct queue base;
    struct zmq_client *client;
    uv_timer_t timer;
    uint32_t timeout_ms;
    uint64_t last_number;
    struct call *waiting, *sent, *by_number;
    struct call *batch; /* the waiting call that still takes appends */
    size_t bytes;
    struct queue_follower follower;
    bool following, closing;
    queue_closed_fn *closed_fn;
    void *closed_arg;
};

static struct zmq_queue *of(struct queue *q)
{
    return (struct zmq_queue *)q;
}

/* ---- making calls */

static struct call *new_call(struct zmq_queue *q, enum wire_type type, void *arg)
{
    struct call *c = mem_zero(1, sizeof *c);
    c->number = ++q->last_number;
    c->type = type;
    c->arg = arg;
    c->deadline_ms = clock_boot_ms() + q->timeout_ms;
    buf_init(&c->message, WIRE_MESSAGE_MAX);
    DL_APPEND(q->waiting, c);
    zmq_client_wake(q->client);
    return c;
}

static void count_bytes(struct zmq_queue *q, struct call *c, size_t bytes)
{
    if (q->bytes + bytes > BYTES_MAX && q->bytes > 0) {
        c->failed = ERR_FULL;
        return;
    }
    c->bytes += bytes;
    q->bytes += bytes;
}

static void pack_call(struct zmq_queue *q, struct call *c, struct wire_request *r)
{
    r->type = c->type;
    r->number = c->number;
    c->failed = wire_put_request(&c->message, r);
    if (c->failed == ERR_NONE)
        count_bytes(q, c, c->message.len);
}

static void add_append(struct call *c, struct event *ev, queue_append_fn *fn, void *arg)
{
    if (c->appends_len == c->appends_cap) {
        c->appends_cap = c->appends_cap == 0 ? 8 : c->appends_cap * 2;
        c->appends = mem_grow(c->appends, c->appends_cap * sizeof *c->appends);
    }
    c->appends[c->appends_len++] = (struct append){event_ref(ev), fn, arg};
}

static void zmq_append(struct queue *queue, struct event *ev, queue_append_fn *fn, void *arg)
{
    struct zmq_queue *q = of(queue);
    struct call *c = q->batch;
    bool fits = q->bytes == 0 || q->bytes + ev->len <= BYTES_MAX;
    if (c == NULL || !fits || c->appends_len == WIRE_APPENDS_MAX ||
        c->bytes + ev->len > BATCH_LEN_MAX)
        c = new_call(q, WIRE_APPEND, NULL);
    add_append(c, ev, fn, arg);
    count_bytes(q, c, ev->len);
    q->batch = fits ? c : NULL;
}

static void zmq_read(struct queue *queue, uint64_t from, uint64_t to, queue_read_fn *fn, void *arg)
{
    struct wire_request r = {.read = {from, to}};
    struct call *c = new_call(of(queue), WIRE_READ, arg);
    c->fn.read = fn;
    pack_call(of(queue), c, &r);
}

static void zmq_lease(struct queue *queue, const struct lease_call *call, queue_lease_fn *fn,
                      void *arg)
{
    struct wire_request r = {.lease = *call};
    struct call *c = new_call(of(queue), WIRE_LEASE, arg);
    c->fn.lease = fn;
    pack_call(of(queue), c, &r);
}

static void zmq_commit(struct queue *queue, const struct lane_commit *lanes, size_t len,
                       queue_commit_fn *fn, void *arg)
{
    struct wire_request r = {.commit = {lanes, len}};
    struct call *c = new_call(of(queue), WIRE_COMMIT, arg);
    c->fn.commit = fn;
    pack_call(of(queue), c, &r);
}

static void zmq_define(struct queue *queue, const struct define_call *call, queue_define_fn *fn,
                       void *arg)
{
    struct wire_request r = {.define = *call};
    struct call *c = new_call(of(queue), WIRE_DEFINE, arg);
    c->fn.define = fn;
    pack_call(of(queue), c, &r);
}

static void zmq_depth(struct queue *queue, queue_depth_fn *fn, void *arg)
{
    struct wire_request r = {.type = WIRE_DEPTH};
    struct call *c = new_call(of(queue), WIRE_DEPTH, arg);
    c->fn.depth = fn;
    pack_call(of(queue), c, &r);
}

static void zmq_receipt(struct queue *queue, const uint8_t id[EVENT_ID_LEN], queue_receipt_fn *fn,
                        void *arg)
{
    struct wire_request r = {.type = WIRE_RECEIPT};
    struct call *c = new_call(of(queue), WIRE_RECEIPT, arg);
    memcpy(r.receipt, id, EVENT_ID_LEN);
    c->fn.receipt = fn;
    pack_call(of(queue), c, &r);
}

static void zmq_follow(struct queue *queue, const struct queue_follower *f)
{
    struct zmq_queue *q = of(queue);
    q->following = f != NULL;
    if (f != NULL)
        q->follower = *f;
    zmq_client_follow(q->client, q->following);
}

/* ---- ending calls */

static const char *why_of(enum err e)
{
    switch (e) {
    case ERR_UNKNOWN:
        return "outcome unknown, send again";
    case ERR_CLOSED:
        return "the queue is out of reach, send again later";
    case ERR_FULL:
        return "the queue does not keep up, send again later";
    default:
        return err_name(e);
    }
}

static void end_appends(struct call *c, enum err e, const struct wire_reply *r)
{
    if (e == ERR_NONE && r->append.len != c->appends_len)
        e = ERR_UNKNOWN;
    for (size_t i = 0; i < c->appends_len; i++) {
        struct append *a = &c->appends[i];
        struct wire_appended res = {.err = e, .why = r != NULL ? r->why : NULL};
        if (e == ERR_NONE)
            res = r->append.results[i];
        if (res.err == ERR_NONE)
            a->fn(a->arg, ERR_NONE, &res.result, "");
        else
            a->fn(a->arg, res.err, NULL, res.why != NULL ? res.why : why_of(res.err));
        event_unref(a->ev);
    }
    free(c->appends);
}

static void call_back(struct call *c, enum err e, const struct wire_reply *r)
{
    bool ok = e == ERR_NONE;
    switch (c->type) {
    case WIRE_APPEND:
        end_appends(c, e, r);
        break;
    case WIRE_READ:
        c->fn.read(c->arg, e, ok ? r->read.events : NULL, ok ? r->read.len : 0,
                   ok ? r->read.head : 0);
        break;
    case WIRE_LEASE:
        c->fn.lease(c->arg, e, ok ? &r->lease : NULL);
        break;
    case WIRE_COMMIT:
        c->fn.commit(c->arg, e, ok ? r->commit.lanes : NULL, ok ? r->commit.len : 0);
        break;
    case WIRE_DEFINE:
        c->fn.define(c->arg, e, ok ? &r->define : NULL,
                     ok                            ? ""
                     : r != NULL && r->why != NULL ? r->why
                                                   : why_of(e));
        break;
    case WIRE_DEPTH:
        c->fn.depth(c->arg, e, ok ? &r->depth : NULL);
        break;
    case WIRE_RECEIPT:
        c->fn.receipt(c->arg, e, ok ? &r->receipt : NULL);
        break;
    case WIRE_TYPE_END:
        break;
    }
}

/* Takes the call off its list and out of everything, and only then calls back: the callback may
 * make other calls. */
static void end_call(struct zmq_queue *q, struct call *c, bool sent, enum err e,
                     const struct wire_reply *r)
{
    if (sent) {
        DL_DELETE(q->sent, c);
        HASH_DEL(q->by_number, c);
    } else {
        DL_DELETE(q->waiting, c);
    }
    if (q->batch == c)
        q->batch = NULL;
    q->bytes -= c->bytes;
    buf_fini(&c->message);
    zmq_client_wake(q->client); /* the caller, once told, may have something to do before a sleep */
    call_back(c, e, r);
    free(c);
}

static void on_reply(void *arg, const void *data, size_t len)
{
    struct zmq_queue *q = arg;
    struct wire_arena a = {0};
    struct wire_reply r;
    enum err e = wire_get_reply(data, len, &a, &r);
    struct call *c;
    HASH_FIND(hh, q->by_number, &r.number, sizeof r.number, c);
    if (e == ERR_NONE && c != NULL && r.type == c->type) {
        end_call(q, c, true, r.err, &r);
    } else if (e != ERR_NONE) {
        LOG(LOG_WARN, "the queue's answer can't be read", LOG_S("error", err_name(e)),
            LOG_I("bytes", len));
        if (c != NULL)
            end_call(q, c, true, e == ERR_VERSION ? ERR_VERSION : ERR_UNKNOWN, NULL);
    } /* else too late: that call was given up */
    wire_arena_free(&a);
}

static void on_published(void *arg, const void *data, size_t len)
{
    struct zmq_queue *q = arg;
    struct wire_arena a = {0};
    struct wire_published p;
    if (wire_get_published(data, len, &a, &p) == ERR_NONE) {
        zmq_client_wake(q->client);
        for (size_t i = 0; i < p.tails_len && q->following; i++)
            q->follower.on_tail(q->follower.arg, &p.tails[i]);
        if (p.topic == WIRE_TOPIC_BEAT && q->following)
            q->follower.on_head(q->follower.arg, p.head, p.news);
    }
    wire_arena_free(&a);
}

static void on_down(void *arg)
{
    struct zmq_queue *q = arg;
    while (q->sent != NULL)
        end_call(q, q->sent, true, ERR_UNKNOWN, NULL);
}

/* ---- one turn */

static void pack_appends(struct call *c)
{
    struct json_span *events = mem_new(c->appends_len * sizeof *events);
    for (size_t i = 0; i < c->appends_len; i++)
        events[i] = (struct json_span){c->appends[i].ev->bytes, c->appends[i].ev->len};
    struct wire_request r = {
        .type = WIRE_APPEND, .number = c->number, .append = {events, c->appends_len}};
    c->failed = wire_put_request(&c->message, &r);
    free(events);
}

/* Sends what waits, in order, as far as the connection takes it. */
static void send_waiting(struct zmq_queue *q)
{
    q->batch = NULL;
    while (q->waiting != NULL) {
        struct call *c = q->waiting;
        if (c->type == WIRE_APPEND && c->failed == ERR_NONE && c->message.len == 0)
            pack_appends(c);
        if (c->failed != ERR_NONE) {
            end_call(q, c, false, c->failed, NULL);
            continue;
        }
        if (zmq_client_send(q->client, c->message.data, c->message.len) != ERR_NONE)
            break;
        buf_fini(&c->message);
        DL_DELETE(q->waiting, c);
        DL_APPEND(q->sent, c);
        HASH_ADD(hh, q->by_number, number, sizeof c->number, c);
    }
}

static void give_up_old(struct zmq_queue *q, uint64_t now_ms)
{
    while (q->sent != NULL && q->sent->deadline_ms <= now_ms)
        end_call(q, q->sent, true, ERR_UNKNOWN, NULL);
    while (q->waiting != NULL && q->waiting->deadline_ms <= now_ms)
        end_call(q, q->waiting, false, ERR_CLOSED, NULL);
}

static void on_timer(uv_timer_t *t)
{
    struct zmq_queue *q = t->data;
    zmq_client_wake(q->client); /* what has arrived is read before anything is given up */
}

static void set_timer(struct zmq_queue *q, uint64_t now_ms)
{
    uint64_t first = UINT64_MAX;
    if (q->sent != NULL)
        first = q->sent->deadline_ms;
    if (q->waiting != NULL && q->waiting->deadline_ms < first)
        first = q->waiting->deadline_ms;
    if (first == UINT64_MAX)
        uv_timer_stop(&q->timer);
    else
        uv_timer_start(&q->timer, on_timer, first > now_ms ? first - now_ms : 0, 0);
}

static void on_client_closed(void *arg)
{
    struct zmq_queue *q = arg;
    queue_closed_fn *fn = q->closed_fn;
    void *fn_arg = q->closed_arg;
    free(q);
    fn(fn_arg);
}

static void end_all(struct zmq_queue *q)
{
    on_down(q);
    while (q->waiting != NULL)
        end_call(q, q->waiting, false, ERR_CLOSED, NULL);
}

static void on_timer_closed(uv_handle_t *h)
{
    struct zmq_queue *q = h->data;
    end_all(q); /* what the last callbacks began */
    zmq_client_close(q->client, on_client_closed, q);
}

static void on_turn(void *arg)
{
    struct zmq_queue *q = arg;
    uint64_t now_ms = clock_boot_ms();
    if (uv_is_closing((uv_handle_t *)&q->timer))
        return;
    if (q->closing) {
        end_all(q);
        uv_close((uv_handle_t *)&q->timer, on_timer_closed);
        return;
    }
    send_waiting(q);
    give_up_old(q, now_ms);
    set_timer(q, now_ms);
}

static void zmq_close_queue(struct queue *queue, queue_closed_fn *fn, void *arg)
{
    struct zmq_queue *q = of(queue);
    q->closing = true;
    q->following = false;
    q->closed_fn = fn;
    q->closed_arg = arg;
    zmq_client_wake(q->client);
}

static const struct queue_ops ops = {
    .append = zmq_append,
    .read = zmq_read,
    .follow = zmq_follow,
    .lease = zmq_lease,
    .commit = zmq_commit,
    .define = zmq_define,
    .depth = zmq_depth,
    .receipt = zmq_receipt,
    .close = zmq_close_queue,
};

enum err queue_zmq_open(uv_loop_t *loop, const struct queue_options *o, struct queue **out,
                        struct problem *p)
{
    static const struct zmq_client_ops client_ops = {on_reply, on_published, on_down, on_turn};
    struct endpoint at;
    enum err e = endpoint_parse(o->url, &at, p);
    if (e != ERR_NONE)
        return e;
    struct zmq_queue *q = mem_zero(1, sizeof *q);
    q->base.ops = &ops;
    q->timeout_ms = o->timeout_ms != 0 ? o->timeout_ms : TIMEOUT_MS;
    e = zmq_client_open(loop, &at, &client_ops, q, &q->client, p);
    if (e != ERR_NONE) {
        free(q);
        return e;
    }
    uv_timer_init(loop, &q->timer);
    q->timer.data = q;
    *out = &q->base;
    return ERR_NONE;
}
