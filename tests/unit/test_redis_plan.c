/* lib_plan.lua, inside a real Redis, shares out lanes just as lease.c does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "queue/lease.h"
#include "queue/redis_scripts.h"
#include "tests/support/redis_server.h"

#include <stdio.h>
#include <string.h>

#define PUBS_MAX  9u
#define LANES_MAX 60u
#define FLEETS    8000u /* an idle move is undone in one of several thousand */

/* ARGV[1]: publishers (id, routes, leaving) and ARGV[2]: lanes (route, and the holder's number from
 * 1 on, or 0). Answers the number of whoever shall have it, or 0, a byte a lane. */
static const char around[] =
    "local nobody, pubs, list, ids, number = string.rep('\\0', 16), {}, {}, {}, {}\n"
    "for at = 1, #ARGV[1], 18 do\n"
    "    local p = {}\n"
    "    p.id, p.routes, p.leaving = struct.unpack('<c16BB', ARGV[1], at)\n"
    "    pubs[#pubs + 1] = p\n"
    "    ids[#pubs] = p.id\n"
    "    number[p.id] = #pubs\n"
    "end\n"
    "for at = 1, #ARGV[2], 2 do\n"
    "    local route, holder = struct.unpack('<BB', ARGV[2], at)\n"
    "    list[#list + 1] = { number = at, route = route, holder = ids[holder] or nobody }\n"
    "end\n"
    "local ranked, out = plan.make(pubs, list), {}\n"
    "for i, lane in ipairs(list) do\n"
    "    out[i] = string.char(lane.rank and number[ranked[lane.rank].id] or 0)\n"
    "end\n"
    "return table.concat(out)\n";

struct fleet {
    struct lease_publisher pubs[PUBS_MAX];
    struct lease_lane lanes[LANES_MAX];
    size_t pubs_len, lanes_len;
};

static void make_fleet(struct rng *r, struct fleet *f)
{
    *f = (struct fleet){.pubs_len = rng_below(r, PUBS_MAX + 1),
                        .lanes_len = rng_below(r, LANES_MAX + 1)};
    for (size_t i = 0; i < f->pubs_len; i++) {
        for (size_t k = 0; k < PUBLISHER_ID_LEN; k++)
            f->pubs[i].id[k] = (uint8_t)rng_next(r);
        f->pubs[i].routes = (uint32_t)rng_below(r, 1u << ROUTE_COUNT);
        f->pubs[i].leaving = rng_below(r, 8) == 0;
    }
    size_t greedy = f->pubs_len > 0 ? rng_below(r, f->pubs_len) : 0; /* holds more than its share */
    for (size_t i = 0; i < f->lanes_len; i++) {
        f->lanes[i] = (struct lease_lane){.lane = (uint32_t)(i + 1),
                                          .route = (enum route)rng_below(r, ROUTE_COUNT),
                                          .holder = -1};
        if (f->pubs_len > 0 && rng_below(r, 3) > 0)
            f->lanes[i].holder = (int)(rng_below(r, 2) == 0 ? greedy : rng_below(r, f->pubs_len));
    }
}

static void add_lib(struct buf *text, const char *name)
{
    const struct redis_source *lib = redis_sources;
    while (strcmp(lib->name, name) != 0) {
        assert_true(lib->name[0] != '\0');
        lib++;
    }
    assert_int_equal(buf_add(text, lib->text, lib->len), ERR_NONE);
}

static void load_plan(struct redis_server *s, char sha[41])
{
    struct buf text;
    buf_init(&text, REDIS_SCRIPT_MAX);
    add_lib(&text, "lib_bytes");
    add_lib(&text, "lib_plan");
    assert_int_equal(buf_add(&text, around, strlen(around)), ERR_NONE);
    redisReply *r = redis_server_do(s, "SCRIPT LOAD %b", text.data, text.len);
    (void)snprintf(sha, 41, "%s", r->str);
    freeReplyObject(r);
    buf_fini(&text);
}

static redisReply *plan_in_redis(struct redis_server *s, const char *sha, const struct fleet *f)
{
    uint8_t pubs[PUBS_MAX * 18], lanes[LANES_MAX * 2];
    for (size_t i = 0; i < f->pubs_len; i++) {
        memcpy(&pubs[i * 18], f->pubs[i].id, PUBLISHER_ID_LEN);
        pubs[i * 18 + 16] = (uint8_t)f->pubs[i].routes;
        pubs[i * 18 + 17] = f->pubs[i].leaving;
    }
    for (size_t i = 0; i < f->lanes_len; i++) {
        lanes[i * 2] = (uint8_t)f->lanes[i].route;
        lanes[i * 2 + 1] = (uint8_t)(f->lanes[i].holder + 1);
    }
    return redis_server_do(s, "EVALSHA %s 0 %b %b", sha, pubs, f->pubs_len * 18, lanes,
                           f->lanes_len * 2);
}

static void redis_shares_out_lanes_as_the_broker_does(void **state)
{
    (void)state;
    struct redis_server s = {.pid = 0};
    struct rng rng;
    char sha[41];
    size_t moved = 0;
    redis_server_start(&s, false, NULL);
    load_plan(&s, sha);
    rng_init(&rng, 7);
    for (unsigned n = 0; n < FLEETS; n++) {
        struct fleet f;
        make_fleet(&rng, &f);
        redisReply *r = plan_in_redis(&s, sha, &f);
        lease_plan(f.pubs, f.pubs_len, f.lanes, f.lanes_len);
        assert_int_equal(r->len, f.lanes_len);
        for (size_t i = 0; i < f.lanes_len; i++) {
            if ((uint8_t)r->str[i] != f.lanes[i].wanted + 1)
                fail_msg("fleet %u, lane %zu: %d, wanted %d", n, i + 1, (uint8_t)r->str[i] - 1,
                         f.lanes[i].wanted);
            moved += f.lanes[i].wanted != f.lanes[i].holder;
        }
        freeReplyObject(r);
    }
    assert_true(moved > FLEETS); /* it was not all left as it was */
    redis_server_stop(&s);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(redis_shares_out_lanes_as_the_broker_does),
    };
    return cmocka_run_group_tests_name("the plan of leases on Redis", tests, NULL, NULL);
}
