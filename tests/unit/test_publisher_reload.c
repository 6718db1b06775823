/* A whole publisher, and what changes while it runs: its configuration, its lanes (holds, requests,
 * replays), the clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/ask.h"
#include "tests/support/make_event.h"
#include "tests/support/publish_rig.h"
#include "tests/support/spin.h"

#include <stdlib.h>
#include <string.h>

#define RENEWAL_MS LEASE_RENEW_MS

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* ---- the relay list ---- */

static bool is_retired(const struct lane_status *s)
{
    return s->retired;
}

static bool is_alive(const struct lane_status *s)
{
    return !s->retired;
}

static void define(struct publish_rig *r, const struct definition *defs, size_t len, enum err want)
{
    struct answer a;
    ask_define(&r->loop, r->model, defs, len, &a);
    assert_int_equal(a.e, want);
    answer_free(&a);
}

static void a_changed_list_takes_force_and_other_links_stay(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 20);
    publish_rig_settle(r);
    r->options.relays_len = 2;
    publish_rig_reload(r, 0);
    publish_rig_await(r, 2, is_retired, "the dropped relay's end");
    publish_rig_append_notes(r, 20);
    publish_rig_wait_for_events(r, 0, 40);
    publish_rig_wait_for_events(r, 1, 40);
    assert_int_equal(r->relays[2].len, 20);
    r->options.relays_len = 3; /* once more: it was in force before, and somebody means it */
    publish_rig_reload(r, 0);
    publish_rig_await(r, 2, is_alive, "its second lane");
    publish_rig_append_notes(r, 20);
    publish_rig_settle(r);
    assert_int_equal(r->relays[2].len, 40);
    for (unsigned i = 0; i < 2; i++) {
        publish_rig_check_all(r, i);
        assert_int_equal(r->relays[i].connections, 1);
    }
    assert_int_equal(r->relays[2].connections, 2);
}

static void a_publisher_without_relays_takes_a_list_later(void **state)
{
    struct publish_rig *r = *state;
    struct definition own[RIG_RELAYS];
    memcpy(own, r->defs, sizeof own);
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        own[i].window = 7;
    r->options.relays_len = 0;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 5);
    publish_rig_settle(r); /* the queue's list is served */
    r->options.relays = own;
    r->options.relays_len = RIG_RELAYS;
    publish_rig_reload(r, 0);
    for (unsigned i = 0; i < 200 && publish_rig_lane(r, 0).definition.window != 7; i++) {
        publish_rig_append_notes(r, 1);
        uv_run(&r->loop, UV_RUN_ONCE);
    }
    assert_int_equal(publish_rig_lane(r, 0).definition.window, 7);
    publish_rig_settle(r);
    publish_rig_check_all(r, 0);
}

static void a_list_that_was_replaced_is_not_applied_by_a_mere_start(void **state)
{
    struct publish_rig *r = *state;
    struct definition newer[RIG_RELAYS];
    memcpy(newer, r->defs, sizeof newer);
    newer[0].window = 9;
    define(r, newer, RIG_RELAYS, ERR_NONE);
    publish_rig_start(r, 0); /* a stale container: its list is the first one */
    publish_rig_append_notes(r, 10);
    publish_rig_settle(r); /* the queue's list is served all the same */
    publish_rig_check_all(r, 0);
    assert_int_equal(publish_rig_lane(r, 0).definition.window, 9);
    publish_rig_reload(r, 0); /* nothing has changed in its file */
    publish_rig_append_notes(r, 10);
    publish_rig_settle(r);
    assert_int_equal(publish_rig_lane(r, 0).definition.window, 9);
    r->defs[1].window = 11;
    publish_rig_reload(r, 0); /* now somebody wrote a list */
    for (unsigned i = 0; i < 200 && publish_rig_lane(r, 0).definition.window != 64; i++) {
        publish_rig_append_notes(r, 1);
        uv_run(&r->loop, UV_RUN_ONCE);
    }
    publish_rig_settle(r);
    assert_int_equal(publish_rig_lane(r, 0).definition.window, 64);
    assert_int_equal(publish_rig_lane(r, 1).definition.window, 11);
}

static void a_key_that_can_not_be_read_changes_nothing(void **state)
{
    struct publish_rig *r = *state;
    struct problem p = {0};
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 5);
    publish_rig_settle(r);
    struct publisher_options o = r->options;
    o.relays_len = 1;
    o.auth_key_file = "/nowhere/at/all";
    assert_int_equal(publisher_reload(r->publishers[0], &o, &p), ERR_NOT_FOUND);
    assert_non_null(strstr(p.text, "/nowhere/at/all"));
    publish_rig_append_notes(r, 5);
    publish_rig_settle(r);
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        publish_rig_check_all(r, i);
}

/* ---- limits, routes ---- */

static void other_limits_hold_for_lanes_that_are_held(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 5);
    publish_rig_settle(r);
    r->relays[0].mode = FAKE_SILENT;
    r->options.limits.window_max = 2;
    publish_rig_reload(r, 0);
    publish_rig_append_notes(r, 20);
    publish_rig_wait_for_events(r, 1, 25);
    spin_turns(&r->loop, 200);
    assert_int_equal(r->relays[0].len, 7); /* two in flight, not eight */
}

static bool is_unleased(const struct lane_status *s)
{
    return s->live.state == LANE_UNLEASED;
}

static void a_route_that_is_not_served_any_more_is_given_back(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 5);
    publish_rig_settle(r);
    r->options.routes = 1u << ROUTE_TOR;
    publish_rig_reload(r, 0);
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        publish_rig_await(r, i, is_unleased, "the lane's being given back");
    r->options.routes = 1u << ROUTE_DIRECT;
    publish_rig_append_notes(r, 5);
    publish_rig_reload(r, 0);
    publish_rig_settle(r);
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        publish_rig_check_all(r, i);
}

/* ---- news ---- */

static unsigned lease_goal;

static bool has_leased(void *arg)
{
    const struct tap *t = arg;
    return t->leases > lease_goal;
}

static void tell_news(struct tap *t, uint64_t news)
{
    t->follower.on_head(t->follower.arg, 0, news);
}

static void news_bring_a_call_soon_but_not_one_after_the_other(void **state)
{
    struct publish_rig *r = *state;
    struct tap *t = &r->taps[0];
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 1);
    publish_rig_settle(r);
    spin_turns(&r->loop, 100);
    lease_goal = t->leases;
    uint64_t began_ms = now_ms(), news = 1u << 20;
    tell_news(t, news++);
    spin_until(&r->loop, has_leased, t, "a call");
    assert_true(now_ms() - began_ms < RENEWAL_MS / 4);
    unsigned before = t->leases;
    for (began_ms = now_ms(); now_ms() < began_ms + 800;) {
        tell_news(t, news++);
        uv_run(&r->loop, UV_RUN_ONCE);
    }
    assert_in_range(t->leases - before, 2, 1 + 800 / 50);
}

static bool said_to_be_held(const struct lane_status *s)
{
    return s->live.state == LANE_HELD;
}

static void a_hold_and_its_end_do_not_wait_for_a_renewal(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 5);
    publish_rig_settle(r);
    struct hold_call c = {.held = true, .by = "test"};
    struct answer a;
    memcpy(c.url, r->defs[0].url, sizeof c.url);
    ask_hold(&r->loop, r->model, &c, &a);
    assert_int_equal(a.e, ERR_NONE);
    answer_free(&a);
    uint64_t began_ms = now_ms();
    publish_rig_await(r, 0, said_to_be_held, "the publisher's word that it stopped");
    assert_true(now_ms() - began_ms < RENEWAL_MS / 2);
    publish_rig_append_notes(r, 5);
    publish_rig_wait_for_events(r, 1, 10);
    spin_turns(&r->loop, 100);
    assert_int_equal(r->relays[0].len, 5);
    c.held = false;
    began_ms = now_ms();
    ask_hold(&r->loop, r->model, &c, &a);
    assert_int_equal(a.e, ERR_NONE);
    answer_free(&a);
    publish_rig_wait_for_events(r, 0, 10);
    assert_true(now_ms() - began_ms < RENEWAL_MS / 2);
    publish_rig_check_all(r, 0);
}

#define MANY 700u /* more than two handfuls of requests */

static bool all_failed(const struct lane_status *s)
{
    return s->failed == MANY;
}

static void requests_beyond_the_first_handful_follow_at_once(void **state)
{
    struct publish_rig *r = *state;
    r->relays[0].refuse = true;
    r->relays[0].text = "blocked: no";
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, MANY);
    publish_rig_await(r, 0, all_failed, "all refused");
    r->relays[0].refuse = false;
    r->skew_ms += 61000; /* sending again counts once a minute */
    uint64_t began_ms = now_ms();
    for (unsigned i = 0; i < MANY; i++) {
        struct event *ev = make_note(1, i);
        struct answer a;
        ask_append(&r->loop, r->model, ev, &a);
        assert_true(a.append.duplicate);
        assert_int_equal(a.append.requeued, 1);
        answer_free(&a);
        event_unref(ev);
    }
    publish_rig_wait_for_events(r, 0, 2 * MANY);
    assert_true(now_ms() - began_ms < 2 * RENEWAL_MS);
    publish_rig_settle(r);
    assert_int_equal(publish_rig_lane(r, 0).failed, 0);
}

#define REPLAYED 330u
#define RATE     50u /* a second */
#define SPAN_MS  5000u

static bool replayed_failed(const struct lane_status *s)
{
    return s->failed == REPLAYED;
}

static void a_replay_comes_out_evenly(void **state)
{
    struct publish_rig *r = *state;
    struct failed_call c = {.what = FAILED_REPLAY, .token = 1, .rate_per_1000s = RATE * 1000};
    uint64_t at_ms[REPLAYED];
    struct answer a;
    r->relays[0].refuse = true;
    r->relays[0].text = "blocked: no";
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, REPLAYED);
    publish_rig_await(r, 0, replayed_failed, "all refused");
    r->relays[0].refuse = false;
    ask_failed_all(&r->loop, r->model, &c, &a);
    assert_int_equal(a.e, ERR_NONE);
    answer_free(&a);
    uint64_t kept_ms = 0;
    for (unsigned len = 0, before = r->relays[0].len; len < REPLAYED;) {
        if (now_ms() >= kept_ms + 100) { /* as a broker does by itself */
            model_housekeep(r->model);
            kept_ms = now_ms();
        }
        uv_run(&r->loop, UV_RUN_ONCE);
        while (len < r->relays[0].len - before)
            at_ms[len++] = now_ms();
    }
    unsigned fewest = REPLAYED, most = 0;
    for (unsigned i = 0, j = 0; at_ms[i] + SPAN_MS <= at_ms[REPLAYED - 1]; i++) {
        while (at_ms[j] < at_ms[i] + SPAN_MS)
            j++;
        fewest = j - i < fewest ? j - i : fewest;
        most = j - i > most ? j - i : most;
    }
    print_message("in any 5 s of a replay at %u/s: %u to %u\n", RATE, fewest, most);
    assert_in_range(fewest, RATE * SPAN_MS / 1000 * 9 / 10, REPLAYED);
    assert_in_range(most, 1, RATE * SPAN_MS / 1000 * 11 / 10);
    publish_rig_settle(r);
    assert_int_equal(publish_rig_lane(r, 0).failed, 0);
}

/* ---- what moves with a lane; clocks ---- */

static bool has_learned(const struct lane_status *s)
{
    return s->learned.rate_per_1000s > 0 && s->learned.window < 8;
}

static void what_was_learned_moves_with_the_lane(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 4);
    publish_rig_settle(r);
    r->relays[0].refuse = true;
    r->relays[0].text = "rate-limited: slow down";
    publish_rig_append_notes(r, 10);
    publish_rig_await(r, 0, has_learned, "a window and a rate");
    publish_rig_drain(r, 0);
    const struct learned before = publish_rig_lane(r, 0).learned;
    assert_in_range(before.rate_per_1000s, 1, 100000);
    unsigned sent = r->relays[0].len;
    r->relays[0].mode = FAKE_SILENT;
    publish_rig_start(r, 1);
    publish_rig_wait_for_events(r, 0, sent + 1);
    spin_turns(&r->loop, 100);
    assert_in_range(r->relays[0].len - sent, 1, before.window); /* a new lane would begin with 8 */
}

static void no_event_is_skipped_because_a_clock_was_set(void **state)
{
    struct publish_rig *r = *state;
    char tags[64];
    uint64_t now_s = (uint64_t)r->clock.wall_ms(r->clock.arg) / 1000;
    (void)snprintf(tags, sizeof tags, "[[\"expiration\",\"%u\"]]", (unsigned)now_s + 3600);
    fake_relay_down(&r->relays[0]);
    publish_rig_start(r, 0);
    publish_rig_append(r, make_event(1, now_s, 1, tags, "for an hour"));
    publish_rig_append(r, make_event(1, now_s, 20001, "[]", "for a minute"));
    publish_rig_wait_for_events(r, 1, 2);
    r->skew_ms += 2 * 3600 * 1000;
    uint64_t began_ms = now_ms();
    while (now_ms() < began_ms + RENEWAL_MS + 500) /* the next renewal tells of it */
        uv_run(&r->loop, UV_RUN_ONCE);
    fake_relay_up(&r->relays[0]);
    publish_rig_settle(r);
    assert_int_equal(r->relays[0].len, 2);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, publish_rig_setup, publish_rig_teardown)
    const struct CMUnitTest tests[] = {
        T(a_changed_list_takes_force_and_other_links_stay),
        T(a_publisher_without_relays_takes_a_list_later),
        T(a_list_that_was_replaced_is_not_applied_by_a_mere_start),
        T(a_key_that_can_not_be_read_changes_nothing),
        T(other_limits_hold_for_lanes_that_are_held),
        T(a_route_that_is_not_served_any_more_is_given_back),
        T(news_bring_a_call_soon_but_not_one_after_the_other),
        T(a_hold_and_its_end_do_not_wait_for_a_renewal),
        T(requests_beyond_the_first_handful_follow_at_once),
        T(a_replay_comes_out_evenly),
        T(what_was_learned_moves_with_the_lane),
        T(no_event_is_skipped_because_a_clock_was_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
