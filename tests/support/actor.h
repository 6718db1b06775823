/* A publisher of a random history: holds lanes, invents what relays answered, and commits it. It is
 * honest unless asked not to be, and keeps a ledger of what it committed as settled, which receipts
 * must agree with. */
#ifndef VOLLEY_TESTS_SUPPORT_ACTOR_H
#define VOLLEY_TESTS_SUPPORT_ACTOR_H

#include "common/base/rng.h"
#include "tests/support/holder.h"

#define ACTOR_LANES_MAX      16u  /* lane numbers below this */
#define ACTOR_EXCEPTIONS_MAX 512u /* it settles something when it has so many */
#define ACTOR_STEP_MAX       12u  /* positions a commit moves on */
#define ACTOR_SETTLED_MAX    (ACTOR_EXCEPTIONS_MAX + QUEUE_REQUESTS_MAX + ACTOR_STEP_MAX)
#define ACTOR_VERSIONS_MAX   256u

enum settled { SETTLED_NOT, SETTLED_DELIVERED, SETTLED_FILTERED, SETTLED_ROW };

/* What is true whatever queue keeps it, as far as the actors know. Shared by all of them. */
struct truth {
    struct rng rng;
    uint32_t *kinds; /* by position */
    uint64_t head;
    struct definition *definitions[ACTOR_LANES_MAX][ACTOR_VERSIONS_MAX]; /* as they were heard of */
    uint8_t *ledger[ACTOR_LANES_MAX];                                    /* by position */
    bool *asked[ACTOR_LANES_MAX]; /* by position: a request for it was taken up */
    int64_t now_ms;
};
void truth_init(struct truth *t, uint64_t seed);
void truth_fini(struct truth *t);
/* An event of this kind is at the next position. */
void truth_add(struct truth *t, uint32_t kind);

/* What an actor knows of a lane besides what a holder knows. */
struct actor_lane {
    struct exception exceptions[ACTOR_EXCEPTIONS_MAX];
    size_t exceptions_len;
    struct lane_request requests[QUEUE_REQUESTS_MAX];
    size_t requests_len;
    uint32_t next_version;
};

/* One lane's commit with memory of its own. */
struct actor_commit {
    struct lane_commit c;
    struct exception exceptions[ACTOR_EXCEPTIONS_MAX];
    struct row rows[ACTOR_SETTLED_MAX];
    uint64_t removed[ACTOR_SETTLED_MAX];
    struct path_stat path;
    /* what becomes true when it is done */
    uint64_t settled_pos[ACTOR_SETTLED_MAX];
    enum settled settled_as[ACTOR_SETTLED_MAX];
    size_t settled_len;
};

struct actor {
    struct holder h;
    struct actor_lane lanes[ACTOR_LANES_MAX]; /* by number */
};
void actor_init(struct actor *a, unsigned number);
/* Takes over a lease call's answer. */
void actor_take(struct actor *a, struct truth *t, const struct lease_reply *r);
/* An honest next commit on a lane it holds. */
void actor_next(struct actor *a, struct truth *t, uint32_t lane, struct actor_commit *out);
/* Makes it one that no queue may take. */
void actor_spoil(struct truth *t, struct actor_commit *c);
/* It was answered. */
void actor_done(struct actor *a, struct truth *t, const struct actor_commit *c,
                const struct lane_committed *r);

#endif
