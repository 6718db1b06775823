/* Events for tests, cheaply: canonical, with a true id; the signature is a dummy unless asked for.
 * All end the test program when they can't. */
#ifndef VOLLEY_TESTS_SUPPORT_MAKE_EVENT_H
#define VOLLEY_TESTS_SUPPORT_MAKE_EVENT_H

#include "common/nostr/event.h"

#define TEST_AUTHORS 8u /* authors are numbers below this */

/* The public key of a test author, and its secret. */
void test_pubkey(unsigned author, uint8_t out[32]);
void test_secret(unsigned author, uint8_t out[32]);

/* A new event with one reference. `tags_json` as for event_make. Not signed: the queue does not
 * look. */
struct event *make_event(unsigned author, uint64_t created_at, uint32_t kind, const char *tags_json,
                         const char *content);
/* The same, signed (some 100 µs). */
struct event *make_signed_event(unsigned author, uint64_t created_at, uint32_t kind,
                                const char *tags_json, const char *content);
/* A note (kind 1) without tags whose text is the number. */
struct event *make_note(unsigned author, unsigned number);
/* Heartbeat number `n` of author 0: kind, tags and text as heartbeat.h has them. Not signed. */
struct event *make_heartbeat(unsigned n);
/* A kind 5 by `author` that asks to delete the event `id`. */
struct event *make_deletion(unsigned author, uint64_t created_at, const uint8_t id[32]);
/* A kind 5 by `author` that asks to delete versions of its own "kind:pubkey:d". */
struct event *make_address_deletion(unsigned author, uint64_t created_at, uint32_t kind,
                                    const char *d);

#endif
