/* Links over real sockets on loopback, route direct: the race, the handshake, and letting go at any
 * moment. TLS and SOCKS have tests of their own. */
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
    struct link_server s;
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
    struct link_server s;
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
    struct link_server s4, s6;
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
    struct link_server s;
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
    struct link_server s;
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
    struct link_server s4, s6;
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

static void a_name_that_does_not_exist_fails_for_each_family(void **state)
{
    struct link_rig *r = *state;
    link_rig_ask(r, "ws://no-such-relay.invalid");
    enum err e = link_rig_run(r);
    assert_true(e == ERR_UNREACHABLE || e == ERR_TIMEOUT); /* a resolver may hang */
    assert_try(r, 0, FAMILY_IPV6, e, "name: ");
    assert_try(r, 1, FAMILY_IPV4, e, "name: ");
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
        struct link_server s4, s6;
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
    struct link_server s;
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
    struct link_server s;
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
    struct link_server s;
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
    struct link_server s, trap;
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

/* --- links that live ------------------------------------------------------------------------- */

/* libcurl looks for dead connections when another starts, once a second, and closes them. */
static void a_link_that_ended_keeps_its_descriptor_until_it_is_closed(void **state)
{
    struct link_rig *r = *state;
    struct link_server leaves, stays;
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
    assert_int_equal(link_send(ended, (const uint8_t *)"x", 1), -1);
    link_rig_echo(r);
    link_close(ended);
    link_rig_echo(r);
    link_server_stop(&leaves);
    link_server_stop(&stays);
}

static void many_links_live_side_by_side(void **state)
{
    struct link_rig *r = *state;
    struct link_server s4, s6;
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

static void an_opening_can_be_cancelled_at_any_moment(void **state)
{
    struct link_rig *r = *state;
    struct link_server servers[6];
    struct black_hole hole;
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
    struct link_server s;
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
        struct link_server s;
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
        TEST(a_relay_with_ipv4_alone_is_reached_at_once),
        TEST(a_relay_with_ipv6_alone_is_reached_without_ipv4),
        TEST(of_two_healthy_families_ipv6_wins),
        TEST(a_dead_ipv6_costs_the_head_start_and_no_more),
        TEST(where_nobody_listens_both_are_refused_at_once),
        TEST(an_address_races_nothing),
        TEST(a_name_that_does_not_exist_fails_for_each_family),
        TEST(what_may_not_be_tried_is_refused_with_the_reason),
        TEST(a_failed_handshake_is_told_and_counts_against_its_family),
        TEST(the_error_told_is_that_of_who_got_furthest),
        TEST(the_request_is_what_a_relay_expects),
        TEST(bytes_behind_the_handshake_are_handed_out),
        TEST(the_environment_s_proxies_have_no_say),
        TEST(a_link_that_ended_keeps_its_descriptor_until_it_is_closed),
        TEST(many_links_live_side_by_side),
        TEST(an_opening_can_be_cancelled_at_any_moment),
        TEST(all_may_be_called_from_inside_the_callback),
        cmocka_unit_test(a_dialer_may_be_freed_from_inside_the_callback),
        cmocka_unit_test(a_missing_ca_file_is_told),
    };
    if (getenv("ONLY")) cmocka_set_test_filter(getenv("ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
