/* A websocket client for tests of servers in the same process: plain TCP to loopback on the test's
 * own loop, text messages kept as they come, raw bytes where a test wants to misbehave. What waits
 * (ws_client_opened, …_next, …_ended) runs the loop, with spin_until's deadline. */
#ifndef VOLLEY_TESTS_SUPPORT_WS_CLIENT_H
#define VOLLEY_TESTS_SUPPORT_WS_CLIENT_H

#include "common/net/handshake.h"
#include "common/net/websocket.h"

#include <uv.h>

struct ws_client_options {
    uint16_t port;
    const char *from;    /* the client's own IPv4 address; NULL: any */
    const char *headers; /* more lines for the request, each with its \r\n; NULL */
    int receive_len;     /* size of the socket's receive buffer; 0: the system's */
};

struct ws_client {
    uv_loop_t *loop;
    int fd;
    uv_poll_t poll;
    char key[HANDSHAKE_KEY_SIZE];
    enum { WS_CLIENT_OPENING, WS_CLIENT_OPEN, WS_CLIENT_ENDED } state;
    int status;          /* of the handshake's answer; 0: none came */
    uint16_t close_code; /* of the server's close frame; 0: none came */
    bool deaf;           /* reads nothing */
    struct websocket *ws;
    struct buf answer; /* the handshake's */
    struct buf raw;    /* bytes of the test's own, to be sent as they are */
    size_t raw_sent;
    char **messages; /* received; those before `taken` were handed out */
    size_t messages_len, messages_cap, taken;
};

/* Connects and asks for a websocket on /. */
struct ws_client *ws_client_new(uv_loop_t *loop, const struct ws_client_options *o);
/* Closes the socket without a word, frees. */
void ws_client_free(struct ws_client *c);

/* Waits for the handshake's end: whether it went well. */
bool ws_client_opened(struct ws_client *c);
void ws_client_send(struct ws_client *c, const char *text);
/* Bytes straight onto the socket; frames made by ws_frame, or nonsense. */
void ws_client_send_raw(struct ws_client *c, const void *data, size_t len);
/* Waits for the next message; NULL when the connection ended first. Valid until the client is
 * freed. */
const char *ws_client_next(struct ws_client *c);
/* Whether a message is there, without waiting. */
bool ws_client_has(const struct ws_client *c);
/* Stops and resumes reading. */
void ws_client_deafen(struct ws_client *c, bool deaf);
/* Waits for the end of the connection; returns the close code. */
uint16_t ws_client_ended(struct ws_client *c);

/* Appends a masked frame. `head` is its first byte: 0x81 a whole text, 0x01 a text's first piece,
 * 0x00 a middle, 0x80 the last, 0x82 binary, 0x88 close, 0x89 ping, 0x8a pong. */
void ws_frame(struct buf *out, uint8_t head, const void *payload, size_t len);

/* Sends a whole HTTP request and waits for its whole answer (by Content-Length, or the end).
 * Returns the status; `answer` gets headers and body, as a string. `from` as above. 0: no answer.
 */
int http_ask(uv_loop_t *loop, const struct ws_client_options *o, const char *request,
             struct buf *answer);

#endif
