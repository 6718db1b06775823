/* What the actors of a history do: they lease, commit, crash, and sometimes are late or wrong. */
#include "tests/support/history.h"
#include "tests/support/say.h"

#include <inttypes.h>

/* ---- leases ---- */

static void ask_to_lease(struct rig *r, void *arg, struct answer *a)
{
    ask_lease(&r->loop, r->q, arg, a);
}

/* Nobody is granted what another may still think is its own. */
static void check_grant(struct history *h, int actor, const struct lane_grant *g)
{
    if (g->lane >= ACTOR_LANES_MAX)
        history_fail(h, "lane %" PRIu32 " out of nowhere", g->lane);
    if (g->epoch <= h->lanes[g->lane].epoch)
        history_fail(h, "lane %" PRIu32 ": epoch %" PRIu64 " after %" PRIu64, g->lane, g->epoch,
                     h->lanes[g->lane].epoch);
    int holder = h->lanes[g->lane].holder;
    if (holder >= 0 && holder != actor &&
        h->renewed_boot_ms[holder] + LEASE_TERM_MS > h->rigs[0]->boot_ms)
        history_fail(h, "lane %" PRIu32 " is granted to %d while %d holds it", g->lane, actor,
                     holder);
    h->lanes[g->lane].epoch = g->epoch;
    h->lanes[g->lane].holder = actor;
}

static void note_lost(struct history *h, int actor, const struct holder *before,
                      const struct lease_reply *r)
{
    for (size_t i = 0; i < before->lanes_len; i++) {
        const struct holder_lane *l = &before->lanes[i];
        bool lost = l->gives;
        for (size_t k = 0; k < r->lost_len; k++)
            lost = lost || r->lost[k] == l->lane;
        if (!lost)
            continue;
        if (h->lanes[l->lane].holder == actor)
            h->lanes[l->lane].holder = -1;
        size_t at =
            h->old_len < COUNT_OF(h->old) ? h->old_len++ : history_roll(h, COUNT_OF(h->old));
        h->old[at].lane = l->lane;
        h->old[at].epoch = l->epoch;
        h->old[at].seq = l->seq;
    }
}

void history_lease(struct history *h)
{
    h->doing = "lease";
    int n = (int)history_roll(h, HISTORY_ACTORS);
    struct actor *actor = &h->actors[n];
    struct lease_held held[HOLDER_LANES_MAX];
    struct lease_call call;
    struct answer a;
    actor->h.leaving = history_roll(h, 20) == 0;
    actor->h.routes = history_roll(h, 8) == 0 ? 1u << history_roll(h, ROUTE_COUNT) : HOLDER_BOTH;
    for (size_t i = 0; i < actor->h.lanes_len; i++) {
        struct holder_lane *l = &actor->h.lanes[i];
        l->gives = (l->asked && history_roll(h, 2) == 0) || history_roll(h, 40) == 0;
        l->live.state = (enum lane_state)(LANE_IDLE + (int)history_roll(h, 4));
    }
    holder_call(&actor->h, held, &call);
    history_ask(h, ask_to_lease, &call, say_lease, &a);
    if (a.e != ERR_NONE)
        history_fail(h, "a lease call was answered %s", err_name(a.e));
    note_lost(h, n, &actor->h, &a.lease);
    h->renewed_boot_ms[n] = h->rigs[0]->boot_ms;
    for (size_t i = 0; i < a.lease.grants_len; i++)
        check_grant(h, n, &a.lease.grants[i]);
    actor_take(actor, &h->truth, &a.lease);
    answer_free(&a);
}

/* The process is gone with all it knew; another begins. */
void history_crash(struct history *h)
{
    h->doing = "a publisher's crash";
    int n = (int)history_roll(h, HISTORY_ACTORS);
    actor_init(&h->actors[n], h->actors_made++);
    h->renewed_boot_ms[n] = 0;
    for (size_t lane = 0; lane < ACTOR_LANES_MAX; lane++) {
        if (h->lanes[lane].holder == n)
            h->lanes[lane].holder = -1;
    }
}

/* ---- commits ---- */

struct committing {
    const struct lane_commit *lanes;
    size_t len;
};

static void ask_to_commit(struct rig *r, void *arg, struct answer *a)
{
    const struct committing *c = arg;
    ask_commit(&r->loop, r->q, c->lanes, c->len, a);
}

static enum commit_status commit_one(struct history *h, const struct lane_commit *c,
                                     struct lane_committed *out)
{
    struct answer a;
    struct committing asked = {c, 1};
    history_ask(h, ask_to_commit, &asked, say_commit, &a);
    if (a.e != ERR_NONE || a.committed_len != 1)
        history_fail(h, "a commit was answered %s", err_name(a.e));
    if (out)
        *out = a.committed[0];
    enum commit_status status = a.committed[0].status;
    answer_free(&a);
    return status;
}

void history_commit(struct history *h)
{
    struct actor *actor = &h->actors[history_roll(h, HISTORY_ACTORS)];
    static struct actor_commit made[ACTOR_LANES_MAX];
    struct lane_commit lanes[ACTOR_LANES_MAX];
    struct answer a;
    size_t len = 0;
    h->doing = "commit";
    for (size_t i = 0; i < actor->h.lanes_len && len < COUNT_OF(made); i++) {
        if (history_roll(h, 3) == 0)
            continue;
        actor_next(actor, &h->truth, actor->h.lanes[i].lane, &made[len]);
        lanes[len] = made[len].c;
        len++;
    }
    if (len == 0)
        return;
    struct committing asked = {lanes, len};
    history_ask(h, ask_to_commit, &asked, say_commit, &a);
    if (a.e != ERR_NONE || a.committed_len != len)
        history_fail(h, "commits were answered %s", err_name(a.e));
    for (size_t i = 0; i < len; i++) {
        if (a.committed[i].status == COMMIT_INVALID)
            history_fail(h, "an honest commit on lane %" PRIu32 " is invalid", lanes[i].lane);
        actor_done(actor, &h->truth, &made[i], &a.committed[i]);
    }
    h->last = made[len - 1];
    answer_free(&a);
}

/* The copy's arrays are its own. */
static struct lane_commit own(const struct actor_commit *c)
{
    struct lane_commit out = c->c;
    out.exceptions = c->exceptions;
    out.rows_added = c->rows;
    out.rows_removed = c->removed;
    if (out.paths_len)
        out.paths = &c->path;
    return out;
}

void history_repeat(struct history *h)
{
    h->doing = "repeated commit";
    if (h->last.c.lane == 0)
        return;
    struct lane_commit c = own(&h->last);
    enum commit_status status = commit_one(h, &c, NULL);
    if (status != COMMIT_REPEATED && status != COMMIT_STALE)
        history_fail(h, "a repeated commit was answered with %d", (int)status);
}

void history_stale(struct history *h)
{
    h->doing = "stale commit";
    if (h->old_len == 0)
        return;
    size_t i = history_roll(h, (unsigned)h->old_len);
    struct lane_commit c = {.lane = h->old[i].lane,
                            .epoch = h->old[i].epoch,
                            .seq = h->old[i].seq + 1,
                            .position = h->head,
                            .definition_version = 1};
    if (h->old[i].epoch == h->lanes[h->old[i].lane].epoch)
        return; /* nobody has it since: it would be taken */
    if (commit_one(h, &c, NULL) != COMMIT_STALE)
        history_fail(h, "an old epoch was not refused");
}

void history_spoiled(struct history *h)
{
    h->doing = "bad commit";
    struct actor *actor = &h->actors[history_roll(h, HISTORY_ACTORS)];
    static struct actor_commit made;
    if (actor->h.lanes_len == 0)
        return;
    actor_next(actor, &h->truth, actor->h.lanes[0].lane, &made);
    actor_spoil(&h->truth, &made);
    enum commit_status status = commit_one(h, &made.c, NULL);
    if (status != COMMIT_INVALID && status != COMMIT_STALE)
        history_fail(h, "a bad commit was answered with %d", (int)status);
}
