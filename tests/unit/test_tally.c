/* What a tally tells the queue: each try, in batches, once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue/tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A queue that takes observations and answers when the test says so. */
struct taker {
    struct queue queue;
    struct observation list[OBSERVATIONS_MAX];
    size_t len;
    uint64_t epoch;
    enum stat_source source;
    unsigned calls;
    queue_observe_fn *fn;
    void *arg;
};

static void take(struct queue *q, const struct observe_call *c, queue_observe_fn *fn, void *arg)
{
    struct taker *t = (struct taker *)q;
    assert_null(t->fn); /* one at a time */
    assert_true(c->len <= COUNT_OF(t->list));
    memcpy(t->list, c->list, c->len * sizeof *c->list);
    t->len = c->len;
    t->epoch = c->epoch;
    t->source = c->source;
    t->calls++;
    t->fn = fn;
    t->arg = arg;
}

static void answer(struct taker *t, enum err e)
{
    const struct observe_result r = {.taken = (uint32_t)t->len};
    queue_observe_fn *fn = t->fn;
    t->fn = NULL;
    fn(t->arg, e, e == ERR_NONE ? &r : NULL);
}

static const struct queue_ops ops = {.observe = take};
static const struct tally_way six = {7, ROUTE_DIRECT, FAMILY_IPV6},
                              four = {7, ROUTE_DIRECT, FAMILY_IPV4};

static unsigned told;
static enum err told_err;

static void on_told(void *arg, enum err e)
{
    (void)arg;
    told++;
    told_err = e;
}

static int setup(void **state)
{
    struct taker *t = mem_zero(1, sizeof *t);
    t->queue.ops = &ops;
    told = 0;
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static struct link_try good(void)
{
    return (struct link_try){.started = true,
                             .dns_us = 100,
                             .connect_us = 2000,
                             .websocket_us = 3000,
                             .certificate_end_s = 99,
                             .address = "::1"};
}

static void tries_become_counts(void **state)
{
    struct taker *q = *state;
    struct tally *t = tally_new(&q->queue, STAT_DELIVERY);
    struct link_try try = good();
    const struct link_try refused = {.started = true,
                                     .err = ERR_UNREACHABLE,
                                     .why = LINK_WHY_REFUSED,
                                     .text = "connect: connection refused"},
                          lost = {.started = true, .lost = true, .err = ERR_CLOSED},
                          never = {.err = ERR_INVALID, .why = LINK_WHY_NOT_TRIED};
    assert_false(tally_send(t, 0, 1000, on_told, NULL)); /* nothing to tell */
    tally_try(t, &six, &refused, false, 1000);
    tally_try(t, &six, &try, true, 2000);
    tally_try(t, &six, &try, false, 3000);
    tally_try(t, &six, &lost, false, 4000);
    tally_try(t, &six, &never, false, 4000);
    tally_delivered(t, &six, 5000);
    tally_try(t, &four, &refused, false, 4500);
    assert_true(tally_send(t, 0, 5000, on_told, NULL));
    assert_int_equal(q->len, 2);
    assert_int_equal(q->source, STAT_DELIVERY);
    const struct observation *o = &q->list[0];
    assert_int_equal(o->lane, 7);
    assert_int_equal(o->route, ROUTE_DIRECT);
    assert_int_equal(o->family, FAMILY_IPV6);
    assert_int_equal(o->counts.attempts, 4);
    assert_int_equal(o->counts.successes, 2);
    assert_int_equal(o->counts.failures[STAT_REFUSED], 1);
    assert_int_equal(stat_failed(&o->counts), 1);
    assert_int_equal(o->counts.uses, 1);
    assert_int_equal(o->counts.deliveries, 1);
    assert_int_equal(o->streak, 2);
    assert_int_equal(o->success_ago_ms, 2000);
    assert_int_equal(o->failure_ago_ms, 4000);
    assert_int_equal(o->counts.phases[STAT_CONNECT].sum_us, 4000);
    assert_int_equal(stat_histogram_count(&o->counts.phases[STAT_DNS]), 2);
    assert_int_equal(stat_histogram_count(&o->counts.phases[STAT_TLS_PHASE]), 0);
    assert_int_equal(o->counts.phases[STAT_DELIVERED].sum_us, 5000);
    assert_true(o->last.ok);
    assert_int_equal(o->last.at_ms, 2000);
    assert_string_equal(o->last.address, "::1");
    assert_int_equal(q->list[1].streak, -1);
    assert_false(q->list[1].last.ok);
    assert_int_equal(q->list[1].last.why, STAT_REFUSED);
    assert_string_equal(q->list[1].last.text, "connect: connection refused");
    answer(q, ERR_NONE);
    assert_int_equal(told, 1);
    assert_false(tally_send(t, 0, 6000, on_told, NULL)); /* told once */
    tally_free(t);
}

static void a_loser_is_judged_later(void **state)
{
    struct taker *q = *state;
    struct tally *t = tally_new(&q->queue, STAT_DELIVERY);
    struct link_try late = good();
    const struct link_try lost = {.started = true, .lost = true, .err = ERR_CLOSED};
    tally_try(t, &six, &lost, false, 1000);
    tally_late(t, &six, &late, 1500);
    assert_true(tally_send(t, 0, 2000, on_told, NULL));
    assert_int_equal(q->list[0].counts.attempts, 1);
    assert_int_equal(q->list[0].counts.successes, 1);
    assert_int_equal(q->list[0].counts.uses, 0);
    assert_int_equal(stat_histogram_count(&q->list[0].counts.phases[STAT_WEBSOCKET]), 0);
    answer(q, ERR_NONE);
    tally_free(t);
}

static void what_is_counted_meanwhile_goes_next(void **state)
{
    struct taker *q = *state;
    struct tally *t = tally_new(&q->queue, STAT_PROBE);
    const struct stat_last ok = {.ok = true, .phases_us = {[STAT_READ] = 10}};
    tally_attempt(t, &six, &ok, 1000);
    assert_true(tally_send(t, 5, 1000, on_told, NULL));
    assert_int_equal(q->epoch, 5);
    assert_int_equal(q->list[0].last.at_ms, 1); /* 0 would be none */
    tally_attempt(t, &six, &ok, 1100);
    tally_attempt(t, &six, &ok, 1200);
    assert_true(tally_send(t, 5, 1200, on_told, NULL)); /* under way */
    assert_int_equal(q->calls, 1);
    answer(q, ERR_NONE);
    assert_true(tally_send(t, 5, 1300, on_told, NULL));
    assert_int_equal(q->list[0].counts.attempts, 2);
    assert_int_equal(q->list[0].counts.uses, 2);
    answer(q, ERR_NONE);
    tally_free(t);
}

static void only_what_was_surely_not_sent_is_sent_again(void **state)
{
    static const struct {
        enum err e;
        bool again;
    } rows[] = {{ERR_CLOSED, true},
                {ERR_UNKNOWN, false},
                {ERR_STALE, false},
                {ERR_FULL, false},
                {ERR_NO_SPACE, true}};
    struct taker *q = *state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct tally *t = tally_new(&q->queue, STAT_DELIVERY);
        tally_delivered(t, &six, 1);
        assert_true(tally_send(t, 0, 1000, on_told, NULL));
        answer(q, rows[i].e);
        assert_int_equal(told_err, rows[i].e);
        tally_delivered(t, &four, 1);
        assert_true(tally_send(t, 0, 2000, on_told, NULL));
        assert_int_equal(q->list[0].family, rows[i].again ? FAMILY_IPV6 : FAMILY_IPV4);
        answer(q, ERR_NONE);
        assert_int_equal(tally_send(t, 0, 3000, on_told, NULL), rows[i].again);
        if (rows[i].again)
            answer(q, ERR_NONE);
        tally_free(t);
    }
}

static void many_go_in_several_calls(void **state)
{
    struct taker *q = *state;
    struct tally *t = tally_new(&q->queue, STAT_DELIVERY);
    const uint32_t lanes = 2 * OBSERVATIONS_MAX + 1;
    for (uint32_t i = 0; i < lanes; i++) {
        const struct tally_way way = {.lane = i + 1};
        tally_delivered(t, &way, 1);
    }
    assert_true(tally_send(t, 3, 1000, on_told, NULL));
    for (unsigned call = 0; call < 3; call++) {
        assert_int_equal(q->len, call < 2 ? OBSERVATIONS_MAX : 1);
        assert_int_equal(q->list[0].lane, call * OBSERVATIONS_MAX + 1);
        assert_int_equal(q->epoch, 3);
        tally_delivered(t, &six, 1); /* waits for the next time */
        assert_int_equal(told, 0);
        answer(q, ERR_NONE);
    }
    assert_int_equal(told, 1);
    assert_int_equal(q->calls, 3);
    assert_true(tally_send(t, 3, 2000, on_told, NULL));
    assert_int_equal(q->list[0].counts.deliveries, 3);
    answer(q, ERR_NONE);
    tally_free(t);
}

static void it_may_be_gone_when_it_is_answered(void **state)
{
    struct taker *q = *state;
    struct tally *t = tally_new(&q->queue, STAT_DELIVERY);
    tally_delivered(t, &six, 1);
    assert_true(tally_send(t, 0, 1000, on_told, NULL));
    tally_free(t);
    answer(q, ERR_CLOSED);
    assert_int_equal(told, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(tries_become_counts),
        TEST(a_loser_is_judged_later),
        TEST(what_is_counted_meanwhile_goes_next),
        TEST(only_what_was_surely_not_sent_is_sent_again),
        TEST(many_go_in_several_calls),
        TEST(it_may_be_gone_when_it_is_answered),
    };
    return cmocka_run_group_tests_name("a tally", tests, NULL, NULL);
}
