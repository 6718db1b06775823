/* Leases.
 *
 * The holder counts its term from the moment it sent the call that the queue answered, on the boot
 * clock: the queue can only have counted from later. What is written to a relay is asked for at
 * each write (worker_may_write), with a margin; when the term has ended, links and lanes go. */
#include "publisher/worker.h"

#include "common/base/clock.h"
#include "common/base/log.h"

#include <stdlib.h>
#include <string.h>

#define LEASE_AGAIN_MS 500u  /* after a call that failed */
#define LEASE_HURRY_MS 20u   /* when another is under way */
#define JUMP_MS        10000 /* the queue's clock moved so much against ours: it was set */
#define JUMP_DOUBT_MS  3600000u
#define NEWS_WAIT_MS   20u /* news come in groups */
#define NEWS_PAUSE_MS  80u /* between two calls that news ask for */

static void on_lease_timer(uv_timer_t *t);

bool worker_may_write(void *arg)
{
    const struct worker *w = arg;
    return clock_boot_ms() + LEASE_MARGIN_MS < w->term_end_ms;
}

/* ---- grants ---- */

static struct holding *find(const struct worker *w, uint32_t number)
{
    struct holding *h = NULL;
    HASH_FIND(hh, w->holdings, &number, sizeof number, h);
    return h;
}

static void take_grant(struct worker *w, const struct lane_grant *g, uint64_t now_ms)
{
    struct holding *h = find(w, g->lane);
    if (h != NULL)
        worker_drop(h); /* granted anew: what we had is of an older epoch */
    h = mem_zero(1, sizeof *h);
    h->worker = w;
    h->number = g->lane;
    /* The key belongs to the link, not to positions: the newest definition's at once. */
    h->secret =
        worker_secret(w, g->next_version > g->definition_version ? &g->next : &g->definition);
    const struct lane_limits l = worker_limits(h);
    h->lane = lane_new(g, &l, feed_head(w->feed), rng_next(&w->rng), w->wall_offset_ms, now_ms);
    HASH_ADD(hh, w->holdings, number, sizeof h->number, h);
    h->more = g->requests_len == QUEUE_REQUESTS_MAX;
    if (g->held)
        worker_lease_soon(w);
    LOG(LOG_INFO, "lane granted", LOG_S("relay", g->definition.url), LOG_I("epoch", g->epoch),
        LOG_I("position", g->position),
        LOG_I("behind", feed_head(w->feed) > g->position ? feed_head(w->feed) - g->position : 0));
    worker_wake(h);
}

static void take_kept(struct worker *w, const struct lane_kept *k, uint64_t now_ms)
{
    struct holding *h = find(w, k->lane);
    if (h == NULL)
        return;
    bool was_held = lane_is_held(h->lane);
    lane_kept(h->lane, k, now_ms);
    if (lane_is_held(h->lane) != was_held)
        worker_lease_soon(h->worker); /* somebody may wait for our word that it stopped */
    h->more = k->requests_len == QUEUE_REQUESTS_MAX;
    if (k->next != NULL) {
        worker_apply_settings(h);
    }
    if (h->relay != NULL)
        relay_resume(h->relay);
    worker_wake(h);
}

/* With another list of relays lanes end: that was somebody's will. Else another has it. */
static void lose(struct holding *h, bool relisted)
{
    LOG(relisted ? LOG_INFO : LOG_WARN, relisted ? "lane ended with the relay list" : "lane lost",
        LOG_S("relay", lane_definition(h->lane)->url), LOG_I("epoch", lane_epoch(h->lane)));
    worker_drop(h);
}

static void drop_given(struct worker *w)
{
    struct holding *h, *next;
    HASH_ITER(hh, w->holdings, h, next)
    {
        if (!h->giving)
            continue;
        LOG(LOG_INFO, "lane given back", LOG_S("relay", lane_definition(h->lane)->url));
        worker_drop(h);
    }
}

/* ---- the term ---- */

static void drop_all(struct worker *w, const char *why)
{
    if (w->holdings != NULL)
        LOG(LOG_WARN, why, LOG_I("lanes", HASH_COUNT(w->holdings)));
    struct holding *h, *next;
    HASH_ITER(hh, w->holdings, h, next)
    worker_drop(h);
}

/* Nothing of it may be written any more. False when that was also the worker's end. */
static bool end_term(struct worker *w)
{
    drop_all(w, "lease ended without renewal");
    if (w->leaving)
        worker_finish(w); /* nothing is left to give back */
    return !w->leaving;
}

/* What we know of the lanes may be ahead of what the queue knows now: as we hold none of them any
 * more, they are granted anew, with new epochs. */
void worker_on_restart(void *worker)
{
    struct worker *w = worker;
    drop_all(w, "the queue was restarted, or another took over; its lanes are taken anew");
    worker_lease_soon(w);
}

void worker_on_term(uv_timer_t *t)
{
    struct worker *w = t->data;
    uint64_t now_ms = clock_boot_ms();
    if (now_ms >= w->term_end_ms)
        (void)end_term(w);
    else
        uv_timer_start(t, worker_on_term, w->term_end_ms - now_ms, 0);
}

/* ---- the call ---- */

static void take_clock(struct worker *w, int64_t offset_ms, uint64_t now_ms)
{
    int64_t moved_ms = offset_ms - w->wall_offset_ms;
    bool jumped = w->clock_known && (moved_ms > JUMP_MS || moved_ms < -JUMP_MS);
    if (jumped) {
        LOG(LOG_WARN, "the queue's clock jumped; for an hour no event is skipped for its age",
            LOG_I("seconds", moved_ms / 1000));
        w->jumped_ms = now_ms;
    }
    bool doubted = w->jumped_ms != 0 && now_ms - w->jumped_ms < JUMP_DOUBT_MS;
    if (!doubted || (jumped && offset_ms < w->judge_offset_ms))
        w->judge_offset_ms = offset_ms;
    w->wall_offset_ms = offset_ms;
    w->clock_known = true;
}

static void take_reply(struct worker *w, const struct lease_reply *r, uint64_t now_ms)
{
    struct holding *h;
    take_clock(w, r->now_ms - (int64_t)now_ms, now_ms);
    feed_saw_head(w->feed, r->head);
    drop_given(w);
    for (size_t i = 0; i < r->lost_len; i++)
        if ((h = find(w, r->lost[i])) != NULL)
            lose(h, r->registry_version != w->registry_version);
    w->registry_version = r->registry_version;
    for (h = w->holdings; h != NULL; h = h->hh.next)
        lane_set_clock(h->lane, w->wall_offset_ms);
    for (size_t i = 0; i < r->kept_len; i++)
        take_kept(w, &r->kept[i], now_ms);
    for (size_t i = 0; i < r->grants_len && !w->leaving; i++)
        take_grant(w, &r->grants[i], now_ms);
    worker_take_heartbeat(w, r, now_ms);
}

static void on_lease(void *arg, enum err e, const struct lease_reply *r)
{
    struct worker_call *call = arg;
    struct worker *w = call->worker;
    uint64_t sent_ms = call->sent_ms, now_ms = clock_boot_ms();
    free(call);
    if (w == NULL)
        return;
    w->leasing = NULL;
    worker_saw_queue(w, e);
    if (e == ERR_CLOSED || e == ERR_UNKNOWN) {
        worker_lease_within(w, LEASE_AGAIN_MS);
        return;
    }
    if (e != ERR_NONE) { /* the timer asks again */
        LOG(LOG_ERROR, "lease refused by the queue", LOG_S("error", err_name(e)));
        return;
    }
    if (sent_ms + LEASE_TERM_MS <= now_ms)
        return; /* too late to be of use: the timer asks again */
    w->term_end_ms = sent_ms + LEASE_TERM_MS;
    uv_timer_start(&w->term_timer, worker_on_term, w->term_end_ms - now_ms, 0);
    take_reply(w, r, now_ms);
    worker_check_left(w);
}

static struct lease_held *list_held(struct worker *w, uint64_t now_ms)
{
    size_t n = 0;
    struct lease_held *held = mem_zero(HASH_COUNT(w->holdings) + 1, sizeof *held);
    for (struct holding *h = w->holdings; h != NULL; h = h->hh.next) {
        h->giving = lane_drained(h->lane);
        held[n] = (struct lease_held){
            .lane = h->number, .epoch = lane_epoch(h->lane), .give_back = h->giving};
        lane_live_state(h->lane, now_ms, &held[n++].live);
    }
    return held;
}

static void lease(struct worker *w)
{
    uint64_t now_ms = clock_boot_ms();
    if (w->term_end_ms != 0 && now_ms >= w->term_end_ms && !end_term(w))
        return; /* the machine slept, and its timers with it */
    struct worker_call *call = mem_zero(1, sizeof *call);
    struct lease_call c = {.routes = w->o.routes, .leaving = w->leaving};
    *call = (struct worker_call){.worker = w, .sent_ms = now_ms};
    memcpy(c.publisher, w->id, sizeof c.publisher);
    memcpy(c.name, w->name, sizeof c.name);
    struct lease_held *held = list_held(w, now_ms);
    c.held = held;
    c.held_len = HASH_COUNT(w->holdings);
    w->leasing = call;
    w->leased_ms = now_ms;
    w->left = w->leaving;
    uv_timer_start(&w->lease_timer, on_lease_timer, LEASE_RENEW_MS, 0);
    w->q->ops->lease(w->q, &c, on_lease, call);
    free(held);
}

static void on_lease_timer(uv_timer_t *t)
{
    struct worker *w = t->data;
    if (w->leasing == NULL)
        lease(w);
    else
        uv_timer_start(&w->lease_timer, on_lease_timer, LEASE_HURRY_MS, 0);
}

void worker_lease_within(struct worker *w, uint64_t ms)
{
    uint64_t due_ms = uv_timer_get_due_in(&w->lease_timer);
    if (!uv_is_active((uv_handle_t *)&w->lease_timer) || due_ms > ms)
        uv_timer_start(&w->lease_timer, on_lease_timer, ms, 0);
}

void worker_lease_soon(struct worker *w)
{
    uint64_t now_ms = clock_boot_ms(), at_ms = now_ms + NEWS_WAIT_MS;
    if (at_ms < w->leased_ms + NEWS_PAUSE_MS)
        at_ms = w->leased_ms + NEWS_PAUSE_MS;
    worker_lease_within(w, at_ms - now_ms);
}
