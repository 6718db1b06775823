/* The IPv6 diagnosis: what is counted, what is said of it, and to whom nothing is sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/net/ipv6.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LO      "00000000000000000000000000000001 01 80 10 80       lo\n"
#define LINK    "fe800000000000000000000000000001 02 40 20 80     eth0\n"
#define GLOBAL  "20010db8000000000000000000000001 02 40 00 80     eth0\n"
#define UNIQUE  "fd700000000000000000000000000001 03 40 00 80     eth1\n"
#define TRYING  "20010db8000000000000000000000002 02 40 00 c0     eth0\n"
#define DOUBLED "20010db8000000000000000000000003 02 40 00 88     eth0\n"

static void addresses_beyond_the_link_are_counted(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned count;
    } rows[] = {
        {"", 0},
        {LO LINK, 0},
        {LO LINK GLOBAL, 1},
        {GLOBAL UNIQUE LO LINK, 2},
        {TRYING DOUBLED, 0},
        {"20010db8000000000000000000000001 02 40 00 80     eth0", 1},
        {"nonsense\n\n" GLOBAL "20010db8 02 40 00 80 eth0\n", 1},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(ipv6_count(rows[i].text), rows[i].count);
}

#define BEGIN  "INFO Checking IPv6 connectivity...\n"
#define KERNEL "INFO ✅ IPv6 kernel support detected\n"
#define THREE  "INFO ✅ IPv6 addresses configured: 3\n"
#define V4_ONLY                                                                                    \
    ": relays on the direct route are reached over IPv4 only, those that have nothing but IPv6 "   \
    "not at all\n"
#define NONE_NEEDED ": over Tor this host needs none, the exit speaks IPv6\n"

static void each_finding_is_told_in_order_and_weighed_by_route(void **state)
{
    (void)state;
    static const struct {
        struct ipv6_result result;
        const char *lines;
    } rows[] = {
        {{.facts = {true, 3, true}, .direct = true}, BEGIN KERNEL THREE},
        {{.facts = {true, 3, true}, .tor = true}, BEGIN KERNEL THREE},
        {{.facts = {true, 3, false}, .tor = true},
         BEGIN KERNEL THREE "INFO No IPv6 route to the internet" NONE_NEEDED},
        {{.facts = {true, 3, false}, .direct = true},
         BEGIN KERNEL THREE "WARN ⚠️ No IPv6 route to the internet" V4_ONLY},
        {{.facts = {true, 0, false}, .direct = true},
         BEGIN KERNEL "WARN ⚠️ No IPv6 address beyond this link" V4_ONLY},
        {{.facts = {true, 0, false}, .tor = true},
         BEGIN KERNEL "INFO No IPv6 address beyond this link" NONE_NEEDED},
        {{.facts = {false, 0, false}, .direct = true, .tor = true},
         BEGIN "WARN ⚠️ No IPv6 kernel support" V4_ONLY "INFO IPv6 is missing" NONE_NEEDED},
        {{.facts = {true, 3, true},
          .direct = true,
          .test = IPV6_CONNECTED,
          .test_host = "a.test:1",
          .test_ms = 12},
         BEGIN KERNEL THREE "INFO ✅ IPv6 connection to a.test:1 in 12 ms\n"},
        {{.facts = {true, 3, true},
          .direct = true,
          .test = IPV6_FAILED,
          .test_host = "a.test:1",
          .test_problem = "refused"},
         BEGIN KERNEL THREE "WARN ⚠️ No IPv6 connection to a.test:1: refused\n"},
        {{.facts = {true, 3, true}, .tor = true, .test = IPV6_SKIPPED, .test_host = "a.test:1"},
         BEGIN KERNEL THREE "INFO IPv6 test of a.test:1 skipped: no relay is reached directly, and "
                            "connecting would reveal this host\n"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct ipv6_line lines[IPV6_LINES_MAX];
        char text[2048] = "";
        size_t len = ipv6_tell(&rows[i].result, lines);
        for (size_t n = 0; n < len; n++) {
            size_t at = strlen(text);
            (void)snprintf(text + at, sizeof text - at, "%s %s\n",
                           lines[n].level == LOG_WARN ? "WARN" : "INFO", lines[n].text);
        }
        assert_string_equal(text, rows[i].lines);
    }
}

static void a_test_host_is_a_host_and_a_port(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum err err;
    } rows[] = {{"[2001:db8::1]:443", ERR_NONE},       {"relay.example:443", ERR_NONE},
                {"relay.example", ERR_INVALID},        {"2001:db8::1", ERR_INVALID},
                {"[2001:db8::1]", ERR_INVALID},        {"relay.example:0", ERR_INVALID},
                {"relay.example:x", ERR_INVALID},      {"relay.example:1/path", ERR_INVALID},
                {"user@relay.example:1", ERR_INVALID}, {":443", ERR_INVALID}};
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(ipv6_test_host_check(rows[i].text, NULL), rows[i].err);
}

/* ---- against sockets of our own ---- */

static int listen_on_loopback(char host[64])
{
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    (void)snprintf(host, 64, "[::1]:%d", ntohs(at.sin6_port));
    return fd;
}

static void the_named_host_is_connected_to_when_a_relay_is_direct(void **state)
{
    (void)state;
    char host[64];
    struct ipv6_result r;
    int fd = listen_on_loopback(host);
    const struct ipv6_options o = {.direct = true, .tor = true, .test_host = host};
    check_ipv6(&o, &r);
    assert_int_equal(r.test, IPV6_CONNECTED);
    int client = accept(fd, NULL, NULL);
    assert_true(client >= 0);
    close(client);
    close(fd);
    check_ipv6(&o, &r);
    assert_int_equal(r.test, IPV6_FAILED);
    assert_non_null(strstr(r.test_problem, "refused"));
}

static void nobody_is_connected_to_when_every_relay_is_behind_tor(void **state)
{
    (void)state;
    char host[64];
    struct ipv6_result r;
    int fd = listen_on_loopback(host);
    check_ipv6(&(struct ipv6_options){.tor = true, .test_host = host}, &r);
    assert_int_equal(r.test, IPV6_SKIPPED);
    assert_true(accept(fd, NULL, NULL) < 0);
    close(fd);
    check_ipv6(&(struct ipv6_options){.direct = true, .test_host = ""}, &r);
    assert_int_equal(r.test, IPV6_NOT_TESTED);
}

static void this_host_has_a_kernel_that_speaks_it(void **state)
{
    (void)state;
    struct ipv6_facts f;
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    ipv6_look(&f);
    assert_int_equal(f.kernel, fd >= 0);
    if (fd >= 0)
        close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_beyond_the_link_are_counted),
        cmocka_unit_test(each_finding_is_told_in_order_and_weighed_by_route),
        cmocka_unit_test(a_test_host_is_a_host_and_a_port),
        cmocka_unit_test(the_named_host_is_connected_to_when_a_relay_is_direct),
        cmocka_unit_test(nobody_is_connected_to_when_every_relay_is_behind_tor),
        cmocka_unit_test(this_host_has_a_kernel_that_speaks_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
