/* Failed deliveries, page by page: listed, counted, put into a replay job, purged.
 *
 * A page is first walked (store_page.c) and then applied: what it counts is what it changes. A run
 * of a million positions is counted and purged as a run: what can't be replayed of it, and what is
 * in a replay job, are the exceptions that are looked for. */
#include "queue/store_operate.h"

#include <stdlib.h>
#include <string.h>

/* What shall change, of one lane. */
struct take {
    struct lane *l;
    uint64_t run; /* where the run around these positions begins */
    uint64_t from, to;
};

struct taking {
    struct page page; /* first: see PAGE_OF_TAKER */
    int64_t now_ms;
    struct job *job; /* of REPLAY */
    size_t listed;
    struct failed_group *table; /* by lane's index and class; NULL for LIST */
    struct take *takes;
    size_t takes_len, takes_cap;
};

static uint32_t list_limit(const struct failed_call *c)
{
    return c->limit == 0 || c->limit > FAILED_PAGE_MAX ? FAILED_PAGE_MAX : c->limit;
}

static enum err replayable(struct store *s, const struct lane *l, uint64_t pos, bool *is)
{
    *is = false;
    return l->retired ? ERR_NONE : log_has(s, pos, is);
}

/* ---- list ---- */

static enum err list_one(struct page *p, const struct meant *m, uint64_t *done)
{
    struct taking *t = PAGE_OF_TAKER(p, struct taking);
    struct failed_row *out = &p->s->failed[t->listed++];
    struct job *j;
    bool asked;
    *done = m->to;
    *out = (struct failed_row){.lane = m->l->number,
                               .kind = p->entry.kind,
                               .accepted_ms = p->entry.accepted_ms,
                               .row = *m->row};
    memcpy(out->id, p->entry.id, sizeof out->id);
    memcpy(out->author, p->entry.author, sizeof out->author);
    out->row.from = out->row.to = m->from;
    p->full = t->listed == list_limit(p->call);
    enum err e = replayable(p->s, m->l, m->from, &out->replayable);
    if (e == ERR_NONE)
        e = member_get(p->s, m->l->number, m->from, &j, &asked);
    if (e == ERR_NONE && j)
        out->job = j->told.number;
    return e;
}

/* ---- count ---- */

static struct failed_group *group(struct taking *t, const struct meant *m)
{
    size_t lane = lane_index(t->page.s, m->l->number);
    struct failed_group *g = &t->table[lane * CLASS_COUNT + m->row->cls];
    g->lane = m->l->number;
    g->cls = m->row->cls;
    return g;
}

/* Next to what was taken last, they become one. */
static void take(struct taking *t, const struct meant *m, uint64_t from, uint64_t to)
{
    uint64_t run = m->row->from; /* of a single row: itself, and no other goes on with that */
    struct take *last = t->takes_len > 0 ? &t->takes[t->takes_len - 1] : NULL;
    if (last && last->run == run && last->l == m->l && last->to + 1 == from) {
        last->to = to;
        return;
    }
    if (t->takes_len == t->takes_cap) {
        t->takes_cap = 2 * t->takes_cap + 64;
        t->takes = mem_grow(t->takes, t->takes_cap * sizeof *t->takes);
    }
    t->takes[t->takes_len++] = (struct take){.l = m->l, .run = run, .from = from, .to = to};
}

static enum err count_one(struct page *p, const struct meant *m, uint64_t *done)
{
    struct taking *t = PAGE_OF_TAKER(p, struct taking);
    struct failed_group *g = group(t, m);
    struct job *j;
    bool asked, kept;
    *done = m->to;
    enum err e = member_get(p->s, m->l->number, m->from, &j, &asked);
    if (e == ERR_NONE)
        e = replayable(p->s, m->l, m->from, &kept);
    if (e != ERR_NONE)
        return e;
    g->count++;
    g->busy += j && j != t->job;
    g->gone += !j && !kept;
    if (!j && (kept || p->call->what == FAILED_PURGE))
        take(t, m, m->from, m->to);
    return ERR_NONE;
}

/* How many from … to have their bytes. When looks end, `*to` is where. */
static enum err count_kept(struct page *p, uint64_t from, uint64_t *to, uint64_t *kept)
{
    struct store *s = p->s;
    uint64_t whole = from > s->meta.first ? from : s->meta.first; /* from here on all have */
    struct key k = key_u64(from);
    struct walk w;
    *kept = 0;
    enum err e = walk_begin(s, TABLE_LOG, &w);
    if (e == ERR_NONE)
        e = from < whole ? walk_seek(&w, &k) : ERR_NOT_FOUND;
    for (; e == ERR_NONE && walk_key_pos(&w) <= *to && walk_key_pos(&w) < whole;
         e = walk_next(&w)) {
        ++*kept;
        if (--p->looks == 0) {
            *to = walk_key_pos(&w);
            break;
        }
    }
    walk_end(&w);
    if (*to >= whole)
        *kept += *to - whole + 1;
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

/* None of these is in a job. */
static enum err count_free(struct page *p, const struct meant *m, uint64_t from, uint64_t *to)
{
    struct taking *t = PAGE_OF_TAKER(p, struct taking);
    struct failed_group *g = group(t, m);
    uint64_t kept = 0;
    enum err e = m->l->retired ? ERR_NONE : count_kept(p, from, to, &kept);
    if (e != ERR_NONE)
        return e;
    g->count += *to - from + 1;
    g->gone += *to - from + 1 - kept;
    if (p->call->what == FAILED_PURGE)
        take(t, m, from, *to);
    return ERR_NONE;
}

static enum err count_run(struct page *p, const struct meant *m, uint64_t *done)
{
    struct meant one = *m;
    uint64_t from = m->from;
    enum err e = ERR_NONE;
    while (e == ERR_NONE && from <= m->to && p->looks > 0) {
        uint64_t member = 0, to = m->to;
        struct job *j;
        e = member_next(p->s, m->l->number, from, m->to, &member, &j);
        if (e == ERR_NOT_FOUND)
            e = ERR_NONE;
        if (e == ERR_NONE && member == from) { /* or what a job left: count_one knows */
            one.from = one.to = from;
            e = count_one(p, &one, done);
            p->looks--;
            to = from;
        } else if (e == ERR_NONE) {
            to = member != 0 ? member - 1 : m->to;
            e = count_free(p, m, from, &to);
        }
        from = to + 1;
    }
    *done = from - 1;
    return e;
}

static enum err count_any(struct page *p, const struct meant *m, uint64_t *done)
{
    return m->from == m->to ? count_one(p, m, done) : count_run(p, m, done);
}

/* ---- what changes ---- */

static enum err purge(struct taking *t, const struct take *k)
{
    struct store *s = t->page.s;
    struct row r;
    enum err e = row_get(s, k->l->number, k->from, &r);
    if (e == ERR_NONE) {
        r.end = ROW_PURGED;
        return row_put(s, k->l, &r, t->now_ms);
    }
    if (e == ERR_NOT_FOUND)
        e = run_next(s, k->l->number, k->from, &r);
    if (e == ERR_NOT_FOUND || (e == ERR_NONE && (r.from > k->from || r.to < k->to)))
        return db_corrupt(s, TABLE_RUN);
    if (e == ERR_NONE)
        e = run_cut(s, k->l, k->from, k->to);
    r.from = k->from;
    r.to = k->to;
    r.end = ROW_PURGED;
    return e == ERR_NONE ? run_add(s, k->l, &r) : e;
}

static enum err replay(struct taking *t, const struct take *k)
{
    enum err e = ERR_NONE;
    for (uint64_t pos = k->from; e == ERR_NONE && pos <= k->to; pos++)
        e = member_add(t->page.s, t->job, k->l->number, pos);
    return e;
}

static enum err apply(struct taking *t)
{
    enum failed_do what = t->page.call->what;
    enum err e = ERR_NONE;
    for (size_t i = 0; e == ERR_NONE && i < t->takes_len; i++) {
        const struct take *k = &t->takes[i];
        if (what == FAILED_REPLAY)
            e = replay(t, k);
        if (what == FAILED_PURGE)
            e = purge(t, k);
    }
    return e;
}

/* ---- the answer ---- */

static size_t collect_groups(struct taking *t)
{
    struct store *s = t->page.s;
    size_t len = 0;
    for (size_t i = 0; t->table && i < s->lanes_len * CLASS_COUNT; i++) {
        if (t->table[i].count == 0)
            continue;
        s->groups = mem_grow(s->groups, (len + 1) * sizeof *s->groups);
        s->groups[len++] = t->table[i];
    }
    return len;
}

static enum err walk_and_apply(struct taking *t, struct failed_page *out)
{
    struct store *s = t->page.s;
    enum failed_do what = t->page.call->what;
    bool listing = what == FAILED_LIST;
    t->page.one_by_one = listing || what == FAILED_REPLAY || t->page.filter.by_event;
    t->page.take = listing ? list_one : count_any;
    if (listing)
        s->failed = mem_grow(s->failed, FAILED_PAGE_MAX * sizeof *s->failed);
    else
        t->table = mem_zero(s->lanes_len * CLASS_COUNT + 1, sizeof *t->table);
    enum err e = page_walk(&t->page);
    if (e == ERR_NONE)
        e = apply(t);
    out->groups_len = collect_groups(t);
    out->groups = s->groups;
    out->rows = s->failed;
    out->rows_len = t->listed;
    out->more = t->page.more;
    out->next = t->page.mark;
    free(t->table);
    free(t->takes);
    return e;
}

static enum err one_page(struct store *s, const struct failed_call *c, int64_t now_ms,
                         struct failed_page *out)
{
    struct taking t = {
        .now_ms = now_ms,
        .page = {.s = s, .call = c, .looks = FAILED_LOOKS_MAX, .mark = c->after},
    };
    enum err e = ERR_NONE;
    *out = (struct failed_page){.next = c->after};
    if (c->what == FAILED_REPLAY) {
        e = job_for_page(s, c, now_ms, &t.job);
        if (e != ERR_NONE)
            return e;
        out->job = t.job->told.number;
        if (t.job->told.state != JOB_COLLECTING)
            return ERR_NONE; /* a page that came before */
        t.job->paged = true;
    }
    filter_init(&t.page.filter, &c->filter, now_ms);
    e = walk_and_apply(&t, out);
    filter_fini(&t.page.filter);
    if (e == ERR_NONE && t.job && !out->more)
        job_start(t.job, now_ms);
    return e;
}

/* The operator's writes leave room for the relays': a full disk refuses them, as it does appends.
 */
enum err store_failed(struct store *s, const struct failed_call *c, int64_t now_ms,
                      struct failed_page *out)
{
    bool writes = c->what == FAILED_REPLAY || c->what == FAILED_PURGE;
    *out = (struct failed_page){0};
    if (writes)
        db_need_turn(s);
    enum err e = db_wake(s);
    if (e == ERR_NONE && writes)
        e = room_for_operator(s);
    if (e == ERR_NONE)
        e = one_page(s, c, now_ms, out);
    db_sleep(s);
    return e;
}
