/* Statistics of probes, for lanes that may use them (lane_probed): asked for once a minute, page by
 * page, when there is such a lane. */
#include "publisher/worker.h"

#include "common/base/clock.h"
#include "common/base/log.h"

#include <stdlib.h>

static void ask(struct worker *w, uint32_t after);

static void take_path(struct holding *h, const struct path_statistics *s, uint64_t now_ms)
{
    const struct stat_latency *l = &s->windows[STAT_DAY].phases[STAT_CONNECT];
    const struct lane_probe p = {.route = s->route,
                                 .success_ms = s->last_success_ms,
                                 .streak = s->streak,
                                 .connect_ms = l->p50_us / 1000};
    bool was_second = lane_ipv4_first(h->lane, now_ms);
    lane_probed(h->lane, &p, now_ms);
    if (was_second && !lane_ipv4_first(h->lane, now_ms))
        LOG(LOG_INFO, "IPv6 goes first again: a probe reached it",
            LOG_S("relay", lane_definition(h->lane)->url));
    worker_note_change(h);
}

static void take_relay(struct worker *w, const struct relay_statistics *r, uint64_t now_ms)
{
    struct holding *h = NULL;
    HASH_FIND(hh, w->holdings, &r->lane, sizeof r->lane, h);
    for (size_t i = 0; h != NULL && i < r->paths_len; i++)
        if (r->paths[i].source == STAT_PROBE && r->paths[i].family == FAMILY_IPV6)
            take_path(h, &r->paths[i], now_ms);
}

static void on_page(void *arg, enum err e, const struct statistics_page *p)
{
    struct worker_call *call = arg;
    struct worker *w = call->worker;
    free(call);
    if (w == NULL)
        return;
    uint64_t now_ms = clock_boot_ms();
    w->heeding = NULL;
    if (e != ERR_NONE)
        return;
    for (size_t i = 0; i < p->len; i++)
        take_relay(w, &p->relays[i], now_ms);
    worker_commit(w, now_ms);
    if (p->next != 0)
        ask(w, p->next);
}

static void ask(struct worker *w, uint32_t after)
{
    const struct statistics_call c = {.after = after};
    struct worker_call *call = mem_zero(1, sizeof *call);
    *call = (struct worker_call){.worker = w, .sent_ms = clock_boot_ms()};
    w->heeding = call;
    w->q->ops->statistics(w->q, &c, on_page, call);
}

void worker_on_heed(uv_timer_t *t)
{
    struct worker *w = t->data;
    uint64_t now_ms = clock_boot_ms();
    bool wanted = false;
    for (struct holding *h = w->holdings; h != NULL && !wanted; h = h->hh.next)
        wanted = lane_wants_probe(h->lane, now_ms);
    if (wanted && w->heeding == NULL && !w->leaving)
        ask(w, 0);
}
