/* What operators' looks cost the store when a relay has been dead for long: a million events queued
 * for it, ten thousand deliveries failed elsewhere, and then all of it given up, counted, replayed
 * and purged. */
#define _XOPEN_SOURCE 700 /* nftw */
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "queue/store.h"
#include "tests/support/make_event.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS 1000000u
#define FAILED 10000u
#define BATCH  2000u

struct bench {
    char dir[256];
    struct store *s;
    struct event *template; /* all are like it, but for their ids */
    int64_t now_ms;
    uint64_t boot_ms;
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

static void tell(const char *what, uint64_t began_us, uint64_t count)
{
    uint64_t us = clock_boot_us() - began_us;
    printf("%-52s %10.2f ms", what, (double)us / 1000);
    if (count > 0)
        printf(" %12.0f /s", (double)count * 1e6 / (double)(us ? us : 1));
    printf("\n");
}

static void tell_memory(void)
{
    char line[256];
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, "RssAnon", 7) == 0)
            printf("%s", line);
    }
    if (f)
        (void)fclose(f);
}

/* ---- filling ---- */

static struct event *numbered(const struct bench *b, uint64_t n)
{
    const struct event *t = b->template;
    struct event *ev = mem_new(sizeof *ev + t->len);
    char id[65];
    memcpy(ev, t, sizeof *ev + t->len);
    ev->refs = 1;
    ev->tags.p = ev->bytes + (t->tags.p - t->bytes);
    ev->content.p = ev->bytes + (t->content.p - t->bytes);
    n *= 0x9e3779b97f4a7c15ull; /* ids are everywhere */
    memcpy(ev->id, &n, sizeof n);
    memcpy(ev->bytes + 7, hex_str(id, ev->id, sizeof ev->id), 64);
    return ev;
}

static void append_all(struct bench *b)
{
    uint64_t began = clock_boot_us();
    for (uint64_t n = 0; n < EVENTS;) {
        must(b, store_begin(b->s), "begin");
        for (unsigned i = 0; i < BATCH; i++) {
            struct append_result r;
            struct problem why = {0};
            struct event *ev = numbered(b, ++n);
            must(b, store_append(b->s, ev, b->now_ms, &r, NULL, &why), "append");
            event_unref(ev);
        }
        must(b, store_commit(b->s), "commit");
    }
    tell("a million appends", began, EVENTS);
}

static void define(struct bench *b)
{
    struct definition defs[2] = {{.window = 256}, {.window = 256}};
    struct define_call call = {.defs = defs, .len = 2};
    struct define_result r;
    struct problem why = {0};
    (void)snprintf(defs[0].url, sizeof defs[0].url, "wss://dead.example");
    (void)snprintf(defs[1].url, sizeof defs[1].url, "wss://alive.example");
    must(b, store_begin(b->s), "begin");
    must(b, store_define(b->s, &call, b->now_ms, &r, &why), "define");
    must(b, store_commit(b->s), "commit");
}

/* The second lane arrives at the head; every hundredth event failed there. */
static void deliver(struct bench *b)
{
    static struct row rows[BATCH];
    const uint8_t id[PUBLISHER_ID_LEN] = {1};
    struct lane_grant g;
    must(b, store_begin(b->s), "begin");
    must(b, store_grant(b->s, 2, id, "bench", b->now_ms, &g), "grant");
    must(b, store_commit(b->s), "commit");
    for (uint64_t turn = 1; turn <= FAILED / BATCH; turn++) {
        uint64_t to = turn * (EVENTS / (FAILED / BATCH));
        for (uint64_t i = 0; i < BATCH; i++) {
            uint64_t pos = to - i * (EVENTS / FAILED);
            rows[i] = (struct row){.from = pos,
                                   .to = pos,
                                   .end = ROW_FAILED,
                                   .cls = (enum row_class)(CLASS_BLOCKED + i % 3),
                                   .attempts = 1,
                                   .last_ms = b->now_ms,
                                   .text = "blocked: not on the list of those who may post here"};
        }
        struct lane_commit c = {.lane = 2,
                                .epoch = g.epoch,
                                .seq = turn,
                                .position = to,
                                .rows_added = rows,
                                .rows_added_len = BATCH,
                                .definition_version = 1};
        struct lane_committed done;
        must(b, store_begin(b->s), "begin");
        must(b, store_lane_commit(b->s, &c, b->now_ms, &done), "lane commit");
        must(b, store_commit(b->s), "commit");
        if (done.status != COMMIT_DONE)
            die("a lane commit was answered with %d", (int)done.status);
    }
}

static void housekeep(struct bench *b, const char *what)
{
    uint64_t began = clock_boot_us();
    bool more = true;
    unsigned turns = 0;
    for (; more; turns++) {
        must(b, store_begin(b->s), "begin");
        must(b, store_housekeep(b->s, b->now_ms, b->boot_ms, 1000, &more), "housekeep");
        must(b, store_commit(b->s), "commit");
    }
    printf("%-52s %10.2f ms a turn, %u turns\n", what,
           (double)(clock_boot_us() - began) / 1000 / turns, turns);
}

/* ---- looking ---- */

static void look(struct bench *b)
{
    struct queue_depth d;
    uint64_t began = clock_boot_us();
    must(b, store_depth(b->s, b->now_ms, &d), "depth");
    tell("depth", began, 0);
    struct failed_call c = {.what = FAILED_LIST, .limit = 100};
    struct failed_page p;
    began = clock_boot_us();
    must(b, store_failed(b->s, &c, b->now_ms, &p), "list");
    tell("failed, a first page of 100", began, p.rows_len);
    c.limit = FAILED_PAGE_MAX;
    began = clock_boot_us();
    must(b, store_failed(b->s, &c, b->now_ms, &p), "list");
    tell("failed, a first page of 1,000", began, p.rows_len);
    c.what = FAILED_COUNT;
    began = clock_boot_us();
    must(b, store_failed(b->s, &c, b->now_ms, &p), "count");
    tell("failed, all counted", began, FAILED);
    began = clock_boot_us();
    for (uint64_t n = 1; n <= 1000; n++) {
        struct queue_receipt r;
        struct event *ev = numbered(b, n * 997);
        must(b, store_receipt(b->s, ev->id, &r), "receipt");
        event_unref(ev);
    }
    tell("a thousand receipts", began, 1000);
}

/* All pages of one walk; the longest of them. */
static uint64_t walk(struct bench *b, struct failed_call *c, const char *what)
{
    struct failed_page p = {.more = true};
    uint64_t count = 0, longest = 0, began = clock_boot_us();
    unsigned pages = 0;
    for (; p.more; pages++) {
        uint64_t page_began = clock_boot_us();
        must(b, store_begin(b->s), "begin");
        must(b, store_failed(b->s, c, b->now_ms, &p), what);
        must(b, store_commit(b->s), "commit");
        uint64_t us = clock_boot_us() - page_began;
        longest = us > longest ? us : longest;
        for (size_t i = 0; i < p.groups_len; i++)
            count += p.groups[i].count;
        c->after = p.next;
        c->job = p.job;
    }
    tell(what, began, count);
    printf("%-52s %10.2f ms the longest of %u\n", "", (double)longest / 1000, pages);
    return c->job;
}

/* The dead relay is given up: a run of a million. */
static void operate(struct bench *b)
{
    struct hold_call hold = {.from_now = true, .url = "wss://dead.example"};
    struct hold_result r;
    bool asked;
    struct failed_call c = {.what = FAILED_COUNT, .filter = {.classes = 1u << CLASS_RELEASED}};
    uint64_t began = clock_boot_us();
    must(b, store_begin(b->s), "begin");
    must(b, store_hold(b->s, &hold, b->now_ms, &r), "hold");
    must(b, store_commit(b->s), "commit");
    tell("a million given up", began, 0);
    (void)walk(b, &c, "counted");
    c = (struct failed_call){.what = FAILED_COUNT, .filter = c.filter};
    c.filter.has_kind = true;
    c.filter.kind = 1;
    (void)walk(b, &c, "counted by kind");
    c = (struct failed_call){.what = FAILED_REPLAY, .token = 1, .filter = c.filter};
    c.filter.has_kind = false;
    uint64_t job = walk(b, &c, "put into a job");
    began = clock_boot_us();
    for (unsigned i = 0; i < 10; i++, b->boot_ms += 100) {
        must(b, store_begin(b->s), "begin");
        must(b, store_step_jobs(b->s, b->now_ms, b->boot_ms, &asked), "step");
        must(b, store_commit(b->s), "commit");
    }
    tell("ten steps", began, 0);
    began = clock_boot_us();
    must(b, store_begin(b->s), "begin");
    must(b, store_cancel(b->s, job, b->now_ms), "cancel");
    must(b, store_commit(b->s), "commit");
    tell("cancelled", began, 0);
    began = clock_boot_us();
    unsigned steps = 0;
    for (; steps < 5; steps++, b->boot_ms += 100) {
        must(b, store_begin(b->s), "begin");
        must(b, store_step_jobs(b->s, b->now_ms, b->boot_ms, &asked), "step");
        must(b, store_commit(b->s), "commit");
    }
    tell("five steps that sweep what it left", began, 0);
    c = (struct failed_call){.what = FAILED_PURGE, .filter = c.filter};
    (void)walk(b, &c, "purged");
}

int main(void)
{
    const char *tmp = getenv("TMPDIR");
    struct problem p = {0};
    struct bench b = {.now_ms = clock_wall_ms(), .boot_ms = clock_boot_ms()};
    b.template = make_event(0, 1700000000, 1, "[]", "some words, as many as a note has: not a few");
    (void)snprintf(b.dir, sizeof b.dir, "%s/volley-bench-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(b.dir))
        die("no directory like %s", b.dir);
    struct store_options o = {.dir = b.dir,
                              .retention_ms = 7ll * 86400 * 1000,
                              .max_bytes = 4ull << 30,
                              .failed_max = 1ull << 30};
    if (store_open(&o, b.now_ms, &b.s, &p) != ERR_NONE)
        die("%s", p.text);
    define(&b);
    append_all(&b);
    deliver(&b);
    housekeep(&b, "housekeeping, nothing to do");
    look(&b);
    tell_memory();
    o.lane_max = (uint64_t)(EVENTS - 1000) * (b.template->len + 128);
    store_set_limits(b.s, &o);
    housekeep(&b, "housekeeping, a thousand too many for the dead lane");
    operate(&b);
    tell_memory();
    store_close(b.s);
    event_unref(b.template);
    if (nftw(b.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0)
        die("%s can't be removed", b.dir);
    return 0;
}
