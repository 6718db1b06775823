/* The embedded queue's process: store, leases and sockets. One thread, one loop; nothing else
 * touches LMDB.
 *
 * A turn: drain the ROUTER, apply everything to the store in one transaction, commit, answer
 * everybody, publish the tail. Requests arrive on zmq+ipc://DIR/queue.sock, the tail leaves on
 * DIR/queue-tail.sock, both mode 0600; or by zmq+tcp://HOST:PORT and the next port, where only
 * those come in whose CURVE keys are listed (zap.h). */
#ifndef VOLLEY_QUEUE_BROKER_H
#define VOLLEY_QUEUE_BROKER_H

#include "queue/store.h"

struct broker;

/* The clock a broker lives by; tests give their own. */
struct broker_clock {
    int64_t (*wall_ms)(void *arg);
    uint64_t (*boot_ms)(void *arg);
    void *arg;
};

struct broker_options {
    struct store_options store;
    const char *url;      /* to listen on */
    const char *keys_dir; /* zmq+tcp: server.key and clients.allow; else NULL or empty */
    const struct broker_clock *clock; /* NULL: the machine's */
    bool by_hand; /* for tests: nothing happens in time but by broker_housekeep; beats go on */
    void (*on_fatal)(
        void *arg,
        enum err e); /* a commit failed: nothing was acknowledged; the process must end */
    void *arg;
};

/* Opens store and sockets. Errors as store_open's, ERR_LOCKED also when a live broker has the
 * socket, ERR_INVALID for a bad URL or keys, ERR_IO. */
MUST_USE enum err broker_new(uv_loop_t *loop, const struct broker_options *o, struct broker **out,
                             struct problem *p);
/* Takes no new requests, answers what it has, closes sockets and store, frees; `fn` is called last.
 */
void broker_close(struct broker *b, void (*fn)(void *arg), void *arg);

/* Other limits of the store from now on: o->dir does not matter. */
void broker_set_limits(struct broker *b, const struct store_options *o);

/* What the store said last when it failed, in one line: for who is told by on_fatal. */
const char *broker_problem(const struct broker *b);

/* For tests: what the broker does by itself in time (expiry of leases, housekeeping to its end, one
 * step of the replay jobs), done now. */
void broker_housekeep(struct broker *b);
/* For tests: the next `count` events are not told to followers, as a slow subscriber misses them.
 */
void broker_lose_tail(struct broker *b, unsigned count);

#endif
