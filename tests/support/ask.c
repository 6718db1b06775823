#include "tests/support/ask.h"

#include <stdio.h>
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

/* ---- define, depth, receipt, close ---- */

static void on_define(void *arg, enum err e, const struct define_result *r, const char *why)
{
    struct answer *a = arrive(arg, e, why);
    if (e == ERR_NONE)
        a->define = *r;
}

void ask_define(uv_loop_t *loop, struct queue *q, const struct definition *defs, size_t len,
                struct answer *a)
{
    struct asking s = begin(a);
    q->ops->define(q, &(struct define_call){.defs = defs, .len = len, .by = "test"}, on_define, &s);
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
    a->receipt.lanes = wire_copy(&a->arena, r->lanes, r->lanes_len, sizeof *r->lanes);
}

void ask_receipt(uv_loop_t *loop, struct queue *q, const uint8_t id[EVENT_ID_LEN], struct answer *a)
{
    struct asking s = begin(a);
    q->ops->receipt(q, id, on_receipt, &s);
    finish(loop, &s, "receipt");
}

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
