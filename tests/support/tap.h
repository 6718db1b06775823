/* A queue in front of another, for tests of publisher code: counts, holds answers back, fails calls
 * on demand. Reads and the tail pass through it; everything else goes straight on. */
#ifndef VOLLEY_TESTS_SUPPORT_TAP_H
#define VOLLEY_TESTS_SUPPORT_TAP_H

#include "queue/queue.h"

struct tap_read;

struct tap {
    struct queue queue; /* hand this to whoever is tested; not to be closed */
    struct queue *inner;
    uv_loop_t *loop;
    unsigned reads, positions_read; /* answered so far */
    unsigned fail_reads;            /* so many next reads end with ERR_UNKNOWN */
    unsigned fail_others;           /* so many next leases, commits and defines end so, unsent */
    unsigned lose_commits;          /* so many next commits are made, but their answers lost */
    unsigned leases, commits, commit_lanes; /* calls passed on */
    bool hold;                              /* answers of reads wait for tap_let_go */
    void (*before_answer)(void *arg);       /* of a read */
    void *before_answer_arg;
    void (*on_lease)(void *arg); /* a lease call went on its way */
    void *on_lease_arg;
    struct queue_follower follower; /* the tested one's: to tell it a tail of the test's own */
    struct tap_read *held;
};

void tap_init(struct tap *t, uv_loop_t *loop, struct queue *inner);
/* Delivers what was held back, in order, and stops holding. */
void tap_let_go(struct tap *t);

#endif
