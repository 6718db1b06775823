/* A server that plays tor's control port, on a unix socket and in the test's own loop. */
#ifndef VOLLEY_TESTS_SUPPORT_CONTROL_SERVER_H
#define VOLLEY_TESTS_SUPPORT_CONTROL_SERVER_H

#include "common/base/buf.h"

#include <uv.h>

#define CONTROL_CLIENTS_MAX 16

/* What it says to a command that begins so; the first that fits. Text NULL: the proof for an
 * AUTHCHALLENGE. Command NULL ends the list, and hangs up. */
struct control_answer {
    const char *command, *text;
};

struct control_server {
    uv_loop_t *loop;
    uv_pipe_t listener;
    const struct control_answer *answers;
    uint8_t cookie[32]; /* what it proves to know */
    uv_pipe_t *clients[CONTROL_CLIENTS_MAX];
    size_t clients_len;
    struct buf heard; /* the commands, one a line; the caller's buf_fini */
};

void control_server_start(struct control_server *s, uv_loop_t *loop, const char *path,
                          const struct control_answer *answers);
/* Listens no more; clients stay, and get no more answers. */
void control_server_stop(struct control_server *s);
/* To the newest client. */
void control_server_say(struct control_server *s, const char *text);
void control_server_hang_up(struct control_server *s);

#endif
