/* queue, ingest and publisher as commands: configuration in, options out, one loop run. */
#include "common/config/socks.h"
#include "common/net/tor.h"
#include "ingest/ingest.h"
#include "publisher/publisher.h"
#include "queue/broker.h"
#include "up/service.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int status_of(enum err e)
{
    return e == ERR_INVALID || e == ERR_UNSUPPORTED ? EXIT_USAGE : 1;
}

static void log_warnings(const struct config *c)
{
    const char *at = (const char *)c->warnings.data;
    for (const char *end = at + c->warnings.len; at < end;) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        char line[CONFIG_TEXT_SIZE * 2];
        size_t len = (size_t)(eol - at) < sizeof line ? (size_t)(eol - at) : sizeof line - 1;
        memcpy(line, at, len);
        line[len] = '\0';
        LOG(LOG_WARN, line);
        at = eol + 1;
    }
}

/* ---- queue ---- */

struct queue_service {
    struct service service;
    struct broker *broker;
};

static void queue_stop(void *arg)
{
    struct queue_service *s = arg;
    broker_close(s->broker, service_done, &s->service);
}

/* A commit failed: nothing more may be said to anyone, least of all "stored". */
static void queue_fatal(void *arg, enum err e)
{
    const struct queue_service *s = arg;
    LOG(LOG_ERROR, "the store could not commit; ending without acknowledging anything",
        LOG_S("error", err_name(e)), LOG_S("reason", broker_problem(s->broker)));
    _exit(1);
}

static int queue_run(const struct invocation *inv)
{
    const struct config *c = &inv->config;
    struct queue_service s;
    struct problem p;
    if (strncmp(c->queue.url, "zmq+ipc://", 10) != 0)
        return command_fail(inv, EXIT_USAGE,
                            "queue.url is %s: the embedded queue listens on zmq+ipc://PATH only",
                            c->queue.url);
    service_init(&s.service, inv, queue_stop, &s);
    const struct broker_options o = {
        .store = {.dir = c->queue.data_dir,
                  .retention_ms = (int64_t)c->queue.retention_ms,
                  .max_bytes = c->queue.max_bytes,
                  .failed_max = c->queue.failed_max},
        .url = c->queue.url,
        .on_fatal = queue_fatal,
        .arg = &s,
    };
    if (broker_new(&s.service.loop, &o, &s.broker, &p) != ERR_NONE)
        return service_abandon(&s.service, command_fail(inv, 1, "%s", p.text));
    LOG(LOG_INFO, "queue ready", LOG_S("url", c->queue.url), LOG_S("data_dir", c->queue.data_dir));
    return service_run(&s.service);
}

const struct command command_queue = {
    .name = "queue",
    .arguments = "",
    .summary = "the embedded queue: one process that keeps events on disk",
    .examples = "  volley queue -c /etc/volley/volley.yaml",
    .run = queue_run,
};

/* ---- ingest ---- */

struct ingest_service {
    struct service service;
    const struct config *config;
    struct queue *queue;
    struct ingest *ingest;
};

static void ingest_gone(void *arg)
{
    struct ingest_service *s = arg;
    s->queue->ops->close(s->queue, service_done, &s->service);
}

static void ingest_stop(void *arg)
{
    struct ingest_service *s = arg;
    ingest_drain(s->ingest, s->config->publisher.ok_timeout_ms, ingest_gone, s);
}

static struct ingest_options ingest_options_of(const struct config *c)
{
    struct ingest_options o = {
        .allow_pubkeys = (const uint8_t(*)[32])c->ingest.allow_pubkeys.keys,
        .allow_len = c->ingest.allow_pubkeys.len,
        .open = c->ingest.open,
        .max_event = (uint32_t)c->ingest.max_event,
        .max_connections = (uint32_t)c->ingest.max_connections,
        .max_per_ip = (uint32_t)c->ingest.max_per_ip,
        .min_pow = (uint32_t)c->ingest.min_pow,
        .created_at_past_s = (int64_t)(c->ingest.created_at_past_ms / 1000),
        .created_at_future_s = (int64_t)(c->ingest.created_at_future_ms / 1000),
    };
    for (; o.listen_len < c->ingest.listen.len && o.listen_len < LISTEN_MAX; o.listen_len++)
        o.listen[o.listen_len] = c->ingest.listen.address[o.listen_len];
    return o;
}

static int ingest_run(const struct invocation *inv)
{
    struct ingest_service s = {.config = &inv->config};
    struct problem p;
    service_init(&s.service, inv, ingest_stop, &s);
    enum err e = queue_open(&s.service.loop, &(struct queue_options){.url = inv->config.queue.url},
                            &s.queue, &p);
    if (e != ERR_NONE)
        return service_abandon(&s.service, command_fail(inv, status_of(e), "%s", p.text));
    const struct ingest_options o = ingest_options_of(&inv->config);
    e = ingest_new(&s.service.loop, s.queue, &o, &s.ingest, &p);
    if (e != ERR_NONE) {
        s.service.status = command_fail(inv, status_of(e), "%s", p.text);
        ingest_gone(&s);
        return service_run(&s.service);
    }
    for (size_t i = 0; i < o.listen_len; i++)
        LOG(LOG_INFO, "ingest ready", LOG_S("listen", o.listen[i]),
            LOG_I("port", ingest_port(s.ingest, i)));
    return service_run(&s.service);
}

const struct command command_ingest = {
    .name = "ingest",
    .arguments = "",
    .summary = "the relay that clients post to; queues what it accepts",
    .examples = "  volley ingest --set ingest.listen=127.0.0.1:7787",
    .run = ingest_run,
};

/* ---- publisher ---- */

struct publisher_service {
    struct service service;
    bool child; /* of up */
    struct queue *queue;
    struct publisher *publisher;
    struct control *control; /* NULL: none configured */
    struct tor_said said;
};

static void publisher_no_control(void *arg)
{
    struct publisher_service *s = arg;
    s->queue->ops->close(s->queue, service_done, &s->service);
}

static void publisher_gone(void *arg)
{
    struct publisher_service *s = arg;
    if (s->control != NULL)
        control_free(s->control, publisher_no_control, s);
    else
        publisher_no_control(s);
}

static void publisher_stop(void *arg)
{
    struct publisher_service *s = arg;
    publisher_drain(s->publisher, publisher_gone, s);
}

static void publisher_on_tor(void *arg, const struct control_status *status)
{
    struct publisher_service *s = arg;
    if (!s->child || !s->said.managed) /* up says the same of the tor it runs */
        tor_say_status(&s->said, status);
}

#define FEED_CACHE_MAX (8u * 1024u * 1024u)

static struct publisher_options publisher_options_of(const struct config *c)
{
    return (struct publisher_options){
        .relays = c->publisher.relays.defs,
        .relays_len = c->publisher.relays.len,
        .routes = c->publisher.serve,
        .limits = {.window_max = (uint32_t)c->publisher.window,
                   .window_bytes = c->publisher.window_bytes,
                   .ok_timeout_ms = c->publisher.ok_timeout_ms,
                   .idle_close_ms = c->publisher.idle_close_ms,
                   .backoff_min_ms = c->publisher.backoff_min_ms,
                   .backoff_max_ms = c->publisher.backoff_max_ms,
                   .max_attempts = (uint32_t)c->publisher.max_attempts},
        .race_delay_ms = (uint32_t)c->publisher.race_delay_ms,
        .demote_after = (uint32_t)c->publisher.demote_after,
        .demote_for_ms = c->publisher.demote_for_ms,
        .connect_timeout_ms = c->publisher.connect_timeout_ms,
        .auth_key_file = c->publisher.auth_key_file,
        .ca_file = c->publisher.ca_file[0] != '\0' ? c->publisher.ca_file : NULL,
        .cache_max = FEED_CACHE_MAX,
        .verbose = c->publisher.verbose,
    };
}

static void publisher_follow_tor(struct publisher_service *s, const struct config *c,
                                 const struct tor_ports *tor)
{
    if (tor->control[0] == '\0')
        return;
    s->said.managed = tor->managed;
    const struct control_options o = {.address = tor->control,
                                      .password_file = c->tor.control_password_file,
                                      .streams = c->publisher.verbose,
                                      .on_status = publisher_on_tor,
                                      .arg = s};
    s->control = control_new(&s->service.loop, &o);
}

static int publisher_run(const struct invocation *inv)
{
    const struct config *c = &inv->config;
    struct publisher_service s = {.child = inv->parent != 0};
    struct tor_ports tor;
    struct ipv6_options ipv6;
    struct problem p;
    if (tor_ports_of_config(c, &tor, &p) != ERR_NONE || ipv6_of_config(c, &ipv6, &p) != ERR_NONE)
        return command_fail(inv, EXIT_USAGE, "%s", p.text);
    log_warnings(c);
    service_init(&s.service, inv, publisher_stop, &s);
    if (!s.child)
        check_ipv6_log(&ipv6);
    /* Well below a lease's term: one answer that is lost must not cost the lanes. */
    const struct queue_options qo = {.url = c->queue.url, .timeout_ms = LEASE_RENEW_MS};
    enum err e = queue_open(&s.service.loop, &qo, &s.queue, &p);
    if (e != ERR_NONE)
        return service_abandon(&s.service, command_fail(inv, status_of(e), "%s", p.text));
    publisher_follow_tor(&s, c, &tor);
    struct publisher_options o = publisher_options_of(c);
    o.socks = tor.has_tor ? &tor.socks : NULL;
    o.control = s.control;
    e = publisher_new(&s.service.loop, s.queue, &o, &s.publisher, &p);
    if (e != ERR_NONE) {
        s.service.status = command_fail(inv, status_of(e), "%s", p.text);
        publisher_gone(&s);
        return service_run(&s.service);
    }
    LOG(LOG_INFO, "publisher ready", LOG_I("relays", c->publisher.relays.len));
    return service_run(&s.service);
}

const struct command command_publisher = {
    .name = "publisher",
    .arguments = "",
    .summary = "delivers what is queued to the relays",
    .examples =
        "  volley publisher -c volley.yaml\n  volley publisher --set publisher.serve=direct",
    .run = publisher_run,
};
