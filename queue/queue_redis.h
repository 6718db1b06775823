/* The queue on Redis 7: struct queue_ops as scripts that run there (queue/redis/). A call travels
 * as the same frame that a broker gets (wire.h), and the script answers the frame that a broker
 * would: a broker in Lua behind the same wire format.
 *
 *     EVALSHA sha 1 PREFIX  store incarnation frame limits …
 *
 *   store        the random id of the store that this process has used since its start, 32 hex; ''
 *                before it is known. Another one there, or none (FLUSHALL, another server):
 *                VOLLEYOTHER; the client then claims nothing and says so.
 *   incarnation  "run_id:master_replid": when it is another one than the store last saw, all leases
 *                end, as what holders have in memory may be ahead of it.
 *   limits       "retention_ms max_bytes failed_max lane_max" of the caller
 *   …            append: the facts of redis_facts.h; hello, housekeep, tally: see their files
 *
 * Messages of PREFIX:tail are WIRE_TOPIC_TAIL frames; the beat is asked for by each follower. */
#ifndef VOLLEY_QUEUE_QUEUE_REDIS_H
#define VOLLEY_QUEUE_QUEUE_REDIS_H

#include "queue/queue.h"

/* As queue_open, for redis://… and redis+unix://… */
MUST_USE enum err queue_redis_open(uv_loop_t *loop, const struct queue_options *o,
                                   struct queue **out, struct problem *p);
/* For tests: the next `count` events are not told to this follower, as one that is slow misses
 * them.
 */
void queue_redis_lose_tail(struct queue *q, unsigned count);

#endif
