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
    assert_int_equal(r.lease.heartbeat_number, 17);
    assert_memory_equal(r.lease.heartbeat->bytes, event_json, sizeof event_json - 1);
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
    assert_int_equal(r.depth.heartbeat.number, 7);
    assert_int_equal(r.depth.heartbeat.accepted_ms, 8);
    assert_int_equal(r.depth.heartbeat.taken, 9);
    assert_int_equal(r.depth.heartbeat.taken_ms, 10);
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
    assert_int_equal(r.receipt.lanes[2].history_len, 2);
    assert_memory_equal(r.receipt.lanes[2].history, rows, sizeof rows);
    struct receipt_lane lanes[COUNT_OF(receipts)];
    memcpy(lanes, r.receipt.lanes, sizeof lanes);
    lanes[2].history = rows;
    assert_memory_equal(lanes, receipts, sizeof receipts);
    r.receipt.lanes = receipts;
    assert_memory_equal(&r.receipt, &all_replies[6].receipt, sizeof r.receipt);
    wire_arena_free(&a);
}

static void operators_requests_keep_every_field(void **state)
{
    (void)state;
    struct wire_arena a = {0};
    struct wire_request r;
    get_request(9, &a, &r);
    assert_memory_equal(&r.hold, &all_requests[9].hold, sizeof r.hold);
    get_request(10, &a, &r);
    assert_int_equal(r.failed.filter.ids_len, 2);
    assert_memory_equal(r.failed.filter.ids, ids, sizeof ids);
    r.failed.filter.ids = ids;
    assert_memory_equal(&r.failed, &all_requests[10].failed, sizeof r.failed);
    get_request(11, &a, &r);
    assert_null(r.failed.filter.ids);
    get_request(13, &a, &r);
    assert_memory_equal(&r.cancel, &all_requests[13].cancel, sizeof r.cancel);
    wire_arena_free(&a);
}

static void operators_answers_keep_every_field(void **state)
{
    (void)state;
    struct wire_arena a = {0};
    struct wire_reply r;
    get_reply(9, &a, &r);
    assert_int_equal(r.registry.version, 3);
    assert_int_equal(r.registry.defined_ms, 1234);
    assert_string_equal(r.registry.defined_by, "me@here");
    assert_int_equal(r.registry.lanes_len, 2);
    struct lane_entry e = r.registry.lanes[0];
    assert_int_equal(e.versions_len, 2);
    assert_true(definition_equal(&e.versions[0].definition, &definition));
    assert_int_equal(e.versions[0].version, 1);
    assert_int_equal(e.versions[0].from, 10);
    assert_true(e.versions[1].waits);
    e.versions = versions;
    assert_memory_equal(&e, &entries[0], sizeof e);
    get_reply(10, &a, &r);
    assert_int_equal(r.hold.waiting, 12);
    assert_int_equal(r.hold.given_up, 13);
    assert_true(r.hold.changed);
    get_reply(11, &a, &r);
    assert_int_equal(r.failed.rows_len, 2);
    assert_memory_equal(r.failed.rows, failed_rows, sizeof failed_rows);
    get_reply(12, &a, &r);
    assert_memory_equal(r.failed.groups, groups, sizeof groups);
    assert_int_equal(r.failed.job, 7);
    assert_true(r.failed.more);
    assert_memory_equal(&r.failed.next, &all_replies[12].failed.next, sizeof r.failed.next);
    get_reply(13, &a, &r);
    assert_int_equal(r.jobs.len, 2);
    assert_memory_equal(r.jobs.jobs, jobs, sizeof jobs);
    wire_arena_free(&a);
}

/* A filter by ids that is empty means nothing; without ids it means everything. */
static void no_ids_and_any_id_are_told_apart(void **state)
{
    (void)state;
    struct wire_arena a = {0};
    struct wire_request r = all_requests[10];
    struct buf b;
    buf_init(&b, WIRE_MESSAGE_MAX);
    r.failed.filter.ids_len = 0;
    assert_int_equal(wire_put_request(&b, &r), ERR_NONE);
    assert_int_equal(wire_get_request(b.data, b.len, &a, &r), ERR_NONE);
    assert_non_null(r.failed.filter.ids);
    assert_int_equal(r.failed.filter.ids_len, 0);
    buf_fini(&b);
    wire_arena_free(&a);
}

static void a_page_of_no_rows_or_too_many_is_refused(void **state)
{
    (void)state;
    static const struct {
        enum failed_do what;
        uint32_t limit;
        enum err e;
    } cases[] = {{FAILED_LIST, 0, ERR_INVALID},
                 {FAILED_LIST, FAILED_PAGE_MAX, ERR_NONE},
                 {FAILED_LIST, FAILED_PAGE_MAX + 1, ERR_INVALID},
                 {FAILED_COUNT, 0, ERR_NONE},
                 {FAILED_PURGE, FAILED_PAGE_MAX + 1, ERR_INVALID},
                 {FAILED_DO_COUNT, 1, ERR_INVALID}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct wire_arena a = {0};
        struct wire_request r = {.type = WIRE_FAILED,
                                 .failed = {.what = cases[i].what, .limit = cases[i].limit}};
        struct buf b;
        buf_init(&b, WIRE_MESSAGE_MAX);
        assert_int_equal(wire_put_request(&b, &r), ERR_NONE);
        assert_int_equal(wire_get_request(b.data, b.len, &a, &r), cases[i].e);
        buf_fini(&b);
        wire_arena_free(&a);
    }
}

/* One more of anything than its maximum is refused, although its bytes are all there. */
static void bounds_hold_where_the_bytes_are_there(void **state)
{
    (void)state;
    struct wire_arena a = {0};
    static struct replay_job many_jobs[JOBS_MAX + 1];
    static struct failed_row many_rows[FAILED_PAGE_MAX + 1];
    static struct row many[HISTORY_MAX + 1];
    static uint8_t many_ids[FILTER_IDS_MAX + 1][EVENT_ID_LEN];
    struct receipt_lane lane = {.history = many, .history_len = HISTORY_MAX + 1};
    struct wire_reply replies[] = {
        {.type = WIRE_JOBS, .jobs = {many_jobs, JOBS_MAX + 1}},
        {.type = WIRE_FAILED, .failed = {.rows = many_rows, .rows_len = FAILED_PAGE_MAX + 1}},
        {.type = WIRE_RECEIPT, .receipt = {.lanes = &lane, .lanes_len = 1}},
    };
    struct wire_request q = {.type = WIRE_FAILED,
                             .failed = {.what = FAILED_COUNT,
                                        .filter = {.ids = (const uint8_t(*)[EVENT_ID_LEN])many_ids,
                                                   .ids_len = FILTER_IDS_MAX + 1}}};
    struct buf b;
    buf_init(&b, WIRE_MESSAGE_MAX);
    for (size_t i = 0; i < COUNT_OF(replies); i++) {
        struct wire_reply r;
        buf_clear(&b);
        assert_int_equal(wire_put_reply(&b, &replies[i]), ERR_NONE);
        assert_int_equal(wire_get_reply(b.data, b.len, &a, &r), ERR_INVALID);
    }
    for (int more = 1; more >= 0; more--) {
        struct wire_request r;
        buf_clear(&b);
        q.failed.filter.ids_len = FILTER_IDS_MAX + (size_t)more;
        assert_int_equal(wire_put_request(&b, &q), ERR_NONE);
        assert_int_equal(wire_get_request(b.data, b.len, &a, &r), more ? ERR_INVALID : ERR_NONE);
    }
    buf_fini(&b);
    wire_arena_free(&a);
}

static void statistics_keep_every_field(void **state)
{
    (void)state;
    struct wire_arena a = {0};
    struct wire_request q;
    struct wire_reply r;
    get_request(14, &a, &q);
    assert_int_equal(q.observe.source, STAT_PROBE);
    assert_int_equal(q.observe.epoch, 77);
    assert_memory_equal(q.observe.list, observations, sizeof observations);
    get_request(15, &a, &q);
    assert_int_equal(q.statistics.since, 88);
    assert_int_equal(q.statistics.after, 3);
    get_request(16, &a, &q);
    assert_int_equal(q.lead.id[0], 1);
    assert_string_equal(q.lead.name, "host:1");
    assert_true(q.lead.leaving);
    get_reply(16, &a, &r);
    assert_int_equal(r.observe.taken, 2);
    assert_int_equal(r.observe.unknown, 1);
    assert_int_equal(r.observe.now_ms, 1234);
    get_reply(17, &a, &r);
    assert_int_equal(r.statistics.now_ms, 1234);
    assert_int_equal(r.statistics.version, 5);
    assert_int_equal(r.statistics.next, 6);
    assert_string_equal(r.statistics.relays[0].url, "wss://relay.example");
    assert_memory_equal(r.statistics.relays[0].paths, ways, sizeof ways);
    get_reply(18, &a, &r);
    assert_true(r.lead.leads);
    assert_int_equal(r.lead.epoch, 5);
    assert_string_equal(r.lead.leader, "host:1");
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
        cmocka_unit_test(operators_requests_keep_every_field),
        cmocka_unit_test(operators_answers_keep_every_field),
        cmocka_unit_test(no_ids_and_any_id_are_told_apart),
        cmocka_unit_test(a_page_of_no_rows_or_too_many_is_refused),
        cmocka_unit_test(bounds_hold_where_the_bytes_are_there),
        cmocka_unit_test(statistics_keep_every_field),
    };
    return cmocka_run_group_tests(tests, fill, empty);
}
