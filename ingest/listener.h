/* A listening socket with its HTTP server: libmicrohttpd without threads, in epoll mode, its epoll
 * descriptor polled by our loop. Counts connections, per address and in total over all listeners,
 * from accept to close, websockets included. */
#ifndef VOLLEY_INGEST_LISTENER_H
#define VOLLEY_INGEST_LISTENER_H

#include "ingest/address.h"

#include <microhttpd.h>
#include <uthash.h>
#include <uv.h>

struct ingest;

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
    bool upgraded;     /* a session has it: time is its business now */
    uint64_t since_ms; /* when the request it is about began, at the latest */
    struct connection *prev, *next;
};

struct listener {
    struct ingest *i;
    struct MHD_Daemon *daemon;
    int fd;
    uint16_t port;
    bool kicked;
    unsigned handles_len; /* uv handles still to be closed */
    void (*on_stopped)(struct ingest *i);
    uv_poll_t poll;
    uv_timer_t timer;
};

struct bound {
    int fd;
    uint16_t port;
};
/* Binds and listens. ERR_IO: `p` says what is wrong. The caller closes the descriptor, or hands it
 * to listener_new. */
MUST_USE enum err listener_bind(const union address *a, struct bound *out, struct problem *p);
struct listener *listener_new(struct ingest *i, const struct bound *b);
/* The server has something to do that no descriptor tells: a socket given back, a connection
 * resumed. It runs at the end of the turn. */
void listener_kick(struct listener *l);
/* The end of a turn. */
void listener_turn(struct listener *l);
/* Accepts no more. */
void listener_quiesce(struct listener *l);
/* Closes everything, the connections' sockets too; sessions must be gone. Frees, then calls `fn`
 * from the loop. */
void listener_stop(struct listener *l, void (*fn)(struct ingest *i));

/* Cuts off who takes too long to say what he wants, and tells the log of refused connections. */
void peers_tick(struct ingest *i);
/* The bookkeeping of one connection. */
struct connection *connection_of(struct MHD_Connection *c);

#endif
