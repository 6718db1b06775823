/* How it works: the reading is done in a prepare handle, that is after all callbacks of a turn and
 * before the loop sleeps. ZeroMQ's descriptors only say "look again", once: a socket is looked at
 * when its descriptor said so, and as long as there was something; after an empty look the
 * descriptor tells of the next. A send may swallow what it had to tell, so after sending there is
 * another look. While there is more to look at an idle handle keeps the loop awake.
 *
 * ZMQ_IMMEDIATE: messages go to a connection that stands or nowhere, and are forgotten with it. So
 * "sent" has a meaning, and a request never reaches a broker that was started later. But ZeroMQ
 * tells of a broken connection before it lets go of it: what is sent between would be lost without
 * a word. So nothing is sent before the monitor told of the next one.
 *
 * ZeroMQ tries again by itself when a connection fails or breaks, but gives up for good when the
 * other side refused us in the handshake. Then, after a while, we connect anew. So we do for a host
 * name that can't be reached: ZeroMQ asks for addresses of one family only, so each is tried in
 * turn. */
#include "queue/zmq_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define HWM          1000
#define RECONNECT_MS 50
#define REDIAL_MS    1000
#define CUT_TOLD     3   /* so many are told of: one may be a broker that was just ending */
#define READS_A_TURN 256 /* from each socket; then others on the loop have their turn */
#define SOCKETS      4
#define HANDLES      (SOCKETS + 3)
#define EVENTS                                                                                     \
    (ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CONNECT_RETRIED |          \
     ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |                       \
     ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL)

/* Two that are connected, and the monitor of each in the same order. */
enum { DEALER, SUB, DEALER_MONITOR, SUB_MONITOR };

struct zmq_client {
    void *ctx;
    void *sockets[SOCKETS];
    uv_poll_t polls[SOCKETS];
    uv_prepare_t prepare;
    uv_idle_t idle;
    uv_timer_t redial;
    bool redials[2]; /* the DEALER, or the SUB, waits for that timer */
    struct endpoint at;
    char key[CURVE_TEXT_SIZE]; /* our public one; empty: none */
    unsigned cut;              /* handshakes in a row that ended without a word */
    struct zmq_client_ops ops;
    void *arg;
    bool look[SOCKETS];
    bool sent, blocked; /* in this turn */
    bool up;            /* as the monitor told */
    bool following, woken, closing;
    int handles_open;
    void (*closed_fn)(void *arg);
    void *closed_arg;
};

static void look_at_dealer(struct zmq_client *c)
{
    int events = endpoint_events(c->sockets[DEALER]);
    c->look[DEALER] |= (events & ZMQ_POLLIN) != 0;
    c->woken |= c->blocked && (events & ZMQ_POLLOUT) != 0;
}

typedef void reader(struct zmq_client *c, zmq_msg_t *m);

static void read_reply(struct zmq_client *c, zmq_msg_t *m)
{
    c->ops.on_reply(c->arg, zmq_msg_data(m), zmq_msg_size(m));
}

static void read_published(struct zmq_client *c, zmq_msg_t *m)
{
    c->ops.on_published(c->arg, zmq_msg_data(m), zmq_msg_size(m));
}

/* An event is two frames: its number (u16, in the machine's order) and value, and the address. */
static unsigned event_of(zmq_msg_t *m)
{
    uint16_t event = 0;
    if (zmq_msg_size(m) == 6)
        memcpy(&event, zmq_msg_data(m), sizeof event);
    return event;
}

static void on_redial(uv_timer_t *t)
{
    struct zmq_client *c = t->data;
    for (int i = DEALER; i <= SUB; i++) {
        const char *at = i == DEALER ? c->at.requests : c->at.tail;
        if (!c->redials[i])
            continue;
        c->redials[i] = false;
        endpoint_disconnect(c->sockets[i], at);
        endpoint_tune(c->sockets[i], &c->at);
        if (endpoint_connect(c->sockets[i], at) != ERR_NONE)
            c->redials[i] = true;
    }
    c->at.is_ipv6 ^= c->at.is_name;
    if (c->redials[DEALER] || c->redials[SUB])
        uv_timer_start(t, on_redial, REDIAL_MS, 0);
}

static void redial(struct zmq_client *c, int which)
{
    if (c->closing)
        return;
    c->redials[which] = true;
    if (!uv_is_active((uv_handle_t *)&c->redial))
        uv_timer_start(&c->redial, on_redial, REDIAL_MS, 0);
}

/* What the operator should know of a handshake that failed; only by tcp there is something to say.
 */
static void tell_refusal(struct zmq_client *c, unsigned event)
{
    char text[sizeof(struct problem)];
    if (!c->at.tcp || (event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL && ++c->cut < CUT_TOLD))
        return;
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
        (void)snprintf(text, sizeof text,
                       "the queue at %s refused this client's key: add the line \"%s NAME\" to "
                       "clients.allow there",
                       c->at.requests, c->key);
    else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL)
        (void)snprintf(text, sizeof text,
                       "who listens at %s does not ask for CURVE keys: it is no queue of volley's",
                       c->at.requests);
    else
        (void)snprintf(text, sizeof text,
                       "who listens at %s does not finish the handshake: server.pub in "
                       "queue.keys_dir is not its key, or it is no queue, or very busy",
                       c->at.requests);
    c->ops.on_trouble(c->arg, text);
}

static void dealer_event(struct zmq_client *c, zmq_msg_t *m)
{
    unsigned event = event_of(m);
    switch (event) {
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        c->up = true;
        c->cut = 0;
        c->ops.on_trouble(c->arg, "");
        look_at_dealer(c); /* and so lets go of the connection before */
        break;
    case ZMQ_EVENT_DISCONNECTED:
        c->up = false;
        c->ops.on_down(c->arg);
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        tell_refusal(c, event);
        break;
    default:
        break;
    }
}

/* Where ZeroMQ does not go on by itself, or not to all addresses. */
static void connect_again(struct zmq_client *c, int which, unsigned event)
{
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH || event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL ||
        (event == ZMQ_EVENT_CONNECT_RETRIED && c->at.is_name))
        redial(c, which);
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
        c->redials[which] = false;
}

static void read_dealer_event(struct zmq_client *c, zmq_msg_t *m)
{
    dealer_event(c, m);
    connect_again(c, DEALER, event_of(m));
}

static void read_sub_event(struct zmq_client *c, zmq_msg_t *m)
{
    connect_again(c, SUB, event_of(m));
}

/* Reads until nothing is left, but not for ever. The first frame of each message goes to `fn`. */
static void read_all(struct zmq_client *c, int which, reader *fn)
{
    for (int i = 0; c->look[which] && i < READS_A_TURN && !c->closing; i++) {
        zmq_msg_t m;
        bool more = true;
        zmq_msg_init(&m);
        for (int frame = 0; more; frame++) {
            if (!endpoint_recv(c->sockets[which], &m)) {
                c->look[which] = false;
                break;
            }
            more = zmq_msg_more(&m);
            if (frame == 0)
                fn(c, &m);
        }
        zmq_msg_close(&m);
    }
}

static void on_idle(uv_idle_t *h)
{
    (void)h; /* that it is active keeps the loop from sleeping */
}

static void on_readable(uv_poll_t *h, int status, int events)
{
    struct zmq_client *c = h->data;
    (void)status, (void)events;
    c->look[h - c->polls] = true;
}

static void on_prepare(uv_prepare_t *h)
{
    struct zmq_client *c = h->data;
    c->woken = false;
    read_all(c, DEALER, read_reply); /* what came before the connection broke still counts */
    read_all(c, DEALER_MONITOR, read_dealer_event);
    read_all(c, SUB_MONITOR, read_sub_event);
    read_all(c, SUB, read_published);
    if (!c->closing)
        c->ops.on_turn(c->arg);
    if (c->closing)
        return;
    if (c->sent || c->blocked) /* a send, done or refused, may have swallowed news */
        look_at_dealer(c);
    c->sent = c->blocked = false;
    if (c->woken || c->look[DEALER] || c->look[SUB] || c->look[DEALER_MONITOR] ||
        c->look[SUB_MONITOR])
        uv_idle_start(&c->idle, on_idle);
    else
        uv_idle_stop(&c->idle);
}

void zmq_client_wake(struct zmq_client *c)
{
    c->woken = true;
    if (!c->closing)
        uv_idle_start(&c->idle, on_idle);
}

enum err zmq_client_send(struct zmq_client *c, const void *data, size_t len)
{
    int rc;
    if (!c->up)
        return ERR_AGAIN;
    do
        rc = zmq_send(c->sockets[DEALER], data, len, ZMQ_DONTWAIT);
    while (rc < 0 && errno == EINTR);
    c->sent |= rc >= 0;
    c->blocked |= rc < 0;
    return rc < 0 ? ERR_AGAIN : ERR_NONE;
}

void zmq_client_follow(struct zmq_client *c, bool on)
{
    if (c->following != on)
        (void)zmq_setsockopt(c->sockets[SUB], on ? ZMQ_SUBSCRIBE : ZMQ_UNSUBSCRIBE, "", 0);
    c->following = on;
    c->look[SUB] = true;
}

static enum err monitor(struct zmq_client *c, int which, const char *url)
{
    bool good = zmq_socket_monitor(c->sockets[which], url, EVENTS) == 0 &&
                zmq_connect(c->sockets[which + DEALER_MONITOR], url) == 0;
    return good ? ERR_NONE : ERR_IO;
}

static enum err open_sockets(struct zmq_client *c, const struct curve_client *keys)
{
    static const int types[SOCKETS] = {ZMQ_DEALER, ZMQ_SUB, ZMQ_PAIR, ZMQ_PAIR};
    for (int i = 0; i < SOCKETS; i++) {
        c->sockets[i] = endpoint_socket(c->ctx, types[i], HWM);
        if (c->sockets[i] == NULL)
            return ERR_IO;
    }
    for (int i = DEALER; i <= SUB; i++) {
        endpoint_set(c->sockets[i], ZMQ_RECONNECT_IVL, RECONNECT_MS);
        endpoint_tune(c->sockets[i], &c->at);
        if (keys != NULL)
            curve_join(c->sockets[i], keys);
    }
    endpoint_set(c->sockets[DEALER], ZMQ_IMMEDIATE, 1);
    if (monitor(c, DEALER, "inproc://dealer") != ERR_NONE ||
        monitor(c, SUB, "inproc://sub") != ERR_NONE)
        return ERR_IO;
    if (endpoint_connect(c->sockets[DEALER], c->at.requests) != ERR_NONE)
        return ERR_IO;
    return endpoint_connect(c->sockets[SUB], c->at.tail);
}

static void close_sockets(struct zmq_client *c)
{
    for (int i = DEALER; i <= SUB; i++)
        if (c->sockets[i] != NULL)
            zmq_socket_monitor(c->sockets[i], NULL, 0);
    for (int i = 0; i < SOCKETS; i++)
        if (c->sockets[i] != NULL)
            zmq_close(c->sockets[i]);
    endpoint_end(c->ctx);
}

enum err zmq_client_open(uv_loop_t *loop, const struct endpoint *e, const struct curve_client *keys,
                         const struct zmq_client_ops *ops, void *arg, struct zmq_client **out,
                         struct problem *p)
{
    struct zmq_client *c = mem_zero(1, sizeof *c);
    c->ops = *ops;
    c->arg = arg;
    c->at = *e;
    if (keys != NULL)
        memcpy(c->key, keys->own.public, sizeof c->key);
    c->ctx = zmq_ctx_new();
    if (c->ctx == NULL || open_sockets(c, keys) != ERR_NONE) {
        enum err err = problem_set(p, ERR_IO, "no ZeroMQ sockets: %s", zmq_strerror(errno));
        close_sockets(c);
        free(c);
        return err;
    }
    for (int i = 0; i < SOCKETS; i++) {
        uv_poll_init(loop, &c->polls[i], endpoint_fd(c->sockets[i]));
        c->polls[i].data = c;
        c->look[i] = true;
        uv_poll_start(&c->polls[i], UV_READABLE, on_readable);
    }
    uv_prepare_init(loop, &c->prepare);
    uv_idle_init(loop, &c->idle);
    uv_timer_init(loop, &c->redial);
    c->at.is_ipv6 ^= c->at.is_name; /* the family that comes next */
    c->prepare.data = c->idle.data = c->redial.data = c;
    uv_prepare_start(&c->prepare, on_prepare);
    c->handles_open = HANDLES;
    zmq_client_wake(c);
    *out = c;
    return ERR_NONE;
}

static void on_handle_closed(uv_handle_t *h)
{
    struct zmq_client *c = h->data;
    if (--c->handles_open > 0)
        return;
    close_sockets(c);
    void (*fn)(void *) = c->closed_fn;
    void *arg = c->closed_arg;
    free(c);
    fn(arg);
}

void zmq_client_close(struct zmq_client *c, void (*fn)(void *arg), void *arg)
{
    c->closing = true;
    c->closed_fn = fn;
    c->closed_arg = arg;
    for (int i = 0; i < SOCKETS; i++)
        uv_close((uv_handle_t *)&c->polls[i], on_handle_closed);
    uv_close((uv_handle_t *)&c->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&c->idle, on_handle_closed);
    uv_close((uv_handle_t *)&c->redial, on_handle_closed);
}
