/* `volley send`: signed events as JSON Lines into the queue, judged as ingest judges them.
 *
 * read (a thread of libuv's pool) → lines → parse and policy → verify (the pool) → append → count.
 * At most UNDER_WAY_MAX events and UNDER_WAY_BYTES bytes are between line and count; while there
 * are as many nothing is read. What was counted as accepted is on disk, so sending may be broken
 * off at any moment and the same lines sent again: they are duplicates then. */
#include "common/base/clock.h"
#include "ctl/ctl.h"
#include "ctl/lines.h"
#include "ctl/progress.h"
#include "ingest/answer.h"
#include "ingest/policy.h"
#include "ingest/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNDER_WAY_MAX   512u
#define UNDER_WAY_BYTES (8u * 1024u * 1024u)
#define CHUNK           65536u
#define ANSWER_MS       10000u

struct send {
    struct ask ask; /* first */
    const char *file;
    int fd;
    uint64_t size, done; /* bytes; size 0: unknown */
    bool eof, reading, ending;
    uv_fs_t read;
    char chunk[CHUNK];
    struct lines lines;
    struct policy policy;
    struct verify *verify;
    size_t under_way_len, under_way_bytes;
    uv_timer_t tick;
    struct progress progress;
    uint64_t events, accepted, duplicates, requeued, refused, unsent;
    int read_error;     /* libuv's; 0: none */
    uint64_t stop_line; /* 0: not stopped */
    struct problem stop;
    bool json;
};

/* One event between its line and its count. */
struct sending {
    struct send *s;
    struct event *ev;
    uint64_t line;
};

static void pump(struct send *s);

/* ---- what became of a line ---- */

static void say_line(struct send *s, uint64_t line, const char *what)
{
    char text[sizeof(struct problem)];
    progress_clear(&s->progress);
    fprintf(stderr, "volley send: line %" PRIu64 ": %s\n", line,
            clean_text(what, text, sizeof text));
}

static void refuse(struct send *s, uint64_t line, const char *why)
{
    s->refused++;
    say_line(s, line, why);
}

/* The queue takes nothing now, whatever the event: going on would only refuse all the rest. */
static bool stops(enum err e)
{
    return e == ERR_CLOSED || e == ERR_UNKNOWN || e == ERR_TIMEOUT || e == ERR_FULL ||
           e == ERR_NO_SPACE || e == ERR_NO_LANES;
}

static void stop(struct send *s, uint64_t line, const char *why)
{
    if (s->stop_line == 0 || line < s->stop_line) {
        s->stop_line = line;
        problem_set(&s->stop, ERR_NONE, "%s", why);
    }
}

static void settle(struct sending *g)
{
    struct send *s = g->s;
    s->under_way_len--;
    s->under_way_bytes -= g->ev->len;
    event_unref(g->ev);
    free(g);
    pump(s);
}

static void on_appended(void *arg, enum err e, const struct append_result *r, const char *why)
{
    struct sending *g = arg;
    struct send *s = g->s;
    struct problem text;
    bool taken = answer_append(e, r, why, &text);
    if (taken) {
        s->accepted += !r->duplicate;
        s->duplicates += r->duplicate;
        s->requeued += r->duplicate && r->requeued > 0;
    } else if (stops(e)) {
        s->unsent++;
        stop(s, g->line, text.text);
    } else {
        refuse(s, g->line, text.text);
    }
    settle(g);
}

static void on_verified(void *arg, enum err e, const struct problem *why)
{
    struct sending *g = arg;
    struct problem text;
    if (e == ERR_NONE && g->s->stop_line == 0) {
        g->s->ask.queue->ops->append(g->s->ask.queue, g->ev, on_appended, g);
        return;
    }
    if (e == ERR_NONE) {
        g->s->unsent++;
    } else {
        problem_set(&text, e, "invalid: %s", why->text);
        refuse(g->s, g->line, text.text);
    }
    settle(g);
}

static void take_line(struct send *s, const struct line *line, int64_t now_s)
{
    struct event *ev;
    struct problem why, text;
    s->events++;
    const struct json_span json = {.p = line->text, .len = line->len};
    if (event_parse(json, s->ask.inv->config.ingest.max_event, &ev, &why) != ERR_NONE) {
        problem_set(&text, ERR_NONE, "invalid: %s", why.text);
        refuse(s, line->number, text.text);
        return;
    }
    if (policy_check(&s->policy, ev, now_s, &why) != ERR_NONE) {
        refuse(s, line->number, why.text);
        event_unref(ev);
        return;
    }
    struct sending *g = mem_zero(1, sizeof *g);
    *g = (struct sending){.s = s, .ev = ev, .line = line->number};
    s->under_way_len++;
    s->under_way_bytes += ev->len;
    verify_submit(s->verify, ev, on_verified, g);
}

/* ---- the end ---- */

static void summary_json(const struct send *s)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "events", (double)s->events);
    cJSON_AddNumberToObject(o, "accepted", (double)s->accepted);
    cJSON_AddNumberToObject(o, "duplicate", (double)s->duplicates);
    cJSON_AddNumberToObject(o, "requeued", (double)s->requeued);
    cJSON_AddNumberToObject(o, "refused", (double)s->refused);
    cJSON_AddItemToObject(o, "stopped_at_line",
                          s->stop_line != 0 ? cJSON_CreateNumber((double)s->stop_line)
                                            : cJSON_CreateNull());
    cJSON_AddItemToObject(o, "stop_reason",
                          s->stop_line != 0 ? cJSON_CreateString(s->stop.text)
                                            : cJSON_CreateNull());
    print_json(o, stdout);
}

static void summary(const struct send *s)
{
    printf("accepted %" PRIu64 ", duplicate %" PRIu64, s->accepted, s->duplicates);
    if (s->requeued > 0)
        printf(" (%" PRIu64 " queued again)", s->requeued);
    printf(", refused %" PRIu64 "\n", s->refused);
}

static void on_verify_closed(void *arg)
{
    struct send *s = arg;
    int status = s->refused > 0 ? 1 : 0;
    if (s->read_error != 0)
        status = command_fail(s->ask.inv, 1, "%s: %s", s->file, uv_strerror(s->read_error));
    if (s->stop_line != 0)
        status = command_fail(s->ask.inv, 1,
                              "stopped at line %" PRIu64
                              ": %s (what was accepted is a duplicate when the lines are sent "
                              "again)",
                              s->stop_line, s->stop.text);
    if (s->json)
        summary_json(s);
    else
        summary(s);
    ask_done(&s->ask, ERR_NONE, status);
}

static void end(struct send *s)
{
    s->ending = true;
    progress_clear(&s->progress);
    uv_close((uv_handle_t *)&s->tick, NULL);
    verify_close(s->verify, on_verify_closed, s);
}

/* ---- reading ---- */

static void on_read(uv_fs_t *read)
{
    struct send *s = read->data;
    ssize_t len = read->result;
    uv_fs_req_cleanup(read);
    s->reading = false;
    if (len < 0)
        s->read_error = (int)len;
    else if (len == 0)
        s->eof = true;
    else
        lines_add(&s->lines, s->chunk, (size_t)len);
    s->done += len > 0 ? (uint64_t)len : 0;
    pump(s);
}

static void begin_read(struct send *s)
{
    uv_buf_t into = uv_buf_init(s->chunk, sizeof s->chunk);
    s->reading = true;
    s->read.data = s;
    if (uv_fs_read(&s->ask.loop, &s->read, s->fd, &into, 1, -1, on_read) != 0)
        die("uv_fs_read refused a valid request");
}

/* As far as it goes now: lines into the verifier, then the next read, or the end. */
static void pump(struct send *s)
{
    int64_t now_s = clock_wall_s();
    bool hungry = false;
    if (s->ending)
        return;
    while (s->stop_line == 0 && s->under_way_len < UNDER_WAY_MAX &&
           s->under_way_bytes < UNDER_WAY_BYTES && !hungry) {
        struct line line;
        switch (lines_next(&s->lines, s->eof, &line)) {
        case LINE_NONE:
            hungry = true;
            break;
        case LINE_TOO_LONG:
            s->events++;
            refuse(s, line.number, "invalid: the line is too long for any event that is taken");
            break;
        case LINE_WHOLE:
            take_line(s, &line, now_s);
            break;
        }
    }
    verify_push(s->verify);
    bool over = s->stop_line != 0 || s->read_error != 0 || (hungry && s->eof);
    if (hungry && !over && !s->reading)
        begin_read(s);
    else if (over && s->under_way_len == 0 && !s->reading)
        end(s);
}

static void on_tick(uv_timer_t *tick)
{
    struct send *s = tick->data;
    progress_draw(&s->progress, s->done, s->size, s->accepted + s->duplicates + s->refused,
                  clock_boot_ms());
}

/* ---- the command ---- */

static void ask_send(struct ask *ask)
{
    struct send *s = (struct send *)ask;
    s->verify = verify_new(&ask->loop);
    uv_timer_init(&ask->loop, &s->tick);
    s->tick.data = s;
    progress_init(&s->progress, clock_boot_ms());
    if (s->progress.on)
        uv_timer_start(&s->tick, on_tick, PROGRESS_EVERY_MS, PROGRESS_EVERY_MS);
    pump(s);
}

static int open_input(struct send *s, const struct invocation *inv)
{
    struct stat st;
    s->file = inv->arguments_len > 0 ? inv->arguments[0] : "-";
    s->fd = strcmp(s->file, "-") == 0 ? STDIN_FILENO : open(s->file, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0)
        return command_fail(inv, 1, "%s: %s", s->file, strerror(errno));
    if (fstat(s->fd, &st) == 0 && S_ISREG(st.st_mode))
        s->size = (uint64_t)st.st_size;
    if (isatty(s->fd))
        fputs("reading signed events from the terminal, one a line; Ctrl-D ends\n", stderr);
    return 0;
}

/* As ingest's, so that what one takes the other takes. Escapes make a line longer than its event.
 */
static void set_rules(struct send *s, const struct config *c)
{
    policy_init(&s->policy, (const uint8_t(*)[32])c->ingest.allow_pubkeys.keys,
                c->ingest.allow_pubkeys.len);
    s->policy.min_pow = (uint32_t)c->ingest.min_pow;
    s->policy.past_s = (int64_t)(c->ingest.created_at_past_ms / 1000);
    s->policy.future_s = (int64_t)(c->ingest.created_at_future_ms / 1000);
    lines_init(&s->lines, (size_t)c->ingest.max_event * 3 + 1024, CHUNK);
}

static int send_run(const struct invocation *inv)
{
    struct send *s = mem_zero(1, sizeof *s);
    s->json = invocation_option(inv, "--json") != NULL;
    s->ask.timeout_ms = ANSWER_MS;
    int status = open_input(s, inv);
    if (status == 0) {
        set_rules(s, &inv->config);
        status = ask_queue(&s->ask, inv, ask_send);
        policy_fini(&s->policy);
        lines_fini(&s->lines);
    }
    if (s->fd > STDERR_FILENO)
        close(s->fd);
    free(s);
    return status;
}

static const struct option_row options[] = {{"--json", NULL, "the counts as one object"}};

const struct command command_send = {
    .name = "send",
    .arguments = "[FILE|-]",
    .summary = "queues signed events from JSON Lines; the same again is harmless",
    .details =
        "One event a line; what ingest would refuse is refused here, named on stderr with its line "
        "and reason, and the exit status is 1. Accepted events are on disk. Sending may be broken "
        "off and the same lines sent again: what was accepted is then a duplicate. When the "
        "queue takes nothing (full, or out of reach), sending stops and says at which line.",
    .examples = "  volley send events.jsonl\n  strfry export | volley send\n"
                "  volley send --set ingest.created_at_past=any archive.jsonl",
    .options = options,
    .options_len = COUNT_OF(options),
    .arguments_max = 1,
    .run = send_run,
};
