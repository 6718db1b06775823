/* The log at a publisher: each event is read once however many lanes need it. Follows the tail,
 * keeps recent events in a cache bounded in bytes, reads ranges for lanes that are far behind, and
 * keeps the facts (superseded, deleted) fresh.
 *
 * The tail is a hint: the head comes with beats and lease replies too, what is missing is read, and
 * after a gap the facts of what is cached are read again before it is handed out. One thread. */
#ifndef VOLLEY_PUBLISHER_FEED_H
#define VOLLEY_PUBLISHER_FEED_H

#include "queue/queue.h"

struct feed;

struct feed_options {
    size_t cache_max; /* bytes of events kept; what was read for somebody stays a turn longer */
    void (*on_news)(void *arg); /* head grew, or something that was asked for is there; at most once
                                   a loop turn. What was asked for should be taken at once: it may
                                   not be kept beyond */
    void (*on_lease_news)(void *arg); /* a beat told that a lease call may bring something new */
    void (*on_restart)(void *arg);    /* the queue may not be what it was: see queue_follower */
    void *arg;
};
/* Starts to follow `q`, which stays the caller's and has no other follower. */
struct feed *feed_new(uv_loop_t *loop, struct queue *q, const struct feed_options *o);
/* No on_news any more. `fn` when the handles are closed; the queue may outlive it. */
void feed_free(struct feed *f, void (*fn)(void *arg), void *arg);

uint64_t feed_head(const struct feed *f);
void feed_saw_head(struct feed *f, uint64_t head); /* from a lease reply */
/* The event at `pos`, lent until the caller goes back to the loop; NULL when it must be read first:
 * it is asked for (with those that follow), and on_news tells. NULL beyond the head too. */
const struct queue_event *feed_get(struct feed *f, uint64_t pos);
/* The same, only when it is at hand; asks for nothing. */
const struct queue_event *feed_peek(const struct feed *f, uint64_t pos);
/* The queue was away, or restarted: everything cached is stale in its facts. */
void feed_distrust(struct feed *f);

#endif
