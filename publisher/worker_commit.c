/* Commits: all changed lanes in one call, one call in flight. At once when it is quiet, under load
 * every COMMIT_PAUSE_MS, and at once when a lane waits for it. What was not answered is begun again
 * with the same content: the queue knows the sequence number. */
#include "publisher/worker.h"

#include "common/base/clock.h"
#include "common/base/log.h"

#include <stdlib.h>
#include <utlist.h>

#define COMMIT_PAUSE_MS    50u
#define COMMIT_AGAIN_MS    200u   /* after a call that failed */
#define COMMIT_LANES_MAX   1024u  /* in one call */
#define COMMIT_ENTRIES_MAX 32768u /* exceptions and rows in one call, but at least one lane */

static void on_commit_timer(uv_timer_t *t);

void worker_saw_queue(struct worker *w, enum err e)
{
    bool away = e == ERR_CLOSED || e == ERR_UNKNOWN;
    if (away && !w->queue_away)
        LOG(LOG_WARN, "queue out of reach", LOG_S("error", err_name(e)));
    if (!away && w->queue_away) {
        LOG(LOG_INFO, "queue reached again");
        feed_distrust(w->feed); /* the tail may have been lost meanwhile */
    }
    w->queue_away = away;
}

void worker_note_change(struct holding *h)
{
    struct worker *w = h->worker;
    if (!lane_dirty(h->lane))
        return;
    if (!h->changed) {
        h->changed = true;
        DL_APPEND2(w->changed, h, changed_prev, changed_next);
    }
    w->commit_urgent = w->commit_urgent || lane_urgent(h->lane);
}

void worker_forget_change(struct holding *h)
{
    if (h->changed)
        DL_DELETE2(h->worker->changed, h, changed_prev, changed_next);
    h->changed = false;
}

/* The link goes the way the definition says that is in force now. */
static void follow_route(struct holding *h, uint64_t now_ms)
{
    if (h->relay != NULL && lane_definition(h->lane)->route != h->route)
        worker_hang_up(h, now_ms);
}

static void end_lane(struct holding *h, const struct lane_committed *r, uint64_t now_ms)
{
    if (!lane_commit_end(h->lane, r)) {
        bool stale = r->status == COMMIT_STALE;
        LOG(stale ? LOG_INFO : LOG_ERROR, "commit refused, lane lost",
            LOG_S("relay", lane_definition(h->lane)->url),
            LOG_S("reason", stale ? "another holds it, or it left the relay list" : "invalid"));
        worker_drop(h);
        return;
    }
    follow_route(h, now_ms);
    if (r != NULL && h->more) {
        h->more = false; /* the reply tells anew */
        worker_lease_soon(h->worker);
    }
    worker_note_change(h);
    worker_wake(h);
}

static void on_commit(void *arg, enum err e, const struct lane_committed *lanes, size_t len)
{
    struct worker_call *call = arg;
    struct worker *w = call->worker;
    free(call);
    if (w == NULL)
        return;
    uint64_t now_ms = clock_boot_ms();
    bool answered = e == ERR_NONE && len == w->committed_len;
    w->committing = NULL;
    w->commit_failed = !answered;
    worker_saw_queue(w, e);
    if (!answered)
        w->commit_at_ms = now_ms + COMMIT_AGAIN_MS;
    size_t n = w->committed_len, refused = 0;
    w->committed_len = 0;
    for (size_t i = 0; i < n; i++) {
        if (w->committed[i] != NULL)
            end_lane(w->committed[i], answered ? &lanes[i] : NULL, now_ms);
        else
            refused += answered && lanes[i].status == COMMIT_STALE;
    }
    if (refused > 0)
        LOG(LOG_INFO, "commit refused, the lanes were lost before", LOG_I("lanes", refused));
    worker_commit(w, now_ms);
}

static size_t entries(const struct lane_commit *c)
{
    return c->exceptions_len + c->rows_added_len + c->rows_removed_len;
}

static void commit(struct worker *w, uint64_t now_ms)
{
    size_t len = 0, total = 0, max = HASH_COUNT(w->holdings);
    if (max > COMMIT_LANES_MAX)
        max = COMMIT_LANES_MAX;
    struct lane_commit *lanes = mem_zero(max + 1, sizeof *lanes);
    w->committed = mem_grow(w->committed, (max + 1) * sizeof(struct holding *));
    w->commit_urgent = false;
    while (w->changed != NULL && len < max && total < COMMIT_ENTRIES_MAX) {
        struct holding *h = w->changed;
        worker_forget_change(h);
        if (!lane_dirty(h->lane))
            continue;
        lane_commit_begin(h->lane, &lanes[len]);
        total += entries(&lanes[len]);
        w->committed[len++] = h;
    }
    if (w->heartbeat != 0) {
        lanes[len] = (struct lane_commit){.lane = HEARTBEAT_LANE, .position = w->heartbeat};
        w->committed[len++] = NULL;
        w->heartbeat = 0;
    }
    w->committed_len = len;
    w->commit_at_ms = w->changed != NULL ? now_ms : now_ms + COMMIT_PAUSE_MS;
    if (len > 0) {
        struct worker_call *call = mem_zero(1, sizeof *call);
        *call = (struct worker_call){.worker = w, .sent_ms = now_ms};
        w->committing = call;
        w->q->ops->commit(w->q, lanes, len, on_commit, call);
    }
    free(lanes);
}

void worker_commit(struct worker *w, uint64_t now_ms)
{
    if (w->committing != NULL || (w->changed == NULL && w->heartbeat == 0))
        return;
    bool now = now_ms >= w->commit_at_ms || (w->commit_urgent && !w->commit_failed);
    if (now)
        commit(w, now_ms);
    else
        uv_timer_start(&w->commit_timer, on_commit_timer, w->commit_at_ms - now_ms, 0);
}

static void on_commit_timer(uv_timer_t *t)
{
    worker_commit(t->data, clock_boot_ms());
}
