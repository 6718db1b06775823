/* Ids the queue confirmed within the last minute, so that a client that sends the same events over
 * and over costs no signature checks and no commits. A fixed table: an id may be forgotten early
 * (another took its place), which costs a check and nothing else; it is never remembered longer. */
#ifndef VOLLEY_INGEST_RECENT_H
#define VOLLEY_INGEST_RECENT_H

#include <stdbool.h>
#include <stdint.h>

#define RECENT_SLOTS 8192u
#define RECENT_TERM_MS                                                                             \
    60000u /* after it a repeated event goes to the queue, which may requeue it */

struct recent {
    struct recent_slot {
        uint8_t id[32];
        uint64_t until_ms; /* 0: empty */
    } * slots;
};

void recent_init(struct recent *r);
void recent_fini(struct recent *r);
/* The queue has just confirmed this id, as new or as a duplicate. */
void recent_add(struct recent *r, const uint8_t id[32], uint64_t now_ms);
bool recent_has(const struct recent *r, const uint8_t id[32], uint64_t now_ms);

#endif
