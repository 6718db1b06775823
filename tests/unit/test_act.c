/* One act of probing against a relay that behaves, or does not: what it is called, and its phases.
 * Also the small HTTP client below it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/net/fetch.h"
#include "probe/act.h"
#include "tests/support/link_rig.h"
#include "tests/support/link_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DOCUMENT "{\"name\":\"a relay\",\"limitation\":{\"min_pow_difficulty\":7}}"
#define HTTP_OK  "HTTP/1.1 200 OK\r\nContent-Type: application/nostr+json\r\n"

struct act_rig {
    struct link_rig rig;
    struct link_server server;
    struct link_server_options o;
    const char *then; /* what is answered to the second connection; NULL: as to the first */
    uv_check_t check;
    struct act_request request;
    struct act_result result;
    struct fetch_result fetched;
    char body[128];
    int told;
};

static int setup(void **state)
{
    struct act_rig *t = mem_zero(1, sizeof *t);
    link_rig_init(&t->rig, NULL);
    t->o = (struct link_server_options){.address = "127.0.0.1"};
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct act_rig *t = *state;
    link_rig_fini(&t->rig);
    free(t);
    return 0;
}

/* From the first websocket on the server answers HTTP. */
static void on_check(uv_check_t *check)
{
    struct act_rig *t = check->data;
    if (t->server.upgraded == 0 || t->then == NULL)
        return;
    t->server.o.does = SERVER_ANSWERS;
    t->server.o.answer = t->then;
}

static void start(struct act_rig *t)
{
    assert_true(link_server_start(&t->server, &t->rig.loop, &t->o));
    uv_check_init(&t->rig.loop, &t->check);
    t->check.data = t;
    uv_check_start(&t->check, on_check);
    uv_unref((uv_handle_t *)&t->check);
    t->told = 0;
}

static void stop(struct act_rig *t)
{
    link_server_stop(&t->server);
    uv_close((uv_handle_t *)&t->check, NULL);
    link_rig_turn(&t->rig, 1);
}

static void on_act(void *arg, const struct act_result *r)
{
    struct act_rig *t = arg;
    t->result = *r;
    t->told++;
}

static void wait_until_told(struct act_rig *t)
{
    uint64_t began_ms = clock_boot_ms();
    while (t->told == 0 && clock_boot_ms() - began_ms < 10000)
        uv_run(&t->rig.loop, UV_RUN_ONCE);
    assert_int_equal(t->told, 1);
}

static void act(struct act_rig *t, const char *url)
{
    t->request = (struct act_request){.route = ROUTE_DIRECT,
                                      .family = MODE_IPV4,
                                      .timeout_ms = 2000,
                                      .read_ms = 500,
                                      .nip11_ms = 500};
    assert_int_equal(relay_url_parse(url, &t->request.url, NULL), ERR_NONE);
    if (t->o.socks) {
        t->request.route = ROUTE_TOR;
        (void)snprintf(t->rig.ports.any, SOCKS_ADDRESS_SIZE, "127.0.0.1:%d", t->server.port);
        t->request.family = MODE_AUTO;
        t->request.socks = &t->rig.ports;
    }
    t->told = 0;
    (void)act_start(&t->rig.loop, t->rig.dialer, &t->request, on_act, t);
    assert_int_equal(t->told, 0);
    wait_until_told(t);
}

static void act_here(struct act_rig *t)
{
    char url[64];
    (void)snprintf(url, sizeof url, "ws://127.0.0.1:%d/path", t->server.port);
    act(t, url);
}

static void a_good_relay_tells_each_phase_and_itself(void **state)
{
    struct act_rig *t = *state;
    t->then = HTTP_OK "Content-Length: 56\r\n\r\n" DOCUMENT;
    start(t);
    act_here(t);
    assert_string_equal(act_verdict(&t->result), "ok");
    assert_true(t->result.try.connect_us > 0 && t->result.try.websocket_us > 0);
    assert_true(t->result.peeked && t->result.read.answered && t->result.read.us > 0);
    assert_true(act_good(&t->result));
    assert_int_equal(t->result.try.family, FAMILY_IPV4);
    assert_true(t->result.asked && t->result.told);
    assert_int_equal(t->result.nip11.min_pow_difficulty, 7);
    assert_string_equal(t->result.nip11.name, "a relay");
    assert_true(t->result.nip11_us > 0);
    assert_non_null(strstr(t->server.request, "GET /path HTTP/1.1\r\n"));
    assert_non_null(strstr(t->server.request, "Accept: application/nostr+json\r\n"));
    stop(t);
}

static void a_relay_without_a_document_is_a_relay_all_the_same(void **state)
{
    struct act_rig *t = *state;
    static const struct {
        const char *answer, *text;
    } rows[] = {
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "HTTP 404"},
        {"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
         "HTTP 302"},
        {HTTP_OK "Content-Length: 5\r\n\r\n<html", "not JSON"},
        {HTTP_OK "Content-Length: 0\r\n\r\n", "not JSON"},
        {HTTP_OK "Content-Length: 99\r\n\r\n{", ""}, /* cut off */
        {"nonsense\r\n\r\n", ""},
        {"", "Empty reply"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        t->then = rows[i].answer;
        start(t);
        act_here(t);
        assert_string_equal(act_verdict(&t->result), "ok");
        assert_true(t->result.asked);
        assert_false(t->result.told);
        if (strstr(t->result.nip11_text, rows[i].text) == NULL || t->result.nip11_text[0] == '\0')
            fail_msg("row %zu: '%s'", i, t->result.nip11_text);
        stop(t);
    }
}

static void each_failure_has_its_name(void **state)
{
    struct act_rig *t = *state;
    static const struct {
        enum link_server_does does;
        const char *answer, *verdict;
        int status;
    } rows[] = {
        {SERVER_ANSWERS, "HTTP/1.1 503 Busy\r\n\r\n", "HTTP error", 503},
        {SERVER_ANSWERS, "HTTP/1.1 403 No\r\n\r\n", "HTTP error", 403},
        {SERVER_ANSWERS, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "not a relay", 200},
        {SERVER_ANSWERS, "SSH-2.0-OpenSSH\r\n", "not a relay", 0},
        {SERVER_HANGS_UP, NULL, "not a relay", 0},
        {SERVER_IS_SILENT, NULL, "timeout", 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        t->o.does = rows[i].does;
        t->o.answer = rows[i].answer;
        start(t);
        act_here(t);
        if (strcmp(act_verdict(&t->result), rows[i].verdict) != 0 ||
            t->result.try.http_status != rows[i].status)
            fail_msg("row %zu: %s (%s), HTTP %d", i, act_verdict(&t->result), t->result.try.text,
                     t->result.try.http_status);
        assert_false(t->result.asked);
        stop(t);
    }
    act(t, "ws://127.0.0.1:1");
    assert_string_equal(act_verdict(&t->result), "refused");
}

static void megabytes_for_one_event_are_not_listened_to(void **state)
{
    struct act_rig *t = *state;
    t->o.does = SERVER_FLOODS;
    start(t);
    act_here(t);
    assert_string_equal(act_verdict(&t->result), "not a relay");
    assert_string_equal(t->result.read.text, "it sends more than was asked for");
    stop(t);
}

static void over_tor_as_well_and_nothing_goes_another_way(void **state)
{
    struct act_rig *t = *state;
    t->o.socks = t->o.socks_asks_user = true;
    t->then = HTTP_OK "Content-Length: 56\r\n\r\n" DOCUMENT;
    start(t);
    act(t, "ws://relay.invalid:7777");
    assert_string_equal(act_verdict(&t->result), "ok");
    assert_int_equal(t->result.try.family, FAMILY_NONE); /* one port: not known */
    assert_true(t->result.told);
    assert_string_equal(t->server.socks_name, "relay.invalid");
    assert_int_equal(t->server.socks_port, 7777);
    assert_int_equal(t->server.accepted, 2);
    assert_null(strstr(t->server.request, "User-Agent"));
    act(t, "ws://127.0.0.1:7777");
    assert_string_equal(act_verdict(&t->result), "not tried");
    assert_int_equal(t->server.accepted, 2);
    stop(t);
    act(t, "ws://relay.invalid:7777");
    assert_string_equal(act_verdict(&t->result), "no tor");
}

static void families_to_try_follow_from_relay_and_route(void **state)
{
    (void)state;
    static const struct socks_ports three = {"a", "b", "c"}, any = {"a", "", ""};
    static const struct {
        const char *url;
        enum route route;
        const struct socks_ports *socks;
        size_t len;
    } rows[] = {
        {"wss://r.example", ROUTE_DIRECT, NULL, 2},   {"wss://r.example", ROUTE_TOR, &three, 2},
        {"wss://r.example", ROUTE_TOR, &any, 1},      {"ws://192.0.2.1", ROUTE_DIRECT, NULL, 1},
        {"ws://[2001:db8::1]", ROUTE_TOR, &three, 1},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct relay_url url;
        enum family_mode modes[2];
        assert_int_equal(relay_url_parse(rows[i].url, &url, NULL), ERR_NONE);
        assert_int_equal(act_families(&url, rows[i].route, rows[i].socks, modes), rows[i].len);
        assert_int_equal(modes[0], rows[i].len == 2 ? MODE_IPV6 : MODE_AUTO);
    }
}

static void an_act_may_be_cancelled_at_any_moment(void **state)
{
    struct act_rig *t = *state;
    for (int turns = 0; turns < 12; turns++) {
        t->then = "";
        t->o.does = turns % 2 ? SERVER_ECHOES : SERVER_IS_SILENT;
        start(t);
        char url[64];
        (void)snprintf(url, sizeof url, "ws://127.0.0.1:%d", t->server.port);
        t->request = (struct act_request){.route = ROUTE_DIRECT,
                                          .family = MODE_IPV4,
                                          .timeout_ms = 2000,
                                          .read_ms = 500,
                                          .nip11_ms = 500};
        assert_int_equal(relay_url_parse(url, &t->request.url, NULL), ERR_NONE);
        struct act *a = act_start(&t->rig.loop, t->rig.dialer, &t->request, on_act, t);
        for (int i = 0; i < turns && t->told == 0; i++)
            uv_run(&t->rig.loop, UV_RUN_ONCE);
        if (t->told == 0)
            act_cancel(a);
        stop(t);
    }
}

/* ---- fetch ---- */

static void on_fetched(void *arg, const struct fetch_result *r)
{
    struct act_rig *t = arg;
    t->told++;
    t->fetched = *r;
    (void)snprintf(t->body, sizeof t->body, "%.*s", (int)(r->len < 100 ? r->len : 100),
                   r->body != NULL ? (const char *)r->body : "");
}

static void fetch(struct act_rig *t, const char *answer, size_t body_max)
{
    t->o.does = SERVER_ANSWERS;
    t->o.answer = answer;
    start(t);
    link_rig_ask(&t->rig, "ws://127.0.0.1:%d", t->server.port);
    t->rig.request.mode = MODE_IPV4;
    t->rig.request.timeout_ms = 1000;
    (void)fetch_start(t->rig.dialer, &t->rig.request, "text/plain", body_max, on_fetched, t);
    wait_until_told(t);
    stop(t);
}

static void bodies_come_whole_or_not_at_all(void **state)
{
    struct act_rig *t = *state;
    char *many = mem_zero(1, 200000);
    fetch(t,
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
          100);
    assert_int_equal(t->fetched.err, ERR_NONE);
    assert_int_equal(t->fetched.status, 200);
    assert_string_equal(t->body, "abcde");
    fetch(t, "HTTP/1.0 200 OK\r\n\r\nuntil the end", 100);
    assert_string_equal(t->body, "until the end");
    fetch(t, "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n12345678901", 10);
    assert_int_equal(t->fetched.err, ERR_TOO_BIG);
    fetch(t, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1234567890", 10);
    assert_int_equal(t->fetched.err, ERR_NONE);
    size_t len = (size_t)snprintf(many, 200000, "HTTP/1.1 200 OK\r\n");
    while (len < 100000) /* headers without end */
        len += (size_t)snprintf(many + len, 200000 - len, "X-Header-%06zu: value\r\n", len);
    (void)snprintf(many + len, 200000 - len, "\r\nbody");
    fetch(t, many, 10);
    assert_int_equal(t->fetched.err, ERR_TOO_BIG);
    free(many);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_good_relay_tells_each_phase_and_itself),
        TEST(a_relay_without_a_document_is_a_relay_all_the_same),
        TEST(each_failure_has_its_name),
        TEST(megabytes_for_one_event_are_not_listened_to),
        TEST(over_tor_as_well_and_nothing_goes_another_way),
        cmocka_unit_test(families_to_try_follow_from_relay_and_route),
        TEST(an_act_may_be_cancelled_at_any_moment),
        TEST(bodies_come_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
