/* What a queue leaves behind in Redis: keys grow with what is known, and go with it. */
#include "tests/support/contract.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOTES 30u

static long long asked(struct rig *r, const char *command)
{
    redisReply *reply = redis_server_do(r->redis, command);
    long long n =
        reply->type == REDIS_REPLY_STRING ? strtoll(reply->str, NULL, 10) : reply->integer;
    freeReplyObject(reply);
    return n;
}

static void assert_no_key(struct rig *r, const char *name)
{
    char pattern[64];
    (void)snprintf(pattern, sizeof pattern, "volley:%s", name);
    redisReply *keys = redis_server_do(r->redis, "KEYS %s", pattern);
    if (keys->elements > 0)
        fail_msg("%s is still there", keys->element[0]->str);
    freeReplyObject(keys);
}

/* Rows of every kind, what is kept for them, and jobs in every state. */
static void make_history(struct rig *r, struct holder *h)
{
    static const struct row_filter released = {.classes = 1u << CLASS_RELEASED};
    define_relays(r, 3);
    append_notes(r, NOTES);
    holder_init(h, 0);
    holder_lease(r, h, NULL);
    fail_range(r, h, 1, 1, NOTES, CLASS_BLOCKED);
    fail_range(r, h, 2, 1, 5, CLASS_POW);
    assert_int_equal(hold(r, 1, false, true).given_up, NOTES - 5);
    rig_housekeep(r); /* the third relay needs them all */
    (void)replay(r, NULL, 0);
    rig_housekeep(r);
    assert_true(deliver_asked(r, h, 1) > 0);
    assert_true(fail_asked(r, h, 2, CLASS_ERROR) > 0);
    uint64_t n = replay(r, &released, 1000);
    rig_housekeep(r);
    assert_true(take_up(r, h, 2) > 0);
    assert_int_equal(job(r, n).asked, 1);
    rig_pass(r, 60000);
    assert_int_equal(again(r, 1).requeued, 1);
}

static void what_is_forgotten_leaves_no_key(void **state)
{
    static const char *const events[] = {
        "ids",      "at",    "requeued",  "kept",   "keptz", "holds", "refs",   "done",
        "failedms", "loose", "deletions", "latest", "jobs",  "job:*", "asking", "running"};
    static const char *const lanes[] = {"retired",  "leaving", "lane:2",
                                        "lane:2:*", "lane:3",  "lane:3:*"};
    struct rig *r = *state;
    struct definition first = relay(0);
    struct holder h;
    make_history(r, &h);
    assert_int_equal(asked(r, "HLEN volley:ids"), NOTES);
    assert_true(asked(r, "HGET volley:meta bytes") > 0);
    for (int i = 0; i < 4; i++)
        rig_pass(r, RIG_RETENTION_MS);
    for (size_t i = 0; i < COUNT_OF(events); i++)
        assert_no_key(r, events[i]);
    assert_int_equal(asked(r, "XLEN volley:log"), 0);
    assert_int_equal(asked(r, "HGET volley:meta bytes"), 0);
    assert_int_equal(asked(r, "HGET volley:meta kept_bytes"), 0);
    assert_int_equal(asked(r, "HGET volley:lane:1 failed"), 0);
    assert_int_equal(asked(r, "HGET volley:lane:2 expired"), 0);

    (void)define(r, &first, 1);
    assert_int_equal(asked(r, "ZCARD volley:low"), 1);
    rig_pass(r, RIG_RETENTION_MS);
    for (size_t i = 0; i < COUNT_OF(lanes); i++)
        assert_no_key(r, lanes[i]);
    assert_int_equal(append_note(r, NOTES + 1), NOTES + 1);
}

static void a_lane_that_leaves_takes_what_it_kept_along(void **state)
{
    struct rig *r = *state;
    struct definition second = relay(1);
    struct holder h;
    define_relays(r, 2);
    append_notes(r, NOTES);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    fail_range(r, &h, 1, 1, NOTES, CLASS_BLOCKED);
    deliver(r, &h, 2, NOTES);
    rig_housekeep(r);
    assert_int_equal(asked(r, "HLEN volley:kept"), NOTES);
    rig_pass(r, RIG_RETENTION_MS / 2);
    (void)define(r, &second, 1);
    put_row(r, &h, 2,
            &(struct row){.from = NOTES,
                          .to = NOTES,
                          .end = ROW_FAILED,
                          .cls = CLASS_POW,
                          .last_ms = r->wall_ms});
    rig_pass(r, RIG_RETENTION_MS);
    rig_housekeep(r);
    assert_no_key(r, "lane:1*");
    assert_no_key(r, "kept");
    assert_no_key(r, "holds");
}

/* Whatever becomes of it, publishers get their leases. */
static void a_heartbeat_whose_key_is_gone_stops_nobody(void **state)
{
    struct rig *r = *state;
    struct holder h;
    define_relays(r, 1);
    (void)append(r, make_heartbeat(1));
    assert_int_equal(asked(r, "DEL volley:beat"), 1);
    holder_init(&h, 1);
    holder_lease(r, &h, NULL); /* ends the program when it is not answered */
    assert_int_equal(h.lanes_len, 1);
}

int main(void)
{
    static const struct CMUnitTest cases[] = {
        CASE(what_is_forgotten_leaves_no_key),
        CASE(a_lane_that_leaves_takes_what_it_kept_along),
        CASE(a_heartbeat_whose_key_is_gone_stops_nobody),
    };
    if (setenv("VOLLEY_BACKEND", "redis", 1) != 0)
        return 1;
    return contract_run("keys of a queue in Redis", cases, COUNT_OF(cases));
}
