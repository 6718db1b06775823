#include "probe/page.h"

#include "probe/page_internal.h"

#include <inttypes.h>
#include <string.h>

void put_count(FILE *out, uint64_t n)
{
    char text[16];

    (void)fprintf(out, "<data value=\"%" PRIu64 "\">%s</data>", n, short_count(n, text));
}

void put_duration(FILE *out, int64_t ms)
{
    char text[16];

    (void)fputs(ms < 0 ? "–" : short_duration(ms, text), out);
}

void put_age(FILE *out, int64_t at_ms, int64_t now_ms)
{
    put_duration(out, at_ms == 0 ? -1 : now_ms > at_ms ? now_ms - at_ms : 0);
}

void put_us(FILE *out, uint64_t us)
{
    if (us < 10000)
        (void)fprintf(out, "%.1f ms", (double)us / 1e3);
    else if (us < 10000000)
        (void)fprintf(out, "%.0f ms", (double)us / 1e3);
    else
        put_duration(out, (int64_t)(us / 1000));
}

bool page_window_of(const char *text, enum stat_window *out)
{
    *out = PAGE_WINDOW;
    for (int w = 0; text != NULL && w < STAT_WINDOW_COUNT; w++) {
        *out = (enum stat_window)w;
        if (strcmp(text, stat_window_name(*out)) == 0)
            return true;
    }
    return text == NULL;
}

void put_window(FILE *out, const char *before, enum stat_window w)
{
    if (w != PAGE_WINDOW)
        (void)fprintf(out, "%swindow=%s", before, stat_window_name(w));
}

void put_act(FILE *out, const struct page_look *look, const char *act, const struct definition *d,
             const char *cls)
{
    (void)fputs(" <a class=\"act\" href=\"/act?", out);
    if (d != NULL) {
        (void)fputs("relay=", out);
        html_query(out, d->url);
        (void)fputs("&amp;", out);
    }
    if (cls != NULL)
        (void)fprintf(out, "class=%s&amp;", cls);
    (void)fprintf(out, "act=%s", act);
    put_window(out, "&amp;", look->window);
    (void)fprintf(out, "\">%s<span class=\"quiet\"> ", act);
    html_text(out, d != NULL ? relay_label(d) : "all");
    if (cls != NULL)
        (void)fprintf(out, ", %s", cls);
    (void)fputs("</span></a>", out);
}

/* ---- the frame ---- */

static void head(const char *title, bool refreshes, FILE *out)
{
    (void)fprintf(out,
                  "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                  "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                  "<meta name=\"color-scheme\" content=\"light dark\">\n<title>%s</title>\n"
                  "<link rel=\"stylesheet\" href=\"/style.css\">\n",
                  title);
    if (refreshes)
        (void)fputs("<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\n"
                    "<script src=\"/script.js\" defer></script>\n",
                    out);
    (void)fputs("</head>\n<body>\n", out);
}

void page_begin(const char *title, enum stat_window w, FILE *out)
{
    head(title, false, out);
    (void)fprintf(out, "<header><h1>%s</h1><p><a href=\"/", title);
    put_window(out, "?", w);
    (void)fputs("\">back to the dashboard</a></p></header>\n<main>\n", out);
}

static void foot(FILE *out)
{
    (void)fputs("<footer><p>volley " VERSION " · also here: <a href=\"/api/depth\">depth</a>, "
                "<a href=\"/api/relays\">relays</a>, <a href=\"/api/failed\">failed</a> as JSON "
                "lines; <a href=\"/metrics\">metrics</a>, <a href=\"/metrics/relays\">metrics per "
                "relay</a> for Prometheus; <a href=\"/healthz\">health</a></p></footer>\n"
                "</body>\n</html>\n",
                out);
}

void page_end(FILE *out)
{
    (void)fputs("</main>\n", out);
    foot(out);
}

void page_keep_window(enum stat_window w, FILE *out)
{
    if (w != PAGE_WINDOW)
        (void)fprintf(out, "<input type=\"hidden\" name=\"window\" value=\"%s\">",
                      stat_window_name(w));
}

static void receipt_form(enum stat_window w, FILE *out)
{
    (void)fputs(
        "<section id=\"receipt\" aria-labelledby=\"h-receipt\"><h2 id=\"h-receipt\">What became of "
        "an "
        "event?</h2>\n<form class=\"receipt\" action=\"/receipt\" method=\"get\" role=\"search\">"
        "<label for=\"receipt-id\">Event id (hex, note1… or nevent1…)</label>"
        "<input id=\"receipt-id\" name=\"id\" required maxlength=\"255\" autocomplete=\"off\" "
        "spellcheck=\"false\">",
        out);
    page_keep_window(w, out);
    (void)fputs("<button>Show</button></form></section>\n", out);
}

void page_dashboard(const struct knowledge *k, const struct page_look *look, FILE *out)
{
    head("volley", true, out);
    (void)fputs("<header><h1>volley</h1><nav aria-label=\"On this page\"><a href=\"#services\">"
                "Services</a> <a href=\"#relays\">Relays</a> <a href=\"#failed\">Failed "
                "deliveries</a> <a href=\"#receipt\">An event</a></nav></header>\n<main>\n"
                "<p id=\"lost\" role=\"status\" hidden>the probe does not answer; what you see may "
                "be old</p>\n<div id=\"live\">\n",
                out);
    page_sections(k, look, out);
    (void)fputs("</div>\n", out);
    receipt_form(look->window, out);
    page_end(out);
}

/* ---- totals ---- */

struct totals {
    uint64_t relays, waiting, delivered, failed, still;
    int64_t oldest_ms, drain_ms;
};

static struct totals totals_of(const struct queue_depth *d)
{
    struct totals t = {0};

    for (size_t i = 0; i < d->lanes_len; i++) {
        const struct lane_status *l = &d->lanes[i];
        int64_t drain_ms = verdict_drain_ms(l);
        if (l->retired)
            continue;
        t.relays++;
        t.waiting += l->depth;
        t.delivered += l->delivered;
        t.failed += l->failed;
        t.still += drain_ms < 0;
        if (drain_ms > t.drain_ms)
            t.drain_ms = drain_ms;
        if (l->oldest_ms != 0 && (t.oldest_ms == 0 || l->oldest_ms < t.oldest_ms))
            t.oldest_ms = l->oldest_ms;
    }
    return t;
}

static void total(FILE *out, const char *name, const char *id, uint64_t n)
{
    (void)fprintf(out, "<div><dt>%s</dt><dd id=\"total-%s\">", name, id);
    put_count(out, n);
    (void)fputs("</dd></div>\n", out);
}

static void totals_section(const struct queue_depth *d, FILE *out)
{
    struct totals t = totals_of(d);

    (void)fputs("<section aria-labelledby=\"h-totals\"><h2 id=\"h-totals\">Totals</h2>\n"
                "<dl class=\"totals\">\n",
                out);
    total(out, "events accepted", "accepted", d->head);
    total(out, "deliveries", "delivered", t.delivered);
    total(out, "waiting", "waiting", t.waiting);
    total(out, "failed", "failed", t.failed);
    (void)fputs("<div><dt>oldest waits for</dt><dd id=\"total-oldest\">", out);
    put_age(out, t.oldest_ms, d->now_ms);
    (void)fputs("</dd></div>\n<div><dt>time to drain</dt><dd id=\"total-drain\">", out);
    put_duration(out, t.still > 0 && t.drain_ms == 0 ? -1 : t.drain_ms);
    (void)fputs("</dd>", out);
    if (t.still > 0)
        (void)fprintf(out, "<dd class=\"note\">%" PRIu64 " stand%s still</dd>", t.still,
                      t.still == 1 ? "s" : "");
    (void)fprintf(out,
                  "</div>\n<div><dt>on disk</dt><dd>%.1f MiB</dd><dd class=\"note\">of %.0f"
                  "</dd></div>\n</dl>\n",
                  (double)d->bytes / 1048576.0, (double)d->max_bytes / 1048576.0);
}

/* ---- rates ---- */

#define PLOT_HEIGHT 40.0

/* A line for each run of known values, on a baseline. */
static void plot_lines(const double values[METER_SLOTS], double max, FILE *out)
{
    bool open = false;

    for (size_t i = 0; i < METER_SLOTS; i++) {
        if (values[i] >= 0) {
            double y = PLOT_HEIGHT - 1 - (max > 0 ? values[i] / max : 0) * (PLOT_HEIGHT - 3);
            if (!open) /* twice: one value alone is a dot */
                (void)fprintf(out, "<polyline points=\"%zu,%.1f", i * 2, y);
            (void)fprintf(out, " %zu,%.1f", i * 2, y);
            open = true;
        }
        if (open && (values[i] < 0 || i + 1 == METER_SLOTS)) {
            (void)fputs("\"/>", out);
            open = false;
        }
    }
}

/* "0.25/s", "12k/s". */
static const char *amount(double n, const char *unit, char out[24])
{
    char text[16];

    if (n < 999.5)
        (void)snprintf(out, 24, "%.3g%s", n, unit);
    else
        (void)snprintf(out, 24, "%s%s", short_count((uint64_t)(n + 0.5), text), unit);
    return out;
}

static void plot(const struct meter *m, uint64_t now_ms, enum meter_series series, const char *name,
                 FILE *out)
{
    double values[METER_SLOTS], max = 0, last = 0;
    char now[24], most[24];
    const char *unit = series == METER_WAITING ? "" : "/s";

    meter_rates(m, now_ms, series, values);
    for (size_t i = 0; i < METER_SLOTS; i++) {
        max = values[i] > max ? values[i] : max;
        last = values[i] >= 0 ? values[i] : last;
    }
    (void)amount(last, unit, now);
    (void)amount(max, unit, most);
    (void)fprintf(out,
                  "<figure><svg viewBox=\"0 0 %u %.0f\" preserveAspectRatio=\"none\" role=\"img\" "
                  "aria-label=\"%s over the last ten minutes: now %s, at most %s\">"
                  "<line x1=\"0\" y1=\"%.0f\" x2=\"%u\" y2=\"%.0f\"/>",
                  METER_SLOTS * 2 - 2, PLOT_HEIGHT, name, now, most, PLOT_HEIGHT - 1,
                  METER_SLOTS * 2 - 2, PLOT_HEIGHT - 1);
    plot_lines(values, max, out);
    (void)fprintf(out,
                  "</svg><figcaption>%s <b>%s</b> <span class=\"note\">max %s</span>"
                  "</figcaption></figure>\n",
                  name, now, most);
}

static void rates(const struct knowledge *k, uint64_t now_ms, FILE *out)
{
    static const char *const names[METER_SERIES_COUNT] = {"accepted", "delivered", "failed",
                                                          "waiting"};

    (void)fputs("<h3>The last ten minutes</h3>\n<div class=\"plots\">\n", out);
    for (int s = 0; s < METER_SERIES_COUNT; s++)
        plot(&k->meter, now_ms, (enum meter_series)s, names[s], out);
    (void)fputs("</div></section>\n", out);
}

void page_sections(const struct knowledge *k, const struct page_look *look, FILE *out)
{
    struct page_look l = *look;

    l.admin = look->admin && !k->silent;
    page_health(k, look, out);
    if (k->snapshot.known) {
        totals_section(&k->snapshot.depth, out);
        rates(k, look->now_ms, out);
    }
    page_services(k, &l, out);
    if (k->snapshot.known) {
        page_relays(k, &l, out);
        page_failed(k, &l, out);
        page_jobs(k, out);
    }
}
