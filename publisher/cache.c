#include "publisher/cache.h"

#include <stdlib.h>
#include <utlist.h>

#define AHEAD_FIRST 256u
#define AHEAD_MIN   16u
#define AHEAD_MAX   1024u
#define SAMPLE_LEN  64u /* evictions looked at before the reach is changed */

void cache_init(struct cache *c, size_t max)
{
    *c = (struct cache){.max = max, .turn = 1, .ahead = AHEAD_FIRST};
}

struct cache_entry *cache_find(const struct cache *c, uint64_t pos)
{
    struct cache_entry *e = NULL;
    HASH_FIND(hh, c->by_pos, &pos, sizeof pos, e);
    return e;
}

bool cache_usable(const struct cache *c, const struct cache_entry *e)
{
    return e != NULL && (e->gen == c->gen || e->turn == c->turn);
}

static size_t cost_of(const struct queue_event *ev)
{
    return sizeof(struct cache_entry) +
           (ev->event != NULL ? sizeof(struct event) + ev->event->len : 0);
}

static void account(struct cache *c, struct cache_entry *e, size_t cost)
{
    size_t *bytes = e->cold ? &c->cold_bytes : &c->hot_bytes;
    *bytes = *bytes - e->cost + cost;
    e->cost = cost;
}

static void drop(struct cache *c, struct cache_entry *e)
{
    account(c, e, 0);
    HASH_DEL(c->by_pos, e);
    if (e->cold)
        DL_DELETE(c->cold, e);
    else
        DL_DELETE(c->hot, e);
    event_unref(e->ev.event);
    free(e);
}

/* Too much read for nothing: reach less far. Nearly nothing: reach further. */
static void learn_reach(struct cache *c, const struct cache_entry *e)
{
    if (e->used)
        c->evicted_used++;
    else
        c->evicted_unused++;
    if (c->evicted_used + c->evicted_unused < SAMPLE_LEN)
        return;
    if (c->evicted_unused > SAMPLE_LEN / 2 && c->ahead > AHEAD_MIN)
        c->ahead /= 2;
    else if (c->evicted_unused < SAMPLE_LEN / 8 && c->ahead < AHEAD_MAX)
        c->ahead *= 2;
    c->evicted_used = c->evicted_unused = 0;
}

static struct cache_entry *victim(const struct cache *c)
{
    struct cache_entry *cold = c->cold, *hot = c->hot;
    if (cold != NULL && cold->turn == c->turn)
        cold = NULL; /* nobody could take it yet */
    if (hot != NULL && hot->turn == c->turn)
        hot = NULL;
    if (cold != NULL && (hot == NULL || c->cold_bytes > c->max / 4))
        return cold;
    return hot;
}

void cache_evict(struct cache *c)
{
    while (c->hot_bytes + c->cold_bytes > c->max) {
        struct cache_entry *e = victim(c);
        if (e == NULL)
            return;
        if (e->cold)
            learn_reach(c, e);
        drop(c, e);
    }
}

struct cache_entry *cache_put(struct cache *c, const struct queue_event *ev, bool cold,
                              uint64_t gen)
{
    struct cache_entry *e = cache_find(c, ev->pos);
    if (e == NULL) {
        e = mem_zero(1, sizeof *e);
        e->cold = cold;
        e->ev.pos = ev->pos;
        HASH_ADD(hh, c->by_pos, ev.pos, sizeof e->ev.pos, e);
        if (cold)
            DL_APPEND(c->cold, e);
        else
            DL_APPEND(c->hot, e);
    }
    struct event *old = e->ev.event;
    e->ev = *ev;
    if (ev->event != NULL)
        event_ref(ev->event);
    event_unref(old);
    e->gen = gen;
    account(c, e, cost_of(ev));
    return e;
}

void cache_fini(struct cache *c)
{
    struct cache_entry *e, *next;
    HASH_ITER(hh, c->by_pos, e, next)
    drop(c, e);
}
