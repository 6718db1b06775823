/* Field by field: what was packed is what is read. */
#include "tests/unit/wire_samples.h"

static void get_request(size_t i, struct wire_arena *a, struct wire_request *out)
{
    struct buf b;
    buf_init(&b, WIRE_MESSAGE_MAX);
    assert_int_equal(wire_put_request(&b, &all_requests[i]), ERR_NONE);
    assert_int_equal(wire_get_request(wire_copy(a, b.data, b.len, 1), b.len, a, out), ERR_NONE);
    buf_fini(&b);
}

static void get_reply(size_t i, struct wire_arena *a, struct wire_reply *out)
{
    struct buf b;
    buf_init(&b, WIRE_MESSAGE_MAX);
    assert_int_equal(wire_put_reply(&b, &all_replies[i]), ERR_NONE);
    assert_int_equal(wire_get_reply(wire_copy(a, b.data, b.len, 1), b.len, a, out), ERR_NONE);
    buf_fini(&b);
}

static void requests_keep_every_field(void **state)
{
    (void)state;
    struct wire_arena a = {0};
    struct wire_request r;
    get_request(0, &a, &r);
    assert_int_equal(r.append.len, 2);
    assert_int_equal(r.append.events[0].len, sizeof event_json - 1);
    assert_memory_equal(r.append.events[0].p, event_json, sizeof event_json - 1);
    get_request(2, &a, &r);
    assert_int_equal(r.read.from, 5);
    assert_true(r.read.to == UINT64_MAX);
    get_request(3, &a, &r);
    assert_int_equal(r.lease.publisher[1], 2);
    assert_string_equal(r.lease.name, "host:1");
    assert_int_equal(r.lease.routes, 3);
    assert_true(r.lease.leaving);
    assert_memory_equal(r.lease.held, held, sizeof held);
    get_request(5, &a, &r);
    assert_true(definition_equal(&r.define.defs[1], &defs[1]));
    get_request(7, &a, &r);
    assert_memory_equal(r.receipt, all_requests[7].receipt, EVENT_ID_LEN);
    wire_arena_free(&a);
}

static void commits_keep_every_field(void **state)
{
    (void)state;
    struct wire_arena a = {0};
    struct wire_request r;
    get_request(4, &a, &r);
    const struct lane_commit *c = r.commit.lanes;
    assert_int_equal(c->lane, 3);
    assert_int_equal(c->epoch, 9);
    assert_int_equal(c->seq, 2);
    assert_int_equal(c->position, 100);
    assert_int_equal(c->floor, 17);
    assert_int_equal(c->exceptions_len, 2);
    assert_memory_equal(c->exceptions, exceptions, sizeof exceptions);
    assert_int_equal(c->rows_added_len, 2);
    assert_memory_equal(c->rows_added, rows, sizeof rows);
    assert_int_equal(c->rows_removed_len, 3);
    assert_memory_equal(c->rows_removed, positions, sizeof positions);
    assert_int_equal(c->requests_taken, 6);
    assert_int_equal(c->definition_version, 4);
    assert_int_equal(c->stalls, 1);
    assert_int_equal(c->delivered, 42);
    assert_memory_equal(&c->learned, &learned, sizeof learned);
    assert_int_equal(c->paths_len, 2);
    assert_memory_equal(c->paths, paths, sizeof paths);
    assert_null(c[1].exceptions);
    wire_arena_free(&a);
}

static void leases_keep_every_field(void **state)
{
    (void)state;
    struct wire_arena a = {0};
    struct wire_reply r;
    get_reply(2, &a, &r);
    assert_int_equal(r.lease.now_ms, 123);
    assert_int_equal(r.lease.head, 99);
    assert_int_equal(r.lease.registry_version, 4);
    const struct lane_grant *g = r.lease.grants;
    assert_int_equal(g->lane, 3);
    assert_int_equal(g->epoch, 9);
    assert_int_equal(g->start, 1);
    assert_int_equal(g->position, 50);
    assert_int_equal(g->definition_version, 2);
    assert_true(definition_equal(&g->definition, &definition));
    assert_int_equal(g->next_version, 3);
    assert_true(definition_equal(&g->next, &other));
    assert_true(g->held);
    assert_int_equal(g->stalls, 2);
    assert_memory_equal(g->exceptions, exceptions, sizeof exceptions);
    assert_memory_equal(g->requests, requests, sizeof requests);
    assert_memory_equal(&g->learned, &learned, sizeof learned);
    const struct lane_kept *k = r.lease.kept;
    assert_int_equal(k->lane, 5);
    assert_int_equal(k->floor, 40);
    assert_int_equal(k->next_version, 2);
    assert_true(definition_equal(k->next, &other));
    assert_true(k->held && k->give_back);
    assert_int_equal(k->requests_len, 2);
    assert_null(k[1].next);
    assert_memory_equal(r.lease.lost, lost, sizeof lost);
    wire_arena_free(&a);
}

static void events_keep_every_field(void **state)
{
    (void)state;
    struct wire_arena a = {0};
    struct wire_reply r;
    get_reply(1, &a, &r);
    assert_int_equal(r.read.head, 99);
    assert_int_equal(r.read.len, 2);
    const struct queue_event *e = r.read.events;
    assert_int_equal(e->pos, 7);
    assert_int_equal(e->accepted_ms, 1700000000000);
    assert_int_equal(e->newer, 8);
    assert_int_equal(e->deleted_by, 9);
    assert_int_equal(e->event->len, sizeof event_json - 1);
    assert_memory_equal(e->event->bytes, event_json, sizeof event_json - 1);
    assert_int_equal(e[1].gone, GONE_TRIMMED);
    assert_null(e[1].event);
    struct buf b;
    struct wire_published pub;
    buf_init(&b, WIRE_MESSAGE_MAX);
    put_published(&b, 1);
    assert_int_equal(wire_get_published(b.data, b.len, &a, &pub), ERR_NONE);
    assert_int_equal(pub.tails[0].ev.pos, 7);
    assert_int_equal(pub.tails[0].superseded_len, 1);
    assert_int_equal(pub.tails[0].superseded[0], 11);
    assert_int_equal(pub.tails[0].deleted_len, 3);
    assert_memory_equal(pub.tails[0].deleted, positions, sizeof positions);
    assert_true(pub.tails[0].deleted_more);
    buf_fini(&b);
    wire_arena_free(&a);
}

static void answers_keep_every_field(void **state)
{
    (void)state;
    struct wire_arena a = {0};
    struct wire_reply r;
    get_reply(0, &a, &r);
    assert_int_equal(r.append.len, 3);
    assert_int_equal(r.append.results[0].result.pos, 77);
    assert_true(r.append.results[0].result.duplicate);
    assert_int_equal(r.append.results[0].result.requeued, 2);
    assert_int_equal(r.append.results[1].err, ERR_FULL);
    assert_string_equal(r.append.results[1].why, "error: full");
    assert_null(r.append.results[2].why);
    get_reply(3, &a, &r);
    assert_memory_equal(r.commit.lanes, committed, sizeof committed);
    get_reply(4, &a, &r);
    assert_memory_equal(&r.define, &all_replies[4].define, sizeof r.define);
    get_reply(7, &a, &r);
    assert_int_equal(r.err, ERR_CLOSED);
    assert_string_equal(r.why, "closing");
    wire_arena_free(&a);
}

static void status_and_receipt_keep_every_field(void **state)
{
    (void)state;
    struct wire_arena a = {0};
    struct wire_reply r;
    get_reply(5, &a, &r);
    assert_int_equal(r.depth.lanes_len, 2);
    struct lane_status s = r.depth.lanes[0];
    assert_true(definition_equal(&s.definition, &definition));
    assert_memory_equal(s.paths, paths, sizeof paths);
    s.paths = paths;
    s.definition = definition;
    assert_memory_equal(&s, &statuses[0], sizeof s);
    r.depth.lanes = statuses;
    assert_memory_equal(&r.depth, &all_replies[5].depth, sizeof r.depth);
    get_reply(6, &a, &r);
    assert_memory_equal(r.receipt.lanes, receipts, sizeof receipts);
    r.receipt.lanes = receipts;
    assert_memory_equal(&r.receipt, &all_replies[6].receipt, sizeof r.receipt);
    wire_arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_keep_every_field),
        cmocka_unit_test(commits_keep_every_field),
        cmocka_unit_test(leases_keep_every_field),
        cmocka_unit_test(events_keep_every_field),
        cmocka_unit_test(answers_keep_every_field),
        cmocka_unit_test(status_and_receipt_keep_every_field),
    };
    return cmocka_run_group_tests(tests, fill, empty);
}
