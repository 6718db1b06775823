#define _XOPEN_SOURCE 700 /* nftw */
#include "tests/support/store_box.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the box ---- */

static enum err open_it(struct store_box *b, struct store **s, struct problem *p)
{
    b->options.dir = b->dir;
    return store_open(&b->options, b->now_ms, s, p);
}

int box_setup(void **state)
{
    struct store_box *b = mem_zero(1, sizeof *b);
    struct problem p = {0};
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(b->dir, sizeof b->dir, "%s/volley-store-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(b->dir))
        die("no directory like %s", b->dir);
    b->options = (struct store_options){
        .retention_ms = BOX_RETENTION_MS, .max_bytes = 64u << 20, .failed_max = 1u << 20};
    b->now_ms = BOX_WALL_MS;
    b->boot_ms = 1000000;
    if (open_it(b, &b->s, &p) != ERR_NONE)
        die("no store: %s", p.text);
    *state = b;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

int box_teardown(void **state)
{
    struct store_box *b = *state;
    store_close(b->s);
    if (nftw(b->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0)
        die("%s can't be removed", b->dir);
    free(b);
    return 0;
}

void box_reopen(struct store_box *b)
{
    struct problem p = {0};
    store_close(b->s);
    b->s = NULL;
    if (open_it(b, &b->s, &p) != ERR_NONE)
        die("the store does not open again: %s", p.text);
}

enum err box_try_open(struct store_box *b, struct problem *p)
{
    struct store *s = NULL;
    enum err e = open_it(b, &s, p);
    if (e == ERR_NONE)
        store_close(s);
    return e;
}

void box_path(const struct store_box *b, const char *name, char out[512])
{
    (void)snprintf(out, 512, "%s/%s", b->dir, name);
}

static void must(struct store_box *b, enum err e, const char *what)
{
    if (e != ERR_NONE)
        die("%s: %s (%s)", what, err_name(e), store_problem(b->s));
}

void box_begin(struct store_box *b)
{
    must(b, store_begin(b->s), "begin");
}

void box_commit(struct store_box *b)
{
    must(b, store_commit(b->s), "commit");
}

/* ---- changes ---- */

struct definition box_relay(unsigned n)
{
    struct definition d = {.route = ROUTE_TOR, .family = MODE_AUTO, .window = 256};
    (void)snprintf(d.url, sizeof d.url, "wss://relay%u.example", n);
    return d;
}

void box_relays(struct store_box *b, unsigned len)
{
    struct definition *defs = mem_zero(len + 1, sizeof *defs);
    struct define_result r;
    struct problem why = {0};
    for (unsigned i = 0; i < len; i++)
        defs[i] = box_relay(i);
    box_begin(b);
    must(b,
         store_define(b->s, &(struct define_call){.defs = defs, .len = len}, b->now_ms, &r, &why),
         "define");
    box_commit(b);
    free(defs);
}

struct append_result box_append(struct store_box *b, struct event *ev)
{
    struct append_result r;
    struct problem why = {0};
    box_begin(b);
    must(b, store_append(b->s, ev, b->now_ms, &r, NULL, &why), "append");
    box_commit(b);
    event_unref(ev);
    return r;
}

uint64_t box_note(struct store_box *b, unsigned n)
{
    return box_append(b, make_note(0, n)).pos;
}

void box_notes(struct store_box *b, unsigned from, unsigned to)
{
    box_begin(b);
    for (unsigned n = from; n <= to; n++) {
        struct append_result r;
        struct problem why = {0};
        struct event *ev = make_note(0, n);
        must(b, store_append(b->s, ev, b->now_ms, &r, NULL, &why), "append");
        event_unref(ev);
    }
    box_commit(b);
}

struct lane_grant box_grant(struct store_box *b, uint32_t lane, uint8_t who)
{
    uint8_t id[PUBLISHER_ID_LEN];
    struct lane_grant g;
    memset(id, who, sizeof id);
    box_begin(b);
    must(b, store_grant(b->s, lane, id, "host:1", b->now_ms, &g), "grant");
    box_commit(b);
    b->epoch[lane] = g.epoch;
    b->seq[lane] = 0;
    return g;
}

struct lane_commit box_next(const struct store_box *b, uint32_t lane, uint64_t position)
{
    return (struct lane_commit){.lane = lane,
                                .epoch = b->epoch[lane],
                                .seq = b->seq[lane] + 1,
                                .position = position,
                                .definition_version = 1};
}

struct lane_committed box_lane_commit(struct store_box *b, const struct lane_commit *c)
{
    struct lane_committed out;
    box_begin(b);
    must(b, store_lane_commit(b->s, c, b->now_ms, &out), "lane commit");
    box_commit(b);
    if (out.status == COMMIT_DONE)
        b->seq[c->lane] = c->seq;
    return out;
}

static void must_be_done(const struct lane_committed *out)
{
    if (out->status != COMMIT_DONE)
        die("a good commit was answered with status %d", (int)out->status);
}

void box_deliver(struct store_box *b, uint32_t lane, uint64_t position)
{
    struct lane_commit c = box_next(b, lane, position);
    struct lane_committed out = box_lane_commit(b, &c);
    must_be_done(&out);
}

struct row box_row(const struct store_box *b, uint64_t pos, enum row_end end, enum row_class cls)
{
    struct row r = {.from = pos,
                    .to = pos,
                    .end = end,
                    .cls = cls,
                    .attempts = 1,
                    .first_ms = b->now_ms,
                    .last_ms = b->now_ms,
                    .family = FAMILY_IPV6,
                    .text = "the relay's words"};
    return r;
}

void box_fail(struct store_box *b, uint32_t lane, uint64_t pos)
{
    struct row r = box_row(b, pos, ROW_FAILED, CLASS_BLOCKED);
    struct lane_commit c = box_next(b, lane, pos);
    c.rows_added = &r;
    c.rows_added_len = 1;
    struct lane_committed out = box_lane_commit(b, &c);
    must_be_done(&out);
}

void box_housekeep(struct store_box *b)
{
    bool more = true;
    for (unsigned i = 0; more; i++) {
        if (i == 10000)
            die("housekeeping never ends");
        box_begin(b);
        must(b, store_housekeep(b->s, b->now_ms, b->boot_ms, 1000, &more), "housekeep");
        box_commit(b);
    }
}

void box_pass(struct store_box *b, int64_t ms)
{
    b->now_ms += ms;
    b->boot_ms += (uint64_t)ms;
    box_housekeep(b);
}

/* ---- looking ---- */

static bool on_look(void *arg, const struct queue_event *ev)
{
    *(struct queue_event *)arg = *ev;
    return false;
}

struct queue_event box_look(struct store_box *b, uint64_t pos)
{
    struct queue_event out = {.pos = 0};
    must(b, store_read(b->s, pos, pos, on_look, &out), "read");
    return out;
}

static bool on_take(void *arg, const struct queue_event *ev)
{
    *(struct event **)arg = ev->event ? event_ref(ev->event) : NULL;
    return false;
}

struct event *box_take(struct store_box *b, uint64_t pos)
{
    struct event *ev = NULL;
    must(b, store_read(b->s, pos, pos, on_take, &ev), "read");
    if (!ev)
        die("position %llu has no event", (unsigned long long)pos);
    return ev;
}

struct queue_depth box_depth(struct store_box *b)
{
    struct queue_depth d;
    must(b, store_depth(b->s, b->now_ms, &d), "depth");
    return d;
}

struct lane_status box_status(struct store_box *b, uint32_t lane)
{
    struct queue_depth d = box_depth(b);
    for (size_t i = 0; i < d.lanes_len; i++) {
        if (d.lanes[i].lane == lane)
            return d.lanes[i];
    }
    die("depth does not name lane %u", lane);
}

bool box_known(struct store_box *b, unsigned n)
{
    struct queue_receipt r;
    struct event *ev = make_note(0, n);
    enum err e = store_receipt(b->s, ev->id, &r);
    event_unref(ev);
    if (e != ERR_NOT_FOUND)
        must(b, e, "receipt");
    return e == ERR_NONE;
}

struct receipt_lane box_receipt(struct store_box *b, unsigned n, uint32_t lane)
{
    struct queue_receipt r;
    struct event *ev = make_note(0, n);
    must(b, store_receipt(b->s, ev->id, &r), "receipt");
    event_unref(ev);
    for (size_t i = 0; i < r.lanes_len; i++) {
        if (r.lanes[i].lane == lane)
            return r.lanes[i];
    }
    die("the receipt does not name lane %u", lane);
}
