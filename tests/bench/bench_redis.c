/* What the queue costs in Redis, beside the broker's: durable appends one by one and pipelined,
 * also with a thousand lanes and with a backlog, commits, reads, memory. All through the clients,
 * on the machine's own redis-server and disk (TMPDIR). The ratios say more than the numbers. */
#include "common/base/clock.h"
#include "tests/support/holder.h"
#include "tests/support/make_event.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS   20000u
#define SINGLES  200u
#define PIPELINE 512u
#define TURNS    50u
#define IN_LINE  8u /* exceptions of each commit */

static const struct rig_options plenty = {
    .retention_ms = 7ll * 86400 * 1000, .max_bytes = 8ull << 30, .failed_max = 1ull << 30};

struct bench {
    struct rig *r;
    struct event **events;
    size_t used, answered;
};

static void report(const char *what, size_t count, uint64_t us)
{
    printf("  %-44s %9.0f /s %9.1f µs\n", what, (double)count * 1e6 / (double)(us ? us : 1),
           (double)us / (double)count);
}

static void open_queue(struct bench *b, const struct backend *backend, unsigned lanes)
{
    struct definition *defs = mem_zero(lanes, sizeof *defs);
    struct answer a;
    b->r = rig_open(backend, &plenty);
    b->used = 0;
    for (unsigned i = 0; i < lanes; i++) {
        defs[i] = (struct definition){.route = ROUTE_DIRECT, .window = 256};
        (void)snprintf(defs[i].url, sizeof defs[i].url, "wss://relay%u.example", i);
    }
    ask_define(&b->r->loop, b->r->q, defs, lanes, &a);
    if (a.e != ERR_NONE)
        die("define: %s", err_name(a.e));
    answer_free(&a);
    free(defs);
}

static void on_appended(void *arg, enum err e, const struct append_result *res, const char *why)
{
    struct bench *b = arg;
    if (e != ERR_NONE || res->duplicate)
        die("append: %s (%s)", err_name(e), why != NULL ? why : "");
    b->answered++;
}

static void append(struct bench *b, const char *what, size_t count, size_t in_flight)
{
    size_t sent = 0;
    uint64_t began = clock_boot_us();
    b->answered = 0;
    while (b->answered < count) {
        for (; sent < count && sent - b->answered < in_flight; sent++)
            b->r->q->ops->append(b->r->q, b->events[b->used++], on_appended, b);
        (void)uv_run(&b->r->loop, UV_RUN_ONCE);
    }
    report(what, count, clock_boot_us() - began);
}

static void read_all(struct bench *b)
{
    uint64_t began = clock_boot_us(), pos = 1;
    while (pos <= b->used) {
        struct answer a;
        ask_read(&b->r->loop, b->r->q, pos, b->used, &a);
        if (a.e != ERR_NONE || a.read.len == 0)
            die("read: %s", err_name(a.e));
        pos += a.read.len;
        answer_free(&a);
    }
    report("reads, in order", b->used, clock_boot_us() - began);
}

/* Each turn every lane goes on by a hundred events, with some in flight. */
static void commit(struct bench *b)
{
    struct holder h;
    struct exception x[IN_LINE];
    struct lane_commit c[HOLDER_LANES_MAX];
    char what[64];
    holder_init(&h, 0);
    holder_lease(b->r, &h, NULL);
    uint64_t began = clock_boot_us();
    for (uint64_t turn = 1; turn <= TURNS; turn++) {
        struct answer a;
        for (uint64_t i = 0; i < IN_LINE; i++)
            x[i] = (struct exception){.pos = turn * 100 - IN_LINE + 1 + i};
        for (size_t i = 0; i < h.lanes_len; i++) {
            c[i] = holder_next(&h, h.lanes[i].lane, turn * 100);
            c[i].seq = turn;
            c[i].exceptions = x;
            c[i].exceptions_len = IN_LINE;
            c[i].delivered = 100;
        }
        ask_commit(&b->r->loop, b->r->q, c, h.lanes_len, &a);
        for (size_t i = 0; i < h.lanes_len; i++)
            if (a.e != ERR_NONE || a.committed[i].status != COMMIT_DONE)
                die("commit: %s", err_name(a.e));
        answer_free(&a);
    }
    (void)snprintf(what, sizeof what, "lane commits, durable, %zu lanes a turn", h.lanes_len);
    report(what, TURNS * h.lanes_len, clock_boot_us() - began);
}

static uint64_t redis_memory(const struct bench *b)
{
    uint64_t bytes = 0;
    redisReply *r = redis_server_do(b->r->redis, "INFO memory");
    const char *at = strstr(r->str, "used_memory:");
    if (at == NULL || sscanf(at, "used_memory:%" SCNu64, &bytes) != 1)
        die("no used_memory");
    freeReplyObject(r);
    return bytes;
}

static void measure(struct bench *b, const struct backend *backend)
{
    uint64_t before = 0;
    printf("-- %s\n", backend->name);
    open_queue(b, backend, 10);
    append(b, "durable appends, one by one", SINGLES, 1);
    if (b->r->redis)
        before = redis_memory(b);
    append(b, "durable appends, 512 in flight", EVENTS / 2, PIPELINE);
    if (b->r->redis)
        printf("  %-44s %9.0f bytes, of %zu canonical\n", "memory an event",
               (double)(redis_memory(b) - before) / (double)(EVENTS / 2), b->events[0]->len);
    append(b, "the same behind a backlog", EVENTS / 2 - SINGLES, PIPELINE);
    read_all(b);
    commit(b);
    rig_close(b->r);
    open_queue(b, backend, 1000);
    append(b, "durable appends, 512 in flight, 1,000 lanes", EVENTS / 2, PIPELINE);
    rig_close(b->r);
}

int main(void)
{
    struct bench b = {0};
    char text[400];
    b.events = mem_zero(EVENTS, sizeof(struct event *));
    for (unsigned i = 0; i < EVENTS; i++) {
        (void)snprintf(text, sizeof text, "%u %0150d", i, 7);
        b.events[i] = make_event(i % TEST_AUTHORS, 1700000000 + i, 1, "[]", text);
    }
    for (size_t i = 0; i < backends_len; i++) {
        if (strcmp(backends[i].name, "model") != 0 && backend_wanted(&backends[i]))
            measure(&b, &backends[i]);
    }
    for (unsigned i = 0; i < EVENTS; i++)
        event_unref(b.events[i]);
    free(b.events);
    return 0;
}
