#include "probe/targets.h"

#include "probe/act.h"

#include <stdlib.h>
#include <string.h>

void targets_free(struct targets *t)
{
    free(t->list);
    free(t->known);
    *t = (struct targets){0};
}

void targets_take(struct targets *t, const struct queue_registry *r, uint32_t routes,
                  const struct socks_ports *socks)
{
    free(t->list);
    t->list = mem_zero(r->lanes_len + 1, sizeof *t->list);
    t->len = 0;
    for (size_t i = 0; i < r->lanes_len; i++) {
        const struct lane_entry *l = &r->lanes[i];
        if (l->retired || l->versions_len == 0)
            continue;
        const struct definition *d = &l->versions[l->versions_len - 1].definition;
        struct target *to = &t->list[t->len];
        *to = (struct target){.lane = l->lane, .route = d->route};
        if ((routes & (1u << d->route)) == 0 || (d->route == ROUTE_TOR && socks == NULL) ||
            relay_url_parse(d->url, &to->url, NULL) != ERR_NONE)
            continue;
        to->modes_len = act_families(&to->url, d->route, socks, to->modes);
        t->len++;
    }
}

void targets_learn(struct targets *t, const struct statistics_page *p)
{
    for (size_t i = 0; i < p->len; i++)
        for (size_t k = 0; k < p->relays[i].paths_len; k++) {
            const struct path_statistics *s = &p->relays[i].paths[k];
            int64_t at_ms =
                s->last_success_ms > s->last_failure_ms ? s->last_success_ms : s->last_failure_ms;
            if (s->source != STAT_PROBE || at_ms == 0)
                continue;
            t->known = mem_grow(t->known, (t->known_len + 1) * sizeof *t->known);
            t->known[t->known_len++] = (struct target_known){
                .lane = p->relays[i].lane,
                .route = s->route,
                .family = s->family,
                .ago_ms = p->now_ms > at_ms ? (uint64_t)(p->now_ms - at_ms) : 0,
                .failures = s->streak < 0 ? -s->streak : 0};
        }
}

void targets_forget(struct targets *t)
{
    free(t->known);
    t->known = NULL;
    t->known_len = 0;
}

static int by_lane(const void *a, const void *b)
{
    const struct target *x = a, *y = b;
    return x->lane < y->lane ? -1 : x->lane > y->lane;
}

const struct target *targets_find(const struct targets *t, uint32_t lane)
{
    const struct target key = {.lane = lane};
    return t->len == 0 ? NULL : bsearch(&key, t->list, t->len, sizeof key, by_lane);
}

/* What an act that is asked for so was called in the end: an only one by any name. */
static bool is_of(const struct target_known *k, enum family_mode mode)
{
    return mode == MODE_AUTO || (mode == MODE_IPV6 && k->family == FAMILY_IPV6) ||
           (mode == MODE_IPV4 && k->family == FAMILY_IPV4);
}

static void recall(const struct target_known *k, const struct target *to, enum family_mode mode,
                   struct schedule_item *out)
{
    if (k->route != to->route || !is_of(k, mode) || (out->known && k->ago_ms >= out->ago_ms))
        return;
    out->known = true;
    out->ago_ms = k->ago_ms;
    out->failures = k->failures;
}

/* Both lists are by lane. */
struct schedule_item *targets_items(const struct targets *t, size_t *len)
{
    struct schedule_item *items = mem_zero(2 * t->len + 1, sizeof *items);
    size_t first = 0;
    *len = 0;
    for (size_t i = 0; i < t->len; i++) {
        const struct target *to = &t->list[i];
        while (first < t->known_len && t->known[first].lane < to->lane)
            first++;
        for (size_t m = 0; m < to->modes_len; m++) {
            struct schedule_item *item = &items[(*len)++];
            item->lane = to->lane;
            item->family = (uint32_t)m;
            for (size_t k = first; k < t->known_len && t->known[k].lane == to->lane; k++)
                recall(&t->known[k], to, to->modes[m], item);
        }
    }
    return items;
}
