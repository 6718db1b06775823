#include "probe/candidate.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "queue/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARGIN_MS 5000u /* before the end of the term */

struct candidate {
    struct queue *q;
    candidate_fn *fn;
    void *arg;
    uint8_t id[PUBLISHER_ID_LEN];
    char name[PUBLISHER_NAME_SIZE], leader[PUBLISHER_NAME_SIZE];
    bool wants, leads;
    bool asking; /* a call is under way, */
    uint64_t asked_ms;
    uint64_t epoch, until_ms;
    bool resting; /* asks no more */
    void (*on_left)(void *arg);
    void *left_arg;
    uv_timer_t timer;
    unsigned refs; /* the timer, calls */
};

static void release(struct candidate *c)
{
    if (--c->refs == 0)
        free(c);
}

static void turn(struct candidate *c, bool leads)
{
    if (c->leads == leads)
        return;
    c->leads = leads;
    c->fn(c->arg, leads);
}

/* ---- asking ---- */

static void ask(struct candidate *c, bool leaving, queue_lead_fn *fn)
{
    struct lead_call call = {.role = LEAD_PROBER, .leaving = leaving};
    memcpy(call.id, c->id, sizeof call.id);
    memcpy(call.name, c->name, sizeof call.name);
    c->refs++;
    c->q->ops->lead(c->q, &call, fn, c);
}

static void take(struct candidate *c, const struct lead_result *r)
{
    uint64_t until_ms = c->asked_ms + LEAD_TERM_MS - MARGIN_MS;
    if (c->leads && (!r->leads || r->epoch != c->epoch))
        candidate_deposed(c);
    if (!r->leads || until_ms <= clock_boot_ms())
        return;
    c->epoch = r->epoch;
    c->until_ms = until_ms;
    turn(c, true);
}

static void on_lead(void *arg, enum err e, const struct lead_result *r)
{
    struct candidate *c = arg;
    c->asking = false;
    if (e == ERR_NONE && !c->resting) {
        (void)snprintf(c->leader, sizeof c->leader, "%s", r->leader);
        take(c, r);
    }
    release(c);
}

static void on_timer(uv_timer_t *t)
{
    struct candidate *c = t->data;
    if (c->resting)
        return;
    (void)candidate_may_act(c, clock_boot_ms()); /* also with nothing due */
    if (c->asking || (!c->wants && !c->leads))
        return;
    if (!c->wants)
        turn(c, false);
    c->asking = true;
    c->asked_ms = clock_boot_ms();
    ask(c, !c->wants, on_lead);
}

/* ---- what is asked of it ---- */

bool candidate_leads(const struct candidate *c)
{
    return c->leads;
}

bool candidate_may_act(struct candidate *c, uint64_t now_ms)
{
    if (c->leads && now_ms >= c->until_ms) {
        LOG(LOG_WARN, "the lead was not renewed: probing pauses");
        turn(c, false);
    }
    return c->leads;
}

uint64_t candidate_until_ms(const struct candidate *c)
{
    return c->until_ms;
}

uint64_t candidate_epoch(const struct candidate *c)
{
    return c->epoch;
}

const char *candidate_leader(const struct candidate *c)
{
    return c->leader;
}

void candidate_want(struct candidate *c, bool wants)
{
    c->wants = wants;
}

void candidate_deposed(struct candidate *c)
{
    if (!c->leads)
        return;
    LOG(LOG_WARN, "another prober leads", LOG_S("leader", c->leader));
    turn(c, false);
}

/* ---- beginning and end ---- */

struct candidate *candidate_new(uv_loop_t *loop, struct queue *q, candidate_fn *fn, void *arg)
{
    struct candidate *c = mem_zero(1, sizeof *c);
    *c = (struct candidate){.q = q, .fn = fn, .arg = arg, .refs = 1};
    identity_make(c->id, c->name);
    uv_timer_init(loop, &c->timer);
    c->timer.data = c;
    uv_timer_start(&c->timer, on_timer, 0, LEAD_RENEW_MS);
    return c;
}

static void on_given_up(void *arg, enum err e, const struct lead_result *r)
{
    struct candidate *c = arg;
    (void)e;
    (void)r;
    c->on_left(c->left_arg);
    release(c);
}

bool candidate_rest(struct candidate *c)
{
    c->resting = true;
    return c->leads || c->asking;
}

void candidate_leave(struct candidate *c, void (*fn)(void *arg), void *arg)
{
    c->on_left = fn;
    c->left_arg = arg;
    ask(c, true, on_given_up);
}

static void on_timer_closed(uv_handle_t *h)
{
    release(h->data);
}

void candidate_free(struct candidate *c)
{
    c->resting = true;
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}
