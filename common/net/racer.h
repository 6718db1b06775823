/* One family's try, all the way: the connection (dial.h), then the websocket's opening handshake.
 * Below link.c, which lets two of them race. */
#ifndef VOLLEY_NET_RACER_H
#define VOLLEY_NET_RACER_H

#include "common/net/dial.h"
#include "common/net/handshake.h"

struct racer_poll;

struct racer {
    /* It completed, or failed and left; once, unless racer_leave comes first. */
    void (*done)(struct racer *r, enum err e);
    void *owner;
    struct dialer *dialer;
    const struct link_request *request; /* stays the owner's */
    enum family lane;                   /* the race's name for it: IPv6 or IPv4 */
    bool only_connect;                  /* complete without the websocket, if that has not begun */
    struct dial *dial;                  /* NULL: over. When complete it may be taken away */
    enum dial_phase phase;
    struct racer_poll *poll; /* NULL: not watching */
    uint64_t started_ms, started_us, websocket_start_us;
    char key[HANDSHAKE_KEY_SIZE];
    struct buf request_left, answer;
    size_t answer_len; /* complete: of the handshake in `answer`; 0: not complete */
    struct link_try try;
};

struct racer_options {
    struct dialer *dialer;
    const struct link_request *request;
    enum family lane, family; /* what it is called in its try */
    const char *socks, *socks_user;
    void (*done)(struct racer *r, enum err e);
    void *owner;
};
/* `r` must stay where it is until it is over. */
void racer_start(struct racer *r, const struct racer_options *o);
/* Ends it in whatever state; its try keeps what was measured. */
void racer_leave(struct racer *r);
/* Its time, which was so long, is over: says so in its try, and leaves. */
void racer_time_out(struct racer *r, uint32_t after_ms);
/* The other won while it is under way: says so in its try. It goes on. */
void racer_note_lost(struct racer *r);

#endif
