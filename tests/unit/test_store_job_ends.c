/* How positions leave replay jobs other than by being asked for and settled: they expire, their
 * lane retires, their owner gives them up, somebody cancels. */
#include "tests/support/store_box.h"

#include <string.h>

static const struct row_filter all = {.min_attempts = 0};

/* ---- what else ends a delivery ---- */

static void what_is_asked_for_and_not_taken_up_expires(void **state)
{
    struct store_box *b = *state;
    box_fail_all(b, 1, 3);
    box_pass(b, BOX_RETENTION_MS / 2);
    uint64_t number = box_replay(b, &all, 0);
    (void)box_step(b, 100);
    box_pass(b, BOX_RETENTION_MS - 1000); /* retention began anew when it was asked for */
    assert_int_equal(box_job(b, number).asked, 3);
    box_pass(b, 1000);
    assert_int_equal(box_job(b, number).dropped, 3);
    assert_int_equal(box_job(b, number).state, JOB_DONE);
}

static void retiring_and_forgetting_and_releasing_drop(void **state)
{
    struct store_box *b = *state;
    struct hold_call hold = {.from_now = true};
    struct hold_result r;
    box_fail_all(b, 3, 4);
    box_housekeep(b);
    uint64_t number = box_replay(b, &all, 3000);
    for (unsigned i = 0; i < 2; i++)
        (void)box_step(b, 1000); /* four in all: 1 1 1 2 */
    assert_int_equal(box_job(b, number).asked, 4);
    assert_int_equal(box_take_up(b, 2).status, COMMIT_DONE);
    memcpy(hold.url, box_relay(1).url, sizeof hold.url);
    box_begin(b);
    assert_int_equal(store_hold(b->s, &hold, b->now_ms, &r), ERR_NONE);
    box_commit(b);
    assert_int_equal(r.given_up, 1);
    assert_int_equal(box_job(b, number).dropped, 1);
    box_relays(b, 2); /* the third retires: one asked for, three that wait */
    assert_int_equal(box_job(b, number).dropped, 5);
    assert_int_equal(box_job(b, number).waiting, 5);
    for (unsigned i = 0; i < 2; i++)
        box_pass(b, BOX_RETENTION_MS + 60000); /* all are forgotten */
    assert_false(box_known(b, 4));
    assert_int_equal(box_job(b, number).dropped, 12);
    assert_int_equal(box_job(b, number).state, JOB_DONE);
}

static void what_its_owner_gives_up_quietly_is_dropped(void **state)
{
    struct store_box *b = *state;
    box_fail_all(b, 1, 3);
    uint64_t number = box_replay(b, &all, 0);
    (void)box_step(b, 100);
    struct lane_commit c =
        box_next(b, 1, store_head(b->s)); /* the first: taken up, and it has nothing of it */
    c.requests_taken = 1;
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
    assert_int_equal(box_job(b, number).dropped, 1);
    assert_int_equal(box_take_up(b, 1).status, COMMIT_DONE);
    c = box_next(b, 1, store_head(b->s)); /* the others: exceptions, and no more */
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
    assert_int_equal(box_job(b, number).dropped, 3);
    assert_int_equal(box_receipt(b, 2, 1).row.end, ROW_FAILED);
}

static void what_arrives_or_fails_while_it_waits_is_settled(void **state)
{
    struct store_box *b = *state;
    box_fail_all(b, 1, 3);
    uint64_t number = box_replay(b, &all, 0);
    const uint64_t removed[] = {1, 2};
    struct row again = box_row(b, 2, ROW_FAILED, CLASS_MUTE);
    struct lane_commit c = box_next(b, 1, store_head(b->s));
    c.rows_removed = removed;
    c.rows_removed_len = 2;
    c.rows_added = &again; /* 2 is named as removed, too, and failed */
    c.rows_added_len = 1;
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
    struct replay_job j = box_job(b, number);
    assert_int_equal(j.delivered, 1);
    assert_int_equal(j.failed, 1);
    assert_int_equal(j.waiting, 1);
}

/* ---- cancelling ---- */

static void cancelling_lets_only_what_is_in_flight_end(void **state)
{
    struct store_box *b = *state;
    box_fail_all(b, 1, 10);
    uint64_t number = box_replay(b, &all, 1000);
    for (unsigned i = 0; i < 2; i++)
        (void)box_step(b, 1000);
    assert_int_equal(box_take_up(b, 1).status, COMMIT_DONE); /* 1 and 2 are in flight */
    (void)box_step(b, 1000);
    assert_int_equal(box_job(b, number).asked, 3);
    box_begin(b);
    assert_int_equal(store_cancel(b->s, number, b->now_ms), ERR_NONE);
    assert_int_equal(store_cancel(b->s, number, b->now_ms), ERR_NOT_FOUND);
    assert_int_equal(store_cancel(b->s, 99, b->now_ms), ERR_NOT_FOUND);
    box_commit(b);
    struct replay_job j = box_job(b, number);
    assert_int_equal(j.state, JOB_CANCELLED);
    assert_int_equal(j.ended_ms, b->now_ms);
    assert_int_equal(j.dropped, 8);
    assert_int_equal(j.asked, 2);
    assert_int_equal(box_status(b, 1).asked, 0);
    uint64_t other = box_replay(b, &all, 0); /* what was dropped is free */
    assert_int_equal(box_job(b, other).total, 8);
    box_reopen(b);
    (void)box_step(b, 1000); /* sweeps what the first one left, and nothing of the second */
    assert_int_equal(box_job(b, other).asked, 8);
    const uint64_t removed[] = {1, 3};
    box_remove(b, 1, removed, 2);
    j = box_job(b, number);
    assert_int_equal(j.state, JOB_CANCELLED);
    assert_int_equal(j.delivered, 1);
    assert_int_equal(j.asked, 0);
    assert_int_equal(j.dropped, 9); /* 2 vanished */
    assert_int_equal(box_job(b, other).delivered, 1);
    struct failed_call c = {.what = FAILED_REPLAY, .job = number};
    struct failed_page p;
    assert_int_equal(box_try_page(b, &c, &p), ERR_NOT_FOUND);
}

static void a_job_is_kept_for_retention_after_its_end(void **state)
{
    struct store_box *b = *state;
    box_fail_all(b, 1, 1);
    uint64_t number = box_replay(b, &(struct row_filter){.reason = "x y z"}, 0);
    (void)box_step(b, BOX_RETENTION_MS - 1);
    assert_true(box_has_job(b, number));
    (void)box_step(b, 1);
    assert_false(box_has_job(b, number));
    (void)box_step(b, 1);
    assert_false(store_has_jobs(b->s));
    assert_int_equal(box_replay(b, &all, 0), number + 1); /* numbers are given once */
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        BOX_TEST(what_is_asked_for_and_not_taken_up_expires),
        BOX_TEST(retiring_and_forgetting_and_releasing_drop),
        BOX_TEST(what_its_owner_gives_up_quietly_is_dropped),
        BOX_TEST(what_arrives_or_fails_while_it_waits_is_settled),
        BOX_TEST(cancelling_lets_only_what_is_in_flight_end),
        BOX_TEST(a_job_is_kept_for_retention_after_its_end),
    };
    return cmocka_run_group_tests_name("ends of replay jobs of the store", tests, NULL, NULL);
}
