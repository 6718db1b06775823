/* The broker with its store and real sockets. What the store decides is the contract suite's; here
 * it is what lies between: turns, followers, leases, long reads. */
#include "tests/support/broker_world.h"

static void an_event_goes_all_the_way(void **state)
{
    struct world *w = *state;
    struct answer a;
    world_define(w, 1);
    assert_int_equal(world_append_note(w, 0, 1).pos, 1);
    struct append_result twice = world_append_note(w, 1, 1);
    assert_true(twice.duplicate);
    assert_int_equal(twice.pos, 1);

    ask_read(&w->loop, w->q[1], 1, UINT64_MAX, &a);
    assert_int_equal(a.read.len, 1);
    assert_int_equal(a.read.head, 1);
    struct event *ev = make_note(0, 1);
    assert_memory_equal(a.read.events[0].event->id, ev->id, EVENT_ID_LEN);
    answer_free(&a);

    world_lease(w, 0, NULL, 0, &a);
    assert_int_equal(a.lease.grants_len, 1);
    assert_int_equal(a.lease.head, 1);
    assert_int_equal(a.lease.now_ms, w->wall_ms);
    assert_string_equal(a.lease.grants[0].definition.url, "wss://r0.example");
    struct lane_commit c = {.lane = a.lease.grants[0].lane,
                            .epoch = a.lease.grants[0].epoch,
                            .seq = 1,
                            .position = 1,
                            .definition_version = a.lease.grants[0].definition_version,
                            .delivered = 1};
    answer_free(&a);
    ask_commit(&w->loop, w->q[0], &c, 1, &a);
    assert_int_equal(a.e, ERR_NONE);
    assert_int_equal(a.committed[0].status, COMMIT_DONE);
    answer_free(&a);

    ask_receipt(&w->loop, w->q[1], ev->id, &a);
    assert_int_equal(a.e, ERR_NONE);
    assert_int_equal(a.receipt.lanes_len, 1);
    assert_int_equal(a.receipt.lanes[0].end, RECEIPT_DELIVERED);
    answer_free(&a);
    ask_depth(&w->loop, w->q[1], &a);
    assert_int_equal(a.depth.lanes[0].depth, 0);
    assert_string_equal(a.depth.lanes[0].publisher, "host:0");
    answer_free(&a);
    event_unref(ev);
}

static void refusals_come_with_words(void **state)
{
    struct world *w = *state;
    struct event *ev = make_note(0, 1);
    struct answer a;
    ask_append(&w->loop, w->q[0], ev, &a);
    assert_int_equal(a.e, ERR_NO_LANES);
    assert_string_not_equal(a.why, "");
    answer_free(&a);
    ask_receipt(&w->loop, w->q[0], ev->id, &a);
    assert_int_equal(a.e, ERR_NOT_FOUND);
    answer_free(&a);
    event_unref(ev);
}

/* One message is published a commit: so many events in it shared theirs. */
static void appends_that_come_together_share_a_commit(void **state)
{
    struct world *w = *state;
    void *ctx = zmq_ctx_new(), *sub = endpoint_socket(ctx, ZMQ_SUB, 100);
    zmq_setsockopt(sub, ZMQ_SUBSCRIBE, "", 0);
    assert_int_equal(endpoint_connect(sub, w->at.tail), ERR_NONE);
    world_define(w, 1);
    zmq_msg_t m;
    zmq_msg_init(&m);
    while (!endpoint_recv(sub, &m)) /* a beat: subscribed */
        uv_run(&w->loop, UV_RUN_NOWAIT);
    world_append_notes(w, 0, 1, 500);
    world_await_answers(w, 500);
    struct wire_published p = {0};
    struct wire_arena a = {0};
    while (p.topic != WIRE_TOPIC_TAIL) {
        if (endpoint_recv(sub, &m))
            assert_int_equal(wire_get_published(zmq_msg_data(&m), zmq_msg_size(&m), &a, &p),
                             ERR_NONE);
        uv_run(&w->loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(p.tails_len, 500);
    assert_int_equal(p.head, 500);
    assert_int_equal(p.tails[499].ev.pos, 500);
    zmq_msg_close(&m);
    wire_arena_free(&a);
    zmq_close(sub);
    endpoint_end(ctx);
}

static void two_clients_append_and_both_follow_from_one_log(void **state)
{
    struct world *w = *state;
    world_define(w, 2);
    world_follow(w, 1);
    world_append_notes(w, 0, 1, 50);
    world_append_notes(w, 1, 51, 100);
    world_append_notes(w, 0, 51, 60);
    world_await_answers(w, 110);
    assert_int_equal(w->failed + w->unknown, 0);
    assert_int_equal(w->duplicates, 10);
    world_await_tail(w, 100);
    assert_int_equal(w->tails, 100);
    assert_int_equal(world_head_of(w, 0), 100);
}

static void a_lost_tail_is_shown_by_the_beat(void **state)
{
    struct world *w = *state;
    world_define(w, 1);
    world_follow(w, 1);
    broker_lose_tail(w->broker, 2);
    world_append_notes(w, 0, 1, 3);
    world_await_tail(w, 3);
    world_await_head(w, 3);
    assert_int_equal(w->tails, 1);
}

static void lanes_are_shared_between_two_publishers_and_pass_on(void **state)
{
    struct world *w = *state;
    struct lease_held held[4];
    struct answer a;
    world_define(w, 4);
    world_lease(w, 0, NULL, 0, &a);
    assert_int_equal(a.lease.grants_len, 4);
    for (int i = 0; i < 4; i++)
        held[i] = (struct lease_held){.lane = a.lease.grants[i].lane,
                                      .epoch = a.lease.grants[i].epoch,
                                      .live = {.state = LANE_OPEN, .in_flight = 3}};
    answer_free(&a);
    world_lease(w, 1, NULL, 0, &a);
    assert_int_equal(a.lease.grants_len, 0);
    answer_free(&a);
    world_lease(w, 0, held, 4, &a);
    assert_int_equal(a.lease.kept_len, 4);
    for (int i = 0; i < 4; i++)
        held[i].give_back = a.lease.kept[i].give_back;
    answer_free(&a);
    ask_depth(&w->loop, w->q[1], &a);
    assert_int_equal(a.depth.lanes[0].live.state, LANE_OPEN);
    assert_int_equal(a.depth.lanes[0].live.in_flight, 3);
    answer_free(&a);
    world_lease(w, 0, held, 4, &a);
    assert_int_equal(a.lease.kept_len, 2);
    answer_free(&a);
    world_lease(w, 1, NULL, 0, &a);
    assert_int_equal(a.lease.grants_len, 2);
    assert_int_equal(a.lease.grants[0].epoch, 2);
    answer_free(&a);
}

static void a_silent_publisher_loses_its_lanes_and_is_told(void **state)
{
    struct world *w = *state;
    struct answer a;
    world_define(w, 1);
    world_lease(w, 0, NULL, 0, &a);
    struct lease_held held = {.lane = a.lease.grants[0].lane, .epoch = a.lease.grants[0].epoch};
    answer_free(&a);
    w->boot_ms += LEASE_TERM_MS;
    ask_depth(&w->loop, w->q[0], &a);
    assert_int_equal(a.depth.lanes[0].live.state, LANE_UNLEASED);
    assert_string_equal(a.depth.lanes[0].publisher, "");
    answer_free(&a);
    world_lease(w, 1, NULL, 0, &a);
    assert_int_equal(a.lease.grants_len, 1);
    answer_free(&a);
    world_lease(w, 0, &held, 1, &a);
    assert_int_equal(a.lease.lost_len, 1);
    assert_int_equal(a.lease.lost[0], held.lane);
    answer_free(&a);
}

static void a_long_read_comes_in_pieces_without_a_gap(void **state)
{
    struct world *w = *state;
    world_define(w, 1);
    world_append_notes(w, 0, 1, 5000);
    world_await_answers(w, 5000);
    uint64_t next = 1;
    unsigned pieces = 0;
    for (; next <= 5000; pieces++) {
        struct answer a;
        ask_read(&w->loop, w->q[0], next, 6000, &a);
        assert_int_equal(a.e, ERR_NONE);
        assert_true(a.read.len > 0);
        for (size_t i = 0; i < a.read.len; i++)
            assert_int_equal(a.read.events[i].pos, next++);
        answer_free(&a);
    }
    assert_true(pieces > 1);
    struct answer a;
    ask_read(&w->loop, w->q[0], 5001, 6000, &a);
    assert_int_equal(a.read.len, 0);
    answer_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(an_event_goes_all_the_way),
        WORLD_TEST(refusals_come_with_words),
        WORLD_TEST(appends_that_come_together_share_a_commit),
        WORLD_TEST(two_clients_append_and_both_follow_from_one_log),
        WORLD_TEST(a_lost_tail_is_shown_by_the_beat),
        WORLD_TEST(lanes_are_shared_between_two_publishers_and_pass_on),
        WORLD_TEST(a_silent_publisher_loses_its_lanes_and_is_told),
        WORLD_TEST(a_long_read_comes_in_pieces_without_a_gap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
