#include "ctl/rows.h"

#include <unistd.h>

static bool on_page(void *arg, const struct failed_page *p)
{
    struct rows *r = arg;
    groups_add(&r->groups, p);
    return r->on_page == NULL || r->on_page(r, p);
}

static void on_end(void *arg, enum err e)
{
    struct rows *r = arg;
    if (e == ERR_NONE)
        r->on_end(r);
    else if (e == ERR_NOT_FOUND && r->call.what == FAILED_REPLAY)
        ask_done(&r->ask, ERR_NONE,
                 command_fail(r->ask.inv, 1,
                              "the job ended while it was made (cancelled, or no page came for a "
                              "minute); begin again"));
    else if (e == ERR_FULL && r->call.what == FAILED_REPLAY)
        ask_done(&r->ask, ERR_NONE,
                 command_fail(r->ask.inv, 1,
                              "%u replay jobs are not over yet; 'volley replay --jobs' lists them",
                              JOBS_MAX));
    else
        ask_done(&r->ask, e, 1);
}

static void walk(struct rows *r, struct paging *w)
{
    w->on_page = on_page;
    w->on_end = on_end;
    w->arg = r;
    r->ask.changes = r->call.what == FAILED_REPLAY || r->call.what == FAILED_PURGE;
    paging_begin(w, &r->ask.loop, r->ask.queue, &r->call);
}

static void on_registry(void *arg, enum err e, const struct queue_registry *registry)
{
    struct rows *r = arg;
    struct problem p;
    if (e != ERR_NONE) {
        ask_done(&r->ask, e, 1);
        return;
    }
    relay_names_take(&r->names, registry);
    if (filter_resolve(&r->filter, &r->names, &p) != ERR_NONE) {
        ask_done(&r->ask, ERR_NONE, command_fail(r->ask.inv, EXIT_USAGE, "%s", p.text));
        return;
    }
    if (r->filter.none) {
        r->on_end(r);
        return;
    }
    r->call.filter = r->filter.row;
    filter_text(&r->filter, r->call.text);
    operator_name(r->call.by);
    walk(r, &r->paging);
}

void rows_again(struct rows *r, enum failed_do what, void (*end)(struct rows *r))
{
    groups_fini(&r->groups);
    r->groups = (struct groups){0};
    r->call.what = what;
    r->on_page = NULL;
    r->on_end = end;
    walk(r, &r->again);
}

static void ask_rows(struct ask *ask)
{
    ask->queue->ops->registry(ask->queue, on_registry, ask);
}

int rows_need_filter(const struct invocation *inv)
{
    static const struct option_row filters[] = {FILTER_OPTIONS};
    bool all = invocation_option(inv, "--all") != NULL, given = false;
    for (size_t i = 0; i < COUNT_OF(filters); i++)
        given |= invocation_option(inv, filters[i].name) != NULL;
    if (!all && !given)
        return command_fail(inv, EXIT_USAGE,
                            "which? Give a filter such as --relay or --class, or --all; see "
                            "'volley %s --help'",
                            inv->command->name);
    if (all && given)
        return command_fail(inv, EXIT_USAGE, "either a filter or --all, not both");
    return 0;
}

int rows_run(struct rows *r, const struct invocation *inv)
{
    struct problem p;
    r->json = invocation_option(inv, "--json") != NULL;
    enum err e = filter_read(inv, STDIN_FILENO, &r->filter, &p);
    int status = e != ERR_NONE ? command_fail(inv, e == ERR_IO ? 1 : EXIT_USAGE, "%s", p.text)
                               : ask_queue(&r->ask, inv, ask_rows);
    filter_free(&r->filter);
    relay_names_fini(&r->names);
    groups_fini(&r->groups);
    return status;
}
