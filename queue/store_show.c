/* What operators see: depth, receipts, the tally of the "blasted" line. Nothing is decided here:
 * positions, exceptions, rows and the definition that held are read and put side by side. */
#include "queue/store_operate.h"

#include <string.h>

/* ---- depth ---- */

/* When the oldest event that is not settled was accepted. */
static enum err oldest_ms(struct store *s, const struct lane *l, int64_t *ms)
{
    uint64_t pos = lane_position(l) + 1;
    struct entry en;
    *ms = 0;
    if (l->exceptions_len > 0)
        pos = l->exceptions_first;
    if (pos > s->meta.head)
        return ERR_NONE;
    enum err e = entry_get(s, pos, &en);
    if (e == ERR_NONE)
        *ms = en.accepted_ms;
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

static enum err lane_status(struct store *s, const struct lane *l, struct path_stat *paths,
                            struct lane_status *out)
{
    const struct definition *d = l->retired ? l->wanted : l->definition;
    *out = (struct lane_status){.lane = l->number,
                                .retired = l->retired,
                                .definition_version = l->retired ? l->newest : l->version,
                                .definition = *d,
                                .start = l->start,
                                .position = lane_position(l),
                                .retrying = l->exceptions_len,
                                .asked = l->requests_pending,
                                .failed = l->failed,
                                .skipped = l->skipped,
                                .expired = l->expired,
                                .delivered = l->delivered,
                                .held = lane_held(l),
                                .learned = l->learned,
                                .paths = paths};
    memcpy(out->publisher, l->holder_name, sizeof out->publisher);
    enum err e = paths_load(s, l, paths, &out->paths_len);
    if (e != ERR_NONE || l->retired)
        return e;
    out->depth = s->meta.head - out->position + l->exceptions_len;
    return oldest_ms(s, l, &out->oldest_ms);
}

enum err store_depth(struct store *s, int64_t now_ms, struct queue_depth *out)
{
    size_t len = s->lanes_len;
    s->statuses = mem_grow(s->statuses, (len + 1) * sizeof *s->statuses);
    s->paths = mem_grow(s->paths, (len + 1) * PATHS_MAX * sizeof *s->paths);
    enum err e = db_wake(s);
    if (e != ERR_NONE)
        return e;
    for (size_t i = 0; e == ERR_NONE && i < len; i++)
        e = lane_status(s, s->lanes[i], s->paths + i * PATHS_MAX, &s->statuses[i]);
    db_sleep(s);
    *out = (struct queue_depth){.now_ms = now_ms,
                                .head = s->meta.head,
                                .first = s->meta.first,
                                .events = s->meta.head + 1 - s->meta.first,
                                .bytes = s->meta.bytes,
                                .max_bytes = s->options.max_bytes,
                                .heartbeat = s->heartbeat,
                                .lanes = s->statuses,
                                .lanes_len = len};
    return e;
}

/* ---- one position on one lane ---- */

struct outcome {
    enum receipt_end end;
    bool has_row, has_exception;
    struct row row;
    struct exception exception;
};

static enum err look(struct store *s, const struct lane *l, uint64_t pos, uint32_t kind,
                     struct outcome *o)
{
    *o = (struct outcome){.end = RECEIPT_NEVER};
    size_t len = 0;
    enum err e = row_find(s, l->number, pos, &o->row);
    o->has_row = e == ERR_NONE;
    if (e == ERR_NONE || e == ERR_NOT_FOUND)
        e = exceptions_load(s, l, s->exceptions, &len);
    if (e != ERR_NONE)
        return e;
    const struct exception *x = exceptions_find(s->exceptions, len, pos);
    o->has_exception = x != NULL;
    if (x)
        o->exception = *x;
    if (pos <= l->start)
        return ERR_NONE;
    if (x)
        o->end = RECEIPT_RETRYING;
    else if (o->has_row)
        o->end = RECEIPT_ROW;
    else if (pos > lane_position(l))
        o->end = RECEIPT_QUEUED;
    else {
        struct definition d;
        e = version_at(s, l, pos, &d);
        o->end = definition_allows(&d, kind) ? RECEIPT_DELIVERED : RECEIPT_FILTERED;
    }
    return e;
}

/* ---- receipt ---- */

static enum err receipt_lane(struct store *s, const struct lane *l, uint64_t pos, uint32_t kind,
                             struct receipt_lane *out)
{
    struct outcome o;
    enum err e = look(s, l, pos, kind, &o);
    *out = (struct receipt_lane){.lane = l->number, .retired = l->retired, .end = o.end};
    memcpy(out->url, l->wanted->url, sizeof out->url);
    memcpy(out->name, l->wanted->name, sizeof out->name);
    if (o.has_row)
        out->row = o.row;
    if (o.has_exception)
        out->exception = o.exception;
    return e;
}

/* Earlier failures of this lane at the end of s->history, which may move as it grows. */
static enum err add_history(struct store *s, const struct lane *l, uint64_t pos, size_t *len)
{
    if (s->history_cap < s->history_len + HISTORY_MAX) {
        s->history_cap = 2 * s->history_cap + HISTORY_MAX;
        s->history = mem_grow(s->history, s->history_cap * sizeof *s->history);
    }
    enum err e = history_load(s, l->number, pos, s->history + s->history_len, len);
    s->history_len += *len;
    return e;
}

static void place_history(struct store *s, size_t lanes_len)
{
    const struct row *at = s->history;
    for (size_t i = 0; i < lanes_len; i++) {
        s->receipts[i].history = at;
        at += s->receipts[i].history_len;
    }
}

static enum err receipt(struct store *s, const uint8_t id[EVENT_ID_LEN], struct queue_receipt *out)
{
    struct entry en;
    uint64_t pos;
    enum err e = id_find(s, id, &pos);
    if (e != ERR_NONE)
        return e;
    e = entry_get(s, pos, &en);
    if (e != ERR_NONE)
        return e == ERR_NOT_FOUND ? db_corrupt(s, TABLE_ENTRY) : e;
    *out = (struct queue_receipt){
        .pos = pos, .accepted_ms = en.accepted_ms, .kind = en.kind, .lanes = s->receipts};
    memcpy(out->id, id, EVENT_ID_LEN);
    s->history_len = 0;
    for (size_t i = 0; e == ERR_NONE && i < s->lanes_len; i++) {
        const struct lane *l = s->lanes[i];
        struct receipt_lane *r = &s->receipts[out->lanes_len];
        if (l->retired && pos > l->floor) /* a retired lane's floor is where it ended */
            continue;
        e = receipt_lane(s, l, pos, en.kind, r);
        if (e == ERR_NONE)
            e = add_history(s, l, pos, &r->history_len);
        out->lanes_len++;
    }
    place_history(s, out->lanes_len);
    return e;
}

enum err store_receipt(struct store *s, const uint8_t id[EVENT_ID_LEN], struct queue_receipt *out)
{
    s->receipts = mem_grow(s->receipts, (s->lanes_len + 1) * sizeof *s->receipts);
    enum err e = db_wake(s);
    if (e != ERR_NONE)
        return e;
    e = receipt(s, id, out);
    db_sleep(s);
    return e;
}

/* ---- tally ---- */

/* Expired and purged count as failed: they did not arrive, and there is no good reason. */
static void count(struct store_tally *t, const struct outcome *o)
{
    switch (o->end) {
    case RECEIPT_DELIVERED:
        t->delivered++;
        break;
    case RECEIPT_QUEUED:
    case RECEIPT_RETRYING:
        t->waiting++;
        break;
    case RECEIPT_ROW:
        t->failed += o->row.end == ROW_SKIPPED ? 0 : 1;
        break;
    case RECEIPT_FILTERED:
    case RECEIPT_NEVER:
        break;
    }
}

static enum err tally(struct store *s, uint64_t pos, struct store_tally *out)
{
    struct entry en;
    struct outcome o;
    enum err e = entry_get(s, pos, &en);
    if (e != ERR_NONE)
        return e;
    out->accepted_ms = en.accepted_ms;
    memcpy(out->id, en.id, sizeof out->id);
    for (size_t i = 0; e == ERR_NONE && i < s->lanes_len; i++) {
        if (s->lanes[i]->retired)
            continue;
        e = look(s, s->lanes[i], pos, en.kind, &o);
        count(out, &o);
    }
    return e;
}

enum err store_tally(struct store *s, uint64_t pos, struct store_tally *out)
{
    *out = (struct store_tally){0};
    enum err e = db_wake(s);
    if (e != ERR_NONE)
        return e;
    e = tally(s, pos, out);
    db_sleep(s);
    return e;
}
