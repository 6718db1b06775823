/* What a turn works on in memory: the meta record, the lanes with their definitions, the jobs
 * (store_jobs.c), and for each kind whether any lane takes it. The tables hold it as of the last
 * commit; a given-up turn reads it anew. */
#include "queue/store_operate.h"

#include <stdlib.h>
#include <string.h>

#define META_KEY "meta"

/* ---- meta ---- */

/* The meta record behind magic and format, which is noted. */
static enum err read_meta(struct store *s, struct unpack *u)
{
    struct key k = key_bytes(META_KEY, strlen(META_KEY));
    enum err e = db_get(s, TABLE_META, &k, u);
    if (e == ERR_NOT_FOUND)
        return db_corrupt(s, TABLE_META);
    if (e != ERR_NONE)
        return e;
    uint8_t magic[6];
    unpack_raw(u, magic, sizeof magic);
    s->format = unpack_u32(u);
    if (memcmp(magic, "volley", sizeof magic) != 0)
        return db_corrupt(s, TABLE_META);
    if (s->format == 0 || s->format > STORE_FORMAT)
        return problem_set(&s->problem, ERR_VERSION,
                           "%s/data.mdb has format %u and this volley knows only 1 to %u: use "
                           "the volley that wrote it, or a newer one",
                           s->dir, s->format, STORE_FORMAT);
    return ERR_NONE;
}

enum err state_find_format(struct store *s)
{
    struct unpack u;
    return read_meta(s, &u);
}

static enum err load_meta(struct store *s)
{
    struct unpack u;
    enum err e = read_meta(s, &u);
    if (e == ERR_NONE && !meta_unpack(&u, s->format, &s->meta))
        e = db_corrupt(s, TABLE_META);
    return e;
}

static enum err flush_meta(struct store *s)
{
    if (!s->meta_dirty)
        return ERR_NONE;
    struct key k = key_bytes(META_KEY, strlen(META_KEY));
    struct pack p = db_record(s);
    meta_pack(&p, &s->meta);
    s->meta_dirty = false;
    return db_put(s, TABLE_META, &k, &p);
}

/* ---- lanes ---- */

void lane_forget_definitions(struct lane *l)
{
    if (l->wanted != l->definition)
        free(l->wanted);
    free(l->definition);
    l->definition = l->wanted = NULL;
}

static void lane_free(struct lane *l)
{
    lane_forget_definitions(l);
    free(l);
}

static enum err load_definition(struct store *s, const struct lane *l, uint32_t version,
                                struct definition **out)
{
    struct version v;
    enum err e = version_get(s, l->number, version, &v);
    if (e == ERR_NOT_FOUND)
        return db_corrupt(s, TABLE_DEFINITION);
    if (e != ERR_NONE)
        return e;
    *out = mem_new(sizeof **out);
    **out = v.definition;
    return ERR_NONE;
}

static enum err load_definitions(struct store *s, struct lane *l)
{
    enum err e = load_definition(s, l, l->version, &l->definition);
    l->wanted = l->definition;
    if (e == ERR_NONE && l->newest != l->version) {
        l->wanted = NULL;
        e = load_definition(s, l, l->newest, &l->wanted);
    }
    return e;
}

static void put_in_list(struct store *s, struct lane *l)
{
    if (s->lanes_len == s->lanes_cap) {
        s->lanes_cap = s->lanes_cap ? 2 * s->lanes_cap : 16;
        s->lanes = mem_grow(s->lanes, s->lanes_cap * sizeof(struct lane *));
    }
    s->lanes[s->lanes_len++] = l;
}

static enum err load_lanes(struct store *s)
{
    struct walk w;
    enum err e = walk_begin(s, TABLE_LANE, &w);
    if (e != ERR_NONE)
        return e;
    for (e = walk_seek(&w, NULL); e == ERR_NONE; e = walk_next(&w)) {
        struct lane *l = mem_zero(1, sizeof *l);
        put_in_list(s, l);
        memcpy(&l->number, w.key, sizeof l->number);
        if (!lane_unpack(&w.u, s->format, l)) {
            e = db_corrupt(s, TABLE_LANE);
            break;
        }
        s->lanes_alive += l->retired ? 0 : 1;
        l->observed = s->meta.observed;
    }
    walk_end(&w);
    if (e != ERR_NOT_FOUND)
        return e;
    e = ERR_NONE;
    for (size_t i = 0; e == ERR_NONE && i < s->lanes_len; i++)
        e = load_definitions(s, s->lanes[i]);
    return e;
}

enum err state_load(struct store *s)
{
    state_free(s);
    enum err e = load_meta(s);
    if (e == ERR_NONE)
        e = load_lanes(s);
    if (e == ERR_NONE && s->format > 1)
        e = jobs_load(s);
    if (e == ERR_NONE && s->format > 2)
        e = leaders_load(s);
    if (e == ERR_NONE)
        e = heartbeat_load(s);
    return e;
}

enum err state_flush(struct store *s)
{
    enum err e = flush_meta(s);
    if (e == ERR_NONE)
        e = jobs_flush(s);
    for (size_t i = 0; e == ERR_NONE && i < s->lanes_len; i++) {
        struct lane *l = s->lanes[i];
        if (!l->dirty)
            continue;
        struct key k = key_u32(l->number);
        struct pack p = db_record(s);
        lane_pack(&p, l);
        e = db_put(s, TABLE_LANE, &k, &p);
        l->dirty = false;
    }
    return e;
}

void state_free(struct store *s)
{
    for (size_t i = 0; i < s->lanes_len; i++)
        lane_free(s->lanes[i]);
    free(s->lanes);
    s->lanes = NULL;
    s->lanes_len = s->lanes_cap = s->lanes_alive = 0;
    free(s->jobs);
    s->jobs = NULL;
    s->jobs_len = 0;
    event_unref(s->beat);
    s->beat = NULL;
    s->heartbeat = (struct heartbeat){0};
    s->meta = (struct meta){0};
    s->meta_dirty = false;
    s->asked_due_ms = 0;
    s->sweeping = true; /* a sweep that was not finished is not remembered */
    s->sweep_next = 0;
    state_registry_changed(s);
}

struct lane *state_add_lane(struct store *s)
{
    struct lane *l = mem_zero(1, sizeof *l);
    l->number = ++s->meta.lanes_made;
    l->dirty = true;
    s->meta_dirty = true;
    s->lanes_alive++;
    put_in_list(s, l);
    return l;
}

void state_remove_lane(struct store *s, struct lane *l)
{
    size_t i = 0;
    while (s->lanes[i] != l)
        i++;
    s->lanes_len--;
    memmove(&s->lanes[i], &s->lanes[i + 1], (s->lanes_len - i) * sizeof(struct lane *));
    s->lanes_alive -= l->retired ? 0 : 1;
    lane_free(l);
}

size_t lane_index(const struct store *s, uint32_t number)
{
    size_t low = 0, high = s->lanes_len;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (s->lanes[mid]->number < number)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct lane *lane_find(const struct store *s, uint32_t number)
{
    size_t at = lane_index(s, number);
    return at < s->lanes_len && s->lanes[at]->number == number ? s->lanes[at] : NULL;
}

bool lane_held(const struct lane *l)
{
    return l->operator_hold == HOLD_AS_DEFINED ? l->wanted->hold : l->operator_hold == HOLD_HELD;
}

/* ---- verdicts: an append must not ask every lane ---- */

enum verdict { VERDICT_UNKNOWN, VERDICT_TAKEN, VERDICT_FILTERED };

void state_registry_changed(struct store *s)
{
    free(s->verdicts);
    s->verdicts = NULL;
    s->room.mark = 0; /* a new lane may need what nobody needed */
}

/* The newest definitions count, in force or not: they are in force when the event's turn comes. */
static enum verdict judge(const struct store *s, uint32_t kind)
{
    for (size_t i = 0; i < s->lanes_len; i++) {
        if (!s->lanes[i]->retired && definition_allows(s->lanes[i]->wanted, kind))
            return VERDICT_TAKEN;
    }
    return VERDICT_FILTERED;
}

bool state_takes_kind(struct store *s, uint32_t kind)
{
    if (kind > EVENT_KIND_MAX)
        return false;
    if (!s->verdicts)
        s->verdicts = mem_zero(EVENT_KIND_MAX + 1, 1);
    if (s->verdicts[kind] == VERDICT_UNKNOWN)
        s->verdicts[kind] = (uint8_t)judge(s, kind);
    return s->verdicts[kind] == VERDICT_TAKEN;
}
