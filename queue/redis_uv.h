/* An asynchronous hiredis connection under a libuv loop, and a guard on what comes in: hiredis 0.14
 * ends the process (assert) when a server says what nobody asked, or says a subscriber what is no
 * message. Here such a server is left.
 *
 * What is asked through it: redisAsyncCommand… with redis_uv_reply's answer looked at first in
 * every callback. */
#ifndef VOLLEY_QUEUE_REDIS_UV_H
#define VOLLEY_QUEUE_REDIS_UV_H

#include "common/base/err.h"

#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <uv.h>

#define REDIS_UV_ARRAY_MAX 4096 /* elements of an answer */

struct redis_uv_ops {
    /* It is lost, or was freed. Callbacks with NULL may still come before redisAsyncFree returns.
     */
    void (*on_gone)(void *arg);
    /* After that: nothing of it is left in the loop. */
    void (*on_closed)(void *arg);
};

/* Reads and writes `ac` when its descriptor is ready, until it is freed. A peer that sends more
 * than `reply_max` bytes without the end of an answer is left. ERR_IO: the loop can't watch it;
 * then nothing of this applies. */
MUST_USE enum err redis_uv_attach(uv_loop_t *loop, redisAsyncContext *ac, size_t reply_max,
                                  const struct redis_uv_ops *ops, void *arg);

/* From now on nothing is asked any more: what comes are subscriptions and messages. */
void redis_uv_subscribed(redisAsyncContext *ac);

/* First in every callback: false when more came than was asked for. `ac` is then being freed. */
bool redis_uv_reply(redisAsyncContext *ac);

#endif
