/* The prober's schedule, simulated: spread evenly, slower for the dead, never a flood. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/err.h"
#include "common/base/rng.h"
#include "probe/schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MINUTE_MS 60000u
#define HOUR_MS   (60u * MINUTE_MS)
#define DAY_MS    (24u * HOUR_MS)
#define START_MS  123456789u
#define TEN_MIN   (10u * MINUTE_MS)

/* Relays with two families each. A probe takes some time, and ends as `dies` says. */
struct world {
    struct schedule *s;
    struct schedule_item *items;
    size_t relays;
    uint64_t now_ms;
    struct rng rng;
    bool (*dies)(uint32_t lane, uint32_t family);
    struct ending {
        uint32_t lane, family;
        uint64_t at_ms;
    } endings[64];
    size_t endings_len;
    unsigned *probes;   /* by lane * 2 + family */
    unsigned *a_second; /* by second since the start */
    size_t seconds;
};

static bool all_live(uint32_t lane, uint32_t family)
{
    (void)lane;
    (void)family;
    return false;
}

static void begin(struct world *w, size_t relays, uint64_t interval_ms)
{
    *w = (struct world){.relays = relays, .now_ms = START_MS, .dies = all_live};
    rng_init(&w->rng, 5);
    w->s = schedule_new(interval_ms, 7);
    w->items = mem_zero(2 * relays, sizeof *w->items);
    w->probes = mem_zero(2 * (relays + 1), sizeof *w->probes);
    w->seconds = 7 * DAY_MS / 1000;
    w->a_second = mem_zero(w->seconds, sizeof *w->a_second);
    for (size_t i = 0; i < 2 * relays; i++) {
        w->items[i].lane = (uint32_t)(i / 2 + 1);
        w->items[i].family = (uint32_t)(i % 2);
    }
}

static void set(struct world *w)
{
    schedule_set(w->s, w->items, 2 * w->relays, w->now_ms);
}

static void finish(struct world *w)
{
    schedule_free(w->s);
    free(w->items);
    free(w->probes);
    free(w->a_second);
}

static void end_some(struct world *w)
{
    for (size_t i = 0; i < w->endings_len;) {
        struct ending *e = &w->endings[i];
        if (e->at_ms > w->now_ms) {
            i++;
            continue;
        }
        schedule_done(w->s, e->lane, e->family, !w->dies(e->lane, e->family));
        *e = w->endings[--w->endings_len];
    }
}

static void run(struct world *w, uint64_t for_ms)
{
    uint64_t end_ms = w->now_ms + for_ms, at_ms;
    uint32_t lane, family;
    while (w->now_ms < end_ms) {
        end_some(w);
        while (w->endings_len < 64 && schedule_next(w->s, w->now_ms, &lane, &family, &at_ms)) {
            w->probes[lane * 2 + family - 2]++;
            w->a_second[(w->now_ms - START_MS) / 1000]++;
            w->endings[w->endings_len++] =
                (struct ending){lane, family, w->now_ms + 20 + rng_below(&w->rng, 3000)};
        }
        w->now_ms += 20;
    }
}

static unsigned busiest(const struct world *w, size_t from_s, size_t to_s)
{
    unsigned most = 0;
    for (size_t i = from_s; i < to_s; i++)
        most = w->a_second[i] > most ? w->a_second[i] : most;
    return most;
}

static void assert_probes(const struct world *w, unsigned least, unsigned most)
{
    for (size_t i = 0; i < 2 * w->relays; i++)
        assert_in_range(w->probes[i], least, most);
}

static void a_thousand_relays_are_spread_evenly(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 1000, TEN_MIN);
    set(&w);
    run(&w, 4 * TEN_MIN);
    double mean = 2000.0 / (TEN_MIN / 1000);
    unsigned most = busiest(&w, 0, 4 * TEN_MIN / 1000);
    printf("2,000 probes in 600 s, the mean is %.2f a second, the most %u\n", mean, most);
    assert_true(most <= 2 * mean); /* from the very first second */
    assert_probes(&w, 4, 5);
    unsigned idle = 0;
    for (size_t i = 2 * TEN_MIN / 1000; i < 3 * TEN_MIN / 1000; i++)
        idle += w.a_second[i] == 0;
    assert_int_equal(idle, 0); /* and none of them is without */
    finish(&w);
}

static bool half_die(uint32_t lane, uint32_t family)
{
    return lane % 2 == 0 && family == 0;
}

static void the_dead_are_tried_less_and_less_and_the_others_not(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 20, TEN_MIN);
    w.dies = half_die;
    set(&w);
    run(&w, DAY_MS);
    for (size_t i = 0; i < 40; i++) {
        if (half_die((uint32_t)(i / 2 + 1), i % 2))
            assert_in_range(w.probes[i], 7, 9); /* after 0, 10, 30, 70, 150, 310, 630, 1270 min */
        else
            assert_in_range(w.probes[i], 143, 146);
    }
    memset(w.probes, 0, 40 * sizeof *w.probes);
    run(&w, 4 * DAY_MS);
    for (size_t i = 0; i < 40; i++)
        if (half_die((uint32_t)(i / 2 + 1), i % 2))
            assert_in_range(w.probes[i], 4, 5); /* once a day */
    w.dies = all_live;
    run(&w, DAY_MS + TEN_MIN);
    memset(w.probes, 0, 40 * sizeof *w.probes);
    run(&w, HOUR_MS);
    assert_probes(&w, 5, 7); /* one success, and it is as alive as any */
    finish(&w);
}

static void dead_ones_keep_their_places(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 1000, TEN_MIN);
    w.dies = half_die;
    set(&w);
    run(&w, 3 * HOUR_MS);
    assert_true(busiest(&w, 0, 3 * HOUR_MS / 1000) <= 2 * 2000.0 / (TEN_MIN / 1000));
    finish(&w);
}

static void few_relays_are_known_soon(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 10, TEN_MIN);
    set(&w);
    run(&w, 25000);
    assert_probes(&w, 1, 1);
    assert_int_equal(busiest(&w, 0, 25), 1);
    run(&w, 3 * TEN_MIN);
    assert_probes(&w, 3, 4);
    assert_int_equal(busiest(&w, 0, w.seconds), 1);
    finish(&w);
}

static void who_slept_makes_up_for_nothing(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 500, TEN_MIN);
    set(&w);
    run(&w, 2 * TEN_MIN);
    memset(w.probes, 0, 1000 * sizeof *w.probes);
    size_t woke_s = (w.now_ms + DAY_MS - START_MS) / 1000;
    w.now_ms += DAY_MS;
    run(&w, 2 * TEN_MIN);
    assert_probes(&w, 2, 3);
    assert_true(busiest(&w, woke_s, w.seconds) <= 2 * 1000.0 / (TEN_MIN / 1000));
    finish(&w);
}

static bool the_later_die(uint32_t lane, uint32_t family)
{
    (void)family;
    return lane > 25;
}

static void what_was_known_before_a_restart_is_kept_to(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 50, TEN_MIN);
    w.dies = the_later_die;
    for (size_t i = 0; i < 100; i++) {
        w.items[i].known = true;
        w.items[i].ago_ms = 2 * MINUTE_MS;
        w.items[i].failures = i < 50 ? 0 : 20;
    }
    set(&w);
    run(&w, 2 * MINUTE_MS);
    assert_probes(&w, 0, 0);
    run(&w, HOUR_MS);
    for (size_t i = 0; i < 100; i++)
        assert_in_range(w.probes[i], i < 50 ? 5 : 0, i < 50 ? 7 : 0);
    run(&w, DAY_MS);
    for (size_t i = 50; i < 100; i++)
        assert_in_range(w.probes[i], 1, 2);
    finish(&w);
}

static void a_list_that_changes_disturbs_nobody(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 100, TEN_MIN);
    set(&w);
    run(&w, 2 * TEN_MIN);
    memset(w.probes, 0, 200 * sizeof *w.probes);
    size_t from_s = (w.now_ms - START_MS) / 1000;
    for (unsigned i = 0; i < 20; i++) {
        w.relays = i % 2 == 0 ? 99 : 100;
        set(&w);
        run(&w, MINUTE_MS);
    }
    w.relays = 99;
    assert_probes(&w, 1, 4);
    assert_true(busiest(&w, from_s, w.seconds) <= 1);
    set(&w);
    run(&w, MINUTE_MS);
    memset(w.probes, 0, 200 * sizeof *w.probes);
    run(&w, TEN_MIN);
    assert_int_equal(w.probes[198] + w.probes[199], 0); /* the one that is gone */
    finish(&w);
}

static void what_was_given_up_is_due_again(void **state)
{
    (void)state;
    struct schedule *s = schedule_new(TEN_MIN, 1);
    const struct schedule_item one = {.lane = 3, .family = 1};
    uint32_t lane, family;
    uint64_t at_ms;
    assert_false(schedule_next(s, 1000, &lane, &family, &at_ms));
    assert_true(at_ms == UINT64_MAX);
    schedule_set(s, &one, 1, 1000);
    assert_true(schedule_next(s, 1000, &lane, &family, &at_ms));
    assert_int_equal(lane, 3);
    assert_int_equal(family, 1);
    assert_false(schedule_next(s, 1000 + DAY_MS, &lane, &family, &at_ms)); /* under way */
    schedule_undone(s, 3, 1, 2000);
    assert_true(schedule_next(s, 3000, &lane, &family, &at_ms));
    schedule_done(s, 3, 1, true);
    assert_false(schedule_next(s, 3000, &lane, &family, &at_ms));
    assert_in_range(at_ms, 3000 + TEN_MIN / 2, 3000 + 2 * TEN_MIN);
    schedule_set_interval(s, MINUTE_MS, 3000);
    assert_false(schedule_next(s, 3000, &lane, &family, &at_ms));
    assert_in_range(at_ms, 3000, 3000 + 2 * MINUTE_MS);
    schedule_done(s, 9, 9, true); /* nobody's */
    schedule_free(s);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_relays_are_spread_evenly),
        cmocka_unit_test(the_dead_are_tried_less_and_less_and_the_others_not),
        cmocka_unit_test(dead_ones_keep_their_places),
        cmocka_unit_test(few_relays_are_known_soon),
        cmocka_unit_test(who_slept_makes_up_for_nothing),
        cmocka_unit_test(what_was_known_before_a_restart_is_kept_to),
        cmocka_unit_test(a_list_that_changes_disturbs_nobody),
        cmocka_unit_test(what_was_given_up_is_due_again),
    };
    return cmocka_run_group_tests_name("the prober's schedule", tests, NULL, NULL);
}
