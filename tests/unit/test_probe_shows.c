/* What the probe makes of the queue's answers: counters and rates, health, pages, metrics,
 * properties. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "probe/html.h"
#include "probe/meter.h"
#include "probe/metrics.h"
#include "probe/page_internal.h"
#include "probe/properties.h"
#include "probe/vitals.h"

#include <stdlib.h>
#include <string.h>

#define NOW INT64_C(1700000000000)
#define S   1000

/* ---- what is counted ---- */

static struct path_stat path(uint64_t attempts, uint64_t successes)
{
    return (struct path_stat){.route = ROUTE_DIRECT,
                              .family = FAMILY_IPV6,
                              .attempts = attempts,
                              .successes = successes,
                              .failures = attempts - successes};
}

static void counters_only_grow_whatever_becomes_of_lanes(void **state)
{
    (void)state;
    struct path_stat old = path(4, 3), now = path(9, 5);
    const struct lane_status first[] = {
        {.lane = 1, .delivered = 100, .failed = 7, .paths = &old, .paths_len = 1},
        {.lane = 3, .delivered = 50}};
    const struct lane_status second[] = {
        {.lane = 1, .delivered = 110, .failed = 2, .paths = &now, .paths_len = 1},
        {.lane = 4, .delivered = 5, .failed = 1}}; /* 3 was forgotten, 4 is new */
    const struct queue_depth a = {.head = 500, .lanes = first, .lanes_len = 2};
    const struct queue_depth b = {.head = 520, .lanes = second, .lanes_len = 2};
    struct meter t = {0};
    meter_add(&t, NULL, &a, 100 * S);
    assert_int_equal(t.accepted + t.delivered + t.failed, 0);
    meter_add(&t, &a, &b, 101 * S);
    assert_int_equal(t.accepted, 20);
    assert_int_equal(t.delivered, 15);
    assert_int_equal(t.failed, 1);
    assert_int_equal(t.paths[ROUTE_DIRECT][FAMILY_IPV6].attempts, 5);
    assert_int_equal(t.paths[ROUTE_DIRECT][FAMILY_IPV6].successes, 2);
    meter_add(&t, &b, &a, 102 * S); /* a store that was put back to an older copy */
    assert_int_equal(t.accepted, 20);
}

static void rates_are_those_of_the_last_ten_minutes(void **state)
{
    (void)state;
    struct meter t = {0};
    double rates[METER_SLOTS];
    uint64_t at_ms = 0;
    struct queue_depth before = {0};
    for (uint64_t second = 1000; second <= 2000; second++) {
        /* 30 a second, then none for the last minute */
        struct queue_depth d = {.head = second < 1940 ? second * 30 : 1940 * 30};
        at_ms = second * S;
        meter_add(&t, second > 1000 ? &before : NULL, &d, at_ms);
        before = d;
    }
    meter_rates(&t, at_ms, METER_ACCEPTED, rates);
    assert_true(rates[10] > 29.9 && rates[10] < 30.1);
    assert_true(rates[METER_SLOTS - 10] > 29.9);
    assert_true(rates[METER_SLOTS - 2] == 0);
    meter_rates(&t, at_ms + 3600 * S, METER_ACCEPTED, rates); /* nobody counted for an hour */
    for (size_t i = 0; i < METER_SLOTS; i++)
        assert_true(rates[i] < 0);
    meter_rates(&(struct meter){0}, 5, METER_WAITING, rates); /* just booted */
    assert_true(rates[0] < 0);
}

/* ---- health ---- */

static struct lane_status lane(enum lane_state state, uint64_t depth, int64_t age_ms)
{
    return (struct lane_status){.definition = {.url = "wss://r.example"},
                                .depth = depth,
                                .oldest_ms = depth > 0 ? NOW - age_ms : 0,
                                .live = {.state = state, .since_ms = NOW - 3600 * S}};
}

static const struct vitals_row {
    const char *name;
    struct {
        enum lane_state state;
        uint64_t depth;
        int64_t age_ms;
        bool held, retired;
        uint64_t retrying;
    } lanes[3];
    size_t len;
    const char *why; /* begins so; "ok" when it is well */
} vitals_rows[] = {
    {"nothing configured", {{0}}, 0, "no relays are configured"},
    {"only retired ones", {{LANE_OPEN, 0, 0, .retired = true}}, 1, "no relays are configured"},
    {"idle", {{LANE_IDLE, 0, 0}}, 1, "ok"},
    {"one dead, one well", {{LANE_BACKOFF, 9, 99 * S}, {LANE_OPEN, 1, 0}}, 2, "ok"},
    {"all dead", {{LANE_BACKOFF, 9, 99 * S}, {LANE_BACKOFF, 1, 0}}, 2, "no relay can be reached"},
    {"the last one connects in vain",
     {{LANE_BACKOFF, 9, 99 * S}, {LANE_CONNECTING, 1, 99 * S}},
     2,
     "no relay can be reached"},
    {"it has just begun to connect", {{LANE_CONNECTING, 1, S}}, 1, "ok"},
    {"no publisher", {{LANE_UNLEASED, 0, 0}, {LANE_UNLEASED, 1, 0}}, 2, "no publisher"},
    {"one is held, one dead",
     {{LANE_HELD, 5, 99 * S, .held = true}, {LANE_BACKOFF, 5, 9 * S}},
     2,
     "no relay can be reached"},
    {"all are held, as somebody wished", {{LANE_HELD, 5, 99 * S, .held = true}}, 1, "ok"},
    {"reached, and takes nothing",
     {{LANE_OPEN, 5, 99 * S}, {LANE_OPEN, 0, 0}},
     2,
     "r.example is reached"},
    {"not for long yet", {{LANE_OPEN, 5, 59 * S}}, 1, "ok"},
    {"all it has waits for a retry", {{LANE_OPEN, 5, 99 * S, .retrying = 5}}, 1, "ok"},
};

static void health_follows_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(vitals_rows); i++) {
        const struct vitals_row *row = &vitals_rows[i];
        struct lane_status lanes[3];
        struct problem why;
        for (size_t n = 0; n < row->len; n++) {
            lanes[n] = lane(row->lanes[n].state, row->lanes[n].depth, row->lanes[n].age_ms);
            lanes[n].held = row->lanes[n].held;
            lanes[n].retired = row->lanes[n].retired;
            lanes[n].retrying = row->lanes[n].retrying;
        }
        const struct queue_depth d = {.now_ms = NOW, .lanes = lanes, .lanes_len = row->len};
        bool well = vitals_judge(&d, false, &why);
        if (well != (strcmp(row->why, "ok") == 0) ||
            strncmp(why.text, row->why, strlen(row->why)) != 0)
            fail_msg("%s: %s", row->name, why.text);
        assert_false(vitals_judge(&d, true, &why));
    }
    assert_false(vitals_judge(NULL, false, &(struct problem){{0}}));
}

/* ---- pages ---- */

static char *closed(struct html_stream *s)
{
    html_close(s);
    return s->text;
}

static void text_from_outside_is_never_markup(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"plain", "plain"},
        {"<script>alert('x')</script>", "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"},
        {"\" onload=\"x", "&quot; onload=&quot;x"},
        {"a & b &lt;", "a &amp; b &amp;lt;"},
        {"\x1b[31mred\n\tx", "?[31mred??x"},
        {"bad \xff\xfe utf-8 \xc3", "bad ?? utf-8 ?"},
        {"turn \xe2\x80\xae around", "turn ? around"},
        {"\xf0\x9f\x94\xab ok \xc3\xa4", "\xf0\x9f\x94\xab ok \xc3\xa4"},
        {"", ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct html_stream s;
        html_open(&s);
        html_text(s.out, rows[i][0]);
        char *text = closed(&s);
        assert_string_equal(text, rows[i][1]);
        free(text);
    }
    struct html_stream s;
    html_open(&s);
    html_query(s.out, "wss://a.example/?b=c&d=\"<>\xc3\xa4+ %");
    char *text = closed(&s);
    assert_string_equal(text, "wss%3A%2F%2Fa.example%2F%3Fb%3Dc%26d%3D%22%3C%3E%C3%A4%2B%20%25");
    free(text);
}

#define EVIL "<b onclick=\"x\">&'evil"

static struct knowledge evil_knowledge(void)
{
    struct knowledge k = {.trouble = ""};
    struct path_stat p = path(4, 1);
    struct lane_status lanes[2] = {lane(LANE_OPEN, 3, 5 * S), lane(LANE_IDLE, 0, 0)};
    for (size_t i = 0; i < 2; i++) {
        lanes[i].lane = (uint32_t)i + 1;
        (void)snprintf(lanes[i].definition.name, RELAY_NAME_SIZE, EVIL);
        (void)snprintf(lanes[i].definition.url, URL_SIZE, "wss://r%zu.example/?a=\"\\\n" EVIL, i);
        (void)snprintf(lanes[i].live.last_error, QUEUE_TEXT_SIZE, EVIL);
        (void)snprintf(lanes[i].publisher, PUBLISHER_NAME_SIZE, EVIL);
        lanes[i].paths = &p;
        lanes[i].paths_len = 1;
    }
    lanes[0].failed = 2;
    const struct queue_depth d = {
        .now_ms = NOW, .head = 7, .max_bytes = 1 << 20, .lanes = lanes, .lanes_len = 2};
    snapshot_take(&k.snapshot, &d, 100 * S);
    meter_add(&k.meter, NULL, &d, 100 * S);
    const struct failed_group g = {.lane = 1, .cls = CLASS_BLOCKED, .count = 2};
    groups_add(&k.groups, &(struct failed_page){.groups = &g, .groups_len = 1});
    k.counted = true;
    k.samples[0] = (struct failed_sample){.lane = 1, .cls = CLASS_BLOCKED, .text = EVIL};
    k.samples_len = 1;
    k.jobs = mem_zero(1, sizeof *k.jobs);
    k.jobs_len = 1;
    k.jobs[0] = (struct replay_job){.number = 3, .total = 2, .text = EVIL, .by = EVIL};
    return k;
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("no '%s' in:\n%s", part, text);
}

static void the_dashboard_shows_all_of_it_as_text(void **state)
{
    (void)state;
    struct knowledge k = evil_knowledge();
    const struct page_look look = {.now_ms = 101 * S, .admin = true, .window = PAGE_WINDOW};
    struct html_stream s;
    html_open(&s);
    page_dashboard(&k, &look, s.out);
    char *text = closed(&s);
    assert_null(strstr(text, "<b "));
    assert_null(strstr(text, "style="));
    assert_null(strstr(text, "onclick=\""));
    assert_has(text, "<dd id=\"total-waiting\"><data value=\"3\">3</data>");
    assert_has(text, "<dd id=\"total-accepted\"><data value=\"7\">7</data>");
    assert_has(text, "last error: &lt;b onclick=&quot;x&quot;&gt;&amp;&#39;evil</span>");
    assert_has(text, "v6 1/4, v4 0/0 since it began<");
    assert_has(text, "class=blocked&amp;act=replay\">replay<span class=\"quiet\"> &lt;b onclick=");
    assert_has(text, "role=\"status\">events are being delivered, but not all of them everywhere");
    assert_has(text, "<a class=\"bad\" href=\"#failed\">2 failed deliveries</a>");
    assert_has(text, "<li>publisher &lt;b");
    assert_has(text, ": has 2 relays</li>");
    free(text);
    k.silent = true;
    k.trouble = "another version";
    html_open(&s);
    page_sections(&k, &(struct page_look){.now_ms = 131 * S}, s.out);
    text = closed(&s);
    assert_has(text, "role=\"alert\">the queue does not answer: another version");
    assert_has(text, ", 31s ago");
    assert_null(strstr(text, "/act?"));
    free(text);
    knowledge_fini(&k);
}

/* ---- metrics ---- */

static void metrics_begin_at_zero_and_escape_labels(void **state)
{
    (void)state;
    struct knowledge k = evil_knowledge();
    struct html_stream s;
    html_open(&s);
    metrics_relays(&k, s.out);
    char *text = closed(&s);
    assert_has(text,
               "volley_queue_depth{relay=\"wss://r0.example/?a=\\\"\\\\\\n<b onclick=\\\"x\\\""
               ">&'evil\"} 3\n");
    assert_has(text, "class=\"blocked\"} 2\n");
    assert_has(text, "class=\"timeout\"} 0\n");
    assert_has(text, "volley_queue_oldest_timestamp_seconds{relay=\"wss://r0");
    assert_has(text, "} 1699999995.000\n");
    assert_has(text, "} 0.000\n");
    assert_has(text, "route=\"direct\",family=\"ipv6\",result=\"failure\"} 3\n");
    free(text);
    html_open(&s);
    metrics_all(&k, s.out);
    text = closed(&s);
    assert_has(text, "\nvolley_queue_up 1\n");
    assert_has(text, "\nvolley_deliveries_total{outcome=\"delivered\"} 0\n");
    assert_has(text, "\nvolley_failed{class=\"blocked\"} 2\n");
    assert_has(text, "\nvolley_relays{state=\"open\"} 1\n");
    assert_has(text, "\nvolley_replay_jobs{state=\"collecting\"} 1\n");
    /* Through Tor a family may be unknown (one SOCKS port), or an onion service's: they count. */
    static const char *const ways[] = {
        "route=\"tor\",family=\"-\"", "route=\"tor\",family=\"onion\"",
        "route=\"tor\",family=\"ipv6\"", "route=\"direct\",family=\"ipv4\""};
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        char row[128];
        (void)snprintf(row, sizeof row, "\nvolley_connect_total{%s,result=\"failure\"} 0\n",
                       ways[i]);
        assert_has(text, row);
        (void)snprintf(row, sizeof row, "\nvolley_connect_seconds_count{%s,phase=\"connect\"} 0\n",
                       ways[i]);
        assert_has(text, row);
    }
    assert_null(strstr(text, "route=\"direct\",family=\"-\""));
    assert_null(strstr(text, "route=\"direct\",family=\"onion\""));
    free(text);
    k.silent = true;
    html_open(&s);
    metrics_all(&k, s.out);
    metrics_relays(&k, s.out);
    text = closed(&s);
    assert_has(text, "\nvolley_queue_up 0\n");
    assert_null(strstr(text, "volley_queue_depth")); /* what is not known is not told */
    free(text);
    knowledge_fini(&k);
}

/* ---- heartbeats ---- */

static const struct beat_row {
    const char *name;
    uint64_t every_ms;
    struct heartbeat h;
    const char *page;               /* of its line; NULL: there is none */
    const char *ingest, *publisher; /* metrics; NULL: no such row */
} beat_rows[] = {
    {"not posted", 0, {0}, NULL, NULL, "1"},
    {"none yet", 30 * S, {0}, "<li class=\"dim\">heartbeat: none has come yet<", "0.000", "0.000"},
    {"through",
     30 * S,
     {4, NOW - 20 * S, 4, NOW - 20 * S + 150},
     "<li class=\"good\">heartbeat: the last one went through in 0.15 s, 19s ago<",
     "1699999980.000",
     "1699999980.150"},
    {"on its way",
     30 * S,
     {5, NOW - 1 * S, 4, NOW - 31 * S},
     "<li class=\"good\">heartbeat: the last one has been in the queue for 1s and no publisher",
     "1699999999.000",
     "1699999969.000"},
    {"stuck in the queue",
     30 * S,
     {9, NOW - 10 * S, 4, NOW - 120 * S},
     "<li class=\"bad\">heartbeat: the last one has been in the queue for 10s and no publisher",
     "1699999990.000",
     "1699999880.000"},
    {"none comes any more",
     30 * S,
     {4, NOW - 120 * S, 4, NOW - 120 * S},
     "<li class=\"bad\">heartbeat: the last one went through in 0.00 s, 2m ago<",
     "1699999880.000",
     "1699999880.000"},
};

static void assert_beat(const char *text, const char *service, const char *value)
{
    char begin[80];
    (void)snprintf(begin, sizeof begin, "\nvolley_heartbeat_timestamp_seconds{service=\"%s\"} %s",
                   service, value != NULL ? value : "");
    if ((strstr(text, begin) != NULL) != (value != NULL))
        fail_msg("%s in %s", begin, text);
}

static void heartbeats_are_shown_as_far_as_they_came(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(beat_rows); i++) {
        const struct beat_row *row = &beat_rows[i];
        struct knowledge k = evil_knowledge();
        struct html_stream s;
        k.beat_every_ms = row->every_ms;
        k.snapshot.depth.heartbeat = row->h;
        html_open(&s);
        page_services(&k, &(struct page_look){0}, s.out);
        char *text = closed(&s);
        if (row->page != NULL ? strstr(text, row->page) == NULL : strstr(text, "heartbeat") != NULL)
            fail_msg("%s: %s", row->name, text);
        free(text);
        html_open(&s);
        metrics_all(&k, s.out);
        text = closed(&s);
        assert_beat(text, "ingest", row->ingest);
        assert_beat(text, "publisher", row->publisher);
        free(text);
        knowledge_fini(&k);
    }
}

/* ---- properties ---- */

static void properties_are_strings_for_start9(void **state)
{
    (void)state;
    struct knowledge k = evil_knowledge();
    const char *const ingest[] = {"127.0.0.1:7787", "[::1]:7787", NULL}, *const none[] = {NULL};
    const struct property_links links = {.ingest = ingest, .probe = none};
    struct html_stream s;
    html_open(&s);
    properties_yaml(&k, &links, s.out);
    char *text = closed(&s);
    assert_int_equal(strncmp(text, "version: 2\ndata:\n  \"Health\":\n    type: string\n", 46), 0);
    assert_has(text, "    value: \"1 idle, 1 open\"\n");
    assert_has(text, "    value: \"2 of 8 connections went well (75 % failed)\"\n");
    assert_has(text,
               "  \"Post events to (2)\":\n    type: string\n    value: \"ws://[::1]:7787\"\n");
    assert_has(text, "    copyable: true\n");
    free(text);
    knowledge_fini(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_only_grow_whatever_becomes_of_lanes),
        cmocka_unit_test(rates_are_those_of_the_last_ten_minutes),
        cmocka_unit_test(health_follows_the_table),
        cmocka_unit_test(text_from_outside_is_never_markup),
        cmocka_unit_test(the_dashboard_shows_all_of_it_as_text),
        cmocka_unit_test(metrics_begin_at_zero_and_escape_labels),
        cmocka_unit_test(heartbeats_are_shown_as_far_as_they_came),
        cmocka_unit_test(properties_are_strings_for_start9),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
