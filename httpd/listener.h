/* HTTP servers under our loop: libmicrohttpd without threads, in epoll mode, its epoll descriptor
 * polled by the loop. Ingest and the probe both stand on it.
 *
 * `struct httpd` is what a service's listeners share: who answers, the limits, and who is
 * connected, counted per address and in total from accept to close, websockets included. */
#ifndef VOLLEY_HTTPD_LISTENER_H
#define VOLLEY_HTTPD_LISTENER_H

#include "httpd/address.h"

#include <microhttpd.h>
#include <uthash.h>
#include <uv.h>

/* How many connections an address has. */
struct peer {
    struct address_key key;
    uint32_t connections_len;
    UT_hash_handle hh;
};

struct peers {
    struct peer *by_key;
    struct connection *connections;
    uint32_t connections_len;
    uint64_t refused; /* over a limit, since they were last told in the log */
    uint64_t told_ms;
};

/* A connection as libmicrohttpd knows it. */
struct connection {
    struct peer *peer;
    int fd;
    bool upgraded;     /* somebody else has its socket: time is his business now */
    uint64_t since_ms; /* when the request it is about began, at the latest */
    struct connection *prev, *next;
};

/* Filled in by its service; `peers` zeroed. Outlives its listeners. */
struct httpd {
    uv_loop_t *loop;
    uint32_t max_connections, max_per_ip;
    uint64_t handshake_ms; /* from `since_ms`, for a connection that was not upgraded */
    uint64_t now_ms;       /* the service keeps it: a second is fine enough */
    /* libmicrohttpd's handlers; `cls` is the listener. */
    MHD_AccessHandlerCallback on_request;
    MHD_RequestCompletedCallback on_completed; /* NULL: not wanted */
    void *arg;                                 /* the service */
    struct peers peers;
};

struct listener {
    struct httpd *http;
    struct MHD_Daemon *daemon;
    int fd;
    uint16_t port;
    bool loopback; /* nobody but this machine can connect */
    bool kicked;
    unsigned handles_len; /* uv handles still to be closed */
    void (*on_stopped)(void *arg);
    uv_poll_t poll;
    uv_timer_t timer;
};

struct bound {
    int fd;
    uint16_t port;
    bool loopback;
};
/* Binds and listens. ERR_IO: `p` says what is wrong. The caller closes the descriptor, or hands it
 * to listener_new. */
MUST_USE enum err listener_bind(const union address *a, struct bound *out, struct problem *p);
struct listener *listener_new(struct httpd *h, const struct bound *b);
/* The server has something to do that no descriptor tells: a socket given back, a connection
 * resumed. It runs at the end of the turn. */
void listener_kick(struct listener *l);
/* The end of a turn. */
void listener_turn(struct listener *l);
/* Accepts no more. */
void listener_quiesce(struct listener *l);
/* Closes everything, the connections' sockets too; upgraded ones must be gone, suspended ones
 * resumed. Frees, then calls `fn` with the service from the loop. */
void listener_stop(struct listener *l, void (*fn)(void *arg));

/* Cuts off who takes too long to say what he wants, and tells the log of refused connections. */
void peers_tick(struct httpd *h);
/* The bookkeeping of one connection. */
struct connection *connection_of(struct MHD_Connection *c);

#endif
