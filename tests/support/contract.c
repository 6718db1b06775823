#include "tests/support/contract.h"

#include "common/base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct backend *chosen; /* on which the cases run now */

int contract_setup(void **state)
{
    *state = rig_open(chosen, &rig_defaults);
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
    *state = rig_open(chosen, o);
    return *state;
}

int contract_run(const char *title, const struct CMUnitTest *cases, size_t len)
{
    int failed = 0;
    log_init(LOG_ERROR, LOG_TEXT, "contract");
    for (size_t i = 0; i < backends_len; i++) {
        char name[128];
        chosen = &backends[i];
        if (!backend_wanted(chosen))
            continue;
        (void)snprintf(name, sizeof name, "%s, on the %s", title, chosen->name);
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

enum err define_error(struct rig *r, const struct definition *defs, size_t len)
{
    struct answer a;
    ask_define(&r->loop, r->q, defs, len, &a);
    enum err e = a.e;
    if (e != ERR_NONE && a.why[0] == '\0')
        die("a list was refused without a reason");
    answer_free(&a);
    return e;
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

void fail_range(struct rig *r, struct holder *h, uint32_t lane, uint64_t from, uint64_t to,
                enum row_class cls)
{
    struct row *rows = mem_zero(to - from + 1, sizeof *rows);
    struct lane_commit c = holder_next(h, lane, to);
    for (uint64_t pos = from; pos <= to; pos++) {
        struct row *row = &rows[c.rows_added_len++];
        *row = row_at(pos, ROW_FAILED, cls);
        row->first_ms = row->last_ms = r->wall_ms;
    }
    c.rows_added = rows;
    must_commit(r, h, &c);
    free(rows);
}

void put_row(struct rig *r, struct holder *h, uint32_t lane, const struct row *row)
{
    struct lane_commit c = holder_next(h, lane, holder_lane(h, lane)->position);
    c.rows_added = row;
    c.rows_added_len = 1;
    must_commit(r, h, &c);
}

/* ---- what is asked for again ---- */

size_t requests(struct rig *r, struct holder *h, uint32_t lane,
                struct lane_request out[QUEUE_REQUESTS_MAX])
{
    struct answer a;
    size_t len = 0;
    bool found = false;
    holder_lease(r, h, &a);
    for (size_t i = 0; i < a.lease.kept_len; i++) {
        const struct lane_kept *k = &a.lease.kept[i];
        struct holder_lane *l = holder_lane(h, k->lane);
        found = found || k->lane == lane;
        if (k->floor > l->position)
            l->position = l->floor = k->floor;
        for (; k->lane == lane && len < k->requests_len; len++)
            out[len] = k->requests[len];
    }
    for (size_t i = 0; i < a.lease.grants_len; i++) {
        const struct lane_grant *g = &a.lease.grants[i];
        found = found || g->lane == lane;
        for (; g->lane == lane && len < g->requests_len; len++)
            out[len] = g->requests[len];
    }
    answer_free(&a);
    if (!found)
        die("lane %u is not held", lane);
    return len;
}

enum then { THEN_WAITS, THEN_ARRIVED, THEN_FAILED };

static size_t settle_asked(struct rig *r, struct holder *h, uint32_t lane, enum then then,
                           enum row_class cls)
{
    static struct lane_request asked[QUEUE_REQUESTS_MAX];
    static struct exception waiting[QUEUE_REQUESTS_MAX];
    static struct row failed[QUEUE_REQUESTS_MAX];
    static uint64_t removed[QUEUE_REQUESTS_MAX];
    size_t len = requests(r, h, lane, asked);
    if (len == 0)
        return 0;
    struct lane_commit c = holder_next(h, lane, holder_lane(h, lane)->position);
    c.requests_taken = asked[len - 1].number;
    for (size_t i = 0; i < len; i++) {
        waiting[i] = (struct exception){.pos = asked[i].pos};
        removed[i] = asked[i].pos;
        failed[i] = row_at(asked[i].pos, ROW_FAILED, cls);
        failed[i].last_ms = r->wall_ms;
    }
    c.exceptions = waiting; /* requests come in the order of their positions here */
    c.exceptions_len = then == THEN_WAITS ? len : 0;
    c.rows_removed = removed;
    c.rows_removed_len = then == THEN_ARRIVED ? len : 0;
    c.rows_added = failed;
    c.rows_added_len = then == THEN_FAILED ? len : 0;
    must_commit(r, h, &c);
    return len;
}

size_t take_up(struct rig *r, struct holder *h, uint32_t lane)
{
    return settle_asked(r, h, lane, THEN_WAITS, CLASS_NONE);
}

size_t deliver_asked(struct rig *r, struct holder *h, uint32_t lane)
{
    return settle_asked(r, h, lane, THEN_ARRIVED, CLASS_NONE);
}

size_t fail_asked(struct rig *r, struct holder *h, uint32_t lane, enum row_class cls)
{
    return settle_asked(r, h, lane, THEN_FAILED, cls);
}

/* ---- what operators do ---- */

struct hold_result hold(struct rig *r, unsigned n, bool held, bool from_now)
{
    struct answer a;
    struct hold_call c = {.held = held, .from_now = from_now, .by = "op@host"};
    struct definition d = relay(n);
    memcpy(c.url, d.url, sizeof c.url);
    ask_hold(&r->loop, r->q, &c, &a);
    if (a.e != ERR_NONE)
        die("%s can't be held or released: %s", c.url, err_name(a.e));
    struct hold_result out = a.hold;
    answer_free(&a);
    return out;
}

static void walk_failed(struct rig *r, struct failed_call *c, const struct row_filter *f,
                        struct answer *a)
{
    if (f)
        c->filter = *f;
    ask_failed_all(&r->loop, r->q, c, a);
    if (a->e != ERR_NONE)
        die("failed deliveries: %s", err_name(a->e));
}

struct failed_group sum_of(struct rig *r, enum failed_do what, const struct row_filter *f)
{
    struct answer a;
    struct failed_group sum = {0};
    struct failed_call c = {.what = what, .by = "op@host"};
    walk_failed(r, &c, f, &a);
    for (size_t i = 0; i < a.failed.groups_len; i++) {
        sum.count += a.failed.groups[i].count;
        sum.gone += a.failed.groups[i].gone;
        sum.busy += a.failed.groups[i].busy;
    }
    answer_free(&a);
    return sum;
}

uint64_t replay(struct rig *r, const struct row_filter *f, uint32_t rate_per_1000s)
{
    static uint64_t token = 1000;
    struct answer a;
    struct failed_call c = {.what = FAILED_REPLAY,
                            .token = ++token,
                            .rate_per_1000s = rate_per_1000s,
                            .text = "--all",
                            .by = "op@host"};
    walk_failed(r, &c, f, &a);
    uint64_t number = a.failed.job;
    answer_free(&a);
    return number;
}

static bool find_job(struct rig *r, uint64_t number, struct replay_job *out)
{
    struct answer a;
    bool found = false;
    ask_jobs(&r->loop, r->q, &a);
    if (a.e != ERR_NONE)
        die("jobs: %s", err_name(a.e));
    for (size_t i = 0; i < a.jobs_len; i++) {
        if (a.jobs[i].number == number) {
            *out = a.jobs[i];
            found = true;
        }
    }
    answer_free(&a);
    return found;
}

bool job_known(struct rig *r, uint64_t number)
{
    struct replay_job j;
    return find_job(r, number, &j);
}

struct replay_job job(struct rig *r, uint64_t number)
{
    struct replay_job j;
    if (!find_job(r, number, &j))
        die("job %llu is not known", (unsigned long long)number);
    return j;
}
