/* The top of the dashboard: is all well, and if not, what is wrong and what can be done. */
#include "probe/page_internal.h"
#include "probe/vitals.h"

#include <inttypes.h>

struct trouble {
    uint64_t relays, failed; /* relays that are not retired; failed deliveries of them */
    uint64_t verdicts[VERDICT_COUNT];
};

static struct trouble trouble_of(const struct queue_depth *d)
{
    struct trouble t = {0};

    for (size_t i = 0; i < d->lanes_len; i++) {
        const struct lane_status *l = &d->lanes[i];
        int64_t since_ms;
        if (l->retired)
            continue;
        t.relays++;
        t.failed += l->failed;
        t.verdicts[verdict_of(l, d->now_ms, &since_ms)]++;
    }
    return t;
}

static bool any_trouble(const struct trouble *t)
{
    return t->verdicts[VERDICT_BEHIND] + t->verdicts[VERDICT_STALLED] +
               t->verdicts[VERDICT_UNLEASED] + t->failed >
           0;
}

/* ---- what to do about it ---- */

static const struct advice {
    const char *class, *text;
} advices[VERDICT_COUNT] = {
    [VERDICT_BEHIND] = {"warn", "more comes than the relay takes; if that lasts, see its last error"
                                " and rate limits"},
    [VERDICT_STALLED] = {"bad",
                         "nothing arrives there, and what waits is kept and tried again; "
                         "the last error says why, <code>volley test RELAY</code> tries now"},
    [VERDICT_HELD] = {"dim", "an operator, or the relay list, stops it; "
                             "<code>volley release RELAY</code> ends that"},
    [VERDICT_UNLEASED] = {"bad", "no publisher serves it: is one running, and does its "
                                 "<code>publisher.serve</code> name the relay's route?"},
};

static void put_advice(FILE *out, enum verdict v, uint64_t count)
{
    if (advices[v].text == NULL || count == 0)
        return;
    (void)fprintf(out, "<li><a class=\"%s\" href=\"#relays\">%" PRIu64 " relay%s %s</a>: %s</li>\n",
                  advices[v].class, count, count == 1 ? "" : "s", verdict_name(v), advices[v].text);
}

static void advise(const struct trouble *t, FILE *out)
{
    if (!any_trouble(t) && t->verdicts[VERDICT_HELD] == 0)
        return;
    (void)fputs("<ul class=\"advice\" aria-label=\"What needs a look\">\n", out);
    put_advice(out, VERDICT_UNLEASED, t->verdicts[VERDICT_UNLEASED]);
    put_advice(out, VERDICT_STALLED, t->verdicts[VERDICT_STALLED]);
    put_advice(out, VERDICT_BEHIND, t->verdicts[VERDICT_BEHIND]);
    if (t->failed > 0)
        (void)fprintf(out,
                      "<li><a class=\"bad\" href=\"#failed\">%" PRIu64 " failed deliver%s</a>: "
                      "refused for good; see the relay's words, then replay or "
                      "<code>volley purge</code> them</li>\n",
                      t->failed, t->failed == 1 ? "y" : "ies");
    put_advice(out, VERDICT_HELD, t->verdicts[VERDICT_HELD]);
    (void)fputs("</ul>\n", out);
}

/* ---- the banner ---- */

static void old_news(const struct knowledge *k, const struct page_look *look, FILE *out)
{
    if (k->trouble != NULL && k->trouble[0] != '\0') {
        (void)fputs(": ", out);
        html_text(out, k->trouble);
    }
    if (!k->snapshot.known)
        return;
    (void)fputs(". What you see is what was known, ", out);
    put_duration(out, (int64_t)(look->now_ms - k->snapshot.at_ms));
    (void)fputs(" ago", out);
}

void page_health(const struct knowledge *k, const struct page_look *look, FILE *out)
{
    struct problem why;
    bool known = k->snapshot.known;
    bool well = vitals_judge(known ? &k->snapshot.depth : NULL, k->silent, &why);
    const struct trouble t = known ? trouble_of(&k->snapshot.depth) : (struct trouble){0};
    bool all = well && !any_trouble(&t);

    (void)fprintf(out, "<p class=\"health %s\" role=\"%s\">",
                  all    ? "good"
                  : well ? "warn"
                         : "bad",
                  well ? "status" : "alert");
    if (well)
        (void)fprintf(out, "events are being delivered%s",
                      all ? "" : ", but not all of them everywhere");
    else
        html_text(out, why.text);
    if (known && !k->silent && t.relays > 0)
        (void)fprintf(out, "<span class=\"note\"> %" PRIu64 " of %" PRIu64 " relays fine</span>",
                      t.verdicts[VERDICT_FINE], t.relays);
    if (k->silent)
        old_news(k, look, out);
    (void)fputs("</p>\n", out);
    if (known)
        advise(&t, out);
}
