/* Leases over time: a toy store of epochs, publishers that call as they should, and a clock in a
 * variable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "queue/leases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LANES 12
#define PUBS  5

struct member {
    struct lease_held held[LANES + 1];
    size_t held_len;
    bool leaving;
    /* of the last call */
    size_t granted, lost, asked_back;
};

struct world {
    struct leases *l;
    struct store_lane lanes[LANES]; /* the durable truth: holder and epoch */
    size_t lanes_len;
    struct member m[PUBS];
    uint64_t now_ms;
};

static void id_of(int who, uint8_t id[PUBLISHER_ID_LEN])
{
    memset(id, 0, PUBLISHER_ID_LEN);
    id[0] = (uint8_t)(who + 1);
}

static struct store_lane *stored(struct world *w, uint32_t lane)
{
    for (size_t i = 0; i < w->lanes_len; i++)
        if (w->lanes[i].lane == lane)
            return &w->lanes[i];
    die("lane %u is not in the store", lane);
}

static void release(struct world *w, const struct lease_ref *refs, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        struct store_lane *s = stored(w, refs[i].lane);
        assert_int_equal(s->epoch, refs[i].epoch);
        memset(s->holder, 0, sizeof s->holder);
    }
}

static bool is_free(const struct store_lane *s)
{
    static const uint8_t none[PUBLISHER_ID_LEN];
    return memcmp(s->holder, none, sizeof none) == 0;
}

static void drop(struct member *m, uint32_t lane)
{
    for (size_t i = 0; i < m->held_len; i++)
        if (m->held[i].lane == lane) {
            m->held[i] = m->held[--m->held_len];
            return;
        }
}

static void expire(struct world *w)
{
    const struct lease_ref *freed;
    size_t len;
    leases_expire(w->l, w->now_ms, &freed, &len);
    release(w, freed, len);
}

static struct lease_call make_call(struct world *w, int who)
{
    struct lease_call c = {.routes = 1u << ROUTE_TOR | 1u << ROUTE_DIRECT,
                           .leaving = w->m[who].leaving,
                           .held = w->m[who].held,
                           .held_len = w->m[who].held_len};
    id_of(who, c.publisher);
    (void)snprintf(c.name, sizeof c.name, "host:%d", who);
    return c;
}

/* A call whose answer arrives, if `heard`. */
static void call_heard(struct world *w, int who, bool heard)
{
    struct member *m = &w->m[who];
    struct lease_call c = make_call(w, who);
    struct lease_answer a;
    assert_int_equal(leases_renew(w->l, &c, w->now_ms), ERR_NONE);
    expire(w);
    leases_answer(w->l, &c, &a);
    release(w, a.released, a.released_len);
    m->granted = a.grants_len;
    m->lost = a.lost_len;
    m->asked_back = 0;
    struct member next = *m;
    for (size_t i = 0; i < a.released_len; i++)
        drop(&next, a.released[i].lane);
    for (size_t i = 0; i < a.lost_len; i++)
        drop(&next, a.lost[i]);
    for (size_t i = 0; i < a.kept_len; i++)
        for (size_t k = 0; k < next.held_len; k++)
            if (next.held[k].lane == a.kept[i].lane) {
                assert_int_equal(next.held[k].epoch, a.kept[i].epoch);
                next.held[k].give_back = a.kept[i].give_back;
                next.asked_back += a.kept[i].give_back;
            }
    for (size_t i = 0; i < a.grants_len; i++) {
        struct store_lane *s = stored(w, a.grants[i]);
        assert_true(is_free(s)); /* never two holders */
        id_of(who, s->holder);
        s->epoch++;
        leases_granted(w->l, s->lane, s->holder, s->epoch);
        next.held[next.held_len++] = (struct lease_held){.lane = s->lane, .epoch = s->epoch};
    }
    if (heard)
        *m = next;
}

static void call(struct world *w, int who)
{
    call_heard(w, who, true);
}

static void begin(struct world *w, size_t lanes)
{
    *w = (struct world){.l = leases_new(), .lanes_len = lanes, .now_ms = 1000000};
    for (size_t i = 0; i < lanes; i++)
        w->lanes[i] = (struct store_lane){.lane = (uint32_t)i + 1, .route = ROUTE_TOR};
    leases_load(w->l, w->lanes, w->lanes_len, w->now_ms);
}

static void restart(struct world *w)
{
    leases_free(w->l);
    w->l = leases_new();
    leases_load(w->l, w->lanes, w->lanes_len, w->now_ms);
}

static void end(struct world *w)
{
    leases_free(w->l);
}

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

static void the_status_tells_who_holds_a_lane_and_what_it_said(void **state)
{
    (void)state;
    struct world w;
    struct lane_live live;
    char name[PUBLISHER_NAME_SIZE];
    begin(&w, 2);
    leases_status(w.l, 1, &live, name);
    assert_int_equal(live.state, LANE_UNLEASED);
    assert_string_equal(name, "");
    call(&w, 0);
    leases_status(w.l, 1, &live, name);
    assert_int_equal(live.state, LANE_IDLE);
    assert_string_equal(name, "host:0");
    w.m[0].held[0].live.state = LANE_OPEN;
    w.m[0].held[0].live.in_flight = 5;
    call(&w, 0);
    leases_status(w.l, w.m[0].held[0].lane, &live, name);
    assert_int_equal(live.state, LANE_OPEN);
    assert_int_equal(live.in_flight, 5);
    leases_status(w.l, 77, &live, name);
    assert_int_equal(live.state, LANE_UNLEASED);
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
        cmocka_unit_test(the_status_tells_who_holds_a_lane_and_what_it_said),
        cmocka_unit_test(whatever_happened_a_fleet_settles_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
