/* A websocket (RFC 6455) over any byte stream, for both sides, on wslay: text frames whole or
 * fragmented, ping answered, close codes, UTF-8 checked. Bounded both ways. Frames to send are
 * collected and leave in few writes. No handshake here: handshake.h.
 *
 * It owns no descriptor: the owner tells it when the stream can be read or written. One thread. */
#ifndef VOLLEY_NET_WEBSOCKET_H
#define VOLLEY_NET_WEBSOCKET_H

#include "common/base/buf.h"

#include <stdbool.h>
#include <sys/types.h>

enum websocket_role { WEBSOCKET_SERVER, WEBSOCKET_CLIENT /* masks at random */ };

/* The stream below. Both return bytes moved, 0 for "would block", -1 for an error, and recv -2 for
 * the end. */
struct websocket_io {
    ssize_t (*send)(void *arg, const uint8_t *data, size_t len);
    ssize_t (*recv)(void *arg, uint8_t *data, size_t len);
    /* A whole text message; valid until it returns. websocket_free must not be called from here:
     * return false to stop reading at once (websocket_read then returns ERR_AGAIN and keeps the
     * rest). */
    bool (*on_text)(void *arg, const char *text, size_t len);
    void *arg;
};

#define WEBSOCKET_QUEUE_MIN   1024u
#define WEBSOCKET_PRELOAD_MAX 65536u

struct websocket_limits {
    size_t message_max; /* a longer one is answered with close 1009 */
    size_t queue_max;   /* bytes waiting to be sent, frames' headers and control frames included;
                           more is ERR_FULL. At least WEBSOCKET_QUEUE_MIN. 262 of them are kept
                           free for a pong and a close */
};

struct websocket;

struct websocket *websocket_new(enum websocket_role role, const struct websocket_io *io,
                                const struct websocket_limits *l);
void websocket_free(struct websocket *ws);

/* Bytes that were read together with the handshake: consumed before the stream. Call websocket_read
 * soon: nobody else will be woken for them. ERR_TOO_BIG beyond WEBSOCKET_PRELOAD_MAX. */
MUST_USE enum err websocket_preload(struct websocket *ws, const void *data, size_t len);

/* Reads until the stream blocks, but at most about `budget` bytes. ERR_NONE: go on when readable
 * (or at once when the budget was used up: see websocket_pending). ERR_AGAIN: on_text said stop.
 * ERR_CLOSED: the peer sent close (the answer is queued: flush it) or ended the stream.
 * ERR_PROTOCOL, ERR_TOO_BIG: a close frame with the right code is queued (1002, 1003 for binary,
 * 1007 for bad UTF-8; 1009). ERR_IO. All but the first two are final: each later call says the
 * same. Pongs may have been queued: flush after reading. */
MUST_USE enum err websocket_read(struct websocket *ws, size_t budget);
/* Bytes were left unread when the budget ran out: call websocket_read again without waiting. */
bool websocket_pending(const struct websocket *ws);

/* Queues one text frame (copied, masked when client). ERR_FULL when queue_max would be passed;
 * ERR_TOO_BIG when even an empty queue could not take it; ERR_CLOSED after a close. */
MUST_USE enum err websocket_send_text(struct websocket *ws, const char *text, size_t len);
MUST_USE enum err websocket_ping(struct websocket *ws);
/* Queues a close frame; nothing can be sent after it, but reading goes on. A second one does
 * nothing. Code 0: none. `reason` may be NULL and is cut at 123 bytes. */
void websocket_close(struct websocket *ws, uint16_t code, const char *reason);

/* Writes what is queued, as much as the stream takes. ERR_NONE: all of it. ERR_AGAIN: some is left,
 * wait for writable. ERR_CLOSED: all of it, and our close frame was the last: the stream may be
 * closed (or the peer's answer be awaited for a while). ERR_IO. */
MUST_USE enum err websocket_flush(struct websocket *ws);
size_t websocket_queued_len(const struct websocket *ws);
/* Payload bytes of a data message that has begun and not ended yet; control frames don't count. */
size_t websocket_partial_len(const struct websocket *ws);
/* The code of the peer's close frame, 0 when none came, 1005 when it held no code (RFC 6455, 7.4).
 */
uint16_t websocket_close_code(const struct websocket *ws);

#endif
