/* The contract's promises about the log: appending, sending again, reading, trimming. */
#include "tests/support/contract.h"

#include <string.h>

/* ---- appending ---- */

static void positions_are_dense_and_begin_at_one(void **state)
{
    struct rig *r = *state;
    define_relays(r, 1);
    for (unsigned n = 1; n <= 20; n++)
        assert_int_equal(append_note(r, n), n);
}

static void an_event_sent_again_is_found_and_not_appended(void **state)
{
    struct rig *r = *state;
    define_relays(r, 1);
    append_notes(r, 3);
    struct append_result found = again(r, 2);
    assert_true(found.duplicate);
    assert_int_equal(found.pos, 2);
    assert_int_equal(found.requeued, 0);
    assert_int_equal(append_note(r, 4), 4);
}

static void without_relays_nothing_is_accepted(void **state)
{
    struct rig *r = *state;
    assert_int_equal(append_refused(r, make_note(0, 1)), ERR_NO_LANES);
    define_relays(r, 1);
    define_relays(r, 0);
    assert_int_equal(append_refused(r, make_note(0, 1)), ERR_NO_LANES);
}

static void an_event_that_every_lane_would_filter_is_refused(void **state)
{
    struct rig *r = *state;
    struct definition defs[2] = {relay(0), relay(1)};
    defs[0].kinds[defs[0].kinds_len++] = 0;
    defs[1].except_kinds[defs[1].except_kinds_len++] = 1;
    (void)define(r, defs, 2);
    assert_int_equal(append_refused(r, make_note(0, 1)), ERR_FILTERED);
    assert_int_equal(append(r, make_event(0, 1700000000, 0, "[]", "{}")).pos, 1);
    assert_int_equal(append(r, make_event(0, 1700000000, 7, "[]", "+")).pos, 2);
}

static void private_kinds_are_taken_only_where_a_lane_may_be_sent_them(void **state)
{
    static const uint32_t kinds[] = {4, 1059, 21059};
    struct rig *r = *state;
    struct definition defs[2] = {relay(0), relay(1)};
    (void)define(r, defs, 2);
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct event *ev = make_event(0, 1700000000, kinds[i], "[]", "secret");
        assert_int_equal(append_refused(r, ev), ERR_FILTERED);
    }
    defs[1].is_private = true;
    (void)define(r, defs, 2);
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct event *ev = make_event(0, 1700000000, kinds[i], "[]", "secret");
        assert_int_equal(append(r, ev).pos, i + 1);
    }
    struct event *auth = make_event(0, 1700000000, 22242, "[]", "");
    assert_int_equal(append_refused(r, auth), ERR_FILTERED);
}

struct order {
    uint64_t pos[8];
    size_t len;
    bool done;
};

static void on_ordered(void *arg, enum err e, const struct append_result *a, const char *why)
{
    struct order *o = arg;
    if (e != ERR_NONE)
        die("an append was answered %s: %s", err_name(e), why);
    o->pos[o->len++] = a->pos;
    o->done = o->len == COUNT_OF(o->pos);
}

static void appends_of_one_turn_keep_their_order(void **state)
{
    struct rig *r = *state;
    struct order o = {.len = 0};
    define_relays(r, 1);
    for (unsigned n = 0; n < COUNT_OF(o.pos); n++) {
        /* the last two are one event: the second waits for the first one's commit and finds it */
        struct event *ev = make_note(0, n == 7 ? 6 : n);
        r->q->ops->append(r->q, ev, on_ordered, &o);
        event_unref(ev);
    }
    assert_int_equal(o.len, 0);
    run_until(&r->loop, &o.done, "eight appends");
    for (unsigned n = 0; n < 7; n++)
        assert_int_equal(o.pos[n], n + 1);
    assert_int_equal(o.pos[7], 7);
}

struct ending {
    unsigned appended, read;
    bool closed;
};

static void expect_end(enum err e)
{
    if (e != ERR_NONE && e != ERR_CLOSED && e != ERR_UNKNOWN)
        die("a call that was under way ended with %s", err_name(e));
}

static void on_append_ended(void *arg, enum err e, const struct append_result *a, const char *why)
{
    struct ending *end = arg;
    (void)a, (void)why;
    expect_end(e);
    end->appended++;
}

static void on_read_ended(void *arg, enum err e, const struct queue_event *events, size_t len,
                          uint64_t head)
{
    struct ending *end = arg;
    (void)events, (void)len, (void)head;
    expect_end(e);
    end->read++;
}

static void on_queue_closed(void *arg)
{
    ((struct ending *)arg)->closed = true;
}

static void a_close_ends_every_call_once_and_then_tells(void **state)
{
    struct rig *r = *state;
    struct ending end = {.closed = false};
    define_relays(r, 1);
    append_notes(r, 1);
    for (unsigned n = 2; n < 7; n++) {
        struct event *ev = make_note(0, n);
        r->q->ops->append(r->q, ev, on_append_ended, &end);
        event_unref(ev);
        r->q->ops->read(r->q, 1, 1, on_read_ended, &end);
    }
    r->q->ops->close(r->q, on_queue_closed, &end);
    r->q = NULL;
    assert_int_equal(end.appended + end.read, 0);
    assert_false(end.closed);
    run_until(&r->loop, &end.closed, "close");
    assert_int_equal(end.appended, 5);
    assert_int_equal(end.read, 5);
}

/* ---- sent again ---- */

static void a_failed_event_sent_again_is_put_back_where_it_failed(void **state)
{
    struct rig *r = *state;
    struct holder h;
    struct answer a;
    define_relays(r, 5);
    append_notes(r, 1);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    fail_at(r, &h, 1, 1, CLASS_BLOCKED);
    deliver(r, &h, 2, 1);
    struct row skipped = row_at(1, ROW_SKIPPED, CLASS_DELETED);
    struct lane_commit c = holder_next(&h, 3, 1);
    c.rows_added = &skipped;
    c.rows_added_len = 1;
    assert_int_equal(holder_commit(r, &h, &c).status, COMMIT_DONE);
    fail_at(r, &h, 4, 1, CLASS_POW);
    /* lane 5 has it queued */

    struct append_result found = again(r, 1);
    assert_true(found.duplicate);
    assert_int_equal(found.requeued, 2);

    holder_lease(r, &h, &a);
    assert_int_equal(a.lease.kept_len, 5);
    for (size_t i = 0; i < a.lease.kept_len; i++) {
        const struct lane_kept *k = &a.lease.kept[i];
        bool failed = k->lane == 1 || k->lane == 4;
        assert_int_equal(k->requests_len, failed ? 1 : 0);
        if (failed)
            assert_int_equal(k->requests[0].pos, 1);
    }
    answer_free(&a);
}

static void an_id_is_put_back_at_most_once_a_minute(void **state)
{
    struct rig *r = *state;
    struct holder h;
    define_relays(r, 2);
    append_notes(r, 1);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    fail_at(r, &h, 1, 1, CLASS_BLOCKED);
    assert_int_equal(again(r, 1).requeued, 1);
    fail_at(r, &h, 2, 1, CLASS_BLOCKED);
    assert_int_equal(again(r, 1).requeued, 0);
    rig_pass(r, 59000);
    assert_int_equal(again(r, 1).requeued, 0);
    rig_pass(r, 1000);
    assert_int_equal(again(r, 1).requeued, 1); /* lane 2; on lane 1 it is asked for already */
}

static void a_request_lasts_until_it_is_taken_up_and_its_row_until_it_is_settled(void **state)
{
    struct rig *r = *state;
    struct holder h, next;
    struct answer a;
    define_relays(r, 1);
    append_notes(r, 2);
    holder_init(&h, 0);
    holder_init(&next, 1);
    holder_lease(r, &h, NULL);
    fail_at(r, &h, 1, 1, CLASS_BLOCKED);
    assert_int_equal(again(r, 1).requeued, 1);

    rig_restart(r);
    rig_pass(r, LEASE_TERM_MS);
    holder_lease(r, &next, &a);
    assert_int_equal(a.lease.grants_len, 1);
    assert_int_equal(a.lease.grants[0].requests_len, 1);
    uint64_t number = a.lease.grants[0].requests[0].number;
    answer_free(&a);

    struct exception taken = {.pos = 1, .attempts = 0};
    struct lane_commit c = holder_next(&next, 1, 1);
    c.exceptions = &taken;
    c.exceptions_len = 1;
    c.requests_taken = number;
    assert_int_equal(holder_commit(r, &next, &c).status, COMMIT_DONE);
    struct receipt_lane now = receipt(r, 1, 1);
    assert_int_equal(now.end, RECEIPT_RETRYING);
    assert_int_equal(now.row.end, ROW_FAILED);
    assert_int_equal(now.row.cls, CLASS_BLOCKED);
    holder_lease(r, &next, &a);
    assert_int_equal(a.lease.kept[0].requests_len, 0);
    answer_free(&a);

    uint64_t gone = 1;
    c = holder_next(&next, 1, 2);
    c.rows_removed = &gone;
    c.rows_removed_len = 1;
    assert_int_equal(holder_commit(r, &next, &c).status, COMMIT_DONE);
    assert_int_equal(receipt_end(r, 1, 1), RECEIPT_DELIVERED);
}

/* ---- reading ---- */

static void a_read_skips_nothing(void **state)
{
    struct rig *r = *state;
    struct answer a;
    define_relays(r, 1);
    append_notes(r, 10);
    ask_read(&r->loop, r->q, 3, 100, &a);
    assert_int_equal(a.e, ERR_NONE);
    assert_int_equal(a.read.head, 10);
    assert_int_equal(a.read.len, 8);
    for (size_t i = 0; i < 8; i++) {
        struct event *ev = make_note(0, (unsigned)i + 3);
        const struct queue_event *got = &a.read.events[i];
        assert_int_equal(got->pos, i + 3);
        assert_int_equal(got->gone, GONE_NO);
        assert_int_equal(got->accepted_ms, RIG_WALL_MS);
        assert_int_equal(got->event->len, ev->len);
        assert_memory_equal(got->event->bytes, ev->bytes, ev->len);
        event_unref(ev);
    }
    answer_free(&a);
}

static void a_read_beyond_the_head_is_empty(void **state)
{
    struct rig *r = *state;
    struct answer a;
    ask_read(&r->loop, r->q, 1, 10, &a);
    assert_int_equal(a.e, ERR_NONE);
    assert_int_equal(a.read.len, 0);
    assert_int_equal(a.read.head, 0);
    answer_free(&a);
    define_relays(r, 1);
    append_notes(r, 2);
    ask_read(&r->loop, r->q, 3, 10, &a);
    assert_int_equal(a.read.len, 0);
    assert_int_equal(a.read.head, 2);
    answer_free(&a);
}

static void a_read_gives_as_much_as_fits_and_at_least_one_event(void **state)
{
    static char big[400 * 1024];
    struct rig *r = *state;
    struct answer a;
    define_relays(r, 1);
    memset(big, 'x', sizeof big - 1);
    for (unsigned i = 0; i < 4; i++) {
        big[0] = (char)('a' + i);
        (void)append(r, make_event(0, 1700000000, 1, "[]", big));
    }
    uint64_t next = 1;
    unsigned reads = 0;
    while (next <= 4) {
        ask_read(&r->loop, r->q, next, 4, &a);
        assert_int_equal(a.e, ERR_NONE);
        assert_true(a.read.len >= 1);
        size_t bytes = 0;
        for (size_t i = 0; i < a.read.len; i++) {
            assert_int_equal(a.read.events[i].pos, next + i);
            bytes += a.read.events[i].event->len;
        }
        assert_true(bytes <= QUEUE_READ_MAX);
        next += a.read.len;
        reads++;
        answer_free(&a);
    }
    assert_int_equal(next, 5);
    assert_true(reads >= 2);
}

static void what_every_lane_is_done_with_is_trimmed_and_reads_as_gone(void **state)
{
    struct rig *r = *state;
    struct holder h;
    define_relays(r, 2);
    append_notes(r, 5);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    deliver(r, &h, 1, 5);
    rig_housekeep(r);
    assert_int_equal(first_kept(r), 1); /* lane 2 needs all */
    deliver(r, &h, 2, 3);
    rig_housekeep(r);
    assert_int_equal(first_kept(r), 4);
    assert_int_equal(look(r, 3).gone, GONE_TRIMMED);
    assert_null(look(r, 3).event);
    assert_int_equal(look(r, 4).gone, GONE_NO);
    assert_int_equal(receipt_end(r, 3, 2), RECEIPT_DELIVERED);
}

static void an_exception_keeps_what_lies_above_it(void **state)
{
    struct rig *r = *state;
    struct holder h;
    define_relays(r, 1);
    append_notes(r, 5);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    struct exception waiting = {.pos = 3, .attempts = 1};
    struct lane_commit c = holder_next(&h, 1, 5);
    c.exceptions = &waiting;
    c.exceptions_len = 1;
    assert_int_equal(holder_commit(r, &h, &c).status, COMMIT_DONE);
    rig_housekeep(r);
    assert_int_equal(first_kept(r), 3);
    assert_int_equal(look(r, 3).gone, GONE_NO);
}

int main(void)
{
    static const struct CMUnitTest cases[] = {
        CASE(positions_are_dense_and_begin_at_one),
        CASE(an_event_sent_again_is_found_and_not_appended),
        CASE(without_relays_nothing_is_accepted),
        CASE(an_event_that_every_lane_would_filter_is_refused),
        CASE(private_kinds_are_taken_only_where_a_lane_may_be_sent_them),
        CASE(appends_of_one_turn_keep_their_order),
        CASE(a_close_ends_every_call_once_and_then_tells),
        CASE(a_failed_event_sent_again_is_put_back_where_it_failed),
        CASE(an_id_is_put_back_at_most_once_a_minute),
        CASE(a_request_lasts_until_it_is_taken_up_and_its_row_until_it_is_settled),
        CASE(a_read_skips_nothing),
        CASE(a_read_beyond_the_head_is_empty),
        CASE(a_read_gives_as_much_as_fits_and_at_least_one_event),
        CASE(what_every_lane_is_done_with_is_trimmed_and_reads_as_gone),
        CASE(an_exception_keeps_what_lies_above_it),
    };
    return contract_run("the log", cases, COUNT_OF(cases));
}
