/* What somebody sees of reaching relays, counted here and told to the queue in batches (observe):
 * its publisher's and its prober's side. Counting costs a look into a hash table and a few
 * increments; nothing is sent before tally_send. One batch is under way at a time; what is counted
 * meanwhile waits for the next. What the queue may have counted is not sent again, so a batch whose
 * answer was lost may be missing; one that was never sent goes with the next call. */
#ifndef VOLLEY_QUEUE_TALLY_H
#define VOLLEY_QUEUE_TALLY_H

#include "common/net/link.h"
#include "queue/queue.h"

struct tally;
struct tally *tally_new(struct queue *q, enum stat_source source);
/* A call under way is then nobody's. NULL is fine. */
void tally_free(struct tally *t);

/* Where it is counted. */
struct tally_way {
    uint32_t lane;
    enum route route;
    enum family family;
};

/* A family's try, as a race or an act tells of it. `used`: the relay was then talked to over it. */
void tally_try(struct tally *t, const struct tally_way *w, const struct link_try *try, bool used,
               uint64_t now_ms);
/* What became of one that had lost its race, which was an attempt already. */
void tally_late(struct tally *t, const struct tally_way *w, const struct link_try *try,
                uint64_t now_ms);
/* An event arrived, so long after it was accepted. */
void tally_delivered(struct tally *t, const struct tally_way *w, uint64_t took_us);

/* An attempt that was more than a link (a probe's): as it went, with its phases (0: not reached),
 * at this moment. */
void tally_attempt(struct tally *t, const struct tally_way *w, const struct stat_last *last,
                   uint64_t now_ms);

/* Sends what there is, call by call, unless one is under way. True: one is, and `fn` is called when
 * the last one is answered; of several that were given, the last one's. `epoch` as in observe_call;
 * `e` as its answer: after an error the rest waits for the next time. */
typedef void tally_fn(void *arg, enum err e);
bool tally_send(struct tally *t, uint64_t epoch, uint64_t now_ms, tally_fn *fn, void *arg);

/* A try as it went, but for when. */
void stat_last_of(const struct link_try *try, struct stat_last *out);
/* Why a try failed, in the words of statistics. */
enum stat_failure stat_failure_of(enum link_why why);

#endif
