/* What the parts of ingest share. Nobody outside ingest/ includes it, tests apart.
 *
 * A loop turn of ingest: sockets are read, queue and threads answer (all of this only marks
 * sessions as touched); then, before the loop sleeps, `turn` in ingest.c reads on where a budget
 * ran out, hands the new events to the verifier and writes every touched session's replies at once.
 */
#ifndef VOLLEY_INGEST_SERVICE_H
#define VOLLEY_INGEST_SERVICE_H

#include "httpd/listener.h"
#include "ingest/health.h"
#include "ingest/ingest.h"
#include "ingest/policy.h"
#include "ingest/recent.h"
#include "ingest/verify.h"

/* Bounds that have no configuration key. */
struct ingest_limits {
    /* Under way: read, and not answered yet. */
    size_t client_events_max, client_bytes_max; /* beyond, this client is not read */
    size_t total_bytes_max;                     /* beyond, nobody is read */
    /* Messages whose end has not come yet. */
    size_t partial_max;  /* bytes of all clients; beyond, whoever adds to a long one is cut off */
    size_t partial_free; /* what counts as long */
    /* Replies that their clients have not taken. */
    size_t reply_pause; /* a client with so many bytes of them is not read */
    size_t reply_max;   /* and with so many it is cut off */
    size_t
        replies_max; /* bytes for all clients; beyond, `reply_free` counts instead of the pause */
    size_t reply_free;
    size_t read_budget;  /* bytes of one client in one go */
    uint64_t ping_ms;    /* of silence, before each ping */
    unsigned pings_max;  /* unanswered, then it is closed */
    uint64_t stall_ms;   /* a client takes no byte of its replies for so long: cut off */
    uint64_t message_ms; /* from a message's first byte to its last */
    uint64_t close_ms;   /* the peer has so long to take our close */
    uint64_t handshake_ms;
    uint64_t health_ms; /* how long the queue may take to answer for /healthz */
    uint64_t tick_ms;   /* how often time is looked at; 0: only when service_tick is called */
};
struct ingest_limits ingest_limits_default(void);
/* The longest frame that may hold an event of `max_event` canonical bytes: clients may write
 * characters as \u escapes, which are up to three times as long. */
size_t service_message_max(uint32_t max_event);

/* How events were answered since the start. */
struct ingest_counts {
    uint64_t accepted, duplicate, refused, error; /* error: not the event's fault */
};

struct ingest {
    uv_loop_t *loop;
    struct queue *queue;
    struct ingest_limits limits;
    struct policy policy;
    uint32_t max_event;
    bool guarded; /* takes anybody's events, so only from this machine's own programs */
    char *info;   /* the NIP-11 document */

    uint64_t now_ms; /* as of the last tick: a second is fine enough for all that ingest times */
    int64_t now_s;
    uv_prepare_t turn;
    uv_idle_t again; /* active while `ready` has sessions: keeps the loop from sleeping */
    uv_timer_t tick, patience;

    struct listener *listeners[LISTEN_MAX];
    size_t listeners_len;
    struct httpd http; /* its now_ms is ours */
    struct health health;

    struct session *sessions, *ready, *touched;
    struct recent recent;
    uint64_t beat_ms; /* when a heartbeat was last queued; 0 */
    struct verify *verify;
    struct buf reply; /* where a message to a client is built */

    size_t under_way_len, under_way_bytes; /* events of all clients, those gone included */
    size_t under_way_peak;                 /* the most bytes there ever were */
    size_t partial_bytes, reply_bytes;
    struct ingest_counts counts;
    size_t calls_len; /* answers the queue still owes us */
    bool congested;   /* total_bytes_max was reached: nobody is read until half of it is free */

    enum drain { DRAIN_NO, DRAIN_ANSWERING, DRAIN_CLOSING, DRAIN_ENDING } drain;
    bool finished;      /* only waits for calls_len to become 0, to be freed */
    size_t closing_len; /* handles and listeners still to be closed */
    void (*on_drained)(void *arg);
    void *drained_arg;
};

/* ingest_new with limits of one's own (copied). */
MUST_USE enum err service_new(uv_loop_t *loop, struct queue *q, const struct ingest_options *o,
                              const struct ingest_limits *l, struct ingest **out,
                              struct problem *p);
/* Everything that happens because time passed. */
void service_tick(struct ingest *i, uint64_t now_ms, int64_t now_s);
/* A call to the queue was answered. False when ingest is gone: `i` may just have been freed. */
bool service_answered(struct ingest *i);
/* Some events settled: reads on, if that ended a congestion. */
void service_settled(struct ingest *i);

#endif
