#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "publisher/feed.h"
#include "queue/model.h"
#include "tests/support/make_event.h"
#include "tests/support/spin.h"
#include "tests/support/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READERS_MAX 10
#define BIG_CACHE   (16u * 1024 * 1024)

/* A lane as the feed sees it: takes positions in order, a few at a time. */
struct reader {
    uint64_t next, last; /* done beyond last */
    unsigned step;       /* at most so many a turn; 0: as many as there are */
};

struct room {
    uv_loop_t loop;
    struct queue *model;
    struct tap tap;
    struct feed *feed;
    struct reader readers[READERS_MAX];
    size_t readers_len;
    uint64_t appended, wanted;
    unsigned news;
    bool closed;
};

/* ---- the room ---- */

static void on_append(void *arg, enum err e, const struct append_result *r, const char *why)
{
    struct room *room = arg;
    if (e != ERR_NONE)
        die("append: %s %s", err_name(e), why);
    room->appended = r->pos;
}

static bool all_appended(void *arg)
{
    struct room *room = arg;
    return room->appended == room->wanted;
}

static void append(struct room *room, struct event *ev)
{
    room->model->ops->append(room->model, ev, on_append, room);
    event_unref(ev);
    room->wanted++;
    spin_until(&room->loop, all_appended, room, "append");
}

static void append_notes(struct room *room, unsigned count, size_t text_len)
{
    char *text = mem_zero(1, text_len + 16);
    while (count-- > 0) {
        int len = snprintf(text, 16, "%llu ", (unsigned long long)room->wanted);
        memset(text + len, 'x', text_len);
        text[(size_t)len + text_len] = '\0';
        append(room, make_event(0, 1700000000, 1, "[]", text));
    }
    free(text);
}

static void read_on(struct room *room, struct reader *r)
{
    for (unsigned i = 0; r->next <= r->last && (r->step == 0 || i < r->step); i++) {
        const struct queue_event *ev = feed_get(room->feed, r->next);
        if (ev == NULL)
            return;
        assert_int_equal(ev->pos, r->next);
        assert_int_equal(ev->gone, GONE_NO);
        r->next++;
    }
}

static void on_news(void *arg)
{
    struct room *room = arg;
    room->news++;
    for (size_t i = 0; i < room->readers_len; i++)
        read_on(room, &room->readers[i]);
}

static void on_define(void *arg, enum err e, const struct define_result *r, const char *why)
{
    (void)r;
    (void)why;
    assert_int_equal(e, ERR_NONE);
    *(bool *)arg = true;
}

static bool is_true(void *arg)
{
    return *(bool *)arg;
}

static void start_feed(struct room *room, size_t cache_max)
{
    const struct feed_options o = {.cache_max = cache_max, .on_news = on_news, .arg = room};
    room->feed = feed_new(&room->loop, &room->tap.queue, &o);
}

static int setup(void **state)
{
    struct room *room = mem_zero(1, sizeof *room);
    const struct model_options o = {
        .retention_ms = 86400000, .max_bytes = 1u << 30, .failed_max = 1u << 30};
    uv_loop_init(&room->loop);
    room->model = model_new(&room->loop, &o);
    tap_init(&room->tap, &room->loop, room->model);
    struct definition d = {.url = "ws://127.0.0.1:1", .route = ROUTE_DIRECT, .window = 8};
    bool defined = false;
    room->model->ops->define(room->model, &(struct define_call){.defs = &d, .len = 1}, on_define,
                             &defined);
    spin_until(&room->loop, is_true, &defined, "define");
    *state = room;
    return 0;
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static int teardown(void **state)
{
    struct room *room = *state;
    bool freed = room->feed == NULL;
    if (room->feed != NULL)
        feed_free(room->feed, on_closed, &freed);
    spin_until(&room->loop, is_true, &freed, "feed_free");
    tap_let_go(&room->tap);
    room->model->ops->close(room->model, on_closed, &room->closed);
    spin_until(&room->loop, is_true, &room->closed, "close");
    spin_out(&room->loop);
    free(room);
    return 0;
}

static void add_reader(struct room *room, uint64_t from, uint64_t last, unsigned step)
{
    room->readers[room->readers_len++] = (struct reader){from, last, step};
}

static bool all_read(void *arg)
{
    struct room *room = arg;
    on_news(room); /* as lanes ask again whenever something happened to them */
    for (size_t i = 0; i < room->readers_len; i++)
        if (room->readers[i].next <= room->readers[i].last)
            return false;
    return true;
}

struct ask {
    struct room *room;
    uint64_t pos;
    struct queue_event got; /* its facts; the event itself is not kept */
};

static bool have(void *arg)
{
    struct ask *a = arg;
    const struct queue_event *ev = feed_get(a->room->feed, a->pos);
    if (ev != NULL)
        a->got = *ev;
    a->got.event = NULL;
    return ev != NULL;
}

static struct queue_event get(struct room *room, uint64_t pos)
{
    struct ask a = {.room = room, .pos = pos};
    spin_until(&room->loop, have, &a, "feed_get");
    return a.got;
}

static bool head_is(void *arg)
{
    struct room *room = arg;
    return feed_head(room->feed) == room->wanted;
}

static void see_head(struct room *room)
{
    spin_until(&room->loop, head_is, room, "the head");
}

/* ---- promises ---- */

static void an_event_is_read_once_for_all_who_move_together(void **state)
{
    struct room *room = *state;
    append_notes(room, 1000, 100);
    start_feed(room, BIG_CACHE);
    for (unsigned i = 0; i < READERS_MAX; i++)
        add_reader(room, 1, 1000, i * 70); /* 0: as fast as possible */
    see_head(room);
    spin_until(&room->loop, all_read, room, "reading");
    assert_int_equal(room->tap.positions_read, 1000);
    assert_true(room->tap.reads <= 8);
}

static void who_keeps_up_with_the_tail_reads_nothing(void **state)
{
    struct room *room = *state;
    start_feed(room, BIG_CACHE);
    add_reader(room, 1, 200, 0);
    append_notes(room, 200, 100);
    spin_until(&room->loop, all_read, room, "reading");
    assert_int_equal(room->tap.reads, 0);
}

static void what_the_tail_lost_is_read(void **state)
{
    struct room *room = *state;
    start_feed(room, BIG_CACHE);
    add_reader(room, 1, 30, 0);
    append_notes(room, 10, 100);
    model_lose_tail(room->model, 5);
    append_notes(room, 20, 100);
    spin_until(&room->loop, all_read, room, "reading");
    assert_true(room->tap.positions_read >= 5);
}

static void the_end_of_the_tail_may_be_lost_too(void **state)
{
    struct room *room = *state;
    start_feed(room, BIG_CACHE);
    add_reader(room, 1, 10, 0);
    model_lose_tail(room->model, 10);
    append_notes(room, 10, 100);
    spin_until(&room->loop, all_read, room, "reading"); /* a beat brings the head */
    assert_int_equal(room->tap.positions_read, 10);
}

static void a_cache_without_room_still_hands_everything_out(void **state)
{
    struct room *room = *state;
    append_notes(room, 300, 100);
    start_feed(room, 1);
    for (unsigned i = 0; i < READERS_MAX; i++)
        add_reader(room, 1 + i * 23, 300, 1 + i);
    see_head(room);
    spin_until(&room->loop, all_read, room, "reading");
}

static void lanes_far_behind_leave_the_others_their_tail(void **state)
{
    struct room *room = *state;
    append_notes(room, 400, 1000);
    start_feed(room, 128 * 1024);
    see_head(room);
    append_notes(room, 60, 1000); /* about 75 KiB of tail */
    add_reader(room, 1, 400, 10);
    spin_until(&room->loop, all_read, room, "reading");
    for (uint64_t pos = 401; pos <= 460; pos++)
        assert_non_null(feed_peek(room->feed, pos));
    assert_null(feed_peek(room->feed, 1));
}

static void the_oldest_of_the_tail_go_first(void **state)
{
    struct room *room = *state;
    start_feed(room, 20 * 1024);
    append_notes(room, 100, 1000);
    assert_null(feed_peek(room->feed, 1));
    assert_null(feed_peek(room->feed, 70));
    assert_non_null(feed_peek(room->feed, 95));
    assert_non_null(feed_peek(room->feed, 100));
    assert_int_equal(get(room, 1).pos, 1);
}

static void a_reach_that_is_never_used_gets_shorter(void **state)
{
    struct room *room = *state;
    append_notes(room, 1200, 50);
    start_feed(room, 8 * 1024);
    see_head(room);
    for (unsigned i = 0; i < 60; i++)
        (void)get(room, 1 + (i * 397) % 1200);
    assert_true(room->tap.positions_read < 60 * 100); /* 60 × 256 without learning */
}

static void the_tail_tells_who_is_superseded_and_deleted(void **state)
{
    struct room *room = *state;
    start_feed(room, BIG_CACHE);
    append(room, make_event(1, 1700000000, 0, "[]", "first"));
    struct event *doomed = make_event(1, 1700000001, 1, "[]", "doomed");
    uint8_t id[EVENT_ID_LEN];
    memcpy(id, doomed->id, sizeof id);
    append(room, doomed);
    assert_int_equal(get(room, 1).newer, 0);
    append(room, make_event(1, 1700000002, 0, "[]", "second"));
    append(room, make_deletion(1, 1700000003, id));
    assert_int_equal(get(room, 1).newer, 3);
    assert_int_equal(get(room, 2).deleted_by, 4);
    assert_int_equal(get(room, 3).newer, 0);
    assert_int_equal(room->tap.reads, 0);
}

static void after_a_gap_facts_are_read_before_anything_is_handed_out(void **state)
{
    struct room *room = *state;
    start_feed(room, BIG_CACHE);
    append(room, make_event(1, 1700000000, 0, "[]", "first"));
    assert_int_equal(get(room, 1).newer, 0);
    model_lose_tail(room->model, 1);
    append(room, make_event(1, 1700000002, 0, "[]", "second"));
    append(room, make_note(2, 1));
    assert_null(feed_peek(room->feed, 1));
    assert_int_equal(get(room, 1).newer, 2);
    assert_true(room->tap.reads > 0);
}

static void news_that_overtake_an_answer_are_not_lost(void **state)
{
    struct room *room = *state;
    append(room, make_event(1, 1700000000, 0, "[]", "first"));
    struct event *doomed = make_event(1, 1700000001, 1, "[]", "doomed");
    uint8_t id[EVENT_ID_LEN];
    memcpy(id, doomed->id, sizeof id);
    append(room, doomed);
    start_feed(room, BIG_CACHE);
    see_head(room);
    room->tap.hold = true;
    assert_null(feed_get(room->feed, 1));
    spin_turns(&room->loop, 5); /* it is answered, but the answer is still on its way */
    assert_non_null(room->tap.held);
    append(room, make_event(1, 1700000002, 0, "[]", "second"));
    append(room, make_deletion(1, 1700000003, id));
    tap_let_go(&room->tap);
    assert_int_equal(feed_peek(room->feed, 1)->newer, 3);
    assert_int_equal(feed_peek(room->feed, 2)->deleted_by, 4);
}

static void more_deletions_than_a_message_holds_make_all_facts_stale(void **state)
{
    struct room *room = *state;
    start_feed(room, BIG_CACHE);
    append_notes(room, 3, 10);
    struct event *ev = make_note(3, 7);
    const struct queue_tail t = {.ev = {.pos = 4, .event = ev}, .deleted_more = true};
    assert_non_null(feed_peek(room->feed, 1));
    room->tap.follower.on_tail(room->tap.follower.arg, &t);
    assert_null(feed_peek(room->feed, 1));
    assert_non_null(feed_peek(room->feed, 4));
    assert_int_equal(get(room, 1).pos, 1);
    event_unref(ev);
}

static void distrust_reads_everything_again(void **state)
{
    struct room *room = *state;
    start_feed(room, BIG_CACHE);
    append_notes(room, 20, 10);
    assert_non_null(feed_peek(room->feed, 7));
    feed_distrust(room->feed);
    assert_null(feed_peek(room->feed, 7));
    add_reader(room, 1, 20, 0);
    spin_until(&room->loop, all_read, room, "reading");
    assert_int_equal(room->tap.positions_read, 20);
}

static void distrust_now(void *arg)
{
    struct room *room = arg;
    feed_distrust(room->feed);
}

static void a_tail_that_always_has_gaps_stops_nobody(void **state)
{
    struct room *room = *state;
    append_notes(room, 100, 10);
    start_feed(room, BIG_CACHE);
    room->tap.before_answer = distrust_now;
    room->tap.before_answer_arg = room;
    add_reader(room, 1, 100, 3);
    see_head(room);
    spin_until(&room->loop, all_read, room, "reading");
}

static void a_read_that_fails_is_made_again(void **state)
{
    struct room *room = *state;
    append_notes(room, 10, 10);
    start_feed(room, BIG_CACHE);
    room->tap.fail_reads = 3;
    add_reader(room, 1, 10, 0);
    see_head(room);
    spin_until(&room->loop, all_read, room, "reading");
    assert_int_equal(room->tap.reads, 4);
}

static void nothing_is_asked_for_beyond_the_head(void **state)
{
    struct room *room = *state;
    start_feed(room, BIG_CACHE);
    append_notes(room, 2, 10);
    assert_null(feed_get(room->feed, 3));
    assert_null(feed_get(room->feed, 0));
    spin_turns(&room->loop, 10);
    assert_int_equal(room->tap.reads, 0);
}

static void a_lease_reply_may_bring_the_head_first(void **state)
{
    struct room *room = *state;
    append_notes(room, 2, 10);
    start_feed(room, BIG_CACHE);
    assert_int_equal(feed_head(room->feed), 0);
    feed_saw_head(room->feed, 2);
    feed_saw_head(room->feed, 1);
    assert_int_equal(feed_head(room->feed), 2);
    spin_turns(&room->loop, 3);
    assert_int_equal(room->news, 1);
    assert_int_equal(get(room, 2).pos, 2);
}

static void a_tail_that_fell_silent_is_noticed_by_lease_replies(void **state)
{
    struct room *room = *state;
    start_feed(room, BIG_CACHE);
    append(room, make_event(1, 1700000000, 0, "[]", "first"));
    assert_int_equal(get(room, 1).newer, 0);
    room->model->ops->follow(room->model, NULL); /* tail and beats go nowhere */
    append(room, make_event(1, 1700000002, 0, "[]", "second"));
    feed_saw_head(room->feed, 2);
    assert_non_null(feed_peek(room->feed, 1)); /* the tail may still be on its way */
    feed_saw_head(room->feed, 2);
    assert_null(feed_peek(room->feed, 1));
    assert_int_equal(get(room, 1).newer, 2);
}

static void it_may_be_freed_while_it_reads(void **state)
{
    struct room *room = *state;
    append_notes(room, 2, 10);
    start_feed(room, BIG_CACHE);
    feed_saw_head(room->feed, 2);
    room->tap.hold = true;
    assert_null(feed_get(room->feed, 1));
    spin_turns(&room->loop, 5);
    assert_non_null(room->tap.held); /* teardown frees the feed, then lets the answer go */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(an_event_is_read_once_for_all_who_move_together),
        T(who_keeps_up_with_the_tail_reads_nothing),
        T(what_the_tail_lost_is_read),
        T(the_end_of_the_tail_may_be_lost_too),
        T(a_cache_without_room_still_hands_everything_out),
        T(lanes_far_behind_leave_the_others_their_tail),
        T(the_oldest_of_the_tail_go_first),
        T(a_reach_that_is_never_used_gets_shorter),
        T(the_tail_tells_who_is_superseded_and_deleted),
        T(after_a_gap_facts_are_read_before_anything_is_handed_out),
        T(news_that_overtake_an_answer_are_not_lost),
        T(more_deletions_than_a_message_holds_make_all_facts_stale),
        T(distrust_reads_everything_again),
        T(a_tail_that_always_has_gaps_stops_nobody),
        T(a_read_that_fails_is_made_again),
        T(nothing_is_asked_for_beyond_the_head),
        T(a_lease_reply_may_bring_the_head_first),
        T(a_tail_that_fell_silent_is_noticed_by_lease_replies),
        T(it_may_be_freed_while_it_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
