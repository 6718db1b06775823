/* What operators ask and are answered: the registry of lanes, hold, failed deliveries, replay jobs.
 * Each thing has a put and a get, side by side. */
#include "queue/wire_parts.h"

#define VERSION_MIN (4u + 8 + 1 + WIRE_DEFINITION_MIN)
#define ENTRY_MIN   (4u + 1 + 8 + 8 + 8 + 1 + 4)
#define FAILED_MIN  (4u + EVENT_ID_LEN + 32 + 4 + 8 + WIRE_ROW_MIN + 1 + 8)
#define GROUP_LEN   (4u + 1 + 8 + 8 + 8)
#define JOB_MIN     (8u + 1 + 8 + 8 + 4 + 6 * 8 + 4 + 4)

/* ---- hold ---- */

void wire_put_hold_call(struct pack *p, const struct hold_call *c)
{
    pack_str(p, c->url);
    pack_u8(p, c->held);
    pack_u8(p, c->from_now);
    pack_str(p, c->by);
}

void wire_get_hold_call(struct unpack *u, struct hold_call *c)
{
    unpack_str(u, c->url, sizeof c->url);
    c->held = wire_bool(u);
    c->from_now = wire_bool(u);
    unpack_str(u, c->by, sizeof c->by);
}

/* ---- failed deliveries ---- */

/* No ids at all means any; an empty list of them means none. */
static void put_ids(struct pack *p, const struct row_filter *f)
{
    pack_u8(p, f->ids != NULL);
    if (f->ids == NULL)
        return;
    pack_u32(p, (uint32_t)f->ids_len);
    pack_raw(p, f->ids, f->ids_len * EVENT_ID_LEN);
}

static void get_ids(struct unpack *u, struct wire_arena *a, struct row_filter *f)
{
    if (!wire_bool(u))
        return;
    f->ids_len = unpack_count(u, EVENT_ID_LEN, FILTER_IDS_MAX);
    uint8_t(*ids)[EVENT_ID_LEN] = wire_alloc(a, f->ids_len + 1, sizeof *ids);
    unpack_raw(u, ids, f->ids_len * EVENT_ID_LEN);
    f->ids = (const uint8_t(*)[EVENT_ID_LEN])ids;
}

static void put_filter(struct pack *p, const struct row_filter *f)
{
    pack_str(p, f->url);
    pack_u32(p, f->classes);
    pack_str(p, f->reason);
    pack_u8(p, f->has_kind);
    pack_u32(p, f->kind);
    pack_u8(p, f->has_author);
    pack_raw(p, f->author, sizeof f->author);
    put_ids(p, f);
    pack_i64(p, f->older_than_ms);
    pack_i64(p, f->newer_than_ms);
    pack_u32(p, f->min_attempts);
}

static void get_filter(struct unpack *u, struct wire_arena *a, struct row_filter *f)
{
    unpack_str(u, f->url, sizeof f->url);
    f->classes = unpack_u32(u);
    if (f->classes >= 1u << CLASS_COUNT)
        u->bad = true;
    unpack_str(u, f->reason, sizeof f->reason);
    f->has_kind = wire_bool(u);
    f->kind = unpack_u32(u);
    f->has_author = wire_bool(u);
    unpack_raw(u, f->author, sizeof f->author);
    get_ids(u, a, f);
    f->older_than_ms = unpack_i64(u);
    f->newer_than_ms = unpack_i64(u);
    f->min_attempts = unpack_u32(u);
}

static void put_mark(struct pack *p, const struct row_mark *m)
{
    pack_u32(p, m->phase);
    pack_u64(p, m->a);
    pack_u64(p, m->b);
}

static void get_mark(struct unpack *u, struct row_mark *m)
{
    m->phase = unpack_u32(u);
    m->a = unpack_u64(u);
    m->b = unpack_u64(u);
}

void wire_put_failed_call(struct pack *p, const struct failed_call *c)
{
    pack_u8(p, (uint8_t)c->what);
    put_filter(p, &c->filter);
    put_mark(p, &c->after);
    pack_u32(p, c->limit);
    pack_u64(p, c->job);
    pack_u64(p, c->token);
    pack_u32(p, c->rate_per_1000s);
    pack_str(p, c->text);
    pack_str(p, c->by);
}

void wire_get_failed_call(struct unpack *u, struct wire_arena *a, struct failed_call *c)
{
    c->what = (enum failed_do)wire_enum(u, FAILED_DO_COUNT);
    get_filter(u, a, &c->filter);
    get_mark(u, &c->after);
    c->limit = unpack_u32(u);
    if (c->limit > FAILED_PAGE_MAX || (c->limit == 0 && c->what == FAILED_LIST))
        u->bad = true;
    c->job = unpack_u64(u);
    c->token = unpack_u64(u);
    c->rate_per_1000s = unpack_u32(u);
    unpack_str(u, c->text, sizeof c->text);
    unpack_str(u, c->by, sizeof c->by);
}

static void put_failed_row(struct pack *p, const struct failed_row *r)
{
    pack_u32(p, r->lane);
    pack_raw(p, r->id, sizeof r->id);
    pack_raw(p, r->author, sizeof r->author);
    pack_u32(p, r->kind);
    pack_i64(p, r->accepted_ms);
    wire_put_row(p, &r->row);
    pack_u8(p, r->replayable);
    pack_u64(p, r->job);
}

static void get_failed_row(struct unpack *u, struct failed_row *r)
{
    r->lane = unpack_u32(u);
    unpack_raw(u, r->id, sizeof r->id);
    unpack_raw(u, r->author, sizeof r->author);
    r->kind = unpack_u32(u);
    r->accepted_ms = unpack_i64(u);
    wire_get_row(u, &r->row);
    r->replayable = wire_bool(u);
    r->job = unpack_u64(u);
}

static void put_groups(struct pack *p, const struct failed_group *g, size_t len)
{
    pack_u32(p, (uint32_t)len);
    for (size_t i = 0; i < len; i++) {
        pack_u32(p, g[i].lane);
        pack_u8(p, (uint8_t)g[i].cls);
        pack_u64(p, g[i].count);
        pack_u64(p, g[i].gone);
        pack_u64(p, g[i].busy);
    }
}

static const struct failed_group *get_groups(struct unpack *u, struct wire_arena *a, size_t *len)
{
    struct failed_group *g = wire_array(u, a, GROUP_LEN, WIRE_GROUPS_MAX, sizeof *g, len);
    for (size_t i = 0; i < *len; i++) {
        g[i].lane = unpack_u32(u);
        g[i].cls = (enum row_class)wire_enum(u, CLASS_COUNT);
        g[i].count = unpack_u64(u);
        g[i].gone = unpack_u64(u);
        g[i].busy = unpack_u64(u);
    }
    return g;
}

void wire_put_failed_page(struct pack *p, const struct failed_page *f)
{
    pack_u32(p, (uint32_t)f->rows_len);
    for (size_t i = 0; i < f->rows_len; i++)
        put_failed_row(p, &f->rows[i]);
    put_groups(p, f->groups, f->groups_len);
    pack_u64(p, f->job);
    pack_u8(p, f->more);
    put_mark(p, &f->next);
}

void wire_get_failed_page(struct unpack *u, struct wire_arena *a, struct failed_page *f)
{
    struct failed_row *r = wire_array(u, a, FAILED_MIN, FAILED_PAGE_MAX, sizeof *r, &f->rows_len);
    for (size_t i = 0; i < f->rows_len && !u->bad; i++)
        get_failed_row(u, &r[i]);
    f->rows = r;
    f->groups = get_groups(u, a, &f->groups_len);
    f->job = unpack_u64(u);
    f->more = wire_bool(u);
    get_mark(u, &f->next);
}

/* ---- the registry ---- */

static void put_version(struct pack *p, const struct lane_version *v)
{
    pack_u32(p, v->version);
    pack_u64(p, v->from);
    pack_u8(p, v->waits);
    definition_pack(p, &v->definition);
}

static void get_version(struct unpack *u, struct lane_version *v)
{
    v->version = unpack_u32(u);
    v->from = unpack_u64(u);
    v->waits = wire_bool(u);
    definition_unpack(u, &v->definition);
}

static void put_entry(struct pack *p, const struct lane_entry *e)
{
    pack_u32(p, e->lane);
    pack_u8(p, e->retired);
    pack_i64(p, e->retired_ms);
    pack_u64(p, e->start);
    pack_u64(p, e->position);
    pack_u8(p, (uint8_t)e->hold);
    pack_u32(p, (uint32_t)e->versions_len);
    for (size_t i = 0; i < e->versions_len; i++)
        put_version(p, &e->versions[i]);
}

/* `*left`: so many versions may still come, in all lanes together. */
static void get_entry(struct unpack *u, struct wire_arena *a, uint32_t *left, struct lane_entry *e)
{
    e->lane = unpack_u32(u);
    e->retired = wire_bool(u);
    e->retired_ms = unpack_i64(u);
    e->start = unpack_u64(u);
    e->position = unpack_u64(u);
    e->hold = (enum lane_hold)wire_enum(u, HOLD_COUNT);
    struct lane_version *v = wire_array(u, a, VERSION_MIN, *left, sizeof *v, &e->versions_len);
    *left -= (uint32_t)e->versions_len;
    for (size_t i = 0; i < e->versions_len && !u->bad; i++)
        get_version(u, &v[i]);
    e->versions = v;
}

void wire_put_registry(struct pack *p, const struct queue_registry *r)
{
    pack_u64(p, r->version);
    pack_i64(p, r->defined_ms);
    pack_str(p, r->defined_by);
    pack_u32(p, (uint32_t)r->lanes_len);
    for (size_t i = 0; i < r->lanes_len; i++)
        put_entry(p, &r->lanes[i]);
}

void wire_get_registry(struct unpack *u, struct wire_arena *a, struct queue_registry *r)
{
    uint32_t left = WIRE_VERSIONS_MAX;
    r->version = unpack_u64(u);
    r->defined_ms = unpack_i64(u);
    unpack_str(u, r->defined_by, sizeof r->defined_by);
    struct lane_entry *e = wire_array(u, a, ENTRY_MIN, WIRE_LANES_MAX, sizeof *e, &r->lanes_len);
    for (size_t i = 0; i < r->lanes_len && !u->bad; i++)
        get_entry(u, a, &left, &e[i]);
    r->lanes = e;
}

/* ---- replay jobs ---- */

void wire_put_jobs(struct pack *p, const struct replay_job *jobs, size_t len)
{
    pack_u32(p, (uint32_t)len);
    for (size_t i = 0; i < len; i++) {
        const struct replay_job *j = &jobs[i];
        pack_u64(p, j->number);
        pack_u8(p, (uint8_t)j->state);
        pack_i64(p, j->made_ms);
        pack_i64(p, j->ended_ms);
        pack_u32(p, j->rate_per_1000s);
        pack_u64(p, j->total);
        pack_u64(p, j->waiting);
        pack_u64(p, j->asked);
        pack_u64(p, j->delivered);
        pack_u64(p, j->failed);
        pack_u64(p, j->dropped);
        pack_str(p, j->text);
        pack_str(p, j->by);
    }
}

const struct replay_job *wire_get_jobs(struct unpack *u, struct wire_arena *a, size_t *len)
{
    struct replay_job *jobs = wire_array(u, a, JOB_MIN, JOBS_MAX, sizeof *jobs, len);
    for (size_t i = 0; i < *len && !u->bad; i++) {
        struct replay_job *j = &jobs[i];
        j->number = unpack_u64(u);
        j->state = (enum job_state)wire_enum(u, JOB_STATE_COUNT);
        j->made_ms = unpack_i64(u);
        j->ended_ms = unpack_i64(u);
        j->rate_per_1000s = unpack_u32(u);
        j->total = unpack_u64(u);
        j->waiting = unpack_u64(u);
        j->asked = unpack_u64(u);
        j->delivered = unpack_u64(u);
        j->failed = unpack_u64(u);
        j->dropped = unpack_u64(u);
        unpack_str(u, j->text, sizeof j->text);
        unpack_str(u, j->by, sizeof j->by);
    }
    return jobs;
}
