/* Who holds which lane: one pure function, the same in all backends.
 *
 * Each lane goes to a publisher alive that serves its route, evenly (no two differ by more than one
 * where routes allow it), and with as few moves as possible: a holder keeps what it has up to its
 * share. */
#ifndef VOLLEY_QUEUE_LEASE_H
#define VOLLEY_QUEUE_LEASE_H

#include "queue/queue.h"

struct lease_publisher {
    uint8_t id[PUBLISHER_ID_LEN];
    uint32_t routes;
    bool leaving; /* gets nothing; what it has is to be given back */
};
struct lease_lane {
    uint32_t lane;
    enum route route;
    int holder; /* index of the publisher that holds it now, -1 for nobody */
    int wanted; /* out: index of the publisher that should have it, -1 when nobody serves its route
                 */
};

/* Fills `wanted`. The order of the publishers must not matter for the result (they are compared by
 * id). */
void lease_plan(const struct lease_publisher *pubs, size_t pubs_len, struct lease_lane *lanes,
                size_t lanes_len);

#endif
