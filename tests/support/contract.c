#include "tests/support/contract.h"

#include "common/base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct backend *row; /* of the table, on which the cases run now */

int contract_setup(void **state)
{
    *state = rig_open(row, &rig_defaults);
    return 0;
}

int contract_teardown(void **state)
{
    rig_close(*state);
    return 0;
}

struct rig *contract_again(void **state, const struct rig_options *o)
{
    rig_close(*state);
    *state = rig_open(row, o);
    return *state;
}

int contract_run(const char *title, const struct CMUnitTest *cases, size_t len)
{
    int failed = 0;
    log_init(LOG_ERROR, LOG_TEXT, "contract");
    for (size_t i = 0; i < backends_len; i++) {
        char name[128];
        row = &backends[i];
        (void)snprintf(name, sizeof name, "%s, on the %s", title, row->name);
        failed += _cmocka_run_group_tests(name, cases, len, NULL, NULL);
    }
    return failed;
}

/* ---- definitions ---- */

struct definition relay(unsigned n)
{
    struct definition d = {.route = ROUTE_TOR, .family = MODE_AUTO, .window = 256};
    (void)snprintf(d.url, sizeof d.url, "wss://relay%u.example", n);
    (void)snprintf(d.name, sizeof d.name, "relay%u", n);
    return d;
}

struct define_result define(struct rig *r, const struct definition *defs, size_t len)
{
    struct answer a;
    ask_define(&r->loop, r->q, defs, len, &a);
    if (a.e != ERR_NONE)
        die("a good list was refused: %s", a.why);
    struct define_result out = a.define;
    answer_free(&a);
    return out;
}

void define_relays(struct rig *r, unsigned len)
{
    struct definition *defs = mem_zero(len + 1, sizeof *defs);
    for (unsigned i = 0; i < len; i++)
        defs[i] = relay(i);
    (void)define(r, defs, len);
    free(defs);
}

/* ---- events ---- */

struct append_result append(struct rig *r, struct event *ev)
{
    struct answer a;
    ask_append(&r->loop, r->q, ev, &a);
    event_unref(ev);
    if (a.e != ERR_NONE)
        die("a good event was refused: %s", a.why);
    struct append_result out = a.append;
    answer_free(&a);
    return out;
}

enum err append_refused(struct rig *r, struct event *ev)
{
    struct answer a;
    ask_append(&r->loop, r->q, ev, &a);
    event_unref(ev);
    enum err e = a.e;
    if (e != ERR_NONE && a.why[0] == '\0')
        die("an event was refused without a reason");
    answer_free(&a);
    return e;
}

uint64_t append_note(struct rig *r, unsigned n)
{
    return append(r, make_note(0, n)).pos;
}

void append_notes(struct rig *r, unsigned len)
{
    for (unsigned n = 1; n <= len; n++) {
        if (append_note(r, n) != n)
            die("note %u has another position", n);
    }
}

struct append_result again(struct rig *r, unsigned n)
{
    return append(r, make_note(0, n));
}

/* ---- looking ---- */

struct queue_event look(struct rig *r, uint64_t pos)
{
    struct answer a;
    ask_read(&r->loop, r->q, pos, pos, &a);
    if (a.e != ERR_NONE || a.read.len != 1 || a.read.events[0].pos != pos)
        die("position %llu can't be read: %s", (unsigned long long)pos, err_name(a.e));
    struct queue_event out = a.read.events[0];
    answer_free(&a);
    return out;
}

struct receipt_lane receipt_id(struct rig *r, const uint8_t id[EVENT_ID_LEN], uint32_t lane)
{
    struct answer a;
    ask_receipt(&r->loop, r->q, id, &a);
    if (a.e != ERR_NONE)
        die("no receipt: %s", err_name(a.e));
    for (size_t i = 0; i < a.receipt.lanes_len; i++) {
        if (a.receipt.lanes[i].lane == lane) {
            struct receipt_lane out = a.receipt.lanes[i];
            answer_free(&a);
            return out;
        }
    }
    die("the receipt does not name lane %u", lane);
}

struct receipt_lane receipt(struct rig *r, unsigned n, uint32_t lane)
{
    struct event *ev = make_note(0, n);
    struct receipt_lane out = receipt_id(r, ev->id, lane);
    event_unref(ev);
    return out;
}

enum receipt_end receipt_end(struct rig *r, unsigned n, uint32_t lane)
{
    return receipt(r, n, lane).end;
}

bool receipt_known(struct rig *r, unsigned n)
{
    struct answer a;
    struct event *ev = make_note(0, n);
    ask_receipt(&r->loop, r->q, ev->id, &a);
    event_unref(ev);
    enum err e = a.e;
    answer_free(&a);
    if (e != ERR_NONE && e != ERR_NOT_FOUND)
        die("a receipt was answered %s", err_name(e));
    return e == ERR_NONE;
}

struct lane_status status(struct rig *r, uint32_t lane)
{
    struct answer a;
    ask_depth(&r->loop, r->q, &a);
    for (size_t i = 0; a.e == ERR_NONE && i < a.depth.lanes_len; i++) {
        if (a.depth.lanes[i].lane == lane) {
            struct lane_status out = a.depth.lanes[i];
            answer_free(&a);
            return out;
        }
    }
    die("depth does not name lane %u (%s)", lane, err_name(a.e));
}

uint64_t first_kept(struct rig *r)
{
    struct answer a;
    ask_depth(&r->loop, r->q, &a);
    if (a.e != ERR_NONE)
        die("depth: %s", err_name(a.e));
    uint64_t first = a.depth.first;
    answer_free(&a);
    return first;
}

/* ---- commits ---- */

struct row row_at(uint64_t pos, enum row_end end, enum row_class cls)
{
    struct row out = {.from = pos,
                      .to = pos,
                      .end = end,
                      .cls = cls,
                      .attempts = 1,
                      .first_ms = RIG_WALL_MS,
                      .last_ms = RIG_WALL_MS,
                      .route = ROUTE_TOR,
                      .family = FAMILY_IPV6,
                      .text = "the relay's words"};
    return out;
}

static void must_commit(struct rig *r, struct holder *h, const struct lane_commit *c)
{
    struct lane_committed done = holder_commit(r, h, c);
    if (done.status != COMMIT_DONE)
        die("a good commit was answered with status %d", (int)done.status);
}

void deliver(struct rig *r, struct holder *h, uint32_t lane, uint64_t position)
{
    struct lane_commit c = holder_next(h, lane, position);
    must_commit(r, h, &c);
}

void fail_at(struct rig *r, struct holder *h, uint32_t lane, uint64_t pos, enum row_class cls)
{
    struct row failed = row_at(pos, ROW_FAILED, cls);
    failed.first_ms = failed.last_ms = r->wall_ms;
    struct lane_commit c = holder_next(h, lane, pos);
    c.rows_added = &failed;
    c.rows_added_len = 1;
    must_commit(r, h, &c);
}
