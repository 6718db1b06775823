/* A whole publisher and heartbeats: they end in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue/heartbeat.h"
#include "tests/support/make_event.h"
#include "tests/support/publish_rig.h"
#include "tests/support/spin.h"

static void on_append(void *arg, enum err e, const struct append_result *r, const char *why)
{
    if (e != ERR_NONE || r->pos != 0)
        die("a heartbeat was answered %s: %s", err_name(e), why != NULL ? why : "a position");
    *(bool *)arg = true;
}

static bool is_true(void *arg)
{
    return *(bool *)arg;
}

static void beat(struct publish_rig *r, struct event *ev)
{
    bool done = false;
    r->model->ops->append(r->model, ev, on_append, &done);
    event_unref(ev);
    spin_until(&r->loop, is_true, &done, "the heartbeat's append");
}

static struct event *signed_beat(uint64_t n)
{
    struct event *ev;
    uint8_t secret[32];
    test_secret(0, secret);
    assert_int_equal(heartbeat_make(secret, 1700000000 + n, &ev, NULL), ERR_NONE);
    return ev;
}

struct look {
    struct publish_rig *r;
    bool asked;
    struct heartbeat seen;
    uint64_t taken; /* waited for */
};

static void on_depth(void *arg, enum err e, const struct queue_depth *d)
{
    struct look *l = arg;
    l->asked = false;
    if (e == ERR_NONE)
        l->seen = d->heartbeat;
}

static bool taken(void *arg)
{
    struct look *l = arg;
    if (l->seen.taken < l->taken && !l->asked) {
        l->asked = true;
        l->r->model->ops->depth(l->r->model, on_depth, l);
    }
    return l->seen.taken >= l->taken;
}

static void wait_for_taken(struct publish_rig *r, uint64_t number)
{
    struct look l = {.r = r, .taken = number};
    spin_until(&r->loop, taken, &l, "a heartbeat's commit");
}

static uint64_t taken_now(struct publish_rig *r)
{
    struct look l = {.r = r, .taken = 1, .seen = {.number = UINT64_MAX}};
    while (l.seen.number == UINT64_MAX) {
        (void)taken(&l);
        spin_turns(&r->loop, 1);
    }
    return l.seen.taken;
}

/* ---- cases ---- */

static void it_arrives_and_no_relay_sees_it(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 5);
    publish_rig_settle(r);
    unsigned connections = r->relays[0].connections;
    for (unsigned n = 1; n <= 3; n++) {
        beat(r, signed_beat(n));
        wait_for_taken(r, n);
    }
    publish_rig_append_notes(r, 5);
    publish_rig_settle(r);
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        publish_rig_check_all(r, i); /* the ten notes and nothing else */
    assert_int_equal(r->relays[0].connections, connections);
}

/* News bring it at once: the wait is far shorter than a renewal. */
static void it_does_not_wait_for_a_renewal(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 1);
    publish_rig_settle(r);
    uint64_t longest_ms = 0;
    for (unsigned n = 1; n <= 5; n++) {
        uint64_t began_ms = uv_hrtime() / 1000000;
        beat(r, signed_beat(n));
        wait_for_taken(r, n);
        uint64_t took_ms = uv_hrtime() / 1000000 - began_ms;
        longest_ms = took_ms > longest_ms ? took_ms : longest_ms;
    }
    assert_true(longest_ms < LEASE_RENEW_MS);
}

static void without_any_relay_it_arrives_too(void **state)
{
    struct publish_rig *r = *state;
    r->options.relays_len = 0;
    publish_rig_start(r, 0);
    beat(r, signed_beat(1));
    wait_for_taken(r, 1);
}

static void of_two_publishers_one_commits_it(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_start(r, 0);
    publish_rig_start(r, 1);
    for (unsigned n = 1; n <= 5; n++) {
        beat(r, signed_beat(n));
        wait_for_taken(r, n);
    }
    publish_rig_drain(r, 0);
    beat(r, signed_beat(6));
    wait_for_taken(r, 6);
}

static void a_lost_commit_is_made_again(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 1);
    publish_rig_settle(r);
    beat(r, signed_beat(1));
    r->taps[0].fail_others = 3; /* leases or commits */
    wait_for_taken(r, 1);
    assert_int_equal(r->taps[0].fail_others, 0);
}

/* Its signature is a dummy: what is damaged does not arrive, and the next one does. */
static void a_damaged_one_is_not_committed(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 1);
    publish_rig_settle(r);
    unsigned leases = r->taps[0].leases;
    beat(r, make_heartbeat(1));
    while (r->taps[0].leases < leases + 2)
        spin_turns(&r->loop, 1);
    assert_int_equal(taken_now(r), 0);
    beat(r, signed_beat(2));
    wait_for_taken(r, 2);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, publish_rig_setup, publish_rig_teardown)
    const struct CMUnitTest tests[] = {
        T(it_arrives_and_no_relay_sees_it),  T(it_does_not_wait_for_a_renewal),
        T(without_any_relay_it_arrives_too), T(of_two_publishers_one_commits_it),
        T(a_lost_commit_is_made_again),      T(a_damaged_one_is_not_committed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
