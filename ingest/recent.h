/* Ids the queue put back on some lane within the last minute: it does so at most once a minute an
 * id, so until then it need not be asked, and the same event over and over costs no signature
 * check. All others are asked for each time: what was just accepted may have failed since, and
 * whoever sends it again means it. A fixed table: an id may be forgotten early (another took its
 * place), which costs a check and nothing else; it is never remembered longer. */
#ifndef VOLLEY_INGEST_RECENT_H
#define VOLLEY_INGEST_RECENT_H

#include <stdbool.h>
#include <stdint.h>

#define RECENT_SLOTS 8192u
#define RECENT_TERM_MS                                                                             \
    60000u /* after it a repeated event goes to the queue, which may requeue it again */

struct recent {
    struct recent_slot {
        uint8_t id[32];
        uint64_t until_ms; /* 0: empty */
    } * slots;
};

void recent_init(struct recent *r);
void recent_fini(struct recent *r);
/* The queue has just put this id back on some lane. */
void recent_add(struct recent *r, const uint8_t id[32], uint64_t now_ms);
bool recent_has(const struct recent *r, const uint8_t id[32], uint64_t now_ms);

#endif
