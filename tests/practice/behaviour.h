/* How a practice relay behaves: words such as "ok", "slow=200 rate=50", "refuse=blocked: no". Pure.
 */
#ifndef VOLLEY_PRACTICE_BEHAVIOUR_H
#define VOLLEY_PRACTICE_BEHAVIOUR_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct behaviour {
    bool down;      /* does not listen: connections are refused */
    bool blackhole; /* connections never complete */
    bool mute;      /* accepts, and never answers the handshake */
    bool duplicate; /* says duplicate: to everything */
    bool auth;      /* NIP-42 before any event */
    bool silent;    /* takes events, never says OK */
    bool noread;    /* stops reading after the handshake */
    bool garbage;   /* frames that are no messages between the answers */
    bool wrong_id;  /* an OK for an event never sent, before each answer */
    bool huge;      /* one frame of 4 MiB after the handshake */
    bool document;  /* tells of itself (NIP-11) */
    unsigned http;  /* the handshake is answered with this status */
    unsigned slow_ms;
    unsigned rate;                  /* accepted a second; beyond: rate-limited: */
    unsigned cut_before, cut_after; /* hangs up before or after the answer to every n-th event */
    unsigned refuse_every;          /* of `refuse`: every n-th; 1 all */
    char hangup_on[64];             /* hangs up whenever an event's bytes contain this */
    char refuse[512];               /* OK false with this text; "a | b | c": with these in turn */
};
#define REFUSAL_SIZE 256

/* Replaces *out. "refuse=" and "hangup_on=" take the rest of the line. ERR_INVALID: `p` names the
 * word. */
MUST_USE enum err behaviour_parse(const char *text, struct behaviour *out, struct problem *p);
/* The text of refusal number `n`, cut where it is too long. */
const char *behaviour_refusal(const struct behaviour *b, uint64_t n, char out[REFUSAL_SIZE]);

#endif
