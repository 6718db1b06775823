/* One question to a relay over an open link: REQ for one event, until EOSE or CLOSED. Whoever
 * answers that is a relay. Never an event, never AUTH. */
#ifndef VOLLEY_PROBE_PEEK_H
#define VOLLEY_PROBE_PEEK_H

#include "common/net/link.h"

struct peek_result {
    bool answered;  /* EOSE, or CLOSED: `text` has its words */
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
/* NULL is fine. */
void peek_cancel(struct peek *k);

#endif
