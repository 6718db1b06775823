/* The model's registry: lists of definitions, what is held, and what operators see of it. */
#include "queue/model_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_version(struct model_lane *l, uint64_t from, const struct definition *d)
{
    uint32_t version = l->versions_len ? model_newest(l)->version + 1 : 1;
    l->versions = mem_grow(l->versions, (l->versions_len + 1) * sizeof *l->versions);
    l->versions[l->versions_len++] =
        (struct model_version){.version = version, .from = from, .definition = *d};
}

static void add_lane(struct model *m, const struct definition *d)
{
    uint64_t start = m->head;
    if (m->lanes_made == 0)
        start = 0;
    else if (d->backfill)
        start = m->first - 1;
    m->lanes = mem_grow(m->lanes, (m->lanes_len + 1) * sizeof *m->lanes);
    struct model_lane *l = &m->lanes[m->lanes_len++];
    *l = (struct model_lane){.number = ++m->lanes_made, .start = start, .position = start};
    add_version(l, start, d);
}

static bool in_list(const struct definition *defs, size_t len, const char *url)
{
    for (size_t i = 0; i < len; i++) {
        if (strcmp(defs[i].url, url) == 0)
            return true;
    }
    return false;
}

static void retire_missing(struct model *m, const struct define_call *call, int64_t now_ms,
                           struct define_result *r)
{
    for (size_t i = 0; i < m->lanes_len; i++) {
        struct model_lane *l = &m->lanes[i];
        if (l->retired || in_list(call->defs, call->len, model_newest(l)->definition.url))
            continue;
        (void)model_give_up(m, l, m->head, CLASS_RETIRED, now_ms);
        l->floor = m->head; /* where it ended */
        l->requests_len = 0;
        model_jobs_leave(m, l, now_ms);
        l->retired = true;
        l->retired_ms = now_ms;
        r->retired++;
    }
}

static void put_in_force(struct model *m, const struct define_call *call, int64_t now_ms,
                         struct define_result *r)
{
    retire_missing(m, call, now_ms, r);
    for (size_t i = 0; i < call->len; i++) {
        const struct definition *d = &call->defs[i];
        struct model_lane *l = model_lane_of(m, d->url);
        if (!l) {
            add_lane(m, d);
            r->added++;
        } else if (definition_equal(&model_newest(l)->definition, d)) {
            r->unchanged++;
        } else {
            add_version(l, 0, d);
            r->changed++;
        }
    }
    if (r->added + r->changed + r->retired > 0) {
        m->registry_version++;
        m->news++;
    }
}

/* ---- lists that were replaced ---- */

static struct model_list *find_replaced(struct model *m, const uint8_t hash[32])
{
    for (size_t i = 0; i < m->replaced_len; i++) {
        if (memcmp(m->replaced[i].hash, hash, 32) == 0)
            return &m->replaced[i];
    }
    return NULL;
}

static void forget_replaced(struct model *m, struct model_list *list)
{
    struct model_list *end = m->replaced + m->replaced_len--;
    memmove(list, list + 1, (size_t)(end - list - 1) * sizeof *list);
}

/* The list in force becomes one that was replaced. */
static void replace_list(struct model *m, const struct model_list *by)
{
    struct model_list *old = find_replaced(m, by->hash);
    if (old)
        forget_replaced(m, old);
    if (m->defined) {
        if (m->replaced_len == LISTS_MAX)
            forget_replaced(m, m->replaced);
        m->replaced[m->replaced_len++] = m->list;
    }
    m->list = *by;
    m->defined = true;
}

enum err model_define(struct model *m, const struct define_call *call, int64_t now_ms,
                      struct define_result *r, struct problem *why)
{
    struct model_list list = {.since_ms = now_ms};
    if (call->len > QUEUE_LANES_MAX)
        return problem_set(why, ERR_INVALID, "more than %u relays", QUEUE_LANES_MAX);
    for (size_t i = 0; i < call->len; i++) {
        if (in_list(call->defs, i, call->defs[i].url))
            return problem_set(why, ERR_INVALID, "%s is listed twice", call->defs[i].url);
    }
    (void)snprintf(list.by, sizeof list.by, "%s", call->by);
    definition_list_hash(call->defs, call->len, list.hash);
    *r = (struct define_result){0};
    bool again = m->defined && memcmp(m->list.hash, list.hash, sizeof list.hash) == 0;
    if (!again && !call->force && find_replaced(m, list.hash))
        return problem_set(why, ERR_STALE, "this list of relays was replaced by %s", m->list.by);
    if (!again)
        replace_list(m, &list);
    put_in_force(m, call, now_ms, r); /* changes nothing when it is there again */
    r->registry_version = m->registry_version;
    return ERR_NONE;
}

/* ---- hold ---- */

enum err model_hold(struct model *m, const struct hold_call *call, int64_t now_ms,
                    struct hold_result *r)
{
    struct model_lane *l = model_lane_of(m, call->url);
    *r = (struct hold_result){0};
    if (!l)
        return ERR_NOT_FOUND;
    bool held = model_held(l);
    enum lane_hold before = l->hold;
    l->hold = call->held ? HOLD_HELD : HOLD_RELEASED;
    if (held != model_held(l))
        m->news++;
    if (!call->held && call->from_now)
        r->given_up = model_give_up(m, l, m->head, CLASS_RELEASED, now_ms);
    r->waiting = model_depth_of(m, l);
    r->changed = before != l->hold || r->given_up > 0;
    return ERR_NONE;
}

/* ---- what operators see ---- */

static void lane_entry(const struct model_lane *l, struct lane_entry *out)
{
    struct lane_version *versions = mem_zero(l->versions_len, sizeof *versions);
    for (size_t i = 0; i < l->versions_len; i++) {
        const struct model_version *v = &l->versions[i];
        bool waits = i > l->in_force;
        versions[i] = (struct lane_version){.version = v->version,
                                            .from = waits ? 0 : v->from,
                                            .waits = waits,
                                            .definition = v->definition};
    }
    *out = (struct lane_entry){.lane = l->number,
                               .retired = l->retired,
                               .retired_ms = l->retired_ms,
                               .start = l->start,
                               .position = model_position(l),
                               .hold = l->hold,
                               .versions = versions,
                               .versions_len = l->versions_len};
}

void model_registry(const struct model *m, struct queue_registry *out)
{
    struct lane_entry *lanes = mem_zero(m->lanes_len + 1, sizeof *lanes);
    for (size_t i = 0; i < m->lanes_len; i++)
        lane_entry(&m->lanes[i], &lanes[i]);
    *out = (struct queue_registry){.version = m->registry_version,
                                   .defined_ms = m->list.since_ms,
                                   .lanes = lanes,
                                   .lanes_len = m->lanes_len};
    memcpy(out->defined_by, m->list.by, sizeof out->defined_by);
}

void model_registry_free(struct queue_registry *r)
{
    for (size_t i = 0; i < r->lanes_len; i++)
        free((void *)r->lanes[i].versions);
    free((void *)r->lanes);
}
