/* NIP-19 names for people: npub1…, note1…, nevent1…, nsec1… (bech32, BIP-173). Pure. */
#ifndef VOLLEY_NOSTR_NIP19_H
#define VOLLEY_NOSTR_NIP19_H

#include "common/base/err.h"

#include <stdint.h>

/* 64 lower-case hex digits or an npub. */
MUST_USE enum err nip19_pubkey(const char *text, uint8_t out[32], struct problem *p);
/* 64 lower-case hex digits, a note or a nevent. */
MUST_USE enum err nip19_event_id(const char *text, uint8_t out[32], struct problem *p);
/* 64 lower-case hex digits or an nsec. The text is a secret: never repeated in `p`. */
MUST_USE enum err nip19_secret(const char *text, uint8_t out[32], struct problem *p);

#define NIP19_NPUB_SIZE 64 /* 63 characters and the terminator */
void nip19_npub(const uint8_t pubkey[32], char out[NIP19_NPUB_SIZE]);
void nip19_note(const uint8_t id[32], char out[NIP19_NPUB_SIZE]);

#endif
