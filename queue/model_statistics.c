/* Statistics in the model. The arithmetic of time and of who leads is that of every backend
 * (windows.h, lead.h); what is the model's own is where it stands. */
#include "queue/model_state.h"

#include <stdlib.h>
#include <string.h>

static int rank(enum stat_source s, enum route r, enum family f)
{
    return ((int)s * ROUTE_COUNT + (int)r) * FAMILY_COUNT + (int)f;
}

/* Its place, made when there is none. */
static struct model_path *path_of(struct model_lane *l, enum stat_source source,
                                  const struct observation *o)
{
    int mine = rank(source, o->route, o->family);
    size_t at = 0;
    while (at < l->observed_len &&
           rank(l->observed[at].source, l->observed[at].route, l->observed[at].family) < mine)
        at++;
    struct model_path *p = l->observed + at;
    if (at < l->observed_len && rank(p->source, p->route, p->family) == mine)
        return p;
    l->observed = mem_grow(l->observed, (l->observed_len + 1) * sizeof *l->observed);
    p = l->observed + at;
    memmove(p + 1, p, (l->observed_len++ - at) * sizeof *p);
    memset(p, 0, sizeof *p);
    p->source = source;
    p->route = o->route;
    p->family = o->family;
    return p;
}

enum err model_observe(struct model *m, const struct observe_call *c, int64_t now_ms,
                       uint64_t boot_ms, struct observe_result *out)
{
    *out = (struct observe_result){.now_ms = now_ms};
    if (observe_check(c) != ERR_NONE)
        return ERR_INVALID;
    if (c->source == STAT_PROBE && !lead_is_current(&m->leaders[LEAD_PROBER], c->epoch))
        return ERR_STALE;
    m->statistics_version++;
    for (size_t i = 0; i < c->len; i++) {
        struct model_lane *l = model_lane(m, c->list[i].lane);
        if (!l || l->retired) {
            out->unknown++;
            continue;
        }
        windows_add(&path_of(l, c->source, &c->list[i])->windows, &c->list[i], now_ms,
                    model_is_calm(m, now_ms, boot_ms));
        l->observed_version = m->statistics_version;
        out->taken++;
    }
    return ERR_NONE;
}

static void show(const struct model_lane *l, int64_t now_ms, bool calm,
                 struct relay_statistics *out)
{
    struct path_statistics *paths = mem_zero(l->observed_len, sizeof *paths);
    struct windows *w = mem_new(sizeof *w);
    *out =
        (struct relay_statistics){.lane = l->number, .paths = paths, .paths_len = l->observed_len};
    memcpy(out->url, model_newest(l)->definition.url, sizeof out->url);
    for (size_t i = 0; i < l->observed_len; i++) {
        const struct model_path *p = &l->observed[i];
        *w = p->windows;
        if (!calm)
            windows_roll(w, now_ms);
        windows_show(w, &paths[i]);
        paths[i].source = p->source;
        paths[i].route = p->route;
        paths[i].family = p->family;
    }
    free(w);
}

void model_statistics(const struct model *m, const struct statistics_call *c, int64_t now_ms,
                      uint64_t boot_ms, struct statistics_page *out)
{
    uint64_t since = c->since <= m->statistics_version ? c->since : 0;
    bool calm = model_is_calm(m, now_ms, boot_ms);
    struct relay_statistics *relays = mem_zero(STATISTICS_LANES_MAX, sizeof *relays);
    *out = (struct statistics_page){
        .now_ms = now_ms, .version = m->statistics_version, .relays = relays};
    for (size_t i = 0; i < m->lanes_len; i++) {
        const struct model_lane *l = &m->lanes[i];
        if (l->retired || l->number <= c->after || l->observed_version <= since)
            continue;
        if (out->len == STATISTICS_LANES_MAX) {
            out->next = relays[out->len - 1].lane;
            break;
        }
        show(l, now_ms, calm, &relays[out->len++]);
    }
}

void model_statistics_free(struct statistics_page *p)
{
    for (size_t i = 0; i < p->len; i++)
        free((void *)p->relays[i].paths);
    free((void *)p->relays);
}
