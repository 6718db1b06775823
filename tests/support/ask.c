#include "tests/support/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_MS 10000

struct asking {
    struct answer *a;
    bool inside; /* the call itself has not returned yet */
    bool done;
};

static void on_patience(uv_timer_t *t)
{
    *(bool *)t->data = true;
}

static void on_timer_closed(uv_handle_t *h)
{
    *(bool *)h->data = true;
}

void run_until(uv_loop_t *loop, const bool *flag, const char *what)
{
    bool late = false, closed = false;
    uv_timer_t timer;
    uv_timer_init(loop, &timer);
    timer.data = &late;
    uv_timer_start(&timer, on_patience, PATIENCE_MS, 0);
    while (!*flag && !late)
        uv_run(loop, UV_RUN_ONCE);
    if (!*flag)
        die("%s: nothing within %d ms", what, PATIENCE_MS);
    timer.data = &closed;
    uv_close((uv_handle_t *)&timer, on_timer_closed);
    while (!closed)
        uv_run(loop, UV_RUN_NOWAIT);
}

static struct asking begin(struct answer *a)
{
    memset(a, 0, sizeof *a);
    return (struct asking){.a = a, .inside = true};
}

static void finish(uv_loop_t *loop, struct asking *s, const char *what)
{
    s->inside = false;
    run_until(loop, &s->done, what);
}

/* The answer that `arg` waits for, now arriving with `e`. */
static struct answer *arrive(void *arg, enum err e, const char *why)
{
    struct asking *s = arg;
    if (s->inside)
        die("a callback came from inside the call");
    if (s->done)
        die("a callback came twice");
    s->done = true;
    s->a->e = e;
    if (why)
        (void)snprintf(s->a->why, sizeof s->a->why, "%s", why);
    return s->a;
}

void answer_free(struct answer *a)
{
    wire_arena_free(&a->arena);
    memset(a, 0, sizeof *a);
}

/* ---- append, read ---- */

static void on_append(void *arg, enum err e, const struct append_result *r, const char *why)
{
    struct answer *a = arrive(arg, e, why);
    if (e == ERR_NONE)
        a->append = *r;
}

void ask_append(uv_loop_t *loop, struct queue *q, struct event *ev, struct answer *a)
{
    struct asking s = begin(a);
    q->ops->append(q, ev, on_append, &s);
    finish(loop, &s, "append");
}

static void on_read(void *arg, enum err e, const struct queue_event *events, size_t len,
                    uint64_t head)
{
    struct answer *a = arrive(arg, e, NULL);
    a->read.head = head;
    a->read.events = wire_copy(&a->arena, events, len, sizeof *events);
    a->read.len = len;
    for (size_t i = 0; i < len; i++) {
        if (events[i].event)
            wire_keep(&a->arena, events[i].event);
    }
}

void ask_read(uv_loop_t *loop, struct queue *q, uint64_t from, uint64_t to, struct answer *a)
{
    struct asking s = begin(a);
    q->ops->read(q, from, to, on_read, &s);
    finish(loop, &s, "read");
}

/* ---- lease, commit ---- */

static void copy_requests(struct wire_arena *arena, const struct lane_request **requests,
                          size_t len)
{
    *requests = wire_copy(arena, *requests, len, sizeof **requests);
}

static void on_lease(void *arg, enum err e, const struct lease_reply *r)
{
    struct answer *a = arrive(arg, e, NULL);
    if (e != ERR_NONE)
        return;
    struct wire_arena *arena = &a->arena;
    a->lease = *r;
    struct lane_grant *grants = wire_copy(arena, r->grants, r->grants_len, sizeof *grants);
    for (size_t i = 0; i < r->grants_len; i++) {
        struct lane_grant *g = &grants[i];
        g->exceptions = wire_copy(arena, g->exceptions, g->exceptions_len, sizeof *g->exceptions);
        copy_requests(arena, &g->requests, g->requests_len);
    }
    struct lane_kept *kept = wire_copy(arena, r->kept, r->kept_len, sizeof *kept);
    for (size_t i = 0; i < r->kept_len; i++) {
        copy_requests(arena, &kept[i].requests, kept[i].requests_len);
        if (kept[i].next)
            kept[i].next = wire_copy(arena, kept[i].next, 1, sizeof *kept[i].next);
    }
    a->lease.grants = grants;
    a->lease.kept = kept;
    a->lease.lost = wire_copy(arena, r->lost, r->lost_len, sizeof *r->lost);
    if (r->heartbeat)
        wire_keep(arena, r->heartbeat);
}

void ask_lease(uv_loop_t *loop, struct queue *q, const struct lease_call *call, struct answer *a)
{
    struct asking s = begin(a);
    q->ops->lease(q, call, on_lease, &s);
    finish(loop, &s, "lease");
}

static void on_commit(void *arg, enum err e, const struct lane_committed *lanes, size_t len)
{
    struct answer *a = arrive(arg, e, NULL);
    a->committed = wire_copy(&a->arena, lanes, len, sizeof *lanes);
    a->committed_len = len;
}

void ask_commit(uv_loop_t *loop, struct queue *q, const struct lane_commit *lanes, size_t len,
                struct answer *a)
{
    struct asking s = begin(a);
    q->ops->commit(q, lanes, len, on_commit, &s);
    finish(loop, &s, "commit");
}

/* ---- define, depth, receipt ---- */

static void on_define(void *arg, enum err e, const struct define_result *r, const char *why)
{
    struct answer *a = arrive(arg, e, why);
    if (e == ERR_NONE)
        a->define = *r;
}

void ask_define(uv_loop_t *loop, struct queue *q, const struct definition *defs, size_t len,
                struct answer *a)
{
    ask_define_as(loop, q, &(struct define_call){.defs = defs, .len = len, .by = "test"}, a);
}

void ask_define_as(uv_loop_t *loop, struct queue *q, const struct define_call *call,
                   struct answer *a)
{
    struct asking s = begin(a);
    q->ops->define(q, call, on_define, &s);
    finish(loop, &s, "define");
}

static void on_depth(void *arg, enum err e, const struct queue_depth *d)
{
    struct answer *a = arrive(arg, e, NULL);
    if (e != ERR_NONE)
        return;
    a->depth = *d;
    struct lane_status *lanes = wire_copy(&a->arena, d->lanes, d->lanes_len, sizeof *lanes);
    for (size_t i = 0; i < d->lanes_len; i++)
        lanes[i].paths =
            wire_copy(&a->arena, lanes[i].paths, lanes[i].paths_len, sizeof *lanes[i].paths);
    a->depth.lanes = lanes;
}

void ask_depth(uv_loop_t *loop, struct queue *q, struct answer *a)
{
    struct asking s = begin(a);
    q->ops->depth(q, on_depth, &s);
    finish(loop, &s, "depth");
}

static void on_receipt(void *arg, enum err e, const struct queue_receipt *r)
{
    struct answer *a = arrive(arg, e, NULL);
    if (e != ERR_NONE)
        return;
    a->receipt = *r;
    struct receipt_lane *lanes = wire_copy(&a->arena, r->lanes, r->lanes_len, sizeof *lanes);
    for (size_t i = 0; i < r->lanes_len; i++)
        lanes[i].history =
            wire_copy(&a->arena, lanes[i].history, lanes[i].history_len, sizeof *lanes[i].history);
    a->receipt.lanes = lanes;
}

void ask_receipt(uv_loop_t *loop, struct queue *q, const uint8_t id[EVENT_ID_LEN], struct answer *a)
{
    struct asking s = begin(a);
    q->ops->receipt(q, id, on_receipt, &s);
    finish(loop, &s, "receipt");
}

/* ---- registry, hold ---- */

static void on_registry(void *arg, enum err e, const struct queue_registry *r)
{
    struct answer *a = arrive(arg, e, NULL);
    if (e != ERR_NONE)
        return;
    a->registry = *r;
    struct lane_entry *lanes = wire_copy(&a->arena, r->lanes, r->lanes_len, sizeof *lanes);
    for (size_t i = 0; i < r->lanes_len; i++)
        lanes[i].versions = wire_copy(&a->arena, lanes[i].versions, lanes[i].versions_len,
                                      sizeof *lanes[i].versions);
    a->registry.lanes = lanes;
}

void ask_registry(uv_loop_t *loop, struct queue *q, struct answer *a)
{
    struct asking s = begin(a);
    q->ops->registry(q, on_registry, &s);
    finish(loop, &s, "registry");
}

static void on_hold(void *arg, enum err e, const struct hold_result *r)
{
    struct answer *a = arrive(arg, e, NULL);
    if (e == ERR_NONE)
        a->hold = *r;
}

void ask_hold(uv_loop_t *loop, struct queue *q, const struct hold_call *call, struct answer *a)
{
    struct asking s = begin(a);
    q->ops->hold(q, call, on_hold, &s);
    finish(loop, &s, "hold");
}

/* ---- failed deliveries, jobs ---- */

static void on_failed(void *arg, enum err e, const struct failed_page *p)
{
    struct answer *a = arrive(arg, e, NULL);
    if (e != ERR_NONE)
        return;
    a->failed = *p;
    a->failed.rows = wire_copy(&a->arena, p->rows, p->rows_len, sizeof *p->rows);
    a->failed.groups = wire_copy(&a->arena, p->groups, p->groups_len, sizeof *p->groups);
}

void ask_failed(uv_loop_t *loop, struct queue *q, const struct failed_call *call, struct answer *a)
{
    struct asking s = begin(a);
    q->ops->failed(q, call, on_failed, &s);
    finish(loop, &s, "failed");
}

static int by_lane_and_class(const void *a, const void *b)
{
    const struct failed_group *x = a, *y = b;
    if (x->lane != y->lane)
        return x->lane < y->lane ? -1 : 1;
    return (int)x->cls - (int)y->cls;
}

/* Groups of both, those of the same lane and class as one. */
static size_t add_up(struct failed_group *groups, size_t len)
{
    size_t left = 0;
    if (len > 0)
        qsort(groups, len, sizeof *groups, by_lane_and_class);
    for (size_t i = 0; i < len; i++) {
        if (left > 0 && by_lane_and_class(&groups[left - 1], &groups[i]) == 0) {
            groups[left - 1].count += groups[i].count;
            groups[left - 1].gone += groups[i].gone;
            groups[left - 1].busy += groups[i].busy;
        } else {
            groups[left++] = groups[i];
        }
    }
    return left;
}

static const void *joined(struct wire_arena *arena, const void *a, size_t a_len, const void *b,
                          size_t b_len, size_t size)
{
    char *out = wire_alloc(arena, a_len + b_len + 1, size);
    if (a_len > 0)
        memcpy(out, a, a_len * size);
    if (b_len > 0)
        memcpy(out + a_len * size, b, b_len * size);
    return out;
}

void ask_failed_all(uv_loop_t *loop, struct queue *q, const struct failed_call *call,
                    struct answer *a)
{
    struct failed_call c = *call;
    ask_failed(loop, q, &c, a);
    for (unsigned pages = 1; a->e == ERR_NONE && a->failed.more; pages++) {
        struct answer next;
        if (pages > 100000)
            die("pages of failed deliveries without an end");
        c.after = a->failed.next;
        c.job = a->failed.job;
        ask_failed(loop, q, &c, &next);
        struct failed_page *one = &a->failed, *two = &next.failed;
        a->e = next.e;
        one->rows = joined(&a->arena, one->rows, one->rows_len, two->rows, two->rows_len,
                           sizeof *one->rows);
        one->rows_len += two->rows_len;
        struct failed_group *groups = (struct failed_group *)joined(
            &a->arena, one->groups, one->groups_len, two->groups, two->groups_len, sizeof *groups);
        one->groups_len = add_up(groups, one->groups_len + two->groups_len);
        one->groups = groups;
        one->more = two->more;
        one->next = two->next;
        answer_free(&next);
    }
}

static void on_jobs(void *arg, enum err e, const struct replay_job *jobs, size_t len)
{
    struct answer *a = arrive(arg, e, NULL);
    a->jobs = wire_copy(&a->arena, jobs, len, sizeof *jobs);
    a->jobs_len = len;
}

void ask_jobs(uv_loop_t *loop, struct queue *q, struct answer *a)
{
    struct asking s = begin(a);
    q->ops->jobs(q, on_jobs, &s);
    finish(loop, &s, "jobs");
}

static void on_done(void *arg, enum err e)
{
    (void)arrive(arg, e, NULL);
}

void ask_cancel(uv_loop_t *loop, struct queue *q, uint64_t job, struct answer *a)
{
    struct asking s = begin(a);
    q->ops->cancel(q, job, "test", on_done, &s);
    finish(loop, &s, "cancel");
}

/* ---- close ---- */

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

void ask_close(uv_loop_t *loop, struct queue *q)
{
    bool closed = false;
    q->ops->close(q, on_closed, &closed);
    if (closed)
        die("a callback came from inside the call");
    run_until(loop, &closed, "close");
}

/* ---- statistics, lead ---- */

static void on_observe(void *arg, enum err e, const struct observe_result *r)
{
    struct answer *a = arrive(arg, e, NULL);
    if (e == ERR_NONE)
        a->observe = *r;
}

void ask_observe(uv_loop_t *loop, struct queue *q, const struct observe_call *call,
                 struct answer *a)
{
    struct asking s = begin(a);
    q->ops->observe(q, call, on_observe, &s);
    finish(loop, &s, "observe");
}

static void on_statistics(void *arg, enum err e, const struct statistics_page *p)
{
    struct answer *a = arrive(arg, e, NULL);
    if (e != ERR_NONE)
        return;
    a->statistics = *p;
    struct relay_statistics *relays = wire_copy(&a->arena, p->relays, p->len, sizeof *relays);
    for (size_t i = 0; i < p->len; i++)
        relays[i].paths =
            wire_copy(&a->arena, relays[i].paths, relays[i].paths_len, sizeof *relays[i].paths);
    a->statistics.relays = relays;
}

void ask_statistics(uv_loop_t *loop, struct queue *q, const struct statistics_call *call,
                    struct answer *a)
{
    struct asking s = begin(a);
    q->ops->statistics(q, call, on_statistics, &s);
    finish(loop, &s, "statistics");
}

static void on_lead(void *arg, enum err e, const struct lead_result *r)
{
    struct answer *a = arrive(arg, e, NULL);
    if (e == ERR_NONE)
        a->lead = *r;
}

void ask_lead(uv_loop_t *loop, struct queue *q, const struct lead_call *call, struct answer *a)
{
    struct asking s = begin(a);
    q->ops->lead(q, call, on_lead, &s);
    finish(loop, &s, "lead");
}
