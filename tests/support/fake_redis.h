/* What stands where a Redis should, on a unix socket and the test's own loop: it knows as much of
 * Redis as a queue's client asks before its first call, answers calls with frames as the scripts
 * would (their content is dull), and misbehaves as told. For tests of the client. */
#ifndef VOLLEY_TESTS_SUPPORT_FAKE_REDIS_H
#define VOLLEY_TESTS_SUPPORT_FAKE_REDIS_H

#include "queue/wire.h"

struct fake_redis {
    uv_loop_t *loop;
    char dir[128], url[200];
    uv_pipe_t server;
    struct fake_client *clients;
    bool closed;

    /* How it behaves; all may be changed at any time. */
    const char *version, *role, *appendfsync,
        *config_error;    /* config_error: CONFIG is refused so */
    const char *password; /* NULL: asks for none */
    const char *loading;  /* SELECT is answered so */
    char run_id[41], store[33];
    const char *error;   /* calls are refused so */
    unsigned errors;     /* so many of them (0: all) */
    bool silent;         /* reads, and says nothing */
    bool drops;          /* hangs up instead of answering a call */
    const void *garbage; /* comes instead of a call's answer */
    size_t garbage_len;
    bool garbage_first; /* and, before anything is asked, at once */

    /* What it saw. */
    unsigned connections, loads, hellos, runs, subscribers, housekeeps;
    size_t facts_len;  /* of the last append */
    unsigned appended; /* events */
};

void fake_redis_start(struct fake_redis *f, uv_loop_t *loop);
void fake_redis_stop(struct fake_redis *f);
/* Hangs up on everybody. */
void fake_redis_cut(struct fake_redis *f);
/* These bytes, to all subscribers. */
void fake_redis_push(struct fake_redis *f, const void *data, size_t len);
/* A message of the channel. */
void fake_redis_publish(struct fake_redis *f, const void *data, size_t len);

#endif
