/* The model as a queue, with its calls in line: what model.c (the line, life) and model_answer.c
 * (what each call is answered) share. Nobody else includes this. */
#ifndef VOLLEY_QUEUE_MODEL_QUEUE_H
#define VOLLEY_QUEUE_MODEL_QUEUE_H

#include "queue/model_call.h"
#include "queue/model_state.h"

struct model_queue {
    struct queue queue; /* first: callers hold a pointer to it */
    struct model model;
    struct broker_clock clock;
    uv_idle_t turn; /* active while calls wait */
    uv_timer_t beat;
    struct model_call *first, **last;
    struct queue_follower follower;
    unsigned lose_tail;
    bool closing;
    int open_handles;
    queue_closed_fn *closed;
    void *closed_arg;
};

int64_t model_wall_ms(const struct model_queue *q);
uint64_t model_boot_ms(const struct model_queue *q);
/* Does what the call asks, and calls back. */
void model_answer(struct model_queue *q, const struct model_call *c);
/* Frees the lanes of publishers whose term ended. */
void model_release_the_dead(struct model_queue *q);

#endif
