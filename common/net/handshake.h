/* The websocket's opening handshake (RFC 6455, section 4), client's side on bytes, and the key both
 * sides need. Pure. */
#ifndef VOLLEY_NET_HANDSHAKE_H
#define VOLLEY_NET_HANDSHAKE_H

#include "common/base/buf.h"
#include "common/net/url.h"

#define HANDSHAKE_KEY_SIZE    25 /* base64 of 16 bytes, and the terminator */
#define HANDSHAKE_ACCEPT_SIZE 29
#define HANDSHAKE_ANSWER_MAX  8192u

void handshake_key(char out[HANDSHAKE_KEY_SIZE]);
/* The Sec-WebSocket-Accept for a key. */
void handshake_accept(const char *key, char out[HANDSHAKE_ACCEPT_SIZE]);
/* The client's request. `user_agent` may be NULL. */
MUST_USE enum err handshake_request(struct buf *out, const struct relay_url *url, const char *key,
                                    const char *user_agent);

struct handshake_answer {
    int status;              /* 0 until the status line is in */
    uint32_t retry_after_ms; /* 0: none */
    size_t len;              /* of the answer; what follows belongs to the websocket */
};
/* ERR_AGAIN: more bytes are needed. ERR_NONE: upgraded. ERR_HTTP: another status. ERR_PROTOCOL: not
 * HTTP, or a wrong accept. ERR_TOO_BIG: over HANDSHAKE_ANSWER_MAX. */
MUST_USE enum err handshake_answer(const char *data, size_t len, const char *key,
                                   struct handshake_answer *out, struct problem *p);

#endif
