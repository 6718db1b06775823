/* The dashboard's table of relays, those with trouble first. What was seen of a relay stands below
 * its numbers; on a narrow screen each row becomes a card: every cell names its column itself
 * (data-label). The roles are said because such rows are no table to a browser. */
#include "probe/page_internal.h"

#include <inttypes.h>

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
        put_act(out, look, l->held ? "release" : "hold", &l->definition, NULL);
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

    (void)fputs("<tr role=\"row\" data-relay=\"", out);
    html_text(out, l->definition.url);
    (void)fputs("\">", out);
    put_name(out, l, look);
    cell(out, "state", "states");
    put_state(out, l, now_ms);
    (void)fputs("</td>", out);
    put_numbers(out, l, now_ms);
    cell(out, "connections", "bars");
    put_use(out, r, l, look->window);
    (void)fputs("</td>", out);
    cell(out, "OK p50 / p99", "n latency");
    put_latency(out, r, look->window);
    (void)fputs("</td>", out);
    cell(out, "", "notes");
    put_error(out, l, now_ms);
    put_probes(out, r, look->window, now_ms);
    (void)fputs("</td></tr>\n", out);
}

/* ---- which window ---- */

static void put_windows(FILE *out, enum stat_window chosen)
{
    (void)fputs("<nav class=\"windows\" aria-label=\"Statistics of the last\">Statistics of the "
                "last",
                out);
    for (int w = 0; w < STAT_WINDOW_COUNT; w++) {
        (void)fputs(" <a href=\"/", out);
        put_window(out, "?", (enum stat_window)w);
        (void)fprintf(out, "#relays\"%s>%s</a>",
                      (enum stat_window)w == chosen ? " aria-current=\"true\"" : "",
                      stat_window_name((enum stat_window)w));
    }
    (void)fputs("</nav>\n", out);
}

static void put_head(FILE *out, enum stat_window w)
{
    static const char *const heads[] = {"relay",    "state",     "waiting", "oldest",
                                        "a second", "delivered", "failed",  "family"};
    const char *in = stat_window_name(w);

    (void)fprintf(
        out,
        "<table role=\"table\" class=\"relays\"><caption>Connections (<span class="
        "\"key won\">succeeded</span>, <span class=\"key tried\">failed or not needed"
        "</span>), times from accepted to OK, and the prober's successes: of the last "
        "%s. The rest is as of now.</caption>\n<thead role=\"rowgroup\"><tr role=\"row\">",
        in);
    for (size_t i = 0; i < COUNT_OF(heads); i++)
        (void)fprintf(out, "<th role=\"columnheader\" scope=\"col\">%s</th>", heads[i]);
    (void)fprintf(out,
                  "<th role=\"columnheader\" scope=\"col\">connections, %s</th>"
                  "<th role=\"columnheader\" scope=\"col\">OK p50 / p99, %s</th>"
                  "<th role=\"columnheader\" scope=\"col\" class=\"notes\">last error, probes</th>"
                  "</tr></thead>\n<tbody role=\"rowgroup\">\n",
                  in, in);
}

/* ---- the worst first, else as listed ---- */

/* Each is worse than the next. */
static const enum verdict order[] = {VERDICT_UNLEASED, VERDICT_STALLED, VERDICT_BEHIND,
                                     VERDICT_HELD, VERDICT_FINE};

void page_relays(const struct knowledge *k, const struct page_look *look, FILE *out)
{
    const struct snapshot *s = &k->snapshot;
    int64_t since_ms;

    (void)fputs("<section id=\"relays\" aria-labelledby=\"h-relays\"><h2 id=\"h-relays\">Relays"
                "</h2>\n",
                out);
    put_windows(out, look->window);
    put_head(out, look->window);
    for (size_t n = 0; n < COUNT_OF(order); n++)
        for (size_t i = 0; i < s->depth.lanes_len; i++)
            if (!s->lanes[i].retired &&
                verdict_of(&s->lanes[i], s->depth.now_ms, &since_ms) == order[n])
                put_row(out, k, &s->lanes[i], look);
    (void)fputs("</tbody></table></section>\n", out);
}
