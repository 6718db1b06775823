/* `volley relays`: the relays as the queue has them; `volley relays apply`: this configuration's
 * list, put in force. */
#include "ctl/relays_show.h"
#include "ctl/screen.h"

#include <inttypes.h>

struct relays_ask {
    struct ask ask; /* first */
    bool json, all;
};

static void on_registry(void *arg, enum err e, const struct queue_registry *r)
{
    struct relays_ask *a = arg;
    const struct table_look look = {.width = terminal_size(1, NULL),
                                    .colours = terminal_colours(1)};
    if (e == ERR_NONE && a->json)
        relays_json(r, a->all, NULL, stdout);
    else if (e == ERR_NONE)
        relays_table(r, a->all, &look, stdout);
    ask_done(&a->ask, e, e == ERR_NONE ? 0 : 1);
}

static void ask_relays(struct ask *ask)
{
    ask->queue->ops->registry(ask->queue, on_registry, ask);
}

/* ---- apply ---- */

static void say(const struct relays_ask *a, const struct define_result *r)
{
    if (!a->json) {
        printf("added %" PRIu32 ", changed %" PRIu32 ", retired %" PRIu32 ", unchanged %" PRIu32
               "; list %" PRIu64 " is in force\n",
               r->added, r->changed, r->retired, r->unchanged, r->registry_version);
        return;
    }
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "added", r->added);
    cJSON_AddNumberToObject(o, "changed", r->changed);
    cJSON_AddNumberToObject(o, "retired", r->retired);
    cJSON_AddNumberToObject(o, "unchanged", r->unchanged);
    cJSON_AddNumberToObject(o, "list", (double)r->registry_version);
    print_json(o, stdout);
}

static void on_defined(void *arg, enum err e, const struct define_result *r, const char *why)
{
    struct relays_ask *a = arg;
    if (e == ERR_INVALID || e == ERR_TOO_BIG || e == ERR_NO_SPACE || e == ERR_FULL) {
        ask_done(&a->ask, ERR_NONE,
                 command_fail(a->ask.inv, e == ERR_INVALID ? EXIT_USAGE : 1,
                              "the list was not taken: %s",
                              why != NULL && why[0] != '\0' ? why : err_name(e)));
        return;
    }
    if (e == ERR_NONE)
        say(a, r);
    ask_done(&a->ask, e, e == ERR_NONE ? 0 : 1);
}

static void ask_apply(struct ask *ask)
{
    const struct config *c = &ask->inv->config;
    struct define_call call = {
        .defs = c->publisher.relays.defs, .len = c->publisher.relays.len, .force = true};
    operator_name(call.by);
    ask->changes = true;
    ask->queue->ops->define(ask->queue, &call, on_defined, ask);
}

static int relays_run(const struct invocation *inv)
{
    struct relays_ask a = {.json = invocation_option(inv, "--json") != NULL,
                           .all = invocation_option(inv, "--all") != NULL};
    bool yes = invocation_option(inv, "--yes") != NULL;
    if (inv->arguments_len == 0 && yes)
        return command_fail(inv, EXIT_USAGE, "--yes goes with 'volley relays apply'");
    if (inv->arguments_len == 0)
        return ask_queue(&a.ask, inv, ask_relays);
    if (a.all)
        return command_fail(inv, EXIT_USAGE, "--all does not go with apply");
    if (inv->config.publisher.relays.len == 0 && !yes)
        return command_fail(inv, EXIT_USAGE,
                            "publisher.relays is empty (%s%s): it would retire every relay; --yes "
                            "does it",
                            inv->config.file[0] != '\0' ? "in " : "no configuration file",
                            inv->config.file);
    return ask_queue(&a.ask, inv, ask_apply);
}

static const struct option_row options[] = {
    {"--all", NULL, "retired relays too"},
    {"--yes", NULL, "apply: also an empty list, which retires every relay"},
    {"--json", NULL, "one object a line, the list's own last"},
};

const struct command command_relays = {
    .name = "relays",
    .arguments = "[apply]",
    .words = "apply",
    .summary = "the relays as the queue has them; apply: this configuration's",
    .details =
        "The queue keeps the list of relays; a publisher puts its configuration's in force when it "
        "starts and on SIGHUP, unless that very list has been replaced since. 'apply' puts it in "
        "force in any case: new relays start at the head of the log (backfill: at its oldest "
        "event), missing ones retire, changed ones change where each relay stands. HOLD: held by "
        "an operator, as listed (hold: yes), or released by an operator though the list holds it. "
        "ABOVE: positions of the log that the definition holds for.",
    .examples = "  volley relays\n  volley relays --all --json\n"
                "  volley relays apply -c /etc/volley/volley.yaml",
    .options = options,
    .options_len = COUNT_OF(options),
    .arguments_max = 1,
    .run = relays_run,
};
