/* What operators see of the model: depth and receipts. */
#include "queue/model_state.h"

#include <stdlib.h>
#include <string.h>

static void count_rows(const struct model_lane *l, struct lane_status *out)
{
    for (size_t i = 0; i < l->rows_len; i++) {
        switch (l->rows[i].row.end) {
        case ROW_FAILED:
            out->failed++;
            break;
        case ROW_SKIPPED:
            out->skipped++;
            break;
        case ROW_EXPIRED:
            out->expired++;
            break;
        case ROW_PURGED:
        case ROW_END_COUNT:
            break;
        }
    }
}

static int64_t oldest_ms(const struct model *m, const struct model_lane *l)
{
    for (uint64_t pos = 1; pos <= m->head; pos++) {
        if (!model_settled(l, pos))
            return m->entries[pos - 1].accepted_ms;
    }
    return 0;
}

static void lane_status(const struct model *m, const struct model_lane *l, int64_t now_ms,
                        uint64_t boot_ms, struct lane_status *out)
{
    const struct model_version *v = l->retired ? model_newest(l) : &l->versions[l->in_force];
    *out = (struct lane_status){
        .lane = l->number,
        .retired = l->retired,
        .definition_version = v->version,
        .definition = v->definition,
        .start = l->start,
        .position = model_position(l),
        .retrying = l->exceptions_len,
        .delivered = l->delivered,
        .held = model_held(l),
        .depth = model_depth_of(m, l),
        .asked = l->requests_len,
        .learned = l->learned,
        .paths = l->paths,
        .paths_len = l->paths_len,
    };
    if (!l->retired)
        out->oldest_ms = oldest_ms(m, l);
    count_rows(l, out);
    leases_status(m->leases, l->number, now_ms, boot_ms, &out->live, out->publisher);
}

void model_depth(struct model *m, int64_t now_ms, uint64_t boot_ms, struct queue_depth *out)
{
    struct lane_status *lanes = mem_zero(m->lanes_len + 1, sizeof *lanes);
    for (size_t i = 0; i < m->lanes_len; i++)
        lane_status(m, &m->lanes[i], now_ms, boot_ms, &lanes[i]);
    *out = (struct queue_depth){
        .now_ms = now_ms,
        .head = m->head,
        .first = m->first,
        .events = m->head + 1 - m->first,
        .bytes = model_bytes(m),
        .max_bytes = m->max_bytes,
        .heartbeat = m->heartbeat,
        .lanes = lanes,
        .lanes_len = m->lanes_len,
    };
}

void model_depth_free(struct queue_depth *d)
{
    free((void *)d->lanes);
}

static void receipt_history(const struct model_lane *l, uint64_t pos, struct receipt_lane *out)
{
    struct row *rows = mem_zero(HISTORY_MAX, sizeof *rows);
    out->history = rows;
    for (size_t i = 0; i < l->history_len; i++) {
        if (l->history[i].from == pos)
            rows[out->history_len++] = l->history[i];
    }
}

static void receipt_at(const struct model_lane *l, uint64_t pos, uint32_t kind,
                       struct receipt_lane *out)
{
    const struct definition *d = &model_newest(l)->definition;
    *out = (struct receipt_lane){.lane = l->number, .retired = l->retired};
    memcpy(out->url, d->url, sizeof out->url);
    memcpy(out->name, d->name, sizeof out->name);
    receipt_history(l, pos, out);
    const struct model_row *row = model_row(l, pos);
    const struct exception *x = model_exception(l, pos);
    if (row)
        out->row = row->row;
    if (x)
        out->exception = *x;
    if (pos <= l->start)
        out->end = RECEIPT_NEVER;
    else if (x)
        out->end = RECEIPT_RETRYING;
    else if (row)
        out->end = RECEIPT_ROW;
    else if (pos > model_position(l))
        out->end = RECEIPT_QUEUED;
    else
        out->end = definition_allows(model_definition(l, pos), kind) ? RECEIPT_DELIVERED
                                                                     : RECEIPT_FILTERED;
}

enum err model_receipt(const struct model *m, const uint8_t id[EVENT_ID_LEN],
                       struct queue_receipt *out)
{
    uint64_t pos = model_find(m, id);
    if (pos == 0)
        return ERR_NOT_FOUND;
    const struct model_entry *e = model_entry(m, pos);
    struct receipt_lane *lanes = mem_zero(m->lanes_len + 1, sizeof *lanes);
    size_t len = 0;
    for (size_t i = 0; i < m->lanes_len; i++) {
        const struct model_lane *l = &m->lanes[i];
        if (!l->retired || pos <= l->floor)
            receipt_at(l, pos, e->event->kind, &lanes[len++]);
    }
    *out = (struct queue_receipt){.pos = pos,
                                  .accepted_ms = e->accepted_ms,
                                  .kind = e->event->kind,
                                  .lanes = lanes,
                                  .lanes_len = len};
    memcpy(out->id, id, EVENT_ID_LEN);
    return ERR_NONE;
}

void model_receipt_free(struct queue_receipt *r)
{
    for (size_t i = 0; i < r->lanes_len; i++)
        free((void *)r->lanes[i].history);
    free((void *)r->lanes);
}
