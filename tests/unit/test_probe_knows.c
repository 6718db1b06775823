/* What the probe keeps between two answers of the queue: counters that only grow, statistics, and
 * what ingest says of itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "probe/health.h"
#include "probe/html.h"
#include "probe/metrics.h"
#include "probe/page.h"

#include <stdlib.h>
#include <string.h>

#define NOW INT64_C(1700000000000)

static struct path_statistics path(enum stat_source source, enum family family, uint32_t attempts,
                                   uint32_t successes)
{
    struct path_statistics p = {.source = source, .route = ROUTE_DIRECT, .family = family};
    p.windows[STAT_DAY].attempts = attempts;
    p.windows[STAT_DAY].successes = successes;
    for (uint32_t i = 0; i < successes; i++) {
        stat_histogram_add(&p.total.phases[STAT_CONNECT], 20000);
        stat_histogram_add(&p.total.phases[STAT_DELIVERED], 400000);
    }
    return p;
}

static uint64_t sum_of(const struct records *r, enum stat_phase phase)
{
    const struct histogram_sum *h = &r->phases[STAT_DELIVERY][ROUTE_DIRECT][FAMILY_IPV6][phase];
    uint64_t sum = 0;
    for (unsigned b = 0; b < STAT_BUCKETS; b++)
        sum += h->counts[b];
    return sum;
}

static void take(struct records *r, uint32_t lane, uint32_t successes, bool first)
{
    const struct path_statistics p = path(STAT_DELIVERY, FAMILY_IPV6, successes, successes);
    records_take(r, &(struct relay_statistics){.lane = lane, .paths = &p, .paths_len = 1}, first);
}

static void histograms_begin_at_zero_and_only_grow(void **state)
{
    (void)state;
    struct records r = {0};
    take(&r, 5, 10, true); /* there before the probe was */
    assert_int_equal(sum_of(&r, STAT_CONNECT), 0);
    take(&r, 5, 13, false);
    assert_int_equal(sum_of(&r, STAT_CONNECT), 3);
    take(&r, 2, 4, false); /* a relay that came later */
    assert_int_equal(sum_of(&r, STAT_CONNECT), 7);
    take(&r, 5, 1, false); /* a store that was put back */
    assert_int_equal(sum_of(&r, STAT_CONNECT), 7);
    const struct lane_status lanes[] = {{.lane = 2}, {.lane = 5, .retired = true}};
    const struct queue_depth d = {.lanes = lanes, .lanes_len = 2};
    records_prune(&r, &d);
    assert_null(records_lane(&r, 5));
    assert_non_null(records_lane(&r, 2));
    assert_non_null(records_path(&r, 2, STAT_DELIVERY, ROUTE_DIRECT, FAMILY_IPV6));
    assert_null(records_path(&r, 2, STAT_PROBE, ROUTE_DIRECT, FAMILY_IPV6));
    assert_int_equal(sum_of(&r, STAT_CONNECT), 7); /* counters outlive their lane */
    records_fini(&r);
}

static void records_are_found_in_whatever_order_they_came(void **state)
{
    (void)state;
    struct records r = {0};
    for (uint32_t i = 0; i < 50; i++)
        take(&r, (i * 37) % 50 + 1, i, true);
    for (uint32_t lane = 1; lane <= 50; lane++)
        assert_int_equal(records_lane(&r, lane)->lane, lane);
    assert_null(records_lane(&r, 51));
    records_fini(&r);
}

static void rows_that_appear_are_counted_lane_by_lane(void **state)
{
    (void)state;
    struct snapshot s = {0};
    const struct lane_status first[] = {{.lane = 1, .failed = 5}, {.lane = 2, .skipped = 1}};
    const struct lane_status second[] = {{.lane = 1, .failed = 7, .expired = 3},
                                         {.lane = 3, .failed = 2}};
    const struct lane_status third[] = {{.lane = 1, .failed = 1}, {.lane = 3, .failed = 2}};
    snapshot_take(&s, &(struct queue_depth){.lanes = first, .lanes_len = 2}, 1);
    assert_int_equal(s.counts[0].failed, 0);
    snapshot_take(&s, &(struct queue_depth){.lanes = second, .lanes_len = 2}, 2);
    assert_int_equal(s.counts[0].failed, 2);
    assert_int_equal(s.counts[0].expired, 3);
    assert_int_equal(s.counts[1].failed, 2); /* a new lane's are all new */
    snapshot_take(&s, &(struct queue_depth){.lanes = third, .lanes_len = 2}, 3);
    assert_int_equal(s.counts[0].failed, 2); /* some were replayed */
    snapshot_fini(&s);
}

static const struct health_row {
    const char *answer;
    bool well;
    const char *text;
} health_rows[] = {
    {"HTTP/1.1 200 OK\r\nX: y\r\n\r\nok\n", true, "takes events"},
    {"HTTP/1.1 503 Service Unavailable\r\n\r\nthe queue is full\n", false, "the queue is full"},
    {"HTTP/1.1 503 No\r\n\r\n\x1b[31mred\n", false, "?[31mred"},
    {"HTTP/1.1 503 No\r\n\r\n", false, "does not answer as it should"},
    {"HTTP/1.1 200 OK\r\n", false, "does not answer as it should"},
    {"SSH-2.0-OpenSSH\r\n\r\n", false, "does not answer as it should"},
    {"", false, "does not answer as it should"},
};

static void ingest_is_believed_when_it_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(health_rows); i++) {
        const struct health_row *row = &health_rows[i];
        struct service_state s = {.configured = true};
        health_read(row->answer, strlen(row->answer), &s);
        assert_true(s.known);
        assert_int_equal(s.well, row->well);
        assert_int_equal(s.heard_ms != 0, row->well);
        assert_string_equal(s.text, row->text);
    }
}

static const char *counts_answer(const char *counts, char out[200])
{
    (void)snprintf(out, 200, "HTTP/1.1 200 OK\r\nVolley-Events: %s\r\n\r\nok\n", counts);
    return out;
}

static void what_ingest_counts_is_added_up_over_its_restarts(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "accepted=9 duplicate=5 refused=7 error=0",  /* before we began */
        "accepted=9 duplicate=6 refused=9 error=1",  /* 1, 2, 1 */
        "accepted=1 duplicate=2 refused=10 error=0", /* it began anew: 2, 10, 0 */
        "accepted=1 duplicate=2",                    /* nonsense */
    };
    struct service_state s = {.configured = true};
    char text[200];
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        (void)counts_answer(answers[i], text);
        health_read(text, strlen(text), &s);
    }
    assert_int_equal(s.totals[INGEST_DUPLICATE], 3);
    assert_int_equal(s.totals[INGEST_REFUSED], 12);
    assert_int_equal(s.totals[INGEST_ERROR], 1);
}

static char *shown(const struct knowledge *k, void (*write)(const struct knowledge *k, FILE *out))
{
    struct html_stream s;
    html_open(&s);
    write(k, s.out);
    html_close(&s);
    return s.text;
}

static void write_page(const struct knowledge *k, FILE *out)
{
    const struct page_look look = {.now_ms = 5000, .window = PAGE_WINDOW};
    page_sections(k, &look, out);
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("no '%s' in:\n%s", part, text);
}

static void statistics_are_shown(void **state)
{
    (void)state;
    struct knowledge k = {.trouble = "", .tor_wanted = true, .tor_known = true};
    const struct lane_status lane = {.lane = 1,
                                     .definition = {.url = "wss://r.example"},
                                     .live = {.state = LANE_OPEN, .since_ms = NOW}};
    struct path_statistics paths[] = {
        path(STAT_DELIVERY, FAMILY_IPV6, 9, 8), path(STAT_DELIVERY, FAMILY_IPV4, 2, 1),
        path(STAT_PROBE, FAMILY_IPV6, 4, 3), path(STAT_PROBE, FAMILY_IPV4, 4, 0)};
    paths[0].windows[STAT_DAY].phases[STAT_DELIVERED] =
        (struct stat_latency){.count = 8, .p50_us = 41000, .p99_us = 1250000};
    paths[2].last = (struct stat_last){.at_ms = NOW - 60000, .ok = true};
    paths[2].last.phases_us[STAT_CONNECT] = 23000;
    paths[3].last = (struct stat_last){.at_ms = NOW - 60000, .why = STAT_NO_ADDRESS};
    snapshot_take(&k.snapshot, &(struct queue_depth){.now_ms = NOW, .lanes = &lane, .lanes_len = 1},
                  5000);
    records_take(&k.records, &(struct relay_statistics){.lane = 1, .paths = paths, .paths_len = 4},
                 true);
    k.tor.state = CONTROL_BOOTSTRAPPING;
    k.tor.percent = 45;
    (void)snprintf(k.tor.problem, sizeof k.tor.problem, "No <route>");
    char *text = shown(&k, write_page);
    assert_has(text, "v6 8/9, v4 1/2 in 24h");
    assert_has(text, "41 ms <span class=\"note\">/ 1250 ms</span>");
    assert_has(text, "probe, ipv6 by direct: <span class=\"good\">ok, 23 ms");
    assert_has(text, "3 of 4 in 24h");
    assert_has(text, "probe, ipv4 by direct: <span class=\"bad\">no address of this family");
    assert_has(text, "Tor: bootstrapped 45 %: No &lt;route&gt;");
    free(text);
    text = shown(&k, metrics_relays);
    assert_has(text, "volley_probe_success_ratio{relay=\"wss://r.example\",route=\"direct\","
                     "family=\"ipv6\"} 0.7500\n");
    assert_has(text, "family=\"ipv4\"} 0.0000\n");
    free(text);
    paths[0] = path(STAT_DELIVERY, FAMILY_IPV6, 11, 10);
    records_take(&k.records, &(struct relay_statistics){.lane = 1, .paths = paths, .paths_len = 1},
                 false);
    text = shown(&k, metrics_all);
    assert_has(text, "volley_delivery_seconds_count 2\n");
    assert_has(text, "volley_delivery_seconds_sum 0.800000\n");
    assert_has(text, "volley_delivery_seconds_bucket{le=\"+Inf\"} 2\n");
    assert_has(text,
               "volley_connect_seconds_count{route=\"direct\",family=\"ipv6\",phase=\"connect\"}"
               " 2\n");
    free(text);
    knowledge_fini(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histograms_begin_at_zero_and_only_grow),
        cmocka_unit_test(records_are_found_in_whatever_order_they_came),
        cmocka_unit_test(rows_that_appear_are_counted_lane_by_lane),
        cmocka_unit_test(ingest_is_believed_when_it_answers),
        cmocka_unit_test(what_ingest_counts_is_added_up_over_its_restarts),
        cmocka_unit_test(statistics_are_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
