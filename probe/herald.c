#include "probe/herald.h"

#include "common/base/log.h"
#include "probe/nip66.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define DAY_MS 86400000u

/* The last try by one family. */
struct cell {
    bool tried, ok;
    uint64_t open_us, read_us;
};

struct report {
    uint32_t lane;
    struct cell cells[FAMILY_COUNT];
    bool documented;
    struct nip11 nip11;
    char *told;    /* the tags without times, as last told; NULL: never, or not by this process */
    bool recalled; /* then: these families worked, for an earlier prober */
    bool worked[FAMILY_COUNT];
    uint64_t told_ms, hour; /* when; `hour` as hour_of */
    int64_t told_s;         /* created_at: never falls */
    UT_hash_handle hh;
};

struct herald {
    struct queue *q;
    struct herald_settings s;
    uint8_t secret[32];
    struct report *reports;
    uint64_t announced_ms; /* 0: not yet, or other settings since */
    int64_t announced_s;
    bool complained; /* since the last success */
    bool freed;
    unsigned refs;
};

/* An append under way. */
struct post {
    struct herald *h;
    bool announces;
    uint32_t lane; /* else */
};

static void release(struct herald *h)
{
    if (--h->refs == 0)
        free(h);
}

struct herald *herald_new(struct queue *q)
{
    struct herald *h = mem_zero(1, sizeof *h);
    h->q = q;
    h->refs = 1;
    return h;
}

static void drop_reports(struct herald *h)
{
    struct report *r, *next;
    HASH_ITER(hh, h->reports, r, next)
    {
        HASH_DEL(h->reports, r);
        free(r->told);
        free(r);
    }
}

void herald_free(struct herald *h)
{
    if (h == NULL)
        return;
    drop_reports(h);
    explicit_bzero(h->secret, sizeof h->secret);
    h->s.secret = NULL;
    h->freed = true;
    release(h);
}

static bool is_same(const struct herald *h, const struct herald_settings *s)
{
    bool same_key = (h->s.secret == NULL) == (s->secret == NULL) &&
                    (s->secret == NULL || memcmp(h->secret, s->secret, sizeof h->secret) == 0);
    return same_key && h->s.interval_ms == s->interval_ms && h->s.open_ms == s->open_ms &&
           h->s.read_ms == s->read_ms && h->s.nip11_ms == s->nip11_ms;
}

void herald_set(struct herald *h, const struct herald_settings *s)
{
    if (is_same(h, s))
        return;
    drop_reports(h);
    h->announced_ms = 0;
    h->s = *s;
    if (s->secret != NULL) {
        memcpy(h->secret, s->secret, sizeof h->secret);
        h->s.secret = h->secret;
    } else {
        explicit_bzero(h->secret, sizeof h->secret);
    }
}

void herald_forget(struct herald *h)
{
    struct report *r, *next;
    HASH_ITER(hh, h->reports, r, next)
    memset(r->cells, 0, sizeof r->cells);
}

/* ---- into the queue ---- */

static struct report *find(struct herald *h, uint32_t lane)
{
    struct report *r;
    HASH_FIND(hh, h->reports, &lane, sizeof lane, r);
    return r;
}

/* What did not arrive is told again at the next occasion. */
static void on_appended(void *arg, enum err e, const struct append_result *result, const char *why)
{
    struct post *post = arg;
    struct herald *h = post->h;
    struct report *r = find(h, post->lane);
    (void)result;
    if (e == ERR_NONE) {
        h->complained = false;
    } else if (!h->freed) {
        if (!h->complained)
            LOG(LOG_WARN, "what was probed could not be told (NIP-66)",
                LOG_S("why", why != NULL && why[0] != '\0' ? why : err_name(e)));
        h->complained = true;
        if (post->announces) {
            h->announced_ms = 0;
        } else if (r != NULL) {
            free(r->told);
            r->told = NULL;
        }
    }
    free(post);
    release(h);
}

static void append(struct herald *h, struct event *ev, bool announces, uint32_t lane)
{
    struct post *post = mem_zero(1, sizeof *post);
    *post = (struct post){.h = h, .announces = announces, .lane = lane};
    h->refs++;
    h->q->ops->append(h->q, ev, on_appended, post);
    event_unref(ev);
}

static uint64_t again_ms(const struct herald *h)
{
    return h->s.interval_ms > HERALD_AGAIN_MS ? h->s.interval_ms : HERALD_AGAIN_MS;
}

/* Knuth's multiplier spreads the lanes over the hour. */
static uint64_t hour_of(const struct herald *h, uint32_t lane, int64_t wall_s)
{
    uint64_t hour_s = again_ms(h) / 1000;
    return ((uint64_t)wall_s + lane * 2654435761u % hour_s) / hour_s;
}

static void announce(struct herald *h, uint64_t now_ms, int64_t wall_s)
{
    /* A probe may come up to an interval after it is due to be told. */
    const struct nip66_monitor m = {.frequency_s = (again_ms(h) + h->s.interval_ms + 999) / 1000,
                                    .open_ms = h->s.open_ms,
                                    .read_ms = h->s.read_ms,
                                    .nip11_ms = h->s.nip11_ms};
    struct event *ev;
    struct problem p;
    if ((h->announced_ms != 0 && now_ms - h->announced_ms < DAY_MS) || wall_s <= h->announced_s)
        return;
    h->announced_ms = now_ms;
    h->announced_s = wall_s;
    if (nip66_monitor(h->secret, (uint64_t)wall_s, &m, &ev, &p) == ERR_NONE)
        append(h, ev, true, 0);
    else
        LOG(LOG_WARN, "no announcement (NIP-66)", LOG_S("why", p.text));
}

/* ---- what is known of a relay ---- */

static size_t tried(const struct report *r)
{
    size_t n = 0;
    for (size_t f = 0; f < FAMILY_COUNT; f++)
        n += r->cells[f].tried;
    return n;
}

static bool facts_of(const struct report *r, const struct target *t, struct nip66_facts *out)
{
    bool any = false;
    *out = (struct nip66_facts){.url = &t->url, .nip11 = r->documented ? &r->nip11 : NULL};
    for (size_t f = 0; f < FAMILY_COUNT; f++) {
        const struct cell *c = &r->cells[f];
        if (!c->ok)
            continue;
        out->works[f] = true;
        if (!any || c->open_us < out->open_us) {
            out->open_us = c->open_us;
            out->read_us = c->read_us;
        }
        any = true;
    }
    return any;
}

/* What an earlier prober found counts as told, whatever the relay's document said to it. */
static void presume(struct report *r, const struct nip66_facts *f, const char *tags)
{
    if (r->recalled && memcmp(r->worked, f->works, sizeof r->worked) == 0)
        r->told = mem_strdup(tags);
    r->recalled = false;
}

static bool is_due(const struct herald *h, const struct report *r, const char *tags,
                   uint64_t now_ms, int64_t wall_s)
{
    if (r->told == NULL)
        return true;
    return now_ms - r->told_ms >= h->s.interval_ms &&
           (hour_of(h, r->lane, wall_s) != r->hour || strcmp(tags, r->told) != 0);
}

static void tell(struct herald *h, struct report *r, const struct target *t, uint64_t now_ms,
                 int64_t wall_s)
{
    struct nip66_facts facts;
    struct event *ev;
    struct problem p;
    struct buf tags;
    buf_init(&tags, NIP66_TAGS_MAX);
    bool able = wall_s > r->told_s && facts_of(r, t, &facts) &&
                nip66_tags(&facts, false, &tags) == ERR_NONE;
    if (able)
        presume(r, &facts, buf_str(&tags));
    if (able && is_due(h, r, buf_str(&tags), now_ms, wall_s)) {
        announce(h, now_ms, wall_s);
        free(r->told);
        r->told = mem_strdup(buf_str(&tags));
        r->told_ms = now_ms;
        r->hour = hour_of(h, r->lane, wall_s);
        r->told_s = wall_s;
        if (nip66_relay(h->secret, (uint64_t)wall_s, &facts, &ev, &p) == ERR_NONE)
            append(h, ev, false, r->lane);
        else
            LOG(LOG_WARN, "a relay is not told of (NIP-66)", LOG_I("lane", r->lane),
                LOG_S("why", p.text));
    }
    buf_fini(&tags);
}

static struct report *get(struct herald *h, uint32_t lane)
{
    struct report *r = find(h, lane);
    if (r == NULL) {
        r = mem_zero(1, sizeof *r);
        r->lane = lane;
        HASH_ADD(hh, h->reports, lane, sizeof r->lane, r);
    }
    return r;
}

void herald_recall(struct herald *h, const struct relay_statistics *s, int64_t queue_ms,
                   uint64_t now_ms, int64_t wall_s)
{
    bool worked[FAMILY_COUNT] = {false};
    int64_t at_ms = 0;
    for (size_t i = 0; i < s->paths_len; i++) {
        const struct path_statistics *p = &s->paths[i];
        if (p->source != STAT_PROBE)
            continue;
        worked[p->family] |= p->last.ok;
        at_ms = p->last_success_ms > at_ms ? p->last_success_ms : at_ms;
    }
    if (h->s.secret == NULL || at_ms == 0)
        return;
    uint64_t ago_ms = queue_ms > at_ms ? (uint64_t)(queue_ms - at_ms) : 0;
    struct report *r = get(h, s->lane);
    free(r->told);
    r->told = NULL;
    r->recalled = true;
    memcpy(r->worked, worked, sizeof worked);
    r->told_ms = now_ms - ago_ms; /* may lie before the boot: only differences count */
    r->hour = hour_of(h, s->lane, wall_s - (int64_t)(ago_ms / 1000));
}

/* A name may lead to a public address today and to a private one tomorrow. Of a try that failed no
 * address need be known: it is not told of by itself. */
static bool may_tell(const struct target *t, const struct act_result *a)
{
    bool direct = t->route == ROUTE_DIRECT && act_good(a);
    return nip66_may_tell(&t->url, direct ? a->try.address : NULL);
}

void herald_note(struct herald *h, const struct target *t, const struct act_result *a,
                 uint64_t now_ms, int64_t wall_s)
{
    enum family f = a->try.family;
    if (h->s.secret == NULL || f < 0 || f >= FAMILY_COUNT || a->try.why == LINK_WHY_TOR)
        return;
    struct report *r = get(h, t->lane);
    bool again = r->cells[f].tried, good = act_good(a) && may_tell(t, a);
    r->cells[f] =
        (struct cell){.tried = true, .ok = good, .open_us = a->try.took_us, .read_us = a->read.us};
    if (a->told) {
        r->documented = true;
        r->nip11 = a->nip11;
    }
    if (good && (again || tried(r) >= t->modes_len))
        tell(h, r, t, now_ms, wall_s);
}
