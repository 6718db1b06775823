/* Address families and routes: the vocabulary of everything that connects. */
#ifndef VOLLEY_NET_FAMILY_H
#define VOLLEY_NET_FAMILY_H

#include <stdint.h>

/* The family a connection used. Onion services have none of the two. */
enum family { FAMILY_NONE, FAMILY_IPV6, FAMILY_IPV4, FAMILY_ONION, FAMILY_COUNT };
/* What a relay's definition asks for. */
enum family_mode { MODE_AUTO, MODE_IPV6, MODE_IPV4, MODE_COUNT };
/* How a connection leaves this machine. ROUTE_TOR never touches the clear net, not even for a DNS
 * query. */
enum route { ROUTE_TOR, ROUTE_DIRECT, ROUTE_COUNT };

const char *family_name(enum family f);           /* "-", "ipv6", "ipv4", "onion" */
const char *family_mode_name(enum family_mode m); /* "auto", "ipv6", "ipv4" */
const char *route_name(enum route r);             /* "tor", "direct" */

#endif
