/* What was counted while the probe ran: totals that only grow, and rates over the last ten minutes.
 * Made from one answer of the queue after the other; whatever becomes of lanes (retired, forgotten,
 * a store that was put back), no total falls. Pure. */
#ifndef VOLLEY_PROBE_METER_H
#define VOLLEY_PROBE_METER_H

#include "queue/queue.h"

#define METER_SLOTS   60u
#define METER_SLOT_MS 10000u

enum meter_series {
    METER_ACCEPTED,
    METER_DELIVERED,
    METER_FAILED,
    METER_WAITING, /* no rate: how many waited */
    METER_SERIES_COUNT
};

struct meter_slot {
    uint64_t number; /* at_ms / METER_SLOT_MS + 1; 0: never used */
    uint64_t span_ms;
    uint64_t amounts[METER_SERIES_COUNT];
};

/* Zeroed at first. */
struct meter {
    uint64_t accepted, delivered, failed; /* failed: rows that appeared; who is replayed and fails
                                             between two looks is not seen */
    struct path_stat paths[ROUTE_COUNT][FAMILY_COUNT];
    uint64_t last_ms;
    struct meter_slot slots[METER_SLOTS];
};
/* `at_ms`: the boot clock. `before`: the last answer, or NULL for the first, which counts nothing.
 * Lanes are in ascending order, as the queue tells them. */
void meter_add(struct meter *m, const struct queue_depth *before, const struct queue_depth *now,
               uint64_t at_ms);
/* Oldest first; events a second (METER_WAITING: events). Negative: not known. */
void meter_rates(const struct meter *m, uint64_t at_ms, enum meter_series series,
                 double out[METER_SLOTS]);

/* The lane of this number, or NULL. */
const struct lane_status *depth_lane(const struct queue_depth *d, uint32_t lane);

#endif
