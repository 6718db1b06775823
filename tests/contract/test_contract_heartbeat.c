/* The contract's promises about the lane that is built in: what comes in on it is durable, is
 * handed to publishers until one commits it, and stands in nothing else. */
#include "queue/heartbeat.h"
#include "tests/support/contract.h"

static struct append_result beat(struct rig *r, unsigned n)
{
    return append(r, make_heartbeat(n));
}

static struct queue_depth depth(struct rig *r)
{
    struct answer a;
    ask_depth(&r->loop, r->q, &a);
    if (a.e != ERR_NONE)
        die("depth was answered %s", err_name(a.e));
    struct queue_depth out = a.depth;
    out.lanes = NULL;
    answer_free(&a);
    return out;
}

/* The number that publisher `who` is handed; 0: none. It must be heartbeat `n` then. */
static uint64_t due(struct rig *r, unsigned who, unsigned n)
{
    struct holder h;
    struct answer a;
    holder_init(&h, who);
    holder_lease(r, &h, &a);
    uint64_t number = a.lease.heartbeat_number;
    assert_true((number != 0) == (a.lease.heartbeat != NULL));
    if (number != 0) {
        struct event *ev = make_heartbeat(n);
        assert_true(heartbeat_is(a.lease.heartbeat));
        assert_int_equal(a.lease.heartbeat->len, ev->len);
        assert_memory_equal(a.lease.heartbeat->bytes, ev->bytes, ev->len);
        event_unref(ev);
    }
    answer_free(&a);
    return number;
}

static enum commit_status commit(struct rig *r, uint64_t number)
{
    const struct lane_commit c = {.lane = HEARTBEAT_LANE, .position = number};
    struct answer a;
    ask_commit(&r->loop, r->q, &c, 1, &a);
    if (a.e != ERR_NONE || a.committed_len != 1 || a.committed[0].lane != HEARTBEAT_LANE)
        die("a heartbeat's commit was answered %s", err_name(a.e));
    enum commit_status status = a.committed[0].status;
    answer_free(&a);
    return status;
}

static void it_is_handed_out_until_somebody_commits_it(void **state)
{
    struct rig *r = *state;
    assert_int_equal(due(r, 1, 0), 0);
    struct append_result got = beat(r, 1);
    assert_int_equal(got.pos, 0);
    assert_false(got.duplicate);
    assert_int_equal(due(r, 1, 1), 1);
    assert_int_equal(due(r, 2, 1), 1);
    rig_pass(r, 60000);
    assert_int_equal(due(r, 2, 1), 1);
    assert_int_equal(commit(r, 1), COMMIT_DONE);
    assert_int_equal(commit(r, 1), COMMIT_REPEATED); /* another publisher's */
    assert_int_equal(due(r, 1, 1), 0);
}

static void the_same_again_is_a_duplicate(void **state)
{
    struct rig *r = *state;
    (void)beat(r, 1);
    assert_int_equal(commit(r, 1), COMMIT_DONE);
    struct append_result got = beat(r, 1);
    assert_true(got.duplicate);
    assert_int_equal(got.pos, 0);
    assert_int_equal(due(r, 1, 1), 0);
    assert_int_equal(depth(r).heartbeat.number, 1);
}

static void the_latest_alone_is_kept(void **state)
{
    struct rig *r = *state;
    for (unsigned n = 1; n <= 5; n++)
        (void)beat(r, n);
    assert_int_equal(due(r, 1, 5), 5);
    assert_int_equal(commit(r, 4), COMMIT_DONE); /* by who had it in hand */
    assert_int_equal(due(r, 1, 5), 5);
    assert_int_equal(commit(r, 6), COMMIT_INVALID);
    assert_int_equal(commit(r, 5), COMMIT_DONE);
    assert_int_equal(commit(r, 3), COMMIT_REPEATED);
    assert_int_equal(depth(r).heartbeat.taken, 5);
}

static void its_times_are_told(void **state)
{
    struct rig *r = *state;
    struct heartbeat none = depth(r).heartbeat;
    assert_int_equal(none.number + none.taken, 0);
    (void)beat(r, 1);
    int64_t accepted_ms = r->wall_ms;
    rig_pass(r, 2000);
    assert_int_equal(commit(r, 1), COMMIT_DONE);
    struct heartbeat h = depth(r).heartbeat;
    assert_int_equal(h.number, 1);
    assert_int_equal(h.accepted_ms, accepted_ms);
    assert_int_equal(h.taken, 1);
    assert_int_equal(h.taken_ms, accepted_ms + 2000);
}

static void it_stands_in_no_count(void **state)
{
    struct rig *r = *state;
    struct holder h;
    struct answer a;
    define_relays(r, 2);
    append_notes(r, 3);
    holder_init(&h, 1);
    holder_lease(r, &h, NULL);
    deliver(r, &h, 1, 2);
    struct queue_depth before = depth(r);
    struct lane_status lane = status(r, 1);
    for (unsigned n = 1; n <= 20; n++)
        (void)beat(r, n);
    assert_int_equal(commit(r, 20), COMMIT_DONE);
    struct queue_depth after = depth(r);
    assert_int_equal(after.head, before.head);
    assert_int_equal(after.events, before.events);
    assert_int_equal(after.bytes, before.bytes);
    assert_int_equal(after.lanes_len, before.lanes_len);
    assert_int_equal(status(r, 1).depth, lane.depth);
    assert_int_equal(status(r, 1).delivered, lane.delivered);
    struct event *ev = make_heartbeat(20);
    ask_receipt(&r->loop, r->q, ev->id, &a);
    assert_int_equal(a.e, ERR_NOT_FOUND);
    answer_free(&a);
    event_unref(ev);
    assert_int_equal(append_note(r, 4), 4);
}

static void it_needs_no_relay_and_no_room(void **state)
{
    const struct rig_options small = {
        .retention_ms = RIG_RETENTION_MS, .max_bytes = 2000, .lane_max = 2000};
    struct rig *r = contract_again(state, &small);
    (void)beat(r, 1);
    define_relays(r, 1);
    enum err e = ERR_NONE;
    for (unsigned n = 1; e == ERR_NONE && n < 100; n++) {
        struct event *ev = make_note(0, n);
        struct answer a;
        ask_append(&r->loop, r->q, ev, &a);
        e = a.e;
        event_unref(ev);
        answer_free(&a);
    }
    assert_int_equal(e, ERR_FULL);
    (void)beat(r, 2);
    assert_int_equal(due(r, 1, 2), 2);
}

static void it_survives_a_restart(void **state)
{
    struct rig *r = *state;
    (void)beat(r, 1);
    assert_int_equal(commit(r, 1), COMMIT_DONE);
    (void)beat(r, 2);
    struct heartbeat before = depth(r).heartbeat;
    rig_restart(r);
    struct heartbeat h = depth(r).heartbeat;
    assert_memory_equal(&h, &before, sizeof h);
    assert_int_equal(due(r, 1, 2), 2);
    assert_true(beat(r, 2).duplicate);
    assert_int_equal(commit(r, 2), COMMIT_DONE);
}

/* What only looks like one is an event like any other. */
static void others_of_its_kind_are_no_heartbeats(void **state)
{
    struct rig *r = *state;
    define_relays(r, 1);
    assert_int_equal(append(r, make_event(0, 1700000000, HEARTBEAT_KIND, "[]", HEARTBEAT_TEXT)).pos,
                     1);
    assert_int_equal(append(r, make_event(0, 1700000000, HEARTBEAT_KIND, HEARTBEAT_TAGS, "")).pos,
                     2);
    assert_int_equal(append(r, make_event(0, 1700000000, 1, HEARTBEAT_TAGS, HEARTBEAT_TEXT)).pos,
                     3);
    assert_int_equal(depth(r).heartbeat.number, 0);
}

/* Beside relays' commits in one call, each answered for itself. */
static void it_travels_with_other_commits(void **state)
{
    struct rig *r = *state;
    struct holder h;
    struct answer a;
    define_relays(r, 1);
    append_notes(r, 2);
    (void)beat(r, 1);
    holder_init(&h, 1);
    holder_lease(r, &h, NULL);
    const struct lane_commit both[] = {holder_next(&h, 1, 2),
                                       {.lane = HEARTBEAT_LANE, .position = 1}};
    ask_commit(&r->loop, r->q, both, 2, &a);
    assert_int_equal(a.e, ERR_NONE);
    assert_int_equal(a.committed_len, 2);
    assert_int_equal(a.committed[0].status, COMMIT_DONE);
    assert_int_equal(a.committed[1].status, COMMIT_DONE);
    assert_int_equal(a.committed[1].position, 1);
    answer_free(&a);
    assert_int_equal(status(r, 1).position, 2);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(it_is_handed_out_until_somebody_commits_it),
        CASE(the_same_again_is_a_duplicate),
        CASE(the_latest_alone_is_kept),
        CASE(its_times_are_told),
        CASE(it_stands_in_no_count),
        CASE(it_needs_no_relay_and_no_room),
        CASE(it_survives_a_restart),
        CASE(others_of_its_kind_are_no_heartbeats),
        CASE(it_travels_with_other_commits),
    };
    return contract_run("the built-in lane", cases, COUNT_OF(cases));
}
