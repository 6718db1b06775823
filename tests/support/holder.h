/* A publisher as the queue sees it: leases lanes, commits on them, and knows what it was told. */
#ifndef VOLLEY_TESTS_SUPPORT_HOLDER_H
#define VOLLEY_TESTS_SUPPORT_HOLDER_H

#include "tests/support/rig.h"

#define HOLDER_LANES_MAX 64
#define HOLDER_BOTH      ((1u << ROUTE_TOR) | (1u << ROUTE_DIRECT))

struct holder_lane {
    uint32_t lane;
    uint64_t epoch, seq, start, position;
    uint64_t floor; /* the last one it heard of */
    uint32_t version;
    bool asked; /* to give it back */
    bool gives; /* tells so with the next call */
    struct lane_live live;
};

struct holder {
    uint8_t id[PUBLISHER_ID_LEN];
    char name[PUBLISHER_NAME_SIZE];
    uint32_t routes;
    bool leaving;
    struct holder_lane lanes[HOLDER_LANES_MAX];
    size_t lanes_len;
};

/* Publisher number `n`, serving both routes. */
void holder_init(struct holder *h, unsigned n);
/* Its next lease call, from what it holds. */
void holder_call(const struct holder *h, struct lease_held held[HOLDER_LANES_MAX],
                 struct lease_call *out);
/* Takes over what the queue answered: new lanes, lost lanes, give-backs. */
void holder_take(struct holder *h, const struct lease_reply *r);
/* Asks and takes over. `a` may be NULL; otherwise the caller frees it. */
void holder_lease(struct rig *r, struct holder *h, struct answer *a);
/* NULL when it does not hold the lane. */
struct holder_lane *holder_lane(struct holder *h, uint32_t lane);
/* The next commit on a lane it holds, moving to `position`; everything else is empty. */
struct lane_commit holder_next(struct holder *h, uint32_t lane, uint64_t position);
/* Sends one lane's commit. When it was done the holder notes it. */
struct lane_committed holder_commit(struct rig *r, struct holder *h, const struct lane_commit *c);

#endif
