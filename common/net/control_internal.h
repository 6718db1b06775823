/* Between control.c and control_watch.c. */
#ifndef VOLLEY_NET_CONTROL_INTERNAL_H
#define VOLLEY_NET_CONTROL_INTERNAL_H

#include "common/base/rng.h"
#include "common/net/control_auth.h"
#include "common/net/control_streams.h"
#include "common/net/control_wire.h"

enum step {
    STEP_WAIT,
    STEP_CONNECT,
    STEP_METHODS,
    STEP_CHALLENGE,
    STEP_AUTH,
    STEP_OWN,
    STEP_EVENTS,
    STEP_BOOTSTRAP,
    STEP_CIRCUITS,
    STEP_IDLE
};

struct control {
    uv_loop_t *loop;
    char *address, *password_file;
    bool password_may_be_readable, with_streams, own;
    void (*on_status)(void *arg, const struct control_status *s);
    void *arg;
    struct control_status status;

    enum step step;
    struct control_wire *wire; /* NULL: none */
    struct control_methods methods;
    uint8_t cookie[CONTROL_COOKIE_LEN], nonce[CONTROL_NONCE_LEN];
    struct problem refused; /* why AUTHENTICATE would fail, in words */
    bool circuits_known;
    uint32_t failures; /* in a row */
    struct rng rng;
    uv_timer_t timer; /* until the answer, the next question or the next try */

    struct control_streams *streams;
    struct control_watch *watches;
    size_t handles; /* not yet closed */
    bool closing;
    void (*free_fn)(void *arg);
    void *free_arg;
};

struct control_watch {
    struct control *control;
    char *user, *host, *socks;
    struct control_query query; /* points to the above */
    uint64_t until_ms;
    control_path_fn *fn;
    void *arg;
    uv_timer_t timer;
    struct control_watch *prev, *next;
};

/* One handle of the loop less: the last one frees. */
void control_release(struct control *c);
/* Something was learnt: tells the watches that have waited for it. */
void control_look_at_watches(struct control *c);

#endif
