/* What goes with time in the model: expiry, trimming, forgetting. */
#include "queue/model_state.h"

#include <stdlib.h>

/* A wall clock that went further than the machine was up was set: nothing is thrown away on its
 * word for an hour. */
static bool may_expire(struct model *m, int64_t wall_ms, uint64_t boot_ms)
{
    bool rebooted = boot_ms < m->looked_boot_ms;
    uint64_t up_ms = rebooted ? boot_ms : boot_ms - m->looked_boot_ms;
    if (rebooted)
        m->no_expiry_until_boot_ms = 0;
    if (m->looked && wall_ms - m->looked_wall_ms > (int64_t)up_ms + MODEL_CLOCKS_APART_MS)
        m->no_expiry_until_boot_ms = boot_ms + MODEL_EXPIRY_PAUSE_MS;
    m->looked = true;
    m->looked_wall_ms = wall_ms;
    m->looked_boot_ms = boot_ms;
    return boot_ms >= m->no_expiry_until_boot_ms;
}

bool model_is_calm(const struct model *m, int64_t wall_ms, uint64_t boot_ms)
{
    bool rebooted = boot_ms < m->looked_boot_ms;
    uint64_t up_ms = rebooted ? boot_ms : boot_ms - m->looked_boot_ms;
    bool jumped = m->looked && wall_ms - m->looked_wall_ms > (int64_t)up_ms + MODEL_CLOCKS_APART_MS;
    return jumped || (!rebooted && boot_ms < m->no_expiry_until_boot_ms);
}

/* It has something that is to be given up. */
static bool behind(const struct model *m, const struct model_lane *l, uint64_t to, int64_t wall_ms)
{
    bool is = model_position(l) < to;
    for (size_t i = 0; i < l->exceptions_len; i++)
        is = is || (l->exceptions[i].pos <= to &&
                    !model_asked_lately(m, l, l->exceptions[i].pos, wall_ms));
    return is;
}

static void expire(struct model *m, int64_t wall_ms)
{
    uint64_t to = 0;
    for (uint64_t pos = m->first; pos <= m->head; pos++) {
        if (m->entries[pos - 1].accepted_ms + m->retention_ms > wall_ms)
            break;
        to = pos;
    }
    for (size_t i = 0; to > 0 && i < m->lanes_len; i++) {
        struct model_lane *l = &m->lanes[i];
        if (!l->retired && behind(m, l, to, wall_ms))
            (void)model_give_up(m, l, to, CLASS_RETENTION, wall_ms);
    }
}

static void drop_old_requests(struct model *m, struct model_lane *l, int64_t wall_ms)
{
    size_t left = 0;
    for (size_t i = 0; i < l->requests_len; i++) {
        if (model_asked_lately(m, l, l->requests[i].pos, wall_ms))
            l->requests[left++] = l->requests[i];
    }
    l->requests_len = left;
}

/* What was asked for once more is older than retention already: it has as long again from then
 * on. */
static void expire_asked(struct model *m, int64_t wall_ms)
{
    for (size_t i = 0; i < m->lanes_len; i++) {
        struct model_lane *l = &m->lanes[i];
        uint64_t last = 0;
        if (l->retired)
            continue;
        drop_old_requests(m, l, wall_ms);
        for (size_t k = 0; k < l->exceptions_len; k++) {
            uint64_t pos = l->exceptions[k].pos;
            if (pos < m->first && !model_asked_lately(m, l, pos, wall_ms))
                last = pos;
        }
        if (last > 0)
            (void)model_give_up(m, l, last, CLASS_RETENTION, wall_ms);
        model_jobs_sweep(m, l, wall_ms);
    }
}

/* ---- what one lane may pin ---- */

/* The lowest position above `pos`, in the log, that the lane needs; head + 1 when there is none. */
static uint64_t needed_above(const struct model *m, const struct model_lane *l, uint64_t pos)
{
    uint64_t low = pos + 1 > m->first ? pos + 1 : m->first;
    while (low <= m->head && model_settled(l, low))
        low++;
    return low;
}

static uint64_t bytes_between(const struct model *m, uint64_t from, uint64_t to)
{
    uint64_t bytes = 0;
    for (uint64_t pos = from; pos <= to; pos++)
        bytes += MODEL_ID_BYTES + m->entries[pos - 1].event->len;
    return bytes;
}

/* A lane that pins more than lane_max gives up its oldest. */
static void fit(struct model *m, struct model_lane *l, int64_t wall_ms)
{
    uint64_t to = 0, low = needed_above(m, l, 0);
    uint64_t pins = bytes_between(m, low, m->head);
    while (pins > m->lane_max) {
        to = low;
        low = needed_above(m, l, to);
        pins -= bytes_between(m, to, low - 1);
    }
    if (to > 0)
        (void)model_give_up(m, l, to, CLASS_LANE_MAX, wall_ms);
}

static void fit_lanes(struct model *m, int64_t wall_ms)
{
    for (size_t i = 0; i < m->lanes_len; i++) {
        if (!m->lanes[i].retired)
            fit(m, &m->lanes[i], wall_ms);
    }
}

static bool needed(const struct model *m, uint64_t pos)
{
    for (size_t i = 0; i < m->lanes_len; i++) {
        if (!m->lanes[i].retired && !model_settled(&m->lanes[i], pos))
            return true;
    }
    return false;
}

static void trim(struct model *m, int64_t wall_ms)
{
    while (m->first <= m->head && !needed(m, m->first)) {
        struct model_entry *e = &m->entries[m->first - 1];
        e->trimmed_ms = wall_ms;
        m->first++;
    }
}

/* ---- what is kept of trimmed positions ---- */

static bool wanted_again(const struct model *m, uint64_t pos)
{
    for (size_t i = 0; i < m->lanes_len; i++) {
        const struct model_lane *l = &m->lanes[i];
        if (l->retired)
            continue;
        if (model_exception(l, pos) || model_request(l, pos))
            return true;
    }
    return false;
}

static bool failed_somewhere(const struct model *m, uint64_t pos)
{
    for (size_t i = 0; i < m->lanes_len; i++) {
        const struct model_row *r = model_row(&m->lanes[i], pos);
        if (r && r->row.end == ROW_FAILED)
            return true;
    }
    return false;
}

/* The bytes of what failed are kept for replay; beyond failed_max the oldest go. What a lane still
 * has to send stays. */
static void drop_bytes(struct model *m)
{
    uint64_t kept = 0;
    for (uint64_t pos = 1; pos < m->first; pos++) {
        struct model_entry *e = &m->entries[pos - 1];
        e->kept = e->kept && (failed_somewhere(m, pos) || wanted_again(m, pos));
        kept += e->kept ? e->event->len : 0;
    }
    for (uint64_t pos = 1; pos < m->first && kept > m->failed_max; pos++) {
        struct model_entry *e = &m->entries[pos - 1];
        if (!e->kept || wanted_again(m, pos))
            continue;
        kept -= e->event->len;
        e->kept = false;
    }
}

static bool version_is_known(const struct model *m, const struct event *of)
{
    for (uint64_t pos = 1; pos <= m->head; pos++) {
        const struct model_entry *e = &m->entries[pos - 1];
        if (!e->forgotten && model_same_address(e->event, of))
            return true;
    }
    return false;
}

/* Forgotten versions still count, as long as another of their address is known: it is superseded
 * all the same. */
static void drop_facts(struct model *m, uint64_t forgotten)
{
    struct event *ev = m->entries[forgotten - 1].event;
    if (ev->has_address && version_is_known(m, ev))
        return;
    for (uint64_t pos = 1; pos <= m->head; pos++) {
        struct model_entry *e = &m->entries[pos - 1];
        if (e->event && e->event != ev && model_same_address(e->event, ev)) {
            event_unref(e->event);
            e->event = NULL;
        }
    }
    m->entries[forgotten - 1].event = NULL;
    event_unref(ev);
}

static void forget_position(struct model *m, uint64_t pos, int64_t wall_ms)
{
    struct model_entry *e = &m->entries[pos - 1];
    e->forgotten = true;
    e->kept = false;
    drop_facts(m, pos);
    for (size_t i = 0; i < m->lanes_len; i++)
        model_row_forget(m, &m->lanes[i], pos, wall_ms);
}

/* When it was trimmed or last failed, whichever was later. */
static int64_t finished_ms(const struct model *m, uint64_t pos)
{
    const struct model_entry *e = &m->entries[pos - 1];
    return e->failed_ms > e->trimmed_ms ? e->failed_ms : e->trimmed_ms;
}

static void forget(struct model *m, int64_t wall_ms)
{
    for (uint64_t pos = 1; pos < m->first; pos++) {
        if (!m->entries[pos - 1].forgotten && finished_ms(m, pos) + m->retention_ms <= wall_ms &&
            !wanted_again(m, pos))
            forget_position(m, pos, wall_ms);
    }
}

/* The finished id that finished first; 0 when there is none. */
static uint64_t oldest_finished(const struct model *m)
{
    uint64_t oldest = 0;
    for (uint64_t pos = 1; pos < m->first; pos++) {
        if (m->entries[pos - 1].forgotten || wanted_again(m, pos))
            continue;
        if (oldest == 0 || finished_ms(m, pos) < finished_ms(m, oldest))
            oldest = pos;
    }
    return oldest;
}

static uint64_t finished_bytes(const struct model *m)
{
    uint64_t sum = 0;
    for (uint64_t pos = 1; pos < m->first; pos++) {
        const struct model_entry *e = &m->entries[pos - 1];
        if (!e->forgotten && !wanted_again(m, pos))
            sum += MODEL_ID_BYTES + (e->kept ? e->event->len : 0);
    }
    return sum;
}

void model_make_room(struct model *m, uint64_t bytes, int64_t wall_ms)
{
    if (model_bytes(m) + bytes <= m->max_bytes)
        return;
    fit_lanes(m, wall_ms);
    trim(m, wall_ms);
    drop_bytes(m);
    if (model_bytes(m) - finished_bytes(m) + bytes > m->max_bytes)
        return; /* it would not do */
    uint64_t oldest;
    while (model_bytes(m) + bytes > m->max_bytes && (oldest = oldest_finished(m)) > 0)
        forget_position(m, oldest, wall_ms);
}

static void forget_retired(struct model *m, int64_t wall_ms)
{
    size_t left = 0;
    for (size_t i = 0; i < m->lanes_len; i++) {
        struct model_lane *l = &m->lanes[i];
        if (l->retired && l->retired_ms + m->retention_ms <= wall_ms)
            model_lane_free(l);
        else
            m->lanes[left++] = *l;
    }
    m->lanes_len = left;
}

void model_keep_house(struct model *m, int64_t wall_ms, uint64_t boot_ms)
{
    bool old_goes = may_expire(m, wall_ms, boot_ms);
    if (old_goes) {
        expire(m, wall_ms);
        expire_asked(m, wall_ms);
    }
    fit_lanes(m, wall_ms);
    trim(m, wall_ms);
    drop_bytes(m);
    if (old_goes) {
        forget(m, wall_ms);
        forget_retired(m, wall_ms);
    }
    model_step_jobs(m, wall_ms, boot_ms);
}
