/* tor.socks as text → the ports to dial through. */
#ifndef VOLLEY_CONFIG_SOCKS_H
#define VOLLEY_CONFIG_SOCKS_H

#include "common/config/config.h"
#include "common/net/link.h"

/* *has_tor is false when no relay needs one. ERR_INVALID: the text is wrong, or a relay needs the
 * managed tor, which this version does not run yet: never a fall back to direct. */
MUST_USE enum err socks_of_config(const struct config *c, struct socks_ports *out, bool *has_tor,
                                  struct problem *p);

#endif
