#include "queue/tally.h"

#include "common/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

/* One way to one relay. */
struct count {
    uint32_t key[3];
    struct observation o;
    uint64_t success_ms, failure_ms, last_ms; /* boot clock; told as how long ago */
    UT_hash_handle hh;
};

/* A call under way; the tally may be gone when it is answered. */
struct telling {
    struct tally *tally;
    uint64_t epoch;
    size_t len; /* of what is to be told, so many are in it */
    tally_fn *fn;
    void *arg;
};

struct tally {
    struct queue *q;
    enum stat_source source;
    struct count *counting; /* by way */
    struct count *told;     /* what is under way, or was not sent and goes next */
    struct telling *call;
};

struct tally *tally_new(struct queue *q, enum stat_source source)
{
    struct tally *t = mem_zero(1, sizeof *t);
    t->q = q;
    t->source = source;
    return t;
}

static void forget(struct count **counts)
{
    struct count *c, *next;
    HASH_ITER(hh, *counts, c, next)
    {
        HASH_DEL(*counts, c);
        free(c);
    }
}

void tally_free(struct tally *t)
{
    if (t == NULL)
        return;
    if (t->call != NULL)
        t->call->tally = NULL;
    forget(&t->counting);
    forget(&t->told);
    free(t);
}

enum stat_failure stat_failure_of(enum link_why why)
{
    static const enum stat_failure table[LINK_WHY_COUNT] = {
        [LINK_WHY_NONE] = STAT_OTHER,
        [LINK_WHY_NO_ADDRESS] = STAT_NO_ADDRESS,
        [LINK_WHY_REFUSED] = STAT_REFUSED,
        [LINK_WHY_UNREACHABLE] = STAT_UNREACHABLE,
        [LINK_WHY_TOR] = STAT_TOR,
        [LINK_WHY_TIMEOUT] = STAT_TIMEOUT,
        [LINK_WHY_TLS] = STAT_TLS,
        [LINK_WHY_HTTP] = STAT_HTTP,
        [LINK_WHY_NO_WEBSOCKET] = STAT_NOT_A_RELAY,
        [LINK_WHY_NOT_TRIED] = STAT_OTHER,
    };
    return table[why];
}

/* ---- counting ---- */

static struct count *count_of(struct tally *t, const struct tally_way *w)
{
    const uint32_t key[3] = {w->lane, (uint32_t)w->route, (uint32_t)w->family};
    struct count *c;
    HASH_FIND(hh, t->counting, key, sizeof key, c);
    if (c != NULL)
        return c;
    c = mem_zero(1, sizeof *c);
    memcpy(c->key, key, sizeof key);
    c->o.lane = w->lane;
    c->o.route = w->route;
    c->o.family = w->family;
    HASH_ADD(hh, t->counting, key, sizeof c->key, c);
    return c;
}

static void went(struct count *c, const struct stat_last *last, uint64_t now_ms)
{
    struct observation *o = &c->o;
    c->last_ms = now_ms;
    o->last = *last;
    if (last->ok) {
        o->counts.successes++;
        o->streak = o->streak > 0 ? o->streak + 1 : 1;
        c->success_ms = now_ms;
    } else {
        o->counts.failures[last->why]++;
        o->streak = o->streak < 0 ? o->streak - 1 : -1;
        c->failure_ms = now_ms;
    }
    for (unsigned i = 0; last->ok && i < STAT_PHASE_COUNT; i++)
        if (last->phases_us[i] > 0)
            stat_histogram_add(&o->counts.phases[i], last->phases_us[i]);
}

static uint32_t short_us(uint64_t us)
{
    return us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

void stat_last_of(const struct link_try *try, struct stat_last *out)
{
    *out = (struct stat_last){.ok = try->err == ERR_NONE,
                              .why = stat_failure_of(try->why),
                              .certificate_end_s = try->certificate_end_s};
    out->phases_us[STAT_DNS] = short_us(try->dns_us);
    out->phases_us[STAT_CONNECT] = short_us(try->connect_us);
    out->phases_us[STAT_TLS_PHASE] = short_us(try->tls_us);
    out->phases_us[STAT_WEBSOCKET] = short_us(try->websocket_us);
    if (!out->ok)
        (void)snprintf(out->text, sizeof out->text, "%.*s", (int)sizeof out->text - 1, try->text);
    (void)snprintf(out->address, sizeof out->address, "%s", try->address);
}

void tally_try(struct tally *t, const struct tally_way *w, const struct link_try *try, bool used,
               uint64_t now_ms)
{
    if (!try->started)
        return;
    struct count *c = count_of(t, w);
    struct stat_last last;
    stat_last_of(try, &last);
    c->o.counts.attempts++;
    c->o.counts.uses += used;
    if (try->err == ERR_NONE || !try->lost)
        went(c, &last, now_ms);
}

/* Its handshake's time may be the winner's (link.h). */
void tally_late(struct tally *t, const struct tally_way *w, const struct link_try *try,
                uint64_t now_ms)
{
    struct stat_last last;
    stat_last_of(try, &last);
    last.phases_us[STAT_WEBSOCKET] = 0;
    went(count_of(t, w), &last, now_ms);
}

void tally_delivered(struct tally *t, const struct tally_way *w, uint64_t took_us)
{
    struct count *c = count_of(t, w);
    c->o.counts.deliveries++;
    stat_histogram_add(&c->o.counts.phases[STAT_DELIVERED], took_us);
}

void tally_attempt(struct tally *t, const struct tally_way *w, const struct stat_last *last,
                   uint64_t now_ms)
{
    struct count *c = count_of(t, w);
    c->o.counts.attempts++;
    c->o.counts.uses += last->ok;
    went(c, last, now_ms);
}

/* ---- telling ---- */

static void on_told(void *arg, enum err e, const struct observe_result *r);

static uint32_t ago(uint64_t then_ms, uint64_t now_ms)
{
    uint64_t ms = now_ms > then_ms ? now_ms - then_ms : 0;
    return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

static void date(struct count *c, uint64_t now_ms)
{
    c->o.success_ago_ms = c->success_ms != 0 ? ago(c->success_ms, now_ms) : 0;
    c->o.failure_ago_ms = c->failure_ms != 0 ? ago(c->failure_ms, now_ms) : 0;
    c->o.last.at_ms = c->last_ms != 0 ? ago(c->last_ms, now_ms) : 0;
    if (c->last_ms != 0 && c->o.last.at_ms == 0)
        c->o.last.at_ms = 1;
}

/* Tells the first ones of what is to be told. */
static void tell(struct tally *t, struct telling *call, uint64_t now_ms)
{
    struct observe_call c = {.source = t->source, .epoch = call->epoch};
    struct observation *list = mem_zero(OBSERVATIONS_MAX, sizeof *list);
    for (struct count *k = t->told; k != NULL && c.len < OBSERVATIONS_MAX; k = k->hh.next) {
        date(k, now_ms);
        list[c.len++] = k->o;
    }
    c.list = list;
    call->len = c.len;
    t->call = call;
    t->q->ops->observe(t->q, &c, on_told, call);
    free(list);
}

static void forget_first(struct count **counts, size_t len)
{
    while (len-- > 0 && *counts != NULL) {
        struct count *c = *counts;
        HASH_DEL(*counts, c);
        free(c);
    }
}

static void on_told(void *arg, enum err e, const struct observe_result *r)
{
    struct telling *call = arg;
    struct tally *t = call->tally;
    (void)r;
    if (t == NULL) {
        free(call);
        return;
    }
    t->call = NULL;
    if (e != ERR_CLOSED && e != ERR_NO_SPACE)
        forget_first(&t->told, call->len);
    if (e == ERR_NONE && t->told != NULL) {
        tell(t, call, clock_boot_ms());
        return;
    }
    tally_fn *fn = call->fn;
    void *fn_arg = call->arg;
    free(call);
    fn(fn_arg, e);
}

bool tally_send(struct tally *t, uint64_t epoch, uint64_t now_ms, tally_fn *fn, void *arg)
{
    if (t->call != NULL) {
        t->call->fn = fn;
        t->call->arg = arg;
        return true;
    }
    if (t->told == NULL) {
        t->told = t->counting;
        t->counting = NULL;
    }
    if (t->told == NULL)
        return false;
    struct telling *call = mem_zero(1, sizeof *call);
    *call = (struct telling){.tally = t, .epoch = epoch, .fn = fn, .arg = arg};
    tell(t, call, now_ms);
    return true;
}
