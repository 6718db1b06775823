/* What the store costs: durable appends by batch, also with a thousand lanes, reads, lane commits,
 * housekeeping. The directory is made in TMPDIR: what counts is its disk. Numbers per second come
 * from one machine; the ratios say more. */
#define _XOPEN_SOURCE 700 /* nftw */
#include "common/base/clock.h"
#include "queue/store.h"
#include "tests/support/make_event.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS  20000u
#define SINGLES 400u

struct bench {
    char dir[256];
    struct store *s;
    struct event **events;
    size_t used;
    int64_t now_ms;
};

static void must(const struct bench *b, enum err e, const char *what)
{
    if (e != ERR_NONE)
        die("%s: %s (%s)", what, err_name(e), b->s ? store_problem(b->s) : "");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static void open_store(struct bench *b, unsigned lanes)
{
    const char *tmp = getenv("TMPDIR");
    struct problem p = {0};
    struct define_result r;
    (void)snprintf(b->dir, sizeof b->dir, "%s/volley-bench-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(b->dir))
        die("no directory like %s", b->dir);
    struct store_options o = {.dir = b->dir,
                              .retention_ms = 7ll * 86400 * 1000,
                              .max_bytes = 8ull << 30,
                              .failed_max = 1ull << 30};
    if (store_open(&o, b->now_ms, &b->s, &p) != ERR_NONE)
        die("%s", p.text);
    struct definition *defs = mem_zero(lanes, sizeof *defs);
    for (unsigned i = 0; i < lanes; i++) {
        defs[i] = (struct definition){.route = ROUTE_DIRECT, .window = 256};
        (void)snprintf(defs[i].url, sizeof defs[i].url, "wss://relay%u.example", i);
    }
    must(b, store_begin(b->s), "begin");
    must(b,
         store_define(b->s, &(struct define_call){.defs = defs, .len = lanes}, b->now_ms, &r, &p),
         "define");
    must(b, store_commit(b->s), "commit");
    free(defs);
    b->used = 0;
}

static void close_store(struct bench *b)
{
    store_close(b->s);
    b->s = NULL;
    if (nftw(b->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0)
        die("%s can't be removed", b->dir);
}

static double report(const char *what, size_t count, uint64_t us, double base)
{
    double rate = (double)count * 1e6 / (double)(us ? us : 1);
    printf("%-44s %10.0f /s %9.2f µs", what, rate, (double)us / (double)count);
    if (base > 0)
        printf("  ×%.2f", rate / base);
    printf("\n");
    return rate;
}

static double append(struct bench *b, const char *what, size_t count, size_t batch, double base)
{
    uint64_t began = clock_boot_us();
    for (size_t done = 0; done < count;) {
        must(b, store_begin(b->s), "begin");
        for (size_t i = 0; i < batch && done < count; i++, done++) {
            struct append_result r;
            struct problem why = {0};
            struct queue_tail t;
            must(b, store_append(b->s, b->events[b->used++], b->now_ms, &r, &t, &why), "append");
        }
        must(b, store_commit(b->s), "commit");
    }
    return report(what, count, clock_boot_us() - began, base);
}

static bool on_read(void *arg, const struct queue_event *ev)
{
    *(size_t *)arg += ev->event ? ev->event->len : 0;
    return true;
}

static void read_all(struct bench *b)
{
    size_t bytes = 0;
    uint64_t began = clock_boot_us();
    must(b, store_read(b->s, 1, UINT64_MAX, on_read, &bytes), "read");
    (void)report("reads, in order", store_head(b->s), clock_boot_us() - began, 0);
    printf("%-44s %10.0f bytes each\n", "", (double)bytes / (double)store_head(b->s));
}

/* Each turn every lane goes on by a hundred events, with 8 in flight. */
static void commit_lanes(struct bench *b, unsigned lanes, double *base)
{
    struct exception x[8];
    char what[64];
    uint8_t id[PUBLISHER_ID_LEN] = {1};
    uint64_t head = store_head(b->s), turns = head / 100 < 50 ? head / 100 : 50;
    must(b, store_begin(b->s), "begin");
    for (uint32_t lane = 1; lane <= lanes; lane++) {
        struct lane_grant g;
        must(b, store_grant(b->s, lane, id, "bench", b->now_ms, &g), "grant");
    }
    must(b, store_commit(b->s), "commit");
    uint64_t began = clock_boot_us();
    for (uint64_t turn = 1; turn <= turns; turn++) {
        must(b, store_begin(b->s), "begin");
        for (uint64_t i = 0; i < COUNT_OF(x); i++)
            x[i] = (struct exception){.pos = turn * 100 - 7 + i};
        for (uint32_t lane = 1; lane <= lanes; lane++) {
            struct lane_commit c = {.lane = lane,
                                    .epoch = 1,
                                    .seq = turn,
                                    .position = turn * 100,
                                    .exceptions = x,
                                    .exceptions_len = COUNT_OF(x),
                                    .definition_version = 1,
                                    .delivered = 100};
            struct lane_committed out;
            must(b, store_lane_commit(b->s, &c, b->now_ms, &out), "lane commit");
            if (out.status != COMMIT_DONE)
                die("a lane commit was answered with %d", (int)out.status);
        }
        must(b, store_commit(b->s), "commit");
    }
    (void)snprintf(what, sizeof what, "lane commits, durable, %u lanes a turn", lanes);
    double rate = report(what, turns * lanes, clock_boot_us() - began, *base);
    *base = *base > 0 ? *base : rate;
}

static void housekeep(struct bench *b)
{
    struct queue_depth d;
    must(b, store_depth(b->s, b->now_ms, &d), "depth");
    uint64_t first = d.first, began = clock_boot_us();
    bool more = true;
    while (more) {
        must(b, store_begin(b->s), "begin");
        must(b, store_housekeep(b->s, b->now_ms, 1000, 1000, &more), "housekeep");
        must(b, store_commit(b->s), "commit");
    }
    uint64_t us = clock_boot_us() - began;
    must(b, store_depth(b->s, b->now_ms, &d), "depth");
    if (d.first > first)
        (void)report("trimmed, 1,000 a turn", d.first - first, us, 0);
}

static void append_all(struct bench *b)
{
    double one = append(b, "durable appends, 1 a turn", SINGLES, 1, 0);
    (void)append(b, "durable appends, 64 a turn", (EVENTS - SINGLES) / 2, 64, one);
    (void)append(b, "durable appends, 256 a turn", (EVENTS - SINGLES) / 2, 256, one);
}

int main(void)
{
    struct bench b = {.now_ms = clock_wall_ms()};
    char text[400];
    double base = 0;
    b.events = mem_zero(EVENTS, sizeof(struct event *));
    for (unsigned i = 0; i < EVENTS; i++) {
        (void)snprintf(text, sizeof text, "%u %0150d", i, 7);
        b.events[i] = make_event(i % TEST_AUTHORS, 1700000000 + i, 1, "[]", text);
    }
    printf("-- 10 lanes\n");
    open_store(&b, 10);
    append_all(&b);
    read_all(&b);
    commit_lanes(&b, 1, &base);
    close_store(&b);
    open_store(&b, 10);
    (void)append(&b, "durable appends, 256 a turn, again", EVENTS, 256, 0);
    commit_lanes(&b, 10, &base);
    housekeep(&b);
    close_store(&b);
    printf("-- 1,000 lanes\n");
    open_store(&b, 1000);
    append_all(&b);
    commit_lanes(&b, 1000, &base);
    close_store(&b);
    for (unsigned i = 0; i < EVENTS; i++)
        event_unref(b.events[i]);
    free(b.events);
    return 0;
}
