#include "tests/support/gate.h"

#include <stdlib.h>
#include <utlist.h>

struct gate_append {
    struct event *ev;
    queue_append_fn *fn;
    void *arg;
    enum err e;
    const char *why;
    uint32_t requeued;
    struct gate_append *prev, *next;
};

struct gate_depth {
    queue_depth_fn *fn;
    void *arg;
    enum err e;
    struct gate_depth *prev, *next;
};

static void free_append(struct gate_append *a)
{
    event_unref(a->ev);
    free(a);
}

static void on_turn(uv_idle_t *handle)
{
    struct gate *g = handle->data;
    struct gate_append *failed = g->failed, *a, *next;
    struct gate_depth *d, *next_depth;

    g->failed = NULL;
    DL_FOREACH_SAFE(failed, a, next)
    {
        a->fn(a->arg, a->e, NULL, a->why);
        free_append(a);
    }
    DL_FOREACH_SAFE(g->depths, d, next_depth)
    {
        if (d->e == ERR_NONE)
            continue;
        DL_DELETE(g->depths, d);
        d->fn(d->arg, d->e, NULL);
        free(d);
    }
    (void)uv_idle_stop(&g->turn);
}

/* An append that was passed on, of a queue that puts duplicates back. */
static void on_requeued(void *arg, enum err e, const struct append_result *r, const char *why)
{
    struct gate_append *a = arg;
    struct append_result res = {0};

    if (e == ERR_NONE) {
        res = *r;
        res.requeued = r->duplicate ? a->requeued : 0;
    }
    a->fn(a->arg, e, e == ERR_NONE ? &res : NULL, why);
    free_append(a);
}

static void on_append(struct queue *q, struct event *ev, queue_append_fn *fn, void *arg)
{
    struct gate *g = (struct gate *)q;
    struct gate_append *a;

    g->appends_len++;
    if (!g->hold && g->fail == ERR_NONE && g->requeued == 0) {
        g->inner->ops->append(g->inner, ev, fn, arg);
        return;
    }
    a = mem_zero(1, sizeof *a);
    a->ev = event_ref(ev);
    a->fn = fn;
    a->arg = arg;
    a->e = g->fail;
    a->why = g->why;
    a->requeued = g->requeued;
    if (!g->hold && g->fail == ERR_NONE) {
        g->inner->ops->append(g->inner, ev, on_requeued, a);
        return;
    }
    if (g->hold) {
        DL_APPEND(g->held, a);
        return;
    }
    DL_APPEND(g->failed, a);
    (void)uv_idle_start(&g->turn, on_turn);
}

static void on_depth(struct queue *q, queue_depth_fn *fn, void *arg)
{
    struct gate *g = (struct gate *)q;

    g->depths_len++;
    if (g->fail_depth == ERR_NONE && !g->silent_depth) {
        g->inner->ops->depth(g->inner, fn, arg);
        return;
    }
    struct gate_depth *d = mem_zero(1, sizeof *d);
    d->fn = fn;
    d->arg = arg;
    d->e = g->silent_depth ? ERR_NONE : g->fail_depth;
    DL_APPEND(g->depths, d);
    (void)uv_idle_start(&g->turn, on_turn);
}

/* Ingest asks for nothing else. */
static const struct queue_ops gate_ops = {.append = on_append, .depth = on_depth};

void gate_init(struct gate *g, uv_loop_t *loop, struct queue *inner)
{
    *g = (struct gate){.queue = {&gate_ops}, .inner = inner};
    (void)uv_idle_init(loop, &g->turn);
    g->turn.data = g;
}

void gate_let_go(struct gate *g, unsigned count)
{
    while (g->held != NULL && count-- > 0) {
        struct gate_append *a = g->held;
        DL_DELETE(g->held, a);
        g->inner->ops->append(g->inner, a->ev, a->fn, a->arg);
        free_append(a);
    }
}

void gate_fini(struct gate *g)
{
    struct gate_append *a, *next;
    struct gate_depth *d;

    DL_CONCAT(g->failed, g->held);
    g->held = NULL;
    DL_FOREACH_SAFE(g->failed, a, next)
    {
        a->e = ERR_CLOSED;
    }
    DL_FOREACH(g->depths, d)
    {
        d->e = ERR_CLOSED;
    }
    on_turn(&g->turn);
    uv_close((uv_handle_t *)&g->turn, NULL);
}
