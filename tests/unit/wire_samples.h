/* One message of each type, every field of it filled. For the tests of the wire; its functions are
 * the setup and teardown of a group. */
#ifndef VOLLEY_TESTS_UNIT_WIRE_SAMPLES_H
#define VOLLEY_TESTS_UNIT_WIRE_SAMPLES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue/wire.h"

#include <string.h>

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char event_json[] =
    "{\"id\":\"" HEX64 "\",\"pubkey\":\"" HEX64 "\",\"created_at\":1700000000,\"kind\":1,"
    "\"tags\":[[\"t\",\"x\"]],\"content\":\"hi\",\"sig\":\"" HEX64 HEX64 "\"}";

static struct event *sample_event(void)
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
static const struct learned learned = {32, 10000, FAMILY_IPV6, 2, 450, 1234567};
static const struct lane_live live = {LANE_BACKOFF, 77, 3, FAMILY_IPV4, 88, 66, 99, 55, "refused"};
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
    {4, 10, {LANE_BACKOFF, 77, 3, FAMILY_IPV4, 88, 66, 99, 55, "x"}, true}};
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
                                              .learned = {32, 10000, FAMILY_IPV6, 2, 450, 1234567},
                                              .paths = paths,
                                              .paths_len = 2},
                                             {.lane = 4, .epoch = 1, .seq = 1}};
static const uint8_t ids[][EVENT_ID_LEN] = {{1, 2, 3}, {4, 5, 6}};
static const struct definition defs[] = {{.url = "wss://a.example"}, {.url = "wss://b.example"}};

static const struct observation observations[] = {
    {.lane = 3,
     .route = ROUTE_DIRECT,
     .family = FAMILY_IPV4,
     .counts = {.attempts = 9,
                .successes = 4,
                .failures = {[STAT_TIMEOUT] = 2, [STAT_OTHER] = 300},
                .uses = 3,
                .deliveries = 70000,
                .phases = {[STAT_CONNECT] = {123456, {[0] = 1, [47] = 5}}}},
     .streak = -2,
     .success_ago_ms = 5,
     .failure_ago_ms = 6,
     .last = {.at_ms = 7,
              .why = STAT_TLS,
              .text = "expired",
              .phases_us = {1, 2, 3, 4, 5, 6, 0},
              .certificate_end_s = 1700000000,
              .address = "::1",
              .software = "strfry"}},
    {.lane = 4}};

static const struct wire_request all_requests[] = {
    {.type = WIRE_APPEND, .number = 1, .append = {appends, 2}},
    {.type = WIRE_APPEND, .number = 1},
    {.type = WIRE_READ, .number = 0x0102030405060708, .read = {5, UINT64_MAX}},
    {.type = WIRE_LEASE,
     .number = 3,
     .lease = {.publisher = {1, 2}, .name = "host:1", .routes = 3, .leaving = true, held, 2}},
    {.type = WIRE_COMMIT, .number = 4, .commit = {commits, 2}},
    {.type = WIRE_DEFINE, .number = 5, .define = {defs, 2, true, "me@here"}},
    {.type = WIRE_DEPTH, .number = 6},
    {.type = WIRE_RECEIPT, .number = 7, .receipt = {9, 8, 7}},
    {.type = WIRE_REGISTRY, .number = 8},
    {.type = WIRE_HOLD, .number = 9, .hold = {"wss://a.example", true, true, "me@here"}},
    {.type = WIRE_FAILED,
     .number = 10,
     .failed = {.what = FAILED_REPLAY,
                .filter = {"wss://a.example",
                           1u << CLASS_BLOCKED | 1u << CLASS_RETENTION,
                           "no",
                           true,
                           30023,
                           true,
                           {7, 8},
                           ids,
                           2,
                           1000,
                           2000,
                           3},
                .after = {1, 2, UINT64_MAX},
                .limit = FAILED_PAGE_MAX,
                .job = 4,
                .token = 0x1122334455667788,
                .rate_per_1000s = 5000,
                .text = "--relay a",
                .by = "me@here"}},
    {.type = WIRE_FAILED, .number = 11, .failed = {.what = FAILED_LIST, .limit = 1}},
    {.type = WIRE_JOBS, .number = 12},
    {.type = WIRE_CANCEL, .number = 13, .cancel = {7, "me@here"}},
    {.type = WIRE_OBSERVE, .number = 14, .observe = {STAT_PROBE, 77, observations, 2}},
    {.type = WIRE_STATISTICS, .number = 15, .statistics = {88, 3}},
    {.type = WIRE_LEAD, .number = 16, .lead = {LEAD_PROBER, {1}, "host:1", true}},
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
static struct lane_version versions[2];
static struct lane_entry entries[2];
static struct failed_row failed_rows[2];
static const struct failed_group groups[] = {{3, CLASS_BLOCKED, 7, 2, 1},
                                             {4, CLASS_TIMEOUT, 1, 0, 0}};
static const struct replay_job jobs[] = {
    {7, JOB_RUNNING, 100, 0, 5000, 21, 1, 2, 3, 4, 11, "--relay a", "me@here"},
    {.number = 8, .state = JOB_CANCELLED, .ended_ms = 99}};
static struct path_statistics ways[2];
static struct relay_statistics relays[2];
static struct wire_reply all_replies[19];

static void fill_lanes(void)
{
    grants[0] = (struct lane_grant){3,    9, 1,          50, 2,        definition, 3,      other,
                                    true, 2, exceptions, 2,  requests, 2,          learned};
    grants[1] = (struct lane_grant){.lane = 4, .definition = other, .definition_version = 1};
    kept[0] = (struct lane_kept){5, 40, 2, &other, true, true, requests, 2};
    kept[1] = (struct lane_kept){.lane = 6};
    statuses[0] =
        (struct lane_status){3, true, 2, definition, 1,    2,    3,        4,       44,    5,
                             6, 7,    8, 9,          true, live, "host:1", learned, paths, 2};
    statuses[1] = (struct lane_status){.lane = 4, .definition = other};
    receipts[0] = (struct receipt_lane){.lane = 3,
                                        .url = "wss://a",
                                        .name = "a",
                                        .end = RECEIPT_ROW,
                                        .retired = true,
                                        .row = rows[0]};
    receipts[1] = (struct receipt_lane){
        .lane = 4, .end = RECEIPT_RETRYING, .row = rows[1], .exception = exceptions[0]};
    receipts[2] = (struct receipt_lane){
        .lane = 5, .end = RECEIPT_DELIVERED, .history = rows, .history_len = 2};
}

static void fill_operate(void)
{
    versions[0] = (struct lane_version){1, 10, false, definition};
    versions[1] = (struct lane_version){2, 0, true, other};
    entries[0] = (struct lane_entry){3, true, 1234, 5, 6, HOLD_RELEASED, versions, 2};
    entries[1] = (struct lane_entry){.lane = 4};
    failed_rows[0] = (struct failed_row){3, {1, 2}, {3, 4}, 30023, 1234, rows[0], true, 7};
    failed_rows[1] = (struct failed_row){.lane = 4, .row = rows[1]};
}

static void fill_statistics(void)
{
    ways[0] = (struct path_statistics){.source = STAT_PROBE,
                                       .route = ROUTE_DIRECT,
                                       .family = FAMILY_IPV4,
                                       .total = observations[0].counts,
                                       .last_success_ms = 1,
                                       .last_failure_ms = 2,
                                       .streak = -3,
                                       .last = observations[0].last};
    ways[0].windows[STAT_DAY] =
        (struct window_statistics){.attempts = 1,
                                   .successes = 2,
                                   .failures = {3, 4, 5, 6, 7, 8, 9, 10, 11},
                                   .uses = 12,
                                   .deliveries = 13,
                                   .phases = {[STAT_DELIVERED] = {14, 15, 16, 17, 18}}};
    relays[0] = (struct relay_statistics){3, "wss://relay.example", ways, 2};
    relays[1] = (struct relay_statistics){.lane = 4};
}

static int fill(void **state)
{
    (void)state;
    events[0] = (struct queue_event){7, GONE_NO, 1700000000000, sample_event(), 8, 9};
    events[1] = (struct queue_event){.pos = 8, .gone = GONE_TRIMMED, .accepted_ms = -1};
    tails[0] = (struct queue_tail){events[0], positions, 1, positions, 3, true};
    tails[1] = (struct queue_tail){.ev = events[0]};
    fill_lanes();
    fill_operate();
    fill_statistics();
    const struct wire_reply all[] = {
        {.type = WIRE_APPEND, .number = 1, .append = {appended, 3}},
        {.type = WIRE_READ, .number = 2, .read = {99, events, 2}},
        {.type = WIRE_LEASE,
         .number = 3,
         .lease = {123, 99, 4, grants, 2, kept, 2, lost, 2, 17, events[0].event}},
        {.type = WIRE_COMMIT, .number = 4, .commit = {committed, 2}},
        {.type = WIRE_DEFINE, .number = 5, .define = {1, 2, 3, 4, 5}},
        {.type = WIRE_DEPTH, .number = 6, .depth = {1, 2, 3, 4, 5, 6, {7, 8, 9, 10}, statuses, 2}},
        {.type = WIRE_RECEIPT, .number = 7, .receipt = {{1, 2}, 3, 4, 5, receipts, 3}},
        {.type = WIRE_DEPTH, .number = 8, .err = ERR_CLOSED, .why = "closing"},
        {.type = WIRE_READ, .number = 9, .err = ERR_IO},
        {.type = WIRE_REGISTRY, .number = 10, .registry = {3, 1234, "me@here", entries, 2}},
        {.type = WIRE_HOLD, .number = 11, .hold = {12, 13, true}},
        {.type = WIRE_FAILED, .number = 12, .failed = {.rows = failed_rows, .rows_len = 2}},
        {.type = WIRE_FAILED,
         .number = 13,
         .failed = {.groups = groups, .groups_len = 2, .job = 7, .more = true, .next = {1, 2, 3}}},
        {.type = WIRE_JOBS, .number = 14, .jobs = {jobs, 2}},
        {.type = WIRE_CANCEL, .number = 15},
        {.type = WIRE_CANCEL, .number = 16, .err = ERR_NOT_FOUND},
        {.type = WIRE_OBSERVE, .number = 17, .observe = {2, 1, 1234}},
        {.type = WIRE_STATISTICS, .number = 18, .statistics = {1234, 5, 6, relays, 2}},
        {.type = WIRE_LEAD, .number = 19, .lead = {true, 5, "host:1", 1234}},
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

/* A published message: a beat, or a tail of `i` events. */
static void put_published(struct buf *b, size_t i)
{
    if (i == 0) {
        assert_int_equal(wire_put_beat(b, 0xabcdef, 1234, 7), ERR_NONE);
        return;
    }
    assert_int_equal(wire_begin_tail(b, 0xabcdef), ERR_NONE);
    for (size_t k = 0; k < i; k++)
        assert_int_equal(wire_put_tail(b, &tails[k]), ERR_NONE);
    wire_end_tail(b, 1234, (uint32_t)i);
}

#endif
