/* Leases over time: who gets which lane, and when. */
#include "tests/unit/leases_world.h"

#include "common/base/rng.h"

#include <stdlib.h>

static void the_first_to_call_gets_every_lane(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 4);
    call(&w, 0);
    assert_int_equal(w.m[0].granted, 4);
    call(&w, 0);
    assert_int_equal(w.m[0].granted, 0);
    assert_int_equal(w.m[0].held_len, 4);
    end(&w);
}

static void a_newcomer_gets_its_share_once_it_was_given_back(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 4);
    call(&w, 0);
    call(&w, 1);
    assert_int_equal(w.m[1].granted, 0); /* all are held */
    call(&w, 0);
    assert_int_equal(w.m[0].asked_back, 2);
    call(&w, 1);
    assert_int_equal(w.m[1].granted, 0); /* asked for is not given yet */
    call(&w, 0);
    assert_int_equal(w.m[0].held_len, 2);
    call(&w, 1);
    assert_int_equal(w.m[1].granted, 2);
    end(&w);
}

static void the_lanes_of_a_dead_one_go_out_when_its_term_ends(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 4);
    call(&w, 0);
    assert_int_equal(leases_next_expiry(w.l), w.now_ms + LEASE_TERM_MS);
    w.now_ms += LEASE_TERM_MS - 1;
    call(&w, 1);
    assert_int_equal(w.m[1].granted, 0);
    w.now_ms += 1;
    call(&w, 1);
    assert_int_equal(w.m[1].granted, 4);
    call(&w, 0); /* not dead after all */
    assert_int_equal(w.m[0].lost, 4);
    assert_int_equal(w.m[0].held_len, 0);
    end(&w);
}

static void a_late_renewal_that_comes_first_keeps_the_lanes(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 4);
    call(&w, 0);
    w.now_ms += 5 * LEASE_TERM_MS;
    call(&w, 0);
    assert_int_equal(w.m[0].lost, 0);
    assert_int_equal(w.m[0].held_len, 4);
    end(&w);
}

static void a_grant_that_was_never_heard_of_is_made_anew(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 2);
    call_heard(&w, 0, false);
    call(&w, 0);
    assert_int_equal(w.m[0].granted, 2);
    assert_int_equal(w.m[0].held[0].epoch, 2);
    end(&w);
}

static void an_old_epoch_a_strange_lane_and_one_that_is_gone_are_lost(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 3);
    call(&w, 0);
    w.m[0].held[0].epoch = 7;
    w.m[0].held[w.m[0].held_len++] = (struct lease_held){.lane = 99, .epoch = 1};
    w.lanes_len = 2; /* lane 3 retires */
    leases_load(w.l, w.lanes, w.lanes_len, w.now_ms);
    call(&w, 0);
    assert_int_equal(w.m[0].lost, 3);
    assert_int_equal(w.m[0].granted, 1); /* the one with the old epoch, anew */
    assert_int_equal(w.m[0].held_len, 2);
    end(&w);
}

static void a_lane_named_twice_counts_once(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 1);
    call(&w, 0);
    w.m[0].held[0].give_back = true;
    w.m[0].held[1] = w.m[0].held[0];
    w.m[0].held_len = 2;
    struct lease_call c = make_call(&w, 0);
    struct lease_answer a;
    assert_int_equal(leases_renew(w.l, &c, w.now_ms), ERR_NONE);
    leases_answer(w.l, &c, &a);
    assert_int_equal(a.released_len, 1);
    assert_int_equal(a.lost_len, 0);
    end(&w);
}

static void after_a_restart_a_holder_counts_as_alive_for_one_term(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 4);
    call(&w, 0);
    w.now_ms += LEASE_TERM_MS - 1;
    restart(&w);
    w.now_ms += LEASE_TERM_MS - 1;
    call(&w, 1);
    assert_int_equal(w.m[1].granted, 0);
    w.now_ms += 1;
    call(&w, 1);
    assert_int_equal(w.m[1].granted, 4);
    end(&w);
}

static void after_a_restart_a_holder_that_calls_keeps_its_lanes(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 4);
    call(&w, 0);
    restart(&w);
    call(&w, 0);
    assert_int_equal(w.m[0].held_len, 4);
    assert_int_equal(w.m[0].lost, 0);
    assert_int_equal(w.m[0].granted, 0);
    w.now_ms += LEASE_TERM_MS - 1;
    expire(&w);
    assert_false(is_free(&w.lanes[0]));
    end(&w);
}

static void one_that_leaves_gives_back_what_it_has(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 4);
    call(&w, 0);
    w.m[0].leaving = true;
    call(&w, 0);
    assert_int_equal(w.m[0].asked_back, 4);
    call(&w, 0);
    assert_int_equal(w.m[0].held_len, 0);
    assert_int_equal(w.m[0].granted, 0);
    call(&w, 1);
    assert_int_equal(w.m[1].granted, 4);
    end(&w);
}

static void only_lanes_of_a_served_route_are_granted(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 2);
    w.lanes[1].route = ROUTE_DIRECT;
    leases_load(w.l, w.lanes, w.lanes_len, w.now_ms);
    struct lease_call c = make_call(&w, 0);
    c.routes = 1u << ROUTE_DIRECT;
    struct lease_answer a;
    assert_int_equal(leases_renew(w.l, &c, w.now_ms), ERR_NONE);
    leases_answer(w.l, &c, &a);
    assert_int_equal(a.grants_len, 1);
    assert_int_equal(a.grants[0], 2);
    end(&w);
}

static void more_publishers_than_there_is_room_for_are_refused(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 1);
    struct lease_call c = make_call(&w, 0);
    for (uint32_t i = 0; i < LEASES_PUBLISHERS_MAX; i++) {
        memcpy(c.publisher, &i, sizeof i);
        assert_int_equal(leases_renew(w.l, &c, w.now_ms), ERR_NONE);
    }
    c.publisher[8] = 1;
    assert_int_equal(leases_renew(w.l, &c, w.now_ms), ERR_FULL);
    w.now_ms += LEASE_TERM_MS;
    expire(&w);
    assert_int_equal(leases_renew(w.l, &c, w.now_ms), ERR_NONE);
    end(&w);
}

/* ---- random histories */

static uint64_t seed(void)
{
    const char *text = getenv("VOLLEY_SEED");
    uint64_t s;
    if (text != NULL)
        s = strtoull(text, NULL, 10);
    else
        rng_secure(&s, sizeof s);
    print_message("VOLLEY_SEED=%llu\n", (unsigned long long)s);
    return s;
}

/* Everybody alive calls for a while: then every lane is held, evenly, and each knows what it has.
 */
static void check_settles(struct world *w)
{
    for (int i = 0; i < 10; i++) {
        w->now_ms += LEASE_RENEW_MS;
        for (int who = 0; who < 3; who++) {
            w->m[who].leaving = false;
            call(w, who);
        }
    }
    size_t held = 0;
    for (int who = 0; who < 3; who++) {
        held += w->m[who].held_len;
        assert_true(w->m[who].held_len == LANES / 3);
        for (size_t i = 0; i < w->m[who].held_len; i++)
            assert_int_equal(stored(w, w->m[who].held[i].lane)->epoch, w->m[who].held[i].epoch);
    }
    assert_int_equal(held, LANES);
}

static void whatever_happened_a_fleet_settles_evenly(void **state)
{
    (void)state;
    struct rng r;
    rng_init(&r, seed());
    for (int round = 0; round < 200; round++) {
        struct world w;
        begin(&w, LANES);
        for (int step = 0; step < 60; step++) {
            int who = (int)rng_below(&r, PUBS);
            w.now_ms += rng_below(&r, 4) == 0 ? rng_below(&r, LEASE_TERM_MS) : 100;
            switch (rng_below(&r, 10)) {
            case 0:
                restart(&w);
                break;
            case 1:
                w.m[who].leaving = !w.m[who].leaving;
                break;
            case 2:
                w.m[who] = (struct member){0}; /* forgets all it had */
                break;
            case 3:
                call_heard(&w, who, false);
                break;
            default:
                call(&w, who);
            }
        }
        check_settles(&w);
        end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_to_call_gets_every_lane),
        cmocka_unit_test(a_newcomer_gets_its_share_once_it_was_given_back),
        cmocka_unit_test(the_lanes_of_a_dead_one_go_out_when_its_term_ends),
        cmocka_unit_test(a_late_renewal_that_comes_first_keeps_the_lanes),
        cmocka_unit_test(a_grant_that_was_never_heard_of_is_made_anew),
        cmocka_unit_test(an_old_epoch_a_strange_lane_and_one_that_is_gone_are_lost),
        cmocka_unit_test(a_lane_named_twice_counts_once),
        cmocka_unit_test(after_a_restart_a_holder_counts_as_alive_for_one_term),
        cmocka_unit_test(after_a_restart_a_holder_that_calls_keeps_its_lanes),
        cmocka_unit_test(one_that_leaves_gives_back_what_it_has),
        cmocka_unit_test(only_lanes_of_a_served_route_are_granted),
        cmocka_unit_test(more_publishers_than_there_is_room_for_are_refused),
        cmocka_unit_test(whatever_happened_a_fleet_settles_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
