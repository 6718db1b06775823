/* Links by SOCKS5, as over Tor: names stay names, ports decide the family, and nothing else is ever
 * touched. The SOCKS server plays the relay itself behind its reply. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/net/plan.h"
#include "common/net/race.h"
#include "tests/support/link_rig.h"
#include "tests/support/link_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ONION "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"

/* Two ports, as tor has them. */
struct tor {
    struct link_rig rig;
    struct link_server ipv6, ipv4;
    struct link_server_options o6, o4;
};

static int setup(void **state)
{
    struct tor *t = mem_zero(1, sizeof *t);
    link_rig_init(&t->rig, NULL);
    t->o6 = t->o4 = (struct link_server_options){.address = "127.0.0.1", .socks = true};
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct tor *t = *state;
    link_rig_fini(&t->rig);
    free(t);
    return 0;
}

static void start(struct tor *t)
{
    assert_true(link_server_start(&t->ipv6, &t->rig.loop, &t->o6));
    assert_true(link_server_start(&t->ipv4, &t->rig.loop, &t->o4));
    (void)snprintf(t->rig.ports.ipv6, SOCKS_ADDRESS_SIZE, "127.0.0.1:%d", t->ipv6.port);
    (void)snprintf(t->rig.ports.ipv4, SOCKS_ADDRESS_SIZE, "127.0.0.1:%d", t->ipv4.port);
}

static void stop(struct tor *t)
{
    link_server_stop(&t->ipv6);
    link_server_stop(&t->ipv4);
}

static void ask(struct tor *t, const char *url)
{
    link_rig_ask(&t->rig, "%s", url);
    t->rig.request.route = ROUTE_TOR;
    t->rig.request.socks = &t->rig.ports;
    t->rig.request.grace_ms = RACE_TOR_GRACE_MS;
}

static void a_name_arrives_as_a_name(void **state)
{
    struct tor *t = *state;
    start(t);
    ask(t, "ws://relay.invalid:7777/x");
    assert_int_equal(link_rig_run(&t->rig), ERR_NONE);
    assert_int_equal(t->rig.result.family, FAMILY_IPV6);
    assert_int_equal(t->ipv6.socks_type, 3);
    assert_string_equal(t->ipv6.socks_name, "relay.invalid");
    assert_int_equal(t->ipv6.socks_port, 7777);
    assert_int_equal(t->ipv4.accepted, 0);
    assert_null(strstr(t->ipv6.request, "User-Agent"));
    assert_string_equal(t->rig.result.tries[0].address, "");
    assert_int_equal(t->rig.result.tries[0].dns_us, 0);
    link_rig_echo(&t->rig);
    stop(t);
}

/* An exit would look for it at home. */
static void what_is_local_is_not_even_asked_for(void **state)
{
    struct tor *t = *state;
    static const char *const urls[] = {"ws://localhost:7777", "ws://127.0.0.1:7777",
                                       "ws://[::1]:7777", "ws://nas.local"};
    start(t);
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        ask(t, urls[i]);
        assert_int_equal(link_rig_run(&t->rig), ERR_UNREACHABLE);
        assert_int_equal(t->rig.result.tries_len, 1);
        assert_false(t->rig.result.tries[0].started);
        assert_int_equal(t->rig.result.tries[0].why, LINK_WHY_NOT_TRIED);
        assert_non_null(strstr(t->rig.result.tries[0].text, "'route: direct'"));
    }
    assert_int_equal(t->ipv6.accepted + t->ipv4.accepted, 0);
    stop(t);
}

static void each_relay_has_a_user_of_its_own_and_both_ports_the_same(void **state)
{
    struct tor *t = *state;
    char user[SOCKS_USER_SIZE];
    t->o6.socks_asks_user = t->o4.socks_asks_user = true;
    t->o6.socks_reply = 4;
    start(t);
    ask(t, "ws://relay.invalid");
    plan_socks_user(&t->rig.request.url, user);
    assert_int_equal(link_rig_run(&t->rig), ERR_NONE);
    assert_int_equal(t->rig.result.family, FAMILY_IPV4);
    assert_string_equal(t->ipv6.socks_user, user);
    assert_string_equal(t->ipv6.socks_password, "x");
    assert_string_equal(t->ipv4.socks_user, user);
    assert_string_equal(t->ipv4.socks_password, "x");
    ask(t, "ws://relay.invalid:81");
    assert_int_equal(link_rig_run(&t->rig), ERR_NONE);
    assert_string_not_equal(t->ipv4.socks_user, user);
    stop(t);
}

static void an_address_goes_through_its_family_s_port(void **state)
{
    struct tor *t = *state;
    start(t);
    ask(t, "ws://192.0.2.1");
    assert_int_equal(link_rig_run(&t->rig), ERR_NONE);
    assert_int_equal(t->rig.result.family, FAMILY_IPV4);
    assert_int_equal(t->ipv4.socks_type, 1);
    assert_string_equal(t->ipv4.socks_name, "192.0.2.1");
    ask(t, "ws://[2001:db8::1]");
    assert_int_equal(link_rig_run(&t->rig), ERR_NONE);
    assert_int_equal(t->rig.result.family, FAMILY_IPV6);
    assert_int_equal(t->ipv6.socks_type, 4);
    assert_string_equal(t->ipv6.socks_name, "2001:db8::1");
    assert_int_equal(t->ipv4.accepted + t->ipv6.accepted, 2);
    stop(t);
}

static void each_refusal_is_put_into_words(void **state)
{
    struct tor *t = *state;
    static const struct {
        uint8_t reply;
        const char *text;
    } rows[] = {
        {1, "SOCKS: general failure"},
        {2, "SOCKS: not allowed"},
        {3, "SOCKS: network unreachable"},
        {4, "SOCKS: host unreachable"},
        {5, "SOCKS: connection refused"},
        {6, "SOCKS: TTL expired"},
        {7, "SOCKS: command not supported"},
        {8, "SOCKS: address type not supported"},
        {0xf0, "SOCKS: (240)"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        t->o6.socks_reply = rows[i].reply;
        start(t);
        ask(t, "ws://relay.invalid");
        t->rig.request.mode = MODE_IPV6;
        assert_int_equal(link_rig_run(&t->rig), ERR_UNREACHABLE);
        assert_string_equal(t->rig.result.tries[0].text, rows[i].text);
        assert_int_equal(t->rig.result.tries[0].why,
                         rows[i].reply == 5 ? LINK_WHY_REFUSED : LINK_WHY_UNREACHABLE);
        stop(t);
    }
}

static void a_refusal_on_ipv6_starts_ipv4_at_once(void **state)
{
    struct tor *t = *state;
    t->o6.socks_reply = 4;
    start(t);
    ask(t, "ws://relay.invalid");
    t->rig.request.race_delay_ms = 3000;
    assert_int_equal(link_rig_run(&t->rig), ERR_NONE);
    assert_int_equal(t->rig.result.family, FAMILY_IPV4);
    assert_true(t->rig.took_ms < 500);
    assert_int_equal(t->rig.result.tries[0].err, ERR_UNREACHABLE);
    stop(t);
}

static void a_dead_ipv6_costs_the_head_start(void **state)
{
    struct tor *t = *state;
    t->o6.socks_is_silent = true;
    start(t);
    ask(t, "ws://relay.invalid");
    assert_int_equal(link_rig_run(&t->rig), ERR_NONE);
    assert_int_equal(t->rig.result.family, FAMILY_IPV4);
    assert_in_range(t->rig.took_ms, 400, 700); /* 300 and the grace */
    assert_in_range(t->rig.result.tries[0].took_us, 400000, 700000);
    assert_in_range(t->rig.result.tries[1].took_us, 1, 100000);
    stop(t);
}

static void ipv6_has_a_grace_when_ipv4_was_faster(void **state)
{
    struct tor *t = *state;
    t->o6.socks_delay_ms = 340;
    start(t);
    ask(t, "ws://relay.invalid");
    assert_int_equal(link_rig_run(&t->rig), ERR_NONE);
    assert_int_equal(t->rig.result.family, FAMILY_IPV6);
    assert_int_equal(t->rig.result.tries_len, 2);
    assert_int_equal(t->rig.result.tries[1].err, ERR_CLOSED);
    assert_true(t->rig.result.tries[1].lost);
    assert_null(t->rig.result.late); /* nobody asked for it */
    assert_string_equal(t->rig.result.tries[0].via, t->rig.ports.ipv6);
    assert_int_not_equal(t->rig.result.tries[0].local_port, 0);
    assert_true(t->rig.result.tries[0].connect_us >= 300000); /* SOCKS is a part of it */
    link_rig_echo(&t->rig);
    stop(t);
}

static void on_recovered(uv_timer_t *timer)
{
    ((struct tor *)timer->data)->ipv4.o.socks_reply = 0;
}

/* An exit's bad moment, while the AAAA leads nowhere: not the whole timeout is paid for it. */
static void a_failure_that_passes_is_tried_again_while_the_other_hangs(void **state)
{
    struct tor *t = *state;
    static uv_timer_t timer;
    t->o6.socks_is_silent = true;
    t->o4.socks_reply = 1;
    start(t);
    uv_timer_init(&t->rig.loop, &timer);
    timer.data = t;
    uv_timer_start(&timer, on_recovered, 1000, 0);
    ask(t, "ws://relay.invalid");
    t->rig.request.timeout_ms = 30000;
    assert_int_equal(link_rig_run(&t->rig), ERR_NONE);
    assert_int_equal(t->rig.result.family, FAMILY_IPV4);
    assert_in_range(t->rig.took_ms, 300 + LINK_AGAIN_MS, 300 + LINK_AGAIN_MS + 500);
    assert_int_equal(t->rig.result.tries_len, 3);
    const struct link_try *tries = t->rig.result.tries;
    assert_string_equal(tries[0].text, "SOCKS: general failure");
    assert_int_equal(tries[0].family, FAMILY_IPV4);
    assert_true(tries[0].started);
    assert_true(tries[1].lost);
    assert_int_equal(tries[2].err, ERR_NONE);
    assert_int_equal(t->ipv6.accepted, 1);
    assert_int_equal(t->ipv4.accepted, 2);
    uv_close((uv_handle_t *)&timer, NULL);
    stop(t);
}

static void both_silent_time_out(void **state)
{
    struct tor *t = *state;
    t->o6.socks_is_silent = t->o4.socks_is_silent = true;
    start(t);
    ask(t, "ws://relay.invalid");
    t->rig.request.race_delay_ms = 50;
    t->rig.request.timeout_ms = 300;
    assert_int_equal(link_rig_run(&t->rig), ERR_TIMEOUT);
    assert_int_equal(t->rig.result.tries_len, 2);
    assert_string_equal(t->rig.result.tries[1].text, "connect: timeout after 300 ms");
    stop(t);
}

static void tls_by_socks_measures_each_phase(void **state)
{
    struct tor *t = *state;
    struct link_rig rig;
    char path[100];
    struct test_cert ca = test_cert_new("authority", NULL, -1000, 1000);
    struct test_cert c = test_cert_new("relay.invalid", &ca, -1000, 1000);
    t->o6.tls = test_cert_context(&c);
    t->o6.socks_delay_ms = 1000; /* far more than TLS takes, on a busy machine and emulated, too */
    test_cert_write(&ca, path, sizeof path);
    link_rig_init(&rig, path);
    assert_true(link_server_start(&t->ipv6, &rig.loop, &t->o6));
    link_rig_ask(&rig, "wss://relay.invalid");
    rig.request.route = ROUTE_TOR;
    (void)snprintf(rig.ports.any, SOCKS_ADDRESS_SIZE, "127.0.0.1:%d", t->ipv6.port);
    rig.request.socks = &rig.ports;
    assert_int_equal(link_rig_run(&rig), ERR_NONE);
    assert_int_equal(rig.result.family, FAMILY_NONE);
    assert_int_equal(t->ipv6.socks_port, 443);
    const struct link_try *try = &rig.result.tries[0];
    assert_in_range(try->connect_us, 995000, 3000000);
    assert_in_range(try->tls_us, 1, 995000);
    assert_in_range(try->websocket_us, 1, 995000);
    assert_in_range(try->certificate_end_s, clock_wall_s() + 900, clock_wall_s() + 1001);
    link_rig_echo(&rig);
    link_server_stop(&t->ipv6);
    link_rig_fini(&rig);
    (void)unlink(path);
    SSL_CTX_free(t->o6.tls);
    test_cert_free(&c);
    test_cert_free(&ca);
}

static void an_onion_service_is_one_try(void **state)
{
    struct tor *t = *state;
    start(t);
    (void)snprintf(t->rig.ports.any, SOCKS_ADDRESS_SIZE, "127.0.0.1:%d", t->ipv4.port);
    ask(t, "ws://" ONION);
    assert_int_equal(link_rig_run(&t->rig), ERR_NONE);
    assert_int_equal(t->rig.result.family, FAMILY_ONION);
    assert_int_equal(t->rig.result.tries_len, 1);
    assert_string_equal(t->ipv4.socks_name, ONION);
    assert_int_equal(t->ipv6.accepted, 0);
    t->rig.ports.any[0] = '\0'; /* never through a port for one family */
    ask(t, "ws://" ONION);
    assert_int_equal(link_rig_run(&t->rig), ERR_UNREACHABLE);
    assert_int_equal(t->ipv4.accepted, 1);
    stop(t);
}

static void a_unix_socket_does_as_well(void **state)
{
    struct tor *t = *state;
    char path[80];
    (void)snprintf(path, sizeof path, "%s/volley-test-%d.sock", P_tmpdir, (int)getpid());
    (void)unlink(path);
    t->o6.address = path;
    t->o6.socks_asks_user = true;
    assert_true(link_server_start(&t->ipv6, &t->rig.loop, &t->o6));
    (void)snprintf(t->rig.ports.any, SOCKS_ADDRESS_SIZE, "unix:%s", path);
    ask(t, "ws://relay.invalid");
    assert_int_equal(link_rig_run(&t->rig), ERR_NONE);
    assert_string_equal(t->ipv6.socks_name, "relay.invalid");
    assert_string_not_equal(t->ipv6.socks_user, "");
    assert_int_equal(t->rig.result.tries[0].local_port, 0);
    link_rig_echo(&t->rig);
    link_server_stop(&t->ipv6);
    (void)unlink(path);
    assert_int_equal(link_rig_run(&t->rig), ERR_UNREACHABLE);
    assert_string_equal(t->rig.result.tries[0].text, "SOCKS port: no such file or directory");
    assert_int_equal(t->rig.result.tries[0].why, LINK_WHY_TOR);
}

static void when_tor_is_gone_nothing_else_is_tried(void **state)
{
    struct tor *t = *state;
    static struct link_server relay;
    struct link_server_options o = {.address = "127.0.0.1"};
    char url[64];
    start(t);
    stop(t);
    link_rig_turn(&t->rig, 1);
    assert_true(link_server_start(&relay, &t->rig.loop, &o));
    (void)snprintf(url, sizeof url, "ws://relay.invalid:%d", relay.port);
    ask(t, url);
    assert_int_equal(link_rig_run(&t->rig), ERR_UNREACHABLE);
    assert_string_equal(t->rig.result.tries[0].text, "SOCKS port: connection refused");
    assert_int_equal(t->rig.result.tries[0].why, LINK_WHY_TOR);
    assert_int_equal(relay.accepted, 0);
    link_server_stop(&relay);
}

/* NO_PROXY would make libcurl go direct, and resolve the name, though a proxy is set. */
static void the_environment_has_no_say(void **state)
{
    struct tor *t = *state;
    static struct link_server relay;
    struct link_server_options o = {.address = "127.0.0.1"};
    static const char *const names[] = {"NO_PROXY", "no_proxy"};
    static const char *const values[] = {"*", "127.0.0.1,relay.invalid,.invalid"};
    char url[64];
    start(t);
    assert_true(link_server_start(&relay, &t->rig.loop, &o));
    assert_int_equal(setenv("ALL_PROXY", "http://127.0.0.1:1", 1), 0);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(setenv(names[i % 2], values[i / 2], 1), 0);
        (void)snprintf(url, sizeof url, "ws://relay.invalid:%d", relay.port);
        ask(t, url);
        assert_int_equal(link_rig_run(&t->rig), ERR_NONE);
        assert_int_equal(t->ipv6.upgraded, i + 1);
        assert_int_equal(unsetenv(names[i % 2]), 0);
    }
    assert_int_equal(relay.accepted, 0);
    assert_int_equal(unsetenv("ALL_PROXY"), 0);
    link_server_stop(&relay);
    stop(t);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_name_arrives_as_a_name),
        TEST(what_is_local_is_not_even_asked_for),
        TEST(each_relay_has_a_user_of_its_own_and_both_ports_the_same),
        TEST(an_address_goes_through_its_family_s_port),
        TEST(each_refusal_is_put_into_words),
        TEST(a_refusal_on_ipv6_starts_ipv4_at_once),
        TEST(a_dead_ipv6_costs_the_head_start),
        TEST(ipv6_has_a_grace_when_ipv4_was_faster),
        TEST(a_failure_that_passes_is_tried_again_while_the_other_hangs),
        TEST(both_silent_time_out),
        TEST(tls_by_socks_measures_each_phase),
        TEST(an_onion_service_is_one_try),
        TEST(a_unix_socket_does_as_well),
        TEST(when_tor_is_gone_nothing_else_is_tried),
        TEST(the_environment_has_no_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
