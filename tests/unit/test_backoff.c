/* How long to wait: grows, is spread, and keeps between its bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/backoff.h"
#include "common/base/err.h"

#include <stdlib.h>

/* The least and the most of many draws. */
static void draw(struct rng *r, uint32_t failures, uint64_t min_ms, uint64_t max_ms,
                 uint64_t *least, uint64_t *most)
{
    *least = UINT64_MAX;
    *most = 0;
    for (int i = 0; i < 2000; i++) {
        uint64_t ms = backoff_ms(failures, min_ms, max_ms, r);
        *least = ms < *least ? ms : *least;
        *most = ms > *most ? ms : *most;
    }
}

static void seeded(struct rng *r)
{
    const char *set = getenv("VOLLEY_SEED");
    uint64_t seed = set != NULL ? strtoull(set, NULL, 10) : 0;
    if (set == NULL)
        rng_secure(&seed, sizeof seed);
    print_message("seed %llu\n", (unsigned long long)seed);
    rng_init(r, seed);
}

static void the_ceiling_doubles_up_to_the_maximum(void **state)
{
    (void)state;
    static const struct {
        uint32_t failures;
        uint64_t min_ms, max_ms, floor, ceiling;
    } rows[] = {
        {0, 1000, 600000, 500, 1000},
        {1, 1000, 600000, 500, 1000},
        {2, 1000, 600000, 500, 2000},
        {3, 1000, 600000, 500, 4000},
        {10, 1000, 600000, 500, 512000},
        {11, 1000, 600000, 500, 600000},
        {UINT32_MAX, 1000, 600000, 500, 600000},
        {5, 1000, 1000, 500, 1000},
        {5, 1000, 300, 300, 300},
        {UINT32_MAX, 0, 600000, 0, 0},
        {3, 1000, 0, 0, 0},
        {64, 1, UINT64_MAX / 2, 0, UINT64_MAX / 2},
        {UINT32_MAX, 3, UINT64_MAX - 1, 1, UINT64_MAX - 1},
    };
    struct rng r;
    seeded(&r);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint64_t least, most;
        draw(&r, rows[i].failures, rows[i].min_ms, rows[i].max_ms, &least, &most);
        if (least < rows[i].floor || most > rows[i].ceiling)
            fail_msg("row %zu: %llu to %llu", i, (unsigned long long)least,
                     (unsigned long long)most);
        /* With 2,000 draws both ends are come near to. */
        uint64_t width = rows[i].ceiling - rows[i].floor;
        if (least > rows[i].floor + width / 20 || most < rows[i].ceiling - width / 20)
            fail_msg("row %zu: only %llu to %llu", i, (unsigned long long)least,
                     (unsigned long long)most);
    }
}

static void the_same_seed_waits_the_same(void **state)
{
    (void)state;
    struct rng a, b;
    rng_init(&a, 7);
    rng_init(&b, 7);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(backoff_ms(i, 1000, 600000, &a), backoff_ms(i, 1000, 600000, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ceiling_doubles_up_to_the_maximum),
        cmocka_unit_test(the_same_seed_waits_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
