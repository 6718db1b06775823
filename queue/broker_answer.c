/* What each request does to the store and the leases. Everything here happens inside a turn; the
 * replies leave after its commit. */
#include "queue/audit.h"
#include "queue/broker_state.h"

#include "common/base/log.h"

#include <stdlib.h>
#include <string.h>

bool broker_change(struct broker *b)
{
    if (b->fatal == ERR_NONE && !b->in_turn)
        b->in_turn = broker_check(b, store_begin(b->store));
    return b->fatal == ERR_NONE;
}

bool broker_check(struct broker *b, enum err e)
{
    if (e != ERR_NONE && b->fatal == ERR_NONE)
        b->fatal = e;
    return e == ERR_NONE;
}

bool broker_is_refusal(enum err e)
{
    return e == ERR_NO_LANES || e == ERR_FILTERED || e == ERR_FULL || e == ERR_NO_SPACE ||
           e == ERR_INVALID || e == ERR_TOO_BIG || e == ERR_STALE || e == ERR_NOT_FOUND;
}

/* The tail is a hint: what does not fit is left out, and followers read it. */
static void add_tail(struct broker *b, const struct queue_tail *t)
{
    if (b->tail_lost > 0) {
        b->tail_lost--;
        return;
    }
    if (b->tail_len == 0 && wire_begin_tail(&b->tail, b->number) != ERR_NONE)
        return;
    size_t before = b->tail.len;
    if (b->tail_len < WIRE_EVENTS_MAX && wire_put_tail(&b->tail, t) == ERR_NONE)
        b->tail_len++;
    else
        b->tail.len = before;
}

static void note_added(struct broker *b, uint64_t pos, int64_t accepted_ms)
{
    if (b->added_len == b->added_cap) {
        b->added_cap = b->added_cap == 0 ? 64 : b->added_cap * 2;
        b->added = mem_grow(b->added, b->added_cap * sizeof *b->added);
    }
    b->added[b->added_len++] = (struct broker_added){pos, accepted_ms};
}

static void append_one(struct broker *b, struct json_span json, struct wire_arena *a,
                       struct wire_appended *out)
{
    struct problem why = {0};
    struct queue_tail tail = {0};
    struct event *ev;
    out->err = event_parse(json, EVENT_LEN_MAX, &ev, &why);
    if (out->err == ERR_NONE) {
        int64_t now_ms = broker_wall_ms(b);
        out->err = store_append(b->store, ev, now_ms, &out->result, &tail, &why);
        bool added = out->err == ERR_NONE && !out->result.duplicate;
        bool heartbeat = added && out->result.pos == 0;
        if (added && !heartbeat) {
            add_tail(b, &tail);
            note_added(b, out->result.pos, now_ms);
        }
        b->news += heartbeat || (out->err == ERR_NONE && out->result.requeued > 0);
        event_unref(ev);
    }
    if (out->err != ERR_NONE && !broker_is_refusal(out->err))
        (void)broker_check(b, out->err);
    if (out->err != ERR_NONE)
        out->why = wire_copy(a, why.text, strlen(why.text) + 1, 1);
}

static void do_append(struct broker *b, const struct wire_request *q, struct wire_arena *a,
                      struct wire_reply *r)
{
    struct wire_appended *res = wire_alloc(a, q->append.len, sizeof *res);
    for (size_t i = 0; i < q->append.len && broker_change(b); i++)
        append_one(b, q->append.events[i], a, &res[i]);
    r->append.results = res;
    r->append.len = q->append.len;
}

/* ---- read */

#define EVENT_OVERHEAD 64u /* counted for each position of a read besides its bytes */

struct reading {
    struct wire_arena *a;
    struct queue_event *events;
    size_t len, cap, bytes;
};

static bool on_read(void *arg, const struct queue_event *ev)
{
    struct reading *rd = arg;
    size_t bytes = EVENT_OVERHEAD + (ev->event != NULL ? ev->event->len : 0);
    if (rd->len > 0 && rd->bytes + bytes > QUEUE_READ_MAX)
        return false;
    if (rd->len == rd->cap) {
        rd->cap = rd->cap == 0 ? 16 : rd->cap * 2;
        struct queue_event *more = wire_alloc(rd->a, rd->cap, sizeof *more);
        if (rd->len > 0)
            memcpy(more, rd->events, rd->len * sizeof *more);
        rd->events = more;
    }
    if (ev->event != NULL)
        wire_keep(rd->a, ev->event);
    rd->events[rd->len++] = *ev;
    rd->bytes += bytes;
    return true;
}

bool broker_is_read(struct broker *b, struct wire_reply *r, enum err e)
{
    r->err = e;
    if (e == ERR_NONE || e == ERR_NOT_FOUND)
        return e == ERR_NONE;
    if (b->turned_ms - b->lamented_ms >= BROKER_COMPLAINTS_MS) {
        b->lamented_ms = b->turned_ms;
        LOG(LOG_ERROR, "the store can't be read", LOG_S("error", err_name(e)),
            LOG_S("problem", store_problem(b->store)));
    }
    return false;
}

static void do_read(struct broker *b, const struct wire_request *q, struct wire_arena *a,
                    struct wire_reply *r)
{
    struct reading rd = {.a = a};
    if (!broker_is_read(b, r, store_read(b->store, q->read.from, q->read.to, on_read, &rd)))
        return;
    r->read.head = store_head(b->store);
    r->read.events = rd.events;
    r->read.len = rd.len;
}

/* ---- leases */

void broker_load_lanes(struct broker *b)
{
    struct store_lane *lanes = mem_zero(QUEUE_LANES_MAX, sizeof *lanes);
    size_t len = store_lanes(b->store, lanes, QUEUE_LANES_MAX);
    leases_load(b->leases, lanes, len, broker_boot_ms(b));
    free(lanes);
}

static void release(struct broker *b, const struct lease_ref *refs, size_t len)
{
    for (size_t i = 0; i < len && broker_change(b); i++)
        (void)broker_check(b, store_release(b->store, refs[i].lane, refs[i].epoch));
}

void broker_expire(struct broker *b)
{
    const struct lease_ref *freed;
    size_t len;
    leases_expire(b->leases, broker_boot_ms(b), &freed, &len);
    release(b, freed, len);
}

/* The store's arrays are valid until its next call: the reply gets copies. */
static void grant(struct broker *b, const struct lease_call *call, const uint32_t *lanes,
                  struct wire_arena *a, struct lease_reply *r)
{
    struct lane_grant *g = wire_alloc(a, r->grants_len, sizeof *g);
    for (size_t i = 0; i < r->grants_len && broker_change(b); i++) {
        if (!broker_check(b, store_grant(b->store, lanes[i], call->publisher, call->name,
                                         broker_wall_ms(b), &g[i])))
            return;
        g[i].exceptions =
            wire_copy(a, g[i].exceptions, g[i].exceptions_len, sizeof *g[i].exceptions);
        g[i].requests = wire_copy(a, g[i].requests, g[i].requests_len, sizeof *g[i].requests);
        b->requests_full |= g[i].requests_len == QUEUE_REQUESTS_MAX;
        leases_granted(b->leases, lanes[i], call->publisher, g[i].epoch);
    }
    r->grants = g;
}

static void keep(struct broker *b, const struct lease_keep *keeps, struct wire_arena *a,
                 struct lease_reply *r)
{
    struct lane_kept *k = wire_alloc(a, r->kept_len, sizeof *k);
    for (size_t i = 0; i < r->kept_len; i++) {
        if (!broker_check(b, store_kept(b->store, keeps[i].lane, keeps[i].epoch, &k[i])))
            return;
        k[i].lane = keeps[i].lane;
        k[i].give_back = keeps[i].give_back;
        if (!k[i].held)
            leases_not_held(b->leases, k[i].lane);
        if (k[i].next != NULL)
            k[i].next = wire_copy(a, k[i].next, 1, sizeof *k[i].next);
        k[i].requests = wire_copy(a, k[i].requests, k[i].requests_len, sizeof *k[i].requests);
        b->requests_full |= k[i].requests_len == QUEUE_REQUESTS_MAX;
    }
    r->kept = k;
}

static void do_lease(struct broker *b, const struct lease_call *call, struct wire_arena *a,
                     struct wire_reply *r)
{
    struct lease_answer out;
    leases_answer(b->leases, call, &out);
    release(b, out.released, out.released_len);
    r->lease = (struct lease_reply){.now_ms = broker_wall_ms(b),
                                    .head = store_head(b->store),
                                    .registry_version = store_registry_version(b->store),
                                    .grants_len = out.grants_len,
                                    .kept_len = out.kept_len,
                                    .lost = out.lost,
                                    .lost_len = out.lost_len};
    r->lease.heartbeat = store_heartbeat(b->store, &r->lease.heartbeat_number);
    if (r->lease.heartbeat != NULL)
        wire_keep(a, r->lease.heartbeat);
    grant(b, call, out.grants, a, &r->lease);
    keep(b, out.kept, a, &r->lease);
}

/* ---- the others */

static void do_commit(struct broker *b, const struct wire_request *q, struct wire_arena *a,
                      struct wire_reply *r)
{
    struct lane_committed *out = wire_alloc(a, q->commit.len, sizeof *out);
    bool taken = false;
    for (size_t i = 0; i < q->commit.len && broker_change(b); i++) {
        (void)broker_check(
            b, store_lane_commit(b->store, &q->commit.lanes[i], broker_wall_ms(b), &out[i]));
        taken |= q->commit.lanes[i].requests_taken > 0;
    }
    if (taken && b->requests_full) { /* there may be room now for those that did not fit */
        b->requests_full = false;
        b->news++;
    }
    b->moved = true;
    r->commit.lanes = out;
    r->commit.len = q->commit.len;
}

static void do_define(struct broker *b, const struct wire_request *q, struct wire_arena *a,
                      struct wire_reply *r)
{
    struct problem why = {0};
    if (!broker_change(b))
        return;
    r->err = store_define(b->store, &q->define, broker_wall_ms(b), &r->define, &why);
    if (r->err == ERR_NONE && r->define.added + r->define.changed + r->define.retired > 0) {
        broker_load_lanes(b);
        audit_define(&q->define, &r->define);
        b->news++;
    } else if (r->err != ERR_NONE && broker_is_refusal(r->err))
        r->why = wire_copy(a, why.text, strlen(why.text) + 1, 1);
    else
        (void)broker_check(b, r->err);
}

static void do_depth(struct broker *b, struct wire_arena *a, struct wire_reply *r)
{
    int64_t now_ms = broker_wall_ms(b);
    uint64_t boot_ms = broker_boot_ms(b);
    if (!broker_is_read(b, r, store_depth(b->store, now_ms, &r->depth)))
        return;
    struct lane_status *s =
        wire_copy(a, r->depth.lanes, r->depth.lanes_len, sizeof *r->depth.lanes);
    for (size_t i = 0; i < r->depth.lanes_len; i++)
        leases_status(b->leases, s[i].lane, now_ms, boot_ms, &s[i].live, s[i].publisher);
    r->depth.lanes = s;
}

static void do_receipt(struct broker *b, const uint8_t *id, struct wire_reply *r)
{
    (void)broker_is_read(b, r, store_receipt(b->store, id, &r->receipt));
}

void broker_do(struct broker *b, const struct wire_request *q, struct wire_arena *a,
               struct wire_reply *r)
{
    switch (q->type) {
    case WIRE_APPEND:
        do_append(b, q, a, r);
        break;
    case WIRE_READ:
        do_read(b, q, a, r);
        break;
    case WIRE_LEASE:
        do_lease(b, &q->lease, a, r);
        break;
    case WIRE_COMMIT:
        do_commit(b, q, a, r);
        break;
    case WIRE_DEFINE:
        do_define(b, q, a, r);
        break;
    case WIRE_DEPTH:
        do_depth(b, a, r);
        break;
    case WIRE_RECEIPT:
        do_receipt(b, q->receipt, r);
        break;
    case WIRE_REGISTRY:
    case WIRE_HOLD:
    case WIRE_FAILED:
    case WIRE_JOBS:
    case WIRE_CANCEL:
        broker_operate(b, q, a, r);
        break;
    case WIRE_OBSERVE:
    case WIRE_STATISTICS:
    case WIRE_LEAD:
        broker_count(b, q, r);
        break;
    case WIRE_TYPE_END:
        break;
    }
}
