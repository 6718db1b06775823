/* Secret keys from files, for AUTH (NIP-42). A file holds one secret, as 64 hex digits or nsec,
 * and is its owner's alone. */
#ifndef VOLLEY_PUBLISHER_KEY_H
#define VOLLEY_PUBLISHER_KEY_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Reads the secret into `out`. `may_be_readable`: others may read the file too (in a container a
 * secret's file keeps its host's mode); else that is ERR_INVALID, as is everything that is no key.
 * ERR_NOT_FOUND, ERR_IO. `p` says what and how to mend it, never the secret. */
MUST_USE enum err key_load(const char *path, bool may_be_readable, uint8_t out[32],
                           struct problem *p);

/* Each file read once, however many relays name it. */
struct keys;
struct keys *keys_new(bool may_be_readable);
/* NULL is fine. Forgets the secrets. */
void keys_free(struct keys *k);
/* The secret in `path`, valid until keys_free; read at the first time. Errors as key_load's. */
MUST_USE enum err keys_get(struct keys *k, const char *path, const uint8_t **secret,
                           struct problem *p);

#endif
