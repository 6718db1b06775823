/* The model as a queue: calls are put in line and answered by the loop's next turn, one after the
 * other. */
#include "queue/model.h"

#include "common/base/clock.h"
#include "queue/model_queue.h"

#include <stdlib.h>
#include <string.h>

#define BEAT_MS 100

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

int64_t model_wall_ms(const struct model_queue *q)
{
    return q->clock.wall_ms(q->clock.arg);
}

uint64_t model_boot_ms(const struct model_queue *q)
{
    return q->clock.boot_ms(q->clock.arg);
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
            c->renewed = leases_renew(q->model.leases, &c->lease, model_boot_ms(q));
    }
    while (calls-- > 0 && !q->closing) {
        struct model_call *c = take(q);
        model_answer(q, c);
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

static void op_registry(struct queue *q, queue_registry_fn *fn, void *arg)
{
    struct model_call *c = model_call_new(MODEL_REGISTRY, arg);
    c->fn.registry = fn;
    put(q, c);
}

static void op_hold(struct queue *q, const struct hold_call *call, queue_hold_fn *fn, void *arg)
{
    struct model_call *c = model_call_new(MODEL_HOLD, arg);
    c->fn.hold = fn;
    c->hold = *call;
    put(q, c);
}

static void op_failed(struct queue *q, const struct failed_call *call, queue_failed_fn *fn,
                      void *arg)
{
    struct model_call *c = model_call_new(MODEL_FAILED_PAGE, arg);
    c->fn.failed = fn;
    model_call_failed(c, call);
    put(q, c);
}

static void op_jobs(struct queue *q, queue_jobs_fn *fn, void *arg)
{
    struct model_call *c = model_call_new(MODEL_JOBS, arg);
    c->fn.jobs = fn;
    put(q, c);
}

/* Who cancels is for a broker's log. */
static void op_cancel(struct queue *q, uint64_t job, const char *by, queue_done_fn *fn, void *arg)
{
    struct model_call *c = model_call_new(MODEL_CANCEL, arg);
    (void)by;
    c->fn.done = fn;
    c->job = job;
    put(q, c);
}

static void op_observe(struct queue *q, const struct observe_call *call, queue_observe_fn *fn,
                       void *arg)
{
    struct model_call *c = model_call_new(MODEL_OBSERVE, arg);
    c->fn.observe = fn;
    model_call_observe(c, call);
    put(q, c);
}

static void op_statistics(struct queue *q, const struct statistics_call *call,
                          queue_statistics_fn *fn, void *arg)
{
    struct model_call *c = model_call_new(MODEL_STATISTICS, arg);
    c->fn.statistics = fn;
    c->statistics = *call;
    put(q, c);
}

static void op_lead(struct queue *q, const struct lead_call *call, queue_lead_fn *fn, void *arg)
{
    struct model_call *c = model_call_new(MODEL_LEAD, arg);
    c->fn.lead = fn;
    c->lead = *call;
    put(q, c);
}

/* ---- following ---- */

static void on_beat(uv_timer_t *timer)
{
    struct model_queue *q = timer->data;
    if (q->follower.on_head)
        q->follower.on_head(q->follower.arg, q->model.head,
                            q->model.news + leases_news(q->model.leases));
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
    event_unref(m->beat);
    free(m->lanes);
    free(m->entries);
    free(m->jobs);
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
    .registry = op_registry,
    .hold = op_hold,
    .failed = op_failed,
    .jobs = op_jobs,
    .cancel = op_cancel,
    .observe = op_observe,
    .statistics = op_statistics,
    .lead = op_lead,
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
    q->model.lane_max = o->lane_max ? o->lane_max : o->max_bytes / 2;
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
    model_release_the_dead(q);
    model_keep_house(&q->model, model_wall_ms(q), model_boot_ms(q));
}

void model_lose_tail(struct queue *base, unsigned count)
{
    ((struct model_queue *)base)->lose_tail = count;
}

void model_restart(struct queue *base)
{
    struct model_queue *q = (struct model_queue *)base;
    q->model.news += leases_news(q->model.leases) + 1;
    leases_free(q->model.leases);
    q->model.leases = leases_new();
    model_load_leases(&q->model, model_boot_ms(q));
    model_jobs_restart(&q->model);
    for (unsigned i = 0; i < LEAD_ROLE_COUNT; i++)
        q->model.leaders[i].until_boot_ms = 0;
}
