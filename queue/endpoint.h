/* Where a queue is reached, and what both ends ask of a ZeroMQ socket.
 *
 *     zmq+ipc://PATH        the socket for requests; the tail's stands beside it
 *                           (…/queue.sock and …/queue-tail.sock)
 *     zmq+tcp://HOST:PORT   the tail is on the next port. HOST is an IPv4 address, an IPv6 address
 *                           in brackets, or (for clients) a name. With CURVE keys only: curve.h */
#ifndef VOLLEY_QUEUE_ENDPOINT_H
#define VOLLEY_QUEUE_ENDPOINT_H

#include "common/base/err.h"

#include <stdbool.h>
#include <zmq.h>

#define ENDPOINT_PATH_MAX 107 /* bytes of a unix socket's path, without its terminator */
#define ENDPOINT_HOST_MAX 253
#define ENDPOINT_SIZE     (ENDPOINT_HOST_MAX + 24) /* with "tcp://" and a port */

/* A path, or what ZeroMQ calls a tcp endpoint. */
struct endpoint {
    bool tcp;
    bool is_name; /* tcp: HOST is neither kind of address; ZeroMQ resolves it at each connect */
    bool is_ipv6; /* tcp: an IPv6 address */
    char requests[ENDPOINT_SIZE];
    char tail[ENDPOINT_SIZE];
};

/* ERR_UNSUPPORTED: another scheme. ERR_INVALID: no absolute path, a tail's path longer than
 * ENDPOINT_PATH_MAX, no address or name, no port. `p` says which and how to mend it. */
MUST_USE enum err endpoint_parse(const char *url, struct endpoint *out, struct problem *p);

/* zmq_connect to one of an endpoint's two. An address that means "any of mine" is this machine's
 * own. ERR_IO: errno says why. */
MUST_USE enum err endpoint_connect(void *zmq_socket, const char *at);
/* Takes it back: no more attempts. */
void endpoint_disconnect(void *zmq_socket, const char *at);
/* Listens there; a unix socket gets mode 0600, and what a dead process left at the path is
 * replaced. ERR_LOCKED: somebody listens there. ERR_EXISTS: what is there is no socket.
 * ERR_INVALID: not an address of this machine. ERR_IO. */
MUST_USE enum err endpoint_bind(void *zmq_socket, const char *at, struct problem *p);

/* A socket that keeps at most `hwm` messages a peer in each direction, takes none longer than
 * WIRE_MESSAGE_MAX and forgets what is unsent when it is closed. NULL: no more descriptors. */
void *endpoint_socket(void *zmq_ctx, int type, int hwm);
/* What a socket needs for this endpoint before it is bound or connected. By tcp: heartbeats, so
 * that both ends notice within ENDPOINT_DEAD_MS that the network is cut; and a peer that does not
 * finish its handshake in ENDPOINT_HANDSHAKE_MS is let go. */
#define ENDPOINT_BEAT_MS      2000
#define ENDPOINT_PONG_MS      8000 /* a message on its way for longer looks like a cut */
#define ENDPOINT_DEAD_MS      (ENDPOINT_BEAT_MS + ENDPOINT_PONG_MS)
#define ENDPOINT_HANDSHAKE_MS 5000
void endpoint_tune(void *zmq_socket, const struct endpoint *e);
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
