/* Replay jobs: at most JOBS_MAX of them, all held in memory, each in a record of its own. Which
 * rows are in them stands in store_job_rows.c; store_step.c puts them back into their lanes.
 *
 * What is earned at a job's rate, and when its last page came, is not durable: after a restart both
 * begin anew. */
#include "queue/store_operate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- records ---- */

static struct key number_key(uint64_t number)
{
    struct key k = {.len = 0};
    key_add_u64(&k, number);
    return k;
}

enum err jobs_load(struct store *s)
{
    struct walk w;
    s->jobs = mem_zero(JOBS_MAX, sizeof *s->jobs);
    s->jobs_len = 0;
    s->leftovers = true; /* whether there are any is not remembered */
    enum err e = walk_begin(s, TABLE_JOB, &w);
    if (e != ERR_NONE)
        return e;
    for (e = walk_seek(&w, NULL); e == ERR_NONE; e = walk_next(&w)) {
        struct job j = {.paged = true};
        j.told.number = walk_key_u64(&w, 0);
        if (s->jobs_len == JOBS_MAX || !job_unpack(&w.u, &j)) {
            e = db_corrupt(s, TABLE_JOB);
            break;
        }
        s->jobs[s->jobs_len++] = j;
    }
    walk_end(&w);
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

enum err jobs_flush(struct store *s)
{
    enum err e = ERR_NONE;
    for (size_t i = 0; e == ERR_NONE && i < s->jobs_len; i++) {
        struct job *j = &s->jobs[i];
        if (!j->dirty)
            continue;
        struct key k = number_key(j->told.number);
        struct pack p = db_record(s);
        job_pack(&p, j);
        e = db_put(s, TABLE_JOB, &k, &p);
        j->dirty = false;
    }
    return e;
}

struct job *job_find(const struct store *s, uint64_t number)
{
    for (size_t i = 0; i < s->jobs_len; i++) {
        if (s->jobs[i].told.number == number)
            return &s->jobs[i];
    }
    return NULL;
}

enum err job_forget(struct store *s, struct job *j)
{
    struct key k = number_key(j->told.number);
    const struct job *end = s->jobs + s->jobs_len--;
    memmove(j, j + 1, (size_t)(end - j - 1) * sizeof *j);
    s->leftovers = true;
    return db_del(s, TABLE_JOB, &k);
}

/* ---- beginning ---- */

/* ERR_FULL when none of so many is over. */
static enum err make_room(struct store *s)
{
    struct job *oldest = NULL;
    if (s->jobs_len < JOBS_MAX)
        return ERR_NONE;
    for (size_t i = 0; i < s->jobs_len; i++) {
        struct job *j = &s->jobs[i];
        if (job_over(j) && (!oldest || j->told.ended_ms < oldest->told.ended_ms))
            oldest = j;
    }
    return oldest ? job_forget(s, oldest) : ERR_FULL;
}

static enum err make(struct store *s, const struct failed_call *c, int64_t now_ms, struct job **out)
{
    enum err e = make_room(s);
    if (e != ERR_NONE)
        return e;
    struct job *j = &s->jobs[s->jobs_len++];
    *j = (struct job){.token = c->token, .dirty = true};
    j->told = (struct replay_job){.number = ++s->meta.jobs_made,
                                  .state = JOB_COLLECTING,
                                  .made_ms = now_ms,
                                  .rate_per_1000s = c->rate_per_1000s};
    (void)snprintf(j->told.text, sizeof j->told.text, "%s", c->text);
    (void)snprintf(j->told.by, sizeof j->told.by, "%s", c->by);
    s->meta_dirty = true;
    *out = j;
    return ERR_NONE;
}

enum err job_for_page(struct store *s, const struct failed_call *c, int64_t now_ms,
                      struct job **out)
{
    struct job *j = c->job != 0 ? job_find(s, c->job) : NULL;
    for (size_t i = 0; c->job == 0 && i < s->jobs_len; i++) {
        if (s->jobs[i].token == c->token)
            j = &s->jobs[i];
    }
    *out = j;
    if (!j && c->job == 0)
        return make(s, c, now_ms, out);
    return j && j->told.state != JOB_CANCELLED ? ERR_NONE : ERR_NOT_FOUND;
}

void job_start(struct job *j, int64_t now_ms)
{
    j->told.state = JOB_RUNNING;
    j->stepped = false;
    j->dirty = true;
    job_end_if_done(j, now_ms);
}

/* ---- ending ---- */

void job_end_if_done(struct job *j, int64_t now_ms)
{
    if (j->told.state != JOB_RUNNING || j->told.waiting + j->told.asked > 0)
        return;
    j->told.state = JOB_DONE;
    j->told.ended_ms = now_ms;
    j->dirty = true;
}

/* The first request of the lane with a larger number than `after`. */
static enum err next_request(struct store *s, const struct lane *l, uint64_t after,
                             struct lane_request *r)
{
    struct key k = key_lane_u64(l->number, after + 1), prefix = {.len = 0};
    struct walk w;
    key_add_u32(&prefix, l->number);
    enum err e = walk_begin(s, TABLE_REQUEST, &w);
    if (e != ERR_NONE)
        return e;
    e = walk_seek(&w, &k);
    if (e == ERR_NONE && !walk_has_prefix(&w, &prefix))
        e = ERR_NOT_FOUND;
    if (e == ERR_NONE) {
        r->number = walk_key_u64(&w, prefix.len);
        r->pos = unpack_u64(&w.u);
        if (unpack_end(&w.u) != ERR_NONE)
            e = db_corrupt(s, TABLE_REQUEST);
    }
    walk_end(&w);
    return e;
}

/* What was asked for on this lane and not taken up is asked for no more. */
static enum err take_back(struct store *s, const struct job *j, struct lane *l, int64_t now_ms)
{
    struct lane_request r = {.number = 0};
    enum err e = ERR_NONE;
    while (e == ERR_NONE && l->requests_pending > 0) {
        struct job *in;
        bool asked;
        e = next_request(s, l, r.number, &r);
        if (e == ERR_NONE)
            e = member_get(s, l->number, r.pos, &in, &asked);
        if (e != ERR_NONE || in != j || !asked)
            continue;
        e = request_drop(s, l, &r);
        if (e == ERR_NONE)
            e = member_settle(s, l->number, r.pos, SETTLED_DROPPED, now_ms);
    }
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

/* What waits is dropped in one word; its records go later. */
enum err store_cancel(struct store *s, uint64_t number, int64_t now_ms)
{
    struct job *j = job_find(s, number);
    enum err e = ERR_NONE;
    db_need_turn(s);
    if (!j || job_over(j))
        return ERR_NOT_FOUND;
    for (size_t i = 0; e == ERR_NONE && j->told.asked > 0 && i < s->lanes_len; i++)
        e = take_back(s, j, s->lanes[i], now_ms);
    j->told.dropped += j->told.waiting;
    j->told.waiting = 0;
    j->told.state = JOB_CANCELLED;
    j->told.ended_ms = now_ms;
    j->dirty = true;
    s->leftovers = true;
    return e;
}

/* ---- what operators see ---- */

enum err store_jobs(struct store *s, const struct replay_job **jobs, size_t *len)
{
    s->jobs_told = mem_grow(s->jobs_told, (s->jobs_len + 1) * sizeof *s->jobs_told);
    for (size_t i = 0; i < s->jobs_len; i++)
        s->jobs_told[i] = s->jobs[i].told;
    *jobs = s->jobs_told;
    *len = s->jobs_len;
    return ERR_NONE;
}

bool store_has_jobs(const struct store *s)
{
    return s->jobs_len > 0 || s->leftovers;
}
