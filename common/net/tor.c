/* One process at a time: first the one that checks the torrc, then tor itself. Its lines go to our
 * log, and the last complaint is the reason when it ends. */
#include "common/net/tor.h"

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/net/tor_files.h"
#include "common/net/tor_process.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK_MS     20000u /* tor reads its torrc in some 30 ms */
#define SILENT_MS    60000u /* longer without its control port: it hangs */
#define STOP_MS      5000u
#define RETRY_MIN_MS 1000u
#define RETRY_MAX_MS 60000u
#define GOOD_MS      60000u /* so long it lived: the next failure is the first again */

enum tor_phase { PHASE_WAIT, PHASE_CHECK, PHASE_RUN };

struct tor {
    uv_loop_t *loop;
    struct tor_paths paths;
    char *extra_file;

    enum tor_phase phase;
    struct tor_process *process; /* NULL: none */
    uint64_t since_ms;
    int lock_fd;                   /* -1: not held */
    char complaint[TOR_LINE_SIZE]; /* the process's last warning */
    struct control *control;       /* in PHASE_RUN */
    uv_timer_t timer;              /* the next try, or the end of patience */
    uint32_t failures;             /* in a row */
    struct rng rng;

    struct tor_said said;
    char said_problem[512]; /* and not mended since */

    size_t handles; /* what is not yet closed: timer, processes, control */
    bool stopping;
    void (*stop_fn)(void *arg);
    void *stop_arg;
};

static void on_timer(uv_timer_t *timer);

/* ---- what is said ---- */

/* Each problem once. */
static void complain(struct tor *t, const char *fmt, ...) PRINTF(2, 3);
static void complain(struct tor *t, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (strcmp(text, t->said_problem) == 0)
        return;
    (void)snprintf(t->said_problem, sizeof t->said_problem, "%s", text);
    LOG(LOG_ERROR, "no Tor; deliveries over it wait", LOG_S("reason", text));
}

void tor_say_status(struct tor_said *last, const struct control_status *s)
{
    bool news = s->problem[0] != '\0' && strcmp(last->problem, s->problem) != 0;
    if (s->state == CONTROL_READY && last->state != CONTROL_READY)
        LOG(LOG_INFO, "Tor is ready");
    else if (s->state == CONTROL_BOOTSTRAPPING &&
             (last->state != CONTROL_BOOTSTRAPPING || s->percent != last->percent))
        LOG(LOG_INFO, "Tor is starting", LOG_I("percent", s->percent), LOG_S("doing", s->summary));
    if (s->state == CONTROL_BOOTSTRAPPING && news)
        LOG(LOG_WARN, "Tor has trouble reaching its network; deliveries over it wait",
            LOG_S("reason", s->problem), LOG_I("percent", s->percent));
    else if (s->state == CONTROL_AWAY && news)
        LOG(LOG_WARN,
            last->managed ? "no Tor; deliveries over it wait"
                          : "tor's control port is out of reach",
            LOG_S("reason", s->problem));
    if (s->problem[0] != '\0' || s->state == CONTROL_READY)
        (void)snprintf(last->problem, sizeof last->problem, "%s", s->problem);
    last->state = s->state;
    last->percent = s->percent;
}

/* "Nov 23 08:03:48.194 [warn] words": a warning is worth our log, and a reason later. */
static void on_line(void *arg, const char *line)
{
    struct tor *t = arg;
    const char *level = strchr(line, '[');
    bool of_tor = level != NULL && strstr(level, "] ") != NULL;
    bool warning = of_tor && strncmp(level, "[warn]", 6) == 0;
    const char *text = of_tor ? strstr(level, "] ") + 2 : line;
    if (warning || (of_tor && strncmp(level, "[err]", 5) == 0)) {
        if (t->phase == PHASE_RUN)
            LOG(LOG_WARN, "tor warns", LOG_S("text", text));
    } else {
        LOG(LOG_DEBUG, "tor says", LOG_S("text", text));
    }
    /* An [err] only points at the warning before it, and so does "See logs". */
    bool pointer = t->complaint[0] != '\0' && (!warning || strstr(text, "See logs") != NULL);
    if ((warning || !of_tor || strncmp(level, "[err]", 5) == 0) && !pointer)
        (void)snprintf(t->complaint, sizeof t->complaint, "%s", text);
}

/* ---- one life ---- */

static void release(void *tor)
{
    struct tor *t = tor;
    if (--t->handles > 0)
        return;
    void (*fn)(void *) = t->stop_fn;
    void *arg = t->stop_arg;
    if (t->lock_fd >= 0)
        close(t->lock_fd);
    free(t->extra_file);
    free(t);
    fn(arg);
}

static void try_later(struct tor *t)
{
    t->phase = PHASE_WAIT;
    if (t->lock_fd >= 0)
        close(t->lock_fd);
    t->lock_fd = -1;
    t->failures++;
    uv_timer_start(&t->timer, on_timer,
                   backoff_ms(t->failures, RETRY_MIN_MS, RETRY_MAX_MS, &t->rng), 0);
}

static void on_end(void *arg, int64_t status, int number);

static void start(struct tor *t, enum tor_phase phase, uint64_t patience_ms)
{
    static const struct tor_process_calls calls = {on_line, on_end, release};
    const char *args[] = {
        "tor", "--defaults-torrc", "/dev/null",
        "-f",  t->paths.torrc,     phase == PHASE_CHECK ? "--verify-config" : NULL,
        NULL};
    t->complaint[0] = '\0';
    t->handles++;
    int e = tor_process_start(t->loop, (char *const *)args, t->lock_fd, &calls, t, &t->process);
    if (e != 0) {
        complain(t, "tor cannot be started: %s%s", uv_strerror(e),
                 e == UV_ENOENT ? "; install it, or give the ports of one that runs (tor.socks)"
                                : "");
        try_later(t);
        return;
    }
    t->phase = phase;
    t->since_ms = clock_boot_ms();
    uv_timer_start(&t->timer, on_timer, patience_ms, 0);
}

static void begin(struct tor *t)
{
    struct problem p = {0};
    if (tor_files_prepare(&t->paths, t->extra_file, (long)getpid(), &t->lock_fd, &p) == ERR_NONE) {
        start(t, PHASE_CHECK, CHECK_MS);
        return;
    }
    complain(t, "%s", p.text);
    try_later(t);
}

static void on_status(void *arg, const struct control_status *s)
{
    struct tor *t = arg;
    if (s->state != CONTROL_AWAY) {
        uv_timer_stop(&t->timer);
        tor_say_status(&t->said, s);
    } else if (!uv_is_active((uv_handle_t *)&t->timer)) {
        uv_timer_start(&t->timer, on_timer, SILENT_MS, 0);
    }
    if (s->state == CONTROL_READY)
        t->said_problem[0] = '\0';
}

static void run(struct tor *t)
{
    start(t, PHASE_RUN, SILENT_MS);
    if (t->phase != PHASE_RUN)
        return;
    t->said = (struct tor_said){.managed = true};
    t->handles++;
    t->control = control_new(
        t->loop, &(struct control_options){
                     .address = t->paths.control, .own = true, .on_status = on_status, .arg = t});
    LOG(LOG_INFO, "tor started", LOG_I("pid", tor_process_id(t->process)),
        LOG_S("dir", t->paths.dir));
}

static void end_control(struct tor *t)
{
    if (t->control != NULL)
        control_free(t->control, release, t);
    t->control = NULL;
}

static void on_timer_closed(uv_handle_t *handle)
{
    release(handle->data);
}

static void finish(struct tor *t)
{
    uv_close((uv_handle_t *)&t->timer, on_timer_closed);
}

/* "tor ended by signal 9", "tor ended with status 1: Unknown option 'Nonsense'. Failing." A signal
 * has a reason of its own. */
static void say_end(struct tor *t, const char *what, int64_t status, int number)
{
    if (number != 0)
        complain(t, "%s by signal %d", what, number);
    else
        complain(t, "%s with status %d%s%s", what, (int)status, t->complaint[0] != '\0' ? ": " : "",
                 t->complaint);
}

static void on_end(void *arg, int64_t status, int number)
{
    struct tor *t = arg;
    t->process = NULL;
    uv_timer_stop(&t->timer);
    end_control(t);
    if (t->stopping) {
        finish(t);
    } else if (t->phase == PHASE_CHECK && status == 0 && number == 0) {
        run(t);
    } else {
        if (t->phase == PHASE_RUN && clock_boot_ms() - t->since_ms >= GOOD_MS)
            t->failures = 0;
        say_end(t, t->phase == PHASE_CHECK ? "checking tor's configuration ended" : "tor ended",
                status, number);
        try_later(t);
    }
}

/* The time for the next try has come, or patience has ended. */
static void on_timer(uv_timer_t *timer)
{
    struct tor *t = timer->data;
    if (t->phase == PHASE_WAIT) {
        begin(t);
        return;
    }
    if (!t->stopping)
        complain(t, t->phase == PHASE_CHECK ? "tor does not finish checking its configuration"
                                            : "tor does not answer on its control port");
    tor_process_signal(t->process, SIGKILL);
}

enum err tor_new(uv_loop_t *loop, const struct tor_options *o, struct tor **out, struct problem *p)
{
    struct tor_paths paths;
    enum err e = tor_paths_of(o->data_dir, &paths, p);
    if (e != ERR_NONE)
        return e;
    struct tor *t = mem_zero(1, sizeof *t);
    t->loop = loop;
    t->paths = paths;
    t->extra_file = mem_strdup(o->extra_file != NULL ? o->extra_file : "");
    t->lock_fd = -1;
    t->handles = 1;
    rng_init_secure(&t->rng);
    (void)uv_timer_init(loop, &t->timer);
    t->timer.data = t;
    uv_timer_start(&t->timer, on_timer, 0, 0);
    *out = t;
    return ERR_NONE;
}

void tor_stop(struct tor *t, void (*fn)(void *arg), void *arg)
{
    t->stopping = true;
    t->stop_fn = fn;
    t->stop_arg = arg;
    if (t->process == NULL) {
        finish(t);
        return;
    }
    tor_process_signal(t->process, SIGTERM);
    uv_timer_start(&t->timer, on_timer, STOP_MS, 0);
}

void tor_kill(struct tor *t)
{
    if (t->process != NULL)
        tor_process_signal(t->process, SIGKILL);
}
