/* What clients ask. Each type has a put and a get, side by side. */
#include "queue/wire_parts.h"

#include <string.h>

#define HELD_MIN   (4u + 8 + 1 + 8 + 4 + 1 + 8 + 8 + 4 + 8 + 4 + 1)
#define COMMIT_MIN (4u + 8 + 8 + 8 + 8 + 4 * 4 + 8 + 4 + 4 + 8 + 21)

static void put_append(struct pack *p, const struct wire_request *r)
{
    pack_u32(p, (uint32_t)r->append.len);
    for (size_t i = 0; i < r->append.len; i++)
        pack_bytes(p, r->append.events[i].p, r->append.events[i].len);
}

static void get_append(struct unpack *u, struct wire_arena *a, struct wire_request *r)
{
    struct json_span *ev = wire_array(u, a, 4, WIRE_APPENDS_MAX, sizeof *ev, &r->append.len);
    for (size_t i = 0; i < r->append.len; i++)
        ev[i].p = (const char *)unpack_bytes(u, EVENT_LEN_MAX, &ev[i].len);
    r->append.events = ev;
}

static void put_lease(struct pack *p, const struct lease_call *c)
{
    pack_raw(p, c->publisher, PUBLISHER_ID_LEN);
    pack_str(p, c->name);
    pack_u32(p, c->routes);
    pack_u8(p, c->leaving);
    pack_u32(p, (uint32_t)c->held_len);
    for (size_t i = 0; i < c->held_len; i++) {
        pack_u32(p, c->held[i].lane);
        pack_u64(p, c->held[i].epoch);
        wire_put_live(p, &c->held[i].live);
        pack_u8(p, c->held[i].give_back);
    }
}

static void get_lease(struct unpack *u, struct wire_arena *a, struct lease_call *c)
{
    static const uint8_t nobody[PUBLISHER_ID_LEN];
    unpack_raw(u, c->publisher, PUBLISHER_ID_LEN);
    if (memcmp(c->publisher, nobody, sizeof nobody) == 0)
        u->bad = true;
    unpack_str(u, c->name, sizeof c->name);
    c->routes = unpack_u32(u);
    if (c->routes >= 1u << ROUTE_COUNT)
        u->bad = true;
    c->leaving = wire_bool(u);
    struct lease_held *h = wire_array(u, a, HELD_MIN, QUEUE_LANES_MAX, sizeof *h, &c->held_len);
    for (size_t i = 0; i < c->held_len && !u->bad; i++) {
        h[i].lane = unpack_u32(u);
        h[i].epoch = unpack_u64(u);
        wire_get_live(u, &h[i].live);
        h[i].give_back = wire_bool(u);
    }
    c->held = h;
}

static void put_lane_commit(struct pack *p, const struct lane_commit *c)
{
    pack_u32(p, c->lane);
    pack_u64(p, c->epoch);
    pack_u64(p, c->seq);
    pack_u64(p, c->position);
    pack_u64(p, c->floor);
    wire_put_exceptions(p, c->exceptions, c->exceptions_len);
    pack_u32(p, (uint32_t)c->rows_added_len);
    for (size_t i = 0; i < c->rows_added_len; i++)
        wire_put_row(p, &c->rows_added[i]);
    pack_u32(p, (uint32_t)c->rows_removed_len);
    for (size_t i = 0; i < c->rows_removed_len; i++)
        pack_u64(p, c->rows_removed[i]);
    pack_u64(p, c->requests_taken);
    pack_u32(p, c->definition_version);
    pack_u32(p, c->stalls);
    pack_u64(p, c->delivered);
    wire_put_learned(p, &c->learned);
    wire_put_paths(p, c->paths, c->paths_len);
}

static void get_lane_commit(struct unpack *u, struct wire_arena *a, struct lane_commit *c)
{
    c->lane = unpack_u32(u);
    c->epoch = unpack_u64(u);
    c->seq = unpack_u64(u);
    c->position = unpack_u64(u);
    c->floor = unpack_u64(u);
    c->exceptions = wire_get_exceptions(u, a, &c->exceptions_len);
    struct row *rows =
        wire_array(u, a, WIRE_ROW_MIN, WIRE_ROWS_MAX, sizeof *rows, &c->rows_added_len);
    for (size_t i = 0; i < c->rows_added_len && !u->bad; i++)
        wire_get_row(u, &rows[i]);
    c->rows_added = rows;
    uint64_t *removed = wire_array(u, a, 8, WIRE_ROWS_MAX, sizeof *removed, &c->rows_removed_len);
    for (size_t i = 0; i < c->rows_removed_len; i++)
        removed[i] = unpack_u64(u);
    c->rows_removed = removed;
    c->requests_taken = unpack_u64(u);
    c->definition_version = unpack_u32(u);
    c->stalls = unpack_u32(u);
    c->delivered = unpack_u64(u);
    wire_get_learned(u, &c->learned);
    c->paths = wire_get_paths(u, a, &c->paths_len);
}

static void put_commit(struct pack *p, const struct wire_request *r)
{
    pack_u32(p, (uint32_t)r->commit.len);
    for (size_t i = 0; i < r->commit.len; i++)
        put_lane_commit(p, &r->commit.lanes[i]);
}

static void get_commit(struct unpack *u, struct wire_arena *a, struct wire_request *r)
{
    struct lane_commit *c =
        wire_array(u, a, COMMIT_MIN, QUEUE_LANES_MAX, sizeof *c, &r->commit.len);
    for (size_t i = 0; i < r->commit.len && !u->bad; i++)
        get_lane_commit(u, a, &c[i]);
    r->commit.lanes = c;
}

static void put_define(struct pack *p, const struct wire_request *r)
{
    pack_u8(p, r->define.force);
    pack_str(p, r->define.by);
    pack_u32(p, (uint32_t)r->define.len);
    for (size_t i = 0; i < r->define.len; i++)
        definition_pack(p, &r->define.defs[i]);
}

static void get_define(struct unpack *u, struct wire_arena *a, struct wire_request *r)
{
    r->define.force = wire_bool(u);
    unpack_str(u, r->define.by, sizeof r->define.by);
    struct definition *d =
        wire_array(u, a, WIRE_DEFINITION_MIN, QUEUE_LANES_MAX, sizeof *d, &r->define.len);
    for (size_t i = 0; i < r->define.len && !u->bad; i++)
        definition_unpack(u, &d[i]);
    r->define.defs = d;
}

enum err wire_put_request(struct buf *out, const struct wire_request *r)
{
    struct pack p;
    pack_init(&p, out);
    wire_put_head(&p, r->type, r->number);
    switch (r->type) {
    case WIRE_APPEND:
        put_append(&p, r);
        break;
    case WIRE_READ:
        pack_u64(&p, r->read.from);
        pack_u64(&p, r->read.to);
        break;
    case WIRE_LEASE:
        put_lease(&p, &r->lease);
        break;
    case WIRE_COMMIT:
        put_commit(&p, r);
        break;
    case WIRE_DEFINE:
        put_define(&p, r);
        break;
    case WIRE_RECEIPT:
        pack_raw(&p, r->receipt, EVENT_ID_LEN);
        break;
    case WIRE_HOLD:
        wire_put_hold_call(&p, &r->hold);
        break;
    case WIRE_FAILED:
        wire_put_failed_call(&p, &r->failed);
        break;
    case WIRE_CANCEL:
        pack_u64(&p, r->cancel.job);
        pack_str(&p, r->cancel.by);
        break;
    case WIRE_OBSERVE:
        wire_put_observe_call(&p, &r->observe);
        break;
    case WIRE_STATISTICS:
        pack_u64(&p, r->statistics.since);
        pack_u32(&p, r->statistics.after);
        break;
    case WIRE_LEAD:
        wire_put_lead_call(&p, &r->lead);
        break;
    case WIRE_REGISTRY:
    case WIRE_JOBS:
    case WIRE_DEPTH:
    case WIRE_TYPE_END:
        break;
    }
    return pack_end(&p);
}

enum err wire_get_request(const void *data, size_t len, struct wire_arena *a,
                          struct wire_request *out)
{
    struct unpack u;
    unpack_init(&u, data, len);
    *out = (struct wire_request){0};
    enum err e = wire_get_head(&u, 0, &out->type, &out->number);
    if (e != ERR_NONE)
        return e;
    switch (out->type) {
    case WIRE_APPEND:
        get_append(&u, a, out);
        break;
    case WIRE_READ:
        out->read.from = unpack_u64(&u);
        out->read.to = unpack_u64(&u);
        break;
    case WIRE_LEASE:
        get_lease(&u, a, &out->lease);
        break;
    case WIRE_COMMIT:
        get_commit(&u, a, out);
        break;
    case WIRE_DEFINE:
        get_define(&u, a, out);
        break;
    case WIRE_RECEIPT:
        unpack_raw(&u, out->receipt, EVENT_ID_LEN);
        break;
    case WIRE_HOLD:
        wire_get_hold_call(&u, &out->hold);
        break;
    case WIRE_FAILED:
        wire_get_failed_call(&u, a, &out->failed);
        break;
    case WIRE_CANCEL:
        out->cancel.job = unpack_u64(&u);
        unpack_str(&u, out->cancel.by, sizeof out->cancel.by);
        break;
    case WIRE_OBSERVE:
        wire_get_observe_call(&u, a, &out->observe);
        break;
    case WIRE_STATISTICS:
        out->statistics.since = unpack_u64(&u);
        out->statistics.after = unpack_u32(&u);
        break;
    case WIRE_LEAD:
        wire_get_lead_call(&u, &out->lead);
        break;
    case WIRE_REGISTRY:
    case WIRE_JOBS:
    case WIRE_DEPTH:
    case WIRE_TYPE_END:
        break;
    }
    return unpack_end(&u);
}
