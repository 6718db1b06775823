#include "ctl/failed_show.h"

#include "common/base/hex.h"
#include "ctl/ctl.h"

#include <inttypes.h>

void failed_json(const struct failed_row *f, const struct relay_names *names, FILE *out)
{
    char hex[2 * EVENT_ID_LEN + 1];
    bool sent = f->row.family != FAMILY_NONE;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "id", hex_str(hex, f->id, sizeof f->id));
    cJSON_AddNumberToObject(o, "kind", f->kind);
    cJSON_AddStringToObject(o, "author", hex_str(hex, f->author, sizeof f->author));
    relay_name_json(o, relay_names_lane(names, f->lane));
    cJSON_AddStringToObject(o, "result", row_end_name(f->row.end));
    cJSON_AddStringToObject(o, "class", row_class_name(f->row.cls));
    cJSON_AddItemToObject(o, "reason", text_or_null(f->row.text));
    cJSON_AddNumberToObject(o, "attempts", f->row.attempts);
    cJSON_AddItemToObject(o, "accepted", time_or_null(f->accepted_ms));
    cJSON_AddItemToObject(o, "first", time_or_null(f->row.first_ms));
    cJSON_AddItemToObject(o, "last", time_or_null(f->row.last_ms));
    cJSON_AddItemToObject(o, "family", text_or_null(sent ? family_name(f->row.family) : ""));
    cJSON_AddItemToObject(o, "route", text_or_null(sent ? route_name(f->row.route) : ""));
    cJSON_AddBoolToObject(o, "replayable", f->replayable);
    cJSON_AddItemToObject(o, "job", number_or_null(f->job != 0, (double)f->job));
    print_json(o, out);
}

enum { C_RELAY, C_EVENT, C_KIND, C_CLASS, C_TRIES, C_FIRST, C_LAST, C_FAMILY, C_ROUTE, C_COUNT };

const struct table_column failed_columns[C_COUNT] = {
    [C_RELAY] = {.head = "RELAY"},
    [C_EVENT] = {.head = "EVENT"},
    [C_KIND] = {.head = "KIND", .right = true},
    [C_CLASS] = {.head = "CLASS", .colours = true},
    [C_TRIES] = {.head = "TRIES", .right = true},
    [C_FIRST] = {.head = "FIRST", .right = true, .drop = 3},
    [C_LAST] = {.head = "LAST", .right = true},
    [C_FAMILY] = {.head = "FAMILY", .drop = 1},
    [C_ROUTE] = {.head = "ROUTE", .drop = 2},
};
const size_t failed_columns_len = C_COUNT;

static const char *age(int64_t at_ms, int64_t now_ms, char out[16])
{
    return short_duration(at_ms == 0 ? -1 : at_ms < now_ms ? now_ms - at_ms : 0, out);
}

/* The relay's words, after what keeps it from being sent again. */
static const char *note_of(const struct failed_row *f, char *out, size_t size)
{
    char words[QUEUE_TEXT_SIZE], state[48] = "";
    if (f->job != 0)
        (void)snprintf(state, sizeof state, "[replay job %" PRIu64 "]", f->job);
    else if (!f->replayable)
        (void)snprintf(state, sizeof state, "[gone]");
    (void)snprintf(out, size, "%s%s%s", state,
                   state[0] != '\0' && f->row.text[0] != '\0' ? " " : "",
                   clean_text(f->row.text, words, sizeof words));
    return out[0] != '\0' ? out : NULL;
}

static void add_row(struct table *t, const struct failed_row *f, const struct relay_names *names,
                    int64_t now_ms, bool whole)
{
    char label[URL_SIZE], id[2 * EVENT_ID_LEN + 1], kind[12], tries[12], first[16], last[16];
    char note[QUEUE_TEXT_SIZE + 64];
    bool sent = f->row.family != FAMILY_NONE;
    (void)relay_name_label(relay_names_lane(names, f->lane), f->lane, label);
    (void)hex_str(id, f->id, sizeof f->id);
    if (!whole)
        id[FAILED_ID_SHORT] = '\0';
    (void)snprintf(kind, sizeof kind, "%" PRIu32, f->kind);
    (void)snprintf(tries, sizeof tries, "%" PRIu32, f->row.attempts);
    const char *cells[C_COUNT] = {
        [C_RELAY] = label,
        [C_EVENT] = id,
        [C_KIND] = kind,
        [C_CLASS] = row_class_name(f->row.cls),
        [C_TRIES] = tries,
        [C_FIRST] = age(f->row.first_ms, now_ms, first),
        [C_LAST] = age(f->row.last_ms, now_ms, last),
        [C_FAMILY] = sent ? family_name(f->row.family) : "-",
        [C_ROUTE] = sent ? route_name(f->row.route) : "-",
    };
    table_add(t, cells, note_of(f, note, sizeof note),
              f->row.end == ROW_EXPIRED ? COLOUR_YELLOW : COLOUR_RED);
}

void failed_page_print(struct table *t, const struct failed_page *p,
                       const struct relay_names *names, int64_t now_ms,
                       const struct table_look *look, FILE *out)
{
    if (p->rows_len == 0)
        return;
    for (size_t i = 0; i < p->rows_len; i++)
        add_row(t, &p->rows[i], names, now_ms, look->width == 0);
    (void)table_print(t, look, out);
    table_clear(t);
}
