/* The model's replay jobs. A job is its record and the rows that name it; every row that changes
 * leaves its job by model_job_settle. */
#include "queue/model_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DT_MAX_MS 1000000u /* in so long even the lowest rate earns a delivery */

static struct model_job *find(const struct model *m, uint64_t number)
{
    for (size_t i = 0; i < m->jobs_len; i++) {
        if (m->jobs[i].job.number == number)
            return &m->jobs[i];
    }
    return NULL;
}

static bool is_over(const struct model_job *j)
{
    return j->job.state == JOB_DONE || j->job.state == JOB_CANCELLED;
}

static void end(struct model_job *j, enum job_state state, int64_t now_ms)
{
    j->job.state = state;
    j->job.ended_ms = now_ms;
}

static void end_when_done(struct model_job *j, int64_t now_ms)
{
    if (j->job.state == JOB_RUNNING && j->job.waiting + j->job.asked == 0)
        end(j, JOB_DONE, now_ms);
}

/* Rows that are still in it are free for others. */
static void forget(struct model *m, struct model_job *j)
{
    for (size_t i = 0; i < m->lanes_len; i++) {
        const struct model_lane *l = &m->lanes[i];
        for (size_t k = 0; k < l->rows_len; k++) {
            if (l->rows[k].job == j->job.number)
                l->rows[k].job = 0;
        }
    }
    struct model_job *last = m->jobs + --m->jobs_len;
    memmove(j, j + 1, (size_t)(last - j) * sizeof *j);
}

/* ---- collecting ---- */

static enum err make_room(struct model *m)
{
    if (m->jobs_len < JOBS_MAX)
        return ERR_NONE;
    struct model_job *oldest = NULL;
    for (size_t i = 0; i < m->jobs_len; i++) {
        struct model_job *j = &m->jobs[i];
        if (is_over(j) && (!oldest || j->job.ended_ms < oldest->job.ended_ms))
            oldest = j;
    }
    if (!oldest)
        return ERR_FULL;
    forget(m, oldest);
    return ERR_NONE;
}

static enum err make(struct model *m, const struct failed_call *c, int64_t now_ms,
                     struct model_job **out)
{
    enum err e = make_room(m);
    if (e != ERR_NONE)
        return e;
    m->jobs = mem_grow(m->jobs, (m->jobs_len + 1) * sizeof *m->jobs);
    struct model_job *j = &m->jobs[m->jobs_len++];
    *j = (struct model_job){.job = {.number = ++m->jobs_made,
                                    .state = JOB_COLLECTING,
                                    .made_ms = now_ms,
                                    .rate_per_1000s = c->rate_per_1000s},
                            .token = c->token};
    (void)snprintf(j->job.text, sizeof j->job.text, "%s", c->text);
    (void)snprintf(j->job.by, sizeof j->job.by, "%s", c->by);
    *out = j;
    return ERR_NONE;
}

enum err model_job_page(struct model *m, const struct failed_call *c, int64_t now_ms,
                        struct model_job **out)
{
    *out = c->job ? find(m, c->job) : NULL;
    for (size_t i = 0; c->job == 0 && i < m->jobs_len; i++) {
        if (m->jobs[i].token == c->token)
            *out = &m->jobs[i];
    }
    if (!*out && c->job == 0)
        return make(m, c, now_ms, out);
    return *out && (*out)->job.state != JOB_CANCELLED ? ERR_NONE : ERR_NOT_FOUND;
}

void model_job_add(struct model_job *j, struct model_row *r)
{
    r->job = j->job.number;
    r->asked = false;
    j->job.total++;
    j->job.waiting++;
}

void model_job_start(struct model_job *j, int64_t now_ms)
{
    j->job.state = JOB_RUNNING;
    end_when_done(j, now_ms);
}

/* ---- settling ---- */

void model_job_settle(struct model *m, struct model_row *r, enum model_settled how, int64_t now_ms)
{
    struct model_job *j = find(m, r->job);
    r->job = 0;
    if (!j)
        return;
    uint64_t *was = r->asked ? &j->job.asked : &j->job.waiting;
    uint64_t *is = how == MODEL_DELIVERED ? &j->job.delivered
                   : how == MODEL_FAILED  ? &j->job.failed
                                          : &j->job.dropped;
    (*was)--;
    (*is)++;
    end_when_done(j, now_ms);
}

void model_jobs_leave(struct model *m, struct model_lane *l, int64_t now_ms)
{
    for (size_t i = 0; i < l->rows_len; i++)
        model_job_settle(m, &l->rows[i], MODEL_DROPPED, now_ms);
}

void model_jobs_sweep(struct model *m, struct model_lane *l, int64_t now_ms)
{
    for (size_t i = 0; i < l->rows_len; i++) {
        struct model_row *r = &l->rows[i];
        if (r->job && r->asked && !model_request(l, r->row.from) &&
            !model_exception(l, r->row.from))
            model_job_settle(m, r, MODEL_DROPPED, now_ms);
    }
}

enum err model_cancel(struct model *m, uint64_t number, int64_t now_ms)
{
    struct model_job *j = find(m, number);
    if (!j || is_over(j))
        return ERR_NOT_FOUND;
    end(j, JOB_CANCELLED, now_ms);
    for (size_t i = 0; i < m->lanes_len; i++) {
        struct model_lane *l = &m->lanes[i];
        for (size_t k = 0; k < l->rows_len; k++) {
            struct model_row *r = &l->rows[k];
            if (r->job != number || (r->asked && !model_request(l, r->row.from)))
                continue;
            if (r->asked)
                model_request_drop(l, r->row.from);
            model_job_settle(m, r, MODEL_DROPPED, now_ms);
        }
    }
    return ERR_NONE;
}

/* ---- a step ---- */

static void earn(struct model_job *j, uint64_t boot_ms)
{
    uint64_t second = (uint64_t)j->job.rate_per_1000s * 1000;
    uint64_t most = second > MODEL_DELIVERY_COST ? second : MODEL_DELIVERY_COST;
    uint64_t dt_ms = boot_ms - j->stepped_boot_ms;
    if (dt_ms > DT_MAX_MS)
        dt_ms = DT_MAX_MS;
    j->credit += dt_ms * j->job.rate_per_1000s;
    if (j->credit > most)
        j->credit = most;
    if (!j->stepped)
        j->credit = MODEL_DELIVERY_COST;
    j->stepped = true;
    j->stepped_boot_ms = boot_ms;
}

/* The lane's lowest row that waits in the job. */
static struct model_row *lowest(const struct model_lane *l, uint64_t number)
{
    struct model_row *out = NULL;
    for (size_t i = 0; i < l->rows_len; i++) {
        struct model_row *r = &l->rows[i];
        if (r->job == number && !r->asked && (!out || r->row.from < out->row.from))
            out = r;
    }
    return out;
}

/* The lane that has the next turn. NULL: none has room and something that waits. */
static struct model_lane *next_lane(const struct model *m, const struct model_job *j)
{
    struct model_lane *around = NULL;
    for (size_t i = 0; i < m->lanes_len; i++) {
        struct model_lane *l = &m->lanes[i];
        if (l->retired || l->requests_len >= QUEUE_REQUESTS_MAX || !lowest(l, j->job.number))
            continue;
        if (l->number > j->last_lane)
            return l;
        if (!around)
            around = l;
    }
    return around;
}

static void take_turn(struct model *m, struct model_job *j, struct model_lane *l, int64_t now_ms)
{
    struct model_row *r = lowest(l, j->job.number);
    struct model_entry *e = model_entry(m, r->row.from);
    j->last_lane = l->number;
    if (!e->kept) {
        model_job_settle(m, r, MODEL_DROPPED, now_ms);
        return;
    }
    if (model_requeue(m, l, r->row.from))
        e->requeued_ms = now_ms;
    r->asked = true;
    j->job.waiting--;
    j->job.asked++;
    if (j->job.rate_per_1000s > 0)
        j->credit -= MODEL_DELIVERY_COST;
}

static void step(struct model *m, struct model_job *j, int64_t now_ms, uint64_t boot_ms)
{
    earn(j, boot_ms);
    for (unsigned turns = 0; turns < JOB_STEP_MAX; turns++) {
        struct model_lane *l = next_lane(m, j);
        if (!l || (j->job.rate_per_1000s > 0 && j->credit < MODEL_DELIVERY_COST))
            return;
        take_turn(m, j, l, now_ms);
    }
}

static bool is_given_up(struct model_job *j, uint64_t boot_ms)
{
    if (j->paged)
        j->paged_boot_ms = boot_ms;
    j->paged = false;
    return boot_ms - j->paged_boot_ms >= JOB_COLLECT_MS;
}

void model_step_jobs(struct model *m, int64_t now_ms, uint64_t boot_ms)
{
    for (size_t i = 0; i < m->jobs_len;) {
        struct model_job *j = &m->jobs[i];
        bool goes = is_over(j) && j->job.ended_ms + m->retention_ms <= now_ms;
        if (j->job.state == JOB_COLLECTING)
            goes = is_given_up(j, boot_ms);
        if (j->job.state == JOB_RUNNING)
            step(m, j, now_ms, boot_ms);
        if (goes)
            forget(m, j);
        else
            i++;
    }
}

void model_jobs_restart(struct model *m)
{
    for (size_t i = 0; i < m->jobs_len; i++) {
        m->jobs[i].stepped = false;
        m->jobs[i].paged = true;
    }
}
