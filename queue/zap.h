/* Who may connect by zmq+tcp: ZeroMQ asks this handler (ZAP, RFC 27) about every handshake, over
 * inproc in the broker's own context, and it answers from the same loop. Clients whose public key
 * stands in clients.allow (allow.h) come in; every other key, and every other mechanism than CURVE,
 * is refused.
 *
 * Without a handler ZeroMQ lets every key in: so it must listen before any socket is bound. */
#ifndef VOLLEY_QUEUE_ZAP_H
#define VOLLEY_QUEUE_ZAP_H

#include "queue/allow.h"

#include <uv.h>

#define ZAP_DOMAIN "volley"

struct zap;

/* Listens in `zmq_ctx`. `keys_dir` has clients.allow: errors as allow_new's. ERR_IO. */
MUST_USE enum err zap_new(void *zmq_ctx, const char *keys_dir, struct zap **out, struct problem *p);
/* Before a socket is bound: it asks the handler about everybody. */
void zap_guard(void *zmq_socket);
/* From now on it answers. */
void zap_start(struct zap *z, uv_loop_t *loop);
/* Stops answering; `fn` is called from the loop. Then comes zap_free. */
void zap_stop(struct zap *z, void (*fn)(void *arg), void *arg);
/* One that was never started, or has stopped. NULL is fine. */
void zap_free(struct zap *z);

#endif
