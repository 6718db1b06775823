/* The I/O of one relay: link, websocket, NIP-01 as its client, NIP-42 when asked. It knows nothing
 * of lanes or the queue: bytes out, answers in. Frames given in one turn leave in one write. One
 * thread; callbacks never from inside relay_open or relay_send. */
#ifndef VOLLEY_PUBLISHER_RELAY_H
#define VOLLEY_PUBLISHER_RELAY_H

#include "common/net/link.h"
#include "common/nostr/event.h"

struct relay;

struct relay_events {
    /* Connected, or not: `r` as from the race; `link` in it is already taken. */
    void (*on_open)(void *arg, const struct link_result *r);
    void (*on_answer)(void *arg, const uint8_t id[EVENT_ID_LEN], bool accepted, const char *text);
    void (*on_notice)(void *arg, const char *text);
    /* NIP-42: the relay's answer to our AUTH, or false with a reason when no key is configured or
     * no challenge came. */
    void (*on_auth)(void *arg, bool ok, const char *text);
    void (*on_lost)(void *arg, const char *text); /* the link is gone; free the relay */
    void *arg;
};
struct relay_options {
    struct link_request link;
    const uint8_t *auth_secret; /* 32 bytes, copied; NULL: no key */
    size_t message_max;         /* of what the relay sends; 128 KiB */
    size_t queue_max;           /* bytes waiting to be written */
};

struct relay *relay_open(struct dialer *d, uv_loop_t *loop, const struct relay_options *o,
                         const struct relay_events *ev);
/* Queues ["EVENT",…]. ERR_FULL: wait for answers. Written at the end of the turn. `fresh` is asked
 * before each write and stops it when false (the lease). */
MUST_USE enum err relay_send(struct relay *r, const struct event *ev);
void relay_set_gate(struct relay *r, bool (*may_write)(void *arg), void *arg);
/* Answers the last challenge with kind 22242 signed by the key; the result comes by on_auth. */
void relay_auth(struct relay *r);
/* Closes (a close frame when open), frees; no callback after it. Safe inside callbacks. */
void relay_close(struct relay *r);
enum family relay_family(const struct relay *r);
/* Answers that were none: OK for ids never sent are the caller's to count; here: garbage, unknown
 * verbs, NOTICE. */
uint64_t relay_noise(const struct relay *r);

#endif
