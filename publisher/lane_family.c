/* Which family has the first turn at this relay, and for how long: what races told. Statistics are
 * kept beside it, and decide nothing. */
#include "publisher/lane_internal.h"

#include "common/net/race.h"

#define PROBES_TRUSTED 2 /* in a row */

void lane_count_path(struct lane *l, const struct path_stat *d)
{
    if ((unsigned)d->route >= ROUTE_COUNT || (unsigned)d->family >= FAMILY_COUNT)
        return;
    struct path_stat *p = &l->paths[d->route * FAMILY_COUNT + d->family];
    p->route = d->route;
    p->family = d->family;
    path_stat_add(p, d);
    l->dirty = true;
}

static bool is_demoted(const struct lane *l)
{
    return l->limits.demote_after > 0 && l->learned.ipv6_failures >= l->limits.demote_after;
}

/* Being beaten counts at once, so that the next connection need not wait for the verdict; who made
 * it late is acquitted. That IPv6 failed where IPv4 failed too says nothing about IPv6: the relay
 * is down, or Tor is. */
void lane_raced(struct lane *l, enum ipv6_end end, enum route route, uint64_t took_ms,
                uint64_t now_ms)
{
    struct learned *k = &l->learned;
    l->dirty = true;
    if (end == IPV6_BEATEN && k->ipv6_failures < UINT32_MAX)
        k->ipv6_failures++;
    if (end == IPV6_BEATEN || end == IPV6_DEAD) {
        if (is_demoted(l))
            k->demoted_until_ms = (int64_t)(now_ms + l->limits.demote_for_ms) + l->wall_offset_ms;
        return;
    }
    k->ipv6_failures = 0;
    k->demoted_until_ms = 0;
    if (route == ROUTE_TOR)
        k->ipv6_connect_ms = race_learn(k->ipv6_connect_ms, took_ms);
}

bool lane_ipv4_first(const struct lane *l, uint64_t now_ms)
{
    return race_demoted(l->learned.demoted_until_ms, (int64_t)now_ms + l->wall_offset_ms,
                        l->limits.demote_after, l->limits.demote_for_ms);
}

uint32_t lane_head_start_ms(const struct lane *l, enum route route, uint64_t now_ms)
{
    bool demoted = lane_ipv4_first(l, now_ms);
    return race_head_start_ms(route, demoted ? 0 : l->learned.ipv6_connect_ms);
}

uint32_t lane_grace_ms(const struct lane *l, enum route route)
{
    return race_grace_ms(route, l->learned.ipv6_failures);
}

bool lane_wants_probe(const struct lane *l, uint64_t now_ms)
{
    bool no_time = l->definition.route == ROUTE_TOR && l->learned.ipv6_connect_ms == 0;
    return lane_ipv4_first(l, now_ms) || no_time;
}

void lane_probed(struct lane *l, const struct lane_probe *p, uint64_t now_ms)
{
    struct learned *k = &l->learned;
    int64_t lost_ms = k->demoted_until_ms - (int64_t)l->limits.demote_for_ms;
    if (p->route != l->definition.route || p->streak <= 0)
        return;
    if (p->streak >= PROBES_TRUSTED && p->success_ms > lost_ms && lane_ipv4_first(l, now_ms)) {
        k->ipv6_failures = 0;
        k->demoted_until_ms = 0;
        l->dirty = true;
    }
    if (p->route == ROUTE_TOR && k->ipv6_connect_ms == 0 && p->connect_ms > 0) {
        k->ipv6_connect_ms = race_learn(0, p->connect_ms);
        l->dirty = true;
    }
}
