/* Failed deliveries in the model: one page of a walk over all rows, lane by lane, by position. */
#include "queue/model_state.h"

#include <stdlib.h>
#include <string.h>

/* One call. */
struct walk {
    struct model *m;
    const struct failed_call *call;
    int64_t now_ms;
    struct model_job *job; /* of REPLAY */
    struct failed_row *rows;
    struct failed_group *groups;
    size_t rows_len, groups_len;
    unsigned looks;
};

/* ---- which are meant ---- */

static char fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool contains(const char *text, const char *part)
{
    for (;; text++) {
        size_t i = 0;
        while (part[i] && fold(text[i]) == fold(part[i]))
            i++;
        if (!part[i])
            return true;
        if (!*text)
            return false;
    }
}

static bool has_id(const struct row_filter *f, const uint8_t id[EVENT_ID_LEN])
{
    for (size_t i = 0; i < f->ids_len; i++) {
        if (memcmp(f->ids[i], id, EVENT_ID_LEN) == 0)
            return true;
    }
    return false;
}

static bool row_meant(const struct row_filter *f, const struct row *r, int64_t now_ms)
{
    int64_t age_ms = now_ms - r->last_ms;
    bool ended = r->end == ROW_FAILED || (r->end == ROW_EXPIRED && f->classes != 0);
    return ended && (f->classes == 0 || (f->classes & 1u << r->cls)) &&
           contains(r->text, f->reason) && r->attempts >= f->min_attempts &&
           (f->older_than_ms == 0 || age_ms > f->older_than_ms) &&
           (f->newer_than_ms == 0 || age_ms < f->newer_than_ms);
}

static bool meant(const struct walk *w, const struct model_row *r)
{
    const struct row_filter *f = &w->call->filter;
    const struct event *ev = model_entry(w->m, r->row.from)->event;
    return row_meant(f, &r->row, w->now_ms) && (!f->has_kind || ev->kind == f->kind) &&
           (!f->has_author || memcmp(ev->pubkey, f->author, sizeof f->author) == 0) &&
           (!f->ids || has_id(f, ev->id));
}

/* ---- what is done with them ---- */

static bool replayable(const struct walk *w, const struct model_lane *l, const struct model_row *r)
{
    return !l->retired && model_entry(w->m, r->row.from)->kept;
}

static void list(struct walk *w, const struct model_lane *l, const struct model_row *r)
{
    const struct model_entry *e = model_entry(w->m, r->row.from);
    w->rows = mem_grow(w->rows, (w->rows_len + 1) * sizeof *w->rows);
    struct failed_row *out = &w->rows[w->rows_len++];
    *out = (struct failed_row){.lane = l->number,
                               .kind = e->event->kind,
                               .accepted_ms = e->accepted_ms,
                               .row = r->row,
                               .replayable = replayable(w, l, r),
                               .job = r->job};
    memcpy(out->id, e->event->id, sizeof out->id);
    memcpy(out->author, e->event->pubkey, sizeof out->author);
}

static struct failed_group *group(struct walk *w, uint32_t lane, enum row_class cls)
{
    for (size_t i = 0; i < w->groups_len; i++) {
        if (w->groups[i].lane == lane && w->groups[i].cls == cls)
            return &w->groups[i];
    }
    w->groups = mem_grow(w->groups, (w->groups_len + 1) * sizeof *w->groups);
    w->groups[w->groups_len] = (struct failed_group){.lane = lane, .cls = cls};
    return &w->groups[w->groups_len++];
}

static void count(struct walk *w, const struct model_lane *l, struct model_row *r)
{
    struct failed_group *g = group(w, l->number, r->row.cls);
    bool own = w->job && r->job == w->job->job.number, busy = r->job != 0 && !own;
    bool gone = r->job == 0 && !replayable(w, l, r);
    g->count++;
    g->busy += busy;
    g->gone += gone;
    if (w->call->what == FAILED_REPLAY && r->job == 0 && !gone)
        model_job_add(w->job, r);
    if (w->call->what == FAILED_PURGE && r->job == 0)
        r->row.end = ROW_PURGED;
}

/* ---- the walk ---- */

/* The lane's next row above `pos`. NULL: none. */
static struct model_row *next_row(const struct model_lane *l, uint64_t pos)
{
    struct model_row *out = NULL;
    for (size_t i = 0; i < l->rows_len; i++) {
        struct model_row *r = &l->rows[i];
        if (r->row.from > pos && (!out || r->row.from < out->row.from))
            out = r;
    }
    return out;
}

static bool is_full(const struct walk *w)
{
    uint32_t limit = w->call->limit;
    if (limit == 0 || limit > FAILED_PAGE_MAX)
        limit = FAILED_PAGE_MAX;
    return w->looks >= FAILED_LOOKS_MAX || w->rows_len >= limit;
}

/* `at` is the last one looked at. True: there is more. */
static bool walk(struct walk *w, struct row_mark *at)
{
    bool lane_seen = at->phase != 0; /* some of its rows were looked at before */
    for (size_t i = 0; i < w->m->lanes_len; i++) {
        struct model_lane *l = &w->m->lanes[i];
        if (lane_seen && l->number < at->a)
            continue;
        uint64_t above = lane_seen && l->number == at->a ? at->b : 0;
        for (struct model_row *r; (r = next_row(l, above)) != NULL;) {
            if (is_full(w))
                return true;
            above = r->row.from;
            *at = (struct row_mark){.phase = 1, .a = l->number, .b = above};
            w->looks++;
            const char *url = w->call->filter.url;
            if ((url[0] && strcmp(model_newest(l)->definition.url, url) != 0) || !meant(w, r))
                continue;
            if (w->call->what == FAILED_LIST)
                list(w, l, r);
            else
                count(w, l, r);
        }
    }
    return false;
}

static int by_lane_and_class(const void *a, const void *b)
{
    const struct failed_group *x = a, *y = b;
    if (x->lane != y->lane)
        return x->lane < y->lane ? -1 : 1;
    return (int)x->cls - (int)y->cls;
}

enum err model_failed(struct model *m, const struct failed_call *c, int64_t now_ms,
                      struct failed_page *out)
{
    struct walk w = {.m = m, .call = c, .now_ms = now_ms};
    *out = (struct failed_page){.next = c->after};
    if (c->what == FAILED_REPLAY) {
        enum err e = model_job_page(m, c, now_ms, &w.job);
        if (e != ERR_NONE)
            return e;
        out->job = w.job->job.number;
        if (w.job->job.state != JOB_COLLECTING)
            return ERR_NONE; /* a page that came before */
        w.job->paged = true;
    }
    out->more = walk(&w, &out->next);
    if (w.groups_len > 0)
        qsort(w.groups, w.groups_len, sizeof *w.groups, by_lane_and_class);
    if (w.job && !out->more)
        model_job_start(w.job, now_ms);
    out->rows = w.rows;
    out->rows_len = w.rows_len;
    out->groups = w.groups;
    out->groups_len = w.groups_len;
    return ERR_NONE;
}

void model_failed_free(struct failed_page *p)
{
    free((void *)p->rows);
    free((void *)p->groups);
}
