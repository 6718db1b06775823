/* Which family has the first turn at a relay, and for how long: stories of races, one line each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "publisher/lane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOR_MS  1800000u
#define FROM_MS 1000000u

/* Words of a story: W won, B beaten, L late, D dead, each "W400" with its time over Tor; "w400" by
 * route direct; "+1000" so many ms pass; "6" and "4": that family must be first now; "h600": so
 * long must the head start over Tor be, "d300" direct; "g100" the grace over
 * Tor. */
static const struct {
    const char *promise, *story;
} rows[] = {
    {"nothing known: IPv6 first, 300 ms", "6 h300 d300"},
    {"three times in a row", "B 6 B 6 B 4"},
    {"a win between them", "B B W400 B B 6 B 4"},
    {"one that was only late is acquitted", "B L900 B L900 B L900 B 6"},
    {"acquitted after the third too", "B B B 4 L900 6 B 6"},
    {"dead is dead, and counts once", "B D B D 6 B D 4"},
    {"IPv4 is first for demote_for", "B B B +1799999 4 +1 6"},
    {"and again after one more race", "B B B +1800000 6 B 4 +1799999 4 +1 6"},
    {"the time runs from the verdict", "B B B +3000 D +1799999 4 +1 6"},
    {"IPv6 winning while it is second ends it", "B B B 4 W500 6 B 6"},
    {"half as much again as it took", "W400 h600 d300"},
    {"at least 300 ms, at most 3 s", "W10 h300 W3000 W3000 W3000 W3000 W3000 h3000"},
    {"late ones are learned from", "B L1000 h1500"},
    {"it rises at once and falls slowly", "W400 W1000 h1050 W400 h1023"},
    {"by route direct nothing is learned", "w2000 h300 d300"},
    {"who is demoted is not waited for as long as IPv6 was", "W2000 h3000 B B B 4 h300"},
    {"and has its own time again afterwards", "W2000 B B B 4 h300 +1800000 6 h3000"},
    {"who was beaten is not waited for twice", "g100 B g0 D g0 B L400 g100 B W400 g100"},
    {"what is beaten teaches no time", "W400 B D h600"},
};

static struct lane *lane_with(const struct learned *k, uint32_t demote_after)
{
    struct lane_grant g = {.lane = 1, .epoch = 1};
    const struct lane_limits limits = {
        .window_max = 8, .demote_after = demote_after, .demote_for_ms = FOR_MS};
    g.learned = *k;
    return lane_new(&g, &limits, 0, 1, 1700000000000, FROM_MS);
}

static bool step(struct lane *l, const char *word, uint64_t *now_ms)
{
    static const char *const ends = "WBLD";
    unsigned long n = strtoul(word + 1, NULL, 10);
    const char *end = strchr(ends, word[0]);
    if (end != NULL)
        lane_raced(l, (enum ipv6_end)(end - ends), ROUTE_TOR, n, *now_ms);
    else if (word[0] == 'w')
        lane_raced(l, IPV6_WON, ROUTE_DIRECT, n, *now_ms);
    else if (word[0] == '+')
        *now_ms += n;
    else if (word[0] == 'h')
        return lane_head_start_ms(l, ROUTE_TOR, *now_ms) == n;
    else if (word[0] == 'g')
        return lane_grace_ms(l, ROUTE_TOR) == n && lane_grace_ms(l, ROUTE_DIRECT) == 0;
    else if (word[0] == 'd')
        return lane_head_start_ms(l, ROUTE_DIRECT, *now_ms) == n;
    else
        return lane_ipv4_first(l, *now_ms) == (word[0] == '4');
    return true;
}

static void each_story_ends_as_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct lane *l = lane_with(&(struct learned){0}, 3);
        uint64_t now_ms = FROM_MS;
        char story[200], *save = NULL;
        (void)snprintf(story, sizeof story, "%s", rows[i].story);
        for (char *w = strtok_r(story, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save))
            if (!step(l, w, &now_ms))
                fail_msg("%s: '%s' is not so (head start %u)", rows[i].promise, w,
                         lane_head_start_ms(l, ROUTE_TOR, now_ms));
        lane_free(l);
    }
}

static void it_travels_with_the_lane(void **state)
{
    (void)state;
    struct lane *l = lane_with(&(struct learned){0}, 3);
    struct lane_commit c;
    uint64_t now_ms = FROM_MS;
    assert_false(lane_dirty(l));
    assert_true(step(l, "W800", &now_ms));
    assert_true(lane_dirty(l));
    for (int i = 0; i < 3; i++)
        lane_raced(l, IPV6_BEATEN, ROUTE_TOR, 0, now_ms);
    lane_commit_begin(l, &c);
    const struct learned k = c.learned;
    lane_free(l);
    l = lane_with(&k, 3);
    assert_true(step(l, "4", &now_ms));
    now_ms += FOR_MS;
    assert_true(step(l, "6", &now_ms));
    assert_true(step(l, "h1200", &now_ms));
    lane_free(l);
}

static void demotion_can_be_turned_off(void **state)
{
    (void)state;
    struct lane *l = lane_with(&(struct learned){.ipv6_failures = 9}, 0);
    for (int i = 0; i < 9; i++)
        lane_raced(l, IPV6_BEATEN, ROUTE_TOR, 0, FROM_MS);
    assert_false(lane_ipv4_first(l, FROM_MS));
    lane_free(l);
}

/* Else IPv6 would rest for as long as the clock was wrong. */
static void a_demotion_from_a_clock_that_jumped_is_none(void **state)
{
    (void)state;
    struct learned k = {.ipv6_failures = 3, .demoted_until_ms = 1800000000000};
    struct lane *l = lane_with(&k, 3);
    assert_false(lane_ipv4_first(l, FROM_MS));
    lane_free(l);
}

/* Demoted at FROM_MS for FOR_MS; what probes then say. */
static void a_probe_may_give_the_turn_back_and_never_takes_it(void **state)
{
    static const struct {
        enum route route;
        int64_t success_ms; /* after the demotion */
        int32_t streak;
        bool back;
    } probes[] = {
        {ROUTE_TOR, 5000, 2, true},   {ROUTE_TOR, 5000, 1, false},    {ROUTE_TOR, -5000, 9, false},
        {ROUTE_TOR, 5000, -3, false}, {ROUTE_DIRECT, 5000, 2, false},
    };
    const uint64_t later_ms = FROM_MS + 10000;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(probes); i++) {
        struct lane *l = lane_with(&(struct learned){.ipv6_connect_ms = 400}, 2);
        const struct lane_probe p = {.route = probes[i].route,
                                     .success_ms = 1700000000000 + FROM_MS + probes[i].success_ms,
                                     .streak = probes[i].streak,
                                     .connect_ms = 900};
        assert_false(lane_wants_probe(l, FROM_MS));
        lane_probed(l, &p, FROM_MS);
        assert_false(lane_ipv4_first(l, FROM_MS));
        lane_raced(l, IPV6_BEATEN, ROUTE_TOR, 0, FROM_MS);
        lane_raced(l, IPV6_BEATEN, ROUTE_TOR, 0, FROM_MS);
        assert_true(lane_ipv4_first(l, later_ms) && lane_wants_probe(l, later_ms));
        lane_probed(l, &p, later_ms);
        assert_int_equal(lane_ipv4_first(l, later_ms), !probes[i].back);
        if (probes[i].back)
            assert_int_equal(lane_head_start_ms(l, ROUTE_TOR, later_ms), 600); /* its own time */
        lane_free(l);
    }
}

static void a_probe_tells_the_time_where_none_is_known(void **state)
{
    const struct lane_probe p = {.route = ROUTE_TOR, .streak = 1, .connect_ms = 800};
    (void)state;
    struct lane *l = lane_with(&(struct learned){0}, 3);
    assert_true(lane_wants_probe(l, FROM_MS));
    lane_probed(l, &p, FROM_MS);
    assert_int_equal(lane_head_start_ms(l, ROUTE_TOR, FROM_MS), 1200);
    assert_true(lane_dirty(l));
    assert_false(lane_wants_probe(l, FROM_MS));
    lane_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_story_ends_as_told),
        cmocka_unit_test(it_travels_with_the_lane),
        cmocka_unit_test(demotion_can_be_turned_off),
        cmocka_unit_test(a_demotion_from_a_clock_that_jumped_is_none),
        cmocka_unit_test(a_probe_may_give_the_turn_back_and_never_takes_it),
        cmocka_unit_test(a_probe_tells_the_time_where_none_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
