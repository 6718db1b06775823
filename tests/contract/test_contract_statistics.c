/* The contract's promises about statistics: what is told is added up, by lane and way; windows move
 * on with the queue's clock; and of several probers one is heard. */
#include "tests/support/contract.h"

#include "common/base/rng.h"
#include "queue/windows.h"

#include <stdlib.h>
#include <string.h>

#define MINUTE_MS 60000
#define HOUR_MS   (60 * MINUTE_MS)

/* ---- telling and asking ---- */

/* One connection over IPv6 and Tor. */
static struct observation connected(uint32_t lane, uint64_t connect_us)
{
    struct observation o = {.lane = lane, .family = FAMILY_IPV6, .streak = 1};
    o.counts.attempts = o.counts.successes = o.counts.uses = 1;
    stat_histogram_add(&o.counts.phases[STAT_CONNECT], connect_us);
    return o;
}

static struct observation failing(uint32_t lane, enum stat_failure why)
{
    struct observation o = {.lane = lane, .family = FAMILY_IPV6, .streak = -1};
    o.counts.attempts = o.counts.failures[why] = 1;
    return o;
}

static enum err observe_all(struct rig *r, const struct observe_call *c, struct observe_result *out)
{
    struct answer a;
    ask_observe(&r->loop, r->q, c, &a);
    enum err e = a.e;
    *out = a.observe;
    answer_free(&a);
    return e;
}

/* Of a publisher; true when the lane was known. */
static bool observe(struct rig *r, const struct observation *o)
{
    const struct observe_call c = {.source = STAT_DELIVERY, .list = o, .len = 1};
    struct observe_result out;
    if (observe_all(r, &c, &out) != ERR_NONE || out.taken + out.unknown != 1)
        die("an observation was refused");
    assert_int_equal(out.now_ms, r->wall_ms);
    return out.taken == 1;
}

static void ask(struct rig *r, uint64_t since, uint32_t after, struct answer *a)
{
    const struct statistics_call c = {.since = since, .after = after};
    ask_statistics(&r->loop, r->q, &c, a);
    if (a->e != ERR_NONE)
        die("no statistics: %s", err_name(a->e));
    assert_int_equal(a->statistics.now_ms, r->wall_ms);
}

/* The only path of the only relay. */
static struct path_statistics only_path(struct rig *r)
{
    struct answer a;
    ask(r, 0, 0, &a);
    assert_int_equal(a.statistics.len, 1);
    assert_int_equal(a.statistics.relays[0].paths_len, 1);
    struct path_statistics p = a.statistics.relays[0].paths[0];
    answer_free(&a);
    return p;
}

static size_t relays_told(struct rig *r, uint64_t since)
{
    struct answer a;
    ask(r, since, 0, &a);
    size_t len = a.statistics.len;
    answer_free(&a);
    return len;
}

static uint64_t version(struct rig *r)
{
    struct answer a;
    ask(r, 0, 0, &a);
    uint64_t v = a.statistics.version;
    answer_free(&a);
    return v;
}

/* As the prober that leads. */
static enum err probe(struct rig *r, const struct observation *o)
{
    const struct lead_call call = {.role = LEAD_PROBER, .id = {1}};
    struct observe_call c = {.source = STAT_PROBE, .list = o, .len = 1};
    struct observe_result out;
    struct answer a;
    ask_lead(&r->loop, r->q, &call, &a);
    c.epoch = a.lead.epoch;
    answer_free(&a);
    return observe_all(r, &c, &out);
}

/* Attempts in the windows, the smallest first, and in all. */
#define assert_attempts(r, hour, day, week, all)                                                   \
    do {                                                                                           \
        struct path_statistics p_ = only_path(r);                                                  \
        assert_int_equal(p_.windows[STAT_HOUR].attempts, hour);                                    \
        assert_int_equal(p_.windows[STAT_DAY].attempts, day);                                      \
        assert_int_equal(p_.windows[STAT_WEEK].attempts, week);                                    \
        assert_int_equal(p_.total.attempts, all);                                                  \
    } while (0)

/* ---- counting ---- */

static void what_is_told_is_added_up(void **state)
{
    struct rig *r = *state;
    define_relays(r, 1);
    for (unsigned i = 1; i <= 100; i++) {
        const struct observation o = connected(1, i * 1000);
        assert_true(observe(r, &o));
    }
    struct observation o = failing(1, STAT_TIMEOUT);
    o.counts.deliveries = 7;
    assert_true(observe(r, &o));
    struct path_statistics p = only_path(r);
    assert_int_equal(p.source, STAT_DELIVERY);
    assert_int_equal(p.route, ROUTE_TOR);
    assert_int_equal(p.family, FAMILY_IPV6);
    assert_int_equal(p.total.attempts, 101);
    assert_int_equal(stat_failed(&p.total), 1);
    for (unsigned i = 0; i < STAT_WINDOW_COUNT; i++) {
        const struct window_statistics *w = &p.windows[i];
        assert_int_equal(w->attempts, 101);
        assert_int_equal(w->successes, 100);
        assert_int_equal(w->failures[STAT_TIMEOUT], 1);
        assert_int_equal(w->failures[STAT_REFUSED], 0);
        assert_int_equal(w->uses, 100);
        assert_int_equal(w->deliveries, 7);
        assert_int_equal(w->phases[STAT_CONNECT].count, 100);
        assert_int_equal(w->phases[STAT_CONNECT].sum_us, 5050000);
        assert_in_range(w->phases[STAT_CONNECT].p50_us, 45000, 55000);
        assert_in_range(w->phases[STAT_CONNECT].p90_us, 80000, 100000);
        assert_in_range(w->phases[STAT_CONNECT].p99_us, 90000, 129000);
        assert_int_equal(w->phases[STAT_TLS_PHASE].count, 0);
    }
}

static void each_lane_source_route_and_family_is_counted_for_itself(void **state)
{
    struct rig *r = *state;
    struct answer a;
    define_relays(r, 3);
    struct observation list[] = {connected(3, 1), connected(1, 1), connected(1, 1),
                                 connected(1, 1)};
    list[1].route = ROUTE_DIRECT;
    list[2].family = FAMILY_IPV4;
    list[3].counts.attempts = 5;
    const struct observe_call c = {.list = list, .len = COUNT_OF(list)};
    struct observe_result out;
    assert_int_equal(observe_all(r, &c, &out), ERR_NONE);
    assert_int_equal(out.taken, 4);
    const struct observation seen = connected(1, 1);
    assert_int_equal(probe(r, &seen), ERR_NONE);
    ask(r, 0, 0, &a);
    assert_int_equal(a.statistics.len, 2);
    assert_int_equal(a.statistics.next, 0);
    const struct relay_statistics *s = a.statistics.relays;
    assert_int_equal(s[0].lane, 1);
    assert_string_equal(s[0].url, "wss://relay0.example");
    assert_int_equal(s[1].lane, 3);
    assert_int_equal(s[0].paths_len, 4);
    static const struct {
        enum stat_source source;
        enum route route;
        enum family family;
        uint32_t attempts;
    } order[] = {{STAT_DELIVERY, ROUTE_TOR, FAMILY_IPV6, 5},
                 {STAT_DELIVERY, ROUTE_TOR, FAMILY_IPV4, 1},
                 {STAT_DELIVERY, ROUTE_DIRECT, FAMILY_IPV6, 1},
                 {STAT_PROBE, ROUTE_TOR, FAMILY_IPV6, 1}};
    for (size_t i = 0; i < COUNT_OF(order); i++) {
        assert_int_equal(s[0].paths[i].source, order[i].source);
        assert_int_equal(s[0].paths[i].route, order[i].route);
        assert_int_equal(s[0].paths[i].family, order[i].family);
        assert_int_equal(s[0].paths[i].total.attempts, order[i].attempts);
    }
    answer_free(&a);
}

static void a_streak_goes_on_until_it_breaks(void **state)
{
    static const struct {
        uint32_t good, bad;
        int32_t streak, then;
    } steps[] = {{2, 0, 2, 2},   {1, 0, 1, 3},   {0, 0, 0, 3}, {0, 1, -1, -1},
                 {0, 4, -4, -5}, {3, 1, -1, -1}, {1, 1, 1, 1}, {2, 1, 2, 2}};
    struct rig *r = *state;
    define_relays(r, 1);
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        struct observation o = {.lane = 1, .streak = steps[i].streak};
        o.counts.successes = steps[i].good;
        o.counts.failures[STAT_HTTP] = steps[i].bad;
        (void)observe(r, &o);
        assert_int_equal(only_path(r).streak, steps[i].then);
    }
}

static void the_last_of_each_is_dated_by_the_queues_clock(void **state)
{
    struct rig *r = *state;
    define_relays(r, 1);
    struct observation o = connected(1, 1);
    o.success_ago_ms = 3000;
    o.last = (struct stat_last){
        .at_ms = 3001, .ok = true, .phases_us = {1, 2}, .certificate_end_s = 99, .address = "::1"};
    int64_t then_ms = r->wall_ms;
    (void)observe(r, &o);
    rig_pass(r, MINUTE_MS);
    o = failing(1, STAT_REFUSED);
    (void)observe(r, &o); /* nothing about the last one */
    struct path_statistics p = only_path(r);
    assert_int_equal(p.last_success_ms, then_ms - 3000);
    assert_int_equal(p.last_failure_ms, r->wall_ms);
    assert_int_equal(p.last.at_ms, then_ms - 3001);
    assert_true(p.last.ok);
    assert_int_equal(p.last.phases_us[STAT_CONNECT], 2);
    assert_int_equal(p.last.certificate_end_s, 99);
    assert_string_equal(p.last.address, "::1");
    o.last = (struct stat_last){.at_ms = 1, .why = STAT_REFUSED, .text = "connection refused"};
    (void)observe(r, &o);
    p = only_path(r);
    assert_false(p.last.ok);
    assert_int_equal(p.last.why, STAT_REFUSED);
    assert_string_equal(p.last.text, "connection refused");
    assert_int_equal(p.last.certificate_end_s, 0);
}

/* ---- time ---- */

static void windows_move_on(void **state)
{
    struct rig *r = *state;
    const struct observation o = connected(1, 1);
    define_relays(r, 1);
    assert_true(observe(r, &o));
    rig_pass(r, 30 * MINUTE_MS);
    (void)observe(r, &o);
    assert_attempts(r, 2, 2, 2, 2);
    rig_pass(r, 31 * MINUTE_MS);
    assert_attempts(r, 1, 2, 2, 2);
    rig_pass(r, 30 * MINUTE_MS);
    assert_attempts(r, 0, 2, 2, 2);
    rig_pass(r, 24 * HOUR_MS);
    assert_attempts(r, 0, 0, 2, 2);
    (void)observe(r, &o);
    assert_attempts(r, 1, 1, 3, 3);
    rig_pass(r, 7 * 24 * HOUR_MS);
    assert_attempts(r, 0, 0, 0, 3);
}

static void a_clock_set_forward_loses_nothing_for_an_hour(void **state)
{
    const int64_t year_ms = 365 * 24 * (int64_t)HOUR_MS;
    struct rig *r = *state;
    const struct observation o = connected(1, 1);
    define_relays(r, 2);
    (void)observe(r, &o);
    rig_housekeep(r);
    rig_jump(r, year_ms);
    assert_attempts(r, 1, 1, 1, 1); /* before the queue itself has looked, */
    (void)observe(r, &o);
    rig_pass(r, 30 * MINUTE_MS); /* and after */
    (void)observe(r, &o);
    assert_attempts(r, 3, 3, 3, 3);
    rig_jump(r, -year_ms); /* mended */
    rig_pass(r, MINUTE_MS);
    assert_attempts(r, 3, 3, 3, 3);
    rig_pass(r, 2 * HOUR_MS);
    assert_attempts(r, 0, 3, 3, 3);
    (void)observe(r, &o);
    rig_jump(r, year_ms);
    rig_pass(r, HOUR_MS - MINUTE_MS);
    assert_attempts(r, 1, 4, 4, 4);
    rig_pass(r, 2 * MINUTE_MS); /* believed */
    assert_attempts(r, 0, 0, 0, 4);
}

static void what_is_new_while_the_clock_is_doubted_is_not_lost(void **state)
{
    struct rig *r = *state;
    const struct observation o = connected(1, 1);
    define_relays(r, 1);
    rig_housekeep(r);
    rig_jump(r, 48 * HOUR_MS);
    rig_housekeep(r);
    (void)observe(r, &o);
    rig_pass(r, 2 * HOUR_MS);
    assert_attempts(r, 0, 1, 1, 1);
}

static void a_clock_set_back_keeps_what_was_counted(void **state)
{
    struct rig *r = *state;
    const struct observation o = connected(1, 1);
    define_relays(r, 1);
    (void)observe(r, &o);
    rig_pass(r, 20 * MINUTE_MS);
    rig_jump(r, -10 * MINUTE_MS); /* a little: the newest bucket waits for it */
    (void)observe(r, &o);
    assert_attempts(r, 2, 2, 2, 2);
    rig_jump(r, -48 * HOUR_MS); /* much: what was newest is now */
    (void)observe(r, &o);
    assert_attempts(r, 3, 3, 3, 3);
    rig_pass(r, 2 * HOUR_MS);
    assert_attempts(r, 0, 3, 3, 3);
}

/* ---- lanes come and go ---- */

static void a_restart_forgets_nothing(void **state)
{
    struct rig *r = *state;
    struct observation o = connected(1, 4000);
    o.last = (struct stat_last){.at_ms = 1, .ok = true, .software = "strfry"};
    define_relays(r, 1);
    (void)observe(r, &o);
    const struct path_statistics before = only_path(r);
    uint64_t v = version(r);
    rig_restart(r);
    const struct path_statistics after = only_path(r);
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(version(r), v);
    assert_int_equal(relays_told(r, v), 0); /* who asks again after it is not told all again */
    assert_int_equal(relays_told(r, v - 1), 1);
}

static void an_unknown_or_retired_lane_takes_nothing(void **state)
{
    struct rig *r = *state;
    struct answer a;
    const struct observation list[] = {connected(1, 1), connected(9, 1), connected(2, 1)};
    const struct observe_call c = {.list = list, .len = COUNT_OF(list)};
    struct observe_result out;
    define_relays(r, 2);
    assert_true(observe(r, &list[0]));
    define_relays(r, 0);
    assert_int_equal(observe_all(r, &c, &out), ERR_NONE);
    assert_int_equal(out.taken, 0);
    assert_int_equal(out.unknown, 3);
    assert_int_equal(relays_told(r, 0), 0);
    rig_pass(r, RIG_RETENTION_MS + 1);
    define_relays(r, 1); /* it comes again, as another lane */
    ask(r, 0, 0, &a);
    assert_int_equal(a.statistics.len, 0);
    answer_free(&a);
    assert_false(observe(r, &list[0]));
    const struct observation o = connected(3, 1);
    assert_true(observe(r, &o));
    assert_attempts(r, 1, 1, 1, 1);
}

static void who_asks_again_is_told_what_changed(void **state)
{
    struct rig *r = *state;
    struct answer a;
    define_relays(r, 3);
    for (uint32_t lane = 1; lane <= 3; lane++) {
        const struct observation o = connected(lane, 1);
        (void)observe(r, &o);
    }
    uint64_t v = version(r);
    assert_int_equal(relays_told(r, v), 0);
    const struct observation o = connected(2, 1);
    (void)observe(r, &o);
    ask(r, v, 0, &a);
    assert_int_equal(a.statistics.len, 1);
    assert_int_equal(a.statistics.relays[0].lane, 2);
    assert_true(a.statistics.version > v);
    answer_free(&a);
    assert_int_equal(relays_told(r, v + 1000), 3); /* of another queue: told all */
}

static void many_relays_come_in_pages(void **state)
{
    struct rig *r = *state;
    struct observation *list = mem_zero(150, sizeof *list);
    const struct observe_call c = {.list = list, .len = 150};
    struct observe_result out;
    uint32_t after = 0, expected = 1;
    unsigned pages = 0;
    define_relays(r, 160);
    for (uint32_t i = 0; i < 150; i++)
        list[i] = connected(i + 1, 1);
    assert_int_equal(observe_all(r, &c, &out), ERR_NONE);
    do {
        struct answer a;
        ask(r, 0, after, &a);
        for (size_t i = 0; i < a.statistics.len; i++)
            assert_int_equal(a.statistics.relays[i].lane, expected++);
        after = a.statistics.next;
        pages++;
        answer_free(&a);
    } while (after != 0);
    assert_int_equal(expected, 151);
    assert_int_equal(pages, 3);
    free(list);
}

static void make_some(struct rng *rng, struct observation *o)
{
    *o = (struct observation){.lane = 1, .streak = (int32_t)rng_below(rng, 5) - 2};
    o->counts.attempts = (uint32_t)rng_below(rng, 300);
    o->counts.successes = (uint32_t)rng_below(rng, 3);
    o->counts.failures[rng_below(rng, STAT_FAILURE_COUNT)] = (uint32_t)rng_below(rng, 3);
    o->counts.deliveries = (uint32_t)rng_below(rng, 2) << 20;
    for (unsigned i = 0; i < rng_below(rng, 30); i++)
        stat_histogram_add(&o->counts.phases[rng_below(rng, STAT_PHASE_COUNT)],
                           rng_next(rng) >> (20 + rng_below(rng, 44)));
    o->success_ago_ms = (uint32_t)rng_below(rng, 9000);
    o->failure_ago_ms = (uint32_t)rng_below(rng, 9000);
    if (rng_below(rng, 3) == 0)
        o->last = (struct stat_last){.at_ms = 1 + (int64_t)rng_below(rng, 9000),
                                     .why = (enum stat_failure)rng_below(rng, STAT_FAILURE_COUNT),
                                     .text = "it hung up",
                                     .phases_us = {0, 7, 70000}};
}

/* The arithmetic is windows.c's, also where it is written again in another language. */
static void every_queue_counts_alike(void **state)
{
    struct rig *r = *state;
    struct windows *w = mem_zero(2, sizeof *w);
    struct rng rng;
    rng_init(&rng, 11);
    define_relays(r, 1);
    for (unsigned i = 0; i < 60; i++) {
        struct observation o;
        struct path_statistics mine = {.source = STAT_DELIVERY};
        make_some(&rng, &o);
        assert_true(observe(r, &o));
        windows_add(w, &o, r->wall_ms, false);
        rig_pass(r, (int64_t)rng_below(&rng, i % 8 == 0 ? 30 * HOUR_MS : 20 * MINUTE_MS));
        w[1] = w[0];
        windows_roll(&w[1], r->wall_ms);
        windows_show(&w[1], &mine);
        const struct path_statistics its = only_path(r);
        assert_memory_equal(&mine, &its, sizeof mine);
    }
    free(w);
}

static void more_than_a_call_may_hold_is_refused(void **state)
{
    struct rig *r = *state;
    struct observation *list = mem_zero(OBSERVATIONS_MAX + 1, sizeof *list);
    struct observe_call c = {.list = list, .len = OBSERVATIONS_MAX + 1};
    struct observe_result out;
    define_relays(r, 1);
    assert_int_equal(observe_all(r, &c, &out), ERR_INVALID);
    c.len--;
    assert_int_equal(observe_all(r, &c, &out), ERR_NONE);
    assert_int_equal(out.unknown, OBSERVATIONS_MAX);
    free(list);
}

int main(void)
{
    static const struct CMUnitTest cases[] = {
        CASE(what_is_told_is_added_up),
        CASE(each_lane_source_route_and_family_is_counted_for_itself),
        CASE(a_streak_goes_on_until_it_breaks),
        CASE(the_last_of_each_is_dated_by_the_queues_clock),
        CASE(windows_move_on),
        CASE(a_clock_set_forward_loses_nothing_for_an_hour),
        CASE(what_is_new_while_the_clock_is_doubted_is_not_lost),
        CASE(a_clock_set_back_keeps_what_was_counted),
        CASE(a_restart_forgets_nothing),
        CASE(an_unknown_or_retired_lane_takes_nothing),
        CASE(who_asks_again_is_told_what_changed),
        CASE(many_relays_come_in_pages),
        CASE(every_queue_counts_alike),
        CASE(more_than_a_call_may_hold_is_refused),
    };
    return contract_run("statistics", cases, COUNT_OF(cases));
}
