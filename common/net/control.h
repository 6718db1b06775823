/* A client of tor's control port: is tor ready, and which circuit a connection of ours took.
 *
 * One connection on the loop, opened again with backoff when it is lost; nothing blocks. What tor
 * says is bounded and checked like any other input. Nothing here is needed to deliver: without it
 * connections are made all the same, by SOCKS alone, and only the facts are missing. */
#ifndef VOLLEY_NET_CONTROL_H
#define VOLLEY_NET_CONTROL_H

#include "common/net/link.h"

struct control;

enum control_state {
    CONTROL_AWAY,          /* not connected, or not let in: tried again */
    CONTROL_BOOTSTRAPPING, /* tor answers, but has no way into the network yet */
    CONTROL_READY          /* bootstrapped: 100 % */
};

struct control_status {
    enum control_state state;
    int percent;       /* of the bootstrap */
    char summary[128]; /* tor's words for it ("Connecting to a relay") */
    char problem[256]; /* AWAY: why, in words, empty before the first try has failed. BOOTSTRAPPING:
                          tor's last warning ("No route to host"), or empty */
};

/* Copied. */
struct control_options {
    const char *address;           /* as for control_address_check */
    const char *password_file;     /* NULL or "": by cookie, whose path tor tells */
    bool password_may_be_readable; /* by others: in a container a secret keeps its host's mode */
    bool streams;                  /* follow streams and circuits: for control_watch */
    bool own;                      /* tor ends when this connection does (TAKEOWNERSHIP) */
    /* At each change of state, percent or problem; never from inside control_new or control_free.
     * May be NULL. */
    void (*on_status)(void *arg, const struct control_status *s);
    void *arg;
};

/* "HOST:PORT", HOST an address or localhost as names are not resolved here, or "unix:PATH". */
MUST_USE enum err control_address_check(const char *text, struct problem *p);

/* Begins to connect, to an address that control_address_check likes. What is wrong stands in the
 * status. */
struct control *control_new(uv_loop_t *loop, const struct control_options *o);
/* Valid until the next turn of the loop. */
const struct control_status *control_bootstrap(const struct control *c);
/* Watches must be ended before. Handles are closed in the loop's next turns; then `fn`. */
void control_free(struct control *c, void (*fn)(void *arg), void *arg);

/* ---- what became of one connection by SOCKS ---- */

/* Which stream is meant: the newest one that fits, is connected and is not closed. Over TCP
 * `local_port` makes it certain. Over a unix socket tor tells which of its sockets was used, so
 * that user, target and `socks` do, as one relay has one connection by each of them. While several
 * fit, the watch waits: the loser of a race is closed soon. */
struct control_query {
    const char *user; /* as given to SOCKS; NULL: none */
    const char *host; /* as given to SOCKS: no brackets */
    uint16_t port;
    const char *socks;   /* the port it went through, as in struct socks_ports; NULL: any */
    uint16_t local_port; /* our end's TCP port; 0: not known, or a unix socket */
};

#define CONTROL_PATH_SIZE 640

struct control_path {
    uint64_t stream, circuit;     /* tor's numbers */
    char hops[CONTROL_PATH_SIZE]; /* "$FINGERPRINT~nickname,…" from guard to exit; empty: unknown */
    char exit_address[LINK_ADDRESS_SIZE]; /* where the exit connected; empty: not told (onion) */
    uint16_t exit_port;                   /* 0: not told */
    enum family exit_family; /* of exit_address; FAMILY_NONE: not told. What a lying exit says is
                                believed here */
};

/* `path` is NULL when it can't be told, and `why` says why (a constant); valid until it returns. */
typedef void control_path_fn(void *arg, const struct control_path *path, const char *why);

struct control_watch;
/* Asks once; may be called before or after the connection is complete. Calls `fn` once, later, at
 * the latest after `within_ms`, unless control_unwatch comes first. The query is copied. */
struct control_watch *control_watch(struct control *c, const struct control_query *q,
                                    uint32_t within_ms, control_path_fn *fn, void *arg);
void control_unwatch(struct control_watch *w);

#endif
