/* The registry: which lanes there are, and what each was, is, and will be sent.
 *
 * A changed definition waits as the newest version until the lane's owner names it in a commit;
 * then it holds above that commit's position. What was in force stays in the history, for receipts.
 * A lane that is dropped from the list retires; when its relay comes back it gets a new lane, so
 * that the old one's receipts stay true. */
#include "queue/store_operate.h"

#include <stdlib.h>
#include <string.h>

/* ---- versions ---- */

static struct key version_key(uint32_t lane, uint32_t version)
{
    struct key k = {.len = 0};
    key_add_u32(&k, lane);
    key_add_u32(&k, version);
    return k;
}

enum err version_get(struct store *s, uint32_t lane, uint32_t version, struct version *v)
{
    struct key k = version_key(lane, version);
    struct unpack u;
    enum err e = db_get(s, TABLE_DEFINITION, &k, &u);
    if (e == ERR_NONE && !version_unpack(&u, v))
        e = db_corrupt(s, TABLE_DEFINITION);
    return e;
}

enum err version_put(struct store *s, uint32_t lane, uint32_t version, const struct version *v)
{
    struct key k = version_key(lane, version);
    struct pack p = db_record(s);
    version_pack(&p, v);
    return db_put(s, TABLE_DEFINITION, &k, &p);
}

static struct definition *copy(const struct definition *d)
{
    struct definition *out = mem_new(sizeof *out);
    *out = *d;
    return out;
}

enum err version_switch(struct store *s, struct lane *l, uint32_t version, uint64_t from)
{
    struct version v;
    enum err e = ERR_NONE;
    for (uint32_t old = l->version + 1; e == ERR_NONE && old < version; old++) {
        struct key k = version_key(l->number, old);
        e = db_del(s, TABLE_DEFINITION, &k);
    }
    if (e == ERR_NONE)
        e = version_get(s, l->number, version, &v);
    if (e != ERR_NONE)
        return e == ERR_NOT_FOUND ? db_corrupt(s, TABLE_DEFINITION) : e;
    v.waits = false;
    v.from = from;
    if (l->definition != l->wanted)
        free(l->definition);
    l->definition = version == l->newest ? l->wanted : copy(&v.definition);
    l->version = version;
    l->version_from = from;
    l->dirty = true;
    return version_put(s, l->number, version, &v);
}

enum err version_at(struct store *s, const struct lane *l, uint64_t pos, struct definition *d)
{
    *d = *l->definition;
    if (pos > l->version_from || l->version == 1)
        return ERR_NONE;
    struct key prefix = {.len = 0}, k = version_key(l->number, l->version - 1);
    struct walk w;
    key_add_u32(&prefix, l->number);
    enum err e = walk_begin(s, TABLE_DEFINITION, &w);
    if (e != ERR_NONE)
        return e;
    for (e = walk_back(&w, &k); e == ERR_NONE && walk_has_prefix(&w, &prefix); e = walk_prev(&w)) {
        struct version v;
        if (!version_unpack(&w.u, &v)) {
            e = db_corrupt(s, TABLE_DEFINITION);
            break;
        }
        *d = v.definition;
        if (v.from < pos)
            break;
    }
    walk_end(&w);
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

/* ---- giving up ---- */

/* Retention begins anew when it failed again or was asked for again. */
enum err asked_until(struct store *s, const struct lane *l, uint64_t pos, int64_t now_ms,
                     int64_t *until_ms)
{
    struct row r;
    struct entry en;
    *until_ms = 0;
    enum err e = row_get(s, l->number, pos, &r);
    if (e == ERR_NOT_FOUND) {
        e = row_find(s, l->number, pos, &r);
        r.last_ms = 0; /* of a run it is that of its last position; asking came after that anyway */
    }
    if (e == ERR_NONE)
        e = entry_get(s, pos, &en);
    if (e != ERR_NONE)
        return e == ERR_NOT_FOUND ? ERR_NONE : e;
    int64_t since_ms = r.last_ms > en.requeued_ms ? r.last_ms : en.requeued_ms;
    if (since_ms + s->options.retention_ms > now_ms)
        *until_ms = since_ms + s->options.retention_ms;
    return ERR_NONE;
}

enum err exceptions_give_up(struct store *s, struct lane *l, uint64_t to, enum row_class cls,
                            int64_t now_ms, uint64_t *last)
{
    size_t len, left = 0;
    *last = 0;
    enum err e = exceptions_load(s, l, s->exceptions, &len);
    for (size_t i = 0; e == ERR_NONE && i < len; i++) {
        const struct exception *x = &s->exceptions[i];
        struct row r = {.from = x->pos,
                        .to = x->pos,
                        .end = ROW_EXPIRED,
                        .cls = cls,
                        .attempts = x->attempts,
                        .first_ms = now_ms,
                        .last_ms = now_ms};
        int64_t until_ms = 0;
        if (x->pos <= to && cls == CLASS_RETENTION)
            e = asked_until(s, l, x->pos, now_ms, &until_ms);
        if (e != ERR_NONE)
            break;
        if (x->pos > to || until_ms > 0) {
            s->merged[left++] = *x;
        } else {
            e = row_put(s, l, &r, now_ms);
            *last = x->pos;
        }
    }
    if (e != ERR_NONE || left == len)
        return e;
    return exceptions_save(s, l, s->merged, left);
}

enum err lane_give_up(struct store *s, struct lane *l, uint64_t to, enum row_class cls,
                      int64_t now_ms)
{
    uint64_t last, from = lane_position(l) + 1;
    enum err e = exceptions_give_up(s, l, to, cls, now_ms, &last);
    if (e == ERR_NONE && from <= to) {
        struct row r = {.from = from,
                        .to = to,
                        .end = ROW_EXPIRED,
                        .cls = cls,
                        .first_ms = now_ms,
                        .last_ms = now_ms};
        e = run_add(s, l, &r);
    }
    if (to > l->floor && (from <= to || last > 0)) {
        l->floor = to;
        s->news++;
    }
    l->dirty = true;
    return e;
}

/* ---- lanes ---- */

/* The first list that ever was takes the log from its beginning; nothing was accepted before it. */
static enum err add(struct store *s, const struct definition *d, bool first_ever)
{
    struct lane *l = state_add_lane(s);
    struct version v = {.definition = *d};
    if (!first_ever)
        v.from = d->backfill ? s->meta.first - 1 : s->meta.head;
    l->start = l->position = l->version_from = v.from;
    l->version = l->newest = 1;
    l->definition = l->wanted = copy(d);
    return version_put(s, l->number, 1, &v);
}

static enum err change(struct store *s, struct lane *l, const struct definition *d)
{
    struct version v = {.waits = true, .definition = *d};
    if (l->wanted != l->definition)
        free(l->wanted);
    l->wanted = copy(d);
    l->newest++;
    l->dirty = true;
    return version_put(s, l->number, l->newest, &v);
}

static enum err retire(struct store *s, struct lane *l, int64_t now_ms)
{
    enum err e = lane_give_up(s, l, s->meta.head, CLASS_RETIRED, now_ms);
    l->floor = s->meta.head; /* where it ended */
    l->retired = true;
    l->retired_ms = now_ms;
    memset(l->holder, 0, sizeof l->holder);
    l->holder_name[0] = '\0';
    s->lanes_alive--;
    if (e == ERR_NONE)
        e = requests_end(s, l, UINT64_MAX, now_ms);
    return e == ERR_NONE ? members_settle(s, l->number, 0, UINT64_MAX, SETTLED_DROPPED, now_ms) : e;
}

static enum err drop_versions(struct store *s, const struct lane *l)
{
    enum err e = ERR_NONE;
    for (uint32_t v = 1; e == ERR_NONE && v <= l->newest; v++) {
        struct key k = version_key(l->number, v);
        e = db_del(s, TABLE_DEFINITION, &k);
    }
    return e;
}

enum err lane_remove(struct store *s, struct lane *l)
{
    static const enum table tables[] = {TABLE_LANE, TABLE_EXCEPTION, TABLE_PATH};
    struct key k = key_u32(l->number);
    enum err e = ERR_NONE;
    for (size_t i = 0; e == ERR_NONE && i < COUNT_OF(tables); i++)
        e = db_del(s, tables[i], &k);
    if (e == ERR_NONE)
        e = drop_versions(s, l);
    if (e == ERR_NONE)
        e = runs_drop(s, l);
    state_remove_lane(s, l);
    s->sweeping = true; /* its rows stand among the others', by position */
    s->sweep_next = 0;
    return e;
}

/* ---- a list ---- */

static int by_url(const void *a, const void *b)
{
    const struct definition *const *x = a, *const *y = b;
    return strcmp((*x)->url, (*y)->url);
}

/* The list by URL, each URL once. */
static enum err sort(const struct definition *defs, size_t len, const struct definition **sorted,
                     struct problem *why)
{
    for (size_t i = 0; i < len; i++)
        sorted[i] = &defs[i];
    qsort(sorted, len, sizeof *sorted, by_url);
    for (size_t i = 1; i < len; i++) {
        if (strcmp(sorted[i - 1]->url, sorted[i]->url) == 0)
            return problem_set(why, ERR_INVALID, "%s is listed twice", sorted[i]->url);
    }
    return ERR_NONE;
}

/* What becomes of a lane that was there before; its place in the list is marked. */
static enum err apply_to(struct store *s, struct lane *l, const struct definition **sorted,
                         size_t len, bool *found, int64_t now_ms, struct define_result *r)
{
    const struct definition *own = l->wanted;
    const struct definition **at = len ? bsearch(&own, sorted, len, sizeof *sorted, by_url) : NULL;
    if (!at) {
        r->retired++;
        return retire(s, l, now_ms);
    }
    found[at - sorted] = true;
    if (!definition_equal(l->wanted, *at)) {
        r->changed++;
        return change(s, l, *at);
    }
    r->unchanged++;
    return ERR_NONE;
}

/* New lanes get their numbers in the order of the list. */
static enum err add_missing(struct store *s, const struct definition *defs, size_t len,
                            const struct definition **sorted, const bool *found,
                            struct define_result *r)
{
    bool *known = mem_zero(len + 1, sizeof *known);
    for (size_t i = 0; i < len; i++)
        known[sorted[i] - defs] = found[i];
    bool first_ever = s->meta.lanes_made == 0;
    enum err e = ERR_NONE;
    for (size_t i = 0; e == ERR_NONE && i < len; i++) {
        if (known[i])
            continue;
        e = add(s, &defs[i], first_ever);
        r->added++;
    }
    free(known);
    return e;
}

static enum err apply(struct store *s, const struct definition *defs, size_t len,
                      const struct definition **sorted, int64_t now_ms, struct define_result *r)
{
    bool *found = mem_zero(len + 1, sizeof *found);
    enum err e = ERR_NONE;
    for (size_t i = 0; e == ERR_NONE && i < s->lanes_len; i++) {
        if (!s->lanes[i]->retired)
            e = apply_to(s, s->lanes[i], sorted, len, found, now_ms, r);
    }
    if (e == ERR_NONE)
        e = add_missing(s, defs, len, sorted, found, r);
    free(found);
    if (r->added + r->changed + r->retired > 0) {
        s->meta.registry_version++;
        s->meta_dirty = true;
        state_registry_changed(s);
    }
    r->registry_version = s->meta.registry_version;
    return e;
}

enum err store_define(struct store *s, const struct define_call *call, int64_t now_ms,
                      struct define_result *r, struct problem *why)
{
    const struct definition *defs = call->defs;
    size_t len = call->len;
    db_need_turn(s);
    *r = (struct define_result){0};
    if (len > QUEUE_LANES_MAX)
        return problem_set(why, ERR_INVALID, "%zu relays, and at most %u are possible", len,
                           QUEUE_LANES_MAX);
    const struct definition **sorted = mem_zero(len + 1, sizeof *sorted);
    uint8_t hash[32];
    bool again = false;
    enum err e = sort(defs, len, sorted, why);
    if (e == ERR_NONE) {
        definition_list_hash(defs, len, hash);
        e = list_check(s, hash, &again, why);
    }
    if (e == ERR_STALE && call->force)
        e = ERR_NONE;
    if (e == ERR_NONE && !again)
        e = list_begin(s, hash, call->by, now_ms);
    if (e == ERR_NONE)
        e = apply(s, defs, len, sorted, now_ms, r);
    free(sorted);
    return e;
}
