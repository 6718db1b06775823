/* The race (race.h) over tries (racer.h): who has the websocket's answer first, by the race's
 * rules, is the link.
 *
 * link_open → on_timer → go_on: asks the race what to do until it says wait. Every event (a racer's
 * end, the timer) changes the race's state and ends in go_on; go_on may end everything, so nothing
 * is touched after it. When an IPv6 that lost is followed (`late`), its end or the timer ends
 * everything. */
#include "common/net/link.h"

#include "common/base/clock.h"
#include "common/net/plan.h"
#include "common/net/race.h"
#include "common/net/racer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct link {
    struct dial *dial;
};

struct link_open {
    struct dialer *dialer;
    struct link_request request; /* its `socks` leads to the next one */
    struct socks_ports socks;
    char socks_user[SOCKS_USER_SIZE];
    link_fn *fn;
    void *arg;
    struct plan plan;
    struct race race;
    struct racer racers[2]; /* in the order they were started */
    size_t racers_len;
    struct link_try past[RACE_AGAIN_MAX]; /* of racers that were started again */
    size_t past_len;
    uint64_t deadline_ms; /* 0: not begun */
    struct racer *late;   /* the race is over, and this one is followed; NULL */
    uint64_t winner_websocket_us;
    uv_timer_t timer;
    bool over;
};

static void go_on(struct link_open *o);

static void on_timer(uv_timer_t *timer);

const char *link_why_name(enum link_why w)
{
    static const char *const names[LINK_WHY_COUNT] = {
        "",        "no_address", "refused", "unreachable",  "tor",
        "timeout", "tls",        "http",    "no_websocket", "not_tried"};
    return w >= 0 && w < LINK_WHY_COUNT ? names[w] : "?";
}

static void on_closed(uv_handle_t *handle)
{
    struct link_open *o = handle->data;
    dialer_release(o->dialer);
    free(o);
}

/* Nothing happens any more but the closing of handles. */
static void end(struct link_open *o)
{
    o->over = true;
    for (size_t i = 0; i < o->racers_len; i++)
        racer_leave(&o->racers[i]);
    uv_close((uv_handle_t *)&o->timer, on_closed);
}

static void set_timer(struct link_open *o, uint64_t at_ms, uint64_t now_ms)
{
    uv_update_time(dialer_loop(o->dialer));
    (void)uv_timer_start(&o->timer, on_timer, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

/* --- results --------------------------------------------------------------------------------- */

/* The error of the one that got furthest, of the first one where they are equal. */
static enum err verdict(const struct link_open *o)
{
    const struct racer *best = &o->racers[0];
    for (size_t i = 1; i < o->racers_len; i++)
        if (o->racers[i].phase > best->phase)
            best = &o->racers[i];
    return best->try.err;
}

/* The other won. Only of an IPv6 that had its head start can anything be learned. */
static void part_with(struct link_open *o, struct racer *r, struct link_result *out)
{
    uint64_t now_ms = clock_boot_ms(), late_ms = r->started_ms + LINK_LATE_MS;
    bool learn = o->request.on_late != NULL && r->lane == FAMILY_IPV6 && !o->request.ipv4_first;
    if (learn && now_ms >= late_ms) {
        racer_time_out(r, LINK_LATE_MS);
        return;
    }
    racer_note_lost(r);
    if (!learn) {
        racer_leave(r);
        return;
    }
    r->only_connect = true;
    o->late = r;
    out->late = o;
    set_timer(o, late_ms, now_ms);
}

static void finish(struct link_open *o, struct racer *winner)
{
    struct link_result result = {.err = ERR_NONE, .tries_len = o->past_len};
    struct buf answer = {0};
    memcpy(result.tries, o->past, sizeof o->past);
    for (size_t i = 0; i < o->racers_len; i++) {
        if (&o->racers[i] != winner && o->racers[i].dial != NULL)
            part_with(o, &o->racers[i], &result);
        result.tries[result.tries_len++] = o->racers[i].try;
    }
    if (winner != NULL) {
        result.link = mem_zero(1, sizeof *result.link);
        result.link->dial = winner->dial;
        result.family = winner->try.family;
        answer = winner->answer;
        result.extra = answer.data + winner->answer_len;
        result.extra_len = answer.len - winner->answer_len;
        o->winner_websocket_us = winner->try.websocket_us;
        winner->dial = NULL;
        buf_init(&winner->answer, 0);
    } else {
        result.err = verdict(o);
    }
    if (result.late == NULL)
        end(o);
    o->fn(o->arg, &result);
    buf_fini(&answer);
}

/* The one that was followed completed or failed. */
static void tell_late(struct link_open *o, enum err e)
{
    struct link_try t = o->late->try;
    t.lost = false;
    if (e == ERR_NONE) {
        t.err = ERR_NONE;
        t.text[0] = '\0';
        if (t.websocket_us == 0)
            t.websocket_us = o->winner_websocket_us;
    }
    end(o);
    o->request.on_late(o->request.late_arg, &t);
}

/* Nothing was started: one try says why. */
static void refuse(struct link_open *o, enum err e, const char *text)
{
    struct link_result result = {.err = e, .tries_len = 1};
    result.tries[0].err = e;
    result.tries[0].why = LINK_WHY_NOT_TRIED;
    (void)snprintf(result.tries[0].text, sizeof result.tries[0].text, "%s", text);
    end(o);
    o->fn(o->arg, &result);
}

static void expire_late(struct link_open *o)
{
    racer_time_out(o->late, LINK_LATE_MS);
    tell_late(o, ERR_TIMEOUT);
}

static void expire(struct link_open *o)
{
    struct racer *complete = NULL;
    if (o->racers_len == 0) {
        refuse(o, ERR_TIMEOUT, "timeout before anything was started");
        return;
    }
    for (size_t i = 0; i < o->racers_len; i++) {
        struct racer *r = &o->racers[i];
        if (r->dial != NULL && r->answer_len > 0)
            complete = r;
        else if (r->dial != NULL)
            racer_time_out(r, o->request.timeout_ms);
    }
    finish(o, complete);
}

/* --- the race -------------------------------------------------------------------------------- */

static struct racer *on_lane(struct link_open *o, enum family lane)
{
    for (size_t i = 0; i < o->racers_len; i++)
        if (o->racers[i].lane == lane)
            return &o->racers[i];
    return NULL;
}

static bool may_pass(enum link_why why)
{
    return why == LINK_WHY_UNREACHABLE || why == LINK_WHY_REFUSED || why == LINK_WHY_TOR;
}

static void on_racer(struct racer *r, enum err e)
{
    struct link_open *o = r->owner;
    if (o->late != NULL) {
        tell_late(o, e);
        return;
    }
    if (e == ERR_NONE)
        race_completed(&o->race, r->lane, clock_boot_ms());
    else
        race_failed(&o->race, r->lane, may_pass(r->try.why), clock_boot_ms());
    go_on(o);
}

static void start(struct link_open *o, enum family lane)
{
    const struct racer_options options = {.dialer = o->dialer,
                                          .request = &o->request,
                                          .lane = lane,
                                          .family =
                                              o->plan.only == FAMILY_COUNT ? lane : o->plan.only,
                                          .socks = o->plan.socks[lane],
                                          .socks_user = o->socks_user,
                                          .done = on_racer,
                                          .owner = o};
    struct racer *r = on_lane(o, lane);
    if (r != NULL)
        o->past[o->past_len++] = r->try; /* it failed; race.h bounds how often */
    else
        r = &o->racers[o->racers_len++];
    racer_start(r, &options);
    race_started(&o->race, lane);
}

static void go_on(struct link_open *o)
{
    for (;;) {
        uint64_t now_ms = clock_boot_ms();
        if (now_ms >= o->deadline_ms) {
            expire(o);
            return;
        }
        struct race_step s = race_next(&o->race, now_ms);
        switch (s.what) {
        case RACE_START:
            start(o, s.family);
            break;
        case RACE_WAIT: {
            uint64_t at_ms = s.at_ms != 0 && s.at_ms < o->deadline_ms ? s.at_ms : o->deadline_ms;
            set_timer(o, at_ms, now_ms);
            return;
        }
        case RACE_TAKE:
            finish(o, on_lane(o, s.family));
            return;
        case RACE_FAIL:
            finish(o, NULL);
            return;
        }
    }
}

static void begin(struct link_open *o)
{
    const struct link_request *r = &o->request;
    uint64_t now_ms = clock_boot_ms();
    struct race_rules rules = {.ipv4_first = r->ipv4_first,
                               .delay_ms = r->race_delay_ms,
                               .grace_ms = r->grace_ms,
                               .again_ms = LINK_AGAIN_MS};
    const char *why = plan_families(r, &o->plan);
    if (why != NULL) {
        refuse(o, ERR_UNREACHABLE, why);
        return;
    }
    rules.mode = o->plan.mode;
    o->deadline_ms = now_ms + r->timeout_ms;
    race_init(&o->race, &rules, now_ms);
    go_on(o);
}

static void on_timer(uv_timer_t *timer)
{
    struct link_open *o = timer->data;
    if (o->deadline_ms == 0)
        begin(o);
    else if (o->late != NULL)
        expire_late(o);
    else
        go_on(o);
}

struct link_open *link_open(struct dialer *d, const struct link_request *r, link_fn *fn, void *arg)
{
    struct link_open *o = mem_zero(1, sizeof *o);
    o->dialer = d;
    o->request = *r;
    if (r->socks != NULL) {
        o->socks = *r->socks;
        o->request.socks = &o->socks;
    }
    plan_socks_user(&r->url, o->socks_user);
    o->fn = fn;
    o->arg = arg;
    (void)uv_timer_init(dialer_loop(d), &o->timer);
    o->timer.data = o;
    dialer_hold(d);
    (void)uv_timer_start(&o->timer, on_timer, 0, 0);
    return o;
}

void link_cancel(struct link_open *o)
{
    if (o != NULL && !o->over)
        end(o);
}

/* --- the link -------------------------------------------------------------------------------- */

ssize_t link_send(void *link, const uint8_t *data, size_t len)
{
    return dial_send(((struct link *)link)->dial, data, len);
}

ssize_t link_recv(void *link, uint8_t *data, size_t len)
{
    return dial_recv(((struct link *)link)->dial, data, len);
}

int link_fd(const struct link *l)
{
    return dial_fd(l->dial);
}

void link_close(struct link *l)
{
    if (l == NULL)
        return;
    dial_close(l->dial);
    free(l);
}
