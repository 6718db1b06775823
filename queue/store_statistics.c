/* Statistics: one record for each lane, source, route and family (windows.h), read, changed and
 * written anew with what is told. Which lanes changed since a version is remembered in memory;
 * after a restart every lane counts as changed as of the last version.
 *
 * And who leads in each role (lead.h): a record each, written when it is another. */
#include "queue/store_operate.h"

#include <stdlib.h>
#include <string.h>

/* ---- leaders ---- */

static struct key role_key(unsigned role)
{
    uint8_t byte = (uint8_t)role;
    return key_bytes(&byte, 1);
}

enum err leaders_load(struct store *s)
{
    enum err e = ERR_NONE;
    memset(s->leaders, 0, sizeof s->leaders);
    for (unsigned i = 0; e == ERR_NONE && i < LEAD_ROLE_COUNT; i++) {
        struct leader *l = &s->leaders[i];
        struct key k = role_key(i);
        struct unpack u;
        e = db_get(s, TABLE_LEADER, &k, &u);
        if (e == ERR_NOT_FOUND) {
            e = ERR_NONE;
            continue;
        }
        if (e != ERR_NONE)
            break;
        l->epoch = unpack_u64(&u);
        unpack_raw(&u, l->id, sizeof l->id);
        unpack_str(&u, l->name, sizeof l->name);
        if (unpack_end(&u) != ERR_NONE)
            e = db_corrupt(s, TABLE_LEADER);
    }
    return e;
}

enum err store_lead(struct store *s, const struct lead_call *c, int64_t now_ms, uint64_t boot_ms,
                    struct lead_result *out, bool *changed)
{
    struct leader *l = &s->leaders[c->role];
    db_need_turn(s);
    *changed = lead_ask(l, c, boot_ms, out);
    out->now_ms = now_ms;
    if (!*changed)
        return ERR_NONE;
    struct key k = role_key(c->role);
    struct pack p = db_record(s);
    pack_u64(&p, l->epoch);
    pack_raw(&p, l->id, sizeof l->id);
    pack_str(&p, l->name);
    return db_put(s, TABLE_LEADER, &k, &p);
}

/* ---- counting ---- */

static struct key lane_key(uint32_t lane)
{
    struct key k = {.len = 0};
    key_add_u32(&k, lane);
    return k;
}

static struct key path_key(uint32_t lane, enum stat_source source, enum route route,
                           enum family family)
{
    const uint8_t path[3] = {(uint8_t)source, (uint8_t)route, (uint8_t)family};
    struct key k = lane_key(lane);
    key_add(&k, path, sizeof path);
    return k;
}

static enum err add(struct store *s, enum stat_source source, const struct observation *o,
                    int64_t now_ms, bool calm)
{
    struct key k = path_key(o->lane, source, o->route, o->family);
    struct unpack u;
    enum err e = db_get(s, TABLE_STATISTICS, &k, &u);
    if (e == ERR_NONE) {
        windows_unpack(&u, &s->windows);
        if (unpack_end(&u) != ERR_NONE)
            e = db_corrupt(s, TABLE_STATISTICS);
    } else if (e == ERR_NOT_FOUND) {
        memset(&s->windows, 0, sizeof s->windows);
        e = ERR_NONE;
    }
    if (e != ERR_NONE)
        return e;
    windows_add(&s->windows, o, now_ms, calm);
    struct pack p = db_record(s);
    windows_pack(&p, &s->windows);
    return db_put(s, TABLE_STATISTICS, &k, &p);
}

enum err store_observe(struct store *s, const struct observe_call *c, int64_t now_ms,
                       uint64_t boot_ms, struct observe_result *out)
{
    bool calm = clock_is_calm(s, now_ms, boot_ms);
    db_need_turn(s);
    *out = (struct observe_result){.now_ms = now_ms};
    if (observe_check(c) != ERR_NONE)
        return ERR_INVALID;
    if (c->source == STAT_PROBE && !lead_is_current(&s->leaders[LEAD_PROBER], c->epoch))
        return ERR_STALE;
    enum err e = room_for_operator(s);
    if (e != ERR_NONE)
        return e;
    s->meta.observed++;
    s->meta_dirty = true;
    for (size_t i = 0; e == ERR_NONE && i < c->len; i++) {
        struct lane *l = lane_find(s, c->list[i].lane);
        if (l == NULL || l->retired) {
            out->unknown++;
            continue;
        }
        e = add(s, c->source, &c->list[i], now_ms, calm);
        l->observed = s->meta.observed;
        out->taken++;
    }
    return e;
}

enum err statistics_drop(struct store *s, uint32_t lane)
{
    struct walk w;
    struct key k = lane_key(lane);
    enum err e = walk_begin(s, TABLE_STATISTICS, &w);
    if (e != ERR_NONE)
        return e;
    for (e = walk_seek(&w, &k); e == ERR_NONE && walk_has_prefix(&w, &k);) {
        e = walk_del(&w);
        if (e == ERR_NONE)
            e = walk_next(&w);
    }
    walk_end(&w);
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

/* ---- showing ---- */

struct look {
    struct store *s;
    int64_t now_ms;
    bool calm;
};

static enum err show_path(const struct look *k, struct walk *w)
{
    struct store *s = k->s;
    const uint8_t *path = w->key + 4;
    windows_unpack(&w->u, &s->windows);
    if (w->key_len != 7 || path[0] >= STAT_SOURCE_COUNT || path[1] >= ROUTE_COUNT ||
        path[2] >= FAMILY_COUNT || unpack_end(&w->u) != ERR_NONE)
        return db_corrupt(s, TABLE_STATISTICS);
    if (!k->calm)
        windows_roll(&s->windows, k->now_ms);
    if (s->ways_len == s->ways_cap) {
        s->ways_cap = s->ways_cap == 0 ? 64 : 2 * s->ways_cap;
        s->ways = mem_grow(s->ways, s->ways_cap * sizeof *s->ways);
    }
    struct path_statistics *out = &s->ways[s->ways_len++];
    windows_show(&s->windows, out);
    out->source = (enum stat_source)path[0];
    out->route = (enum route)path[1];
    out->family = (enum family)path[2];
    return ERR_NONE;
}

/* Its paths, at the end of s->ways. */
static enum err show_lane(const struct look *k, const struct lane *l, struct relay_statistics *out)
{
    struct walk w;
    struct key prefix = lane_key(l->number);
    size_t before = k->s->ways_len;
    enum err e = walk_begin(k->s, TABLE_STATISTICS, &w);
    if (e != ERR_NONE)
        return e;
    for (e = walk_seek(&w, &prefix); e == ERR_NONE && walk_has_prefix(&w, &prefix);) {
        e = show_path(k, &w);
        if (e == ERR_NONE)
            e = walk_next(&w);
    }
    walk_end(&w);
    *out = (struct relay_statistics){.lane = l->number, .paths_len = k->s->ways_len - before};
    memcpy(out->url, l->wanted->url, sizeof out->url);
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

static enum err show_page(const struct look *k, const struct statistics_call *c,
                          struct statistics_page *out)
{
    struct store *s = k->s;
    uint64_t since = c->since <= s->meta.observed ? c->since : 0;
    enum err e = ERR_NONE;
    for (size_t i = lane_index(s, c->after); e == ERR_NONE && i < s->lanes_len; i++) {
        const struct lane *l = s->lanes[i];
        struct relay_statistics one;
        if (l->retired || l->number <= c->after || l->observed <= since)
            continue;
        size_t before = s->ways_len;
        e = show_lane(k, l, &one);
        if (e != ERR_NONE || one.paths_len == 0)
            continue;
        if (out->len == STATISTICS_LANES_MAX) {
            s->ways_len = before;
            out->next = s->statistics[out->len - 1].lane;
            break;
        }
        s->statistics[out->len++] = one;
    }
    return e;
}

enum err store_statistics(struct store *s, const struct statistics_call *c, int64_t now_ms,
                          uint64_t boot_ms, struct statistics_page *out)
{
    const struct look k = {.s = s, .now_ms = now_ms, .calm = clock_is_calm(s, now_ms, boot_ms)};
    *out = (struct statistics_page){.now_ms = now_ms, .version = s->meta.observed};
    if (s->statistics == NULL)
        s->statistics = mem_zero(STATISTICS_LANES_MAX, sizeof *s->statistics);
    s->ways_len = 0;
    enum err e = db_wake(s);
    if (e != ERR_NONE)
        return e;
    e = show_page(&k, c, out);
    db_sleep(s);
    size_t at = 0;
    for (size_t i = 0; i < out->len; i++) { /* now that they stay where they are */
        s->statistics[i].paths = &s->ways[at];
        at += s->statistics[i].paths_len;
    }
    out->relays = s->statistics;
    return e;
}
