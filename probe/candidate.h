/* A prober's wish to be the one that acts: asks the queue again and again to lead (queue.h), and
 * says when it does and when it does so no more. It counts its term from when it asked, and ends it
 * MARGIN before the queue would, so that two never act at a time. */
#ifndef VOLLEY_PROBE_CANDIDATE_H
#define VOLLEY_PROBE_CANDIDATE_H

#include "queue/queue.h"

struct candidate;
/* It leads from now on, or does not any more. From within candidate_may_act too. */
typedef void candidate_fn(void *arg, bool leads);

/* Begins to ask with the loop's next turn, if it wants to lead. The queue must live until
 * candidate_free, and be closed after it: calls under way end with it. */
struct candidate *candidate_new(uv_loop_t *loop, struct queue *q, candidate_fn *fn, void *arg);
void candidate_free(struct candidate *c);
/* False: what it has it gives up, and asks no more. At first it does not. */
void candidate_want(struct candidate *c, bool wants);

bool candidate_leads(const struct candidate *c);
/* Leads, and is in time: to be asked before each act, as it is noticed here that it is not. */
bool candidate_may_act(struct candidate *c, uint64_t now_ms);
uint64_t candidate_until_ms(const struct candidate *c); /* the end of its term */
uint64_t candidate_epoch(const struct candidate *c);
const char *candidate_leader(const struct candidate *c); /* who leads, as far as known; or "" */
/* Somebody said that another one leads. */
void candidate_deposed(struct candidate *c);

/* Asks no more, and keeps what it has. False: that is nothing, nor may it just be granted. */
bool candidate_rest(struct candidate *c);
/* After that: gives it up; then `fn`, once, also after candidate_free. */
void candidate_leave(struct candidate *c, void (*fn)(void *arg), void *arg);

#endif
