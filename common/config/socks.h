/* The section `tor` as text → the ports to dial through, and the control port. */
#ifndef VOLLEY_CONFIG_SOCKS_H
#define VOLLEY_CONFIG_SOCKS_H

#include "common/config/config.h"
#include "common/net/ipv6.h"
#include "common/net/link.h"

/* *has_tor is false when the managed tor is configured and no relay needs it. Of the managed tor
 * the ports are unix sockets in the data directory, there or not yet: never a fall back to direct.
 * ERR_INVALID: the text is wrong, or a tor can't live in that directory. */
MUST_USE enum err socks_of_config(const struct config *c, struct socks_ports *out, bool *has_tor,
                                  struct problem *p);

/* That and the control port: of the managed tor when a relay needs it, else tor.control. */
struct tor_ports {
    bool managed, has_tor;
    struct socks_ports socks;
    char control[SOCKS_ADDRESS_SIZE]; /* empty: none */
};
MUST_USE enum err tor_ports_of_config(const struct config *c, struct tor_ports *out,
                                      struct problem *p);

/* What of IPv6 to look at: the routes in use and served, or without relays the one they would have.
 * ERR_INVALID: ipv6.test_host is none. */
MUST_USE enum err ipv6_of_config(const struct config *c, struct ipv6_options *out,
                                 struct problem *p);

#endif
