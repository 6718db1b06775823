/* One lane's commits: what they may say, word by word; rows, runs and their counters. */
#include "tests/support/store_box.h"

#include <string.h>

/* A lane with ten notes at position 6, exceptions 2 and 5, a failed row at 3, granted twice. */
static struct store_box *lane_at_six(void **state)
{
    static const struct exception two[] = {{.pos = 2, .attempts = 1}, {.pos = 5}};
    struct store_box *b = *state;
    box_relays(b, 2);
    box_notes(b, 1, 10);
    (void)box_grant(b, 1, 1);
    (void)box_grant(b, 1, 2);
    const struct row failed = box_row(b, 3, ROW_FAILED, CLASS_BLOCKED);
    struct lane_commit c = box_next(b, 1, 6);
    c.exceptions = two;
    c.exceptions_len = 2;
    c.rows_added = &failed;
    c.rows_added_len = 1;
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
    c = box_next(b, 1, 6);
    c.exceptions = two;
    c.exceptions_len = 2;
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
    return b;
}

/* ---- what a commit may say ---- */

struct attempt {
    const char *what;
    enum commit_status status;
    uint64_t epoch, seq, position; /* added to what is right */
    uint32_t lane, version;
    uint64_t exceptions[4];
    size_t exceptions_len;
    struct {
        uint64_t from, to;
        enum row_end end;
        enum row_class cls;
    } row;
    uint64_t taken;
    size_t paths_len;
    int family, path_route;
};

static const struct attempt attempts[] = {
    {"all well", COMMIT_DONE, .exceptions = {2, 5}, .exceptions_len = 2},
    {"further", COMMIT_DONE, .position = 4},
    {"another lane", COMMIT_STALE, .lane = 1},
    {"no such lane", COMMIT_STALE, .lane = 9},
    {"a newer epoch", COMMIT_STALE, .epoch = 1},
    {"an old epoch", COMMIT_STALE, .epoch = (uint64_t)-1},
    {"no epoch", COMMIT_STALE, .epoch = (uint64_t)-2},
    {"seen before", COMMIT_REPEATED, .seq = (uint64_t)-1},
    {"long seen before", COMMIT_REPEATED, .seq = (uint64_t)-2},
    {"the zeroth", COMMIT_INVALID, .seq = (uint64_t)-3},
    {"a gap", COMMIT_INVALID, .seq = 1},
    {"falls", COMMIT_INVALID, .position = (uint64_t)-1},
    {"beyond the head", COMMIT_INVALID, .position = 5},
    {"version 0", COMMIT_INVALID, .version = (uint32_t)-1},
    {"a version that is not", COMMIT_INVALID, .version = 1},
    {"exceptions descend", COMMIT_INVALID, .exceptions = {5, 2}, .exceptions_len = 2},
    {"one twice", COMMIT_INVALID, .exceptions = {5, 5}, .exceptions_len = 2},
    {"above the position", COMMIT_INVALID, .exceptions = {7}, .exceptions_len = 1},
    {"at position 0", COMMIT_INVALID, .exceptions = {0}, .exceptions_len = 1},
    {"settled long ago", COMMIT_INVALID, .exceptions = {4}, .exceptions_len = 1},
    {"new ones", COMMIT_DONE, .position = 3, .exceptions = {5, 7, 9}, .exceptions_len = 3},
    {"a skipped row", COMMIT_DONE, .row = {6, 6, ROW_SKIPPED, CLASS_OPERATOR}},
    {"a failed row", COMMIT_DONE, .row = {6, 6, ROW_FAILED, CLASS_TIMEOUT}},
    {"an expired row", COMMIT_DONE, .row = {6, 6, ROW_EXPIRED, CLASS_RETENTION}},
    {"a purged row", COMMIT_DONE, .row = {6, 6, ROW_PURGED, CLASS_NONE}},
    {"a run", COMMIT_INVALID, .row = {5, 6, ROW_EXPIRED, CLASS_RETENTION}},
    {"a row above", COMMIT_INVALID, .row = {7, 7, ROW_FAILED, CLASS_POW}},
    {"skipped, blocked", COMMIT_INVALID, .row = {6, 6, ROW_SKIPPED, CLASS_BLOCKED}},
    {"skipped, none", COMMIT_INVALID, .row = {6, 6, ROW_SKIPPED, CLASS_NONE}},
    {"failed, deleted", COMMIT_INVALID, .row = {6, 6, ROW_FAILED, CLASS_DELETED}},
    {"failed, retention", COMMIT_INVALID, .row = {6, 6, ROW_FAILED, CLASS_RETENTION}},
    {"expired, pow", COMMIT_INVALID, .row = {6, 6, ROW_EXPIRED, CLASS_POW}},
    {"no such class", COMMIT_INVALID, .row = {6, 6, ROW_FAILED, CLASS_COUNT}},
    {"no such end", COMMIT_INVALID, .row = {6, 6, ROW_END_COUNT, CLASS_POW}},
    {"a request that is not", COMMIT_INVALID, .taken = 1},
    {"a family that is none", COMMIT_INVALID, .family = FAMILY_COUNT},
    {"paths", COMMIT_DONE, .paths_len = PATHS_MAX},
    {"too many paths", COMMIT_INVALID, .paths_len = PATHS_MAX + 1},
    {"a route that is none", COMMIT_INVALID, .paths_len = 1, .path_route = ROUTE_COUNT},
};

static enum commit_status attempt(struct store_box *b, const struct attempt *a)
{
    struct exception x[4] = {{0}};
    struct path_stat paths[PATHS_MAX + 1] = {{0}};
    struct lane_commit c = box_next(b, 1, 6 + a->position);
    struct row r = box_row(b, a->row.from, a->row.end, a->row.cls);
    r.to = a->row.to;
    c.lane += a->lane;
    c.epoch += a->epoch;
    c.seq += a->seq;
    c.definition_version += a->version;
    for (size_t i = 0; i < a->exceptions_len; i++)
        x[i].pos = a->exceptions[i];
    c.exceptions = x;
    c.exceptions_len = a->exceptions_len;
    c.rows_added = &r;
    c.rows_added_len = a->row.to > 0;
    c.requests_taken = a->taken;
    c.learned.family = (enum family)a->family;
    for (size_t i = 0; i < a->paths_len; i++)
        paths[i].route = (enum route)a->path_route;
    c.paths = paths;
    c.paths_len = a->paths_len;
    struct lane_committed out;
    box_begin(b);
    assert_int_equal(store_lane_commit(b->s, &c, b->now_ms, &out), ERR_NONE);
    return out.status;
}

static void a_commit_is_judged_word_by_word_and_changes_nothing_when_refused(void **state)
{
    struct store_box *b = lane_at_six(state);
    for (size_t i = 0; i < COUNT_OF(attempts); i++) {
        enum commit_status got = attempt(b, &attempts[i]);
        if (got != attempts[i].status)
            fail_msg("%s: %d instead of %d", attempts[i].what, got, attempts[i].status);
        if (got != COMMIT_DONE) {
            struct lane_status s = box_status(b, 1);
            assert_int_equal(s.position, 6);
            assert_int_equal(s.retrying, 2);
            assert_int_equal(s.failed, 1);
            assert_int_equal(s.skipped + s.expired, 0);
        }
        store_abort(b->s);
    }
}

static void a_text_without_an_end_is_refused(void **state)
{
    struct store_box *b = lane_at_six(state);
    struct row r = box_row(b, 6, ROW_FAILED, CLASS_POW);
    memset(r.text, 'x', sizeof r.text);
    struct lane_commit c = box_next(b, 1, 6);
    c.rows_added = &r;
    c.rows_added_len = 1;
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_INVALID);
}

static void at_most_1024_exceptions_are_taken_and_come_back(void **state)
{
    struct store_box *b = *state;
    static struct exception x[QUEUE_EXCEPTIONS_MAX + 1];
    box_relays(b, 1);
    box_notes(b, 1, COUNT_OF(x));
    (void)box_grant(b, 1, 1);
    for (uint64_t i = 0; i < COUNT_OF(x); i++)
        x[i] = (struct exception){.pos = i + 1,
                                  .attempts = (uint32_t)i,
                                  .flags = (uint32_t)i % 4,
                                  .not_before_ms = b->now_ms + (int64_t)i};
    struct lane_commit c = box_next(b, 1, COUNT_OF(x));
    c.exceptions = x;
    c.exceptions_len = COUNT_OF(x);
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_INVALID);
    c.exceptions_len = QUEUE_EXCEPTIONS_MAX;
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
    box_reopen(b);
    struct lane_grant g = box_grant(b, 1, 2);
    assert_int_equal(g.exceptions_len, QUEUE_EXCEPTIONS_MAX);
    for (size_t i = 0; i < g.exceptions_len; i++) {
        assert_int_equal(g.exceptions[i].pos, x[i].pos);
        assert_int_equal(g.exceptions[i].attempts, x[i].attempts);
        assert_int_equal(g.exceptions[i].flags, x[i].flags);
        assert_int_equal(g.exceptions[i].not_before_ms, x[i].not_before_ms);
    }
    assert_int_equal(box_status(b, 1).depth, QUEUE_EXCEPTIONS_MAX);
}

static void statistics_add_up_and_survive(void **state)
{
    struct store_box *b = *state;
    box_relays(b, 1);
    (void)box_grant(b, 1, 1);
    const struct path_stat paths[] = {
        {ROUTE_TOR, FAMILY_IPV6, 3, 2, 1, 100, 200, 300, 5000, 4000},
        {ROUTE_TOR, FAMILY_IPV4, 1, 1, 0, 10, 20, 30, 6000, 0},
    };
    for (unsigned i = 0; i < 3; i++) {
        struct lane_commit c = box_next(b, 1, 0);
        c.paths = paths;
        c.paths_len = i == 1 ? 1 : 2;
        c.delivered = 7;
        c.learned = (struct learned){12, 34, FAMILY_IPV4, 2, 450, 99};
        assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
    }
    box_reopen(b);
    struct lane_status s = box_status(b, 1);
    assert_int_equal(s.delivered, 21);
    assert_int_equal(s.paths_len, 2);
    assert_int_equal(s.paths[0].attempts, 9);
    assert_int_equal(s.paths[0].successes, 6);
    assert_int_equal(s.paths[0].failures, 3);
    assert_int_equal(s.paths[0].connect_us, 300);
    assert_int_equal(s.paths[0].tls_us, 600);
    assert_int_equal(s.paths[0].websocket_us, 900);
    assert_int_equal(s.paths[0].last_success_ms, 5000);
    assert_int_equal(s.paths[0].last_failure_ms, 4000);
    assert_int_equal(s.paths[1].family, FAMILY_IPV4);
    assert_int_equal(s.paths[1].attempts, 2);
    assert_int_equal(s.learned.window, 12);
    assert_int_equal(s.learned.rate_per_1000s, 34);
    assert_int_equal(s.learned.family, FAMILY_IPV4);
    assert_int_equal(s.learned.ipv6_failures, 2);
    assert_int_equal(s.learned.demoted_until_ms, 99);
}

/* ---- rows and runs ---- */

static void a_row_replaces_the_one_before_and_is_counted_once(void **state)
{
    struct store_box *b = lane_at_six(state);
    const enum row_end ends[] = {ROW_SKIPPED, ROW_FAILED, ROW_FAILED, ROW_PURGED, ROW_EXPIRED};
    const enum row_class classes[] = {CLASS_DELETED, CLASS_POW, CLASS_MUTE, CLASS_MUTE,
                                      CLASS_LANE_MAX};
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        struct row r = box_row(b, 3, ends[i], classes[i]);
        struct lane_commit c = box_next(b, 1, 6);
        c.rows_added = &r;
        c.rows_added_len = 1;
        assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
        struct lane_status s = box_status(b, 1);
        assert_int_equal(s.skipped, ends[i] == ROW_SKIPPED);
        assert_int_equal(s.failed, ends[i] == ROW_FAILED);
        assert_int_equal(s.expired, ends[i] == ROW_EXPIRED);
        struct receipt_lane got = box_receipt(b, 3, 1);
        assert_int_equal(got.end, RECEIPT_ROW);
        assert_int_equal(got.row.end, ends[i]);
        assert_int_equal(got.row.cls, classes[i]);
        assert_string_equal(got.row.text, "the relay's words");
        assert_int_equal(got.row.family, FAMILY_IPV6);
    }
}

static void an_outage_is_one_run_however_long_it_lasts(void **state)
{
    struct store_box *b = *state;
    box_relays(b, 1);
    (void)box_grant(b, 1, 1);
    for (unsigned n = 1; n <= 50; n++) {
        (void)box_note(b, n);
        box_pass(b, 1000);
    }
    for (unsigned i = 0; i < 49; i++)
        box_pass(b, BOX_RETENTION_MS / 49 + 1);
    for (unsigned n = 30; n <= 40; n++) {
        struct receipt_lane got = box_receipt(b, n, 1);
        assert_int_equal(got.row.from, 1);
        assert_int_equal(got.row.to, 50);
        assert_int_equal(got.row.cls, CLASS_RETENTION);
    }
    assert_int_equal(box_status(b, 1).expired, 50);
}

/* Cuts a run in all ways and looks at what each position says. */
static void a_run_is_cut_where_something_else_is_known(void **state)
{
    struct store_box *b = *state;
    box_relays(b, 2);
    (void)box_grant(b, 1, 1);
    box_notes(b, 1, 20);
    box_deliver(b, 1, 3);
    box_pass(b, BOX_RETENTION_MS);
    assert_int_equal(box_status(b, 1).expired, 17);
    const struct row rows[] = {box_row(b, 4, ROW_FAILED, CLASS_POW),
                               box_row(b, 12, ROW_FAILED, CLASS_POW),
                               box_row(b, 20, ROW_FAILED, CLASS_POW)};
    const uint64_t removed[] = {11, 13, 14, 2};
    struct lane_commit c = box_next(b, 1, 20);
    c.floor = 20; /* the owner was told what the queue gave up */
    c.rows_added = rows;
    c.rows_added_len = COUNT_OF(rows);
    c.rows_removed = removed;
    c.rows_removed_len = COUNT_OF(removed);
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
    static const char want[] = " ...Fxxxxxx.F..xxxxxF"; /* delivered, failed, expired */
    for (unsigned n = 1; n <= 20; n++) {
        struct receipt_lane got = box_receipt(b, n, 1);
        char is = got.end == RECEIPT_DELIVERED                          ? '.'
                  : got.end == RECEIPT_ROW && got.row.end == ROW_FAILED ? 'F'
                                                                        : 'x';
        if (is != want[n])
            fail_msg("position %u is %c and not %c", n, is, want[n]);
        if (is == 'x')
            assert_true(got.row.from <= n && n <= got.row.to);
    }
    struct lane_status s = box_status(b, 1);
    assert_int_equal(s.expired, 11);
    assert_int_equal(s.failed, 3);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        BOX_TEST(a_commit_is_judged_word_by_word_and_changes_nothing_when_refused),
        BOX_TEST(a_text_without_an_end_is_refused),
        BOX_TEST(at_most_1024_exceptions_are_taken_and_come_back),
        BOX_TEST(statistics_add_up_and_survive),
        BOX_TEST(a_row_replaces_the_one_before_and_is_counted_once),
        BOX_TEST(an_outage_is_one_run_however_long_it_lasts),
        BOX_TEST(a_run_is_cut_where_something_else_is_known),
    };
    return cmocka_run_group_tests_name("the store's commits", tests, NULL, NULL);
}
