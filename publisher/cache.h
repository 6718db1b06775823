/* The feed's cache: events by position, bounded in bytes. Only feed.c knows it.
 *
 * Two lists share one hash: HOT, what came by the tail, and COLD, what was read for lanes behind
 * it. Both are first in, first out, as lanes pass through the log in order; the cold ones are
 * evicted first as soon as they take more than a quarter, so that a lane that catches up does not
 * cost the others their tail.
 *
 * Freshness is a generation: entries of an older one are read again before they are handed out. But
 * an answer is always handed out once, in the turn it arrives, whatever its generation: its facts
 * are as fresh as any reading can make them, and without this a tail that always has gaps would
 * stop everything. */
#ifndef VOLLEY_PUBLISHER_CACHE_H
#define VOLLEY_PUBLISHER_CACHE_H

#include "queue/queue.h"

#include <uthash.h>

struct cache_entry {
    struct queue_event ev; /* ev.pos is the key; ev.event is a reference of ours */
    uint64_t gen, turn;
    size_t cost;
    bool cold, used;
    struct cache_entry *prev, *next;
    UT_hash_handle hh;
};

struct cache {
    uint64_t gen, turn; /* raised by the feed */
    size_t max;         /* bytes; what arrived in this turn is kept beyond it */
    struct cache_entry *by_pos, *hot, *cold;
    size_t hot_bytes, cold_bytes;
    uint32_t ahead; /* positions that a read should reach for: fewer when much of what was read is
                       evicted unused */
    uint32_t evicted_used, evicted_unused;
};

void cache_init(struct cache *c, size_t max);
void cache_fini(struct cache *c);
/* NULL: it is not there. */
struct cache_entry *cache_find(const struct cache *c, uint64_t pos);
/* Whether it is there (not NULL) and may be handed out. */
bool cache_usable(const struct cache *c, const struct cache_entry *e);
/* Adds or replaces. */
struct cache_entry *cache_put(struct cache *c, const struct queue_event *ev, bool cold,
                              uint64_t gen);
void cache_evict(struct cache *c);

#endif
