/* The race as a decision: tables of what happens when, and what is done then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/net/race.h"

#include <stdio.h>
#include <string.h>

#define NEVER    UINT32_MAX
#define START_MS 1000000u

/* A relay: how long each family takes, from its own start, until it completes or fails. */
struct track {
    uint32_t ms;
    bool fails;
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
    {"all hang: it waits",
     {MODE_AUTO, false, 300, 0},
     {NEVER, false},
     {NEVER, false},
     "0:start6 300:start4"},
};

struct play {
    struct race race;
    uint64_t ends_ms[2]; /* of IPv6 and IPv4, once started */
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
            assert_int_equal(p->ends_ms[i], 0);
            tell(p, now_ms, i ? "start4" : "start6");
            race_started(&p->race, s.family);
            p->ends_ms[i] = tracks[i].ms == NEVER ? UINT64_MAX : now_ms + tracks[i].ms;
            if (tracks[i].ms == 0) {
                p->ends_ms[i] = UINT64_MAX;
                race_failed(&p->race, s.family);
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
        for (uint64_t now_ms = START_MS; !p.over && now_ms < START_MS + 3000; now_ms++) {
            bool event = at_ms == now_ms;
            for (size_t i = 0; i < 2; i++) {
                enum family f = i ? FAMILY_IPV4 : FAMILY_IPV6;
                if (p.ends_ms[i] != now_ms)
                    continue;
                event = true;
                if (tracks[i].fails)
                    race_failed(&p.race, f);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_race_goes_as_the_table_says),
        cmocka_unit_test(a_late_question_is_answered_as_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
