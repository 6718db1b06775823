/* How it works: ZeroMQ's descriptor only wakes the loop. A turn runs in a prepare handle, after all
 * other callbacks and before the loop sleeps: it reads what has arrived, up to a bound, does it all
 * in one transaction, commits, and then answers. While the disk works, more arrives, so that the
 * load itself makes the groups. A timer ticks for beats, terms, housekeeping and replay jobs; its
 * changes go into the turn's transaction too. */
#include "queue/broker_state.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TICK_MS         100
#define REPLIES_HWM     256 /* to one client that does not read; then they are dropped */
#define TAIL_HWM        128 /* to one subscriber; then it misses some */
#define TAIL_LEN_MAX    (4u * 1024 * 1024)
#define CLOSE_LINGER_MS 500
#define HANDLES         4

static int64_t machine_wall_ms(void *arg)
{
    (void)arg;
    return clock_wall_ms();
}

static uint64_t machine_boot_ms(void *arg)
{
    (void)arg;
    return clock_boot_ms();
}

int64_t broker_wall_ms(const struct broker *b)
{
    return b->clock.wall_ms(b->clock.arg);
}

uint64_t broker_boot_ms(const struct broker *b)
{
    return b->clock.boot_ms(b->clock.arg);
}

static void on_idle(uv_idle_t *h)
{
    (void)h; /* that it is active keeps the loop from sleeping */
}

/* Nothing leaves any more; the process is to end. */
static void give_up(struct broker *b)
{
    uv_prepare_stop(&b->prepare);
    uv_idle_stop(&b->idle);
    uv_timer_stop(&b->tick);
    uv_poll_stop(&b->poll);
    b->on_fatal(b->arg, b->fatal);
}

static void on_prepare(uv_prepare_t *h)
{
    struct broker *b = h->data;
    bool done = broker_turn(b);
    if (b->fatal != ERR_NONE)
        give_up(b);
    else if (done)
        uv_idle_stop(&b->idle);
    else
        uv_idle_start(&b->idle, on_idle);
}

void broker_housekeep(struct broker *b)
{
    b->more_housekeeping = b->step_due = true;
    while (b->more_housekeeping && b->fatal == ERR_NONE) {
        b->ticked = b->look = true;
        (void)broker_turn(b);
    }
}

void broker_set_limits(struct broker *b, const struct store_options *o)
{
    store_set_limits(b->store, o);
}

const char *broker_problem(const struct broker *b)
{
    return store_problem(b->store);
}

void broker_lose_tail(struct broker *b, unsigned count)
{
    b->tail_lost = count;
}

static void on_readable(uv_poll_t *h, int status, int events)
{
    struct broker *b = h->data;
    (void)status, (void)events;
    b->look = true;
}

static void on_tick(uv_timer_t *h)
{
    struct broker *b = h->data;
    b->ticked = b->look = true;
    b->step_due |= !b->by_hand;
    b->ticks++;
}

/* ---- life */

/* By tcp nobody comes in without a key that we know: the handler of handshakes is there before
 * anything is bound. */
static enum err guard(struct broker *b, const char *keys_dir, struct problem *p)
{
    struct curve_pair keys;
    if (!b->at.tcp)
        return ERR_NONE;
    enum err e = curve_load_server(keys_dir, &keys, p);
    if (e == ERR_NONE)
        e = zap_new(b->ctx, keys_dir, &b->zap, p);
    void *const sockets[] = {b->router, b->pub};
    for (size_t i = 0; i < COUNT_OF(sockets) && e == ERR_NONE; i++) {
        curve_serve(sockets[i], &keys);
        zap_guard(sockets[i]);
        endpoint_tune(sockets[i], &b->at);
    }
    explicit_bzero(&keys, sizeof keys);
    return e;
}

static enum err open_sockets(struct broker *b, const char *keys_dir, struct problem *p)
{
    b->ctx = zmq_ctx_new();
    if (b->ctx != NULL) {
        b->router = endpoint_socket(b->ctx, ZMQ_ROUTER, REPLIES_HWM);
        b->pub = endpoint_socket(b->ctx, ZMQ_PUB, TAIL_HWM);
    }
    if (b->router == NULL || b->pub == NULL)
        return problem_set(p, ERR_IO, "no ZeroMQ sockets: %s", zmq_strerror(errno));
    /* With MANDATORY a send to one that is gone fails at the first frame, and nothing is queued. */
    endpoint_set(b->router, ZMQ_ROUTER_MANDATORY, 1);
    return guard(b, keys_dir, p);
}

static enum err listen_on(struct broker *b, struct problem *p)
{
    enum err e = endpoint_bind(b->router, b->at.requests, p);
    b->bound_router = e == ERR_NONE;
    if (e == ERR_NONE)
        e = endpoint_bind(b->pub, b->at.tail, p);
    b->bound_pub = e == ERR_NONE;
    return e;
}

static void free_broker(struct broker *b)
{
    if (b->router != NULL)
        zmq_close(b->router);
    if (b->pub != NULL)
        zmq_close(b->pub);
    zap_free(b->zap);
    endpoint_end(b->ctx);
    if (b->bound_router && !b->at.tcp)
        unlink(b->at.requests); /* the store's lock is still ours: no other broker's */
    if (b->bound_pub && !b->at.tcp)
        unlink(b->at.tail);
    if (b->store != NULL)
        store_close(b->store);
    leases_free(b->leases);
    blasted_free(b->blasted);
    broker_drop_pages(b);
    free(b->later.items);
    free(b->pages.items);
    free(b->answers);
    free(b->added);
    buf_fini(&b->tail);
    free(b);
}

static enum err tally(void *arg, uint64_t pos, struct store_tally *out)
{
    struct broker *b = arg;
    return store_tally(b->store, pos, out);
}

static void say(void *arg, const char *line)
{
    (void)arg;
    LOG(LOG_INFO, line);
}

static void start(struct broker *b)
{
    uv_poll_init(b->loop, &b->poll, endpoint_fd(b->router));
    uv_prepare_init(b->loop, &b->prepare);
    uv_idle_init(b->loop, &b->idle);
    uv_timer_init(b->loop, &b->tick);
    b->poll.data = b->prepare.data = b->idle.data = b->tick.data = b;
    b->handles_open = HANDLES;
    uv_poll_start(&b->poll, UV_READABLE, on_readable);
    uv_prepare_start(&b->prepare, on_prepare);
    uv_idle_start(&b->idle, on_idle); /* the first turn comes at once */
    uv_timer_start(&b->tick, on_tick, TICK_MS, TICK_MS);
    if (b->zap != NULL)
        zap_start(b->zap, b->loop);
}

enum err broker_new(uv_loop_t *loop, const struct broker_options *o, struct broker **out,
                    struct problem *p)
{
    static const struct broker_clock machine = {machine_wall_ms, machine_boot_ms, NULL};
    struct broker *b = mem_zero(1, sizeof *b);
    b->loop = loop;
    b->clock = o->clock != NULL ? *o->clock : machine;
    b->by_hand = o->by_hand;
    b->on_fatal = o->on_fatal;
    b->arg = o->arg;
    b->look = true;
    b->turned_ms = clock_boot_ms();
    rng_secure(&b->number, sizeof b->number);
    buf_init(&b->tail, TAIL_LEN_MAX);
    b->leases = leases_new();
    b->blasted = blasted_new(&(struct blasted_ops){tally, say, b});
    enum err e = endpoint_parse(o->url, &b->at, p);
    if (e == ERR_NONE && b->at.is_name)
        e = problem_set(p, ERR_INVALID,
                        "queue.url: %s: a queue listens on an address, such as 0.0.0.0, [::] or "
                        "one of this machine's; a name is for its clients",
                        o->url);
    if (e == ERR_NONE)
        e = open_sockets(b, o->keys_dir, p);
    if (e == ERR_NONE)
        e = store_open(&o->store, broker_wall_ms(b), &b->store, p);
    if (e == ERR_NONE)
        e = listen_on(b, p);
    if (e != ERR_NONE) {
        free_broker(b);
        return e;
    }
    broker_load_lanes(b);
    start(b);
    *out = b;
    return ERR_NONE;
}

static void on_part_closed(void *broker)
{
    struct broker *b = broker;
    if (--b->handles_open > 0)
        return;
    void (*fn)(void *) = b->closed_fn;
    void *arg = b->closed_arg;
    free_broker(b);
    fn(arg);
}

static void on_closed(uv_handle_t *h)
{
    on_part_closed(h->data);
}

void broker_close(struct broker *b, void (*fn)(void *arg), void *arg)
{
    b->closed_fn = fn;
    b->closed_arg = arg;
    b->look = true;
    if (b->fatal == ERR_NONE)
        (void)broker_turn(b); /* what has arrived is answered */
    if (b->fatal == ERR_NONE)
        endpoint_set(b->router, ZMQ_LINGER, CLOSE_LINGER_MS);
    uv_close((uv_handle_t *)&b->poll, on_closed);
    uv_close((uv_handle_t *)&b->prepare, on_closed);
    uv_close((uv_handle_t *)&b->idle, on_closed);
    uv_close((uv_handle_t *)&b->tick, on_closed);
    if (b->zap != NULL) {
        b->handles_open++;
        zap_stop(b->zap, on_part_closed, b);
    }
}
