#include "tests/support/actor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the truth ---- */

void truth_init(struct truth *t, uint64_t seed)
{
    memset(t, 0, sizeof *t);
    rng_init(&t->rng, seed);
}

void truth_fini(struct truth *t)
{
    for (size_t lane = 0; lane < ACTOR_LANES_MAX; lane++) {
        for (size_t v = 0; v < ACTOR_VERSIONS_MAX; v++)
            free(t->definitions[lane][v]);
        free(t->ledger[lane]);
        free(t->asked[lane]);
    }
    free(t->kinds);
}

void truth_add(struct truth *t, uint32_t kind)
{
    t->head++;
    t->kinds = mem_grow(t->kinds, (t->head + 1) * sizeof *t->kinds);
    t->kinds[t->head] = kind;
    for (size_t lane = 0; lane < ACTOR_LANES_MAX; lane++) {
        t->ledger[lane] = mem_grow(t->ledger[lane], t->head + 1);
        t->ledger[lane][t->head] = SETTLED_NOT;
        t->asked[lane] = mem_grow(t->asked[lane], (t->head + 1) * sizeof(bool));
        t->asked[lane][t->head] = false;
    }
}

static void hear(struct truth *t, uint32_t lane, uint32_t version, const struct definition *d)
{
    if (lane >= ACTOR_LANES_MAX || version >= ACTOR_VERSIONS_MAX)
        die("a history with too many lanes or definitions");
    struct definition **at = &t->definitions[lane][version];
    if (!*at)
        *at = mem_new(sizeof **at);
    **at = *d;
}

static bool chance(struct truth *t, unsigned percent)
{
    return rng_below(&t->rng, 100) < percent;
}

/* ---- what it is told ---- */

void actor_init(struct actor *a, unsigned number)
{
    memset(a, 0, sizeof *a);
    holder_init(&a->h, number);
}

static void take_grant(struct actor *a, struct truth *t, const struct lane_grant *g)
{
    hear(t, g->lane, g->definition_version, &g->definition);
    struct actor_lane *l = &a->lanes[g->lane];
    *l = (struct actor_lane){.next_version = g->definition_version};
    if (g->next_version > g->definition_version) {
        hear(t, g->lane, g->next_version, &g->next);
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
static void take_kept(struct actor *a, struct truth *t, const struct lane_kept *k)
{
    struct actor_lane *l = &a->lanes[k->lane];
    struct holder_lane *h = holder_lane(&a->h, k->lane);
    if (k->next) {
        hear(t, k->lane, k->next_version, k->next);
        l->next_version = k->next_version;
    }
    l->requests_len = k->requests_len;
    for (size_t i = 0; i < k->requests_len; i++)
        l->requests[i] = k->requests[i];
    if (k->floor > h->position && chance(t, 50)) {
        drop_exceptions(l, k->floor);
        h->position = h->floor = k->floor;
    }
}

void actor_take(struct actor *a, struct truth *t, const struct lease_reply *r)
{
    holder_take(&a->h, r);
    for (size_t i = 0; i < r->kept_len; i++)
        take_kept(a, t, &r->kept[i]);
    for (size_t i = 0; i < r->grants_len; i++)
        take_grant(a, t, &r->grants[i]);
}

/* ---- what it commits ---- */

static void settle(struct actor_commit *out, uint64_t pos, enum settled as)
{
    out->settled_pos[out->settled_len] = pos;
    out->settled_as[out->settled_len++] = as;
}

static void add_row(struct truth *t, struct actor_commit *out, uint64_t pos, uint32_t attempts)
{
    static const struct {
        enum row_end end;
        enum row_class cls;
    } ends[] = {{ROW_FAILED, CLASS_BLOCKED},    {ROW_FAILED, CLASS_TIMEOUT},
                {ROW_FAILED, CLASS_INVALID},    {ROW_SKIPPED, CLASS_SUPERSEDED},
                {ROW_SKIPPED, CLASS_EPHEMERAL}, {ROW_EXPIRED, CLASS_RETENTION}};
    size_t which = (size_t)rng_below(&t->rng, COUNT_OF(ends));
    struct row *r = &out->rows[out->c.rows_added_len++];
    *r = (struct row){.from = pos,
                      .to = pos,
                      .end = ends[which].end,
                      .cls = ends[which].cls,
                      .attempts = attempts,
                      .first_ms = t->now_ms - 10,
                      .last_ms = t->now_ms,
                      .route = (enum route)rng_below(&t->rng, ROUTE_COUNT),
                      .family = (enum family)rng_below(&t->rng, FAMILY_COUNT)};
    (void)snprintf(r->text, sizeof r->text, "words %u", (unsigned)rng_below(&t->rng, 1000));
    settle(out, pos, SETTLED_ROW);
}

static void add_exception(struct truth *t, struct actor_commit *out, uint64_t pos,
                          uint32_t attempts)
{
    out->exceptions[out->c.exceptions_len++] =
        (struct exception){.pos = pos,
                           .attempts = attempts,
                           .flags = (uint32_t)rng_below(&t->rng, 4),
                           .not_before_ms = chance(t, 50) ? 0 : t->now_ms + 1000};
}

static void deliver_late(struct actor_commit *out, uint64_t pos)
{
    out->removed[out->c.rows_removed_len++] = pos; /* in case it failed before */
    out->c.delivered++;
    settle(out, pos, SETTLED_DELIVERED);
}

/* What comes of a position that was set aside, or is asked for once more. */
static void try_again(struct truth *t, struct actor_commit *out, uint64_t pos, uint32_t attempts,
                      bool may_wait)
{
    if (may_wait && chance(t, 60))
        add_exception(t, out, pos, attempts + (uint32_t)rng_below(&t->rng, 2));
    else if (chance(t, 60))
        deliver_late(out, pos);
    else
        add_row(t, out, pos, attempts + 1);
}

static void try_new(struct truth *t, struct actor_commit *out, const struct definition *d,
                    uint64_t pos, bool may_wait)
{
    if (!definition_allows(d, t->kinds[pos])) {
        settle(out, pos, SETTLED_FILTERED);
    } else if (may_wait && chance(t, 15)) {
        add_exception(t, out, pos, 0);
    } else if (chance(t, 15)) {
        add_row(t, out, pos, 1);
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

static void add_numbers(struct truth *t, struct actor_commit *out)
{
    struct lane_commit *c = &out->c;
    c->stalls = (uint32_t)rng_below(&t->rng, 3);
    c->learned = (struct learned){.window = (uint32_t)rng_below(&t->rng, 256),
                                  .rate_per_1000s = (uint32_t)rng_below(&t->rng, 9),
                                  .family = (enum family)rng_below(&t->rng, FAMILY_COUNT),
                                  .ipv6_failures = (uint32_t)rng_below(&t->rng, 4)};
    if (chance(t, 70))
        return;
    out->path = (struct path_stat){.route = (enum route)rng_below(&t->rng, ROUTE_COUNT),
                                   .family = (enum family)rng_below(&t->rng, FAMILY_COUNT),
                                   .attempts = 2,
                                   .successes = 1,
                                   .failures = 1,
                                   .connect_us = rng_below(&t->rng, 1000),
                                   .last_success_ms = t->now_ms};
    c->paths = &out->path;
    c->paths_len = 1;
}

void actor_next(struct actor *a, struct truth *t, uint32_t lane, struct actor_commit *out)
{
    const struct actor_lane *l = &a->lanes[lane];
    const struct holder_lane *h = holder_lane(&a->h, lane);
    memset(out, 0, sizeof *out);
    uint64_t left = t->head > h->position ? t->head - h->position : 0;
    uint64_t step = rng_below(&t->rng, (left < ACTOR_STEP_MAX ? left : ACTOR_STEP_MAX) + 1);
    out->c = holder_next(&a->h, lane, h->position + step);
    if (l->next_version > h->version && chance(t, 70))
        out->c.definition_version = l->next_version;
    const struct definition *d = t->definitions[lane][h->version];
    bool may_wait = l->exceptions_len + QUEUE_REQUESTS_MAX + ACTOR_STEP_MAX < ACTOR_EXCEPTIONS_MAX;
    for (size_t i = 0; i < l->exceptions_len; i++)
        try_again(t, out, l->exceptions[i].pos, l->exceptions[i].attempts, may_wait);
    size_t taken = (size_t)rng_below(&t->rng, l->requests_len + 1);
    for (size_t i = 0; i < taken && l->requests[i].pos <= h->position; i++) {
        uint64_t pos = l->requests[i].pos;
        out->c.requests_taken = l->requests[i].number;
        t->asked[lane][pos] = true;
        /* What a filter would stop now is not sent: its row stays as it is. */
        if (!is_exception(l, pos) && definition_allows(d, t->kinds[pos]))
            try_again(t, out, pos, 0, may_wait);
    }
    for (uint64_t pos = h->position + 1; pos <= out->c.position; pos++)
        try_new(t, out, d, pos, may_wait);
    qsort(out->exceptions, out->c.exceptions_len, sizeof *out->exceptions, by_position);
    add_numbers(t, out);
    out->c.exceptions = out->exceptions;
    out->c.rows_added = out->rows;
    out->c.rows_removed = out->removed;
}

void actor_spoil(struct truth *t, struct actor_commit *c)
{
    switch (rng_below(&t->rng, 5)) {
    case 0:
        c->c.seq++;
        break;
    case 1:
        c->c.position = t->head + 1 + rng_below(&t->rng, 3);
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

void actor_done(struct actor *a, struct truth *t, const struct actor_commit *c,
                const struct lane_committed *r)
{
    if (r->status != COMMIT_DONE)
        return;
    for (size_t i = 0; i < c->settled_len; i++)
        t->ledger[c->c.lane][c->settled_pos[i]] = (uint8_t)c->settled_as[i];
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
