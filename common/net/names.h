/* What a name's AAAA and A records are, for people to read. Route direct alone: over Tor no name is
 * ever asked for here. Connecting does not need it: libcurl resolves for itself (dial.h). */
#ifndef VOLLEY_NET_NAMES_H
#define VOLLEY_NET_NAMES_H

#include "common/net/link.h"

#define NAMES_MAX 8u /* addresses of a family that are told; more are only counted */

struct names_family {
    char addresses[NAMES_MAX][LINK_ADDRESS_SIZE];
    size_t len;   /* how many there are */
    uint64_t us;  /* how long it took */
    char why[80]; /* there are none: why, in words */
};
struct names_result {
    struct names_family ipv6, ipv4;
};
typedef void names_fn(void *arg, const struct names_result *r);

struct names;
/* Asks for both; calls `fn` once, later, unless names_cancel comes first. `route` must be
 * ROUTE_DIRECT. The system's resolver decides how long it takes. NULL: a name no resolver takes. */
struct names *names_look(uv_loop_t *loop, enum route route, const char *host, names_fn *fn,
                         void *arg);
/* The loop runs until the resolver has answered all the same. */
void names_cancel(struct names *n);

#endif
