/* One lane's commit in the model: first everything that can be wrong with it, then what it
 * changes. */
#include "queue/model_state.h"

#include <stdlib.h>
#include <string.h>

static bool listed(const struct exception *list, size_t len, uint64_t pos)
{
    for (size_t i = 0; i < len; i++) {
        if (list[i].pos == pos)
            return true;
    }
    return false;
}

static bool requested(const struct model_lane *l, uint64_t up_to, uint64_t pos)
{
    for (size_t i = 0; i < l->requests_len; i++) {
        if (l->requests[i].number <= up_to && l->requests[i].pos == pos)
            return true;
    }
    return false;
}

/* ---- what can be wrong ---- */

/* An exception comes from what lies between the old position and the new, from the exceptions
 * there were, or from a request. It may be none of these any more when it was given up meanwhile
 * (the floor is above it), or the request for it ended (its row is still there, or all of
 * it is forgotten): then it is left out. But what arrived does not come back. */
static bool exception_good(const struct model *m, const struct model_lane *l,
                           const struct lane_commit *c, uint64_t pos)
{
    bool may_be_new = pos > l->position || pos <= l->floor;
    return may_be_new || model_exception(l, pos) || requested(l, c->requests_taken, pos) ||
           model_row(l, pos) || model_entry(m, pos)->forgotten;
}

static bool exceptions_good(const struct model *m, const struct model_lane *l,
                            const struct lane_commit *c)
{
    uint64_t above = l->start;
    for (size_t i = 0; i < c->exceptions_len; i++) {
        uint64_t pos = c->exceptions[i].pos;
        if (pos <= above || pos > c->position || !exception_good(m, l, c, pos))
            return false;
        above = pos;
    }
    return c->exceptions_len <= QUEUE_EXCEPTIONS_MAX;
}

static bool rows_good(const struct model_lane *l, const struct lane_commit *c)
{
    for (size_t i = 0; i < c->rows_added_len; i++) {
        const struct row *r = &c->rows_added[i];
        if (r->from != r->to || r->from <= l->start || r->from > c->position)
            return false;
        if (r->end >= ROW_END_COUNT || r->cls >= CLASS_COUNT || r->route >= ROUTE_COUNT ||
            r->family >= FAMILY_COUNT)
            return false;
    }
    return true;
}

static bool version_known(const struct model_lane *l, uint32_t version)
{
    for (size_t i = l->in_force; i < l->versions_len; i++) {
        if (l->versions[i].version == version)
            return true;
    }
    return false;
}

static bool paths_good(const struct lane_commit *c)
{
    for (size_t i = 0; i < c->paths_len; i++) {
        if (c->paths[i].route >= ROUTE_COUNT || c->paths[i].family >= FAMILY_COUNT)
            return false;
    }
    return c->paths_len <= PATHS_MAX;
}

static enum commit_status judge(const struct model *m, const struct model_lane *l,
                                const struct lane_commit *c)
{
    if (!l || l->retired || c->epoch != l->epoch || c->epoch == 0)
        return COMMIT_STALE;
    if (c->seq >= 1 && c->seq <= l->seq)
        return COMMIT_REPEATED;
    bool good = c->seq == l->seq + 1 && c->position >= l->position && c->position <= m->head &&
                exceptions_good(m, l, c) && rows_good(l, c) && paths_good(c) &&
                version_known(l, c->definition_version) && c->requests_taken <= l->last_request;
    return good ? COMMIT_DONE : COMMIT_INVALID;
}

/* ---- what it changes ---- */

struct applying {
    struct model *m;
    struct model_lane *l;
    const struct lane_commit *c;
    int64_t now_ms;
};

static bool row_added(const struct lane_commit *c, uint64_t pos)
{
    for (size_t i = 0; i < c->rows_added_len; i++) {
        if (c->rows_added[i].from == pos)
            return true;
    }
    return false;
}

/* A row that goes for good was about something that arrived; one that is replaced is left to who
 * does that. */
static void remove_row(struct applying *a, uint64_t pos)
{
    if (row_added(a->c, pos))
        return;
    model_row_remember(a->l, pos);
    model_row_drop(a->m, a->l, pos, MODEL_DELIVERED, a->now_ms);
}

/* The queue gave something up while the holder, who did not know yet, settled it: what is settled
 * is no longer expired. */
static void merge_below_floor(struct applying *a)
{
    const struct lane_commit *c = a->c;
    for (uint64_t pos = a->l->position + 1; pos <= c->position && pos <= a->l->floor; pos++) {
        if (pos > c->floor && !listed(c->exceptions, c->exceptions_len, pos))
            remove_row(a, pos);
    }
}

static void add_row(struct applying *a, const struct row *given)
{
    struct model_entry *e = model_entry(a->m, given->from);
    struct row r = *given;
    if (e->forgotten)
        return; /* rows go with their ids */
    if (r.last_ms > a->now_ms)
        r.last_ms = a->now_ms;
    model_row_remember(a->l, r.from);
    model_row_put(a->m, a->l, &r, a->now_ms);
    if (r.end == ROW_FAILED && r.last_ms > e->failed_ms)
        e->failed_ms = r.last_ms;
}

static void take_exceptions(struct model_lane *l, const struct lane_commit *c)
{
    struct exception *list = mem_zero(c->exceptions_len + 1, sizeof *list);
    size_t len = 0;
    for (size_t i = 0; i < c->exceptions_len; i++) {
        uint64_t pos = c->exceptions[i].pos;
        if (pos > model_position(l) || model_exception(l, pos) ||
            requested(l, c->requests_taken, pos))
            list[len++] = c->exceptions[i];
    }
    free(l->exceptions);
    l->exceptions = list;
    l->exceptions_len = len;
}

static void take_requests(struct model_lane *l, uint64_t up_to)
{
    size_t left = 0;
    for (size_t i = 0; i < l->requests_len; i++) {
        if (l->requests[i].number > up_to)
            l->requests[left++] = l->requests[i];
    }
    l->requests_len = left;
}

/* What was asked for again has arrived meanwhile: the request goes with the row it was about. */
static void drop_void_requests(struct model_lane *l)
{
    size_t left = 0;
    for (size_t i = 0; i < l->requests_len; i++) {
        if (model_row(l, l->requests[i].pos))
            l->requests[left++] = l->requests[i];
    }
    l->requests_len = left;
}

static void add_path(struct model_lane *l, const struct path_stat *d)
{
    struct path_stat *p = NULL;
    for (size_t i = 0; i < l->paths_len && !p; i++) {
        if (l->paths[i].route == d->route && l->paths[i].family == d->family)
            p = &l->paths[i];
    }
    if (!p) {
        p = &l->paths[l->paths_len++];
        *p = (struct path_stat){.route = d->route, .family = d->family};
    }
    path_stat_add(p, d);
}

/* A later version takes force above the commit's position; what waited before it never will. */
static void take_version(struct model_lane *l, const struct lane_commit *c)
{
    size_t next = l->in_force + 1, skip = 0;
    if (l->versions[l->in_force].version == c->definition_version)
        return;
    while (l->versions[next + skip].version != c->definition_version)
        skip++;
    memmove(&l->versions[next], &l->versions[next + skip],
            (l->versions_len - next - skip) * sizeof *l->versions);
    l->versions_len -= skip;
    l->versions[next].from = c->position;
    l->in_force = next;
}

static bool progresses(const struct model_lane *l, const struct lane_commit *c)
{
    if (c->position > l->position)
        return true;
    for (size_t i = 0; i < l->exceptions_len; i++) {
        if (!listed(c->exceptions, c->exceptions_len, l->exceptions[i].pos))
            return true;
    }
    return false;
}

static void apply(struct applying *a)
{
    struct model_lane *l = a->l;
    const struct lane_commit *c = a->c;
    l->progress = l->progress || progresses(l, c);
    take_version(l, c);
    merge_below_floor(a);
    take_exceptions(l, c);
    take_requests(l, c->requests_taken);
    for (size_t i = 0; i < c->rows_removed_len; i++)
        remove_row(a, c->rows_removed[i]);
    for (size_t i = 0; i < c->rows_added_len; i++)
        add_row(a, &c->rows_added[i]);
    drop_void_requests(l);
    model_jobs_sweep(a->m, l, a->now_ms);
    for (size_t i = 0; i < c->paths_len; i++)
        add_path(l, &c->paths[i]);
    l->position = c->position;
    l->seq = c->seq;
    l->stalls = c->stalls;
    l->delivered += c->delivered;
    l->learned = c->learned;
}

void model_commit(struct model *m, const struct lane_commit *c, int64_t now_ms,
                  struct lane_committed *out)
{
    if (c->lane == HEARTBEAT_LANE) {
        (void)heartbeat_commit(&m->heartbeat, c, now_ms, out);
        return;
    }
    struct model_lane *l = model_lane(m, c->lane);
    struct applying a = {m, l, c, now_ms};
    *out = (struct lane_committed){.lane = c->lane, .status = judge(m, l, c)};
    if (out->status == COMMIT_DONE)
        apply(&a);
    if (out->status != COMMIT_STALE)
        out->position = model_position(l);
}
