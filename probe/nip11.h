/* What a relay tells of itself (NIP-11), as far as a publisher must know it. Pure. Everything is
 * the relay's own word, and may be missing or nonsense: then it is not known. */
#ifndef VOLLEY_PROBE_NIP11_H
#define VOLLEY_PROBE_NIP11_H

#include "common/base/err.h"

#include <stddef.h>
#include <stdint.h>

#define NIP11_MAX     (64u * 1024u) /* bytes of the document */
#define NIP11_ACCEPT  "application/nostr+json"
#define NIP11_UNKNOWN (-1)
#define NIP11_NIPS    64u /* that are kept of supported_nips */

struct nip11 {
    char name[64], software[128], version[32]; /* empty: not told. Unescaped, from outside */
    /* NIP11_UNKNOWN, or what "limitation" says */
    int64_t max_message_length, max_content_length, max_event_tags, min_pow_difficulty;
    int64_t created_at_lower_limit, created_at_upper_limit;
    int auth_required, payment_required, restricted_writes; /* NIP11_UNKNOWN, 0, 1 */
    uint16_t nips[NIP11_NIPS];                              /* each once */
    size_t nips_len;
};

/* ERR_INVALID, ERR_TOO_BIG: no such document; `p` says why. */
MUST_USE enum err nip11_parse(const char *text, size_t len, struct nip11 *out, struct problem *p);
/* The limits worth a person's eyes: "messages up to 128 KiB, PoW 20, AUTH required"; empty when
 * there is none. */
void nip11_limits(const struct nip11 *n, char *out, size_t size);

#endif
