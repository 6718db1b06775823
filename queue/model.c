/* The model as a queue: calls are put in line and answered by the loop's next turn, one after the
 * other; the rules themselves are in the other model_*.c. */
#include "queue/model.h"

#include "common/base/clock.h"
#include "queue/model_call.h"
#include "queue/model_state.h"

#include <stdlib.h>
#include <string.h>

#define BEAT_MS 100

struct model_queue {
    struct queue queue; /* first: callers hold a pointer to it */
    struct model model;
    struct broker_clock clock;
    uv_idle_t turn; /* active while calls wait */
    uv_timer_t beat;
    struct model_call *first, **last;
    struct queue_follower follower;
    unsigned lose_tail;
    bool closing;
    int open_handles;
    queue_closed_fn *closed;
    void *closed_arg;
};

/* ---- clocks ---- */

static int64_t machine_wall_ms(void *arg)
{
    (void)arg;
    return clock_wall_ms();
}

static uint64_t machine_boot_ms(void *arg)
{
    (void)arg;
    return clock_boot_ms();
}

static const struct broker_clock machine_clock = {machine_wall_ms, machine_boot_ms, NULL};

static int64_t wall_ms(const struct model_queue *q)
{
    return q->clock.wall_ms(q->clock.arg);
}

static uint64_t boot_ms(const struct model_queue *q)
{
    return q->clock.boot_ms(q->clock.arg);
}

/* ---- answers ---- */

static void tell_tail(struct model_queue *q, uint64_t pos)
{
    if (!q->follower.on_tail)
        return;
    if (q->lose_tail > 0) {
        q->lose_tail--;
        return;
    }
    uint64_t superseded[1], deleted[MODEL_TAIL_DELETED_MAX];
    struct queue_tail t = {
        .ev = model_look(&q->model, pos), .superseded = superseded, .deleted = deleted};
    t.superseded_len = model_superseded(&q->model, pos, superseded, COUNT_OF(superseded));
    t.deleted_len = model_deleted(&q->model, pos, deleted, COUNT_OF(deleted));
    t.deleted_more = t.deleted_len > MODEL_TAIL_DELETED_MAX;
    if (t.deleted_more)
        t.deleted_len = MODEL_TAIL_DELETED_MAX;
    q->follower.on_tail(q->follower.arg, &t);
}

static void answer_append(struct model_queue *q, const struct model_call *c)
{
    struct append_result r;
    struct problem why = {0};
    enum err e = model_append(&q->model, c->event, wall_ms(q), &r, &why);
    if (e != ERR_NONE) {
        c->fn.append(c->arg, e, NULL, why.text);
        return;
    }
    c->fn.append(c->arg, ERR_NONE, &r, NULL);
    if (!r.duplicate)
        tell_tail(q, r.pos);
}

static void answer_read(struct model_queue *q, const struct model_call *c)
{
    uint64_t from = c->from > 0 ? c->from : 1;
    uint64_t to = c->to < q->model.head ? c->to : q->model.head;
    struct queue_event *events = NULL;
    size_t len = 0, bytes = 0;
    for (uint64_t pos = from; pos <= to; pos++) {
        struct queue_event ev = model_look(&q->model, pos);
        bytes += ev.event ? ev.event->len : 0;
        if (len > 0 && bytes > QUEUE_READ_MAX)
            break;
        events = mem_grow(events, (len + 1) * sizeof *events);
        events[len++] = ev;
    }
    c->fn.read(c->arg, ERR_NONE, events, len, q->model.head);
    free(events);
}

static void fill_lease_reply(struct model_queue *q, const struct model_call *c,
                             struct lane_grant *grants, struct lane_kept *kept,
                             struct lease_reply *r)
{
    struct lease_answer a;
    leases_answer(q->model.leases, &c->lease, &a);
    for (size_t i = 0; i < a.released_len; i++)
        model_release(&q->model, a.released[i].lane, a.released[i].epoch);
    for (size_t i = 0; i < a.grants_len; i++) {
        struct model_lane *l = model_lane(&q->model, a.grants[i]);
        model_grant(l, c->lease.publisher, &grants[r->grants_len++]);
        leases_granted(q->model.leases, l->number, c->lease.publisher, l->epoch);
    }
    for (size_t i = 0; i < a.kept_len; i++)
        model_kept(model_lane(&q->model, a.kept[i].lane), a.kept[i].give_back,
                   &kept[r->kept_len++]);
    r->lost = a.lost;
    r->lost_len = a.lost_len;
}

static void release_the_dead(struct model_queue *q)
{
    const struct lease_ref *freed;
    size_t len;
    leases_expire(q->model.leases, boot_ms(q), &freed, &len);
    for (size_t i = 0; i < len; i++)
        model_release(&q->model, freed[i].lane, freed[i].epoch);
}

static void answer_lease(struct model_queue *q, const struct model_call *c)
{
    if (c->renewed != ERR_NONE) {
        c->fn.lease(c->arg, c->renewed, NULL);
        return;
    }
    release_the_dead(q);
    struct lane_grant *grants = mem_zero(q->model.lanes_len + 1, sizeof *grants);
    struct lane_kept *kept = mem_zero(q->model.lanes_len + 1, sizeof *kept);
    struct lease_reply r = {.now_ms = wall_ms(q),
                            .head = q->model.head,
                            .registry_version = q->model.registry_version,
                            .grants = grants,
                            .kept = kept};
    fill_lease_reply(q, c, grants, kept, &r);
    c->fn.lease(c->arg, ERR_NONE, &r);
    free(grants);
    free(kept);
}

static void answer_commit(struct model_queue *q, const struct model_call *c)
{
    struct lane_committed *out = mem_zero(c->len + 1, sizeof *out);
    for (size_t i = 0; i < c->len; i++)
        model_commit(&q->model, &c->commits[i], &out[i]);
    c->fn.commit(c->arg, ERR_NONE, out, c->len);
    free(out);
}

static void answer_define(struct model_queue *q, const struct model_call *c)
{
    struct define_result r;
    struct problem why = {0};
    enum err e = model_define(&q->model, &c->define, wall_ms(q), &r, &why);
    if (e != ERR_NONE) {
        c->fn.define(c->arg, e, NULL, why.text);
        return;
    }
    model_load_leases(&q->model, boot_ms(q));
    c->fn.define(c->arg, ERR_NONE, &r, NULL);
}

static void answer_depth(struct model_queue *q, const struct model_call *c)
{
    struct queue_depth d;
    release_the_dead(q);
    model_depth(&q->model, wall_ms(q), &d);
    c->fn.depth(c->arg, ERR_NONE, &d);
    free((void *)d.lanes);
}

static void answer_receipt(struct model_queue *q, const struct model_call *c)
{
    struct queue_receipt r;
    enum err e = model_receipt(&q->model, c->id, &r);
    if (e != ERR_NONE) {
        c->fn.receipt(c->arg, e, NULL);
        return;
    }
    c->fn.receipt(c->arg, ERR_NONE, &r);
    free((void *)r.lanes);
}

static void answer(struct model_queue *q, const struct model_call *c)
{
    switch (c->verb) {
    case MODEL_APPEND:
        answer_append(q, c);
        break;
    case MODEL_READ:
        answer_read(q, c);
        break;
    case MODEL_LEASE:
        answer_lease(q, c);
        break;
    case MODEL_COMMIT:
        answer_commit(q, c);
        break;
    case MODEL_DEFINE:
        answer_define(q, c);
        break;
    case MODEL_DEPTH:
        answer_depth(q, c);
        break;
    case MODEL_RECEIPT:
        answer_receipt(q, c);
        break;
    }
}

/* ---- the line ---- */

static struct model_call *take(struct model_queue *q)
{
    struct model_call *c = q->first;
    q->first = c->next;
    if (!q->first)
        q->last = &q->first;
    return c;
}

/* Answers the calls that were in line when the turn began; what their callbacks ask for waits for
 * the next. Whoever asks for a renewal is alive, before anybody is found dead. */
static void on_turn(uv_idle_t *handle)
{
    struct model_queue *q = handle->data;
    size_t calls = 0;
    for (struct model_call *c = q->first; c; c = c->next) {
        calls++;
        if (c->verb == MODEL_LEASE)
            c->renewed = leases_renew(q->model.leases, &c->lease, boot_ms(q));
    }
    while (calls-- > 0 && !q->closing) {
        struct model_call *c = take(q);
        answer(q, c);
        model_call_free(c);
    }
    if (!q->first && !q->closing)
        uv_idle_stop(&q->turn);
}

static void put(struct queue *base, struct model_call *c)
{
    struct model_queue *q = (struct model_queue *)base;
    *q->last = c;
    q->last = &c->next;
    if (!q->closing)
        uv_idle_start(&q->turn, on_turn);
}

static void op_append(struct queue *q, struct event *ev, queue_append_fn *fn, void *arg)
{
    struct model_call *c = model_call_new(MODEL_APPEND, arg);
    c->fn.append = fn;
    c->event = event_ref(ev);
    put(q, c);
}

static void op_read(struct queue *q, uint64_t from, uint64_t to, queue_read_fn *fn, void *arg)
{
    struct model_call *c = model_call_new(MODEL_READ, arg);
    c->fn.read = fn;
    c->from = from;
    c->to = to;
    put(q, c);
}

static void op_lease(struct queue *q, const struct lease_call *call, queue_lease_fn *fn, void *arg)
{
    struct model_call *c = model_call_new(MODEL_LEASE, arg);
    c->fn.lease = fn;
    model_call_lease(c, call);
    put(q, c);
}

static void op_commit(struct queue *q, const struct lane_commit *lanes, size_t len,
                      queue_commit_fn *fn, void *arg)
{
    struct model_call *c = model_call_new(MODEL_COMMIT, arg);
    c->fn.commit = fn;
    model_call_commits(c, lanes, len);
    put(q, c);
}

static void op_define(struct queue *q, const struct define_call *call, queue_define_fn *fn,
                      void *arg)
{
    struct model_call *c = model_call_new(MODEL_DEFINE, arg);
    c->fn.define = fn;
    model_call_definitions(c, call);
    put(q, c);
}

static void op_depth(struct queue *q, queue_depth_fn *fn, void *arg)
{
    struct model_call *c = model_call_new(MODEL_DEPTH, arg);
    c->fn.depth = fn;
    put(q, c);
}

static void op_receipt(struct queue *q, const uint8_t id[EVENT_ID_LEN], queue_receipt_fn *fn,
                       void *arg)
{
    struct model_call *c = model_call_new(MODEL_RECEIPT, arg);
    c->fn.receipt = fn;
    memcpy(c->id, id, EVENT_ID_LEN);
    put(q, c);
}

/* ---- following ---- */

static void on_beat(uv_timer_t *timer)
{
    struct model_queue *q = timer->data;
    if (q->follower.on_head)
        q->follower.on_head(q->follower.arg, q->model.head, 0);
}

static void op_follow(struct queue *base, const struct queue_follower *f)
{
    struct model_queue *q = (struct model_queue *)base;
    q->follower = f ? *f : (struct queue_follower){0};
    if (f)
        uv_timer_start(&q->beat, on_beat, BEAT_MS, BEAT_MS);
    else
        uv_timer_stop(&q->beat);
}

/* ---- beginning and end ---- */

static void on_closed(uv_handle_t *handle)
{
    struct model_queue *q = handle->data;
    if (--q->open_handles > 0)
        return;
    while (q->first) {
        struct model_call *c = take(q);
        model_call_fail(c, ERR_CLOSED, "the queue is closed");
        model_call_free(c);
    }
    struct model *m = &q->model;
    for (size_t i = 0; i < m->lanes_len; i++)
        model_lane_free(&m->lanes[i]);
    for (uint64_t pos = 1; pos <= m->head; pos++)
        event_unref(m->entries[pos - 1].event);
    free(m->lanes);
    free(m->entries);
    leases_free(m->leases);
    queue_closed_fn *closed = q->closed;
    void *arg = q->closed_arg;
    free(q);
    if (closed)
        closed(arg);
}

static void op_close(struct queue *base, queue_closed_fn *fn, void *arg)
{
    struct model_queue *q = (struct model_queue *)base;
    q->closing = true;
    q->follower = (struct queue_follower){0};
    q->closed = fn;
    q->closed_arg = arg;
    q->open_handles = 2;
    uv_close((uv_handle_t *)&q->turn, on_closed);
    uv_close((uv_handle_t *)&q->beat, on_closed);
}

static const struct queue_ops model_ops = {
    .append = op_append,
    .read = op_read,
    .follow = op_follow,
    .lease = op_lease,
    .commit = op_commit,
    .define = op_define,
    .depth = op_depth,
    .receipt = op_receipt,
    .close = op_close,
};

struct queue *model_new(uv_loop_t *loop, const struct model_options *o)
{
    struct model_queue *q = mem_zero(1, sizeof *q);
    q->queue.ops = &model_ops;
    q->clock = o->clock ? *o->clock : machine_clock;
    q->model.retention_ms = o->retention_ms;
    q->model.max_bytes = o->max_bytes;
    q->model.failed_max = o->failed_max;
    q->model.first = 1;
    q->model.leases = leases_new();
    q->last = &q->first;
    uv_idle_init(loop, &q->turn);
    uv_timer_init(loop, &q->beat);
    q->turn.data = q;
    q->beat.data = q;
    return &q->queue;
}

void model_housekeep(struct queue *base)
{
    struct model_queue *q = (struct model_queue *)base;
    release_the_dead(q);
    model_keep_house(&q->model, wall_ms(q), boot_ms(q));
}

void model_lose_tail(struct queue *base, unsigned count)
{
    ((struct model_queue *)base)->lose_tail = count;
}

void model_restart(struct queue *base)
{
    struct model_queue *q = (struct model_queue *)base;
    leases_free(q->model.leases);
    q->model.leases = leases_new();
    model_load_leases(&q->model, boot_ms(q));
}
