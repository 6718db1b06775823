/* The contract's promises about replay jobs: what goes into one, its rate and its turns, how each
 * of its positions is settled, and how it ends. */
#include "tests/support/contract.h"

#include <string.h>

#define BIT(cls) (1u << (cls))

/* `lanes` lanes, held by `h`, and at each of them notes 1 … `notes` failed. */
static struct rig *all_failed(void **state, struct holder *h, unsigned lanes, unsigned notes)
{
    struct rig *r = *state;
    define_relays(r, lanes);
    append_notes(r, notes);
    holder_init(h, 0);
    holder_lease(r, h, NULL);
    for (uint32_t lane = 1; lane <= lanes; lane++)
        fail_range(r, h, lane, 1, notes, CLASS_BLOCKED);
    return r;
}

static uint64_t asked_of(struct rig *r, uint32_t lane)
{
    return status(r, lane).asked;
}

/* ---- a replay ---- */

static void a_dry_run_counts_and_changes_nothing(void **state)
{
    struct holder h;
    struct answer a;
    struct rig *r = all_failed(state, &h, 2, 3);
    assert_int_equal(sum_of(r, FAILED_COUNT, NULL).count, 6);
    rig_housekeep(r);
    assert_int_equal(asked_of(r, 1), 0);
    assert_int_equal(status(r, 1).failed, 3);
    ask_jobs(&r->loop, r->q, &a);
    assert_int_equal(a.jobs_len, 0);
    answer_free(&a);
}

static void a_replay_asks_each_lane_for_what_failed_there(void **state)
{
    static struct lane_request asked[QUEUE_REQUESTS_MAX];
    struct holder h;
    struct rig *r = all_failed(state, &h, 2, 3);
    uint64_t n = replay(r, NULL, 0);
    assert_int_equal(n, 1);
    assert_job(r, n, JOB_RUNNING, 6, 0, 0, 0, 0);
    struct replay_job j = job(r, n);
    assert_int_equal(j.made_ms, RIG_WALL_MS);
    assert_string_equal(j.text, "--all");
    assert_string_equal(j.by, "op@host");
    assert_int_equal(asked_of(r, 1), 0);
    rig_pass(r, 100);
    assert_job(r, n, JOB_RUNNING, 0, 6, 0, 0, 0);
    assert_int_equal(asked_of(r, 2), 3);
    assert_int_equal(status(r, 2).depth, 0); /* they stay failed until they are settled */
    assert_int_equal(receipt(r, 1, 2).row.cls, CLASS_BLOCKED);
    assert_int_equal(requests(r, &h, 1, asked), 3);
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(asked[i].pos, i + 1);

    assert_int_equal(deliver_asked(r, &h, 1), 3);
    assert_job(r, n, JOB_RUNNING, 0, 3, 3, 0, 0);
    assert_int_equal(fail_asked(r, &h, 2, CLASS_POW), 3);
    assert_job(r, n, JOB_DONE, 0, 0, 3, 3, 0);
    assert_int_equal(job(r, n).ended_ms, RIG_WALL_MS + 100);
    assert_int_equal(receipt_end(r, 2, 1), RECEIPT_DELIVERED);
    assert_int_equal(receipt(r, 2, 2).row.cls, CLASS_POW);
    assert_int_equal(status(r, 1).failed, 0);
    assert_int_equal(status(r, 2).failed, 3);
}

static void what_expired_in_a_run_is_replayed_one_by_one(void **state)
{
    const struct row_filter one = {.classes = BIT(CLASS_RELEASED), .has_kind = true, .kind = 7};
    struct rig *r = *state;
    struct holder h;
    define_relays(r, 2);
    append_notes(r, 2);
    struct event *ev = make_event(0, 1700000000, 7, "[]", "the one");
    assert_int_equal(append(r, event_ref(ev)).pos, 3);
    (void)append_note(r, 4);
    assert_int_equal(hold(r, 0, false, true).given_up, 4);
    uint64_t n = replay(r, &one, 0);
    assert_job(r, n, JOB_RUNNING, 1, 0, 0, 0, 0);
    assert_int_equal(sum_of(r, FAILED_COUNT, &one).busy, 1);
    rig_housekeep(r);
    holder_init(&h, 0);
    assert_int_equal(deliver_asked(r, &h, 1), 1);
    assert_job(r, n, JOB_DONE, 0, 0, 1, 0, 0);
    assert_int_equal(receipt_id(r, ev->id, 1).end, RECEIPT_DELIVERED);
    assert_int_equal(receipt(r, 2, 1).row.end, ROW_EXPIRED);
    assert_int_equal(receipt(r, 4, 1).row.end, ROW_EXPIRED);
    assert_int_equal(status(r, 1).expired, 3);
    event_unref(ev);
}

static void a_replay_of_nothing_is_done_at_once(void **state)
{
    struct rig *r = *state;
    define_relays(r, 1);
    uint64_t n = replay(r, NULL, 1000);
    assert_job(r, n, JOB_DONE, 0, 0, 0, 0, 0);
    rig_pass(r, RIG_RETENTION_MS - 1);
    assert_true(job_known(r, n));
    rig_pass(r, 1);
    assert_false(job_known(r, n)); /* and is forgotten after retention */
}

static void what_cannot_be_replayed_is_left_out(void **state)
{
    const struct row_filter all = {.classes = BIT(CLASS_BLOCKED) | BIT(CLASS_RETIRED)};
    const struct definition left = relay(1);
    struct holder h;
    struct rig *r = all_failed(state, &h, 2, 3);
    (void)define(r, &left, 1);
    struct failed_group sum = sum_of(r, FAILED_COUNT, &all);
    assert_int_equal(sum.count, 6);
    assert_int_equal(sum.gone, 3);
    assert_job(r, replay(r, &all, 0), JOB_RUNNING, 3, 0, 0, 0, 0);
}

/* ---- one job at a time ---- */

static void a_row_belongs_to_one_job_at_a_time(void **state)
{
    struct holder h;
    struct rig *r = all_failed(state, &h, 1, 4);
    const struct row_filter old = {.min_attempts = 1};
    uint64_t one = replay(r, NULL, 0);
    struct failed_group sum = sum_of(r, FAILED_COUNT, &old);
    assert_int_equal(sum.busy, 4);
    assert_int_equal(sum.gone, 0);
    uint64_t two = replay(r, NULL, 0);
    assert_int_not_equal(one, two);
    assert_job(r, two, JOB_DONE, 0, 0, 0, 0, 0);
    assert_int_equal(sum_of(r, FAILED_PURGE, NULL).busy, 4); /* nor can it be purged meanwhile */
    assert_int_equal(status(r, 1).failed, 4);
    rig_housekeep(r);
    assert_int_equal(fail_asked(r, &h, 1, CLASS_BLOCKED), 4);
    assert_job(r, one, JOB_DONE, 0, 0, 0, 4, 0);
    assert_job(r, replay(r, NULL, 0), JOB_RUNNING, 4, 0, 0, 0, 0);
}

static void a_page_may_be_repeated(void **state)
{
    struct holder h;
    struct answer a;
    struct rig *r = all_failed(state, &h, 1, 4);
    struct failed_call c = {.what = FAILED_REPLAY, .token = 7};
    for (int i = 0; i < 3; i++) { /* the same token makes the same job */
        ask_failed(&r->loop, r->q, &c, &a);
        assert_int_equal(a.e, ERR_NONE);
        assert_int_equal(a.failed.job, 1);
        assert_false(a.failed.more);
        assert_int_equal(a.failed.groups_len, i == 0 ? 1 : 0);
        answer_free(&a);
    }
    assert_job(r, 1, JOB_RUNNING, 4, 0, 0, 0, 0);
    c.job = 1;
    ask_failed(&r->loop, r->q, &c, &a);
    assert_int_equal(a.e, ERR_NONE);
    answer_free(&a);
    c.job = 2;
    ask_failed(&r->loop, r->q, &c, &a);
    assert_int_equal(a.e, ERR_NOT_FOUND);
    answer_free(&a);
    ask_cancel(&r->loop, r->q, 1, &a);
    answer_free(&a);
    for (c.job = 0; c.job < 2; c.job++) { /* by its token, by its number */
        ask_failed(&r->loop, r->q, &c, &a);
        assert_int_equal(a.e, ERR_NOT_FOUND);
        answer_free(&a);
    }
}

/* ---- rate and turns ---- */

static void a_rate_is_kept(void **state)
{
    static const struct {
        uint32_t rate;
        int64_t steps_ms[6]; /* between steps */
        uint64_t asked[6];   /* after each */
    } cases[] = {
        {50000, {0, 100, 100, 1, 19, 80}, {1, 6, 11, 11, 12, 16}},
        {50000, {100, 60000, 100, 1000, 0, 0}, {1, 51, 56, 106, 106, 106}}, /* a second at most */
        {1000, {0, 999, 1, 1000, 5000, 1}, {1, 1, 2, 3, 4, 4}},
        {500, {0, 1000, 1000, 1999, 1, 60000}, {1, 1, 2, 2, 3, 4}}, /* never less than one */
        {1, {0, 999999, 1, 0, 0, 0}, {1, 1, 2, 2, 2, 2}},
        {0, {0, 0, 0, 0, 0, 0}, {120, 120, 120, 120, 120, 120}},
    };
    struct holder h;
    struct rig *r = all_failed(state, &h, 1, 120);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct answer a;
        uint64_t n = replay(r, NULL, cases[i].rate);
        for (size_t step = 0; step < COUNT_OF(cases[i].steps_ms); step++) {
            rig_pass(r, cases[i].steps_ms[step]);
            if (job(r, n).asked != cases[i].asked[step])
                fail_msg("rate %u, step %zu: %u asked for instead of %u", cases[i].rate, step,
                         (unsigned)job(r, n).asked, (unsigned)cases[i].asked[step]);
        }
        assert_int_equal(job(r, n).rate_per_1000s, cases[i].rate);
        ask_cancel(&r->loop, r->q, n, &a);
        answer_free(&a);
    }
}

static void lanes_take_turns_across_a_restart(void **state)
{
    static const uint64_t asked[][3] = {{1, 0, 0}, {1, 1, 0}, {1, 1, 1}, {2, 1, 1},
                                        {2, 2, 1}, {2, 2, 2}, {2, 2, 3}, {2, 2, 4}};
    struct holder h;
    struct rig *r = *state;
    define_relays(r, 3);
    append_notes(r, 4);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    fail_range(r, &h, 1, 1, 2, CLASS_BLOCKED);
    fail_range(r, &h, 2, 3, 4, CLASS_BLOCKED);
    fail_range(r, &h, 3, 1, 4, CLASS_BLOCKED);
    (void)replay(r, NULL, 1000);
    for (size_t i = 0; i < COUNT_OF(asked); i++) {
        rig_pass(r, 1000);
        for (uint32_t lane = 1; lane <= 3; lane++)
            assert_int_equal(asked_of(r, lane), asked[i][lane - 1]);
        if (i % 2 == 0)
            rig_restart(r); /* and begins with one at once */
    }
}

static void a_lane_is_asked_for_so_many_at_a_time(void **state)
{
    struct holder h;
    struct rig *r = all_failed(state, &h, 1, QUEUE_REQUESTS_MAX + 20);
    uint64_t n = replay(r, NULL, 0);
    rig_housekeep(r);
    assert_job(r, n, JOB_RUNNING, 20, QUEUE_REQUESTS_MAX, 0, 0, 0);
    rig_housekeep(r);
    assert_job(r, n, JOB_RUNNING, 20, QUEUE_REQUESTS_MAX, 0, 0, 0);
    assert_int_equal(take_up(r, &h, 1), QUEUE_REQUESTS_MAX);
    assert_int_equal(asked_of(r, 1), 0);
    rig_housekeep(r);
    assert_job(r, n, JOB_RUNNING, 0, QUEUE_REQUESTS_MAX + 20, 0, 0, 0);
    assert_int_equal(asked_of(r, 1), 20);
}

static void a_step_has_so_many_turns(void **state)
{
    struct holder h;
    struct rig *r = all_failed(state, &h, 3, 200);
    uint64_t n = replay(r, NULL, 0);
    rig_housekeep(r);
    assert_job(r, n, JOB_RUNNING, 600 - JOB_STEP_MAX, JOB_STEP_MAX, 0, 0, 0);
    rig_housekeep(r);
    assert_job(r, n, JOB_RUNNING, 0, 600, 0, 0, 0);
}

static void a_killed_queue_goes_on_where_it_was(void **state)
{
    struct holder h;
    struct rig *r = all_failed(state, &h, 2, 5);
    uint64_t n = replay(r, NULL, 2000);
    rig_pass(r, 100);
    rig_pass(r, 1000);
    assert_job(r, n, JOB_RUNNING, 7, 3, 0, 0, 0);
    assert_int_equal(deliver_asked(r, &h, 1), 2);
    rig_restart(r);
    assert_job(r, n, JOB_RUNNING, 7, 1, 2, 0, 0);
    assert_int_equal(asked_of(r, 2), 1);
    rig_pass(r, 5000);
    assert_job(r, n, JOB_RUNNING, 6, 2, 2, 0, 0);
    for (int i = 0; i < 3; i++)
        rig_pass(r, 1000);
    assert_job(r, n, JOB_RUNNING, 0, 8, 2, 0, 0);
    assert_int_equal(deliver_asked(r, &h, 1), 3);
    assert_int_equal(deliver_asked(r, &h, 2), 5);
    assert_job(r, n, JOB_DONE, 0, 0, 10, 0, 0);
}

static void a_held_lane_is_asked_and_keeps_it(void **state)
{
    struct holder h;
    struct rig *r = all_failed(state, &h, 1, 2);
    (void)hold(r, 0, true, false);
    uint64_t n = replay(r, NULL, 0);
    rig_housekeep(r);
    assert_job(r, n, JOB_RUNNING, 0, 2, 0, 0, 0);
    assert_int_equal(asked_of(r, 1), 2);
}

/* ---- cancel ---- */

static enum err cancel(struct rig *r, uint64_t n)
{
    struct answer a;
    ask_cancel(&r->loop, r->q, n, &a);
    enum err e = a.e;
    answer_free(&a);
    return e;
}

static void a_cancelled_job_stops_and_settles_what_is_in_flight(void **state)
{
    static const uint64_t arrived = 2;
    static const struct exception left = {.pos = 1};
    struct holder h;
    struct rig *r = all_failed(state, &h, 1, 6);
    uint64_t n = replay(r, NULL, 1000);
    rig_pass(r, 100);
    rig_pass(r, 1000);
    assert_int_equal(take_up(r, &h, 1), 2);
    rig_pass(r, 1000);
    assert_job(r, n, JOB_RUNNING, 3, 3, 0, 0, 0);
    assert_int_equal(cancel(r, n), ERR_NONE);
    assert_job(r, n, JOB_CANCELLED, 0, 2, 0, 0, 4);
    assert_int_equal(asked_of(r, 1), 0);
    assert_int_equal(cancel(r, n), ERR_NOT_FOUND);
    assert_int_equal(cancel(r, n + 1), ERR_NOT_FOUND);
    assert_int_equal(sum_of(r, FAILED_COUNT, NULL).busy, 2);
    rig_restart(r);
    rig_pass(r, 1000);
    assert_int_equal(asked_of(r, 1), 0);

    struct lane_commit c = holder_next(&h, 1, 6);
    c.exceptions = &left;
    c.exceptions_len = 1;
    c.rows_removed = &arrived;
    c.rows_removed_len = 1;
    assert_int_equal(holder_commit(r, &h, &c).status, COMMIT_DONE);
    assert_job(r, n, JOB_CANCELLED, 0, 1, 1, 0, 4);
    fail_range(r, &h, 1, 1, 6, CLASS_POW); /* and the other four outside of it */
    assert_job(r, n, JOB_CANCELLED, 0, 0, 1, 1, 4);
    assert_int_equal(sum_of(r, FAILED_COUNT, NULL).busy, 0);
}

int main(void)
{
    static const struct CMUnitTest cases[] = {
        CASE(a_dry_run_counts_and_changes_nothing),
        CASE(a_replay_asks_each_lane_for_what_failed_there),
        CASE(what_expired_in_a_run_is_replayed_one_by_one),
        CASE(a_replay_of_nothing_is_done_at_once),
        CASE(what_cannot_be_replayed_is_left_out),
        CASE(a_row_belongs_to_one_job_at_a_time),
        CASE(a_page_may_be_repeated),
        CASE(a_rate_is_kept),
        CASE(lanes_take_turns_across_a_restart),
        CASE(a_lane_is_asked_for_so_many_at_a_time),
        CASE(a_step_has_so_many_turns),
        CASE(a_killed_queue_goes_on_where_it_was),
        CASE(a_held_lane_is_asked_and_keeps_it),
        CASE(a_cancelled_job_stops_and_settles_what_is_in_flight),
    };
    return contract_run("replay jobs", cases, COUNT_OF(cases));
}
