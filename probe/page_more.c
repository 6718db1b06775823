/* The dashboard below the relays: failed deliveries, replay jobs, services. */
#include "probe/page_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- failed deliveries ---- */

static void failed_head(FILE *out)
{
    static const char *const heads[] = {"relay", "class", "how many", "the relay said",
                                        "<span class=\"quiet\">action</span>"};

    (void)fputs("<table role=\"table\" class=\"failed\"><thead role=\"rowgroup\"><tr role=\"row\">",
                out);
    for (size_t i = 0; i < COUNT_OF(heads); i++)
        (void)fprintf(out, "<th role=\"columnheader\" scope=\"col\">%s</th>", heads[i]);
    (void)fputs("</tr></thead>\n<tbody role=\"rowgroup\">\n", out);
}

static void failed_row(FILE *out, const struct knowledge *k, const struct page_look *look,
                       const struct lane_status *l, enum row_class cls, uint64_t count)
{
    (void)fputs("<tr role=\"row\"><th role=\"rowheader\" scope=\"row\">", out);
    html_text(out, relay_label(&l->definition));
    (void)fprintf(out,
                  "</th><td role=\"cell\" data-label=\"class\">%s</td>"
                  "<td role=\"cell\" class=\"n\" data-label=\"how many\">",
                  row_class_name(cls));
    put_count(out, count);
    (void)fputs("</td><td role=\"cell\" class=\"words\" data-label=\"the relay said\">", out);
    html_text(out, knowledge_sample(k, l->lane, cls));
    (void)fputs("</td><td role=\"cell\" data-label=\"\">", out);
    if (look->admin)
        put_act(out, look, "replay", &l->definition, row_class_name(cls));
    (void)fputs("</td></tr>\n", out);
}

void page_failed(const struct knowledge *k, const struct page_look *look, FILE *out)
{
    uint64_t(*counts)[CLASS_COUNT] = knowledge_failed_table(k);
    bool any = false;

    (void)fputs("<section id=\"failed\" aria-labelledby=\"h-failed\"><h2 id=\"h-failed\">Failed "
                "deliveries</h2>\n",
                out);
    for (size_t i = 0; i < k->snapshot.depth.lanes_len; i++)
        for (enum row_class c = 0; c < CLASS_COUNT; c++) {
            if (counts[i][c] == 0)
                continue;
            if (!any)
                failed_head(out);
            any = true;
            failed_row(out, k, look, &k->snapshot.lanes[i], c, counts[i][c]);
        }
    (void)fputs(any          ? "</tbody></table>\n"
                : k->counted ? "<p>none</p>\n"
                             : "<p>not counted yet</p>\n",
                out);
    if (any && look->admin) {
        (void)fputs("<p>all that failed:", out);
        put_act(out, look, "replay", NULL, NULL);
        (void)fputs("</p>", out);
    }
    (void)fputs("</section>\n", out);
    free(counts);
}

/* ---- replay jobs ---- */

#define JOBS_SHOWN 10u

void page_jobs(const struct knowledge *k, FILE *out)
{
    if (k->jobs_len == 0)
        return;
    (void)fputs("<section aria-labelledby=\"h-jobs\"><h2 id=\"h-jobs\">Replays</h2>\n<ul "
                "class=\"jobs\">\n",
                out);
    for (size_t i = k->jobs_len; i > 0 && k->jobs_len - i < JOBS_SHOWN; i--) {
        const struct replay_job *j = &k->jobs[i - 1];
        (void)fprintf(out,
                      "<li>job %" PRIu64 " <span class=\"badge\">%s</span> %" PRIu64 " of %" PRIu64
                      " delivered, %" PRIu64 " failed again, %" PRIu64 " under way",
                      j->number, job_state_name(j->state), j->delivered, j->total, j->failed,
                      j->waiting + j->asked);
        (void)fputs(" <span class=\"note\">", out);
        html_text(out, j->text);
        (void)fputs("; by ", out);
        html_text(out, j->by);
        (void)fputs("</span></li>\n", out);
    }
    (void)fputs("</ul></section>\n", out);
}

/* ---- services ---- */

#define HEARTBEAT_PATIENCE_MS 60000 /* beyond the time when it was due */

static void queue_line(const struct knowledge *k, FILE *out)
{
    bool up = k->snapshot.known && !k->silent;

    (void)fprintf(out, "<li class=\"%s\">queue: %s</li>\n", up ? "good" : "bad",
                  up ? "answers" : "does not answer");
}

/* How old the latest one is that went all the way, or what became of it so far. */
static void heartbeat_line(const struct knowledge *k, FILE *out)
{
    const struct queue_depth *d = &k->snapshot.depth;
    const struct heartbeat *h = &d->heartbeat;
    int64_t due_ms = h->taken_ms + (int64_t)k->beat_every_ms;
    bool fresh = h->taken != 0 && d->now_ms < due_ms + HEARTBEAT_PATIENCE_MS;

    if (k->beat_every_ms == 0)
        return;
    (void)fprintf(out, "<li class=\"%s\">heartbeat: ",
                  fresh            ? "good"
                  : h->number == 0 ? "dim"
                                   : "bad");
    if (h->number == 0)
        (void)fputs("none has come yet", out);
    else if (h->taken == h->number) {
        (void)fprintf(out, "the last one went through in %.2f s, ",
                      (double)(h->taken_ms - h->accepted_ms) / 1000.0);
        put_age(out, h->taken_ms, d->now_ms);
        (void)fputs(" ago", out);
    } else {
        (void)fputs("the last one has been in the queue for ", out);
        put_age(out, h->accepted_ms, d->now_ms);
        (void)fputs(" and no publisher has taken it", out);
    }
    (void)fputs("</li>\n", out);
}

static void ingest_line(const struct service_state *s, FILE *out)
{
    if (!s->configured)
        return;
    (void)fprintf(out, "<li class=\"%s\">ingest: ", !s->known ? "dim" : s->well ? "good" : "bad");
    html_text(out, s->known ? s->text : "not asked yet");
    (void)fputs("</li>\n", out);
}

/* Publishers by name, each once; there are few, and of few lanes' time. */
static void publisher_lines(const struct knowledge *k, FILE *out)
{
    const struct queue_depth *d = &k->snapshot.depth;
    const char *last = NULL;
    bool any = false;

    for (size_t i = 0; i < d->lanes_len; i++) {
        const char *name = d->lanes[i].publisher;
        uint64_t lanes = 0;
        bool seen = name[0] == '\0' || (last != NULL && strcmp(last, name) == 0);
        for (size_t n = 0; !seen && n < i; n++)
            seen = strcmp(d->lanes[n].publisher, name) == 0;
        if (seen)
            continue;
        for (size_t n = i; n < d->lanes_len; n++)
            lanes += strcmp(d->lanes[n].publisher, name) == 0;
        (void)fputs("<li>publisher ", out);
        html_text(out, name);
        (void)fprintf(out, ": has %" PRIu64 " relay%s</li>\n", lanes, lanes == 1 ? "" : "s");
        last = name;
        any = true;
    }
    if (!any && k->snapshot.known)
        (void)fputs("<li class=\"bad\">publisher: none has a relay</li>\n", out);
}

static void tor_line(const struct knowledge *k, FILE *out)
{
    const struct control_status *t = &k->tor;

    if (!k->tor_wanted)
        return;
    if (!k->tor_known) {
        (void)fputs("<li class=\"dim\">Tor: no control port to ask (tor.control)</li>\n", out);
        return;
    }
    (void)fprintf(out, "<li class=\"%s\">Tor: ",
                  t->state == CONTROL_READY           ? "good"
                  : t->state == CONTROL_BOOTSTRAPPING ? "warn"
                                                      : "bad");
    if (t->state == CONTROL_READY)
        (void)fputs("ready", out);
    else if (t->state == CONTROL_BOOTSTRAPPING)
        (void)fprintf(out, "bootstrapped %d %%", t->percent);
    else
        (void)fputs("away", out);
    if (t->problem[0] != '\0') {
        (void)fputs(": ", out);
        html_text(out, t->problem);
    }
    (void)fputs("</li>\n", out);
}

void page_services(const struct knowledge *k, const struct page_look *look, FILE *out)
{
    (void)look;
    (void)fputs("<section id=\"services\" aria-labelledby=\"h-services\"><h2 "
                "id=\"h-services\">Services</h2>\n"
                "<ul class=\"services\">\n",
                out);
    ingest_line(&k->ingest, out);
    queue_line(k, out);
    publisher_lines(k, out);
    heartbeat_line(k, out);
    tor_line(k, out);
    (void)fputs("</ul></section>\n", out);
}
