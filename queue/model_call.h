/* The calls made to the model and not answered yet, with their inputs copied. Only model.c,
 * model_answer.c and model_call.c know this. */
#ifndef VOLLEY_QUEUE_MODEL_CALL_H
#define VOLLEY_QUEUE_MODEL_CALL_H

#include "queue/queue.h"

enum model_verb {
    MODEL_APPEND,
    MODEL_READ,
    MODEL_LEASE,
    MODEL_COMMIT,
    MODEL_DEFINE,
    MODEL_DEPTH,
    MODEL_RECEIPT,
    MODEL_REGISTRY,
    MODEL_HOLD,
    MODEL_FAILED_PAGE,
    MODEL_JOBS,
    MODEL_CANCEL,
    MODEL_OBSERVE,
    MODEL_STATISTICS,
    MODEL_LEAD
};

struct model_call {
    struct model_call *next;
    enum model_verb verb;
    union queue_callback fn;
    void *arg;

    struct event *event;
    uint64_t from, to;
    struct lease_call lease;
    enum err renewed;
    struct lane_commit *commits;
    size_t len;                /* of commits */
    struct define_call define; /* defs are its own */
    uint8_t id[EVENT_ID_LEN];
    struct hold_call hold;
    struct failed_call failed; /* ids are its own */
    uint64_t job;
    struct observe_call observe; /* the list is its own */
    struct statistics_call statistics;
    struct lead_call lead;
};

struct model_call *model_call_new(enum model_verb verb, void *arg);
void model_call_lease(struct model_call *c, const struct lease_call *from);
void model_call_commits(struct model_call *c, const struct lane_commit *from, size_t len);
void model_call_definitions(struct model_call *c, const struct define_call *from);
void model_call_failed(struct model_call *c, const struct failed_call *from);
void model_call_observe(struct model_call *c, const struct observe_call *from);
void model_call_free(struct model_call *c);
/* Calls back with an error and nothing else. */
void model_call_fail(const struct model_call *c, enum err e, const char *why);

#endif
