/* The service object: options, the loop's hooks, time, draining. Structure and order of a turn are
 * told in service.h. */
#include "ingest/ingest.h"

#include "common/base/clock.h"
#include "ingest/http.h"
#include "ingest/info.h"
#include "ingest/session.h"

#include <stdlib.h>
#include <unistd.h>
#include <utlist.h>

#define MAX_EVENT_DEFAULT       (128u * 1024u)
#define MAX_CONNECTIONS_DEFAULT 10000u
#define MAX_PER_IP_DEFAULT      100u
#define REPLY_LEN_MAX           4096u
#define GOODBYE_MS              1000u /* when draining: how long clients may take to go */

struct ingest_limits ingest_limits_default(void)
{
    return (struct ingest_limits){
        .client_events_max = 256,
        .client_bytes_max = 4u << 20,
        .total_bytes_max = 16u << 20,
        .partial_max = 16u << 20,
        .partial_free = 16u << 10,
        .reply_pause = 256u << 10,
        .reply_max = 1u << 20,
        .replies_max = 16u << 20,
        .reply_free = 16u << 10,
        .read_budget = 64u << 10,
        .ping_ms = 60000,
        .pings_max = 2,
        .stall_ms = 30000,
        .message_ms = 60000,
        .close_ms = 5000,
        .handshake_ms = 15000,
        .health_ms = 2000,
        .tick_ms = 1000,
    };
}

size_t service_message_max(uint32_t max_event)
{
    return (size_t)max_event * 3 + 1024;
}

/* ---- a turn */

static void on_again(uv_idle_t *handle)
{
    (void)handle; /* its being active is what counts */
}

static void drain_step(struct ingest *i);

static void read_ready(struct ingest *i)
{
    struct session *list = i->ready, *s;

    /* Whoever gets ready again meanwhile is read in the next turn. */
    i->ready = NULL;
    while ((s = list) != NULL) {
        DL_DELETE2(list, s, ready_prev, ready_next);
        s->is_ready = false;
        session_read(s);
    }
}

static void on_turn(uv_prepare_t *handle)
{
    struct ingest *i = handle->data;

    if (i->drain != DRAIN_NO)
        drain_step(i);
    if (i->drain == DRAIN_ENDING)
        return;
    read_ready(i);
    verify_push(i->verify);
    while (i->touched != NULL) {
        struct session *s = i->touched;
        DL_DELETE2(i->touched, s, touched_prev, touched_next);
        s->is_touched = false;
        session_turn(s);
    }
    for (size_t n = 0; n < i->listeners_len; n++)
        listener_turn(i->listeners[n]);
    if (i->ready != NULL)
        (void)uv_idle_start(&i->again, on_again);
    else
        (void)uv_idle_stop(&i->again);
}

void service_tick(struct ingest *i, uint64_t now_ms, int64_t now_s)
{
    struct session *s;

    i->now_ms = now_ms;
    i->now_s = now_s;
    DL_FOREACH(i->sessions, s)
    {
        session_tick(s);
    }
    i->http.now_ms = now_ms;
    peers_tick(&i->http);
    health_tick(i);
}

static void on_tick(uv_timer_t *handle)
{
    service_tick(handle->data, clock_boot_ms(), clock_wall_s());
}

static void touch_all(struct ingest *i)
{
    struct session *s;

    DL_FOREACH(i->sessions, s)
    {
        session_touch(s);
    }
}

void service_settled(struct ingest *i)
{
    if (!i->congested || i->under_way_bytes > i->limits.total_bytes_max / 2)
        return;
    i->congested = false;
    touch_all(i);
}

bool service_answered(struct ingest *i)
{
    i->calls_len--;
    if (!i->finished)
        return true;
    if (i->calls_len == 0)
        free(i);
    return false;
}

/* ---- birth */

static enum err check_options(const struct ingest_options *o, union address *addresses,
                              struct problem *p)
{
    if (o->listen_len == 0 || o->listen_len > LISTEN_MAX)
        return problem_set(p, ERR_INVALID, "ingest.listen needs 1 to %d addresses", LISTEN_MAX);
    for (size_t n = 0; n < o->listen_len; n++) {
        enum err e = address_parse(o->listen[n], &addresses[n], p);
        if (e != ERR_NONE)
            return e;
        if (o->allow_len == 0 && !o->open && !address_is_loopback(&addresses[n]))
            return problem_set(p, ERR_INVALID,
                               "ingest.listen: %s can be reached from elsewhere, and "
                               "ingest.allow_pubkeys is empty: list the public keys whose events "
                               "are taken, or set ingest.open: yes to take anybody's",
                               o->listen[n]);
    }
    return ERR_NONE;
}

/* All or none. */
static enum err bind_all(const struct ingest_options *o, struct bound *bound, struct problem *p)
{
    union address addresses[LISTEN_MAX];
    struct problem why;
    enum err e = check_options(o, addresses, p);

    for (size_t n = 0; e == ERR_NONE && n < o->listen_len; n++) {
        e = listener_bind(&addresses[n], &bound[n], &why);
        if (e == ERR_NONE)
            continue;
        problem_set(p, e, "ingest.listen: %s: %s", o->listen[n], why.text);
        while (n-- > 0)
            (void)close(bound[n].fd);
        break;
    }
    return e;
}

static void init_loop(struct ingest *i)
{
    (void)uv_prepare_init(i->loop, &i->turn);
    (void)uv_idle_init(i->loop, &i->again);
    (void)uv_timer_init(i->loop, &i->tick);
    (void)uv_timer_init(i->loop, &i->patience);
    i->turn.data = i->again.data = i->tick.data = i->patience.data = i;
    (void)uv_prepare_start(&i->turn, on_turn);
    if (i->limits.tick_ms > 0)
        (void)uv_timer_start(&i->tick, on_tick, i->limits.tick_ms, i->limits.tick_ms);
}

/* What can change while it runs. */
static void take_rules(struct ingest *i, const struct ingest_options *given)
{
    struct ingest_options o = *given;

    if (o.max_event == 0)
        o.max_event = MAX_EVENT_DEFAULT;
    i->max_event = o.max_event;
    i->http.max_per_ip = o.max_per_ip > 0 ? o.max_per_ip : MAX_PER_IP_DEFAULT;
    i->guarded = o.allow_len == 0 && !o.open;
    free(i->info);
    i->info = info_new(&o, service_message_max(o.max_event));
    policy_fini(&i->policy);
    policy_init(&i->policy, o.allow_pubkeys, o.allow_len);
    i->policy.min_pow = o.min_pow;
    i->policy.past_s = o.created_at_past_s;
    i->policy.future_s = o.created_at_future_s;
}

static struct ingest *service_init(uv_loop_t *loop, struct queue *q, const struct ingest_options *o,
                                   const struct ingest_limits *l)
{
    struct ingest *i = mem_zero(1, sizeof *i);

    i->loop = loop;
    i->queue = q;
    i->limits = *l;
    i->now_ms = clock_boot_ms();
    i->http = (struct httpd){.loop = loop,
                             .max_connections = o->max_connections > 0 ? o->max_connections
                                                                       : MAX_CONNECTIONS_DEFAULT,
                             .handshake_ms = l->handshake_ms,
                             .now_ms = i->now_ms,
                             .on_request = http_on_request,
                             .arg = i};
    i->now_s = clock_wall_s();
    take_rules(i, o);
    recent_init(&i->recent);
    buf_init(&i->reply, REPLY_LEN_MAX);
    i->verify = verify_new(loop);
    init_loop(i);
    return i;
}

enum err service_new(uv_loop_t *loop, struct queue *q, const struct ingest_options *o,
                     const struct ingest_limits *l, struct ingest **out, struct problem *p)
{
    struct bound bound[LISTEN_MAX];
    enum err e = bind_all(o, bound, p);

    if (e != ERR_NONE)
        return e;
    struct ingest *i = service_init(loop, q, o, l);
    for (; i->listeners_len < o->listen_len; i->listeners_len++)
        i->listeners[i->listeners_len] = listener_new(&i->http, &bound[i->listeners_len]);
    *out = i;
    return ERR_NONE;
}

enum err ingest_new(uv_loop_t *loop, struct queue *q, const struct ingest_options *o,
                    struct ingest **out, struct problem *p)
{
    struct ingest_limits limits = ingest_limits_default();

    return service_new(loop, q, o, &limits, out, p);
}

enum err ingest_reload(struct ingest *i, const struct ingest_options *o, struct problem *p)
{
    union address addresses[LISTEN_MAX];
    enum err e = check_options(o, addresses, p);

    if (e == ERR_NONE && i->drain == DRAIN_NO)
        take_rules(i, o);
    return e;
}

uint16_t ingest_port(const struct ingest *i, size_t n)
{
    return n < i->listeners_len ? i->listeners[n]->port : 0;
}

/* ---- the end: answer what is under way, say goodbye, stop the threads, close the handles */

static void finish(struct ingest *i)
{
    void (*fn)(void *) = i->on_drained;
    void *arg = i->drained_arg;

    policy_fini(&i->policy);
    recent_fini(&i->recent);
    buf_fini(&i->reply);
    free(i->info);
    i->finished = true;
    if (i->calls_len == 0)
        free(i);
    if (fn != NULL)
        fn(arg);
}

static void one_closed(void *arg)
{
    struct ingest *i = arg;

    if (--i->closing_len == 0)
        finish(i);
}

static void on_handle_closed(uv_handle_t *handle)
{
    one_closed(handle->data);
}

static void on_verify_closed(void *arg)
{
    struct ingest *i = arg;
    uv_handle_t *handles[] = {(uv_handle_t *)&i->turn, (uv_handle_t *)&i->again,
                              (uv_handle_t *)&i->tick, (uv_handle_t *)&i->patience};

    i->closing_len = COUNT_OF(handles) + i->listeners_len;
    for (size_t n = 0; n < COUNT_OF(handles); n++)
        uv_close(handles[n], on_handle_closed);
    for (size_t n = 0; n < i->listeners_len; n++)
        listener_stop(i->listeners[n], one_closed);
}

static void on_patience(uv_timer_t *handle);

static void say_goodbye(struct ingest *i)
{
    struct session *s;

    i->drain = DRAIN_CLOSING;
    DL_FOREACH(i->sessions, s)
    {
        session_end(s, CODE_GOING_AWAY, GOING_AWAY);
    }
    (void)uv_timer_start(&i->patience, on_patience, GOODBYE_MS, 0);
}

static void drain_step(struct ingest *i)
{
    if (i->drain == DRAIN_ANSWERING && i->under_way_len == 0)
        say_goodbye(i);
    if (i->drain == DRAIN_CLOSING && i->sessions == NULL) {
        i->drain = DRAIN_ENDING;
        verify_close(i->verify, on_verify_closed, i);
    }
}

/* Time is up for this part of the drain. */
static void on_patience(uv_timer_t *handle)
{
    struct ingest *i = handle->data;

    if (i->drain == DRAIN_ANSWERING)
        say_goodbye(i);
    else if (i->drain == DRAIN_CLOSING)
        while (i->sessions != NULL)
            session_destroy(i->sessions);
}

void ingest_drain(struct ingest *i, uint64_t patience_ms, void (*fn)(void *arg), void *arg)
{
    i->drain = DRAIN_ANSWERING;
    i->on_drained = fn;
    i->drained_arg = arg;
    for (size_t n = 0; n < i->listeners_len; n++)
        listener_quiesce(i->listeners[n]);
    health_tick(i); /* answers who waits */
    (void)uv_timer_start(&i->patience, on_patience, patience_ms, 0);
}
