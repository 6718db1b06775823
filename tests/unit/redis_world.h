/* A queue's client and a fake Redis on one loop, for test_queue_redis.c and
 * test_queue_redis_nonsense.c. */
#ifndef VOLLEY_TESTS_UNIT_REDIS_WORLD_H
#define VOLLEY_TESTS_UNIT_REDIS_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/log.h"
#include "common/base/rng.h"
#include "queue/redis_link.h"
#include "tests/support/ask.h"
#include "tests/support/fake_redis.h"
#include "tests/support/make_event.h"
#include "tests/support/spin.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct world {
    uv_loop_t loop;
    struct fake_redis redis;
    struct queue *q;
    unsigned answered, good, unknown, refused;
    unsigned wanted;
    uint64_t head, last_pos;
    unsigned tails, restarts;
};

static inline void open_queue(struct world *w, const struct queue_options *more)
{
    struct queue_options o = *more;
    struct problem p = {0};
    o.url = w->redis.url;
    if (o.timeout_ms == 0)
        o.timeout_ms = 5000;
    if (queue_open(&w->loop, &o, &w->q, &p) != ERR_NONE)
        fail_msg("queue_open: %s", p.text);
}

static inline int begin(void **state)
{
    struct world *w = mem_zero(1, sizeof *w);
    log_init(LOG_ERROR, LOG_TEXT, "test");
    uv_loop_init(&w->loop);
    fake_redis_start(&w->redis, &w->loop);
    *state = w;
    return 0;
}

static inline int end(void **state)
{
    struct world *w = *state;
    if (w->q != NULL)
        ask_close(&w->loop, w->q);
    fake_redis_stop(&w->redis);
    spin_out(&w->loop);
    free(w);
    return 0;
}

static inline struct world *with_queue(void **state)
{
    struct world *w = *state;
    open_queue(w, &(struct queue_options){.timeout_ms = 5000});
    return w;
}

static inline void on_append(void *arg, enum err e, const struct append_result *r, const char *why)
{
    struct world *w = arg;
    w->answered++;
    w->good += e == ERR_NONE;
    w->unknown += e == ERR_UNKNOWN;
    w->refused += e != ERR_NONE && e != ERR_UNKNOWN;
    assert_true((r != NULL) == (e == ERR_NONE));
    assert_true((why[0] != '\0') == (e != ERR_NONE));
}

static inline void append_notes(struct world *w, unsigned from, unsigned to)
{
    for (unsigned i = from; i <= to; i++) {
        struct event *ev = make_note(0, i);
        w->q->ops->append(w->q, ev, on_append, w);
        event_unref(ev);
    }
}

static inline bool are_answered(void *arg)
{
    const struct world *w = arg;
    return w->answered >= w->wanted;
}

static inline void await(struct world *w, unsigned answers)
{
    w->wanted = answers;
    spin_until(&w->loop, are_answered, w, "answers");
    assert_int_equal(w->answered, answers);
}

static inline enum err ask(struct world *w)
{
    struct answer a;
    ask_depth(&w->loop, w->q, &a);
    enum err e = a.e;
    answer_free(&a);
    return e;
}

static inline enum err append_one(struct world *w, char *why, size_t size)
{
    struct answer a;
    struct event *ev = make_note(0, 1);
    ask_append(&w->loop, w->q, ev, &a);
    event_unref(ev);
    enum err e = a.e;
    (void)snprintf(why, size, "%s", a.why);
    answer_free(&a);
    return e;
}

/* ---- following ---- */

static inline void on_tail(void *arg, const struct queue_tail *t)
{
    struct world *w = arg;
    w->tails++;
    w->last_pos = t->ev.pos;
}

static inline void on_head(void *arg, uint64_t head, uint64_t news)
{
    struct world *w = arg;
    (void)news;
    w->head = head;
}

static inline void on_restart(void *arg)
{
    ((struct world *)arg)->restarts++;
}

static inline void follow(struct world *w)
{
    struct queue_follower f = {on_tail, on_head, w, on_restart};
    w->q->ops->follow(w->q, &f);
}

static inline bool has_head(void *arg)
{
    const struct world *w = arg;
    return w->head == 7 && w->redis.subscribers >= w->wanted;
}

static inline bool has_tail(void *arg)
{
    return ((struct world *)arg)->tails > 0;
}

static inline bool has_restarted(void *arg)
{
    return ((struct world *)arg)->restarts > 0;
}

static inline void publish(struct world *w, uint64_t pos)
{
    struct buf b;
    struct event *ev = make_note(0, 1);
    struct queue_tail t = {.ev = {.pos = pos, .accepted_ms = 1, .event = ev}};
    buf_init(&b, WIRE_MESSAGE_MAX);
    assert_int_equal(wire_begin_tail(&b, 0), ERR_NONE);
    assert_int_equal(wire_put_tail(&b, &t), ERR_NONE);
    wire_end_tail(&b, pos, 1);
    fake_redis_publish(&w->redis, b.data, b.len);
    buf_fini(&b);
    event_unref(ev);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

#endif
