/* Reposts (NIP-18) that would carry somebody's protected event (NIP-70) out. Pure. */
#ifndef VOLLEY_NOSTR_EVENT_REPOST_H
#define VOLLEY_NOSTR_EVENT_REPOST_H

#include "common/nostr/json.h"

/* Whether an event of this kind with this raw (escaped) content is a repost (6, 16) that embeds an
 * event with the tag ["-"]. Content that can't be read as such an event embeds nothing. */
bool event_embeds_protected(uint32_t kind, struct json_span content);

#endif
