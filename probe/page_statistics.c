/* What the dashboard shows of one relay's statistics, over the window that the reader chose. */
#include "probe/page_internal.h"

#include <inttypes.h>
#include <string.h>

/* ---- attempts and successes by family ---- */

struct family_use {
    const char *name;
    uint64_t attempts, successes;
};

static const char *const family_names[FAMILY_COUNT] = {[FAMILY_NONE] = "unknown",
                                                       [FAMILY_IPV6] = "v6",
                                                       [FAMILY_IPV4] = "v4",
                                                       [FAMILY_ONION] = "onion"};

/* Of the window, by all routes; before anything was counted for it, since the lane began. */
static struct family_use use_of(const struct relay_record *r, const struct lane_status *l,
                                enum family family, enum stat_window window)
{
    struct family_use use = {.name = family_names[family]};

    for (size_t i = 0; r != NULL && i < r->paths_len; i++) {
        const struct window_statistics *w = &r->paths[i].windows[window];
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

/* IPv6 and IPv4; others only where there are some, and then in the place of those two when these
 * have nothing. Returns how many. */
static size_t uses_of(const struct relay_record *r, const struct lane_status *l,
                      enum stat_window window, struct family_use out[FAMILY_COUNT])
{
    static const enum family others[] = {FAMILY_ONION, FAMILY_NONE};
    size_t len = 2;

    out[0] = use_of(r, l, FAMILY_IPV6, window);
    out[1] = use_of(r, l, FAMILY_IPV4, window);
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        out[len] = use_of(r, l, others[i], window);
        len += out[len].attempts > 0;
    }
    if (len == 2 || out[0].attempts + out[1].attempts > 0)
        return len;
    memmove(out, out + 2, (len - 2) * sizeof *out);
    return len - 2;
}

#define BAR_WIDTH  100u
#define BAR_HEIGHT 7u
#define BAR_STEP   9u

static void put_words(FILE *out, const struct family_use *uses, size_t len, const char *of)
{
    for (size_t i = 0; i < len; i++)
        (void)fprintf(out, "%s%s %" PRIu64 "%s%" PRIu64, i > 0 ? ", " : "", uses[i].name,
                      uses[i].successes, of, uses[i].attempts);
}

/* Bars, one above the other: what of all attempts went by it, and of that what succeeded. */
void put_use(FILE *out, const struct relay_record *r, const struct lane_status *l,
             enum stat_window window)
{
    struct family_use uses[FAMILY_COUNT];
    size_t len = uses_of(r, l, window, uses);
    uint64_t most = 0;

    for (size_t i = 0; i < len; i++)
        most = uses[i].attempts > most ? uses[i].attempts : most;
    (void)fprintf(out, "<svg class=\"bar\" viewBox=\"0 0 %u %zu\" role=\"img\" aria-label=\"",
                  BAR_WIDTH, len * BAR_STEP - (BAR_STEP - BAR_HEIGHT));
    (void)fputs("connections that succeeded: ", out);
    put_words(out, uses, len, " of ");
    (void)fputs("\">", out);
    for (size_t i = 0; i < len; i++) {
        double scale = most > 0 ? (double)BAR_WIDTH / (double)most : 0;
        (void)fprintf(out,
                      "<rect class=\"track\" x=\"0\" y=\"%zu\" width=\"%u\" height=\"%u\"/>"
                      "<rect class=\"tried\" x=\"0\" y=\"%zu\" width=\"%.1f\" height=\"%u\"/>"
                      "<rect class=\"won\" x=\"0\" y=\"%zu\" width=\"%.1f\" height=\"%u\"/>",
                      i * BAR_STEP, BAR_WIDTH, BAR_HEIGHT, i * BAR_STEP,
                      (double)uses[i].attempts * scale, BAR_HEIGHT, i * BAR_STEP,
                      (double)uses[i].successes * scale, BAR_HEIGHT);
    }
    (void)fputs("</svg><span class=\"note\">", out);
    put_words(out, uses, len, "/");
    if (r != NULL)
        (void)fprintf(out, " in %s</span>", stat_window_name(window));
    else
        (void)fputs(" since it began</span>", out);
}

/* ---- latencies ---- */

/* A relay's delivery times over the window: of the family with the most of them. */
static const struct stat_latency *delivered_of(const struct relay_record *r, enum stat_window w)
{
    const struct stat_latency *best = NULL;

    for (size_t i = 0; r != NULL && i < r->paths_len; i++) {
        const struct stat_latency *l = &r->paths[i].windows[w].phases[STAT_DELIVERED];
        if (r->paths[i].source == STAT_DELIVERY && l->count > 0 &&
            (best == NULL || l->count > best->count))
            best = l;
    }
    return best;
}

void put_latency(FILE *out, const struct relay_record *r, enum stat_window w)
{
    const struct stat_latency *l = delivered_of(r, w);

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

static void put_probe(FILE *out, const struct path_statistics *p, enum stat_window window,
                      int64_t now_ms)
{
    const struct window_statistics *w = &p->windows[window];

    (void)fprintf(out, "<li>probe, %s by %s: <span class=\"%s\">", family_name(p->family),
                  route_name(p->route), p->last.ok ? "good" : "bad");
    if (p->last.ok) {
        (void)fputs("ok, ", out);
        put_us(out, p->last.phases_us[STAT_CONNECT]);
        put_certificate(out, p->last.certificate_end_s, now_ms);
    } else {
        html_text(out, p->last.text[0] != '\0' ? p->last.text : failure_words[p->last.why]);
    }
    (void)fputs("</span> <span class=\"note\">", out);
    put_age(out, p->last.at_ms, now_ms);
    (void)fprintf(out, " ago; %" PRIu32 " of %" PRIu32 " in %s</span></li>", w->successes,
                  w->attempts, stat_window_name(window));
}

void put_probes(FILE *out, const struct relay_record *r, enum stat_window w, int64_t now_ms)
{
    bool any = false;

    for (size_t i = 0; r != NULL && i < r->paths_len; i++) {
        if (r->paths[i].source != STAT_PROBE || r->paths[i].last.at_ms == 0)
            continue;
        (void)fputs(any ? "" : "<ul class=\"probes\">", out);
        put_probe(out, &r->paths[i], w, now_ms);
        any = true;
    }
    (void)fputs(any ? "</ul>" : "", out);
}
