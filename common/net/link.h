/* A connection to a relay, made by a race: every address family the mode allows, IPv6 first, IPv4
 * after a head start or at once when IPv6 fails. The one that completes TCP or SOCKS, TLS and the
 * websocket handshake is the link; its family is always known. A family that fails at TLS or the
 * handshake counts as failed and the other is tried.
 *
 * Everything runs on one loop; nothing blocks. Never another way than the route says: ROUTE_TOR
 * without a SOCKS address is an error, never a fall back. */
#ifndef VOLLEY_NET_LINK_H
#define VOLLEY_NET_LINK_H

#include "common/base/buf.h"
#include "common/net/family.h"
#include "common/net/url.h"

#include <sys/types.h>
#include <uv.h>

#define SOCKS_ADDRESS_SIZE 128

struct dialer; /* one per loop: libcurl's multi handle, the shared TLS context */

struct dialer_options {
    const char *ca_file;    /* NULL: Debian's bundle */
    const char *user_agent; /* NULL: none; over Tor none is ever sent */
};
MUST_USE enum err dialer_new(uv_loop_t *loop, const struct dialer_options *o, struct dialer **out,
                             struct problem *p);
/* Links must be closed before. Handles of the loop are closed in its next turns; `fn` then. */
void dialer_free(struct dialer *d, void (*fn)(void *arg), void *arg);

/* Where route tor leaves: "HOST:PORT" of SOCKS5 ports, or "unix:PATH". By name only (socks5h): we
 * never resolve. */
struct socks_ports {
    char any[SOCKS_ADDRESS_SIZE], ipv6[SOCKS_ADDRESS_SIZE],
        ipv4[SOCKS_ADDRESS_SIZE]; /* ipv6/ipv4 empty: only `any` is known, so the family of a link
                                     is FAMILY_NONE and there is no race */
};

struct link_request {
    struct relay_url url;
    enum route route;
    enum family_mode mode;
    bool ipv4_first;                 /* demoted: IPv6 gets no head start */
    uint32_t race_delay_ms;          /* the head start of the first family */
    uint32_t timeout_ms;             /* for the whole: connect, TLS, handshake */
    const struct socks_ports *socks; /* ROUTE_TOR, or a SOCKS proxy for direct: NULL */
    const char *socks_user;          /* isolates circuits; NULL: none */
};

/* One family's try, for statistics: told for each that was started. */
struct link_try {
    enum family family;
    enum err err; /* ERR_NONE: completed. ERR_CLOSED: given up because the other won */
    uint64_t connect_us, tls_us, websocket_us; /* duration of each phase, 0 when not reached */
    int http_status;                           /* ERR_HTTP */
    uint32_t retry_after_ms;                   /* from Retry-After, 0 when none */
    char text[160];                            /* what went wrong, in words */
};

struct link;
struct link_result {
    enum err err; /* ERR_NONE: `link` is the caller's. Else that of the family that got furthest */
    struct link *link;
    enum family family; /* the winner's */
    struct link_try tries[2];
    size_t tries_len;
    const uint8_t *extra; /* bytes that came behind the handshake: for websocket_preload */
    size_t extra_len;
};
typedef void link_fn(void *arg, const struct link_result *r);

/* Starts; `fn` is called once, later, unless link_cancel comes first. */
struct link_open *link_open(struct dialer *d, const struct link_request *r, link_fn *fn, void *arg);
void link_cancel(struct link_open *o);

/* The stream, for struct websocket_io: bytes moved, 0 would block, -1 error, recv -2 end. */
ssize_t link_send(void *link, const uint8_t *data, size_t len);
ssize_t link_recv(void *link, uint8_t *data, size_t len);
/* For uv_poll; the link keeps owning it. Data may be waiting inside TLS: read until it blocks. */
int link_fd(const struct link *l);
void link_close(struct link *l);

#endif
