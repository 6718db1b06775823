/* One path's statistics as they are kept: a total, and rings of buckets by time, from which the
 * windows are made. The arithmetic of every backend; pure.
 *
 *   12 × 5 min    the last hour
 *   24 × 1 h      the last day
 *   28 × 6 h      the last week
 *
 * Each is counted for itself. A ring's newest bucket is the one that `now` lies in; when time goes
 * on, the oldest leave. While the clock is behind the newest bucket, all goes into that; where it
 * is so by more than the ring holds, the newest bucket becomes now's, and the others keep their
 * order. */
#ifndef VOLLEY_QUEUE_WINDOWS_H
#define VOLLEY_QUEUE_WINDOWS_H

#include "queue/statistics.h"

#define WINDOWS_BUCKETS (12 + 24 + 28)

struct windows {
    int64_t last_success_ms, last_failure_ms;
    int32_t streak;
    struct stat_last last;
    struct stat_counts total;
    int64_t newest[STAT_WINDOW_COUNT];           /* number of each ring's newest bucket */
    struct stat_counts buckets[WINDOWS_BUCKETS]; /* of each ring newest first */
};

/* ERR_INVALID: too many, or a path there is not. */
MUST_USE enum err observe_check(const struct observe_call *c);

/* `calm`: the clock has just jumped and is not believed yet: buckets stay where they are. */
void windows_add(struct windows *w, const struct observation *o, int64_t now_ms, bool calm);
/* Lets time pass; of a copy when it is only looked at. */
void windows_roll(struct windows *w, int64_t now_ms);
/* `out` but for source, route and family. */
void windows_show(const struct windows *w, struct path_statistics *out);

/* Sums stop at the largest number there is. */
void stat_counts_add(struct stat_counts *to, const struct stat_counts *from);

/* As records and on the wire: what is zero takes (nearly) no room. Unpacking marks `u` bad. */
void stat_counts_pack(struct pack *p, const struct stat_counts *c);
void stat_counts_unpack(struct unpack *u, struct stat_counts *c);
void stat_last_pack(struct pack *p, const struct stat_last *l);
void stat_last_unpack(struct unpack *u, struct stat_last *l);
void windows_pack(struct pack *p, const struct windows *w);
void windows_unpack(struct unpack *u, struct windows *w);

#endif
