/* NIP-01 messages in both directions. Parsers take one text frame; strictness is the scanner's.
 * Builders append to a buffer. Everything is a view into the input, valid as long as that is. Pure.
 */
#ifndef VOLLEY_NOSTR_MESSAGE_H
#define VOLLEY_NOSTR_MESSAGE_H

#include "common/base/buf.h"
#include "common/nostr/json.h"

#include <stdint.h>

enum verb {
    VERB_EVENT,
    VERB_REQ,
    VERB_COUNT,
    VERB_CLOSE,
    VERB_AUTH,
    VERB_OK,
    VERB_NOTICE,
    VERB_EOSE,
    VERB_CLOSED,
    VERB_OTHER /* well-formed, of a verb not known here */
};

#define SUBSCRIPTION_LEN_MAX 64 /* NIP-01 */

/* What a client sends. EVENT and AUTH: `event` is the object. REQ, COUNT, CLOSE: `sub` is the raw
 * subscription id (1 to 64 characters), `filters` the raw text of the filters with their commas
 * ("{…},{…}"), each a valid object. */
struct client_message {
    enum verb verb;
    struct json_span event, sub, filters;
    struct json_span name; /* VERB_OTHER: the verb as sent, raw */
};
/* ERR_INVALID: `p` says why, in words fit for a NOTICE. */
MUST_USE enum err message_from_client(const char *text, size_t len, struct client_message *out,
                                      struct problem *p);

/* What a relay sends. OK: id, accepted, text (raw). NOTICE, AUTH: text. EOSE, CLOSED: sub, text.
 * EVENT: sub, event. Arrays longer than needed are fine. */
struct relay_message {
    enum verb verb;
    uint8_t id[32];
    bool accepted;
    struct json_span sub, text, event;
};
MUST_USE enum err message_from_relay(const char *text, size_t len, struct relay_message *out,
                                     struct problem *p);

/* ["OK","<id>",true,"text"]; `id_raw` is what the client sent as id, when it was a string, else "".
 */
MUST_USE enum err message_put_ok(struct buf *out, struct json_span id_raw, bool accepted,
                                 const char *text);
MUST_USE enum err message_put_ok_id(struct buf *out, const uint8_t id[32], bool accepted,
                                    const char *text);
MUST_USE enum err message_put_notice(struct buf *out, const char *text);
MUST_USE enum err message_put_eose(struct buf *out, struct json_span sub_raw);
MUST_USE enum err message_put_closed(struct buf *out, struct json_span sub_raw, const char *text);
/* ["AUTH","challenge"] (relay's side). */
MUST_USE enum err message_put_challenge(struct buf *out, const char *challenge);
/* ["EVENT",{…}] or ["AUTH",{…}] around canonical bytes (client's side). */
MUST_USE enum err message_put_event(struct buf *out, const char *verb, const char *event_bytes,
                                    size_t len);
/* The raw value of "id" in an event object, when it is a string of at most 64 bytes; an empty span
 * otherwise. For the OK that refuses an event which could not be parsed. */
struct json_span message_event_id(struct json_span event);

#endif
