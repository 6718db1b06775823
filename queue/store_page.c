/* What a page of failed deliveries walks over: the rows of single positions in the order of their
 * table, then the runs, lane by lane; or, when ids are asked for, these alone.
 *
 * Runs are walked only when an expired class is meant, as nothing else stands in them. A mark is
 * the place that was looked at last. Nothing is written here, so that no table changes under its
 * walk.
 */
#include "queue/store_operate.h"

enum phase { PHASE_BEGIN, PHASE_ROWS, PHASE_RUNS, PHASE_IDS, PHASE_END };

enum err page_entry(struct page *p, uint64_t pos)
{
    if (p->entry_pos == pos)
        return ERR_NONE;
    p->entry_pos = 0;
    enum err e = entry_get(p->s, pos, &p->entry);
    if (e == ERR_NONE)
        p->entry_pos = pos;
    return e;
}

static bool goes_on(const struct page *p)
{
    return p->looks > 0 && !p->full;
}

static void look(struct page *p)
{
    p->looks -= p->looks > 0 ? 1 : 0;
}

/* One position, whose row the filter takes. */
static enum err take_one(struct page *p, struct lane *l, const struct row *r, uint64_t pos)
{
    struct meant m = {.l = l, .row = r, .from = pos, .to = pos};
    uint64_t done;
    enum err e = ERR_NONE;
    if (p->filter.by_event || p->call->what == FAILED_LIST) {
        e = page_entry(p, pos);
        if (e == ERR_NONE && !filter_takes_event(&p->filter, &p->entry))
            return ERR_NONE;
    }
    if (e == ERR_NONE)
        e = p->take(p, &m, &done);
    return e == ERR_NOT_FOUND ? db_corrupt(p->s, TABLE_ENTRY) : e;
}

/* ---- single rows ---- */

static enum err look_at_row(struct page *p, struct walk *w, uint64_t pos, uint32_t lane)
{
    struct row r = {.from = pos};
    struct lane *l = lane_find(p->s, lane);
    if (!l || !filter_takes_lane(&p->filter, l))
        return ERR_NONE;
    if (!row_unpack(&w->u, &r))
        return db_corrupt(p->s, TABLE_ROW);
    return filter_takes_row(&p->filter, &r) ? take_one(p, l, &r, pos) : ERR_NONE;
}

static enum err walk_rows(struct page *p)
{
    struct walk w;
    struct row_mark *at = &p->mark;
    struct key k = key_u64_u32(at->a + (at->b == UINT32_MAX), (uint32_t)at->b + 1);
    enum err e = walk_begin(p->s, TABLE_ROW, &w);
    if (e != ERR_NONE)
        return e;
    for (e = walk_seek(&w, &k); e == ERR_NONE && goes_on(p); e = walk_next(&w)) {
        at->a = walk_key_u64(&w, 0);
        at->b = walk_key_u32(&w, sizeof at->a);
        look(p);
        e = look_at_row(p, &w, at->a, (uint32_t)at->b);
        if (e != ERR_NONE)
            break;
    }
    walk_end(&w);
    return e;
}

/* ---- runs ---- */

/* The part of a run behind the mark. */
static enum err look_at_run(struct page *p, struct lane *l, const struct row *r)
{
    struct row_mark *at = &p->mark;
    struct meant m = {.l = l, .row = r, .from = r->from > at->b ? r->from : at->b + 1, .to = r->to};
    enum err e = ERR_NONE;
    look(p);
    if (!filter_takes_row(&p->filter, r)) {
        at->b = r->to;
        return ERR_NONE;
    }
    if (!p->one_by_one)
        return p->take(p, &m, &at->b);
    for (uint64_t pos = m.from; e == ERR_NONE && pos <= m.to && goes_on(p); pos++) {
        e = take_one(p, l, r, pos);
        at->b = pos;
        look(p);
    }
    return e;
}

static enum err walk_runs_of(struct page *p, struct lane *l)
{
    enum err e = ERR_NONE;
    while (e == ERR_NONE && goes_on(p)) {
        struct row r;
        e = run_next(p->s, l->number, p->mark.b + 1, &r);
        if (e == ERR_NONE)
            e = look_at_run(p, l, &r);
    }
    return e;
}

static enum err walk_runs(struct page *p)
{
    struct row_mark *at = &p->mark;
    enum err e = ERR_NOT_FOUND;
    for (size_t i = lane_index(p->s, (uint32_t)at->a); i < p->s->lanes_len; i++) {
        struct lane *l = p->s->lanes[i];
        if (l->number != at->a)
            *at = (struct row_mark){.phase = PHASE_RUNS, .a = l->number};
        e = ERR_NOT_FOUND;
        if (l->expired > 0 && filter_takes_lane(&p->filter, l))
            e = walk_runs_of(p, l);
        if (e != ERR_NOT_FOUND)
            break;
    }
    return e;
}

/* ---- ids ---- */

static enum err look_at_id(struct page *p, uint64_t pos)
{
    struct row_mark *at = &p->mark;
    enum err e = ERR_NOT_FOUND;
    for (size_t i = lane_index(p->s, (uint32_t)at->b + 1); i < p->s->lanes_len; i++) {
        struct lane *l = p->s->lanes[i];
        struct row r;
        if (!goes_on(p))
            return ERR_NONE;
        at->b = l->number;
        if (l->failed + l->expired == 0 || !filter_takes_lane(&p->filter, l))
            continue;
        look(p);
        e = row_find(p->s, l->number, pos, &r);
        if (e == ERR_NONE && filter_takes_row(&p->filter, &r))
            e = take_one(p, l, &r, pos);
        if (e != ERR_NONE && e != ERR_NOT_FOUND)
            return e;
    }
    return ERR_NOT_FOUND;
}

/* The mark is at the id that is looked at, and the lane looked at last. */
static enum err walk_ids(struct page *p)
{
    struct row_mark *at = &p->mark;
    while (at->a < p->filter.ids_len) {
        uint64_t pos;
        if (!goes_on(p))
            return ERR_NONE;
        look(p);
        enum err e = id_find(p->s, *p->filter.ids[at->a], &pos);
        if (e == ERR_NONE)
            e = look_at_id(p, pos);
        if (e != ERR_NOT_FOUND)
            return e;
        at->a++;
        at->b = 0;
    }
    return ERR_NOT_FOUND;
}

/* ---- all ---- */

static enum phase phase_after(const struct page *p, enum phase phase)
{
    switch (phase) {
    case PHASE_BEGIN:
        return p->filter.ids ? PHASE_IDS : PHASE_ROWS;
    case PHASE_ROWS:
        return filter_takes_expired(&p->filter) ? PHASE_RUNS : PHASE_END;
    case PHASE_RUNS:
    case PHASE_IDS:
    case PHASE_END:
        break;
    }
    return PHASE_END;
}

static enum err walk_phase(struct page *p)
{
    switch ((enum phase)p->mark.phase) {
    case PHASE_ROWS:
        return walk_rows(p);
    case PHASE_RUNS:
        return walk_runs(p);
    case PHASE_IDS:
        return walk_ids(p);
    case PHASE_BEGIN:
    case PHASE_END:
        break;
    }
    return ERR_NOT_FOUND;
}

/* A phase that is over says ERR_NOT_FOUND. */
enum err page_walk(struct page *p)
{
    enum err e = ERR_NOT_FOUND;
    if (p->mark.phase > PHASE_END || (p->mark.phase == PHASE_IDS && !p->filter.ids))
        p->mark.phase = PHASE_END; /* not one of ours */
    while (e == ERR_NOT_FOUND && p->mark.phase != PHASE_END) {
        e = walk_phase(p);
        if (e == ERR_NOT_FOUND)
            p->mark = (struct row_mark){.phase = phase_after(p, (enum phase)p->mark.phase)};
    }
    p->more = p->mark.phase != PHASE_END;
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}
