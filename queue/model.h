/* The queue in memory: the contract written as plainly as possible, with arrays and loops and no
 * regard for speed. It is what the contract suite holds the other backends against, and what tests
 * of ingest and publisher run on. Nothing is durable. */
#ifndef VOLLEY_QUEUE_MODEL_H
#define VOLLEY_QUEUE_MODEL_H

#include "queue/broker.h"

struct model_options {
    int64_t retention_ms;
    uint64_t max_bytes, failed_max, lane_max; /* lane_max 0: half of max_bytes */
    const struct broker_clock *clock;         /* NULL: the machine's */
};
struct queue *model_new(uv_loop_t *loop, const struct model_options *o);

/* What the broker does by itself between requests, done now: lease expiry, trimming, expiry,
 * forgetting. */
void model_housekeep(struct queue *q);
/* For tests: the next tail messages are lost, as a slow subscriber loses them. */
void model_lose_tail(struct queue *q, unsigned count);
/* For tests: as if the process had been killed and started again: leases' terms start anew,
 * everything else was durable. */
void model_restart(struct queue *q);

#endif
