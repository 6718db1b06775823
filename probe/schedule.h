/* When each relay is probed over each family. Pure: it is told the time.
 *
 * Everything is a CYCLE of `interval_ms`, in which each item has a place of its own, so that they
 * are spread evenly whatever their number; a little chance moves each probe about its place. An
 * item that fails again and again is left out of more and more cycles (one after the second
 * failure, three after the third, seven …), until it is tried once a day.
 *
 * Never two begin closer together than MIN_GAP of the mean distance (but a second is always
 * enough): also when the machine slept and all are late, or when all are new. Those that never were
 * probed come first, as fast as that allows. */
#ifndef VOLLEY_PROBE_SCHEDULE_H
#define VOLLEY_PROBE_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCHEDULE_DAY_MS 86400000u

struct schedule_item {
    uint32_t lane;
    uint32_t family;  /* of the lane's: any number that tells them apart */
    bool known;       /* was probed before: */
    uint64_t ago_ms;  /* so long ago, */
    int32_t failures; /* and failed so often in a row since */
};

struct schedule;
struct schedule *schedule_new(uint64_t interval_ms, uint64_t seed);
void schedule_free(struct schedule *s);
/* The items from now on. Of those that it has already, it knows better; what is under way goes on.
 */
void schedule_set(struct schedule *s, const struct schedule_item *items, size_t len,
                  uint64_t now_ms);
void schedule_set_interval(struct schedule *s, uint64_t interval_ms, uint64_t now_ms);

/* The next one that is due: it is under way until schedule_done. False: none, until *at_ms
 * (UINT64_MAX: until something is told). */
bool schedule_next(struct schedule *s, uint64_t now_ms, uint32_t *lane, uint32_t *family,
                   uint64_t *at_ms);
/* It ended. One that is not there (any more) does not matter. */
void schedule_done(struct schedule *s, uint32_t lane, uint32_t family, bool ok);
/* It was given up before it ended: it is due again. */
void schedule_undone(struct schedule *s, uint32_t lane, uint32_t family, uint64_t now_ms);
/* What seemed dead may have been our own network, which is back: all are tried in the cycle to
 * come.
 */
void schedule_forgive(struct schedule *s, uint64_t now_ms);

#endif
