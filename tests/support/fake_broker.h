/* A broker that is none: its two sockets, answering what a test tells it to. For tests of the
 * client. */
#ifndef VOLLEY_TESTS_SUPPORT_FAKE_BROKER_H
#define VOLLEY_TESTS_SUPPORT_FAKE_BROKER_H

#include "queue/endpoint.h"
#include "queue/wire.h"

#include <uv.h>

struct fake_broker {
    /* The test's: what to do with a request; NULL: nothing. */
    void (*on_request)(struct fake_broker *f, zmq_msg_t *peer, const struct wire_request *q);
    unsigned requests, events; /* that came so far */
    void *ctx, *router, *pub;
    uv_timer_t timer; /* looks every millisecond */
};

void fake_broker_start(uv_loop_t *loop, const struct endpoint *at, struct fake_broker *f);
/* As if it had been killed: its sockets are gone at once. */
void fake_broker_kill(struct fake_broker *f);
void fake_broker_reply(struct fake_broker *f, zmq_msg_t *peer, const struct wire_reply *r);
/* An on_request: positions 1, 2, 3 … to whatever is appended; reads find nothing. */
void fake_broker_say_yes(struct fake_broker *f, zmq_msg_t *peer, const struct wire_request *q);

#endif
