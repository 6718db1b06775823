/* `volley failed`: the deliveries that failed, or how many. Each page is printed as it comes, so
 * that who has seen enough (… | head) ends it. */
#include "common/base/clock.h"
#include "common/config/value.h"
#include "ctl/failed_show.h"
#include "ctl/rows.h"
#include "ctl/screen.h"

#include <inttypes.h>

#define LIMIT_DEFAULT 100u

struct failed_ask {
    struct rows rows; /* first */
    struct table table;
    uint64_t limit; /* 0: all */
    uint64_t shown;
    bool probing; /* the limit is reached: one more page tells whether there are more */
    enum { MORE_NONE, MORE_MAYBE, MORE_SURELY } more;
};

static uint32_t next_limit(const struct failed_ask *a)
{
    uint64_t left = a->limit == 0 ? FAILED_PAGE_MAX : a->limit - a->shown;
    return left < FAILED_PAGE_MAX ? (uint32_t)left : FAILED_PAGE_MAX;
}

static void print_page(struct failed_ask *a, const struct failed_page *p)
{
    const struct table_look look = {.width = terminal_size(1, NULL),
                                    .colours = terminal_colours(1)};
    if (!a->rows.json)
        failed_page_print(&a->table, p, &a->rows.names, clock_wall_ms(), &look, stdout);
    for (size_t i = 0; a->rows.json && i < p->rows_len; i++)
        failed_json(&p->rows[i], &a->rows.names, stdout);
    a->shown += p->rows_len;
    fflush(stdout);
}

static bool on_page(struct rows *rows, const struct failed_page *p)
{
    struct failed_ask *a = (struct failed_ask *)rows;
    if (a->probing) {
        a->more = p->rows_len > 0 ? MORE_SURELY : p->more ? MORE_MAYBE : MORE_NONE;
        return false;
    }
    print_page(a, p);
    if (ferror(stdout))
        return false; /* nobody reads any more */
    a->probing = a->limit != 0 && a->shown >= a->limit;
    rows->paging.call.limit = a->probing ? 1 : next_limit(a);
    return true;
}

static void on_end(struct rows *rows)
{
    struct failed_ask *a = (struct failed_ask *)rows;
    if (rows->json && a->more != MORE_NONE) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddBoolToObject(o, "more", true);
        cJSON_AddNumberToObject(o, "shown", (double)a->shown);
        print_json(o, stdout);
    } else if (!rows->json && a->more != MORE_NONE) {
        printf("the first %" PRIu64 "; there %s more: --limit 0 shows all, --count counts them\n",
               a->shown, a->more == MORE_SURELY ? "are" : "may be");
    } else if (!rows->json && a->shown == 0) {
        puts("nothing failed that is meant");
    }
    ask_done(&rows->ask, ERR_NONE, ferror(stdout) ? 1 : 0);
}

static void on_counted(struct rows *rows)
{
    struct groups *g = &rows->groups;
    if (rows->json) {
        groups_json(g, &rows->names, stdout);
        cJSON *o = cJSON_CreateObject();
        cJSON_AddBoolToObject(o, "total", true);
        cJSON_AddNumberToObject(o, "count", (double)g->count);
        cJSON_AddNumberToObject(o, "gone", (double)g->gone);
        cJSON_AddNumberToObject(o, "busy", (double)g->busy);
        print_json(o, stdout);
    } else {
        groups_table(g, &rows->names, terminal_size(1, NULL), stdout);
    }
    ask_done(&rows->ask, ERR_NONE, 0);
}

static int failed_run(const struct invocation *inv)
{
    struct failed_ask a = {.limit = LIMIT_DEFAULT, .rows.call.what = FAILED_LIST};
    const char *limit = invocation_option(inv, "--limit");
    bool count = invocation_option(inv, "--count") != NULL;
    if (limit != NULL && value_uint(limit, &a.limit) != ERR_NONE)
        return command_fail(inv, EXIT_USAGE, "--limit=%s: expected a number; 0 is all", limit);
    if (limit != NULL && count)
        return command_fail(inv, EXIT_USAGE, "--count counts all; --limit does not go with it");
    if (count)
        a.rows.call.what = FAILED_COUNT;
    a.rows.call.limit = next_limit(&a);
    a.rows.on_page = count ? NULL : on_page;
    a.rows.on_end = count ? on_counted : on_end;
    table_init(&a.table, failed_columns, failed_columns_len);
    int status = rows_run(&a.rows, inv);
    table_fini(&a.table);
    return status;
}

static const struct option_row options[] = {
    FILTER_OPTIONS,
    {"--count", NULL, "only how many, by relay and class"},
    {"--limit", "N", "at most so many (default 100; 0: all)"},
    {"--json", NULL, "one object a line"},
};

const struct command command_failed = {
    .name = "failed",
    .arguments = "",
    .summary = "deliveries that failed, and why",
    .details =
        "Several filters all apply. " FILTER_CLASSES
        " TRIES counts attempts, FIRST and LAST are the ages of the first and the last one; below "
        "stand the relay's words. [gone]: can't be sent again, as the event is not kept any more "
        "or the relay has retired. On a terminal ids are shortened; a pipe and --json have them "
        "whole. When there are more than the limit, the last line says so.",
    .examples = "  volley failed\n  volley failed --relay damus --class blocked,restricted\n"
                "  volley failed --newer-than 1h --count\n"
                "  volley failed --reason 'rate' --limit 0 --json | jq -r .id",
    .options = options,
    .options_len = COUNT_OF(options),
    .run = failed_run,
};
