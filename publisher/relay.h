/* The I/O of one relay: link, websocket, NIP-01 as its client, NIP-42 when asked. It knows nothing
 * of lanes or the queue: bytes out, answers in. Frames given in one turn leave in one write. One
 * thread; callbacks never from inside relay_open, relay_send or relay_auth. */
#ifndef VOLLEY_PUBLISHER_RELAY_H
#define VOLLEY_PUBLISHER_RELAY_H

#include "common/net/link.h"
#include "common/nostr/event.h"

struct relay;

struct relay_events {
    /* Connected, or not: `r` as from the race; `link` in it is already taken, `late` is the
     * owner's. */
    void (*on_open)(void *arg, const struct link_result *r);
    /* An OK for anything but our AUTH; `text` unescaped, cut at 511 bytes. */
    void (*on_answer)(void *arg, const uint8_t id[EVENT_ID_LEN], bool accepted, const char *text);
    void (*on_notice)(void *arg, const char *text);
    /* NIP-42: the relay's answer to our AUTH, or false with a reason when no key is configured or
     * no challenge came within auth_timeout_ms. Once for each relay_auth, unless the link is lost
     * first. A relay that is silent about AUTH is silent: when to give it up is the owner's. */
    void (*on_auth)(void *arg, bool ok, const char *text);
    void (*on_lost)(void *arg, const char *text); /* the link is gone; relay_close what is left */
    void *arg;
};
struct relay_options {
    struct link_request link;
    const uint8_t *auth_secret; /* 32 bytes, copied; NULL: no key */
    uint32_t auth_timeout_ms;   /* for the challenge */
    size_t message_max;         /* of what the relay sends; 128 KiB */
    size_t queue_max; /* bytes waiting to be written; room for the largest event at least */
};

/* Starts connecting. `o` and `ev` are copied. */
struct relay *relay_open(struct dialer *d, uv_loop_t *loop, const struct relay_options *o,
                         const struct relay_events *ev);
/* Queues ["EVENT",…]. ERR_FULL: wait for answers; ERR_CLOSED: not open (any more). Written at the
 * end of the turn. */
MUST_USE enum err relay_send(struct relay *r, const struct event *ev);
/* `may_write` is asked immediately before each write, of whatever bytes, and stops it when it says
 * no (the lease); it must not call back. What was stopped waits for relay_resume. */
void relay_set_gate(struct relay *r, bool (*may_write)(void *arg), void *arg);
void relay_resume(struct relay *r);
/* Answers the last challenge, or the next one, with kind 22242 signed by the key; the result comes
 * by on_auth. Nothing when an AUTH is under way. */
void relay_auth(struct relay *r);
/* Closes (a close frame when open and the gate allows it), frees; no callback after it. Safe inside
 * callbacks. */
void relay_close(struct relay *r);
enum family relay_family(const struct relay *r);
/* Answers that were none: OK for ids never sent are the caller's to count; here: garbage, unknown
 * verbs, NOTICE. */
uint64_t relay_noise(const struct relay *r);

#endif
