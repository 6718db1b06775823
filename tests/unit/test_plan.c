/* Which families race, and through which ports: a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/net/plan.h"

#include <stdio.h>
#include <string.h>

#define ONION "ws://pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"
#define NAME  "wss://r.example"
#define IPV6  "ws://[2001:db8::1]"
#define IPV4  "ws://192.0.2.1"

static const struct socks_ports three = {"any", "six", "four"}, any = {"any", "", ""},
                                two = {"", "six", "four"}, six = {"", "six", ""},
                                four = {"", "", "four"}, none = {"", "", ""};

static const struct {
    const char *url;
    enum route route;
    enum family_mode mode;
    const struct socks_ports *socks;
    const char *plan; /* lane=port …, or ! and a part of the reason */
} rows[] = {
    {NAME, ROUTE_DIRECT, MODE_AUTO, NULL, "ipv6=direct ipv4=direct"},
    {NAME, ROUTE_DIRECT, MODE_IPV6, NULL, "ipv6=direct"},
    {NAME, ROUTE_DIRECT, MODE_IPV4, NULL, "ipv4=direct"},
    {NAME, ROUTE_DIRECT, MODE_AUTO, &three, "ipv6=direct ipv4=direct"}, /* not asked for */
    {IPV6, ROUTE_DIRECT, MODE_AUTO, NULL, "ipv6=direct"},
    {IPV4, ROUTE_DIRECT, MODE_AUTO, NULL, "ipv4=direct"},
    {IPV6, ROUTE_DIRECT, MODE_IPV6, NULL, "ipv6=direct"},
    {IPV6, ROUTE_DIRECT, MODE_IPV4, NULL, "!IPv6 address, and family is ipv4"},
    {IPV4, ROUTE_DIRECT, MODE_IPV6, NULL, "!IPv4 address, and family is ipv6"},
    {ONION, ROUTE_DIRECT, MODE_AUTO, NULL, "!route tor only"},
    {ONION, ROUTE_DIRECT, MODE_AUTO, &three, "!route tor only"},

    {NAME, ROUTE_TOR, MODE_AUTO, NULL, "!no SOCKS port"},
    {NAME, ROUTE_TOR, MODE_AUTO, &none, "!no SOCKS port"},
    {IPV4, ROUTE_TOR, MODE_AUTO, NULL, "!no SOCKS port"},
    {ONION, ROUTE_TOR, MODE_AUTO, &none, "!no SOCKS port"},
    {NAME, ROUTE_TOR, MODE_AUTO, &three, "ipv6=six ipv4=four"},
    {NAME, ROUTE_TOR, MODE_AUTO, &two, "ipv6=six ipv4=four"},
    {NAME, ROUTE_TOR, MODE_IPV6, &three, "ipv6=six"},
    {NAME, ROUTE_TOR, MODE_IPV4, &three, "ipv4=four"},
    {NAME, ROUTE_TOR, MODE_AUTO, &six, "ipv6=six"},
    {NAME, ROUTE_TOR, MODE_AUTO, &four, "ipv4=four"},
    {NAME, ROUTE_TOR, MODE_IPV4, &six, "!for this family"},
    {NAME, ROUTE_TOR, MODE_AUTO, &any, "-=any"},
    {NAME, ROUTE_TOR, MODE_IPV6, &any, "!one family alone"},
    {IPV6, ROUTE_TOR, MODE_AUTO, &three, "ipv6=six"},
    {IPV4, ROUTE_TOR, MODE_AUTO, &three, "ipv4=four"},
    {IPV6, ROUTE_TOR, MODE_IPV6, &any, "ipv6=any"},
    {IPV4, ROUTE_TOR, MODE_AUTO, &any, "ipv4=any"},
    {IPV4, ROUTE_TOR, MODE_AUTO, &six, "!its family"},
    {ONION, ROUTE_TOR, MODE_AUTO, &three, "onion=any"},
    {ONION, ROUTE_TOR, MODE_IPV6, &any, "onion=any"},     /* has neither, so no mode forbids it */
    {ONION, ROUTE_TOR, MODE_AUTO, &two, "!port \"any\""}, /* never one for a family */
    {ONION, ROUTE_TOR, MODE_AUTO, &six, "!port \"any\""},

    {"ws://127.0.0.1", ROUTE_TOR, MODE_AUTO, &three, "!route: direct"},
    {"ws://[fd12::1]", ROUTE_TOR, MODE_AUTO, &three, "!route: direct"},
    {"ws://10.1.2.3", ROUTE_TOR, MODE_AUTO, &any, "!route: direct"},
    {"ws://localhost", ROUTE_TOR, MODE_AUTO, &three, "!route: direct"},
    {"ws://relay.localhost", ROUTE_TOR, MODE_IPV4, &three, "!route: direct"},
    {"ws://nas.local", ROUTE_TOR, MODE_AUTO, &three, "!route: direct"},
    {"ws://nas.local", ROUTE_DIRECT, MODE_AUTO, NULL, "ipv6=direct ipv4=direct"},
    {"ws://127.0.0.1", ROUTE_DIRECT, MODE_AUTO, NULL, "ipv4=direct"},
};

static void add_lane(char *out, size_t size, const struct plan *p, enum family lane)
{
    static const char *const names[] = {"-", "ipv6", "ipv4", "onion"};
    const char *port = p->socks[lane] == NULL ? "direct" : p->socks[lane];
    size_t len = strlen(out);
    (void)snprintf(out + len, size - len, "%s%s=%s", len > 0 ? " " : "",
                   names[p->only == FAMILY_COUNT ? lane : p->only], port);
}

static void each_request_gets_its_families_and_ports(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct link_request r = {
            .route = rows[i].route, .mode = rows[i].mode, .socks = rows[i].socks};
        struct plan p;
        char got[200] = "";
        assert_int_equal(relay_url_parse(rows[i].url, &r.url, NULL), ERR_NONE);
        const char *why = plan_families(&r, &p);
        if (why == NULL && p.mode != MODE_IPV4)
            add_lane(got, sizeof got, &p, FAMILY_IPV6);
        if (why == NULL && p.mode != MODE_IPV6)
            add_lane(got, sizeof got, &p, FAMILY_IPV4);
        bool right = why == NULL ? strcmp(got, rows[i].plan) == 0
                                 : rows[i].plan[0] == '!' && strstr(why, rows[i].plan + 1) != NULL;
        if (!right)
            fail_msg("row %zu, %s: %s, not %s", i, rows[i].url, why == NULL ? got : why,
                     rows[i].plan);
    }
}

/* Nothing that route tor plans may go without a port. */
static void route_tor_never_plans_a_direct_lane(void **state)
{
    (void)state;
    static const char *const urls[] = {NAME, IPV6, IPV4, ONION};
    for (size_t i = 0; i < COUNT_OF(urls) * MODE_COUNT * 8; i++) {
        struct socks_ports s = {
            .any = {i & 1 ? 'a' : 0}, .ipv6 = {i & 2 ? 'b' : 0}, .ipv4 = {i & 4 ? 'c' : 0}};
        struct link_request r = {.route = ROUTE_TOR, .socks = &s};
        struct plan p;
        r.mode = (enum family_mode)(i / 8 % MODE_COUNT);
        assert_int_equal(relay_url_parse(urls[i / 8 / MODE_COUNT], &r.url, NULL), ERR_NONE);
        if (plan_families(&r, &p) != NULL)
            continue;
        assert_true(p.mode == MODE_IPV4 || (p.socks[FAMILY_IPV6] && p.socks[FAMILY_IPV6][0]));
        assert_true(p.mode == MODE_IPV6 || (p.socks[FAMILY_IPV4] && p.socks[FAMILY_IPV4][0]));
    }
}

/* A relay's user is the same wherever it is asked for and after any restart, another relay's is
 * another, and neither shows the relay. */
static void the_socks_user_is_the_relay_s_and_stable(void **state)
{
    (void)state;
    static const char *const urls[] = {NAME,
                                       "WSS://R.Example:443/",
                                       "wss://r.example/inbox",
                                       "ws://r.example",
                                       "wss://r.example:444",
                                       "wss://s.example"};
    char users[COUNT_OF(urls)][SOCKS_USER_SIZE];
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        struct relay_url u;
        assert_int_equal(relay_url_parse(urls[i], &u, NULL), ERR_NONE);
        plan_socks_user(&u, users[i]);
        assert_null(strstr(users[i], "example"));
        assert_in_range(strlen(users[i]), 16, 255);
        for (size_t k = 0; k < i; k++)
            assert_int_equal(strcmp(users[i], users[k]) == 0, i == 1 && k == 0);
    }
    assert_string_equal(users[0], "volley-29e1008603b1db64177ae1bf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_request_gets_its_families_and_ports),
        cmocka_unit_test(route_tor_never_plans_a_direct_lane),
        cmocka_unit_test(the_socks_user_is_the_relay_s_and_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
