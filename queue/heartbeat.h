/* Heartbeats: events that show that the whole path works, from ingest's websocket over the queue's
 * disk to a publisher's commit. They travel on a lane of their own that is built in. The queue
 * keeps the latest one alone, durably, beside the log: so it stands in no count, fills no room and
 * no relay's lane ever reads it. The first publisher that hears of it checks and commits it, and
 * there it ends: it never leaves the machine.
 *
 * It is marked protected (NIP-70): a relay that should ever see one must refuse it. */
#ifndef VOLLEY_QUEUE_HEARTBEAT_H
#define VOLLEY_QUEUE_HEARTBEAT_H

#include "queue/queue.h"

#define HEARTBEAT_KIND 27787u /* ephemeral (NIP-01) */
#define HEARTBEAT_TAGS "[[\"-\"]]"
#define HEARTBEAT_TEXT "volley heartbeat"

/* Kind, tags and content are just those above, so all are of one size. Does not check id or
 * signature. */
bool heartbeat_is(const struct event *ev);
/* A new one, with one reference. Two of one key and second are the same event. */
MUST_USE enum err heartbeat_make(const uint8_t secret[32], uint64_t created_at, struct event **out,
                                 struct problem *p);

/* Another one came in. */
void heartbeat_next(struct heartbeat *h, int64_t now_ms);
/* Nobody has committed the latest one yet. */
bool heartbeat_is_due(const struct heartbeat *h);
/* A commit of HEARTBEAT_LANE: its position is the number of a heartbeat; nothing else of it counts.
 * True: `h` was changed. */
bool heartbeat_commit(struct heartbeat *h, const struct lane_commit *c, int64_t now_ms,
                      struct lane_committed *out);

#endif
