/* A lane's relay: connecting, offering events, answers. Callbacks of the relay tell the lane at
 * once and leave what follows to the next turn. */
#include "publisher/worker.h"

#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/base/log.h"
#include "publisher/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX (128u * 1024u) /* of what a relay sends us */
#define QUEUE_SLACK                                                                                \
    (64u * 1024u) /* beyond the window and one event: frames' heads, pongs, AUTH                   \
                   */
#define FULL_PAUSE_MS 50u
#define FLIGHTS_MAX   (2u * QUEUE_EXCEPTIONS_MAX)
#define CHAIN_MAX     8 /* versions looked at to find the newest */

static const char *url_of(const struct holding *h)
{
    return lane_definition(h->lane)->url;
}

/* ---- what is in flight ---- */

static void forget(struct holding *h, struct flight *f)
{
    HASH_DEL(h->flights, f);
    free(f);
}

static void forget_all(struct holding *h)
{
    struct flight *f, *next;
    HASH_ITER(hh, h->flights, f, next)
    forget(h, f);
}

static struct flight *find(const struct holding *h, const uint8_t id[EVENT_ID_LEN])
{
    struct flight *f = NULL;
    HASH_FIND(hh, h->flights, id, EVENT_ID_LEN, f);
    return f;
}

/* What a relay never answers stays until the link ends, within a bound. */
static void note_flight(struct holding *h, const struct queue_event *ev)
{
    const uint8_t *id = ev->event->id;
    struct flight *f = find(h, id);
    if (f == NULL) {
        if (HASH_COUNT(h->flights) >= FLIGHTS_MAX)
            forget(h, h->flights);
        f = mem_zero(1, sizeof *f);
        memcpy(f->id, id, sizeof f->id);
        HASH_ADD(hh, h->flights, id, EVENT_ID_LEN, f);
    }
    f->pos = ev->pos;
    f->accepted_ms = ev->accepted_ms;
}

void worker_unlink(struct holding *h)
{
    if (h->relay != NULL)
        relay_close(h->relay);
    h->relay = NULL;
    h->open = false;
    forget_all(h);
}

/* ---- what the relay tells ---- */

static bool was_tried_again(const struct link_result *r, size_t i)
{
    for (size_t k = i + 1; k < r->tries_len; k++)
        if (r->tries[k].family == r->tries[i].family)
            return true;
    return false;
}

/* "ipv6: no route; ipv4: refused" */
static void failure_text(const struct link_result *r, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < r->tries_len && len < size; i++) {
        const struct link_try *t = &r->tries[i];
        const char *text = t->text[0] != '\0' ? t->text : err_name(t->err);
        if (was_tried_again(r, i))
            continue;
        int n = t->family == FAMILY_NONE
                    ? snprintf(out + len, size - len, "%s%s", len > 0 ? "; " : "", text)
                    : snprintf(out + len, size - len, "%s%s: %s", len > 0 ? "; " : "",
                               family_name(t->family), text);
        len += n > 0 ? (size_t)n : 0;
    }
    if (r->tries_len == 0)
        (void)snprintf(out, size, "%s", err_name(r->err));
}

static void connect_failed(struct holding *h, uint32_t retry_after_ms, const char *text,
                           uint64_t now_ms)
{
    LOG(LOG_INFO, "connect failed", LOG_S("relay", url_of(h)), LOG_S("reason", text));
    lane_connect_failed(h->lane, retry_after_ms, text, now_ms);
}

static void on_open(void *arg, const struct link_result *r)
{
    struct holding *h = arg;
    uint64_t now_ms = clock_boot_ms();
    uint32_t retry_after_ms = 0;
    worker_note_race(h, r, now_ms);
    for (size_t i = 0; i < r->tries_len; i++)
        if (r->tries[i].retry_after_ms > retry_after_ms)
            retry_after_ms = r->tries[i].retry_after_ms;
    if (r->err == ERR_NONE) {
        h->open = true;
        lane_connected(h->lane, r->family, h->route, now_ms);
    } else {
        char text[QUEUE_TEXT_SIZE];
        failure_text(r, text, sizeof text);
        worker_unlink(h);
        connect_failed(h, retry_after_ms, text, now_ms);
    }
    worker_wake(h);
}

static void stray(struct holding *h, const uint8_t id[EVENT_ID_LEN])
{
    h->strays++;
    if (log_on(LOG_DEBUG)) {
        char hex[2 * EVENT_ID_LEN + 1];
        LOG(LOG_DEBUG, "answer to nothing", LOG_S("relay", url_of(h)),
            LOG_S("id", hex_str(hex, id, EVENT_ID_LEN)), LOG_I("so_far", h->strays));
    }
}

static void on_answer(void *arg, const uint8_t id[EVENT_ID_LEN], bool accepted, const char *text)
{
    struct holding *h = arg;
    struct flight *f = find(h, id);
    if (f == NULL) {
        stray(h, id);
        return;
    }
    uint64_t pos = f->pos, now_ms = clock_boot_ms();
    int64_t accepted_ms = f->accepted_ms;
    struct outcome o;
    forget(h, f);
    outcome_of(accepted, text, &o);
    if (!lane_answer(h->lane, pos, &o, now_ms))
        stray(h, id);
    else if (o.kind == OUTCOME_DELIVERED)
        worker_note_delivery(h, accepted_ms, now_ms);
    LOG(LOG_DEBUG, "answer", LOG_S("relay", url_of(h)), LOG_I("position", pos),
        LOG_I("accepted", accepted), LOG_S("text", text));
    worker_wake(h);
}

static void on_notice(void *arg, const char *text)
{
    const struct holding *h = arg;
    LOG(LOG_DEBUG, "notice", LOG_S("relay", url_of(h)), LOG_S("text", text));
}

static void on_auth(void *arg, bool ok, const char *text)
{
    struct holding *h = arg;
    LOG(LOG_INFO, ok ? "relay authenticated us" : "AUTH failed", LOG_S("relay", url_of(h)),
        LOG_S("text", text));
    lane_authenticated(h->lane, ok, text, clock_boot_ms());
    worker_wake(h);
}

static void on_lost(void *arg, const char *text)
{
    struct holding *h = arg;
    LOG(LOG_INFO, "relay lost", LOG_S("relay", url_of(h)), LOG_S("reason", text),
        LOG_I("unanswered", HASH_COUNT(h->flights)));
    worker_unlink(h);
    lane_link_lost(h->lane, LINK_LOST, text, clock_boot_ms());
    worker_wake(h);
}

static const struct relay_events events_of_relay = {.on_open = on_open,
                                                    .on_answer = on_answer,
                                                    .on_notice = on_notice,
                                                    .on_auth = on_auth,
                                                    .on_lost = on_lost};

/* ---- what the lane wants ---- */

static struct relay_options options_for(struct holding *h, const struct definition *d,
                                        uint64_t now_ms)
{
    const struct publisher_options *o = &h->worker->o;
    struct relay_options ro = {
        .link = {.route = d->route,
                 .mode = d->family,
                 .ipv4_first = lane_ipv4_first(h->lane, now_ms),
                 .race_delay_ms = o->race_delay_ms != 0
                                      ? o->race_delay_ms
                                      : lane_head_start_ms(h->lane, d->route, now_ms),
                 .grace_ms = lane_grace_ms(h->lane, d->route),
                 .timeout_ms = (uint32_t)o->connect_timeout_ms,
                 .on_late = worker_on_late,
                 .late_arg = h},
        .auth_secret = h->secret,
        .auth_timeout_ms = (uint32_t)o->limits.ok_timeout_ms,
        .message_max = MESSAGE_MAX,
        .queue_max = o->limits.window_bytes + EVENT_LEN_MAX + QUEUE_SLACK};
    if (d->route == ROUTE_TOR)
        ro.link.socks = o->socks;
    return ro;
}

bool worker_connect(struct holding *h, uint64_t now_ms)
{
    struct worker *w = h->worker;
    const struct definition *d = lane_definition(h->lane);
    struct problem p = {0};
    if (!worker_may_write(w))
        return false;
    struct relay_options o = options_for(h, d, now_ms);
    h->route = d->route;
    h->ipv4_first = o.link.ipv4_first;
    lane_connecting(h->lane, now_ms);
    if (d->route == ROUTE_TOR && w->o.socks == NULL) {
        connect_failed(h, 0, "route tor, but this publisher knows no SOCKS port of tor", now_ms);
        return true;
    }
    if (relay_url_parse(d->url, &o.link.url, &p) != ERR_NONE) {
        connect_failed(h, 0, p.text, now_ms);
        return true;
    }
    if (w->o.verbose)
        verbose_connecting(h, &o.link);
    struct relay_events ev = events_of_relay;
    ev.arg = h;
    h->relay = relay_open(w->dialer, w->loop, &o, &ev);
    relay_set_gate(h->relay, worker_may_write, w);
    return true;
}

static bool deliverable(const struct queue_event *ev, int64_t wall_ms)
{
    if (ev->event == NULL)
        return true; /* it was dealt with everywhere */
    uint64_t expires_s = ev->event->expiration;
    return ev->deleted_by == 0 && (expires_s == 0 || expires_s > (uint64_t)(wall_ms / 1000));
}

/* The version that was asked for may be at hand for this turn only: what is to be known of it is
 * noted. */
static void look_at_newer(struct holding *h, int64_t wall_ms)
{
    const struct queue_event *ev =
        h->newer != 0 && !h->newer_known ? feed_peek(h->worker->feed, h->newer) : NULL;
    if (ev == NULL)
        return;
    h->newer_known = true;
    h->newer_goes = deliverable(ev, wall_ms);
}

/* Whether the newest version of `ev` may be delivered itself. False when it must be read first:
 * on_news wakes us. */
static bool newer_goes(struct holding *h, const struct queue_event *ev, int64_t wall_ms, bool *goes)
{
    const struct queue_event *newest = ev;
    for (int i = 0; i < CHAIN_MAX && newest->newer != 0; i++) {
        const struct queue_event *next = feed_peek(h->worker->feed, newest->newer);
        if (next == NULL && h->newer_known && h->newer == newest->newer) {
            *goes = h->newer_goes;
            return true;
        }
        if (next == NULL) {
            h->newer = newest->newer;
            h->newer_known = false;
            next = feed_get(h->worker->feed, h->newer);
        }
        if (next == NULL)
            return false;
        newest = next;
    }
    *goes = newest != ev && deliverable(newest, wall_ms);
    return true;
}

/* False when more must be read first. */
static bool judge(struct holding *h, const struct queue_event *ev, uint64_t now_ms,
                  struct verdict *out)
{
    int64_t wall_ms = worker_judge_ms(h->worker, now_ms);
    bool goes = false;
    if (ev->event == NULL) {
        *out = (struct verdict){VERDICT_SKIP, CLASS_RETENTION};
        return true;
    }
    if (ev->newer != 0 && !newer_goes(h, ev, wall_ms, &goes))
        return false;
    h->newer = 0; /* what was noted grows old */
    h->newer_known = false;
    *out =
        route_event(ev, lane_definition(h->lane), lane_admitted(h->lane, ev->pos), goes, wall_ms);
    return true;
}

static bool send_event(struct holding *h, const struct queue_event *ev, uint64_t now_ms)
{
    if (h->relay == NULL || !h->open || !worker_may_write(h->worker))
        return false;
    enum err e = relay_send(h->relay, ev->event);
    if (e != ERR_NONE) {
        h->at_ms = now_ms + FULL_PAUSE_MS;
        return false;
    }
    note_flight(h, ev);
    lane_sent(h->lane, ev->pos, ev->event->len, now_ms);
    return true;
}

bool worker_offer(struct holding *h, const struct want *want, uint64_t now_ms)
{
    look_at_newer(h, worker_judge_ms(h->worker, now_ms));
    const struct queue_event *ev = feed_get(h->worker->feed, want->pos);
    struct verdict v;
    if (ev == NULL || !judge(h, ev, now_ms, &v))
        return false; /* on_news wakes us */
    if (v.kind == VERDICT_PASS) {
        lane_pass(h->lane, want->pos);
    } else if (v.kind == VERDICT_SKIP) {
        lane_skip(h->lane, want->pos, v.cls, now_ms);
        LOG(LOG_DEBUG, "skipped", LOG_S("relay", url_of(h)), LOG_I("position", want->pos),
            LOG_S("class", row_class_name(v.cls)));
    } else if (want->kind == WANT_PEEK) {
        lane_sendable(h->lane, want->pos);
    } else {
        return send_event(h, ev, now_ms);
    }
    return true;
}

bool worker_auth(struct holding *h, uint64_t now_ms)
{
    if (h->relay == NULL || !h->open || !worker_may_write(h->worker))
        return false;
    relay_auth(h->relay);
    lane_auth_sent(h->lane, now_ms);
    return true;
}

bool worker_hang_up(struct holding *h, uint64_t now_ms)
{
    LOG(LOG_INFO, "relay closed", LOG_S("relay", url_of(h)),
        LOG_I("unanswered", HASH_COUNT(h->flights)));
    worker_unlink(h);
    lane_link_lost(h->lane, LINK_CLOSED_BY_US, "closed by us", now_ms);
    return true;
}
