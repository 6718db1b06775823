/* One try: one family, one connection, as far as libcurl takes it: the name, TCP or SOCKS, TLS.
 * Below link.c and for it alone; others use link.h, which also declares the dialer. */
#ifndef VOLLEY_NET_DIAL_H
#define VOLLEY_NET_DIAL_H

#include "common/net/link.h"

struct dial_request {
    const struct relay_url *url;
    enum route route;
    enum family family; /* ROUTE_DIRECT: FAMILY_IPV6 or FAMILY_IPV4; by SOCKS the port decides */
    const char *socks;  /* ROUTE_TOR: "HOST:PORT" or "unix:PATH" */
    const char *socks_user; /* NULL: none */
    uint32_t timeout_ms;    /* shared among a name's addresses; the caller keeps its own deadline */
};

/* How far it came. */
enum dial_phase { DIAL_NAME, DIAL_CONNECT, DIAL_TLS, DIAL_DONE };
struct dial_times {
    enum dial_phase phase;
    uint64_t dns_us, connect_us, tls_us; /* of each phase that is over */
};

struct dial;
/* ERR_NONE: connected. Else `why` and `text` say what went wrong; valid until it returns. */
typedef void dial_fn(void *arg, enum err e, enum link_why why, const char *text);

/* Calls `fn` once, later, unless dial_close comes first. What `r` points at is copied. */
struct dial *dial_start(struct dialer *d, const struct dial_request *r, dial_fn *fn, void *arg);
/* Ends it in whatever state; also from inside `fn`. Who watches the descriptor stops before. */
void dial_close(struct dial *x);

void dial_look(struct dial *x, struct dial_times *out);
/* Where it connected to ("2001:db8::1"), empty when unknown. Direct only: a proxy does not tell. */
void dial_address(struct dial *x, char *out, size_t size);
/* Our end's TCP port; 0 before it is connected, or when it is a unix socket. */
uint16_t dial_local_port(struct dial *x);
/* Until when the peer's certificate is valid, in seconds since 1970; 0 before TLS, or without. */
int64_t dial_certificate_end_s(struct dial *x);

/* As link_send, link_recv and link_fd, once connected. */
ssize_t dial_send(struct dial *x, const uint8_t *data, size_t len);
ssize_t dial_recv(struct dial *x, uint8_t *data, size_t len);
int dial_fd(const struct dial *x);

uv_loop_t *dialer_loop(const struct dialer *d);
const char *dialer_user_agent(const struct dialer *d);
/* Counts a handle of the caller's on the loop, and its end: dialer_free waits for it. */
void dialer_hold(struct dialer *d);
void dialer_release(struct dialer *d);

#endif
