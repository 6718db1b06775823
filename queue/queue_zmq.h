/* The queue behind ZeroMQ: struct queue_ops as requests to a broker (broker.h). */
#ifndef VOLLEY_QUEUE_QUEUE_ZMQ_H
#define VOLLEY_QUEUE_QUEUE_ZMQ_H

#include "queue/queue.h"

/* As queue_open, for zmq+ipc://PATH and zmq+tcp://HOST:PORT. */
MUST_USE enum err queue_zmq_open(uv_loop_t *loop, const struct queue_options *o, struct queue **out,
                                 struct problem *p);

#endif
