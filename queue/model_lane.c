/* The model's lanes: definitions and their history, rows, requests, and grants. */
#include "queue/model_state.h"

#include <stdlib.h>
#include <string.h>

struct model_lane *model_lane(const struct model *m, uint32_t number)
{
    for (size_t i = 0; i < m->lanes_len; i++) {
        if (m->lanes[i].number == number)
            return &m->lanes[i];
    }
    return NULL;
}

void model_lane_free(struct model_lane *l)
{
    free(l->versions);
    free(l->exceptions);
    free(l->rows);
    free(l->requests);
}

uint64_t model_position(const struct model_lane *l)
{
    return l->floor > l->position ? l->floor : l->position;
}

const struct model_version *model_newest(const struct model_lane *l)
{
    return &l->versions[l->versions_len - 1];
}

const struct definition *model_definition(const struct model_lane *l, uint64_t pos)
{
    size_t i = l->in_force;
    while (i > 0 && l->versions[i].from >= pos)
        i--;
    return &l->versions[i].definition;
}

struct exception *model_exception(const struct model_lane *l, uint64_t pos)
{
    for (size_t i = 0; i < l->exceptions_len; i++) {
        if (l->exceptions[i].pos == pos)
            return &l->exceptions[i];
    }
    return NULL;
}

struct row *model_row(const struct model_lane *l, uint64_t pos)
{
    for (size_t i = 0; i < l->rows_len; i++) {
        if (l->rows[i].from == pos)
            return &l->rows[i];
    }
    return NULL;
}

void model_row_put(struct model_lane *l, const struct row *r)
{
    struct row *old = model_row(l, r->from);
    if (!old) {
        l->rows = mem_grow(l->rows, (l->rows_len + 1) * sizeof *l->rows);
        old = &l->rows[l->rows_len++];
    }
    *old = *r;
}

void model_row_drop(struct model_lane *l, uint64_t pos)
{
    struct row *r = model_row(l, pos);
    if (r)
        *r = l->rows[--l->rows_len];
}

bool model_settled(const struct model_lane *l, uint64_t pos)
{
    return pos <= model_position(l) && !model_exception(l, pos);
}

bool model_asked_lately(const struct model *m, const struct model_lane *l, uint64_t pos,
                        int64_t now_ms)
{
    const struct row *r = model_row(l, pos);
    const struct model_entry *e = model_entry(m, pos);
    int64_t since = r && r->last_ms > e->requeued_ms ? r->last_ms : e->requeued_ms;
    return r && since + m->retention_ms > now_ms;
}

void model_give_up(const struct model *m, struct model_lane *l, uint64_t to, enum row_class cls,
                   int64_t now_ms)
{
    struct row r = {.end = ROW_EXPIRED, .cls = cls, .first_ms = now_ms, .last_ms = now_ms};
    size_t left = 0;
    for (size_t i = 0; i < l->exceptions_len; i++) {
        const struct exception x = l->exceptions[i];
        bool asked = cls == CLASS_RETENTION && model_asked_lately(m, l, x.pos, now_ms);
        if (x.pos > to || asked) {
            l->exceptions[left++] = x;
            continue;
        }
        r.from = r.to = x.pos;
        r.attempts = x.attempts;
        model_row_put(l, &r);
    }
    l->exceptions_len = left;
    r.attempts = 0;
    for (uint64_t pos = model_position(l) + 1; pos <= to; pos++) {
        r.from = r.to = pos;
        model_row_put(l, &r);
    }
    if (to > l->floor)
        l->floor = to;
}

bool model_requeue(struct model_lane *l, uint64_t pos)
{
    const struct row *r = model_row(l, pos);
    if (l->retired || !r || r->end == ROW_SKIPPED || model_exception(l, pos))
        return false;
    for (size_t i = 0; i < l->requests_len; i++) {
        if (l->requests[i].pos == pos)
            return false;
    }
    l->requests = mem_grow(l->requests, (l->requests_len + 1) * sizeof *l->requests);
    l->requests[l->requests_len++] = (struct lane_request){.number = ++l->last_request, .pos = pos};
    return true;
}

/* ---- definitions ---- */

static struct model_lane *lane_by_url(const struct model *m, const char *url)
{
    for (size_t i = 0; i < m->lanes_len; i++) {
        if (!m->lanes[i].retired && strcmp(model_newest(&m->lanes[i])->definition.url, url) == 0)
            return &m->lanes[i];
    }
    return NULL;
}

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

static void retire_missing(struct model *m, const struct definition *defs, size_t len,
                           int64_t now_ms, struct define_result *r)
{
    for (size_t i = 0; i < m->lanes_len; i++) {
        struct model_lane *l = &m->lanes[i];
        if (l->retired || in_list(defs, len, model_newest(l)->definition.url))
            continue;
        model_give_up(m, l, m->head, CLASS_RETIRED, now_ms);
        l->requests_len = 0;
        l->retired = true;
        l->retired_ms = now_ms;
        r->retired++;
    }
}

enum err model_define(struct model *m, const struct define_call *call, int64_t now_ms,
                      struct define_result *r, struct problem *why)
{
    const struct definition *defs = call->defs;
    size_t len = call->len;
    if (len > QUEUE_LANES_MAX)
        return problem_set(why, ERR_INVALID, "more than %u relays", QUEUE_LANES_MAX);
    for (size_t i = 0; i < len; i++) {
        if (in_list(defs, i, defs[i].url))
            return problem_set(why, ERR_INVALID, "%s is listed twice", defs[i].url);
    }
    *r = (struct define_result){0};
    retire_missing(m, defs, len, now_ms, r);
    for (size_t i = 0; i < len; i++) {
        struct model_lane *l = lane_by_url(m, defs[i].url);
        if (!l) {
            add_lane(m, &defs[i]);
            r->added++;
        } else if (definition_equal(&model_newest(l)->definition, &defs[i])) {
            r->unchanged++;
        } else {
            add_version(l, 0, &defs[i]);
            r->changed++;
        }
    }
    if (r->added + r->changed + r->retired > 0)
        m->registry_version++;
    r->registry_version = m->registry_version;
    return ERR_NONE;
}

/* ---- holders ---- */

void model_load_leases(struct model *m, uint64_t boot_ms)
{
    struct store_lane *lanes = mem_zero(m->lanes_len + 1, sizeof *lanes);
    size_t len = 0;
    for (size_t i = 0; i < m->lanes_len; i++) {
        const struct model_lane *l = &m->lanes[i];
        if (l->retired)
            continue;
        struct store_lane *out = &lanes[len++];
        out->lane = l->number;
        out->route = model_newest(l)->definition.route;
        out->held = l->held;
        out->epoch = l->epoch;
        memcpy(out->holder, l->holder, sizeof out->holder);
    }
    leases_load(m->leases, lanes, len, boot_ms);
    free(lanes);
}

void model_release(struct model *m, uint32_t lane, uint64_t epoch)
{
    struct model_lane *l = model_lane(m, lane);
    if (l && l->epoch == epoch) {
        l->held = false;
        memset(l->holder, 0, sizeof l->holder);
    }
}

static size_t at_a_time(size_t requests)
{
    return requests > QUEUE_REQUESTS_MAX ? QUEUE_REQUESTS_MAX : requests;
}

void model_grant(struct model_lane *l, const uint8_t holder[PUBLISHER_ID_LEN],
                 struct lane_grant *out)
{
    if (l->epoch > 0 && !l->progress)
        l->stalls++;
    l->epoch++;
    l->seq = 0;
    l->progress = false;
    l->held = true;
    memcpy(l->holder, holder, sizeof l->holder);
    const struct model_version *now = &l->versions[l->in_force], *next = model_newest(l);
    *out = (struct lane_grant){
        .lane = l->number,
        .epoch = l->epoch,
        .start = l->start,
        .position = model_position(l),
        .definition_version = now->version,
        .definition = now->definition,
        .next_version = next->version,
        .next = next->definition,
        .held = next->definition.hold,
        .stalls = l->stalls,
        .exceptions = l->exceptions,
        .exceptions_len = l->exceptions_len,
        .requests = l->requests,
        .requests_len = at_a_time(l->requests_len),
        .learned = l->learned,
    };
}

void model_kept(const struct model_lane *l, bool give_back, struct lane_kept *out)
{
    const struct model_version *next = model_newest(l);
    *out = (struct lane_kept){
        .lane = l->number,
        .floor = l->floor,
        .next_version = next->version,
        .next = l->in_force + 1 < l->versions_len ? &next->definition : NULL,
        .held = next->definition.hold,
        .give_back = give_back,
        .requests = l->requests,
        .requests_len = at_a_time(l->requests_len),
    };
}
