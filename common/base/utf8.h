/* UTF-8 (RFC 3629), character by character. Pure. */
#ifndef VOLLEY_BASE_UTF8_H
#define VOLLEY_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The length in bytes (1 to 4) of the character at `p`, which is below `end`; 0 when the bytes are
 * none: overlong, a surrogate, beyond U+10FFFF, cut off. */
size_t utf8_len(const char *p, const char *end);
/* Writes the code point, which is neither a surrogate nor beyond U+10FFFF. Returns its length. */
size_t utf8_put(char out[4], uint32_t code_point);

#endif
