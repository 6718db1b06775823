/* The dashboard's table of relays. On a narrow screen each row becomes a card: every cell names its
 * column itself (data-label). */
#include "probe/page_internal.h"

#include <inttypes.h>

/* ---- attempts and successes by family ---- */

struct family_use {
    uint64_t attempts, successes;
};

/* Of the last day, by all routes; before anything was counted for it, since the lane began. */
static struct family_use use_of(const struct knowledge *k, const struct lane_status *l,
                                enum family family, bool *day)
{
    const struct relay_record *r = records_lane(&k->records, l->lane);
    struct family_use use = {0};

    *day = r != NULL;
    for (size_t i = 0; r != NULL && i < r->paths_len; i++) {
        const struct window_statistics *w = &r->paths[i].windows[STAT_DAY];
        if (r->paths[i].source != STAT_DELIVERY || r->paths[i].family != family)
            continue;
        use.attempts += w->attempts;
        use.successes += w->successes;
    }
    for (size_t i = 0; r == NULL && i < l->paths_len; i++) {
        if (l->paths[i].family != family)
            continue;
        use.attempts += l->paths[i].attempts;
        use.successes += l->paths[i].successes;
    }
    return use;
}

#define BAR_WIDTH 100u

/* Two bars, one above the other: what of all attempts went by it, and of that what succeeded. */
static void put_bar(FILE *out, const struct family_use *v6, const struct family_use *v4, bool day)
{
    const struct family_use *const rows[] = {v6, v4};
    uint64_t most = v6->attempts > v4->attempts ? v6->attempts : v4->attempts;

    (void)fprintf(out, "<svg class=\"bar\" viewBox=\"0 0 %u 17\" role=\"img\" aria-label=\"",
                  BAR_WIDTH);
    (void)fprintf(out,
                  "connections by IPv6: %" PRIu64 " of %" PRIu64 " succeeded, by IPv4: %" PRIu64
                  " of %" PRIu64 "\">",
                  v6->successes, v6->attempts, v4->successes, v4->attempts);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        double scale = most > 0 ? (double)BAR_WIDTH / (double)most : 0;
        (void)fprintf(out,
                      "<rect class=\"track\" x=\"0\" y=\"%zu\" width=\"%u\" height=\"7\"/>"
                      "<rect class=\"tried\" x=\"0\" y=\"%zu\" width=\"%.1f\" height=\"7\"/>"
                      "<rect class=\"won\" x=\"0\" y=\"%zu\" width=\"%.1f\" height=\"7\"/>",
                      i * 9, BAR_WIDTH, i * 9, (double)rows[i]->attempts * scale, i * 9,
                      (double)rows[i]->successes * scale);
    }
    (void)fprintf(out,
                  "</svg><span class=\"note\">v6 %" PRIu64 "/%" PRIu64 ", v4 %" PRIu64 "/%" PRIu64
                  "%s</span>",
                  v6->successes, v6->attempts, v4->successes, v4->attempts, day ? " in 24h" : "");
}

/* ---- latencies ---- */

/* A relay's delivery times over the last day: of the family with the most of them. */
static const struct stat_latency *delivered_of(const struct relay_record *r)
{
    const struct stat_latency *best = NULL;

    for (size_t i = 0; r != NULL && i < r->paths_len; i++) {
        const struct stat_latency *l = &r->paths[i].windows[STAT_DAY].phases[STAT_DELIVERED];
        if (r->paths[i].source == STAT_DELIVERY && l->count > 0 &&
            (best == NULL || l->count > best->count))
            best = l;
    }
    return best;
}

static void put_us(FILE *out, uint64_t us)
{
    if (us < 10000)
        (void)fprintf(out, "%.1f ms", (double)us / 1e3);
    else if (us < 10000000)
        (void)fprintf(out, "%.0f ms", (double)us / 1e3);
    else
        put_duration(out, (int64_t)(us / 1000));
}

static void put_latency(FILE *out, const struct relay_record *r)
{
    const struct stat_latency *l = delivered_of(r);

    if (l == NULL) {
        (void)fputs("–", out);
        return;
    }
    put_us(out, l->p50_us);
    (void)fputs(" <span class=\"note\">/ ", out);
    put_us(out, l->p99_us);
    (void)fputs("</span>", out);
}

/* ---- what the prober saw ---- */

static const char *const failure_words[STAT_FAILURE_COUNT] = {
    [STAT_NO_ADDRESS] = "no address of this family",
    [STAT_REFUSED] = "refused",
    [STAT_UNREACHABLE] = "unreachable",
    [STAT_TOR] = "Tor can't be used",
    [STAT_TIMEOUT] = "no answer in time",
    [STAT_TLS] = "TLS failed",
    [STAT_HTTP] = "answered with an HTTP error",
    [STAT_NOT_A_RELAY] = "not a relay",
    [STAT_OTHER] = "failed",
};

static void put_certificate(FILE *out, int64_t end_s, int64_t now_ms)
{
    int64_t days = (end_s - now_ms / 1000) / 86400;

    if (end_s != 0)
        (void)fprintf(out, ", certificate for %" PRId64 " day%s", days, days == 1 ? "" : "s");
}

static void put_probe(FILE *out, const struct path_statistics *p, int64_t now_ms)
{
    const struct window_statistics *w = &p->windows[STAT_DAY];

    (void)fprintf(out, "<li class=\"%s\">probe, %s by %s: ", p->last.ok ? "good" : "bad",
                  family_name(p->family), route_name(p->route));
    if (p->last.ok) {
        (void)fputs("ok, ", out);
        put_us(out, p->last.phases_us[STAT_CONNECT]);
        put_certificate(out, p->last.certificate_end_s, now_ms);
    } else {
        html_text(out, p->last.text[0] != '\0' ? p->last.text : failure_words[p->last.why]);
    }
    (void)fputs(" <span class=\"note\">", out);
    put_age(out, p->last.at_ms, now_ms);
    (void)fprintf(out, " ago; %" PRIu32 " of %" PRIu32 " in 24h</span></li>", w->successes,
                  w->attempts);
}

static void put_probes(FILE *out, const struct relay_record *r, int64_t now_ms)
{
    bool any = false;

    for (size_t i = 0; r != NULL && i < r->paths_len; i++) {
        if (r->paths[i].source != STAT_PROBE || r->paths[i].last.at_ms == 0)
            continue;
        (void)fputs(any ? "" : "<ul class=\"probes\">", out);
        put_probe(out, &r->paths[i], now_ms);
        any = true;
    }
    (void)fputs(any ? "</ul>" : "", out);
}

/* ---- a row ---- */

static const char *const verdict_classes[VERDICT_COUNT] = {
    [VERDICT_FINE] = "good", [VERDICT_BEHIND] = "warn",  [VERDICT_STALLED] = "bad",
    [VERDICT_HELD] = "dim",  [VERDICT_UNLEASED] = "bad",
};

static void cell(FILE *out, const char *label, const char *class)
{
    (void)fprintf(out, "<td role=\"cell\" class=\"%s\" data-label=\"%s\">", class, label);
}

/* The publisher's word is older than the queue's: who was just held is held. */
static const char *state_word(const struct lane_status *l)
{
    if (l->held)
        return lane_state_name(LANE_HELD);
    return lane_state_name(l->live.state == LANE_HELD ? LANE_IDLE : l->live.state);
}

static void put_state(FILE *out, const struct lane_status *l, int64_t now_ms)
{
    int64_t since_ms;
    enum verdict v = verdict_of(l, now_ms, &since_ms);

    (void)fprintf(out, "<span class=\"badge %s\">%s</span> <span class=\"state\">%s</span>",
                  verdict_classes[v], verdict_name(v), state_word(l));
    if (l->live.since_ms != 0) {
        (void)fputs(" <span class=\"note\">", out);
        put_age(out, l->live.since_ms, now_ms);
        (void)fputs("</span>", out);
    }
}

static void put_error(FILE *out, const struct lane_status *l, int64_t now_ms)
{
    if (l->live.last_error[0] == '\0')
        return;
    (void)fputs("<span class=\"error\">last error: ", out);
    html_text(out, l->live.last_error);
    (void)fputs("</span> <span class=\"note\">", out);
    put_age(out, l->live.error_ms, now_ms);
    (void)fputs(" ago", out);
    if (l->live.state == LANE_BACKOFF && l->live.retry_at_ms > now_ms) {
        (void)fputs(", next try in ", out);
        put_duration(out, l->live.retry_at_ms - now_ms);
    }
    (void)fputs("</span>", out);
}

static void put_name(FILE *out, const struct lane_status *l, const struct page_look *look)
{
    (void)fputs("<th role=\"rowheader\" scope=\"row\"><span class=\"name\">", out);
    html_text(out, relay_label(&l->definition));
    (void)fputs("</span>", out);
    if (l->definition.name[0] != '\0') {
        (void)fputs(" <span class=\"note url\">", out);
        html_text(out, l->definition.url);
        (void)fputs("</span>", out);
    }
    if (look->admin)
        put_act(out, l->held ? "release" : "hold", l->definition.url, NULL);
    (void)fputs("</th>", out);
}

static void put_numbers(FILE *out, const struct lane_status *l, int64_t now_ms)
{
    char rate[16];
    enum family f = l->live.family != FAMILY_NONE ? l->live.family : l->learned.family;

    cell(out, "waiting", "n depth");
    put_count(out, l->depth);
    (void)fputs("</td>", out);
    cell(out, "oldest", "n");
    put_age(out, l->oldest_ms, now_ms);
    (void)fputs("</td>", out);
    cell(out, "a second", "n");
    (void)fputs(short_rate(l->live.rate_per_1000s, rate), out);
    (void)fputs("</td>", out);
    cell(out, "delivered", "n delivered");
    put_count(out, l->delivered);
    (void)fputs("</td>", out);
    cell(out, "failed", "n failed");
    put_count(out, l->failed);
    (void)fputs("</td>", out);
    cell(out, "family", "family");
    (void)fprintf(out, "%s <span class=\"note\">%s</span></td>",
                  f != FAMILY_NONE ? family_name(f) : "–", route_name(l->definition.route));
}

static void put_row(FILE *out, const struct knowledge *k, const struct lane_status *l,
                    const struct page_look *look)
{
    int64_t now_ms = k->snapshot.depth.now_ms;
    const struct relay_record *r = records_lane(&k->records, l->lane);
    bool day;
    struct family_use v6 = use_of(k, l, FAMILY_IPV6, &day), v4 = use_of(k, l, FAMILY_IPV4, &day);

    (void)fputs("<tr role=\"row\" data-relay=\"", out);
    html_text(out, l->definition.url);
    (void)fputs("\">", out);
    put_name(out, l, look);
    cell(out, "state", "states");
    put_state(out, l, now_ms);
    (void)fputs("</td>", out);
    put_numbers(out, l, now_ms);
    cell(out, "v6 and v4", "bars");
    put_bar(out, &v6, &v4, day);
    (void)fputs("</td>", out);
    cell(out, "OK p50 / p99", "n latency");
    put_latency(out, r);
    (void)fputs("</td>", out);
    cell(out, "notes", "notes");
    put_error(out, l, now_ms);
    put_probes(out, r, now_ms);
    (void)fputs("</td></tr>\n", out);
}

void page_relays(const struct knowledge *k, const struct page_look *look, FILE *out)
{
    static const char *const heads[] = {
        "relay",  "state",  "waiting",   "oldest",       "a second",          "delivered",
        "failed", "family", "v6 and v4", "OK p50 / p99", "last error, probes"};

    (void)fputs("<section aria-labelledby=\"h-relays\"><h2 id=\"h-relays\">Relays</h2>\n"
                "<table role=\"table\" class=\"relays\"><thead><tr role=\"row\">",
                out);
    for (size_t i = 0; i < COUNT_OF(heads); i++)
        (void)fprintf(out, "<th role=\"columnheader\" scope=\"col\">%s</th>", heads[i]);
    (void)fputs("</tr></thead>\n<tbody role=\"rowgroup\">\n", out);
    for (size_t i = 0; i < k->snapshot.depth.lanes_len; i++)
        if (!k->snapshot.lanes[i].retired)
            put_row(out, k, &k->snapshot.lanes[i], look);
    (void)fputs("</tbody></table></section>\n", out);
}
