/* What ingest makes of heartbeats, over real websockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue/heartbeat.h"
#include "tests/support/ingest_rig.h"

static struct ingest_rig rig;

/* Each test starts it, with its own options. */
static int setup(void **state)
{
    (void)state;
    ingest_rig_init(&rig);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ingest_rig_stop(&rig);
    return 0;
}

static struct event *signed_beat(unsigned author, uint64_t n)
{
    uint8_t secret[32];
    struct event *ev;
    test_secret(author, secret);
    assert_int_equal(heartbeat_make(secret, 1700000000 + n, &ev, NULL), ERR_NONE);
    return ev;
}

static void say_and_expect(struct ws_client *c, struct event *ev, bool accepted, const char *text)
{
    send_event(c, ev);
    expect_ok(c, ev, accepted, text);
    event_unref(ev);
}

/* Whoever sends it, however old it is, and with no relay at all: but one a second, and uncounted.
 */
static void heartbeats_pass_every_rule_and_stand_in_no_count(void **state)
{
    uint8_t allowed[1][32];
    (void)state;
    test_pubkey(1, allowed[0]);
    rig.options.allow_pubkeys = (const uint8_t(*)[32])allowed;
    rig.options.allow_len = 1;
    rig.options.created_at_past_s = 60;
    rig.options.min_pow = 30;
    rig.no_lanes = true;
    ingest_rig_start(&rig);
    struct ws_client *c = ingest_rig_client(&rig);
    say_and_expect(c, signed_beat(0, 1), true, "");
    say_and_expect(c, signed_beat(0, 2), false, "rate-limited: one heartbeat a second");
    ingest_rig_pass(&rig, 1000);
    say_and_expect(c, signed_beat(0, 2), true, "");
    ingest_rig_pass(&rig, 1000);
    say_and_expect(c, signed_beat(0, 2), true, "duplicate: already have this event");
    assert_int_equal(rig.i->counts.accepted + rig.i->counts.duplicate, 0);
    assert_int_equal(rig.i->counts.refused + rig.i->counts.error, 0);
    ws_client_free(c);
}

/* What is refused for its signature does not keep the next one out. */
static void a_forged_heartbeat_takes_nobody_s_turn(void **state)
{
    (void)state;
    ingest_rig_start(&rig);
    struct ws_client *c = ingest_rig_client(&rig);
    say_and_expect(c, make_heartbeat(1), false, "invalid: the signature is not good");
    say_and_expect(c, signed_beat(0, 2), true, "");
    ws_client_free(c);
}

/* What only looks like one is judged like any event: a protected one is refused. */
static void others_of_its_kind_are_judged_as_events(void **state)
{
    (void)state;
    ingest_rig_start(&rig);
    struct ws_client *c = ingest_rig_client(&rig);
    say_and_expect(c, make_signed_event(0, 1700000000, HEARTBEAT_KIND, HEARTBEAT_TAGS, "x"), false,
                   "blocked: protected events (NIP-70) are not broadcast");
    say_and_expect(c, make_signed_event(0, 1700000000, HEARTBEAT_KIND, "[]", HEARTBEAT_TEXT), true,
                   "");
    ws_client_free(c);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(heartbeats_pass_every_rule_and_stand_in_no_count),
        T(a_forged_heartbeat_takes_nobody_s_turn),
        T(others_of_its_kind_are_judged_as_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
