/* How to be let in by tor's control port: what PROTOCOLINFO offers, and the proofs (SAFECOOKIE:
 * both sides show that they know the cookie, neither shows it). Pure but for the two files. */
#ifndef VOLLEY_NET_CONTROL_AUTH_H
#define VOLLEY_NET_CONTROL_AUTH_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define CONTROL_COOKIE_LEN 32
#define CONTROL_NONCE_LEN  32
#define CONTROL_PROOF_LEN  32
#define CONTROL_SECRET_MAX 256

struct control_methods {
    bool none, password, cookie, safe_cookie;
    char cookie_file[512]; /* empty: not told */
};
/* A line of the reply to PROTOCOLINFO; lines that say nothing of it leave `m` alone. ERR_INVALID.
 */
MUST_USE enum err control_methods_take(struct control_methods *m, const char *text);

/* The file's cookie, exactly 32 bytes. `p` says what is wrong. */
MUST_USE enum err control_cookie_load(const char *path, uint8_t out[CONTROL_COOKIE_LEN],
                                      struct problem *p);
/* The file's only line. Refused when it is empty, has control characters or is too long, and,
 * unless `may_be_readable`, when others can read the file. */
MUST_USE enum err control_password_load(const char *path, bool may_be_readable,
                                        char out[CONTROL_SECRET_MAX], struct problem *p);

/* The line behind AUTHCHALLENGE. */
struct control_challenge {
    uint8_t server_proof[CONTROL_PROOF_LEN], server_nonce[CONTROL_NONCE_LEN];
};
MUST_USE enum err control_challenge_parse(const char *text, struct control_challenge *out);
/* ERR_INVALID: the other side does not know the cookie. Else our proof. */
MUST_USE enum err control_challenge_answer(const struct control_challenge *c,
                                           const uint8_t cookie[CONTROL_COOKIE_LEN],
                                           const uint8_t nonce[CONTROL_NONCE_LEN],
                                           uint8_t proof[CONTROL_PROOF_LEN]);

#endif
