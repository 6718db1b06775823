/* The race as a decision: tables of what happens when, and what is done then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "common/net/race.h"

#include <stdio.h>
#include <string.h>

#define NEVER    UINT32_MAX
#define START_MS 1000000u

/* A relay: how long each family takes, from its own start, until it completes or fails. */
struct track {
    uint32_t ms;
    bool fails;
    bool for_good;  /* trying again will not help */
    uint32_t again; /* when it is started again it takes so long and completes; 0: as before */
};

static const struct {
    const char *what;
    struct race_rules rules;
    struct track ipv6, ipv4;
    const char *story; /* what is done, at which millisecond */
} rows[] = {
    {"a healthy IPv6 wins and IPv4 is never started",
     {MODE_AUTO, false, 300, 0},
     {50, false},
     {20, false},
     "0:start6 50:take6"},
    {"a dead IPv6: IPv4 after 300 ms",
     {MODE_AUTO, false, 300, 0},
     {NEVER, false},
     {20, false},
     "0:start6 300:start4 320:take4"},
    {"IPv6 fails: IPv4 at once",
     {MODE_AUTO, false, 300, 0},
     {40, true},
     {20, false},
     "0:start6 40:start4 60:take4"},
    {"IPv6 fails before its start is over",
     {MODE_AUTO, false, 300, 0},
     {0, true},
     {20, false},
     "0:start6 0:start4 20:take4"},
    {"IPv6 fails after IPv4 was started",
     {MODE_AUTO, false, 300, 0},
     {310, true},
     {20, false},
     "0:start6 300:start4 320:take4"},
    {"a slow IPv6 that is still the first",
     {MODE_AUTO, false, 300, 0},
     {350, false},
     {100, false},
     "0:start6 300:start4 350:take6"},
    {"IPv6 completes just as IPv4 is to start",
     {MODE_AUTO, false, 300, 0},
     {300, false},
     {100, false},
     "0:start6 300:take6"},
    {"both complete in the same millisecond: IPv6",
     {MODE_AUTO, false, 300, 0},
     {400, false},
     {100, false},
     "0:start6 300:start4 400:take6"},
    {"IPv4 fails, IPv6 goes on",
     {MODE_AUTO, false, 300, 0},
     {900, false},
     {10, true},
     "0:start6 300:start4 900:take6"},
    {"both fail, IPv6 first",
     {MODE_AUTO, false, 300, 0},
     {10, true},
     {10, true},
     "0:start6 10:start4 20:fail"},
    {"both fail, IPv4 first",
     {MODE_AUTO, false, 300, 0},
     {900, true},
     {10, true},
     "0:start6 300:start4 900:fail"},
    {"a learned head start",
     {MODE_AUTO, false, 1500, 100},
     {1200, false},
     {20, false},
     "0:start6 1200:take6"},
    {"no head start at all",
     {MODE_AUTO, false, 0, 0},
     {50, false},
     {20, false},
     "0:start6 0:start4 20:take4"},

    {"grace: IPv6 completes within it",
     {MODE_AUTO, false, 300, 100},
     {390, false},
     {20, false},
     "0:start6 300:start4 390:take6"},
    {"grace: IPv6 does not make it",
     {MODE_AUTO, false, 300, 100},
     {430, false},
     {20, false},
     "0:start6 300:start4 420:take4"},
    {"grace: IPv6 fails within it",
     {MODE_AUTO, false, 300, 100},
     {350, true},
     {20, false},
     "0:start6 300:start4 350:take4"},
    {"grace: none when IPv6 failed before",
     {MODE_AUTO, false, 300, 100},
     {10, true},
     {20, false},
     "0:start6 10:start4 30:take4"},

    {"demoted: IPv4 has the head start",
     {MODE_AUTO, true, 300, 100},
     {10, false},
     {20, false},
     "0:start4 20:take4"},
    {"demoted: IPv4 fails, IPv6 at once",
     {MODE_AUTO, true, 300, 100},
     {10, false},
     {20, true},
     "0:start4 20:start6 30:take6"},
    {"demoted: IPv4 is slow",
     {MODE_AUTO, true, 300, 100},
     {10, false},
     {900, false},
     "0:start4 300:start6 310:take6"},
    {"demoted: no grace for IPv6",
     {MODE_AUTO, true, 300, 100},
     {50, false},
     {310, false},
     "0:start4 300:start6 310:take4"},
    {"demoted: both in the same millisecond: IPv4",
     {MODE_AUTO, true, 300, 100},
     {50, false},
     {350, false},
     "0:start4 300:start6 350:take4"},

    {"IPv6 only", {MODE_IPV6, false, 300, 100}, {900, false}, {20, false}, "0:start6 900:take6"},
    {"IPv6 only, and it fails",
     {MODE_IPV6, false, 300, 0},
     {10, true},
     {20, false},
     "0:start6 10:fail"},
    {"IPv4 only", {MODE_IPV4, false, 300, 100}, {1, false}, {900, false}, "0:start4 900:take4"},
    {"IPv4 only, and it fails",
     {MODE_IPV4, false, 300, 0},
     {10, false},
     {20, true},
     "0:start4 20:fail"},
    {"IPv6 only, though demoted",
     {MODE_IPV6, true, 300, 0},
     {10, false},
     {20, false},
     "0:start6 10:take6"},
    {"IPv4 only and demoted",
     {MODE_IPV4, true, 300, 0},
     {10, false},
     {20, false},
     "0:start4 20:take4"},
    {"IPv4 fails and IPv6 hangs: IPv4 again",
     {MODE_AUTO, false, 300, 0, 3000},
     {NEVER, false},
     {10, true, false, 20},
     "0:start6 300:start4 3310:start4 3330:take4"},
    {"IPv6 fails and IPv4 hangs: IPv6 again",
     {MODE_AUTO, false, 300, 0, 3000},
     {40, true, false, 20},
     {NEVER, false},
     "0:start6 40:start4 3040:start6 3060:take6"},
    {"each time after twice as long, four times",
     {MODE_AUTO, false, 300, 0, 300},
     {NEVER, false},
     {0, true},
     "0:start6 300:start4 600:start4 1200:start4 2400:start4 4800:start4"},
    {"not when it can't help",
     {MODE_AUTO, false, 300, 0, 300},
     {NEVER, false},
     {10, true, true},
     "0:start6 300:start4"},
    {"not when the other completes before",
     {MODE_AUTO, false, 300, 0, 3000},
     {2000, false},
     {10, true},
     "0:start6 300:start4 2000:take6"},
    {"all fail in the end",
     {MODE_AUTO, false, 300, 0, 1000},
     {2000, true},
     {10, true},
     "0:start6 300:start4 1310:start4 2000:fail"},
    {"demoted, IPv4 fails and IPv6 hangs",
     {MODE_AUTO, true, 300, 0, 3000},
     {NEVER, false},
     {10, true, false, 20},
     "0:start4 10:start6 3010:start4 3030:take4"},
    {"all hang: it waits",
     {MODE_AUTO, false, 300, 0},
     {NEVER, false},
     {NEVER, false},
     "0:start6 300:start4"},
};

struct play {
    struct race race;
    bool started[2], better[2]; /* better: it completes now, whatever it did before */
    uint64_t ends_ms[2];        /* of IPv6 and IPv4, once started */
    char story[200];
    bool over;
};

static void tell(struct play *p, uint64_t now_ms, const char *what)
{
    size_t len = strlen(p->story);
    (void)snprintf(p->story + len, sizeof p->story - len, "%s%d:%s", len > 0 ? " " : "",
                   (int)(now_ms - START_MS), what);
}

/* Asks until nothing is to be started. Returns when to ask again, 0 for the next event. */
static uint64_t ask(struct play *p, uint64_t now_ms, const struct track *tracks)
{
    for (;;) {
        struct race_step s = race_next(&p->race, now_ms);
        size_t i = s.family == FAMILY_IPV4;
        if (s.what == RACE_START) {
            bool better = p->started[i] && tracks[i].again > 0;
            tell(p, now_ms, i ? "start4" : "start6");
            race_started(&p->race, s.family);
            p->started[i] = true;
            p->ends_ms[i] = tracks[i].ms == NEVER ? UINT64_MAX : now_ms + tracks[i].ms;
            if (better) {
                p->ends_ms[i] = now_ms + tracks[i].again;
                p->better[i] = true;
            } else if (tracks[i].ms == 0) {
                p->ends_ms[i] = UINT64_MAX;
                race_failed(&p->race, s.family, true, now_ms);
            }
            continue;
        }
        if (s.what == RACE_WAIT) {
            assert_true(s.at_ms == 0 || s.at_ms > now_ms);
            return s.at_ms;
        }
        tell(p, now_ms, s.what == RACE_FAIL ? "fail" : i ? "take4" : "take6");
        p->over = true;
        return 0;
    }
}

static void each_race_goes_as_the_table_says(void **state)
{
    (void)state;
    for (size_t r = 0; r < COUNT_OF(rows); r++) {
        struct play p = {0};
        const struct track tracks[2] = {rows[r].ipv6, rows[r].ipv4};
        race_init(&p.race, &rows[r].rules, START_MS);
        uint64_t at_ms = ask(&p, START_MS, tracks);
        for (uint64_t now_ms = START_MS; !p.over && now_ms < START_MS + 6000; now_ms++) {
            bool event = at_ms == now_ms;
            for (size_t i = 0; i < 2; i++) {
                enum family f = i ? FAMILY_IPV4 : FAMILY_IPV6;
                if (p.ends_ms[i] != now_ms)
                    continue;
                event = true;
                if (tracks[i].fails && !p.better[i])
                    race_failed(&p.race, f, !tracks[i].for_good, now_ms);
                else
                    race_completed(&p.race, f, now_ms);
            }
            if (event)
                at_ms = ask(&p, now_ms, tracks);
        }
        if (strcmp(p.story, rows[r].story) != 0)
            fail_msg("%s: %s, not %s", rows[r].what, p.story, rows[r].story);
    }
}

static void a_late_question_is_answered_as_well(void **state)
{
    (void)state;
    struct race r;
    struct race_rules rules = {MODE_AUTO, false, 300, 100};
    race_init(&r, &rules, START_MS);
    race_started(&r, FAMILY_IPV6);
    assert_int_equal(race_next(&r, START_MS + 299).at_ms, START_MS + 300);
    assert_int_equal(race_next(&r, START_MS + 99999).what, RACE_START);
    race_started(&r, FAMILY_IPV4);
    race_completed(&r, FAMILY_IPV4, START_MS + 99999);
    assert_int_equal(race_next(&r, START_MS + 99999).at_ms, START_MS + 100099);
    assert_int_equal(race_next(&r, START_MS + 200000).what, RACE_TAKE);
    assert_int_equal(race_next(&r, START_MS + 200000).family, FAMILY_IPV4);
}

/* ---- what is learned over Tor ---- */

static void the_head_start_stays_within_its_bounds(void **state)
{
    (void)state;
    static const struct {
        enum route route;
        uint32_t known_ms, head_start_ms;
    } cases[] = {
        {ROUTE_DIRECT, 0, 300},  {ROUTE_DIRECT, 2000, 300},
        {ROUTE_TOR, 0, 300},     {ROUTE_TOR, 1, 300},
        {ROUTE_TOR, 200, 300},   {ROUTE_TOR, 400, 600},
        {ROUTE_TOR, 1000, 1500}, {ROUTE_TOR, 2000, 3000},
        {ROUTE_TOR, 2900, 3000}, {ROUTE_TOR, UINT32_MAX / 2, 3000},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(race_head_start_ms(cases[i].route, cases[i].known_ms),
                         cases[i].head_start_ms);
}

static void what_is_known_rises_quickly_and_falls_slowly(void **state)
{
    (void)state;
    uint32_t known_ms = race_learn(0, 400);
    assert_int_equal(known_ms, 400);
    known_ms = race_learn(known_ms, 1000);
    assert_int_equal(known_ms, 700);
    known_ms = race_learn(known_ms, 400);
    assert_int_equal(known_ms, 682);
    assert_int_equal(race_learn(0, 0), 1); /* known, though as short as can be */
    assert_int_equal(race_learn(0, UINT64_MAX), 3000);
    assert_int_equal(race_learn(UINT32_MAX, 500), 500); /* whatever a store once said */
    for (int i = 0; i < 100; i++)
        known_ms = race_learn(known_ms, 400);
    assert_in_range(known_ms, 400, 416);
}

/* One connection as it would go: the times of both families, and the race between them. */
static enum family run_race(uint32_t delay_ms, uint32_t ipv6_ms, uint32_t ipv4_ms)
{
    const struct race_rules rules = {MODE_AUTO, false, delay_ms, RACE_TOR_GRACE_MS};
    struct race r;
    uint64_t ipv4_ends_ms = UINT64_MAX;
    race_init(&r, &rules, START_MS);
    for (uint64_t now_ms = START_MS;; now_ms++) {
        if (now_ms == START_MS + ipv6_ms)
            race_completed(&r, FAMILY_IPV6, now_ms);
        if (now_ms == ipv4_ends_ms)
            race_completed(&r, FAMILY_IPV4, now_ms);
        for (;;) {
            struct race_step s = race_next(&r, now_ms);
            if (s.what == RACE_TAKE)
                return s.family;
            assert_true(s.what == RACE_START || s.what == RACE_WAIT);
            if (s.what == RACE_WAIT)
                break;
            race_started(&r, s.family);
            if (s.family == FAMILY_IPV4)
                ipv4_ends_ms = now_ms + ipv4_ms;
        }
    }
}

/* 200 ms to the guard: 415 ms over a circuit that is there, 1,030 ms when it must be built, which
 * IPv4's need not; all of it with some jitter. The first connection builds both. */
static void a_healthy_ipv6_wins_95_of_100_though_the_guard_is_far(void **state)
{
    (void)state;
    uint64_t seed;
    struct rng rng;
    unsigned wins = 0, fixed_wins = 0, races = 0;
    rng_secure(&seed, sizeof seed);
    print_message("seed %llu\n", (unsigned long long)seed);
    rng_init(&rng, seed);
    for (unsigned relay = 0; relay < 50; relay++) {
        uint32_t known_ms = 0;
        for (unsigned i = 0; i < 100; i++) {
            bool build = i == 0 || rng_below(&rng, 10) == 0;
            uint32_t ipv6_ms = (build ? 1030 : 415) + (uint32_t)rng_below(&rng, 80);
            uint32_t ipv4_ms = (i == 0 ? 1030 : 415) + (uint32_t)rng_below(&rng, 80);
            wins +=
                run_race(race_head_start_ms(ROUTE_TOR, known_ms), ipv6_ms, ipv4_ms) == FAMILY_IPV6;
            fixed_wins += run_race(RACE_DELAY_MIN_MS, ipv6_ms, ipv4_ms) == FAMILY_IPV6;
            known_ms = race_learn(known_ms, ipv6_ms);
            races++;
        }
    }
    print_message("IPv6 won %u of %u, with a fixed head start %u\n", wins, races, fixed_wins);
    assert_true(wins * 100 >= races * 95);
    assert_true(fixed_wins * 100 < races * 95); /* else nothing need be learned */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_race_goes_as_the_table_says),
        cmocka_unit_test(a_late_question_is_answered_as_well),
        cmocka_unit_test(the_head_start_stays_within_its_bounds),
        cmocka_unit_test(what_is_known_rises_quickly_and_falls_slowly),
        cmocka_unit_test(a_healthy_ipv6_wins_95_of_100_though_the_guard_is_far),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
