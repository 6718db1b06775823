/* The ingest relay: NIP-01 over websocket in front of the queue. OK true leaves only after the
 * commit that holds the event. */
#ifndef VOLLEY_INGEST_INGEST_H
#define VOLLEY_INGEST_INGEST_H

#include "queue/queue.h"

#define LISTEN_MAX 8

struct ingest_options {
    const char *listen[LISTEN_MAX]; /* "127.0.0.1:7787", "[::1]:7787"; port 0 picks one */
    size_t listen_len;
    const uint8_t (*allow_pubkeys)[32]; /* copied */
    size_t allow_len;
    bool open;          /* with no allow_pubkeys: take anybody's events, on any address */
    uint32_t max_event; /* bytes, canonical; 0: 128 KiB */
    uint32_t max_connections, max_per_ip; /* over all listeners; 0: 10,000 and 100 */
    uint32_t min_pow;
    int64_t created_at_past_s, created_at_future_s; /* 0: any */
};

struct ingest;

/* ERR_INVALID: an empty allow_pubkeys on an address that is not loopback without `open`, or an
 * address that is none. ERR_IO: can't listen. */
MUST_USE enum err ingest_new(uv_loop_t *loop, struct queue *q, const struct ingest_options *o,
                             struct ingest **out, struct problem *p);
/* The port of the n-th listener (for port 0). */
uint16_t ingest_port(const struct ingest *i, size_t n);
/* Other rules from now on: whose events, which kinds of events, max_event, max_per_ip. `o->listen`
 * says where it listens already, max_connections stays. Clients that are connected stay, and keep
 * the longest message they came with. ERR_INVALID: allow_pubkeys would be empty on an address that
 * is not loopback, without `open`; then nothing has changed. */
MUST_USE enum err ingest_reload(struct ingest *i, const struct ingest_options *o,
                                struct problem *p);
/* Takes nothing new, answers what is under way (at most `patience_ms`), closes with 1001, frees;
 * `fn` last. */
void ingest_drain(struct ingest *i, uint64_t patience_ms, void (*fn)(void *arg), void *arg);

#endif
