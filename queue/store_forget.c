/* Forgetting: an id, its entry and its rows go together, `retention` after the event was trimmed or
 * last failed; or earlier, the oldest first, when the store is full.
 *
 * Positions are trimmed in their order, so they fall due nearly in their order: one mark walks
 * behind the other. What can't be forgotten in its turn (it failed later, or somebody asked for it
 * again) is put into TABLE_LATER under the time when it is looked at again: when it is due as far
 * as is known then (it may fail later once more), or, when it is due and wanted, a little later.
 * Rows are cleared range by range, so that a lane's runs are cut once and not for each position. */
#include "queue/store_internal.h"

#define LOOK_AGAIN_MS 60000
#define TRIM_AT_ONCE  4096u /* by an append, unless it needs more */

struct forgetting {
    struct store *s;
    int64_t now_ms;
    uint64_t from, to; /* forgotten, but not its rows yet; none when `to` is 0 */
};

static enum err clear_rows(struct forgetting *f)
{
    if (f->to == 0)
        return ERR_NONE;
    uint64_t to = f->to;
    f->to = 0;
    return rows_forget(f->s, f->from, to, f->now_ms);
}

static enum err forget_one(struct forgetting *f, uint64_t pos, const struct entry *en)
{
    struct store *s = f->s;
    struct key k = key_u64(pos);
    enum err e = log_drop(s, pos, en);
    if (e == ERR_NONE)
        e = index_remove(s, pos, en);
    if (e == ERR_NONE)
        e = db_del(s, TABLE_ENTRY, &k);
    if (e == ERR_NONE)
        e = db_del(s, TABLE_LOOSE, &k);
    s->meta.entries--;
    s->meta.bytes -= STORE_ENTRY_COST;
    s->meta_dirty = true;
    if (e == ERR_NONE && f->to != 0 && f->to + 1 != pos)
        e = clear_rows(f);
    if (f->to == 0)
        f->from = pos;
    f->to = pos;
    return e;
}

static int64_t due_ms(const struct store *s, const struct entry *en)
{
    int64_t since = en->failed_ms > en->trimmed_ms ? en->failed_ms : en->trimmed_ms;
    return since + s->options.retention_ms;
}

/* What is due and can't go is looked at again a little later. */
static enum err look_later(struct forgetting *f, uint64_t pos, const struct entry *en)
{
    int64_t at_ms = due_ms(f->s, en);
    if (at_ms <= f->now_ms) {
        at_ms = f->now_ms + LOOK_AGAIN_MS;
        f->s->late_ms = at_ms;
    }
    struct key k = key_u64_u64((uint64_t)at_ms, pos);
    struct pack p = db_record(f->s);
    return db_put(f->s, TABLE_LATER, &k, &p);
}

/* Forgets `pos`, or puts it off. */
static enum err forget_or_later(struct forgetting *f, uint64_t pos, const struct entry *en)
{
    bool want;
    enum err e = lanes_want(f->s, pos, &want);
    if (e != ERR_NONE)
        return e;
    if (want || due_ms(f->s, en) > f->now_ms)
        return look_later(f, pos, en);
    return forget_one(f, pos, en);
}

/* The next in the order of positions. ERR_NOT_FOUND when nothing is (due). */
static enum err forget_next(struct forgetting *f)
{
    struct store *s = f->s;
    struct entry en;
    if (s->meta.forget >= s->meta.first)
        return ERR_NOT_FOUND;
    enum err e = entry_get(s, s->meta.forget, &en);
    if (e != ERR_NONE)
        return e == ERR_NOT_FOUND ? db_corrupt(s, TABLE_ENTRY) : e;
    if (en.trimmed_ms + s->options.retention_ms > f->now_ms)
        return ERR_NOT_FOUND;
    s->meta_dirty = true;
    return forget_or_later(f, s->meta.forget++, &en);
}

/* The next of those that were put off. */
static enum err forget_later(struct forgetting *f)
{
    struct walk w;
    struct entry en;
    enum err e = walk_begin(f->s, TABLE_LATER, &w);
    if (e != ERR_NONE)
        return e;
    e = walk_seek(&w, NULL);
    uint64_t pos = 0;
    if (e == ERR_NONE && walk_key_u64(&w, 0) > (uint64_t)f->now_ms)
        e = ERR_NOT_FOUND;
    if (e == ERR_NONE) {
        pos = walk_key_u64(&w, sizeof pos);
        e = walk_del(&w);
    }
    walk_end(&w);
    if (e != ERR_NONE)
        return e;
    e = entry_get(f->s, pos, &en);
    if (e != ERR_NONE)
        return e == ERR_NOT_FOUND ? ERR_NONE : e;
    return forget_or_later(f, pos, &en);
}

enum err forget_due(struct store *s, int64_t now_ms, unsigned *work)
{
    struct forgetting f = {.s = s, .now_ms = now_ms};
    enum err e = ERR_NONE;
    while (e == ERR_NONE && *work > 0) {
        e = forget_next(&f);
        *work -= e == ERR_NONE ? 1 : 0;
    }
    if (e == ERR_NOT_FOUND)
        e = ERR_NONE;
    while (e == ERR_NONE && *work > 0) {
        e = forget_later(&f);
        *work -= e == ERR_NONE ? 1 : 0;
    }
    if (e == ERR_NOT_FOUND)
        e = ERR_NONE;
    return e == ERR_NONE ? clear_rows(&f) : e;
}

/* ---- because the store is full ---- */

static bool enough(const struct store *s, uint64_t need)
{
    return s->meta.bytes + need <= s->options.max_bytes;
}

/* Whether forgetting all that is finished would do. */
static bool would_do(const struct store *s, uint64_t need)
{
    uint64_t unfinished = s->meta.head + 1 - s->meta.first;
    uint64_t finished = s->meta.entries - unfinished;
    uint64_t gain = finished * STORE_ENTRY_COST + s->meta.kept_bytes;
    return s->meta.bytes - gain + need <= s->options.max_bytes;
}

struct candidate {
    uint64_t pos; /* 0: none */
    int64_t due_ms;
    struct entry entry;
};

/* It failed again since it was put off: it goes to where it belongs. */
static enum err put_off_again(struct walk *w, uint64_t pos, int64_t at_ms)
{
    struct key k = key_u64_u64((uint64_t)at_ms, pos);
    enum err e = walk_del(w);
    struct pack p = db_record(w->s);
    return e == ERR_NONE ? db_put(w->s, TABLE_LATER, &k, &p) : e;
}

/* One that was put off until `at_ms`: better than `c`, or not. */
static enum err weigh(struct walk *w, uint64_t pos, int64_t at_ms, struct candidate *c)
{
    struct candidate x = {.pos = pos};
    bool want;
    enum err e = entry_get(w->s, pos, &x.entry);
    if (e == ERR_NOT_FOUND)
        return walk_del(w); /* it was forgotten before its time */
    if (e == ERR_NONE)
        e = lanes_want(w->s, pos, &want);
    if (e != ERR_NONE || want)
        return e;
    x.due_ms = due_ms(w->s, &x.entry);
    if (x.due_ms > at_ms)
        return put_off_again(w, pos, x.due_ms);
    bool sooner = x.due_ms < c->due_ms || (x.due_ms == c->due_ms && pos < c->pos);
    if (c->pos == 0 || sooner)
        *c = x;
    return ERR_NONE;
}

/* Of those that were put off, and that nobody wants (any more), the one that is due first. Behind
 * it stand none that are due before, except among those that were due already when they were put
 * off; how late these may stand is not remembered over a restart. */
static enum err first_put_off(struct forgetting *f, struct candidate *c)
{
    struct store *s = f->s;
    struct walk w;
    *c = (struct candidate){.pos = 0};
    if (s->late_ms == 0)
        s->late_ms = f->now_ms + LOOK_AGAIN_MS;
    enum err e = walk_begin(s, TABLE_LATER, &w);
    if (e != ERR_NONE)
        return e;
    for (e = walk_seek(&w, NULL); e == ERR_NONE; e = walk_next(&w)) {
        int64_t at_ms = (int64_t)walk_key_u64(&w, 0);
        if (c->pos != 0 && at_ms > c->due_ms && at_ms > s->late_ms)
            break;
        e = weigh(&w, walk_key_u64(&w, sizeof(uint64_t)), at_ms, c);
        if (e != ERR_NONE)
            break;
    }
    walk_end(&w);
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

/* The next in the order of positions; those whose time is not that of their trimming are put off.
 */
static enum err first_in_turn(struct forgetting *f, struct candidate *c)
{
    struct store *s = f->s;
    for (c->pos = 0; s->meta.forget < s->meta.first; s->meta.forget++) {
        bool want;
        uint64_t pos = s->meta.forget;
        enum err e = entry_get(s, pos, &c->entry);
        if (e != ERR_NONE)
            return e == ERR_NOT_FOUND ? db_corrupt(s, TABLE_ENTRY) : e;
        e = lanes_want(s, pos, &want);
        if (e == ERR_NONE && !want && c->entry.failed_ms <= c->entry.trimmed_ms) {
            c->pos = pos;
            c->due_ms = due_ms(s, &c->entry);
            return ERR_NONE;
        }
        if (e == ERR_NONE)
            e = look_later(f, pos, &c->entry);
        if (e != ERR_NONE)
            return e;
        s->meta_dirty = true;
    }
    return ERR_NONE;
}

/* Forgets what finished first. ERR_NOT_FOUND when nothing is finished. Its record in TABLE_LATER,
 * if any, is found to be of no use when its time comes. */
static enum err forget_oldest(struct forgetting *f)
{
    struct candidate in_turn, put_off;
    enum err e = first_in_turn(f, &in_turn);
    if (e == ERR_NONE)
        e = first_put_off(f, &put_off);
    if (e != ERR_NONE)
        return e;
    if (put_off.pos != 0 && (in_turn.pos == 0 || put_off.due_ms <= in_turn.due_ms))
        return forget_one(f, put_off.pos, &put_off.entry);
    if (in_turn.pos == 0)
        return ERR_NOT_FOUND;
    f->s->meta.forget++;
    return forget_one(f, in_turn.pos, &in_turn.entry);
}

/* The log's own finished events go first: their bytes cost nobody anything. */
static enum err trim_for(struct store *s, uint64_t need, int64_t now_ms)
{
    enum err e = ERR_NONE;
    do {
        unsigned work = TRIM_AT_ONCE;
        if (s->room.mark == 0)
            e = trim_mark(s, &s->room.mark);
        if (e == ERR_NONE && s->meta.first < s->room.mark)
            e = trim(s, now_ms, &work);
    } while (e == ERR_NONE && s->meta.first < s->room.mark && !enough(s, need));
    return e == ERR_NONE ? drop_unneeded(s, TRIM_AT_ONCE) : e;
}

enum err forget_for(struct store *s, uint64_t need, int64_t now_ms)
{
    struct forgetting f = {.s = s, .now_ms = now_ms};
    enum err e = trim_for(s, need, now_ms);
    if (e != ERR_NONE || enough(s, need))
        return e;
    if (!would_do(s, need))
        return ERR_FULL;
    while (e == ERR_NONE && !enough(s, need))
        e = forget_oldest(&f);
    if (e == ERR_NOT_FOUND)
        e = ERR_NONE;
    if (e == ERR_NONE)
        e = clear_rows(&f);
    return e == ERR_NONE && !enough(s, need) ? ERR_FULL : e;
}
