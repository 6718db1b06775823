/* `volley health [SERVICE]`: does the service of this container, or of this machine, do its work?
 * For health checks: one line, exit status 0 or 1. */
#include "ctl/health.h"
#include "common/net/fetch.h"
#include "ctl/check.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HTTP_MS      3000u
#define QUEUE_MS     3000u
#define HTTP_BODY    4096u
#define HEALTHZ_PATH "/healthz"

/* ---- what listens: its own /healthz ---- */

void health_url(const char *listen, const char *path, char *out, size_t size)
{
    static const char *const every[] = {"0.0.0.0:", "[::]:"}, *const here[] = {"127.0.0.1:",
                                                                               "[::1]:"};
    for (size_t i = 0; i < COUNT_OF(every); i++)
        if (strncmp(listen, every[i], strlen(every[i])) == 0) {
            (void)snprintf(out, size, "ws://%s%s%s", here[i], listen + strlen(every[i]), path);
            return;
        }
    (void)snprintf(out, size, "ws://%s%s", listen, path);
}

struct asking {
    const struct invocation *inv;
    const char *listen, *meaning; /* what it means when all is well */
    struct dialer *dialer;
    int status;
};

static void on_answer(void *arg, const struct fetch_result *r)
{
    struct asking *a = arg;
    if (r->err != ERR_NONE)
        a->status = command_fail(a->inv, 1, "%s: %s", a->listen, r->text);
    else if (r->status != 200)
        a->status = command_fail(a->inv, 1, "%s: HTTP %d: %.*s", a->listen, r->status,
                                 (int)strcspn((const char *)r->body, "\n"), (const char *)r->body);
    else
        printf("ok: %s answers, %s\n", a->listen, a->meaning);
    dialer_free(a->dialer, NULL, NULL);
}

static int ask_http(const struct invocation *inv, const char *listen, const char *meaning)
{
    struct asking a = {.inv = inv, .listen = listen, .meaning = meaning};
    struct link_request r = {
        .route = ROUTE_DIRECT,
        .mode = listen[0] == '[' ? MODE_IPV6 : MODE_IPV4,
        .timeout_ms = HTTP_MS,
    };
    struct problem p;
    uv_loop_t loop;
    char url[URL_SIZE];
    health_url(listen, HEALTHZ_PATH, url, sizeof url);
    if (relay_url_parse(url, &r.url, &p) != ERR_NONE)
        return command_fail(inv, 1, "%s", p.text);
    signal(SIGPIPE, SIG_IGN);
    if (uv_loop_init(&loop) != 0)
        die("cannot make an event loop");
    if (dialer_new(&loop, &(struct dialer_options){0}, &a.dialer, &p) != ERR_NONE)
        die("cannot make a dialer: %s", p.text);
    (void)fetch_start(a.dialer, &r, "text/plain", HTTP_BODY, on_answer, &a);
    uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
    return a.status;
}

static int health_ingest(const struct invocation *inv)
{
    return ask_http(inv, inv->config.ingest.listen.address[0], "events can be queued");
}

static int health_probe(const struct invocation *inv)
{
    return ask_http(inv, inv->config.probe.listen.address[0], "events are delivered");
}

/* ---- what only works: the queue knows ---- */

bool health_publisher(const struct queue_depth *d, const char *host, uint32_t routes,
                      char line[HEALTH_LINE_SIZE])
{
    size_t ours = 0, all = 0, nobodys = 0, host_len = strlen(host);
    for (size_t i = 0; i < d->lanes_len; i++) {
        const struct lane_status *l = &d->lanes[i];
        if (l->retired || (routes & (1u << l->definition.route)) == 0)
            continue;
        all++;
        nobodys += l->publisher[0] == '\0';
        ours += strncmp(l->publisher, host, host_len) == 0 && l->publisher[host_len] == ':';
    }
    if (nobodys > 0)
        (void)snprintf(line, HEALTH_LINE_SIZE, "%zu of %zu relays have no publisher", nobodys, all);
    else
        (void)snprintf(line, HEALTH_LINE_SIZE, "the queue answers; %zu of %zu relays are ours",
                       ours, all);
    return nobodys == 0;
}

static void on_publisher(void *arg, enum err e, const struct queue_depth *d)
{
    struct ask *a = arg;
    char line[HEALTH_LINE_SIZE], host[PUBLISHER_NAME_SIZE - 12] = "";
    int status = 1;
    if (e == ERR_NONE) {
        (void)gethostname(host, sizeof host - 1);
        if (health_publisher(d, host, a->inv->config.publisher.serve, line)) {
            printf("ok: %s\n", line);
            status = 0;
        } else {
            status = command_fail(a->inv, 1, "%s", line);
        }
    }
    ask_done(a, e, status);
}

static void on_queue(void *arg, enum err e, const struct queue_depth *d)
{
    struct ask *a = arg;
    if (e == ERR_NONE)
        printf("ok: the queue answers; %" PRIu64 " events held, %zu lanes\n", d->events,
               d->lanes_len);
    ask_done(a, e, e == ERR_NONE ? 0 : 1);
}

static void ask_publisher(struct ask *a)
{
    a->queue->ops->depth(a->queue, on_publisher, a);
}

static void ask_plain(struct ask *a)
{
    a->queue->ops->depth(a->queue, on_queue, a);
}

static int health_of_publisher(const struct invocation *inv)
{
    struct ask a = {.timeout_ms = QUEUE_MS};
    return ask_queue(&a, inv, ask_publisher);
}

static int health_queue(const struct invocation *inv)
{
    struct ask a = {.timeout_ms = QUEUE_MS};
    return ask_queue(&a, inv, ask_plain);
}

/* ---- tor ---- */

static int health_tor(const struct invocation *inv)
{
    struct problem p;
    if (check_tor_ready(&inv->config, &p) != ERR_NONE)
        return command_fail(inv, 1, "%s", p.text);
    printf("ok: tor answers%s\n", inv->config.tor.control[0] != '\0' ? " and is bootstrapped" : "");
    return 0;
}

/* ---- the table ---- */

static const struct {
    const char *service;
    int (*run)(const struct invocation *inv);
} services[] = {
    {"queue", health_queue}, {"ingest", health_ingest}, {"publisher", health_of_publisher},
    {"probe", health_probe}, {"tor", health_tor},
};

static int health_run(const struct invocation *inv)
{
    const char *service = inv->arguments_len > 0 ? inv->arguments[0] : services[0].service;
    for (size_t i = 0; i < COUNT_OF(services); i++)
        if (strcmp(service, services[i].service) == 0)
            return services[i].run(inv);
    return EXIT_USAGE; /* `words` has been looked at before */
}

const struct command command_health = {
    .name = "health",
    .arguments = "[SERVICE]",
    .words = "queue ingest publisher probe tor",
    .summary = "does this machine's service do its work? For health checks",
    .details = "queue (also when nothing is named): the queue answers. ingest: its own /healthz "
               "says that events can be queued. publisher: the queue answers, and no relay of a "
               "route it serves is without a publisher. probe: its /healthz says that events are "
               "delivered. tor: the ports of tor.socks answer, and by "
               "tor.control it is bootstrapped.",
    .examples = "  volley health\n  volley health ingest",
    .arguments_max = 1,
    .run = health_run,
};
