/* How a lane is doing, in a word. Pure, and without thresholds to set: what a lane is measured
 * against follows from what it is asked to carry.
 *
 * The measure of time is VERDICT_SPAN_MS, over which a publisher counts its rate: younger than that
 * nothing can be judged. What waits came in since the oldest of it was accepted, so
 *
 *     it came in at    depth / age of the oldest
 *     it leaves at     rate
 *
 * and a lane falls behind when the second is smaller than the first: when it needs longer to drain
 * than the oldest has waited. */
#ifndef VOLLEY_CTL_VERDICT_H
#define VOLLEY_CTL_VERDICT_H

#include "queue/queue.h"

#define VERDICT_SPAN_MS 10000 /* as struct lane_live counts rate_per_1000s */

/* From good to bad. */
enum verdict {
    VERDICT_FINE,    /* nothing waits, or it leaves as fast as it comes */
    VERDICT_BEHIND,  /* more comes than leaves */
    VERDICT_STALLED, /* something waits and nothing leaves */
    VERDICT_HELD,
    VERDICT_UNLEASED, /* no publisher has it */
    VERDICT_COUNT
};
const char *verdict_name(enum verdict v); /* "fine" "falling behind" … */

/* `now_ms` is the queue's clock (struct queue_depth). `*since_ms`: falling behind: when the oldest
 * that waits was accepted; stalled: the same, or when something was last delivered if that is
 * later; fine, held and unleased: since when the lane's state holds; 0 when unknown. */
enum verdict verdict_of(const struct lane_status *l, int64_t now_ms, int64_t *since_ms);

/* Milliseconds until nothing waits, at the rate of the last ten seconds, or of the relay's limit
 * when it is too slow for those; 0 when nothing waits, -1 when nothing leaves. */
int64_t verdict_drain_ms(const struct lane_status *l);

#endif
