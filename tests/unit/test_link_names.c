/* Links and names. The C library's resolver is replaced by one of ours, so that nothing is asked
 * outside, and each question is seen: with route tor there must be none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/net/names.h"
#include "tests/support/link_rig.h"
#include "tests/support/link_server.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_int questions;
static sem_t slow_may_go, slow_has_gone;

/* What libcurl's threads call. */
int resolve(const char *name, const char *service, const struct addrinfo *hints,
            struct addrinfo **out) __asm__("getaddrinfo");

/* One block each, as the C library frees them. */
static struct addrinfo *address(int family, uint16_t port, struct addrinfo *next)
{
    struct addrinfo *a = mem_zero(1, sizeof *a + sizeof(struct sockaddr_in6));
    *a = (struct addrinfo){.ai_family = family,
                           .ai_socktype = SOCK_STREAM,
                           .ai_addr = (struct sockaddr *)(a + 1),
                           .ai_next = next};
    struct sockaddr_in *v4 = (struct sockaddr_in *)a->ai_addr;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)a->ai_addr;
    a->ai_addrlen = family == AF_INET ? sizeof *v4 : sizeof *v6;
    if (family == AF_INET)
        *v4 = (struct sockaddr_in){AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, {0}};
    else
        *v6 = (struct sockaddr_in6){AF_INET6, htons(port), 0, IN6ADDR_LOOPBACK_INIT, 0};
    return a;
}

int resolve(const char *name, const char *service, const struct addrinfo *hints,
            struct addrinfo **out)
{
    uint16_t port = (uint16_t)(service == NULL ? 0 : strtoul(service, NULL, 10));
    bool four = strncmp(name, "four", 4) == 0 || strncmp(name, "both", 4) == 0;
    bool six = strncmp(name, "six", 3) == 0 || strncmp(name, "both", 4) == 0;
    atomic_fetch_add(&questions, 1);
    if (strncmp(name, "slow", 4) == 0) {
        (void)sem_wait(&slow_may_go);
        (void)sem_post(&slow_has_gone);
    }
    *out = NULL;
    if (four && hints->ai_family != AF_INET6)
        *out = address(AF_INET, port, *out);
    if (six && hints->ai_family != AF_INET)
        *out = address(AF_INET6, port, *out);
    return *out == NULL ? EAI_NONAME : 0;
}

struct relay {
    struct link_rig rig;
    struct link_server ipv4, ipv6;
    uint16_t port;
};

static int setup(void **state)
{
    static const struct link_server_options o4 = {.address = "127.0.0.1"}, o6 = {.address = "::1"};
    struct relay *r = mem_zero(1, sizeof *r);
    (void)sem_init(&slow_may_go, 0, 0);
    (void)sem_init(&slow_has_gone, 0, 0);
    link_rig_init(&r->rig, NULL);
    r->port = link_server_pair(&r->ipv4, &r->ipv6, &r->rig.loop, &o4, &o6);
    atomic_store(&questions, 0);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct relay *r = *state;
    link_server_stop(&r->ipv4);
    link_server_stop(&r->ipv6);
    link_rig_fini(&r->rig);
    free(r);
    return 0;
}

static void a_name_without_ipv6_is_reached_over_ipv4_at_once(void **state)
{
    struct relay *r = *state;
    link_rig_ask(&r->rig, "ws://four.invalid:%d", r->port);
    r->rig.request.race_delay_ms = 3000;
    assert_int_equal(link_rig_run(&r->rig), ERR_NONE);
    assert_int_equal(r->rig.result.family, FAMILY_IPV4);
    assert_true(r->rig.took_ms < 1000);
    assert_int_equal(r->rig.result.tries[0].err, ERR_UNREACHABLE);
    assert_string_equal(r->rig.result.tries[0].text, "name: no IPv6 address");
    assert_true(r->rig.result.tries[1].dns_us > 0);
}

static void a_name_without_ipv4_is_reached_over_ipv6(void **state)
{
    struct relay *r = *state;
    link_rig_ask(&r->rig, "ws://six.invalid:%d", r->port);
    assert_int_equal(link_rig_run(&r->rig), ERR_NONE);
    assert_int_equal(r->rig.result.family, FAMILY_IPV6);
    r->rig.request.ipv4_first = true;
    r->rig.request.race_delay_ms = 3000;
    assert_int_equal(link_rig_run(&r->rig), ERR_NONE);
    assert_int_equal(r->rig.result.family, FAMILY_IPV6);
    assert_string_equal(r->rig.result.tries[0].text, "name: no IPv4 address");
    assert_true(r->rig.took_ms < 1000);
}

static void a_name_with_both_goes_by_the_family_asked_for(void **state)
{
    struct relay *r = *state;
    for (int i = 0; i < 6; i++) { /* what was learned for one family is not used for the other */
        enum family f = i % 2 ? FAMILY_IPV6 : FAMILY_IPV4;
        link_rig_ask(&r->rig, "ws://both.invalid:%d", r->port);
        r->rig.request.mode = i % 2 ? MODE_IPV6 : MODE_IPV4;
        assert_int_equal(link_rig_run(&r->rig), ERR_NONE);
        assert_int_equal(r->rig.result.family, f);
        assert_string_equal(r->rig.result.tries[0].address, i % 2 ? "::1" : "127.0.0.1");
    }
    assert_int_equal(r->ipv4.upgraded, 3);
    assert_int_equal(r->ipv6.upgraded, 3);
}

static void a_name_that_does_not_exist_is_told_for_each_family(void **state)
{
    struct relay *r = *state;
    link_rig_ask(&r->rig, "ws://none.invalid");
    r->rig.request.race_delay_ms = 3000;
    assert_int_equal(link_rig_run(&r->rig), ERR_UNREACHABLE);
    assert_string_equal(r->rig.result.tries[0].text, "name: no IPv6 address");
    assert_string_equal(r->rig.result.tries[1].text, "name: no IPv4 address");
    assert_true(r->rig.took_ms < 1000);
}

static void on_never(void *arg, const struct link_result *result)
{
    (void)arg;
    (void)result;
    fail_msg("a cancelled opening was told");
}

/* Neither the deadline nor cancelling waits for the thread that resolves. */
static void a_resolver_that_hangs_holds_nobody_up(void **state)
{
    struct relay *r = *state;
    int fds = count_fds();
    link_rig_ask(&r->rig, "ws://slow.invalid");
    r->rig.request.race_delay_ms = 50;
    r->rig.request.timeout_ms = 200;
    assert_int_equal(link_rig_run(&r->rig), ERR_TIMEOUT);
    assert_string_equal(r->rig.result.tries[0].text, "name: timeout after 200 ms");
    assert_true(r->rig.took_ms < 1000);
    struct link_open *o = link_open(r->rig.dialer, &r->rig.request, on_never, NULL);
    link_rig_turn(&r->rig, 20);
    uint64_t start_ms = clock_boot_ms();
    link_cancel(o);
    assert_true(clock_boot_ms() - start_ms < 500);
    for (int i = atomic_load(&questions); i > 0; i--)
        (void)sem_post(&slow_may_go);
    for (int i = atomic_load(&questions); i > 0; i--)
        (void)sem_wait(&slow_has_gone);
    for (int i = 0; i < 500 && count_fds() > fds; i++)
        link_rig_turn(&r->rig, 10); /* the threads close what they held */
}

static void on_names(void *arg, const struct names_result *r)
{
    *(struct names_result *)arg = *r;
}

static void addresses_are_told_for_the_log(void **state)
{
    struct relay *r = *state;
    static const struct {
        const char *name, *aaaa, *a;
    } rows[] = {{"both.invalid", "::1", "127.0.0.1"},
                {"four.invalid", "", "127.0.0.1"},
                {"six.invalid", "::1", ""},
                {"none.invalid", "", ""}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct names_result result = {0};
        assert_non_null(names_look(&r->rig.loop, ROUTE_DIRECT, rows[i].name, on_names, &result));
        for (int k = 0; k < 500 && result.ipv6.us * result.ipv4.us == 0; k++)
            link_rig_turn(&r->rig, 10);
        assert_int_equal(result.ipv6.len, rows[i].aaaa[0] != '\0');
        assert_int_equal(result.ipv4.len, rows[i].a[0] != '\0');
        assert_string_equal(result.ipv6.addresses[0], rows[i].aaaa);
        assert_string_equal(result.ipv4.addresses[0], rows[i].a);
        assert_int_equal(result.ipv6.why[0] == '\0', rows[i].aaaa[0] != '\0');
        assert_int_equal(result.ipv4.why[0] == '\0', rows[i].a[0] != '\0');
    }
}

static void route_tor_asks_no_resolver(void **state)
{
    struct relay *r = *state;
    static struct link_server tor;
    static const char *const names[] = {"four.invalid", "both.invalid", "six.invalid", "192.0.2.1"};
    struct link_server_options o = {.address = "127.0.0.1", .socks = true};
    assert_true(link_server_start(&tor, &r->rig.loop, &o));
    (void)snprintf(r->rig.ports.any, SOCKS_ADDRESS_SIZE, "127.0.0.1:%d", tor.port);
    assert_int_equal(setenv("NO_PROXY", "*", 1), 0);
    for (size_t i = 0; i < COUNT_OF(names) * 2; i++) {
        link_rig_ask(&r->rig, "ws://%s:%d", names[i / 2], r->port);
        r->rig.request.route = ROUTE_TOR;
        r->rig.request.socks = &r->rig.ports;
        (void)snprintf(r->rig.ports.ipv6, SOCKS_ADDRESS_SIZE, "%s", i % 2 ? "127.0.0.1:1" : "");
        (void)snprintf(r->rig.ports.ipv4, SOCKS_ADDRESS_SIZE, "%s", i % 2 ? "127.0.0.1:1" : "");
        assert_int_equal(link_rig_run(&r->rig), i % 2 ? ERR_UNREACHABLE : ERR_NONE);
    }
    assert_int_equal(unsetenv("NO_PROXY"), 0);
    assert_int_equal(atomic_load(&questions), 0);
    assert_int_equal(r->ipv4.accepted + r->ipv6.accepted, 0);
    link_server_stop(&tor);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_name_without_ipv6_is_reached_over_ipv4_at_once),
        TEST(a_name_without_ipv4_is_reached_over_ipv6),
        TEST(a_name_with_both_goes_by_the_family_asked_for),
        TEST(a_name_that_does_not_exist_is_told_for_each_family),
        TEST(a_resolver_that_hangs_holds_nobody_up),
        TEST(addresses_are_told_for_the_log),
        TEST(route_tor_asks_no_resolver),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
