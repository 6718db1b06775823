/* Pages of failed deliveries: which rows a filter means, that a walk tells each once, what counting
 * costs, and what purging leaves. */
#include "tests/support/store_box.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETENTION (1u << CLASS_RETENTION)
#define RELEASED  (1u << CLASS_RELEASED)

static struct row failed(const struct store_box *b, uint64_t pos, enum row_class cls,
                         const char *text)
{
    struct row r = box_row(b, pos, ROW_FAILED, cls);
    (void)snprintf(r.text, sizeof r.text, "%s", text);
    return r;
}

/* Two lanes; notes 1 … 6 of authors 0 and 1, a profile at 7. Lane 1 failed at 1 … 4, skipped 5 and
 * delivered the rest; lane 2 failed at 1, an hour ago, and was released from its backlog. */
static void fill(struct store_box *b)
{
    box_relays(b, 2);
    (void)box_grant(b, 1, 1);
    (void)box_grant(b, 2, 1);
    for (unsigned n = 1; n <= 6; n++)
        (void)box_append(b, make_note(n % 2, n));
    (void)box_append(b, make_event(0, 1700000000, 0, "[]", "{}"));
    b->options.retention_ms = 10 * BOX_RETENTION_MS;
    store_set_limits(b->s, &b->options);
    box_fail(b, 2, 1);
    box_pass(b, BOX_RETENTION_MS);
    struct row rows[] = {
        failed(b, 1, CLASS_BLOCKED, "blocked: Spam Filter"),
        failed(b, 2, CLASS_POW, "pow: 20 bits"), failed(b, 3, CLASS_BLOCKED, "blocked: no"),
        failed(b, 4, CLASS_TIMEOUT, ""), box_row(b, 5, ROW_SKIPPED, CLASS_OUTDATED)};
    rows[3].attempts = 20;
    box_commit_rows(b, 1, 7, rows, COUNT_OF(rows));
    struct definition d = box_relay(1);
    struct hold_call hold = {.from_now = true};
    struct hold_result r;
    memcpy(hold.url, d.url, sizeof hold.url);
    box_begin(b);
    assert_int_equal(store_hold(b->s, &hold, b->now_ms, &r), ERR_NONE);
    box_commit(b);
    assert_int_equal(r.given_up, 6);
    assert_int_equal(r.waiting, 0);
}

/* ---- what is told ---- */

static void a_row_is_told_with_its_event(void **state)
{
    struct store_box *b = *state;
    fill(b);
    struct failed_call c = {.what = FAILED_LIST, .limit = 2};
    struct failed_page p = box_page(b, &c);
    assert_int_equal(p.rows_len, 2);
    assert_true(p.more);
    struct event *ev = make_note(1, 1);
    for (size_t i = 0; i < 2; i++) {
        const struct failed_row *r = &p.rows[i];
        assert_int_equal(r->lane, i + 1);
        assert_memory_equal(r->id, ev->id, sizeof r->id);
        assert_memory_equal(r->author, ev->pubkey, sizeof r->author);
        assert_int_equal(r->kind, 1);
        assert_int_equal(r->accepted_ms, BOX_WALL_MS);
        assert_int_equal(r->row.from, 1);
        assert_int_equal(r->row.to, 1);
        assert_int_equal(r->row.end, ROW_FAILED);
        assert_true(r->replayable);
        assert_int_equal(r->job, 0);
    }
    assert_string_equal(p.rows[0].row.text, "blocked: Spam Filter");
    event_unref(ev);
    c.filter.classes = RELEASED;
    p = box_page(b, &c);
    assert_int_equal(p.rows_len, 2);
    assert_int_equal(p.rows[0].row.from, 2); /* a position of the run, not the run */
    assert_int_equal(p.rows[0].row.to, 2);
    assert_int_equal(p.rows[1].row.from, 3);
    assert_int_equal(p.rows[1].row.end, ROW_EXPIRED);
}

static uint64_t meant(struct store_box *b, const struct row_filter *f)
{
    struct failed_group count =
        box_walk(b, (struct failed_call){.what = FAILED_COUNT, .filter = *f});
    for (uint32_t limit = 1; limit < 4; limit++) {
        struct failed_call c = {.what = FAILED_LIST, .filter = *f, .limit = limit};
        assert_int_equal(box_walk(b, c).count, count.count);
    }
    return count.count;
}

static void each_filter_means_what_it_says(void **state)
{
    static const struct {
        const char *what;
        struct row_filter f;
        uint64_t count;
    } rows[] = {
        {"all that failed", {.min_attempts = 0}, 5},
        {"one relay", {.url = "wss://relay0.example"}, 4},
        {"no such relay", {.url = "wss://relay7.example"}, 0},
        {"a class", {.classes = 1u << CLASS_BLOCKED}, 3},
        {"two classes", {.classes = 1u << CLASS_BLOCKED | 1u << CLASS_POW}, 4},
        {"a class of nothing", {.classes = 1u << CLASS_MUTE}, 0},
        {"skipped is never meant", {.classes = 1u << CLASS_OUTDATED}, 0},
        {"expired, when asked for", {.classes = RELEASED}, 6},
        {"failed and expired", {.classes = RELEASED | 1u << CLASS_POW}, 7},
        {"expired at one relay", {.url = "wss://relay0.example", .classes = RELEASED}, 0},
        {"words in any case", {.reason = "sPAM f"}, 1},
        {"words that stand nowhere", {.reason = "spam  f"}, 0},
        {"a run has no words", {.classes = RELEASED, .reason = "a"}, 0},
        {"a kind", {.has_kind = true, .kind = 1}, 5},
        {"a kind in a run", {.classes = RELEASED, .has_kind = true, .kind = 0}, 1},
        {"attempts", {.min_attempts = 20}, 1},
        {"older", {.older_than_ms = BOX_RETENTION_MS - 1}, 1},
        {"not older", {.older_than_ms = BOX_RETENTION_MS}, 0},
        {"newer", {.newer_than_ms = 1}, 4},
        {"newer than all", {.newer_than_ms = BOX_RETENTION_MS + 1}, 5},
        {"a run's time", {.classes = RELEASED, .older_than_ms = 1}, 0},
    };
    struct store_box *b = *state;
    fill(b);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint64_t got = meant(b, &rows[i].f);
        if (got != rows[i].count)
            fail_msg("%s: %" PRIu64 ", not %" PRIu64, rows[i].what, got, rows[i].count);
    }
    struct row_filter f = {.has_author = true};
    test_pubkey(1, f.author);
    assert_int_equal(meant(b, &f), 3); /* notes 1 twice, and 3 */
    f.classes = RELEASED;
    assert_int_equal(meant(b, &f), 2); /* 3 and 5 */
}

static void ids_are_looked_up_each_once(void **state)
{
    struct store_box *b = *state;
    uint8_t ids[4][EVENT_ID_LEN];
    struct row_filter f = {.ids = ids, .ids_len = COUNT_OF(ids)};
    fill(b);
    for (unsigned i = 0; i < COUNT_OF(ids); i++) {
        struct event *ev = make_note(i == 2 ? 5 : 1, i < 2 ? 1 : i); /* 1, 1, unknown, 3 */
        memcpy(ids[i], ev->id, sizeof ids[i]);
        event_unref(ev);
    }
    assert_int_equal(meant(b, &f), 3);
    f.classes = RELEASED;
    assert_int_equal(meant(b, &f), 1);
    f.has_kind = true;
    assert_int_equal(meant(b, &f), 0);
    f = (struct row_filter){.ids = ids};
    assert_int_equal(meant(b, &f), 0);
    f = (struct row_filter){.ids = ids, .ids_len = COUNT_OF(ids)};
    assert_int_equal(box_purge(b, &f), 3);
    assert_int_equal(meant(b, &f), 0);
}

/* ---- pages ---- */

/* Walks with pages of `limit` rows, and checks that no row comes twice. */
static uint64_t walk_once(struct store_box *b, const struct row_filter *f, uint32_t limit)
{
    static bool seen[8][4096];
    struct failed_call c = {.what = FAILED_LIST, .filter = *f, .limit = limit};
    struct failed_page p = {.more = true};
    uint64_t count = 0;
    memset(seen, 0, sizeof seen);
    while (p.more) {
        p = box_page(b, &c);
        assert_true(p.rows_len <= limit);
        for (size_t i = 0; i < p.rows_len; i++) {
            bool *at = &seen[p.rows[i].lane][p.rows[i].row.from];
            assert_false(*at);
            *at = true;
            count++;
        }
        c.after = p.next;
    }
    return count;
}

static void a_walk_tells_everything_once_however_small_its_pages(void **state)
{
    struct store_box *b = *state;
    struct row rows[60];
    box_relays(b, 4);
    box_notes(b, 1, 1000);
    for (uint32_t lane = 1; lane <= 3; lane++) {
        (void)box_grant(b, lane, 1);
        for (uint64_t i = 0; i < COUNT_OF(rows); i++)
            rows[i] = failed(b, 1 + i * lane, CLASS_BLOCKED, "no");
        box_commit_rows(b, lane, 200, rows, COUNT_OF(rows));
    }
    box_pass(b, BOX_RETENTION_MS); /* all lanes expire to the head, the fourth from its start */
    struct row_filter f = {.classes = 1u << CLASS_BLOCKED | RETENTION};
    for (uint32_t limit = 1; limit < 1200; limit = 3 * limit + 1)
        assert_int_equal(walk_once(b, &f, limit > 1000 ? 1000 : limit),
                         3 * 60 + 3 * 800 + 1000 /* of the fourth lane */);
    snprintf(f.url, sizeof f.url, "wss://relay3.example");
    assert_int_equal(walk_once(b, &f, 7), 1000);
}

static void marks_that_nobody_gave_are_no_harm(void **state)
{
    static const struct row_mark marks[] = {
        {1, UINT64_MAX, UINT64_MAX}, {2, UINT64_MAX, UINT64_MAX},
        {2, 1, UINT64_MAX},          {3, 5, 5},
        {3, UINT64_MAX, 0},          {4, 0, 0},
        {UINT32_MAX, 1, 1}};
    struct store_box *b = *state;
    fill(b);
    for (size_t i = 0; i < COUNT_OF(marks); i++) {
        for (int what = 0; what < FAILED_DO_COUNT; what++) {
            struct failed_call c = {.what = (enum failed_do)what,
                                    .filter = {.classes = RELEASED},
                                    .after = marks[i],
                                    .limit = 3};
            (void)box_page(b, &c);
        }
    }
    assert_int_equal(store_head(b->s), 7);
}

/* ---- counting ---- */

#define MANY 25000u

/* All of it given up, two lanes deep: the second one still needs it, so its bytes are there. */
static void give_up_many(struct store_box *b)
{
    struct definition d = box_relay(0);
    struct hold_call hold = {.from_now = true};
    struct hold_result r;
    memcpy(hold.url, d.url, sizeof hold.url);
    box_relays(b, 2);
    (void)box_grant(b, 2, 1);
    for (unsigned n = 0; n < MANY; n += MANY / 5)
        box_notes(b, n + 1, n + MANY / 5);
    box_begin(b);
    assert_int_equal(store_hold(b->s, &hold, b->now_ms, &r), ERR_NONE);
    box_commit(b);
    assert_int_equal(r.given_up, MANY);
}

static void a_long_run_is_counted_at_once(void **state)
{
    struct store_box *b = *state;
    give_up_many(b);
    struct failed_call c = {.what = FAILED_COUNT, .filter = {.classes = RELEASED}};
    struct failed_page p = box_page(b, &c);
    assert_false(p.more);
    assert_int_equal(p.groups_len, 1);
    assert_int_equal(p.groups[0].lane, 1);
    assert_int_equal(p.groups[0].cls, CLASS_RELEASED);
    assert_int_equal(p.groups[0].count, MANY);
    assert_int_equal(p.groups[0].gone, 0);
    /* The second lane settles all of it, and some fail there: their bytes stay. */
    struct row rows[3] = {failed(b, 10, CLASS_MUTE, ""), failed(b, 11, CLASS_MUTE, ""),
                          failed(b, 20000, CLASS_MUTE, "")};
    box_commit_rows(b, 2, 22500, rows, COUNT_OF(rows));
    box_housekeep(b);
    p = box_page(b, &c);
    assert_false(p.more);
    assert_int_equal(p.groups[0].count, MANY);
    assert_int_equal(p.groups[0].gone, 22500 - 3);
}

static void what_the_events_must_tell_is_counted_page_by_page(void **state)
{
    struct store_box *b = *state;
    give_up_many(b);
    struct failed_call c = {.what = FAILED_COUNT,
                            .filter = {.classes = RELEASED, .has_kind = true, .kind = 1}};
    struct failed_page p = box_page(b, &c);
    assert_true(p.more);
    assert_true(p.groups[0].count <= FAILED_LOOKS_MAX);
    assert_int_equal(box_walk(b, c).count, MANY);
}

static void what_is_gone_and_what_is_in_a_job_is_counted_apart(void **state)
{
    struct store_box *b = *state;
    fill(b);
    struct row_filter f = {.classes = 1u << CLASS_POW};
    uint64_t job = box_replay(b, &f, 0);
    struct failed_call c = {.what = FAILED_COUNT};
    struct failed_page p = box_page(b, &c);
    assert_int_equal(p.groups_len, 4);
    static const struct failed_group want[] = {{.lane = 1, .cls = CLASS_BLOCKED, .count = 2},
                                               {.lane = 1, .cls = CLASS_POW, .count = 1, .busy = 1},
                                               {.lane = 1, .cls = CLASS_TIMEOUT, .count = 1},
                                               {.lane = 2, .cls = CLASS_BLOCKED, .count = 1}};
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        assert_int_equal(p.groups[i].lane, want[i].lane);
        assert_int_equal(p.groups[i].cls, want[i].cls);
        assert_int_equal(p.groups[i].count, want[i].count);
        assert_int_equal(p.groups[i].busy, want[i].busy);
        assert_int_equal(p.groups[i].gone, 0);
    }
    c.what = FAILED_LIST;
    c.filter = f;
    p = box_page(b, &c);
    assert_int_equal(p.rows[0].job, job);
    b->options.failed_max = 0; /* no bytes are kept for replay any more */
    store_set_limits(b->s, &b->options);
    box_housekeep(b);
    c.what = FAILED_COUNT;
    c.filter = (struct row_filter){.classes = 1u << CLASS_BLOCKED};
    p = box_page(b, &c);
    assert_int_equal(p.groups[0].gone, 2);
    assert_int_equal(p.groups[1].gone, 1);
}

static void rows_of_a_retired_lane_are_told_and_can_not_be_replayed(void **state)
{
    struct store_box *b = *state;
    fill(b);
    box_relays(b, 1);
    struct row_filter f = {.url = "wss://relay1.example"};
    struct failed_group sum = box_walk(b, (struct failed_call){.what = FAILED_COUNT, .filter = f});
    assert_int_equal(sum.count, 1);
    assert_int_equal(sum.gone, 1);
    f.classes = RELEASED;
    sum = box_walk(b, (struct failed_call){.what = FAILED_COUNT, .filter = f});
    assert_int_equal(sum.count, 6);
    assert_int_equal(sum.gone, 6);
    struct failed_page p = box_page(b, &(struct failed_call){.what = FAILED_LIST, .filter = f});
    assert_false(p.rows[0].replayable);
    uint64_t job = box_replay(b, &f, 0);
    assert_int_equal(box_job(b, job).total, 0);
    assert_int_equal(box_job(b, job).state, JOB_DONE);
}

/* ---- purging ---- */

static void what_is_purged_keeps_its_words_and_not_its_bytes(void **state)
{
    struct store_box *b = *state;
    fill(b);
    struct row_filter f = {.url = "wss://relay0.example", .reason = "spam"};
    assert_int_equal(box_purge(b, &f), 1);
    struct receipt_lane r = box_receipt(b, 2, 1);
    assert_int_equal(r.row.end, ROW_FAILED);
    struct event *ev = make_note(1, 1);
    struct queue_receipt all;
    assert_int_equal(store_receipt(b->s, ev->id, &all), ERR_NONE);
    event_unref(ev);
    assert_int_equal(all.lanes[0].end, RECEIPT_ROW);
    assert_int_equal(all.lanes[0].row.end, ROW_PURGED);
    assert_int_equal(all.lanes[0].row.cls, CLASS_BLOCKED);
    assert_int_equal(all.lanes[0].row.attempts, 1);
    assert_string_equal(all.lanes[0].row.text, "blocked: Spam Filter");
    assert_int_equal(box_status(b, 1).failed, 3);
    box_housekeep(b);
    assert_int_equal(box_look(b, 1).gone, GONE_NO); /* the other lane's row holds it */
    assert_int_equal(box_purge(b, &(struct row_filter){.min_attempts = 1}), 4);
    assert_int_equal(box_status(b, 1).failed, 0);
    box_housekeep(b);
    for (uint64_t pos = 1; pos <= 7; pos++)
        assert_int_equal(box_look(b, pos).gone, GONE_TRIMMED);
    assert_int_equal(meant(b, &(struct row_filter){.classes = UINT32_MAX}), 6);
}

static void a_part_of_a_run_is_purged(void **state)
{
    struct store_box *b = *state;
    fill(b);
    struct row_filter f = {.classes = RELEASED, .has_author = true};
    test_pubkey(1, f.author);
    assert_int_equal(box_purge(b, &f), 2); /* 3 and 5 of 2 … 7 */
    assert_int_equal(box_status(b, 2).expired, 4);
    for (unsigned n = 2; n <= 6; n++) {
        struct event *ev = make_note(n % 2, n);
        struct queue_receipt r;
        assert_int_equal(store_receipt(b->s, ev->id, &r), ERR_NONE);
        event_unref(ev);
        assert_int_equal(r.lanes[1].end, RECEIPT_ROW);
        assert_int_equal(r.lanes[1].row.end, n % 2 ? ROW_PURGED : ROW_EXPIRED);
        assert_int_equal(r.lanes[1].row.cls, CLASS_RELEASED);
    }
    f.has_author = false;
    assert_int_equal(box_purge(b, &f), 4);
    assert_int_equal(box_status(b, 2).expired, 0);
    assert_int_equal(meant(b, &f), 0);
}

static void what_was_purged_is_put_back_when_it_is_sent_again(void **state)
{
    struct store_box *b = *state;
    fill(b);
    assert_int_equal(box_purge(b, &(struct row_filter){.classes = RELEASED | 1u << CLASS_POW}), 7);
    assert_int_equal(box_append(b, make_note(0, 2)).requeued, 2); /* a row and a run */
    struct exception x = {.pos = 2};
    struct lane_commit c = box_next(b, 2, 1);
    c.floor = 7;
    c.requests_taken = 1;
    c.exceptions = &x;
    c.exceptions_len = 1;
    c.position = 7;
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
    const uint64_t removed = 2;
    c = box_next(b, 2, 7);
    c.rows_removed = &removed;
    c.rows_removed_len = 1;
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
    struct event *ev = make_note(0, 2);
    struct queue_receipt r;
    assert_int_equal(store_receipt(b->s, ev->id, &r), ERR_NONE);
    event_unref(ev);
    assert_int_equal(r.lanes[1].end, RECEIPT_DELIVERED);
    assert_int_equal(r.lanes[0].row.end, ROW_PURGED);
    box_housekeep(b);
    box_pass(b, 20 * BOX_RETENTION_MS); /* runs of both kinds are forgotten with their ids */
    assert_int_equal(box_status(b, 2).expired, 0);
    assert_int_equal(store_receipt(b->s, r.id, &r), ERR_NOT_FOUND);
}

static void what_is_in_a_job_is_not_purged(void **state)
{
    struct store_box *b = *state;
    fill(b);
    struct row_filter f = {.url = "wss://relay1.example", .classes = RELEASED, .has_kind = true};
    uint64_t job = box_replay(b, &f, 0); /* the profile, at 7 */
    assert_int_equal(box_job(b, job).total, 1);
    f.has_kind = false;
    struct failed_group sum = box_walk(b, (struct failed_call){.what = FAILED_PURGE, .filter = f});
    assert_int_equal(sum.count, 6);
    assert_int_equal(sum.busy, 1);
    assert_int_equal(meant(b, &f), 1);
    assert_int_equal(box_job(b, job).waiting, 1);
}

static void a_long_run_is_purged_around_what_is_in_a_job(void **state)
{
    struct store_box *b = *state;
    uint8_t ids[2][EVENT_ID_LEN];
    give_up_many(b);
    for (unsigned i = 0; i < 2; i++) {
        struct event *ev = make_note(0, i ? 20000 : 1);
        memcpy(ids[i], ev->id, sizeof ids[i]);
        event_unref(ev);
    }
    struct row_filter f = {.classes = RELEASED, .ids = ids, .ids_len = 2};
    (void)box_replay(b, &f, 0);
    f.ids = NULL;
    struct failed_call c = {.what = FAILED_PURGE, .filter = f};
    struct failed_page p = box_page(b, &c);
    assert_false(p.more);
    assert_int_equal(p.groups[0].count, MANY);
    assert_int_equal(p.groups[0].busy, 2);
    assert_int_equal(box_status(b, 1).expired, 2);
    assert_int_equal(box_receipt(b, 20000, 1).row.end, ROW_EXPIRED);
    assert_int_equal(box_receipt(b, 19999, 1).row.end, ROW_PURGED);
    assert_int_equal(box_receipt(b, 2, 1).row.end, ROW_PURGED);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        BOX_TEST(a_row_is_told_with_its_event),
        BOX_TEST(each_filter_means_what_it_says),
        BOX_TEST(ids_are_looked_up_each_once),
        BOX_TEST(a_walk_tells_everything_once_however_small_its_pages),
        BOX_TEST(marks_that_nobody_gave_are_no_harm),
        BOX_TEST(a_long_run_is_counted_at_once),
        BOX_TEST(what_the_events_must_tell_is_counted_page_by_page),
        BOX_TEST(what_is_gone_and_what_is_in_a_job_is_counted_apart),
        BOX_TEST(rows_of_a_retired_lane_are_told_and_can_not_be_replayed),
        BOX_TEST(what_is_purged_keeps_its_words_and_not_its_bytes),
        BOX_TEST(a_part_of_a_run_is_purged),
        BOX_TEST(what_was_purged_is_put_back_when_it_is_sent_again),
        BOX_TEST(what_is_in_a_job_is_not_purged),
        BOX_TEST(a_long_run_is_purged_around_what_is_in_a_job),
    };
    return cmocka_run_group_tests_name("failed deliveries of the store", tests, NULL, NULL);
}
