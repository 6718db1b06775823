/* probe as a command: the prober, and the pages that show what it and the others found. */
#include "common/base/secret.h"
#include "common/config/socks.h"
#include "common/net/tor.h"
#include "probe/probe.h"
#include "probe/prober.h"
#include "publisher/key.h"
#include "queue/redis_address.h"
#include "up/service.h"

#include <string.h>

static const char *const reads[] = {"probe.",
                                    "publisher.relays",
                                    "publisher.route",
                                    "publisher.serve",
                                    "publisher.ca_file",
                                    "ingest.listen",
                                    "tor.",
                                    "queue.url",
                                    "queue.keys_dir",
                                    NULL};
/* Limits of the queue travel with every call. */
static const char *const reads_redis[] = {"probe.",
                                          "publisher.relays",
                                          "publisher.route",
                                          "publisher.serve",
                                          "publisher.ca_file",
                                          "ingest.listen",
                                          "tor.",
                                          "queue.",
                                          NULL};
static const char *const live[] = {"probe.hosts",
                                   "probe.open",
                                   "probe.admin_token_file",
                                   "probe.interval",
                                   "probe.ingest",
                                   "probe.heartbeat",
                                   "probe.nip66_key_file",
                                   "publisher.relays",
                                   "publisher.route",
                                   "publisher.serve",
                                   NULL};

struct probe_service {
    struct service service;
    struct queue *queue;
    struct prober *prober;   /* NULL: not begun, or ended */
    struct heart *heart;     /* connects with the prober's dialer; the same */
    struct probe *probe;     /* the same */
    struct control *control; /* NULL: none configured */
};

/* ---- the end: the prober tells the queue its last, the queue answers who waits, the pages end */

static void on_no_control(void *arg)
{
    struct probe_service *s = arg;
    service_done(&s->service);
}

static void on_probe_closed(void *arg)
{
    struct probe_service *s = arg;
    s->probe = NULL;
    if (s->control != NULL)
        control_free(s->control, on_no_control, s);
    else
        on_no_control(s);
}

static void on_queue_closed(void *arg)
{
    struct probe_service *s = arg;
    if (s->probe != NULL)
        probe_close(s->probe, on_probe_closed, s);
    else
        on_probe_closed(s);
}

static void on_prober_closed(void *arg)
{
    struct probe_service *s = arg;
    s->prober = NULL;
    s->queue->ops->close(s->queue, on_queue_closed, s);
}

static void probe_stop(void *arg)
{
    struct probe_service *s = arg;
    if (s->probe != NULL) {
        probe_set_heart(s->probe, NULL);
        probe_quiesce(s->probe);
    }
    heart_free(s->heart);
    s->heart = NULL;
    if (s->prober != NULL)
        prober_close(s->prober, on_prober_closed, s);
    else
        on_prober_closed(s);
}

/* ---- options ---- */

static struct probe_options options_of(const struct config *c)
{
    struct probe_options o = {.hosts = &c->probe.hosts,
                              .open = c->probe.open,
                              .admin_token_file = c->probe.admin_token_file,
                              .ask = c->probe.ingest,
                              .tor_wanted = config_route_len(c, ROUTE_TOR) > 0};
    for (; o.listen_len < c->probe.listen.len; o.listen_len++)
        o.listen[o.listen_len] = c->probe.listen.address[o.listen_len];
    for (size_t i = 0; i < c->ingest.listen.len; i++)
        o.ingest[i] = c->ingest.listen.address[i];
    return o;
}

static struct prober_settings settings_of(const struct config *c, const struct tor_ports *tor)
{
    return (struct prober_settings){
        .interval_ms = c->probe.interval_ms,
        .routes = c->publisher.serve,
        .connect_timeout_ms = (uint32_t)c->publisher.connect_timeout_ms,
        .socks = tor->has_tor ? &tor->socks : NULL,
        .ca_file = c->publisher.ca_file[0] != '\0' ? c->publisher.ca_file : NULL};
}

/* It posts where this probe asks. */
static struct heart_settings heart_of(const struct config *c)
{
    const char *first = c->ingest.listen.len > 0 ? c->ingest.listen.address[0] : "";
    return (struct heart_settings){.ingest = c->probe.ingest[0] != '\0' ? c->probe.ingest : first,
                                   .interval_ms = c->probe.heartbeat_ms};
}

/* Settings with their secret, which the prober copies. */
struct keyed {
    struct prober_settings s;
    uint8_t secret[32];
};

static enum err keyed_of(const struct config *c, const struct tor_ports *tor, struct keyed *out,
                         struct problem *p)
{
    struct problem why;
    out->s = settings_of(c, tor);
    if (c->probe.nip66_key_file[0] == '\0')
        return ERR_NONE;
    enum err e = key_load(c->probe.nip66_key_file, secret_in_container(), out->secret, &why);
    if (e != ERR_NONE)
        return problem_set(p, e, "probe.nip66_key_file: %.200s", why.text);
    out->s.nip66_secret = out->secret;
    return ERR_NONE;
}

static void on_tor(void *arg, const struct control_status *status)
{
    const struct probe_service *s = arg;
    if (s->probe != NULL)
        probe_tor(s->probe, status);
}

static void follow_tor(struct probe_service *s, const struct config *c, const struct tor_ports *tor)
{
    if (tor->control[0] == '\0' || s->control != NULL)
        return;
    const struct control_options o = {.address = tor->control,
                                      .password_file = c->tor.control_password_file,
                                      .on_status = on_tor,
                                      .arg = s};
    s->control = control_new(&s->service.loop, &o);
}

/* It goes on listening where it does. */
static enum err take(void *arg, const struct config *c, struct problem *p)
{
    struct probe_service *s = arg;
    struct probe_options o = options_of(c), first = options_of(&s->service.inv->config);
    struct tor_ports tor;
    enum err e = tor_ports_of_config(c, &tor, p);
    if (e != ERR_NONE)
        return e;
    for (size_t i = 0; i < CONFIG_LISTEN_MAX; i++)
        o.listen[i] = first.listen[i];
    o.listen_len = first.listen_len;
    struct keyed keyed;
    e = keyed_of(c, &tor, &keyed, p);
    if (e == ERR_NONE)
        e = probe_reload(s->probe, &o, p);
    const struct heart_settings heart = heart_of(c);
    if (e == ERR_NONE) {
        prober_set(s->prober, &keyed.s);
        heart_set(s->heart, &heart);
    }
    explicit_bzero(&keyed, sizeof keyed);
    if (e != ERR_NONE)
        return e;
    follow_tor(s, c, &tor);
    return ERR_NONE;
}

/* ---- the beginning ---- */

static int fail(struct probe_service *s, enum err e, const struct problem *p)
{
    s->service.status = command_fail(s->service.inv, e == ERR_IO ? 1 : EXIT_USAGE, "%s", p->text);
    probe_stop(s);
    return service_run(&s->service);
}

static int run(const struct invocation *inv)
{
    const struct config *c = &inv->config;
    struct probe_service s = {0};
    struct tor_ports tor;
    struct problem p;
    if (tor_ports_of_config(c, &tor, &p) != ERR_NONE)
        return command_fail(inv, EXIT_USAGE, "%s", p.text);
    service_init(&s.service, inv, probe_stop, &s);
    s.service.on_reload = take;
    s.service.reads = redis_address_is(c->queue.url) ? reads_redis : reads;
    s.service.live = live;
    struct queue_options qo = queue_options_of(c);
    qo.timeout_ms = 5000;
    enum err e = queue_open(&s.service.loop, &qo, &s.queue, &p);
    if (e != ERR_NONE)
        return service_abandon(&s.service, command_fail(inv, EXIT_USAGE, "%s", p.text));
    const struct probe_options o = options_of(c);
    e = probe_new(&s.service.loop, s.queue, &o, &s.probe, &p);
    if (e != ERR_NONE)
        return fail(&s, e, &p);
    struct keyed keyed;
    e = keyed_of(c, &tor, &keyed, &p);
    if (e == ERR_NONE)
        e = prober_new(&s.service.loop, s.queue, &keyed.s, &s.prober, &p);
    explicit_bzero(&keyed, sizeof keyed);
    if (e != ERR_NONE)
        return fail(&s, e, &p);
    const struct heart_settings heart = heart_of(c);
    s.heart = heart_new(&s.service.loop, prober_dialer(s.prober), &heart);
    probe_set_heart(s.probe, s.heart);
    follow_tor(&s, c, &tor);
    for (size_t i = 0; i < o.listen_len; i++)
        LOG(LOG_INFO, "probe ready", LOG_S("listen", o.listen[i]),
            LOG_I("port", probe_port(s.probe, i)));
    return service_run(&s.service);
}

const struct command command_probe = {
    .name = "probe",
    .arguments = "",
    .summary = "tries the relays regularly; dashboard, metrics, health by HTTP",
    .details = "The dashboard is at http:// and probe.listen. It is read-only unless "
               "probe.admin_token_file names a token; on another address than loopback reading "
               "needs it, too, unless probe.open is yes.",
    .examples = "  volley probe -c /etc/volley/volley.yaml\n"
                "  curl -s http://127.0.0.1:7788/metrics\n"
                "  curl -s http://127.0.0.1:7788/api/depth | jq .",
    .run = run,
};
