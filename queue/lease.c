/* How it works: every lane that may stay with its holder stays; the free ones go, by number, to the
 * least loaded publisher that serves their route; then single lanes move from a heavier publisher
 * to one lighter by two or more, as long as there is such a pair. Where routes differ the way may
 * lead through a third one that serves both: it takes a lane of one route and hands on one of the
 * other. With two routes there is no longer way, so that nothing is left to even out at the end.
 *
 * What a publisher has of a route is a stack with its own lanes at the bottom: what it got just now
 * moves on first, and that costs nobody anything. */
#include "queue/lease.h"

#include <stdlib.h>
#include <string.h>

#define NOBODY (-1)

struct plan {
    struct lease_lane *lanes;
    int *below;                          /* by lane index: the next lane down its stack */
    size_t *load;                        /* by rank: lanes in its stacks */
    int *top;                            /* by rank and route: index of the stack's topmost lane */
    const struct lease_publisher **pubs; /* by rank: sorted by id */
    int *index;                          /* by rank: index in the caller's array */
    size_t pubs_len;
};

static int by_id(const void *a, const void *b, void *arg)
{
    const struct lease_publisher *pubs = arg;
    return memcmp(pubs[*(const int *)a].id, pubs[*(const int *)b].id, PUBLISHER_ID_LEN);
}

static int by_number(const void *a, const void *b, void *arg)
{
    const struct lease_lane *lanes = arg;
    uint32_t x = lanes[*(const int *)a].lane, y = lanes[*(const int *)b].lane;
    return x < y ? -1 : x > y;
}

static bool serves(const struct plan *p, size_t rank, enum route r)
{
    return !p->pubs[rank]->leaving && (p->pubs[rank]->routes & (1u << r)) != 0;
}

static int *top_of(struct plan *p, size_t rank, enum route r)
{
    return &p->top[rank * ROUTE_COUNT + r];
}

static void push(struct plan *p, size_t rank, int lane)
{
    int *top = top_of(p, rank, p->lanes[lane].route);
    p->below[lane] = *top;
    *top = lane;
    p->load[rank]++;
    p->lanes[lane].wanted = p->index[rank];
}

static void move(struct plan *p, size_t from, size_t to, enum route r)
{
    int *top = top_of(p, from, r);
    int lane = *top;
    *top = p->below[lane];
    p->load[from]--;
    push(p, to, lane);
}

/* The least loaded that serves `r`, the lowest id among equals; pubs_len when nobody does. */
static size_t lightest(const struct plan *p, enum route r)
{
    size_t best = p->pubs_len;
    for (size_t i = 0; i < p->pubs_len; i++)
        if (serves(p, i, r) && (best == p->pubs_len || p->load[i] < p->load[best]))
            best = i;
    return best;
}

/* One lane less for the heaviest, one more for the lightest. Of equal moves the one of a lane that
 * is not held by whom it leaves, as that costs nobody anything. */
static bool even_directly(struct plan *p)
{
    size_t from = p->pubs_len, to = p->pubs_len, most = 1;
    enum route route = 0;
    bool most_fresh = false;
    for (enum route r = 0; r < ROUTE_COUNT; r++) {
        size_t light = lightest(p, r);
        for (size_t i = 0; i < p->pubs_len && light < p->pubs_len; i++) {
            int top = *top_of(p, i, r);
            if (top == NOBODY || p->load[i] <= p->load[light] + 1)
                continue;
            size_t gain = p->load[i] - p->load[light];
            bool fresh = p->lanes[top].holder != p->index[i];
            if (gain > most || (gain == most && fresh && !most_fresh)) {
                from = i, to = light, route = r;
                most = gain, most_fresh = fresh;
            }
        }
    }
    if (from == p->pubs_len)
        return false;
    move(p, from, to, route);
    return true;
}

/* From the heaviest that has lanes of `r` to one that serves only `other`, through one that serves
 * both. */
static bool even_through(struct plan *p, enum route r, enum route other)
{
    size_t from = p->pubs_len, to = lightest(p, other);
    for (size_t i = 0; i < p->pubs_len; i++)
        if (*top_of(p, i, r) != NOBODY && (from == p->pubs_len || p->load[i] > p->load[from]))
            from = i;
    if (from == p->pubs_len || to == p->pubs_len || p->load[from] <= p->load[to] + 1)
        return false;
    for (size_t i = 0; i < p->pubs_len; i++) {
        if (i != from && i != to && serves(p, i, r) && *top_of(p, i, other) != NOBODY) {
            move(p, i, to, other);
            move(p, from, i, r);
            return true;
        }
    }
    return false;
}

static void even_out(struct plan *p)
{
    bool moved = true;
    while (moved) {
        moved = even_directly(p);
        for (enum route r = 0; r < ROUTE_COUNT && !moved; r++)
            for (enum route other = 0; other < ROUTE_COUNT && !moved; other++)
                moved = other != r && even_through(p, r, other);
    }
}

/* Where routes are mixed one may have lost a lane early and got another of the same route late: it
 * keeps its own, and whom that went to takes the other. */
static void undo_idle_moves(struct plan *p, const int *order, size_t lanes_len, const int *rank_of)
{
    for (size_t i = 0; i < lanes_len; i++) {
        struct lease_lane *mine = &p->lanes[order[i]];
        if (mine->holder == NOBODY || mine->wanted == NOBODY || mine->wanted == mine->holder ||
            !serves(p, (size_t)rank_of[mine->holder], mine->route))
            continue;
        int *top = top_of(p, (size_t)rank_of[mine->holder], mine->route);
        if (*top == NOBODY || p->lanes[*top].holder == mine->holder)
            continue;
        int other = *top, *at = top_of(p, (size_t)rank_of[mine->wanted], mine->route);
        while (*at != order[i])
            at = &p->below[*at];
        *top = p->below[other];
        p->below[other] = p->below[order[i]];
        *at = other;
        p->lanes[other].wanted = mine->wanted;
        mine->wanted = mine->holder;
    }
}

/* Two passes over the lanes in the order of their numbers: who may keep, keeps; then the free ones.
 */
static void hand_out(struct plan *p, const int *order, size_t lanes_len, const int *rank_of)
{
    for (size_t i = 0; i < lanes_len; i++) {
        struct lease_lane *l = &p->lanes[order[i]];
        l->wanted = NOBODY;
        if (l->holder != NOBODY && serves(p, (size_t)rank_of[l->holder], l->route))
            push(p, (size_t)rank_of[l->holder], order[i]);
    }
    for (size_t i = 0; i < lanes_len; i++) {
        struct lease_lane *l = &p->lanes[order[i]];
        size_t rank = l->wanted == NOBODY ? lightest(p, l->route) : p->pubs_len;
        if (rank < p->pubs_len)
            push(p, rank, order[i]);
    }
}

static int *numbers(size_t len)
{
    int *n = mem_new((len + 1) * sizeof *n);
    for (size_t i = 0; i < len; i++)
        n[i] = (int)i;
    return n;
}

void lease_plan(const struct lease_publisher *pubs, size_t pubs_len, struct lease_lane *lanes,
                size_t lanes_len)
{
    int *order = numbers(lanes_len), *rank_of = numbers(pubs_len);
    struct plan p = {.lanes = lanes,
                     .below = mem_new((lanes_len + 1) * sizeof *p.below),
                     .load = mem_zero(pubs_len + 1, sizeof *p.load),
                     .top = mem_new((pubs_len + 1) * ROUTE_COUNT * sizeof *p.top),
                     .pubs = mem_zero(pubs_len + 1, sizeof *p.pubs),
                     .index = numbers(pubs_len),
                     .pubs_len = pubs_len};
    qsort_r(order, lanes_len, sizeof *order, by_number, lanes);
    qsort_r(p.index, pubs_len, sizeof *p.index, by_id, (void *)pubs);
    for (size_t i = 0; i < pubs_len; i++) {
        p.pubs[i] = &pubs[p.index[i]];
        rank_of[p.index[i]] = (int)i;
    }
    for (size_t i = 0; i < pubs_len * ROUTE_COUNT; i++)
        p.top[i] = NOBODY;

    hand_out(&p, order, lanes_len, rank_of);
    even_out(&p);
    undo_idle_moves(&p, order, lanes_len, rank_of);

    free(order);
    free(rank_of);
    free(p.below);
    free(p.load);
    free(p.top);
    free(p.pubs);
    free(p.index);
}
