/* Links over real sockets on loopback, route direct: the race and the handshake. How links live and
 * end, TLS and SOCKS have tests of their own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

static void assert_try(const struct link_rig *r, size_t i, enum family f, enum err e,
                       const char *text)
{
    const struct link_try *t = &r->result.tries[i];
    if (i >= r->result.tries_len || t->family != f || t->err != e || !strstr(t->text, text))
        fail_msg("try %zu of %zu: %d, %s, \"%s\"", i, r->result.tries_len, (int)t->family,
                 err_name(t->err), t->text);
}

/* --- the race -------------------------------------------------------------------------------- */

static void a_relay_with_ipv4_alone_is_reached_at_once(void **state)
{
    struct link_rig *r = *state;
    static struct link_server s;
    assert_true(link_server_start(&s, &r->loop, &echo4));
    link_rig_ask(r, "ws://localhost:%d", s.port);
    assert_int_equal(link_rig_run(r), ERR_NONE);
    assert_int_equal(r->result.family, FAMILY_IPV4);
    assert_try(r, 0, FAMILY_IPV6, ERR_UNREACHABLE, "connect: connection refused");
    assert_try(r, 1, FAMILY_IPV4, ERR_NONE, "");
    assert_string_equal(r->result.tries[1].address, "127.0.0.1");
    assert_true(r->took_ms < 250);
    link_rig_echo(r);
    link_server_stop(&s);
}

static void a_relay_with_ipv6_alone_is_reached_without_ipv4(void **state)
{
    struct link_rig *r = *state;
    static struct link_server s;
    assert_true(link_server_start(&s, &r->loop, &echo6));
    link_rig_ask(r, "ws://relay.localhost:%d", s.port);
    assert_int_equal(link_rig_run(r), ERR_NONE);
    assert_int_equal(r->result.family, FAMILY_IPV6);
    assert_int_equal(r->result.tries_len, 1);
    assert_try(r, 0, FAMILY_IPV6, ERR_NONE, "");
    assert_string_equal(r->result.tries[0].address, "::1");
    assert_true(r->result.tries[0].connect_us > 0);
    assert_true(r->result.tries[0].websocket_us > 0);
    assert_int_equal(r->result.tries[0].tls_us, 0);
    link_rig_echo(r);
    link_server_stop(&s);
}

static void of_two_healthy_families_ipv6_wins(void **state)
{
    struct link_rig *r = *state;
    static struct link_server s4, s6;
    uint16_t port = link_server_pair(&s4, &s6, &r->loop, &echo4, &echo6);
    link_rig_ask(r, "ws://localhost:%d", port);
    assert_int_equal(link_rig_run(r), ERR_NONE);
    assert_int_equal(r->result.family, FAMILY_IPV6);
    assert_int_equal(r->result.tries_len, 1);
    assert_int_equal(s4.accepted, 0);

    r->request.ipv4_first = true;
    assert_int_equal(link_rig_run(r), ERR_NONE);
    assert_int_equal(r->result.family, FAMILY_IPV4);
    assert_int_equal(s6.accepted, 1);

    r->request.ipv4_first = false;
    r->request.mode = MODE_IPV4;
    assert_int_equal(link_rig_run(r), ERR_NONE);
    assert_int_equal(r->result.family, FAMILY_IPV4);
    assert_int_equal(s6.accepted, 1);
    link_server_stop(&s4);
    link_server_stop(&s6);
}

static void a_dead_ipv6_costs_the_head_start_and_no_more(void **state)
{
    struct link_rig *r = *state;
    static struct link_server s;
    struct black_hole hole;
    assert_true(link_server_start(&s, &r->loop, &echo4));
    black_hole_open(&hole, "::1", s.port);
    link_rig_ask(r, "ws://localhost:%d", s.port);
    assert_int_equal(link_rig_run(r), ERR_NONE);
    assert_int_equal(r->result.family, FAMILY_IPV4);
    assert_in_range(r->took_ms, 300, 600);
    assert_try(r, 0, FAMILY_IPV6, ERR_CLOSED, "given up");
    link_rig_echo(r);
    r->request.race_delay_ms = 50;
    assert_int_equal(link_rig_run(r), ERR_NONE);
    assert_in_range(r->took_ms, 50, 250);
    r->request.mode = MODE_IPV6;
    r->request.timeout_ms = 400;
    assert_int_equal(link_rig_run(r), ERR_TIMEOUT);
    assert_try(r, 0, FAMILY_IPV6, ERR_TIMEOUT, "connect: timeout after 400 ms");
    assert_in_range(r->took_ms, 400, 700);
    black_hole_close(&hole);
    link_server_stop(&s);
}

static void where_nobody_listens_both_are_refused_at_once(void **state)
{
    struct link_rig *r = *state;
    static struct link_server s;
    assert_true(link_server_start(&s, &r->loop, &echo4));
    link_server_stop(&s);
    link_rig_turn(r, 1);
    link_rig_ask(r, "ws://localhost:%d", s.port);
    assert_int_equal(link_rig_run(r), ERR_UNREACHABLE);
    assert_try(r, 0, FAMILY_IPV6, ERR_UNREACHABLE, "connect: connection refused");
    assert_try(r, 1, FAMILY_IPV4, ERR_UNREACHABLE, "connect: connection refused");
    assert_true(r->took_ms < 250);
    assert_true(r->result.tries[0].connect_us == 0);
}

static void an_address_races_nothing(void **state)
{
    struct link_rig *r = *state;
    static struct link_server s4, s6;
    uint16_t port = link_server_pair(&s4, &s6, &r->loop, &echo4, &echo6);
    static const char *const hosts[] = {"[::1]", "127.0.0.1"};
    for (size_t i = 0; i < 2; i++) {
        enum family f = i == 0 ? FAMILY_IPV6 : FAMILY_IPV4;
        link_rig_ask(r, "ws://%s:%d", hosts[i], port);
        assert_int_equal(link_rig_run(r), ERR_NONE);
        assert_int_equal(r->result.family, f);
        assert_int_equal(r->result.tries_len, 1);
        link_rig_echo(r);
        r->request.mode = i == 0 ? MODE_IPV4 : MODE_IPV6;
        assert_int_equal(link_rig_run(r), ERR_UNREACHABLE);
        assert_try(r, 0, FAMILY_NONE, ERR_UNREACHABLE, "address, and family is");
    }
    assert_int_equal(s4.accepted + s6.accepted, 2);
    link_server_stop(&s4);
    link_server_stop(&s6);
}

static void what_may_not_be_tried_is_refused_with_the_reason(void **state)
{
    struct link_rig *r = *state;
    link_rig_ask(r, "ws://pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion");
    assert_int_equal(link_rig_run(r), ERR_UNREACHABLE);
    assert_try(r, 0, FAMILY_NONE, ERR_UNREACHABLE, "route tor only");
    link_rig_ask(r, "ws://localhost:1");
    r->request.route = ROUTE_TOR;
    assert_int_equal(link_rig_run(r), ERR_UNREACHABLE);
    assert_try(r, 0, FAMILY_NONE, ERR_UNREACHABLE, "no SOCKS port");
    link_rig_ask(r, "ws://localhost:1");
    r->request.timeout_ms = 0;
    assert_int_equal(link_rig_run(r), ERR_TIMEOUT);
    assert_try(r, 0, FAMILY_NONE, ERR_TIMEOUT, "timeout");
}

/* --- the handshake --------------------------------------------------------------------------- */

static const struct {
    const char *what;
    enum link_server_does does;
    const char *answer;
    enum err err;
    int status;
    uint32_t retry_after_ms;
    const char *text;
} misbehaving[] = {
    {"403", SERVER_ANSWERS, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", ERR_HTTP, 403, 0,
     "HTTP 403 Forbidden"},
    {"429", SERVER_ANSWERS, "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\n\r\nx", ERR_HTTP,
     429, 7000, "HTTP 429 Too Many Requests"},
    {"503 cut off", SERVER_ANSWERS, "HTTP/1.1 503 Busy\r\nConte", ERR_HTTP, 503, 0, "HTTP 503"},
    {"garbage", SERVER_ANSWERS, "\x16\x03\x01\x02", ERR_PROTOCOL, 0, 0, "not HTTP"},
    {"half an answer", SERVER_ANSWERS, "HTTP/1.1 101 Sw", ERR_CLOSED, 0, 0,
     "closed without an answer"},
    {"no accept", SERVER_ANSWERS,
     "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", ERR_PROTOCOL, 0, 0,
     "Sec-WebSocket-Accept"},
    {"hangs up", SERVER_HANGS_UP, "", ERR_CLOSED, 0, 0, "websocket: connection closed"},
    {"is silent", SERVER_IS_SILENT, "", ERR_TIMEOUT, 0, 0, "websocket: timeout after 500 ms"},
};

static void a_failed_handshake_is_told_and_counts_against_its_family(void **state)
{
    struct link_rig *r = *state;
    for (size_t i = 0; i < COUNT_OF(misbehaving); i++) {
        static struct link_server s4, s6;
        struct link_server_options bad = echo6;
        bad.does = misbehaving[i].does;
        bad.answer = misbehaving[i].answer;
        uint16_t port = link_server_pair(&s4, &s6, &r->loop, &echo4, &bad);
        link_rig_ask(r, "ws://localhost:%d", port);
        r->request.mode = MODE_IPV6;
        r->request.timeout_ms = 500;
        enum err e = link_rig_run(r);
        const struct link_try *t = &r->result.tries[0];
        if (e != misbehaving[i].err || t->http_status != misbehaving[i].status ||
            t->retry_after_ms != misbehaving[i].retry_after_ms ||
            strstr(t->text, misbehaving[i].text) == NULL)
            fail_msg("%s: %s, %d, %u, \"%s\"", misbehaving[i].what, err_name(e), t->http_status,
                     t->retry_after_ms, t->text);
        assert_true(t->connect_us > 0);
        r->request.mode = MODE_AUTO;
        r->request.timeout_ms = 5000;
        assert_int_equal(link_rig_run(r), ERR_NONE);
        assert_int_equal(r->result.family, FAMILY_IPV4);
        bool waits = misbehaving[i].does == SERVER_IS_SILENT;
        assert_in_range(r->took_ms, waits ? 300 : 0, waits ? 600 : 250);
        link_server_stop(&s4);
        link_server_stop(&s6);
    }
}

static void the_error_told_is_that_of_who_got_furthest(void **state)
{
    struct link_rig *r = *state;
    static struct link_server s;
    struct link_server_options bad = echo4;
    bad.does = SERVER_ANSWERS;
    bad.answer = "HTTP/1.1 401 Unauthorized\r\n\r\n";
    assert_true(link_server_start(&s, &r->loop, &bad));
    link_rig_ask(r, "ws://localhost:%d", s.port); /* IPv6 is refused before */
    assert_int_equal(link_rig_run(r), ERR_HTTP);
    assert_try(r, 0, FAMILY_IPV6, ERR_UNREACHABLE, "refused");
    assert_try(r, 1, FAMILY_IPV4, ERR_HTTP, "HTTP 401");
    link_server_stop(&s);
}

static void the_request_is_what_a_relay_expects(void **state)
{
    struct link_rig *r = *state;
    static struct link_server s;
    char host[64];
    assert_true(link_server_start(&s, &r->loop, &echo4));
    link_rig_ask(r, "ws://localhost:%d/path?a=b", s.port);
    assert_int_equal(link_rig_run(r), ERR_NONE);
    (void)snprintf(host, sizeof host, "\r\nHost: localhost:%d\r\n", s.port);
    assert_ptr_equal(strstr(s.request, "GET /path?a=b HTTP/1.1\r\n"), s.request);
    assert_non_null(strstr(s.request, host));
    assert_non_null(strstr(s.request, "\r\nUser-Agent: volley-test\r\n"));
    link_server_stop(&s);
}

static void bytes_behind_the_handshake_are_handed_out(void **state)
{
    struct link_rig *r = *state;
    static struct link_server s;
    struct link_server_options o = echo4;
    o.does = SERVER_GREETS;
    assert_true(link_server_start(&s, &r->loop, &o));
    link_rig_ask(r, "ws://127.0.0.1:%d", s.port);
    assert_int_equal(link_rig_run(r), ERR_NONE);
    assert_int_equal(r->result.extra_len, 7);
    assert_memory_equal(r->extra, "\x81\x05hello", 7);
    link_server_stop(&s);
}

static void the_environment_s_proxies_have_no_say(void **state)
{
    struct link_rig *r = *state;
    static struct link_server s, trap;
    char proxy[64];
    static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY",
                                        "ALL_PROXY",  "all_proxy",   "HTTP_PROXY"};
    assert_true(link_server_start(&s, &r->loop, &echo4));
    assert_true(link_server_start(&trap, &r->loop, &echo4));
    (void)snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", trap.port);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_int_equal(setenv(names[i], proxy, 1), 0);
    link_rig_ask(r, "ws://127.0.0.1:%d", s.port);
    assert_int_equal(link_rig_run(r), ERR_NONE);
    assert_int_equal(s.upgraded, 1);
    assert_int_equal(trap.accepted, 0);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_int_equal(unsetenv(names[i]), 0);
    link_server_stop(&s);
    link_server_stop(&trap);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_relay_with_ipv4_alone_is_reached_at_once),
        TEST(a_relay_with_ipv6_alone_is_reached_without_ipv4),
        TEST(of_two_healthy_families_ipv6_wins),
        TEST(a_dead_ipv6_costs_the_head_start_and_no_more),
        TEST(where_nobody_listens_both_are_refused_at_once),
        TEST(an_address_races_nothing),
        TEST(what_may_not_be_tried_is_refused_with_the_reason),
        TEST(a_failed_handshake_is_told_and_counts_against_its_family),
        TEST(the_error_told_is_that_of_who_got_furthest),
        TEST(the_request_is_what_a_relay_expects),
        TEST(bytes_behind_the_handshake_are_handed_out),
        TEST(the_environment_s_proxies_have_no_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
