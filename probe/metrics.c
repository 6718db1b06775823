/* The table first: a metric is written by the function in its row, which is given its name. */
#include "probe/metrics.h"

#include "common/base/clock.h"
#include "ctl/verdict.h"

#include <inttypes.h>
#include <stdlib.h>

struct metric {
    const char *name, *type, *help;
    void (*write)(const char *name, const struct knowledge *k, FILE *out);
    bool silent; /* also when the queue does not answer */
};

static const enum row_class failed_classes[] = {CLASS_BLOCKED, CLASS_RESTRICTED, CLASS_MUTE,
                                                CLASS_INVALID, CLASS_POW,        CLASS_AUTH,
                                                CLASS_REFUSED, CLASS_ERROR,      CLASS_TIMEOUT};

static void put_value(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n')
            (void)fputs("\\n", out);
        else if (*text == '"' || *text == '\\')
            (void)fprintf(out, "\\%c", *text);
        else
            (void)fputc(*text, out);
    }
}

static double seconds(int64_t ms)
{
    return (double)ms / 1000.0;
}

static void plain(const char *name, uint64_t value, FILE *out)
{
    (void)fprintf(out, "%s %" PRIu64 "\n", name, value);
}

/* The label of the relay, open for more: name{relay="wss://…" */
static void relay_open(const char *name, const struct lane_status *l, FILE *out)
{
    (void)fprintf(out, "%s{relay=\"", name);
    put_value(out, l->definition.url);
    (void)fputc('"', out);
}

/* Calls `fn` for each relay that is not retired. */
#define EACH_RELAY(k, l)                                                                           \
    for (const struct lane_status *l = (k)->snapshot.lanes,                                        \
                                  *end_##l = (l) + (k)->snapshot.depth.lanes_len;                  \
         (l) < end_##l; (l)++)                                                                     \
        if (!(l)->retired)

/* ---- all together ---- */

static void queue_up(const char *name, const struct knowledge *k, FILE *out)
{
    plain(name, k->snapshot.known && !k->silent, out);
}

static void ingest_events(const char *name, const struct knowledge *k, FILE *out)
{
    (void)fprintf(out, "%s{result=\"accepted\"} %" PRIu64 "\n", name, k->meter.accepted);
    for (enum ingest_result r = 0; r < INGEST_RESULT_COUNT; r++)
        (void)fprintf(out, "%s{result=\"%s\"} %" PRIu64 "\n", name, ingest_result_name(r),
                      k->ingest.totals[r]);
}

static void waiting_total(const char *name, const struct knowledge *k, FILE *out)
{
    uint64_t sum = 0;
    EACH_RELAY(k, l)
    {
        sum += l->depth;
    }
    plain(name, sum, out);
}

static void oldest_all(const char *name, const struct knowledge *k, FILE *out)
{
    int64_t oldest_ms = 0;
    EACH_RELAY(k, l)
    {
        if (l->oldest_ms != 0 && (oldest_ms == 0 || l->oldest_ms < oldest_ms))
            oldest_ms = l->oldest_ms;
    }
    (void)fprintf(out, "%s %.3f\n", name, seconds(oldest_ms));
}

static void queue_events(const char *name, const struct knowledge *k, FILE *out)
{
    plain(name, k->snapshot.depth.events, out);
}

static void queue_bytes(const char *name, const struct knowledge *k, FILE *out)
{
    plain(name, k->snapshot.depth.bytes, out);
}

static void queue_max_bytes(const char *name, const struct knowledge *k, FILE *out)
{
    plain(name, k->snapshot.depth.max_bytes, out);
}

static void deliveries_all(const char *name, const struct knowledge *k, FILE *out)
{
    (void)fprintf(out, "%s{outcome=\"delivered\"} %" PRIu64 "\n", name, k->meter.delivered);
    (void)fprintf(out, "%s{outcome=\"failed\"} %" PRIu64 "\n", name, k->meter.failed);
}

static void failed_all(const char *name, const struct knowledge *k, FILE *out)
{
    for (size_t i = 0; i < COUNT_OF(failed_classes); i++)
        (void)fprintf(out, "%s{class=\"%s\"} %" PRIu64 "\n", name,
                      row_class_name(failed_classes[i]), knowledge_failed(k, 0, failed_classes[i]));
}

static enum lane_state state_of(const struct lane_status *l)
{
    if (l->held)
        return LANE_HELD;
    return l->live.state == LANE_HELD ? LANE_IDLE : l->live.state;
}

static void relays_by_state(const char *name, const struct knowledge *k, FILE *out)
{
    uint64_t counts[LANE_STATE_COUNT] = {0};
    EACH_RELAY(k, l)
    {
        counts[state_of(l)]++;
    }
    for (enum lane_state s = 0; s < LANE_STATE_COUNT; s++)
        (void)fprintf(out, "%s{state=\"%s\"} %" PRIu64 "\n", name, lane_state_name(s), counts[s]);
}

static void put_path(const char *name, const struct lane_status *l, const struct path_stat *p,
                     FILE *out)
{
    static const char *const results[] = {"success", "failure"};
    const uint64_t values[] = {p->successes, p->failures};

    for (size_t i = 0; i < COUNT_OF(results); i++) {
        if (l != NULL)
            relay_open(name, l, out);
        else
            (void)fprintf(out, "%s{", name);
        (void)fprintf(out, "%sroute=\"%s\",family=\"%s\",result=\"%s\"} %" PRIu64 "\n",
                      l != NULL ? "," : "", route_name(p->route), family_name(p->family),
                      results[i], values[i]);
    }
}

/* Directly a connection is of one of two families. Through Tor it may go to an onion service; and
 * by one SOCKS port for all, nobody knows. */
static bool goes(enum route r, enum family f)
{
    return r == ROUTE_TOR || f == FAMILY_IPV6 || f == FAMILY_IPV4;
}

static void connects_all(const char *name, const struct knowledge *k, FILE *out)
{
    for (enum route r = 0; r < ROUTE_COUNT; r++)
        for (enum family f = 0; f < FAMILY_COUNT; f++) {
            struct path_stat p = k->meter.paths[r][f];
            p.route = r;
            p.family = f;
            if (goes(r, f))
                put_path(name, NULL, &p, out);
        }
}

static void jobs_by_state(const char *name, const struct knowledge *k, FILE *out)
{
    uint64_t counts[JOB_STATE_COUNT] = {0};

    for (size_t i = 0; i < k->jobs_len; i++)
        if (k->jobs[i].state < JOB_STATE_COUNT)
            counts[k->jobs[i].state]++;
    for (enum job_state s = 0; s < JOB_STATE_COUNT; s++)
        (void)fprintf(out, "%s{state=\"%s\"} %" PRIu64 "\n", name, job_state_name(s), counts[s]);
}

static void put_histogram(const char *name, const char *labels, const struct histogram_sum *h,
                          FILE *out)
{
    uint64_t count = 0;

    for (unsigned b = 0; b < STAT_BUCKETS; b++) {
        count += h->counts[b];
        if (b + 1 < STAT_BUCKETS && b % 2 == 1) /* every other bound: each twice the last */
            (void)fprintf(out, "%s_bucket{%s%sle=\"%.6g\"} %" PRIu64 "\n", name, labels,
                          labels[0] != '\0' ? "," : "", (double)stat_bucket_us(b) / 1e6, count);
    }
    (void)fprintf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels,
                  labels[0] != '\0' ? "," : "", count);
    (void)fprintf(out, "%s_sum%s%s%s %.6f\n", name, labels[0] != '\0' ? "{" : "", labels,
                  labels[0] != '\0' ? "}" : "", (double)h->sum_us / 1e6);
    (void)fprintf(out, "%s_count%s%s%s %" PRIu64 "\n", name, labels[0] != '\0' ? "{" : "", labels,
                  labels[0] != '\0' ? "}" : "", count);
}

static void connect_seconds(const char *name, const struct knowledge *k, FILE *out)
{
    char labels[96];

    for (enum route r = 0; r < ROUTE_COUNT; r++)
        for (enum family f = 0; f < FAMILY_COUNT; f++)
            for (enum stat_phase p = STAT_DNS; p <= STAT_WEBSOCKET; p++) {
                if (!goes(r, f) || (p == STAT_DNS && r == ROUTE_TOR))
                    continue; /* names are resolved at the exit */
                (void)snprintf(labels, sizeof labels, "route=\"%s\",family=\"%s\",phase=\"%s\"",
                               route_name(r), family_name(f), stat_phase_name(p));
                put_histogram(name, labels, &k->records.phases[STAT_DELIVERY][r][f][p], out);
            }
}

static void delivery_seconds(const char *name, const struct knowledge *k, FILE *out)
{
    struct histogram_sum all = {0};

    for (enum route r = 0; r < ROUTE_COUNT; r++)
        for (enum family f = 0; f < FAMILY_COUNT; f++) {
            const struct histogram_sum *h = &k->records.phases[STAT_DELIVERY][r][f][STAT_DELIVERED];
            all.sum_us += h->sum_us;
            for (unsigned b = 0; b < STAT_BUCKETS; b++)
                all.counts[b] += h->counts[b];
        }
    put_histogram(name, "", &all, out);
}

/* A publisher is seen as long as it holds some lane. */
static bool is_leased(const struct knowledge *k)
{
    EACH_RELAY(k, l)
    {
        if (l->live.state != LANE_UNLEASED)
            return true;
    }
    return false;
}

static void heartbeats(const char *name, const struct knowledge *k, FILE *out)
{
    int64_t now_ms = clock_wall_ms();
    int64_t answered_ms = k->snapshot.known && !k->silent ? now_ms : 0;
    int64_t leased_ms = is_leased(k) ? answered_ms : 0;
    const struct heartbeat *h = &k->snapshot.depth.heartbeat;
    bool beats = k->beat_every_ms > 0;
    const struct {
        const char *service;
        int64_t at_ms;
        bool beats; /* 0 when no heartbeat came; what can't be seen at all is left out */
    } rows[] = {{"probe", now_ms, false},
                {"queue", answered_ms, false},
                {"publisher", beats ? h->taken_ms : leased_ms, beats},
                {"ingest", beats ? h->accepted_ms : k->ingest.heard_ms, beats}};

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].at_ms != 0 || rows[i].beats)
            (void)fprintf(out, "%s{service=\"%s\"} %.3f\n", name, rows[i].service,
                          seconds(rows[i].at_ms));
}

/* ---- each relay ---- */

static void relay_depth(const char *name, const struct knowledge *k, FILE *out)
{
    EACH_RELAY(k, l)
    {
        relay_open(name, l, out);
        (void)fprintf(out, "} %" PRIu64 "\n", l->depth);
    }
}

static void relay_oldest(const char *name, const struct knowledge *k, FILE *out)
{
    EACH_RELAY(k, l)
    {
        relay_open(name, l, out);
        (void)fprintf(out, "} %.3f\n", seconds(l->oldest_ms));
    }
}

static void relay_deliveries(const char *name, const struct knowledge *k, FILE *out)
{
    EACH_RELAY(k, l)
    {
        const struct lane_counts *c = &k->snapshot.counts[l - k->snapshot.lanes];
        const struct {
            const char *outcome;
            uint64_t count;
        } rows[] = {{"delivered", l->delivered},
                    {"failed", c->failed},
                    {"skipped", c->skipped},
                    {"expired", c->expired}};
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
            relay_open(name, l, out);
            (void)fprintf(out, ",outcome=\"%s\"} %" PRIu64 "\n", rows[i].outcome, rows[i].count);
        }
    }
}

static void relay_failed(const char *name, const struct knowledge *k, FILE *out)
{
    uint64_t(*counts)[CLASS_COUNT] = knowledge_failed_table(k);

    EACH_RELAY(k, l)
    {
        for (size_t i = 0; i < COUNT_OF(failed_classes); i++) {
            relay_open(name, l, out);
            (void)fprintf(out, ",class=\"%s\"} %" PRIu64 "\n", row_class_name(failed_classes[i]),
                          counts[l - k->snapshot.lanes][failed_classes[i]]);
        }
    }
    free(counts);
}

static void relay_connects(const char *name, const struct knowledge *k, FILE *out)
{
    EACH_RELAY(k, l)
    {
        for (size_t i = 0; i < l->paths_len; i++)
            put_path(name, l, &l->paths[i], out);
    }
}

static void relay_state(const char *name, const struct knowledge *k, FILE *out)
{
    EACH_RELAY(k, l)
    {
        for (enum lane_state s = 0; s < LANE_STATE_COUNT; s++) {
            relay_open(name, l, out);
            (void)fprintf(out, ",state=\"%s\"} %d\n", lane_state_name(s), state_of(l) == s);
        }
    }
}

static void relay_stalled(const char *name, const struct knowledge *k, FILE *out)
{
    EACH_RELAY(k, l)
    {
        int64_t since_ms;
        enum verdict v = verdict_of(l, k->snapshot.depth.now_ms, &since_ms);
        relay_open(name, l, out);
        (void)fprintf(out, "} %.3f\n",
                      v == VERDICT_STALLED && since_ms < k->snapshot.depth.now_ms
                          ? seconds(k->snapshot.depth.now_ms - since_ms)
                          : 0);
    }
}

static void relay_certificates(const char *name, const struct knowledge *k, FILE *out)
{
    EACH_RELAY(k, l)
    {
        const struct relay_record *r = records_lane(&k->records, l->lane);
        for (size_t i = 0; r != NULL && i < r->paths_len; i++) {
            const struct path_statistics *p = &r->paths[i];
            if (p->source != STAT_PROBE || p->last.certificate_end_s == 0)
                continue;
            relay_open(name, l, out);
            (void)fprintf(out, ",route=\"%s\",family=\"%s\"} %" PRId64 "\n", route_name(p->route),
                          family_name(p->family), p->last.certificate_end_s);
        }
    }
}

static void relay_probes(const char *name, const struct knowledge *k, FILE *out)
{
    EACH_RELAY(k, l)
    {
        const struct relay_record *r = records_lane(&k->records, l->lane);
        for (size_t i = 0; r != NULL && i < r->paths_len; i++) {
            const struct path_statistics *p = &r->paths[i];
            const struct window_statistics *w = &p->windows[STAT_DAY];
            if (p->source != STAT_PROBE || w->attempts == 0)
                continue;
            relay_open(name, l, out);
            (void)fprintf(out, ",route=\"%s\",family=\"%s\"} %.4f\n", route_name(p->route),
                          family_name(p->family), (double)w->successes / w->attempts);
        }
    }
}

/* ---- the table ---- */

static const struct metric all_metrics[] = {
    {"volley_queue_up", "gauge", "1 while the queue answers.", queue_up, true},
    {"volley_heartbeat_timestamp_seconds", "gauge",
     "When the service was last seen to work, in Unix seconds; ingest and publisher by a heartbeat "
     "that passed them, 0 when none did.",
     heartbeats, true},
    {"volley_ingest_events_total", "counter",
     "Events by how ingest answered, since the probe began.", ingest_events, true},
    {"volley_deliveries_total", "counter", "Deliveries settled since the probe began.",
     deliveries_all, true},
    {"volley_connect_total", "counter", "Connections to relays since the probe began.",
     connects_all, true},
    {"volley_connect_seconds", "histogram", "Time of each phase of a connection to a relay.",
     connect_seconds, true},
    {"volley_delivery_seconds", "histogram", "From accepted to the relay's OK.", delivery_seconds,
     true},
    {"volley_queue_waiting", "gauge", "Deliveries not settled, all relays.", waiting_total, false},
    {"volley_queue_oldest_timestamp_seconds", "gauge",
     "When the oldest event that waits was accepted, in Unix seconds; 0: none waits.", oldest_all,
     false},
    {"volley_queue_events", "gauge", "Events held.", queue_events, false},
    {"volley_queue_bytes", "gauge", "Bytes of events held.", queue_bytes, false},
    {"volley_queue_max_bytes", "gauge", "Bytes of events that may be held.", queue_max_bytes,
     false},
    {"volley_failed", "gauge", "Failed deliveries that are kept, and can be listed.", failed_all,
     false},
    {"volley_relays", "gauge", "Relays by state.", relays_by_state, false},
    {"volley_replay_jobs", "gauge", "Replay jobs by state.", jobs_by_state, false},
};

static const struct metric relay_metrics[] = {
    {"volley_queue_depth", "gauge", "Deliveries not settled.", relay_depth, false},
    {"volley_queue_oldest_timestamp_seconds", "gauge",
     "When the oldest event that waits was accepted, in Unix seconds; 0: none waits.", relay_oldest,
     false},
    {"volley_deliveries_total", "counter",
     "Deliveries settled; delivered since the relay was configured, the others since the probe "
     "began.",
     relay_deliveries, false},
    {"volley_failed", "gauge", "Failed deliveries that are kept, and can be listed.", relay_failed,
     false},
    {"volley_connect_total", "counter", "Connections since the relay was configured.",
     relay_connects, false},
    {"volley_relay_state", "gauge", "1 for the state the relay is in.", relay_state, false},
    {"volley_relay_stalled_seconds", "gauge",
     "For how long something waits and nothing leaves; 0: it does not stall.", relay_stalled,
     false},
    {"volley_probe_success_ratio", "gauge", "Of the probes of the last 24 hours.", relay_probes,
     false},
    {"volley_probe_certificate_expiry_timestamp_seconds", "gauge",
     "Until when the relay's certificate is valid, as last probed, in Unix seconds.",
     relay_certificates, false},
};

static void write_table(const struct metric *table, size_t len, const struct knowledge *k,
                        FILE *out)
{
    bool answers = k->snapshot.known && !k->silent;

    for (size_t i = 0; i < len; i++) {
        if (!answers && !table[i].silent)
            continue;
        (void)fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", table[i].name, table[i].help,
                      table[i].name, table[i].type);
        table[i].write(table[i].name, k, out);
    }
}

void metrics_all(const struct knowledge *k, FILE *out)
{
    write_table(all_metrics, COUNT_OF(all_metrics), k, out);
}

void metrics_relays(const struct knowledge *k, FILE *out)
{
    write_table(relay_metrics, COUNT_OF(relay_metrics), k, out);
}
