/* Two websockets joined by pipes in memory, whose chunks and room a test sets. Linked only into
 * cmocka programs: its checks are cmocka's. */
#ifndef VOLLEY_TESTS_WEBSOCKET_PAIR_H
#define VOLLEY_TESTS_WEBSOCKET_PAIR_H

#include "common/net/websocket.h"

#define PIPE_MAX    (8u << 20)
#define MESSAGE_MAX 100000u
#define QUEUE_MAX   300000u
#define ALL         ((size_t)1 << 30)

/* One direction. `chunk` is the most that moves in a call, `room` the most it holds. */
struct pipe_end {
    struct buf bytes;
    size_t chunk, room;
    bool ended, broken;
};

struct end {
    struct websocket *ws;
    struct pipe_end *in, *out;
    struct buf texts; /* what came, each followed by '\n' */
    size_t texts_len, writes;
    size_t stop_after; /* so many texts in all; 0: never */
};

struct websocket_pair {
    struct pipe_end to_server, to_client;
    struct end server, client;
};
struct websocket_pair *websocket_pair_new(void);
void websocket_pair_free(struct websocket_pair *b);

/* Moves what `from` has queued, until `to` has read it all. */
void pair_drain(struct end *from, struct end *to);
/* A frame by hand; masked with zeros when it goes to a server, so that its payload stays legible.
 */
void raw_frame(struct pipe_end *p, bool masked, uint8_t first, const void *data, size_t len);
/* The code of the close frame at the end of what was sent, 0 when there is none. A client masks. */
int close_code_in(const struct pipe_end *p, bool masked);

#endif
