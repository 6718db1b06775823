/* `volley replay`: puts failed deliveries back, as a job that the queue keeps and works on; and
 * what can be done to jobs.
 *
 * First it is looked whether there is anything to send, as a job is made also of nothing. A job is
 * made page by page (paging.h), then its counters are asked for: they are the truth, also when an
 * answer was lost on the way. */
#include "common/base/clock.h"
#include "common/base/rng.h"
#include "common/config/value.h"
#include "ctl/jobs_show.h"
#include "ctl/progress.h"
#include "ctl/rows.h"
#include "ctl/screen.h"

#include <inttypes.h>
#include <string.h>

#define WAIT_EVERY_MS   300u
#define WAIT_SILENCE_MS 60000u

struct replay {
    struct rows rows; /* first */
    bool wait;
    uint64_t job; /* made, to be cancelled, or followed */
    uv_timer_t timer;
    struct progress progress;
    int64_t now_ms;       /* the queue's, for ages */
    uint64_t answered_ms; /* boot clock */
};

/* ---- a dry run ---- */

static void on_counted(struct rows *rows)
{
    struct groups *g = &rows->groups;
    if (rows->json) {
        groups_json(g, &rows->names, stdout);
        cJSON *o = cJSON_CreateObject();
        cJSON_AddBoolToObject(o, "total", true);
        cJSON_AddBoolToObject(o, "dry_run", true);
        cJSON_AddNumberToObject(o, "count", (double)g->count);
        cJSON_AddNumberToObject(o, "gone", (double)g->gone);
        cJSON_AddNumberToObject(o, "busy", (double)g->busy);
        print_json(o, stdout);
    } else {
        groups_table(g, &rows->names, terminal_size(1, NULL), stdout);
        printf("dry run: nothing was changed; %" PRIu64 " would be sent again\n",
               g->count - g->gone - g->busy);
    }
    ask_done(&rows->ask, ERR_NONE, 0);
}

/* ---- following a job to its end ---- */

static void ask_progress(uv_timer_t *timer);

static void finish_waiting(struct replay *r, enum err e, int status)
{
    progress_clear(&r->progress);
    uv_close((uv_handle_t *)&r->timer, NULL);
    ask_done(&r->rows.ask, e, status);
}

static void on_progress(void *arg, enum err e, const struct replay_job *jobs, size_t len)
{
    struct replay *r = arg;
    uint64_t now_ms = clock_boot_ms();
    bool lost = e == ERR_CLOSED || e == ERR_UNKNOWN || e == ERR_TIMEOUT;
    if (lost && now_ms - r->answered_ms < WAIT_SILENCE_MS) {
        uv_timer_start(&r->timer, ask_progress, WAIT_EVERY_MS, 0);
        return;
    }
    if (e != ERR_NONE) {
        finish_waiting(r, e, 1);
        return;
    }
    r->answered_ms = now_ms;
    const struct replay_job *j = jobs_find(jobs, len, r->job);
    if (j == NULL) {
        finish_waiting(
            r, ERR_NONE,
            command_fail(r->rows.ask.inv, 1, "job %" PRIu64 " is not known any more", r->job));
        return;
    }
    bool over = j->state == JOB_DONE || (j->state == JOB_CANCELLED && j->asked == 0);
    uint64_t settled = j->delivered + j->failed + j->dropped;
    if (!over) {
        progress_draw(&r->progress, settled, j->total, settled, now_ms);
        uv_timer_start(&r->timer, ask_progress, WAIT_EVERY_MS, 0);
        return;
    }
    progress_clear(&r->progress);
    if (r->rows.json)
        print_json(jobs_object(j), stdout);
    else
        jobs_line(j, stdout);
    finish_waiting(r, ERR_NONE, j->failed > 0 || j->state == JOB_CANCELLED ? 1 : 0);
}

static void ask_progress(uv_timer_t *timer)
{
    struct replay *r = timer->data;
    r->rows.ask.queue->ops->jobs(r->rows.ask.queue, on_progress, r);
}

static void begin_waiting(struct replay *r)
{
    r->answered_ms = clock_boot_ms();
    r->rows.ask.changes = false;
    progress_init(&r->progress, r->answered_ms);
    uv_timer_init(&r->rows.ask.loop, &r->timer);
    r->timer.data = r;
    fflush(stdout);
    ask_progress(&r->timer);
}

/* ---- making a job ---- */

static void say_made(const struct replay *r, const struct replay_job *j)
{
    const struct groups *g = &r->rows.groups;
    const char *rate = invocation_option(r->rows.ask.inv, "--rate");
    bool limited = j->rate_per_1000s != 0 && rate != NULL;
    if (j->total == 0)
        puts("nothing to send again");
    else
        printf("job %" PRIu64 ": %" PRIu64 " failed %s will be sent again, %s%s\n", j->number,
               j->total, j->total == 1 ? "delivery" : "deliveries",
               limited ? "at most " : "as relays take them", limited ? rate : "");
    if (g->gone > 0)
        printf("  gone: %" PRIu64 " can't be: no longer kept, or the relay retired\n", g->gone);
    if (g->busy > 0)
        printf("  busy: %" PRIu64 " are in another replay job\n", g->busy);
    if (j->total > 0 && !r->wait)
        printf("watch it: volley replay --jobs   stop it: volley replay --cancel %" PRIu64 "\n",
               j->number);
}

static void made_json(const struct replay *r, const struct replay_job *j)
{
    cJSON *o = jobs_object(j);
    cJSON_AddNumberToObject(o, "gone", (double)r->rows.groups.gone);
    cJSON_AddNumberToObject(o, "busy", (double)r->rows.groups.busy);
    print_json(o, stdout);
}

static void on_made(void *arg, enum err e, const struct replay_job *jobs, size_t len)
{
    struct replay *r = arg;
    const struct replay_job *j = e == ERR_NONE ? jobs_find(jobs, len, r->job) : NULL;
    if (j == NULL) {
        int status = command_fail(r->rows.ask.inv, 1,
                                  "job %" PRIu64
                                  " was made, but the queue does not tell of it; 'volley replay "
                                  "--jobs' may",
                                  r->job);
        ask_done(&r->rows.ask, ERR_NONE, status);
        return;
    }
    if (r->rows.json)
        made_json(r, j);
    else
        say_made(r, j);
    if (r->wait && j->total > 0)
        begin_waiting(r);
    else
        ask_done(&r->rows.ask, ERR_NONE, 0);
}

static void on_collected(struct rows *rows)
{
    struct replay *r = (struct replay *)rows;
    r->job = rows->again.call.job;
    rows->ask.queue->ops->jobs(rows->ask.queue, on_made, r);
}

static bool any_free(const struct groups *g)
{
    return g->count > g->gone + g->busy;
}

static bool on_looked_page(struct rows *rows, const struct failed_page *p)
{
    (void)p;
    return !any_free(&rows->groups);
}

/* One will do. Without one (perhaps no id was given) there is no job. */
static void on_looked(struct rows *rows)
{
    struct replay *r = (struct replay *)rows;
    const struct replay_job none = {.state = JOB_DONE};
    if (any_free(&rows->groups)) {
        rows_again(rows, FAILED_REPLAY, on_collected);
        return;
    }
    if (rows->json)
        made_json(r, &none);
    else
        say_made(r, &none);
    ask_done(&rows->ask, ERR_NONE, 0);
}

/* ---- jobs ---- */

static void on_jobs(void *arg, enum err e, const struct replay_job *jobs, size_t len)
{
    struct replay *r = arg;
    const struct table_look look = {.width = terminal_size(1, NULL),
                                    .colours = terminal_colours(1)};
    if (e == ERR_NONE && !r->rows.json)
        jobs_table(jobs, len, r->now_ms, &look, stdout);
    for (size_t i = 0; e == ERR_NONE && r->rows.json && i < len; i++)
        print_json(jobs_object(&jobs[i]), stdout);
    ask_done(&r->rows.ask, e, e == ERR_NONE ? 0 : 1);
}

static void on_queue_clock(void *arg, enum err e, const struct queue_depth *d)
{
    struct replay *r = arg;
    if (e != ERR_NONE) {
        ask_done(&r->rows.ask, e, 1);
        return;
    }
    r->now_ms = d->now_ms;
    r->rows.ask.queue->ops->jobs(r->rows.ask.queue, on_jobs, r);
}

static void ask_jobs(struct ask *ask)
{
    ask->queue->ops->depth(ask->queue, on_queue_clock, ask); /* it tells the queue's time */
}

/* ---- cancelling ---- */

static void on_cancelled_job(void *arg, enum err e, const struct replay_job *jobs, size_t len)
{
    struct replay *r = arg;
    const struct invocation *inv = r->rows.ask.inv;
    const struct replay_job *j = e == ERR_NONE ? jobs_find(jobs, len, r->job) : NULL;
    int status = 0;
    if (e == ERR_NONE && j == NULL)
        status =
            command_fail(inv, 1, "no job %" PRIu64 "; 'volley replay --jobs' lists them", r->job);
    else if (e == ERR_NONE && j->state != JOB_CANCELLED)
        status =
            command_fail(inv, 1, "job %" PRIu64 " is %s already", r->job, job_state_name(j->state));
    if (j != NULL && r->rows.json)
        print_json(jobs_object(j), stdout);
    else if (j != NULL && status == 0)
        jobs_line(j, stdout);
    ask_done(&r->rows.ask, e, e == ERR_NONE ? status : 1);
}

static void on_cancel(void *arg, enum err e)
{
    struct replay *r = arg;
    if (e != ERR_NONE && e != ERR_NOT_FOUND)
        ask_done(&r->rows.ask, e, 1);
    else
        r->rows.ask.queue->ops->jobs(r->rows.ask.queue, on_cancelled_job, r);
}

static void ask_cancel(struct ask *ask)
{
    struct replay *r = (struct replay *)ask;
    char by[OPERATOR_SIZE];
    operator_name(by);
    ask->changes = true;
    ask->queue->ops->cancel(ask->queue, r->job, by, on_cancel, r);
}

/* ---- the command ---- */

/* --jobs and --cancel are about jobs: no other option but --json goes with them. */
static bool alone(const struct invocation *inv, const char *name)
{
    for (size_t i = 0; i < inv->command->options_len; i++) {
        const char *other = inv->command->options[i].name;
        if (inv->given[i] != NULL && strcmp(other, name) != 0 && strcmp(other, "--json") != 0)
            return false;
    }
    return true;
}

static int about_jobs(struct replay *r, const struct invocation *inv)
{
    const char *cancel = invocation_option(inv, "--cancel");
    const char *name = cancel != NULL ? "--cancel" : "--jobs";
    if (!alone(inv, name))
        return command_fail(inv, EXIT_USAGE, "only --json goes with %s", name);
    if (cancel == NULL)
        return ask_queue(&r->rows.ask, inv, ask_jobs);
    if (value_uint(cancel, &r->job) != ERR_NONE || r->job == 0)
        return command_fail(inv, EXIT_USAGE, "--cancel=%s: expected a job's number", cancel);
    return ask_queue(&r->rows.ask, inv, ask_cancel);
}

static int read_rate(struct replay *r, const struct invocation *inv)
{
    const char *rate = invocation_option(inv, "--rate");
    uint32_t *per_1000s = &r->rows.call.rate_per_1000s;
    if (rate != NULL && (value_rate(rate, per_1000s) != ERR_NONE || *per_1000s == 0))
        return command_fail(inv, EXIT_USAGE, "--rate=%s: expected a rate such as 5/s or 100/m",
                            rate);
    return 0;
}

static int replay_run(const struct invocation *inv)
{
    struct replay r = {.rows.json = invocation_option(inv, "--json") != NULL,
                       .wait = invocation_option(inv, "--wait") != NULL};
    bool dry = invocation_option(inv, "--dry-run") != NULL;
    int status = 0;
    if (invocation_option(inv, "--jobs") != NULL || invocation_option(inv, "--cancel") != NULL)
        return about_jobs(&r, inv);
    if ((status = rows_need_filter(inv)) != 0 || (status = read_rate(&r, inv)) != 0)
        return status;
    r.rows.call.what = FAILED_COUNT;
    r.rows.on_page = dry ? NULL : on_looked_page;
    r.rows.on_end = dry ? on_counted : on_looked;
    while (r.rows.call.token == 0)
        rng_secure(&r.rows.call.token, sizeof r.rows.call.token);
    return rows_run(&r.rows, inv);
}

static const struct option_row options[] = {
    FILTER_OPTIONS,
    {"--all", NULL, "all that failed, instead of a filter"},
    {"--dry-run", NULL, "only counts, by relay and class"},
    {"--rate", "R", "at most so many, such as 5/s (default: as fast as relays take them)"},
    {"--wait", NULL, "stays until all are settled; status 1 if one failed again"},
    {"--jobs", NULL, "lists the replay jobs"},
    {"--cancel", "JOB", "stops a job; what is under way is settled"},
    {"--json", NULL, "one object a line"},
};

const struct command command_replay = {
    .name = "replay",
    .arguments = "",
    .summary = "sends failed deliveries again",
    .details =
        "Several filters all apply. " FILTER_CLASSES
        " A replay is a job that the queue keeps: it goes on after a crash, and a delivery is in "
        "one job at a time. Relays get what is sent again in the order of the log, each at its own "
        "pace; --rate holds for the job as a whole. A job fixes its deliveries when it is made. "
        "--jobs: of TOTAL so many wait for their turn (WAITING), are asked for (ASKED), were "
        "DELIVERED, FAILED again, were DROPPED (skipped, expired, cancelled).",
    .examples =
        "  volley replay --relay damus --dry-run\n  volley replay --relay damus --rate 5/s\n"
        "  volley failed --json --limit 0 | jq -r .id | volley replay --id -\n"
        "  volley replay --all --wait\n  volley replay --jobs\n"
        "  volley replay --cancel 3",
    .options = options,
    .options_len = COUNT_OF(options),
    .run = replay_run,
};
