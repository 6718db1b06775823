/* The registry as operators see it, and their word about a lane: held, or released. */
#include "queue/store_operate.h"

#include <string.h>

/* ---- registry ---- */

/* All versions of all lanes, into s->versions; each lane's stand together. */
static enum err load_versions(struct store *s, size_t *len)
{
    struct walk w;
    size_t cap = 0;
    *len = 0;
    enum err e = walk_begin(s, TABLE_DEFINITION, &w);
    if (e != ERR_NONE)
        return e;
    for (e = walk_seek(&w, NULL); e == ERR_NONE; e = walk_next(&w)) {
        struct version v;
        if (!version_unpack(&w.u, &v)) {
            e = db_corrupt(s, TABLE_DEFINITION);
            break;
        }
        if (*len == cap) {
            cap = cap ? 2 * cap : s->lanes_len + 1;
            s->versions = mem_grow(s->versions, cap * sizeof *s->versions);
        }
        s->versions[(*len)++] = (struct lane_version){.version = walk_key_u32(&w, sizeof(uint32_t)),
                                                      .from = v.waits ? 0 : v.from,
                                                      .waits = v.waits,
                                                      .definition = v.definition};
    }
    walk_end(&w);
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

/* How many versions each lane has: they are counted again, as they stand in the order of lanes. */
static enum err share_versions(struct store *s, size_t len)
{
    struct walk w;
    size_t at = 0;
    enum err e = walk_begin(s, TABLE_DEFINITION, &w);
    if (e != ERR_NONE)
        return e;
    for (e = walk_seek(&w, NULL); e == ERR_NONE && at < len; e = walk_next(&w), at++) {
        size_t i = lane_index(s, walk_key_u32(&w, 0));
        if (i == s->lanes_len || s->lanes[i]->number != walk_key_u32(&w, 0)) {
            e = db_corrupt(s, TABLE_DEFINITION);
            break;
        }
        if (s->registry[i].versions_len++ == 0)
            s->registry[i].versions = &s->versions[at];
    }
    walk_end(&w);
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

static enum err registry(struct store *s, struct queue_registry *out)
{
    struct list list;
    size_t len;
    s->registry = mem_grow(s->registry, (s->lanes_len + 1) * sizeof *s->registry);
    for (size_t i = 0; i < s->lanes_len; i++) {
        const struct lane *l = s->lanes[i];
        s->registry[i] = (struct lane_entry){.lane = l->number,
                                             .retired = l->retired,
                                             .retired_ms = l->retired_ms,
                                             .start = l->start,
                                             .position = lane_position(l),
                                             .hold = (enum lane_hold)l->operator_hold};
    }
    *out = (struct queue_registry){
        .version = s->meta.registry_version, .lanes = s->registry, .lanes_len = s->lanes_len};
    enum err e = load_versions(s, &len);
    if (e == ERR_NONE)
        e = share_versions(s, len);
    if (e == ERR_NONE)
        e = list_in_force(s, &list);
    if (e != ERR_NONE)
        return e == ERR_NOT_FOUND ? ERR_NONE : e;
    out->defined_ms = list.since_ms;
    memcpy(out->defined_by, list.by, sizeof out->defined_by);
    return ERR_NONE;
}

enum err store_registry(struct store *s, struct queue_registry *out)
{
    enum err e = db_wake(s);
    if (e != ERR_NONE)
        return e;
    e = registry(s, out);
    db_sleep(s);
    return e;
}

/* ---- hold ---- */

static struct lane *lane_of(const struct store *s, const char *url)
{
    for (size_t i = 0; i < s->lanes_len; i++) {
        if (!s->lanes[i]->retired && strcmp(s->lanes[i]->wanted->url, url) == 0)
            return s->lanes[i];
    }
    return NULL;
}

static uint64_t depth(const struct store *s, const struct lane *l)
{
    return s->meta.head - lane_position(l) + l->exceptions_len;
}

enum err store_hold(struct store *s, const struct hold_call *c, int64_t now_ms,
                    struct hold_result *out)
{
    struct lane *l = lane_of(s, c->url);
    enum err e = ERR_NONE;
    db_need_turn(s);
    *out = (struct hold_result){0};
    if (!l)
        return ERR_NOT_FOUND;
    enum lane_hold before = l->operator_hold;
    l->operator_hold = c->held ? HOLD_HELD : HOLD_RELEASED;
    s->news += before != l->operator_hold;
    l->dirty = true;
    if (!c->held && c->from_now) {
        out->given_up = depth(s, l);
        e = lane_give_up(s, l, s->meta.head, CLASS_RELEASED, now_ms);
        s->room.mark = 0; /* more may be finished now */
    }
    out->waiting = depth(s, l);
    out->changed = before != l->operator_hold || out->given_up > 0;
    return e;
}
