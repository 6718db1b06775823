/* What goes with time in the store: in small steps, in the right order, and through restarts. */
#include "tests/support/store_box.h"

#include <string.h>

/* One call; whether something is left. */
static bool housekeep_some(struct store_box *b, unsigned work)
{
    bool more;
    box_begin(b);
    assert_int_equal(store_housekeep(b->s, b->now_ms, b->boot_ms, work, &more), ERR_NONE);
    box_commit(b);
    return more;
}

static void housekeeping_does_so_much_a_call_and_tells_when_it_is_done(void **state)
{
    struct store_box *b = *state;
    box_relays(b, 1);
    (void)box_grant(b, 1, 1);
    box_notes(b, 1, 100);
    box_deliver(b, 1, 100);
    assert_true(housekeep_some(b, 30));
    assert_int_equal(box_depth(b).first, 31);
    assert_true(housekeep_some(b, 30));
    assert_true(housekeep_some(b, 30));
    assert_false(housekeep_some(b, 30));
    assert_int_equal(box_depth(b).first, 101);
    b->now_ms += BOX_RETENTION_MS;
    b->boot_ms += BOX_RETENTION_MS;
    assert_true(housekeep_some(b, 30)); /* forgets */
    unsigned known = 0;
    for (unsigned n = 1; n <= 100; n++)
        known += box_known(b, n);
    assert_int_equal(known, 70);
    assert_false(box_known(b, 30));
    box_housekeep(b);
    assert_false(box_known(b, 100));
    assert_int_equal(box_depth(b).bytes, 0);
}

static void what_expires_in_steps_is_one_run(void **state)
{
    struct store_box *b = *state;
    box_relays(b, 2);
    (void)box_grant(b, 1, 1);
    (void)box_grant(b, 2, 1);
    box_notes(b, 1, 95);
    box_deliver(b, 2, 95);
    b->now_ms += BOX_RETENTION_MS;
    b->boot_ms += BOX_RETENTION_MS;
    assert_true(housekeep_some(b, 10));
    assert_int_equal(box_status(b, 1).expired, 10);
    assert_int_equal(box_status(b, 1).position, 10);
    assert_int_equal(box_status(b, 2).expired, 0);
    box_housekeep(b);
    assert_int_equal(box_status(b, 1).expired, 95);
    struct receipt_lane got = box_receipt(b, 50, 1);
    assert_int_equal(got.row.from, 1);
    assert_int_equal(got.row.to, 95);
    struct lane_kept k;
    assert_int_equal(store_kept(b->s, 1, 1, &k), ERR_NONE);
    assert_int_equal(k.floor, 95);
    assert_int_equal(store_kept(b->s, 2, 1, &k), ERR_NONE);
    assert_int_equal(k.floor, 0); /* nothing of it was given up */
}

static void the_floor_and_the_look_at_the_clocks_survive_a_restart(void **state)
{
    struct store_box *b = *state;
    box_relays(b, 1);
    box_notes(b, 1, 3);
    box_pass(b, BOX_RETENTION_MS);
    box_reopen(b);
    assert_int_equal(box_status(b, 1).position, 3);
    (void)box_note(b, 4);
    box_pass(b, 700000);
    b->now_ms += 10 * BOX_RETENTION_MS; /* set while nobody looked */
    box_reopen(b);
    box_housekeep(b);
    assert_int_equal(box_status(b, 1).position, 3);
    box_pass(b, BOX_RETENTION_MS - 1); /* an hour */
    box_reopen(b);                     /* it is not forgotten how long to wait */
    box_housekeep(b);
    assert_int_equal(box_status(b, 1).position, 3);
    box_pass(b, 1);
    assert_int_equal(box_status(b, 1).position, 4);
}

static void a_machine_that_was_off_for_long_waits_an_hour(void **state)
{
    struct store_box *b = *state;
    box_relays(b, 1);
    box_notes(b, 1, 2);
    box_pass(b, 1000);
    b->now_ms += 10 * BOX_RETENTION_MS;
    b->boot_ms = 5000; /* it was started again */
    box_reopen(b);
    box_housekeep(b);
    assert_int_equal(box_status(b, 1).depth, 2);
    box_pass(b, 3600000);
    assert_int_equal(box_status(b, 1).depth, 0);
}

static void clocks_that_are_read_a_moment_apart_do_not_jump(void **state)
{
    struct store_box *b = *state;
    box_relays(b, 1);
    box_notes(b, 1, 2);
    box_housekeep(b);
    for (unsigned i = 0; i < 100; i++) {
        b->now_ms += BOX_RETENTION_MS / 100 + 1;
        b->boot_ms += BOX_RETENTION_MS / 100; /* rounded the other way */
        box_housekeep(b);
    }
    assert_int_equal(box_status(b, 1).depth, 0);
}

static void what_failed_later_than_its_neighbours_is_forgotten_later(void **state)
{
    struct store_box *b = *state;
    box_relays(b, 1);
    (void)box_grant(b, 1, 1);
    box_notes(b, 1, 5);
    box_fail(b, 1, 2);
    box_deliver(b, 1, 5);
    box_housekeep(b);
    box_pass(b, BOX_RETENTION_MS / 2);
    assert_int_equal(box_append(b, make_note(0, 2)).requeued, 1);
    struct lane_grant g = box_grant(b, 1, 2);
    struct exception x = {.pos = 2};
    struct lane_commit c = box_next(b, 1, 5);
    c.exceptions = &x;
    c.exceptions_len = 1;
    c.requests_taken = g.requests[0].number;
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
    struct row failed = box_row(b, 2, ROW_FAILED, CLASS_POW);
    c = box_next(b, 1, 5);
    c.rows_added = &failed;
    c.rows_added_len = 1;
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
    box_pass(b, BOX_RETENTION_MS / 2);
    for (unsigned n = 1; n <= 5; n++)
        assert_int_equal(box_known(b, n), n == 2);
    assert_int_equal(box_look(b, 2).gone, GONE_NO);
    box_reopen(b);
    box_pass(b, BOX_RETENTION_MS / 2 - 1);
    assert_int_equal(box_receipt(b, 2, 1).row.cls, CLASS_POW);
    box_pass(b, 1);
    assert_false(box_known(b, 2));
    assert_int_equal(box_look(b, 2).gone, GONE_TRIMMED);
    struct queue_depth d = box_depth(b);
    assert_int_equal(d.bytes, 0);
    assert_int_equal(d.lanes[0].failed, 0);
}

/* Note `n`, of a lane where all is settled, is sent again and fails again. */
static void fail_again(struct store_box *b, unsigned n, uint64_t position)
{
    assert_int_equal(box_append(b, make_note(0, n)).requeued, 1);
    struct lane_grant g = box_grant(b, 1, 2);
    struct row failed = box_row(b, n, ROW_FAILED, CLASS_POW);
    struct lane_commit c = box_next(b, 1, position);
    assert_int_equal(g.requests_len, 1);
    c.requests_taken = g.requests[0].number;
    c.rows_added = &failed;
    c.rows_added_len = 1;
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
}

/* Leaves room for less than one more note, and appends it. */
static void make_one_go(struct store_box *b, unsigned n, uint64_t pos)
{
    box_housekeep(b);
    b->options.max_bytes = box_depth(b).bytes + 1;
    store_set_limits(b->s, &b->options);
    assert_int_equal(box_note(b, n), pos);
}

static void when_full_what_failed_once_more_goes_after_what_did_not(void **state)
{
    struct store_box *b = *state;
    box_relays(b, 1);
    (void)box_grant(b, 1, 1);
    box_notes(b, 1, 3);
    for (uint64_t pos = 1; pos <= 3; pos++)
        box_fail(b, 1, pos);
    box_housekeep(b);
    for (unsigned n = 1; n <= 2; n++) {
        box_pass(b, 61000);
        fail_again(b, n, 3);
    }
    make_one_go(b, 4, 4); /* the third; the others are put off */
    assert_true(box_known(b, 1) && box_known(b, 2) && !box_known(b, 3));
    box_pass(b, 61000);
    fail_again(b, 1, 3);
    make_one_go(b, 5, 5);
    assert_true(box_known(b, 1));
    assert_false(box_known(b, 2));
    make_one_go(b, 6, 6);
    assert_false(box_known(b, 1));
    assert_true(box_known(b, 4) && box_known(b, 5));
}

/* A dead relay's request does not keep an event for ever. */
static void what_was_asked_for_and_nobody_took_up_goes_after_retention(void **state)
{
    struct store_box *b = *state;
    struct lane_kept k;
    box_relays(b, 1);
    (void)box_grant(b, 1, 1);
    box_notes(b, 1, 1);
    box_fail(b, 1, 1);
    box_housekeep(b);
    box_pass(b, BOX_RETENTION_MS - 10);
    assert_int_equal(box_append(b, make_note(0, 1)).requeued, 1);
    box_pass(b, BOX_RETENTION_MS - 1);
    assert_int_equal(store_kept(b->s, 1, 1, &k), ERR_NONE);
    assert_int_equal(k.requests_len, 1);
    assert_true(box_known(b, 1));
    box_pass(b, 1);
    assert_int_equal(store_kept(b->s, 1, 1, &k), ERR_NONE);
    assert_int_equal(k.requests_len, 0);
    box_pass(b, 120000);
    assert_false(box_known(b, 1));
    assert_int_equal(box_depth(b).bytes, 0);
}

static void what_is_asked_for_keeps_its_bytes_when_the_log_goes_on(void **state)
{
    struct store_box *b = *state;
    box_relays(b, 2);
    (void)box_grant(b, 1, 1);
    (void)box_grant(b, 2, 1);
    box_notes(b, 1, 3);
    const struct row given_up = box_row(b, 2, ROW_EXPIRED, CLASS_LANE_MAX);
    struct lane_commit c = box_next(b, 1, 3);
    c.rows_added = &given_up;
    c.rows_added_len = 1;
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
    assert_int_equal(box_append(b, make_note(0, 2)).requeued, 1); /* lane 2 has it in the log */
    box_deliver(b, 2, 3);
    box_housekeep(b);
    assert_int_equal(box_depth(b).first, 4);
    assert_int_equal(box_look(b, 1).gone, GONE_TRIMMED);
    assert_int_equal(box_look(b, 2).gone, GONE_NO);
    struct lane_grant g = box_grant(b, 1, 2);
    const uint64_t removed = 2;
    c = box_next(b, 1, 3);
    c.requests_taken = g.requests[0].number;
    c.rows_removed = &removed;
    c.rows_removed_len = 1;
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
    box_housekeep(b);
    assert_int_equal(box_look(b, 2).gone, GONE_TRIMMED);
}

static void rows_of_a_lane_that_left_hold_nothing(void **state)
{
    struct store_box *b = *state;
    struct definition both[2] = {box_relay(0), box_relay(1)};
    struct define_result r;
    struct problem why = {0};
    box_relays(b, 2);
    (void)box_grant(b, 1, 1);
    (void)box_grant(b, 2, 1);
    box_notes(b, 1, 30);
    for (uint64_t pos = 1; pos <= 30; pos++)
        box_fail(b, 2, pos);
    box_begin(b);
    assert_int_equal(
        store_define(b->s, &(struct define_call){.defs = both, .len = 1}, b->now_ms, &r, &why),
        ERR_NONE);
    box_commit(b);
    box_pass(b, BOX_RETENTION_MS - 1);
    box_deliver(b, 1, 30);
    box_housekeep(b);
    assert_int_equal(box_look(b, 7).gone, GONE_NO); /* failed on a lane that is still told of */
    box_pass(b, 1);
    assert_int_equal(box_depth(b).lanes_len, 1);
    for (unsigned i = 0; i < 10; i++) /* its rows are found little by little */
        (void)housekeep_some(b, 5);
    for (uint64_t pos = 1; pos <= 30; pos++)
        assert_int_equal(box_look(b, pos).gone, GONE_TRIMMED);
}

static void beyond_failed_max_the_oldest_bytes_go(void **state)
{
    struct store_box *b = *state;
    struct event *ev = make_note(0, 1);
    b->options.failed_max = 3 * ev->len + 10;
    event_unref(ev);
    box_reopen(b);
    box_relays(b, 1);
    (void)box_grant(b, 1, 1);
    box_notes(b, 1, 9);
    for (uint64_t pos = 1; pos <= 9; pos++)
        box_fail(b, 1, pos);
    box_housekeep(b);
    for (uint64_t pos = 1; pos <= 9; pos++)
        assert_int_equal(box_look(b, pos).gone, pos <= 6 ? GONE_TRIMMED : GONE_NO);
    assert_int_equal(box_status(b, 1).failed, 9);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        BOX_TEST(housekeeping_does_so_much_a_call_and_tells_when_it_is_done),
        BOX_TEST(what_expires_in_steps_is_one_run),
        BOX_TEST(the_floor_and_the_look_at_the_clocks_survive_a_restart),
        BOX_TEST(a_machine_that_was_off_for_long_waits_an_hour),
        BOX_TEST(clocks_that_are_read_a_moment_apart_do_not_jump),
        BOX_TEST(what_failed_later_than_its_neighbours_is_forgotten_later),
        BOX_TEST(when_full_what_failed_once_more_goes_after_what_did_not),
        BOX_TEST(what_was_asked_for_and_nobody_took_up_goes_after_retention),
        BOX_TEST(what_is_asked_for_keeps_its_bytes_when_the_log_goes_on),
        BOX_TEST(rows_of_a_lane_that_left_hold_nothing),
        BOX_TEST(beyond_failed_max_the_oldest_bytes_go),
    };
    return cmocka_run_group_tests_name("the store and time", tests, NULL, NULL);
}
