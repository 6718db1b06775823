/* `volley depth`: how deep each relay's queue is, and why. Once, or again and again like top. */
#include "common/base/clock.h"
#include "common/config/value.h"
#include "ctl/ctl.h"
#include "ctl/depth_show.h"
#include "ctl/relay_names.h"
#include "ctl/screen.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WATCH_DEFAULT_MS 2000u
#define WATCH_MIN_MS     100u
#define WATCH_MAX_MS     3600000u

struct depth_ask {
    struct ask ask; /* first */
    struct relay_choice relay;
    bool json;
    uint64_t watch_ms; /* 0: once */
    bool on_screen;    /* a terminal is drawn upon; otherwise one answer follows the other */
    struct screen screen;
    uv_timer_t timer;
    bool asking, answered, ended;
    /* of the last answer, for the rates between two of them */
    int64_t last_ms;
    uint64_t last_head, last_delivered;
};

static void begin_asking(struct depth_ask *a);

/* ---- the screen's head ---- */

static void put_rate(FILE *out, const char *word, bool known, uint64_t from, uint64_t to,
                     int64_t ms)
{
    char text[16] = "-";
    if (known && ms > 0 && to >= from)
        (void)short_rate((to - from) * 1000000u / (uint64_t)ms, text);
    fprintf(out, "%s %s/s", word, text);
}

static void put_head(struct depth_ask *a, const struct queue_depth *d, FILE *out)
{
    struct depth_total sum = depth_sum(d, &a->relay);
    time_t now_s = (time_t)(d->now_ms / 1000);
    struct tm tm;
    char clock[16];
    int64_t ms = d->now_ms - a->last_ms;
    localtime_r(&now_s, &tm);
    strftime(clock, sizeof clock, "%H:%M:%S", &tm);
    fprintf(out, "volley depth  %s  ", clock);
    put_rate(out, "accepted", a->answered, a->last_head, d->head, ms);
    put_rate(out, "  delivered", a->answered, a->last_delivered, sum.delivered, ms);
    fprintf(out, "  every %g s, q ends\n\n", (double)a->watch_ms / 1000.0);
    a->last_ms = d->now_ms;
    a->last_head = d->head;
    a->last_delivered = sum.delivered;
}

/* ---- showing ---- */

#define HEAD_LINES 2u

static void show_screen(struct depth_ask *a, const struct queue_depth *d)
{
    struct depth_look look = {.relay = &a->relay, .colours = terminal_colours(1)};
    size_t lines, len;
    char *text;
    FILE *frame = open_memstream(&text, &len);
    if (frame == NULL)
        die("out of memory");
    look.width = terminal_size(1, &lines);
    look.lines_max = lines > HEAD_LINES + 3 ? lines - HEAD_LINES : 3;
    put_head(a, d, frame);
    depth_table(d, &look, frame);
    fclose(frame);
    screen_draw(&a->screen, text);
    free(text);
}

static void show(struct depth_ask *a, const struct queue_depth *d)
{
    if (a->on_screen) {
        show_screen(a, d);
    } else if (a->json) {
        depth_json(d, &a->relay, stdout);
    } else {
        if (a->answered)
            putchar('\n');
        const struct depth_look look = {
            .relay = &a->relay, .width = terminal_size(1, NULL), .colours = terminal_colours(1)};
        depth_table(d, &look, stdout);
    }
    fflush(stdout);
}

static void show_silence(struct depth_ask *a)
{
    char text[CONFIG_TEXT_SIZE + 64], line[CONFIG_TEXT_SIZE + 64];
    (void)snprintf(text, sizeof text, "no answer from the queue; trying again (%s)",
                   a->ask.inv->config.queue.url);
    if (a->on_screen)
        screen_draw(&a->screen, text_cut(text, terminal_size(1, NULL), line, sizeof line));
    else
        command_fail(a->ask.inv, 1, "%s", text);
}

/* ---- asking ---- */

static void end(struct depth_ask *a, enum err e, int status)
{
    if (a->ended)
        return;
    a->ended = true;
    if (a->on_screen)
        screen_end(&a->screen);
    if (a->watch_ms > 0)
        uv_close((uv_handle_t *)&a->timer, NULL);
    ask_done(&a->ask, e, status);
}

static void on_end(void *arg)
{
    end(arg, ERR_NONE, 0);
}

static void on_redraw(void *arg)
{
    begin_asking(arg);
}

static void on_timer(uv_timer_t *timer)
{
    begin_asking(timer->data);
}

static bool is_silence(enum err e)
{
    return e == ERR_CLOSED || e == ERR_UNKNOWN || e == ERR_TIMEOUT;
}

/* From the second answer on a watch has a screen: what keeps it from beginning is said plainly. */
static void after_first(struct depth_ask *a)
{
    if (a->watch_ms == 0) {
        end(a, ERR_NONE, 0);
        return;
    }
    a->answered = true;
    if (ferror(stdout))
        end(a, ERR_NONE, 1); /* nobody reads any more */
}

static void say_unknown(struct depth_ask *a, const struct queue_depth *d)
{
    struct relay_names names = {0};
    struct problem p;
    for (size_t i = 0; i < d->lanes_len; i++)
        if (!d->lanes[i].retired)
            relay_names_add(&names, d->lanes[i].lane, false, &d->lanes[i].definition);
    if (relay_names_find(&names, a->relay.text, &p) == NULL)
        command_fail(a->ask.inv, EXIT_USAGE, "%s", p.text);
    relay_names_fini(&names);
}

static void on_depth(void *arg, enum err e, const struct queue_depth *d)
{
    struct depth_ask *a = arg;
    a->asking = false;
    if (a->ended)
        return;
    if (e != ERR_NONE && a->answered && is_silence(e)) {
        show_silence(a);
        return;
    }
    if (e != ERR_NONE) {
        end(a, e, 1);
        return;
    }
    if (a->relay.text != NULL && depth_sum(d, &a->relay).relays == 0) {
        end(a, ERR_NONE, EXIT_USAGE);
        say_unknown(a, d);
        return;
    }
    if (!a->answered && a->watch_ms > 0 && !a->json && isatty(1)) {
        a->on_screen = true;
        screen_begin(&a->screen, &a->ask.loop, on_end, on_redraw, a);
    }
    show(a, d);
    after_first(a);
}

static void begin_asking(struct depth_ask *a)
{
    if (a->asking || a->ended)
        return;
    a->asking = true;
    a->ask.queue->ops->depth(a->ask.queue, on_depth, a);
}

static void ask_depth(struct ask *ask)
{
    struct depth_ask *a = (struct depth_ask *)ask;
    if (a->watch_ms > 0) {
        uv_timer_init(&ask->loop, &a->timer);
        a->timer.data = a;
        uv_timer_start(&a->timer, on_timer, a->watch_ms, a->watch_ms);
    }
    begin_asking(a);
}

static int read_watch(const struct invocation *inv, uint64_t *out_ms)
{
    const char *text = invocation_option(inv, "--watch");
    *out_ms = 0;
    if (text == NULL)
        return 0;
    *out_ms = WATCH_DEFAULT_MS;
    if (text[0] != '\0' && (value_duration(text, out_ms) != ERR_NONE || *out_ms < WATCH_MIN_MS ||
                            *out_ms > WATCH_MAX_MS))
        return command_fail(inv, EXIT_USAGE,
                            "--watch=%s: expected a duration from 100ms to 1h, such as 2s", text);
    return 0;
}

static int depth_run(const struct invocation *inv)
{
    struct depth_ask a = {.json = invocation_option(inv, "--json") != NULL};
    int status = read_watch(inv, &a.watch_ms);
    if (status != 0)
        return status;
    relay_choose(invocation_option(inv, "--relay"), &a.relay);
    return ask_queue(&a.ask, inv, ask_depth);
}

static const struct option_row options[] = {
    {"--relay", "R", "only this relay (URL or name)"},
    {"--watch", "[=2s]", "again and again, like top; q ends"},
    {"--json", NULL, "one object a line, the total last"},
};

const struct command command_depth = {
    .name = "depth",
    .arguments = "",
    .summary = "how many events wait for each relay, and why",
    .details =
        "Verdicts: fine (nothing waits, or it leaves as fast as it comes), falling behind (it "
        "needs longer to drain than the oldest has waited), stalled (something waits and nothing "
        "leaves), held, unleased (no publisher has it). OLDEST is the age of the oldest event "
        "that waits, RATE what was delivered a second over the last 10 s, DRAIN how long it "
        "takes at this rate. The last error stands below its relay.",
    .examples = "  volley depth\n  volley depth --watch\n"
                "  volley depth --relay wss://relay.example --json",
    .options = options,
    .options_len = COUNT_OF(options),
    .run = depth_run,
};
