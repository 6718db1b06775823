/* The store's log: appending, the tail, sending again, being full. What every backend promises is
 * in tests/contract; here is what only the store can show. */
#include "tests/support/store_box.h"

#include "common/base/hex.h"

#include <stdlib.h>
#include <string.h>

static enum err try_append(struct store_box *b, struct event *ev, struct append_result *r,
                           struct queue_tail *t, struct problem *why)
{
    box_begin(b);
    enum err e = store_append(b->s, ev, b->now_ms, r, t, why);
    box_commit(b);
    return e;
}

static enum err append_err(struct store_box *b, struct event *ev)
{
    struct append_result r;
    struct problem why = {0};
    enum err e = try_append(b, ev, &r, NULL, &why);
    assert_int_equal(e == ERR_NONE, why.text[0] == '\0');
    event_unref(ev);
    return e;
}

/* ---- appending and reading ---- */

static void an_event_comes_back_byte_for_byte_with_all_its_facts(void **state)
{
    struct store_box *b = *state;
    static const struct {
        uint32_t kind;
        const char *tags, *content;
    } rows[] = {
        {1, "[]", ""},
        {1, "[[\"t\",\"x\"],[\"-\"]]", "a \\ \" \n \t \x01 \xf0\x9f\x94\xab"},
        {0, "[[\"expiration\",\"1900000000\"]]", "{}"},
        {30023, "[[\"d\",\"one\"]]", "text"},
        {5, "[[\"e\",\"00\"]]", ""},
        {65535, "[]", "last"},
    };
    box_relays(b, 1);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct event *ev =
            make_signed_event(2, 1700000000 + i, rows[i].kind, rows[i].tags, rows[i].content);
        (void)box_append(b, event_ref(ev));
        box_reopen(b);
        struct event *got = box_take(b, i + 1);
        assert_int_equal(got->len, ev->len);
        assert_memory_equal(got->bytes, ev->bytes, ev->len);
        assert_memory_equal(got->id, ev->id, sizeof ev->id);
        assert_memory_equal(got->pubkey, ev->pubkey, sizeof ev->pubkey);
        assert_memory_equal(got->sig, ev->sig, sizeof ev->sig);
        assert_int_equal(got->created_at, ev->created_at);
        assert_int_equal(got->kind, ev->kind);
        assert_int_equal(got->expiration, ev->expiration);
        assert_int_equal(got->is_protected, ev->is_protected);
        assert_int_equal(got->has_address, ev->has_address);
        if (ev->has_address)
            assert_memory_equal(got->address, ev->address, sizeof ev->address);
        assert_int_equal(got->tags.len, ev->tags.len);
        assert_int_equal(got->tags.p - got->bytes, ev->tags.p - ev->bytes);
        assert_int_equal(got->content.len, ev->content.len);
        assert_int_equal(got->content.p - got->bytes, ev->content.p - ev->bytes);
        assert_int_equal(event_verify(got, NULL), ERR_NONE);
        event_unref(got);
        event_unref(ev);
    }
}

static void the_largest_event_fits(void **state)
{
    struct store_box *b = *state;
    char *text = mem_new(EVENT_LEN_MAX);
    box_relays(b, 1);
    memset(text, 'x', EVENT_LEN_MAX);
    text[EVENT_LEN_MAX - 400] = '\0';
    struct event *ev = make_event(0, 1700000000, 1, "[]", text);
    assert_true(ev->len > EVENT_LEN_MAX - 200);
    assert_int_equal(box_append(b, ev).pos, 1);
    struct event *got = box_take(b, 1);
    assert_true(got->len > EVENT_LEN_MAX - 200);
    event_unref(got);
    free(text);
}

struct counted {
    uint64_t next, stop;
    size_t gone;
};

static bool on_counted(void *arg, const struct queue_event *ev)
{
    struct counted *c = arg;
    assert_int_equal(ev->pos, c->next);
    assert_int_equal(ev->gone == GONE_NO, ev->event != NULL);
    c->next++;
    c->gone += ev->gone != GONE_NO;
    return ev->pos != c->stop;
}

static void a_read_tells_every_position_until_it_is_stopped(void **state)
{
    struct store_box *b = *state;
    box_relays(b, 1);
    (void)box_grant(b, 1, 1);
    box_notes(b, 1, 20);
    box_fail(b, 1, 5);
    box_deliver(b, 1, 10);
    box_housekeep(b);
    struct counted c = {.next = 1};
    assert_int_equal(store_read(b->s, 0, UINT64_MAX, on_counted, &c), ERR_NONE);
    assert_int_equal(c.next, 21);
    assert_int_equal(c.gone, 9); /* 5 failed, and is kept for replay */
    c = (struct counted){.next = 4, .stop = 7};
    assert_int_equal(store_read(b->s, 4, 20, on_counted, &c), ERR_NONE);
    assert_int_equal(c.next, 8);
    c = (struct counted){.next = 3, .stop = 3};
    assert_int_equal(store_read(b->s, 3, 20, on_counted, &c), ERR_NONE);
    assert_int_equal(c.next, 4);
    c = (struct counted){.next = 21};
    assert_int_equal(store_read(b->s, 21, 30, on_counted, &c), ERR_NONE);
    assert_int_equal(c.next, 21);
}

static void an_event_twice_in_a_turn_is_one(void **state)
{
    struct store_box *b = *state;
    struct append_result first, second;
    struct problem why = {0};
    box_relays(b, 1);
    struct event *ev = make_note(0, 1);
    box_begin(b);
    assert_int_equal(store_append(b->s, ev, b->now_ms, &first, NULL, &why), ERR_NONE);
    assert_int_equal(store_append(b->s, ev, b->now_ms, &second, NULL, &why), ERR_NONE);
    box_commit(b);
    event_unref(ev);
    assert_false(first.duplicate);
    assert_true(second.duplicate);
    assert_int_equal(second.pos, 1);
    assert_int_equal(store_head(b->s), 1);
}

/* ---- the tail ---- */

static void the_tail_of_a_duplicate_and_of_a_refused_event_is_empty(void **state)
{
    struct store_box *b = *state;
    struct queue_tail t = {.ev = {.pos = 7}};
    struct append_result r;
    struct problem why = {0};
    struct event *ev = make_note(0, 1);
    assert_int_equal(try_append(b, ev, &r, &t, &why), ERR_NO_LANES);
    assert_int_equal(t.ev.pos, 0);
    box_relays(b, 1);
    assert_int_equal(try_append(b, ev, &r, &t, &why), ERR_NONE);
    assert_int_equal(t.ev.pos, 1);
    assert_ptr_equal(t.ev.event, ev);
    assert_int_equal(try_append(b, ev, &r, &t, &why), ERR_NONE);
    assert_int_equal(t.ev.pos, 0);
    assert_null(t.ev.event);
    event_unref(ev);
}

static void a_deletion_of_more_than_the_tail_holds_says_so(void **state)
{
    struct store_box *b = *state;
    struct buf tags;
    char hex[65];
    struct append_result r;
    struct queue_tail t;
    struct problem why = {0};
    box_relays(b, 1);
    box_notes(b, 1, 80);
    buf_init(&tags, 65536);
    assert_int_equal(buf_add_str(&tags, "["), ERR_NONE);
    for (unsigned n = 1; n <= 80; n++) {
        struct event *ev = make_note(0, n);
        assert_int_equal(
            buf_addf(&tags, "%s[\"e\",\"%s\"]", n > 1 ? "," : "", hex_str(hex, ev->id, 32)),
            ERR_NONE);
        event_unref(ev);
    }
    assert_int_equal(buf_add_str(&tags, "]"), ERR_NONE);
    struct event *ev = make_event(0, 1700000001, 5, buf_str(&tags), "");
    buf_fini(&tags);
    assert_int_equal(try_append(b, ev, &r, &t, &why), ERR_NONE);
    event_unref(ev);
    assert_int_equal(t.deleted_len, 64);
    assert_true(t.deleted_more);
    for (uint64_t pos = 1; pos <= 80; pos++)
        assert_int_equal(box_look(b, pos).deleted_by, 81);
}

static void a_deletion_of_an_address_with_many_versions_says_that_there_are_more(void **state)
{
    struct store_box *b = *state;
    struct append_result r;
    struct queue_tail t;
    struct problem why = {0};
    box_relays(b, 1);
    (void)box_append(b, make_event(0, 1700000100, 30023, "[[\"d\",\"one\"]]", "a"));
    (void)box_append(b, make_event(0, 1700000200, 30023, "[[\"d\",\"one\"]]", "b"));
    (void)box_append(b, make_event(0, 1700000200, 30023, "[[\"d\",\"two\"]]", "c"));
    struct event *ev = make_address_deletion(0, 1700000300, 30023, "one");
    assert_int_equal(try_append(b, ev, &r, &t, &why), ERR_NONE);
    event_unref(ev);
    assert_int_equal(t.deleted_len, 1);
    assert_int_equal(t.deleted[0], 2);
    assert_true(t.deleted_more); /* the older version: only the newest is in the index */
    ev = make_address_deletion(0, 1700000300, 30023, "two");
    assert_int_equal(try_append(b, ev, &r, &t, &why), ERR_NONE);
    event_unref(ev);
    assert_int_equal(t.deleted_len, 1);
    assert_int_equal(t.deleted[0], 3);
    assert_false(t.deleted_more);
}

static void facts_go_when_the_events_they_come_from_are_forgotten(void **state)
{
    struct store_box *b = *state;
    struct event *note = make_note(0, 1);
    box_relays(b, 1);
    (void)box_grant(b, 1, 1);
    (void)box_append(b, make_deletion(0, 1700000100, note->id));
    (void)box_append(b, make_event(0, 1700000300, 0, "[]", "newest"));
    box_deliver(b, 1, 2);
    box_housekeep(b);
    box_pass(b, BOX_RETENTION_MS - 1);
    assert_int_equal(box_append(b, event_ref(note)).pos, 3);
    (void)box_append(b, make_event(0, 1700000200, 0, "[]", "older"));
    assert_int_equal(box_look(b, 3).deleted_by, 1);
    assert_int_equal(box_look(b, 4).newer, 2);
    box_pass(b, 1);
    assert_int_equal(box_look(b, 3).deleted_by, 0);
    assert_int_equal(box_look(b, 4).newer, 2); /* superseded all the same, while it is known */
    event_unref(note);
    box_deliver(b, 1, 4);
    box_housekeep(b);
    box_pass(b, BOX_RETENTION_MS);
    (void)box_append(b, make_event(0, 1700000100, 0, "[]", "oldest"));
    assert_int_equal(box_look(b, 5).newer, 0);
}

static void an_event_that_comes_back_is_not_superseded_by_itself(void **state)
{
    struct store_box *b = *state;
    box_relays(b, 1);
    (void)box_grant(b, 1, 1);
    (void)box_append(b, make_event(0, 1700000300, 0, "[]", "newest"));
    box_deliver(b, 1, 1);
    box_housekeep(b);
    box_pass(b, BOX_RETENTION_MS - 1);
    (void)box_append(b, make_event(0, 1700000200, 0, "[]", "older"));
    box_pass(b, 1); /* the newest is forgotten, the older one is not */
    assert_int_equal(box_append(b, make_event(0, 1700000300, 0, "[]", "newest")).pos, 3);
    assert_int_equal(box_look(b, 3).newer, 0);
    assert_int_equal(box_look(b, 2).newer, 3);
}

/* ---- sending again ---- */

static void bytes_that_were_gone_come_back_with_the_event(void **state)
{
    struct store_box *b = *state;
    b->options.failed_max = 0;
    box_reopen(b);
    box_relays(b, 1);
    (void)box_grant(b, 1, 1);
    box_notes(b, 1, 2);
    box_fail(b, 1, 1);
    box_deliver(b, 1, 2);
    box_housekeep(b);
    assert_int_equal(box_look(b, 1).gone, GONE_TRIMMED);
    uint64_t bytes = box_depth(b).bytes;
    struct append_result r = box_append(b, make_note(0, 1));
    assert_int_equal(r.requeued, 1);
    assert_int_equal(box_look(b, 1).gone, GONE_NO);
    box_housekeep(b);
    assert_int_equal(box_look(b, 1).gone, GONE_NO);
    assert_true(box_depth(b).bytes > bytes);

    struct lane_grant g = box_grant(b, 1, 2);
    assert_int_equal(g.requests_len, 1);
    struct exception x = {.pos = 1};
    struct lane_commit c = box_next(b, 1, 2);
    c.exceptions = &x;
    c.exceptions_len = 1;
    c.requests_taken = g.requests[0].number;
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
    box_housekeep(b);
    assert_int_equal(box_look(b, 1).gone, GONE_NO);
    const uint64_t removed = 1;
    c = box_next(b, 1, 2);
    c.rows_removed = &removed;
    c.rows_removed_len = 1;
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
    box_housekeep(b);
    assert_int_equal(box_look(b, 1).gone, GONE_TRIMMED);
    assert_int_equal(box_depth(b).bytes, bytes);
    assert_int_equal(box_receipt(b, 1, 1).end, RECEIPT_DELIVERED);
}

static void no_more_requests_than_an_owner_is_given_are_handed_over_at_a_time(void **state)
{
    struct store_box *b = *state;
    box_relays(b, 1);
    (void)box_grant(b, 1, 1);
    box_notes(b, 1, 300);
    for (uint64_t pos = 1; pos <= 300; pos++)
        box_fail(b, 1, pos);
    for (unsigned n = 1; n <= 300; n++)
        assert_int_equal(box_append(b, make_note(0, n)).requeued, 1);
    struct lane_grant g = box_grant(b, 1, 2);
    assert_int_equal(g.requests_len, QUEUE_REQUESTS_MAX);
    for (uint64_t i = 0; i < g.requests_len; i++) {
        assert_int_equal(g.requests[i].number, i + 1);
        assert_int_equal(g.requests[i].pos, i + 1);
    }
    struct exception x[70];
    for (uint64_t i = 0; i < COUNT_OF(x); i++)
        x[i] = (struct exception){.pos = i + 1};
    struct lane_commit c = box_next(b, 1, 300);
    c.exceptions = x;
    c.exceptions_len = COUNT_OF(x);
    c.requests_taken = 70;
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
    struct lane_kept k;
    assert_int_equal(store_kept(b->s, 1, b->epoch[1], &k), ERR_NONE);
    assert_int_equal(k.requests_len, 230);
    assert_int_equal(k.requests[0].pos, 71);
}

/* ---- full ---- */

static void when_full_finished_events_make_room_and_others_do_not(void **state)
{
    struct store_box *b = *state;
    struct event *ev = make_note(0, 100);
    uint64_t each = ev->len + 128;
    event_unref(ev);
    b->options.max_bytes = b->options.lane_max = 10 * each + 64;
    box_reopen(b);
    box_relays(b, 1);
    (void)box_grant(b, 1, 1);
    box_notes(b, 100, 109);
    assert_int_equal(append_err(b, make_note(0, 110)), ERR_FULL);
    assert_int_equal(store_head(b->s), 10);
    assert_true(box_append(b, make_note(0, 103)).duplicate);
    box_deliver(b, 1, 4); /* not trimmed yet: the append does it */
    assert_int_equal(append_err(b, make_note(0, 110)), ERR_NONE);
    assert_true(box_known(b, 100));
    assert_int_equal(box_look(b, 1).gone, GONE_TRIMMED);
    while (append_err(b, make_note(0, 110 + (unsigned)store_head(b->s))) == ERR_NONE)
        assert_true(store_head(b->s) < 20);
    assert_false(box_known(b, 100)); /* what was finished is forgotten */
    for (uint64_t pos = 5; pos <= store_head(b->s); pos++)
        assert_int_equal(box_look(b, pos).gone, GONE_NO); /* what is not is there */
    assert_true(box_depth(b).bytes <= b->options.max_bytes);
}

static void what_a_turn_settles_makes_room_in_the_same_turn(void **state)
{
    struct store_box *b = *state;
    struct append_result r;
    struct problem why = {0};
    struct lane_committed done;
    b->options.max_bytes = b->options.lane_max = 5000;
    box_reopen(b);
    box_relays(b, 1);
    (void)box_grant(b, 1, 1);
    box_notes(b, 1, 8);
    struct event *ev = make_note(0, 9);
    box_begin(b);
    for (unsigned n = 10; store_append(b->s, ev, b->now_ms, &r, NULL, &why) == ERR_NONE; n++) {
        event_unref(ev);
        ev = make_note(0, n);
    }
    struct lane_commit c = box_next(b, 1, 5);
    assert_int_equal(store_lane_commit(b->s, &c, b->now_ms, &done), ERR_NONE);
    assert_int_equal(store_append(b->s, ev, b->now_ms, &r, NULL, &why), ERR_NONE);
    box_commit(b);
    event_unref(ev);
}

static void what_can_not_be_taken_anyway_makes_nothing_forgotten(void **state)
{
    struct store_box *b = *state;
    char text[4000];
    b->options.max_bytes = b->options.lane_max = 5000;
    box_reopen(b);
    box_relays(b, 1);
    (void)box_grant(b, 1, 1);
    box_notes(b, 1, 8);
    box_deliver(b, 1, 3);
    box_housekeep(b);
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(append_err(b, make_event(0, 1700000000, 1, "[]", text)), ERR_FULL);
    for (unsigned n = 1; n <= 8; n++)
        assert_true(box_known(b, n));
}

static void bytes_are_counted_exactly(void **state)
{
    struct store_box *b = *state;
    struct event *ev = make_note(0, 1);
    uint64_t len = ev->len;
    event_unref(ev);
    box_relays(b, 2);
    (void)box_grant(b, 1, 1);
    (void)box_grant(b, 2, 1);
    assert_int_equal(box_depth(b).bytes, 0);
    box_notes(b, 1, 9);
    assert_int_equal(box_depth(b).bytes, 9 * (len + 128));
    box_deliver(b, 1, 9);
    box_fail(b, 2, 1);
    box_deliver(b, 2, 4);
    box_housekeep(b); /* 2, 3, 4 lose their bytes, 1 keeps them for replay */
    struct queue_depth d = box_depth(b);
    assert_int_equal(d.bytes, 9 * 128 + 6 * len);
    assert_int_equal(d.first, 5);
    assert_int_equal(d.events, 5);
    assert_int_equal(d.head, 9);
    box_pass(b, BOX_RETENTION_MS); /* 5 … 9 expire and are trimmed, 1 … 4 are forgotten */
    d = box_depth(b);
    assert_int_equal(d.bytes, 5 * 128);
    assert_int_equal(d.events, 0);
    assert_int_equal(d.first, 10);
    box_pass(b, BOX_RETENTION_MS);
    assert_int_equal(box_depth(b).bytes, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        BOX_TEST(an_event_comes_back_byte_for_byte_with_all_its_facts),
        BOX_TEST(the_largest_event_fits),
        BOX_TEST(a_read_tells_every_position_until_it_is_stopped),
        BOX_TEST(an_event_twice_in_a_turn_is_one),
        BOX_TEST(the_tail_of_a_duplicate_and_of_a_refused_event_is_empty),
        BOX_TEST(a_deletion_of_more_than_the_tail_holds_says_so),
        BOX_TEST(a_deletion_of_an_address_with_many_versions_says_that_there_are_more),
        BOX_TEST(facts_go_when_the_events_they_come_from_are_forgotten),
        BOX_TEST(an_event_that_comes_back_is_not_superseded_by_itself),
        BOX_TEST(bytes_that_were_gone_come_back_with_the_event),
        BOX_TEST(no_more_requests_than_an_owner_is_given_are_handed_over_at_a_time),
        BOX_TEST(when_full_finished_events_make_room_and_others_do_not),
        BOX_TEST(what_a_turn_settles_makes_room_in_the_same_turn),
        BOX_TEST(what_can_not_be_taken_anyway_makes_nothing_forgotten),
        BOX_TEST(bytes_are_counted_exactly),
    };
    return cmocka_run_group_tests_name("the store's log", tests, NULL, NULL);
}
