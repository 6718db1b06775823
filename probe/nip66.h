/* What a monitor tells the world (NIP-66): kind 30166 for each relay that can be reached, kind
 * 10166 for itself. Pure: facts in, a signed event out. What the relay says of itself is hostile:
 * of it only numbers, truths and a plain software name go in; `content` stays empty.
 *
 * Where NIP-66 contradicts itself (the order in `timeout`), we follow its example, as the monitors
 * there are do. Our own: a label in the namespace NIP66_FAMILY for each family that worked. */
#ifndef VOLLEY_PROBE_NIP66_H
#define VOLLEY_PROBE_NIP66_H

#include "common/net/family.h"
#include "common/net/url.h"
#include "common/nostr/event.h"
#include "probe/nip11.h"

#define NIP66_RELAY   30166u
#define NIP66_MONITOR 10166u
#define NIP66_FAMILY  "volley.family"

struct nip66_facts {
    const struct relay_url *url;
    bool works[FAMILY_COUNT];  /* the websocket opened and a REQ was answered */
    uint64_t open_us, read_us; /* of the fastest; 0: left out */
    const struct nip11 *nip11; /* NULL: it told none */
};

/* A relay that may be told of at all: not here or on a private network, neither by name nor by
 * `address` (where it connected to; NULL when a proxy did), and without a query, which may be its
 * owner's secret. */
bool nip66_may_tell(const struct relay_url *url, const char *address);

/* The tags of 30166. Without times: what is to be compared. ERR_TOO_BIG: `out` is too small. */
MUST_USE enum err nip66_tags(const struct nip66_facts *f, bool with_times, struct buf *out);
#define NIP66_TAGS_MAX 8192u

MUST_USE enum err nip66_relay(const uint8_t secret[32], uint64_t created_at,
                              const struct nip66_facts *f, struct event **out, struct problem *p);

struct nip66_monitor {
    uint64_t frequency_s; /* each relay that is reached is told of at least so often */
    uint32_t open_ms, read_ms, nip11_ms;
};
MUST_USE enum err nip66_monitor(const uint8_t secret[32], uint64_t created_at,
                                const struct nip66_monitor *m, struct event **out,
                                struct problem *p);

#endif
