/* Replay jobs in the store: how they are collected and stepped, and what a restart leaves of them.
 */
#include "tests/support/store_box.h"

#include <stdlib.h>
#include <string.h>

#define EXPIRED (1u << CLASS_RELEASED)
static const struct row_filter all = {.min_attempts = 0};

/* ---- a job's life ---- */

static void a_job_asks_and_its_owners_settle_it(void **state)
{
    struct store_box *b = *state;
    static const uint64_t both[] = {1, 2};
    box_fail_all(b, 2, 2);
    assert_false(box_step(b, 100));
    uint64_t number = box_replay(b, &all, 0);
    struct replay_job j = box_job(b, number);
    assert_int_equal(number, 1);
    assert_int_equal(j.state, JOB_RUNNING);
    assert_int_equal(j.total, 4);
    assert_int_equal(j.waiting, 4);
    assert_int_equal(j.made_ms, b->now_ms);
    assert_string_equal(j.text, "a filter");
    assert_string_equal(j.by, "me@here");
    assert_true(store_has_jobs(b->s));
    assert_true(box_step(b, 100));
    j = box_job(b, number);
    assert_int_equal(j.asked, 4);
    assert_int_equal(box_status(b, 1).asked, 2);
    assert_int_equal(box_status(b, 2).asked, 2);
    assert_int_equal(box_receipt(b, 1, 1).row.end, ROW_FAILED); /* until it is settled */
    assert_int_equal(box_take_up(b, 1).status, COMMIT_DONE);
    assert_int_equal(box_status(b, 1).asked, 0);
    box_remove(b, 1, both, 2);
    j = box_job(b, number);
    assert_int_equal(j.delivered, 2);
    assert_int_equal(j.state, JOB_RUNNING);
    struct row again[] = {box_row(b, 1, ROW_FAILED, CLASS_MUTE),
                          box_row(b, 2, ROW_SKIPPED, CLASS_OUTDATED)};
    assert_int_equal(box_take_up(b, 2).status, COMMIT_DONE);
    b->now_ms += 5;
    box_commit_rows(b, 2, 2, again, 2);
    j = box_job(b, number);
    assert_int_equal(j.failed, 1);
    assert_int_equal(j.dropped, 1);
    assert_int_equal(j.state, JOB_DONE);
    assert_int_equal(j.ended_ms, b->now_ms);
    assert_false(box_step(b, 100));
}

static void a_job_of_nothing_is_done_at_once(void **state)
{
    struct store_box *b = *state;
    box_fail_all(b, 1, 1);
    uint64_t number = box_replay(b, &(struct row_filter){.reason = "never said"}, 0);
    assert_int_equal(box_job(b, number).state, JOB_DONE);
    assert_int_equal(box_job(b, number).ended_ms, b->now_ms);
}

static void what_was_expired_in_a_run_is_replayed(void **state)
{
    struct store_box *b = *state;
    struct hold_call hold = {.from_now = true};
    struct hold_result r;
    box_relays(b, 2); /* the second lane keeps the bytes */
    (void)box_grant(b, 1, 1);
    box_notes(b, 1, 20);
    memcpy(hold.url, box_relay(0).url, sizeof hold.url);
    box_begin(b);
    assert_int_equal(store_hold(b->s, &hold, b->now_ms, &r), ERR_NONE);
    box_commit(b);
    uint64_t number = box_replay(b, &(struct row_filter){.classes = EXPIRED}, 0);
    assert_int_equal(box_job(b, number).total, 20);
    assert_true(box_step(b, 100));
    b->seq[1] = 0;
    (void)box_grant(b, 1, 2);
    assert_int_equal(box_take_up(b, 1).status, COMMIT_DONE);
    uint64_t removed[20];
    for (uint64_t i = 0; i < 20; i++)
        removed[i] = i + 1;
    box_remove(b, 1, removed, 20);
    assert_int_equal(box_job(b, number).delivered, 20);
    assert_int_equal(box_status(b, 1).expired, 0);
    assert_int_equal(box_receipt(b, 7, 1).end, RECEIPT_DELIVERED);
}

/* ---- collecting ---- */

static void pages_may_be_repeated(void **state)
{
    struct store_box *b = *state;
    box_fail_all(b, 1, 5);
    struct failed_call c = {.what = FAILED_REPLAY, .token = 99};
    uint64_t number = box_page(b, &c).job;
    struct failed_page p = box_page(b, &c); /* the answer was lost: it runs already */
    assert_int_equal(p.job, number);
    assert_false(p.more);
    assert_int_equal(p.groups_len, 0);
    c.job = number;
    p = box_page(b, &c);
    assert_int_equal(p.groups_len, 0);
    assert_int_equal(box_job(b, number).total, 5);
    c = (struct failed_call){.what = FAILED_REPLAY, .token = 100}; /* another one finds nothing */
    p = box_page(b, &c);
    assert_int_equal(p.groups[0].count, 5);
    assert_int_equal(p.groups[0].busy, 5);
    assert_int_equal(box_job(b, p.job).total, 0);
    c.job = 77;
    assert_int_equal(box_try_page(b, &c, &p), ERR_NOT_FOUND);
}

/* More rows than a page looks at: the job is found between its pages. */
static void a_job_that_nobody_goes_on_with_is_forgotten(void **state)
{
    struct store_box *b = *state;
    struct hold_call hold = {.from_now = true};
    struct hold_result r;
    box_relays(b, 2);
    for (unsigned n = 0; n < 24000; n += 8000)
        box_notes(b, n + 1, n + 8000);
    memcpy(hold.url, box_relay(0).url, sizeof hold.url);
    box_begin(b);
    assert_int_equal(store_hold(b->s, &hold, b->now_ms, &r), ERR_NONE);
    box_commit(b);
    struct failed_call c = {.what = FAILED_REPLAY, .filter = {.classes = EXPIRED}, .token = 1};
    struct failed_page p = box_page(b, &c);
    assert_true(p.more);
    uint64_t number = p.job, total = p.groups[0].count;
    p = box_page(b, &c); /* the same page again: nothing is added twice */
    assert_int_equal(p.job, number);
    assert_int_equal(p.groups[0].busy, 0);
    assert_int_equal(box_job(b, number).total, total);
    assert_int_equal(box_job(b, number).state, JOB_COLLECTING);
    assert_false(box_step(b, 100));
    assert_false(box_step(b, JOB_COLLECT_MS - 1));
    assert_true(box_has_job(b, number));
    (void)box_page(b, &c); /* somebody does */
    assert_false(box_step(b, 1));
    assert_false(box_step(b, JOB_COLLECT_MS - 1));
    box_reopen(b); /* and begins anew */
    assert_false(box_step(b, 1));
    assert_false(box_step(b, JOB_COLLECT_MS - 1));
    assert_true(box_has_job(b, number));
    assert_false(box_step(b, 1));
    assert_false(box_has_job(b, number));
    c.job = number;
    assert_int_equal(box_try_page(b, &c, &p), ERR_NOT_FOUND);
    /* Its rows are free, also before what it left is swept. */
    number = box_replay(b, &c.filter, 0);
    assert_int_equal(box_job(b, number).total, 24000);
    for (unsigned i = 0; i < 20; i++)
        (void)box_step(b, 1);
    assert_int_equal(box_job(b, number).asked, QUEUE_REQUESTS_MAX);
    assert_int_equal(box_job(b, number).waiting, 24000 - QUEUE_REQUESTS_MAX);
}

static void the_oldest_job_that_ended_makes_room(void **state)
{
    struct store_box *b = *state;
    box_fail_all(b, 1, 1);
    for (unsigned i = 0; i < JOBS_MAX; i++)
        (void)box_replay(b, &all, 0); /* the first one waits, the others are done */
    uint64_t next = box_replay(b, &all, 0);
    assert_int_equal(next, JOBS_MAX + 1);
    assert_true(box_has_job(b, 1));
    assert_false(box_has_job(b, 2));
    box_reopen(b);
    assert_true(box_has_job(b, next));
}

static void none_makes_room_when_none_is_over(void **state)
{
    struct store_box *b = *state;
    box_fail_all(b, 1, JOBS_MAX);
    for (unsigned n = 1; n <= JOBS_MAX; n++) {
        uint8_t id[1][EVENT_ID_LEN];
        struct event *ev = make_note(0, n);
        memcpy(id[0], ev->id, sizeof id[0]);
        event_unref(ev);
        struct row_filter f = {.ids = id, .ids_len = 1};
        assert_int_equal(box_job(b, box_replay(b, &f, 0)).waiting, 1);
    }
    struct failed_call c = {.what = FAILED_REPLAY, .token = 12345678};
    struct failed_page p;
    assert_int_equal(box_try_page(b, &c, &p), ERR_FULL);
    const uint64_t removed[] = {3};
    box_remove(b, 1, removed, 1); /* the third one is done */
    assert_int_equal(box_try_page(b, &c, &p), ERR_NONE);
    assert_false(box_has_job(b, 3));
}

/* ---- steps ---- */

static void a_rate_is_kept_however_long_the_steps_are(void **state)
{
    static const struct {
        uint32_t rate_per_1000s;
        uint64_t step_ms, steps, asked; /* after so many steps behind the first */
    } rows[] = {
        {50000, 100, 0, 1},                        /* one at once */
        {50000, 100, 10, 51},                      /* 50/s */
        {50000, 10, 100, 51},                      /* in smaller steps */
        {50000, 5000, 1, 51},                      /* no more than a second's worth */
        {1000, 100, 9, 1},                         /* 1/s */
        {1000, 100, 10, 2},                        /**/
        {100, 100, 99, 1},                         /* one in 10 s */
        {100, 100, 100, 2},                        /**/
        {100, 3600000, 1, 2},                      /* and not two of them after an hour */
        {1, 3600000, 1, 2},                        /* the lowest there is */
        {4294967295, 100, 0, 1},                   /* the highest */
        {4294967295, 1, 1, 100}, {0, 100, 0, 100}, /* none */
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        void *state_of = NULL;
        (void)box_setup(&state_of);
        struct store_box *b = state_of;
        box_fail_all(b, 1, 100);
        uint64_t number = box_replay(b, &all, rows[i].rate_per_1000s);
        (void)box_step(b, 777);
        for (uint64_t n = 0; n < rows[i].steps; n++)
            (void)box_step(b, rows[i].step_ms);
        uint64_t asked = box_job(b, number).asked, want = rows[i].asked;
        if (asked != want)
            fail_msg("row %zu: %llu asked for", i, (unsigned long long)asked);
        (void)box_teardown(&state_of);
    }
    (void)state;
}

static void after_a_restart_a_job_goes_on_with_one_delivery(void **state)
{
    struct store_box *b = *state;
    box_fail_all(b, 1, 100);
    uint64_t number = box_replay(b, &all, 10000);
    (void)box_step(b, 100);
    (void)box_step(b, 500);
    assert_int_equal(box_job(b, number).asked, 6);
    box_reopen(b);
    assert_int_equal(box_job(b, number).state, JOB_RUNNING);
    assert_int_equal(box_job(b, number).asked, 6);
    (void)box_step(b, 100000);
    assert_int_equal(box_job(b, number).asked, 7);
    assert_int_equal(box_status(b, 1).asked, 7); /* none of them twice */
}

static void lanes_take_turns_each_with_its_lowest(void **state)
{
    struct store_box *b = *state;
    struct lane_request asked[QUEUE_REQUESTS_MAX];
    box_fail_all(b, 3, 4);
    (void)box_replay(b, &all, 1000);
    for (unsigned i = 0; i < 5; i++)
        (void)box_step(b, 1000); /* lanes 1 2 3 1 2 */
    assert_int_equal(box_requested(b, 3, asked), 1);
    box_reopen(b);
    (void)box_step(b, 1000); /* and 3 */
    assert_int_equal(box_requested(b, 3, asked), 2);
    assert_int_equal(asked[0].pos, 1);
    assert_int_equal(asked[1].pos, 2);
    assert_int_equal(box_requested(b, 1, asked), 2);
}

static void a_lane_that_has_enough_keeps_no_other_waiting(void **state)
{
    struct store_box *b = *state;
    const unsigned len = QUEUE_REQUESTS_MAX + 50;
    box_fail_all(b, 2, len);
    for (unsigned n = 1; n <= 100; n++) /* a hundred for each lane */
        assert_int_equal(box_append(b, make_note(0, n)).requeued, 2);
    struct lane_request asked[QUEUE_REQUESTS_MAX];
    assert_int_equal(box_take_up(b, 2).status, COMMIT_DONE);
    uint64_t number = box_replay(b, &all, 0);
    for (unsigned i = 0; i < 4; i++)
        (void)box_step(b, 100);
    /* 100 of lane 1 were asked for before, and 100 of lane 2 are exceptions: they count. */
    assert_int_equal(box_job(b, number).asked, QUEUE_REQUESTS_MAX + 100 + 206);
    assert_int_equal(box_requested(b, 1, asked), QUEUE_REQUESTS_MAX);
    assert_int_equal(box_requested(b, 2, asked), 206);
    assert_int_equal(box_take_up(b, 1).status, COMMIT_DONE);
    (void)box_step(b, 100);
    assert_int_equal(box_job(b, number).waiting, 0);
}

static void what_lost_its_bytes_meanwhile_is_dropped_and_costs_nothing(void **state)
{
    struct store_box *b = *state;
    box_fail_all(b, 1, 10);
    uint64_t number = box_replay(b, &all, 1000);
    b->options.failed_max = 0;
    store_set_limits(b->s, &b->options);
    box_housekeep(b);
    (void)box_step(b, 100);
    struct replay_job j = box_job(b, number);
    assert_int_equal(j.dropped, 10);
    assert_int_equal(j.state, JOB_DONE);
    assert_int_equal(box_receipt(b, 1, 1).row.end, ROW_FAILED);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        BOX_TEST(a_job_asks_and_its_owners_settle_it),
        BOX_TEST(a_job_of_nothing_is_done_at_once),
        BOX_TEST(what_was_expired_in_a_run_is_replayed),
        BOX_TEST(pages_may_be_repeated),
        BOX_TEST(a_job_that_nobody_goes_on_with_is_forgotten),
        BOX_TEST(the_oldest_job_that_ended_makes_room),
        BOX_TEST(none_makes_room_when_none_is_over),
        cmocka_unit_test(a_rate_is_kept_however_long_the_steps_are),
        BOX_TEST(after_a_restart_a_job_goes_on_with_one_delivery),
        BOX_TEST(lanes_take_turns_each_with_its_lowest),
        BOX_TEST(a_lane_that_has_enough_keeps_no_other_waiting),
        BOX_TEST(what_lost_its_bytes_meanwhile_is_dropped_and_costs_nothing),
    };
    return cmocka_run_group_tests_name("replay jobs of the store", tests, NULL, NULL);
}
