/* One client: a websocket on a socket that libmicrohttpd handed over, NIP-01 spoken on it. Bounded:
 * a client with much under way, or that does not take its replies, is not read until it does. */
#ifndef VOLLEY_INGEST_SESSION_H
#define VOLLEY_INGEST_SESSION_H

#include "common/net/websocket.h"
#include "httpd/listener.h"
#include "ingest/service.h"

#define CODE_GOING_AWAY 1001
#define GOING_AWAY      "shutting down"

struct submission;

struct session {
    struct ingest *i;
    struct listener *listener;
    struct MHD_UpgradeResponseHandle *urh;
    int fd;
    uv_poll_t poll;
    int polled; /* UV_READABLE … as started */
    struct websocket *ws;
    enum {
        SESSION_OPEN,
        SESSION_ENDING, /* a close frame is queued or sent: nothing is read but the end */
        SESSION_BROKEN  /* to be destroyed at the end of the turn */
    } state;
    bool eof, shut, blocked; /* peer's end seen; our end sent; replies wait for the socket */

    struct submission *under_way;
    size_t under_way_len, under_way_bytes;
    size_t partial_len, reply_len; /* as counted in the totals */
    uint64_t partial_ms;           /* when the unfinished message began */
    uint64_t heard_ms;             /* last byte from the peer */
    uint64_t progress_ms;          /* last time the socket took a byte of replies, or none waited */
    uint64_t ending_ms;
    unsigned pings; /* since the last byte heard */

    bool is_ready, is_touched;
    struct session *prev, *next, *ready_prev, *ready_next, *touched_prev, *touched_next;
};

/* Takes over the socket, and the bytes that were read with the handshake. The session lives until
 * it ends by itself or session_destroy. */
void session_new(struct ingest *i, struct listener *l, struct MHD_UpgradeResponseHandle *urh,
                 int fd, const void *extra, size_t extra_len);

/* Sends what i->reply holds, if building it went well (`built`); cuts the client off when it has
 * too much unread. Safe from inside a message's handler. */
void session_reply(struct session *s, enum err built);
/* Will be looked at before the loop sleeps. */
void session_touch(struct session *s);
/* Reads as much as the budget and the bounds allow. */
void session_read(struct session *s);
/* The end of a turn: writes, and waits for what the session needs now. May destroy it. */
void session_turn(struct session *s);
void session_tick(struct session *s);
/* Says goodbye (RFC 6455, 7.4) and waits for the peer to go, at most close_ms. */
void session_end(struct session *s, uint16_t code, const char *reason);
/* Drops the connection at once. Its events go on without it. */
void session_destroy(struct session *s);

#endif
