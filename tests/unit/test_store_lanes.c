/* The store's registry: definitions and their history, lanes that retire and come back, who holds
 * them, and the tally. */
#include "tests/support/store_box.h"

#include <stdlib.h>
#include <string.h>

/* ---- definitions ---- */

static struct define_result define(struct store_box *b, const struct definition *defs, size_t len)
{
    struct define_result r;
    struct problem why = {0};
    box_begin(b);
    assert_int_equal(
        store_define(b->s, &(struct define_call){.defs = defs, .len = len}, b->now_ms, &r, &why),
        ERR_NONE);
    box_commit(b);
    return r;
}

static void switch_to(struct store_box *b, uint64_t position, uint32_t version)
{
    struct lane_commit c = box_next(b, 1, position);
    c.definition_version = version;
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
}

static void receipts_follow_the_definition_that_held_at_each_position(void **state)
{
    struct store_box *b = *state;
    struct definition d = box_relay(0), other = box_relay(1);
    struct definition list[2];
    box_relays(b, 2);
    box_notes(b, 1, 12);
    (void)box_grant(b, 1, 1);
    box_deliver(b, 1, 2);
    d.kinds[d.kinds_len++] = 7;
    list[0] = d, list[1] = other;
    (void)define(b, list, 2);
    switch_to(b, 4, 2); /* 1 … 4 by the first, no notes from 5 on */
    switch_to(b, 6, 2);
    list[0].kinds_len = 0;
    (void)define(b, list, 2);
    list[0].window = 9;
    (void)define(b, list, 2); /* version 3 never held */
    switch_to(b, 8, 4);
    switch_to(b, 10, 4);
    static const enum receipt_end want[] = {RECEIPT_DELIVERED, RECEIPT_DELIVERED, RECEIPT_DELIVERED,
                                            RECEIPT_DELIVERED, RECEIPT_FILTERED,  RECEIPT_FILTERED,
                                            RECEIPT_FILTERED,  RECEIPT_FILTERED,  RECEIPT_DELIVERED,
                                            RECEIPT_DELIVERED, RECEIPT_QUEUED,    RECEIPT_QUEUED};
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned n = 1; n <= 12; n++)
            assert_int_equal(box_receipt(b, n, 1).end, want[n - 1]);
        assert_int_equal(box_status(b, 1).definition_version, 4);
        assert_int_equal(box_status(b, 1).definition.window, 9);
        box_reopen(b);
    }
    struct lane_commit back = box_next(b, 1, 10);
    assert_int_equal(box_lane_commit(b, &back).status, COMMIT_INVALID); /* names version 1 */
}

static void a_relay_that_comes_back_gets_a_lane_of_its_own(void **state)
{
    struct store_box *b = *state;
    struct definition list[2] = {box_relay(0), box_relay(1)};
    (void)define(b, list, 2);
    (void)box_grant(b, 2, 1);
    box_notes(b, 1, 4);
    box_deliver(b, 2, 2);
    struct define_result r = define(b, list, 1);
    assert_int_equal(r.retired, 1);
    (void)box_note(b, 5);
    r = define(b, list, 2);
    assert_int_equal(r.added, 1);
    assert_int_equal(r.unchanged, 1);
    (void)box_note(b, 6);
    struct lane_status old = box_status(b, 2), new = box_status(b, 3);
    assert_true(old.retired);
    assert_false(new.retired);
    assert_string_equal(old.definition.url, new.definition.url);
    assert_int_equal(new.start, 5);
    assert_int_equal(new.depth, 1);
    assert_int_equal(old.expired, 2);
    assert_int_equal(box_receipt(b, 2, 2).end, RECEIPT_DELIVERED);
    assert_int_equal(box_receipt(b, 4, 2).row.cls, CLASS_RETIRED);
    assert_int_equal(box_receipt(b, 4, 3).end, RECEIPT_NEVER);
    assert_int_equal(box_receipt(b, 6, 3).end, RECEIPT_QUEUED);
    box_pass(b, BOX_RETENTION_MS);
    assert_int_equal(box_depth(b).lanes_len, 2); /* the old one has left */
    box_reopen(b);
    assert_int_equal(box_depth(b).lanes_len, 2);
    r = define(b, list, 1);
    assert_int_equal(r.retired, 1);
    struct definition third[2] = {box_relay(0), box_relay(2)};
    r = define(b, third, 2);
    assert_int_equal(box_status(b, 4).start, 6); /* numbers are never used again */
}

static void too_many_relays_and_one_twice_are_refused(void **state)
{
    struct store_box *b = *state;
    struct definition *many = mem_zero(QUEUE_LANES_MAX + 1, sizeof *many);
    struct define_result r;
    struct problem why = {0};
    for (unsigned i = 0; i <= QUEUE_LANES_MAX; i++)
        many[i] = box_relay(i);
    box_begin(b);
    assert_int_equal(store_define(b->s,
                                  &(struct define_call){.defs = many, .len = QUEUE_LANES_MAX + 1},
                                  b->now_ms, &r, &why),
                     ERR_INVALID);
    many[700] = many[9];
    assert_int_equal(
        store_define(b->s, &(struct define_call){.defs = many, .len = 1000}, b->now_ms, &r, &why),
        ERR_INVALID);
    assert_non_null(strstr(why.text, "wss://relay9.example"));
    box_commit(b);
    assert_int_equal(box_depth(b).lanes_len, 0);
    assert_int_equal(store_registry_version(b->s), 0);
    free(many);
}

/* ---- grants ---- */

static void grants_and_releases_are_durable(void **state)
{
    struct store_box *b = *state;
    struct store_lane lanes[4];
    static const uint8_t nobody[PUBLISHER_ID_LEN];
    box_relays(b, 3);
    (void)box_grant(b, 2, 7);
    box_reopen(b);
    assert_int_equal(store_lanes(b->s, lanes, 4), 3);
    assert_int_equal(lanes[1].lane, 2);
    assert_int_equal(lanes[1].holder[5], 7);
    assert_int_equal(lanes[1].epoch, 1);
    assert_memory_equal(lanes[0].holder, nobody, sizeof nobody);
    assert_string_equal(box_status(b, 2).publisher, "host:1");
    assert_int_equal(store_lanes(b->s, lanes, 1), 3); /* tells how many there are */
    box_begin(b);
    assert_int_equal(store_release(b->s, 2, 9), ERR_NONE); /* not its epoch */
    assert_int_equal(store_release(b->s, 99, 1), ERR_NONE);
    box_commit(b);
    assert_int_equal(store_lanes(b->s, lanes, 4), 3);
    assert_int_equal(lanes[1].holder[5], 7);
    box_begin(b);
    assert_int_equal(store_release(b->s, 2, 1), ERR_NONE);
    box_commit(b);
    box_reopen(b);
    assert_int_equal(store_lanes(b->s, lanes, 4), 3);
    assert_memory_equal(lanes[1].holder, nobody, sizeof nobody);
    assert_int_equal(lanes[1].epoch, 1);
    box_deliver(b, 2, 0); /* only the epoch judges a commit */
    assert_int_equal(box_grant(b, 2, 8).epoch, 2);
}

static void grants_without_progress_are_counted_until_there_is_some(void **state)
{
    struct store_box *b = *state;
    box_relays(b, 1);
    box_notes(b, 1, 5);
    assert_int_equal(box_grant(b, 1, 1).stalls, 0);
    assert_int_equal(box_grant(b, 1, 2).stalls, 1);
    assert_int_equal(box_grant(b, 1, 3).stalls, 2);
    box_deliver(b, 1, 1); /* tells 0 stalls */
    assert_int_equal(box_grant(b, 1, 4).stalls, 0);
    struct lane_commit c = box_next(b, 1, 1); /* a hang-up, and no progress */
    c.stalls = 5;
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
    assert_int_equal(box_grant(b, 1, 5).stalls, 6);
}

static void who_is_not_the_holder_is_told_so(void **state)
{
    struct store_box *b = *state;
    struct lane_kept k;
    struct lane_grant g;
    uint8_t id[PUBLISHER_ID_LEN] = {1};
    box_relays(b, 1);
    (void)box_grant(b, 1, 1);
    assert_int_equal(store_kept(b->s, 1, 1, &k), ERR_NONE);
    assert_int_equal(store_kept(b->s, 1, 2, &k), ERR_STALE);
    assert_int_equal(store_kept(b->s, 2, 1, &k), ERR_STALE);
    box_relays(b, 0);
    assert_int_equal(store_kept(b->s, 1, 1, &k), ERR_STALE);
    box_begin(b);
    assert_int_equal(store_grant(b->s, 1, id, "x", b->now_ms, &g), ERR_NOT_FOUND);
    assert_int_equal(store_grant(b->s, 2, id, "x", b->now_ms, &g), ERR_NOT_FOUND);
    box_commit(b);
}

/* ---- the tally ---- */

static void the_tally_counts_what_the_line_says(void **state)
{
    struct store_box *b = *state;
    struct store_tally t;
    struct definition list[6];
    for (unsigned i = 0; i < 6; i++)
        list[i] = box_relay(i);
    list[3].except_kinds[list[3].except_kinds_len++] = 1;
    (void)define(b, list, 5);
    box_notes(b, 1, 1);
    (void)define(b, list, 6); /* the sixth started later */
    for (uint32_t lane = 1; lane <= 5; lane++)
        (void)box_grant(b, lane, 1);
    assert_int_equal(store_tally(b->s, 1, &t), ERR_NONE);
    assert_int_equal(t.delivered, 0);
    assert_int_equal(t.failed, 0);
    assert_int_equal(t.waiting, 5);
    box_deliver(b, 1, 1);
    box_fail(b, 2, 1);
    struct row skipped = box_row(b, 1, ROW_SKIPPED, CLASS_SUPERSEDED);
    struct lane_commit c = box_next(b, 3, 1);
    c.rows_added = &skipped;
    c.rows_added_len = 1;
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
    box_deliver(b, 4, 1); /* filtered */
    struct exception x = {.pos = 1};
    c = box_next(b, 5, 1);
    c.exceptions = &x;
    c.exceptions_len = 1;
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
    assert_int_equal(store_tally(b->s, 1, &t), ERR_NONE);
    assert_int_equal(t.delivered, 1);
    assert_int_equal(t.failed, 1);
    assert_int_equal(t.waiting, 1);
    assert_int_equal(t.accepted_ms, b->now_ms);
    assert_int_equal(store_tally(b->s, 2, &t), ERR_NOT_FOUND);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        BOX_TEST(receipts_follow_the_definition_that_held_at_each_position),
        BOX_TEST(a_relay_that_comes_back_gets_a_lane_of_its_own),
        BOX_TEST(too_many_relays_and_one_twice_are_refused),
        BOX_TEST(grants_and_releases_are_durable),
        BOX_TEST(grants_without_progress_are_counted_until_there_is_some),
        BOX_TEST(who_is_not_the_holder_is_told_so),
        BOX_TEST(the_tally_counts_what_the_line_says),
    };
    return cmocka_run_group_tests_name("the store's lanes", tests, NULL, NULL);
}
