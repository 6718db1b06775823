/* The managed tor: a child process that is started, watched and ended, and said about.
 *
 * It is checked (`tor --verify-config`), started, asked by its control port how far it is, started
 * again with backoff when it ends or answers no more. Whatever is wrong (no tor in PATH, lines it
 * does not take, no way into the network) is logged once, until it changes; there is no other
 * consequence: who needs its SOCKS sockets waits. It never outlives us: our control connection owns
 * it, and it watches our process. */
#ifndef VOLLEY_NET_TOR_H
#define VOLLEY_NET_TOR_H

#include "common/net/control.h"

struct tor_options {
    const char *data_dir;   /* DATA_DIR; tor's own is DATA_DIR/tor */
    const char *extra_file; /* torrc lines to add; NULL or "": none. Read anew at each start */
};

struct tor;
/* ERR_INVALID: a tor can't live in this directory; `p` says why. */
MUST_USE enum err tor_new(uv_loop_t *loop, const struct tor_options *o, struct tor **out,
                          struct problem *p);
/* SIGTERM, after a few seconds SIGKILL; then frees and calls `fn`, last. */
void tor_stop(struct tor *t, void (*fn)(void *arg), void *arg);
/* SIGKILL now; as well after tor_stop. */
void tor_kill(struct tor *t);

/* Logs what has changed since it was last told of a tor, ours or another's: progress, ready, away.
 * Zeroed at first. */
struct tor_said {
    bool managed; /* set by the caller: without its control port there is no tor */
    enum control_state state;
    int percent;
    char problem[256];
};
void tor_say_status(struct tor_said *last, const struct control_status *s);

#endif
