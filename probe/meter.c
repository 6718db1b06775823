#include "probe/meter.h"

#include <stdlib.h>

static int by_lane(const void *key, const void *element)
{
    uint32_t lane = *(const uint32_t *)key, at = ((const struct lane_status *)element)->lane;

    return (lane > at) - (lane < at);
}

const struct lane_status *depth_lane(const struct queue_depth *d, uint32_t lane)
{
    if (d == NULL || d->lanes_len == 0)
        return NULL;
    return bsearch(&lane, d->lanes, d->lanes_len, sizeof *d->lanes, by_lane);
}

static uint64_t growth(uint64_t before, uint64_t now)
{
    return now > before ? now - before : 0;
}

static const struct path_stat *path_of(const struct lane_status *l, enum route route,
                                       enum family family)
{
    for (size_t i = 0; l != NULL && i < l->paths_len; i++)
        if (l->paths[i].route == route && l->paths[i].family == family)
            return &l->paths[i];
    return NULL;
}

static void add_paths(struct meter *m, const struct lane_status *was, const struct lane_status *now)
{
    static const struct path_stat none;

    for (size_t i = 0; i < now->paths_len; i++) {
        const struct path_stat *p = &now->paths[i], *old = path_of(was, p->route, p->family);
        if (p->route >= ROUTE_COUNT || p->family >= FAMILY_COUNT)
            continue;
        struct path_stat *total = &m->paths[p->route][p->family];
        if (old == NULL)
            old = &none;
        total->attempts += growth(old->attempts, p->attempts);
        total->successes += growth(old->successes, p->successes);
        total->failures += growth(old->failures, p->failures);
    }
}

static struct meter_slot *slot_at(struct meter *m, uint64_t at_ms)
{
    uint64_t number = at_ms / METER_SLOT_MS + 1;
    struct meter_slot *slot = &m->slots[number % METER_SLOTS];

    if (slot->number != number)
        *slot = (struct meter_slot){.number = number};
    return slot;
}

void meter_add(struct meter *m, const struct queue_depth *before, const struct queue_depth *now,
               uint64_t at_ms)
{
    uint64_t amounts[METER_SERIES_COUNT] = {0};
    struct meter_slot *slot = slot_at(m, at_ms);

    for (size_t i = 0; i < now->lanes_len; i++) {
        const struct lane_status *l = &now->lanes[i], *was = depth_lane(before, l->lane);
        amounts[METER_WAITING] += l->retired ? 0 : l->depth;
        if (before == NULL)
            continue;
        amounts[METER_DELIVERED] += growth(was != NULL ? was->delivered : 0, l->delivered);
        amounts[METER_FAILED] += growth(was != NULL ? was->failed : 0, l->failed);
        add_paths(m, was, l);
    }
    if (before != NULL) {
        amounts[METER_ACCEPTED] = growth(before->head, now->head);
        slot->span_ms += growth(m->last_ms, at_ms);
    }
    m->accepted += amounts[METER_ACCEPTED];
    m->delivered += amounts[METER_DELIVERED];
    m->failed += amounts[METER_FAILED];
    for (int s = 0; s < METER_WAITING; s++)
        slot->amounts[s] += amounts[s];
    slot->amounts[METER_WAITING] = amounts[METER_WAITING];
    m->last_ms = at_ms;
}

void meter_rates(const struct meter *m, uint64_t at_ms, enum meter_series series,
                 double out[METER_SLOTS])
{
    uint64_t last = at_ms / METER_SLOT_MS + 1;

    for (uint64_t i = 0; i < METER_SLOTS; i++) {
        uint64_t back = METER_SLOTS - 1 - i;
        const struct meter_slot *slot = last > back ? &m->slots[(last - back) % METER_SLOTS] : NULL;
        if (slot == NULL || slot->number != last - back)
            out[i] = -1;
        else if (series == METER_WAITING)
            out[i] = (double)slot->amounts[series];
        else
            out[i] = slot->span_ms > 0
                         ? (double)slot->amounts[series] * 1000.0 / (double)slot->span_ms
                         : -1;
    }
}
