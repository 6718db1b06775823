/* A relay in the test's own process and loop, on 127.0.0.1, for tests of publisher code: keeps the
 * ids of the events it gets, answers as told, misbehaves on command. */
#ifndef VOLLEY_TESTS_SUPPORT_FAKE_RELAY_H
#define VOLLEY_TESTS_SUPPORT_FAKE_RELAY_H

#include "common/net/websocket.h"
#include "common/nostr/event.h"

#include <uv.h>

#define FAKE_EVENTS_MAX 4096u
#define FAKE_CHALLENGE  "a \"quoted\" challenge"

enum fake_mode {
    FAKE_OK,       /* ["OK",id,accepted,text] */
    FAKE_AUTH,     /* challenges, refuses with auth-required: until AUTH came */
    FAKE_SILENT,   /* reads, answers nothing */
    FAKE_DEAF,     /* does not even read */
    FAKE_CUT,      /* closes the connection instead of answering */
    FAKE_WRONG_ID, /* an OK for an event that nobody sent */
    FAKE_LATE_AUTH /* as FAKE_AUTH, but the challenge follows the refusal */
};

struct fake_client;

struct fake_relay {
    uv_loop_t *loop;
    int fd;
    uint16_t port;
    char url[64];
    uv_poll_t poll;
    bool down;
    enum fake_mode mode;
    bool refuse;      /* FAKE_OK: accepted false */
    const char *text; /* FAKE_OK: NULL for "" */
    bool refuse_auth, silent_auth;

    uint8_t ids[FAKE_EVENTS_MAX][EVENT_ID_LEN]; /* as they came */
    unsigned len;
    unsigned connections; /* handshakes completed */
    unsigned auths;       /* good ones: signed, right tags, kind, time */
    char auth_problem[128];
    struct fake_client *clients;
};

/* Listens on a free port. Ends the program when it can't. */
void fake_relay_start(struct fake_relay *f, uv_loop_t *loop);
/* Hangs up on everybody; refuses connections until fake_relay_up, on the same port. */
void fake_relay_down(struct fake_relay *f);
void fake_relay_up(struct fake_relay *f);
/* As down, for good; the loop must run on for the handles to close. */
void fake_relay_stop(struct fake_relay *f);
/* To everybody connected: a text message; bytes as they are. */
void fake_relay_say(struct fake_relay *f, const char *text, size_t len);
void fake_relay_spill(struct fake_relay *f, const void *data, size_t len);
/* How many of the ids it got are this one. */
unsigned fake_relay_count(const struct fake_relay *f, const uint8_t id[EVENT_ID_LEN]);

#endif
