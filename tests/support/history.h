/* One random history, played on several queues side by side: every answer must be the same, and
 * what the contract says of any history must hold in this one. */
#ifndef VOLLEY_TESTS_SUPPORT_HISTORY_H
#define VOLLEY_TESTS_SUPPORT_HISTORY_H

#include "tests/support/actor.h"

#define HISTORY_QUEUES_MAX 4
#define HISTORY_ACTORS     3
#define HISTORY_RELAYS     5u

struct history {
    uint64_t seed;
    unsigned step;
    const char *doing; /* what this step does */
    struct rig *rigs[HISTORY_QUEUES_MAX];
    size_t rigs_len;
    struct truth truth;

    struct event **events; /* all that were ever made, each with a reference */
    size_t events_len;
    unsigned made; /* for their contents */

    struct actor actors[HISTORY_ACTORS];
    unsigned actors_made;
    struct actor_commit last; /* the last one that was done, to be repeated */
    struct {
        uint32_t lane;
        uint64_t epoch, seq;
    } old[8]; /* of actors that lost their lanes */
    size_t old_len;

    struct definition relays[HISTORY_RELAYS];
    bool in_list[HISTORY_RELAYS];
    unsigned lanes_made, jobs;
    int64_t retired_ms; /* when the first one was dropped; 0 */

    uint64_t head;
    unsigned beats; /* heartbeats taken */
    struct {
        uint64_t epoch;
        int holder; /* index of the actor; -1 */
        uint64_t until_boot_ms;
    } lanes[ACTOR_LANES_MAX]; /* who may think that it holds them */
    uint64_t renewed_boot_ms[HISTORY_ACTORS];

    struct history_ear {
        const struct history *h;
        char **heard; /* by position: what the tail told of it; NULL: nothing */
        uint64_t heard_len;
    } ears[HISTORY_QUEUES_MAX];
};

/* Opens a queue of every backend. */
struct history *history_open(uint64_t seed);
void history_close(struct history *h);
/* Does one random thing to all queues, and compares what they answer. */
void history_step(struct history *h);
/* Compares all that can be seen of the queues, and checks it. */
void history_compare(struct history *h);

/* ---- for its own files ---- */

/* Evenly 0 … below-1. */
unsigned history_roll(struct history *h, unsigned below);
/* Steps of the actors. */
void history_lease(struct history *h);
void history_crash(struct history *h);
void history_commit(struct history *h);
void history_repeat(struct history *h);
void history_stale(struct history *h);
void history_spoiled(struct history *h);
/* Steps of operators. */
void history_hold(struct history *h);
void history_list(struct history *h);
void history_replay(struct history *h);
void history_purge(struct history *h);
void history_cancel(struct history *h);
/* What they see. */
void history_compare_operators(struct history *h);
/* Listens to the tail of all queues; what it told is compared by history_compare. */
void history_listen(struct history *h);
void history_unlisten(struct history *h);

/* Ends the program: says seed and step, and what was different from what. */
_Noreturn void history_fail(const struct history *h, const char *fmt, ...) PRINTF(2, 3);
/* Asks every queue by `ask`, compares what `say` says of the answers, and leaves the first one's in
 * `first`, which the caller frees. */
typedef void history_ask_fn(struct rig *r, void *arg, struct answer *a);
typedef void history_say_fn(struct buf *out, const struct answer *a);
void history_ask(struct history *h, history_ask_fn *ask, void *arg, history_say_fn *say,
                 struct answer *first);

#endif
