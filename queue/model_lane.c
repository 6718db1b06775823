/* The model's lanes: where they are, and who holds them. */
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

struct model_lane *model_lane_of(const struct model *m, const char *url)
{
    for (size_t i = 0; i < m->lanes_len; i++) {
        if (!m->lanes[i].retired && strcmp(model_newest(&m->lanes[i])->definition.url, url) == 0)
            return &m->lanes[i];
    }
    return NULL;
}

void model_lane_free(struct model_lane *l)
{
    free(l->versions);
    free(l->exceptions);
    free(l->rows);
    free(l->history);
    free(l->requests);
    free(l->observed);
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

bool model_held(const struct model_lane *l)
{
    return l->hold == HOLD_AS_DEFINED ? model_newest(l)->definition.hold : l->hold == HOLD_HELD;
}

struct exception *model_exception(const struct model_lane *l, uint64_t pos)
{
    for (size_t i = 0; i < l->exceptions_len; i++) {
        if (l->exceptions[i].pos == pos)
            return &l->exceptions[i];
    }
    return NULL;
}

bool model_settled(const struct model_lane *l, uint64_t pos)
{
    return pos <= model_position(l) && !model_exception(l, pos);
}

uint64_t model_depth_of(const struct model *m, const struct model_lane *l)
{
    return l->retired ? 0 : m->head - model_position(l) + l->exceptions_len;
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
        out->held = l->leased;
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
        l->leased = false;
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
    l->leased = true;
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
        .held = model_held(l),
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
        .held = model_held(l),
        .give_back = give_back,
        .requests = l->requests,
        .requests_len = at_a_time(l->requests_len),
    };
}
