/* The contract's promises about who leads: one at a time, and a prober that no longer does is not
 * heard. */
#include "tests/support/contract.h"

#include <stdio.h>

static struct lead_result lead(struct rig *r, uint8_t who, bool leaving)
{
    struct lead_call c = {.role = LEAD_PROBER, .id = {who}, .leaving = leaving};
    struct answer a;
    (void)snprintf(c.name, sizeof c.name, "host:%u", who);
    ask_lead(&r->loop, r->q, &c, &a);
    if (a.e != ERR_NONE)
        die("lead was answered %s", err_name(a.e));
    assert_int_equal(a.lead.now_ms, r->wall_ms);
    struct lead_result out = a.lead;
    answer_free(&a);
    return out;
}

static enum err probe_as(struct rig *r, uint64_t epoch)
{
    static const struct observation seen = {.lane = 1, .counts = {.attempts = 1}};
    const struct observe_call c = {.source = STAT_PROBE, .epoch = epoch, .list = &seen, .len = 1};
    struct answer a;
    ask_observe(&r->loop, r->q, &c, &a);
    enum err e = a.e;
    answer_free(&a);
    return e;
}

static uint32_t attempts(struct rig *r)
{
    static const struct statistics_call all;
    struct answer a;
    ask_statistics(&r->loop, r->q, &all, &a);
    assert_int_equal(a.statistics.len, 1);
    uint32_t n = a.statistics.relays[0].paths[0].total.attempts;
    answer_free(&a);
    return n;
}

static void one_leads_until_it_is_silent(void **state)
{
    struct rig *r = *state;
    struct lead_result one = lead(r, 1, false);
    assert_true(one.leads);
    assert_string_equal(one.leader, "host:1");
    struct lead_result two = lead(r, 2, false);
    assert_false(two.leads);
    assert_string_equal(two.leader, "host:1");
    assert_int_equal(two.epoch, one.epoch);
    rig_pass(r, LEAD_TERM_MS - 1);
    assert_false(lead(r, 2, false).leads);
    assert_int_equal(lead(r, 1, false).epoch, one.epoch); /* goes on */
    rig_pass(r, LEAD_TERM_MS - 1);
    assert_false(lead(r, 2, false).leads);
    rig_pass(r, 1);
    two = lead(r, 2, false);
    assert_true(two.leads);
    assert_true(two.epoch > one.epoch);
    assert_false(lead(r, 1, false).leads);
}

static void who_leaves_makes_room_at_once(void **state)
{
    struct rig *r = *state;
    uint64_t epoch = lead(r, 1, false).epoch;
    assert_string_equal(lead(r, 2, true).leader, "host:1"); /* has nothing to give up */
    struct lead_result left = lead(r, 1, true);
    assert_false(left.leads);
    assert_string_equal(left.leader, "");
    struct lead_result two = lead(r, 2, false);
    assert_true(two.leads);
    assert_true(two.epoch > epoch);
}

static void a_restart_gives_the_leader_a_term_to_come_back(void **state)
{
    struct rig *r = *state;
    uint64_t epoch = lead(r, 1, false).epoch;
    rig_pass(r, LEAD_TERM_MS - 1);
    rig_restart(r);
    assert_false(lead(r, 2, false).leads);
    rig_pass(r, LEAD_TERM_MS - 1);
    struct lead_result one = lead(r, 1, false);
    assert_true(one.leads);
    assert_int_equal(one.epoch, epoch);
    rig_restart(r);
    (void)lead(r, 2, false);
    rig_pass(r, LEAD_TERM_MS);
    assert_true(lead(r, 2, false).leads);
    rig_restart(r);
    assert_true(lead(r, 2, false).epoch > epoch); /* never given again */
}

static void a_prober_that_no_longer_leads_is_not_heard(void **state)
{
    struct rig *r = *state;
    define_relays(r, 1);
    assert_int_equal(probe_as(r, 0), ERR_STALE); /* nobody leads */
    uint64_t one = lead(r, 1, false).epoch;
    assert_int_equal(probe_as(r, one + 1), ERR_STALE);
    assert_int_equal(probe_as(r, one), ERR_NONE);
    rig_pass(r, LEAD_TERM_MS);
    assert_int_equal(probe_as(r, one), ERR_NONE); /* nobody came after it */
    uint64_t two = lead(r, 2, false).epoch;
    assert_int_equal(probe_as(r, one), ERR_STALE);
    assert_int_equal(probe_as(r, two), ERR_NONE);
    rig_restart(r);
    assert_int_equal(probe_as(r, one), ERR_STALE);
    assert_int_equal(attempts(r), 3);
}

int main(void)
{
    static const struct CMUnitTest cases[] = {
        CASE(one_leads_until_it_is_silent),
        CASE(who_leaves_makes_room_at_once),
        CASE(a_restart_gives_the_leader_a_term_to_come_back),
        CASE(a_prober_that_no_longer_leads_is_not_heard),
    };
    return contract_run("who leads", cases, COUNT_OF(cases));
}
