/* The queue's scripts inside a real Redis, where they differ from other queues: what others see of
 * them in Redis, what they refuse, and calls that no client of ours makes. */
#include "queue/redis_facts.h"
#include "queue/redis_scripts.h"
#include "tests/support/contract.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMITS "3600000 1000000000 100000000 500000000"

/* ---- what others see ---- */

/* How far the consumer group of this name lags; -1: there is no such group. */
static long long lag_of(struct rig *r, const char *name)
{
    long long lag = -1;
    redisReply *groups = redis_server_do(r->redis, "XINFO GROUPS volley:log");
    for (size_t i = 0; i < groups->elements; i++) {
        redisReply **field = groups->element[i]->element;
        if (strcmp(field[1]->str, name) != 0)
            continue;
        for (size_t k = 0; k + 1 < groups->element[i]->elements; k += 2) {
            if (strcmp(field[k]->str, "lag") == 0)
                lag = field[k + 1]->integer;
        }
    }
    freeReplyObject(groups);
    return lag;
}

static void a_consumer_group_stands_where_its_lane_does(void **state)
{
    struct rig *r = *state;
    struct holder h;
    struct definition defs[] = {relay(0), relay(1)};
    char first[URL_SIZE + 8], second[URL_SIZE + 8];
    (void)snprintf(first, sizeof first, "1 %s", defs[0].url);
    (void)snprintf(second, sizeof second, "2 %s", defs[1].url);
    define_relays(r, 2);
    assert_int_equal(lag_of(r, first), 0);
    append_notes(r, 5);
    assert_int_equal(lag_of(r, first), 5);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    deliver(r, &h, 1, 3);
    assert_int_equal(lag_of(r, first), 2);
    assert_int_equal(lag_of(r, second), 5);
    /* What the queue gives up by itself does not lag either. */
    rig_pass(r, RIG_RETENTION_MS);
    assert_int_equal(lag_of(r, first), 0);
    assert_int_equal(lag_of(r, second), 0);
    (void)append_note(r, 6);
    assert_int_equal(lag_of(r, second), 1);
    (void)define(r, defs, 1);
    assert_int_equal(lag_of(r, first), 1);
    assert_int_equal(lag_of(r, second), -1);
}

/* ---- refusals ---- */

static void in_low_memory_appends_are_refused_and_commits_go_on(void **state)
{
    struct rig *r = *state;
    struct holder h;
    define_relays(r, 1);
    append_notes(r, 3);
    holder_init(&h, 0);
    redis_server_tell(r->redis, "CONFIG SET maxmemory 1mb");
    holder_lease(r, &h, NULL);
    deliver(r, &h, 1, 1);
    fail_at(r, &h, 1, 2, CLASS_BLOCKED);
    assert_int_equal(append_refused(r, make_note(0, 4)), ERR_FULL);
    rig_housekeep(r);
    redis_server_tell(r->redis, "CONFIG SET maxmemory 0");
    assert_int_equal(append_note(r, 4), 4);
    assert_int_equal(status(r, 1).position, 2);
    assert_int_equal(status(r, 1).failed, 1);
}

/* Calls a script by hand; it may answer an error. */
static redisReply *run(struct rig *r, unsigned verb, const char *store, const struct buf *frame,
                       size_t len, const struct buf *more)
{
    struct buf text;
    buf_init(&text, REDIS_SCRIPT_MAX);
    redis_script_text(verb, &text);
    redisReply *sha = redis_server_do(r->redis, "SCRIPT LOAD %b", text.data, text.len);
    redisReply *now = redis_server_do(r->redis, "HGET volley:meta incarnation");
    const char *incarnation = now->type == REDIS_REPLY_STRING ? now->str : "";
    redisReply *out = redisCommand(r->redis->to, "EVALSHA %s 1 volley %s %s %b %s %b", sha->str,
                                   store, incarnation, frame->data, len, LIMITS,
                                   more != NULL ? (const void *)more->data : "",
                                   more != NULL ? more->len : (size_t)0);
    assert_non_null(out);
    freeReplyObject(sha);
    freeReplyObject(now);
    buf_fini(&text);
    return out;
}

static void put(struct buf *out, const struct wire_request *q)
{
    buf_init(out, WIRE_MESSAGE_MAX);
    assert_int_equal(wire_put_request(out, q), ERR_NONE);
}

static void assert_reply(redisReply *reply, enum wire_type type, enum err e)
{
    if (reply->type != REDIS_REPLY_STRING)
        fail_msg("type %d: %s", (int)type, reply->type == REDIS_REPLY_ERROR ? reply->str : "?");
    struct wire_arena a = {0};
    struct wire_reply r;
    assert_int_equal(wire_get_reply(reply->str, reply->len, &a, &r), ERR_NONE);
    assert_int_equal(r.type, type);
    assert_int_equal(r.number, 77);
    if (r.err != e)
        fail_msg("type %d: %s", (int)type, err_name(r.err));
    wire_arena_free(&a);
    freeReplyObject(reply);
}

/* Cut anywhere, or with a byte too many, it is refused; and whole it is taken. */
static void assert_guarded(struct rig *r, const struct wire_request *q, const struct buf *more)
{
    struct buf whole;
    put(&whole, q);
    for (size_t len = 11; len < whole.len; len++)
        assert_reply(run(r, q->type, "", &whole, len, more), q->type, ERR_INVALID);
    assert_int_equal(buf_add(&whole, "x", 1), ERR_NONE);
    assert_reply(run(r, q->type, "", &whole, whole.len, more), q->type, ERR_INVALID);
    assert_reply(run(r, q->type, "", &whole, whole.len - 1, more), q->type, ERR_NONE);
    buf_fini(&whole);
}

static void frames_that_are_cut_are_refused_as_a_whole(void **state)
{
    struct rig *r = *state;
    struct holder h;
    struct wire_request q = {.type = WIRE_APPEND, .number = 77};
    struct event *ev = make_note(0, 9);
    struct json_span span = {ev->bytes, ev->len};
    struct buf facts;
    struct exception x = {.pos = 2, .attempts = 1};
    struct row row = row_at(1, ROW_FAILED, CLASS_BLOCKED);
    define_relays(r, 1);
    append_notes(r, 3);

    buf_init(&facts, 1024);
    assert_int_equal(redis_facts_put(&facts, ev), ERR_NONE);
    q.append.events = &span;
    q.append.len = 1;
    assert_guarded(r, &q, &facts);
    assert_int_equal(status(r, 1).depth, 4); /* once, not more often */
    buf_fini(&facts);
    event_unref(ev);

    q.type = WIRE_READ;
    q.read.from = 1;
    q.read.to = 3;
    assert_guarded(r, &q, NULL);

    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    struct lane_commit c = holder_next(&h, 1, 3);
    c.exceptions = &x;
    c.exceptions_len = 1;
    c.rows_added = &row;
    c.rows_added_len = 1;
    q.type = WIRE_COMMIT;
    q.commit.lanes = &c;
    q.commit.len = 1;
    assert_guarded(r, &q, NULL);
    assert_int_equal(status(r, 1).position, 3);
    assert_int_equal(status(r, 1).failed, 1);

    struct lease_held held[HOLDER_LANES_MAX];
    q.type = WIRE_LEASE;
    holder_call(&h, held, &q.lease);
    assert_guarded(r, &q, NULL);
}

static void another_queue_is_told_from_this_one(void **state)
{
    struct rig *r = *state;
    struct wire_request q = {.type = WIRE_READ, .number = 77, .read = {1, 1}};
    struct buf frame;
    define_relays(r, 1);
    put(&frame, &q);
    redisReply *store = redis_server_do(r->redis, "HGET volley:meta store");
    assert_reply(run(r, WIRE_READ, store->str, &frame, frame.len, NULL), WIRE_READ, ERR_NONE);
    freeReplyObject(store);
    static const char *const other = "00000000000000000000000000000000";
    redisReply *refused = run(r, WIRE_READ, other, &frame, frame.len, NULL);
    assert_int_equal(refused->type, REDIS_REPLY_ERROR);
    assert_ptr_equal(strstr(refused->str, "VOLLEYOTHER "), refused->str);
    freeReplyObject(refused);
    redis_server_tell(r->redis, "HSET volley:meta format 9");
    refused = run(r, WIRE_READ, "", &frame, frame.len, NULL);
    assert_int_equal(refused->type, REDIS_REPLY_ERROR);
    assert_ptr_equal(strstr(refused->str, "VOLLEYFORMAT "), refused->str);
    freeReplyObject(refused);
    redis_server_tell(r->redis, "HSET volley:meta format 1");
    redis_server_tell(r->redis, "FLUSHALL");
    refused = run(r, WIRE_READ, "", &frame, frame.len, NULL);
    assert_int_equal(refused->type, REDIS_REPLY_ERROR);
    assert_ptr_equal(strstr(refused->str, "VOLLEYOTHER "), refused->str);
    freeReplyObject(refused);
    buf_fini(&frame);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(a_consumer_group_stands_where_its_lane_does),
        CASE(in_low_memory_appends_are_refused_and_commits_go_on),
        CASE(frames_that_are_cut_are_refused_as_a_whole),
        CASE(another_queue_is_told_from_this_one),
    };
    if (setenv("VOLLEY_BACKEND", "redis", 1) != 0)
        return 1;
    return contract_run("scripts in Redis", tests, sizeof tests / sizeof tests[0]);
}
