/* When a publisher is well, and where a service of this machine is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl/health.h"

#include <stdio.h>
#include <string.h>

#define TOR    (1u << ROUTE_TOR)
#define DIRECT (1u << ROUTE_DIRECT)

static const struct publisher_row {
    const char *name;
    uint32_t routes;
    struct {
        enum route route;
        const char *publisher;
        bool retired;
    } lanes[3];
    size_t lanes_len;
    bool well;
    const char *line;
} publisher_rows[] = {
    {"no relays at all", TOR, {{0}}, 0, true, "the queue answers; 0 of 0 relays are ours"},
    {"some ours, some another's",
     TOR,
     {{ROUTE_TOR, "here:1", false}, {ROUTE_TOR, "there:1", false}},
     2,
     true,
     "the queue answers; 1 of 2 relays are ours"},
    {"more publishers than relays",
     TOR,
     {{ROUTE_TOR, "there:1", false}},
     1,
     true,
     "the queue answers; 0 of 1 relays are ours"},
    {"a name that begins as ours",
     TOR,
     {{ROUTE_TOR, "here2:1", false}},
     1,
     true,
     "the queue answers; 0 of 1 relays are ours"},
    {"a relay that nobody has",
     TOR,
     {{ROUTE_TOR, "here:1", false}, {ROUTE_TOR, "", false}},
     2,
     false,
     "1 of 2 relays have no publisher"},
    {"of another route: not our business",
     TOR,
     {{ROUTE_TOR, "here:1", false}, {ROUTE_DIRECT, "", false}},
     2,
     true,
     "the queue answers; 1 of 1 relays are ours"},
    {"of either route: our business",
     TOR | DIRECT,
     {{ROUTE_TOR, "here:1", false}, {ROUTE_DIRECT, "", false}},
     2,
     false,
     "1 of 2 relays have no publisher"},
    {"retired: nobody's business",
     TOR,
     {{ROUTE_TOR, "here:1", false}, {ROUTE_TOR, "", true}},
     2,
     true,
     "the queue answers; 1 of 1 relays are ours"},
};

static void a_publisher_is_well_when_no_relay_it_serves_is_without_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(publisher_rows); i++) {
        const struct publisher_row *r = &publisher_rows[i];
        struct lane_status lanes[3] = {0};
        char line[HEALTH_LINE_SIZE];
        for (size_t n = 0; n < r->lanes_len; n++) {
            lanes[n].definition.route = r->lanes[n].route;
            lanes[n].retired = r->lanes[n].retired;
            (void)snprintf(lanes[n].publisher, sizeof lanes[n].publisher, "%s",
                           r->lanes[n].publisher);
        }
        const struct queue_depth d = {.lanes = lanes, .lanes_len = r->lanes_len};
        if (health_publisher(&d, "here", r->routes, line) != r->well || strcmp(line, r->line) != 0)
            fail_msg("%s: '%s'", r->name, line);
    }
}

static void who_listens_everywhere_is_asked_on_loopback(void **state)
{
    static const char *const rows[][2] = {
        {"127.0.0.1:7787", "ws://127.0.0.1:7787/healthz"},
        {"0.0.0.0:7787", "ws://127.0.0.1:7787/healthz"},
        {"[::]:80", "ws://[::1]:80/healthz"},
        {"[fd00::1]:80", "ws://[fd00::1]:80/healthz"},
        {"10.0.0.0:80", "ws://10.0.0.0:80/healthz"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char url[128];
        health_url(rows[i][0], "/healthz", url, sizeof url);
        assert_string_equal(url, rows[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_publisher_is_well_when_no_relay_it_serves_is_without_one),
        cmocka_unit_test(who_listens_everywhere_is_asked_on_loopback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
