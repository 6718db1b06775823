/* One message to a relay over an open link, until it is answered.
 *
 * To relays: REQ for one event, until EOSE or CLOSED. Whoever answers that is a relay. Never an
 * event, never AUTH. To our own ingest, and nobody else: an EVENT, until its OK. */
#ifndef VOLLEY_PROBE_PEEK_H
#define VOLLEY_PROBE_PEEK_H

#include "common/net/link.h"
#include "common/nostr/event.h"

struct peek_result {
    bool answered;  /* EOSE, or CLOSED or OK: `text` has its words */
    bool accepted;  /* OK true */
    bool timed_out; /* not answered: silent for too long. Else it hung up, spoke no NIP-01, or went
                       on and on */
    uint64_t us;    /* until the answer, or the end */
    char text[160]; /* not answered: why */
};
typedef void peek_fn(void *arg, const struct peek_result *r);

struct peek;
/* Takes the link over, and closes it in the end. `extra`: bytes that came behind the handshake;
 * copied. Calls `fn` once, later, unless peek_cancel comes first. */
struct peek *peek_start(uv_loop_t *loop, struct link *link, const uint8_t *extra, size_t extra_len,
                        uint32_t timeout_ms, peek_fn *fn, void *arg);
/* The same with an EVENT, which is copied. */
struct peek *peek_post(uv_loop_t *loop, struct link *link, const uint8_t *extra, size_t extra_len,
                       const struct event *ev, uint32_t timeout_ms, peek_fn *fn, void *arg);
/* NULL is fine. */
void peek_cancel(struct peek *k);

#endif
