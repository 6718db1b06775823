/* A strict JSON scanner (RFC 8259) that stands before everything that looks at JSON from outside.
 *
 * Two uses: `json_check` judges a whole text, so that what cJSON is then given can't surprise it;
 * the cursor reads a text once, left to right, for the hot paths (events, OK answers). Both refuse
 * what parsers disagree about: bad UTF-8, \u0000, unpaired surrogates, raw control characters,
 * leading zeros, trailing bytes, depth beyond the limit, and (where asked) the same key twice in an
 * object. Nothing is allocated. */
#ifndef VOLLEY_NOSTR_JSON_H
#define VOLLEY_NOSTR_JSON_H

#include "common/base/buf.h"

#include <stdbool.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 16
/* Keys of all objects open at once, where repeated keys are looked for: so that this costs nothing
 * worth an attack, and no memory. */
#define JSON_KEYS_MAX 64
/* Characters of a number; cJSON would misread longer ones. */
#define JSON_NUMBER_LEN_MAX 63

struct json_span {
    const char *p;
    size_t len;
};

/* ERR_NONE when `text` is one JSON value and nothing more but white space. `max_len` bounds it
 * first (ERR_TOO_BIG). Refuses repeated keys in every object (compared after unescaping). `p` says
 * where and what. */
MUST_USE enum err json_check(const char *text, size_t len, size_t max_len, struct problem *p);

/* The cursor. After the first error every call returns it again and changes nothing. */
struct json_cur {
    const char *p, *end;
    int depth;
    enum err err;
    const char *what; /* after an error: what is wrong at p, for people */
};
void json_begin(struct json_cur *c, const char *text, size_t len);
/* The next character that is not white space, or '\0' at the end. Moves past white space only. */
char json_peek(struct json_cur *c);
/* Enters an array or object. */
MUST_USE enum err json_enter(struct json_cur *c, char open);
/* In an array or object: true and positioned at the next element (at its key, in an object), or
 * false and past the closing bracket. `*first` is the caller's: true before the first call. On an
 * error: false, and c->err is set. */
bool json_next(struct json_cur *c, char close, bool *first);
/* A string: its raw span between the quotes, still escaped, validated. */
MUST_USE enum err json_string(struct json_cur *c, struct json_span *raw);
/* A key and its colon. */
MUST_USE enum err json_key(struct json_cur *c, struct json_span *raw);
/* Digits only, no sign, no fraction, no exponent, no leading zero; at most `max`. */
MUST_USE enum err json_uint(struct json_cur *c, uint64_t max, uint64_t *out);
MUST_USE enum err json_bool(struct json_cur *c, bool *out);
/* Any value, validated; its raw span when `raw` is not NULL. */
MUST_USE enum err json_skip(struct json_cur *c, struct json_span *raw);
/* The same, and refuses repeated keys in every object. For what cJSON is given next. */
MUST_USE enum err json_skip_unique(struct json_cur *c, struct json_span *raw);
/* Stops the cursor for a reason of the caller's: `what` is static text. The first error stays.
 * Returns it. */
enum err json_fail(struct json_cur *c, enum err e, const char *what);
/* Nothing but white space is left. */
MUST_USE enum err json_end(struct json_cur *c);

/* All below take strings that the cursor gave out, or otherwise validated ones. */

/* Whether the unescaped string equals `text`; whether two strings are the same unescaped. */
bool json_equals(struct json_span raw, const char *text);
bool json_same(struct json_span a, struct json_span b);
/* Characters (code points) in the unescaped string. */
size_t json_chars(struct json_span raw);
/* Appends the string unescaped (UTF-8). ERR_TOO_BIG when the buffer's maximum would be passed; then
 * nothing was appended. */
MUST_USE enum err json_unescape(struct json_span raw, struct buf *out);
/* Unescapes into a C string of `size` bytes, cut at a character's end when longer. */
void json_copy(struct json_span raw, char *out, size_t size);
/* Writes the string in its canonical form (still escaped: the seven escapes of NIP-01, \u00xx for
 * other control characters, all else as UTF-8) to `out`, which has room for raw.len bytes: no form
 * is longer than the one that came in. Returns the end of what was written. */
char *json_canon(char *out, struct json_span raw);
/* Appends a quoted string in that form; NUL, and bytes that are not UTF-8, become U+FFFD.
 * ERR_TOO_BIG when the buffer's maximum would be passed; then nothing was appended. */
MUST_USE enum err json_put_string(struct buf *out, const char *s, size_t len);

/* Reads one escape; `p` points at its backslash. Returns its length (2, 6, or 12 for a surrogate
 * pair) and the code point, or 0 when it is none that we take: unknown, cut off, \u0000, an
 * unpaired surrogate. */
size_t json_escape(const char *p, const char *end, uint32_t *code_point);

#endif
