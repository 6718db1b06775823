/* Statistics and who leads, on the wire. Each thing has a put and a get, side by side. */
#include "queue/wire_parts.h"

#include "queue/windows.h"

#include <string.h>

#define OBSERVATION_MIN (4u + 1 + 1 + 3 + 4 + 4 + 4 + 8)
#define WINDOW_LEN      (4u * (4 + STAT_FAILURE_COUNT) + STAT_PHASE_COUNT)
#define PATH_MIN        (3u + STAT_WINDOW_COUNT * WINDOW_LEN + 3 + 8 + 8 + 4 + 8)
#define RELAY_MIN       (4u + 4 + 4)

/* ---- observe ---- */

static void put_observation(struct pack *p, const struct observation *o)
{
    pack_u32(p, o->lane);
    pack_u8(p, (uint8_t)o->route);
    pack_u8(p, (uint8_t)o->family);
    stat_counts_pack(p, &o->counts);
    pack_u32(p, (uint32_t)o->streak);
    pack_u32(p, o->success_ago_ms);
    pack_u32(p, o->failure_ago_ms);
    stat_last_pack(p, &o->last);
}

static void get_observation(struct unpack *u, struct observation *o)
{
    o->lane = unpack_u32(u);
    o->route = (enum route)wire_enum(u, ROUTE_COUNT);
    o->family = (enum family)wire_enum(u, FAMILY_COUNT);
    stat_counts_unpack(u, &o->counts);
    o->streak = (int32_t)unpack_u32(u);
    o->success_ago_ms = unpack_u32(u);
    o->failure_ago_ms = unpack_u32(u);
    stat_last_unpack(u, &o->last);
    if (o->last.at_ms < 0 || o->last.at_ms > UINT32_MAX)
        u->bad = true;
}

void wire_put_observe_call(struct pack *p, const struct observe_call *c)
{
    pack_u8(p, (uint8_t)c->source);
    pack_u64(p, c->epoch);
    pack_u32(p, (uint32_t)c->len);
    for (size_t i = 0; i < c->len; i++)
        put_observation(p, &c->list[i]);
}

void wire_get_observe_call(struct unpack *u, struct wire_arena *a, struct observe_call *c)
{
    c->source = (enum stat_source)wire_enum(u, STAT_SOURCE_COUNT);
    c->epoch = unpack_u64(u);
    struct observation *o = wire_array(u, a, OBSERVATION_MIN, OBSERVATIONS_MAX, sizeof *o, &c->len);
    for (size_t i = 0; i < c->len && !u->bad; i++)
        get_observation(u, &o[i]);
    c->list = o;
}

void wire_put_observe_result(struct pack *p, const struct observe_result *r)
{
    pack_u32(p, r->taken);
    pack_u32(p, r->unknown);
    pack_i64(p, r->now_ms);
}

void wire_get_observe_result(struct unpack *u, struct observe_result *r)
{
    r->taken = unpack_u32(u);
    r->unknown = unpack_u32(u);
    r->now_ms = unpack_i64(u);
}

/* ---- statistics ---- */

static void put_window(struct pack *p, const struct window_statistics *w)
{
    pack_u32(p, w->attempts);
    pack_u32(p, w->successes);
    for (unsigned i = 0; i < STAT_FAILURE_COUNT; i++)
        pack_u32(p, w->failures[i]);
    pack_u32(p, w->uses);
    pack_u32(p, w->deliveries);
    for (unsigned i = 0; i < STAT_PHASE_COUNT; i++) {
        const struct stat_latency *l = &w->phases[i];
        pack_u8(p, l->count > 0);
        if (l->count == 0)
            continue;
        pack_u64(p, l->count);
        pack_u64(p, l->sum_us);
        pack_u64(p, l->p50_us);
        pack_u64(p, l->p90_us);
        pack_u64(p, l->p99_us);
    }
}

static void get_window(struct unpack *u, struct window_statistics *w)
{
    w->attempts = unpack_u32(u);
    w->successes = unpack_u32(u);
    for (unsigned i = 0; i < STAT_FAILURE_COUNT; i++)
        w->failures[i] = unpack_u32(u);
    w->uses = unpack_u32(u);
    w->deliveries = unpack_u32(u);
    for (unsigned i = 0; i < STAT_PHASE_COUNT; i++) {
        struct stat_latency *l = &w->phases[i];
        if (!wire_bool(u))
            continue;
        l->count = unpack_u64(u);
        l->sum_us = unpack_u64(u);
        l->p50_us = unpack_u64(u);
        l->p90_us = unpack_u64(u);
        l->p99_us = unpack_u64(u);
    }
}

static void put_path(struct pack *p, const struct path_statistics *s)
{
    pack_u8(p, (uint8_t)s->source);
    pack_u8(p, (uint8_t)s->route);
    pack_u8(p, (uint8_t)s->family);
    for (unsigned i = 0; i < STAT_WINDOW_COUNT; i++)
        put_window(p, &s->windows[i]);
    stat_counts_pack(p, &s->total);
    pack_i64(p, s->last_success_ms);
    pack_i64(p, s->last_failure_ms);
    pack_u32(p, (uint32_t)s->streak);
    stat_last_pack(p, &s->last);
}

static void get_path(struct unpack *u, struct path_statistics *s)
{
    s->source = (enum stat_source)wire_enum(u, STAT_SOURCE_COUNT);
    s->route = (enum route)wire_enum(u, ROUTE_COUNT);
    s->family = (enum family)wire_enum(u, FAMILY_COUNT);
    for (unsigned i = 0; i < STAT_WINDOW_COUNT; i++)
        get_window(u, &s->windows[i]);
    stat_counts_unpack(u, &s->total);
    s->last_success_ms = unpack_i64(u);
    s->last_failure_ms = unpack_i64(u);
    s->streak = (int32_t)unpack_u32(u);
    stat_last_unpack(u, &s->last);
}

static void get_relay(struct unpack *u, struct wire_arena *a, struct relay_statistics *r)
{
    r->lane = unpack_u32(u);
    unpack_str(u, r->url, sizeof r->url);
    struct path_statistics *s =
        wire_array(u, a, PATH_MIN, STAT_PATHS_MAX, sizeof *s, &r->paths_len);
    for (size_t i = 0; i < r->paths_len && !u->bad; i++)
        get_path(u, &s[i]);
    r->paths = s;
}

void wire_put_statistics_page(struct pack *p, const struct statistics_page *s)
{
    pack_i64(p, s->now_ms);
    pack_u64(p, s->version);
    pack_u32(p, s->next);
    pack_u32(p, (uint32_t)s->len);
    for (size_t i = 0; i < s->len; i++) {
        const struct relay_statistics *r = &s->relays[i];
        pack_u32(p, r->lane);
        pack_str(p, r->url);
        pack_u32(p, (uint32_t)r->paths_len);
        for (size_t k = 0; k < r->paths_len; k++)
            put_path(p, &r->paths[k]);
    }
}

void wire_get_statistics_page(struct unpack *u, struct wire_arena *a, struct statistics_page *s)
{
    s->now_ms = unpack_i64(u);
    s->version = unpack_u64(u);
    s->next = unpack_u32(u);
    struct relay_statistics *r =
        wire_array(u, a, RELAY_MIN, STATISTICS_LANES_MAX, sizeof *r, &s->len);
    for (size_t i = 0; i < s->len && !u->bad; i++)
        get_relay(u, a, &r[i]);
    s->relays = r;
}

/* ---- lead ---- */

void wire_put_lead_call(struct pack *p, const struct lead_call *c)
{
    pack_u8(p, (uint8_t)c->role);
    pack_raw(p, c->id, PUBLISHER_ID_LEN);
    pack_str(p, c->name);
    pack_u8(p, c->leaving);
}

void wire_get_lead_call(struct unpack *u, struct lead_call *c)
{
    static const uint8_t nobody[PUBLISHER_ID_LEN];
    c->role = (enum lead_role)wire_enum(u, LEAD_ROLE_COUNT);
    unpack_raw(u, c->id, PUBLISHER_ID_LEN);
    if (memcmp(c->id, nobody, sizeof nobody) == 0)
        u->bad = true;
    unpack_str(u, c->name, sizeof c->name);
    c->leaving = wire_bool(u);
}

void wire_put_lead_result(struct pack *p, const struct lead_result *r)
{
    pack_u8(p, r->leads);
    pack_u64(p, r->epoch);
    pack_str(p, r->leader);
    pack_i64(p, r->now_ms);
}

void wire_get_lead_result(struct unpack *u, struct lead_result *r)
{
    r->leads = wire_bool(u);
    r->epoch = unpack_u64(u);
    unpack_str(u, r->leader, sizeof r->leader);
    r->now_ms = unpack_i64(u);
}
