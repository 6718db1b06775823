/* queue, ingest and publisher as commands: configuration in, options out, one loop run. */
#include "common/config/socks.h"
#include "common/net/tor.h"
#include "ingest/ingest.h"
#include "publisher/publisher.h"
#include "queue/broker.h"
#include "queue/redis_address.h"
#include "up/service.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static int status_of(enum err e)
{
    return e == ERR_INVALID || e == ERR_UNSUPPORTED ? EXIT_USAGE : 1;
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

static const char *const queue_reads[] = {"queue.", NULL};
static const char *const queue_live[] = {"queue.retention", "queue.max_bytes", "queue.lane_max",
                                         "queue.failed_max", NULL};

static struct store_options store_options_of(const struct config *c)
{
    return (struct store_options){.dir = c->queue.data_dir,
                                  .retention_ms = (int64_t)c->queue.retention_ms,
                                  .max_bytes = c->queue.max_bytes,
                                  .failed_max = c->queue.failed_max,
                                  .lane_max = c->queue.lane_max};
}

static enum err queue_reload(void *arg, const struct config *c, struct problem *p)
{
    const struct queue_service *s = arg;
    const struct store_options o = store_options_of(c);
    (void)p;
    broker_set_limits(s->broker, &o);
    return ERR_NONE;
}

#define TCP_FILES_MAX 8192u

/* By tcp strangers may connect, and each costs memory until its handshake has failed: so many at a
 * time, and no more. */
static void bound_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur <= TCP_FILES_MAX)
        return;
    limit.rlim_cur = TCP_FILES_MAX;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        LOG(LOG_WARN, "cannot bound the number of connections");
}

static int queue_run(const struct invocation *inv)
{
    const struct config *c = &inv->config;
    struct queue_service s;
    struct problem p;
    if (redis_address_is(c->queue.url))
        return command_fail(inv, EXIT_USAGE,
                            "queue.url names a Redis (%s): that is the queue, there is none to "
                            "start here",
                            c->queue.url);
    service_init(&s.service, inv, queue_stop, &s);
    if (strncmp(c->queue.url, "zmq+tcp://", 10) == 0)
        bound_files();
    s.service.on_reload = queue_reload;
    s.service.reads = queue_reads;
    s.service.live = queue_live;
    const struct broker_options o = {
        .store = store_options_of(c),
        .url = c->queue.url,
        .keys_dir = c->queue.keys_dir,
        .on_fatal = queue_fatal,
        .arg = &s,
    };
    enum err e = broker_new(&s.service.loop, &o, &s.broker, &p);
    if (e != ERR_NONE)
        return service_abandon(&s.service, command_fail(inv, status_of(e), "%s", p.text));
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

static const char *const ingest_reads[] = {"ingest.", "queue.url", "queue.keys_dir", NULL};
/* On Redis who uses the queue brings its limits. */
static const char *const ingest_reads_redis[] = {"ingest.", "queue.", NULL};
static const char *const ingest_live[] = {"ingest.allow_pubkeys",     "ingest.open",
                                          "ingest.max_event",         "ingest.max_per_ip",
                                          "ingest.min_pow",           "ingest.created_at_past",
                                          "ingest.created_at_future", NULL};

struct ingest_service {
    struct service service;
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
    ingest_drain(s->ingest, s->service.config->publisher.ok_timeout_ms, ingest_gone, s);
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

/* It goes on listening where it does. */
static enum err ingest_take(void *arg, const struct config *c, struct problem *p)
{
    struct ingest_service *s = arg;
    const struct ingest_options first = ingest_options_of(&s->service.inv->config);
    struct ingest_options o = ingest_options_of(c);
    memcpy(o.listen, first.listen, sizeof o.listen);
    o.listen_len = first.listen_len;
    return ingest_reload(s->ingest, &o, p);
}

static int ingest_run(const struct invocation *inv)
{
    struct ingest_service s = {0};
    struct problem p;
    service_init(&s.service, inv, ingest_stop, &s);
    s.service.on_reload = ingest_take;
    s.service.reads = redis_address_is(inv->config.queue.url) ? ingest_reads_redis : ingest_reads;
    s.service.live = ingest_live;
    struct queue_options qo = queue_options_of(&inv->config);
    qo.lives = true;
    enum err e = queue_open(&s.service.loop, &qo, &s.queue, &p);
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

static const char *const publisher_reads[] = {"publisher.", "tor.", "queue.url", "queue.keys_dir",
                                              NULL};
static const char *const publisher_reads_redis[] = {"publisher.", "tor.", "queue.", NULL};
static const char *const publisher_live[] = {
    "publisher.relays",       "publisher.relays_file",     "publisher.route",
    "publisher.serve",        "publisher.family",          "publisher.race_delay",
    "publisher.demote_after", "publisher.demote_for",      "publisher.window",
    "publisher.window_bytes", "publisher.connect_timeout", "publisher.ok_timeout",
    "publisher.idle_close",   "publisher.backoff_min",     "publisher.backoff_max",
    "publisher.max_attempts", "publisher.auth_key_file",   NULL};

struct publisher_service {
    struct service service;
    bool child; /* of up */
    struct queue *queue;
    struct publisher *publisher;
    struct control *control; /* NULL: none configured */
    struct tor_said said;
    bool tor_ready;
};

static void publisher_no_control(void *arg)
{
    struct publisher_service *s = arg;
    s->queue->ops->close(s->queue, service_done, &s->service);
}

static void publisher_gone(void *arg)
{
    struct publisher_service *s = arg;
    s->publisher = NULL;
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
    bool ready = status->state == CONTROL_READY;
    if (!s->child || !s->said.managed) /* up says the same of the tor it runs */
        tor_say_status(&s->said, status);
    if (ready && !s->tor_ready && s->publisher != NULL)
        publisher_tor_ready(s->publisher);
    s->tor_ready = ready;
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
    if (tor->control[0] == '\0' || s->control != NULL)
        return;
    s->said.managed = tor->managed;
    const struct control_options o = {.address = tor->control,
                                      .password_file = c->tor.control_password_file,
                                      .streams = c->publisher.verbose,
                                      .on_status = publisher_on_tor,
                                      .arg = s};
    s->control = control_new(&s->service.loop, &o);
}

static enum err publisher_take(void *arg, const struct config *c, struct problem *p)
{
    struct publisher_service *s = arg;
    struct tor_ports tor; /* those in use stay; but a relay may need tor that needed none before */
    enum err e = tor_ports_of_config(c, &tor, p);
    if (e != ERR_NONE)
        return e;
    publisher_follow_tor(s, c, &tor);
    struct publisher_options o = publisher_options_of(c);
    o.socks = tor.has_tor ? &tor.socks : NULL;
    o.control = s->control;
    return publisher_reload(s->publisher, &o, p);
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
    service_log_warnings(c);
    service_init(&s.service, inv, publisher_stop, &s);
    s.service.on_reload = publisher_take;
    s.service.reads = redis_address_is(c->queue.url) ? publisher_reads_redis : publisher_reads;
    s.service.live = publisher_live;
    if (!s.child)
        check_ipv6_log(&ipv6);
    /* Well below a lease's term: one answer that is lost must not cost the lanes. */
    struct queue_options qo = queue_options_of(c);
    qo.lives = true;
    qo.timeout_ms = LEASE_RENEW_MS;
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
