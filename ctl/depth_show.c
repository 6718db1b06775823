#include "ctl/depth_show.h"

#include "ctl/table.h"
#include "ctl/verdict.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool shown(const struct lane_status *l, const struct relay_choice *relay)
{
    return !l->retired && relay_chosen(relay, &l->definition);
}

struct depth_total depth_sum(const struct queue_depth *d, const struct relay_choice *relay)
{
    struct depth_total sum = {0};
    for (size_t i = 0; i < d->lanes_len; i++) {
        const struct lane_status *l = &d->lanes[i];
        if (!shown(l, relay))
            continue;
        sum.relays++;
        sum.depth += l->depth;
        sum.failed += l->failed;
        sum.delivered += l->delivered;
    }
    return sum;
}

/* Held is the publisher's word alone: who waits for it knows that nothing more is sent. Who was
 * just released is idle at once, and since when the publisher has yet to say. */
static const char *state_of(const struct lane_status *l, int64_t *since_ms)
{
    bool released = !l->held && l->live.state == LANE_HELD;
    *since_ms = released ? 0 : l->live.since_ms;
    return lane_state_name(released ? LANE_IDLE : l->live.state);
}

/* Of what is not settled; an old word may tell of more. */
static uint64_t in_flight_of(const struct lane_status *l)
{
    return l->live.in_flight < l->depth ? l->live.in_flight : l->depth;
}

/* ---- JSON ---- */

static void add_verdict(cJSON *o, const struct lane_status *l, int64_t now_ms)
{
    int64_t since_ms;
    cJSON_AddStringToObject(o, "verdict", verdict_name(verdict_of(l, now_ms, &since_ms)));
    cJSON_AddItemToObject(o, "verdict_since", time_or_null(since_ms));
}

static void add_paths(cJSON *o, const struct lane_status *l)
{
    cJSON *paths = cJSON_AddArrayToObject(o, "paths");
    for (size_t i = 0; i < l->paths_len; i++) {
        const struct path_stat *s = &l->paths[i];
        cJSON *path = cJSON_CreateObject();
        cJSON_AddStringToObject(path, "route", route_name(s->route));
        cJSON_AddStringToObject(path, "family", family_name(s->family));
        cJSON_AddNumberToObject(path, "attempts", (double)s->attempts);
        cJSON_AddNumberToObject(path, "successes", (double)s->successes);
        cJSON_AddNumberToObject(path, "failures", (double)s->failures);
        double n = s->successes > 0 ? (double)s->successes * 1000.0 : 0;
        cJSON_AddItemToObject(path, "connect_ms",
                              number_or_null(n > 0, (double)s->connect_us / (n > 0 ? n : 1)));
        cJSON_AddItemToObject(path, "tls_ms",
                              number_or_null(n > 0, (double)s->tls_us / (n > 0 ? n : 1)));
        cJSON_AddItemToObject(path, "websocket_ms",
                              number_or_null(n > 0, (double)s->websocket_us / (n > 0 ? n : 1)));
        cJSON_AddItemToArray(paths, path);
    }
}

static void lane_json(const struct lane_status *l, int64_t now_ms, FILE *out)
{
    int64_t since_ms;
    const char *state = state_of(l, &since_ms);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "relay", l->definition.url);
    cJSON_AddItemToObject(o, "name", text_or_null(l->definition.name));
    cJSON_AddNumberToObject(o, "depth", (double)l->depth);
    cJSON_AddNumberToObject(o, "in_flight", (double)in_flight_of(l));
    cJSON_AddNumberToObject(o, "retrying", (double)l->retrying);
    cJSON_AddNumberToObject(o, "asked", (double)l->asked);
    cJSON_AddNumberToObject(o, "delivered", (double)l->delivered);
    cJSON_AddNumberToObject(o, "failed", (double)l->failed);
    cJSON_AddNumberToObject(o, "skipped", (double)l->skipped);
    cJSON_AddNumberToObject(o, "expired", (double)l->expired);
    cJSON_AddItemToObject(o, "oldest", time_or_null(l->oldest_ms));
    cJSON_AddNumberToObject(o, "rate", l->live.rate_per_1000s / 1000.0);
    int64_t drain_ms = verdict_drain_ms(l);
    cJSON_AddItemToObject(o, "drain_seconds",
                          number_or_null(drain_ms >= 0, (double)(drain_ms / 1000)));
    cJSON_AddStringToObject(o, "state", state);
    cJSON_AddItemToObject(o, "since", time_or_null(since_ms));
    cJSON_AddItemToObject(o, "retry_at", time_or_null(l->live.retry_at_ms));
    enum family f = l->live.family != FAMILY_NONE ? l->live.family : l->learned.family;
    cJSON_AddItemToObject(
        o, "family", f != FAMILY_NONE ? cJSON_CreateString(family_name(f)) : cJSON_CreateNull());
    cJSON_AddStringToObject(o, "route", route_name(l->definition.route));
    cJSON_AddItemToObject(o, "publisher", text_or_null(l->publisher));
    cJSON_AddItemToObject(o, "last_error", text_or_null(l->live.last_error));
    cJSON_AddItemToObject(o, "last_error_at", time_or_null(l->live.error_ms));
    cJSON_AddNumberToObject(o, "position", (double)l->position);
    add_verdict(o, l, now_ms);
    add_paths(o, l);
    print_json(o, out);
}

static void total_json(const struct queue_depth *d, const struct depth_total *sum, FILE *out)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddBoolToObject(o, "total", true);
    cJSON_AddNumberToObject(o, "depth", (double)sum->depth);
    cJSON_AddNumberToObject(o, "failed", (double)sum->failed);
    cJSON_AddNumberToObject(o, "head", (double)d->head);
    cJSON_AddNumberToObject(o, "events", (double)d->events);
    cJSON_AddNumberToObject(o, "bytes", (double)d->bytes);
    cJSON_AddNumberToObject(o, "max_bytes", (double)d->max_bytes);
    cJSON_AddItemToObject(o, "heartbeat_accepted", time_or_null(d->heartbeat.accepted_ms));
    cJSON_AddItemToObject(o, "heartbeat_delivered", time_or_null(d->heartbeat.taken_ms));
    cJSON_AddNumberToObject(o, "now", (double)(d->now_ms / 1000));
    print_json(o, out);
}

void depth_json(const struct queue_depth *d, const struct relay_choice *relay, FILE *out)
{
    struct depth_total sum = depth_sum(d, relay);
    for (size_t i = 0; i < d->lanes_len; i++)
        if (shown(&d->lanes[i], relay))
            lane_json(&d->lanes[i], d->now_ms, out);
    total_json(d, &sum, out);
}

/* ---- the table ---- */

enum {
    C_RELAY,
    C_DEPTH,
    C_FLIGHT,
    C_RETRY,
    C_ASKED,
    C_FAILED,
    C_OLDEST,
    C_RATE,
    C_DRAIN,
    C_VERDICT,
    C_STATE,
    C_FAMILY,
    C_PUBLISHER,
    C_COUNT
};

static const struct table_column columns[C_COUNT] = {
    [C_RELAY] = {.head = "RELAY"},
    [C_DEPTH] = {.head = "DEPTH", .right = true},
    [C_FLIGHT] = {.head = "FLIGHT", .right = true, .drop = 2},
    [C_RETRY] = {.head = "RETRY", .right = true},
    [C_ASKED] = {.head = "ASKED", .right = true, .drop = 6},
    [C_FAILED] = {.head = "FAILED", .right = true},
    [C_OLDEST] = {.head = "OLDEST", .right = true},
    [C_RATE] = {.head = "RATE", .right = true, .drop = 1},
    [C_DRAIN] = {.head = "DRAIN", .right = true},
    [C_VERDICT] = {.head = "VERDICT", .colours = true},
    [C_STATE] = {.head = "STATE", .drop = 3},
    [C_FAMILY] = {.head = "FAMILY", .drop = 4},
    [C_PUBLISHER] = {.head = "PUBLISHER", .drop = 5},
};

struct cells {
    char text[C_COUNT][PUBLISHER_NAME_SIZE > URL_SIZE ? PUBLISHER_NAME_SIZE : URL_SIZE];
};

static void put(struct cells *cells, int column, const char *text)
{
    (void)clean_text(text, cells->text[column], sizeof cells->text[column]);
}

/* "stalled 12m", "open 4s". */
static void put_since(struct cells *cells, int column, const char *word, int64_t since_ms,
                      int64_t now_ms)
{
    char age[16];
    if (since_ms == 0 || since_ms > now_ms)
        put(cells, column, word);
    else
        (void)snprintf(cells->text[column], sizeof cells->text[column], "%s %s", word,
                       short_duration(now_ms - since_ms, age));
}

static void fill(struct cells *cells, const struct lane_status *l, enum verdict verdict,
                 int64_t since_ms, int64_t now_ms)
{
    char text[16];
    enum family f = l->live.family != FAMILY_NONE ? l->live.family : l->learned.family;
    int64_t age_ms = l->oldest_ms == 0 ? -1 : now_ms > l->oldest_ms ? now_ms - l->oldest_ms : 0;
    int64_t state_since_ms;
    put(cells, C_RELAY, relay_label(&l->definition));
    put(cells, C_DEPTH, short_count(l->depth, text));
    put(cells, C_FLIGHT, short_count(in_flight_of(l), text));
    put(cells, C_RETRY, short_count(l->retrying, text));
    put(cells, C_ASKED, short_count(l->asked, text));
    put(cells, C_FAILED, short_count(l->failed, text));
    put(cells, C_OLDEST, short_duration(age_ms, text));
    put(cells, C_RATE, short_rate(l->live.rate_per_1000s, text));
    put(cells, C_DRAIN, short_duration(verdict_drain_ms(l), text));
    if (verdict == VERDICT_FINE)
        put(cells, C_VERDICT, verdict_name(verdict));
    else
        put_since(cells, C_VERDICT, verdict_name(verdict), since_ms, now_ms);
    const char *state = state_of(l, &state_since_ms);
    put_since(cells, C_STATE, state, state_since_ms, now_ms);
    put(cells, C_FAMILY, f != FAMILY_NONE ? family_name(f) : "-");
    put(cells, C_PUBLISHER, l->publisher[0] != '\0' ? l->publisher : "-");
}

/* The last error, when that was, and in backoff when the relay is tried again; "" when there was
 * none. */
static void fill_note(const struct lane_status *l, int64_t now_ms, char *out, size_t size)
{
    char error[QUEUE_TEXT_SIZE], wait[16], age[16];
    int64_t wait_ms = l->live.retry_at_ms - now_ms;
    (void)clean_text(l->live.last_error, error, sizeof error);
    int64_t age_ms = now_ms - l->live.error_ms;
    (void)short_duration(age_ms < 0 ? 0 : age_ms, age);
    (void)short_duration(wait_ms < 0 ? 0 : wait_ms, wait);
    if (error[0] != '\0' && l->live.state == LANE_BACKOFF && l->live.retry_at_ms != 0)
        (void)snprintf(out, size, "%s (%s ago, next try in %s)", error, age, wait);
    else if (error[0] != '\0')
        (void)snprintf(out, size, "%s (%s ago)", error, age);
    else
        out[0] = '\0';
}

static void add_lane(struct table *t, const struct lane_status *l, enum verdict verdict,
                     int64_t now_ms)
{
    static const enum colour colours[VERDICT_COUNT] = {
        [VERDICT_FINE] = COLOUR_GREEN,   [VERDICT_BEHIND] = COLOUR_YELLOW,
        [VERDICT_STALLED] = COLOUR_RED,  [VERDICT_HELD] = COLOUR_DIM,
        [VERDICT_UNLEASED] = COLOUR_RED,
    };
    struct cells cells;
    const char *list[C_COUNT];
    char note[QUEUE_TEXT_SIZE + 64];
    int64_t since_ms;
    (void)verdict_of(l, now_ms, &since_ms);
    fill(&cells, l, verdict, since_ms, now_ms);
    fill_note(l, now_ms, note, sizeof note);
    for (size_t c = 0; c < C_COUNT; c++)
        list[c] = cells.text[c];
    table_add(t, list, note[0] != '\0' ? note : NULL, colours[verdict]);
}

/* The lanes shown; when there is not room for all, the worst come first. */
static void add_lanes(struct table *t, const struct queue_depth *d, const struct depth_look *look,
                      bool worst_first)
{
    for (int pass = VERDICT_COUNT - 1; pass >= 0; pass--) {
        for (size_t i = 0; i < d->lanes_len; i++) {
            int64_t since_ms;
            enum verdict v = verdict_of(&d->lanes[i], d->now_ms, &since_ms);
            if (shown(&d->lanes[i], look->relay) && (!worst_first || (int)v == pass))
                add_lane(t, &d->lanes[i], v, d->now_ms);
        }
        if (!worst_first)
            return;
    }
}

static size_t lines_of(const struct table *t)
{
    size_t lines = 1;
    for (size_t r = 0; r < t->rows_len; r++)
        lines += t->rows[r].note != NULL ? 2 : 1;
    return lines;
}

static void total_line(const struct queue_depth *d, const struct depth_total *sum, size_t hidden,
                       size_t width, FILE *out)
{
    char depth[16], failed[16], events[16], more[40] = "", text[256], line[256];
    if (hidden > 0)
        (void)snprintf(more, sizeof more, " (%zu not shown)", hidden);
    (void)snprintf(
        text, sizeof text, "total: %s waiting at %zu %s%s, %s failed; %s events, %.1f of %.0f MiB",
        short_count(sum->depth, depth), sum->relays, sum->relays == 1 ? "relay" : "relays", more,
        short_count(sum->failed, failed), short_count(d->events, events),
        (double)d->bytes / 1048576.0, (double)d->max_bytes / 1048576.0);
    fprintf(out, "%s\n", text_cut(text, width > 0 ? width : sizeof text, line, sizeof line));
}

void depth_table(const struct queue_depth *d, const struct depth_look *look, FILE *out)
{
    struct depth_total sum = depth_sum(d, look->relay);
    struct table t;
    size_t lines_max = look->lines_max > 2 ? look->lines_max - 1 : look->lines_max;
    table_init(&t, columns, C_COUNT);
    add_lanes(&t, d, look, false);
    if (lines_max > 0 && lines_of(&t) > lines_max) {
        table_fini(&t);
        table_init(&t, columns, C_COUNT);
        add_lanes(&t, d, look, true);
    }
    const struct table_look l = {
        .width = look->width, .lines_max = lines_max, .colours = look->colours};
    size_t printed = table_print(&t, &l, out);
    total_line(d, &sum, t.rows_len - printed, look->width, out);
    table_fini(&t);
}
