/* Which rows are in which replay job.
 *
 * TABLE_MEMBER names the job of a row, TABLE_WAITING holds what waits, by job, lane and position.
 * A row that changes leaves its job (member_settle), so every member has the row it was put in
 * with. A job that is over has nothing that waits any more: what it left in both tables is swept
 * bit by bit, and until then it is overlooked, or overwritten by another job. */
#include "queue/store_operate.h"

static struct key waiting_key(uint64_t job, uint32_t lane, uint64_t pos)
{
    struct key k = {.len = 0};
    key_add_u64(&k, job);
    key_add_u32(&k, lane);
    key_add_u64(&k, pos);
    return k;
}

static enum err load(struct store *s, uint32_t lane, uint64_t pos, struct member *m)
{
    struct key k = key_lane_u64(lane, pos);
    struct unpack u;
    enum err e = db_get(s, TABLE_MEMBER, &k, &u);
    if (e == ERR_NONE && !member_unpack(&u, m))
        e = db_corrupt(s, TABLE_MEMBER);
    return e;
}

static enum err save(struct store *s, uint32_t lane, uint64_t pos, const struct member *m)
{
    struct key k = key_lane_u64(lane, pos);
    struct pack p = db_record(s);
    member_pack(&p, m);
    return db_put(s, TABLE_MEMBER, &k, &p);
}

/* NULL: the record is a leftover. */
static struct job *job_of(const struct store *s, const struct member *m)
{
    struct job *j = job_find(s, m->job);
    return j && (m->asked || !job_over(j)) ? j : NULL;
}

/* ---- one row ---- */

enum err member_get(struct store *s, uint32_t lane, uint64_t pos, struct job **j, bool *asked)
{
    struct member m;
    *j = NULL;
    *asked = false;
    enum err e = s->jobs_len > 0 ? load(s, lane, pos, &m) : ERR_NOT_FOUND;
    if (e == ERR_NONE) {
        *j = job_of(s, &m);
        *asked = m.asked;
    }
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

enum err member_add(struct store *s, struct job *j, uint32_t lane, uint64_t pos)
{
    struct key k = waiting_key(j->told.number, lane, pos);
    struct pack p = db_record(s);
    enum err e = db_put(s, TABLE_WAITING, &k, &p);
    j->told.total++;
    j->told.waiting++;
    j->dirty = true;
    return e == ERR_NONE ? save(s, lane, pos, &(struct member){.job = j->told.number}) : e;
}

enum err member_ask(struct store *s, struct job *j, uint32_t lane, uint64_t pos)
{
    struct key k = waiting_key(j->told.number, lane, pos);
    enum err e = db_del(s, TABLE_WAITING, &k);
    j->told.waiting--;
    j->told.asked++;
    j->dirty = true;
    return e == ERR_NONE
               ? save(s, lane, pos, &(struct member){.job = j->told.number, .asked = true})
               : e;
}

static void count(struct job *j, bool asked, enum settled how, int64_t now_ms)
{
    struct replay_job *t = &j->told;
    uint64_t *was = asked ? &t->asked : &t->waiting;
    uint64_t *is = how == SETTLED_DELIVERED ? &t->delivered
                   : how == SETTLED_FAILED  ? &t->failed
                                            : &t->dropped;
    (*was)--;
    (*is)++;
    j->dirty = true;
    job_end_if_done(j, now_ms);
}

enum err member_settle(struct store *s, uint32_t lane, uint64_t pos, enum settled how,
                       int64_t now_ms)
{
    struct member m;
    bool empty;
    enum err e = db_empty(s, TABLE_MEMBER, &empty);
    if (e == ERR_NONE)
        e = empty ? ERR_NOT_FOUND : load(s, lane, pos, &m);
    if (e != ERR_NONE)
        return e == ERR_NOT_FOUND ? ERR_NONE : e;
    struct job *j = job_of(s, &m);
    if (j)
        count(j, m.asked, how, now_ms);
    struct key k = key_lane_u64(lane, pos);
    e = db_del(s, TABLE_MEMBER, &k);
    k = waiting_key(m.job, lane, pos);
    return e == ERR_NONE && !m.asked ? db_del(s, TABLE_WAITING, &k) : e;
}

enum err member_vanish(struct store *s, const struct lane *l, uint64_t pos, int64_t now_ms)
{
    struct job *j;
    size_t len;
    bool asked, pending = false;
    enum err e = member_get(s, l->number, pos, &j, &asked);
    if (e != ERR_NONE || !j || !asked)
        return e;
    e = request_pending(s, l, pos, &pending);
    if (e == ERR_NONE)
        e = exceptions_load(s, l, s->exceptions, &len);
    if (e != ERR_NONE || pending || exceptions_find(s->exceptions, len, pos))
        return e;
    return member_settle(s, l->number, pos, SETTLED_DROPPED, now_ms);
}

/* ---- many ---- */

enum err member_next(struct store *s, uint32_t lane, uint64_t from, uint64_t to, uint64_t *pos,
                     struct job **j)
{
    struct key k = key_lane_u64(lane, from), prefix = {.len = 0};
    struct walk w;
    bool empty;
    key_add_u32(&prefix, lane);
    enum err e = db_empty(s, TABLE_MEMBER, &empty);
    if (e != ERR_NONE || empty)
        return e == ERR_NONE ? ERR_NOT_FOUND : e;
    e = walk_begin(s, TABLE_MEMBER, &w);
    if (e != ERR_NONE)
        return e;
    e = walk_seek(&w, &k);
    if (e == ERR_NONE && (!walk_has_prefix(&w, &prefix) || walk_key_u64(&w, prefix.len) > to))
        e = ERR_NOT_FOUND;
    if (e == ERR_NONE) {
        struct member m;
        *pos = walk_key_u64(&w, prefix.len);
        if (member_unpack(&w.u, &m))
            *j = job_of(s, &m);
        else
            e = db_corrupt(s, TABLE_MEMBER);
    }
    walk_end(&w);
    return e;
}

enum err members_settle(struct store *s, uint32_t lane, uint64_t from, uint64_t to,
                        enum settled how, int64_t now_ms)
{
    uint64_t pos;
    struct job *j;
    enum err e = ERR_NONE;
    while (e == ERR_NONE && from <= to) {
        e = member_next(s, lane, from, to, &pos, &j);
        if (e == ERR_NONE)
            e = member_settle(s, lane, pos, how, now_ms);
        from = pos + 1;
    }
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

/* ---- what waits ---- */

enum err waiting_next(struct store *s, const struct job *j, uint32_t from, uint32_t *lane,
                      uint64_t *pos)
{
    struct key k = waiting_key(j->told.number, from, 0), prefix = {.len = 0};
    struct walk w;
    key_add_u64(&prefix, j->told.number);
    enum err e = walk_begin(s, TABLE_WAITING, &w);
    if (e != ERR_NONE)
        return e;
    e = walk_seek(&w, &k);
    if (e == ERR_NONE && !walk_has_prefix(&w, &prefix))
        e = ERR_NOT_FOUND;
    if (e == ERR_NONE) {
        *lane = walk_key_u32(&w, prefix.len);
        *pos = walk_key_u64(&w, prefix.len + sizeof *lane);
    }
    walk_end(&w);
    return e;
}

/* ---- what jobs that are over left ---- */

static enum err sweep_one(struct walk *w, uint64_t job)
{
    struct member m;
    uint32_t lane = walk_key_u32(w, sizeof job);
    uint64_t pos = walk_key_u64(w, sizeof job + sizeof lane);
    enum err e = load(w->s, lane, pos, &m);
    if (e == ERR_NONE && m.job == job && !m.asked) {
        struct key k = key_lane_u64(lane, pos);
        e = db_del(w->s, TABLE_MEMBER, &k);
    }
    return e == ERR_NONE || e == ERR_NOT_FOUND ? walk_del(w) : e;
}

enum err leftovers_sweep(struct store *s, unsigned work)
{
    struct walk w;
    if (!s->leftovers)
        return ERR_NONE;
    enum err e = walk_begin(s, TABLE_WAITING, &w);
    if (e == ERR_NONE)
        e = walk_seek(&w, NULL);
    for (; e == ERR_NONE && work > 0; work--) {
        uint64_t number = walk_key_u64(&w, 0);
        const struct job *j = job_find(s, number);
        if (j && !job_over(j)) { /* all of these are its own */
            struct key k = waiting_key(number + 1, 0, 0);
            e = walk_seek(&w, &k);
            continue;
        }
        e = sweep_one(&w, number);
        if (e == ERR_NONE)
            e = walk_next(&w);
    }
    walk_end(&w);
    if (e == ERR_NOT_FOUND)
        s->leftovers = false;
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}
