/* The contract's promises about commits: what is refused, what is kept, and what receipts and depth
 * say of it. */
#include "tests/support/contract.h"

#include <stdlib.h>
#include <string.h>

/* A queue with `notes` notes and one lane, held by `h`. */
static struct rig *one_lane(void **state, struct holder *h, unsigned notes)
{
    struct rig *r = *state;
    define_relays(r, 1);
    append_notes(r, notes);
    holder_init(h, 0);
    holder_lease(r, h, NULL);
    return r;
}

/* ---- what is refused ---- */

static void a_stale_epoch_is_refused(void **state)
{
    struct holder h, heir;
    struct rig *r = one_lane(state, &h, 5);
    deliver(r, &h, 1, 1);
    struct lane_commit late = holder_next(&h, 1, 3);
    rig_pass(r, LEASE_TERM_MS);
    holder_init(&heir, 1);
    holder_lease(r, &heir, NULL);
    assert_int_equal(holder_commit(r, &h, &late).status, COMMIT_STALE);
    assert_int_equal(status(r, 1).position, 1);
    deliver(r, &heir, 1, 2);
    assert_int_equal(holder_commit(r, &h, &late).status, COMMIT_STALE);
    struct lane_commit unknown = holder_next(&heir, 1, 3);
    unknown.lane = 99;
    assert_int_equal(holder_commit(r, &heir, &unknown).status, COMMIT_STALE);
    unknown.lane = 1;
    unknown.epoch += 1;
    assert_int_equal(holder_commit(r, &heir, &unknown).status, COMMIT_STALE);
    assert_int_equal(status(r, 1).position, 2);
}

static void only_the_epoch_judges_a_commit_not_the_term(void **state)
{
    struct holder h;
    struct rig *r = one_lane(state, &h, 5);
    rig_pass(r, 3 * LEASE_TERM_MS);
    deliver(r, &h, 1, 2); /* nobody took it over meanwhile */
    assert_int_equal(status(r, 1).position, 2);
}

static void a_bad_commit_is_refused_and_changes_nothing(void **state)
{
    struct holder h;
    struct rig *r = one_lane(state, &h, 10);
    deliver(r, &h, 1, 5);
    const struct lane_commit good = holder_next(&h, 1, 7);
    const struct exception twice[] = {{.pos = 6}, {.pos = 6}}, falling[] = {{.pos = 7}, {.pos = 6}},
                           beyond[] = {{.pos = 8}}, settled[] = {{.pos = 4}};
    const struct row run = {.from = 6, .to = 7, .end = ROW_FAILED, .cls = CLASS_POW};
    const struct row ahead = row_at(8, ROW_FAILED, CLASS_POW);
    struct {
        const char *what;
        struct lane_commit c;
    } bad[] = {
        {"a falling position", good},          {"a position beyond the head", good},
        {"a gap in the sequence", good},       {"sequence number 0", good},
        {"an exception twice", good},          {"exceptions out of order", good},
        {"an exception above it", good},       {"an exception that was settled", good},
        {"a definition nobody made", good},    {"a request nobody made", good},
        {"a run of rows by the holder", good}, {"a row above the position", good},
    };
    bad[0].c.position = 4;
    bad[1].c.position = 11;
    bad[2].c.seq++;
    bad[3].c.seq = 0;
    bad[4].c.exceptions = twice;
    bad[5].c.exceptions = falling;
    bad[4].c.exceptions_len = bad[5].c.exceptions_len = 2;
    bad[6].c.exceptions = beyond;
    bad[7].c.exceptions = settled;
    bad[6].c.exceptions_len = bad[7].c.exceptions_len = 1;
    bad[8].c.definition_version = 7;
    bad[9].c.requests_taken = 1;
    bad[10].c.rows_added = &run;
    bad[11].c.rows_added = &ahead;
    bad[10].c.rows_added_len = bad[11].c.rows_added_len = 1;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        bad[i].c.delivered = 1;
        if (holder_commit(r, &h, &bad[i].c).status != COMMIT_INVALID)
            fail_msg("%s was not refused", bad[i].what);
        struct lane_status now = status(r, 1);
        assert_int_equal(now.position, 5);
        assert_int_equal(now.depth, 5);
        assert_int_equal(now.failed, 0);
        assert_int_equal(now.delivered, 0);
    }
    assert_int_equal(holder_commit(r, &h, &good).status, COMMIT_DONE);
}

static void a_commit_repeated_after_a_lost_answer_is_harmless(void **state)
{
    struct holder h;
    struct rig *r = one_lane(state, &h, 5);
    const struct path_stat path = {
        .route = ROUTE_TOR, .family = FAMILY_IPV6, .attempts = 2, .successes = 1, .failures = 1};
    struct row failed = row_at(2, ROW_FAILED, CLASS_MUTE);
    struct lane_commit c = holder_next(&h, 1, 3);
    c.rows_added = &failed;
    c.rows_added_len = 1;
    c.paths = &path;
    c.paths_len = 1;
    c.delivered = 2;
    assert_int_equal(holder_commit(r, &h, &c).status, COMMIT_DONE);
    for (unsigned i = 0; i < 3; i++) {
        if (i == 1)
            rig_restart(r);
        if (i == 2)
            deliver(r, &h, 1, 4);
        struct lane_committed again = holder_commit(r, &h, &c);
        assert_int_equal(again.status, COMMIT_REPEATED);
        assert_int_equal(again.position, i == 2 ? 4 : 3);
    }
    struct answer a;
    ask_depth(&r->loop, r->q, &a);
    assert_int_equal(a.depth.lanes[0].delivered, 2);
    assert_int_equal(a.depth.lanes[0].failed, 1);
    assert_int_equal(a.depth.lanes[0].paths_len, 1);
    assert_int_equal(a.depth.lanes[0].paths[0].attempts, 2);
    answer_free(&a);
}

static void lanes_of_one_call_are_judged_each_by_itself_and_answered_in_order(void **state)
{
    struct rig *r = *state;
    struct holder h;
    struct answer a;
    define_relays(r, 4);
    append_notes(r, 3);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    struct lane_commit c[4] = {holder_next(&h, 4, 1), holder_next(&h, 2, 2), holder_next(&h, 3, 4),
                               holder_next(&h, 1, 3)};
    c[1].epoch += 5;
    ask_commit(&r->loop, r->q, c, 4, &a);
    static const uint32_t lanes[] = {4, 2, 3, 1};
    static const enum commit_status statuses[] = {COMMIT_DONE, COMMIT_STALE, COMMIT_INVALID,
                                                  COMMIT_DONE};
    assert_int_equal(a.committed_len, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(a.committed[i].lane, lanes[i]);
        assert_int_equal(a.committed[i].status, statuses[i]);
    }
    assert_int_equal(a.committed[0].position, 1);
    assert_int_equal(a.committed[3].position, 3);
    answer_free(&a);
}

static void a_lane_has_at_most_1024_exceptions(void **state)
{
    enum { ALL = QUEUE_EXCEPTIONS_MAX + 1 };
    struct holder h;
    struct rig *r = *state;
    define_relays(r, 1);
    append_notes(r, ALL);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    struct exception *list = mem_zero(ALL, sizeof *list);
    for (unsigned i = 0; i < ALL; i++)
        list[i] = (struct exception){.pos = i + 1, .attempts = i};
    struct lane_commit c = holder_next(&h, 1, ALL);
    c.exceptions = list;
    c.exceptions_len = ALL;
    struct answer a; /* refused by the lane, or on the way there */
    ask_commit(&r->loop, r->q, &c, 1, &a);
    assert_true(a.e == ERR_INVALID || (a.e == ERR_NONE && a.committed[0].status == COMMIT_INVALID));
    answer_free(&a);
    assert_int_equal(status(r, 1).position, 0);
    c.exceptions_len = ALL - 1;
    c.position = ALL - 1;
    assert_int_equal(holder_commit(r, &h, &c).status, COMMIT_DONE);
    assert_int_equal(status(r, 1).depth, ALL);
    free(list);
}

/* ---- what is kept ---- */

static void exceptions_pass_to_the_next_holder_as_they_were(void **state)
{
    static const struct exception list[] = {
        {.pos = 2, .attempts = 3, .flags = EXCEPTION_SENT, .not_before_ms = RIG_WALL_MS + 5},
        {.pos = 4, .attempts = 0, .flags = EXCEPTION_SUSPECT | EXCEPTION_SENT},
    };
    struct holder h, heir;
    struct answer a;
    struct rig *r = one_lane(state, &h, 6);
    struct lane_commit c = holder_next(&h, 1, 5);
    c.exceptions = list;
    c.exceptions_len = COUNT_OF(list);
    c.learned = (struct learned){.window = 64,
                                 .rate_per_1000s = 5000,
                                 .family = FAMILY_IPV4,
                                 .ipv6_failures = 2,
                                 .demoted_until_ms = RIG_WALL_MS + 9};
    assert_int_equal(holder_commit(r, &h, &c).status, COMMIT_DONE);
    rig_restart(r);
    rig_pass(r, LEASE_TERM_MS);
    holder_init(&heir, 1);
    holder_lease(r, &heir, &a);
    assert_int_equal(a.lease.grants_len, 1);
    const struct lane_grant *g = &a.lease.grants[0];
    assert_int_equal(g->start, 0);
    assert_int_equal(g->position, 5);
    assert_int_equal(g->exceptions_len, COUNT_OF(list));
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        assert_int_equal(g->exceptions[i].pos, list[i].pos);
        assert_int_equal(g->exceptions[i].attempts, list[i].attempts);
        assert_int_equal(g->exceptions[i].flags, list[i].flags);
        assert_int_equal(g->exceptions[i].not_before_ms, list[i].not_before_ms);
    }
    assert_int_equal(g->learned.window, 64);
    assert_int_equal(g->learned.rate_per_1000s, 5000);
    assert_int_equal(g->learned.family, FAMILY_IPV4);
    assert_int_equal(g->learned.ipv6_failures, 2);
    assert_int_equal(g->learned.demoted_until_ms, RIG_WALL_MS + 9);
    answer_free(&a);
}

static void holders_without_progress_are_counted(void **state)
{
    struct rig *r = *state;
    struct answer a;
    struct holder h;
    define_relays(r, 1);
    append_notes(r, 3);
    for (uint32_t i = 0; i < 3; i++) {
        holder_init(&h, i);
        holder_lease(r, &h, &a);
        assert_int_equal(a.lease.grants_len, 1);
        assert_int_equal(a.lease.grants[0].stalls, i);
        answer_free(&a);
        rig_pass(r, LEASE_TERM_MS);
    }
    deliver(r, &h, 1, 1); /* progress */
    holder_init(&h, 9);
    holder_lease(r, &h, &a);
    assert_int_equal(a.lease.grants[0].stalls, 0);
    answer_free(&a);
}

static void path_statistics_add_up(void **state)
{
    struct holder h;
    struct rig *r = one_lane(state, &h, 3);
    for (unsigned i = 1; i <= 3; i++) {
        const struct path_stat paths[] = {
            {.route = ROUTE_TOR,
             .family = FAMILY_IPV6,
             .attempts = 3,
             .successes = 2,
             .failures = 1,
             .connect_us = 10,
             .tls_us = 20,
             .websocket_us = 30,
             .last_success_ms = 100 + (int64_t)i,
             .last_failure_ms = i == 1 ? 50 : 0},
            {.route = ROUTE_TOR, .family = FAMILY_IPV4, .attempts = 1, .failures = 1},
        };
        struct lane_commit c = holder_next(&h, 1, i);
        c.paths = paths;
        c.paths_len = i == 3 ? 2 : 1;
        assert_int_equal(holder_commit(r, &h, &c).status, COMMIT_DONE);
    }
    struct answer a;
    ask_depth(&r->loop, r->q, &a);
    assert_int_equal(a.depth.lanes[0].paths_len, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct path_stat *p = &a.depth.lanes[0].paths[i];
        bool six = p->family == FAMILY_IPV6;
        assert_int_equal(p->attempts, six ? 9 : 1);
        assert_int_equal(p->successes, six ? 6 : 0);
        assert_int_equal(p->failures, six ? 3 : 1);
        assert_int_equal(p->connect_us, six ? 30 : 0);
        assert_int_equal(p->tls_us, six ? 60 : 0);
        assert_int_equal(p->websocket_us, six ? 90 : 0);
        assert_int_equal(p->last_success_ms, six ? 103 : 0);
        assert_int_equal(p->last_failure_ms, six ? 50 : 0);
    }
    answer_free(&a);
}

static void depth_counts_what_is_not_settled(void **state)
{
    static const struct exception list[] = {{.pos = 2, .attempts = 1}, {.pos = 5, .attempts = 1}};
    struct holder h;
    struct rig *r = one_lane(state, &h, 4);
    rig_pass(r, 1000);
    for (unsigned n = 5; n <= 9; n++)
        (void)append_note(r, n);
    assert_int_equal(status(r, 1).depth, 9);
    assert_int_equal(status(r, 1).oldest_ms, RIG_WALL_MS);
    const struct row rows[] = {row_at(1, ROW_SKIPPED, CLASS_SUPERSEDED),
                               row_at(3, ROW_FAILED, CLASS_POW), row_at(4, ROW_FAILED, CLASS_AUTH)};
    struct lane_commit c = holder_next(&h, 1, 7);
    c.exceptions = list;
    c.exceptions_len = 2;
    c.rows_added = rows;
    c.rows_added_len = 3;
    c.delivered = 2;
    assert_int_equal(holder_commit(r, &h, &c).status, COMMIT_DONE);
    struct lane_status now = status(r, 1);
    assert_int_equal(now.depth, 4);
    assert_int_equal(now.retrying, 2);
    assert_int_equal(now.failed, 2);
    assert_int_equal(now.skipped, 1);
    assert_int_equal(now.expired, 0);
    assert_int_equal(now.delivered, 2);
    assert_int_equal(now.oldest_ms, RIG_WALL_MS);
    c = holder_next(&h, 1, 7);
    assert_int_equal(holder_commit(r, &h, &c).status, COMMIT_DONE);
    assert_int_equal(status(r, 1).depth, 2);
    assert_int_equal(status(r, 1).oldest_ms, RIG_WALL_MS + 1000);
    deliver(r, &h, 1, 9);
    assert_int_equal(status(r, 1).depth, 0);
    assert_int_equal(status(r, 1).oldest_ms, 0);
}

/* ---- receipts ---- */

static void a_receipt_knows_every_end(void **state)
{
    struct rig *r = *state;
    struct holder h;
    struct answer a;
    struct definition d = relay(0);
    d.except_kinds[d.except_kinds_len++] = 7;
    (void)define(r, &d, 1);
    struct definition two[2] = {d, relay(1)};
    (void)define(r, two, 2);
    append_notes(r, 4);
    struct event *reaction = make_event(0, 1700000000, 7, "[]", "+");
    uint8_t filtered[EVENT_ID_LEN];
    memcpy(filtered, reaction->id, sizeof filtered);
    assert_int_equal(append(r, reaction).pos, 5);
    (void)append_note(r, 6);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    const struct exception waits = {
        .pos = 4, .attempts = 2, .flags = EXCEPTION_SENT, .not_before_ms = RIG_WALL_MS + 77};
    struct row rows[] = {row_at(2, ROW_SKIPPED, CLASS_OUTDATED),
                         row_at(3, ROW_FAILED, CLASS_BLOCKED)};
    rows[1].attempts = 4;
    rows[1].first_ms = RIG_WALL_MS - 9;
    rows[1].family = FAMILY_ONION;
    struct lane_commit c = holder_next(&h, 1, 5);
    c.exceptions = &waits;
    c.exceptions_len = 1;
    c.rows_added = rows;
    c.rows_added_len = 2;
    assert_int_equal(holder_commit(r, &h, &c).status, COMMIT_DONE);

    assert_int_equal(receipt_end(r, 1, 1), RECEIPT_DELIVERED);
    assert_int_equal(receipt(r, 2, 1).row.cls, CLASS_OUTDATED);
    struct receipt_lane failed = receipt(r, 3, 1);
    assert_int_equal(failed.end, RECEIPT_ROW);
    assert_int_equal(failed.row.from, 3);
    assert_int_equal(failed.row.to, 3);
    assert_int_equal(failed.row.end, ROW_FAILED);
    assert_int_equal(failed.row.cls, CLASS_BLOCKED);
    assert_int_equal(failed.row.attempts, 4);
    assert_int_equal(failed.row.first_ms, RIG_WALL_MS - 9);
    assert_int_equal(failed.row.last_ms, RIG_WALL_MS);
    assert_int_equal(failed.row.family, FAMILY_ONION);
    assert_string_equal(failed.row.text, "the relay's words");
    struct receipt_lane retrying = receipt(r, 4, 1);
    assert_int_equal(retrying.end, RECEIPT_RETRYING);
    assert_int_equal(retrying.exception.attempts, 2);
    assert_int_equal(retrying.exception.not_before_ms, RIG_WALL_MS + 77);
    assert_int_equal(receipt_id(r, filtered, 1).end, RECEIPT_FILTERED);
    assert_int_equal(receipt_end(r, 6, 1), RECEIPT_QUEUED);
    ask_receipt(&r->loop, r->q, filtered, &a);
    assert_int_equal(a.receipt.pos, 5);
    assert_int_equal(a.receipt.kind, 7);
    assert_int_equal(a.receipt.accepted_ms, RIG_WALL_MS);
    assert_memory_equal(a.receipt.id, filtered, sizeof filtered);
    assert_int_equal(a.receipt.lanes_len, 2);
    assert_string_equal(a.receipt.lanes[1].url, "wss://relay1.example");
    assert_string_equal(a.receipt.lanes[1].name, "relay1");
    answer_free(&a);
    assert_false(receipt_known(r, 77));
}

static void a_row_is_replaced_or_removed_by_a_later_commit(void **state)
{
    struct holder h;
    struct rig *r = one_lane(state, &h, 3);
    fail_at(r, &h, 1, 1, CLASS_TIMEOUT);
    struct row other = row_at(1, ROW_FAILED, CLASS_POW);
    struct lane_commit c = holder_next(&h, 1, 2);
    c.rows_added = &other;
    c.rows_added_len = 1;
    assert_int_equal(holder_commit(r, &h, &c).status, COMMIT_DONE);
    assert_int_equal(receipt(r, 1, 1).row.cls, CLASS_POW);
    assert_int_equal(status(r, 1).failed, 1);
    const uint64_t removed[] = {1, 2}; /* there is none at 2: nothing to remove */
    c = holder_next(&h, 1, 2);
    c.rows_removed = removed;
    c.rows_removed_len = 2;
    assert_int_equal(holder_commit(r, &h, &c).status, COMMIT_DONE);
    assert_int_equal(receipt_end(r, 1, 1), RECEIPT_DELIVERED);
    assert_int_equal(status(r, 1).failed, 0);
}

static void a_version_delivered_before_the_newer_came_stays_delivered(void **state)
{
    struct rig *r = *state;
    struct holder h;
    struct answer a;
    struct definition d = relay(0);
    (void)define(r, &d, 1);
    struct event *old = make_event(0, 1700000100, 0, "[]", "old");
    uint8_t id[EVENT_ID_LEN];
    memcpy(id, old->id, sizeof id);
    (void)append(r, old);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    deliver(r, &h, 1, 1);
    (void)append(r, make_event(0, 1700000200, 0, "[]", "new"));
    assert_int_equal(receipt_id(r, id, 1).end, RECEIPT_DELIVERED);
    d.except_kinds[d.except_kinds_len++] = 0;
    (void)define(r, &d, 1);
    holder_lease(r, &h, &a);
    struct lane_commit c = holder_next(&h, 1, 2);
    c.definition_version = a.lease.kept[0].next_version;
    answer_free(&a);
    assert_int_equal(holder_commit(r, &h, &c).status, COMMIT_DONE);
    assert_int_equal(receipt_id(r, id, 1).end, RECEIPT_DELIVERED);
    rig_restart(r);
    assert_int_equal(receipt_id(r, id, 1).end, RECEIPT_DELIVERED);
}

int main(void)
{
    static const struct CMUnitTest cases[] = {
        CASE(a_stale_epoch_is_refused),
        CASE(only_the_epoch_judges_a_commit_not_the_term),
        CASE(a_bad_commit_is_refused_and_changes_nothing),
        CASE(a_commit_repeated_after_a_lost_answer_is_harmless),
        CASE(lanes_of_one_call_are_judged_each_by_itself_and_answered_in_order),
        CASE(a_lane_has_at_most_1024_exceptions),
        CASE(exceptions_pass_to_the_next_holder_as_they_were),
        CASE(holders_without_progress_are_counted),
        CASE(path_statistics_add_up),
        CASE(depth_counts_what_is_not_settled),
        CASE(a_receipt_knows_every_end),
        CASE(a_row_is_replaced_or_removed_by_a_later_commit),
        CASE(a_version_delivered_before_the_newer_came_stays_delivered),
    };
    return contract_run("commits", cases, COUNT_OF(cases));
}
