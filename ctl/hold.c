/* `volley hold R` and `volley release R`: stop and resume one relay. */
#include "ctl/ctl.h"
#include "ctl/relay_names.h"
#include "ctl/screen.h"

#include <inttypes.h>
#include <string.h>

#define LABEL_MAX 30u /* columns of a relay's name in a line of a terminal */

struct hold_ask {
    struct ask ask; /* first */
    bool json;
    struct hold_call call;
    struct relay_names names;
    const struct relay_name *relay; /* in names */
};

/* Whether it is held before this, by an operator or by the list. */
static bool was_held(const struct relay_name *r)
{
    return r->hold == HOLD_HELD || (r->hold == HOLD_AS_DEFINED && r->hold_defined);
}

static void say(const struct hold_ask *a, const struct hold_result *r)
{
    char name[URL_SIZE], label[URL_SIZE];
    bool was = was_held(a->relay);
    (void)relay_name_label(a->relay, a->relay->lane, name);
    (void)text_cut(name, terminal_size(1, NULL) > 0 ? LABEL_MAX : sizeof name, label, sizeof label);
    if (a->call.held)
        printf("%s is held%s: nothing is sent there; %" PRIu64 " wait\n", label,
               was ? " already" : "", r->waiting);
    else if (a->call.from_now)
        printf("%s is released: %" PRIu64 " given up, %" PRIu64 " wait\n", label, r->given_up,
               r->waiting);
    else
        printf("%s is %s: %" PRIu64 " wait%s\n", label, was ? "released" : "not held", r->waiting,
               r->waiting > 0 ? " and are sent in order" : "");
}

static void say_json(const struct hold_ask *a, const struct hold_result *r)
{
    cJSON *o = cJSON_CreateObject();
    relay_name_json(o, a->relay);
    cJSON_AddBoolToObject(o, "held", a->call.held);
    cJSON_AddBoolToObject(o, "was_held", was_held(a->relay));
    cJSON_AddNumberToObject(o, "waiting", (double)r->waiting);
    cJSON_AddNumberToObject(o, "given_up", (double)r->given_up);
    print_json(o, stdout);
}

static void on_held(void *arg, enum err e, const struct hold_result *r)
{
    struct hold_ask *a = arg;
    if (e == ERR_NOT_FOUND) {
        ask_done(&a->ask, ERR_NONE,
                 command_fail(a->ask.inv, 1, "%s has just retired", a->call.url));
        return;
    }
    if (e == ERR_NONE && a->json)
        say_json(a, r);
    else if (e == ERR_NONE)
        say(a, r);
    ask_done(&a->ask, e, e == ERR_NONE ? 0 : 1);
}

static void on_registry(void *arg, enum err e, const struct queue_registry *registry)
{
    struct hold_ask *a = arg;
    struct problem p;
    if (e != ERR_NONE) {
        ask_done(&a->ask, e, 1);
        return;
    }
    relay_names_take(&a->names, registry);
    a->relay = relay_names_find(&a->names, a->ask.inv->arguments[0], &p);
    if (a->relay != NULL && a->relay->retired)
        (void)problem_set(&p, ERR_INVALID, "relay '%s' has retired: nothing is sent there",
                          a->ask.inv->arguments[0]);
    if (a->relay == NULL || a->relay->retired) {
        ask_done(&a->ask, ERR_NONE, command_fail(a->ask.inv, EXIT_USAGE, "%s", p.text));
        return;
    }
    (void)snprintf(a->call.url, sizeof a->call.url, "%s", a->relay->url);
    operator_name(a->call.by);
    a->ask.changes = true;
    a->ask.queue->ops->hold(a->ask.queue, &a->call, on_held, a);
}

static void ask_hold(struct ask *ask)
{
    ask->queue->ops->registry(ask->queue, on_registry, ask);
}

static int run(const struct invocation *inv, bool held)
{
    struct hold_ask a = {.json = invocation_option(inv, "--json") != NULL, .call.held = held};
    const char *from = held ? NULL : invocation_option(inv, "--from");
    if (from != NULL && strcmp(from, "now") != 0)
        return command_fail(inv, EXIT_USAGE, "--from=%s: only 'now' is known", from);
    a.call.from_now = from != NULL;
    int status = ask_queue(&a.ask, inv, ask_hold);
    relay_names_fini(&a.names);
    return status;
}

static int hold_run(const struct invocation *inv)
{
    return run(inv, true);
}

static int release_run(const struct invocation *inv)
{
    return run(inv, false);
}

static const struct option_row hold_options[] = {{"--json", NULL, "the result as one object"}};

const struct command command_hold = {
    .name = "hold",
    .arguments = "R",
    .summary = "sends nothing more to one relay; what waits is kept",
    .details =
        "R is the relay's URL or name. The hold is kept in the queue and outranks the relay list, "
        "until 'volley release'. What is held expires after queue.retention like everything else.",
    .examples = "  volley hold damus\n  volley hold wss://relay.example",
    .options = hold_options,
    .options_len = COUNT_OF(hold_options),
    .arguments_min = 1,
    .arguments_max = 1,
    .run = hold_run,
};

static const struct option_row release_options[] = {
    {"--from", "now", "gives up what waited, as expired (class released)"},
    {"--json", NULL, "the result as one object"},
};

const struct command command_release = {
    .name = "release",
    .arguments = "R",
    .summary = "sends to a held relay again, in order",
    .details = "R is the relay's URL or name. It outranks 'hold: yes' in the relay list. What was "
               "given up with --from now is listed by 'volley failed --class released', and can be "
               "replayed while the queue keeps it.",
    .examples = "  volley release damus\n  volley release damus --from now",
    .options = release_options,
    .options_len = COUNT_OF(release_options),
    .arguments_min = 1,
    .arguments_max = 1,
    .run = release_run,
};
