/* What a table of leases tells others: who holds a lane, since when nobody does, and when it is
 * worth to ask again. */
#include "tests/unit/leases_world.h"

#include <stdlib.h>

#define WALL_MS 1800000000000 /* when the boot clock was 0 */

static void status(const struct world *w, uint32_t lane, struct lane_live *live,
                   char name[PUBLISHER_NAME_SIZE])
{
    leases_status(w->l, lane, WALL_MS + (int64_t)w->now_ms, w->now_ms, live, name);
}

static void the_status_tells_who_holds_a_lane_and_what_it_said(void **state)
{
    (void)state;
    struct world w;
    struct lane_live live;
    char name[PUBLISHER_NAME_SIZE];
    begin(&w, 2);
    status(&w, 1, &live, name);
    assert_int_equal(live.state, LANE_UNLEASED);
    assert_string_equal(name, "");
    call(&w, 0);
    status(&w, 1, &live, name);
    assert_int_equal(live.state, LANE_IDLE);
    assert_string_equal(name, "host:0");
    w.m[0].held[0].live.state = LANE_OPEN;
    w.m[0].held[0].live.in_flight = 5;
    call(&w, 0);
    status(&w, w.m[0].held[0].lane, &live, name);
    assert_int_equal(live.state, LANE_OPEN);
    assert_int_equal(live.in_flight, 5);
    status(&w, 77, &live, name);
    assert_int_equal(live.state, LANE_UNLEASED);
    end(&w);
}

/* Its word was given before it heard that it may go on: who waits for a relay to fall silent must
 * not be told by an old one. */
static void who_was_told_to_go_on_is_held_no_more(void **state)
{
    (void)state;
    struct world w;
    struct lane_live live;
    char name[PUBLISHER_NAME_SIZE];
    begin(&w, 1);
    call(&w, 0);
    w.m[0].held[0].live.state = LANE_HELD;
    call(&w, 0);
    status(&w, 1, &live, name);
    assert_int_equal(live.state, LANE_HELD);
    leases_not_held(w.l, 1);
    leases_not_held(w.l, 77);
    status(&w, 1, &live, name);
    assert_int_equal(live.state, LANE_IDLE);
    assert_string_equal(name, "host:0");
    w.m[0].held[0].live.state = LANE_OPEN;
    call(&w, 0);
    leases_not_held(w.l, 1);
    status(&w, 1, &live, name);
    assert_int_equal(live.state, LANE_OPEN);
    end(&w);
}

/* In ms since the clock of `begin`; -1 when somebody has it. */
static int64_t free_since(const struct world *w, uint32_t lane)
{
    struct lane_live live;
    char name[PUBLISHER_NAME_SIZE];
    status(w, lane, &live, name);
    return live.state == LANE_UNLEASED ? live.since_ms - WALL_MS - 1000000 : -1;
}

static void a_lane_is_free_since_its_end_was_noticed(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 2);
    w.now_ms += 100;
    assert_int_equal(free_since(&w, 1), 0); /* since it is known */
    call(&w, 0);
    assert_int_equal(free_since(&w, 1), -1);
    w.now_ms += 900;
    w.m[0].leaving = true;
    call(&w, 0);
    w.m[0].held[0].give_back = w.m[0].held[1].give_back = true;
    w.now_ms += 500;
    call(&w, 0);
    w.now_ms += 5000;
    assert_int_equal(free_since(&w, 1), 1500);
    assert_int_equal(free_since(&w, 2), 1500);
    call(&w, 1);
    assert_int_equal(free_since(&w, 2), -1);
    w.now_ms += LEASE_TERM_MS + 7;
    expire(&w);
    w.now_ms += 1000;
    assert_int_equal(free_since(&w, 2), 6500 + LEASE_TERM_MS + 7);
    restart(&w);
    assert_int_equal(free_since(&w, 2), (int64_t)w.now_ms - 1000000);
    end(&w);
}

/* Whether there were news since it was asked last. */
static bool has_news(struct world *w)
{
    static uint64_t last;
    uint64_t now = leases_news(w->l);
    bool is_new = now != last;
    last = now;
    return is_new;
}

static void who_joins_or_leaves_is_news_and_who_renews_is_not(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 4);
    call(&w, 0);
    (void)has_news(&w);
    for (int i = 0; i < 5; i++) {
        w.now_ms += LEASE_RENEW_MS;
        call(&w, 0);
        assert_false(has_news(&w));
    }
    call(&w, 1);
    assert_true(has_news(&w)); /* the first shall give back */
    call(&w, 0);
    assert_false(has_news(&w));
    call(&w, 0); /* gives back */
    assert_true(has_news(&w));
    call(&w, 1);
    assert_int_equal(w.m[1].granted, 2);
    assert_false(has_news(&w));
    w.m[1].leaving = true;
    call(&w, 1);
    assert_true(has_news(&w));
    call(&w, 1); /* gives back */
    assert_true(has_news(&w));
    call(&w, 0);
    assert_int_equal(w.m[0].granted, 2);
    end(&w);
}

static void who_expires_is_news_and_so_are_other_lanes(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 2);
    call(&w, 0);
    call(&w, 1);
    (void)has_news(&w);
    w.now_ms += LEASE_TERM_MS / 2;
    call(&w, 1);
    assert_false(has_news(&w));
    w.now_ms += LEASE_TERM_MS / 2;
    expire(&w);
    assert_true(has_news(&w));
    w.lanes[w.lanes_len++] = (struct store_lane){.lane = 3, .route = ROUTE_TOR};
    leases_load(w.l, w.lanes, w.lanes_len, w.now_ms);
    assert_true(has_news(&w));
    end(&w);
}

/* More lanes than one answer grants: the next call brings more, and that is news too. */
static void what_did_not_fit_into_an_answer_is_news(void **state)
{
    (void)state;
    enum { MANY = LEASES_GRANTS_MAX + 1 };
    struct leases *l = leases_new();
    struct store_lane *lanes = mem_zero(MANY, sizeof *lanes);
    struct lease_call c = {.publisher = {1}, .routes = 1u << ROUTE_TOR};
    struct lease_answer a;
    for (uint32_t i = 0; i < MANY; i++)
        lanes[i] = (struct store_lane){.lane = i + 1, .route = ROUTE_TOR};
    leases_load(l, lanes, MANY, 1);
    assert_int_equal(leases_renew(l, &c, 1), ERR_NONE);
    leases_answer(l, &c, &a);
    assert_int_equal(a.grants_len, LEASES_GRANTS_MAX);
    uint64_t all_planned = 2; /* the lanes, and that they shall be his */
    assert_int_equal(leases_news(l), all_planned + 1);
    struct lease_held *held = mem_zero(MANY, sizeof *held);
    for (size_t i = 0; i < a.grants_len; i++) {
        held[i] = (struct lease_held){.lane = a.grants[i], .epoch = 1};
        leases_granted(l, a.grants[i], c.publisher, 1);
    }
    c.held = held;
    c.held_len = a.grants_len;
    uint64_t before = leases_news(l);
    leases_answer(l, &c, &a);
    assert_int_equal(a.grants_len, 1);
    leases_granted(l, a.grants[0], c.publisher, 1);
    held[c.held_len++] = (struct lease_held){.lane = a.grants[0], .epoch = 1};
    assert_int_equal(leases_news(l), before); /* that was all */
    free(held);
    free(lanes);
    leases_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_status_tells_who_holds_a_lane_and_what_it_said),
        cmocka_unit_test(who_was_told_to_go_on_is_held_no_more),
        cmocka_unit_test(a_lane_is_free_since_its_end_was_noticed),
        cmocka_unit_test(who_joins_or_leaves_is_news_and_who_renews_is_not),
        cmocka_unit_test(who_expires_is_news_and_so_are_other_lanes),
        cmocka_unit_test(what_did_not_fit_into_an_answer_is_news),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
