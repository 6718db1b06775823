/* What operators ask of the broker. Each change they make leaves a line in the log (audit.h);
 * reading leaves none. */
#include "queue/audit.h"
#include "queue/broker_state.h"

#include <stdlib.h>
#include <string.h>

bool broker_is_done(struct broker *b, struct wire_reply *r, enum err e)
{
    r->err = e;
    if (e != ERR_NONE && !broker_is_refusal(e))
        (void)broker_check(b, e);
    return e == ERR_NONE;
}

/* ---- hold ---- */

static void do_hold(struct broker *b, const struct hold_call *c, struct wire_reply *r)
{
    if (!broker_change(b) ||
        !broker_is_done(b, r, store_hold(b->store, c, broker_wall_ms(b), &r->hold)))
        return;
    if (!r->hold.changed)
        return;
    b->store_news = store_news(b->store);
    b->news++;
    audit_hold(c, &r->hold);
}

/* ---- failed deliveries ---- */

/* Whether the job sends: it was collected to its end, or needed no more. */
static bool has_started(struct broker *b, uint64_t number, uint64_t *total)
{
    const struct replay_job *jobs;
    size_t len;
    if (store_jobs(b->store, &jobs, &len) != ERR_NONE)
        return false;
    for (size_t i = 0; i < len; i++)
        if (jobs[i].number == number) {
            *total = jobs[i].total;
            return jobs[i].state != JOB_COLLECTING;
        }
    return false;
}

/* The highest number there is, so that a job which is made now can be told from one made before. */
static uint64_t last_job(struct broker *b)
{
    const struct replay_job *jobs;
    size_t len;
    if (store_jobs(b->store, &jobs, &len) != ERR_NONE || len == 0)
        return 0;
    return jobs[len - 1].number;
}

static void do_replay(struct broker *b, const struct failed_call *c, struct wire_arena *a,
                      struct wire_reply *r)
{
    uint64_t total = 0, last = last_job(b);
    bool started = c->job != 0 && has_started(b, c->job, &total);
    if (!broker_change(b) ||
        !broker_is_done(b, r, store_failed(b->store, c, broker_wall_ms(b), &r->failed)))
        return;
    r->failed.groups = /* before the store is asked again */
        wire_copy(a, r->failed.groups, r->failed.groups_len, sizeof *r->failed.groups);
    uint64_t job = r->failed.job;
    bool repeated = c->job == 0 && job <= last; /* its first page again: it was told then */
    if (!started && !repeated && has_started(b, job, &total))
        audit_replay(c, job, total);
}

static void do_purge(struct broker *b, const struct failed_call *c, struct wire_reply *r)
{
    if (broker_change(b) &&
        broker_is_done(b, r, store_failed(b->store, c, broker_wall_ms(b), &r->failed)))
        audit_purge(c, &r->failed);
}

static void do_failed(struct broker *b, const struct failed_call *c, struct wire_arena *a,
                      struct wire_reply *r)
{
    if (c->what == FAILED_REPLAY)
        do_replay(b, c, a, r);
    else if (c->what == FAILED_PURGE)
        do_purge(b, c, r);
    else
        (void)broker_is_read(b, r, store_failed(b->store, c, broker_wall_ms(b), &r->failed));
}

/* ---- replay jobs ---- */

static void do_cancel(struct broker *b, uint64_t job, const char *by, struct wire_reply *r)
{
    if (broker_change(b) && broker_is_done(b, r, store_cancel(b->store, job, broker_wall_ms(b))))
        audit_cancel(job, by);
}

void broker_operate(struct broker *b, const struct wire_request *q, struct wire_arena *a,
                    struct wire_reply *r)
{
    switch (q->type) {
    case WIRE_REGISTRY:
        (void)broker_is_read(b, r, store_registry(b->store, &r->registry));
        break;
    case WIRE_HOLD:
        do_hold(b, &q->hold, r);
        break;
    case WIRE_FAILED:
        do_failed(b, &q->failed, a, r);
        break;
    case WIRE_JOBS:
        (void)broker_is_read(b, r, store_jobs(b->store, &r->jobs.jobs, &r->jobs.len));
        break;
    case WIRE_CANCEL:
        do_cancel(b, q->cancel.job, q->cancel.by, r);
        break;
    default:
        die("request %d is none of an operator's", (int)q->type);
    }
}
