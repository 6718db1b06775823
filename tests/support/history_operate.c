/* What operators do in a history: they hold and release lanes, look at what failed, replay, purge
 * and cancel. */
#include "tests/support/history.h"
#include "tests/support/make_event.h"
#include "tests/support/say.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FILTER_IDS 3u
#define EXPIRED                                                                                    \
    (1u << CLASS_RETENTION | 1u << CLASS_LANE_MAX | 1u << CLASS_RETIRED | 1u << CLASS_RELEASED)

/* ---- hold, release ---- */

static void ask_to_hold(struct rig *r, void *arg, struct answer *a)
{
    ask_hold(&r->loop, r->q, arg, a);
}

void history_hold(struct history *h)
{
    struct answer a;
    struct hold_call c = {.held = history_roll(h, 3) == 0, .by = "op@host"};
    h->doing = c.held ? "hold" : "release";
    c.from_now = !c.held && history_roll(h, 6) == 0;
    memcpy(c.url, h->relays[history_roll(h, HISTORY_RELAYS)].url, sizeof c.url);
    history_ask(h, ask_to_hold, &c, say_hold, &a);
    answer_free(&a);
}

/* ---- what failed ---- */

static void roll_classes(struct history *h, struct row_filter *f)
{
    static const enum row_class classes[] = {CLASS_BLOCKED,   CLASS_TIMEOUT,   CLASS_INVALID,
                                             CLASS_RETENTION, CLASS_LANE_MAX,  CLASS_RETIRED,
                                             CLASS_RELEASED,  CLASS_SUPERSEDED};
    if (history_roll(h, 3) == 0)
        return;
    for (size_t i = 0; i < COUNT_OF(classes); i++)
        f->classes |= history_roll(h, 2) << classes[i];
}

/* Rows of a run have the run's times, and how long runs are is the backend's own: ages are asked
 * for where there are none. */
static void roll_ages(struct history *h, struct row_filter *f)
{
    if (f->classes & EXPIRED)
        return;
    if (history_roll(h, 6) == 0)
        f->older_than_ms = (int64_t)history_roll(h, 90) * 60000;
    if (history_roll(h, 6) == 0)
        f->newer_than_ms = (int64_t)history_roll(h, 90) * 60000;
}

static void roll_filter(struct history *h, struct row_filter *f, uint8_t ids[][EVENT_ID_LEN])
{
    static const char *const reasons[] = {"words 1", "WORDS", "2", "no words"};
    static const uint32_t kinds[] = {0, 1, 7, 30023};
    *f = (struct row_filter){.classes = 0};
    roll_classes(h, f);
    roll_ages(h, f);
    if (history_roll(h, 4) == 0)
        memcpy(f->url, h->relays[history_roll(h, HISTORY_RELAYS)].url, sizeof f->url);
    if (history_roll(h, 5) == 0)
        (void)snprintf(f->reason, sizeof f->reason, "%s",
                       reasons[history_roll(h, COUNT_OF(reasons))]);
    f->has_kind = history_roll(h, 5) == 0;
    f->kind = kinds[history_roll(h, COUNT_OF(kinds))];
    f->has_author = history_roll(h, 5) == 0;
    test_pubkey(history_roll(h, 3), f->author);
    if (history_roll(h, 5) == 0)
        f->min_attempts = history_roll(h, 4);
    if (history_roll(h, 6) > 0 || h->events_len == 0)
        return;
    f->ids = (const uint8_t(*)[EVENT_ID_LEN])ids;
    f->ids_len = 1 + history_roll(h, FILTER_IDS);
    for (size_t i = 0; i < f->ids_len; i++)
        memcpy(ids[i], h->events[history_roll(h, (unsigned)h->events_len)]->id, EVENT_ID_LEN);
}

static void ask_for_failed(struct rig *r, void *arg, struct answer *a)
{
    ask_failed_all(&r->loop, r->q, arg, a);
}

static void ask_all(struct history *h, struct failed_call *c)
{
    uint8_t ids[FILTER_IDS][EVENT_ID_LEN];
    struct answer a;
    roll_filter(h, &c->filter, ids);
    (void)snprintf(c->by, sizeof c->by, "op@host");
    history_ask(h, ask_for_failed, c, say_failed, &a);
    for (size_t i = 0; i < a.failed.groups_len; i++) {
        const struct failed_group *g = &a.failed.groups[i];
        if (g->count < g->gone + g->busy)
            history_fail(h, "lane %" PRIu32 " has more gone and busy than there are", g->lane);
    }
    answer_free(&a);
}

void history_list(struct history *h)
{
    struct failed_call c = {.what = history_roll(h, 2) ? FAILED_LIST : FAILED_COUNT,
                            .limit = 1 + history_roll(h, 20)};
    h->doing = "list of what failed";
    ask_all(h, &c);
}

void history_replay(struct history *h)
{
    static const uint32_t rates[] = {0, 0, 1, 10, 14, 1000, 3000, 20000, UINT32_MAX};
    struct failed_call c = {.what = FAILED_REPLAY,
                            .token = rng_next(&h->truth.rng),
                            .rate_per_1000s = rates[history_roll(h, COUNT_OF(rates))]};
    h->doing = "replay";
    (void)snprintf(c.text, sizeof c.text, "filter of step %u", h->step);
    h->jobs++;
    ask_all(h, &c);
}

void history_purge(struct history *h)
{
    struct failed_call c = {.what = FAILED_PURGE};
    h->doing = "purge";
    ask_all(h, &c);
}

static void ask_to_cancel(struct rig *r, void *arg, struct answer *a)
{
    ask_cancel(&r->loop, r->q, *(uint64_t *)arg, a);
}

void history_cancel(struct history *h)
{
    struct answer a;
    h->doing = "cancel";
    uint64_t job = 1 + history_roll(h, h->jobs + 1);
    if (h->jobs > 3 && history_roll(h, 2) == 0) /* one that may be running still */
        job = h->jobs - history_roll(h, 3);
    history_ask(h, ask_to_cancel, &job, say_cancel, &a);
    answer_free(&a);
}

/* ---- looking ---- */

static void ask_for_registry(struct rig *r, void *arg, struct answer *a)
{
    (void)arg;
    ask_registry(&r->loop, r->q, a);
}

static void ask_for_jobs(struct rig *r, void *arg, struct answer *a)
{
    (void)arg;
    ask_jobs(&r->loop, r->q, a);
}

/* Every position of a job is somewhere: settled, or among the rows. */
static void check_job(struct history *h, const struct replay_job *j, const struct answer *rows)
{
    uint64_t open = 0;
    for (size_t i = 0; i < rows->failed.rows_len; i++)
        open += rows->failed.rows[i].job == j->number;
    bool good = open == j->waiting + j->asked &&
                j->total == j->waiting + j->asked + j->delivered + j->failed + j->dropped &&
                (j->state != JOB_DONE || open == 0) && (j->state != JOB_RUNNING || open > 0) &&
                j->state != JOB_COLLECTING;
    if (!good)
        history_fail(h,
                     "job %" PRIu64 " is %s, with %" PRIu64 " rows: total %" PRIu64
                     " waiting %" PRIu64 " asked %" PRIu64 " delivered %" PRIu64 " failed %" PRIu64
                     " dropped %" PRIu64,
                     j->number, job_state_name(j->state), open, j->total, j->waiting, j->asked,
                     j->delivered, j->failed, j->dropped);
}

void history_compare_operators(struct history *h)
{
    struct answer rows, jobs, registry;
    struct failed_call c = {.what = FAILED_LIST, .limit = FAILED_PAGE_MAX};
    c.filter.classes = (1u << CLASS_COUNT) - 1;
    history_ask(h, ask_for_registry, NULL, say_registry, &registry);
    history_ask(h, ask_for_failed, &c, say_failed, &rows);
    history_ask(h, ask_for_jobs, NULL, say_jobs, &jobs);
    for (size_t i = 0; i < jobs.jobs_len; i++)
        check_job(h, &jobs.jobs[i], &rows);
    answer_free(&registry);
    answer_free(&rows);
    answer_free(&jobs);
}
