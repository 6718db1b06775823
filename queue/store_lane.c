/* Lanes and their holders: grant, release, what a holder is told; exceptions, requests, paths. */
#include "queue/store_operate.h"

#include <stdio.h>
#include <string.h>

/* ---- exceptions ---- */

enum err exceptions_load(struct store *s, const struct lane *l,
                         struct exception x[QUEUE_EXCEPTIONS_MAX], size_t *len)
{
    *len = 0;
    if (l->exceptions_len == 0)
        return ERR_NONE;
    struct key k = key_u32(l->number);
    struct unpack u;
    enum err e = db_get(s, TABLE_EXCEPTION, &k, &u);
    if (e == ERR_NOT_FOUND || (e == ERR_NONE && !exceptions_unpack(&u, x, len)))
        return db_corrupt(s, TABLE_EXCEPTION);
    return e;
}

enum err exceptions_save(struct store *s, struct lane *l, const struct exception *x, size_t len)
{
    struct key k = key_u32(l->number);
    bool had = l->exceptions_len > 0;
    l->exceptions_len = (uint32_t)len;
    l->exceptions_first = len > 0 ? x[0].pos : 0;
    l->dirty = true;
    if (len == 0)
        return had ? db_del(s, TABLE_EXCEPTION, &k) : ERR_NONE;
    struct pack p = db_record(s);
    exceptions_pack(&p, x, len);
    return db_put(s, TABLE_EXCEPTION, &k, &p);
}

const struct exception *exceptions_find(const struct exception *x, size_t len, uint64_t pos)
{
    size_t low = 0, high = len;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (x[mid].pos == pos)
            return &x[mid];
        if (x[mid].pos < pos)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

enum err paths_load(struct store *s, const struct lane *l, struct path_stat paths[PATHS_MAX],
                    size_t *len)
{
    struct key k = key_u32(l->number);
    struct unpack u;
    *len = 0;
    enum err e = db_get(s, TABLE_PATH, &k, &u);
    if (e == ERR_NONE && !paths_unpack(&u, paths, len))
        e = db_corrupt(s, TABLE_PATH);
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

/* ---- requests ---- */

enum err request_add(struct store *s, struct lane *l, uint64_t pos)
{
    uint64_t number = ++l->request_last;
    l->requests_pending++;
    l->dirty = true;
    struct key k = key_lane_u64(l->number, number);
    struct pack p = db_record(s);
    pack_u64(&p, pos);
    enum err e = db_put(s, TABLE_REQUEST, &k, &p);
    if (e != ERR_NONE)
        return e;
    k = key_lane_u64(l->number, pos);
    p = db_record(s);
    pack_u64(&p, number);
    return db_put(s, TABLE_REQUESTED, &k, &p);
}

enum err request_pending(struct store *s, const struct lane *l, uint64_t pos, bool *is)
{
    *is = false;
    if (l->requests_pending == 0)
        return ERR_NONE;
    struct key k = key_lane_u64(l->number, pos);
    return db_has(s, TABLE_REQUESTED, &k, is);
}

static enum err read_request(struct walk *w, struct lane_request *r)
{
    r->number = walk_key_u64(w, sizeof(uint32_t));
    r->pos = unpack_u64(&w->u);
    return unpack_end(&w->u) == ERR_NONE ? ERR_NONE : db_corrupt(w->s, TABLE_REQUEST);
}

enum err requests_load(struct store *s, const struct lane *l, size_t *len)
{
    *len = 0;
    if (l->requests_pending == 0)
        return ERR_NONE;
    struct key prefix = {.len = 0};
    struct walk w;
    key_add_u32(&prefix, l->number);
    enum err e = walk_begin(s, TABLE_REQUEST, &w);
    if (e != ERR_NONE)
        return e;
    e = walk_seek(&w, &prefix);
    while (e == ERR_NONE && walk_has_prefix(&w, &prefix) && *len < QUEUE_REQUESTS_MAX) {
        e = read_request(&w, &s->requests[(*len)++]);
        if (e == ERR_NONE)
            e = walk_next(&w);
    }
    walk_end(&w);
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

enum err request_drop(struct store *s, struct lane *l, const struct lane_request *r)
{
    struct key k = key_lane_u64(l->number, r->number);
    l->requests_pending--;
    l->dirty = true;
    enum err e = db_del(s, TABLE_REQUEST, &k);
    k = key_lane_u64(l->number, r->pos);
    return e == ERR_NONE ? db_del(s, TABLE_REQUESTED, &k) : e;
}

enum err request_end(struct store *s, struct lane *l, const struct lane_request *r, int64_t now_ms)
{
    enum err e = request_drop(s, l, r);
    return e == ERR_NONE ? member_vanish(s, l, r->pos, now_ms) : e;
}

enum err requests_end(struct store *s, struct lane *l, uint64_t number, int64_t now_ms)
{
    enum err e = ERR_NONE;
    while (e == ERR_NONE && l->requests_pending > 0) {
        size_t len;
        e = requests_load(s, l, &len);
        if (e == ERR_NONE && len == 0)
            e = db_corrupt(s, TABLE_REQUEST);
        for (size_t i = 0; e == ERR_NONE && i < len; i++) {
            if (s->requests[i].number > number)
                return ERR_NONE;
            e = request_end(s, l, &s->requests[i], now_ms);
        }
    }
    return e;
}

/* The first request for a position from … to. */
static enum err first_requested(struct store *s, const struct lane *l, uint64_t from, uint64_t to,
                                struct lane_request *r)
{
    struct key k = key_lane_u64(l->number, from), prefix = {.len = 0};
    struct walk w;
    key_add_u32(&prefix, l->number);
    enum err e = walk_begin(s, TABLE_REQUESTED, &w);
    if (e != ERR_NONE)
        return e;
    e = walk_seek(&w, &k);
    if (e == ERR_NONE && (!walk_has_prefix(&w, &prefix) || walk_key_u64(&w, prefix.len) > to))
        e = ERR_NOT_FOUND;
    if (e == ERR_NONE) {
        r->pos = walk_key_u64(&w, prefix.len);
        r->number = unpack_u64(&w.u);
        if (unpack_end(&w.u) != ERR_NONE)
            e = db_corrupt(s, TABLE_REQUESTED);
    }
    walk_end(&w);
    return e;
}

enum err requests_cancel(struct store *s, struct lane *l, uint64_t from, uint64_t to)
{
    enum err e = ERR_NONE;
    while (e == ERR_NONE && l->requests_pending > 0 && from <= to) {
        struct lane_request r;
        struct row row;
        e = first_requested(s, l, from, to, &r);
        if (e != ERR_NONE)
            break;
        from = r.pos + 1;
        e = row_find(s, l->number, r.pos, &row);
        if (e == ERR_NOT_FOUND)
            e = request_drop(s, l, &r);
    }
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

enum err lanes_want(struct store *s, uint64_t pos, bool *want)
{
    *want = false;
    for (size_t i = 0; i < s->lanes_len && !*want; i++) {
        const struct lane *l = s->lanes[i];
        size_t len;
        if (l->retired)
            continue;
        enum err e = request_pending(s, l, pos, want);
        if (e == ERR_NONE && !*want && l->exceptions_len > 0 && l->exceptions_first <= pos) {
            e = exceptions_load(s, l, s->exceptions, &len);
            *want = e == ERR_NONE && exceptions_find(s->exceptions, len, pos) != NULL;
        }
        if (e != ERR_NONE)
            return e;
    }
    return ERR_NONE;
}

/* ---- holders ---- */

/* The newest route counts, in force or not: whoever gets the lane must be able to go on with it. */
size_t store_lanes(struct store *s, struct store_lane *out, size_t max)
{
    size_t len = 0;
    for (size_t i = 0; i < s->lanes_len; i++) {
        const struct lane *l = s->lanes[i];
        if (l->retired)
            continue;
        if (len < max) {
            out[len] = (struct store_lane){.lane = l->number,
                                           .route = l->wanted->route,
                                           .held = lane_held(l),
                                           .epoch = l->epoch};
            memcpy(out[len].holder, l->holder, sizeof l->holder);
        }
        len++;
    }
    return len;
}

enum err store_grant(struct store *s, uint32_t lane, const uint8_t holder[PUBLISHER_ID_LEN],
                     const char *holder_name, int64_t now_ms, struct lane_grant *out)
{
    (void)now_ms; /* terms are the broker's: nothing of a grant is timed here */
    db_need_turn(s);
    struct lane *l = lane_find(s, lane);
    if (!l || l->retired)
        return ERR_NOT_FOUND;
    if (l->epoch > 0 && !l->progressed)
        l->stalls++;
    l->epoch++;
    l->seq = 0;
    l->progressed = false;
    l->dirty = true;
    memcpy(l->holder, holder, sizeof l->holder);
    (void)snprintf(l->holder_name, sizeof l->holder_name, "%s", holder_name ? holder_name : "");
    *out = (struct lane_grant){.lane = lane,
                               .epoch = l->epoch,
                               .start = l->start,
                               .position = lane_position(l),
                               .definition_version = l->version,
                               .definition = *l->definition,
                               .next_version = l->newest,
                               .next = *l->wanted,
                               .held = lane_held(l),
                               .stalls = l->stalls,
                               .exceptions = s->exceptions,
                               .requests = s->requests,
                               .learned = l->learned};
    enum err e = exceptions_load(s, l, s->exceptions, &out->exceptions_len);
    return e == ERR_NONE ? requests_load(s, l, &out->requests_len) : e;
}

enum err store_release(struct store *s, uint32_t lane, uint64_t epoch)
{
    db_need_turn(s);
    struct lane *l = lane_find(s, lane);
    if (!l || l->epoch != epoch)
        return ERR_NONE; /* somebody else has it meanwhile, or nobody: as it shall be */
    memset(l->holder, 0, sizeof l->holder);
    l->holder_name[0] = '\0';
    l->dirty = true;
    return ERR_NONE;
}

uint64_t store_news(const struct store *s)
{
    return s->news;
}

enum err store_kept(struct store *s, uint32_t lane, uint64_t epoch, struct lane_kept *out)
{
    struct lane *l = lane_find(s, lane);
    if (!l || l->retired || l->epoch != epoch)
        return ERR_STALE;
    *out = (struct lane_kept){.lane = lane,
                              .floor = l->floor,
                              .next_version = l->newest,
                              .next = l->newest == l->version ? NULL : l->wanted,
                              .held = lane_held(l),
                              .requests = s->requests};
    enum err e = db_wake(s);
    if (e != ERR_NONE)
        return e;
    e = requests_load(s, l, &out->requests_len);
    db_sleep(s);
    return e;
}
