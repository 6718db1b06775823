/* One connection to a Redis, kept up for ever: dialed, logged in, on its database; lost, and dialed
 * again with backoff. It knows nothing of queues.
 *
 * A paused Redis, or one behind a network that is cut, takes connections and says nothing: it is
 * judged by its answers. One that owes an answer for REDIS_SILENT_MS is left. Names are resolved on
 * libuv's pool (hiredis would stop the loop for it). The password's file is read at each dial. */
#ifndef VOLLEY_QUEUE_REDIS_LINK_H
#define VOLLEY_QUEUE_REDIS_LINK_H

#include "queue/redis_address.h"

#include <hiredis/hiredis.h>
#include <stdint.h>
#include <uv.h>

#define REDIS_SILENT_MS     5000
#define REDIS_DIAL_MS       5000 /* from the dial to the last answer before on_up */
#define REDIS_REDIAL_MS     50   /* the first wait after a failure */
#define REDIS_REDIAL_MAX_MS 2000

struct redis_link;

/* `r` is lent, and never NULL: what was under way when the connection is lost is not called back,
 * on_down says so. */
typedef void redis_reply_fn(void *arg, uint64_t tag, const redisReply *r);

/* None before redis_link_new returned, none after redis_link_close. */
struct redis_link_ops {
    /* It stands; what is sent now is on a fresh connection. */
    void (*on_up)(void *arg);
    /* It stood, and is lost. */
    void (*on_down)(void *arg);
    /* Somebody is there, but does not let us in; a line for people. */
    void (*on_trouble)(void *arg, const char *text);
    /* With a channel: a message of it. */
    void (*on_message)(void *arg, const void *data, size_t len);
};

struct redis_link_options {
    const struct redis_address *at;
    const char *password_file; /* NULL or empty: none */
    const char *channel;       /* NULL: for commands; else subscribes to it and does nothing else */
    size_t reply_max;          /* a longer answer is left, with who gives it */
};

/* Begins to dial. Options are copied. */
struct redis_link *redis_link_new(uv_loop_t *loop, const struct redis_link_options *o,
                                  const struct redis_link_ops *ops, void *arg);
/* Sends a copy. False: it does not stand. */
bool redis_link_send(struct redis_link *l, int argc, const char **argv, const size_t *argv_len,
                     redis_reply_fn *fn, uint64_t tag);
bool redis_link_is_up(const struct redis_link *l);
/* Leaves, without on_down, and dials again after a wait that grows until redis_link_good. */
void redis_link_drop(struct redis_link *l);
/* It serves: the next wait is the shortest again. */
void redis_link_good(struct redis_link *l);
/* `fn` is called when nothing of it is left. */
void redis_link_close(struct redis_link *l, void (*fn)(void *arg), void *arg);

#endif
