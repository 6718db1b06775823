/* Puts what waits in the replay jobs back into its lanes, as fast as each job's rate allows.
 *
 * A job earns its rate by the boot clock; a delivery costs STEP_COST, so that a rate per 1,000 s
 * times milliseconds counts in the same coin. Lanes take turns, each with its lowest position: no
 * lane that is full or slow keeps the others waiting. */
#include "queue/store_operate.h"

#include <stdlib.h>

#define STEP_COST     1000000u
#define EARN_MAX_MS   1000000u /* in so long even the lowest rate earns a delivery */
#define SWEEP_AT_ONCE 5000u

static void earn(struct job *j, uint64_t boot_ms)
{
    uint64_t second = (uint64_t)j->told.rate_per_1000s * 1000;
    uint64_t most = second > STEP_COST ? second : STEP_COST;
    uint64_t dt_ms = boot_ms - j->last_boot_ms;
    if (dt_ms > EARN_MAX_MS)
        dt_ms = EARN_MAX_MS;
    j->credit += dt_ms * j->told.rate_per_1000s;
    if (j->credit > most)
        j->credit = most;
    if (!j->stepped)
        j->credit = STEP_COST;
    j->stepped = true;
    j->last_boot_ms = boot_ms;
}

/* ---- whose turn it is ---- */

/* The lanes that something of a job waits for and that have room, ascending. None gets more room
 * within a step. */
struct turns {
    struct lane **lanes;
    size_t len, next;
};

static bool has_room(const struct lane *l)
{
    return !l->retired && l->requests_pending < QUEUE_REQUESTS_MAX;
}

static enum err turns_init(struct turns *t, struct store *s, const struct job *j)
{
    uint32_t lane = 0;
    uint64_t pos;
    enum err e = ERR_NONE;
    *t = (struct turns){.lanes = mem_zero(s->lanes_len + 1, sizeof *t->lanes)};
    while (e == ERR_NONE) {
        e = waiting_next(s, j, lane + 1, &lane, &pos);
        struct lane *l = e == ERR_NONE ? lane_find(s, lane) : NULL;
        if (l && has_room(l))
            t->lanes[t->len++] = l;
    }
    while (t->next < t->len && t->lanes[t->next]->number <= j->next_lane)
        t->next++;
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

/* A lane that has no room any more, or that nothing waits for, is out. */
static void leave_turns(struct turns *t)
{
    t->len--;
    for (size_t i = t->next; i < t->len; i++)
        t->lanes[i] = t->lanes[i + 1];
}

/* The next lane and its lowest position. ERR_NOT_FOUND: there is none. */
static enum err next_turn(struct turns *t, struct store *s, const struct job *j, struct lane **l,
                          uint64_t *pos)
{
    while (t->len > 0) {
        uint32_t lane;
        t->next %= t->len;
        *l = t->lanes[t->next];
        enum err e = has_room(*l) ? waiting_next(s, j, (*l)->number, &lane, pos) : ERR_NOT_FOUND;
        if (e != ERR_NONE && e != ERR_NOT_FOUND)
            return e;
        if (e == ERR_NONE && lane == (*l)->number) {
            t->next++;
            return ERR_NONE;
        }
        leave_turns(t);
    }
    return ERR_NOT_FOUND;
}

/* ---- a turn ---- */

/* Asks for the position, unless somebody did already; `*asked` when it was not. */
static enum err ask(struct store *s, struct lane *l, uint64_t pos, int64_t now_ms, bool *asked)
{
    bool pending;
    size_t len;
    struct entry en;
    enum err e = request_pending(s, l, pos, &pending);
    if (e == ERR_NONE)
        e = exceptions_load(s, l, s->exceptions, &len);
    if (e != ERR_NONE || pending || exceptions_find(s->exceptions, len, pos))
        return e;
    e = entry_get(s, pos, &en);
    if (e != ERR_NONE)
        return e == ERR_NOT_FOUND ? db_corrupt(s, TABLE_ENTRY) : e;
    en.requeued_ms = now_ms;
    if (s->asked_due_ms > now_ms + s->options.retention_ms)
        s->asked_due_ms = now_ms + s->options.retention_ms;
    *asked = true;
    e = entry_put(s, pos, &en);
    return e == ERR_NONE ? request_add(s, l, pos) : e;
}

static enum err take_turn(struct store *s, struct job *j, struct lane *l, uint64_t pos,
                          int64_t now_ms, bool *asked)
{
    bool kept;
    j->next_lane = l->number;
    j->dirty = true;
    enum err e = log_has(s, pos, &kept);
    if (e != ERR_NONE)
        return e;
    if (!kept)
        return member_settle(s, l->number, pos, SETTLED_DROPPED, now_ms);
    if (j->told.rate_per_1000s > 0)
        j->credit -= STEP_COST;
    e = ask(s, l, pos, now_ms, asked);
    return e == ERR_NONE ? member_ask(s, j, l->number, pos) : e;
}

static bool can_pay(const struct job *j)
{
    return j->told.rate_per_1000s == 0 || j->credit >= STEP_COST;
}

static enum err step(struct store *s, struct job *j, int64_t now_ms, uint64_t boot_ms, bool *asked)
{
    struct turns t;
    earn(j, boot_ms);
    if (!can_pay(j))
        return ERR_NONE;
    enum err e = turns_init(&t, s, j);
    for (unsigned n = 0; e == ERR_NONE && n < JOB_STEP_MAX && can_pay(j); n++) {
        struct lane *l;
        uint64_t pos;
        e = next_turn(&t, s, j, &l, &pos);
        if (e == ERR_NONE)
            e = take_turn(s, j, l, pos, now_ms, asked);
    }
    free(t.lanes);
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

/* Nobody goes on collecting. */
static bool is_given_up(struct job *j, uint64_t boot_ms)
{
    if (j->paged)
        j->last_boot_ms = boot_ms;
    j->paged = false;
    return boot_ms - j->last_boot_ms >= JOB_COLLECT_MS;
}

enum err store_step_jobs(struct store *s, int64_t now_ms, uint64_t boot_ms, bool *asked)
{
    enum err e = leftovers_sweep(s, SWEEP_AT_ONCE);
    *asked = false;
    db_need_turn(s);
    for (size_t i = 0; e == ERR_NONE && i < s->jobs_len;) {
        struct job *j = &s->jobs[i];
        bool goes = job_over(j) && j->told.ended_ms + s->options.retention_ms <= now_ms;
        if (j->told.state == JOB_COLLECTING)
            goes = is_given_up(j, boot_ms);
        if (j->told.state == JOB_RUNNING)
            e = step(s, j, now_ms, boot_ms, asked);
        if (goes)
            e = job_forget(s, j);
        else
            i++;
    }
    return e;
}
