/* The inside of the queue behind ZeroMQ, shared by queue_zmq.c (how calls live) and queue_zmq_ask.c
 * (what can be asked). For them only. */
#ifndef VOLLEY_QUEUE_QUEUE_ZMQ_STATE_H
#define VOLLEY_QUEUE_QUEUE_ZMQ_STATE_H

#include "queue/queue_zmq.h"
#include "queue/wire.h"
#include "queue/zmq_client.h"

#include <uthash.h>

struct append {
    struct event *ev; /* a reference of its own */
    queue_append_fn *fn;
    void *arg;
};

struct call {
    uint64_t number;
    enum wire_type type;
    uint64_t deadline_ms;
    enum err failed;    /* not to be sent at all */
    struct buf message; /* empty for appends */
    size_t bytes;       /* counted in zmq_queue.bytes */
    union {
        queue_read_fn *read;
        queue_lease_fn *lease;
        queue_commit_fn *commit;
        queue_define_fn *define;
        queue_depth_fn *depth;
        queue_receipt_fn *receipt;
        queue_registry_fn *registry;
        queue_hold_fn *hold;
        queue_failed_fn *failed;
        queue_jobs_fn *jobs;
        queue_done_fn *done;
        queue_observe_fn *observe;
        queue_statistics_fn *statistics;
        queue_lead_fn *lead;
    } fn;
    void *arg;
    struct append *appends;
    size_t appends_len, appends_cap;
    struct call *prev, *next;
    UT_hash_handle hh; /* in zmq_queue.by_number when sent */
};

struct zmq_queue {
    struct queue base;
    struct zmq_client *client;
    uv_timer_t timer;
    uint32_t timeout_ms;
    uint64_t last_number;
    struct call *waiting, *sent, *by_number;
    struct call *batch; /* the waiting call that still takes appends */
    size_t bytes;
    struct queue_follower follower;
    bool following, closing, quiet;
    queue_closed_fn *closed_fn;
    void *closed_arg;
    uint64_t complained_ms; /* of its trouble, in the log */
};

static inline struct zmq_queue *zmq_queue_of(struct queue *q)
{
    return (struct zmq_queue *)q;
}

/* queue_zmq_ask.c */
extern const struct queue_ops zmq_queue_ops;
/* The message of a call of appends, just before it is sent. */
void zmq_queue_pack_appends(struct call *c);
/* Tells the caller, and frees what only appends have. */
void zmq_queue_call_back(struct call *c, enum err e, const struct wire_reply *r);

/* queue_zmq.c */
void zmq_queue_follow(struct queue *queue, const struct queue_follower *f);
void zmq_queue_close(struct queue *queue, queue_closed_fn *fn, void *arg);

#endif
