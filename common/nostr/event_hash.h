/* The two hashes of an event: its id, and the address of which it is a version. SHA-256 of texts
 * that are never written down, fed piece by piece. Pure, from any thread. */
#ifndef VOLLEY_NOSTR_EVENT_HASH_H
#define VOLLEY_NOSTR_EVENT_HASH_H

#include "common/nostr/event.h"

/* The id (NIP-01): of [0,"pubkey",created_at,kind,tags,content]. Control characters without an
 * escape of their own (\u0001 …) are hashed as the bytes they are, as the text of NIP-01 says. */
void event_hash_text(const struct event *ev, uint8_t out[32]);
/* The same with those as \u00xx, as some libraries do. */
void event_hash_escaped(const struct event *ev, uint8_t out[32]);
/* Of "kind:pubkey:d"; `d` is raw (escaped), and left out unless the kind is addressable. */
void event_hash_address(uint32_t kind, const uint8_t pubkey[32], struct json_span d,
                        uint8_t out[32]);

#endif
