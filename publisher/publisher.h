/* The publisher service: leases lanes, delivers, commits. */
#ifndef VOLLEY_PUBLISHER_PUBLISHER_H
#define VOLLEY_PUBLISHER_PUBLISHER_H

#include "common/net/link.h"
#include "publisher/lane.h"

struct publisher;

struct publisher_options {
    const struct definition
        *relays; /* put in force at start (queue define), retried until the queue is there */
    size_t relays_len;
    uint32_t routes;           /* bits: which routes it serves */
    struct lane_limits limits; /* defaults; window and rate of a definition lower them */
    uint32_t race_delay_ms;    /* 0: auto (300 direct, learned over Tor later; 300 until then) */
    uint32_t demote_after;
    uint64_t demote_for_ms, connect_timeout_ms;
    const char *auth_key_file; /* empty: none */
    const struct socks_ports
        *socks;          /* NULL: no tor; lanes with route tor then wait with a clear error */
    const char *ca_file; /* NULL: the system's */
    size_t cache_max;    /* bytes of events in the feed's cache */
};

MUST_USE enum err publisher_new(uv_loop_t *loop, struct queue *q, const struct publisher_options *o,
                                struct publisher **out, struct problem *p);
/* Stops leasing, settles what is in flight within ok_timeout, commits, gives its lanes back, frees;
 * `fn` last. The queue stays the caller's. */
void publisher_drain(struct publisher *p, void (*fn)(void *arg), void *arg);

#endif
