/* Where a queue may be, as people write it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue/endpoint.h"

#include <string.h>

static void tcp_endpoints_are_an_address_or_a_name_and_a_port(void **state)
{
    (void)state;
    static const struct {
        const char *url, *requests, *tail;
        bool is_name, is_ipv6;
    } rows[] = {
        {"zmq+tcp://127.0.0.1:7789", "tcp://127.0.0.1:7789", "tcp://127.0.0.1:7790", false, false},
        {"zmq+tcp://0.0.0.0:1", "tcp://0.0.0.0:1", "tcp://0.0.0.0:2", false, false},
        {"zmq+tcp://[::1]:65534", "tcp://[::1]:65534", "tcp://[::1]:65535", false, true},
        {"zmq+tcp://[fd00::7:1]:80", "tcp://[fd00::7:1]:80", "tcp://[fd00::7:1]:81", false, true},
        {"zmq+tcp://queue:7789", "tcp://queue:7789", "tcp://queue:7790", true, false},
        {"zmq+tcp://q-1.example.org:9", "tcp://q-1.example.org:9", "tcp://q-1.example.org:10", true,
         false},
        {"zmq+tcp://volley_queue_1:9", "tcp://volley_queue_1:9", "tcp://volley_queue_1:10", true,
         false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct endpoint e;
        assert_int_equal(endpoint_parse(rows[i].url, &e, NULL), ERR_NONE);
        assert_true(e.tcp);
        assert_string_equal(e.requests, rows[i].requests);
        assert_string_equal(e.tail, rows[i].tail);
        assert_int_equal(e.is_name, rows[i].is_name);
        assert_int_equal(e.is_ipv6, rows[i].is_ipv6);
    }
}

static void what_is_no_endpoint_is_refused_with_words(void **state)
{
    (void)state;
    char longest[ENDPOINT_HOST_MAX + 30] = "zmq+tcp://";
    memset(longest + 10, 'x', ENDPOINT_HOST_MAX + 1);
    memcpy(longest + 10 + ENDPOINT_HOST_MAX + 1, ":7789", sizeof ":7789");
    const struct {
        const char *url;
        enum err e;
    } rows[] = {
        {"zmq+tcp://", ERR_INVALID},
        {"zmq+tcp://host", ERR_INVALID},
        {"zmq+tcp://host:", ERR_INVALID},
        {"zmq+tcp://:7789", ERR_INVALID},
        {"zmq+tcp://host:0", ERR_INVALID},
        {"zmq+tcp://host:65535", ERR_INVALID},
        {"zmq+tcp://host:99999999999999999999", ERR_INVALID},
        {"zmq+tcp://host:7789/", ERR_INVALID},
        {"zmq+tcp://host:-1", ERR_INVALID},
        {"zmq+tcp://host: 1", ERR_INVALID},
        {"zmq+tcp://*:7789", ERR_INVALID},
        {"zmq+tcp://::1:7789", ERR_INVALID},
        {"zmq+tcp://[::1:7789", ERR_INVALID},
        {"zmq+tcp://[]:7789", ERR_INVALID},
        {"zmq+tcp://[1.2.3.4]:7789", ERR_INVALID},
        {"zmq+tcp://1.2.3:7789", ERR_INVALID},
        {"zmq+tcp://256.1.1.1:7789", ERR_INVALID},
        {"zmq+tcp://user@host:7789", ERR_INVALID},
        {"zmq+tcp://ho st:7789", ERR_INVALID},
        {"zmq+tcp://-host:7789", ERR_INVALID},
        {"zmq+tcp://eth0;192.0.2.1:7789", ERR_INVALID},
        {longest, ERR_INVALID},
        {"tcp://host:7789", ERR_UNSUPPORTED},
        {"host:7789", ERR_INVALID},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct endpoint e;
        struct problem p = {0};
        assert_int_equal(endpoint_parse(rows[i].url, &e, &p), rows[i].e);
        assert_string_not_equal(p.text, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tcp_endpoints_are_an_address_or_a_name_and_a_port),
        cmocka_unit_test(what_is_no_endpoint_is_refused_with_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
