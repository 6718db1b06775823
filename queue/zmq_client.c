/* How it works: the reading is done in a prepare handle, that is after all callbacks of a turn and
 * before the loop sleeps. ZeroMQ's descriptors only say "look again", once: a socket is looked at
 * when its descriptor said so, and as long as there was something; after an empty look the
 * descriptor tells of the next. A send may swallow what it had to tell, so after sending there is
 * another look. While there is more to look at an idle handle keeps the loop awake.
 *
 * ZMQ_IMMEDIATE: messages go to a connection that stands or nowhere, and are forgotten with it. So
 * "sent" has a meaning, and a request never reaches a broker that was started later. But ZeroMQ
 * tells of a broken connection before it lets go of it: what is sent between would be lost without
 * a word. So nothing is sent before the monitor told of the next one. */
#include "queue/zmq_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define HWM          1000
#define RECONNECT_MS 50
#define READS_A_TURN 256 /* from each socket; then others on the loop have their turn */
#define MONITOR_URL  "inproc://monitor"
#define SOCKETS      3
#define HANDLES      (SOCKETS + 2)

enum { DEALER, SUB, MONITOR };

struct zmq_client {
    void *ctx;
    void *sockets[SOCKETS];
    uv_poll_t polls[SOCKETS];
    uv_prepare_t prepare;
    uv_idle_t idle;
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
static void read_event(struct zmq_client *c, zmq_msg_t *m)
{
    uint16_t event = 0;
    if (zmq_msg_size(m) == 6)
        memcpy(&event, zmq_msg_data(m), sizeof event);
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
        c->up = true;
        look_at_dealer(c); /* and so lets go of the connection before */
    }
    if (event == ZMQ_EVENT_DISCONNECTED) {
        c->up = false;
        c->ops.on_down(c->arg);
    }
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
    read_all(c, MONITOR, read_event);
    read_all(c, SUB, read_published);
    if (!c->closing)
        c->ops.on_turn(c->arg);
    if (c->closing)
        return;
    if (c->sent || c->blocked) /* a send, done or refused, may have swallowed news */
        look_at_dealer(c);
    c->sent = c->blocked = false;
    if (c->woken || c->look[DEALER] || c->look[SUB] || c->look[MONITOR])
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

static enum err open_sockets(struct zmq_client *c, const struct endpoint *e)
{
    static const int types[SOCKETS] = {ZMQ_DEALER, ZMQ_SUB, ZMQ_PAIR};
    for (int i = 0; i < SOCKETS; i++) {
        c->sockets[i] = endpoint_socket(c->ctx, types[i], HWM);
        if (c->sockets[i] == NULL)
            return ERR_IO;
        endpoint_set(c->sockets[i], ZMQ_RECONNECT_IVL, RECONNECT_MS);
    }
    endpoint_set(c->sockets[DEALER], ZMQ_IMMEDIATE, 1);
    if (zmq_socket_monitor(c->sockets[DEALER], MONITOR_URL,
                           ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED) != 0 ||
        zmq_connect(c->sockets[MONITOR], MONITOR_URL) != 0)
        return ERR_IO;
    if (endpoint_connect(c->sockets[DEALER], e->requests) != ERR_NONE)
        return ERR_IO;
    return endpoint_connect(c->sockets[SUB], e->tail);
}

static void close_sockets(struct zmq_client *c)
{
    if (c->sockets[DEALER] != NULL)
        zmq_socket_monitor(c->sockets[DEALER], NULL, 0);
    for (int i = 0; i < SOCKETS; i++)
        if (c->sockets[i] != NULL)
            zmq_close(c->sockets[i]);
    endpoint_end(c->ctx);
}

enum err zmq_client_open(uv_loop_t *loop, const struct endpoint *e,
                         const struct zmq_client_ops *ops, void *arg, struct zmq_client **out,
                         struct problem *p)
{
    struct zmq_client *c = mem_zero(1, sizeof *c);
    c->ops = *ops;
    c->arg = arg;
    c->ctx = zmq_ctx_new();
    if (c->ctx == NULL || open_sockets(c, e) != ERR_NONE) {
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
    c->prepare.data = c->idle.data = c;
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
}
