/* Birth, what the lane wants, and what it is told about events. See lane_internal.h for the rest.
 *
 * The order of choice: a due retry, oldest first; then the next position of the log; a suspect when
 * its neighbours had their turn, or nothing else is to be done. */
#include "publisher/lane_internal.h"

#include "common/base/backoff.h"

#include <stdlib.h>

uint64_t lane_backoff(struct lane *l, uint32_t failures)
{
    return backoff_ms(failures, l->limits.backoff_min_ms, l->limits.backoff_max_ms, &l->rng);
}

/* A durable not-before, never further away than the longest wait we would choose ourselves: clocks
 * jump. */
static uint64_t due_from_wall(const struct lane *l, int64_t not_before_ms, uint64_t now_ms)
{
    int64_t wait_ms = not_before_ms - ((int64_t)now_ms + l->wall_offset_ms);
    if (not_before_ms == 0 || wait_ms <= 0)
        return 0;
    if ((uint64_t)wait_ms > l->limits.backoff_max_ms)
        return now_ms + l->limits.backoff_max_ms;
    return now_ms + (uint64_t)wait_ms;
}

static void take_exceptions(struct lane *l, const struct lane_grant *g, uint64_t now_ms)
{
    for (size_t i = 0; i < g->exceptions_len; i++) {
        const struct exception *e = &g->exceptions[i];
        struct item *it = items_add(l, e->pos);
        it->attempts = e->attempts;
        it->tries = e->attempts < UINT8_MAX ? (uint8_t)e->attempts : UINT8_MAX;
        it->flags = ITEM_ROW;
        if (e->flags & EXCEPTION_SUSPECT)
            it->flags |= ITEM_SUSPECT;
        if (e->flags & EXCEPTION_SENT)
            it->flags |= ITEM_SENT;
        item_wait(l, it, due_from_wall(l, e->not_before_ms, now_ms));
    }
}

struct lane *lane_new(const struct lane_grant *g, const struct lane_limits *limits, uint64_t head,
                      uint64_t seed, int64_t wall_offset_ms, uint64_t now_ms)
{
    struct lane *l = mem_zero(1, sizeof *l);
    l->number = g->lane;
    l->epoch = g->epoch;
    l->limits = *limits;
    rng_init(&l->rng, seed);
    l->wall_offset_ms = wall_offset_ms;
    l->head = head > g->position ? head : g->position;
    l->next = g->position + 1;
    l->told = l->floor = l->floor_heard = g->position;
    l->definition = g->definition;
    l->definition_version = g->definition_version;
    l->held = g->held;
    l->learned = g->learned;
    l->since_ms = l->held_ms = now_ms;
    window_init(l, &g->learned, g->stalls);
    take_exceptions(l, g, now_ms);
    poison_take_over(l, g);
    struct lane_kept news = {.lane = g->lane,
                             .next_version = g->next_version,
                             .next = &g->next,
                             .held = g->held,
                             .requests = g->requests,
                             .requests_len = g->requests_len};
    lane_kept(l, &news, now_ms);
    return l;
}

/* ---- what it wants ---- */

static uint64_t sooner(uint64_t at_ms, uint64_t other_ms, uint64_t now_ms)
{
    return other_ms > now_ms && other_ms < at_ms ? other_ms : at_ms;
}

static bool has_new(const struct lane *l)
{
    return l->next <= l->head && items_room(l) > 0 && !l->switching && !commit_given_up(l, l->next);
}

/* Nothing, until `at_ms` or one of the lane's own times. */
static struct want nothing(const struct lane *l, uint64_t at_ms, uint64_t now_ms)
{
    if (at_ms <= now_ms)
        at_ms = LANE_NEVER;
    if (l->flying > 0)
        at_ms = sooner(at_ms, l->oldest_ms + l->limits.ok_timeout_ms, now_ms);
    if (!l->held && !lane_leaving(l) && l->live > 0)
        at_ms = sooner(at_ms, l->due_ms, now_ms);
    if (l->link == LINK_UP && l->auth == AUTH_SENT)
        at_ms = sooner(at_ms, l->auth_ms + l->limits.ok_timeout_ms, now_ms);
    if (l->link == LINK_UP && l->flying == 0)
        at_ms = sooner(at_ms, l->active_ms + l->limits.idle_close_ms, now_ms);
    return (struct want){.kind = WANT_NOTHING, .at_ms = at_ms == LANE_NEVER ? 0 : at_ms};
}

static struct want wants(enum want_kind kind, uint64_t pos)
{
    return (struct want){.kind = kind, .pos = pos};
}

/* What goes next: an exception, or (NULL) the position in *pos; 0 for none. While the relay fails,
 * every other trial is a new event: the old ones may be what it fails at. */
static struct item *choose(struct lane *l, uint64_t now_ms, uint64_t *pos)
{
    bool fresh = has_new(l);
    struct item *it = NULL;
    if (l->lone != 0) {
        it = commit_given_up(l, l->lone) ? NULL : items_find(l, l->lone);
        fresh = fresh && it != NULL;
    } else if (!(l->failing && fresh && (l->sent_no & 1))) {
        struct due d = items_due(l, now_ms);
        bool suspect = d.suspect != NULL && (l->neighbours == 0 || (d.plain == NULL && !fresh));
        it = suspect ? d.suspect : d.plain;
    }
    *pos = it != NULL ? it->pos : fresh ? l->next : 0;
    return it;
}

static struct want want_offline(struct lane *l, uint64_t pos, uint64_t now_ms)
{
    if (l->link == LINK_CONNECTING)
        return nothing(l, 0, now_ms);
    if (l->peeked != pos)
        return wants(WANT_PEEK, pos);
    if (l->retry_at_ms > now_ms)
        return nothing(l, l->retry_at_ms, now_ms);
    return wants(WANT_CONNECT, 0);
}

static struct want want_online(struct lane *l, struct item *it, uint64_t pos, uint64_t now_ms)
{
    if (it == NULL && pos <= l->suspect_to)
        return wants(WANT_PEEK, pos);
    if (it != NULL && (it->flags & ITEM_SUSPECT) && !poison_may_send(l, it, now_ms))
        return nothing(l, 0, now_ms);
    uint64_t opens_ms = window_opens(l, now_ms);
    if (opens_ms != 0)
        return nothing(l, opens_ms, now_ms);
    return wants(WANT_SEND, pos);
}

static struct want want_leave(struct lane *l, uint64_t now_ms)
{
    bool close = l->link == LINK_CONNECTING || (l->link == LINK_UP && l->flying == 0);
    return close ? wants(WANT_CLOSE, 0) : nothing(l, 0, now_ms);
}

struct want lane_want(struct lane *l, uint64_t now_ms)
{
    link_silence(l, now_ms);
    if (l->closing)
        return wants(WANT_CLOSE, 0);
    if (lane_leaving(l))
        return want_leave(l, now_ms);
    uint64_t pos = 0;
    struct item *it = NULL;
    bool may_work = !l->held && !commit_rows_full(l);
    if (may_work && l->link == LINK_UP && l->auth == AUTH_WANTED)
        return wants(WANT_AUTH, 0);
    if (may_work && l->auth != AUTH_SENT)
        it = choose(l, now_ms, &pos);
    if (pos != 0)
        return l->link == LINK_UP ? want_online(l, it, pos, now_ms) : want_offline(l, pos, now_ms);
    l->full = false;
    bool idle = l->link == LINK_UP && l->flying == 0 && l->auth != AUTH_SENT;
    if (idle && now_ms >= l->active_ms + l->limits.idle_close_ms)
        return wants(WANT_CLOSE, 0);
    return nothing(l, 0, now_ms);
}

/* ---- what it is told about events ---- */

void lane_head(struct lane *l, uint64_t head)
{
    if (head > l->head)
        l->head = head;
}

void lane_sendable(struct lane *l, uint64_t pos)
{
    if (pos != l->next || pos > l->suspect_to) {
        l->peeked = pos;
        return;
    }
    struct item *it = items_add(l, pos);
    it->flags = ITEM_SUSPECT;
    item_wait(l, it, 0);
    l->next++;
    l->dirty = true;
}

void lane_pass(struct lane *l, uint64_t pos)
{
    struct item *it = items_find(l, pos);
    if (it != NULL) {
        settle_quietly(l, it);
    } else if (pos == l->next) {
        l->next++;
        l->dirty = true;
    }
}

void lane_skip(struct lane *l, uint64_t pos, enum row_class cls, uint64_t now_ms)
{
    struct item *it = items_find(l, pos);
    if (it == NULL && pos != l->next)
        return;
    settle_row(l, pos, it, cls, "", now_ms);
    if (it == NULL)
        l->next++;
}

void lane_sent(struct lane *l, uint64_t pos, size_t len, uint64_t now_ms)
{
    struct item *it = items_find(l, pos);
    if (it == NULL) {
        if (pos != l->next)
            return;
        it = items_add(l, pos);
        l->next++;
    }
    item_fly(l, it, len, now_ms);
    window_sent(l, now_ms);
    l->active_ms = now_ms;
    l->peeked = 0;
    if (l->lone == pos)
        poison_lone_sent(l);
    else if (l->neighbours > 0)
        l->neighbours--;
}

bool lane_is_held(const struct lane *l)
{
    return l->held;
}

void lane_drain(struct lane *l)
{
    l->draining = true;
}

bool lane_drained(const struct lane *l)
{
    return lane_leaving(l) && l->link == LINK_DOWN && l->flying == 0 && !l->dirty &&
           l->commit_state == COMMIT_NONE;
}

/* ---- looking at it ---- */

void lane_set_clock(struct lane *l, int64_t wall_offset_ms)
{
    l->wall_offset_ms = wall_offset_ms;
}

void lane_set_limits(struct lane *l, const struct lane_limits *limits)
{
    l->limits = *limits;
}

uint64_t lane_epoch(const struct lane *l)
{
    return l->epoch;
}

const struct definition *lane_definition(const struct lane *l)
{
    return &l->definition;
}

const struct definition *lane_newest(const struct lane *l)
{
    return l->next_definition != NULL ? l->next_definition : &l->definition;
}

bool lane_admitted(const struct lane *l, uint64_t pos)
{
    if (pos >= l->next)
        return false;
    const struct item *it = items_find((struct lane *)(uintptr_t)l, pos);
    return it == NULL || (it->flags & ITEM_REQUEST) == 0;
}

void lane_live_state(const struct lane *l, uint64_t now_ms, struct lane_live *out)
{
    uint64_t retry_ms = l->link == LINK_UP ? (l->failing ? l->pause_ms : 0) : l->retry_at_ms;
    *out = (struct lane_live){.state = LANE_IDLE, .in_flight = l->flying};
    if (l->held)
        out->state = LANE_HELD;
    else if (retry_ms > now_ms)
        out->state = LANE_BACKOFF;
    else if (l->link != LINK_DOWN)
        out->state = l->link == LINK_UP ? LANE_OPEN : LANE_CONNECTING;
    out->since_ms = (int64_t)(l->held ? l->held_ms : l->since_ms) + l->wall_offset_ms;
    out->family = l->link == LINK_UP ? l->family : FAMILY_NONE;
    if (out->state == LANE_BACKOFF)
        out->retry_at_ms = (int64_t)retry_ms + l->wall_offset_ms;
    if (l->delivered_ms != 0)
        out->delivered_ms = (int64_t)l->delivered_ms + l->wall_offset_ms;
    out->rate_per_1000s = window_pace(l, now_ms);
    if (l->last_error[0] != '\0')
        out->error_ms = (int64_t)l->error_ms + l->wall_offset_ms;
    for (size_t i = 0; i < sizeof out->last_error; i++)
        out->last_error[i] = l->last_error[i];
}
