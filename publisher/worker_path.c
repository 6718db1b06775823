/* What came of connecting: statistics of each try by route and family, and what the race tells of
 * IPv6, which decides how the next one is run (lane_family.c). */
#include "publisher/worker.h"

#include "common/base/clock.h"
#include "common/base/log.h"

static const char *url_of(const struct holding *h)
{
    return lane_definition(h->lane)->url;
}

static uint64_t took_ms(const struct link_try *t)
{
    return (t->dns_us + t->connect_us + t->tls_us + t->websocket_us) / 1000;
}

/* The lane's may have changed since. */
static enum route route_of(const struct link_try *t)
{
    return t->via[0] != '\0' ? ROUTE_TOR : ROUTE_DIRECT;
}

static struct tally_way way_of(const struct holding *h, const struct link_try *t)
{
    return (struct tally_way){.lane = h->number, .route = route_of(t), .family = t->family};
}

static void count_success(struct holding *h, const struct link_try *t, uint64_t now_ms)
{
    const struct path_stat d = {.route = route_of(t),
                                .family = t->family,
                                .successes = 1,
                                .connect_us = t->connect_us,
                                .tls_us = t->tls_us,
                                .websocket_us = t->websocket_us,
                                .last_success_ms = worker_wall_ms(h->worker, now_ms)};
    lane_count_path(h->lane, &d);
}

static void count_failure(struct holding *h, const struct link_try *t, uint64_t now_ms)
{
    const struct path_stat d = {.route = route_of(t),
                                .family = t->family,
                                .failures = 1,
                                .last_failure_ms = worker_wall_ms(h->worker, now_ms)};
    lane_count_path(h->lane, &d);
}

/* The loser of a race is an attempt, and neither of the others until it is known (worker_on_late).
 */
static void count_try(struct holding *h, const struct link_try *t, uint64_t now_ms)
{
    const struct path_stat d = {.route = route_of(t), .family = t->family, .attempts = 1};
    if (!t->started)
        return;
    lane_count_path(h->lane, &d);
    if (t->err == ERR_NONE)
        count_success(h, t, now_ms);
    else if (!t->lost)
        count_failure(h, t, now_ms);
}

static void log_connected(const struct holding *h, const struct link_result *r,
                          const struct link_try *t)
{
    LOG(LOG_INFO, "relay connected", LOG_S("relay", url_of(h)),
        LOG_S("route", route_name(h->route)), LOG_S("family", family_name(r->family)),
        LOG_S("address", t->address), LOG_I("dns_ms", t->dns_us / 1000),
        LOG_I("connect_ms", t->connect_us / 1000), LOG_I("tls_ms", t->tls_us / 1000),
        LOG_I("websocket_ms", t->websocket_us / 1000));
}

static bool tried_ipv6(const struct link_result *r)
{
    for (size_t i = 0; i < r->tries_len; i++)
        if (r->tries[i].family == FAMILY_IPV6)
            return true;
    return false;
}

/* `won` is the winner's try; NULL: all failed, which tells nothing of one family. */
static void learn(struct holding *h, const struct link_result *r, const struct link_try *won,
                  uint64_t now_ms)
{
    if (won == NULL)
        return;
    if (won->family == FAMILY_IPV6)
        lane_raced(h->lane, IPV6_WON, h->route, took_ms(won), now_ms);
    bool beaten = won->family == FAMILY_IPV4 && tried_ipv6(r) && !h->ipv4_first;
    if (beaten)
        lane_raced(h->lane, IPV6_BEATEN, h->route, 0, now_ms);
    if (beaten && lane_ipv4_first(h->lane, now_ms))
        LOG(LOG_INFO, "IPv4 goes first", LOG_S("relay", url_of(h)),
            LOG_S("route", route_name(h->route)),
            LOG_I("for_s", h->worker->o.demote_for_ms / 1000));
}

void worker_note_race(struct holding *h, const struct link_result *r, uint64_t now_ms)
{
    const struct link_try *won = NULL;
    for (size_t i = 0; i < r->tries_len; i++) {
        const struct tally_way way = way_of(h, &r->tries[i]);
        count_try(h, &r->tries[i], now_ms);
        tally_try(h->worker->tally, &way, &r->tries[i], r->tries[i].err == ERR_NONE, now_ms);
        if (r->tries[i].err == ERR_NONE)
            won = &r->tries[i];
    }
    if (h->worker->o.verbose)
        verbose_raced(h, r);
    if (won != NULL)
        log_connected(h, r, won);
    learn(h, r, won, now_ms);
    if (r->late != NULL) {
        link_cancel(h->late); /* of the race before */
        h->late = r->late;
    }
}

void worker_on_late(void *arg, const struct link_try *t)
{
    struct holding *h = arg;
    uint64_t now_ms = clock_boot_ms();
    bool made_it = t->err == ERR_NONE;
    const struct tally_way way = way_of(h, t);
    h->late = NULL;
    tally_late(h->worker->tally, &way, t, now_ms);
    LOG(h->worker->o.verbose ? LOG_INFO : LOG_DEBUG, "IPv6 after it lost the race",
        LOG_S("relay", url_of(h)), LOG_S("result", made_it ? "late" : t->text),
        LOG_I("ms", took_ms(t)));
    if (!made_it)
        count_failure(h, t, now_ms);
    lane_raced(h->lane, made_it ? IPV6_LATE : IPV6_DEAD, route_of(t), took_ms(t), now_ms);
    worker_wake(h);
}

void worker_note_delivery(struct holding *h, int64_t accepted_ms, uint64_t now_ms)
{
    int64_t took_ms = worker_wall_ms(h->worker, now_ms) - accepted_ms;
    const struct tally_way way = {
        .lane = h->number, .route = h->route, .family = relay_family(h->relay)};
    tally_delivered(h->worker->tally, &way, took_ms > 0 ? (uint64_t)took_ms * 1000 : 0);
}

/* ---- telling the queue ---- */

static void on_told(void *arg, enum err e)
{
    struct worker *w = arg;
    if (e != ERR_NONE)
        LOG(LOG_DEBUG, "statistics were not taken", LOG_S("error", err_name(e)));
    worker_check_left(w);
}

bool worker_tell(struct worker *w)
{
    return tally_send(w->tally, 0, clock_boot_ms(), on_told, w);
}

void worker_on_tell(uv_timer_t *t)
{
    (void)worker_tell(t->data);
}

void worker_forget_path(struct holding *h)
{
    link_cancel(h->late);
    h->late = NULL;
    verbose_forget(h);
}
