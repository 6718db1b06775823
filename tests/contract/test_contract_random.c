/* The contract in random histories: the model and every other backend are told the same, and must
 * answer the same. VOLLEY_SEED repeats one history, VOLLEY_STEPS makes them longer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/log.h"
#include "tests/support/history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SEEDS         6u
#define STEPS         700u
#define COMPARE_EVERY 50u

static uint64_t from_env(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void play(uint64_t seed, uint64_t steps)
{
    struct history *h = history_open(seed);
    for (uint64_t i = 1; i <= steps; i++) {
        history_step(h);
        if (i % COMPARE_EVERY == 0 || i == steps)
            history_compare(h);
    }
    history_close(h);
}

static void all_queues_answer_a_random_history_alike(void **state)
{
    (void)state;
    log_init(LOG_ERROR, LOG_TEXT, "contract");
    uint64_t steps = from_env("VOLLEY_STEPS", STEPS);
    uint64_t seed = from_env("VOLLEY_SEED", 0);
    if (seed != 0) {
        play(seed, steps);
        return;
    }
    struct rng rng;
    rng_init_secure(&rng);
    for (unsigned i = 0; i < SEEDS; i++) {
        seed = i < SEEDS / 2 ? i + 1 : rng_next(&rng) >> 32; /* some known ones, some new */
        print_message("VOLLEY_SEED=%" PRIu64 "\n", seed);
        play(seed, steps);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_queues_answer_a_random_history_alike),
    };
    return cmocka_run_group_tests_name("random histories", tests, NULL, NULL);
}
