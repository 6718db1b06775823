/* How links live side by side, and how they and their openings are let go, at any moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "tests/support/link_rig.h"
#include "tests/support/link_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct link_server_options echo4 = {.address = "127.0.0.1"},
                                        echo6 = {.address = "::1"};

static int setup(void **state)
{
    struct link_rig *r = mem_zero(1, sizeof *r);
    link_rig_init(r, NULL);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    link_rig_fini(*state);
    free(*state);
    return 0;
}

/* --- links that live ------------------------------------------------------------------------- */

/* libcurl looks for dead connections when another starts, once a second, and would close them. */
static void a_link_that_ended_keeps_its_descriptor_until_it_is_closed(void **state)
{
    struct link_rig *r = *state;
    static struct link_server leaves, stays;
    struct link_server_options o = echo4;
    uint8_t byte;
    o.does = SERVER_LEAVES;
    assert_true(link_server_start(&leaves, &r->loop, &o));
    assert_true(link_server_start(&stays, &r->loop, &echo4));
    link_rig_ask(r, "ws://127.0.0.1:%d", leaves.port);
    assert_int_equal(link_rig_run(r), ERR_NONE);
    struct link *ended = r->result.link;
    int fd = link_fd(ended);
    r->result.link = NULL;
    link_rig_turn(r, 1100);
    link_rig_ask(r, "ws://127.0.0.1:%d", stays.port);
    assert_int_equal(link_rig_run(r), ERR_NONE);
    assert_int_not_equal(link_fd(r->result.link), fd);
    assert_int_equal(link_recv(ended, &byte, 1), -2);
    link_rig_echo(r);
    link_close(ended);
    link_rig_echo(r);
    link_server_stop(&leaves);
    link_server_stop(&stays);
}

static void many_links_live_side_by_side(void **state)
{
    struct link_rig *r = *state;
    static struct link_server s4, s6;
    struct link *links[100];
    uint16_t port = link_server_pair(&s4, &s6, &r->loop, &echo4, &echo6);
    for (size_t i = 0; i < COUNT_OF(links); i++) {
        link_rig_ask(r, "ws://localhost:%d", port);
        r->request.ipv4_first = i % 2;
        assert_int_equal(link_rig_run(r), ERR_NONE);
        links[i] = r->result.link;
        r->result.link = NULL;
    }
    assert_int_equal(s4.upgraded, 50);
    assert_int_equal(s6.upgraded, 50);
    for (size_t i = 0; i < COUNT_OF(links); i++) {
        r->result.link = links[(i * 37) % COUNT_OF(links)];
        link_rig_echo(r);
        link_rig_hang_up(r);
    }
    link_server_stop(&s4);
    link_server_stop(&s6);
}

/* --- letting go ------------------------------------------------------------------------------ */

#define OPENINGS 12

struct swarm {
    struct link_open *open[OPENINGS];
    struct link *links[OPENINGS];
    int told;
};

struct swarm_slot {
    struct swarm *swarm;
    size_t i;
};

static void on_swarm_link(void *arg, const struct link_result *result)
{
    struct swarm_slot *slot = arg;
    assert_non_null(slot->swarm->open[slot->i]);
    slot->swarm->open[slot->i] = NULL;
    slot->swarm->links[slot->i] = result->link;
    slot->swarm->told++;
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

static void an_opening_can_be_cancelled_at_any_moment(void **state)
{
    struct link_rig *r = *state;
    static struct link_server servers[6];
    struct black_hole hole;
    uv_timer_t tick; /* the loop never sleeps for long */
    const char *env = getenv("VOLLEY_SEED");
    struct rng rng;
    uint64_t seed;
    rng_secure(&seed, sizeof seed);
    seed = env != NULL ? strtoull(env, NULL, 0) : seed;
    print_message("seed %llu\n", (unsigned long long)seed);
    rng_init(&rng, seed);
    for (size_t i = 0; i < COUNT_OF(servers); i++) {
        struct link_server_options o = i % 2 ? echo4 : echo6;
        o.does = (enum link_server_does)i;
        o.answer = "HTTP/1.1 403 x\r\n\r\n";
        assert_true(link_server_start(&servers[i], &r->loop, &o));
    }
    black_hole_open(&hole, "::1", 0);
    uv_timer_init(&r->loop, &tick);
    uv_timer_start(&tick, on_tick, 2, 2);
    for (int round = 0; round < 400; round++) {
        struct swarm swarm = {0};
        struct swarm_slot slots[OPENINGS];
        for (size_t i = 0; i < OPENINGS; i++) {
            size_t to = rng_below(&rng, COUNT_OF(servers) + 1);
            link_rig_ask(r, "ws://localhost:%d",
                         to < COUNT_OF(servers) ? servers[to].port : hole.port);
            r->request.race_delay_ms = (uint32_t)rng_below(&rng, 5);
            r->request.timeout_ms = 1 + (uint32_t)rng_below(&rng, 30);
            slots[i] = (struct swarm_slot){&swarm, i};
            swarm.open[i] = link_open(r->dialer, &r->request, on_swarm_link, &slots[i]);
        }
        for (size_t turns = rng_below(&rng, 30); turns > 0; turns--) {
            uv_run(&r->loop, rng_below(&rng, 4) ? UV_RUN_NOWAIT : UV_RUN_ONCE);
            size_t i = rng_below(&rng, OPENINGS);
            link_cancel(swarm.open[i]);
            swarm.open[i] = NULL;
        }
        for (size_t i = 0; i < OPENINGS; i++) {
            link_cancel(swarm.open[i]);
            link_close(swarm.links[i]);
        }
    }
    black_hole_close(&hole);
    uv_close((uv_handle_t *)&tick, NULL);
    uv_run(&r->loop, UV_RUN_NOWAIT);
    for (size_t i = 0; i < COUNT_OF(servers); i++)
        link_server_stop(&servers[i]);
}

/* What a callback may do: close the link, cancel another opening and its own, open anew. */
struct inside {
    struct link_rig *rig;
    struct link_open *own, *other;
    int told;
};

static void on_second(void *arg, const struct link_result *result)
{
    struct inside *in = arg;
    in->told++;
    link_close(result->link);
    assert_int_equal(result->err, ERR_NONE);
}

static void on_other(void *arg, const struct link_result *result)
{
    (void)arg;
    (void)result;
    fail_msg("a cancelled opening was told");
}

static void on_first(void *arg, const struct link_result *result)
{
    struct inside *in = arg;
    in->told++;
    assert_int_equal(result->err, ERR_NONE);
    link_close(result->link);
    link_cancel(in->own);
    link_cancel(in->other);
    (void)link_open(in->rig->dialer, &in->rig->request, on_second, in);
    assert_int_equal(in->told, 1);
}

static void all_may_be_called_from_inside_the_callback(void **state)
{
    struct link_rig *r = *state;
    static struct link_server s;
    assert_true(link_server_start(&s, &r->loop, &echo4));
    link_rig_ask(r, "ws://127.0.0.1:%d", s.port);
    struct inside in = {.rig = r};
    in.own = link_open(r->dialer, &r->request, on_first, &in);
    in.other = link_open(r->dialer, &r->request, on_other, &in);
    while (in.told < 2)
        uv_run(&r->loop, UV_RUN_ONCE);
    link_server_stop(&s);
}

static void on_last(void *arg, const struct link_result *result)
{
    struct link_rig *r = arg;
    link_close(result->link);
    r->told = 1;
    dialer_free(r->dialer, NULL, NULL);
}

static void a_dialer_may_be_freed_from_inside_the_callback(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct link_rig r;
        static struct link_server s;
        link_rig_init(&r, NULL);
        assert_true(link_server_start(&s, &r.loop, &echo4));
        link_rig_ask(&r, "ws://%s:%d", i == 0 ? "127.0.0.1" : "[::1]", s.port);
        (void)link_open(r.dialer, &r.request, on_last, &r);
        while (r.told == 0)
            uv_run(&r.loop, UV_RUN_ONCE);
        link_server_stop(&s);
        assert_int_equal(uv_run(&r.loop, UV_RUN_DEFAULT), 0);
        assert_int_equal(uv_loop_close(&r.loop), 0);
        assert_int_equal(count_fds(), r.fds);
    }
}

static void a_missing_ca_file_is_told(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct dialer *d = NULL;
    struct problem p = {""};
    struct dialer_options o = {.ca_file = "/nonexistent/ca.pem"};
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(dialer_new(&loop, &o, &d, &p), ERR_INVALID);
    assert_non_null(strstr(p.text, "/nonexistent/ca.pem"));
    assert_int_equal(uv_loop_close(&loop), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_link_that_ended_keeps_its_descriptor_until_it_is_closed),
        TEST(many_links_live_side_by_side),
        TEST(an_opening_can_be_cancelled_at_any_moment),
        TEST(all_may_be_called_from_inside_the_callback),
        cmocka_unit_test(a_dialer_may_be_freed_from_inside_the_callback),
        cmocka_unit_test(a_missing_ca_file_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
