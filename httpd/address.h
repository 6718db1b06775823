/* Addresses of sockets: where a server listens, and who counts as one client. Pure. */
#ifndef VOLLEY_HTTPD_ADDRESS_H
#define VOLLEY_HTTPD_ADDRESS_H

#include "common/base/err.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* "127.0.0.1:7787" or "[::1]:7787"; no names, so that nothing is looked up. ERR_INVALID. */
MUST_USE enum err address_parse(const char *text, union address *out, struct problem *p);
socklen_t address_len(const union address *a);
bool address_is_loopback(const union address *a);

/* Whom a limit per address counts as one: an IPv4 address, or the /64 of an IPv6 address (a home
 * is given at least that much; counting single addresses would limit nobody). */
struct address_key {
    uint8_t bytes[9]; /* 4 or 6, then the address in network order, zero padded */
};
struct address_key address_key(const struct sockaddr *a);

#endif
