/* A client's sockets under a libuv loop: requests and replies (DEALER), what is published (SUB),
 * and a monitor of each that tells when the broker went away, or did not let us in.
 *
 * Everything happens in one turn of the loop, just before it would sleep: what arrived is read, and
 * then `on_turn` sends. Nothing is ever sent to a broker that came later: what was under way when
 * the connection broke is forgotten, and `on_down` says so. Reconnects by itself, for ever, also to
 * a broker that refused us: it may be told our key meanwhile. */
#ifndef VOLLEY_QUEUE_ZMQ_CLIENT_H
#define VOLLEY_QUEUE_ZMQ_CLIENT_H

#include "queue/curve.h"
#include "queue/endpoint.h"

#include <uv.h>

struct zmq_client;

/* None of them before zmq_client_open returned, none after zmq_client_close. */
struct zmq_client_ops {
    void (*on_reply)(void *arg, const void *data, size_t len);
    void (*on_published)(void *arg, const void *data, size_t len);
    /* The connection is lost: what was sent and is not answered will not be answered. */
    void (*on_down)(void *arg);
    /* Somebody is there, but does not let us in; "" when the connection stands (again). */
    void (*on_trouble)(void *arg, const char *text);
    /* Once a turn of the loop, after all that arrived was read: the time to send, and to give up
     * what waited too long. */
    void (*on_turn)(void *arg);
};

/* By tcp with our keys, which are copied; else NULL. ERR_IO: no more descriptors. */
MUST_USE enum err zmq_client_open(uv_loop_t *loop, const struct endpoint *e,
                                  const struct curve_client *keys, const struct zmq_client_ops *ops,
                                  void *arg, struct zmq_client **out, struct problem *p);
/* The loop does not sleep before on_turn was called once more. */
void zmq_client_wake(struct zmq_client *c);
/* Sends a copy. ERR_AGAIN: not connected, or the broker does not keep up; an on_turn comes when
 * that may have changed. */
MUST_USE enum err zmq_client_send(struct zmq_client *c, const void *data, size_t len);
/* Subscribes to what is published, or no more. */
void zmq_client_follow(struct zmq_client *c, bool on);
/* Closes everything; `fn` is called from the loop when it is gone. Not from on_reply, on_published
 * or on_down. */
void zmq_client_close(struct zmq_client *c, void (*fn)(void *arg), void *arg);

#endif
