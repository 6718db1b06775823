/* `volley up`: queue (unless it is in Redis), ingest and publisher as child processes, and tor when
 * a relay needs it; restarted when they die, stopped in the order that loses no work: ingest takes
 * nothing new, publisher settles what is in flight, then tor and the queue end. */
#include "common/base/clock.h"
#include "common/config/socks.h"
#include "common/net/tor.h"
#include "queue/redis_address.h"
#include "up/service.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RESTART_MIN_MS 200u
#define RESTART_MAX_MS 10000u
#define STARTED_MS     3000u /* a child that ends before has not started, and says why itself */

struct child {
    struct up *up;
    const char *name;
    uv_process_t process;
    uv_timer_t restart;
    bool running, started_once;
    uint64_t since_ms;
    uint32_t deaths; /* in a row */
};

/* In the order they start; they stop in the reverse one, ingest first of all. tor is no service of
 * ours and keeps itself alive (common/net/tor.h): its place is that of a child that never runs. */
enum { QUEUE, TOR, PUBLISHER, INGEST, CHILDREN };

struct up {
    struct service service;
    const struct invocation *inv;
    struct child children[CHILDREN];
    struct tor *tor; /* NULL: no relay needs one */
    int stopping;    /* the child that is being stopped now */
    bool given_up;
};

static void start(struct child *c);
static void stop_next(struct up *u);

/* ---- starting ---- */

#define ARGS_MAX (8 + 2 * SETS_MAX)

static const char *own_path(char *out, size_t size)
{
    ssize_t len = readlink("/proc/self/exe", out, size - 1);
    if (len < 0)
        die("cannot find my own program: %s", strerror(errno));
    out[len] = '\0';
    return out;
}

static void on_child_end(uv_process_t *process, int64_t status, int number);

static int spawn(struct child *c)
{
    const struct invocation *inv = c->up->inv;
    char path[4096], parent[24];
    char *args[ARGS_MAX];
    size_t n = 0;
    (void)snprintf(parent, sizeof parent, "%ld", (long)getpid());
    args[n++] = (char *)own_path(path, sizeof path);
    args[n++] = (char *)c->name;
    args[n++] = "--child-of";
    args[n++] = parent;
    if (inv->config_file != NULL) {
        args[n++] = "-c";
        args[n++] = (char *)inv->config_file;
    }
    for (size_t i = 0; i < inv->sets_len; i++) {
        args[n++] = "--set";
        args[n++] = (char *)inv->sets[i];
    }
    args[n] = NULL;
    uv_stdio_container_t stdio[3] = {{.flags = UV_IGNORE},
                                     {.flags = UV_INHERIT_FD, .data.fd = 1},
                                     {.flags = UV_INHERIT_FD, .data.fd = 2}};
    /* A session of its own: the terminal's Ctrl-C reaches us alone, and we stop them in order. */
    const uv_process_options_t o = {.file = path,
                                    .args = args,
                                    .exit_cb = on_child_end,
                                    .stdio = stdio,
                                    .stdio_count = 3,
                                    .flags = UV_PROCESS_DETACHED};
    return uv_spawn(&c->up->service.loop, &c->process, &o);
}

static void on_restart(uv_timer_t *timer)
{
    start(timer->data);
}

static void restart_later(struct child *c)
{
    uint64_t wait_ms = RESTART_MIN_MS << (c->deaths < 6 ? c->deaths : 6);
    c->deaths++;
    uv_timer_start(&c->restart, on_restart, wait_ms < RESTART_MAX_MS ? wait_ms : RESTART_MAX_MS, 0);
}

static void start(struct child *c)
{
    c->since_ms = clock_boot_ms();
    int status = spawn(c);
    c->process.data = c;
    if (status != 0) {
        LOG(LOG_ERROR, "cannot start a service", LOG_S("child", c->name),
            LOG_S("error", uv_strerror(status)));
        restart_later(c);
        return;
    }
    c->running = true;
    LOG(LOG_DEBUG, "service started", LOG_S("child", c->name), LOG_I("pid", c->process.pid));
}

/* ---- ending ---- */

static void give_up(struct up *u, const struct child *c, int status)
{
    if (u->given_up)
        return;
    u->given_up = true;
    u->service.status = status;
    LOG(LOG_ERROR, "a service could not start; stopping", LOG_S("child", c->name));
    if (!u->service.stopping) {
        u->service.stopping = true;
        stop_next(u);
    }
}

static void on_child_end(uv_process_t *process, int64_t status, int number)
{
    struct child *c = process->data;
    struct up *u = c->up;
    c->running = false;
    uv_close((uv_handle_t *)process, NULL);
    if (u->service.stopping) {
        if (u->stopping >= 0 && c == &u->children[u->stopping])
            stop_next(u);
        return;
    }
    uint64_t lived_ms = clock_boot_ms() - c->since_ms;
    if (lived_ms >= STARTED_MS) {
        c->started_once = true;
        c->deaths = 0;
    }
    if (number == 0 && (status == EXIT_USAGE || status == 1) && !c->started_once) {
        give_up(u, c, (int)status);
        return;
    }
    LOG(LOG_ERROR, "a service ended; starting it again", LOG_S("child", c->name),
        LOG_I("status", status), LOG_I("signal", number));
    restart_later(c);
}

static void close_all(struct up *u)
{
    for (int i = 0; i < CHILDREN; i++)
        uv_close((uv_handle_t *)&u->children[i].restart, NULL);
    service_done(&u->service);
}

static void on_tor_stopped(void *arg)
{
    struct up *u = arg;
    u->tor = NULL;
    stop_next(u);
}

/* Ends the next child that runs, from the last to the first. */
static void stop_next(struct up *u)
{
    for (u->stopping--; u->stopping >= 0; u->stopping--) {
        struct child *c = &u->children[u->stopping];
        if (u->stopping == TOR && u->tor != NULL) {
            tor_stop(u->tor, on_tor_stopped, u);
            return;
        }
        uv_timer_stop(&c->restart);
        if (c->running && uv_process_kill(&c->process, SIGTERM) == 0)
            return;
    }
    close_all(u);
}

/* A second Ctrl-C. */
static void up_kill(void *arg)
{
    struct up *u = arg;
    LOG(LOG_WARN, "stopping at once; what was in flight is sent again at the next start");
    for (int i = 0; i < CHILDREN; i++)
        if (u->children[i].running)
            uv_process_kill(&u->children[i].process, SIGKILL);
    if (u->tor != NULL)
        tor_kill(u->tor);
}

static void up_stop(void *arg)
{
    struct up *u = arg;
    u->stopping = CHILDREN;
    stop_next(u);
}

/* Starts tor when a relay needs it. To be called again with a changed configuration; once started
 * it stays, as the next change may need it again. */
static enum err want_tor(struct up *u, const struct config *c, struct problem *p)
{
    if (u->tor != NULL || !config_needs_managed_tor(c))
        return ERR_NONE;
    const struct tor_options o = {.data_dir = c->queue.data_dir, .extra_file = c->tor.extra_file};
    return tor_new(&u->service.loop, &o, &u->tor, p);
}

/* The services read the same files; what is wrong with them as a whole is said once, here. */
static enum err up_reload(void *arg, const struct config *c, struct problem *p)
{
    struct up *u = arg;
    struct tor_ports tor;
    enum err e = tor_ports_of_config(c, &tor, p);
    if (e == ERR_NONE)
        e = want_tor(u, c, p);
    for (int i = 0; i < CHILDREN && e == ERR_NONE; i++)
        if (u->children[i].running)
            uv_process_kill(&u->children[i].process, SIGHUP);
    return e;
}

static void start_children(struct up *u)
{
    static const char *const names[CHILDREN] = {
        [QUEUE] = "queue", [PUBLISHER] = "publisher", [INGEST] = "ingest"};
    for (int i = 0; i < CHILDREN; i++) {
        struct child *child = &u->children[i];
        *child = (struct child){.up = u, .name = names[i]};
        uv_timer_init(&u->service.loop, &child->restart);
        child->restart.data = child;
        bool is_there = i == QUEUE && redis_address_is(u->inv->config.queue.url);
        if (i != TOR && !is_there)
            start(child);
    }
}

static int up_run(const struct invocation *inv)
{
    const struct config *c = &inv->config;
    struct tor_ports tor;
    struct ipv6_options ipv6;
    struct problem p;
    if (tor_ports_of_config(c, &tor, &p) != ERR_NONE || ipv6_of_config(c, &ipv6, &p) != ERR_NONE)
        return command_fail(inv, EXIT_USAGE, "%s", p.text);
    struct up u = {.inv = inv, .stopping = CHILDREN};
    service_init(&u.service, inv, up_stop, &u);
    u.service.on_second_signal = up_kill;
    u.service.on_reload = up_reload;
    check_ipv6_log(&ipv6);
    if (want_tor(&u, c, &p) != ERR_NONE)
        return service_abandon(&u.service, command_fail(inv, EXIT_USAGE, "%s", p.text));
    start_children(&u);
    if (redis_address_is(c->queue.url))
        LOG(LOG_INFO, "the queue is in Redis", LOG_S("url", c->queue.url));
    if (c->publisher.relays.len == 0)
        LOG(LOG_WARN,
            "no relays are configured: nothing will be accepted until there are some. Put them "
            "under publisher.relays in volley.yaml (see volley.example.yaml), then send SIGHUP or "
            "start again",
            LOG_I("pid", getpid()));
    return service_run(&u.service);
}

const struct command command_up = {
    .name = "up",
    .arguments = "",
    .summary = "queue, ingest, publisher and tor on this machine; Ctrl-C stops all",
    .examples = "  volley up\n  volley up -c volley.yaml\n"
                "  volley up --set publisher.relays=relay.example --set publisher.route=direct",
    .run = up_run,
};
