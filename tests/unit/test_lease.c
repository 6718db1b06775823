/* Who gets which lane: tables for the plain cases, seeded random fleets for what must always hold.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "queue/lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOR    (1u << ROUTE_TOR)
#define DIRECT (1u << ROUTE_DIRECT)
#define BOTH   (TOR | DIRECT)

/* One fleet: publishers "A", "B" … as routes ('t', 'd', 'b' both, small: 'x' leaving); lanes 1, 2 …
 * as route and holder ("tA" tor, held by A; "d-" direct, free); and who must have each at the end.
 */
struct plan_row {
    const char *what;
    const char *pubs;
    const char *lanes;
    const char *wanted;
};

static const struct plan_row plan_rows[] = {
    {"nobody alive: nothing is assigned", "", "t- d-", "--"},
    {"one publisher takes all", "b", "t- t- d-", "AAA"},
    {"free lanes spread evenly", "bb", "t- t- t- t-", "ABAB"},
    {"a holder keeps its share, a newcomer gets the rest", "bb", "tA tA tA tA", "AABB"},
    {"an even fleet stays as it is", "bb", "tB tA tB tA", "BABA"},
    {"one more or less is even", "bb", "tA tA tA tB tB", "AAABB"},
    {"free lanes go to who has less", "bb", "tA tA t- t-", "AABB"},
    {"the dead one's lanes spread", "bbb", "tA tB tC t- t- t-", "ABCABC"},
    {"a route nobody serves stays unassigned", "t", "t- d-", "A-"},
    {"a holder that does not serve the route loses it", "td", "dA tB", "BA"},
    {"one that leaves gets nothing and gives all", "xb", "tA tA t-", "BBB"},
    {"the last one leaving leaves nothing assigned", "x", "tA", "-"},
    {"each route's own publisher takes it, the third evens out", "tdb", "t- t- d- d- d- d-",
     "AABBCC"},
    {"a lane passes through who serves both", "tdb", "tA tA tA tA d- dC", "AACCBB"},
};

static uint32_t routes_of(char c)
{
    return c == 't' ? TOR : c == 'd' ? DIRECT : BOTH;
}

static size_t read_row(const struct plan_row *row, struct lease_publisher *pubs,
                       struct lease_lane *lanes)
{
    for (size_t i = 0; row->pubs[i] != '\0'; i++) {
        memset(&pubs[i], 0, sizeof pubs[i]);
        pubs[i].id[0] = (uint8_t)('A' + i);
        pubs[i].routes = routes_of(row->pubs[i]);
        pubs[i].leaving = row->pubs[i] == 'x';
    }
    size_t len = 0;
    for (const char *at = row->lanes; *at != '\0'; at += at[2] == ' ' ? 3 : 2, len++)
        lanes[len] = (struct lease_lane){.lane = (uint32_t)len + 1,
                                         .route = at[0] == 't' ? ROUTE_TOR : ROUTE_DIRECT,
                                         .holder = at[1] == '-' ? -1 : at[1] - 'A',
                                         .wanted = 77};
    return len;
}

static void plain_fleets_are_shared_out_as_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(plan_rows); i++) {
        struct lease_publisher pubs[8];
        struct lease_lane lanes[16];
        size_t len = read_row(&plan_rows[i], pubs, lanes);
        lease_plan(pubs, strlen(plan_rows[i].pubs), lanes, len);
        char got[32] = {0};
        for (size_t k = 0; k < len; k++)
            got[k] = lanes[k].wanted < 0 ? '-' : (char)('A' + lanes[k].wanted);
        if (strcmp(got, plan_rows[i].wanted) != 0)
            fail_msg("%s: %s, wanted %s", plan_rows[i].what, got, plan_rows[i].wanted);
    }
}

/* ---- random fleets */

#define PUBS_MAX  9
#define LANES_MAX 60

struct fleet {
    struct lease_publisher pubs[PUBS_MAX];
    struct lease_lane lanes[LANES_MAX];
    size_t pubs_len, lanes_len;
};

static void make_fleet(struct rng *r, struct fleet *f, bool one_class)
{
    *f = (struct fleet){.pubs_len = rng_below(r, PUBS_MAX + 1),
                        .lanes_len = rng_below(r, LANES_MAX + 1)};
    for (size_t i = 0; i < f->pubs_len; i++) {
        for (size_t k = 0; k < PUBLISHER_ID_LEN; k++)
            f->pubs[i].id[k] = (uint8_t)rng_next(r);
        f->pubs[i].routes = one_class ? BOTH : (uint32_t)rng_below(r, 4);
        f->pubs[i].leaving = !one_class && rng_below(r, 8) == 0;
    }
    size_t greedy = f->pubs_len > 0 ? rng_below(r, f->pubs_len) : 0; /* holds more than its share */
    for (size_t i = 0; i < f->lanes_len; i++) {
        f->lanes[i] = (struct lease_lane){.lane = (uint32_t)(i * 7 + 3),
                                          .route = (enum route)rng_below(r, ROUTE_COUNT),
                                          .holder = -1};
        if (f->pubs_len > 0 && rng_below(r, 3) > 0)
            f->lanes[i].holder = (int)(rng_below(r, 2) == 0 ? greedy : rng_below(r, f->pubs_len));
    }
}

static void plan(struct fleet *f)
{
    lease_plan(f->pubs, f->pubs_len, f->lanes, f->lanes_len);
}

static bool can_have(const struct lease_publisher *p, enum route r)
{
    return !p->leaving && (p->routes & (1u << r)) != 0;
}

static void count_loads(const struct fleet *f, size_t loads[PUBS_MAX])
{
    memset(loads, 0, PUBS_MAX * sizeof *loads);
    for (size_t i = 0; i < f->lanes_len; i++)
        if (f->lanes[i].wanted >= 0)
            loads[f->lanes[i].wanted]++;
}

static void check_served(const struct fleet *f)
{
    for (size_t i = 0; i < f->lanes_len; i++) {
        const struct lease_lane *l = &f->lanes[i];
        bool anybody = false;
        for (size_t k = 0; k < f->pubs_len; k++)
            anybody |= can_have(&f->pubs[k], l->route);
        assert_int_equal(l->wanted >= 0, anybody);
        if (l->wanted >= 0)
            assert_true(can_have(&f->pubs[l->wanted], l->route));
    }
}

static void check_even(const struct fleet *f)
{
    size_t loads[PUBS_MAX];
    count_loads(f, loads);
    for (size_t a = 0; a < f->pubs_len; a++)
        for (size_t b = 0; b < f->pubs_len; b++)
            if (!f->pubs[a].leaving && !f->pubs[b].leaving &&
                f->pubs[a].routes == f->pubs[b].routes)
                assert_true(loads[a] <= loads[b] + 1);
}

/* Sum of squares of `count` lanes spread evenly over `over` publishers. */
static size_t squares(size_t count, size_t over)
{
    if (over == 0)
        return count == 0 ? 0 : SIZE_MAX / 8;
    size_t low = count / over, high = count % over;
    return high * (low + 1) * (low + 1) + (over - high) * low * low;
}

/* The most even spread there is: every way to split each route between those that serve only it and
 * those that serve both. */
static size_t best_squares(const struct fleet *f)
{
    size_t pubs[4] = {0}, lanes[ROUTE_COUNT] = {0};
    for (size_t i = 0; i < f->pubs_len; i++)
        if (!f->pubs[i].leaving)
            pubs[f->pubs[i].routes]++;
    for (size_t i = 0; i < f->lanes_len; i++)
        if (f->lanes[i].wanted >= 0)
            lanes[f->lanes[i].route]++;
    size_t best = SIZE_MAX;
    for (size_t t = 0; t <= lanes[ROUTE_TOR]; t++)
        for (size_t d = 0; d <= lanes[ROUTE_DIRECT]; d++) {
            size_t sum = squares(lanes[ROUTE_TOR] - t, pubs[TOR]) +
                         squares(lanes[ROUTE_DIRECT] - d, pubs[DIRECT]) +
                         squares(t + d, pubs[BOTH]);
            if (sum < best)
                best = sum;
        }
    return best;
}

static void check_as_even_as_can_be(const struct fleet *f)
{
    size_t loads[PUBS_MAX], sum = 0;
    count_loads(f, loads);
    for (size_t i = 0; i < f->pubs_len; i++)
        sum += loads[i] * loads[i];
    assert_int_equal(sum, best_squares(f));
}

/* Nobody loses a lane of a route and gets another of the same for it. */
static void check_no_idle_move(const struct fleet *f)
{
    for (size_t p = 0; p < f->pubs_len; p++)
        for (enum route r = 0; r < ROUTE_COUNT; r++) {
            bool lost = false, got = false;
            for (size_t i = 0; i < f->lanes_len; i++) {
                const struct lease_lane *l = &f->lanes[i];
                lost |= l->route == r && l->holder == (int)p && l->wanted != (int)p;
                got |= l->route == r && l->holder != (int)p && l->wanted == (int)p;
            }
            assert_false(lost && got && can_have(&f->pubs[p], r));
        }
}

/* Where all serve all: who holds at most the lower share keeps everything, others at least that. */
static void check_holders_keep_their_share(const struct fleet *f)
{
    for (size_t p = 0; p < f->pubs_len; p++) {
        size_t held = 0, kept = 0, share = f->lanes_len / f->pubs_len;
        for (size_t i = 0; i < f->lanes_len; i++) {
            held += f->lanes[i].holder == (int)p;
            kept += f->lanes[i].holder == (int)p && f->lanes[i].wanted == (int)p;
        }
        assert_true(kept >= (held < share ? held : share));
    }
}

/* Held by its wanted one, a plan changes nothing any more. */
static void check_settled(const struct fleet *f)
{
    struct fleet again = *f;
    for (size_t i = 0; i < again.lanes_len; i++)
        again.lanes[i].holder = f->lanes[i].wanted;
    plan(&again);
    for (size_t i = 0; i < f->lanes_len; i++)
        assert_int_equal(again.lanes[i].wanted, f->lanes[i].wanted);
}

static void check_order_is_nothing(struct rng *r, const struct fleet *f)
{
    struct fleet mixed = *f;
    int now_at[PUBS_MAX];
    for (size_t i = 0; i < f->pubs_len; i++)
        now_at[i] = (int)i;
    for (size_t i = f->pubs_len; i > 1; i--) {
        size_t k = rng_below(r, i);
        int at = now_at[i - 1];
        now_at[i - 1] = now_at[k];
        now_at[k] = at;
    }
    for (size_t i = 0; i < f->pubs_len; i++)
        mixed.pubs[now_at[i]] = f->pubs[i];
    for (size_t i = mixed.lanes_len; i > 1; i--) {
        size_t k = rng_below(r, i);
        struct lease_lane at = mixed.lanes[i - 1];
        mixed.lanes[i - 1] = mixed.lanes[k];
        mixed.lanes[k] = at;
    }
    for (size_t i = 0; i < mixed.lanes_len; i++)
        if (mixed.lanes[i].holder >= 0)
            mixed.lanes[i].holder = now_at[mixed.lanes[i].holder];
    plan(&mixed);
    for (size_t i = 0; i < f->lanes_len; i++)
        for (size_t k = 0; k < f->lanes_len; k++)
            if (mixed.lanes[k].lane == f->lanes[i].lane)
                assert_int_equal(mixed.lanes[k].wanted,
                                 f->lanes[i].wanted < 0 ? -1 : now_at[f->lanes[i].wanted]);
}

static uint64_t seed(void)
{
    const char *text = getenv("VOLLEY_SEED");
    uint64_t s;
    if (text != NULL)
        s = strtoull(text, NULL, 10);
    else
        rng_secure(&s, sizeof s);
    print_message("VOLLEY_SEED=%llu\n", (unsigned long long)s);
    return s;
}

static void every_fleet_is_shared_out_evenly_with_few_moves(void **state)
{
    (void)state;
    struct rng r;
    rng_init(&r, seed());
    for (int i = 0; i < 2000; i++) {
        struct fleet f;
        make_fleet(&r, &f, false);
        plan(&f);
        check_served(&f);
        check_even(&f);
        check_as_even_as_can_be(&f);
        check_no_idle_move(&f);
        check_settled(&f);
        check_order_is_nothing(&r, &f);
    }
}

static void holders_keep_what_they_have_up_to_their_share(void **state)
{
    (void)state;
    struct rng r;
    rng_init(&r, seed());
    for (int i = 0; i < 2000; i++) {
        struct fleet f;
        make_fleet(&r, &f, true);
        plan(&f);
        check_holders_keep_their_share(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_fleets_are_shared_out_as_told),
        cmocka_unit_test(every_fleet_is_shared_out_evenly_with_few_moves),
        cmocka_unit_test(holders_keep_what_they_have_up_to_their_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
