/* The "blasted" line: its words, when it comes, and how little it costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue/blasted.h"

#include <stdio.h>
#include <string.h>

#define ZEROS "00000000000000000000000000000000000000000000000000000000000000"
#define ID    "07" ZEROS

static void the_line_says_what_became_of_the_event(void **state)
{
    (void)state;
    static const struct {
        uint32_t delivered, failed, waiting;
        int64_t took_ms;
        uint64_t others;
        const char *line;
    } rows[] = {
        {10, 0, 0, 1849, 0, "🔫 blasted " ID " to 10 of 10 relays in 1.8s"},
        {9, 1, 0, 1800, 0, "🔫 blasted " ID " to 9 of 10 relays in 1.8s (1 failed)"},
        {8, 1, 1, -1, 0, "🔫 blasted " ID " to 8 of 10 relays (1 failed, 1 waiting)"},
        {8, 0, 2, -1, 0, "🔫 blasted " ID " to 8 of 10 relays (2 waiting)"},
        {1, 0, 0, 40, 1, "🔫 blasted " ID " to 1 of 1 relays in 0.0s, and 1 other"},
        {0, 2, 0, 0, 12, "🔫 blasted " ID " to 0 of 2 relays in 0.0s (2 failed), and 12 others"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char line[BLASTED_LINE_SIZE];
        struct store_tally t = {.id = {7},
                                .delivered = rows[i].delivered,
                                .failed = rows[i].failed,
                                .waiting = rows[i].waiting};
        blasted_line(line, &t, rows[i].took_ms, rows[i].others);
        assert_string_equal(line, rows[i].line);
    }
}

/* ---- a toy queue: everything up to `settled` is, but for `stuck` */

static struct {
    uint64_t settled, stuck;
    bool nobodys; /* filtered everywhere */
    unsigned tallies, lines;
    uint64_t told; /* events, the others included */
    char line[BLASTED_LINE_SIZE];
} toy;

static enum err tally(void *arg, uint64_t pos, struct store_tally *out)
{
    (void)arg;
    toy.tallies++;
    *out = (struct store_tally){.id = {7}, .accepted_ms = 1000, .delivered = 9, .failed = 1};
    if (toy.nobodys)
        out->delivered = out->failed = 0;
    else if (pos > toy.settled || pos == toy.stuck) {
        out->delivered--;
        out->waiting++;
    }
    return ERR_NONE;
}

static void say(void *arg, const char *line)
{
    (void)arg;
    unsigned long long others = 0;
    const char *more = strstr(line, ", and ");
    if (more != NULL)
        assert_int_equal(sscanf(more, ", and %llu other", &others), 1);
    toy.lines++;
    toy.told += 1 + others;
    (void)snprintf(toy.line, sizeof toy.line, "%s", line);
}

static struct blasted *begin(void)
{
    static const struct blasted_ops ops = {tally, say, NULL};
    memset(&toy, 0, sizeof toy);
    return blasted_new(&ops);
}

static void one_event_is_told_when_it_has_settled_and_once(void **state)
{
    (void)state;
    struct blasted *b = begin();
    blasted_add(b, 1, 1000);
    blasted_moved(b);
    blasted_look(b, 2000, 500, 8);
    assert_int_equal(toy.lines, 0);
    toy.settled = 1;
    blasted_look(b, 2000, 600, 8);
    assert_int_equal(toy.lines, 0); /* nothing moved since */
    blasted_moved(b);
    blasted_look(b, 2800, 600, 8);
    assert_string_equal(toy.line, "🔫 blasted " ID " to 9 of 10 relays in 1.8s (1 failed)");
    blasted_moved(b);
    blasted_look(b, 9000, 9000, 8);
    assert_int_equal(toy.lines, 1);
    blasted_free(b);
}

static void after_a_minute_it_is_told_with_what_waits(void **state)
{
    (void)state;
    struct blasted *b = begin();
    blasted_add(b, 1, 1000);
    blasted_look(b, 60999, 60999, 8);
    assert_int_equal(toy.lines, 0);
    blasted_look(b, 61000, 61000, 8);
    assert_string_equal(toy.line, "🔫 blasted " ID " to 8 of 10 relays (1 failed, 1 waiting)");
    blasted_free(b);
}

static void there_is_one_line_a_second_and_no_event_is_forgotten(void **state)
{
    (void)state;
    struct blasted *b = begin();
    for (uint64_t i = 1; i <= 5; i++)
        blasted_add(b, i, 1000);
    toy.settled = 5;
    blasted_moved(b);
    blasted_look(b, 2000, 100, 8);
    assert_int_equal(toy.lines, 1);
    assert_int_equal(toy.told, 5);
    blasted_add(b, 6, 1000);
    blasted_add(b, 7, 1000);
    toy.settled = 7;
    blasted_moved(b);
    blasted_look(b, 2000, 1099, 8);
    assert_int_equal(toy.lines, 1);
    blasted_look(b, 2000, 1100, 8);
    assert_int_equal(toy.lines, 2);
    assert_int_equal(toy.told, 7);
    blasted_free(b);
}

static void what_is_nobodys_business_is_not_told(void **state)
{
    (void)state;
    struct blasted *b = begin();
    toy.nobodys = true;
    toy.settled = 1;
    blasted_add(b, 1, 1000);
    blasted_moved(b);
    blasted_look(b, 2000, 100, 8);
    assert_int_equal(toy.tallies, 1);
    assert_int_equal(toy.lines, 0);
    blasted_free(b);
}

static void a_flood_is_watched_in_runs_and_told_in_full(void **state)
{
    (void)state;
    struct blasted *b = begin();
    const uint64_t events = 3 * BLASTED_WATCHED * BLASTED_RUN_MAX;
    for (uint64_t i = 1; i <= events; i++)
        blasted_add(b, i, 1000);
    toy.settled = events;
    for (uint64_t now = 0; now < 100000; now += 100) {
        unsigned before = toy.tallies;
        blasted_moved(b);
        blasted_look(b, 1000, now, 8);
        assert_true(toy.tallies - before <= 8);
    }
    assert_int_equal(toy.told, events);
    assert_true(toy.lines <= 100);
    blasted_free(b);
}

static void one_that_is_stuck_does_not_hide_the_others(void **state)
{
    (void)state;
    struct blasted *b = begin();
    for (uint64_t i = 1; i <= 30; i++)
        blasted_add(b, i, 1000);
    toy.settled = 30;
    toy.stuck = 1;
    for (uint64_t now = 0; now < 3000; now += 100) {
        blasted_moved(b);
        blasted_look(b, 2000, now, 8);
    }
    assert_int_equal(toy.told, 29);
    blasted_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_line_says_what_became_of_the_event),
        cmocka_unit_test(one_event_is_told_when_it_has_settled_and_once),
        cmocka_unit_test(after_a_minute_it_is_told_with_what_waits),
        cmocka_unit_test(there_is_one_line_a_second_and_no_event_is_forgotten),
        cmocka_unit_test(what_is_nobodys_business_is_not_told),
        cmocka_unit_test(a_flood_is_watched_in_runs_and_told_in_full),
        cmocka_unit_test(one_that_is_stuck_does_not_hide_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
