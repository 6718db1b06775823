#include "probe/properties.h"

#include "ctl/ctl.h"
#include "probe/html.h"
#include "probe/vitals.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

/* A double-quoted YAML scalar; JSON's escapes are YAML's. */
static void put_quoted(FILE *out, const char *text)
{
    (void)fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            (void)fputc('\\', out);
        (void)fputc(*text, out);
    }
    (void)fputc('"', out);
}

struct property {
    const char *name, *description;
    bool copyable;
};

static void put(FILE *out, const struct property *p, const char *fmt, ...) PRINTF(3, 4);
static void put(FILE *out, const struct property *p, const char *fmt, ...)
{
    char raw[1024], text[1024];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(raw, sizeof raw, fmt, ap);
    va_end(ap);
    (void)fputs("  ", out);
    put_quoted(out, p->name);
    (void)fputs(":\n    type: string\n    value: ", out);
    put_quoted(out, clean_text(raw, text, sizeof text));
    (void)fputs("\n    description: ", out);
    put_quoted(out, p->description);
    (void)fprintf(out, "\n    copyable: %s\n    qr: false\n    masked: false\n",
                  p->copyable ? "true" : "false");
}

static void put_states(const struct queue_depth *d, FILE *out)
{
    static const struct property p = {"Relays", "How many relays are in which state", false};
    uint64_t counts[LANE_STATE_COUNT] = {0};
    struct html_stream s;

    for (size_t i = 0; i < d->lanes_len; i++)
        if (!d->lanes[i].retired)
            counts[d->lanes[i].held ? LANE_HELD : d->lanes[i].live.state]++;
    html_open(&s);
    bool any = false;
    for (enum lane_state n = 0; n < LANE_STATE_COUNT; n++) {
        if (counts[n] > 0)
            (void)fprintf(s.out, "%s%" PRIu64 " %s", any ? ", " : "", counts[n],
                          lane_state_name(n));
        any |= counts[n] > 0;
    }
    html_close(&s);
    put(out, &p, "%s", any ? s.text : "none configured");
    free(s.text);
}

static void put_family(const struct queue_depth *d, enum family family, const char *name, FILE *out)
{
    const struct property p = {name, "Connections to relays since they were configured", false};
    uint64_t attempts = 0, successes = 0, failures = 0;

    for (size_t i = 0; i < d->lanes_len; i++)
        for (size_t n = 0; !d->lanes[i].retired && n < d->lanes[i].paths_len; n++) {
            const struct path_stat *s = &d->lanes[i].paths[n];
            attempts += s->family == family ? s->attempts : 0;
            successes += s->family == family ? s->successes : 0;
            failures += s->family == family ? s->failures : 0;
        }
    if (attempts == 0)
        put(out, &p, "not used yet");
    else
        put(out, &p, "%" PRIu64 " of %" PRIu64 " connections went well (%.0f %% failed)", successes,
            attempts, (double)failures * 100.0 / (double)attempts);
}

static void put_links(const char *const *list, const char *name, const char *scheme,
                      const char *description, FILE *out)
{
    for (size_t i = 0; list[i] != NULL; i++) {
        char numbered[64];
        (void)snprintf(numbered, sizeof numbered, i == 0 ? "%s" : "%s (%zu)", name, i + 1);
        const struct property p = {numbered, description, true};
        put(out, &p, "%s://%s", scheme, list[i]);
    }
}

static void put_queue(const struct knowledge *k, FILE *out)
{
    static const struct property waiting = {"Waiting", "Deliveries that are not settled yet",
                                            false};
    static const struct property failed = {
        "Failed", "Deliveries that relays refused; they can be sent again", false};
    static const struct property room = {"Queue", "Events kept on disk", false};
    const struct queue_depth *d = &k->snapshot.depth;
    uint64_t depth = 0, lost = 0;

    for (size_t i = 0; i < d->lanes_len; i++) {
        depth += d->lanes[i].retired ? 0 : d->lanes[i].depth;
        lost += d->lanes[i].retired ? 0 : d->lanes[i].failed;
    }
    put(out, &waiting, "%" PRIu64, depth);
    put(out, &failed, "%" PRIu64, lost);
    put(out, &room, "%" PRIu64 " events, %.1f of %.0f MiB", d->events, (double)d->bytes / 1048576.0,
        (double)d->max_bytes / 1048576.0);
}

void properties_yaml(const struct knowledge *k, const struct property_links *links, FILE *out)
{
    static const struct property health = {"Health", "Whether events are delivered", false};
    struct problem why;
    bool known = k->snapshot.known;

    (void)vitals_judge(known ? &k->snapshot.depth : NULL, k->silent, &why);
    (void)fputs("version: 2\ndata:\n", out);
    put(out, &health, "%s", why.text);
    if (known) {
        put_states(&k->snapshot.depth, out);
        put_queue(k, out);
        put_family(&k->snapshot.depth, FAMILY_IPV6, "IPv6", out);
        put_family(&k->snapshot.depth, FAMILY_IPV4, "IPv4", out);
    }
    put_links(links->ingest, "Post events to", "ws", "A relay's address for your clients", out);
    put_links(links->probe, "Dashboard", "http", "How the pipeline is doing", out);
}
