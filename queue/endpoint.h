/* Where a queue is reached: zmq+ipc://PATH names the socket for requests; the tail's stands beside
 * it (…/queue.sock and …/queue-tail.sock). And what both ends ask of a ZeroMQ socket. */
#ifndef VOLLEY_QUEUE_ENDPOINT_H
#define VOLLEY_QUEUE_ENDPOINT_H

#include "common/base/err.h"

#include <stdbool.h>
#include <zmq.h>

#define ENDPOINT_PATH_MAX 107 /* bytes of a unix socket's path, without its terminator */

struct endpoint {
    char requests[ENDPOINT_PATH_MAX + 1]; /* paths */
    char tail[ENDPOINT_PATH_MAX + 1];
};

/* ERR_UNSUPPORTED: another scheme. ERR_INVALID: no absolute path, or a tail's path longer than
 * ENDPOINT_PATH_MAX. `p` says which and how to mend it. */
MUST_USE enum err endpoint_parse(const char *url, struct endpoint *out, struct problem *p);

/* zmq_connect to a unix socket's path. ERR_IO: errno says why. */
MUST_USE enum err endpoint_connect(void *zmq_socket, const char *path);
/* Listens there, mode 0600. What a dead process left at the path is replaced. ERR_LOCKED: somebody
 * listens there. ERR_EXISTS: what is there is no socket. ERR_IO. */
MUST_USE enum err endpoint_bind(void *zmq_socket, const char *path, struct problem *p);

/* A socket that keeps at most `hwm` messages a peer in each direction, takes none longer than
 * WIRE_MESSAGE_MAX and forgets what is unsent when it is closed. NULL: no more descriptors. */
void *endpoint_socket(void *zmq_ctx, int type, int hwm);
/* An option that is an int; dies when ZeroMQ refuses it, which would be our own mistake. */
void endpoint_set(void *zmq_socket, int option, int value);
/* ZMQ_POLLIN and ZMQ_POLLOUT as they are now. From then on the socket's descriptor (endpoint_fd)
 * becomes readable when they may have changed; so it does after an endpoint_recv that was empty. */
int endpoint_events(void *zmq_socket);
int endpoint_fd(void *zmq_socket);
/* The next frame, without waiting; false when there is none. */
bool endpoint_recv(void *zmq_socket, zmq_msg_t *frame);
/* Ends a context whose sockets are closed. NULL is fine. */
void endpoint_end(void *zmq_ctx);

#endif
