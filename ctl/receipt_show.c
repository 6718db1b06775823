#include "ctl/receipt_show.h"

#include "common/base/hex.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

static const char *end_name(const struct receipt_lane *l)
{
    switch (l->end) {
    case RECEIPT_DELIVERED:
        return "delivered";
    case RECEIPT_QUEUED:
        return "queued";
    case RECEIPT_RETRYING:
        return "retrying";
    case RECEIPT_FILTERED:
        return "filtered";
    case RECEIPT_NEVER:
        return "never";
    case RECEIPT_ROW:
        return row_end_name(l->row.end);
    }
    return "?";
}

/* Whether there is a row to tell of: the end itself, or an earlier failure of what is tried again.
 */
static bool has_row(const struct receipt_lane *l)
{
    return l->end == RECEIPT_ROW || (l->end == RECEIPT_RETRYING && l->row.cls != CLASS_NONE);
}

/* ---- JSON ---- */

static cJSON *history_json(const struct receipt_lane *l)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < l->history_len; i++) {
        const struct row *row = &l->history[i];
        bool sent = row->family != FAMILY_NONE;
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "result", row_end_name(row->end));
        cJSON_AddStringToObject(o, "class", row_class_name(row->cls));
        cJSON_AddItemToObject(o, "reason", text_or_null(row->text));
        cJSON_AddNumberToObject(o, "attempts", row->attempts);
        cJSON_AddItemToObject(o, "first", time_or_null(row->first_ms));
        cJSON_AddItemToObject(o, "last", time_or_null(row->last_ms));
        cJSON_AddItemToObject(o, "family", text_or_null(sent ? family_name(row->family) : ""));
        cJSON_AddItemToObject(o, "route", text_or_null(sent ? route_name(row->route) : ""));
        cJSON_AddItemToArray(list, o);
    }
    return list;
}

static void lane_json(const struct receipt_lane *l, const char *id, FILE *out)
{
    cJSON *o = cJSON_CreateObject();
    bool row = has_row(l), sent = row && l->row.family != FAMILY_NONE;
    bool retrying = l->end == RECEIPT_RETRYING;
    uint32_t attempts = retrying ? l->exception.attempts : l->row.attempts;
    cJSON_AddStringToObject(o, "id", id);
    cJSON_AddStringToObject(o, "relay", l->url);
    cJSON_AddItemToObject(o, "name", text_or_null(l->name));
    cJSON_AddStringToObject(o, "result", end_name(l));
    cJSON_AddItemToObject(o, "class", text_or_null(row ? row_class_name(l->row.cls) : ""));
    cJSON_AddItemToObject(o, "reason", text_or_null(row ? l->row.text : ""));
    cJSON_AddItemToObject(o, "attempts", number_or_null(row || retrying, attempts));
    cJSON_AddItemToObject(o, "time", time_or_null(row ? l->row.last_ms : 0));
    cJSON_AddItemToObject(o, "first", time_or_null(row ? l->row.first_ms : 0));
    cJSON_AddItemToObject(o, "family", text_or_null(sent ? family_name(l->row.family) : ""));
    cJSON_AddItemToObject(o, "route", text_or_null(sent ? route_name(l->row.route) : ""));
    cJSON_AddBoolToObject(o, "retired", l->retired);
    cJSON_AddItemToObject(o, "history", history_json(l));
    print_json(o, out);
}

void receipt_json(const struct queue_receipt *r, FILE *out)
{
    char id[2 * EVENT_ID_LEN + 1];
    hex_str(id, r->id, sizeof r->id);
    for (size_t i = 0; i < r->lanes_len; i++)
        lane_json(&r->lanes[i], id, out);
}

/* ---- for people ---- */

#define LABEL_MAX 30u

static const char *label_of(const struct receipt_lane *l, char out[URL_SIZE])
{
    const char *url = strncmp(l->url, "wss://", 6) == 0 ? l->url + 6 : l->url;
    return clean_text(l->name[0] != '\0' ? l->name : url, out, URL_SIZE);
}

static void put_line(FILE *out, size_t width, const char *fmt, ...) PRINTF(3, 4);
static void put_line(FILE *out, size_t width, const char *fmt, ...)
{
    char text[2 * URL_SIZE], line[2 * URL_SIZE];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fprintf(out, "%s\n", text_cut(text, width > 0 ? width : sizeof text, line, sizeof line));
}

static const char *when(int64_t ms, bool zone, char out[40])
{
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    localtime_r(&s, &tm);
    out[0] = '\0';
    if (ms != 0 && zone)
        (void)strftime(out, 40, "%Y-%m-%d %H:%M:%S %z", &tm);
    else if (ms != 0)
        (void)strftime(out, 40, "%Y-%m-%d %H:%M:%S", &tm);
    return out;
}

/* "failed (blocked), 2026-01-02 03:04:05, 2 attempts, ipv4 by direct". */
static const char *row_text(const char *end, const struct row *row, uint32_t attempts, char *out,
                            size_t size)
{
    char time[40], tries[24] = "", path[24] = "";
    if (attempts > 0)
        (void)snprintf(tries, sizeof tries, ", %" PRIu32 " attempt%s", attempts,
                       attempts == 1 ? "" : "s");
    if (row->family != FAMILY_NONE)
        (void)snprintf(path, sizeof path, ", %s by %s", family_name(row->family),
                       route_name(row->route));
    (void)when(row->last_ms, false, time);
    (void)snprintf(out, size, "%s (%s)%s%s%s%s", end, row_class_name(row->cls),
                   time[0] != '\0' ? ", " : "", time, tries, path);
    return out;
}

/* Why something ended that no relay said a word about. */
static const char *own_words(const struct row *row)
{
    static const char *const words[CLASS_COUNT] = {
        [CLASS_SUPERSEDED] = "a newer version took its place",
        [CLASS_DELETED] = "its author deleted it",
        [CLASS_OUTDATED] = "its own expiration passed before it could be sent",
        [CLASS_EPHEMERAL] = "ephemeral, and could not be sent within a minute",
        [CLASS_PROTECTED] = "protected: only its author may send it",
        [CLASS_VANISHED] = "its author asked to vanish",
        [CLASS_OPERATOR] = "an operator said so",
        [CLASS_RETENTION] = "it waited for longer than queue.retention",
        [CLASS_LANE_MAX] = "the relay's queue was larger than queue.lane_max",
        [CLASS_RETIRED] = "the relay was taken from the list",
        [CLASS_RELEASED] = "an operator gave up what waited ('volley release --from now')",
    };
    if (row->text[0] != '\0' || row->cls >= CLASS_COUNT)
        return row->text;
    return words[row->cls] != NULL ? words[row->cls] : "";
}

static void put_words(const struct row *row, int indent, size_t width, FILE *out)
{
    char text[QUEUE_TEXT_SIZE];
    if (own_words(row)[0] != '\0')
        put_line(out, width, "%*s%s", indent, "", clean_text(own_words(row), text, sizeof text));
}

static void put_lane(const struct receipt_lane *l, size_t label_width, size_t width, FILE *out)
{
    char name[URL_SIZE], label[URL_SIZE], text[256];
    const char *word = end_name(l), *what = word;
    uint32_t attempts = l->end == RECEIPT_RETRYING ? l->exception.attempts : l->row.attempts;
    (void)text_cut(label_of(l, name), width > 0 ? label_width : sizeof name, label, sizeof label);
    if (has_row(l))
        what = row_text(word, &l->row, attempts, text, sizeof text);
    else if (l->end == RECEIPT_RETRYING && attempts > 0) {
        (void)snprintf(text, sizeof text, "%s, %" PRIu32 " attempt%s", word, attempts,
                       attempts == 1 ? "" : "s");
        what = text;
    }
    size_t have = text_width(label), pad = have < label_width ? label_width - have : 0;
    put_line(out, width, "%s%*s %s%s", label, (int)pad, "", what, l->retired ? ", retired" : "");
    if (has_row(l))
        put_words(&l->row, 4, width, out);
    for (size_t i = 0; i < l->history_len; i++) {
        const struct row *row = &l->history[i];
        put_line(out, width, "    before: %s",
                 row_text(row_end_name(row->end), row, row->attempts, text, sizeof text));
        put_words(row, 6, width, out);
    }
}

static bool shown(const struct receipt_lane *l)
{
    return l->end != RECEIPT_NEVER || !l->retired;
}

static size_t label_width_of(const struct queue_receipt *r)
{
    size_t widest = 0;
    for (size_t i = 0; i < r->lanes_len; i++) {
        const struct receipt_lane *l = &r->lanes[i];
        char name[URL_SIZE];
        size_t w = text_width(label_of(l, name));
        if (shown(l) && w > widest)
            widest = w;
    }
    return widest < LABEL_MAX ? widest : LABEL_MAX;
}

void receipt_text(const struct queue_receipt *r, size_t width, FILE *out)
{
    char id[2 * EVENT_ID_LEN + 1], time[40];
    size_t label_width = label_width_of(r);
    put_line(out, width, "event %s", hex_str(id, r->id, sizeof r->id));
    put_line(out, width, "kind %u, accepted %s, position %" PRIu64, r->kind,
             when(r->accepted_ms, true, time), r->pos);
    for (size_t i = 0; i < r->lanes_len; i++)
        if (shown(&r->lanes[i]))
            put_lane(&r->lanes[i], label_width, width, out);
}
