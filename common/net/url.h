/* Relay URLs in their one normalized form, which is also a lane's identity. */
#ifndef VOLLEY_NET_URL_H
#define VOLLEY_NET_URL_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define URL_SIZE  512 /* longest normalized URL and its terminator */
#define HOST_SIZE 256

struct relay_url {
    char text[URL_SIZE];  /* normalized: scheme, lower-case ASCII host, default port dropped, a path
                             that is only "/" dropped, query kept */
    bool tls;             /* wss */
    char host[HOST_SIZE]; /* no brackets around IPv6 literals */
    uint16_t port;
    char path[URL_SIZE]; /* with query; at least "/" */
    bool is_onion;       /* host ends in .onion */
    bool is_literal;     /* host is an IPv4 or IPv6 address */
    bool is_local;       /* loopback, private, link-local or unique-local literal, localhost,
                          *.localhost or *.local: no exit can reach it */
};

/* Reads what a person wrote: ws:// or wss:// or a bare host (then wss). IDN becomes ASCII through
 * libcurl's URL API. User info, fragments, other schemes, control characters and spaces are
 * refused: ERR_INVALID and `p` says what and how to mend it. */
MUST_USE enum err relay_url_parse(const char *text, struct relay_url *out, struct problem *p);

#endif
