/* What the broker answers. Each type has a put and a get, side by side. */
#include "queue/wire_parts.h"

#include <string.h>

#define WHY_MAX       1024u
#define APPENDED_MIN  5u
#define COMMITTED_LEN 13u
#define GRANT_MIN     80u
#define KEPT_MIN      22u
#define STATUS_MIN    140u
#define RECEIPT_MIN   18u

static void put_append(struct pack *p, const struct wire_reply *r)
{
    pack_u32(p, (uint32_t)r->append.len);
    for (size_t i = 0; i < r->append.len; i++) {
        const struct wire_appended *a = &r->append.results[i];
        pack_u8(p, (uint8_t)a->err);
        if (a->err != ERR_NONE) {
            pack_str(p, a->why);
            continue;
        }
        pack_u64(p, a->result.pos);
        pack_u8(p, a->result.duplicate);
        pack_u32(p, a->result.requeued);
    }
}

static void get_append(struct unpack *u, struct wire_arena *a, struct wire_reply *r)
{
    struct wire_appended *res =
        wire_array(u, a, APPENDED_MIN, WIRE_APPENDS_MAX, sizeof *res, &r->append.len);
    for (size_t i = 0; i < r->append.len && !u->bad; i++) {
        res[i].err = (enum err)wire_enum(u, ERR_COUNT);
        if (res[i].err != ERR_NONE) {
            res[i].why = wire_text(u, a, WHY_MAX);
            continue;
        }
        res[i].result.pos = unpack_u64(u);
        res[i].result.duplicate = wire_bool(u);
        res[i].result.requeued = unpack_u32(u);
    }
    r->append.results = res;
}

static void put_read(struct pack *p, const struct wire_reply *r)
{
    pack_u64(p, r->read.head);
    pack_u32(p, (uint32_t)r->read.len);
    for (size_t i = 0; i < r->read.len; i++)
        wire_put_event(p, &r->read.events[i]);
}

static void get_read(struct unpack *u, struct wire_arena *a, struct wire_reply *r)
{
    r->read.head = unpack_u64(u);
    struct queue_event *ev =
        wire_array(u, a, WIRE_EVENT_MIN, WIRE_EVENTS_MAX, sizeof *ev, &r->read.len);
    for (size_t i = 0; i < r->read.len && !u->bad; i++)
        wire_get_event(u, a, &ev[i]);
    r->read.events = ev;
}

static void put_grant(struct pack *p, const struct lane_grant *g)
{
    pack_u32(p, g->lane);
    pack_u64(p, g->epoch);
    pack_u64(p, g->start);
    pack_u64(p, g->position);
    pack_u32(p, g->definition_version);
    definition_pack(p, &g->definition);
    pack_u32(p, g->next_version);
    if (g->next_version > g->definition_version)
        definition_pack(p, &g->next);
    pack_u8(p, g->held);
    pack_u32(p, g->stalls);
    wire_put_exceptions(p, g->exceptions, g->exceptions_len);
    wire_put_lane_requests(p, g->requests, g->requests_len);
    wire_put_learned(p, &g->learned);
}

static void get_grant(struct unpack *u, struct wire_arena *a, struct lane_grant *g)
{
    g->lane = unpack_u32(u);
    g->epoch = unpack_u64(u);
    g->start = unpack_u64(u);
    g->position = unpack_u64(u);
    g->definition_version = unpack_u32(u);
    definition_unpack(u, &g->definition);
    g->next_version = unpack_u32(u);
    if (g->next_version > g->definition_version)
        definition_unpack(u, &g->next);
    g->held = wire_bool(u);
    g->stalls = unpack_u32(u);
    g->exceptions = wire_get_exceptions(u, a, &g->exceptions_len);
    g->requests = wire_get_lane_requests(u, a, &g->requests_len);
    wire_get_learned(u, &g->learned);
}

static void put_kept(struct pack *p, const struct lane_kept *k)
{
    pack_u32(p, k->lane);
    pack_u64(p, k->floor);
    pack_u32(p, k->next_version);
    pack_u8(p, k->next != NULL);
    if (k->next != NULL)
        definition_pack(p, k->next);
    pack_u8(p, k->held);
    pack_u8(p, k->give_back);
    wire_put_lane_requests(p, k->requests, k->requests_len);
}

static void get_kept(struct unpack *u, struct wire_arena *a, struct lane_kept *k)
{
    k->lane = unpack_u32(u);
    k->floor = unpack_u64(u);
    k->next_version = unpack_u32(u);
    if (wire_bool(u)) {
        struct definition *next = wire_alloc(a, 1, sizeof *next);
        definition_unpack(u, next);
        k->next = next;
    }
    k->held = wire_bool(u);
    k->give_back = wire_bool(u);
    k->requests = wire_get_lane_requests(u, a, &k->requests_len);
}

static void put_lease(struct pack *p, const struct lease_reply *l)
{
    pack_i64(p, l->now_ms);
    pack_u64(p, l->head);
    pack_u64(p, l->registry_version);
    pack_u32(p, (uint32_t)l->grants_len);
    for (size_t i = 0; i < l->grants_len; i++)
        put_grant(p, &l->grants[i]);
    pack_u32(p, (uint32_t)l->kept_len);
    for (size_t i = 0; i < l->kept_len; i++)
        put_kept(p, &l->kept[i]);
    pack_u32(p, (uint32_t)l->lost_len);
    for (size_t i = 0; i < l->lost_len; i++)
        pack_u32(p, l->lost[i]);
    pack_u64(p, l->heartbeat != NULL ? l->heartbeat_number : 0);
    if (l->heartbeat != NULL)
        pack_bytes(p, l->heartbeat->bytes, l->heartbeat->len);
}

static void get_lease(struct unpack *u, struct wire_arena *a, struct lease_reply *l)
{
    l->now_ms = unpack_i64(u);
    l->head = unpack_u64(u);
    l->registry_version = unpack_u64(u);
    struct lane_grant *g = wire_array(u, a, GRANT_MIN, QUEUE_LANES_MAX, sizeof *g, &l->grants_len);
    for (size_t i = 0; i < l->grants_len && !u->bad; i++)
        get_grant(u, a, &g[i]);
    l->grants = g;
    struct lane_kept *k = wire_array(u, a, KEPT_MIN, QUEUE_LANES_MAX, sizeof *k, &l->kept_len);
    for (size_t i = 0; i < l->kept_len && !u->bad; i++)
        get_kept(u, a, &k[i]);
    l->kept = k;
    uint32_t *lost = wire_array(u, a, 4, QUEUE_LANES_MAX, sizeof *lost, &l->lost_len);
    for (size_t i = 0; i < l->lost_len; i++)
        lost[i] = unpack_u32(u);
    l->lost = lost;
    l->heartbeat_number = unpack_u64(u);
    if (l->heartbeat_number != 0)
        l->heartbeat = wire_get_bytes_of_event(u, a);
}

static void put_commit(struct pack *p, const struct wire_reply *r)
{
    pack_u32(p, (uint32_t)r->commit.len);
    for (size_t i = 0; i < r->commit.len; i++) {
        pack_u32(p, r->commit.lanes[i].lane);
        pack_u8(p, (uint8_t)r->commit.lanes[i].status);
        pack_u64(p, r->commit.lanes[i].position);
    }
}

static void get_commit(struct unpack *u, struct wire_arena *a, struct wire_reply *r)
{
    struct lane_committed *c =
        wire_array(u, a, COMMITTED_LEN, QUEUE_LANES_MAX, sizeof *c, &r->commit.len);
    for (size_t i = 0; i < r->commit.len; i++) {
        c[i].lane = unpack_u32(u);
        c[i].status = (enum commit_status)wire_enum(u, COMMIT_STATUS_COUNT);
        c[i].position = unpack_u64(u);
    }
    r->commit.lanes = c;
}

static void put_define(struct pack *p, const struct define_result *d)
{
    pack_u32(p, d->added);
    pack_u32(p, d->changed);
    pack_u32(p, d->retired);
    pack_u32(p, d->unchanged);
    pack_u64(p, d->registry_version);
}

static void get_define(struct unpack *u, struct define_result *d)
{
    d->added = unpack_u32(u);
    d->changed = unpack_u32(u);
    d->retired = unpack_u32(u);
    d->unchanged = unpack_u32(u);
    d->registry_version = unpack_u64(u);
}

static void put_status(struct pack *p, const struct lane_status *s)
{
    pack_u32(p, s->lane);
    pack_u8(p, s->retired);
    pack_u32(p, s->definition_version);
    definition_pack(p, &s->definition);
    pack_u64(p, s->start);
    pack_u64(p, s->position);
    pack_u64(p, s->depth);
    pack_u64(p, s->retrying);
    pack_u64(p, s->asked);
    pack_u64(p, s->failed);
    pack_u64(p, s->skipped);
    pack_u64(p, s->expired);
    pack_u64(p, s->delivered);
    pack_i64(p, s->oldest_ms);
    pack_u8(p, s->held);
    wire_put_live(p, &s->live);
    pack_str(p, s->publisher);
    wire_put_learned(p, &s->learned);
    wire_put_paths(p, s->paths, s->paths_len);
}

static void get_status(struct unpack *u, struct wire_arena *a, struct lane_status *s)
{
    s->lane = unpack_u32(u);
    s->retired = wire_bool(u);
    s->definition_version = unpack_u32(u);
    definition_unpack(u, &s->definition);
    s->start = unpack_u64(u);
    s->position = unpack_u64(u);
    s->depth = unpack_u64(u);
    s->retrying = unpack_u64(u);
    s->asked = unpack_u64(u);
    s->failed = unpack_u64(u);
    s->skipped = unpack_u64(u);
    s->expired = unpack_u64(u);
    s->delivered = unpack_u64(u);
    s->oldest_ms = unpack_i64(u);
    s->held = wire_bool(u);
    wire_get_live(u, &s->live);
    unpack_str(u, s->publisher, sizeof s->publisher);
    wire_get_learned(u, &s->learned);
    s->paths = wire_get_paths(u, a, &s->paths_len);
}

static void put_depth(struct pack *p, const struct queue_depth *d)
{
    pack_i64(p, d->now_ms);
    pack_u64(p, d->head);
    pack_u64(p, d->first);
    pack_u64(p, d->events);
    pack_u64(p, d->bytes);
    pack_u64(p, d->max_bytes);
    pack_u64(p, d->heartbeat.number);
    pack_i64(p, d->heartbeat.accepted_ms);
    pack_u64(p, d->heartbeat.taken);
    pack_i64(p, d->heartbeat.taken_ms);
    pack_u32(p, (uint32_t)d->lanes_len);
    for (size_t i = 0; i < d->lanes_len; i++)
        put_status(p, &d->lanes[i]);
}

static void get_depth(struct unpack *u, struct wire_arena *a, struct queue_depth *d)
{
    d->now_ms = unpack_i64(u);
    d->head = unpack_u64(u);
    d->first = unpack_u64(u);
    d->events = unpack_u64(u);
    d->bytes = unpack_u64(u);
    d->max_bytes = unpack_u64(u);
    d->heartbeat.number = unpack_u64(u);
    d->heartbeat.accepted_ms = unpack_i64(u);
    d->heartbeat.taken = unpack_u64(u);
    d->heartbeat.taken_ms = unpack_i64(u);
    struct lane_status *s = wire_array(u, a, STATUS_MIN, WIRE_LANES_MAX, sizeof *s, &d->lanes_len);
    for (size_t i = 0; i < d->lanes_len && !u->bad; i++)
        get_status(u, a, &s[i]);
    d->lanes = s;
}

static void put_receipt_lane(struct pack *p, const struct receipt_lane *l)
{
    pack_u32(p, l->lane);
    pack_str(p, l->url);
    pack_str(p, l->name);
    pack_u8(p, l->retired);
    pack_u8(p, (uint8_t)l->end);
    if (l->end == RECEIPT_ROW || l->end == RECEIPT_RETRYING)
        wire_put_row(p, &l->row);
    if (l->end == RECEIPT_RETRYING)
        wire_put_exceptions(p, &l->exception, 1);
    wire_put_history(p, l->history, l->history_len);
}

static void get_receipt_lane(struct unpack *u, struct wire_arena *a, struct receipt_lane *l)
{
    l->lane = unpack_u32(u);
    unpack_str(u, l->url, sizeof l->url);
    unpack_str(u, l->name, sizeof l->name);
    l->retired = wire_bool(u);
    l->end = (enum receipt_end)wire_enum(u, RECEIPT_NEVER + 1);
    if (l->end == RECEIPT_ROW || l->end == RECEIPT_RETRYING)
        wire_get_row(u, &l->row);
    if (l->end == RECEIPT_RETRYING) {
        size_t len;
        const struct exception *e = wire_get_exceptions(u, a, &len);
        if (len == 1)
            l->exception = *e;
        else
            u->bad = true;
    }
    l->history = wire_get_history(u, a, &l->history_len);
}

static void put_receipt(struct pack *p, const struct queue_receipt *r)
{
    pack_raw(p, r->id, EVENT_ID_LEN);
    pack_u64(p, r->pos);
    pack_i64(p, r->accepted_ms);
    pack_u32(p, r->kind);
    pack_u32(p, (uint32_t)r->lanes_len);
    for (size_t i = 0; i < r->lanes_len; i++)
        put_receipt_lane(p, &r->lanes[i]);
}

static void get_receipt(struct unpack *u, struct wire_arena *a, struct queue_receipt *r)
{
    unpack_raw(u, r->id, EVENT_ID_LEN);
    r->pos = unpack_u64(u);
    r->accepted_ms = unpack_i64(u);
    r->kind = unpack_u32(u);
    struct receipt_lane *l =
        wire_array(u, a, RECEIPT_MIN, WIRE_LANES_MAX, sizeof *l, &r->lanes_len);
    for (size_t i = 0; i < r->lanes_len && !u->bad; i++)
        get_receipt_lane(u, a, &l[i]);
    r->lanes = l;
}

enum err wire_put_reply(struct buf *out, const struct wire_reply *r)
{
    struct pack p;
    pack_init(&p, out);
    wire_put_head(&p, r->type | WIRE_IS_REPLY, r->number);
    pack_u8(&p, (uint8_t)r->err);
    if (r->err != ERR_NONE) {
        pack_str(&p, r->why);
        return pack_end(&p);
    }
    switch (r->type) {
    case WIRE_APPEND:
        put_append(&p, r);
        break;
    case WIRE_READ:
        put_read(&p, r);
        break;
    case WIRE_LEASE:
        put_lease(&p, &r->lease);
        break;
    case WIRE_COMMIT:
        put_commit(&p, r);
        break;
    case WIRE_DEFINE:
        put_define(&p, &r->define);
        break;
    case WIRE_DEPTH:
        put_depth(&p, &r->depth);
        break;
    case WIRE_RECEIPT:
        put_receipt(&p, &r->receipt);
        break;
    case WIRE_REGISTRY:
        wire_put_registry(&p, &r->registry);
        break;
    case WIRE_HOLD:
        pack_u64(&p, r->hold.waiting);
        pack_u64(&p, r->hold.given_up);
        pack_u8(&p, r->hold.changed);
        break;
    case WIRE_FAILED:
        wire_put_failed_page(&p, &r->failed);
        break;
    case WIRE_JOBS:
        wire_put_jobs(&p, r->jobs.jobs, r->jobs.len);
        break;
    case WIRE_OBSERVE:
        wire_put_observe_result(&p, &r->observe);
        break;
    case WIRE_STATISTICS:
        wire_put_statistics_page(&p, &r->statistics);
        break;
    case WIRE_LEAD:
        wire_put_lead_result(&p, &r->lead);
        break;
    case WIRE_CANCEL:
    case WIRE_TYPE_END:
        break;
    }
    return pack_end(&p);
}

enum err wire_get_reply(const void *data, size_t len, struct wire_arena *a, struct wire_reply *out)
{
    struct unpack u;
    unpack_init(&u, data, len);
    *out = (struct wire_reply){0};
    enum err e = wire_get_head(&u, WIRE_IS_REPLY, &out->type, &out->number);
    if (e != ERR_NONE)
        return e;
    out->err = (enum err)wire_enum(&u, ERR_COUNT);
    if (out->err != ERR_NONE) {
        out->why = wire_text(&u, a, WHY_MAX);
        return unpack_end(&u);
    }
    switch (out->type) {
    case WIRE_APPEND:
        get_append(&u, a, out);
        break;
    case WIRE_READ:
        get_read(&u, a, out);
        break;
    case WIRE_LEASE:
        get_lease(&u, a, &out->lease);
        break;
    case WIRE_COMMIT:
        get_commit(&u, a, out);
        break;
    case WIRE_DEFINE:
        get_define(&u, &out->define);
        break;
    case WIRE_DEPTH:
        get_depth(&u, a, &out->depth);
        break;
    case WIRE_RECEIPT:
        get_receipt(&u, a, &out->receipt);
        break;
    case WIRE_REGISTRY:
        wire_get_registry(&u, a, &out->registry);
        break;
    case WIRE_HOLD:
        out->hold.waiting = unpack_u64(&u);
        out->hold.given_up = unpack_u64(&u);
        out->hold.changed = wire_bool(&u);
        break;
    case WIRE_FAILED:
        wire_get_failed_page(&u, a, &out->failed);
        break;
    case WIRE_JOBS:
        out->jobs.jobs = wire_get_jobs(&u, a, &out->jobs.len);
        break;
    case WIRE_OBSERVE:
        wire_get_observe_result(&u, &out->observe);
        break;
    case WIRE_STATISTICS:
        wire_get_statistics_page(&u, a, &out->statistics);
        break;
    case WIRE_LEAD:
        wire_get_lead_result(&u, &out->lead);
        break;
    case WIRE_CANCEL:
    case WIRE_TYPE_END:
        break;
    }
    return unpack_end(&u);
}
