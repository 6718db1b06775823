/* Checks ids and signatures on libuv's thread pool, several events a trip, and hands the results
 * back on the loop in the order in which the events came: so the events of one connection stay in
 * order without anybody sorting. What waits is bounded by its callers (ingest's bytes under way).
 *
 * All calls from the loop's thread. */
#ifndef VOLLEY_INGEST_VERIFY_H
#define VOLLEY_INGEST_VERIFY_H

#include "common/nostr/event.h"

#include <uv.h>

#define VERIFY_BATCH_MAX 64u

struct verify;

/* ERR_NONE: id and signature are good. ERR_INVALID: `why` says which of them is not. ERR_CLOSED:
 * verify_close came first. `why` is valid until it returns. */
typedef void verify_fn(void *arg, enum err e, const struct problem *why);

struct verify *verify_new(uv_loop_t *loop);
/* Queues an event (a reference is held until the callback). `fn` is called once, never from inside
 * this call. Nothing starts before verify_push. */
void verify_submit(struct verify *v, struct event *ev, verify_fn *fn, void *arg);
/* Hands what was queued to the threads, as far as they have room. To be called at the end of a loop
 * turn, so that the events of a turn travel together. */
void verify_push(struct verify *v);
/* Answers what never started with ERR_CLOSED, lets the rest finish, frees, calls `fn` last. */
void verify_close(struct verify *v, void (*fn)(void *arg), void *arg);

#endif
