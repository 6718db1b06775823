/* Tells the world what the prober found (nip66.h), with a key configured for it: appends signed
 * events to the queue like any that ingest took, so that they go where all events go. Decides what
 * is told and when: a relay once all its families were tried, at most once an interval, and the
 * same again once in each hour; never one that could not be reached, or that is private. The
 * monitor itself before its first relay, and once a day.
 *
 * A relay's hours begin at a moment that follows from its lane, so that they are spread, and the
 * same for every prober: what the statistics show as found by an earlier one within this hour was
 * told by it, unless families came or went since.
 *
 * The prober tells it of each act while it leads, and of nothing else. */
#ifndef VOLLEY_PROBE_HERALD_H
#define VOLLEY_PROBE_HERALD_H

#include "probe/act.h"
#include "probe/targets.h"
#include "queue/queue.h"

#define HERALD_AGAIN_MS 3600000u /* the hour; or the interval when that is longer */

struct herald_settings {
    const uint8_t *secret; /* copied; NULL: nothing is told */
    uint64_t interval_ms;  /* the prober's */
    uint32_t open_ms, read_ms, nip11_ms;
};

struct herald;
struct herald *herald_new(struct queue *q);
/* Calls under way may be answered later: the queue is closed after this. NULL is fine. */
void herald_free(struct herald *h);
void herald_set(struct herald *h, const struct herald_settings *s);
/* What earlier probers found there, when this one comes to lead; `queue_ms` is the queue's clock.
 */
void herald_recall(struct herald *h, const struct relay_statistics *s, int64_t queue_ms,
                   uint64_t now_ms, int64_t wall_s);
/* An act at this relay ended, whatever came of it. */
void herald_note(struct herald *h, const struct target *t, const struct act_result *r,
                 uint64_t now_ms, int64_t wall_s);
/* Another one probes now: what was found is too old to be told with later finds. */
void herald_forget(struct herald *h);

#endif
