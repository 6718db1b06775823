/* Links over TLS: whose certificate is believed, and that the stream is whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/net/websocket.h"
#include "tests/support/link_rig.h"
#include "tests/support/link_server.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DAY_S 86400

static struct test_cert ca;
static char ca_file[100];

static int make_ca(void **state)
{
    (void)state;
    ca = test_cert_new("a test's authority", NULL, -DAY_S, DAY_S);
    test_cert_write(&ca, ca_file, sizeof ca_file);
    return 0;
}

static int drop_ca(void **state)
{
    (void)state;
    test_cert_free(&ca);
    return unlink(ca_file);
}

static int setup(void **state)
{
    struct link_rig *r = mem_zero(1, sizeof *r);
    link_rig_init(r, ca_file);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    link_rig_fini(*state);
    free(*state);
    return 0;
}

static SSL_CTX *context(const char *name, const struct test_cert *by, long from_s, long to_s)
{
    struct test_cert c = test_cert_new(name, by, from_s, to_s);
    SSL_CTX *out = test_cert_context(&c);
    test_cert_free(&c);
    return out;
}

static void start(struct link_server *s, struct link_rig *r, const char *address, SSL_CTX *tls)
{
    struct link_server_options o = {.address = address, .tls = tls};
    assert_true(link_server_start(s, &r->loop, &o));
}

static void a_good_certificate_is_believed(void **state)
{
    struct link_rig *r = *state;
    static struct link_server s;
    SSL_CTX *tls = context("relay.localhost", &ca, -DAY_S, DAY_S);
    start(&s, r, "127.0.0.1", tls);
    link_rig_ask(r, "wss://relay.localhost:%d", s.port);
    assert_int_equal(link_rig_run(r), ERR_NONE);
    assert_int_equal(r->result.family, FAMILY_IPV4);
    const struct link_try *t = &r->result.tries[1];
    assert_true(t->connect_us > 0 && t->tls_us > 0 && t->websocket_us > 0);
    link_rig_echo(r);
    link_server_stop(&s);
    SSL_CTX_free(tls);
}

static void other_certificates_are_not(void **state)
{
    struct link_rig *r = *state;
    struct test_cert stranger = test_cert_new("somebody", NULL, -DAY_S, DAY_S);
    const struct {
        const char *name;
        const struct test_cert *by;
        long from_s, to_s;
        const char *text;
    } rows[] = {
        {"relay.localhost", &ca, -2 * DAY_S, -DAY_S, "TLS: certificate has expired"},
        {"relay.localhost", &ca, DAY_S, 2 * DAY_S, "TLS: certificate is not yet valid"},
        {"other.localhost", &ca, -DAY_S, DAY_S, "TLS: no alternative certificate subject name"},
        {"localhost", &ca, -DAY_S, DAY_S, "TLS: no alternative certificate subject name"},
        {"relay.localhost", &stranger, -DAY_S, DAY_S,
         "TLS: unable to get local issuer certificate"},
        {"relay.localhost", NULL, -DAY_S, DAY_S, "TLS: self-signed certificate"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        static struct link_server s;
        SSL_CTX *tls = context(rows[i].name, rows[i].by, rows[i].from_s, rows[i].to_s);
        start(&s, r, "127.0.0.1", tls);
        link_rig_ask(r, "wss://relay.localhost:%d", s.port);
        r->request.mode = MODE_IPV4;
        assert_int_equal(link_rig_run(r), ERR_TLS);
        const struct link_try *t = &r->result.tries[0];
        if (strstr(t->text, rows[i].text) != t->text)
            fail_msg("row %zu: \"%s\"", i, t->text);
        assert_int_equal(s.upgraded, 0);
        assert_true(t->connect_us > 0);
        assert_int_equal(t->tls_us, 0);
        link_server_stop(&s);
        SSL_CTX_free(tls);
    }
    test_cert_free(&stranger);
}

static void a_bad_certificate_on_one_family_tries_the_other(void **state)
{
    struct link_rig *r = *state;
    static struct link_server s4, s6;
    SSL_CTX *good = context("relay.localhost", &ca, -DAY_S, DAY_S);
    SSL_CTX *bad = context("relay.localhost", &ca, -2 * DAY_S, -DAY_S);
    struct link_server_options o4 = {.address = "127.0.0.1", .tls = good};
    struct link_server_options o6 = {.address = "::1", .tls = bad};
    uint16_t port = link_server_pair(&s4, &s6, &r->loop, &o4, &o6);
    link_rig_ask(r, "wss://relay.localhost:%d", port);
    assert_int_equal(link_rig_run(r), ERR_NONE);
    assert_int_equal(r->result.family, FAMILY_IPV4);
    assert_int_equal(r->result.tries[0].err, ERR_TLS);
    link_server_stop(&s4);
    link_server_stop(&s6);
    SSL_CTX_free(good);
    SSL_CTX_free(bad);
}

static void tls_1_1_is_refused(void **state)
{
    struct link_rig *r = *state;
    static struct link_server s;
    SSL_CTX *tls = context("relay.localhost", &ca, -DAY_S, DAY_S);
    SSL_CTX_set_security_level(tls, 0);
    assert_int_equal(SSL_CTX_set_min_proto_version(tls, TLS1_VERSION), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(tls, TLS1_1_VERSION), 1);
    start(&s, r, "127.0.0.1", tls);
    link_rig_ask(r, "wss://relay.localhost:%d", s.port);
    assert_int_equal(link_rig_run(r), ERR_TLS);
    link_server_stop(&s);
    SSL_CTX_free(tls);
}

static void a_relay_without_tls_is_told_so(void **state)
{
    struct link_rig *r = *state;
    static struct link_server s;
    struct link_server_options o = {
        .address = "127.0.0.1", .does = SERVER_HANGS_UP, .answer = "HTTP/1.1 400 x\r\n\r\n"};
    assert_true(link_server_start(&s, &r->loop, &o));
    link_rig_ask(r, "wss://127.0.0.1:%d", s.port);
    assert_int_equal(link_rig_run(r), ERR_TLS);
    assert_memory_equal(r->result.tries[0].text, "TLS: ", 5);
    link_server_stop(&s);
}

static void a_relay_silent_in_tls_times_out_there(void **state)
{
    struct link_rig *r = *state;
    static struct link_server s;
    SSL_CTX *tls = context("relay.localhost", &ca, -DAY_S, DAY_S);
    struct link_server_options o = {.address = "::1", .does = SERVER_IS_SILENT, .tls = tls};
    assert_true(link_server_start(&s, &r->loop, &o));
    link_rig_ask(r, "wss://relay.localhost:%d", s.port);
    r->request.timeout_ms = 1000;
    r->request.mode = MODE_IPV6;
    assert_int_equal(link_rig_run(r), ERR_TIMEOUT);
    assert_string_equal(r->result.tries[0].text, "TLS: timeout after 1 s");
    link_server_stop(&s);
    SSL_CTX_free(tls);
}

static void without_a_ca_file_a_private_authority_is_unknown(void **state)
{
    (void)state;
    struct link_rig r;
    static struct link_server s;
    SSL_CTX *tls = context("relay.localhost", &ca, -DAY_S, DAY_S);
    link_rig_init(&r, NULL);
    start(&s, &r, "127.0.0.1", tls);
    link_rig_ask(&r, "wss://relay.localhost:%d", s.port);
    assert_int_equal(link_rig_run(&r), ERR_TLS);
    link_server_stop(&s);
    link_rig_fini(&r);
    SSL_CTX_free(tls);
}

/* --- a stream under pressure ----------------------------------------------------------------- */

struct pump {
    struct link *link;
    struct websocket *ws;
    size_t got;
};

static ssize_t pump_send(void *arg, const uint8_t *data, size_t len)
{
    return link_send(((struct pump *)arg)->link, data, len);
}

static ssize_t pump_recv(void *arg, uint8_t *data, size_t len)
{
    return link_recv(((struct pump *)arg)->link, data, len);
}

static bool pump_text(void *arg, const char *text, size_t len)
{
    struct pump *p = arg;
    assert_int_equal(len, 9973);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(text[i], 'a' + (i + p->got) % 26);
    p->got++;
    return true;
}

/* More than the sockets hold, so writes block, and are repeated from a buffer that has moved. */
static void a_stream_that_blocks_stays_whole(void **state)
{
    enum { TEXTS = 1500, LEN = 9973 };
    struct link_rig *r = *state;
    static struct link_server s;
    SSL_CTX *tls = context("relay.localhost", &ca, -DAY_S, DAY_S);
    start(&s, r, "127.0.0.1", tls);
    link_rig_ask(r, "wss://relay.localhost:%d", s.port);
    assert_int_equal(link_rig_run(r), ERR_NONE);
    struct pump p = {.link = r->result.link};
    struct websocket_io io = {pump_send, pump_recv, pump_text, &p};
    struct websocket_limits limits = {LEN, 40u << 20};
    p.ws = websocket_new(WEBSOCKET_CLIENT, &io, &limits);
    char text[LEN];
    size_t blocked = 0;
    for (size_t i = 0; i < TEXTS; i++) {
        for (size_t j = 0; j < LEN; j++)
            text[j] = (char)('a' + (i + j) % 26);
        assert_int_equal(websocket_send_text(p.ws, text, LEN), ERR_NONE);
        enum err e = websocket_flush(p.ws);
        assert_true(e == ERR_NONE || e == ERR_AGAIN);
        blocked += e == ERR_AGAIN;
    }
    assert_true(blocked > 0);
    while (p.got < TEXTS) {
        uv_run(&r->loop, UV_RUN_NOWAIT);
        enum err e = websocket_flush(p.ws);
        assert_true(e == ERR_NONE || e == ERR_AGAIN);
        assert_int_equal(websocket_read(p.ws, 1u << 20), ERR_NONE);
    }
    websocket_free(p.ws);
    link_server_stop(&s);
    SSL_CTX_free(tls);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_good_certificate_is_believed),
        TEST(other_certificates_are_not),
        TEST(a_bad_certificate_on_one_family_tries_the_other),
        TEST(tls_1_1_is_refused),
        TEST(a_relay_without_tls_is_told_so),
        TEST(a_relay_silent_in_tls_times_out_there),
        cmocka_unit_test(without_a_ca_file_a_private_authority_is_unknown),
        TEST(a_stream_that_blocks_stays_whole),
    };
    return cmocka_run_group_tests(tests, make_ca, drop_ca);
}
