/* `volley purge`: forgets failed deliveries; their receipts then say purged. */
#include "ctl/rows.h"
#include "ctl/screen.h"

#include <inttypes.h>

static bool is_purge(const struct rows *r)
{
    return r->call.what == FAILED_PURGE;
}

static void say_json(struct rows *r)
{
    const struct groups *g = &r->groups;
    groups_json(&r->groups, &r->names, stdout);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddBoolToObject(o, "total", true);
    cJSON_AddBoolToObject(o, "dry_run", !is_purge(r));
    cJSON_AddNumberToObject(o, "count", (double)g->count);
    cJSON_AddNumberToObject(o, "busy", (double)g->busy);
    cJSON_AddNumberToObject(o, "purged", is_purge(r) ? (double)(g->count - g->busy) : 0);
    print_json(o, stdout);
}

static void on_end(struct rows *r)
{
    struct groups *g = &r->groups;
    uint64_t can = g->count - g->busy;
    if (r->json) {
        say_json(r);
    } else if (!is_purge(r)) {
        groups_table(g, &r->names, terminal_size(1, NULL), stdout);
        printf("nothing was purged; --yes forgets these %" PRIu64 "\n", can);
    } else {
        printf("purged %s%" PRIu64 " failed %s\n", r->paging.repeated ? "at least " : "", can,
               can == 1 ? "delivery" : "deliveries");
        if (g->busy > 0)
            printf("  busy: %" PRIu64 " are in a replay job and stay\n", g->busy);
    }
    ask_done(&r->ask, ERR_NONE, 0);
}

static int purge_run(const struct invocation *inv)
{
    struct rows r = {.on_end = on_end};
    int status = rows_need_filter(inv);
    if (status != 0)
        return status;
    r.call.what = invocation_option(inv, "--yes") != NULL ? FAILED_PURGE : FAILED_COUNT;
    return rows_run(&r, inv);
}

static const struct option_row options[] = {
    FILTER_OPTIONS,
    {"--all", NULL, "all that failed, instead of a filter"},
    {"--yes", NULL, "does it; without it they are only counted"},
    {"--json", NULL, "one object a line"},
};

const struct command command_purge = {
    .name = "purge",
    .arguments = "",
    .summary = "forgets failed deliveries",
    .details = "Several filters all apply. " FILTER_CLASSES
               " What is purged can't be sent again by 'volley replay'; receipts say purged, and "
               "why it had failed. What is in a replay job stays.",
    .examples = "  volley purge --relay damus --class invalid\n"
                "  volley purge --relay damus --class invalid --yes\n"
                "  volley purge --older-than 30d --yes",
    .options = options,
    .options_len = COUNT_OF(options),
    .run = purge_run,
};
