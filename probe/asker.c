#include "probe/asker.h"

#include "common/base/clock.h"
#include "probe/health.h"
#include "probe/service.h"

#include <stdlib.h>
#include <string.h>

#define EVERY_MS       2000u
#define COUNT_EVERY_MS 5000u /* failed deliveries, when their number changed */
#define COUNT_ALL_MS   60000u

static void ask_jobs(struct probe *p);
static void ask_statistics(struct probe *p);
static void ask_count(struct probe *p);
static void ask_samples(struct probe *p);

/* The round is over. */
static void rest(struct probe *p)
{
    p->asker.busy = false;
}

/* ---- depth ---- */

static void on_depth(void *arg, enum err e, const struct queue_depth *d)
{
    struct probe *p = arg;
    struct knowledge *k = &p->k;
    uint64_t now_ms = clock_boot_ms();

    k->silent = e != ERR_NONE;
    k->trouble = p->queue->trouble.text;
    if (e != ERR_NONE || p->quiet) {
        rest(p);
        return;
    }
    k->beat_every_ms = p->heart != NULL ? heart_every_ms(p->heart) : 0;
    if (p->heart != NULL)
        heart_look(p->heart, &d->heartbeat, d->now_ms);
    meter_add(&k->meter, k->snapshot.known ? &k->snapshot.depth : NULL, d, now_ms);
    snapshot_take(&k->snapshot, d, now_ms);
    records_prune(&k->records, d);
    p->asker.depth_failed = 0;
    for (size_t i = 0; i < d->lanes_len; i++)
        p->asker.depth_failed += d->lanes[i].failed;
    ask_jobs(p);
}

/* ---- replay jobs ---- */

static void on_jobs(void *arg, enum err e, const struct replay_job *jobs, size_t len)
{
    struct probe *p = arg;
    struct knowledge *k = &p->k;

    if (e == ERR_NONE) {
        free(k->jobs);
        k->jobs = mem_zero(len, sizeof *k->jobs);
        for (size_t i = 0; i < len; i++)
            k->jobs[i] = jobs[i];
        k->jobs_len = len;
    }
    if (p->quiet)
        rest(p);
    else
        ask_statistics(p);
}

static void ask_jobs(struct probe *p)
{
    p->queue->ops->jobs(p->queue, on_jobs, p);
}

/* ---- statistics ---- */

static bool count_is_due(const struct asker *a, uint64_t now_ms, bool counted)
{
    uint64_t since_ms = now_ms - a->counted_ms;

    /* A long list is counted less often: at most a twentieth of the time goes into it. */
    if (counted && since_ms < 20 * a->count_took_ms)
        return false;
    return !counted || (a->depth_failed != a->counted_failed && since_ms >= COUNT_EVERY_MS) ||
           (a->depth_failed > 0 && since_ms >= COUNT_ALL_MS);
}

static void after_statistics(struct probe *p)
{
    if (!p->quiet && count_is_due(&p->asker, clock_boot_ms(), p->k.counted))
        ask_count(p);
    else
        rest(p);
}

static void on_statistics(void *arg, enum err e, const struct statistics_page *page)
{
    struct probe *p = arg;
    struct asker *a = &p->asker;

    if (e != ERR_NONE || p->quiet) {
        after_statistics(p);
        return;
    }
    for (size_t i = 0; i < page->len; i++)
        records_take(&p->k.records, &page->relays[i], !a->had_statistics);
    if (a->statistics.after == 0)
        a->next_version = page->version;
    a->statistics.after = page->next;
    if (page->next != 0) {
        p->queue->ops->statistics(p->queue, &a->statistics, on_statistics, p);
        return;
    }
    a->version = a->next_version;
    a->had_statistics = true;
    after_statistics(p);
}

static void ask_statistics(struct probe *p)
{
    struct asker *a = &p->asker;
    uint64_t now_ms = clock_boot_ms();
    bool all = a->version_ms == 0 || now_ms - a->version_ms >= STATISTICS_AGE_MS;

    if (all)
        a->version_ms = now_ms;
    a->statistics = (struct statistics_call){.since = all ? 0 : a->version};
    p->queue->ops->statistics(p->queue, &a->statistics, on_statistics, p);
}

/* ---- failed deliveries: how many, and an example of each kind ---- */

static void on_counted(void *arg, enum err e, const struct failed_page *page)
{
    struct probe *p = arg;
    struct asker *a = &p->asker;

    if (e != ERR_NONE || p->quiet) {
        groups_fini(&a->groups);
        rest(p);
        return;
    }
    groups_add(&a->groups, page);
    if (page->more) {
        a->call.after = page->next;
        p->queue->ops->failed(p->queue, &a->call, on_counted, p);
        return;
    }
    groups_fini(&p->k.groups);
    p->k.groups = a->groups;
    a->groups = (struct groups){0};
    p->k.counted = true;
    a->counted_ms = clock_boot_ms();
    a->count_took_ms = a->counted_ms - a->count_began_ms;
    ask_samples(p);
}

static void ask_count(struct probe *p)
{
    struct asker *a = &p->asker;

    a->counted_failed = a->depth_failed;
    a->count_began_ms = clock_boot_ms();
    a->call = (struct failed_call){.what = FAILED_COUNT};
    p->queue->ops->failed(p->queue, &a->call, on_counted, p);
}

/* Later ones take the place of earlier ones: the newest words are shown. */
static void sample(struct knowledge *k, const struct failed_row *row)
{
    struct failed_sample *s = k->samples;

    while (s < k->samples + k->samples_len && (s->lane != row->lane || s->cls != row->row.cls))
        s++;
    if (s == k->samples + SAMPLES_MAX)
        return;
    k->samples_len += s == k->samples + k->samples_len;
    s->lane = row->lane;
    s->cls = row->row.cls;
    (void)snprintf(s->text, sizeof s->text, "%s", row->row.text);
}

static void on_missing(void *arg, enum err e, const struct failed_page *page);

/* One of each kind that is missing, relay by relay. */
static void ask_missing(struct probe *p)
{
    struct asker *a = &p->asker;

    while (!p->quiet && a->missing_len > 0) {
        a->missing_len--;
        const struct lane_status *l =
            depth_lane(&p->k.snapshot.depth, a->missing[a->missing_len].lane);
        if (l == NULL)
            continue;
        a->call = (struct failed_call){.what = FAILED_LIST, .limit = 1};
        a->call.filter.classes = 1u << a->missing[a->missing_len].cls;
        (void)snprintf(a->call.filter.url, sizeof a->call.filter.url, "%s", l->definition.url);
        p->queue->ops->failed(p->queue, &a->call, on_missing, p);
        return;
    }
    rest(p);
}

static void on_missing(void *arg, enum err e, const struct failed_page *page)
{
    struct probe *p = arg;

    if (e == ERR_NONE && page->rows_len > 0)
        sample(&p->k, &page->rows[0]);
    if (e == ERR_NONE)
        ask_missing(p);
    else
        rest(p);
}

static void note_missing(void *arg, uint32_t lane, enum row_class cls, uint64_t count)
{
    struct probe *p = arg;
    struct asker *a = &p->asker;

    if (count == 0 || a->missing_len == MISSING_MAX ||
        knowledge_sample(&p->k, lane, cls)[0] != '\0')
        return;
    a->missing[a->missing_len].lane = lane;
    a->missing[a->missing_len].cls = cls;
    a->missing_len++;
}

static void on_samples(void *arg, enum err e, const struct failed_page *page)
{
    struct probe *p = arg;

    for (size_t i = 0; e == ERR_NONE && i < page->rows_len; i++)
        sample(&p->k, &page->rows[i]);
    p->asker.missing_len = 0;
    groups_each(&p->k.groups, note_missing, p);
    ask_missing(p);
}

static void ask_samples(struct probe *p)
{
    p->k.samples_len = 0;
    p->asker.call = (struct failed_call){.what = FAILED_LIST, .limit = FAILED_PAGE_MAX};
    p->queue->ops->failed(p->queue, &p->asker.call, on_samples, p);
}

/* ---- the round ---- */

void asker_tick(struct probe *p, uint64_t now_ms)
{
    struct asker *a = &p->asker;

    if (p->quiet || a->busy || now_ms < a->next_ms)
        return;
    a->busy = true;
    a->next_ms = now_ms + EVERY_MS;
    p->queue->ops->depth(p->queue, on_depth, p);
    if (a->ingest == NULL && p->ask[0] != '\0')
        a->ingest = ingest_ask(p->loop, p->ask, &a->ingest, &p->k.ingest);
}

void asker_fini(struct asker *a)
{
    if (a->ingest != NULL)
        ingest_ask_cancel(a->ingest);
    groups_fini(&a->groups);
}
