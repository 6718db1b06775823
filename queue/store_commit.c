/* One lane's commit: first everything that can be wrong with it, then what it changes.
 *
 * Only the epoch says who may commit; only the sequence number says whether it was seen. The queue
 * may have given up positions that the owner settled meanwhile (the floor is above its position):
 * then both are merged, and what the owner settled is not expired. */
#include "queue/store_operate.h"

#include <string.h>

/* What a commit is judged by and applied with. */
struct committing {
    struct store *s;
    struct lane *l;
    const struct lane_commit *c;
    int64_t now_ms;
    struct exception *before; /* the lane's, until now */
    size_t before_len;
};

/* ---- what can be wrong ---- */

/* The classes of an end stand together in the enum. Purged keeps the class it had, or none. */
static bool class_fits(enum row_end end, enum row_class cls)
{
    static const struct {
        enum row_class from, to;
    } fits[ROW_END_COUNT] = {
        [ROW_SKIPPED] = {CLASS_SUPERSEDED, CLASS_OPERATOR},
        [ROW_FAILED] = {CLASS_BLOCKED, CLASS_TIMEOUT},
        [ROW_EXPIRED] = {CLASS_RETENTION, CLASS_RELEASED},
        [ROW_PURGED] = {CLASS_NONE, CLASS_RELEASED},
    };
    return (unsigned)end < ROW_END_COUNT && cls >= fits[end].from && cls <= fits[end].to;
}

static bool row_good(const struct committing *k, const struct row *r)
{
    return r->from == r->to && r->from > k->l->start && r->from <= k->c->position &&
           class_fits(r->end, r->cls) && (unsigned)r->route < ROUTE_COUNT &&
           (unsigned)r->family < FAMILY_COUNT && memchr(r->text, '\0', sizeof r->text) != NULL;
}

static bool rows_good(const struct committing *k)
{
    for (size_t i = 0; i < k->c->rows_added_len; i++) {
        if (!row_good(k, &k->c->rows_added[i]))
            return false;
    }
    return true;
}

static bool paths_good(const struct lane_commit *c)
{
    for (size_t i = 0; i < c->paths_len; i++) {
        if ((unsigned)c->paths[i].route >= ROUTE_COUNT ||
            (unsigned)c->paths[i].family >= FAMILY_COUNT)
            return false;
    }
    return c->paths_len <= PATHS_MAX && (unsigned)c->learned.family < FAMILY_COUNT;
}

/* Whether the owner may know `pos`, which is not above its last position, as an exception: it was
 * one, or it is asked for and taken up now. */
static enum err exception_known(struct committing *k, uint64_t pos, bool *known)
{
    struct key key = key_lane_u64(k->l->number, pos);
    struct unpack u;
    *known = exceptions_find(k->before, k->before_len, pos) != NULL;
    if (*known || k->l->requests_pending == 0)
        return ERR_NONE;
    enum err e = db_get(k->s, TABLE_REQUESTED, &key, &u);
    if (e == ERR_NONE)
        *known = unpack_u64(&u) <= k->c->requests_taken;
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

/* One that is not known may have been: the queue gave it up, or the request for it ended (its row
 * is still there, or all of it is forgotten), and the owner has not heard. Then it is left out
 * later. But what arrived does not come back. */
static enum err exception_good(struct committing *k, uint64_t pos, bool *good)
{
    struct row r;
    struct entry en;
    if (pos <= k->l->floor || pos > k->l->position)
        return ERR_NONE;
    enum err e = exception_known(k, pos, good);
    if (e != ERR_NONE || *good)
        return e;
    e = row_find(k->s, k->l->number, pos, &r);
    if (e == ERR_NONE)
        *good = true;
    if (e != ERR_NOT_FOUND)
        return e;
    e = entry_get(k->s, pos, &en);
    *good = e == ERR_NOT_FOUND;
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

static enum err exceptions_good(struct committing *k, bool *good)
{
    const struct lane_commit *c = k->c;
    *good = c->exceptions_len <= QUEUE_EXCEPTIONS_MAX;
    uint64_t above = k->l->start;
    enum err e = ERR_NONE;
    for (size_t i = 0; e == ERR_NONE && *good && i < c->exceptions_len; i++) {
        uint64_t pos = c->exceptions[i].pos;
        *good = pos > above && pos <= c->position;
        above = pos;
        if (*good)
            e = exception_good(k, pos, good);
    }
    return e;
}

static enum err version_good(struct committing *k, bool *good)
{
    uint32_t version = k->c->definition_version;
    struct version v;
    *good = version == k->l->version;
    if (*good || version < k->l->version || version > k->l->newest)
        return ERR_NONE;
    enum err e = version_get(k->s, k->l->number, version, &v);
    *good = e == ERR_NONE;
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

static enum err judge(struct committing *k, enum commit_status *status)
{
    const struct lane_commit *c = k->c;
    const struct lane *l = k->l;
    *status = COMMIT_STALE;
    if (!l || l->retired || c->epoch == 0 || c->epoch != l->epoch)
        return ERR_NONE;
    *status = COMMIT_REPEATED;
    if (c->seq >= 1 && c->seq <= l->seq)
        return ERR_NONE;
    *status = COMMIT_INVALID;
    bool good = c->seq == l->seq + 1 && c->position >= l->position &&
                c->position <= k->s->meta.head && c->requests_taken <= l->request_last &&
                rows_good(k) && paths_good(c);
    enum err e = ERR_NONE;
    if (good)
        e = version_good(k, &good);
    if (e == ERR_NONE && good)
        e = exceptions_good(k, &good);
    if (good)
        *status = COMMIT_DONE;
    return e;
}

/* ---- what it changes ---- */

static bool listed(const struct lane_commit *c, uint64_t pos)
{
    return exceptions_find(c->exceptions, c->exceptions_len, pos) != NULL;
}

static bool progresses(const struct committing *k)
{
    if (k->c->position > k->l->position)
        return true;
    for (size_t i = 0; i < k->before_len; i++) {
        if (!listed(k->c, k->before[i].pos))
            return true;
    }
    return false;
}

/* What was given up above the floor that the owner knows, and the owner settled not knowing of it,
 * was settled: it is taken out of the expired runs. Up to the floor it knows the owner's position
 * says nothing: it only followed the floor there. */
static enum err settled_below_floor(struct committing *k, uint64_t from, uint64_t to)
{
    enum err e = run_cut(k->s, k->l, from, to);
    return e == ERR_NONE
               ? members_settle(k->s, k->l->number, from, to, SETTLED_DELIVERED, k->now_ms)
               : e;
}

static enum err merge_settled(struct committing *k)
{
    const struct lane_commit *c = k->c;
    uint64_t known = c->floor > k->l->position ? c->floor : k->l->position;
    uint64_t to = c->position < k->l->floor ? c->position : k->l->floor;
    uint64_t from = known + 1;
    enum err e = ERR_NONE;
    for (size_t i = 0; e == ERR_NONE && i < c->exceptions_len; i++) {
        uint64_t pos = c->exceptions[i].pos;
        if (pos < from)
            continue;
        if (pos > to)
            break;
        e = settled_below_floor(k, from, pos - 1);
        from = pos + 1;
    }
    return e == ERR_NONE ? settled_below_floor(k, from, to) : e;
}

static enum err take_exceptions(struct committing *k)
{
    size_t len = 0;
    for (size_t i = 0; i < k->c->exceptions_len; i++) {
        const struct exception *x = &k->c->exceptions[i];
        bool stays = x->pos > lane_position(k->l);
        if (!stays) {
            enum err e = exception_known(k, x->pos, &stays);
            if (e != ERR_NONE)
                return e;
        }
        if (stays)
            k->s->merged[len++] = *x;
    }
    if (len == 0 && k->before_len == 0)
        return ERR_NONE;
    return exceptions_save(k->s, k->l, k->s->merged, len);
}

/* What gets another row now did not arrive, even if its old row is named as removed, too. */
static enum err leave_jobs(struct committing *k)
{
    enum err e = ERR_NONE;
    for (size_t i = 0; e == ERR_NONE && i < k->c->rows_added_len; i++) {
        const struct row *r = &k->c->rows_added[i];
        e = member_settle(k->s, k->l->number, r->from,
                          r->end == ROW_FAILED ? SETTLED_FAILED : SETTLED_DROPPED, k->now_ms);
    }
    return e;
}

static enum err take_rows(struct committing *k)
{
    enum err e = ERR_NONE;
    for (size_t i = 0; e == ERR_NONE && i < k->c->rows_removed_len; i++) {
        e = history_keep(k->s, k->l, k->c->rows_removed[i]);
        if (e == ERR_NONE)
            e = row_remove(k->s, k->l, k->c->rows_removed[i], k->now_ms);
    }
    for (size_t i = 0; e == ERR_NONE && i < k->c->rows_added_len; i++) {
        e = history_keep(k->s, k->l, k->c->rows_added[i].from);
        if (e == ERR_NONE)
            e = row_put(k->s, k->l, &k->c->rows_added[i], k->now_ms);
    }
    return e;
}

/* What was an exception and is none any more, though its row stays. */
static enum err vanish(struct committing *k)
{
    enum err e = ERR_NONE;
    for (size_t i = 0; e == ERR_NONE && i < k->before_len; i++)
        e = member_vanish(k->s, k->l, k->before[i].pos, k->now_ms);
    return e;
}

/* What was asked for again and arrives now without it: the request goes with the row it was about.
 */
static enum err drop_void_requests(struct committing *k)
{
    const struct lane_commit *c = k->c;
    enum err e = requests_cancel(k->s, k->l, k->l->position + 1, c->position);
    for (size_t i = 0; e == ERR_NONE && i < c->rows_removed_len; i++)
        e = requests_cancel(k->s, k->l, c->rows_removed[i], c->rows_removed[i]);
    return e;
}

static void add_path(struct path_stat *paths, size_t *len, const struct path_stat *d)
{
    struct path_stat *p = NULL;
    for (size_t i = 0; i < *len && !p; i++) {
        if (paths[i].route == d->route && paths[i].family == d->family)
            p = &paths[i];
    }
    if (!p) {
        p = &paths[(*len)++];
        *p = (struct path_stat){.route = d->route, .family = d->family};
    }
    path_stat_add(p, d);
}

static enum err take_paths(struct committing *k)
{
    struct path_stat paths[PATHS_MAX];
    size_t len;
    if (k->c->paths_len == 0)
        return ERR_NONE;
    enum err e = paths_load(k->s, k->l, paths, &len);
    if (e != ERR_NONE)
        return e;
    for (size_t i = 0; i < k->c->paths_len; i++)
        add_path(paths, &len, &k->c->paths[i]);
    struct key key = key_u32(k->l->number);
    struct pack p = db_record(k->s);
    paths_pack(&p, paths, len);
    return db_put(k->s, TABLE_PATH, &key, &p);
}

static enum err apply(struct committing *k)
{
    struct lane *l = k->l;
    const struct lane_commit *c = k->c;
    l->progressed = l->progressed || progresses(k);
    enum err e = leave_jobs(k);
    if (e == ERR_NONE)
        e = merge_settled(k);
    if (e == ERR_NONE)
        e = take_exceptions(k);
    if (e == ERR_NONE)
        e = take_rows(k);
    if (e == ERR_NONE)
        e = requests_end(k->s, l, c->requests_taken, k->now_ms);
    if (e == ERR_NONE)
        e = vanish(k);
    if (e == ERR_NONE)
        e = drop_void_requests(k);
    if (e == ERR_NONE)
        e = take_paths(k);
    if (e == ERR_NONE && c->definition_version != l->version)
        e = version_switch(k->s, l, c->definition_version, c->position);
    l->position = c->position;
    l->seq = c->seq;
    l->stalls = c->stalls;
    l->delivered += c->delivered;
    l->learned = c->learned;
    l->dirty = true;
    k->s->room.mark = 0; /* more may be finished now */
    return e;
}

enum err store_lane_commit(struct store *s, const struct lane_commit *c, int64_t now_ms,
                           struct lane_committed *out)
{
    struct committing k = {
        .s = s, .l = lane_find(s, c->lane), .c = c, .now_ms = now_ms, .before = s->before};
    *out = (struct lane_committed){.lane = c->lane};
    db_need_turn(s);
    if (c->lane == HEARTBEAT_LANE)
        return heartbeat_take(s, c, now_ms, out);
    enum err e = k.l ? exceptions_load(s, k.l, k.before, &k.before_len) : ERR_NONE;
    if (e == ERR_NONE)
        e = judge(&k, &out->status);
    if (e == ERR_NONE && out->status == COMMIT_DONE)
        e = apply(&k);
    if (out->status != COMMIT_STALE)
        out->position = lane_position(k.l);
    return e;
}
