/* AAAA and A records for the log. Only names that need no server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/net/names.h"

#include <string.h>

struct asked {
    uv_loop_t loop;
    struct names_result result;
    int told;
};

static void on_names(void *arg, const struct names_result *r)
{
    struct asked *a = arg;
    a->result = *r;
    a->told++;
}

static void ask(struct asked *a, const char *host)
{
    *a = (struct asked){0};
    uv_loop_init(&a->loop);
    assert_non_null(names_look(&a->loop, ROUTE_DIRECT, host, on_names, a));
    assert_int_equal(a->told, 0);
    uv_run(&a->loop, UV_RUN_DEFAULT);
    assert_int_equal(a->told, 1);
    assert_int_equal(uv_loop_close(&a->loop), 0);
}

/* Addresses stand for names here: whether localhost has an AAAA differs by machine. */
static void addresses_are_told_by_family_and_the_other_says_why_not(void **state)
{
    (void)state;
    struct asked a;
    ask(&a, "::1");
    assert_int_equal(a.result.ipv6.len, 1);
    assert_string_equal(a.result.ipv6.addresses[0], "::1");
    assert_string_equal(a.result.ipv6.why, "");
    assert_int_equal(a.result.ipv4.len, 0);
    assert_true(a.result.ipv4.why[0] != '\0');
    ask(&a, "127.0.0.1");
    assert_string_equal(a.result.ipv4.addresses[0], "127.0.0.1");
    assert_int_equal(a.result.ipv6.len, 0);
    ask(&a, "localhost");
    assert_true(a.result.ipv6.len + a.result.ipv4.len >= 1);
}

static void nothing_is_told_after_cancelling(void **state)
{
    (void)state;
    struct asked a = {0};
    uv_loop_init(&a.loop);
    for (int i = 0; i < 20; i++) {
        struct names *n = names_look(&a.loop, ROUTE_DIRECT, "localhost", on_names, &a);
        uv_run(&a.loop, UV_RUN_NOWAIT);
        if (a.told == 0)
            names_cancel(n);
        uv_run(&a.loop, UV_RUN_DEFAULT);
        assert_in_range(a.told, 0, 1);
        a.told = 0;
    }
    assert_int_equal(uv_loop_close(&a.loop), 0);
}

static void no_resolver_takes_some_names(void **state)
{
    (void)state;
    struct asked a = {0};
    char host[400];
    uv_loop_init(&a.loop);
    memset(host, 'a', sizeof host - 1);
    host[sizeof host - 1] = '\0';
    assert_null(names_look(&a.loop, ROUTE_DIRECT, host, on_names, &a));
    uv_run(&a.loop, UV_RUN_DEFAULT);
    assert_int_equal(a.told, 0);
    assert_int_equal(uv_loop_close(&a.loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_told_by_family_and_the_other_says_why_not),
        cmocka_unit_test(nothing_is_told_after_cancelling),
        cmocka_unit_test(no_resolver_takes_some_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
