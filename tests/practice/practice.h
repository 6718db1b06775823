/* The practice relays: one process that is many Nostr relays on loopback, each with its own
 * families and its own manners, switched while it runs. It writes down what it got, so that tests
 * can compare. */
#ifndef VOLLEY_PRACTICE_PRACTICE_H
#define VOLLEY_PRACTICE_PRACTICE_H

#include "common/net/url.h"
#include "common/net/websocket.h"
#include "common/nostr/event.h"
#include "tests/practice/behaviour.h"

#include <stdio.h>
#include <uthash.h>
#include <uv.h>

#define RELAYS_MAX 256

/* How a relay listens, and under which name it is to be reached. */
enum stance {
    STANCE_V4,       /* 127.0.0.1 */
    STANCE_V6,       /* [::1] */
    STANCE_DUAL,     /* localhost, both */
    STANCE_DEAD6,    /* localhost, IPv6 swallows connections */
    STANCE_REFUSED6, /* localhost, nothing listens on IPv6 */
    STANCE_REFUSED4, /* localhost, nothing listens on IPv4 */
    STANCE_COUNT
};

struct seen_id {
    uint8_t id[EVENT_ID_LEN];
    UT_hash_handle hh;
};

/* One listening socket; a black hole's is never accepted from, and its queue is full. */
struct listener {
    struct practice_relay *relay;
    uv_poll_t poll;
    int fd; /* -1: none */
    int fill[4];
    bool v6, hole, polled, closing;
};

struct practice_relay {
    uv_loop_t *loop;
    char name[64];
    enum stance stance;
    uint16_t port;
    struct behaviour now;
    struct listener listeners[2]; /* IPv4, IPv6 */
    int kept[2];                  /* bound to the port, never listening */
    struct practice_client *clients;
    struct seen_id *seen;
    FILE *record;          /* ms, connection, family, accepted, event: a line each */
    bool verify, anywhere; /* anywhere: listens on every address, not on loopback only */
    uint64_t connections[2], open, open_max, links, links_max, events, unique, accepted, refused,
        auths, bad, reads, documents;
    uint64_t rate_second, rate_used;
};

/* Listens as the stance says. `port` 0 picks one. */
MUST_USE enum err practice_relay_start(struct practice_relay *r, uv_loop_t *loop, const char *name,
                                       enum stance stance, uint16_t port, bool anywhere,
                                       const char *record_dir, struct problem *p);
/* Changes manners; opens or closes the listeners, and hangs up where the new manners are down. */
void practice_relay_set(struct practice_relay *r, const struct behaviour *b);
void practice_relay_url(const struct practice_relay *r, char *out, size_t size);
const char *stance_name(enum stance s);

/* One accepted connection (client.c). */
void practice_client_new(struct practice_relay *r, int fd, bool v6);
void practice_clients_close(struct practice_relay *r);

/* The commands on the control port, a line each: set NAME BEHAVIOUR, counts NAME, list, cut NAME,
 * quit. */
int practice_relays(int argc, char **argv);
/* `practice post`: signs events and posts them, counting the answers. */
int practice_post(int argc, char **argv);
/* `practice author [SEED]`: the public key whose events `post --seed` makes, without --mix. */
int practice_author(int argc, char **argv);
/* `practice sign`: events as told on stdin. */
int practice_sign(void);
/* `practice statistics`: what a queue keeps of reaching relays. */
int practice_statistics(int argc, char **argv);
/* `practice probe`: a prober in a process of its own. */
int practice_probe(int argc, char **argv);

#endif
