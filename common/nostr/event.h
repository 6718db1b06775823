/* A Nostr event (NIP-01): parsed once, immutable afterwards, counted by references, carried as
 * canonical bytes.
 *
 * Canonical bytes are what volley keeps and delivers: the seven known fields in the order
 * {"id","pubkey","created_at","kind","tags","content","sig"}, no spaces, the seven escapes of
 * NIP-01, other control characters as \u00xx, everything else as UTF-8. Whatever else the client
 * sent is dropped. */
#ifndef VOLLEY_NOSTR_EVENT_H
#define VOLLEY_NOSTR_EVENT_H

#include "common/base/buf.h"
#include "common/nostr/json.h"

#include <stdbool.h>
#include <stdint.h>

#define EVENT_ID_LEN   32
#define EVENT_LEN_MAX  (1024u * 1024u) /* canonical bytes; ingest.max_event is a lower limit */
#define EVENT_TAGS_MAX 5000u
#define EVENT_KIND_MAX 65535u
#define EVENT_TIME_MAX 253402300799ull /* 9999-12-31, the largest created_at we take */

struct event {
    uint32_t refs; /* touched by the loop's thread only */
    uint8_t id[32], pubkey[32], sig[64];
    uint64_t created_at;
    uint32_t kind;
    uint64_t expiration; /* NIP-40, Unix seconds; 0 for none */
    bool is_protected; /* NIP-70: has the tag ["-"], or is a repost (6, 16) that embeds one that has
                        */
    bool has_address;  /* replaceable or addressable: `address` says of what it is a version */
    uint8_t address[32]; /* SHA-256 of "kind:pubkey:d"; d only for addressable kinds */
    /* Views into `bytes`, for the id's serialization and for reading tags: "[[…]]" and "\"…\"". */
    struct json_span tags, content;
    size_t len;
    char bytes[]; /* canonical, not terminated */
};

/* Reads an event out of `json` (one object and nothing more; validated here, strictly: known fields
 * once each, lower-case hex of the right length, digits only in created_at and kind, tags an array
 * of arrays of strings). `max_len` bounds the canonical bytes. On ERR_NONE `*out` is new and has
 * one reference. Otherwise ERR_TOO_BIG or ERR_INVALID, and `p` says what is wrong with it in words
 * fit for an OK message. Does not check id or signature. */
MUST_USE enum err event_parse(struct json_span json, size_t max_len, struct event **out,
                              struct problem *p);

/* The id is the SHA-256 of the serialization (raw control characters, or as \u00xx: libraries
 * differ) and the signature is good (BIP-340). ERR_INVALID and which of the two otherwise. From any
 * thread: reads the event only. */
MUST_USE enum err event_verify(const struct event *ev, struct problem *p);

/* The signature alone (BIP-340). ERR_INVALID when it, or the key, is not good. From any thread. */
MUST_USE enum err event_check_sig(const uint8_t pubkey[32], const uint8_t id[32],
                                  const uint8_t sig[64]);

struct event *event_ref(struct event *ev);
/* NULL is fine. */
void event_unref(struct event *ev);

/* Calls `fn` for each tag whose name is the single letter or word `name` and that has a value: the
 * raw (escaped) first value. Stops when `fn` returns false. */
typedef bool event_tag_fn(void *arg, struct json_span value);
void event_each_tag(const struct event *ev, const char *name, event_tag_fn *fn, void *arg);

/* What a kind 5 event asks to delete (NIP-09), as far as it is its author's own:
 * `id` of an e tag, or `address` of an a tag (as in struct event; versions up to created_at). One
 * of the two is NULL. */
typedef void event_delete_fn(void *arg, const uint8_t *id, const uint8_t *address);
void event_each_deletion(const struct event *ev, event_delete_fn *fn, void *arg);

/* Compares two versions of the same address: true when `a` is the one to keep (newer; at equal time
 * the lower id). */
bool event_newer(uint64_t a_created_at, const uint8_t a_id[32], uint64_t b_created_at,
                 const uint8_t b_id[32]);

/* Leading zero bits of the id (NIP-13). */
unsigned event_difficulty(const uint8_t id[32]);

/* Makes and signs an event. `tags_json` is an array of arrays of strings, strict JSON; `content` is
 * plain text. For NIP-42 answers, tests and the practice relays. */
MUST_USE enum err event_make(const uint8_t secret[32], uint64_t created_at, uint32_t kind,
                             const char *tags_json, const char *content, struct event **out,
                             struct problem *p);
/* The x-only public key of a secret key. ERR_INVALID when the secret is none. */
MUST_USE enum err event_pubkey(const uint8_t secret[32], uint8_t pubkey[32]);

#endif
