/* Posts heartbeats (queue/heartbeat.h) to ingest, as any client posts its events: over a websocket,
 * signed, until the OK. Several probes may be at it: whoever sees that the latest one in the queue
 * is old enough posts the next. */
#ifndef VOLLEY_PROBE_HEART_H
#define VOLLEY_PROBE_HEART_H

#include "common/net/link.h"
#include "queue/queue.h"

struct heart_settings {
    const char *ingest;   /* "HOST:PORT"; copied. "": there is none */
    uint64_t interval_ms; /* 0: none are posted. They are 2 s apart at least */
};

struct heart;
/* Begins with a key of its own, which nobody else has. Connects with `dialer`, the caller's until
 * heart_free. */
struct heart *heart_new(uv_loop_t *loop, struct dialer *dialer, const struct heart_settings *s);
void heart_set(struct heart *h, const struct heart_settings *s);
/* How often it posts; 0: never, or there is nowhere to post to. */
uint64_t heart_every_ms(const struct heart *h);
/* How it stands in the queue, now by the queue's clock: to be told every few seconds. Posts the
 * next when it is due. */
void heart_look(struct heart *h, const struct heartbeat *seen, int64_t now_ms);
/* Gives up what is under way. NULL is fine. */
void heart_free(struct heart *h);

#endif
