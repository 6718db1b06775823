/* What ingest answers over plain HTTP, who may come in at all, and where it agrees to listen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/ingest_rig.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ingest_rig rig;
static struct buf answer;

static int setup(void **state)
{
    (void)state;
    ingest_rig_init(&rig);
    buf_init(&answer, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (rig.i != NULL || rig.drained)
        ingest_rig_stop(&rig);
    buf_fini(&answer);
    return 0;
}

/* Asks with these header lines (each with its \r\n); returns the status. */
static int ask(const char *method, const char *path, const char *headers)
{
    struct ws_client_options o = {.port = ingest_port(rig.i, 0)};
    struct buf request;
    buf_init(&request, 1 << 16);
    assert_int_equal(
        buf_addf(&request, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", method, path, headers),
        ERR_NONE);
    int status = http_ask(&rig.loop, &o, buf_str(&request), &answer);
    buf_fini(&request);
    return status;
}

static bool has(const char *text)
{
    return strstr(buf_str(&answer), text) != NULL;
}

static const char *body(void)
{
    const char *end = strstr(buf_str(&answer), "\r\n\r\n");
    return end == NULL ? "" : end + 4;
}

/* ---- paths and methods */

static void a_browser_is_told_what_this_is(void **state)
{
    (void)state;
    ingest_rig_start(&rig);
    assert_int_equal(ask("GET", "/", "Accept: text/html,*/*\r\n"), 200);
    assert_non_null(strstr(body(), "volley"));
    assert_true(has("Content-Type: text/plain"));
}

static void other_paths_and_methods_are_refused(void **state)
{
    (void)state;
    ingest_rig_start(&rig);
    assert_int_equal(ask("GET", "/nothing", ""), 404);
    assert_int_equal(ask("GET", "/healthz/", ""), 404);
    assert_int_equal(ask("POST", "/", "Content-Length: 0\r\n"), 405);
    assert_true(has("Allow: GET, HEAD, OPTIONS"));
    assert_int_equal(ask("DELETE", "/healthz", ""), 405);
    assert_true(has("Allow: GET, HEAD\r\n"));
}

/* ---- NIP-11 */

static double number(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    assert_true(cJSON_IsNumber(item));
    return item->valuedouble;
}

static bool flag(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    assert_true(cJSON_IsBool(item));
    return cJSON_IsTrue(item);
}

static cJSON *get_document(void)
{
    assert_int_equal(ask("GET", "/", "Accept: application/nostr+json\r\n"), 200);
    assert_true(has("Content-Type: application/nostr+json\r\n"));
    assert_true(has("Access-Control-Allow-Origin: *\r\n"));
    assert_true(has("Access-Control-Allow-Headers: *\r\n"));
    assert_true(has("Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n"));
    cJSON *root = cJSON_Parse(body());
    assert_non_null(root);
    return root;
}

static void the_document_tells_the_limits_in_force(void **state)
{
    (void)state;
    uint8_t listed[1][32] = {{1}};
    rig.options.allow_pubkeys = (const uint8_t(*)[32])listed;
    rig.options.allow_len = 1;
    rig.options.max_event = 50000;
    rig.options.min_pow = 7;
    rig.options.created_at_past_s = 3600;
    rig.options.created_at_future_s = 900;
    ingest_rig_start(&rig);
    cJSON *root = get_document();
    const cJSON *l = cJSON_GetObjectItemCaseSensitive(root, "limitation");
    assert_int_equal(number(l, "max_message_length"), service_message_max(50000));
    assert_int_equal(number(l, "min_pow_difficulty"), 7);
    assert_int_equal(number(l, "created_at_lower_limit"), 3600);
    assert_int_equal(number(l, "created_at_upper_limit"), 900);
    assert_true(flag(l, "restricted_writes"));
    assert_false(flag(l, "auth_required"));
    assert_false(flag(l, "payment_required"));
    const cJSON *nips = cJSON_GetObjectItemCaseSensitive(root, "supported_nips");
    assert_int_equal(cJSON_GetArrayItem(nips, 0)->valueint, 1);
    assert_int_equal(cJSON_GetArrayItem(nips, 2)->valueint, 11);
    cJSON_Delete(root);
    struct problem p;
    rig.options.min_pow = 9; /* read again while it runs */
    assert_int_equal(ingest_reload(rig.i, &rig.options, &p), ERR_NONE);
    root = get_document();
    l = cJSON_GetObjectItemCaseSensitive(root, "limitation");
    assert_int_equal(number(l, "min_pow_difficulty"), 9);
    cJSON_Delete(root);
}

static void the_document_names_no_limit_that_is_off(void **state)
{
    (void)state;
    ingest_rig_start(&rig);
    cJSON *root = get_document();
    const cJSON *l = cJSON_GetObjectItemCaseSensitive(root, "limitation");
    assert_null(cJSON_GetObjectItemCaseSensitive(l, "created_at_lower_limit"));
    assert_null(cJSON_GetObjectItemCaseSensitive(l, "created_at_upper_limit"));
    assert_false(flag(l, "restricted_writes"));
    cJSON_Delete(root);
}

static void the_longest_content_it_names_is_taken(void **state)
{
    (void)state;
    rig.options.max_event = 2000;
    ingest_rig_start(&rig);
    cJSON *root = get_document();
    size_t len =
        (size_t)number(cJSON_GetObjectItemCaseSensitive(root, "limitation"), "max_content_length");
    char content[2001] = {0};
    assert_in_range(len, 1000, 2000);
    memset(content, 'a', len);
    struct event *ev = make_signed_event(0, 1700000000, 65535, "[]", content);
    struct ws_client *c = ingest_rig_client(&rig);
    send_event(c, ev);
    expect_ok(c, ev, true, "");
    event_unref(ev);
    ws_client_free(c);
    cJSON_Delete(root);
}

static void web_clients_may_ask_first(void **state)
{
    (void)state;
    rig.options.open = true;
    ingest_rig_start(&rig);
    assert_int_equal(ask("OPTIONS", "/", "Origin: https://client.example\r\n"), 204);
    assert_true(has("Access-Control-Allow-Origin: *\r\n"));
}

/* ---- healthz */

static void healthz_is_200_while_events_can_be_queued(void **state)
{
    (void)state;
    ingest_rig_start(&rig);
    assert_int_equal(ask("GET", "/healthz", ""), 200);
    assert_string_equal(body(), "ok\n");
    assert_int_equal(ask("HEAD", "/healthz", "Connection: close\r\n"), 200);
}

static void the_queue_is_asked_at_most_once_a_second(void **state)
{
    (void)state;
    ingest_rig_start(&rig);
    assert_int_equal(ask("GET", "/healthz", ""), 200);
    assert_int_equal(ask("GET", "/healthz", ""), 200);
    assert_int_equal(rig.gate.depths_len, 1);
    rig.gate.fail_depth = ERR_CLOSED;
    ingest_rig_pass(&rig, 1000);
    assert_int_equal(ask("GET", "/healthz", ""), 503);
    assert_string_equal(body(), "the queue is out of reach\n");
    assert_int_equal(rig.gate.depths_len, 2);
}

static void healthz_says_that_no_relay_is_configured(void **state)
{
    (void)state;
    rig.no_lanes = true;
    ingest_rig_start(&rig);
    assert_int_equal(ask("GET", "/healthz", ""), 503);
    assert_string_equal(body(), "no relays are configured\n");
}

static void healthz_notices_a_full_disk_or_queue_by_the_appends(void **state)
{
    (void)state;
    static const struct {
        enum err e;
        const char *ok, *body;
    } rows[] = {
        {ERR_NO_SPACE, "error: the queue's disk is full", "the queue's disk is full\n"},
        {ERR_FULL, "error: the queue is full, try again later", "the queue is full\n"},
    };
    ingest_rig_start(&rig);
    struct event *ev = signed_note(1);
    struct ws_client *c = ingest_rig_client(&rig);
    assert_int_equal(ask("GET", "/healthz", ""), 200);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        rig.gate.fail = rows[i].e;
        send_event(c, ev);
        expect_ok(c, ev, false, rows[i].ok);
        assert_int_equal(ask("GET", "/healthz", ""), 503);
        assert_string_equal(body(), rows[i].body);
    }
    rig.gate.fail = ERR_NONE;
    send_event(c, ev);
    expect_ok(c, ev, true, "");
    ingest_rig_pass(&rig, 1000);
    assert_int_equal(ask("GET", "/healthz", ""), 200);
    event_unref(ev);
    ws_client_free(c);
}

static void on_late_tick(uv_timer_t *timer)
{
    struct ingest_rig *r = timer->data;
    r->now_ms += r->limits.health_ms;
    service_tick(r->i, r->now_ms, r->now_s);
}

static void healthz_does_not_wait_for_ever(void **state)
{
    (void)state;
    uv_timer_t late;
    ingest_rig_start(&rig);
    rig.gate.silent_depth = true;
    uv_timer_init(&rig.loop, &late);
    late.data = &rig;
    uv_timer_start(&late, on_late_tick, 1, 1);
    assert_int_equal(ask("GET", "/healthz", ""), 503);
    assert_string_equal(body(), "the queue does not answer\n");
    uv_close((uv_handle_t *)&late, NULL);
    spin_turns(&rig.loop, 2);
}

/* ---- who may come in */

static void without_a_list_web_pages_and_proxies_are_kept_out(void **state)
{
    (void)state;
    static const char *const headers[] = {"Origin: http://evil.example\r\n", "Origin: null\r\n",
                                          "Forwarded: for=1.2.3.4\r\n",
                                          "X-Forwarded-For: 1.2.3.4\r\n", "x-forwarded-for:\r\n"};
    ingest_rig_start(&rig);
    for (size_t n = 0; n < COUNT_OF(headers); n++) {
        struct ws_client_options o = {.port = ingest_port(rig.i, 0), .headers = headers[n]};
        struct ws_client *c = ws_client_new(&rig.loop, &o);
        assert_false(ws_client_opened(c));
        assert_int_equal(c->status, 403);
        ws_client_free(c);
        assert_int_equal(ask("GET", "/", headers[n]), 403);
        assert_non_null(strstr(body(), "ingest.allow_pubkeys"));
    }
}

static void expect_welcome(const char *headers)
{
    struct ws_client_options o = {.port = ingest_port(rig.i, 0), .headers = headers};
    struct ws_client *c = ws_client_new(&rig.loop, &o);
    assert_true(ws_client_opened(c));
    ws_client_free(c);
}

static void with_a_list_they_may_come(void **state)
{
    (void)state;
    uint8_t listed[1][32] = {{1}};
    rig.options.allow_pubkeys = (const uint8_t(*)[32])listed;
    rig.options.allow_len = 1;
    ingest_rig_start(&rig);
    expect_welcome("Origin: https://client.example\r\nX-Forwarded-For: 1.2.3.4\r\n");
}

static void an_open_relay_takes_everybody(void **state)
{
    (void)state;
    rig.options.open = true;
    rig.options.listen[0] = "0.0.0.0:0";
    ingest_rig_start(&rig);
    expect_welcome("Origin: https://client.example\r\n");
}

static void four_kib_of_headers_are_no_trouble(void **state)
{
    (void)state;
    struct buf many;
    char one[4096];
    ingest_rig_start(&rig);
    buf_init(&many, 1 << 16);
    for (unsigned n = 0; n < 64; n++)
        assert_int_equal(buf_addf(&many, "X-Header-%02u: %050u\r\n", n, n), ERR_NONE);
    assert_true(many.len >= 4096);
    expect_welcome(buf_str(&many));
    buf_fini(&many);
    memset(one, 'a', sizeof one);
    memcpy(one, "X-Long: ", 8);
    memcpy(one + sizeof one - 3, "\r\n", 3);
    expect_welcome(one);
}

static void a_bad_handshake_is_told_what_is_missing(void **state)
{
    (void)state;
    ingest_rig_start(&rig);
    assert_int_equal(ask("GET", "/", "Connection: Upgrade\r\nUpgrade: websocket\r\n"), 426);
    assert_true(has("Sec-WebSocket-Version: 13\r\n"));
    assert_int_equal(ask("GET", "/",
                         "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                         "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n"),
                     400);
    assert_int_equal(ask("GET", "/elsewhere", "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
                     404);
}

/* ---- where it listens */

static const struct listen_case {
    const char *address;
    bool open;
    enum err e;
} listen_cases[] = {
    {"0.0.0.0:0", false, ERR_INVALID}, {"[::]:0", false, ERR_INVALID},
    {"0.0.0.0:0", true, ERR_NONE},     {"127.0.0.1", true, ERR_INVALID},
    {"[::1]:0", false, ERR_NONE},      {"203.0.113.1:1", true, ERR_IO},
};

static void addresses_are_refused_before_anything_listens(void **state)
{
    (void)state;
    ingest_rig_start(&rig);
    for (size_t n = 0; n < COUNT_OF(listen_cases); n++) {
        const struct listen_case *row = &listen_cases[n];
        struct ingest_rig other;
        struct problem why = {{0}};
        struct ingest *i;
        ingest_rig_init(&other);
        other.options.listen[1] = row->address;
        other.options.listen_len = 2;
        other.options.open = row->open;
        enum err e =
            service_new(&rig.loop, &rig.gate.queue, &other.options, &other.limits, &i, &why);
        if (e != row->e)
            fail_msg("%s: %s %s", row->address, err_name(e), why.text);
        if (e == ERR_NONE)
            ingest_drain(i, 0, NULL, NULL);
        else
            assert_non_null(strstr(why.text, row->address));
    }
    spin_turns(&rig.loop, 20);
}

static void a_port_in_use_is_told(void **state)
{
    (void)state;
    ingest_rig_start(&rig);
    char address[32];
    struct problem why;
    struct ingest *i;
    struct ingest_options o = {.listen = {address}, .listen_len = 1};
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)ingest_port(rig.i, 0));
    assert_int_equal(ingest_new(&rig.loop, &rig.gate.queue, &o, &i, &why), ERR_IO);
    assert_non_null(strstr(why.text, "in use"));
    assert_non_null(strstr(why.text, address));
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(a_browser_is_told_what_this_is),
        WITH_RIG(other_paths_and_methods_are_refused),
        WITH_RIG(the_document_tells_the_limits_in_force),
        WITH_RIG(the_document_names_no_limit_that_is_off),
        WITH_RIG(the_longest_content_it_names_is_taken),
        WITH_RIG(web_clients_may_ask_first),
        WITH_RIG(healthz_is_200_while_events_can_be_queued),
        WITH_RIG(the_queue_is_asked_at_most_once_a_second),
        WITH_RIG(healthz_says_that_no_relay_is_configured),
        WITH_RIG(healthz_notices_a_full_disk_or_queue_by_the_appends),
        WITH_RIG(healthz_does_not_wait_for_ever),
        WITH_RIG(without_a_list_web_pages_and_proxies_are_kept_out),
        WITH_RIG(with_a_list_they_may_come),
        WITH_RIG(an_open_relay_takes_everybody),
        WITH_RIG(four_kib_of_headers_are_no_trouble),
        WITH_RIG(a_bad_handshake_is_told_what_is_missing),
        WITH_RIG(addresses_are_refused_before_anything_listens),
        WITH_RIG(a_port_in_use_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
