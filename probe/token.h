/* The admin's token: at least 16 characters, kept as its hash and compared in constant time. */
#ifndef VOLLEY_PROBE_TOKEN_H
#define VOLLEY_PROBE_TOKEN_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define TOKEN_LEN_MIN 16u
#define TOKEN_SIZE    512u /* of a buffer that holds one */

/* Zeroed: there is none, and nothing is it. */
struct token {
    bool is_set;
    uint8_t hash[32];
};
/* ERR_INVALID: too short. */
MUST_USE enum err token_set(struct token *t, const char *text, struct problem *p);
/* Reads the file; an empty path: none. Errors as secret_read's. */
MUST_USE enum err token_read(struct token *t, const char *path, struct problem *p);
bool token_is(const struct token *t, const char *text);

#endif
