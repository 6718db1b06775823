/* Every message there and back, cut at every byte, with bytes turned over, and of other versions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "queue/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char event_json[] =
    "{\"id\":\"" HEX64 "\",\"pubkey\":\"" HEX64 "\",\"created_at\":1700000000,\"kind\":1,"
    "\"tags\":[[\"t\",\"x\"]],\"content\":\"hi\",\"sig\":\"" HEX64 HEX64 "\"}";

static struct event *make_event(void)
{
    struct event *ev;
    struct json_span json = {event_json, sizeof event_json - 1};
    assert_int_equal(event_parse(json, EVENT_LEN_MAX, &ev, NULL), ERR_NONE);
    return ev;
}

/* ---- one of everything */

static const struct exception exceptions[] = {{5, 1, EXCEPTION_SENT, 1700000000123},
                                              {9, 2, EXCEPTION_SUSPECT, 0}};
static const struct lane_request requests[] = {{1, 5}, {2, 6}};
static const struct path_stat paths[] = {
    {ROUTE_TOR, FAMILY_IPV6, 10, 8, 2, 1000, 2000, 3000, 44, 55},
    {ROUTE_DIRECT, FAMILY_IPV4, 1, 0, 1, 0, 0, 0, 0, 66}};
static const struct row rows[] = {
    {7, 7, ROW_FAILED, CLASS_BLOCKED, 3, 100, 200, ROUTE_DIRECT, FAMILY_IPV4, "blocked: no"},
    {8, 90, ROW_EXPIRED, CLASS_RETENTION, 0, 1, 1, ROUTE_TOR, FAMILY_NONE, ""}};
static const uint64_t positions[] = {11, 12, 13};
static const uint32_t lost[] = {4, 5};
static const struct learned learned = {32, 10000, FAMILY_IPV6, 2, 1234567};
static const struct lane_live live = {LANE_BACKOFF, 77, 3, FAMILY_IPV4, 88, 99, "refused"};
static const struct definition definition = {.url = "wss://relay.example",
                                             .name = "r",
                                             .route = ROUTE_DIRECT,
                                             .family = MODE_IPV4,
                                             .window = 256,
                                             .rate_per_1000s = 10,
                                             .kinds = {1, 2},
                                             .kinds_len = 2,
                                             .except_kinds = {3},
                                             .except_kinds_len = 1,
                                             .is_private = true,
                                             .hold = true,
                                             .auth_key_file = "key"};
static const struct definition other = {.url = "wss://other.example", .window = 8};

static const struct json_span appends[] = {{event_json, sizeof event_json - 1}, {"{}", 2}};
static const struct lease_held held[] = {
    {3, 9, {.state = LANE_OPEN}, false},
    {4, 10, {LANE_BACKOFF, 77, 3, FAMILY_IPV4, 88, 99, "x"}, true}};
static const struct lane_commit commits[] = {{.lane = 3,
                                              .epoch = 9,
                                              .seq = 2,
                                              .position = 100,
                                              .floor = 17,
                                              .exceptions = exceptions,
                                              .exceptions_len = 2,
                                              .rows_added = rows,
                                              .rows_added_len = 2,
                                              .rows_removed = positions,
                                              .rows_removed_len = 3,
                                              .requests_taken = 6,
                                              .definition_version = 4,
                                              .stalls = 1,
                                              .delivered = 42,
                                              .learned = {32, 10000, FAMILY_IPV6, 2, 1234567},
                                              .paths = paths,
                                              .paths_len = 2},
                                             {.lane = 4, .epoch = 1, .seq = 1}};
static const struct definition defs[] = {{.url = "wss://a.example"}, {.url = "wss://b.example"}};

static const struct wire_request all_requests[] = {
    {.type = WIRE_APPEND, .number = 1, .append = {appends, 2}},
    {.type = WIRE_APPEND, .number = 1},
    {.type = WIRE_READ, .number = 0x0102030405060708, .read = {5, UINT64_MAX}},
    {.type = WIRE_LEASE,
     .number = 3,
     .lease = {.publisher = {1, 2}, .name = "host:1", .routes = 3, .leaving = true, held, 2}},
    {.type = WIRE_COMMIT, .number = 4, .commit = {commits, 2}},
    {.type = WIRE_DEFINE, .number = 5, .define = {defs, 2}},
    {.type = WIRE_DEPTH, .number = 6},
    {.type = WIRE_RECEIPT, .number = 7, .receipt = {9, 8, 7}},
};

static const struct wire_appended appended[] = {
    {ERR_NONE, {77, true, 2}, NULL}, {ERR_FULL, {0}, "error: full"}, {ERR_IO, {0}, NULL}};
static const struct lane_committed committed[] = {{3, COMMIT_DONE, 100}, {4, COMMIT_STALE, 0}};
static struct queue_event events[2]; /* filled by the group's setup */
static struct lane_grant grants[2];
static struct lane_kept kept[2];
static struct lane_status statuses[2];
static struct receipt_lane receipts[3];
static struct queue_tail tails[2];
static struct wire_reply all_replies[9];

static void fill_lanes(void)
{
    grants[0] = (struct lane_grant){3,    9, 1,          50, 2,        definition, 3,      other,
                                    true, 2, exceptions, 2,  requests, 2,          learned};
    grants[1] = (struct lane_grant){.lane = 4, .definition = other, .definition_version = 1};
    kept[0] = (struct lane_kept){5, 40, 2, &other, true, true, requests, 2};
    kept[1] = (struct lane_kept){.lane = 6};
    statuses[0] = (struct lane_status){3, true, 2, definition, 1,    2,        3,       4,     5, 6,
                                       7, 8,    9, true,       live, "host:1", learned, paths, 2};
    statuses[1] = (struct lane_status){.lane = 4, .definition = other};
    receipts[0] = (struct receipt_lane){.lane = 3,
                                        .url = "wss://a",
                                        .name = "a",
                                        .end = RECEIPT_ROW,
                                        .retired = true,
                                        .row = rows[0]};
    receipts[1] = (struct receipt_lane){
        .lane = 4, .end = RECEIPT_RETRYING, .row = rows[1], .exception = exceptions[0]};
    receipts[2] = (struct receipt_lane){.lane = 5, .end = RECEIPT_FILTERED};
}

static int fill(void **state)
{
    (void)state;
    events[0] = (struct queue_event){7, GONE_NO, 1700000000000, make_event(), 8, 9};
    events[1] = (struct queue_event){.pos = 8, .gone = GONE_TRIMMED, .accepted_ms = -1};
    tails[0] = (struct queue_tail){events[0], positions, 1, positions, 3, true};
    tails[1] = (struct queue_tail){.ev = events[0]};
    fill_lanes();
    const struct wire_reply all[] = {
        {.type = WIRE_APPEND, .number = 1, .append = {appended, 3}},
        {.type = WIRE_READ, .number = 2, .read = {99, events, 2}},
        {.type = WIRE_LEASE, .number = 3, .lease = {123, 99, 4, grants, 2, kept, 2, lost, 2}},
        {.type = WIRE_COMMIT, .number = 4, .commit = {committed, 2}},
        {.type = WIRE_DEFINE, .number = 5, .define = {1, 2, 3, 4, 5}},
        {.type = WIRE_DEPTH, .number = 6, .depth = {1, 2, 3, 4, 5, 6, statuses, 2}},
        {.type = WIRE_RECEIPT, .number = 7, .receipt = {{1, 2}, 3, 4, 5, receipts, 3}},
        {.type = WIRE_DEPTH, .number = 8, .err = ERR_CLOSED, .why = "closing"},
        {.type = WIRE_READ, .number = 9, .err = ERR_IO},
    };
    memcpy(all_replies, all, sizeof all);
    return 0;
}

static int empty(void **state)
{
    (void)state;
    event_unref(events[0].event);
    return 0;
}

/* ---- three kinds of messages, one way to look at them */

struct message {
    uint8_t *data;
    size_t len;
};

static enum err get_any(int kind, const void *data, size_t len, struct wire_arena *a)
{
    struct wire_request req;
    struct wire_reply rep;
    struct wire_published pub;
    return kind == 0   ? wire_get_request(data, len, a, &req)
           : kind == 1 ? wire_get_reply(data, len, a, &rep)
                       : wire_get_published(data, len, a, &pub);
}

static void put_published(struct buf *b, size_t i)
{
    if (i == 0) {
        assert_int_equal(wire_put_beat(b, 0xabcdef, 1234), ERR_NONE);
        return;
    }
    assert_int_equal(wire_begin_tail(b, 0xabcdef), ERR_NONE);
    for (size_t k = 0; k < i; k++)
        assert_int_equal(wire_put_tail(b, &tails[k]), ERR_NONE);
    wire_end_tail(b, 1234, (uint32_t)i);
}

static const size_t kinds[] = {COUNT_OF(all_requests), COUNT_OF(all_replies), 3};

/* Calls `fn` with each message, in memory of exactly its size, so that a read beyond it is caught.
 */
static void each_message(void (*fn)(int kind, size_t i, const struct message *m))
{
    for (int kind = 0; kind < (int)COUNT_OF(kinds); kind++)
        for (size_t i = 0; i < kinds[kind]; i++) {
            struct buf b;
            buf_init(&b, WIRE_MESSAGE_MAX);
            if (kind == 0)
                assert_int_equal(wire_put_request(&b, &all_requests[i]), ERR_NONE);
            else if (kind == 1)
                assert_int_equal(wire_put_reply(&b, &all_replies[i]), ERR_NONE);
            else
                put_published(&b, i);
            struct message m = {mem_new(b.len), b.len};
            memcpy(m.data, b.data, b.len);
            buf_fini(&b);
            fn(kind, i, &m);
            free(m.data);
        }
}

/* ---- there and back: what was packed again is the same, bytes of it */

static void back_and_forth(int kind, size_t i, const struct message *m)
{
    struct wire_arena a = {0};
    struct wire_request req;
    struct wire_reply rep;
    struct wire_published pub;
    struct buf b;
    buf_init(&b, WIRE_MESSAGE_MAX);
    if (kind == 0) {
        assert_int_equal(wire_get_request(m->data, m->len, &a, &req), ERR_NONE);
        assert_int_equal(req.type, all_requests[i].type);
        assert_int_equal(req.number, all_requests[i].number);
        assert_int_equal(wire_put_request(&b, &req), ERR_NONE);
    } else if (kind == 1) {
        assert_int_equal(wire_get_reply(m->data, m->len, &a, &rep), ERR_NONE);
        assert_int_equal(rep.err, all_replies[i].err);
        assert_int_equal(wire_put_reply(&b, &rep), ERR_NONE);
    } else {
        assert_int_equal(wire_get_published(m->data, m->len, &a, &pub), ERR_NONE);
        assert_int_equal(pub.tails_len, i);
        assert_int_equal(pub.head, 1234);
        assert_int_equal(pub.broker, 0xabcdef);
        put_published(&b, i);
    }
    assert_int_equal(b.len, m->len);
    assert_memory_equal(b.data, m->data, m->len);
    buf_fini(&b);
    wire_arena_free(&a);
}

static void every_message_comes_back_as_it_went(void **state)
{
    (void)state;
    each_message(back_and_forth);
}

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

/* ---- what must not be believed */

static void cut_everywhere(int kind, size_t i, const struct message *m)
{
    (void)i;
    for (size_t len = 0; len < m->len; len++) {
        struct wire_arena a = {0};
        uint8_t *cut = mem_new(len == 0 ? 1 : len); /* exact, so that a read beyond is caught */
        memcpy(cut, m->data, len);
        assert_int_not_equal(get_any(kind, cut, len, &a), ERR_NONE);
        free(cut);
        wire_arena_free(&a);
    }
}

static void a_message_cut_anywhere_is_refused(void **state)
{
    (void)state;
    each_message(cut_everywhere);
}

static void add_a_byte(int kind, size_t i, const struct message *m)
{
    (void)i;
    struct wire_arena a = {0};
    uint8_t *longer = mem_zero(m->len + 1, 1);
    memcpy(longer, m->data, m->len);
    assert_int_equal(get_any(kind, longer, m->len + 1, &a), ERR_INVALID);
    free(longer);
    wire_arena_free(&a);
}

static void a_message_with_a_byte_too_many_is_refused(void **state)
{
    (void)state;
    each_message(add_a_byte);
}

static void of_next_version(int kind, size_t i, const struct message *m)
{
    struct wire_arena a = {0};
    m->data[kind == 2 ? 1 : 0]++;
    assert_int_equal(get_any(kind, m->data, m->len, &a), ERR_VERSION);
    if (kind == 0) {
        struct wire_request r;
        assert_int_equal(wire_get_request(m->data, m->len, &a, &r), ERR_VERSION);
        assert_int_equal(r.number, all_requests[i].number); /* so that it can be told */
    }
    wire_arena_free(&a);
}

static void another_version_is_told_apart(void **state)
{
    (void)state;
    each_message(of_next_version);
}

static void a_type_of_the_future_is_unsupported_and_a_reply_is_no_request(void **state)
{
    (void)state;
    struct wire_arena a = {0};
    struct wire_request r;
    uint8_t head[] = {WIRE_VERSION, 0, WIRE_TYPE_END, 7, 0, 0, 0, 0, 0, 0, 0};
    assert_int_equal(wire_get_request(head, sizeof head, &a, &r), ERR_UNSUPPORTED);
    assert_int_equal(r.number, 7);
    head[2] = 0;
    assert_int_equal(wire_get_request(head, sizeof head, &a, &r), ERR_UNSUPPORTED);
    head[2] = WIRE_DEPTH | WIRE_IS_REPLY;
    assert_int_equal(wire_get_request(head, sizeof head, &a, &r), ERR_INVALID);
    head[2] = WIRE_DEPTH;
    assert_int_equal(wire_get_request(head, sizeof head, &a, &r), ERR_NONE);
    wire_arena_free(&a);
}

static void nobody_is_no_publisher(void **state)
{
    (void)state;
    struct wire_arena a = {0};
    struct wire_request r = {.type = WIRE_LEASE};
    struct buf b;
    buf_init(&b, WIRE_MESSAGE_MAX);
    assert_int_equal(wire_put_request(&b, &r), ERR_NONE);
    assert_int_equal(wire_get_request(b.data, b.len, &a, &r), ERR_INVALID);
    buf_fini(&b);
    wire_arena_free(&a);
}

static void a_message_beyond_the_buffers_maximum_is_not_made(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    assert_int_equal(wire_put_request(&b, &all_requests[4]), ERR_TOO_BIG);
    buf_fini(&b);
}

static struct rng dice;

static void turn_bytes_over(int kind, size_t i, const struct message *m)
{
    (void)i;
    for (int n = 0; n < 300; n++) {
        struct wire_arena a = {0};
        uint8_t *copy = mem_new(m->len);
        memcpy(copy, m->data, m->len);
        for (uint64_t k = 1 + rng_below(&dice, 3); k > 0; k--)
            copy[rng_below(&dice, m->len)] = (uint8_t)rng_next(&dice);
        (void)get_any(kind, copy, m->len, &a); /* must only come back, in bounds */
        free(copy);
        wire_arena_free(&a);
    }
}

static void damaged_messages_do_no_harm(void **state)
{
    (void)state;
    const char *text = getenv("VOLLEY_SEED");
    uint64_t s;
    rng_secure(&s, sizeof s);
    if (text != NULL)
        s = strtoull(text, NULL, 10);
    print_message("VOLLEY_SEED=%llu\n", (unsigned long long)s);
    rng_init(&dice, s);
    each_message(turn_bytes_over);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_comes_back_as_it_went),
        cmocka_unit_test(requests_keep_every_field),
        cmocka_unit_test(commits_keep_every_field),
        cmocka_unit_test(leases_keep_every_field),
        cmocka_unit_test(events_keep_every_field),
        cmocka_unit_test(answers_keep_every_field),
        cmocka_unit_test(status_and_receipt_keep_every_field),
        cmocka_unit_test(a_message_cut_anywhere_is_refused),
        cmocka_unit_test(a_message_with_a_byte_too_many_is_refused),
        cmocka_unit_test(another_version_is_told_apart),
        cmocka_unit_test(a_type_of_the_future_is_unsupported_and_a_reply_is_no_request),
        cmocka_unit_test(nobody_is_no_publisher),
        cmocka_unit_test(a_message_beyond_the_buffers_maximum_is_not_made),
        cmocka_unit_test(damaged_messages_do_no_harm),
    };
    return cmocka_run_group_tests(tests, fill, empty);
}
