/* Calls of queue.h that travel to somebody as messages (wire.h) and come back as messages: what the
 * backends behind ZeroMQ and Redis have in common.
 *
 * Each request is a `call`, first waiting, then sent, found again by its number when the reply
 * comes. Both lists are in the order of the calls, so the oldest deadline is at their heads.
 * Appends are collected: those of one turn of the loop are one call, packed when it is sent; all
 * others are packed at once. A call that can't be made (too large, too many) waits too, with its
 * error, so that no callback is ever called from inside the call. Every callback is called exactly
 * once. */
#ifndef VOLLEY_QUEUE_CALLS_H
#define VOLLEY_QUEUE_CALLS_H

#include "queue/wire.h"

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
    struct buf message; /* the packed request; of appends, from just before it is sent */
    size_t bytes;       /* counted in calls.bytes */
    union queue_callback fn;
    void *arg;
    struct append *appends;
    size_t appends_len, appends_cap;
    struct call *prev, *next;
    UT_hash_handle hh; /* in calls.by_number when sent */
};

struct calls_ops {
    /* Sends a copy of the call's message, to be answered with its number. ERR_AGAIN: not now; a
     * turn comes when that may have changed. It may let go of the message (buf_fini). */
    enum err (*send)(void *arg, struct call *c);
    /* The loop shall not sleep before a turn. */
    void (*wake)(void *arg);
};

/* A backend's struct begins with it, so that its struct queue is also a struct calls. */
struct calls {
    struct queue base;
    struct calls_ops ops;
    void *arg;
    uv_timer_t timer;
    uint32_t timeout_ms;
    uint64_t last_number;
    struct call *waiting, *sent, *by_number;
    struct call *batch; /* the waiting call that still takes appends */
    size_t bytes;
    bool quiet;
    uint64_t complained_ms; /* of base.trouble, in the log */
};

static inline struct calls *calls_of(struct queue *q)
{
    return (struct calls *)q;
}

/* `o` as in queue_open. Then nothing is to be freed but by calls_end and closing `timer`. */
void calls_init(struct calls *cs, uv_loop_t *loop, const struct queue_options *o,
                const struct calls_ops *ops, void *arg);

/* Once a turn of the loop, after all that arrived was handed over: sends what waits, in order, as
 * far as the connection takes it, and gives up what waited too long. */
void calls_turn(struct calls *cs);
/* Somebody's answer. True when it was one that could be read. */
bool calls_reply(struct calls *cs, const void *data, size_t len);
/* Ends a sent call without an answer; `why` is for whom it concerns, or NULL. One that is not known
 * (any more) is fine. */
void calls_fail(struct calls *cs, uint64_t number, enum err e, const char *why);
/* It was certainly not done: it waits again, before all others. */
void calls_again(struct calls *cs, uint64_t number);
/* What was sent will not be answered any more: all that is ERR_UNKNOWN. */
void calls_down(struct calls *cs);
/* What waits is not to be sent (any more): it ends with ERR_CLOSED. `type` 0: all of it. */
void calls_refuse(struct calls *cs, unsigned type);
/* Both. */
void calls_end(struct calls *cs);
/* A sent call; NULL when there is none of this number (any more). */
struct call *calls_find(struct calls *cs, uint64_t number);

/* Sets base.trouble ("" for none); said in the log once for each, and again after a while. */
void calls_trouble(struct calls *cs, const char *text);

/* Every row of the table but follow and close, for a struct calls. */
extern const struct queue_ops calls_queue_ops;

/* Within: calls_ask.c. The message of a call of appends, just before it is sent. */
void calls_pack_appends(struct call *c);
/* Tells the caller, and frees what only appends have. */
void calls_call_back(struct call *c, enum err e, const struct wire_reply *r);

#endif
