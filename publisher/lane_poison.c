/* Who pays when something goes wrong.
 *
 * An event pays an attempt for error:, for hanging up on it alone, and for silence about it alone
 * or while later ones are answered. What happens to many at once is nobody's fault yet: the lane
 * counts such hang-ups without progress as stalls. After two of them, or after an event was in
 * flight at three whatever came between, those in flight are suspects. A suspect steps aside while
 * its neighbours pass; then the lane lets all else settle, pays its attempt, has that committed (so
 * that even an event that kills the publisher runs out of attempts) and sends it alone.
 *
 * Eight different events that paid without an OK between them are the relay's failure, not theirs:
 * their attempts are given back, and until the next OK (or until fewer than eight are left in all)
 * nobody pays and one at a time is tried. */
#include "publisher/lane_internal.h"

void poison_take_over(struct lane *l, const struct lane_grant *g)
{
    l->stalls = g->stalls;
    l->neighbours = window_size(l);
    if (g->stalls < LANE_STALLS_SUSPECT)
        return;
    l->stalls = 0;
    for (struct item *it = items_begin(l); it != NULL; it = items_after(l, it))
        if (it->flags & ITEM_SENT)
            it->flags |= ITEM_SUSPECT;
    uint64_t last = l->next - 1 + LANE_WINDOW_START;
    l->suspect_to = last < l->head ? last : l->head;
}

/* As long as the first window is not set aside in full, a crash must find it suspect again. */
uint32_t poison_stalls(const struct lane *l)
{
    if (l->next <= l->suspect_to && l->stalls < LANE_STALLS_SUSPECT)
        return LANE_STALLS_SUSPECT;
    return l->stalls;
}

/* ---- the relay's own failure ---- */

static void note_paid(struct lane *l, uint64_t pos)
{
    uint32_t i = 0;
    while (i < l->streak_len && l->streak[i].pos != pos)
        i++;
    if (i == l->streak_len)
        l->streak[l->streak_len++] = (struct streak){.pos = pos};
    l->streak[i].paid++;
}

static void blame_relay(struct lane *l)
{
    for (uint32_t i = 0; i < l->streak_len; i++) {
        struct item *it = items_find(l, l->streak[i].pos);
        if (it != NULL)
            it->attempts -= it->attempts < l->streak[i].paid ? it->attempts : l->streak[i].paid;
    }
    if (l->lone != 0)
        poison_refund(l, items_find(l, l->lone));
    if (l->lone != 0)
        poison_lone_over(l, l->lone);
    l->streak_len = 0;
    l->failing = true;
    l->stalls = 0;
    window_lost(l);
    for (struct item *it = items_begin(l); it != NULL; it = items_after(l, it))
        it->flags &= (uint8_t)~ITEM_SUSPECT;
}

void poison_delivered(struct lane *l)
{
    l->streak_len = 0;
    l->failing = false;
    if (l->failures > 0)
        l->failures--;
}

void poison_progress(struct lane *l)
{
    l->stalls = 0;
}

/* ---- paying ---- */

static bool is_prepaid(const struct lane *l, const struct item *it)
{
    return l->lone == it->pos && l->lone_stage >= LONE_PAID;
}

bool poison_pay(struct lane *l, struct item *it, enum row_class cls, const char *text,
                uint64_t now_ms)
{
    l->dirty = true;
    if (it->tries < UINT8_MAX)
        it->tries++;
    if (l->live < LANE_STREAK && l->next > l->head)
        l->failing = false; /* too few are left to say so, and they must come to an end */
    bool prepaid = is_prepaid(l, it);
    poison_lone_over(l, it->pos);
    if (!l->failing) {
        if (!prepaid)
            it->attempts++;
        note_paid(l, it->pos);
        if (l->streak_len == LANE_STREAK)
            blame_relay(l);
    }
    if (it->attempts >= l->limits.max_attempts)
        settle_row(l, it->pos, it, cls, text, now_ms);
    else
        item_wait(l, it, now_ms + lane_backoff(l, it->tries));
    return l->failing;
}

static void hang_up_alone(struct lane *l, struct item *it, enum row_class cls, const char *text,
                          uint64_t now_ms)
{
    if (!l->failing)
        it->flags |= ITEM_SUSPECT;
    l->neighbours = window_size(l);
    poison_pay(l, it, cls, text, now_ms);
}

static void hang_up_on_many(struct lane *l)
{
    if (l->failing)
        return;
    l->dirty = true;
    bool stalled = ++l->stalls >= LANE_STALLS_SUSPECT;
    if (stalled)
        l->stalls = 0;
    for (struct item *it = items_begin(l); it != NULL; it = items_after(l, it)) {
        if (it->state != ITEM_FLYING)
            continue;
        if (++it->hangups >= LANE_HANGUPS_SUSPECT)
            it->hangups = 0;
        if (stalled || it->hangups == 0)
            it->flags |= ITEM_SUSPECT;
    }
    l->neighbours = window_size(l);
}

void poison_hang_up(struct lane *l, enum row_class cls, const char *text, uint64_t now_ms)
{
    if (l->flying > 1) {
        hang_up_on_many(l);
        return;
    }
    for (struct item *it = items_begin(l); it != NULL; it = items_after(l, it)) {
        if (it->state == ITEM_FLYING) {
            hang_up_alone(l, it, cls, text, now_ms);
            return;
        }
    }
}

/* ---- the suspect that goes alone ---- */

bool poison_may_send(struct lane *l, struct item *it, uint64_t now_ms)
{
    if (l->lone == 0) {
        l->lone = it->pos;
        l->lone_stage = LONE_ALONE;
    }
    if (l->lone_stage == LONE_ALONE && l->flying == 0) {
        if (it->attempts >= l->limits.max_attempts) { /* paid for in lives of publishers */
            poison_lone_over(l, it->pos);
            settle_row(l, it->pos, it, CLASS_ERROR, "no answer to any attempt", now_ms);
            return false;
        }
        it->attempts++;
        l->lone_stage = LONE_PAID;
        l->dirty = true;
    }
    return l->lone_stage == LONE_CLEAR;
}

void poison_lone_sent(struct lane *l)
{
    l->lone_stage = LONE_SENT;
}

void poison_refund(struct lane *l, struct item *it)
{
    if (it == NULL || !is_prepaid(l, it))
        return;
    it->attempts--;
    l->dirty = true;
    l->lone_stage = LONE_NONE;
    l->lone = 0;
    l->neighbours = window_size(l);
}

void poison_lone_over(struct lane *l, uint64_t pos)
{
    if (l->lone != pos || pos == 0)
        return;
    if (l->lone_stage != LONE_SENT)
        poison_refund(l, items_find(l, pos));
    l->lone = 0;
    l->lone_stage = LONE_NONE;
    l->neighbours = window_size(l);
}
