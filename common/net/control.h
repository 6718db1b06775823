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
    const char *address;       /* "HOST:PORT" or "unix:PATH" */
    const char *password_file; /* NULL or "": by cookie, whose path tor tells */
    bool streams;              /* follow streams and circuits: for control_watch */
    bool own;                  /* tor ends when this connection does (TAKEOWNERSHIP) */
    /* At each change of state, percent or problem; never from inside control_new or control_free.
     * May be NULL. */
    void (*on_status)(void *arg, const struct control_status *s);
    void *arg;
};

/* Begins to connect. Never fails: what is wrong stands in the status. */
struct control *control_new(uv_loop_t *loop, const struct control_options *o);
/* Valid until the next turn of the loop. */
const struct control_status *control_bootstrap(const struct control *c);
/* Watches must be ended before. Handles are closed in the loop's next turns; then `fn`. */
void control_free(struct control *c, void (*fn)(void *arg), void *arg);

/* ---- what became of one connection by SOCKS ---- */

/* Which stream is meant: the newest one that fits, is connected and is not closed. Over TCP
 * `local_port` alone makes it certain; over a unix socket user, password and target do, when no two
 * ports (families) are asked for the same target by the same user and password at the same time:
 * give the family as the SOCKS password ("ipv6", "ipv4"), tor reports it here and isolates by it.
 * While several fit the watch waits, in the hope that the losers are closed. */
struct control_query {
    const char *user;     /* as given to SOCKS */
    const char *password; /* NULL: any */
    const char *host;     /* as given to SOCKS: no brackets */
    uint16_t port;
    uint16_t local_port; /* our end's TCP port, or 0: not known */
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
