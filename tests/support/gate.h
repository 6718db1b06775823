/* A queue in front of another, for tests of ingest: holds appends back until a test lets them go,
 * or answers them with an error; says so of depth too. Everything else passes. */
#ifndef VOLLEY_TESTS_SUPPORT_GATE_H
#define VOLLEY_TESTS_SUPPORT_GATE_H

#include "queue/queue.h"

struct gate_append;

struct gate {
    struct queue queue; /* hand this to whoever is tested; not to be closed */
    struct queue *inner;
    uv_idle_t turn;
    bool hold;            /* appends wait for gate_let_go */
    enum err fail;        /* when not ERR_NONE: what appends are answered with */
    const char *why;      /* and its words */
    uint32_t requeued;    /* a duplicate was put back on so many lanes, it says */
    enum err fail_depth;  /* the same of depth */
    bool silent_depth;    /* depth is never answered, until gate_fini */
    unsigned appends_len; /* asked for so far */
    unsigned depths_len;
    struct gate_append *held, *failed;
    struct gate_depth *depths;
};

void gate_init(struct gate *g, uv_loop_t *loop, struct queue *inner);
/* Passes on the first `count` of those held back. */
void gate_let_go(struct gate *g, unsigned count);
/* Answers everything that waits with ERR_CLOSED. The loop must run once more. */
void gate_fini(struct gate *g);

#endif
