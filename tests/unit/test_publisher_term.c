/* A publisher's term, by its own clock: this program brings the clock (all of clock.h), so that a
 * term can pass without waiting for it. The queue keeps real time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "tests/support/publish_rig.h"
#include "tests/support/spin.h"

#include <stdlib.h>

static uint64_t ahead_ms; /* of real time */

uint64_t clock_boot_us(void)
{
    return uv_hrtime() / 1000 + ahead_ms * 1000;
}

uint64_t clock_boot_ms(void)
{
    return clock_boot_us() / 1000;
}

int64_t clock_wall_ms(void)
{
    uv_timeval64_t t;
    uv_gettimeofday(&t);
    return t.tv_sec * 1000 + t.tv_usec / 1000;
}

int64_t clock_wall_s(void)
{
    return clock_wall_ms() / 1000;
}

static void check_all(const struct publish_rig *r)
{
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        publish_rig_check_all(r, i);
}

static bool linked(const struct publish_rig *r)
{
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        if (r->relays[i].clients == NULL)
            return false;
    return true;
}

static bool unlinked(void *arg)
{
    const struct publish_rig *r = arg;
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        if (r->relays[i].clients != NULL)
            return false;
    return true;
}

static void check_silence(struct publish_rig *r, unsigned len)
{
    spin_turns(&r->loop, 300);
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        assert_int_equal(r->relays[i].len, len);
}

static bool a_call_failed(void *arg)
{
    return ((struct publish_rig *)arg)->taps[0].fail_others < 1000000;
}

/* Until no lease call comes but the renewal, and the last one was just made. */
static void await_renewal(struct publish_rig *r)
{
    const uint64_t quiet_ms = LEASE_RENEW_MS / 2;
    unsigned seen = r->taps[0].leases;
    for (uint64_t since_ms = uv_hrtime() / 1000000;;) {
        uv_run(&r->loop, UV_RUN_ONCE);
        uint64_t now_ms = uv_hrtime() / 1000000;
        if (r->taps[0].leases == seen)
            continue;
        if (now_ms - since_ms > quiet_ms)
            return;
        since_ms = now_ms;
        seen = r->taps[0].leases;
    }
}

/* ---- promises ---- */

static void nothing_is_written_in_the_last_two_seconds_of_a_term(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 20);
    publish_rig_settle(r);
    await_renewal(r);
    r->taps[0].fail_others = 1000000;
    spin_until(&r->loop, a_call_failed, r, "a renewal that fails"); /* two seconds are over */
    ahead_ms += LEASE_TERM_MS - LEASE_MARGIN_MS - LEASE_RENEW_MS;
    publish_rig_append_notes(r, 20);
    check_silence(r, 20);
    assert_true(linked(r));
    r->taps[0].fail_others = 0; /* the next renewal opens the gate again */
    publish_rig_settle(r);
    check_all(r);
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        assert_int_equal(r->relays[i].connections, 1);
}

static void what_was_given_to_a_link_before_waits_too(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 20);
    publish_rig_settle(r);
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        r->relays[i].mode = FAKE_SILENT;
    publish_rig_append_notes(r, 5);
    r->taps[0].fail_others = 1000000;
    ahead_ms += LEASE_TERM_MS; /* between handing over and writing, as far as that goes */
    unsigned before = r->relays[0].len;
    publish_rig_append_notes(r, 20);
    spin_turns(&r->loop, 300);
    assert_true(r->relays[0].len <= before + 5);
    r->taps[0].fail_others = 0;
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        r->relays[i].mode = FAKE_OK;
    publish_rig_settle(r);
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        for (unsigned e = 0; e < r->len; e++)
            assert_true(fake_relay_count(&r->relays[i], r->ids[e]) >= 1);
}

static void a_term_that_ended_drops_links_and_lanes(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 20);
    publish_rig_settle(r);
    r->taps[0].fail_others = 1000000;
    ahead_ms += LEASE_TERM_MS;
    publish_rig_append_notes(r, 20);
    spin_until(&r->loop, unlinked, r, "the links' end");
    check_silence(r, 20);
    r->taps[0].fail_others = 0; /* it takes new epochs and goes on */
    publish_rig_settle(r);
    check_all(r);
}

static void jump(void *arg)
{
    struct publish_rig *r = arg;
    r->taps[0].on_lease = NULL;
    ahead_ms += LEASE_TERM_MS;
}

static bool asked_twice(void *arg)
{
    return ((struct publish_rig *)arg)->taps[0].leases >= 2;
}

static void a_grant_that_arrives_after_its_term_is_not_taken(void **state)
{
    struct publish_rig *r = *state;
    r->taps[0].on_lease = jump;
    r->taps[0].on_lease_arg = r;
    publish_rig_append_notes(r, 5);
    publish_rig_start(r, 0);
    while (r->taps[0].leases == 0)
        uv_run(&r->loop, UV_RUN_ONCE);
    check_silence(r, 0);
    assert_true(unlinked(r));
    spin_until(&r->loop, asked_twice, r, "another call");
    publish_rig_settle(r);
    check_all(r);
}

static bool drained(void *arg)
{
    return ((struct publish_rig *)arg)->drained;
}

static void on_drained(void *arg)
{
    ((struct publish_rig *)arg)->drained = true;
}

static void a_drain_without_a_queue_ends_with_the_term(void **state)
{
    struct publish_rig *r = *state;
    r->options.limits.ok_timeout_ms = 600000;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 5);
    publish_rig_settle(r);
    r->relays[0].mode = FAKE_SILENT;
    publish_rig_append_notes(r, 5);
    publish_rig_wait_for_events(r, 0, 10);
    r->taps[0].fail_others = 1000000;
    r->drained = false;
    publisher_drain(r->publishers[0], on_drained, r);
    r->publishers[0] = NULL;
    spin_turns(&r->loop, 100);
    assert_false(r->drained); /* it waits for the answers */
    ahead_ms += LEASE_TERM_MS;
    spin_until(&r->loop, drained, r, "the end");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, publish_rig_setup, publish_rig_teardown)
    const struct CMUnitTest tests[] = {
        T(nothing_is_written_in_the_last_two_seconds_of_a_term),
        T(what_was_given_to_a_link_before_waits_too),
        T(a_term_that_ended_drops_links_and_lanes),
        T(a_grant_that_arrives_after_its_term_is_not_taken),
        T(a_drain_without_a_queue_ends_with_the_term),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
