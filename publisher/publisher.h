/* The publisher service: leases lanes, delivers, commits. */
#ifndef VOLLEY_PUBLISHER_PUBLISHER_H
#define VOLLEY_PUBLISHER_PUBLISHER_H

#include "common/net/control.h"
#include "publisher/lane.h"

struct publisher;

/* All of it is copied. */
struct publisher_options {
    const struct definition *relays; /* put in force at start (queue define), retried until the
                                        queue is there; a list that was replaced since is not */
    size_t relays_len;               /* 0: the queue keeps the list it has */
    uint32_t routes;                 /* bits: which routes it serves */
    struct lane_limits limits; /* defaults; window and rate of a definition lower them. can_auth and
                                  demote_… are filled in from the below */
    uint32_t race_delay_ms;    /* 0: auto (300 direct, learned over Tor) */
    uint32_t demote_after;
    uint64_t demote_for_ms, connect_timeout_ms;
    const char *auth_key_file; /* empty or NULL: none */
    bool keys_may_be_readable; /* by others: in a container a secret keeps its host's mode */
    const struct socks_ports
        *socks;          /* NULL: no tor; lanes with route tor then wait with a clear error */
    const char *ca_file; /* NULL: the system's */
    size_t cache_max;    /* bytes of events in the feed's cache */
    bool verbose;        /* log what each connection came to */
    struct control
        *control; /* of the tor behind `socks`, following streams when verbose. The caller's, until
                     publisher_drain has called back. NULL: none is configured */
};

/* Starts. The queue stays the caller's and has no other follower; its calls should time out well
 * before a lease's term does (3 s). ERR_INVALID, ERR_NOT_FOUND, ERR_IO: a key file named by the
 * options; `p` says which. */
MUST_USE enum err publisher_new(uv_loop_t *loop, struct queue *q, const struct publisher_options *o,
                                struct publisher **out, struct problem *p);
/* Other options from now on, as the configuration says now: the relay list (put in force when it is
 * another than before, even one that was in force long ago), which routes it serves, keys (the
 * files are read again), limits (of lanes it holds, too; waits that have begun stay), timeouts.
 * `socks`, `ca_file` and `cache_max` stay as they were. No link is closed for it. Errors as
 * publisher_new's; then nothing has changed. */
MUST_USE enum err publisher_reload(struct publisher *p, const struct publisher_options *o,
                                   struct problem *why);
/* Tor works (again): lanes that go by it need not wait out their backoff. */
void publisher_tor_ready(struct publisher *p);
/* Stops leasing, settles what is in flight within ok_timeout, commits, gives its lanes back, frees;
 * `fn` last. When the queue is out of reach it is given up a few seconds later. */
void publisher_drain(struct publisher *p, void (*fn)(void *arg), void *arg);

#endif
