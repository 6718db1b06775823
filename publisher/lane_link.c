/* The relay's side of failure: whatever goes wrong with the link backs the lane off, with full
 * jitter, and the waits grow while nothing is delivered between them. A link that ends costs no
 * event an attempt, but one that was alone in flight (lane_poison.c). */
#include "publisher/lane_internal.h"

#define FAILURES_MAX 32u

static const char silent_text[] = "no answer within ok_timeout";

void link_says(struct lane *l, const char *text, uint64_t now_ms)
{
    outcome_text(text, l->last_error);
    l->error_ms = now_ms;
}

void link_failed(struct lane *l, uint64_t at_least_ms, uint64_t now_ms)
{
    if (l->failures < FAILURES_MAX)
        l->failures++;
    uint64_t wait_ms = lane_backoff(l, l->failures);
    if (at_least_ms > l->limits.backoff_max_ms)
        at_least_ms = l->limits.backoff_max_ms;
    l->retry_after_ms = now_ms + at_least_ms;
    l->retry_at_ms = now_ms + (wait_ms > at_least_ms ? wait_ms : at_least_ms);
}

void lane_connecting(struct lane *l, uint64_t now_ms)
{
    l->link = LINK_CONNECTING;
    l->since_ms = now_ms;
}

void lane_connected(struct lane *l, enum family family, enum route route, uint64_t now_ms)
{
    l->link = LINK_UP;
    l->family = family;
    l->route = route;
    l->learned.family = family;
    l->auth = AUTH_NONE;
    l->answers = 0;
    l->answered_no = 0;
    l->since_ms = l->active_ms = now_ms;
}

void lane_connect_failed(struct lane *l, uint64_t retry_after_ms, const char *text, uint64_t now_ms)
{
    l->link = LINK_DOWN;
    l->closing = l->silent = false;
    l->since_ms = now_ms;
    link_says(l, text, now_ms);
    link_failed(l, retry_after_ms, now_ms);
}

void lane_retry(struct lane *l, uint64_t now_ms)
{
    if (l->link != LINK_DOWN || l->retry_at_ms <= now_ms)
        return;
    l->failures = 0;
    uint64_t at_ms = now_ms + lane_backoff(l, 1);
    if (at_ms < l->retry_after_ms)
        at_ms = l->retry_after_ms;
    if (at_ms < l->retry_at_ms)
        l->retry_at_ms = at_ms;
}

/* No answer will come over this link any more. */
static void forget_link(struct lane *l)
{
    for (struct item *it = items_begin(l); it != NULL; it = items_after(l, it)) {
        it->flags &= (uint8_t)~ITEM_AWAITED;
        if (it->state == ITEM_FLYING || it->state == ITEM_AUTH)
            item_wait(l, it, 0);
    }
    l->link = LINK_DOWN;
    l->auth = AUTH_NONE;
    l->closing = l->silent = false;
}

void lane_link_lost(struct lane *l, enum link_end end, const char *text, uint64_t now_ms)
{
    if (l->link == LINK_DOWN)
        return;
    bool silent = l->silent && end == LINK_CLOSED_BY_US;
    bool failed = silent || end == LINK_LOST;
    bool worked = l->answers > 0 && !silent;
    if (failed) {
        link_says(l, silent ? silent_text : text, now_ms);
        window_lost(l);
        if (l->flying > 0 && l->auth != AUTH_SENT)
            poison_hang_up(l, silent ? CLASS_TIMEOUT : CLASS_ERROR, l->last_error, now_ms);
    } else if (l->lone != 0) {
        poison_refund(l, items_find(l, l->lone));
    }
    forget_link(l);
    l->since_ms = now_ms;
    if (l->lone != 0)
        poison_lone_over(l, l->lone);
    if (failed && worked) /* a relay that hangs up now and then: back soon, but never at once */
        l->retry_at_ms = now_ms + lane_backoff(l, l->failures + 1);
    else if (failed)
        link_failed(l, 0, now_ms);
}

static void set_aside(struct lane *l, struct item *it, uint64_t now_ms)
{
    window_silent(l, it);
    l->dirty = true;
    /* Something sent later was answered: the relay passed over this very event. */
    if (l->answered_no > it->sent_no) {
        poison_pay(l, it, CLASS_TIMEOUT, silent_text, now_ms);
        return;
    }
    poison_refund(l, it);
    item_wait(l, it, now_ms + lane_backoff(l, it->attempts + 1u));
}

void link_silence(struct lane *l, uint64_t now_ms)
{
    uint64_t patience_ms = l->limits.ok_timeout_ms;
    if (l->link == LINK_UP && l->auth == AUTH_SENT && now_ms >= l->auth_ms + patience_ms)
        l->closing = l->silent = true;
    if (l->flying == 0 || now_ms < l->oldest_ms + patience_ms)
        return;
    uint64_t oldest_ms = LANE_NEVER;
    for (struct item *it = items_begin(l); it != NULL; it = items_after(l, it)) {
        if (it->state != ITEM_FLYING)
            continue;
        if (now_ms < it->sent_ms + patience_ms)
            oldest_ms = it->sent_ms < oldest_ms ? it->sent_ms : oldest_ms;
        else if (l->answers != it->answers)
            set_aside(l, it, now_ms);
        else
            l->closing = l->silent = true;
    }
    if (!l->closing)
        l->oldest_ms = oldest_ms;
}
