/* The model's rows: how positions ended at a lane, what was before that, what is asked for once
 * more, and what is given up. */
#include "queue/model_state.h"

#include <stdlib.h>
#include <string.h>

struct model_row *model_row(const struct model_lane *l, uint64_t pos)
{
    for (size_t i = 0; i < l->rows_len; i++) {
        if (l->rows[i].row.from == pos)
            return &l->rows[i];
    }
    return NULL;
}

void model_row_put(struct model *m, struct model_lane *l, const struct row *r, int64_t now_ms)
{
    struct model_row *old = model_row(l, r->from);
    if (!old) {
        l->rows = mem_grow(l->rows, (l->rows_len + 1) * sizeof *l->rows);
        old = &l->rows[l->rows_len++];
        *old = (struct model_row){0};
    }
    model_job_settle(m, old, r->end == ROW_FAILED ? MODEL_FAILED : MODEL_DROPPED, now_ms);
    old->row = *r;
}

void model_row_drop(struct model *m, struct model_lane *l, uint64_t pos, enum model_settled how,
                    int64_t now_ms)
{
    struct model_row *r = model_row(l, pos);
    if (!r)
        return;
    model_job_settle(m, r, how, now_ms);
    *r = l->rows[--l->rows_len];
}

/* ---- what was before ---- */

static void history_remove(struct model_lane *l, size_t i)
{
    memmove(&l->history[i], &l->history[i + 1], (l->history_len - i - 1) * sizeof *l->history);
    l->history_len--;
}

void model_row_remember(struct model_lane *l, uint64_t pos)
{
    const struct model_row *r = model_row(l, pos);
    size_t known = 0, oldest = 0;
    if (!r || r->row.end != ROW_FAILED)
        return;
    for (size_t i = l->history_len; i-- > 0;) {
        if (l->history[i].from == pos) {
            known++;
            oldest = i;
        }
    }
    if (known == HISTORY_MAX)
        history_remove(l, oldest);
    l->history = mem_grow(l->history, (l->history_len + 1) * sizeof *l->history);
    l->history[l->history_len++] = r->row;
}

void model_row_forget(struct model *m, struct model_lane *l, uint64_t pos, int64_t now_ms)
{
    model_row_drop(m, l, pos, MODEL_DROPPED, now_ms);
    for (size_t i = l->history_len; i-- > 0;) {
        if (l->history[i].from == pos)
            history_remove(l, i);
    }
}

/* ---- asked for once more ---- */

bool model_asked_lately(const struct model *m, const struct model_lane *l, uint64_t pos,
                        int64_t now_ms)
{
    const struct model_row *r = model_row(l, pos);
    const struct model_entry *e = model_entry(m, pos);
    if (!r)
        return false;
    int64_t since = r->row.last_ms > e->requeued_ms ? r->row.last_ms : e->requeued_ms;
    return since + m->retention_ms > now_ms;
}

struct lane_request *model_request(const struct model_lane *l, uint64_t pos)
{
    for (size_t i = 0; i < l->requests_len; i++) {
        if (l->requests[i].pos == pos)
            return &l->requests[i];
    }
    return NULL;
}

void model_request_add(struct model *m, struct model_lane *l, uint64_t pos)
{
    l->requests = mem_grow(l->requests, (l->requests_len + 1) * sizeof *l->requests);
    l->requests[l->requests_len++] = (struct lane_request){.number = ++l->last_request, .pos = pos};
    m->news++;
}

void model_request_drop(struct model_lane *l, uint64_t pos)
{
    struct lane_request *r = model_request(l, pos);
    if (!r)
        return;
    size_t i = (size_t)(r - l->requests);
    memmove(r, r + 1, (l->requests_len - i - 1) * sizeof *r);
    l->requests_len--;
}

bool model_requeue(struct model *m, struct model_lane *l, uint64_t pos)
{
    const struct model_row *r = model_row(l, pos);
    if (l->retired || !r || r->row.end == ROW_SKIPPED || model_exception(l, pos) ||
        model_request(l, pos))
        return false;
    model_request_add(m, l, pos);
    return true;
}

/* ---- giving up ---- */

/* Exceptions that stay are moved to the front. */
static uint64_t give_up_exceptions(struct model *m, struct model_lane *l, uint64_t to,
                                   struct row *r, int64_t now_ms)
{
    size_t before = l->exceptions_len, left = 0;
    for (size_t i = 0; i < before; i++) {
        const struct exception x = l->exceptions[i];
        bool asked = r->cls == CLASS_RETENTION && model_asked_lately(m, l, x.pos, now_ms);
        if (x.pos > to || asked) {
            l->exceptions[left++] = x;
            continue;
        }
        r->from = r->to = x.pos;
        r->attempts = x.attempts;
        model_row_put(m, l, r, now_ms);
    }
    l->exceptions_len = left;
    r->attempts = 0;
    return before - left;
}

uint64_t model_give_up(struct model *m, struct model_lane *l, uint64_t to, enum row_class cls,
                       int64_t now_ms)
{
    struct row r = {.end = ROW_EXPIRED, .cls = cls, .first_ms = now_ms, .last_ms = now_ms};
    uint64_t count = give_up_exceptions(m, l, to, &r, now_ms);
    for (uint64_t pos = model_position(l) + 1; pos <= to; pos++, count++) {
        r.from = r.to = pos;
        model_row_put(m, l, &r, now_ms);
    }
    if (count > 0 && to > l->floor)
        l->floor = to;
    if (count > 0)
        m->news++;
    return count;
}
