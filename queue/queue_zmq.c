/* How it works: each request is a `call`, first waiting, then sent, found again by its number when
 * the reply comes. Both lists are in the order of the calls, so the oldest deadline is at their
 * heads. Appends are collected: those of one turn of the loop are one call, packed when it is sent;
 * all others are packed at once. A call that can't be made (too large, too many) waits too, with
 * its error, so that no callback is ever called from inside the call. */
#include "queue/queue_zmq_state.h"

#include "common/base/clock.h"
#include "common/base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#define TIMEOUT_MS        10000u
#define COMPLAIN_AGAIN_MS 60000

void zmq_queue_follow(struct queue *queue, const struct queue_follower *f)
{
    struct zmq_queue *q = zmq_queue_of(queue);
    q->following = f != NULL;
    if (f != NULL)
        q->follower = *f;
    zmq_client_follow(q->client, q->following);
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
    zmq_queue_call_back(c, e, r);
    free(c);
}

#define OTHER_VERSION                                                                              \
    "the queue speaks another version of the protocol: run the same volley everywhere"

/* Said once for each trouble, and again after a while. */
static void on_trouble(void *arg, const char *text)
{
    struct zmq_queue *q = arg;
    uint64_t now_ms = clock_boot_ms();
    bool same = strcmp(q->base.trouble.text, text) == 0;
    (void)problem_set(&q->base.trouble, ERR_NONE, "%s", text);
    if (text[0] == '\0' || q->quiet || (same && now_ms - q->complained_ms < COMPLAIN_AGAIN_MS))
        return;
    q->complained_ms = now_ms;
    LOG(LOG_WARN, text);
}

static void on_reply(void *arg, const void *data, size_t len)
{
    struct zmq_queue *q = arg;
    struct wire_arena a = {0};
    struct wire_reply r;
    enum err e = wire_get_reply(data, len, &a, &r);
    struct call *c;
    HASH_FIND(hh, q->by_number, &r.number, sizeof r.number, c);
    if (e == ERR_VERSION || r.err == ERR_VERSION)
        on_trouble(q, OTHER_VERSION);
    if (e == ERR_NONE && c != NULL && r.type == c->type) {
        end_call(q, c, true, r.err, &r);
    } else if (e != ERR_NONE) {
        if (e != ERR_VERSION)
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

/* Sends what waits, in order, as far as the connection takes it. */
static void send_waiting(struct zmq_queue *q)
{
    q->batch = NULL;
    while (q->waiting != NULL) {
        struct call *c = q->waiting;
        if (c->type == WIRE_APPEND && c->failed == ERR_NONE && c->message.len == 0)
            zmq_queue_pack_appends(c);
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

void zmq_queue_close(struct queue *queue, queue_closed_fn *fn, void *arg)
{
    struct zmq_queue *q = zmq_queue_of(queue);
    q->closing = true;
    q->following = false;
    q->closed_fn = fn;
    q->closed_arg = arg;
    zmq_client_wake(q->client);
}

static enum err open_client(uv_loop_t *loop, const struct queue_options *o, struct zmq_queue *q,
                            struct problem *p)
{
    static const struct zmq_client_ops client_ops = {on_reply, on_published, on_down, on_trouble,
                                                     on_turn};
    struct endpoint at;
    struct curve_client keys;
    enum err e = endpoint_parse(o->url, &at, p);
    if (e == ERR_NONE && at.tcp)
        e = curve_load_client(o->keys_dir, &keys, p);
    if (e == ERR_NONE)
        e = zmq_client_open(loop, &at, at.tcp ? &keys : NULL, &client_ops, q, &q->client, p);
    explicit_bzero(&keys, sizeof keys);
    return e;
}

enum err queue_zmq_open(uv_loop_t *loop, const struct queue_options *o, struct queue **out,
                        struct problem *p)
{
    struct zmq_queue *q = mem_zero(1, sizeof *q);
    q->base.ops = &zmq_queue_ops;
    q->timeout_ms = o->timeout_ms != 0 ? o->timeout_ms : TIMEOUT_MS;
    q->quiet = o->quiet;
    enum err e = open_client(loop, o, q, p);
    if (e != ERR_NONE) {
        free(q);
        return e;
    }
    uv_timer_init(loop, &q->timer);
    q->timer.data = q;
    *out = &q->base;
    return ERR_NONE;
}
