/* The registry as operators see it: lists that were replaced, all lanes with all their definitions,
 * and an operator's word about a lane. */
#include "tests/support/store_box.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum err define(struct store_box *b, unsigned first, unsigned len, bool force,
                       struct define_result *r, struct problem *why)
{
    struct definition defs[4];
    struct define_call call = {.defs = defs, .len = len, .force = force};
    (void)snprintf(call.by, sizeof call.by, "host:%u", first);
    for (unsigned i = 0; i < len; i++)
        defs[i] = box_relay(first + i);
    box_begin(b);
    enum err e = store_define(b->s, &call, b->now_ms, r, why);
    box_commit(b);
    return e;
}

static struct queue_registry registry(struct store_box *b)
{
    struct queue_registry r;
    assert_int_equal(store_registry(b->s, &r), ERR_NONE);
    return r;
}

/* ---- lists ---- */

static void a_list_that_was_replaced_is_not_put_in_force_again_by_itself(void **state)
{
    struct store_box *b = *state;
    struct define_result r;
    struct problem why = {0};
    assert_int_equal(registry(b).defined_ms, 0);
    assert_int_equal(define(b, 0, 2, false, &r, &why), ERR_NONE);
    assert_int_equal(r.added, 2);
    b->now_ms += 1000;
    assert_int_equal(define(b, 0, 2, false, &r, &why), ERR_NONE); /* the one in force */
    assert_int_equal(r.unchanged, 2);
    assert_int_equal(registry(b).defined_ms, BOX_WALL_MS);
    assert_string_equal(registry(b).defined_by, "host:0");
    assert_int_equal(define(b, 1, 2, false, &r, &why), ERR_NONE);
    assert_int_equal(r.retired, 1);
    b->now_ms += 1000;
    uint64_t version = store_registry_version(b->s);
    box_reopen(b);
    assert_int_equal(define(b, 0, 2, false, &r, &why), ERR_STALE);
    assert_non_null(strstr(why.text, "2027-01-15 08:00:01 UTC by host:1"));
    assert_non_null(strstr(why.text, "volley relays apply"));
    assert_int_equal(store_registry_version(b->s), version);
    assert_string_equal(registry(b).defined_by, "host:1");
    assert_int_equal(define(b, 0, 2, true, &r, &why), ERR_NONE); /* unless it is meant */
    assert_int_equal(r.added, 1);
    assert_int_equal(define(b, 1, 2, false, &r, &why), ERR_STALE); /* now the other one is old */
    assert_int_equal(define(b, 0, 2, false, &r, &why), ERR_NONE);
    assert_int_equal(define(b, 2, 2, false, &r, &why), ERR_NONE); /* a new one always may */
}

static void the_empty_list_is_a_list(void **state)
{
    struct store_box *b = *state;
    struct define_result r;
    struct problem why = {0};
    assert_int_equal(define(b, 0, 0, false, &r, &why), ERR_NONE);
    assert_int_equal(registry(b).defined_ms, BOX_WALL_MS);
    assert_int_equal(registry(b).version, 0);
    assert_int_equal(define(b, 0, 1, false, &r, &why), ERR_NONE);
    assert_int_equal(define(b, 0, 0, false, &r, &why), ERR_STALE);
    assert_int_equal(registry(b).lanes_len, 1);
    assert_int_equal(define(b, 0, 0, true, &r, &why), ERR_NONE);
    assert_int_equal(r.retired, 1);
}

static void so_many_lists_are_remembered_and_no_more(void **state)
{
    struct store_box *b = *state;
    struct define_result r;
    struct problem why = {0};
    for (unsigned i = 0; i <= LISTS_MAX; i++) /* the first ones are replaced LISTS_MAX times */
        assert_int_equal(define(b, i, 1, false, &r, &why), ERR_NONE);
    assert_int_equal(define(b, 0, 1, false, &r, &why), ERR_STALE);
    for (unsigned i = 1; i < LISTS_MAX; i += 50) {
        assert_int_equal(define(b, i, 1, false, &r, &why), ERR_STALE);
        assert_int_equal(define(b, i, 1, true, &r, &why), ERR_NONE); /* each is there once */
    }
    assert_int_equal(define(b, 0, 1, false, &r, &why), ERR_STALE);
    assert_int_equal(define(b, 1000, 1, false, &r, &why), ERR_NONE);
    assert_int_equal(define(b, 0, 1, false, &r, &why), ERR_NONE); /* too long ago */
}

static void a_list_that_is_wrong_changes_nothing(void **state)
{
    struct store_box *b = *state;
    struct definition twice[2] = {box_relay(5), box_relay(5)};
    struct define_call call = {.defs = twice, .len = 2};
    struct define_result r;
    struct problem why = {0};
    assert_int_equal(define(b, 0, 2, false, &r, &why), ERR_NONE);
    box_begin(b);
    assert_int_equal(store_define(b->s, &call, b->now_ms, &r, &why), ERR_INVALID);
    box_commit(b);
    assert_int_equal(define(b, 0, 2, false, &r, &why), ERR_NONE);
    assert_int_equal(r.unchanged, 2);
}

/* ---- lanes ---- */

static void all_definitions_of_all_lanes_are_shown(void **state)
{
    struct store_box *b = *state;
    struct definition d = box_relay(0);
    struct define_call call = {.defs = &d, .len = 1};
    struct define_result r;
    struct problem why = {0};
    box_relays(b, 2);
    box_notes(b, 1, 5);
    (void)box_grant(b, 1, 1);
    box_deliver(b, 1, 2);
    d.window = 9;
    box_begin(b);
    assert_int_equal(store_define(b->s, &call, b->now_ms, &r, &why), ERR_NONE);
    box_commit(b);
    struct queue_registry reg = registry(b);
    assert_int_equal(reg.lanes_len, 2);
    const struct lane_entry *l = reg.lanes;
    assert_int_equal(l[0].lane, 1);
    assert_int_equal(l[0].position, 2);
    assert_int_equal(l[0].versions_len, 2);
    assert_false(l[0].versions[0].waits);
    assert_true(l[0].versions[1].waits);
    assert_int_equal(l[0].versions[1].from, 0);
    assert_int_equal(l[0].versions[1].definition.window, 9);
    assert_true(l[1].retired);
    assert_int_equal(l[1].retired_ms, b->now_ms);
    assert_int_equal(l[1].versions_len, 1);
    assert_string_equal(l[1].versions[0].definition.url, "wss://relay1.example");
    struct lane_commit c = box_next(b, 1, 4);
    c.definition_version = 2;
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
    l = registry(b).lanes;
    assert_false(l[0].versions[1].waits);
    assert_int_equal(l[0].versions[1].from, 4);
    box_pass(b, BOX_RETENTION_MS);
    assert_int_equal(registry(b).lanes_len, 1);
}

/* ---- hold ---- */

static struct hold_result hold(struct store_box *b, bool held, bool from_now)
{
    struct hold_call c = {.held = held, .from_now = from_now, .url = "wss://relay0.example"};
    struct hold_result r;
    box_begin(b);
    assert_int_equal(store_hold(b->s, &c, b->now_ms, &r), ERR_NONE);
    box_commit(b);
    return r;
}

static bool owner_hears_held(struct store_box *b)
{
    struct lane_kept k;
    assert_int_equal(store_kept(b->s, 1, b->epoch[1], &k), ERR_NONE);
    assert_int_equal(k.held, box_status(b, 1).held);
    return k.held;
}

static void an_operators_word_outranks_the_list_and_outlasts_a_restart(void **state)
{
    struct store_box *b = *state;
    struct definition d = box_relay(0);
    struct define_call call = {.defs = &d, .len = 1};
    struct define_result r;
    struct problem why = {0};
    box_relays(b, 1);
    box_notes(b, 1, 3);
    (void)box_grant(b, 1, 1);
    assert_false(owner_hears_held(b));
    assert_int_equal(registry(b).lanes[0].hold, HOLD_AS_DEFINED);
    assert_int_equal(hold(b, true, false).waiting, 3);
    box_reopen(b);
    assert_true(owner_hears_held(b));
    assert_int_equal(registry(b).lanes[0].hold, HOLD_HELD);
    d.hold = true;
    box_begin(b);
    assert_int_equal(store_define(b->s, &call, b->now_ms, &r, &why), ERR_NONE);
    box_commit(b);
    assert_true(owner_hears_held(b));
    assert_int_equal(hold(b, false, false).given_up, 0);
    assert_false(owner_hears_held(b));
    assert_int_equal(registry(b).lanes[0].hold, HOLD_RELEASED);
}

static void who_releases_from_now_gives_up_what_waited(void **state)
{
    struct store_box *b = *state;
    struct exception x = {.pos = 2, .attempts = 3};
    box_relays(b, 1);
    box_notes(b, 1, 10);
    (void)box_grant(b, 1, 1);
    struct lane_commit c = box_next(b, 1, 4);
    c.exceptions = &x;
    c.exceptions_len = 1;
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
    (void)hold(b, true, true); /* from_now is about releasing */
    assert_int_equal(box_status(b, 1).depth, 7);
    struct hold_result r = hold(b, false, true);
    assert_int_equal(r.given_up, 7);
    assert_int_equal(r.waiting, 0);
    assert_int_equal(box_status(b, 1).expired, 7);
    assert_int_equal(box_receipt(b, 2, 1).row.cls, CLASS_RELEASED);
    assert_int_equal(box_receipt(b, 2, 1).row.attempts, 3);
    assert_int_equal(box_receipt(b, 9, 1).row.cls, CLASS_RELEASED);
    assert_int_equal(box_receipt(b, 3, 1).end, RECEIPT_DELIVERED);
    struct lane_kept k;
    assert_int_equal(store_kept(b->s, 1, b->epoch[1], &k), ERR_NONE);
    assert_int_equal(k.floor, 10);
    assert_int_equal(hold(b, false, true).given_up, 0);
    assert_int_equal(box_note(b, 11), 11);
    assert_int_equal(box_status(b, 1).depth, 1);
}

static void only_a_lane_that_is_there_is_held(void **state)
{
    struct store_box *b = *state;
    struct hold_call c = {.held = true, .url = "wss://relay1.example"};
    struct hold_result r;
    box_relays(b, 2);
    box_relays(b, 1);
    box_begin(b);
    assert_int_equal(store_hold(b->s, &c, b->now_ms, &r), ERR_NOT_FOUND);
    box_commit(b);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        BOX_TEST(a_list_that_was_replaced_is_not_put_in_force_again_by_itself),
        BOX_TEST(the_empty_list_is_a_list),
        BOX_TEST(so_many_lists_are_remembered_and_no_more),
        BOX_TEST(a_list_that_is_wrong_changes_nothing),
        BOX_TEST(all_definitions_of_all_lanes_are_shown),
        BOX_TEST(an_operators_word_outranks_the_list_and_outlasts_a_restart),
        BOX_TEST(who_releases_from_now_gives_up_what_waited),
        BOX_TEST(only_a_lane_that_is_there_is_held),
    };
    return cmocka_run_group_tests_name("the registry of the store", tests, NULL, NULL);
}
