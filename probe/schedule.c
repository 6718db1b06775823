/* How it works. Each item has a place in the cycle (a part of interval_ms), by its number in the
 * list: all first families, then all second ones, so that a relay's two lie half a cycle apart.
 * `base_ms` is the time of its next turn, at its place; `due_ms` is that moved by chance, at most a
 * quarter of the distance to its neighbours. A turn's successor is its base and whole cycles. */
#include "probe/schedule.h"

#include "common/base/err.h"
#include "common/base/rng.h"

#include <stdlib.h>
#include <string.h>

#define GAP_PERCENT   60u /* of the mean distance */
#define GAP_MAX_MS    1000u
#define DOUBLINGS_MAX 20

struct item {
    uint32_t lane, family;
    bool probed, running;
    bool again; /* was given up: due before its base */
    int32_t failures;
    uint64_t place_ms; /* in the cycle */
    uint64_t base_ms, due_ms;
};

struct schedule {
    uint64_t interval_ms;
    struct rng rng;
    struct item *items; /* by lane, family */
    size_t len;
    uint64_t next_ms; /* none begins before */
};

struct schedule *schedule_new(uint64_t interval_ms, uint64_t seed)
{
    struct schedule *s = mem_zero(1, sizeof *s);
    s->interval_ms = interval_ms > 0 ? interval_ms : 1;
    rng_init(&s->rng, seed);
    return s;
}

void schedule_free(struct schedule *s)
{
    if (s != NULL)
        free(s->items);
    free(s);
}

static uint64_t distance_ms(const struct schedule *s)
{
    uint64_t ms = s->len > 0 ? s->interval_ms / s->len : s->interval_ms;
    return ms > 0 ? ms : 1;
}

static uint64_t gap_ms(const struct schedule *s)
{
    uint64_t ms = distance_ms(s) * GAP_PERCENT / 100;
    return ms < GAP_MAX_MS ? ms : GAP_MAX_MS;
}

/* ---- one item's next turn ---- */

static void set_due(struct schedule *s, struct item *i)
{
    uint64_t quarter = distance_ms(s) / 4;
    i->due_ms = i->base_ms + rng_below(&s->rng, quarter + 1);
}

/* In how many cycles it is probed once. */
static uint64_t cycles(const struct schedule *s, const struct item *i)
{
    int doublings = i->failures > 1 ? i->failures - 1 : 0;
    uint64_t most = SCHEDULE_DAY_MS / s->interval_ms;
    uint64_t n = UINT64_C(1) << (doublings < DOUBLINGS_MAX ? doublings : DOUBLINGS_MAX);
    if (n > most)
        n = most;
    return n > 0 ? n : 1;
}

/* At its place, not before `from_ms`. */
static void place(struct schedule *s, struct item *i, uint64_t from_ms)
{
    uint64_t at = from_ms % s->interval_ms;
    uint64_t wait = i->place_ms >= at ? i->place_ms - at : i->place_ms + s->interval_ms - at;
    i->base_ms = from_ms + wait;
    set_due(s, i);
}

/* After a turn that began at its base, or late. */
static void next_turn(struct schedule *s, struct item *i, uint64_t now_ms)
{
    uint64_t step = s->interval_ms;
    i->base_ms += step;
    if (i->base_ms + step / 2 <= now_ms) /* it was very late: what it missed is not made up for */
        place(s, i, now_ms + step / 2);
    else
        set_due(s, i);
}

/* ---- the list ---- */

static int by_lane(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->lane != y->lane)
        return x->lane < y->lane ? -1 : 1;
    return x->family < y->family ? -1 : x->family > y->family;
}

static struct item *find(const struct schedule *s, uint32_t lane, uint32_t family)
{
    const struct item key = {.lane = lane, .family = family};
    return s->len == 0 ? NULL : bsearch(&key, s->items, s->len, sizeof key, by_lane);
}

/* A relay's families stand side by side in the list, and half a cycle apart in time. */
static void give_places(struct schedule *s)
{
    size_t n = 0;
    for (uint32_t round = 0; n < s->len; round++) {
        uint32_t nth = 0;
        for (size_t k = 0; k < s->len; k++) {
            nth = k > 0 && s->items[k].lane == s->items[k - 1].lane ? nth + 1 : 0;
            if (nth == round)
                s->items[k].place_ms = s->interval_ms * n++ / s->len;
        }
    }
}

/* A first turn, or another place: as soon as it would have come. */
static void first_turn(struct schedule *s, struct item *i, uint64_t ago_ms, uint64_t now_ms)
{
    uint64_t wait = cycles(s, i) * s->interval_ms - s->interval_ms / 2;
    if (!i->probed)
        i->base_ms = i->due_ms = now_ms;
    else
        place(s, i, ago_ms < wait ? now_ms + wait - ago_ms : now_ms);
}

/* The turn at its new place that is nearest to the one it had. */
static void move(struct schedule *s, struct item *i)
{
    uint64_t half = s->interval_ms / 2;
    if (i->probed)
        place(s, i, i->base_ms > half ? i->base_ms - half : 0);
}

static struct item *take(const struct schedule_item *in, size_t len)
{
    struct item *items = mem_zero(len + 1, sizeof *items);
    for (size_t i = 0; i < len; i++)
        items[i] = (struct item){.lane = in[i].lane,
                                 .family = in[i].family,
                                 .probed = in[i].known,
                                 .failures = in[i].failures > 0 ? in[i].failures : 0,
                                 .base_ms = in[i].ago_ms};
    qsort(items, len, sizeof *items, by_lane);
    return items;
}

static bool same_list(const struct schedule *s, const struct item *items, size_t len)
{
    bool same = s->len == len;
    for (size_t i = 0; same && i < len; i++)
        same = by_lane(&s->items[i], &items[i]) == 0;
    return same;
}

void schedule_set(struct schedule *s, const struct schedule_item *in, size_t len, uint64_t now_ms)
{
    struct item *items = take(in, len);
    if (same_list(s, items, len)) {
        free(items);
        return;
    }
    struct schedule old = *s;
    s->items = items;
    s->len = len;
    give_places(s);
    for (size_t i = 0; i < len; i++) {
        const struct item *had = find(&old, items[i].lane, items[i].family);
        uint64_t place_ms = items[i].place_ms, ago_ms = items[i].base_ms;
        if (had != NULL) {
            items[i] = *had;
            items[i].place_ms = place_ms;
            move(s, &items[i]);
        } else {
            first_turn(s, &items[i], ago_ms, now_ms);
        }
    }
    free(old.items);
}

void schedule_set_interval(struct schedule *s, uint64_t interval_ms, uint64_t now_ms)
{
    if (interval_ms == 0 || interval_ms == s->interval_ms)
        return;
    s->interval_ms = interval_ms;
    give_places(s);
    for (size_t i = 0; i < s->len; i++)
        if (s->items[i].probed)
            place(s, &s->items[i], now_ms);
}

/* ---- what is due ---- */

static struct item *first_due(const struct schedule *s)
{
    struct item *first = NULL;
    for (size_t i = 0; i < s->len; i++) {
        struct item *k = &s->items[i];
        if (!k->running && (first == NULL || k->due_ms < first->due_ms))
            first = k;
    }
    return first;
}

bool schedule_next(struct schedule *s, uint64_t now_ms, uint32_t *lane, uint32_t *family,
                   uint64_t *at_ms)
{
    struct item *i = first_due(s);
    *at_ms = i == NULL ? UINT64_MAX : i->due_ms > s->next_ms ? i->due_ms : s->next_ms;
    if (i == NULL || *at_ms > now_ms)
        return false;
    s->next_ms = now_ms + gap_ms(s);
    i->running = true;
    if (!i->probed)
        place(s, i, now_ms + s->interval_ms / 2);
    else if (i->again && i->base_ms > now_ms)
        set_due(s, i);
    else
        next_turn(s, i, now_ms);
    i->probed = true;
    i->again = false;
    *lane = i->lane;
    *family = i->family;
    return true;
}

void schedule_done(struct schedule *s, uint32_t lane, uint32_t family, bool ok)
{
    struct item *i = find(s, lane, family);
    if (i == NULL || !i->running)
        return;
    i->running = false;
    if (ok)
        i->failures = 0;
    else if (i->failures < INT32_MAX)
        i->failures++;
    uint64_t skipped = (cycles(s, i) - 1) * s->interval_ms;
    i->base_ms += skipped;
    i->due_ms += skipped;
}

void schedule_undone(struct schedule *s, uint32_t lane, uint32_t family, uint64_t now_ms)
{
    struct item *i = find(s, lane, family);
    if (i == NULL || !i->running)
        return;
    i->running = false;
    i->again = true;
    i->due_ms = now_ms;
}

void schedule_forgive(struct schedule *s, uint64_t now_ms)
{
    for (size_t k = 0; k < s->len; k++) {
        struct item *i = &s->items[k];
        if (i->failures > 1 && !i->running)
            place(s, i, now_ms);
        i->failures = i->failures > 0 ? 1 : 0;
    }
}
