/* What is compared of the queues of a history, and what must hold in any history. */
#include "tests/support/history.h"
#include "tests/support/say.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the tail ---- */

static void on_tail(void *arg, const struct queue_tail *t)
{
    struct history_ear *ear = arg;
    char text[256], id[17] = "-";
    if (t->ev.event)
        for (size_t i = 0; i < 8; i++)
            (void)snprintf(id + 2 * i, 3, "%02x", t->ev.event->id[i]);
    int len = snprintf(text, sizeof text,
                       "%" PRIu64 " %s accepted %" PRId64 " newer %" PRIu64 " deleted by %" PRIu64
                       " supersedes %" PRIu64,
                       t->ev.pos, id, t->ev.accepted_ms, t->ev.newer, t->ev.deleted_by,
                       t->superseded_len ? t->superseded[0] : 0);
    if (len < 0 || (size_t)len >= sizeof text)
        die("a tail message is too long to be said");
    while (ear->heard_len <= t->ev.pos) {
        ear->heard = mem_grow(ear->heard, (ear->heard_len + 1) * sizeof(char *));
        ear->heard[ear->heard_len++] = NULL;
    }
    if (ear->heard[t->ev.pos])
        history_fail(ear->h, "the tail told position %" PRIu64 " twice", t->ev.pos);
    ear->heard[t->ev.pos] = mem_strdup(text);
}

static void on_head(void *arg, uint64_t head, uint64_t news)
{
    (void)news;
    const struct history_ear *ear = arg;
    if (head > ear->h->head + 1) /* one append may be under way */
        history_fail(ear->h, "a beat tells head %" PRIu64 " of %" PRIu64, head, ear->h->head);
}

void history_listen(struct history *h)
{
    for (size_t i = 0; i < h->rigs_len; i++) {
        struct history_ear *ear = &h->ears[i];
        ear->h = h;
        struct queue_follower f = {.on_tail = on_tail, .on_head = on_head, .arg = ear};
        h->rigs[i]->q->ops->follow(h->rigs[i]->q, &f);
    }
}

void history_unlisten(struct history *h)
{
    for (size_t i = 0; i < h->rigs_len; i++) {
        h->rigs[i]->q->ops->follow(h->rigs[i]->q, NULL);
        for (uint64_t pos = 0; pos < h->ears[i].heard_len; pos++)
            free(h->ears[i].heard[pos]);
        free(h->ears[i].heard);
    }
}

static void compare_tails(const struct history *h)
{
    const struct history_ear *one = &h->ears[0];
    for (size_t i = 1; i < h->rigs_len; i++) {
        const struct history_ear *other = &h->ears[i];
        for (uint64_t pos = 0; pos < one->heard_len && pos < other->heard_len; pos++) {
            const char *a = one->heard[pos], *b = other->heard[pos];
            if (a && b && strcmp(a, b) != 0)
                history_fail(h, "the tail of the %s tells\n%s\nand of the %s\n%s",
                             h->rigs[0]->backend->name, a, h->rigs[i]->backend->name, b);
        }
    }
}

/* ---- the log ---- */

struct range {
    uint64_t from, to;
};

/* Backends give as much as they like in one answer: what is compared is position by position. */
static void ask_for_all(struct rig *r, void *arg, struct answer *a)
{
    const struct range *range = arg;
    ask_read(&r->loop, r->q, range->from, range->to, a);
}

static void compare_log(struct history *h)
{
    for (uint64_t pos = 1; pos <= h->head; pos += 100) {
        struct answer a;
        struct range range = {pos, pos + 99 < h->head ? pos + 99 : h->head};
        history_ask(h, ask_for_all, &range, say_read, &a);
        if (a.read.len != range.to - range.from + 1)
            history_fail(h, "a read of %" PRIu64 " to %" PRIu64 " gives %zu", range.from, range.to,
                         a.read.len);
        for (size_t i = 0; i < a.read.len; i++) {
            if (a.read.events[i].pos != range.from + i)
                history_fail(h, "a read skips position %" PRIu64, range.from + i);
        }
        answer_free(&a);
    }
}

/* ---- receipts and depth ---- */

struct tally {
    uint64_t queued, retrying, failed, skipped, expired;
};

static void ask_for_receipt(struct rig *r, void *arg, struct answer *a)
{
    const struct event *ev = arg;
    ask_receipt(&r->loop, r->q, ev->id, a);
}

static void count_row(struct tally *t, const struct row *r)
{
    t->failed += r->end == ROW_FAILED;
    t->skipped += r->end == ROW_SKIPPED;
    t->expired += r->end == ROW_EXPIRED;
}

/* Delivered is what an actor committed as delivered, nothing else; and what one did is not told
 * otherwise, but that the queue gave it up before it knew. */
static void check_lane(const struct history *h, uint64_t pos, const struct receipt_lane *l,
                       struct tally *t)
{
    enum settled ledger = (enum settled)h->truth.ledger[l->lane][pos];
    bool expired = l->end == RECEIPT_ROW && l->row.end == ROW_EXPIRED;
    bool good = true;
    switch (l->end) {
    case RECEIPT_DELIVERED:
        good = ledger == SETTLED_DELIVERED;
        break;
    case RECEIPT_FILTERED:
        /* or it was given up, asked for again, and then the filter had changed */
        good = ledger == SETTLED_FILTERED || h->truth.asked[l->lane][pos];
        break;
    case RECEIPT_ROW:
        good = ledger == SETTLED_ROW || expired;
        break;
    case RECEIPT_QUEUED:
    case RECEIPT_NEVER:
        good = ledger == SETTLED_NOT;
        break;
    case RECEIPT_RETRYING:
        good = ledger != SETTLED_DELIVERED && ledger != SETTLED_FILTERED;
        break;
    }
    if (!good)
        history_fail(h,
                     "position %" PRIu64 " on lane %" PRIu32 ": the receipt tells end %d, "
                     "committed was %d",
                     pos, l->lane, (int)l->end, (int)ledger);
    t->queued += l->end == RECEIPT_QUEUED;
    t->retrying += l->end == RECEIPT_RETRYING;
    if (l->end == RECEIPT_ROW || (l->end == RECEIPT_RETRYING && l->row.from > 0))
        count_row(t, &l->row);
}

static void compare_receipts(struct history *h, struct tally tallies[ACTOR_LANES_MAX])
{
    for (size_t i = 0; i < h->events_len; i++) {
        struct answer a;
        history_ask(h, ask_for_receipt, h->events[i], say_receipt, &a);
        for (size_t k = 0; a.e == ERR_NONE && k < a.receipt.lanes_len; k++) {
            const struct receipt_lane *l = &a.receipt.lanes[k];
            if (l->lane >= ACTOR_LANES_MAX)
                history_fail(h, "lane %" PRIu32 " out of nowhere", l->lane);
            check_lane(h, a.receipt.pos, l, &tallies[l->lane]);
        }
        answer_free(&a);
    }
}

static void ask_for_depth(struct rig *r, void *arg, struct answer *a)
{
    (void)arg;
    ask_depth(&r->loop, r->q, a);
}

/* Everything a lane ever had is accounted for: what depth counts is what receipts tell. */
static void check_status(const struct history *h, const struct lane_status *s,
                         const struct tally *t)
{
    bool good = s->retrying == t->retrying && s->failed == t->failed && s->skipped == t->skipped &&
                s->expired == t->expired &&
                (s->retired ? s->depth == 0 : s->depth == t->queued + t->retrying);
    if (!good)
        history_fail(h,
                     "lane %" PRIu32 ": depth tells %" PRIu64 " (%" PRIu64
                     " retrying), failed %" PRIu64 ", skipped %" PRIu64 ", expired %" PRIu64
                     "; receipts %" PRIu64 " queued, %" PRIu64 " retrying, %" PRIu64 ", %" PRIu64
                     ", %" PRIu64,
                     s->lane, s->depth, s->retrying, s->failed, s->skipped, s->expired, t->queued,
                     t->retrying, t->failed, t->skipped, t->expired);
}

void history_compare(struct history *h)
{
    struct tally tallies[ACTOR_LANES_MAX] = {0};
    struct answer a;
    h->doing = "looking";
    compare_receipts(h, tallies);
    history_ask(h, ask_for_depth, NULL, say_depth, &a);
    if (a.depth.head != h->head)
        history_fail(h, "head %" PRIu64 " of %" PRIu64, a.depth.head, h->head);
    for (size_t i = 0; i < a.depth.lanes_len; i++)
        check_status(h, &a.depth.lanes[i], &tallies[a.depth.lanes[i].lane]);
    answer_free(&a);
    compare_log(h);
    compare_tails(h);
}
