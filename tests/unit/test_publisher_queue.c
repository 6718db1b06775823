/* A whole publisher and its queue: calls that fail, leases, giving back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/publish_rig.h"
#include "tests/support/spin.h"

#include <stdlib.h>

struct wait {
    struct publish_rig *r;
    unsigned relay, count;
};

static bool connected(void *arg)
{
    const struct wait *w = arg;
    return w->r->relays[w->relay].connections >= w->count;
}

static void wait_for_connections(struct publish_rig *r, unsigned relay, unsigned count)
{
    struct wait w = {r, relay, count};
    spin_until(&r->loop, connected, &w, "a connection");
}

/* ---- the queue's failures ---- */

static void a_queue_that_does_not_answer_is_asked_again(void **state)
{
    struct publish_rig *r = *state;
    r->taps[0].fail_others = 2; /* define, twice */
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 10);
    publish_rig_settle(r);
    r->taps[0].fail_others = 1;
    publish_rig_append_notes(r, 10);
    publish_rig_settle(r);
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        publish_rig_check_all(r, i);
}

static bool away_and_back(void *arg)
{
    const struct tap *t = &((struct publish_rig *)arg)->taps[0];
    return t->fail_others == 0 && t->leases >= 2;
}

static void facts_are_read_again_when_the_queue_was_away(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 1);
    publish_rig_settle(r);
    fake_relay_down(&r->relays[0]);
    publish_rig_append_notes(r, 5);
    publish_rig_wait_for_events(r, 1, 6);
    assert_int_equal(r->taps[0].reads, 0); /* all of it came by the tail */
    r->taps[0].fail_others = 1;
    spin_until(&r->loop, away_and_back, r, "the queue away and back");
    fake_relay_up(&r->relays[0]);
    publish_rig_settle(r);
    assert_true(r->taps[0].positions_read >= 5);
    publish_rig_check_all(r, 0);
}

/* As Redis may do. */
static void lanes_are_taken_anew_when_the_queue_was_restarted(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 5);
    publish_rig_settle(r);
    unsigned before[RIG_RELAYS];
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        before[i] = r->relays[i].connections;
    r->taps[0].follower.on_restart(r->taps[0].follower.arg);
    publish_rig_append_notes(r, 5);
    publish_rig_settle(r);
    for (unsigned i = 0; i < RIG_RELAYS; i++) {
        assert_int_equal(r->relays[i].connections, before[i] + 1);
        publish_rig_check_all(r, i);
    }
}

static void a_commit_whose_answer_is_lost_is_repeated_harmlessly(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 5);
    r->taps[0].lose_commits = 2;
    publish_rig_append_notes(r, 20);
    publish_rig_settle(r);
    publish_rig_append_notes(r, 5);
    publish_rig_settle(r);
    assert_int_equal(r->taps[0].lose_commits, 0);
    for (unsigned i = 0; i < RIG_RELAYS; i++) {
        publish_rig_check_all(r, i);
        assert_int_equal(publish_rig_lane(r, i).delivered, 30);
    }
}

static void commits_gather_lanes_and_events(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_append_notes(r, 500);
    publish_rig_start(r, 0);
    publish_rig_settle(r);
    /* 1,500 deliveries: a handful of commits, most of them for several lanes */
    assert_true(r->taps[0].commits < 100);
    assert_true(r->taps[0].commit_lanes > r->taps[0].commits);
}

/* ---- leases ---- */

static unsigned held_by_anyone(struct publish_rig *r)
{
    unsigned n = 0;
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        n += publish_rig_lane(r, i).live.state != LANE_UNLEASED;
    return n;
}

static void draining_gives_everything_back(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 100);
    publish_rig_wait_for_events(r, 0, 10);
    publish_rig_drain(r, 0);
    assert_int_equal(held_by_anyone(r), 0);
    for (unsigned i = 0; i < RIG_RELAYS; i++) { /* what was sent was also settled */
        struct lane_status s = publish_rig_lane(r, i);
        assert_int_equal(s.delivered, r->relays[i].len);
        assert_int_equal(s.depth, r->len - r->relays[i].len);
    }
    publish_rig_start(r, 0);
    publish_rig_settle(r);
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        publish_rig_check_all(r, i);
}

static void draining_before_anything_began_ends_too(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_start(r, 0);
    publish_rig_drain(r, 0);
    assert_int_equal(held_by_anyone(r), 0);
}

static void draining_without_a_queue_ends_too(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_start(r, 0);
    r->taps[0].fail_others = 1000000;
    publish_rig_drain(r, 0);
}

static bool both_hold(void *arg)
{
    struct publish_rig *r = arg;
    bool seen[RIG_PUBLISHERS] = {false, false};
    const struct fake_relay *f = r->relays;
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        seen[f[i].connections >= 2] = true;
    return seen[0] && seen[1];
}

static void two_publishers_share_and_hand_over(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 20);
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        wait_for_connections(r, i, 1);
    publish_rig_start(r, 1);
    for (unsigned n = 0; n < 1500 && !both_hold(r); n++) {
        publish_rig_append_notes(r, 1); /* under way while lanes move */
        uv_run(&r->loop, UV_RUN_ONCE);
    }
    assert_true(
        both_hold(r)); /* a relay that moved was connected to by both, one after the other */
    publish_rig_settle(r);
    publish_rig_drain(r, 0);
    publish_rig_append_notes(r, 20);
    publish_rig_settle(r);
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        publish_rig_check_all(r, i); /* each once, in order, whoever sent it */
}

struct thief {
    struct publish_rig *r;
    unsigned granted;
    bool answered;
};

static void on_stolen(void *arg, enum err e, const struct lease_reply *reply)
{
    struct thief *t = arg;
    assert_int_equal(e, ERR_NONE);
    t->granted = (unsigned)reply->grants_len;
    t->answered = true;
}

static bool stolen(void *arg)
{
    return ((struct thief *)arg)->answered;
}

static bool all_links_gone(void *arg)
{
    const struct publish_rig *r = arg;
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        if (r->relays[i].clients != NULL)
            return false;
    return true;
}

static void a_lost_lease_ends_all_writing(void **state)
{
    struct publish_rig *r = *state;
    struct thief t = {.r = r};
    const struct lease_call call = {
        .publisher = {0xee}, .name = "thief", .routes = 1u << ROUTE_DIRECT};
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 20);
    publish_rig_settle(r);
    r->skew_ms += LEASE_TERM_MS + 1; /* the queue thinks it is dead */
    r->model->ops->lease(r->model, &call, on_stolen, &t);
    spin_until(&r->loop, stolen, &t, "the theft");
    assert_int_equal(t.granted, RIG_RELAYS);
    spin_until(&r->loop, all_links_gone, r, "the end of its links"); /* at its next renewal */
    publish_rig_append_notes(r, 20);
    spin_turns(&r->loop, 200);
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        assert_int_equal(r->relays[i].len, 20);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, publish_rig_setup, publish_rig_teardown)
    const struct CMUnitTest tests[] = {
        T(a_queue_that_does_not_answer_is_asked_again),
        T(facts_are_read_again_when_the_queue_was_away),
        T(lanes_are_taken_anew_when_the_queue_was_restarted),
        T(a_commit_whose_answer_is_lost_is_repeated_harmlessly),
        T(commits_gather_lanes_and_events),
        T(draining_gives_everything_back),
        T(draining_before_anything_began_ends_too),
        T(draining_without_a_queue_ends_too),
        T(two_publishers_share_and_hand_over),
        T(a_lost_lease_ends_all_writing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
