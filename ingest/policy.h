/* Which events ingest takes, judged by the event's own fields before any signature is checked.
 * Pure: the event, the rules and the time go in, a verdict comes out. Size and form were
 * event_parse's business; what no lane would take is the queue's. */
#ifndef VOLLEY_INGEST_POLICY_H
#define VOLLEY_INGEST_POLICY_H

#include "common/nostr/event.h"

struct policy {
    uint8_t (*allow)[32]; /* owned, sorted; NULL: anybody */
    size_t allow_len;
    uint32_t min_pow; /* leading zero bits (NIP-13); 0: none asked */
    int64_t past_s;   /* created_at at most so long ago; 0: any */
    int64_t future_s; /* and at most so far ahead; 0: any */
};

/* Copies `allow`. Free with policy_fini. */
void policy_init(struct policy *p, const uint8_t (*allow)[32], size_t allow_len);
void policy_fini(struct policy *p);

/* ERR_NONE, or ERR_INVALID and in `why` the whole text of the OK message that refuses the event,
 * with its prefix (NIP-01). `now_s` is Unix time. */
MUST_USE enum err policy_check(const struct policy *p, const struct event *ev, int64_t now_s,
                               struct problem *why);

#endif
