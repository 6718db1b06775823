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

#include <stdbool.h>
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

struct link_try;
typedef void link_late_fn(void *arg, const struct link_try *t);

struct link_request {
    struct relay_url url;
    enum route route;
    enum family_mode mode;
    bool ipv4_first;                 /* demoted: IPv6 gets no head start */
    uint32_t race_delay_ms;          /* the head start of the first family */
    uint32_t grace_ms;               /* of IPv6, when IPv4 was faster (race.h) */
    uint32_t timeout_ms;             /* for the whole: connect, TLS, handshake */
    const struct socks_ports *socks; /* ROUTE_TOR: where it leaves; NULL fails. ROUTE_DIRECT never
                                        uses one. Copied, as the rest */
    link_late_fn *on_late;           /* see there; NULL: the loser of a race is closed at once */
    void *late_arg;
};

#define LINK_ADDRESS_SIZE 46

/* Why a try failed, in classes. By SOCKS the exit's reasons can't be told apart. */
enum link_why {
    LINK_WHY_NONE,
    LINK_WHY_NO_ADDRESS,   /* direct: the name has no address of this family */
    LINK_WHY_REFUSED,      /* nothing listens there */
    LINK_WHY_UNREACHABLE,  /* no way there; by SOCKS whatever kept the exit from connecting */
    LINK_WHY_TOR,          /* the SOCKS port itself can't be used */
    LINK_WHY_TIMEOUT,      /* of any phase */
    LINK_WHY_TLS,          /* the certificate included */
    LINK_WHY_HTTP,         /* the handshake was answered with an error's status */
    LINK_WHY_NO_WEBSOCKET, /* something answers there, but no websocket */
    LINK_WHY_NOT_TRIED,    /* nothing was started: the request can't be met */
    LINK_WHY_COUNT
};
const char *link_why_name(enum link_why w); /* "no_address" … */

/* One family's try, for statistics: told for each that was started, and once, with text, when none
 * could be. */
struct link_try {
    enum family family;
    bool started;
    bool lost;    /* under way when the other won: neither a success nor a failure so far */
    enum err err; /* ERR_NONE: completed. ERR_CLOSED where it was lost, and elsewhere */
    enum link_why why;
    uint64_t dns_us, connect_us, tls_us,
        websocket_us;                /* duration of each phase, 0 when not reached;
                                        by SOCKS connect includes the name */
    uint64_t took_us;                /* all of it, from its start to its end, whatever that was */
    int http_status;                 /* ERR_HTTP */
    uint32_t retry_after_ms;         /* from Retry-After, 0 when none */
    char address[LINK_ADDRESS_SIZE]; /* route direct: where it connected to, or "" */
    char via[SOCKS_ADDRESS_SIZE];    /* route tor: the SOCKS port it went through, or "" */
    uint16_t local_port;             /* our end's, once connected; 0: a unix socket, unknown */
    int64_t certificate_end_s;       /* until when the relay's certificate is valid; 0: not known */
    char text[160];                  /* what went wrong, in words ("connect: connection refused") */
};

#define LINK_TRIES_MAX 6

struct link;
struct link_result {
    enum err err; /* ERR_NONE: `link` is the caller's. Else that of the family that got furthest */
    struct link *link;
    enum family family;                    /* the winner's */
    struct link_try tries[LINK_TRIES_MAX]; /* of a family the later ones last */
    size_t tries_len;
    const uint8_t *extra; /* bytes that came behind the handshake: for websocket_preload */
    size_t extra_len;
    struct link_open *late; /* NULL, or the caller's: on_late comes, once, unless link_cancel comes
                               first. Whether the link stands does not matter to it */
};
typedef void link_fn(void *arg, const struct link_result *r);

/* IPv6 had the head start and was still under way when IPv4 won: it is followed until LINK_LATE_MS
 * from its start, so that who learns from races knows slow from dead. `t`: ERR_NONE when it made it
 * (connected; the websocket is waited for where it was asked for already, else the winner's time
 * stands for it); or why it failed, ERR_TIMEOUT when it needs longer. One that has taken longer
 * when the race ends has failed so at once. In any case it is closed. */
#define LINK_LATE_MS  3100u
#define LINK_AGAIN_MS 3000u

/* Which families race: those that `mode` allows and the host can have. An address only its own; an
 * onion service is one try, FAMILY_ONION, by route tor alone. By SOCKS each family needs its port;
 * where only `any` is known, one try of FAMILY_NONE (an address: its family), unless `mode` asks
 * for one: then it fails, as nothing could keep that.
 *
 * Where one family fails in a way that may pass while the other hangs, it is tried again after
 * LINK_AGAIN_MS: a dead AAAA and a moment's trouble with IPv4 must not cost the whole timeout.
 *
 * By SOCKS the user name is the relay's (plan.h), so that circuits are isolated by relay.
 *
 * Starts; `fn` is called once, later, unless link_cancel comes first. Either may be used from
 * inside any callback. `o` is gone when `fn` or link_cancel returns, `late` when on_late does. */
struct link_open *link_open(struct dialer *d, const struct link_request *r, link_fn *fn, void *arg);
void link_cancel(struct link_open *o);

/* The stream, for struct websocket_io (`link` is its arg): bytes moved, 0 would block, -1 error,
 * recv -2 end. SIGPIPE must be ignored by the process. */
ssize_t link_send(void *link, const uint8_t *data, size_t len);
ssize_t link_recv(void *link, uint8_t *data, size_t len);
/* For uv_poll, which is closed before the link; the link keeps owning the descriptor. Data may be
 * waiting inside TLS: read until it blocks, the first time without waiting for the descriptor. */
int link_fd(const struct link *l);
void link_close(struct link *l);

#endif
