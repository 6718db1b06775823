/* What the publisher would use, and why: one line for each situation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "probe/would.h"

#include <stdio.h>
#include <string.h>

#define NOW_MS 1700000000000
#define NAME   "wss://r.example"
#define ONION  "ws://pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"

static const struct socks_ports three = {"any", "six", "four"}, any = {"any", "", ""};
static const struct learned nothing = {0}, quick = {.ipv6_connect_ms = 400},
                            resting = {.ipv6_failures = 3,
                                       .ipv6_connect_ms = 2000,
                                       .demoted_until_ms = NOW_MS + 600000},
                            rested = {.ipv6_failures = 3, .demoted_until_ms = NOW_MS - 1},
                            jumped = {.demoted_until_ms = NOW_MS * 2};

static const struct {
    const char *url;
    enum route route;
    enum family_mode mode;
    const struct socks_ports *socks;
    const struct learned *learned;
    int ipv6_ms, ipv4_ms; /* what was just tried: 0 not, -1 failed */
    enum family first, family;
    uint32_t head_start_ms;
    const char *why; /* all of it */
} rows[] = {
    {NAME, ROUTE_DIRECT, MODE_AUTO, NULL, &nothing, 50, 20, FAMILY_IPV6, FAMILY_IPV6, 300,
     "IPv6 first, IPv4 after 300 ms"},
    {NAME, ROUTE_DIRECT, MODE_AUTO, NULL, NULL, 50, 20, FAMILY_IPV6, FAMILY_IPV6, 300,
     "IPv6 first, IPv4 after 300 ms"},
    {NAME, ROUTE_DIRECT, MODE_AUTO, NULL, &nothing, 400, 20, FAMILY_IPV6, FAMILY_IPV4, 300,
     "IPv6 first, IPv4 after 300 ms; IPv6 was too slow just now"},
    {NAME, ROUTE_DIRECT, MODE_AUTO, NULL, &nothing, -1, 20, FAMILY_IPV6, FAMILY_IPV4, 300,
     "IPv6 first, IPv4 after 300 ms; IPv6 failed just now"},
    {NAME, ROUTE_DIRECT, MODE_AUTO, NULL, &nothing, 50, -1, FAMILY_IPV6, FAMILY_IPV6, 300,
     "IPv6 first, IPv4 after 300 ms"},
    {NAME, ROUTE_DIRECT, MODE_AUTO, NULL, &nothing, -1, -1, FAMILY_IPV6, FAMILY_NONE, 300,
     "IPv6 first, IPv4 after 300 ms; both failed just now"},
    {NAME, ROUTE_DIRECT, MODE_AUTO, NULL, &nothing, 0, 0, FAMILY_IPV6, FAMILY_NONE, 300,
     "IPv6 first, IPv4 after 300 ms"},
    {NAME, ROUTE_DIRECT, MODE_IPV4, NULL, &nothing, 50, 20, FAMILY_IPV4, FAMILY_IPV4, 0,
     "IPv4 alone, as configured"},
    {NAME, ROUTE_DIRECT, MODE_IPV6, NULL, &nothing, -1, 20, FAMILY_IPV6, FAMILY_NONE, 0,
     "IPv6 alone, as configured; it failed just now"},
    {"ws://192.0.2.1", ROUTE_DIRECT, MODE_AUTO, NULL, NULL, 0, 20, FAMILY_IPV4, FAMILY_IPV4, 0,
     "the address says so"},
    {"ws://192.0.2.1", ROUTE_DIRECT, MODE_AUTO, NULL, NULL, 0, -1, FAMILY_IPV4, FAMILY_NONE, 0,
     "the address says so; it failed just now"},
    {"ws://[2001:db8::1]", ROUTE_TOR, MODE_AUTO, &three, NULL, 20, 0, FAMILY_IPV6, FAMILY_IPV6, 0,
     "the address says so"},

    {NAME, ROUTE_TOR, MODE_AUTO, &three, &nothing, 420, 20, FAMILY_IPV6, FAMILY_IPV6, 300,
     "IPv6 first, IPv4 after 300 ms: nothing learned yet"},
    {NAME, ROUTE_TOR, MODE_AUTO, &three, NULL, 421, 20, FAMILY_IPV6, FAMILY_IPV4, 300,
     "IPv6 first, IPv4 after 300 ms; IPv6 was too slow just now"},
    {NAME, ROUTE_TOR, MODE_AUTO, &three, &quick, 415, 20, FAMILY_IPV6, FAMILY_IPV6, 600,
     "IPv6 first, IPv4 after 600 ms: IPv6 lately took 400 ms"},
    {NAME, ROUTE_TOR, MODE_AUTO, &three, &resting, 415, 20, FAMILY_IPV4, FAMILY_IPV4, 300,
     "IPv4 first: it won 3 times in a row; IPv6 again in 10m"},
    {NAME, ROUTE_TOR, MODE_AUTO, &three, &resting, 415, -1, FAMILY_IPV4, FAMILY_IPV6, 300,
     "IPv4 first: it won 3 times in a row; IPv6 again in 10m; IPv4 failed just now"},
    {NAME, ROUTE_DIRECT, MODE_AUTO, NULL, &resting, 15, 20, FAMILY_IPV4, FAMILY_IPV4, 300,
     "IPv4 first: it won 3 times in a row; IPv6 again in 10m"},
    {NAME, ROUTE_TOR, MODE_AUTO, &three, &rested, 320, 20, FAMILY_IPV6, FAMILY_IPV6, 300,
     "IPv6 first, IPv4 after 300 ms: nothing learned yet"},
    {NAME, ROUTE_TOR, MODE_AUTO, &three, &rested, 321, 20, FAMILY_IPV6, FAMILY_IPV4, 300,
     "IPv6 first, IPv4 after 300 ms: nothing learned yet; IPv6 was too slow just now"},
    {NAME, ROUTE_TOR, MODE_AUTO, &three, &jumped, 50, 20, FAMILY_IPV6, FAMILY_IPV6, 300,
     "IPv6 first, IPv4 after 300 ms: nothing learned yet"},
    {NAME, ROUTE_TOR, MODE_AUTO, &any, &quick, 0, 0, FAMILY_NONE, FAMILY_NONE, 0,
     "not known: tor.socks names one port for both families"},
    {ONION, ROUTE_TOR, MODE_IPV6, &three, NULL, 0, 0, FAMILY_ONION, FAMILY_ONION, 0,
     "an onion service"},
};

static size_t add_act(struct act_result *acts, size_t len, enum family f, int ms)
{
    if (ms == 0)
        return len;
    acts[len] = (struct act_result){.try = {.family = f, .started = true}};
    if (ms < 0)
        acts[len].try.err = ERR_UNREACHABLE;
    else
        acts[len].try.connect_us = (uint64_t)ms * 1000;
    return len + 1;
}

static void each_situation_has_its_word(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct relay_url url;
        struct act_result acts[2];
        struct would w;
        assert_int_equal(relay_url_parse(rows[i].url, &url, NULL), ERR_NONE);
        size_t len = add_act(acts, 0, FAMILY_IPV6, rows[i].ipv6_ms);
        len = add_act(acts, len, FAMILY_IPV4, rows[i].ipv4_ms);
        const struct would_facts f = {.url = &url,
                                      .route = rows[i].route,
                                      .mode = rows[i].mode,
                                      .socks = rows[i].socks,
                                      .demote_after = 3,
                                      .demote_for_ms = 1800000,
                                      .learned = rows[i].learned,
                                      .acts = acts,
                                      .acts_len = len,
                                      .now_ms = NOW_MS};
        would_use(&f, &w);
        if (w.first != rows[i].first || w.family != rows[i].family ||
            w.head_start_ms != rows[i].head_start_ms || strcmp(w.why, rows[i].why) != 0)
            fail_msg("row %zu: first %s, family %s, head start %u, '%s'", i, family_name(w.first),
                     family_name(w.family), w.head_start_ms, w.why);
    }
}

static void a_fixed_head_start_is_said_to_be_one(void **state)
{
    (void)state;
    struct relay_url url;
    struct would w;
    assert_int_equal(relay_url_parse(NAME, &url, NULL), ERR_NONE);
    const struct would_facts f = {.url = &url,
                                  .route = ROUTE_TOR,
                                  .socks = &three,
                                  .race_delay_ms = 1200,
                                  .learned = &quick,
                                  .now_ms = NOW_MS};
    would_use(&f, &w);
    assert_int_equal(w.head_start_ms, 1200);
    assert_string_equal(w.why, "IPv6 first, IPv4 after 1200 ms (publisher.race_delay)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_situation_has_its_word),
        cmocka_unit_test(a_fixed_head_start_is_said_to_be_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
