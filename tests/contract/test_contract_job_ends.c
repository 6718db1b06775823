/* The contract's promises about what ends a position of a replay job, whoever does it and whenever
 * it happens; about jobs that are collected page by page; and about how many jobs there are. */
#include "tests/support/contract.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIT(cls) (1u << (cls))

/* ---- what ends a position ---- */

enum stage { STAGE_WAITS, STAGE_ASKED, STAGE_TAKEN, STAGE_COUNT };

/* Lanes 1 and 2, held by `h`. Notes 1 and 2 failed on lane 1, lane 2 needs all: the job `n` has
 * note 1, brought to `stage`. */
static struct rig *with_job(void **state, struct holder *h, enum stage stage, uint64_t *n)
{
    static uint8_t id[1][EVENT_ID_LEN];
    struct rig_options o = rig_defaults;
    o.failed_max = 1; /* nothing that is trimmed keeps its bytes */
    struct rig *r = contract_again(state, &o);
    define_relays(r, 2);
    append_notes(r, 3);
    holder_init(h, 0);
    holder_lease(r, h, NULL);
    fail_range(r, h, 1, 1, 2, CLASS_BLOCKED);
    struct event *ev = make_note(0, 1);
    memcpy(id[0], ev->id, sizeof id[0]);
    event_unref(ev);
    *n = replay(r, &(struct row_filter){.ids = id, .ids_len = 1}, 0);
    assert_job(r, *n, JOB_RUNNING, 1, 0, 0, 0, 0);
    if (stage == STAGE_WAITS)
        return r;
    rig_housekeep(r);
    assert_job(r, *n, JOB_RUNNING, 0, 1, 0, 0, 0);
    if (stage == STAGE_TAKEN)
        assert_int_equal(take_up(r, h, 1), 1);
    return r;
}

static void commit_rows(struct rig *r, struct holder *h, const struct row *added,
                        const uint64_t *removed)
{
    struct lane_commit c = holder_next(h, 1, holder_lane(h, 1)->position);
    c.rows_added = added;
    c.rows_added_len = added != NULL;
    c.rows_removed = removed;
    c.rows_removed_len = removed != NULL;
    assert_int_equal(holder_commit(r, h, &c).status, COMMIT_DONE);
}

static void arrives(struct rig *r, struct holder *h)
{
    static const uint64_t one = 1;
    commit_rows(r, h, NULL, &one);
}

static void fails(struct rig *r, struct holder *h)
{
    const struct row row = row_at(1, ROW_FAILED, CLASS_POW);
    commit_rows(r, h, &row, NULL);
}

static void is_skipped(struct rig *r, struct holder *h)
{
    const struct row row = row_at(1, ROW_SKIPPED, CLASS_DELETED);
    commit_rows(r, h, &row, NULL);
}

static void lane_retires(struct rig *r, struct holder *h)
{
    const struct definition other = relay(1);
    (void)h;
    (void)define(r, &other, 1);
}

static void is_given_up(struct rig *r, struct holder *h)
{
    (void)h;
    (void)hold(r, 0, false, true);
}

static void is_not_wanted(struct rig *r, struct holder *h)
{
    static struct lane_request asked[QUEUE_REQUESTS_MAX];
    struct lane_commit c = holder_next(h, 1, holder_lane(h, 1)->position);
    if (requests(r, h, 1, asked) > 0)
        c.requests_taken = asked[0].number;
    assert_int_equal(holder_commit(r, h, &c).status, COMMIT_DONE);
}

static void a_position_of_a_job_is_settled_once_whatever_happens(void **state)
{
    static const struct {
        const char *what;
        void (*happens)(struct rig *r, struct holder *h);
        uint64_t counts[STAGE_COUNT][3]; /* delivered, failed, dropped */
    } cases[] = {
        {"it arrives", arrives, {{1, 0, 0}, {1, 0, 0}, {1, 0, 0}}},
        {"it fails again", fails, {{0, 1, 0}, {0, 1, 0}, {0, 1, 0}}},
        {"it is skipped", is_skipped, {{0, 0, 1}, {0, 0, 1}, {0, 0, 1}}},
        {"its lane retires", lane_retires, {{0, 0, 1}, {0, 0, 1}, {0, 0, 1}}},
        /* what is only asked for does not count as waiting in the lane */
        {"the lane gives up", is_given_up, {{0, 0, 0}, {0, 0, 0}, {0, 0, 1}}},
        {"a filter stops it", is_not_wanted, {{0, 0, 0}, {0, 0, 1}, {0, 0, 1}}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (enum stage stage = 0; stage < STAGE_COUNT; stage++) {
            struct holder h;
            uint64_t n;
            struct rig *r = with_job(state, &h, stage, &n);
            const uint64_t *want = cases[i].counts[stage];
            bool over = want[0] + want[1] + want[2] > 0;
            cases[i].happens(r, &h);
            struct replay_job j = job(r, n);
            bool good = j.total == 1 && j.delivered == want[0] && j.failed == want[1] &&
                        j.dropped == want[2] && j.waiting + j.asked == !over &&
                        (j.state == JOB_DONE) == over;
            if (!good)
                fail_msg("%s at stage %d: waiting %u asked %u delivered %u failed %u dropped %u %s",
                         cases[i].what, (int)stage, (unsigned)j.waiting, (unsigned)j.asked,
                         (unsigned)j.delivered, (unsigned)j.failed, (unsigned)j.dropped,
                         job_state_name(j.state));
        }
    }
}

static void without_bytes_its_turn_drops_it(void **state)
{
    struct rig_options small = rig_defaults;
    small.failed_max = 1;
    struct rig *r = contract_again(state, &small);
    struct holder h;
    define_relays(r, 1);
    append_notes(r, 8);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    fail_range(r, &h, 1, 1, 6, CLASS_BLOCKED); /* 7 and 8 are still to be sent */
    uint64_t n = replay(r, NULL, 1000);
    assert_job(r, n, JOB_RUNNING, 6, 0, 0, 0, 0);
    rig_housekeep(r); /* 1 … 6 are trimmed, nothing keeps their bytes, and that costs nothing */
    assert_job(r, n, JOB_DONE, 0, 0, 0, 0, 6);
    assert_int_equal(receipt(r, 1, 1).row.cls, CLASS_BLOCKED);
    assert_int_equal(sum_of(r, FAILED_COUNT, NULL).gone, 6);
}

static void what_is_asked_for_already_counts_as_asked(void **state)
{
    static struct lane_request asked[QUEUE_REQUESTS_MAX];
    struct holder h;
    uint64_t n;
    struct rig *r = with_job(state, &h, STAGE_WAITS, &n);
    assert_int_equal(again(r, 1).requeued, 1);
    assert_job(r, n, JOB_RUNNING, 1, 0, 0, 0, 0);
    rig_housekeep(r);
    assert_job(r, n, JOB_RUNNING, 0, 1, 0, 0, 0);
    assert_int_equal(requests(r, &h, 1, asked), 1);
    assert_int_equal(deliver_asked(r, &h, 1), 1);
    assert_job(r, n, JOB_DONE, 0, 0, 1, 0, 0);
}

static void what_the_job_asked_for_is_not_asked_for_again(void **state)
{
    struct holder h;
    uint64_t n;
    struct rig *r = with_job(state, &h, STAGE_ASKED, &n);
    assert_int_equal(again(r, 1).requeued, 0);
    assert_int_equal(again(r, 2).requeued, 1);
    assert_int_equal(status(r, 1).asked, 2);
}

static void what_is_forgotten_before_its_turn_is_dropped(void **state)
{
    struct holder h;
    struct rig *r = *state;
    define_relays(r, 1);
    append_notes(r, 3);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    fail_range(r, &h, 1, 1, 3, CLASS_BLOCKED);
    rig_housekeep(r);
    uint64_t n = replay(r, NULL, 1);
    rig_pass(r, 100); /* the first one is asked for, which begins its retention anew */
    assert_job(r, n, JOB_RUNNING, 2, 1, 0, 0, 0);
    rig_pass(r, RIG_RETENTION_MS - 100);
    assert_job(r, n, JOB_RUNNING, 0, 1, 0, 0, 2);
    assert_false(receipt_known(r, 2));
    assert_true(receipt_known(r, 1));
}

static void being_asked_for_begins_retention_anew(void **state)
{
    struct holder h;
    struct rig *r = *state;
    define_relays(r, 1);
    append_notes(r, 1);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    fail_at(r, &h, 1, 1, CLASS_BLOCKED);
    rig_housekeep(r);
    uint64_t n = replay(r, NULL, 0);
    rig_pass(r, RIG_RETENTION_MS / 2);
    assert_job(r, n, JOB_RUNNING, 0, 1, 0, 0, 0);
    rig_pass(r, RIG_RETENTION_MS - 1);
    assert_job(r, n, JOB_RUNNING, 0, 1, 0, 0, 0);
    assert_int_equal(look(r, 1).gone, GONE_NO);
    rig_pass(r, 60000);
    assert_job(r, n, JOB_DONE, 0, 0, 0, 0, 1);
    assert_int_equal(status(r, 1).asked, 0);
}

/* ---- page by page ---- */

#define MANY_LANES 256u
#define MANY_NOTES 79u /* more rows than a page looks at */
#define MANY       (MANY_LANES * MANY_NOTES)

static const struct row_filter released = {.classes = BIT(CLASS_RELEASED)};

/* All lanes but one gave up all notes. */
static struct rig *with_many(void **state)
{
    struct rig *r = *state;
    define_relays(r, MANY_LANES + 1);
    append_notes(r, MANY_NOTES);
    for (unsigned i = 0; i < MANY_LANES; i++)
        assert_int_equal(hold(r, i, false, true).given_up, MANY_NOTES);
    return r;
}

static void page(struct rig *r, struct failed_call *c, bool more)
{
    struct answer a;
    ask_failed(&r->loop, r->q, c, &a);
    assert_int_equal(a.e, ERR_NONE);
    assert_int_equal(a.failed.more, more);
    assert_true(a.failed.job > 0);
    c->job = a.failed.job;
    c->after = a.failed.next;
    answer_free(&a);
}

static void a_job_is_collected_page_by_page(void **state)
{
    struct rig *r = with_many(state);
    struct failed_call first = {.what = FAILED_REPLAY, .filter = released, .token = 5};
    struct failed_call c = first;
    assert_true(MANY > FAILED_LOOKS_MAX);
    page(r, &c, true);
    struct replay_job j = job(r, c.job);
    assert_int_equal(j.state, JOB_COLLECTING);
    assert_true(j.waiting > 0 && j.waiting <= FAILED_LOOKS_MAX);
    rig_housekeep(r);
    assert_int_equal(job(r, c.job).asked, 0); /* nothing is sent before it is complete */
    page(r, &first, true);                    /* its answer was lost */
    assert_int_equal(first.job, c.job);
    assert_int_equal(job(r, c.job).total, j.total);
    rig_restart(r);
    page(r, &c, false);
    assert_job(r, c.job, JOB_RUNNING, MANY, 0, 0, 0, 0);
    rig_housekeep(r);
    assert_job(r, c.job, JOB_RUNNING, MANY - JOB_STEP_MAX, JOB_STEP_MAX, 0, 0, 0);
}

static void a_job_whose_pages_end_is_dropped(void **state)
{
    struct rig *r = with_many(state);
    struct failed_call c = {.what = FAILED_REPLAY, .filter = released, .token = 5};
    page(r, &c, true);
    rig_housekeep(r);
    rig_pass(r, JOB_COLLECT_MS - 1);
    assert_true(job_known(r, c.job));
    rig_restart(r);
    rig_pass(r, 1);
    rig_pass(r, JOB_COLLECT_MS - 1);
    assert_true(job_known(r, c.job));
    rig_pass(r, 1);
    assert_false(job_known(r, c.job));
    struct answer a;
    ask_failed(&r->loop, r->q, &c, &a);
    assert_int_equal(a.e, ERR_NOT_FOUND);
    answer_free(&a);
    assert_int_equal(sum_of(r, FAILED_COUNT, &released).busy, 0);
    assert_int_equal(sum_of(r, FAILED_COUNT, &released).count, MANY);
    uint64_t next = replay(r, &released, 0);
    assert_true(next > c.job);
    assert_job(r, next, JOB_RUNNING, MANY, 0, 0, 0, 0);
}

/* ---- how many ---- */

static void the_oldest_job_that_ended_makes_room(void **state)
{
    static uint8_t ids[JOBS_MAX + 2][EVENT_ID_LEN];
    struct holder h;
    struct answer a;
    struct rig *r = *state;
    define_relays(r, 1);
    append_notes(r, JOBS_MAX + 2);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    fail_range(r, &h, 1, 1, JOBS_MAX + 2, CLASS_BLOCKED);
    for (unsigned i = 0; i < JOBS_MAX + 2; i++) {
        struct event *ev = make_note(0, i + 1);
        memcpy(ids[i], ev->id, EVENT_ID_LEN);
        event_unref(ev);
    }
    for (unsigned i = 0; i < JOBS_MAX; i++)
        assert_int_equal(replay(r, &(struct row_filter){.ids = &ids[i], .ids_len = 1}, 1), i + 1);
    struct failed_call c = {.what = FAILED_REPLAY, .token = 1};
    c.filter = (struct row_filter){.ids = &ids[JOBS_MAX], .ids_len = 1};
    ask_failed(&r->loop, r->q, &c, &a);
    assert_int_equal(a.e, ERR_FULL);
    answer_free(&a);
    ask_cancel(&r->loop, r->q, 9, &a);
    assert_int_equal(a.e, ERR_NONE);
    answer_free(&a);
    rig_pass(r, 1000);
    ask_cancel(&r->loop, r->q, 4, &a);
    assert_int_equal(a.e, ERR_NONE);
    answer_free(&a);
    assert_int_equal(replay(r, &c.filter, 1), JOBS_MAX + 1);
    assert_false(job_known(r, 9));
    assert_true(job_known(r, 4));
    rig_restart(r);
    assert_true(job_known(r, JOBS_MAX + 1));
    c.filter.ids = &ids[JOBS_MAX + 1];
    assert_int_equal(replay(r, &c.filter, 1), JOBS_MAX + 2);
    assert_false(job_known(r, 4));
}

int main(void)
{
    static const struct CMUnitTest cases[] = {
        CASE(a_position_of_a_job_is_settled_once_whatever_happens),
        CASE(without_bytes_its_turn_drops_it),
        CASE(what_is_asked_for_already_counts_as_asked),
        CASE(what_the_job_asked_for_is_not_asked_for_again),
        CASE(what_is_forgotten_before_its_turn_is_dropped),
        CASE(being_asked_for_begins_retention_anew),
        CASE(a_job_is_collected_page_by_page),
        CASE(a_job_whose_pages_end_is_dropped),
        CASE(the_oldest_job_that_ended_makes_room),
    };
    return contract_run("ends of replay jobs", cases, COUNT_OF(cases));
}
