/* The contract's promises about failed deliveries: which rows a filter means, in pages, counted,
 * purged; and what a receipt still tells of earlier failures. */
#include "tests/support/contract.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIT(cls) (1u << (cls))

/* ---- filters ---- */

/* On lane 1, by position: event's author and kind, and how it ended there. On lane 2 notes 1 and 2
 * failed, and the rest was given up by the operator. */
static const struct {
    unsigned author;
    uint32_t kind;
    enum row_end end;
    enum row_class cls;
    uint32_t attempts;
    int64_t age_ms; /* of the last attempt, when the filter is applied */
    const char *text;
} ends[] = {
    {0, 1, ROW_FAILED, CLASS_BLOCKED, 1, 60000, "blocked: Not On The List"},
    {1, 1, ROW_FAILED, CLASS_BLOCKED, 3, 50000, "blocked: spam"},
    {0, 7, ROW_FAILED, CLASS_POW, 20, 40000, "pow: 24 bits needed"},
    {1, 7, ROW_SKIPPED, CLASS_SUPERSEDED, 1, 30000, "blocked: spam"},
    {0, 1, ROW_PURGED, CLASS_BLOCKED, 1, 30000, "blocked: spam"},
    {0, 1, ROW_EXPIRED, CLASS_RETENTION, 5, 20000, "gave up"},
    {2, 0, ROW_FAILED, CLASS_TIMEOUT, 2, 10000, ""},
};

static struct event *made[COUNT_OF(ends)];

static int free_made(void **state)
{
    for (size_t i = 0; i < COUNT_OF(made); i++) {
        event_unref(made[i]);
        made[i] = NULL;
    }
    return contract_teardown(state);
}

static struct rig *with_all_ends(void **state)
{
    struct rig *r = *state;
    struct holder h;
    struct row rows[COUNT_OF(ends)];
    define_relays(r, 2);
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "event %zu", i);
        made[i] = make_event(ends[i].author, 1700000000, ends[i].kind, "[]", text);
        assert_int_equal(append(r, event_ref(made[i])).pos, i + 1);
        rows[i] = row_at(i + 1, ends[i].end, ends[i].cls);
        rows[i].attempts = ends[i].attempts;
        rows[i].last_ms = r->wall_ms - ends[i].age_ms;
        memset(rows[i].text, 0, sizeof rows[i].text);
        (void)snprintf(rows[i].text, sizeof rows[i].text, "%s", ends[i].text);
    }
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    struct lane_commit c = holder_next(&h, 1, COUNT_OF(ends));
    c.rows_added = rows;
    c.rows_added_len = COUNT_OF(ends);
    assert_int_equal(holder_commit(r, &h, &c).status, COMMIT_DONE);
    fail_range(r, &h, 2, 1, 2, CLASS_AUTH);
    assert_int_equal(hold(r, 1, false, true).given_up, COUNT_OF(ends) - 2);
    return r;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* "1:3 2:1 " for position 3 of lane 1 and position 1 of lane 2, in this order. */
static void list(struct rig *r, const struct row_filter *f, uint32_t limit, char out[512])
{
    struct answer a;
    char each[64][8] = {0};
    struct failed_call c = {.what = FAILED_LIST, .filter = *f, .limit = limit};
    ask_failed_all(&r->loop, r->q, &c, &a);
    assert_int_equal(a.e, ERR_NONE);
    assert_true(a.failed.rows_len < COUNT_OF(each));
    for (size_t i = 0; i < a.failed.rows_len; i++) {
        const struct failed_row *row = &a.failed.rows[i];
        assert_int_equal(row->row.from, row->row.to);
        (void)snprintf(each[i], sizeof each[i], "%u:%u ", row->lane, (unsigned)row->row.from);
    }
    qsort(each, a.failed.rows_len, sizeof each[0], by_text);
    out[0] = '\0';
    for (size_t i = 0; i < a.failed.rows_len; i++)
        strncat(out, each[i], 512 - strlen(out) - 1);
    answer_free(&a);
}

static void a_filter_means_what_it_says(void **state)
{
    static const struct {
        const char *name;
        struct row_filter f;
        const char *means;
    } filters[] = {
        {"nothing: all that failed", {.classes = 0}, "1:1 1:2 1:3 1:7 2:1 2:2 "},
        {"a relay", {.url = "wss://relay1.example"}, "2:1 2:2 "},
        {"a relay that is not there", {.url = "wss://other.example"}, ""},
        {"a class", {.classes = BIT(CLASS_BLOCKED)}, "1:1 1:2 "},
        {"two classes", {.classes = BIT(CLASS_POW) | BIT(CLASS_AUTH)}, "1:3 2:1 2:2 "},
        {"expired by retention", {.classes = BIT(CLASS_RETENTION)}, "1:6 "},
        {"expired in a run", {.classes = BIT(CLASS_RELEASED)}, "2:3 2:4 2:5 2:6 2:7 "},
        {"failed and expired ones",
         {.classes = BIT(CLASS_TIMEOUT) | BIT(CLASS_RETENTION)},
         "1:6 1:7 "},
        {"skipped ones are never meant", {.classes = BIT(CLASS_SUPERSEDED)}, ""},
        {"words, in either case", {.reason = "NOT on"}, "1:1 "},
        {"words at the end", {.reason = "needed"}, "1:3 "},
        {"words nobody said", {.reason = "needed!"}, ""},
        {"a kind", {.has_kind = true, .kind = 7}, "1:3 "},
        {"kind 0 is a kind", {.has_kind = true, .kind = 0}, "1:7 "},
        {"so many attempts", {.min_attempts = 3}, "1:2 1:3 "},
        {"older", {.older_than_ms = 40000}, "1:1 1:2 "},
        {"newer", {.newer_than_ms = 40001}, "1:3 1:7 2:1 2:2 "},
        {"between", {.older_than_ms = 30000, .newer_than_ms = 60000}, "1:2 1:3 "},
        {"all together",
         {.url = "wss://relay0.example",
          .classes = BIT(CLASS_BLOCKED),
          .reason = "spam",
          .has_kind = true,
          .kind = 1,
          .min_attempts = 2},
         "1:2 "},
        {"a run by its kind",
         {.classes = BIT(CLASS_RELEASED), .has_kind = true, .kind = 7},
         "2:3 2:4 "},
    };
    struct rig *r = with_all_ends(state);
    for (size_t i = 0; i < COUNT_OF(filters); i++) {
        char got[512];
        for (uint32_t limit = 1; limit < 4; limit++) {
            list(r, &filters[i].f, limit, got);
            if (strcmp(got, filters[i].means) != 0)
                fail_msg("%s: \"%s\" instead of \"%s\" (pages of %u)", filters[i].name, got,
                         filters[i].means, limit);
        }
        uint64_t positions = 0;
        for (const char *p = filters[i].means; *p; p++)
            positions += *p == ' ';
        assert_int_equal(sum_of(r, FAILED_COUNT, &filters[i].f).count, positions);
    }
}

static void a_filter_names_authors_and_ids(void **state)
{
    struct rig *r = with_all_ends(state);
    char got[512];
    struct row_filter f = {.has_author = true};
    test_pubkey(1, f.author);
    list(r, &f, 100, got);
    assert_string_equal(got, "1:2 2:2 ");
    f.classes = BIT(CLASS_RELEASED);
    list(r, &f, 100, got);
    assert_string_equal(got, "2:4 ");

    uint8_t ids[4][EVENT_ID_LEN] = {{0}};
    memcpy(ids[0], made[6]->id, sizeof ids[0]);
    memcpy(ids[1], made[1]->id, sizeof ids[1]);
    memcpy(ids[2], made[1]->id, sizeof ids[2]); /* twice, and one that nobody knows */
    f = (struct row_filter){.ids = ids, .ids_len = 4};
    list(r, &f, 100, got);
    assert_string_equal(got, "1:2 1:7 2:2 ");
    list(r, &f, 1, got);
    assert_string_equal(got, "1:2 1:7 2:2 ");
    f.classes = BIT(CLASS_RELEASED);
    list(r, &f, 1, got);
    assert_string_equal(got, "2:7 ");
    f.ids_len = 0; /* none of none */
    list(r, &f, 1, got);
    assert_string_equal(got, "");
}

static void a_row_is_listed_with_all_that_is_known(void **state)
{
    struct rig *r = with_all_ends(state);
    struct answer a;
    struct failed_call c = {.what = FAILED_LIST, .limit = 10};
    c.filter = (struct row_filter){.min_attempts = 20};
    ask_failed(&r->loop, r->q, &c, &a);
    assert_int_equal(a.failed.rows_len, 1);
    assert_int_equal(a.failed.groups_len, 0);
    const struct failed_row *row = &a.failed.rows[0];
    uint8_t author[32];
    test_pubkey(0, author);
    assert_memory_equal(row->id, made[2]->id, EVENT_ID_LEN);
    assert_memory_equal(row->author, author, sizeof author);
    assert_int_equal(row->kind, 7);
    assert_int_equal(row->accepted_ms, RIG_WALL_MS);
    assert_int_equal(row->row.cls, CLASS_POW);
    assert_int_equal(row->row.last_ms, RIG_WALL_MS - 40000);
    assert_int_equal(row->row.family, FAMILY_IPV6);
    assert_string_equal(row->row.text, "pow: 24 bits needed");
    assert_true(row->replayable);
    assert_int_equal(row->job, 0);
    answer_free(&a);
}

static void counts_are_by_lane_and_class(void **state)
{
    struct rig *r = with_all_ends(state);
    struct answer a;
    struct failed_call c = {.what = FAILED_COUNT};
    static const struct failed_group groups[] = {{1, CLASS_BLOCKED, 2, 0, 0},
                                                 {1, CLASS_POW, 1, 0, 0},
                                                 {1, CLASS_TIMEOUT, 1, 0, 0},
                                                 {2, CLASS_AUTH, 2, 0, 0}};
    ask_failed_all(&r->loop, r->q, &c, &a);
    assert_int_equal(a.failed.rows_len, 0);
    assert_int_equal(a.failed.groups_len, COUNT_OF(groups));
    for (size_t i = 0; i < COUNT_OF(groups); i++) {
        assert_int_equal(a.failed.groups[i].lane, groups[i].lane);
        assert_int_equal(a.failed.groups[i].cls, groups[i].cls);
        assert_int_equal(a.failed.groups[i].count, groups[i].count);
        assert_int_equal(a.failed.groups[i].gone, 0);
        assert_int_equal(a.failed.groups[i].busy, 0);
    }
    answer_free(&a);
}

/* ---- what can be replayed ---- */

static void expired_ones_can_be_replayed_while_the_log_has_them(void **state)
{
    const struct row_filter released = {.classes = BIT(CLASS_RELEASED)};
    struct rig *r = *state;
    struct holder h;
    define_relays(r, 2);
    append_notes(r, 4);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    deliver(r, &h, 1, 2);
    assert_int_equal(hold(r, 1, false, true).given_up, 4);
    rig_housekeep(r); /* lane 1 needs 3 and 4 only */
    assert_int_equal(sum_of(r, FAILED_COUNT, &released).count, 4);
    assert_int_equal(sum_of(r, FAILED_COUNT, &released).gone, 2);
    fail_range(r, &h, 1, 3, 3, CLASS_BLOCKED);
    deliver(r, &h, 1, 4);
    rig_housekeep(r); /* and the bytes of 3 are kept as lane 1 failed it */
    assert_int_equal(sum_of(r, FAILED_COUNT, &released).gone, 3);
    assert_int_equal(sum_of(r, FAILED_COUNT, NULL).gone, 0);
}

static void what_a_retired_lane_failed_is_listed_and_cannot_be_replayed(void **state)
{
    struct rig *r = *state;
    struct holder h;
    struct answer a;
    const struct definition left = relay(1);
    define_relays(r, 2);
    append_notes(r, 3);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    fail_range(r, &h, 1, 1, 2, CLASS_MUTE);
    (void)define(r, &left, 1);
    struct failed_call c = {.what = FAILED_LIST, .limit = 10};
    struct definition old = relay(0);
    memcpy(c.filter.url, old.url, sizeof c.filter.url);
    ask_failed(&r->loop, r->q, &c, &a);
    assert_int_equal(a.failed.rows_len, 2);
    assert_false(a.failed.rows[0].replayable);
    answer_free(&a);
    assert_int_equal(sum_of(r, FAILED_COUNT, NULL).gone, 2);
    const struct row_filter retired = {.classes = BIT(CLASS_RETIRED)};
    assert_int_equal(sum_of(r, FAILED_COUNT, &retired).count, 1);
}

/* ---- purge ---- */

static void purged_ones_are_forgotten_and_their_receipts_true(void **state)
{
    const struct row_filter spam = {.reason = "spam"};
    struct rig *r = with_all_ends(state);
    assert_int_equal(sum_of(r, FAILED_PURGE, &spam).count, 1);
    assert_int_equal(sum_of(r, FAILED_PURGE, &spam).count, 0);
    assert_int_equal(sum_of(r, FAILED_COUNT, NULL).count, 5);
    assert_int_equal(status(r, 1).failed, 3);
    struct receipt_lane got = receipt_id(r, made[1]->id, 1);
    assert_int_equal(got.end, RECEIPT_ROW);
    assert_int_equal(got.row.end, ROW_PURGED);
    assert_int_equal(got.row.cls, CLASS_BLOCKED);
    assert_int_equal(got.row.attempts, 3);
    assert_int_equal(got.row.last_ms, RIG_WALL_MS - 50000);
    assert_string_equal(got.row.text, "blocked: spam");
    rig_restart(r);
    assert_int_equal(receipt_id(r, made[1]->id, 1).row.end, ROW_PURGED);
}

static void positions_of_a_run_are_purged_by_themselves(void **state)
{
    const struct row_filter some = {.classes = BIT(CLASS_RELEASED), .has_kind = true, .kind = 1};
    const struct row_filter all = {.classes = BIT(CLASS_RELEASED)};
    struct rig *r = with_all_ends(state);
    assert_int_equal(sum_of(r, FAILED_PURGE, &some).count, 2); /* 5 and 6 of 3 … 7 */
    assert_int_equal(status(r, 2).expired, 3);
    for (uint64_t pos = 3; pos <= 7; pos++) {
        struct row row = receipt_id(r, made[pos - 1]->id, 2).row;
        assert_int_equal(row.end, pos == 5 || pos == 6 ? ROW_PURGED : ROW_EXPIRED);
        assert_int_equal(row.cls, CLASS_RELEASED);
        assert_true(row.from <= pos && pos <= row.to);
    }
    assert_int_equal(sum_of(r, FAILED_PURGE, &all).count, 3);
    assert_int_equal(status(r, 2).expired, 0);
    assert_int_equal(receipt_id(r, made[2]->id, 2).row.end, ROW_PURGED);
    assert_int_equal(receipt_id(r, made[1]->id, 2).row.end, ROW_FAILED);
}

static void purged_ones_hold_no_bytes_and_go_with_their_time(void **state)
{
    struct rig *r = *state;
    struct holder h;
    define_relays(r, 1);
    append_notes(r, 2);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    fail_range(r, &h, 1, 1, 2, CLASS_BLOCKED);
    rig_housekeep(r);
    assert_int_equal(look(r, 1).gone, GONE_NO);
    assert_int_equal(sum_of(r, FAILED_PURGE, NULL).count, 2);
    rig_housekeep(r);
    assert_int_equal(look(r, 1).gone, GONE_TRIMMED);
    assert_true(again(r, 2).duplicate);
    rig_pass(r, RIG_RETENTION_MS);
    assert_false(receipt_known(r, 1));
}

static void who_sends_a_purged_event_again_means_it(void **state)
{
    struct rig *r = *state;
    struct holder h;
    define_relays(r, 1);
    append_notes(r, 1);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    fail_at(r, &h, 1, 1, CLASS_BLOCKED);
    assert_int_equal(sum_of(r, FAILED_PURGE, NULL).count, 1);
    rig_housekeep(r);
    assert_int_equal(again(r, 1).requeued, 1);
    assert_int_equal(status(r, 1).asked, 1);
    assert_int_equal(deliver_asked(r, &h, 1), 1);
    assert_int_equal(status(r, 1).asked, 0);
    struct receipt_lane got = receipt(r, 1, 1);
    assert_int_equal(got.end, RECEIPT_DELIVERED);
    assert_int_equal(got.history_len, 0); /* the operator did not want to know */
}

/* ---- history ---- */

static void receipt_history(struct rig *r, unsigned n, uint32_t lane, char out[512])
{
    struct answer a;
    struct event *ev = make_note(0, n);
    ask_receipt(&r->loop, r->q, ev->id, &a);
    event_unref(ev);
    assert_int_equal(a.e, ERR_NONE);
    out[0] = '\0';
    for (size_t i = 0; i < a.receipt.lanes_len; i++) {
        const struct receipt_lane *l = &a.receipt.lanes[i];
        for (size_t k = 0; l->lane == lane && k < l->history_len; k++) {
            assert_int_equal(l->history[k].from, a.receipt.pos);
            assert_int_equal(l->history[k].end, ROW_FAILED);
            size_t used = strlen(out);
            (void)snprintf(out + used, 512 - used, "%s%u ", row_class_name(l->history[k].cls),
                           l->history[k].attempts);
        }
    }
    answer_free(&a);
}

static void earlier_failures_stay_on_the_receipt(void **state)
{
    struct rig *r = *state;
    struct holder h;
    char got[512];
    define_relays(r, 2);
    append_notes(r, 2);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    deliver(r, &h, 2, 2);
    fail_at(r, &h, 1, 1, CLASS_BLOCKED);
    receipt_history(r, 1, 1, got);
    assert_string_equal(got, "");
    assert_int_equal(again(r, 1).requeued, 1);
    assert_int_equal(fail_asked(r, &h, 1, CLASS_POW), 1);
    receipt_history(r, 1, 1, got);
    assert_string_equal(got, "blocked1 ");
    for (uint32_t i = 2; i <= 10; i++) {
        struct row row = row_at(1, ROW_FAILED, CLASS_AUTH);
        row.attempts = i;
        put_row(r, &h, 1, &row);
    }
    receipt_history(r, 1, 1, got); /* the latest eight before the one that stands */
    assert_string_equal(got, "auth2 auth3 auth4 auth5 auth6 auth7 auth8 auth9 ");
    rig_pass(r, 60000);
    holder_lease(r, &h, NULL);
    assert_int_equal(again(r, 1).requeued, 1);
    assert_int_equal(deliver_asked(r, &h, 1), 1);
    assert_int_equal(receipt_end(r, 1, 1), RECEIPT_DELIVERED);
    rig_restart(r);
    receipt_history(r, 1, 1, got);
    assert_string_equal(got, "auth3 auth4 auth5 auth6 auth7 auth8 auth9 auth10 ");
    receipt_history(r, 1, 2, got);
    assert_string_equal(got, "");
}

static void what_did_not_fail_leaves_no_history(void **state)
{
    struct rig *r = *state;
    struct holder h;
    char got[512];
    define_relays(r, 1);
    append_notes(r, 1);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    assert_int_equal(hold(r, 0, false, true).given_up, 1);
    assert_int_equal(again(r, 1).requeued, 1);
    assert_int_equal(fail_asked(r, &h, 1, CLASS_POW), 1);
    receipt_history(r, 1, 1, got);
    assert_string_equal(got, "");
}

int main(void)
{
    static const struct CMUnitTest cases[] = {
#define WITH_ENDS(f) cmocka_unit_test_setup_teardown(f, contract_setup, free_made)
        WITH_ENDS(a_filter_means_what_it_says),
        WITH_ENDS(a_filter_names_authors_and_ids),
        WITH_ENDS(a_row_is_listed_with_all_that_is_known),
        WITH_ENDS(counts_are_by_lane_and_class),
        CASE(expired_ones_can_be_replayed_while_the_log_has_them),
        CASE(what_a_retired_lane_failed_is_listed_and_cannot_be_replayed),
        WITH_ENDS(purged_ones_are_forgotten_and_their_receipts_true),
        WITH_ENDS(positions_of_a_run_are_purged_by_themselves),
        CASE(purged_ones_hold_no_bytes_and_go_with_their_time),
        CASE(who_sends_a_purged_event_again_means_it),
        CASE(earlier_failures_stay_on_the_receipt),
        CASE(what_did_not_fail_leaves_no_history),
    };
    return contract_run("failed deliveries", cases, COUNT_OF(cases));
}
