/* The probe asks ingest how it is: at an address or a name, over the family that answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "probe/health.h"
#include "tests/support/link_server.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const char answer[] = "HTTP/1.1 200 OK\r\nVolley-Events: accepted=1 duplicate=2 refused=3 "
                             "error=4\r\nConnection: close\r\n\r\nok\n";

static struct service_state asked(uv_loop_t *loop, const char *host, uint16_t port)
{
    struct service_state state = {0};
    struct ingest_ask *ask = NULL;
    char address[300];
    (void)snprintf(address, sizeof address, "%s:%u", host, port);
    ask = ingest_ask(loop, address, &ask, &state);
    while (ask != NULL && uv_run(loop, UV_RUN_ONCE) != 0)
        ;
    for (int i = 0; i < 10; i++) /* what was closed goes */
        uv_run(loop, UV_RUN_NOWAIT);
    return state;
}

static void ingest_is_asked_by_address_and_by_name(void **state)
{
    (void)state;
    static const char *const hosts[] = {"127.0.0.1", "0.0.0.0", "localhost"};
    const struct link_server_options o = {
        .address = "127.0.0.1", .does = SERVER_ANSWERS, .answer = answer};
    struct link_server server;
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_true(link_server_start(&server, &loop, &o));
    for (size_t i = 0; i < COUNT_OF(hosts); i++) {
        const struct service_state s = asked(&loop, hosts[i], server.port);
        assert_true(s.known);
        assert_string_equal(s.text, "takes events");
        assert_true(s.well);
    }
    link_server_stop(&server);
    for (int i = 0; i < 10; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void who_does_not_answer_is_not_well(void **state)
{
    (void)state;
    static const struct {
        const char *host, *text;
    } rows[] = {
        {"127.0.0.1", "can't be reached"},
        {"localhost", "can't be reached"},
        {"volley-test.invalid", "has no address"},
    };
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct service_state s = asked(&loop, rows[i].host, 1);
        assert_true(s.known);
        assert_false(s.well);
        /* A resolver that answers nobody may take longer than we wait. */
        if (strcmp(s.text, "does not answer") != 0 || strchr(rows[i].host, '-') == NULL)
            assert_string_equal(s.text, rows[i].text);
    }
    while (uv_run(&loop, UV_RUN_ONCE) != 0)
        ;
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void asking_may_be_given_up_while_a_name_is_looked_up(void **state)
{
    (void)state;
    struct service_state s = {0};
    struct ingest_ask *ask = NULL;
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    ask = ingest_ask(&loop, "localhost:1", &ask, &s);
    assert_non_null(ask);
    ingest_ask_cancel(ask);
    while (uv_run(&loop, UV_RUN_ONCE) != 0)
        ;
    assert_false(s.known);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void an_address_is_a_host_and_a_port(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        bool good;
    } rows[] = {
        {"ingest:7787", true},  {"127.0.0.1:7787", true}, {"[::1]:7787", true},
        {"a.b-c_d:1", true},    {"ingest", false},        {"ingest:", false},
        {":7787", false},       {"ingest:0", false},      {"ingest:65536", false},
        {"in gest:1", false},   {"http://a:1", false},    {"a:1/x", false},
        {"a:1\r\nX: y", false},
    };
    struct problem p;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(ingest_address_check(rows[i].address, &p) == ERR_NONE, rows[i].good);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(ingest_is_asked_by_address_and_by_name),
        cmocka_unit_test(who_does_not_answer_is_not_well),
        cmocka_unit_test(asking_may_be_given_up_while_a_name_is_looked_up),
        cmocka_unit_test(an_address_is_a_host_and_a_port),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("the probe asks ingest", tests, NULL, NULL);
}
