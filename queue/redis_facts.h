/* What the scripts need to know of an event and can't find out themselves: they parse no JSON.
 * Travels beside an append's frame, one after the other in the frame's order, little endian:
 *
 *     id 32, author 32, created_at u64, kind u32, flags u8 (1: has an address, 2: is a heartbeat),
 *     address 32 (zeros when it has none), deletions u16; then for each deletion
 * (event_each_deletion's order): u8 'i' or 'a', and 32 bytes: the id, or the address up to
 * created_at */
#ifndef VOLLEY_QUEUE_REDIS_FACTS_H
#define VOLLEY_QUEUE_REDIS_FACTS_H

#include "common/nostr/event.h"

#define REDIS_FACTS_ADDRESS   1u
#define REDIS_FACTS_HEARTBEAT 2u

MUST_USE enum err redis_facts_put(struct buf *out, const struct event *ev);

#endif
