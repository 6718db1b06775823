/* `volley depth`: how deep each relay's queue is, and why. */
#include "ctl/ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct depth_ask {
    struct ask ask; /* first */
    const char *relay;
    bool json;
};

static double per_second(uint32_t rate_per_1000s)
{
    return rate_per_1000s / 1000.0;
}

/* Seconds until it is empty at today's rate, or -1. */
static int64_t drain_s(const struct lane_status *l)
{
    if (l->depth == 0)
        return 0;
    return l->live.rate_per_1000s == 0 ? -1 : (int64_t)(l->depth * 1000 / l->live.rate_per_1000s);
}

static cJSON *or_null(bool known, double value)
{
    return known ? cJSON_CreateNumber(value) : cJSON_CreateNull();
}

static void lane_json(const struct lane_status *l)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "relay", l->definition.url);
    cJSON_AddItemToObject(o, "name",
                          l->definition.name[0] != '\0' ? cJSON_CreateString(l->definition.name)
                                                        : cJSON_CreateNull());
    cJSON_AddNumberToObject(o, "depth", (double)l->depth);
    cJSON_AddNumberToObject(o, "in_flight", l->live.in_flight);
    cJSON_AddNumberToObject(o, "retrying", (double)l->retrying);
    cJSON_AddNumberToObject(o, "delivered", (double)l->delivered);
    cJSON_AddNumberToObject(o, "failed", (double)l->failed);
    cJSON_AddNumberToObject(o, "skipped", (double)l->skipped);
    cJSON_AddNumberToObject(o, "expired", (double)l->expired);
    cJSON_AddItemToObject(o, "oldest", or_null(l->oldest_ms != 0, (double)(l->oldest_ms / 1000)));
    cJSON_AddNumberToObject(o, "rate", per_second(l->live.rate_per_1000s));
    int64_t drain = drain_s(l);
    cJSON_AddItemToObject(o, "drain_seconds", or_null(drain >= 0, (double)drain));
    cJSON_AddStringToObject(o, "state", l->held ? "held" : lane_state_name(l->live.state));
    cJSON_AddItemToObject(o, "since",
                          or_null(l->live.since_ms != 0, (double)(l->live.since_ms / 1000)));
    cJSON_AddItemToObject(o, "retry_at",
                          or_null(l->live.retry_at_ms != 0, (double)(l->live.retry_at_ms / 1000)));
    enum family f = l->live.family != FAMILY_NONE ? l->live.family : l->learned.family;
    cJSON_AddItemToObject(
        o, "family", f != FAMILY_NONE ? cJSON_CreateString(family_name(f)) : cJSON_CreateNull());
    cJSON_AddStringToObject(o, "route", route_name(l->definition.route));
    cJSON_AddItemToObject(o, "publisher",
                          l->publisher[0] != '\0' ? cJSON_CreateString(l->publisher)
                                                  : cJSON_CreateNull());
    cJSON_AddItemToObject(o, "last_error",
                          l->live.last_error[0] != '\0' ? cJSON_CreateString(l->live.last_error)
                                                        : cJSON_CreateNull());
    cJSON_AddNumberToObject(o, "position", (double)l->position);
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
                              or_null(n > 0, (double)s->connect_us / (n > 0 ? n : 1)));
        cJSON_AddItemToObject(path, "tls_ms", or_null(n > 0, (double)s->tls_us / (n > 0 ? n : 1)));
        cJSON_AddItemToObject(path, "websocket_ms",
                              or_null(n > 0, (double)s->websocket_us / (n > 0 ? n : 1)));
        cJSON_AddItemToArray(paths, path);
    }
    print_json(o);
}

static void lane_line(const struct lane_status *l, int64_t now_ms)
{
    char name[25], oldest[16], drain[16], since[16], error[200];
    int64_t drain_seconds = drain_s(l);
    enum family f = l->live.family != FAMILY_NONE ? l->live.family : l->learned.family;
    printf("%-24s %7" PRIu64 " %6u %6" PRIu64 " %7" PRIu64 " %6s %6s %-10s %5s %s",
           clean_text(relay_label(&l->definition), name, sizeof name), l->depth, l->live.in_flight,
           l->retrying, l->failed,
           short_duration(l->oldest_ms != 0 ? now_ms - l->oldest_ms : -1, oldest),
           short_duration(drain_seconds < 0 ? -1 : drain_seconds * 1000, drain),
           l->held ? "held" : lane_state_name(l->live.state),
           short_duration(l->live.since_ms != 0 ? now_ms - l->live.since_ms : -1, since),
           family_name(f));
    if (l->live.last_error[0] != '\0')
        printf("\n    %s", clean_text(l->live.last_error, error, sizeof error));
    putchar('\n');
}

static bool wanted(const struct depth_ask *a, const struct lane_status *l)
{
    return a->relay == NULL || strcmp(a->relay, l->definition.url) == 0 ||
           strcmp(a->relay, l->definition.name) == 0;
}

static void total_json(const struct queue_depth *d, uint64_t depth, uint64_t failed)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddBoolToObject(o, "total", true);
    cJSON_AddNumberToObject(o, "depth", (double)depth);
    cJSON_AddNumberToObject(o, "failed", (double)failed);
    cJSON_AddNumberToObject(o, "head", (double)d->head);
    cJSON_AddNumberToObject(o, "events", (double)d->events);
    cJSON_AddNumberToObject(o, "bytes", (double)d->bytes);
    cJSON_AddNumberToObject(o, "max_bytes", (double)d->max_bytes);
    cJSON_AddNumberToObject(o, "now", (double)(d->now_ms / 1000));
    print_json(o);
}

static void on_depth(void *arg, enum err e, const struct queue_depth *d)
{
    struct depth_ask *a = arg;
    if (e != ERR_NONE) {
        ask_done(&a->ask, e, 1);
        return;
    }
    uint64_t depth = 0, failed = 0;
    size_t shown = 0;
    if (!a->json)
        printf("%-24s %7s %6s %6s %7s %6s %6s %-10s %5s %s\n", "RELAY", "DEPTH", "FLIGHT", "RETRY",
               "FAILED", "OLDEST", "DRAIN", "STATE", "SINCE", "FAMILY");
    for (size_t i = 0; i < d->lanes_len; i++) {
        const struct lane_status *l = &d->lanes[i];
        if (l->retired || !wanted(a, l))
            continue;
        depth += l->depth;
        failed += l->failed;
        shown++;
        if (a->json)
            lane_json(l);
        else
            lane_line(l, d->now_ms);
    }
    if (a->relay != NULL && shown == 0) {
        ask_done(&a->ask, ERR_NONE,
                 command_fail(a->ask.inv, EXIT_USAGE,
                              "no relay '%s' in the queue; 'volley depth' lists them", a->relay));
        return;
    }
    if (a->json)
        total_json(d, depth, failed);
    else
        printf("total: %" PRIu64 " waiting at %zu relays, %" PRIu64 " failed; %" PRIu64
               " events held, %.1f of %.1f MiB\n",
               depth, shown, failed, d->events, (double)d->bytes / 1048576.0,
               (double)d->max_bytes / 1048576.0);
    ask_done(&a->ask, ERR_NONE, 0);
}

static void ask_depth(struct ask *ask)
{
    ask->queue->ops->depth(ask->queue, on_depth, ask);
}

static int depth_run(const struct invocation *inv)
{
    struct depth_ask a = {.json = invocation_option(inv, "--json") != NULL};
    struct relay_url url;
    const char *relay = invocation_option(inv, "--relay");
    a.relay = relay;
    if (relay != NULL && strchr(relay, '.') != NULL &&
        relay_url_parse(relay, &url, NULL) == ERR_NONE)
        a.relay = url.text; /* a URL in any spelling; a name stays as it is */
    return ask_queue(&a.ask, inv, ask_depth);
}

static const struct option_row options[] = {
    {"--relay", "R", "only this relay (URL or name)"},
    {"--json", NULL, "one object a line, the total last"},
};

const struct command command_depth = {
    .name = "depth",
    .arguments = "",
    .summary = "how many events wait for each relay, and why",
    .examples = "  volley depth\n  volley depth --relay wss://relay.example --json",
    .options = options,
    .options_len = COUNT_OF(options),
    .run = depth_run,
};
