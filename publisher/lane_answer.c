/* What an answer does, and how an exception ends. */
#include "publisher/lane_internal.h"

#include <string.h>

enum row_end row_end_of(enum row_class cls)
{
    if (cls <= CLASS_OPERATOR)
        return ROW_SKIPPED;
    return cls <= CLASS_TIMEOUT ? ROW_FAILED : ROW_EXPIRED;
}

static int64_t wall(const struct lane *l, uint64_t boot_ms)
{
    return (int64_t)boot_ms + l->wall_offset_ms;
}

void settle_row(struct lane *l, uint64_t pos, struct item *it, enum row_class cls, const char *text,
                uint64_t now_ms)
{
    struct row r = {.from = pos, .to = pos, .end = row_end_of(cls), .cls = cls};
    r.first_ms = r.last_ms = wall(l, now_ms);
    r.route = l->definition.route;
    if (it != NULL) {
        r.attempts = it->attempts;
        if (it->first_ms != 0) {
            r.first_ms = wall(l, it->first_ms);
            r.last_ms = wall(l, it->sent_ms);
            r.family = (enum family)it->family;
            r.route = (enum route)it->route;
        }
    }
    memcpy(r.text, text, strnlen(text, sizeof r.text - 1));
    commit_add_row(l, &r);
    if (it != NULL) {
        poison_lone_over(l, pos);
        items_settle(l, it);
    }
    l->dirty = true;
}

void settle_quietly(struct lane *l, struct item *it)
{
    poison_lone_over(l, it->pos);
    items_settle(l, it);
    l->dirty = true;
}

static void delivered(struct lane *l, struct item *it, uint64_t now_ms)
{
    l->delivered++;
    l->delivered_ms = now_ms;
    window_ok(l, now_ms);
    poison_delivered(l);
    poison_progress(l);
    if (it->flags & ITEM_ROW)
        commit_remove_row(l, it->pos);
    settle_quietly(l, it);
}

/* The relay has decided about the event: the attempt that told so counts, paid before or not. */
static void decided(struct lane *l, struct item *it, const struct outcome *o, uint64_t now_ms)
{
    if (l->lone != it->pos || l->lone_stage != LONE_SENT)
        it->attempts++;
    poison_progress(l);
    settle_row(l, it->pos, it, o->cls, o->text, now_ms);
}

static void failed_this_time(struct lane *l, struct item *it, const char *text, uint64_t now_ms)
{
    it->flags &= (uint8_t)~ITEM_SUSPECT; /* whoever answers does not hang up */
    uint64_t sent_no = it->sent_no;
    if (!poison_pay(l, it, CLASS_ERROR, text, now_ms) || sent_no <= l->fail_no)
        return;
    l->fail_no = l->sent_no;
    link_says(l, text, now_ms);
    link_failed(l, 0, now_ms);
    l->pause_ms = l->retry_at_ms;
}

static void limited(struct lane *l, struct item *it, uint64_t now_ms)
{
    window_limited(l, it, now_ms);
    poison_refund(l, it);
    item_wait(l, it, l->pause_ms);
    l->dirty = true;
}

/* Auth is asked for once a link. Who was sent before it went through goes again; who is asked for
 * it after that has failed. */
static void wants_auth(struct lane *l, struct item *it, const struct outcome *o, uint64_t now_ms)
{
    bool again = l->auth == AUTH_DONE && it->sent_no <= l->auth_no;
    if (!l->limits.can_auth || l->auth == AUTH_REFUSED || (l->auth == AUTH_DONE && !again)) {
        decided(l, it, o, now_ms);
        return;
    }
    poison_refund(l, it);
    l->dirty = true;
    if (again) {
        item_wait(l, it, 0);
        return;
    }
    item_auth(l, it);
    if (l->auth == AUTH_NONE)
        l->auth = AUTH_WANTED;
}

bool lane_answer(struct lane *l, uint64_t pos, const struct outcome *o, uint64_t now_ms)
{
    struct item *it = items_find(l, pos);
    if (it == NULL || (it->flags & ITEM_AWAITED) == 0)
        return false;
    it->flags &= (uint8_t) ~(ITEM_AWAITED | ITEM_SENT);
    l->answers++;
    l->active_ms = now_ms;
    if (it->sent_no > l->answered_no)
        l->answered_no = it->sent_no;
    switch (o->kind) {
    case OUTCOME_DELIVERED:
        delivered(l, it, now_ms);
        break;
    case OUTCOME_RETRY:
        failed_this_time(l, it, o->text, now_ms);
        break;
    case OUTCOME_SLOW:
        limited(l, it, now_ms);
        break;
    case OUTCOME_AUTH:
        wants_auth(l, it, o, now_ms);
        break;
    case OUTCOME_FAILED:
    case OUTCOME_SKIPPED:
        decided(l, it, o, now_ms);
        break;
    }
    return true;
}

void lane_auth_sent(struct lane *l, uint64_t now_ms)
{
    l->auth = AUTH_SENT;
    l->auth_ms = l->active_ms = now_ms;
}

void lane_authenticated(struct lane *l, bool ok, const char *text, uint64_t now_ms)
{
    if (l->link != LINK_UP || (l->auth != AUTH_SENT && l->auth != AUTH_WANTED))
        return;
    l->auth = ok ? AUTH_DONE : AUTH_REFUSED;
    l->auth_no = l->sent_no;
    l->active_ms = now_ms;
    char words[QUEUE_TEXT_SIZE];
    outcome_text(text, words);
    if (!ok)
        link_says(l, words, now_ms);
    for (struct item *it = items_begin(l); it != NULL; it = items_after(l, it)) {
        if (it->state != ITEM_AUTH)
            continue;
        if (ok)
            item_wait(l, it, 0);
        else
            settle_row(l, it->pos, it, CLASS_AUTH, words, now_ms);
    }
}
