/* How it works. Its candidate asks to lead. When it comes to lead, it reads what is known of
 * earlier probes (statistics, page by page) and then, now and then, which relays there are
 * (registry). `work` begins what is due, ACTS_MAX at a time. What an act came to is counted and
 * told to the queue at once, or with the next ones when a call is under way.
 *
 * Calls to the queue may be answered after its end: the memory stays until the last one was. */
#include "probe/prober.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "probe/candidate.h"
#include "probe/herald.h"
#include "probe/targets.h"
#include "queue/tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define ACTS_MAX  16u
#define ANSWER_MS 10000u /* of a REQ, and of the document; no longer than connecting may take */
#define RELAYS_MS 15000u /* the registry is looked at so often */
#define CLOSE_MS  1500u
#define AGAIN_MS  1000u /* after a call that failed */

/* An act under way. */
struct probing {
    struct prober *p;
    uint32_t lane, family;
    enum route route;
    struct act *act;
    struct probing *prev, *next;
};

struct prober {
    uv_loop_t *loop;
    struct queue *q;
    struct prober_settings s;
    struct socks_ports socks;
    struct dialer *dialer;
    struct schedule *schedule;
    struct targets targets;
    struct tally *tally;
    struct herald *herald;
    struct probing *acts;
    size_t acts_len;
    uint64_t probes;
    size_t failures; /* in a row, whatever the relay */
    size_t items_len;

    struct candidate *candidate;
    bool recalled; /* since it leads: what was known is read */
    bool looking;  /* a call is under way: statistics or registry */

    uv_timer_t look_timer, work_timer, close_timer;
    unsigned refs; /* handles, calls, the dialer */
    bool closing, closed;
    void (*fn)(void *arg);
    void *arg;
};

static void work(struct prober *p);
static void on_look(uv_timer_t *t);
static void on_work(uv_timer_t *t);

static void release(struct prober *p)
{
    if (--p->refs == 0)
        free(p);
}

static void on_handle_closed(uv_handle_t *h)
{
    release(h->data);
}

/* ---- acts ---- */

static struct stat_last last_of(const struct act_result *r)
{
    struct stat_last l;
    stat_last_of(&r->try, &l);
    if (r->peeked && r->read.answered)
        l.phases_us[STAT_READ] = (uint32_t)r->read.us;
    if (r->told)
        l.phases_us[STAT_NIP11] = (uint32_t)r->nip11_us;
    if (r->peeked && !r->read.answered) {
        l.ok = false;
        l.why = r->read.timed_out ? STAT_TIMEOUT : STAT_NOT_A_RELAY;
        (void)snprintf(l.text, sizeof l.text, "%.*s", (int)sizeof l.text - 1, r->read.text);
    }
    if (r->told)
        (void)snprintf(l.software, sizeof l.software, "%.*s", (int)sizeof l.software - 1,
                       r->nip11.software);
    return l;
}

static void on_told(void *arg, enum err e)
{
    struct prober *p = arg;
    if (e == ERR_STALE)
        candidate_deposed(p->candidate);
}

static void tell(struct prober *p)
{
    (void)tally_send(p->tally, candidate_epoch(p->candidate), clock_boot_ms(), on_told, p);
}

static void forget(struct probing *x)
{
    DL_DELETE(x->p->acts, x);
    x->p->acts_len--;
    free(x);
}

/* All that were tried failed, and then one did not: it was us. */
static void note_end(struct prober *p, bool ok)
{
    if (ok && p->failures >= p->items_len && p->items_len > 1)
        schedule_forgive(p->schedule, clock_boot_ms());
    p->failures = ok ? 0 : p->failures + 1;
}

static void on_act(void *arg, const struct act_result *r)
{
    struct probing *x = arg;
    struct prober *p = x->p;
    const struct tally_way way = {.lane = x->lane, .route = x->route, .family = r->try.family};
    bool no_tor = r->try.why == LINK_WHY_TOR; /* says nothing of the relay */
    const struct stat_last last = last_of(r);
    const struct target *t = targets_find(&p->targets, x->lane);
    p->probes++;
    if (r->try.started)
        tally_attempt(p->tally, &way, &last, clock_boot_ms());
    LOG(LOG_DEBUG, "probed", LOG_I("lane", x->lane), LOG_S("route", route_name(x->route)),
        LOG_S("family", family_name(r->try.family)), LOG_S("verdict", act_verdict(r)),
        LOG_S("text", last.text));
    schedule_done(p->schedule, x->lane, x->family, last.ok || no_tor);
    note_end(p, last.ok);
    /* Not candidate_may_act: this act must not be given up from here. */
    if (t != NULL && candidate_leads(p->candidate) &&
        clock_boot_ms() < candidate_until_ms(p->candidate))
        herald_note(p->herald, t, r, clock_boot_ms(), clock_wall_s());
    forget(x);
    tell(p);
    work(p);
}

static uint32_t answer_ms_of(const struct prober_settings *s)
{
    return s->connect_timeout_ms < ANSWER_MS ? s->connect_timeout_ms : ANSWER_MS;
}

static void begin(struct prober *p, const struct target *t, uint32_t family)
{
    struct probing *x = mem_zero(1, sizeof *x);
    uint32_t answer_ms = answer_ms_of(&p->s);
    const struct act_request r = {.url = t->url,
                                  .route = t->route,
                                  .family = t->modes[family],
                                  .socks = t->route == ROUTE_TOR ? &p->socks : NULL,
                                  .timeout_ms = p->s.connect_timeout_ms,
                                  .read_ms = answer_ms,
                                  .nip11_ms = answer_ms};
    *x = (struct probing){.p = p, .lane = t->lane, .family = family, .route = t->route};
    DL_APPEND(p->acts, x);
    p->acts_len++;
    x->act = act_start(p->loop, p->dialer, &r, on_act, x);
}

static void give_up_acts(struct prober *p)
{
    uint64_t now_ms = clock_boot_ms();
    struct probing *x, *next;
    DL_FOREACH_SAFE(p->acts, x, next)
    {
        act_cancel(x->act);
        schedule_undone(p->schedule, x->lane, x->family, now_ms);
        forget(x);
    }
}

static void work(struct prober *p)
{
    uint64_t now_ms = clock_boot_ms(), at_ms = 0;
    uint32_t lane, family;
    if (p->closing || !candidate_may_act(p->candidate, now_ms) || !p->recalled)
        return;
    while (p->acts_len < ACTS_MAX && schedule_next(p->schedule, now_ms, &lane, &family, &at_ms)) {
        const struct target *t = targets_find(&p->targets, lane);
        if (t != NULL && family < t->modes_len)
            begin(p, t, family);
    }
    if (at_ms > candidate_until_ms(p->candidate))
        at_ms = candidate_until_ms(p->candidate); /* look at the term then */
    uv_update_time(p->loop);
    uv_timer_start(&p->work_timer, on_work, at_ms > now_ms ? at_ms - now_ms : 1, 0);
}

static void on_work(uv_timer_t *t)
{
    work(t->data);
}

/* ---- what the queue knows ---- */

static void look_again(struct prober *p, uint64_t in_ms)
{
    p->looking = false;
    if (!p->closing)
        uv_timer_start(&p->look_timer, on_look, in_ms, 0);
}

static void take_relays(struct prober *p, const struct queue_registry *r)
{
    size_t len;
    targets_take(&p->targets, r, p->s.routes, p->s.socks);
    struct schedule_item *items = targets_items(&p->targets, &len);
    schedule_set(p->schedule, items, len, clock_boot_ms());
    free(items);
    p->items_len = len;
}

static void on_registry(void *arg, enum err e, const struct queue_registry *r)
{
    struct prober *p = arg;
    bool use = e == ERR_NONE && !p->closing && candidate_leads(p->candidate);
    if (use) {
        take_relays(p, r);
        p->recalled = true;
    }
    look_again(p, e == ERR_NONE ? RELAYS_MS : AGAIN_MS);
    if (use)
        work(p);
    release(p);
}

static void ask_statistics(struct prober *p, uint32_t after);

static void on_statistics(void *arg, enum err e, const struct statistics_page *s)
{
    struct prober *p = arg;
    if (e == ERR_NONE && !p->closing && candidate_leads(p->candidate)) {
        targets_learn(&p->targets, s);
        for (size_t i = 0; i < s->len; i++)
            herald_recall(p->herald, &s->relays[i], s->now_ms, clock_boot_ms(), clock_wall_s());
        if (s->next != 0) {
            ask_statistics(p, s->next);
        } else {
            p->refs++;
            p->q->ops->registry(p->q, on_registry, p);
        }
    } else {
        look_again(p, AGAIN_MS);
    }
    release(p);
}

static void ask_statistics(struct prober *p, uint32_t after)
{
    const struct statistics_call c = {.after = after};
    p->refs++;
    p->q->ops->statistics(p->q, &c, on_statistics, p);
}

static void on_look(uv_timer_t *t)
{
    struct prober *p = t->data;
    if (!candidate_leads(p->candidate) || p->looking)
        return;
    p->looking = true;
    if (!p->recalled) {
        targets_forget(&p->targets);
        ask_statistics(p, 0);
    } else {
        p->refs++;
        p->q->ops->registry(p->q, on_registry, p);
    }
}

/* ---- leading ---- */

static void stop_leading(struct prober *p)
{
    p->recalled = false;
    give_up_acts(p);
    herald_forget(p->herald);
    schedule_free(p->schedule); /* another one acts meanwhile: what it found is read then */
    p->schedule = schedule_new(p->s.interval_ms, 0);
    uv_timer_stop(&p->look_timer);
    uv_timer_stop(&p->work_timer);
}

static void on_lead(void *arg, bool leads)
{
    struct prober *p = arg;
    if (!leads) {
        stop_leading(p);
        return;
    }
    LOG(LOG_INFO, "probing relays", LOG_I("every_s", p->s.interval_ms / 1000),
        LOG_I("epoch", candidate_epoch(p->candidate)));
    if (!p->looking)
        uv_timer_start(&p->look_timer, on_look, 0, 0);
}

/* ---- beginning and end ---- */

static void init_timer(struct prober *p, uv_timer_t *t)
{
    uv_timer_init(p->loop, t);
    t->data = p;
    p->refs++;
}

enum err prober_new(uv_loop_t *loop, struct queue *q, const struct prober_settings *s,
                    struct prober **out, struct problem *problem)
{
    const struct dialer_options o = {.ca_file = s->ca_file, .user_agent = "volley/" VERSION};
    struct dialer *dialer;
    enum err e = dialer_new(loop, &o, &dialer, problem);
    if (e != ERR_NONE)
        return e;
    struct prober *p = mem_zero(1, sizeof *p);
    p->loop = loop;
    p->q = q;
    p->dialer = dialer;
    p->refs = 1; /* the dialer */
    p->herald = herald_new(q);
    p->candidate = candidate_new(loop, q, on_lead, p);
    prober_set(p, s);
    p->schedule = schedule_new(s->interval_ms, 0);
    p->tally = tally_new(q, STAT_PROBE);
    init_timer(p, &p->look_timer);
    init_timer(p, &p->work_timer);
    init_timer(p, &p->close_timer);
    *out = p;
    return ERR_NONE;
}

void prober_set(struct prober *p, const struct prober_settings *s)
{
    p->s = *s;
    p->s.ca_file = NULL;
    p->s.nip66_secret = NULL;
    const struct herald_settings told = {.secret = s->nip66_secret,
                                         .interval_ms = s->interval_ms,
                                         .open_ms = s->connect_timeout_ms,
                                         .read_ms = answer_ms_of(s),
                                         .nip11_ms = answer_ms_of(s)};
    herald_set(p->herald, &told);
    candidate_want(p->candidate, s->interval_ms > 0);
    if (s->socks != NULL) {
        p->socks = *s->socks;
        p->s.socks = &p->socks;
    }
    if (p->schedule == NULL)
        return;
    schedule_set_interval(p->schedule, s->interval_ms, clock_boot_ms());
    if (candidate_leads(p->candidate) && !p->looking)
        uv_timer_start(&p->look_timer, on_look, 0, 0);
    work(p);
}

static void on_dialer_freed(void *arg)
{
    release(arg);
}

static void finish(struct prober *p)
{
    uv_timer_t *timers[] = {&p->look_timer, &p->work_timer, &p->close_timer};
    if (p->closed)
        return;
    p->closed = true;
    tally_free(p->tally);
    herald_free(p->herald);
    candidate_free(p->candidate);
    schedule_free(p->schedule);
    targets_free(&p->targets);
    dialer_free(p->dialer, on_dialer_freed, p);
    for (size_t i = 0; i < COUNT_OF(timers); i++)
        uv_close((uv_handle_t *)timers[i], on_handle_closed);
    p->fn(p->arg);
}

static void on_close_timer(uv_timer_t *t)
{
    finish(t->data);
}

static void on_left(void *arg)
{
    struct prober *p = arg;
    finish(p);
    release(p);
}

/* All is told: the lead is given up. */
static void on_last_told(void *arg, enum err e)
{
    struct prober *p = arg;
    if (e == ERR_NONE &&
        tally_send(p->tally, candidate_epoch(p->candidate), clock_boot_ms(), on_last_told, p))
        return;
    p->refs++;
    candidate_leave(p->candidate, on_left, p);
}

void prober_close(struct prober *p, void (*fn)(void *arg), void *arg)
{
    bool may_lead = candidate_rest(p->candidate);
    p->closing = true;
    p->fn = fn;
    p->arg = arg;
    give_up_acts(p);
    uv_timer_start(&p->close_timer, on_close_timer, may_lead ? CLOSE_MS : 0, 0);
    if (may_lead)
        on_last_told(p, ERR_NONE);
}

struct dialer *prober_dialer(const struct prober *p)
{
    return p->dialer;
}

void prober_status(const struct prober *p, struct prober_status *out)
{
    *out = (struct prober_status){.leads = candidate_leads(p->candidate),
                                  .relays = p->targets.len,
                                  .under_way = p->acts_len,
                                  .probes = p->probes};
    (void)snprintf(out->leader, sizeof out->leader, "%s", candidate_leader(p->candidate));
}
