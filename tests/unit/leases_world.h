/* A toy store of epochs, publishers that call as they should, and a clock in a variable. For the
 * tests of leases. */
#ifndef VOLLEY_TESTS_UNIT_LEASES_WORLD_H
#define VOLLEY_TESTS_UNIT_LEASES_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue/leases.h"

#include <stdio.h>
#include <string.h>

#define LANES 12
#define PUBS  5

struct member {
    struct lease_held held[LANES + 1];
    size_t held_len;
    bool leaving;
    /* of the last call */
    size_t granted, lost, asked_back;
};

struct world {
    struct leases *l;
    struct store_lane lanes[LANES]; /* the durable truth: holder and epoch */
    size_t lanes_len;
    struct member m[PUBS];
    uint64_t now_ms;
};

static void id_of(int who, uint8_t id[PUBLISHER_ID_LEN])
{
    memset(id, 0, PUBLISHER_ID_LEN);
    id[0] = (uint8_t)(who + 1);
}

static struct store_lane *stored(struct world *w, uint32_t lane)
{
    for (size_t i = 0; i < w->lanes_len; i++)
        if (w->lanes[i].lane == lane)
            return &w->lanes[i];
    die("lane %u is not in the store", lane);
}

static void release(struct world *w, const struct lease_ref *refs, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        struct store_lane *s = stored(w, refs[i].lane);
        assert_int_equal(s->epoch, refs[i].epoch);
        memset(s->holder, 0, sizeof s->holder);
    }
}

static bool is_free(const struct store_lane *s)
{
    static const uint8_t none[PUBLISHER_ID_LEN];
    return memcmp(s->holder, none, sizeof none) == 0;
}

static void drop(struct member *m, uint32_t lane)
{
    for (size_t i = 0; i < m->held_len; i++)
        if (m->held[i].lane == lane) {
            m->held[i] = m->held[--m->held_len];
            return;
        }
}

static void expire(struct world *w)
{
    const struct lease_ref *freed;
    size_t len;
    leases_expire(w->l, w->now_ms, &freed, &len);
    release(w, freed, len);
}

static struct lease_call make_call(struct world *w, int who)
{
    struct lease_call c = {.routes = 1u << ROUTE_TOR | 1u << ROUTE_DIRECT,
                           .leaving = w->m[who].leaving,
                           .held = w->m[who].held,
                           .held_len = w->m[who].held_len};
    id_of(who, c.publisher);
    (void)snprintf(c.name, sizeof c.name, "host:%d", who);
    return c;
}

/* A call whose answer arrives, if `heard`. */
static void call_heard(struct world *w, int who, bool heard)
{
    struct member *m = &w->m[who];
    struct lease_call c = make_call(w, who);
    struct lease_answer a;
    assert_int_equal(leases_renew(w->l, &c, w->now_ms), ERR_NONE);
    expire(w);
    leases_answer(w->l, &c, &a);
    release(w, a.released, a.released_len);
    m->granted = a.grants_len;
    m->lost = a.lost_len;
    m->asked_back = 0;
    struct member next = *m;
    for (size_t i = 0; i < a.released_len; i++)
        drop(&next, a.released[i].lane);
    for (size_t i = 0; i < a.lost_len; i++)
        drop(&next, a.lost[i]);
    for (size_t i = 0; i < a.kept_len; i++)
        for (size_t k = 0; k < next.held_len; k++)
            if (next.held[k].lane == a.kept[i].lane) {
                assert_int_equal(next.held[k].epoch, a.kept[i].epoch);
                next.held[k].give_back = a.kept[i].give_back;
                next.asked_back += a.kept[i].give_back;
            }
    for (size_t i = 0; i < a.grants_len; i++) {
        struct store_lane *s = stored(w, a.grants[i]);
        assert_true(is_free(s)); /* never two holders */
        id_of(who, s->holder);
        s->epoch++;
        leases_granted(w->l, s->lane, s->holder, s->epoch);
        next.held[next.held_len++] = (struct lease_held){.lane = s->lane, .epoch = s->epoch};
    }
    if (heard)
        *m = next;
}

static void call(struct world *w, int who)
{
    call_heard(w, who, true);
}

static void begin(struct world *w, size_t lanes)
{
    *w = (struct world){.l = leases_new(), .lanes_len = lanes, .now_ms = 1000000};
    for (size_t i = 0; i < lanes; i++)
        w->lanes[i] = (struct store_lane){.lane = (uint32_t)i + 1, .route = ROUTE_TOR};
    leases_load(w->l, w->lanes, w->lanes_len, w->now_ms);
}

static void restart(struct world *w)
{
    leases_free(w->l);
    w->l = leases_new();
    leases_load(w->l, w->lanes, w->lanes_len, w->now_ms);
}

static void end(struct world *w)
{
    leases_free(w->l);
}

#endif
