/* `volley receipt ID`: what became of one event at each relay. */
#include "common/base/hex.h"
#include "common/nostr/nip19.h"
#include "ctl/ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct receipt_ask {
    struct ask ask; /* first */
    uint8_t id[EVENT_ID_LEN];
    bool json;
};

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

static void lane_json(const struct receipt_lane *l, const char *id)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "id", id);
    cJSON_AddStringToObject(o, "relay", l->url);
    cJSON_AddItemToObject(o, "name",
                          l->name[0] != '\0' ? cJSON_CreateString(l->name) : cJSON_CreateNull());
    cJSON_AddStringToObject(o, "result", end_name(l));
    bool row = has_row(l), sent = row && l->row.family != FAMILY_NONE;
    cJSON_AddItemToObject(
        o, "class", row ? cJSON_CreateString(row_class_name(l->row.cls)) : cJSON_CreateNull());
    cJSON_AddItemToObject(o, "reason",
                          row && l->row.text[0] != '\0' ? cJSON_CreateString(l->row.text)
                                                        : cJSON_CreateNull());
    uint32_t attempts = l->end == RECEIPT_RETRYING ? l->exception.attempts : l->row.attempts;
    cJSON_AddItemToObject(o, "attempts",
                          row || l->end == RECEIPT_RETRYING ? cJSON_CreateNumber(attempts)
                                                            : cJSON_CreateNull());
    cJSON_AddItemToObject(
        o, "time", row ? cJSON_CreateNumber((double)(l->row.last_ms / 1000)) : cJSON_CreateNull());
    cJSON_AddItemToObject(
        o, "family", sent ? cJSON_CreateString(family_name(l->row.family)) : cJSON_CreateNull());
    cJSON_AddItemToObject(o, "route",
                          sent ? cJSON_CreateString(route_name(l->row.route)) : cJSON_CreateNull());
    print_json(o, stdout);
}

static void lane_line(const struct receipt_lane *l)
{
    char name[41], text[QUEUE_TEXT_SIZE];
    const char *label = l->name[0] != '\0'                  ? l->name
                        : strncmp(l->url, "wss://", 6) == 0 ? l->url + 6
                                                            : l->url;
    printf("%-40s %s", clean_text(label, name, sizeof name), end_name(l));
    if (has_row(l))
        printf(" (%s)", row_class_name(l->row.cls));
    if (l->end == RECEIPT_RETRYING && l->exception.attempts > 0)
        printf(", %" PRIu32 " attempts", l->exception.attempts);
    else if (l->end == RECEIPT_ROW && l->row.attempts > 0)
        printf(", %" PRIu32 " attempts", l->row.attempts);
    if (has_row(l) && l->row.family != FAMILY_NONE)
        printf(", %s by %s", family_name(l->row.family), route_name(l->row.route));
    if (has_row(l) && l->row.text[0] != '\0')
        printf(": %s", clean_text(l->row.text, text, sizeof text));
    putchar('\n');
}

static void print_head(const struct queue_receipt *r, const char *id)
{
    char when[40];
    time_t s = (time_t)(r->accepted_ms / 1000);
    struct tm tm;
    localtime_r(&s, &tm);
    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S %z", &tm);
    printf("event %s, kind %u, accepted %s, position %" PRIu64 "\n", id, r->kind, when, r->pos);
}

static void on_receipt(void *arg, enum err e, const struct queue_receipt *r)
{
    struct receipt_ask *a = arg;
    char id[2 * EVENT_ID_LEN + 1];
    hex_str(id, a->id, sizeof a->id);
    if (e == ERR_NOT_FOUND) {
        ask_done(&a->ask, ERR_NONE,
                 command_fail(
                     a->ask.inv, 1,
                     "no event %s: it was never accepted, or is forgotten (queue.retention)", id));
        return;
    }
    if (e == ERR_NONE && !a->json)
        print_head(r, id);
    for (size_t i = 0; e == ERR_NONE && i < r->lanes_len; i++) {
        if (a->json)
            lane_json(&r->lanes[i], id);
        else if (r->lanes[i].end != RECEIPT_NEVER || !r->lanes[i].retired)
            lane_line(&r->lanes[i]);
    }
    ask_done(&a->ask, e, e == ERR_NONE ? 0 : 1);
}

static void ask_receipt(struct ask *ask)
{
    struct receipt_ask *a = (struct receipt_ask *)ask;
    ask->queue->ops->receipt(ask->queue, a->id, on_receipt, a);
}

static int receipt_run(const struct invocation *inv)
{
    struct receipt_ask a = {.json = invocation_option(inv, "--json") != NULL};
    struct problem p;
    if (nip19_event_id(inv->arguments[0], a.id, &p) != ERR_NONE)
        return command_fail(inv, EXIT_USAGE, "%s", p.text);
    return ask_queue(&a.ask, inv, ask_receipt);
}

static const struct option_row options[] = {{"--json", NULL, "one object a line and relay"}};

const struct command command_receipt = {
    .name = "receipt",
    .arguments = "ID",
    .summary = "what became of one event at each relay",
    .details = "One line a relay: delivered, queued, retrying, skipped, failed, expired or purged, "
               "with class, attempts, family and route and the relay's words as far as known. "
               "never: before the relay's start; filtered: the relay is not sent this kind.",
    .examples = "  volley receipt note1…\n  volley receipt 64-HEX-DIGITS --json",
    .options = options,
    .options_len = COUNT_OF(options),
    .arguments_min = 1,
    .arguments_max = 1,
    .run = receipt_run,
};
