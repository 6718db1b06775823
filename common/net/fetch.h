/* One small document by HTTP from a relay's own URL, the way its links go: by one family, never
 * another way than the route says. For what relays tell of themselves (NIP-11). */
#ifndef VOLLEY_NET_FETCH_H
#define VOLLEY_NET_FETCH_H

#include "common/net/link.h"

struct fetch;
struct fetch_result {
    enum err err; /* ERR_NONE: an answer, whatever its status */
    int status;
    const uint8_t *body; /* lent */
    size_t len;
    uint64_t us;
    char text[160]; /* why there is no answer */
};
typedef void fetch_fn(void *arg, const struct fetch_result *r);

/* GET with this Accept. `r` as for link_open, and asking for one family: url, route, mode, socks,
 * timeout_ms; it is copied. A body longer than `body_max` is ERR_TOO_BIG; redirections are not
 * followed. Calls `fn` once, later, unless fetch_cancel comes first. */
struct fetch *fetch_start(struct dialer *d, const struct link_request *r, const char *accept,
                          size_t body_max, fetch_fn *fn, void *arg);
void fetch_cancel(struct fetch *f);

#endif
