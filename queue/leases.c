#include "queue/leases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct publisher {
    uint8_t id[PUBLISHER_ID_LEN];
    char name[PUBLISHER_NAME_SIZE];
    uint32_t routes;
    bool leaving;
    bool called; /* false: known only as a durable holder from before a restart */
    uint64_t ends_ms;
};

struct lane {
    uint32_t lane;
    enum route route;
    struct publisher *holder; /* NULL: nobody */
    struct publisher *wanted; /* by the plan; valid while `planned` */
    uint64_t epoch;
    uint64_t free_ms; /* since when, while nobody holds it */
    uint64_t named;   /* number of the last call that named it */
    bool told;        /* `live` is the holder's own */
    struct lane_live live;
};

struct leases {
    struct lane *lanes; /* sorted by number */
    size_t lanes_len;
    struct publisher **pubs;
    size_t pubs_len, pubs_cap;
    bool planned; /* `wanted` holds; false after anybody came, went or changed, or lanes did */
    uint64_t calls;
    uint64_t now_ms; /* of the last call that had a time */
    uint64_t news;
    /* The arrays lent to the caller; each has room for all lanes, `lost` for all held of a call. */
    struct lease_ref *refs;
    uint32_t *grants, *lost;
    struct lease_keep *kept;
    size_t lost_cap;
};

struct leases *leases_new(void)
{
    return mem_zero(1, sizeof(struct leases));
}

void leases_free(struct leases *l)
{
    if (l == NULL)
        return;
    for (size_t i = 0; i < l->pubs_len; i++)
        free(l->pubs[i]);
    free(l->pubs);
    free(l->lanes);
    free(l->refs);
    free(l->grants);
    free(l->lost);
    free(l->kept);
    free(l);
}

static int by_lane(const void *a, const void *b)
{
    uint32_t x = ((const struct lane *)a)->lane, y = ((const struct lane *)b)->lane;
    return x < y ? -1 : x > y;
}

static struct lane *find_lane(const struct leases *l, uint32_t number)
{
    struct lane key = {.lane = number};
    if (l->lanes_len == 0)
        return NULL;
    return bsearch(&key, l->lanes, l->lanes_len, sizeof key, by_lane);
}

static struct publisher *find_publisher(const struct leases *l, const uint8_t *id)
{
    for (size_t i = 0; i < l->pubs_len; i++)
        if (memcmp(l->pubs[i]->id, id, PUBLISHER_ID_LEN) == 0)
            return l->pubs[i];
    return NULL;
}

static struct publisher *add_publisher(struct leases *l, const uint8_t *id)
{
    if (l->pubs_len == l->pubs_cap) {
        l->pubs_cap = l->pubs_cap == 0 ? 8 : l->pubs_cap * 2;
        l->pubs = mem_grow(l->pubs, l->pubs_cap * sizeof(struct publisher *));
    }
    struct publisher *p = mem_zero(1, sizeof *p);
    memcpy(p->id, id, PUBLISHER_ID_LEN);
    l->pubs[l->pubs_len++] = p;
    l->planned = false;
    return p;
}

/* A lane that is new here: free, or its durable holder's, who is given one term to call. */
static struct lane new_lane(struct leases *l, const struct store_lane *s, uint64_t now_ms)
{
    struct lane lane = {.lane = s->lane, .route = s->route, .epoch = s->epoch, .free_ms = now_ms};
    static const uint8_t none[PUBLISHER_ID_LEN];
    if (memcmp(s->holder, none, sizeof none) == 0)
        return lane;
    lane.holder = find_publisher(l, s->holder);
    if (lane.holder == NULL) {
        lane.holder = add_publisher(l, s->holder);
        lane.holder->ends_ms = now_ms + LEASE_TERM_MS;
    }
    if (!lane.holder->called)
        lane.holder->routes |= 1u << s->route;
    return lane;
}

void leases_load(struct leases *l, const struct store_lane *lanes, size_t len, uint64_t now_ms)
{
    struct lane *now = mem_zero(len + 1, sizeof *now);
    for (size_t i = 0; i < len; i++) {
        const struct lane *old = find_lane(l, lanes[i].lane);
        now[i] = old != NULL ? *old : new_lane(l, &lanes[i], now_ms);
        now[i].route = lanes[i].route;
    }
    qsort(now, len, sizeof *now, by_lane);
    free(l->lanes);
    l->lanes = now;
    l->lanes_len = len;
    l->now_ms = now_ms;
    l->planned = false;
    l->news++;
    l->refs = mem_grow(l->refs, (len + 1) * sizeof *l->refs);
    l->grants = mem_grow(l->grants, (len + 1) * sizeof *l->grants);
    l->kept = mem_grow(l->kept, (len + 1) * sizeof *l->kept);
}

enum err leases_renew(struct leases *l, const struct lease_call *call, uint64_t now_ms)
{
    struct publisher *p = find_publisher(l, call->publisher);
    if (p == NULL) {
        if (l->pubs_len >= LEASES_PUBLISHERS_MAX)
            return ERR_FULL;
        p = add_publisher(l, call->publisher);
    }
    if (p->routes != call->routes || p->leaving != call->leaving)
        l->planned = false;
    l->now_ms = now_ms;
    (void)snprintf(p->name, sizeof p->name, "%s", call->name);
    p->routes = call->routes;
    p->leaving = call->leaving;
    p->called = true;
    p->ends_ms = now_ms + LEASE_TERM_MS;
    return ERR_NONE;
}

/* Nobody holds it; noted in refs[*len]. */
static void set_free(struct leases *l, struct lane *lane, size_t *len)
{
    l->refs[(*len)++] = (struct lease_ref){lane->lane, lane->epoch};
    lane->holder = NULL;
    lane->told = false;
    lane->free_ms = l->now_ms;
    l->news++;
}

/* Everything that stands for a publisher who is gone. */
static void forget(struct leases *l, const struct publisher *p, size_t *len)
{
    for (size_t k = 0; k < l->lanes_len; k++) {
        if (l->lanes[k].holder == p)
            set_free(l, &l->lanes[k], len);
        if (l->lanes[k].wanted == p)
            l->lanes[k].wanted = NULL;
    }
    l->planned = false;
    l->news++;
}

void leases_expire(struct leases *l, uint64_t now_ms, const struct lease_ref **freed,
                   size_t *freed_len)
{
    size_t left = 0, len = 0;
    l->now_ms = now_ms;
    for (size_t i = 0; i < l->pubs_len; i++) {
        struct publisher *p = l->pubs[i];
        if (p->ends_ms > now_ms) {
            l->pubs[left++] = p;
            continue;
        }
        forget(l, p, &len);
        free(p);
    }
    l->pubs_len = left;
    *freed = l->refs;
    *freed_len = len;
}

static int index_of(const struct leases *l, const struct publisher *p)
{
    for (size_t i = 0; i < l->pubs_len; i++)
        if (l->pubs[i] == p)
            return (int)i;
    return -1;
}

static void make_plan(struct leases *l)
{
    struct lease_publisher *pubs = mem_zero(l->pubs_len + 1, sizeof *pubs);
    struct lease_lane *lanes = mem_zero(l->lanes_len + 1, sizeof *lanes);
    for (size_t i = 0; i < l->pubs_len; i++) {
        memcpy(pubs[i].id, l->pubs[i]->id, PUBLISHER_ID_LEN);
        pubs[i].routes = l->pubs[i]->routes;
        pubs[i].leaving = l->pubs[i]->leaving;
    }
    for (size_t i = 0; i < l->lanes_len; i++)
        lanes[i] = (struct lease_lane){.lane = l->lanes[i].lane,
                                       .route = l->lanes[i].route,
                                       .holder = index_of(l, l->lanes[i].holder)};
    lease_plan(pubs, l->pubs_len, lanes, l->lanes_len);
    bool moved = false;
    for (size_t i = 0; i < l->lanes_len; i++) {
        struct publisher *wanted = lanes[i].wanted < 0 ? NULL : l->pubs[lanes[i].wanted];
        moved |= l->lanes[i].wanted != wanted;
        l->lanes[i].wanted = wanted;
    }
    l->news += moved;
    l->planned = true;
    free(pubs);
    free(lanes);
}

/* Sorts what the caller names into its own (given back or kept) and what it lost. */
static void look_at_held(struct leases *l, const struct publisher *p, const struct lease_call *call,
                         struct lease_answer *out)
{
    for (size_t i = 0; i < call->held_len; i++) {
        const struct lease_held *h = &call->held[i];
        struct lane *lane = find_lane(l, h->lane);
        if (lane != NULL && lane->named == l->calls)
            continue; /* named twice */
        if (lane == NULL || lane->holder != p || lane->epoch != h->epoch) {
            l->lost[out->lost_len++] = h->lane;
            continue;
        }
        lane->named = l->calls;
        if (h->give_back) {
            set_free(l, lane, &out->released_len);
            continue;
        }
        lane->live = h->live;
        lane->told = true;
        l->kept[out->kept_len++] = (struct lease_keep){lane->lane, lane->epoch, false};
    }
}

/* What is free and the caller's by the plan, as much as one answer takes. */
static void grant_free(struct leases *l, struct publisher *p, struct lease_answer *out)
{
    for (size_t i = 0; i < l->lanes_len; i++) {
        struct lane *lane = &l->lanes[i];
        if (lane->holder != NULL || lane->wanted != p)
            continue;
        if (out->grants_len == LEASES_GRANTS_MAX) {
            l->news++; /* the next call brings more */
            return;
        }
        lane->holder = p;
        l->grants[out->grants_len++] = lane->lane;
    }
}

void leases_answer(struct leases *l, const struct lease_call *call, struct lease_answer *out)
{
    struct publisher *p = find_publisher(l, call->publisher);
    if (p == NULL)
        die("leases_answer: the caller was not renewed");
    if (call->held_len > l->lost_cap) {
        l->lost_cap = call->held_len;
        l->lost = mem_grow(l->lost, l->lost_cap * sizeof *l->lost);
    }
    *out = (struct lease_answer){
        .released = l->refs, .grants = l->grants, .kept = l->kept, .lost = l->lost};
    l->calls++;
    look_at_held(l, p, call, out);
    for (size_t i = 0; i < l->lanes_len; i++)
        if (l->lanes[i].holder == p && l->lanes[i].named != l->calls)
            set_free(l, &l->lanes[i], &out->released_len);
    if (!l->planned)
        make_plan(l);
    for (size_t i = 0; i < out->kept_len; i++)
        l->kept[i].give_back = find_lane(l, l->kept[i].lane)->wanted != p;
    grant_free(l, p, out);
}

void leases_granted(struct leases *l, uint32_t lane, const uint8_t publisher[PUBLISHER_ID_LEN],
                    uint64_t epoch)
{
    struct lane *at = find_lane(l, lane);
    if (at == NULL || at->holder == NULL ||
        memcmp(at->holder->id, publisher, PUBLISHER_ID_LEN) != 0)
        die("leases_granted: lane %u was not granted", lane);
    at->epoch = epoch;
}

void leases_not_held(struct leases *l, uint32_t lane)
{
    struct lane *at = find_lane(l, lane);
    if (at != NULL && at->live.state == LANE_HELD)
        at->live.state = LANE_IDLE;
}

void leases_status(const struct leases *l, uint32_t lane, int64_t wall_ms, uint64_t now_ms,
                   struct lane_live *live, char publisher[PUBLISHER_NAME_SIZE])
{
    const struct lane *at = find_lane(l, lane);
    *live = (struct lane_live){.state = LANE_UNLEASED};
    memset(publisher, 0, PUBLISHER_NAME_SIZE);
    if (at == NULL)
        return;
    if (at->holder == NULL) {
        live->since_ms = wall_ms - (int64_t)(now_ms - at->free_ms);
        return;
    }
    live->state = LANE_IDLE;
    if (at->told)
        *live = at->live;
    memcpy(publisher, at->holder->name, PUBLISHER_NAME_SIZE);
}

uint64_t leases_news(const struct leases *l)
{
    return l->news;
}

size_t leases_lanes(const struct leases *l)
{
    return l->lanes_len;
}

uint64_t leases_next_expiry(const struct leases *l)
{
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < l->pubs_len; i++)
        if (l->pubs[i]->ends_ms < first)
            first = l->pubs[i]->ends_ms;
    return first;
}
