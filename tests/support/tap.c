#include "tests/support/tap.h"

#include <stdlib.h>

struct tap_read {
    struct tap *tap;
    queue_read_fn *fn;
    void *arg;
    struct queue_event *events;
    size_t len;
    uint64_t head;
    enum err err;
    struct tap_read *next;
};

static struct tap *tap_of(struct queue *q)
{
    return (struct tap *)q;
}

static void deliver(struct tap_read *r)
{
    if (r->tap->before_answer != NULL)
        r->tap->before_answer(r->tap->before_answer_arg);
    r->tap->reads++;
    r->tap->positions_read += (unsigned)r->len;
    r->fn(r->arg, r->err, r->events, r->len, r->head);
    for (size_t i = 0; i < r->len; i++)
        event_unref(r->events[i].event);
    free(r->events);
    free(r);
}

static void on_read(void *arg, enum err e, const struct queue_event *events, size_t len,
                    uint64_t head)
{
    struct tap_read *r = arg;
    struct tap_read **last = &r->tap->held;
    r->err = e;
    r->len = len;
    r->head = head;
    r->events = mem_zero(len + 1, sizeof *events);
    for (size_t i = 0; i < len; i++) {
        r->events[i] = events[i];
        if (events[i].event != NULL)
            event_ref(events[i].event);
    }
    if (r->tap->fail_reads > 0) {
        r->tap->fail_reads--;
        r->err = ERR_UNKNOWN;
        for (size_t i = 0; i < len; i++)
            event_unref(r->events[i].event);
        r->len = 0;
    }
    if (!r->tap->hold) {
        deliver(r);
        return;
    }
    while (*last != NULL)
        last = &(*last)->next;
    *last = r;
}

static void tap_read(struct queue *q, uint64_t from, uint64_t to, queue_read_fn *fn, void *arg)
{
    struct tap_read *r = mem_zero(1, sizeof *r);
    *r = (struct tap_read){.tap = tap_of(q), .fn = fn, .arg = arg};
    tap_of(q)->inner->ops->read(tap_of(q)->inner, from, to, on_read, r);
}

void tap_let_go(struct tap *t)
{
    t->hold = false;
    while (t->held != NULL) {
        struct tap_read *r = t->held;
        t->held = r->next;
        deliver(r);
    }
}

static void tap_follow(struct queue *q, const struct queue_follower *f)
{
    tap_of(q)->follower = f != NULL ? *f : (struct queue_follower){0};
    tap_of(q)->inner->ops->follow(tap_of(q)->inner, f);
}

/* A call that ends without having been sent: told later, from the loop, as the contract says. */
struct failing {
    uv_timer_t timer;
    queue_lease_fn *lease;
    queue_commit_fn *commit;
    queue_define_fn *define;
    void *arg;
};

static void on_failing_closed(uv_handle_t *h)
{
    free(h->data);
}

static void on_fail(uv_timer_t *h)
{
    struct failing *f = h->data;
    if (f->lease != NULL)
        f->lease(f->arg, ERR_UNKNOWN, NULL);
    if (f->commit != NULL)
        f->commit(f->arg, ERR_UNKNOWN, NULL, 0);
    if (f->define != NULL)
        f->define(f->arg, ERR_UNKNOWN, NULL, "no answer");
    uv_close((uv_handle_t *)h, on_failing_closed);
}

static bool failed(struct queue *q, struct failing want)
{
    struct tap *t = tap_of(q);
    if (t->fail_others == 0)
        return false;
    t->fail_others--;
    struct failing *f = mem_zero(1, sizeof *f);
    *f = want;
    uv_timer_init(t->loop, &f->timer);
    f->timer.data = f;
    uv_timer_start(&f->timer, on_fail, 1, 0);
    return true;
}

static void tap_append(struct queue *q, struct event *ev, queue_append_fn *fn, void *arg)
{
    tap_of(q)->inner->ops->append(tap_of(q)->inner, ev, fn, arg);
}

static void tap_lease(struct queue *q, const struct lease_call *call, queue_lease_fn *fn, void *arg)
{
    if (failed(q, (struct failing){.lease = fn, .arg = arg}))
        return;
    tap_of(q)->leases++;
    tap_of(q)->inner->ops->lease(tap_of(q)->inner, call, fn, arg);
    if (tap_of(q)->on_lease != NULL)
        tap_of(q)->on_lease(tap_of(q)->on_lease_arg);
}

struct losing {
    queue_commit_fn *fn;
    void *arg;
};

static void on_lost_commit(void *arg, enum err e, const struct lane_committed *lanes, size_t len)
{
    struct losing *l = arg;
    (void)e;
    (void)lanes;
    (void)len;
    l->fn(l->arg, ERR_UNKNOWN, NULL, 0);
    free(l);
}

static void tap_commit(struct queue *q, const struct lane_commit *lanes, size_t len,
                       queue_commit_fn *fn, void *arg)
{
    if (failed(q, (struct failing){.commit = fn, .arg = arg}))
        return;
    tap_of(q)->commits++;
    tap_of(q)->commit_lanes += (unsigned)len;
    if (tap_of(q)->lose_commits > 0) {
        struct losing *l = mem_new(sizeof *l);
        *l = (struct losing){fn, arg};
        tap_of(q)->lose_commits--;
        tap_of(q)->inner->ops->commit(tap_of(q)->inner, lanes, len, on_lost_commit, l);
        return;
    }
    tap_of(q)->inner->ops->commit(tap_of(q)->inner, lanes, len, fn, arg);
}

static void tap_define(struct queue *q, const struct define_call *call, queue_define_fn *fn,
                       void *arg)
{
    if (failed(q, (struct failing){.define = fn, .arg = arg}))
        return;
    tap_of(q)->inner->ops->define(tap_of(q)->inner, call, fn, arg);
}

static void tap_observe(struct queue *q, const struct observe_call *call, queue_observe_fn *fn,
                        void *arg)
{
    struct queue *inner = ((struct tap *)q)->inner;
    inner->ops->observe(inner, call, fn, arg);
}

static void tap_statistics(struct queue *q, const struct statistics_call *call,
                           queue_statistics_fn *fn, void *arg)
{
    struct queue *inner = ((struct tap *)q)->inner;
    inner->ops->statistics(inner, call, fn, arg);
}

static const struct queue_ops tap_ops = {
    .append = tap_append,
    .read = tap_read,
    .follow = tap_follow,
    .lease = tap_lease,
    .commit = tap_commit,
    .define = tap_define,
    .observe = tap_observe,
    .statistics = tap_statistics,
};

void tap_init(struct tap *t, uv_loop_t *loop, struct queue *inner)
{
    *t = (struct tap){.queue = {.ops = &tap_ops}, .inner = inner, .loop = loop};
}
