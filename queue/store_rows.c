/* Rows: how positions ended on a lane when they did not simply arrive.
 *
 * A row of one position stands in TABLE_ROW under position and lane: so a receipt, a duplicate and
 * forgetting find all lanes' rows of a position side by side. What the queue gives up by itself
 * becomes a run in TABLE_RUN, under lane and first position, however long the outage was; expired,
 * or purged when an operator purged it. No position is in both. The lanes count what their rows
 * cover as rows come and go.
 *
 * A failed row holds its event's bytes: the entry counts such rows, and knows when the last one
 * failed. A row that changes leaves its replay job. */
#include "queue/store_operate.h"

#include <string.h>

static uint64_t *counter(struct lane *l, enum row_end end)
{
    switch (end) {
    case ROW_SKIPPED:
        return &l->skipped;
    case ROW_FAILED:
        return &l->failed;
    case ROW_EXPIRED:
        return &l->expired;
    case ROW_PURGED:
    case ROW_END_COUNT:
        break;
    }
    return &l->purged;
}

static void count(struct lane *l, enum row_end end, uint64_t add, uint64_t take)
{
    uint64_t *c = counter(l, end);
    *c = *c + add - take;
    l->dirty = true;
}

/* ---- runs ---- */

/* The last run of the lane that begins at or before `at`. */
static enum err run_before(struct store *s, uint32_t lane, uint64_t at, struct row *r)
{
    struct walk w;
    struct key k = key_lane_u64(lane, at), prefix = {.len = 0};
    key_add_u32(&prefix, lane);
    enum err e = walk_begin(s, TABLE_RUN, &w);
    if (e != ERR_NONE)
        return e;
    e = walk_back(&w, &k);
    if (e == ERR_NONE && !walk_has_prefix(&w, &prefix))
        e = ERR_NOT_FOUND;
    if (e == ERR_NONE) {
        r->from = walk_key_u64(&w, prefix.len);
        if (!row_unpack(&w.u, r) || r->to < r->from)
            e = db_corrupt(s, TABLE_RUN);
    }
    walk_end(&w);
    return e;
}

static enum err run_put(struct store *s, struct lane *l, const struct row *r)
{
    struct key k = key_lane_u64(l->number, r->from);
    struct pack p = db_record(s);
    row_pack(&p, r);
    return db_put(s, TABLE_RUN, &k, &p);
}

enum err run_add(struct store *s, struct lane *l, const struct row *r)
{
    struct row before, whole = *r;
    count(l, r->end, r->to - r->from + 1, 0);
    enum err e = r->from > 1 ? run_before(s, l->number, r->from - 1, &before) : ERR_NOT_FOUND;
    if (e == ERR_NONE && before.to == r->from - 1 && before.end == r->end && before.cls == r->cls) {
        whole.from = before.from;
        whole.first_ms = before.first_ms;
    }
    return e == ERR_NONE || e == ERR_NOT_FOUND ? run_put(s, l, &whole) : e;
}

/* What is left of a run when from … to are taken out. */
static enum err run_shorten(struct store *s, struct lane *l, const struct row *r, uint64_t from,
                            uint64_t to)
{
    struct row part = *r;
    struct key k = key_lane_u64(l->number, r->from);
    enum err e = db_del(s, TABLE_RUN, &k);
    if (e == ERR_NONE && r->to > to) {
        part.from = to + 1;
        e = run_put(s, l, &part);
    }
    if (e == ERR_NONE && r->from < from) {
        part.from = r->from;
        part.to = from - 1;
        e = run_put(s, l, &part);
    }
    uint64_t first = r->from > from ? r->from : from, last = r->to < to ? r->to : to;
    count(l, r->end, 0, last - first + 1);
    return e;
}

enum err run_cut(struct store *s, struct lane *l, uint64_t from, uint64_t to)
{
    while (l->expired + l->purged > 0 && from <= to) {
        struct row r;
        enum err e = run_before(s, l->number, to, &r);
        if (e == ERR_NOT_FOUND || (e == ERR_NONE && r.to < from))
            break;
        if (e == ERR_NONE)
            e = run_shorten(s, l, &r, from, to);
        if (e != ERR_NONE)
            return e;
    }
    return ERR_NONE;
}

enum err run_next(struct store *s, uint32_t lane, uint64_t pos, struct row *r)
{
    struct walk w;
    struct key k = key_lane_u64(lane, pos), prefix = {.len = 0};
    enum err e = run_before(s, lane, pos, r);
    if ((e == ERR_NONE && r->to >= pos) || (e != ERR_NONE && e != ERR_NOT_FOUND))
        return e;
    key_add_u32(&prefix, lane);
    e = walk_begin(s, TABLE_RUN, &w);
    if (e != ERR_NONE)
        return e;
    e = walk_seek(&w, &k);
    if (e == ERR_NONE && !walk_has_prefix(&w, &prefix))
        e = ERR_NOT_FOUND;
    if (e == ERR_NONE) {
        r->from = walk_key_u64(&w, prefix.len);
        if (!row_unpack(&w.u, r) || r->to < r->from)
            e = db_corrupt(s, TABLE_RUN);
    }
    walk_end(&w);
    return e;
}

enum err runs_drop(struct store *s, struct lane *l)
{
    return run_cut(s, l, 1, UINT64_MAX - 1);
}

/* ---- rows of one position ---- */

enum err row_get(struct store *s, uint32_t lane, uint64_t pos, struct row *r)
{
    struct key k = key_u64_u32(pos, lane);
    struct unpack u;
    enum err e = db_get(s, TABLE_ROW, &k, &u);
    r->from = pos;
    if (e == ERR_NONE && !row_unpack(&u, r))
        e = db_corrupt(s, TABLE_ROW);
    return e;
}

enum err row_find(struct store *s, uint32_t lane, uint64_t pos, struct row *r)
{
    enum err e = row_get(s, lane, pos, r);
    if (e != ERR_NOT_FOUND)
        return e;
    e = run_before(s, lane, pos, r);
    return e == ERR_NONE && r->to < pos ? ERR_NOT_FOUND : e;
}

/* A failed row more. Its time is the owner's word, but never later than now. */
static enum err hold(struct store *s, uint64_t pos, struct entry *en, bool more, int64_t failed_ms)
{
    en->holds += more ? 1 : 0;
    if (failed_ms > en->failed_ms)
        en->failed_ms = failed_ms;
    return entry_put(s, pos, en);
}

enum err row_holds(struct store *s, uint64_t pos, struct entry *en)
{
    struct key prefix = {.len = 0};
    struct walk w;
    en->holds = 0;
    key_add_u64(&prefix, pos);
    enum err e = walk_begin(s, TABLE_ROW, &w);
    if (e != ERR_NONE)
        return e;
    for (e = walk_seek(&w, &prefix); e == ERR_NONE && walk_has_prefix(&w, &prefix);
         e = walk_next(&w)) {
        struct row r;
        if (!row_unpack(&w.u, &r)) {
            e = db_corrupt(s, TABLE_ROW);
            break;
        }
        if (r.end != ROW_FAILED || !lane_find(s, walk_key_u32(&w, sizeof pos)))
            continue;
        en->holds++;
    }
    walk_end(&w);
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

/* A failed row less. When it was the last, housekeeping shall find the bytes. */
static enum err let_go(struct store *s, uint64_t pos, struct entry *en)
{
    enum err e = row_holds(s, pos, en);
    if (e == ERR_NONE)
        e = entry_put(s, pos, en);
    if (e != ERR_NONE || en->holds > 0 || pos >= s->meta.first)
        return e;
    struct key k = key_u64(pos);
    struct pack p = db_record(s);
    return db_put(s, TABLE_LOOSE, &k, &p);
}

enum err row_put(struct store *s, struct lane *l, const struct row *r, int64_t now_ms)
{
    struct entry en;
    struct row old, new = *r;
    enum err e = entry_get(s, r->from, &en);
    if (e != ERR_NONE)
        return e == ERR_NOT_FOUND ? ERR_NONE : e;
    e = row_get(s, l->number, r->from, &old);
    bool failed_before = e == ERR_NONE && old.end == ROW_FAILED;
    if (e == ERR_NONE)
        count(l, old.end, 0, 1);
    else if (e == ERR_NOT_FOUND)
        e = run_cut(s, l, r->from, r->from);
    if (e != ERR_NONE)
        return e;
    count(l, r->end, 1, 0);
    if (new.last_ms > now_ms)
        new.last_ms = now_ms;
    struct key k = key_u64_u32(r->from, l->number);
    struct pack p = db_record(s);
    row_pack(&p, &new);
    e = db_put(s, TABLE_ROW, &k, &p);
    if (e == ERR_NONE)
        e = member_settle(s, l->number, r->from,
                          r->end == ROW_FAILED ? SETTLED_FAILED : SETTLED_DROPPED, now_ms);
    if (e != ERR_NONE)
        return e;
    if (r->end == ROW_FAILED)
        return hold(s, r->from, &en, !failed_before, new.last_ms);
    return failed_before ? let_go(s, r->from, &en) : ERR_NONE;
}

enum err row_remove(struct store *s, struct lane *l, uint64_t pos, int64_t now_ms)
{
    struct entry en;
    struct row old;
    enum err e = member_settle(s, l->number, pos, SETTLED_DELIVERED, now_ms);
    if (e == ERR_NONE)
        e = row_get(s, l->number, pos, &old);
    if (e == ERR_NOT_FOUND)
        return run_cut(s, l, pos, pos);
    if (e != ERR_NONE)
        return e;
    count(l, old.end, 0, 1);
    struct key k = key_u64_u32(pos, l->number);
    e = db_del(s, TABLE_ROW, &k);
    if (e != ERR_NONE || old.end != ROW_FAILED)
        return e;
    e = entry_get(s, pos, &en);
    if (e == ERR_NOT_FOUND)
        return ERR_NONE;
    return e == ERR_NONE ? let_go(s, pos, &en) : e;
}

/* ---- rows of lanes that are gone ---- */

/* Drops those of one position, and counts again what holds its bytes. */
static enum err sweep_position(struct walk *w, uint64_t pos, bool *dropped)
{
    struct store *s = w->s;
    enum err e = ERR_NONE;
    *dropped = false;
    while (e == ERR_NONE && walk_key_u64(w, 0) == pos) {
        if (!lane_find(s, walk_key_u32(w, sizeof pos))) {
            *dropped = true;
            e = walk_del(w);
        }
        if (e == ERR_NONE)
            e = walk_next(w);
    }
    return e;
}

static enum err count_again(struct store *s, uint64_t pos)
{
    struct entry en;
    enum err e = entry_get(s, pos, &en);
    if (e == ERR_NONE && en.holds > 0)
        e = let_go(s, pos, &en);
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

enum err rows_sweep(struct store *s, unsigned looks)
{
    struct walk w;
    if (!s->sweeping)
        return ERR_NONE;
    struct key k = key_u64_u32(s->sweep_next, 0);
    enum err e = walk_begin(s, TABLE_ROW, &w);
    if (e == ERR_NONE)
        e = walk_seek(&w, &k);
    for (; e == ERR_NONE && looks > 0; looks--) {
        uint64_t pos = walk_key_u64(&w, 0);
        bool dropped;
        s->sweep_next = pos + 1;
        e = sweep_position(&w, pos, &dropped);
        if (dropped && (e == ERR_NONE || e == ERR_NOT_FOUND)) {
            enum err counted = count_again(s, pos);
            e = counted == ERR_NONE ? e : counted;
        }
    }
    walk_end(&w);
    if (e == ERR_NOT_FOUND) {
        s->sweeping = false;
        s->sweep_next = 0;
    }
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

/* ---- forgetting ---- */

static enum err singles_forget(struct store *s, uint64_t from, uint64_t to)
{
    struct walk w;
    struct key k = key_u64_u32(from, 0);
    enum err e = walk_begin(s, TABLE_ROW, &w);
    if (e != ERR_NONE)
        return e;
    for (e = walk_seek(&w, &k); e == ERR_NONE && walk_key_u64(&w, 0) <= to; e = walk_next(&w)) {
        struct row r;
        struct lane *l = lane_find(s, walk_key_u32(&w, sizeof from));
        if (!row_unpack(&w.u, &r)) {
            e = db_corrupt(s, TABLE_ROW);
            break;
        }
        if (l)
            count(l, r.end, 0, 1);
        e = walk_del(&w);
        if (e != ERR_NONE)
            break;
    }
    walk_end(&w);
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

enum err rows_forget(struct store *s, uint64_t from, uint64_t to, int64_t now_ms)
{
    enum err e = singles_forget(s, from, to);
    for (size_t i = 0; e == ERR_NONE && i < s->lanes_len; i++) {
        struct lane *l = s->lanes[i];
        e = run_cut(s, l, from, to);
        if (e == ERR_NONE)
            e = members_settle(s, l->number, from, to, SETTLED_DROPPED, now_ms);
    }
    return e == ERR_NONE ? history_forget(s, from, to) : e;
}
