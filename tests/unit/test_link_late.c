/* The IPv6 that lost its race: followed for a while, told once, and closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "tests/support/link_rig.h"
#include "tests/support/link_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Two SOCKS ports, and what was told late. */
struct late_rig {
    struct link_rig rig;
    struct link_server ipv6, ipv4;
    struct link_server_options o6, o4;
    struct link_try late;
    int told;
    uint64_t told_after_ms, began_ms;
};

static int setup(void **state)
{
    struct late_rig *t = mem_zero(1, sizeof *t);
    link_rig_init(&t->rig, NULL);
    t->o6 = t->o4 = (struct link_server_options){.address = "127.0.0.1", .socks = true};
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct late_rig *t = *state;
    link_server_stop(&t->ipv6);
    link_server_stop(&t->ipv4);
    link_rig_fini(&t->rig); /* nothing is left open */
    free(t);
    return 0;
}

static void on_late(void *arg, const struct link_try *try)
{
    struct late_rig *t = arg;
    t->told++;
    t->late = *try;
    t->told_after_ms = clock_boot_ms() - t->began_ms;
}

static void race(struct late_rig *t, bool ipv4_first, enum family winner)
{
    assert_true(link_server_start(&t->ipv6, &t->rig.loop, &t->o6));
    assert_true(link_server_start(&t->ipv4, &t->rig.loop, &t->o4));
    link_rig_ask(&t->rig, "ws://relay.invalid");
    (void)snprintf(t->rig.ports.ipv6, SOCKS_ADDRESS_SIZE, "127.0.0.1:%d", t->ipv6.port);
    (void)snprintf(t->rig.ports.ipv4, SOCKS_ADDRESS_SIZE, "127.0.0.1:%d", t->ipv4.port);
    t->rig.request.route = ROUTE_TOR;
    t->rig.request.socks = &t->rig.ports;
    t->rig.request.ipv4_first = ipv4_first;
    t->rig.request.race_delay_ms = 50;
    t->rig.request.on_late = on_late;
    t->rig.request.late_arg = t;
    t->began_ms = clock_boot_ms();
    assert_int_equal(link_rig_run(&t->rig), ERR_NONE);
    assert_int_equal(t->rig.result.family, winner);
}

static void run_until_told(struct late_rig *t)
{
    while (t->told == 0 && clock_boot_ms() - t->began_ms < 10000)
        uv_run(&t->rig.loop, UV_RUN_ONCE);
    assert_int_equal(t->told, 1);
}

static void one_that_makes_it_late_tells_its_time(void **state)
{
    struct late_rig *t = *state;
    t->o6.socks_delay_ms = 400;
    race(t, false, FAMILY_IPV4);
    const struct link_try *lost = &t->rig.result.tries[0];
    assert_true(lost->lost);
    assert_int_equal(lost->err, ERR_CLOSED);
    assert_non_null(t->rig.result.late);
    link_rig_hang_up(&t->rig); /* whether the link stands does not matter */
    run_until_told(t);
    assert_int_equal(t->late.err, ERR_NONE);
    assert_int_equal(t->late.family, FAMILY_IPV6);
    assert_false(t->late.lost);
    assert_in_range(t->late.connect_us, 390000, 700000);
    assert_int_equal(t->late.websocket_us, t->rig.result.tries[1].websocket_us);
    assert_int_equal(t->ipv6.upgraded, 0); /* a second websocket is not asked for */
}

static void one_that_fails_late_tells_why(void **state)
{
    struct late_rig *t = *state;
    t->o6.socks_delay_ms = 400;
    t->o6.socks_reply = 4;
    race(t, false, FAMILY_IPV4);
    run_until_told(t);
    assert_int_equal(t->late.err, ERR_UNREACHABLE);
    assert_string_equal(t->late.text, "SOCKS: host unreachable");
    assert_false(t->late.lost);
    link_rig_echo(&t->rig);
}

static void one_that_is_dead_is_given_up(void **state)
{
    struct late_rig *t = *state;
    t->o6.socks_is_silent = true;
    race(t, false, FAMILY_IPV4);
    run_until_told(t);
    assert_int_equal(t->late.err, ERR_TIMEOUT);
    assert_string_equal(t->late.text, "connect: timeout after 3100 ms");
    assert_in_range(t->told_after_ms, LINK_LATE_MS, LINK_LATE_MS + 500);
    link_rig_echo(&t->rig);
}

/* It was asked for the websocket before it lost: who never answers is dead, too. */
static void one_that_never_answers_the_handshake_is_dead(void **state)
{
    struct late_rig *t = *state;
    t->o6.does = SERVER_IS_SILENT;
    race(t, false, FAMILY_IPV4);
    run_until_told(t);
    assert_int_equal(t->late.err, ERR_TIMEOUT);
    assert_string_equal(t->late.text, "websocket: timeout after 3100 ms");
}

static void one_that_needed_longer_already_has_failed_at_once(void **state)
{
    struct late_rig *t = *state;
    t->o6.socks_is_silent = true;
    t->o4.socks_delay_ms = LINK_LATE_MS;
    race(t, false, FAMILY_IPV4);
    assert_null(t->rig.result.late);
    assert_false(t->rig.result.tries[0].lost);
    assert_int_equal(t->rig.result.tries[0].err, ERR_TIMEOUT);
}

static void nothing_is_told_when_nothing_was_lost(void **state)
{
    struct late_rig *t = *state;
    race(t, false, FAMILY_IPV6);
    assert_null(t->rig.result.late);
    t->o6.socks_reply = 4;
    link_server_stop(&t->ipv6);
    link_server_stop(&t->ipv4);
    race(t, false, FAMILY_IPV4); /* it failed before */
    assert_null(t->rig.result.late);
    assert_int_equal(t->rig.result.tries[0].why, LINK_WHY_UNREACHABLE);
    link_rig_turn(&t->rig, 20);
    assert_int_equal(t->told, 0);
}

static void who_had_no_head_start_is_not_followed(void **state)
{
    struct late_rig *t = *state;
    t->o6.socks_is_silent = true;
    t->o4.socks_delay_ms = 100;
    race(t, true, FAMILY_IPV4);
    assert_int_equal(t->rig.result.tries_len, 2);
    assert_true(t->rig.result.tries[1].lost);
    assert_null(t->rig.result.late);
}

static void it_may_be_let_go_at_any_moment(void **state)
{
    struct late_rig *t = *state;
    t->o6.socks_delay_ms = 200;
    race(t, false, FAMILY_IPV4);
    link_cancel(t->rig.result.late);
    link_rig_turn(&t->rig, 300);
    assert_int_equal(t->told, 0);
    link_rig_echo(&t->rig);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_that_makes_it_late_tells_its_time),
        TEST(one_that_fails_late_tells_why),
        TEST(one_that_is_dead_is_given_up),
        TEST(one_that_never_answers_the_handshake_is_dead),
        TEST(one_that_needed_longer_already_has_failed_at_once),
        TEST(nothing_is_told_when_nothing_was_lost),
        TEST(who_had_no_head_start_is_not_followed),
        TEST(it_may_be_let_go_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
