/* Random histories of the store against a plain reference, in turns of several changes each, of
 * which some are aborted and some end with the process. VOLLEY_SEED repeats one. */
#include "tests/support/store_box.h"

#include "common/base/rng.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LANES  4u
#define EVENTS 400u
#define JOBS   100u

enum state { QUEUED, WAITING, DELIVERED, FAILED, SKIPPED };
enum row_is { NO_ROW, ROW_IS_FAILED, ROW_IS_PURGED };

/* What must be there. Plain data: a turn that is given up is undone by a copy. */
struct reference {
    uint64_t head;
    unsigned note[EVENTS + 1]; /* by position */
    uint64_t position[LANES + 1], epoch[LANES + 1], seq[LANES + 1];
    enum state state[LANES + 1][EVENTS + 1];
    enum row_is row[LANES + 1][EVENTS + 1]; /* of FAILED, and of what is tried again */
    uint32_t job[LANES + 1][EVENTS + 1];    /* that the row is in; 0 */
    bool asked[LANES + 1][EVENTS + 1];      /* its turn in the job has come */
    struct reference_job {
        enum job_state state;
        uint32_t last_lane;
        uint64_t total, waiting, asked, delivered, failed, dropped;
    } jobs[JOBS + 1];
    uint32_t jobs_made;
    uint64_t requested[LANES + 1][EVENTS + 1];
    uint64_t last_request[LANES + 1];
    int64_t requeued_ms[EVENTS + 1];
    uint64_t first;
};

struct play {
    struct store_box *b;
    struct rng rng;
    struct reference now, committed;
};

static unsigned roll(struct play *p, unsigned below)
{
    return (unsigned)rng_below(&p->rng, below);
}

/* ---- changes, to both ---- */

static void append(struct play *p)
{
    struct reference *r = &p->now;
    bool again = r->head > 0 && roll(p, 3) == 0;
    if (!again && r->head == EVENTS)
        return;
    uint64_t pos = again ? 1 + roll(p, (unsigned)r->head) : r->head + 1;
    unsigned n = again ? r->note[pos] : (unsigned)rng_next(&p->rng);
    struct event *ev = make_note(0, n);
    struct append_result got;
    struct problem why = {0};
    assert_int_equal(store_append(p->b->s, ev, p->b->now_ms, &got, NULL, &why), ERR_NONE);
    event_unref(ev);
    assert_int_equal(got.pos, pos);
    assert_int_equal(got.duplicate, again);
    uint32_t requeued = 0;
    bool pause = again && r->requeued_ms[pos] != 0 && p->b->now_ms - r->requeued_ms[pos] < 60000;
    for (unsigned lane = 1; again && !pause && lane <= LANES; lane++) {
        if (r->state[lane][pos] != FAILED || r->requested[lane][pos] != 0)
            continue;
        r->requested[lane][pos] = ++r->last_request[lane];
        requeued++;
    }
    assert_int_equal(got.requeued, requeued);
    if (requeued > 0)
        r->requeued_ms[pos] = p->b->now_ms;
    if (!again) {
        r->head = pos;
        r->note[pos] = n;
    }
}

/* ---- replay jobs ---- */

static void end_if_done(struct reference_job *j)
{
    if (j->state == JOB_RUNNING && j->waiting + j->asked == 0)
        j->state = JOB_DONE;
}

static void leave_job(struct reference *r, unsigned lane, uint64_t pos, enum state next)
{
    struct reference_job *j = &r->jobs[r->job[lane][pos]];
    if (r->job[lane][pos] == 0 || next == WAITING)
        return;
    r->job[lane][pos] = 0;
    *(r->asked[lane][pos] ? &j->asked : &j->waiting) -= 1;
    *(next == DELIVERED ? &j->delivered : next == FAILED ? &j->failed : &j->dropped) += 1;
    end_if_done(j);
}

static struct failed_call any_call(struct play *p, enum failed_do what, unsigned *lane)
{
    struct failed_call c = {.what = what, .token = rng_next(&p->rng)};
    *lane = roll(p, LANES + 1); /* 0: all */
    if (*lane > 0)
        memcpy(c.filter.url, box_relay(*lane - 1).url, sizeof c.filter.url);
    return c;
}

static void replay(struct play *p)
{
    struct reference *r = &p->now;
    struct failed_page page;
    unsigned only;
    if (r->jobs_made == JOBS)
        return;
    struct failed_call c = any_call(p, FAILED_REPLAY, &only);
    uint32_t number = ++r->jobs_made;
    struct reference_job *j = &r->jobs[number];
    *j = (struct reference_job){.state = JOB_RUNNING};
    for (unsigned lane = 1; lane <= LANES; lane++) {
        for (uint64_t pos = 1; pos <= r->head; pos++) {
            if ((only != 0 && lane != only) || r->row[lane][pos] != ROW_IS_FAILED ||
                r->job[lane][pos] != 0)
                continue;
            r->job[lane][pos] = number;
            r->asked[lane][pos] = false;
            j->total++;
            j->waiting++;
        }
    }
    end_if_done(j);
    assert_int_equal(store_failed(p->b->s, &c, p->b->now_ms, &page), ERR_NONE);
    assert_int_equal(page.job, number);
    assert_false(page.more);
}

static void purge(struct play *p)
{
    struct reference *r = &p->now;
    struct failed_page page;
    unsigned only;
    struct failed_call c = any_call(p, FAILED_PURGE, &only);
    for (unsigned lane = 1; lane <= LANES; lane++) {
        for (uint64_t pos = 1; pos <= r->head; pos++) {
            if ((only == 0 || lane == only) && r->row[lane][pos] == ROW_IS_FAILED &&
                r->job[lane][pos] == 0)
                r->row[lane][pos] = ROW_IS_PURGED;
        }
    }
    assert_int_equal(store_failed(p->b->s, &c, p->b->now_ms, &page), ERR_NONE);
    assert_false(page.more);
}

static void cancel(struct play *p)
{
    struct reference *r = &p->now;
    uint32_t number = 1 + roll(p, r->jobs_made + 1);
    struct reference_job *j = &r->jobs[number];
    bool may = number <= r->jobs_made && j->state == JOB_RUNNING;
    assert_int_equal(store_cancel(p->b->s, number, p->b->now_ms), may ? ERR_NONE : ERR_NOT_FOUND);
    if (!may)
        return;
    j->state = JOB_CANCELLED;
    for (unsigned lane = 1; lane <= LANES; lane++) {
        for (uint64_t pos = 1; pos <= r->head; pos++) {
            bool taken_up = r->asked[lane][pos] && r->requested[lane][pos] == 0;
            if (r->job[lane][pos] != number || taken_up)
                continue;
            if (r->asked[lane][pos])
                r->requested[lane][pos] = 0;
            leave_job(r, lane, pos, SKIPPED);
        }
    }
}

static uint64_t lowest_waiting(const struct reference *r, uint32_t number, unsigned lane)
{
    unsigned pending = 0;
    uint64_t lowest = 0;
    for (uint64_t pos = r->head; pos >= 1; pos--) {
        pending += r->requested[lane][pos] != 0;
        if (r->job[lane][pos] == number && !r->asked[lane][pos])
            lowest = pos;
    }
    return pending < QUEUE_REQUESTS_MAX ? lowest : 0;
}

static bool take_turn(struct play *p, uint32_t number)
{
    struct reference *r = &p->now;
    struct reference_job *j = &r->jobs[number];
    for (unsigned i = 0; i < LANES; i++) {
        unsigned lane = 1 + (j->last_lane + i) % LANES;
        uint64_t pos = lowest_waiting(r, number, lane);
        if (pos == 0)
            continue;
        j->last_lane = lane;
        j->waiting--;
        j->asked++;
        r->asked[lane][pos] = true;
        if (r->requested[lane][pos] == 0 && r->state[lane][pos] != WAITING) {
            r->requested[lane][pos] = ++r->last_request[lane];
            r->requeued_ms[pos] = p->b->now_ms;
        }
        return true;
    }
    return false;
}

static void step(struct play *p)
{
    struct reference *r = &p->now;
    bool asked;
    for (uint32_t number = 1; number <= r->jobs_made; number++) {
        if (r->jobs[number].state != JOB_RUNNING)
            continue;
        for (unsigned turns = 0; turns < JOB_STEP_MAX && take_turn(p, number); turns++)
            continue;
    }
    assert_int_equal(store_step_jobs(p->b->s, p->b->now_ms, p->b->boot_ms, &asked), ERR_NONE);
}

static void check_jobs(struct play *p)
{
    const struct reference *r = &p->now;
    const struct replay_job *jobs;
    size_t len;
    assert_int_equal(store_jobs(p->b->s, &jobs, &len), ERR_NONE);
    assert_int_equal(len, r->jobs_made);
    for (uint32_t number = 1; number <= r->jobs_made; number++) {
        const struct reference_job *want = &r->jobs[number];
        const struct replay_job *got = &jobs[number - 1];
        assert_int_equal(got->number, number);
        assert_int_equal(got->state, want->state);
        assert_int_equal(got->total, want->total);
        assert_int_equal(got->waiting, want->waiting);
        assert_int_equal(got->asked, want->asked);
        assert_int_equal(got->delivered, want->delivered);
        assert_int_equal(got->failed, want->failed);
        assert_int_equal(got->dropped, want->dropped);
    }
}

/* ---- commits ---- */

/* Settles what is new up to `to` and what waits, each in a random way. */
static void fill_commit(struct play *p, unsigned lane, uint64_t to, struct lane_commit *c,
                        struct exception *x, struct row *rows, uint64_t *removed)
{
    struct reference *r = &p->now;
    for (uint64_t pos = 1; pos <= to; pos++) {
        enum state *s = &r->state[lane][pos];
        enum row_is *row = &r->row[lane][pos];
        bool asked = r->requested[lane][pos] != 0 && r->requested[lane][pos] <= c->requests_taken;
        if (asked)
            r->requested[lane][pos] = 0;
        if (*s != WAITING && pos <= r->position[lane] && !asked)
            continue;
        enum state next = (enum state)(WAITING + (int)roll(p, 4));
        if (next == WAITING)
            x[c->exceptions_len++] = (struct exception){.pos = pos, .attempts = roll(p, 9)};
        if (next == FAILED)
            rows[c->rows_added_len++] = box_row(p->b, pos, ROW_FAILED, CLASS_MUTE);
        if (next == SKIPPED)
            rows[c->rows_added_len++] = box_row(p->b, pos, ROW_SKIPPED, CLASS_OUTDATED);
        if (next == DELIVERED && *row != NO_ROW)
            removed[c->rows_removed_len++] = pos;
        leave_job(r, lane, pos, next);
        if (next != WAITING)
            *row = next == FAILED ? ROW_IS_FAILED : NO_ROW;
        *s = next;
    }
}

static void commit(struct play *p)
{
    static struct exception x[EVENTS];
    static struct row rows[EVENTS];
    static uint64_t removed[EVENTS];
    struct reference *r = &p->now;
    struct lane_committed got;
    unsigned lane = 1 + roll(p, LANES);
    if (r->epoch[lane] == 0)
        return;
    uint64_t to = r->position[lane] + roll(p, (unsigned)(r->head - r->position[lane]) + 1);
    struct lane_commit c = {.lane = lane,
                            .epoch = r->epoch[lane],
                            .seq = ++r->seq[lane],
                            .position = to,
                            .definition_version = 1,
                            .exceptions = x,
                            .rows_added = rows,
                            .rows_removed = removed};
    if (roll(p, 2) == 0)
        c.requests_taken = r->last_request[lane];
    fill_commit(p, lane, to, &c, x, rows, removed);
    r->position[lane] = to;
    assert_int_equal(store_lane_commit(p->b->s, &c, p->b->now_ms, &got), ERR_NONE);
    assert_int_equal(got.status, COMMIT_DONE);
    assert_int_equal(got.position, to);
    if (roll(p, 4) == 0) {
        assert_int_equal(store_lane_commit(p->b->s, &c, p->b->now_ms, &got), ERR_NONE);
        assert_int_equal(got.status, COMMIT_REPEATED);
    }
}

static void grant(struct play *p)
{
    struct reference *r = &p->now;
    struct lane_grant g;
    unsigned lane = 1 + roll(p, LANES);
    uint8_t id[PUBLISHER_ID_LEN] = {(uint8_t)(1 + roll(p, 9))};
    assert_int_equal(store_grant(p->b->s, lane, id, "x", p->b->now_ms, &g), ERR_NONE);
    assert_int_equal(g.epoch, ++r->epoch[lane]);
    assert_int_equal(g.position, r->position[lane]);
    r->seq[lane] = 0;
    size_t waiting = 0;
    for (uint64_t pos = 1; pos <= r->head; pos++) {
        if (r->state[lane][pos] == WAITING)
            assert_int_equal(g.exceptions[waiting++].pos, pos);
    }
    assert_int_equal(g.exceptions_len, waiting);
}

static bool needed(const struct reference *r, uint64_t pos)
{
    for (unsigned lane = 1; lane <= LANES; lane++) {
        if (pos > r->position[lane] || r->state[lane][pos] == WAITING)
            return true;
    }
    return false;
}

static void housekeep(struct play *p)
{
    struct reference *r = &p->now;
    bool more = true;
    for (unsigned i = 0; more && i < 10000; i++)
        assert_int_equal(
            store_housekeep(p->b->s, p->b->now_ms, p->b->boot_ms, 1 + roll(p, 20), &more),
            ERR_NONE);
    assert_false(more);
    while (r->first <= r->head && !needed(r, r->first))
        r->first++;
}

/* ---- comparing ---- */

static void check_receipt(struct play *p, uint64_t pos)
{
    struct reference *r = &p->now;
    struct queue_receipt got;
    struct event *ev = make_note(0, r->note[pos]);
    assert_int_equal(store_receipt(p->b->s, ev->id, &got), ERR_NONE);
    event_unref(ev);
    assert_int_equal(got.pos, pos);
    assert_int_equal(got.lanes_len, LANES);
    for (unsigned lane = 1; lane <= LANES; lane++) {
        static const enum receipt_end ends[] = {RECEIPT_QUEUED, RECEIPT_RETRYING, RECEIPT_DELIVERED,
                                                RECEIPT_ROW, RECEIPT_ROW};
        const struct receipt_lane *l = &got.lanes[lane - 1];
        enum state s = r->state[lane][pos];
        assert_int_equal(l->end, ends[s]);
        enum row_end end = r->row[lane][pos] == ROW_IS_PURGED ? ROW_PURGED : ROW_FAILED;
        if (s == FAILED || s == SKIPPED)
            assert_int_equal(l->row.end, s == FAILED ? end : ROW_SKIPPED);
        if (s == WAITING)
            assert_int_equal(l->row.from != 0 && l->row.end == end, r->row[lane][pos] != NO_ROW);
    }
}

/* Bytes are there as long as somebody may want them, and no longer. */
static void check_bytes(struct play *p, uint64_t pos)
{
    const struct reference *r = &p->now;
    bool kept = pos >= r->first;
    for (unsigned lane = 1; lane <= LANES; lane++)
        kept = kept || r->row[lane][pos] == ROW_IS_FAILED || r->requested[lane][pos] ||
               r->state[lane][pos] == WAITING;
    assert_int_equal(box_look(p->b, pos).gone, kept ? GONE_NO : GONE_TRIMMED);
}

static void check(struct play *p)
{
    const struct reference *r = &p->now;
    box_begin(p->b);
    housekeep(p);
    box_commit(p->b);
    for (unsigned i = 0; i < 2; i++) /* bytes that nobody needs are looked for round and round */
        box_housekeep(p->b);
    p->committed = p->now;
    struct queue_depth d = box_depth(p->b);
    assert_int_equal(store_head(p->b->s), r->head);
    assert_int_equal(d.first, r->first);
    for (unsigned lane = 1; lane <= LANES; lane++) {
        const struct lane_status *s = &d.lanes[lane - 1];
        uint64_t waiting = 0, failed = 0, skipped = 0;
        for (uint64_t pos = 1; pos <= r->head; pos++) {
            waiting += r->state[lane][pos] == WAITING;
            failed += r->row[lane][pos] == ROW_IS_FAILED;
            skipped += r->state[lane][pos] == SKIPPED;
        }
        assert_int_equal(s->position, r->position[lane]);
        assert_int_equal(s->depth, r->head - r->position[lane] + waiting);
        assert_int_equal(s->retrying, waiting);
        assert_int_equal(s->failed, failed);
        assert_int_equal(s->skipped, skipped);
    }
    for (uint64_t pos = 1; pos <= r->head; pos++) {
        check_receipt(p, pos);
        check_bytes(p, pos);
    }
    check_jobs(p);
}

/* ---- turns ---- */

static void turn(struct play *p)
{
    box_begin(p->b);
    for (unsigned i = roll(p, 12); i > 0; i--) {
        unsigned what = roll(p, 26);
        if (what < 11)
            append(p);
        else if (what < 17)
            commit(p);
        else if (what < 18)
            grant(p);
        else if (what < 20)
            housekeep(p);
        else if (what < 21)
            replay(p);
        else if (what < 22)
            purge(p);
        else if (what < 23)
            cancel(p);
        else
            step(p);
    }
    switch (roll(p, 12)) {
    case 0:
        store_abort(p->b->s);
        p->now = p->committed;
        break;
    case 1:
        box_reopen(p->b); /* the process ended within the turn */
        p->now = p->committed;
        break;
    case 2:
        box_commit(p->b);
        box_reopen(p->b);
        p->committed = p->now;
        break;
    default:
        box_commit(p->b);
        p->committed = p->now;
        break;
    }
    p->b->now_ms += roll(p, 30000);
    p->b->boot_ms = 1000000 + (uint64_t)(p->b->now_ms - BOX_WALL_MS);
}

static void play(struct store_box *b, uint64_t seed)
{
    struct play *p = mem_zero(1, sizeof *p);
    print_message("VOLLEY_SEED=%" PRIu64 "\n", seed);
    p->b = b;
    p->now.first = p->committed.first = 1;
    rng_init(&p->rng, seed);
    b->options.retention_ms = 365ll * 86400 * 1000;
    box_reopen(b);
    box_relays(b, LANES);
    for (unsigned i = 0; i < 150; i++) {
        turn(p);
        if (i % 15 == 14)
            check(p);
    }
    free(p);
}

static void the_store_is_what_was_committed(void **state)
{
    const char *text = getenv("VOLLEY_SEED");
    struct rng rng;
    rng_init_secure(&rng);
    play(*state, text ? strtoull(text, NULL, 10) : rng_next(&rng) >> 32);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        BOX_TEST(the_store_is_what_was_committed),
        BOX_TEST(the_store_is_what_was_committed),
        BOX_TEST(the_store_is_what_was_committed),
    };
    return cmocka_run_group_tests_name("random histories of the store", tests, NULL, NULL);
}
