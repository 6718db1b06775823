#include "ctl/relays_show.h"

#include "ctl/relay_names.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool is_held(const struct lane_entry *lane, const struct definition *d)
{
    return lane->hold == HOLD_HELD || (lane->hold == HOLD_AS_DEFINED && d->hold);
}

/* ---- JSON ---- */

static void add_kinds(cJSON *o, const char *key, const uint16_t *kinds, uint32_t len)
{
    cJSON *list = cJSON_AddArrayToObject(o, key);
    for (uint32_t i = 0; i < len; i++)
        cJSON_AddItemToArray(list, cJSON_CreateNumber(kinds[i]));
}

static void add_definition(cJSON *o, const struct definition *d)
{
    cJSON_AddStringToObject(o, "route", route_name(d->route));
    cJSON_AddStringToObject(o, "family", family_mode_name(d->family));
    cJSON_AddNumberToObject(o, "window", d->window);
    cJSON_AddItemToObject(o, "rate",
                          number_or_null(d->rate_per_1000s != 0, d->rate_per_1000s / 1000.0));
    add_kinds(o, "kinds", d->kinds, d->kinds_len);
    add_kinds(o, "except_kinds", d->except_kinds, d->except_kinds_len);
    cJSON_AddBoolToObject(o, "private", d->is_private);
    cJSON_AddBoolToObject(o, "backfill", d->backfill);
    cJSON_AddBoolToObject(o, "hold", d->hold);
    cJSON_AddItemToObject(o, "auth_key_file", text_or_null(d->auth_key_file));
}

static void lane_json(const struct lane_entry *lane, const struct relays_more *more, FILE *out)
{
    const struct lane_version *v = lane_in_force(lane), *waits = lane_waiting(lane);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "relay", v->definition.url);
    cJSON_AddItemToObject(o, "name", text_or_null(v->definition.name));
    cJSON_AddNumberToObject(o, "lane", lane->lane);
    add_definition(o, &v->definition);
    cJSON_AddStringToObject(o, "operator", lane_hold_name(lane->hold));
    cJSON_AddBoolToObject(o, "held", is_held(lane, &v->definition));
    cJSON_AddBoolToObject(o, "retired", lane->retired);
    cJSON_AddItemToObject(o, "retired_at", time_or_null(lane->retired_ms));
    cJSON_AddNumberToObject(o, "start", (double)lane->start);
    cJSON_AddNumberToObject(o, "position", (double)lane->position);
    cJSON_AddNumberToObject(o, "version", v->version);
    cJSON_AddNumberToObject(o, "in_force_above", (double)v->from);
    cJSON_AddItemToObject(o, "waiting_version",
                          number_or_null(waits != NULL, waits != NULL ? waits->version : 0));
    cJSON *next =
        waits != NULL ? cJSON_AddObjectToObject(o, "waiting") : cJSON_AddNullToObject(o, "waiting");
    if (waits != NULL) {
        cJSON_AddItemToObject(next, "name", text_or_null(waits->definition.name));
        add_definition(next, &waits->definition);
    }
    if (more != NULL)
        more->add(more->arg, lane->lane, o);
    print_json(o, out);
}

static bool shown(const struct lane_entry *lane, bool all)
{
    return (all || !lane->retired) && lane->versions_len > 0;
}

static size_t count(const struct queue_registry *r, bool retired)
{
    size_t n = 0;
    for (size_t i = 0; i < r->lanes_len; i++)
        n += r->lanes[i].retired == retired;
    return n;
}

void relays_json(const struct queue_registry *r, bool all, const struct relays_more *more,
                 FILE *out)
{
    for (size_t i = 0; i < r->lanes_len; i++)
        if (shown(&r->lanes[i], all))
            lane_json(&r->lanes[i], more, out);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddBoolToObject(o, "total", true);
    cJSON_AddNumberToObject(o, "relays", (double)count(r, false));
    cJSON_AddNumberToObject(o, "retired", (double)count(r, true));
    cJSON_AddNumberToObject(o, "list", (double)r->version);
    cJSON_AddItemToObject(o, "since", time_or_null(r->defined_ms));
    cJSON_AddItemToObject(o, "by", text_or_null(r->defined_by));
    print_json(o, out);
}

/* ---- the table ---- */

enum { C_RELAY, C_ROUTE, C_FAMILY, C_WINDOW, C_RATE, C_KINDS, C_HOLD, C_FROM, C_COUNT };

static const struct table_column columns[C_COUNT] = {
    [C_RELAY] = {.head = "RELAY"},
    [C_ROUTE] = {.head = "ROUTE"},
    [C_FAMILY] = {.head = "FAMILY", .drop = 1},
    [C_WINDOW] = {.head = "WINDOW", .right = true, .drop = 2},
    [C_RATE] = {.head = "RATE", .right = true},
    [C_KINDS] = {.head = "KINDS"},
    [C_HOLD] = {.head = "HOLD", .colours = true},
    [C_FROM] = {.head = "ABOVE", .right = true, .drop = 3},
};

static void put_list(FILE *out, const char *before, const uint16_t *kinds, uint32_t len)
{
    fputs(before, out);
    for (uint32_t i = 0; i < len; i++)
        fprintf(out, "%s%u", i > 0 ? " " : "", kinds[i]);
}

/* What a lane is told besides: its filters in full, what waits, what is not the usual. Free. */
static char *note_of(const struct lane_entry *lane, const struct lane_version *v, const char *url)
{
    const struct definition *d = &v->definition;
    const struct lane_version *waits = lane_waiting(lane);
    char *text, clean[URL_SIZE];
    size_t len;
    FILE *out = open_memstream(&text, &len);
    if (out == NULL)
        die("out of memory");
    if (d->name[0] != '\0')
        fprintf(out, "; %s", clean_text(url, clean, sizeof clean));
    if (waits != NULL)
        fprintf(out, "; version %" PRIu32 " waits for a publisher", waits->version);
    if (d->kinds_len > 0)
        put_list(out, "; only kinds ", d->kinds, d->kinds_len);
    if (d->except_kinds_len > 0)
        put_list(out, "; not kinds ", d->except_kinds, d->except_kinds_len);
    if (d->is_private)
        fputs("; private kinds too", out);
    if (d->backfill)
        fputs("; backfill", out);
    if (d->auth_key_file[0] != '\0')
        fputs("; has a key for AUTH", out);
    fclose(out);
    if (len > 0)
        memmove(text, text + 2, len - 1);
    return text;
}

static const char *hold_word(const struct lane_entry *lane, const struct definition *d)
{
    if (lane->retired)
        return "retired";
    if (lane->hold == HOLD_HELD)
        return "held";
    if (lane->hold == HOLD_RELEASED)
        return d->hold ? "released" : "-";
    return d->hold ? "as listed" : "-";
}

static const char *kinds_word(const struct definition *d)
{
    return d->kinds_len > 0          ? "some"
           : d->except_kinds_len > 0 ? "not all"
           : d->is_private           ? "private"
                                     : "all";
}

static void add_lane(struct table *t, const struct lane_entry *lane)
{
    const struct lane_version *v = lane_in_force(lane);
    const struct definition *d = &v->definition;
    char label[URL_SIZE], window[16], rate[16] = "-", from[24];
    char *note = note_of(lane, v, d->url);
    (void)clean_text(relay_label(d), label, sizeof label);
    (void)snprintf(window, sizeof window, "%" PRIu32, d->window);
    if (d->rate_per_1000s != 0)
        (void)short_rate(d->rate_per_1000s, rate);
    (void)snprintf(from, sizeof from, "%" PRIu64, v->from);
    const char *cells[C_COUNT] = {
        [C_RELAY] = label,
        [C_ROUTE] = route_name(d->route),
        [C_FAMILY] = family_mode_name(d->family),
        [C_WINDOW] = window,
        [C_RATE] = rate,
        [C_KINDS] = kinds_word(d),
        [C_HOLD] = hold_word(lane, d),
        [C_FROM] = from,
    };
    table_add(t, cells, note[0] != '\0' ? note : NULL,
              is_held(lane, d) ? COLOUR_YELLOW : COLOUR_DIM);
    free(note);
}

static void head(const struct queue_registry *r, const struct table_look *look, FILE *out)
{
    char text[256], line[256], when[40], by[OPERATOR_SIZE];
    time_t s = (time_t)(r->defined_ms / 1000);
    struct tm tm;
    localtime_r(&s, &tm);
    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &tm);
    size_t relays = count(r, false), retired = count(r, true);
    int len = snprintf(text, sizeof text, "list %" PRIu64 " in force since %s by %s: %zu %s",
                       r->version, when, clean_text(r->defined_by, by, sizeof by), relays,
                       relays == 1 ? "relay" : "relays");
    if (retired > 0 && len > 0 && (size_t)len < sizeof text)
        (void)snprintf(text + len, sizeof text - (size_t)len, ", %zu retired", retired);
    fprintf(out, "%s\n",
            text_cut(text, look->width > 0 ? look->width : sizeof text, line, sizeof line));
}

void relays_table(const struct queue_registry *r, bool all, const struct table_look *look,
                  FILE *out)
{
    struct table t;
    if (r->defined_ms == 0 && r->lanes_len == 0) {
        fputs("no relays: publisher.relays names them; a publisher, or 'volley relays apply', puts "
              "them in force\n",
              out);
        return;
    }
    table_init(&t, columns, C_COUNT);
    for (size_t i = 0; i < r->lanes_len; i++)
        if (shown(&r->lanes[i], all))
            add_lane(&t, &r->lanes[i]);
    head(r, look, out);
    if (t.rows_len > 0)
        (void)table_print(&t, look, out);
    table_fini(&t);
}
