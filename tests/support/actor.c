#include "tests/support/actor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the world ---- */

void world_init(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    rng_init(&w->rng, seed);
}

void world_fini(struct world *w)
{
    for (size_t lane = 0; lane < ACTOR_LANES_MAX; lane++) {
        for (size_t v = 0; v < ACTOR_VERSIONS_MAX; v++)
            free(w->definitions[lane][v]);
        free(w->ledger[lane]);
        free(w->asked[lane]);
    }
    free(w->kinds);
}

void world_add(struct world *w, uint32_t kind)
{
    w->head++;
    w->kinds = mem_grow(w->kinds, (w->head + 1) * sizeof *w->kinds);
    w->kinds[w->head] = kind;
    for (size_t lane = 0; lane < ACTOR_LANES_MAX; lane++) {
        w->ledger[lane] = mem_grow(w->ledger[lane], w->head + 1);
        w->ledger[lane][w->head] = SETTLED_NOT;
        w->asked[lane] = mem_grow(w->asked[lane], (w->head + 1) * sizeof(bool));
        w->asked[lane][w->head] = false;
    }
}

static void hear(struct world *w, uint32_t lane, uint32_t version, const struct definition *d)
{
    if (lane >= ACTOR_LANES_MAX || version >= ACTOR_VERSIONS_MAX)
        die("a history with too many lanes or definitions");
    struct definition **at = &w->definitions[lane][version];
    if (!*at)
        *at = mem_new(sizeof **at);
    **at = *d;
}

static bool chance(struct world *w, unsigned percent)
{
    return rng_below(&w->rng, 100) < percent;
}

/* ---- what it is told ---- */

void actor_init(struct actor *a, unsigned number)
{
    memset(a, 0, sizeof *a);
    holder_init(&a->h, number);
}

static void take_grant(struct actor *a, struct world *w, const struct lane_grant *g)
{
    hear(w, g->lane, g->definition_version, &g->definition);
    struct actor_lane *l = &a->lanes[g->lane];
    *l = (struct actor_lane){.next_version = g->definition_version};
    if (g->next_version > g->definition_version) {
        hear(w, g->lane, g->next_version, &g->next);
        l->next_version = g->next_version;
    }
    if (g->exceptions_len > ACTOR_EXCEPTIONS_MAX)
        die("a history with too many exceptions");
    for (size_t i = 0; i < g->exceptions_len; i++)
        l->exceptions[l->exceptions_len++] = g->exceptions[i];
    for (size_t i = 0; i < g->requests_len; i++)
        l->requests[l->requests_len++] = g->requests[i];
}

static void drop_exceptions(struct actor_lane *l, uint64_t up_to)
{
    size_t left = 0;
    for (size_t i = 0; i < l->exceptions_len; i++) {
        if (l->exceptions[i].pos > up_to)
            l->exceptions[left++] = l->exceptions[i];
    }
    l->exceptions_len = left;
}

/* It believes the queue about the floor now, or only when a commit is answered. */
static void take_kept(struct actor *a, struct world *w, const struct lane_kept *k)
{
    struct actor_lane *l = &a->lanes[k->lane];
    struct holder_lane *h = holder_lane(&a->h, k->lane);
    if (k->next) {
        hear(w, k->lane, k->next_version, k->next);
        l->next_version = k->next_version;
    }
    l->requests_len = k->requests_len;
    for (size_t i = 0; i < k->requests_len; i++)
        l->requests[i] = k->requests[i];
    if (k->floor > h->position && chance(w, 50)) {
        drop_exceptions(l, k->floor);
        h->position = h->floor = k->floor;
    }
}

void actor_take(struct actor *a, struct world *w, const struct lease_reply *r)
{
    holder_take(&a->h, r);
    for (size_t i = 0; i < r->kept_len; i++)
        take_kept(a, w, &r->kept[i]);
    for (size_t i = 0; i < r->grants_len; i++)
        take_grant(a, w, &r->grants[i]);
}

/* ---- what it commits ---- */

static void settle(struct actor_commit *out, uint64_t pos, enum settled as)
{
    out->settled_pos[out->settled_len] = pos;
    out->settled_as[out->settled_len++] = as;
}

static void add_row(struct world *w, struct actor_commit *out, uint64_t pos, uint32_t attempts)
{
    static const struct {
        enum row_end end;
        enum row_class cls;
    } ends[] = {{ROW_FAILED, CLASS_BLOCKED},    {ROW_FAILED, CLASS_TIMEOUT},
                {ROW_FAILED, CLASS_INVALID},    {ROW_SKIPPED, CLASS_SUPERSEDED},
                {ROW_SKIPPED, CLASS_EPHEMERAL}, {ROW_EXPIRED, CLASS_RETENTION}};
    size_t which = (size_t)rng_below(&w->rng, COUNT_OF(ends));
    struct row *r = &out->rows[out->c.rows_added_len++];
    *r = (struct row){.from = pos,
                      .to = pos,
                      .end = ends[which].end,
                      .cls = ends[which].cls,
                      .attempts = attempts,
                      .first_ms = w->now_ms - 10,
                      .last_ms = w->now_ms,
                      .route = (enum route)rng_below(&w->rng, ROUTE_COUNT),
                      .family = (enum family)rng_below(&w->rng, FAMILY_COUNT)};
    (void)snprintf(r->text, sizeof r->text, "words %u", (unsigned)rng_below(&w->rng, 1000));
    settle(out, pos, SETTLED_ROW);
}

static void add_exception(struct world *w, struct actor_commit *out, uint64_t pos,
                          uint32_t attempts)
{
    out->exceptions[out->c.exceptions_len++] =
        (struct exception){.pos = pos,
                           .attempts = attempts,
                           .flags = (uint32_t)rng_below(&w->rng, 4),
                           .not_before_ms = chance(w, 50) ? 0 : w->now_ms + 1000};
}

static void deliver_late(struct actor_commit *out, uint64_t pos)
{
    out->removed[out->c.rows_removed_len++] = pos; /* in case it failed before */
    out->c.delivered++;
    settle(out, pos, SETTLED_DELIVERED);
}

/* What comes of a position that was set aside, or is asked for once more. */
static void try_again(struct world *w, struct actor_commit *out, uint64_t pos, uint32_t attempts,
                      bool may_wait)
{
    if (may_wait && chance(w, 60))
        add_exception(w, out, pos, attempts + (uint32_t)rng_below(&w->rng, 2));
    else if (chance(w, 60))
        deliver_late(out, pos);
    else
        add_row(w, out, pos, attempts + 1);
}

static void try_new(struct world *w, struct actor_commit *out, const struct definition *d,
                    uint64_t pos, bool may_wait)
{
    if (!definition_allows(d, w->kinds[pos])) {
        settle(out, pos, SETTLED_FILTERED);
    } else if (may_wait && chance(w, 15)) {
        add_exception(w, out, pos, 0);
    } else if (chance(w, 15)) {
        add_row(w, out, pos, 1);
    } else {
        out->c.delivered++;
        settle(out, pos, SETTLED_DELIVERED);
    }
}

static bool is_exception(const struct actor_lane *l, uint64_t pos)
{
    for (size_t i = 0; i < l->exceptions_len; i++) {
        if (l->exceptions[i].pos == pos)
            return true;
    }
    return false;
}

static int by_position(const void *a, const void *b)
{
    uint64_t x = ((const struct exception *)a)->pos, y = ((const struct exception *)b)->pos;
    return x < y ? -1 : x > y;
}

static void add_numbers(struct world *w, struct actor_commit *out)
{
    struct lane_commit *c = &out->c;
    c->stalls = (uint32_t)rng_below(&w->rng, 3);
    c->learned = (struct learned){.window = (uint32_t)rng_below(&w->rng, 256),
                                  .rate_per_1000s = (uint32_t)rng_below(&w->rng, 9),
                                  .family = (enum family)rng_below(&w->rng, FAMILY_COUNT),
                                  .ipv6_failures = (uint32_t)rng_below(&w->rng, 4)};
    if (chance(w, 70))
        return;
    out->path = (struct path_stat){.route = (enum route)rng_below(&w->rng, ROUTE_COUNT),
                                   .family = (enum family)rng_below(&w->rng, FAMILY_COUNT),
                                   .attempts = 2,
                                   .successes = 1,
                                   .failures = 1,
                                   .connect_us = rng_below(&w->rng, 1000),
                                   .last_success_ms = w->now_ms};
    c->paths = &out->path;
    c->paths_len = 1;
}

void actor_next(struct actor *a, struct world *w, uint32_t lane, struct actor_commit *out)
{
    const struct actor_lane *l = &a->lanes[lane];
    const struct holder_lane *h = holder_lane(&a->h, lane);
    memset(out, 0, sizeof *out);
    uint64_t left = w->head > h->position ? w->head - h->position : 0;
    uint64_t step = rng_below(&w->rng, (left < ACTOR_STEP_MAX ? left : ACTOR_STEP_MAX) + 1);
    out->c = holder_next(&a->h, lane, h->position + step);
    if (l->next_version > h->version && chance(w, 70))
        out->c.definition_version = l->next_version;
    const struct definition *d = w->definitions[lane][h->version];
    bool may_wait = l->exceptions_len + QUEUE_REQUESTS_MAX + ACTOR_STEP_MAX < ACTOR_EXCEPTIONS_MAX;
    for (size_t i = 0; i < l->exceptions_len; i++)
        try_again(w, out, l->exceptions[i].pos, l->exceptions[i].attempts, may_wait);
    size_t taken = (size_t)rng_below(&w->rng, l->requests_len + 1);
    for (size_t i = 0; i < taken && l->requests[i].pos <= h->position; i++) {
        uint64_t pos = l->requests[i].pos;
        out->c.requests_taken = l->requests[i].number;
        w->asked[lane][pos] = true;
        /* What a filter would stop now is not sent: its row stays as it is. */
        if (!is_exception(l, pos) && definition_allows(d, w->kinds[pos]))
            try_again(w, out, pos, 0, may_wait);
    }
    for (uint64_t pos = h->position + 1; pos <= out->c.position; pos++)
        try_new(w, out, d, pos, may_wait);
    qsort(out->exceptions, out->c.exceptions_len, sizeof *out->exceptions, by_position);
    add_numbers(w, out);
    out->c.exceptions = out->exceptions;
    out->c.rows_added = out->rows;
    out->c.rows_removed = out->removed;
}

void actor_spoil(struct world *w, struct actor_commit *c)
{
    switch (rng_below(&w->rng, 5)) {
    case 0:
        c->c.seq++;
        break;
    case 1:
        c->c.position = w->head + 1 + rng_below(&w->rng, 3);
        break;
    case 2:
        c->c.definition_version = ACTOR_VERSIONS_MAX;
        break;
    case 3:
        c->c.requests_taken = UINT64_MAX;
        break;
    default:
        c->exceptions[0] = (struct exception){.pos = c->c.position + 1};
        c->c.exceptions_len = 1;
        break;
    }
}

void actor_done(struct actor *a, struct world *w, const struct actor_commit *c,
                const struct lane_committed *r)
{
    if (r->status != COMMIT_DONE)
        return;
    for (size_t i = 0; i < c->settled_len; i++)
        w->ledger[c->c.lane][c->settled_pos[i]] = (uint8_t)c->settled_as[i];
    struct holder_lane *h = holder_lane(&a->h, c->c.lane);
    if (!h || h->epoch != c->c.epoch)
        return;
    struct actor_lane *l = &a->lanes[c->c.lane];
    h->seq = c->c.seq;
    h->position = r->position;
    h->version = c->c.definition_version;
    memcpy(l->exceptions, c->exceptions, c->c.exceptions_len * sizeof *l->exceptions);
    l->exceptions_len = c->c.exceptions_len;
    size_t left = 0;
    for (size_t i = 0; i < l->requests_len; i++) {
        if (l->requests[i].number > c->c.requests_taken)
            l->requests[left++] = l->requests[i];
    }
    l->requests_len = left;
    if (r->position > c->c.position) {
        drop_exceptions(l, r->position);
        h->floor = r->position;
    }
}
