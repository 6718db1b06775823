#include "probe/knowledge.h"

#include <stdlib.h>
#include <string.h>

/* ---- the queue's depth ---- */

static struct path_stat *copy_paths(const struct queue_depth *d, struct lane_status *lanes)
{
    size_t len = 0, at = 0;

    for (size_t i = 0; i < d->lanes_len; i++)
        len += d->lanes[i].paths_len;
    struct path_stat *paths = mem_zero(len, sizeof *paths);
    for (size_t i = 0; i < d->lanes_len; i++) {
        for (size_t n = 0; n < d->lanes[i].paths_len; n++)
            paths[at + n] = d->lanes[i].paths[n];
        lanes[i].paths = &paths[at];
        at += d->lanes[i].paths_len;
    }
    return paths;
}

static uint64_t growth(uint64_t before, uint64_t now)
{
    return now > before ? now - before : 0;
}

static struct lane_counts *count_on(const struct snapshot *s, const struct queue_depth *d)
{
    static const struct lane_status none;
    struct lane_counts *counts = mem_zero(d->lanes_len, sizeof *counts);

    for (size_t i = 0; s->known && i < d->lanes_len; i++) {
        const struct lane_status *l = &d->lanes[i], *was = depth_lane(&s->depth, l->lane);
        if (was != NULL)
            counts[i] = s->counts[was - s->lanes];
        else
            was = &none;
        counts[i].failed += growth(was->failed, l->failed);
        counts[i].skipped += growth(was->skipped, l->skipped);
        counts[i].expired += growth(was->expired, l->expired);
    }
    return counts;
}

void snapshot_take(struct snapshot *s, const struct queue_depth *d, uint64_t at_ms)
{
    struct snapshot next = {.known = true, .at_ms = at_ms, .depth = *d};

    next.lanes = mem_zero(d->lanes_len, sizeof *next.lanes);
    for (size_t i = 0; i < d->lanes_len; i++)
        next.lanes[i] = d->lanes[i];
    next.paths = copy_paths(d, next.lanes);
    next.counts = count_on(s, d);
    next.depth.lanes = next.lanes;
    snapshot_fini(s);
    *s = next;
}

void snapshot_fini(struct snapshot *s)
{
    free(s->lanes);
    free(s->paths);
    free(s->counts);
    *s = (struct snapshot){0};
}

/* ---- statistics ---- */

static int by_lane(const void *key, const void *element)
{
    uint32_t lane = *(const uint32_t *)key, at = ((const struct relay_record *)element)->lane;

    return (lane > at) - (lane < at);
}

const struct relay_record *records_lane(const struct records *r, uint32_t lane)
{
    return r->len == 0 ? NULL : bsearch(&lane, r->list, r->len, sizeof *r->list, by_lane);
}

static const struct path_statistics *path_in(const struct path_statistics *paths, size_t len,
                                             enum stat_source source, enum route route,
                                             enum family family)
{
    for (size_t i = 0; i < len; i++)
        if (paths[i].source == source && paths[i].route == route && paths[i].family == family)
            return &paths[i];
    return NULL;
}

const struct path_statistics *records_path(const struct records *r, uint32_t lane,
                                           enum stat_source source, enum route route,
                                           enum family family)
{
    const struct relay_record *at = records_lane(r, lane);

    return at == NULL ? NULL : path_in(at->paths, at->paths_len, source, route, family);
}

/* The lane's record, made where it belongs when there is none. */
static struct relay_record *record_of(struct records *r, uint32_t lane)
{
    size_t at = r->len;

    while (at > 0 && r->list[at - 1].lane >= lane)
        at--;
    if (at < r->len && r->list[at].lane == lane)
        return &r->list[at];
    r->list = mem_grow(r->list, (r->len + 1) * sizeof *r->list);
    memmove(&r->list[at + 1], &r->list[at], (r->len - at) * sizeof *r->list);
    r->len++;
    r->list[at] = (struct relay_record){.lane = lane};
    return &r->list[at];
}

static void sum_growth(struct records *r, const struct path_statistics *was,
                       const struct path_statistics *now)
{
    for (int p = 0; p < STAT_PHASE_COUNT; p++) {
        const struct stat_histogram *h = &now->total.phases[p];
        const struct stat_histogram *old = was != NULL ? &was->total.phases[p] : NULL;
        struct histogram_sum *sum = &r->phases[now->source][now->route][now->family][p];
        sum->sum_us += growth(old != NULL ? old->sum_us : 0, h->sum_us);
        for (unsigned b = 0; b < STAT_BUCKETS; b++)
            sum->counts[b] += growth(old != NULL ? old->counts[b] : 0, h->counts[b]);
    }
}

void records_take(struct records *r, const struct relay_statistics *from, bool first)
{
    struct relay_record *at = record_of(r, from->lane);
    struct path_statistics *paths = mem_zero(from->paths_len, sizeof *paths);

    for (size_t i = 0; i < from->paths_len; i++) {
        const struct path_statistics *now = &from->paths[i];
        paths[i] = *now;
        if (!first)
            sum_growth(r, path_in(at->paths, at->paths_len, now->source, now->route, now->family),
                       now);
    }
    free(at->paths);
    at->paths = paths;
    at->paths_len = from->paths_len;
}

void records_prune(struct records *r, const struct queue_depth *d)
{
    size_t kept = 0;

    for (size_t i = 0; i < r->len; i++) {
        const struct lane_status *l = depth_lane(d, r->list[i].lane);
        if (l != NULL && !l->retired)
            r->list[kept++] = r->list[i];
        else
            free(r->list[i].paths);
    }
    r->len = kept;
}

void records_fini(struct records *r)
{
    for (size_t i = 0; i < r->len; i++)
        free(r->list[i].paths);
    free(r->list);
    *r = (struct records){0};
}

/* ---- ingest's counters ---- */

const char *ingest_result_name(enum ingest_result r)
{
    static const char *const names[INGEST_RESULT_COUNT] = {"duplicate", "refused", "error"};

    return names[r];
}

void service_counted(struct service_state *s, const uint64_t now[INGEST_RESULT_COUNT])
{
    bool anew = false;

    for (int i = 0; i < INGEST_RESULT_COUNT; i++)
        anew |= now[i] < s->last[i];
    for (int i = 0; i < INGEST_RESULT_COUNT; i++) {
        if (s->counted)
            s->totals[i] += anew ? now[i] : now[i] - s->last[i];
        s->last[i] = now[i];
    }
    s->counted = true;
}

/* ---- all of it ---- */

void knowledge_fini(struct knowledge *k)
{
    snapshot_fini(&k->snapshot);
    groups_fini(&k->groups);
    records_fini(&k->records);
    free(k->jobs);
    *k = (struct knowledge){.trouble = ""};
}

uint64_t knowledge_failed(const struct knowledge *k, uint32_t lane, enum row_class cls)
{
    return groups_count(&k->groups, lane, cls);
}

struct failed_table {
    uint64_t (*counts)[CLASS_COUNT];
    const struct snapshot *s;
};

static void tabulate(void *arg, uint32_t lane, enum row_class cls, uint64_t count)
{
    const struct failed_table *t = arg;
    const struct lane_status *l = depth_lane(&t->s->depth, lane);

    if (l != NULL && cls < CLASS_COUNT)
        t->counts[l - t->s->lanes][cls] = count;
}

uint64_t (*knowledge_failed_table(const struct knowledge *k))[CLASS_COUNT]
{
    struct failed_table t = {.s = &k->snapshot};

    t.counts = mem_zero(k->snapshot.depth.lanes_len, sizeof *t.counts);
    groups_each(&k->groups, tabulate, &t);
    return t.counts;
}

const char *knowledge_sample(const struct knowledge *k, uint32_t lane, enum row_class cls)
{
    for (size_t i = 0; i < k->samples_len; i++)
        if (k->samples[i].lane == lane && k->samples[i].cls == cls)
            return k->samples[i].text;
    return "";
}
