/* The prober against relays on loopback and a queue in this process: what it finds stands in the
 * statistics; of two, one probes; who comes after goes on where the last one ended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "probe/prober.h"
#include "probe/targets.h"
#include "tests/support/link_server.h"
#include "tests/support/rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_MS 20000

static int setup(void **state)
{
    *state = rig_open(&backends[0], &rig_defaults);
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    for (int i = 0; i < 10; i++) /* what was closed goes */
        uv_run(&r->loop, UV_RUN_NOWAIT);
    rig_close(*state);
    return 0;
}

static struct definition direct(uint16_t port)
{
    struct definition d = {.route = ROUTE_DIRECT, .window = 8};
    (void)snprintf(d.url, sizeof d.url, "ws://127.0.0.1:%u", port);
    return d;
}

static void define(struct rig *r, const struct definition *d, size_t len)
{
    struct answer a;
    ask_define(&r->loop, r->q, d, len, &a);
    assert_int_equal(a.e, ERR_NONE);
    answer_free(&a);
}

static struct prober *start(struct rig *r, uint64_t interval_ms)
{
    const struct prober_settings s = {
        .interval_ms = interval_ms, .routes = 1u << ROUTE_DIRECT, .connect_timeout_ms = 500};
    struct prober *p;
    struct problem why = {0};
    assert_int_equal(prober_new(&r->loop, r->q, &s, &p, &why), ERR_NONE);
    return p;
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void stop(struct rig *r, struct prober *p)
{
    bool closed = false;
    prober_close(p, on_closed, &closed);
    run_until(&r->loop, &closed, "closing the prober");
}

static struct prober_status status(const struct prober *p)
{
    struct prober_status s;
    prober_status(p, &s);
    return s;
}

static void on_patience(uv_timer_t *t)
{
    (void)t;
}

/* Turns the loop until so many probes ended. */
static void wait_for_probes(struct rig *r, const struct prober *p, uint64_t probes)
{
    uint64_t began_ms = clock_boot_ms();
    uv_timer_t tick;
    uv_timer_init(&r->loop, &tick);
    uv_timer_start(&tick, on_patience, 5, 5);
    while (status(p).probes < probes && clock_boot_ms() - began_ms < PATIENCE_MS)
        uv_run(&r->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&tick, NULL);
    uv_run(&r->loop, UV_RUN_NOWAIT);
    assert_true(status(p).probes >= probes);
}

static void statistics(struct rig *r, struct answer *a)
{
    static const struct statistics_call all;
    ask_statistics(&r->loop, r->q, &all, a);
    assert_int_equal(a->e, ERR_NONE);
}

/* The statistics of this lane, which is one of them by one path. */
static struct path_statistics path_of(struct rig *r, uint32_t lane)
{
    struct answer a;
    statistics(r, &a);
    for (size_t i = 0; i < a.statistics.len; i++)
        if (a.statistics.relays[i].lane == lane) {
            assert_int_equal(a.statistics.relays[i].paths_len, 1);
            struct path_statistics p = a.statistics.relays[i].paths[0];
            answer_free(&a);
            return p;
        }
    fail_msg("no statistics of lane %u", lane);
    return (struct path_statistics){0};
}

static void each_relays_cell_says_what_it_did(void **state)
{
    static const struct row {
        struct link_server_options o;
        enum stat_failure why;
        bool ok;
    } rows[] = {
        {{.does = SERVER_ECHOES}, 0, true},
        {{.does = SERVER_IS_SILENT}, STAT_TIMEOUT, false},
        {{.does = SERVER_HANGS_UP}, STAT_NOT_A_RELAY, false},
        {{.does = SERVER_LEAVES}, STAT_NOT_A_RELAY, false},
        {{.does = SERVER_ANSWERS, .answer = "HTTP/1.1 503 No\r\n\r\n"}, STAT_HTTP, false},
        {{.does = SERVER_ANSWERS, .answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
         STAT_NOT_A_RELAY,
         false},
    };
    struct rig *r = *state;
    struct link_server servers[COUNT_OF(rows)];
    struct definition defs[COUNT_OF(rows) + 1];
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct link_server_options o = rows[i].o;
        o.address = "127.0.0.1";
        assert_true(link_server_start(&servers[i], &r->loop, &o));
        defs[i] = direct(servers[i].port);
    }
    defs[COUNT_OF(rows)] = direct(1); /* nobody listens */
    define(r, defs, COUNT_OF(defs));
    struct prober *p = start(r, 3600000);
    wait_for_probes(r, p, COUNT_OF(defs));
    assert_true(status(p).leads);
    assert_int_equal(status(p).relays, COUNT_OF(defs));
    stop(r, p);
    for (size_t i = 0; i < COUNT_OF(defs); i++) {
        bool refused = i == COUNT_OF(rows), ok = !refused && rows[i].ok;
        const struct path_statistics s = path_of(r, (uint32_t)i + 1);
        assert_int_equal(s.source, STAT_PROBE);
        assert_int_equal(s.route, ROUTE_DIRECT);
        assert_int_equal(s.family, FAMILY_IPV4);
        assert_int_equal(s.total.attempts, 1);
        assert_int_equal(s.total.successes, ok);
        assert_int_equal(stat_failed(&s.total), !ok);
        assert_int_equal(s.streak, ok ? 1 : -1);
        assert_int_equal(s.last.ok, ok);
        if (!ok) {
            enum stat_failure why = refused ? STAT_REFUSED : rows[i].why;
            assert_int_equal(s.total.failures[why], 1);
            assert_int_equal(s.last.why, why);
            assert_int_not_equal(s.last.text[0], 0);
        }
        if (ok) {
            assert_int_equal(stat_histogram_count(&s.total.phases[STAT_READ]), 1);
            assert_int_equal(stat_histogram_count(&s.total.phases[STAT_WEBSOCKET]), 1);
            assert_string_equal(s.last.address, "127.0.0.1");
        }
    }
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_in_range(servers[i].accepted, 1, 2); /* and one for the document */
        link_server_stop(&servers[i]);
    }
}

static struct definition serve(struct rig *r, struct link_server *server)
{
    const struct link_server_options o = {.address = "127.0.0.1"};
    assert_true(link_server_start(server, &r->loop, &o));
    return direct(server->port);
}

static void of_two_one_probes_and_the_other_takes_over(void **state)
{
    struct rig *r = *state;
    struct link_server server;
    const struct definition d = serve(r, &server);
    define(r, &d, 1);
    struct prober *one = start(r, 100), *two = start(r, 100);
    wait_for_probes(r, one, 4);
    assert_true(status(one).leads);
    assert_false(status(two).leads);
    assert_int_equal(status(two).probes, 0);
    assert_string_equal(status(two).leader, status(one).leader);
    stop(r, one); /* it gives up the lead: the other need not wait for its term */
    uint32_t before = path_of(r, 1).total.attempts;
    assert_in_range(before, 4, server.upgraded);
    wait_for_probes(r, two, 2);
    assert_true(status(two).leads);
    stop(r, two);
    assert_in_range(path_of(r, 1).total.attempts, before + 2, server.upgraded);
    link_server_stop(&server);
}

static void a_restarted_prober_goes_on_where_it_was(void **state)
{
    struct rig *r = *state;
    struct link_server server;
    struct definition list[2] = {serve(r, &server)};
    define(r, list, 1);
    struct prober *p = start(r, 3600000);
    wait_for_probes(r, p, 1);
    stop(r, p);
    assert_int_equal(path_of(r, 1).total.attempts, 1);
    list[1] = direct(1);
    define(r, list, 2);
    p = start(r, 3600000);
    wait_for_probes(r, p, 1); /* the new one alone: the other's turn has not come */
    stop(r, p);
    assert_int_equal(path_of(r, 1).total.attempts, 1);
    assert_int_equal(path_of(r, 2).total.failures[STAT_REFUSED], 1);
    link_server_stop(&server);
}

static struct lead_result lead_as(struct rig *r, uint8_t who)
{
    const struct lead_call c = {.role = LEAD_PROBER, .id = {who}, .name = "thief"};
    struct answer a;
    ask_lead(&r->loop, r->q, &c, &a);
    struct lead_result out = a.lead;
    answer_free(&a);
    return out;
}

static void a_prober_that_lost_the_lead_stops(void **state)
{
    struct rig *r = *state;
    struct link_server server;
    const struct definition d = serve(r, &server);
    define(r, &d, 1);
    struct prober *p = start(r, 50);
    wait_for_probes(r, p, 2);
    r->boot_ms += LEAD_TERM_MS; /* the queue's clock: it thinks that the prober is dead */
    assert_true(lead_as(r, 7).leads);
    uint32_t before = path_of(r, 1).total.attempts;
    uint64_t began_ms = clock_boot_ms();
    while (status(p).leads && clock_boot_ms() - began_ms < PATIENCE_MS)
        uv_run(&r->loop, UV_RUN_ONCE);
    assert_false(status(p).leads);
    assert_int_equal(status(p).under_way, 0);
    assert_int_equal(path_of(r, 1).total.attempts, before); /* what it found is not heard */
    stop(r, p);
    link_server_stop(&server);
}

static void it_may_be_closed_at_any_moment(void **state)
{
    struct rig *r = *state;
    struct link_server server;
    const struct definition d = serve(r, &server);
    define(r, &d, 1);
    for (int turns = 0; turns < 40; turns++) {
        struct prober *p = start(r, 10);
        for (int i = 0; i < turns; i++) {
            uv_run(&r->loop, UV_RUN_NOWAIT);
            uv_sleep(1);
        }
        stop(r, p);
    }
    assert_true(server.upgraded > 0);
    link_server_stop(&server);
}

static void relays_of_a_route_that_is_not_its_own_are_left_to_others(void **state)
{
    (void)state;
    static const struct row {
        uint32_t routes;
        bool has_tor;
        size_t len;
        uint32_t first;
    } rows[] = {
        {(1u << ROUTE_TOR) | (1u << ROUTE_DIRECT), true, 2, 1},
        {(1u << ROUTE_TOR) | (1u << ROUTE_DIRECT), false, 1, 2},
        {1u << ROUTE_TOR, true, 1, 1},
        {1u << ROUTE_TOR, false, 0, 0},
        {1u << ROUTE_DIRECT, true, 1, 2},
    };
    struct lane_version versions[2] = {
        {.definition = {.route = ROUTE_TOR, .url = "wss://one.example"}},
        {.definition = {.route = ROUTE_DIRECT, .url = "wss://two.example"}}};
    struct lane_entry lanes[2] = {{.lane = 1, .versions = &versions[0], .versions_len = 1},
                                  {.lane = 2, .versions = &versions[1], .versions_len = 1}};
    const struct queue_registry registry = {.lanes = lanes, .lanes_len = 2};
    const struct socks_ports socks = {
        .any = "127.0.0.1:9", .ipv6 = "127.0.0.1:9", .ipv4 = "127.0.0.1:9"};
    struct targets t = {0};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        targets_take(&t, &registry, rows[i].routes, rows[i].has_tor ? &socks : NULL);
        assert_int_equal(t.len, rows[i].len);
        if (t.len > 0)
            assert_int_equal(t.list[0].lane, rows[i].first);
    }
    targets_free(&t);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(each_relays_cell_says_what_it_did),
        TEST(of_two_one_probes_and_the_other_takes_over),
        TEST(a_restarted_prober_goes_on_where_it_was),
        TEST(a_prober_that_lost_the_lead_stops),
        TEST(it_may_be_closed_at_any_moment),
        cmocka_unit_test(relays_of_a_route_that_is_not_its_own_are_left_to_others),
    };
    signal(SIGPIPE, SIG_IGN);
    log_init(LOG_ERROR, LOG_TEXT, "prober");
    return cmocka_run_group_tests_name("the prober", tests, NULL, NULL);
}
