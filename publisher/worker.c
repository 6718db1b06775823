/* How a turn goes: lanes that were told something stand in the ready list. Each is asked what it
 * wants, a bounded number of times, so that none starves the others; who wants more stands in line
 * again. Then what changed is committed, and the one timer is set for the earliest lane. */
#include "publisher/worker.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "queue/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#define WANTS_TURN       64    /* per lane */
#define DRAIN_GRACE_MS   5000u /* beyond ok_timeout, for the last commit and giving back */
#define DRAIN_NOTHING_MS 1000u /* when there is nothing to give back */
#define TELL_FIRST_MS    2000u /* statistics, to the queue */
#define TELL_MS          10000u
#define HEED_FIRST_MS    5000u /* what probers found, from it */
#define HEED_MS          60000u

static void on_soon(uv_idle_t *h);
static void on_wants(uv_timer_t *t);

int64_t worker_wall_ms(const struct worker *w, uint64_t now_ms)
{
    return (int64_t)now_ms + w->wall_offset_ms;
}

int64_t worker_judge_ms(const struct worker *w, uint64_t now_ms)
{
    return (int64_t)now_ms + w->judge_offset_ms;
}

void worker_wake(struct holding *h)
{
    struct worker *w = h->worker;
    if (!h->ready) {
        h->ready = true;
        DL_APPEND(w->ready, h);
    }
    if (!uv_is_active((uv_handle_t *)&w->soon))
        uv_idle_start(&w->soon, on_soon);
}

void worker_wake_all(struct worker *w)
{
    for (struct holding *h = w->holdings; h != NULL; h = h->hh.next)
        worker_wake(h);
}

void worker_drop(struct holding *h)
{
    struct worker *w = h->worker;
    worker_unlink(h);
    worker_forget_path(h);
    worker_forget_change(h);
    if (h->ready)
        DL_DELETE(w->ready, h);
    for (size_t i = 0; i < w->committed_len; i++)
        if (w->committed[i] == h)
            w->committed[i] = NULL;
    HASH_DEL(w->holdings, h);
    lane_free(h->lane);
    free(h);
}

void worker_tor_ready(struct worker *w)
{
    uint64_t now_ms = clock_boot_ms();
    for (struct holding *h = w->holdings; h != NULL; h = h->hh.next) {
        if (lane_definition(h->lane)->route != ROUTE_TOR)
            continue;
        lane_retry(h->lane, now_ms);
        worker_wake(h);
    }
}

/* ---- a turn ---- */

/* One want. False when that is all for now. */
static bool serve(struct holding *h, uint64_t now_ms)
{
    struct want want = lane_want(h->lane, now_ms);
    switch (want.kind) {
    case WANT_NOTHING:
        h->at_ms = want.at_ms;
        return false;
    case WANT_PEEK:
    case WANT_SEND:
        return worker_offer(h, &want, now_ms);
    case WANT_CONNECT:
        return worker_connect(h, now_ms);
    case WANT_AUTH:
        return worker_auth(h, now_ms);
    case WANT_CLOSE:
        return worker_hang_up(h, now_ms);
    }
    return false;
}

static void set_timer(struct worker *w, uint64_t at_ms, uint64_t now_ms)
{
    if (at_ms == 0 || (w->wants_ms != 0 && w->wants_ms <= at_ms))
        return;
    w->wants_ms = at_ms;
    uv_update_time(w->loop);
    uv_timer_start(&w->wants_timer, on_wants, at_ms > now_ms ? at_ms - now_ms : 1, 0);
}

static void serve_lane(struct holding *h, uint64_t now_ms)
{
    struct worker *w = h->worker;
    h->at_ms = 0;
    lane_head(h->lane, feed_head(w->feed));
    bool more = true;
    for (int i = 0; more && i < WANTS_TURN; i++)
        more = serve(h, now_ms);
    if (more)
        worker_wake(h);
    set_timer(w, h->at_ms, now_ms);
    worker_note_change(h);
    if (lane_drained(h->lane) && !h->giving)
        worker_lease_within(w, 0);
}

static void turn(struct worker *w)
{
    uint64_t now_ms = clock_boot_ms();
    struct holding *h = w->ready, *last = h != NULL ? h->prev : NULL;
    while (h != NULL) {
        bool end = h == last;
        DL_DELETE(w->ready, h);
        h->ready = false;
        serve_lane(h, now_ms);
        h = end ? NULL : w->ready;
    }
    worker_commit(w, now_ms);
}

static void on_soon(uv_idle_t *h)
{
    struct worker *w = h->data;
    turn(w);
    if (w->ready == NULL)
        uv_idle_stop(h);
}

/* Somebody's time has come: whose, and who is next. */
static void on_wants(uv_timer_t *t)
{
    struct worker *w = t->data;
    uint64_t now_ms = clock_boot_ms(), next_ms = 0;
    for (struct holding *h = w->holdings; h != NULL; h = h->hh.next) {
        if (h->at_ms == 0)
            continue;
        if (h->at_ms <= now_ms)
            worker_wake(h);
        else if (next_ms == 0 || h->at_ms < next_ms)
            next_ms = h->at_ms;
    }
    w->wants_ms = 0;
    set_timer(w, next_ms, now_ms);
}

/* The log grew, or what was asked for is there: taken at once, as the feed may not keep it. */
static void on_news(void *arg)
{
    struct worker *w = arg;
    worker_wake_all(w);
    turn(w);
}

static void on_lease_news(void *arg)
{
    worker_lease_soon(arg);
}

/* ---- beginning and end ---- */

static void init_timer(struct worker *w, uv_timer_t *t)
{
    uv_timer_init(w->loop, t);
    t->data = w;
    w->handles++;
}

struct worker *worker_new(uv_loop_t *loop, struct queue *q, const struct publisher_options *o,
                          struct dialer *dialer, struct keys *keys)
{
    struct worker *w = mem_zero(1, sizeof *w);
    w->loop = loop;
    w->q = q;
    w->o = *o;
    w->dialer = dialer;
    w->keys = keys;
    rng_init_secure(&w->rng);
    identity_make(w->id, w->name);
    uv_idle_init(loop, &w->soon);
    w->soon.data = w;
    w->handles = 1;
    init_timer(w, &w->wants_timer);
    init_timer(w, &w->lease_timer);
    init_timer(w, &w->define_timer);
    init_timer(w, &w->commit_timer);
    init_timer(w, &w->term_timer);
    init_timer(w, &w->drain_timer);
    init_timer(w, &w->tell_timer);
    uv_timer_start(&w->tell_timer, worker_on_tell, TELL_FIRST_MS, TELL_MS);
    init_timer(w, &w->heed_timer);
    uv_timer_start(&w->heed_timer, worker_on_heed, HEED_FIRST_MS, HEED_MS);
    w->tally = tally_new(q, STAT_DELIVERY);
    const struct feed_options fo = {.cache_max = o->cache_max,
                                    .on_news = on_news,
                                    .on_lease_news = on_lease_news,
                                    .on_restart = worker_on_restart,
                                    .arg = w};
    w->feed = feed_new(loop, q, &fo);
    if (o->verbose && o->socks != NULL && o->control == NULL)
        LOG(LOG_INFO, "verbose: paths through Tor are not shown without tor.control");
    worker_define(w);
    return w;
}

static void on_drain_timer(uv_timer_t *t)
{
    struct worker *w = t->data;
    LOG(LOG_WARN, "publisher left without giving back all",
        LOG_I("lanes", HASH_COUNT(w->holdings)));
    worker_finish(w);
}

void worker_drain(struct worker *w, void (*fn)(void *arg), void *arg)
{
    w->gone = fn;
    w->gone_arg = arg;
    w->leaving = true;
    uv_timer_stop(&w->define_timer);
    for (struct holding *h = w->holdings; h != NULL; h = h->hh.next)
        lane_drain(h->lane);
    worker_wake_all(w);
    worker_lease_within(w, 0);
    uint64_t patience_ms =
        w->holdings != NULL ? w->o.limits.ok_timeout_ms + DRAIN_GRACE_MS : DRAIN_NOTHING_MS;
    uv_timer_start(&w->drain_timer, on_drain_timer, patience_ms, 0);
}

void worker_check_left(struct worker *w)
{
    if (w->leaving && w->left && w->holdings == NULL && !worker_tell(w))
        worker_finish(w);
}

void worker_let_go(struct worker_call **call)
{
    if (*call != NULL)
        (*call)->worker = NULL;
    *call = NULL;
}

static void gone(struct worker *w)
{
    void (*fn)(void *) = w->gone;
    void *arg = w->gone_arg;
    free(w->committed);
    free(w);
    fn(arg);
}

static void on_feed_freed(void *arg)
{
    struct worker *w = arg;
    if (--w->handles == 0)
        gone(w);
}

static void on_closed(uv_handle_t *h)
{
    struct worker *w = h->data;
    if (--w->handles == 0)
        gone(w);
}

void worker_finish(struct worker *w)
{
    if (uv_is_closing((uv_handle_t *)&w->soon))
        return;
    struct holding *h, *next;
    HASH_ITER(hh, w->holdings, h, next)
    worker_drop(h);
    worker_let_go(&w->defining);
    worker_let_go(&w->leasing);
    worker_let_go(&w->committing);
    worker_let_go(&w->heeding);
    tally_free(w->tally);
    w->tally = NULL;
    w->handles++;
    feed_free(w->feed, on_feed_freed, w);
    uv_close((uv_handle_t *)&w->soon, on_closed);
    uv_timer_t *timers[] = {&w->wants_timer, &w->lease_timer, &w->define_timer, &w->commit_timer,
                            &w->term_timer,  &w->drain_timer, &w->tell_timer,   &w->heed_timer};
    for (size_t i = 0; i < COUNT_OF(timers); i++)
        uv_close((uv_handle_t *)timers[i], on_closed);
}
