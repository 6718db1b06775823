#include "probe/probe.h"

#include "common/base/clock.h"
#include "ctl/ctl.h"
#include "ctl/filter.h"
#include "probe/health.h"
#include "probe/service.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_CONNECTIONS 256u
#define MAX_PER_IP      64u
#define REQUEST_MS      60000u /* from a request to the end of its answer */
#define TICK_MS         500u

/* ---- what requests need ---- */

void service_names(const struct probe *p, struct relay_names *out)
{
    const struct queue_depth *d = &p->k.snapshot.depth;

    *out = (struct relay_names){0};
    for (size_t i = 0; i < d->lanes_len; i++)
        relay_names_add(out, d->lanes[i].lane, d->lanes[i].retired, &d->lanes[i].definition);
}

enum err service_filter(struct probe *p, const char *relay, const char *classes,
                        struct failed_call *call, struct problem *why)
{
    struct relay_names names;
    struct filter filter;
    char by[OPERATOR_SIZE];

    enum err e = filter_of_words(relay, classes, &filter, why);
    if (e != ERR_NONE)
        return e;
    service_names(p, &names);
    e = filter_resolve(&filter, &names, why);
    relay_names_fini(&names);
    if (e != ERR_NONE)
        return e;
    *call = (struct failed_call){.filter = filter.row};
    filter_text(&filter, call->text);
    operator_name(by);
    (void)snprintf(call->by, sizeof call->by, "dashboard of %.60s", by);
    return ERR_NONE;
}

/* ---- turns and ticks ---- */

static void on_turn(uv_prepare_t *handle)
{
    struct probe *p = handle->data;

    for (size_t i = 0; i < p->listeners_len; i++)
        listener_turn(p->listeners[i]);
}

static void on_tick(uv_timer_t *handle)
{
    struct probe *p = handle->data;

    p->http.now_ms = clock_boot_ms();
    peers_tick(&p->http);
    asker_tick(p, p->http.now_ms);
}

/* ---- birth ---- */

static enum err read_rules(const struct probe_options *o, union address *addresses,
                           struct guard_rules *out, struct problem *p)
{
    struct problem why;

    *out = (struct guard_rules){.hosts = *o->hosts, .open = o->open};
    enum err e = token_read(&out->token, o->admin_token_file, p);
    if (e == ERR_NONE && o->ask[0] != '\0' && ingest_address_check(o->ask, &why) != ERR_NONE)
        e = problem_set(p, ERR_INVALID, "probe.ingest: %s", why.text);
    if (e == ERR_NONE && o->listen_len == 0)
        e = problem_set(p, ERR_INVALID, "probe.listen needs an address");
    for (size_t i = 0; e == ERR_NONE && i < o->listen_len; i++) {
        e = address_parse(o->listen[i], &addresses[i], p);
        if (e == ERR_NONE && !address_is_loopback(&addresses[i]) && !o->open && !out->token.is_set)
            e = problem_set(p, ERR_INVALID,
                            "probe.listen: %s can be reached from elsewhere: name a token in "
                            "probe.admin_token_file, which readers then need, or set probe.open: "
                            "yes to let anybody read",
                            o->listen[i]);
    }
    return e;
}

/* All or none. */
static enum err bind_all(const struct probe_options *o, const union address *addresses,
                         struct bound *bound, struct problem *p)
{
    struct problem why;

    for (size_t n = 0; n < o->listen_len; n++) {
        enum err e = listener_bind(&addresses[n], &bound[n], &why);
        if (e == ERR_NONE)
            continue;
        while (n-- > 0)
            (void)close(bound[n].fd);
        return problem_set(p, e, "probe.listen: %s: %s", o->listen[n + 1], why.text);
    }
    return ERR_NONE;
}

static void note_ask(struct probe *p, const struct probe_options *o)
{
    const char *first = o->ingest[0] != NULL ? o->ingest[0] : "";

    (void)snprintf(p->ask, sizeof p->ask, "%s", o->ask[0] != '\0' ? o->ask : first);
}

/* Lists for the properties: addresses with the ports that were picked. */
static void note_addresses(struct probe *p, const struct probe_options *o)
{
    size_t n = 0;

    for (; n < CONFIG_LISTEN_MAX && o->ingest[n] != NULL; n++) {
        (void)snprintf(p->ingest[n], sizeof p->ingest[n], "%s", o->ingest[n]);
        p->ingest_list[n] = p->ingest[n];
    }
    for (n = 0; n < p->listeners_len; n++) {
        size_t host_len = (size_t)(strrchr(o->listen[n], ':') - o->listen[n]);
        (void)snprintf(p->listen[n], sizeof p->listen[n], "%.*s:%u", (int)host_len, o->listen[n],
                       p->listeners[n]->port);
        p->listen_list[n] = p->listen[n];
    }
}

static void init_loop(struct probe *p)
{
    (void)uv_prepare_init(p->loop, &p->turn);
    (void)uv_timer_init(p->loop, &p->tick);
    p->turn.data = p->tick.data = p;
    (void)uv_prepare_start(&p->turn, on_turn);
    (void)uv_timer_start(&p->tick, on_tick, 0, TICK_MS);
}

enum err probe_new(uv_loop_t *loop, struct queue *q, const struct probe_options *o,
                   struct probe **out, struct problem *p)
{
    union address addresses[CONFIG_LISTEN_MAX];
    struct bound bound[CONFIG_LISTEN_MAX];
    struct guard_rules rules;
    enum err e = read_rules(o, addresses, &rules, p);

    if (e == ERR_NONE)
        e = bind_all(o, addresses, bound, p);
    if (e != ERR_NONE)
        return e;
    struct probe *probe = mem_zero(1, sizeof *probe);
    probe->loop = loop;
    probe->queue = q;
    probe->rules = rules;
    probe->k.trouble = "";
    probe->k.tor_wanted = o->tor_wanted;
    probe->http = (struct httpd){.loop = loop,
                                 .max_connections = MAX_CONNECTIONS,
                                 .max_per_ip = MAX_PER_IP,
                                 .handshake_ms = REQUEST_MS,
                                 .now_ms = clock_boot_ms(),
                                 .on_request = serve_on_request,
                                 .on_completed = serve_on_completed,
                                 .arg = probe};
    init_loop(probe);
    for (; probe->listeners_len < o->listen_len; probe->listeners_len++)
        probe->listeners[probe->listeners_len] =
            listener_new(&probe->http, &bound[probe->listeners_len]);
    note_addresses(probe, o);
    note_ask(probe, o);
    *out = probe;
    return ERR_NONE;
}

enum err probe_reload(struct probe *p, const struct probe_options *o, struct problem *problem)
{
    union address addresses[CONFIG_LISTEN_MAX];
    struct guard_rules rules;
    enum err e = read_rules(o, addresses, &rules, problem);

    if (e != ERR_NONE)
        return e;
    p->rules = rules;
    p->k.tor_wanted = o->tor_wanted;
    note_ask(p, o);
    return ERR_NONE;
}

uint16_t probe_port(const struct probe *p, size_t n)
{
    return n < p->listeners_len ? p->listeners[n]->port : 0;
}

void probe_set_heart(struct probe *p, struct heart *h)
{
    p->heart = h;
}

void probe_tor(struct probe *p, const struct control_status *s)
{
    p->k.tor_known = true;
    p->k.tor = *s;
}

/* ---- the end ---- */

void probe_quiesce(struct probe *p)
{
    p->quiet = true;
    for (size_t i = 0; i < p->listeners_len; i++)
        listener_quiesce(p->listeners[i]);
}

static void one_closed(void *arg)
{
    struct probe *p = arg;

    if (--p->closing_len > 0)
        return;
    void (*fn)(void *) = p->on_closed;
    void *closed_arg = p->closed_arg;
    asker_fini(&p->asker);
    knowledge_fini(&p->k);
    free(p);
    fn(closed_arg);
}

static void on_handle_closed(uv_handle_t *handle)
{
    one_closed(handle->data);
}

void probe_close(struct probe *p, void (*fn)(void *arg), void *arg)
{
    p->queue = NULL;
    p->k.trouble = ""; /* it was the queue's */
    p->on_closed = fn;
    p->closed_arg = arg;
    p->closing_len = 2 + p->listeners_len;
    if (p->asker.ingest != NULL)
        ingest_ask_cancel(p->asker.ingest);
    p->asker.ingest = NULL;
    uv_close((uv_handle_t *)&p->turn, on_handle_closed);
    uv_close((uv_handle_t *)&p->tick, on_handle_closed);
    for (size_t i = 0; i < p->listeners_len; i++)
        listener_stop(p->listeners[i], one_closed);
}
