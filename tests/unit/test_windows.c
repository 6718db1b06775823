/* Histograms of latencies, and the packing of statistics: tables, and random ones there and back.
 * How windows move is in the contract's tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "queue/windows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void buckets_grow_by_half_a_doubling(void **state)
{
    (void)state;
    static const struct {
        uint64_t us;
        unsigned bucket;
    } table[] = {{0, 0},    {250, 0},         {251, 1},         {354, 1},
                 {355, 2},  {500, 2},         {708, 3},         {1000, 4},
                 {1001, 5}, {250u << 23, 46}, {2097152001, 47}, {UINT64_MAX, 47}};
    for (size_t i = 0; i < COUNT_OF(table); i++)
        assert_int_equal(stat_bucket_of(table[i].us), table[i].bucket);
    for (unsigned i = 1; i + 1 < STAT_BUCKETS; i++)
        assert_in_range(stat_bucket_us(i) * 100 / stat_bucket_us(i - 1), 140, 142);
    assert_true(stat_bucket_us(STAT_BUCKETS - 1) == UINT64_MAX);
}

static void quantiles_are_as_near_as_buckets_are_wide(void **state)
{
    (void)state;
    struct stat_histogram h = {0};
    assert_int_equal(stat_quantile_us(&h, 500), 0);
    stat_histogram_add(&h, 10000);
    assert_in_range(stat_quantile_us(&h, 10), 8000, 11328);
    assert_int_equal(stat_quantile_us(&h, 990), 11328);
    for (unsigned i = 0; i < 99; i++)
        stat_histogram_add(&h, 300);
    assert_int_equal(stat_histogram_count(&h), 100);
    assert_int_equal(h.sum_us, 10000 + 99 * 300);
    assert_in_range(stat_quantile_us(&h, 500), 251, 354);
    assert_in_range(stat_quantile_us(&h, 990), 251, 354);
    assert_int_equal(stat_quantile_us(&h, 1000), 11328);
    stat_histogram_add(&h, UINT64_MAX / 2); /* how long is not known, but that it was long */
    assert_int_equal(stat_quantile_us(&h, 1000), 250u << 23);
    h = (struct stat_histogram){.counts = {[7] = UINT32_MAX}};
    stat_histogram_add(&h, stat_bucket_us(7));
    assert_int_equal(stat_histogram_count(&h), UINT32_MAX);
}

/* ---- packing ---- */

static uint32_t some(struct rng *r, bool much)
{
    return rng_below(r, 3) > 0 ? 0 : much ? (uint32_t)rng_next(r) : (uint32_t)rng_below(r, 200);
}

static void make_counts(struct rng *r, struct stat_counts *c, bool much)
{
    c->attempts = some(r, much);
    c->successes = some(r, much);
    c->uses = some(r, much);
    c->deliveries = some(r, much);
    for (unsigned i = 0; i < STAT_FAILURE_COUNT; i++)
        c->failures[i] = some(r, much);
    for (unsigned p = 0; p < STAT_PHASE_COUNT; p++) {
        c->phases[p].sum_us = much ? rng_next(r) : some(r, much);
        for (unsigned i = 0; i < STAT_BUCKETS; i++)
            c->phases[p].counts[i] = some(r, much);
    }
}

static void what_was_packed_comes_back(void **state)
{
    (void)state;
    struct windows *w = mem_zero(2, sizeof *w);
    struct rng r;
    struct buf b;
    rng_init(&r, 7);
    buf_init(&b, 1u << 20);
    for (unsigned round = 0; round < 50; round++) {
        memset(w, 0, 2 * sizeof *w);
        w->last_failure_ms = (int64_t)round;
        w->streak = -(int32_t)round;
        if (round % 3 > 0)
            w->last = (struct stat_last){.at_ms = 5, .why = STAT_HTTP, .text = "HTTP 503"};
        for (unsigned i = 0; i < WINDOWS_BUCKETS; i++)
            if (round > 0 && rng_below(&r, 2) == 0)
                make_counts(&r, &w->buckets[i], round % 2 == 0);
        make_counts(&r, &w->total, true);
        struct pack p;
        struct unpack u;
        buf_clear(&b);
        pack_init(&p, &b);
        windows_pack(&p, w);
        assert_int_equal(pack_end(&p), ERR_NONE);
        unpack_init(&u, b.data, b.len);
        windows_unpack(&u, &w[1]);
        assert_int_equal(unpack_end(&u), ERR_NONE);
        assert_memory_equal(&w[0], &w[1], sizeof *w);
        for (size_t len = 0; len < b.len; len += 1 + b.len / 64) {
            unpack_init(&u, b.data, len);
            windows_unpack(&u, &w[1]);
            assert_int_equal(unpack_end(&u), ERR_INVALID);
        }
    }
    buf_fini(&b);
    free(w);
}

/* A relay probed every ten minutes for a week, each phase with a latency of its own each time. */
static void a_week_of_probes_stays_small(void **state)
{
    (void)state;
    struct windows *w = mem_zero(1, sizeof *w);
    struct rng r;
    rng_init(&r, 3);
    for (unsigned i = 0; i < 7 * 144; i++) {
        struct observation o = {.streak = 1, .counts = {.attempts = 1, .successes = 1, .uses = 1}};
        for (unsigned p = 0; p < STAT_DELIVERED; p++)
            stat_histogram_add(&o.counts.phases[p], 20000 + rng_below(&r, 400000));
        windows_add(w, &o, 1700000000000 + (int64_t)i * 600000, false);
    }
    struct pack p;
    struct buf b;
    buf_init(&b, 1u << 20);
    pack_init(&p, &b);
    windows_pack(&p, w);
    assert_int_equal(pack_end(&p), ERR_NONE);
    assert_in_range(b.len, 1000, 10000);
    buf_fini(&b);
    free(w);
}

static void numbers_that_are_too_long_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[12];
        size_t len;
    } bad[] = {
        {{0x10}, 1},                               /* five heads of four */
        {{0x01, 0xff, 0xff, 0xff, 0xff, 0x1f}, 6}, /* more than 32 bits */
        {{0x01, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}, 12},
        {{0x00, 0x00, 0x80, 0x01}, 4}, /* an eighth phase */
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct unpack u;
        struct stat_counts c;
        unpack_init(&u, bad[i].bytes, bad[i].len);
        stat_counts_unpack(&u, &c);
        assert_true(u.bad);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_grow_by_half_a_doubling),
        cmocka_unit_test(quantiles_are_as_near_as_buckets_are_wide),
        cmocka_unit_test(what_was_packed_comes_back),
        cmocka_unit_test(a_week_of_probes_stays_small),
        cmocka_unit_test(numbers_that_are_too_long_are_refused),
    };
    return cmocka_run_group_tests_name("statistics' windows", tests, NULL, NULL);
}
