/* Between the lane and the queue: the snapshot, and what the queue tells back.
 *
 * The position of a snapshot need not be the last one taken up: events at its end that are in
 * flight for the first time are simply left above it. So a lane whose answers come in order commits
 * a position and no exceptions at all, and a receipt says queued, not retrying. But never when the
 * snapshot brings a definition in force: that holds for what lies above the position, and these
 * were sent under the old one. Nothing new is taken up until such a commit is durable.
 *
 * A commit names the floor that the lane heard of, and says by it that nothing up to there was
 * settled but what earlier commits told. So a floor that rises is not taken at once: nothing below
 * it is sent any more, what is in flight there is waited for, all of it is committed under the old
 * floor, and with that commit's answer the new one holds. */
#include "publisher/lane_internal.h"

#include <stdlib.h>
#include <string.h>

#define REMOVED_MAX QUEUE_EXCEPTIONS_MAX

/* ---- rows for the next commit ---- */

static uint32_t grown(uint32_t cap)
{
    return cap == 0 ? 8 : cap * 2;
}

static void unremove(struct lane *l, uint64_t pos)
{
    for (uint32_t i = 0; i < l->removed_len; i++)
        if (l->removed[i] == pos)
            l->removed[i--] = l->removed[--l->removed_len];
}

void commit_add_row(struct lane *l, const struct row *row)
{
    unremove(l, row->from);
    for (uint32_t i = 0; i < l->rows_len; i++) {
        if (l->rows[i].from == row->from) {
            l->rows[i] = *row;
            return;
        }
    }
    if (l->rows_len == l->rows_cap) {
        l->rows_cap = grown(l->rows_cap);
        l->rows = mem_grow(l->rows, l->rows_cap * sizeof *l->rows);
    }
    l->rows[l->rows_len++] = *row;
}

void commit_remove_row(struct lane *l, uint64_t pos)
{
    for (uint32_t i = 0; i < l->rows_len; i++)
        if (l->rows[i].from == pos)
            l->rows[i--] = l->rows[--l->rows_len];
    unremove(l, pos);
    if (l->removed_len == l->removed_cap) {
        l->removed_cap = grown(l->removed_cap);
        l->removed = mem_grow(l->removed, l->removed_cap * sizeof *l->removed);
    }
    l->removed[l->removed_len++] = pos;
}

bool commit_rows_full(const struct lane *l)
{
    return l->rows_len >= LANE_ROWS_MAX || l->removed_len >= REMOVED_MAX;
}

/* ---- the snapshot ---- */

/* In flight for the first time, and nothing else is known of it. */
static bool is_fresh(const struct item *it)
{
    return it->state == ITEM_FLYING && it->attempts == 0 && it->tries == 0 &&
           (it->flags & (ITEM_SUSPECT | ITEM_ROW)) == 0;
}

static struct exception exception_of(const struct lane *l, const struct item *it)
{
    struct exception e = {.pos = it->pos, .attempts = it->attempts};
    if (it->flags & ITEM_SUSPECT)
        e.flags |= EXCEPTION_SUSPECT;
    if (it->flags & ITEM_SENT)
        e.flags |= EXCEPTION_SENT;
    if (it->state == ITEM_WAITING && it->due_ms != 0)
        e.not_before_ms = (int64_t)it->due_ms + l->wall_offset_ms;
    return e;
}

static void snapshot_exceptions(const struct lane *l, struct lane_commit *c, bool may_leave)
{
    struct exception *list = mem_zero(l->live + 1, sizeof *list);
    size_t len = 0, fresh = 0; /* so many at the end of the list are fresh, and without a gap */
    c->position = l->next - 1;
    uint64_t expect = 0;
    for (const struct item *it = items_begin(l); it != NULL; it = items_after(l, it)) {
        bool joins = fresh > 0 && it->pos == expect;
        fresh = is_fresh(it) ? (joins ? fresh + 1 : 1) : 0;
        expect = it->pos + 1;
        list[len++] = exception_of(l, it);
    }
    if (may_leave && expect == l->next)
        for (; fresh > 0 && c->position > l->told; fresh--, len--)
            c->position--;
    c->exceptions = list;
    c->exceptions_len = len;
}

static void snapshot_paths(struct lane *l, struct lane_commit *c)
{
    struct path_stat *list = NULL;
    for (size_t i = 0; i < PATHS_MAX; i++) {
        const struct path_stat *p = &l->paths[i];
        if (p->attempts == 0 && p->successes == 0 && p->failures == 0)
            continue;
        if (list == NULL)
            list = mem_zero(PATHS_MAX, sizeof *list);
        list[c->paths_len++] = *p;
    }
    c->paths = list;
    memset(l->paths, 0, sizeof l->paths);
}

/* The lists become the commit's; the next ones begin empty. */
static void snapshot_rows(struct lane *l, struct lane_commit *c)
{
    c->rows_added = l->rows;
    c->rows_added_len = l->rows_len;
    c->rows_removed = l->removed;
    c->rows_removed_len = l->removed_len;
    l->rows = NULL;
    l->removed = NULL;
    l->rows_len = l->rows_cap = l->removed_len = l->removed_cap = 0;
}

static void take_definition(struct lane *l)
{
    l->definition = *l->next_definition;
    l->definition_version = l->next_version;
    free(l->next_definition);
    l->next_definition = NULL;
    l->peeked = 0;
}

/* A floor was heard of, and nothing below is in flight: the next commit tells all about it. */
static bool floor_waits(const struct lane *l)
{
    if (l->floor_heard <= l->floor)
        return false;
    for (const struct item *it = items_begin(l); it != NULL; it = items_after(l, it))
        if (it->pos <= l->floor_heard && it->state == ITEM_FLYING)
            return false;
    return true;
}

static void snapshot(struct lane *l)
{
    struct lane_commit *c = &l->commit;
    *c = (struct lane_commit){.lane = l->number, .epoch = l->epoch, .seq = ++l->seq};
    bool switches = l->next_definition != NULL;
    snapshot_exceptions(l, c, !switches);
    l->switching = switches;
    if (switches)
        take_definition(l);
    l->told = c->position;
    snapshot_rows(l, c);
    snapshot_paths(l, c);
    c->requests_taken = l->requests_taken;
    c->floor = l->floor;
    l->floor_told = floor_waits(l) ? l->floor_heard : 0;
    c->definition_version = l->definition_version;
    c->stalls = poison_stalls(l);
    c->delivered = l->delivered;
    c->learned = l->learned;
    c->learned.window = l->window;
    c->learned.rate_per_1000s = l->rate_per_1000s;
    l->requests_taken = 0;
    l->delivered = 0;
    l->dirty = false;
    if (l->lone_stage == LONE_PAID)
        l->lone_stage = LONE_COMMITTED;
}

static void snapshot_free(struct lane *l)
{
    free((void *)(uintptr_t)l->commit.exceptions);
    free((void *)(uintptr_t)l->commit.rows_added);
    free((void *)(uintptr_t)l->commit.rows_removed);
    free((void *)(uintptr_t)l->commit.paths);
    l->commit = (struct lane_commit){0};
    l->commit_state = COMMIT_NONE;
    l->switching = false;
    l->floor_told = 0;
}

bool lane_dirty(const struct lane *l)
{
    return l->commit_state == COMMIT_UNANSWERED ||
           (l->commit_state == COMMIT_NONE && (l->dirty || floor_waits(l)));
}

bool lane_urgent(const struct lane *l)
{
    bool waits = l->next_definition != NULL || l->switching || l->lone_stage == LONE_PAID ||
                 l->lone_stage == LONE_COMMITTED || commit_rows_full(l) ||
                 (lane_leaving(l) && l->flying == 0);
    return waits && lane_dirty(l);
}

void lane_commit_begin(struct lane *l, struct lane_commit *out)
{
    if (l->commit_state == COMMIT_NONE)
        snapshot(l);
    l->commit_state = COMMIT_UNDER_WAY;
    *out = l->commit;
}

/* The queue gave up what lies at or below `floor`, and was told of all that was settled there.
 * Requests taken up below it later stay, because a floor is raised only once. */
static void raise_floor(struct lane *l, uint64_t floor)
{
    for (struct item *it = items_begin(l); it != NULL; it = items_after(l, it)) {
        if (it->pos > floor)
            break;
        settle_quietly(l, it);
    }
    l->floor = floor;
    if (l->floor_heard < floor)
        l->floor_heard = floor;
    lane_head(l, floor);
    if (l->next <= floor) {
        l->next = floor + 1;
        l->dirty = true;
    }
    if (l->told < floor)
        l->told = floor;
}

static void hear_floor(struct lane *l, uint64_t floor)
{
    if (floor <= l->floor_heard)
        return;
    l->floor_heard = floor;
    if (floor_waits(l) && l->commit_state == COMMIT_NONE && !l->dirty)
        raise_floor(l, floor); /* there is nothing to tell */
}

bool lane_commit_end(struct lane *l, const struct lane_committed *r)
{
    if (r == NULL) {
        l->commit_state = COMMIT_UNANSWERED;
        return true;
    }
    uint64_t asked = l->commit.position, floor = l->floor_told;
    snapshot_free(l);
    if (r->status != COMMIT_DONE && r->status != COMMIT_REPEATED)
        return false;
    if (l->lone_stage == LONE_COMMITTED)
        l->lone_stage = LONE_CLEAR;
    if (floor > l->floor)
        raise_floor(l, floor);
    if (r->position > asked)
        hear_floor(l, r->position);
    if (l->live == 0 && l->cap > 0) {
        free(l->items);
        l->items = NULL;
        l->first = l->end = l->cap = 0;
    }
    return true;
}

/* ---- news ---- */

void lane_take_requests(struct lane *l, const struct lane_request *r, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (r[i].number <= l->requests_seen)
            continue;
        if (commit_given_up(l, r[i].pos))
            return; /* it would go with the rest; the queue says so again */
        struct item *it = items_find(l, r[i].pos);
        if (it == NULL && r[i].pos < l->next) {
            if (items_room(l) == 0)
                return;
            it = items_add(l, r[i].pos);
            it->flags = ITEM_ROW | ITEM_REQUEST;
            item_wait(l, it, 0);
        } else if (it != NULL && l->lone != it->pos) {
            it->attempts = 0;
            it->tries = it->hangups = 0;
            it->flags |= ITEM_ROW;
            if (it->state == ITEM_WAITING)
                item_wait(l, it, 0);
        }
        l->requests_seen = l->requests_taken = r[i].number;
        l->dirty = true;
    }
}

void lane_kept(struct lane *l, const struct lane_kept *k, uint64_t now_ms)
{
    hear_floor(l, k->floor);
    if (k->next != NULL && k->next_version > l->definition_version &&
        k->next_version > l->next_version) {
        if (l->next_definition == NULL)
            l->next_definition = mem_new(sizeof *l->next_definition);
        *l->next_definition = *k->next;
        l->next_version = k->next_version;
        l->dirty = true;
    }
    if (l->held != k->held)
        l->since_ms = l->held_ms = now_ms;
    l->held = k->held;
    l->give_back = k->give_back;
    lane_take_requests(l, k->requests, k->requests_len);
}

void lane_free(struct lane *l)
{
    if (l == NULL)
        return;
    snapshot_free(l);
    free(l->next_definition);
    free(l->items);
    free(l->rows);
    free(l->removed);
    free(l);
}
