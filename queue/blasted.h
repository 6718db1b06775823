/* The line people wait for: what became of an event when it has settled at every relay, or after
 * 60 s:
 *
 *     🔫 blasted ID to 9 of 10 relays in 1.8s (1 failed)
 *     🔫 blasted ID to 8 of 10 relays (1 failed, 1 waiting)
 *
 * At most one line a second; when there were more, it ends with ", and 12 others". Bounded in
 * memory and in work: under load neighbours are watched as a run, by their last event. Forgets
 * everything at a restart. */
#ifndef VOLLEY_QUEUE_BLASTED_H
#define VOLLEY_QUEUE_BLASTED_H

#include "queue/store.h"

#define BLASTED_AFTER_MS   60000
#define BLASTED_LINE_SIZE  256
#define BLASTED_WATCHED    4096u
#define BLASTED_SINGLE_MAX 64u  /* with so many watched, new ones join into runs */
#define BLASTED_RUN_MAX    256u /* of so many, as long as there is room */

struct blasted;

struct blasted_ops {
    /* As store_tally. ERR_AGAIN: not known yet; it is asked for again at the next look, or after
     * blasted_moved. */
    enum err (*tally)(void *arg, uint64_t pos, struct store_tally *out);
    void (*say)(void *arg, const char *line);
    void *arg;
};

struct blasted *blasted_new(const struct blasted_ops *ops);
/* NULL is fine. */
void blasted_free(struct blasted *b);

/* An event was accepted, durably. Positions rise. */
void blasted_add(struct blasted *b, uint64_t pos, int64_t accepted_ms);
/* Lanes moved on: it may be worth to look. */
void blasted_moved(struct blasted *b);
/* Looks at no more than `tallies_max` events and says at most one line. Times: the wall clock, as
 * accepted_ms, and the boot clock. To be called ten times a second. */
void blasted_look(struct blasted *b, int64_t now_ms, uint64_t boot_ms, unsigned tallies_max);

/* The line. `took_ms` < 0: it has not settled everywhere. */
void blasted_line(char out[BLASTED_LINE_SIZE], const struct store_tally *t, int64_t took_ms,
                  uint64_t others);

#endif
