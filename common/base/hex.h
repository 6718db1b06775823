/* Bytes as lower-case hexadecimal, the only form Nostr knows (NIP-01). */
#ifndef VOLLEY_BASE_HEX_H
#define VOLLEY_BASE_HEX_H

#include "common/base/err.h"

#include <stdint.h>

/* Writes 2*len digits and no terminator. */
void hex_put(char *out, const uint8_t *data, size_t len);
/* The same with a terminator: `out` has room for 2*len+1. Returns `out`. */
char *hex_str(char *out, const uint8_t *data, size_t len);
/* Reads exactly 2*out_len lower-case digits. ERR_INVALID for any other length or character. */
MUST_USE enum err hex_get(const char *hex, size_t hex_len, uint8_t *out, size_t out_len);

#endif
