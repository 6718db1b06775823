/* A queue asked synchronously: makes the call, runs the loop until its callback came, and keeps a
 * copy of the answer. For tests. A call that is answered from inside itself, twice, or not within
 * ten seconds ends the program. */
#ifndef VOLLEY_TESTS_SUPPORT_ASK_H
#define VOLLEY_TESTS_SUPPORT_ASK_H

#include "queue/queue.h"
#include "queue/wire.h"

struct answer {
    enum err e;
    char why[512]; /* append, define */
    struct append_result append;
    struct {
        const struct queue_event *events;
        size_t len;
        uint64_t head;
    } read;
    struct lease_reply lease;
    const struct lane_committed *committed;
    size_t committed_len;
    struct define_result define;
    struct queue_depth depth;
    struct queue_receipt receipt;
    struct queue_registry registry;
    struct hold_result hold;
    struct failed_page failed;
    const struct replay_job *jobs;
    size_t jobs_len;
    struct observe_result observe;
    struct statistics_page statistics;
    struct lead_result lead;
    struct wire_arena arena; /* what the above points to */
};
/* Frees what the answer points to. */
void answer_free(struct answer *a);

void ask_append(uv_loop_t *loop, struct queue *q, struct event *ev, struct answer *a);
void ask_read(uv_loop_t *loop, struct queue *q, uint64_t from, uint64_t to, struct answer *a);
void ask_lease(uv_loop_t *loop, struct queue *q, const struct lease_call *call, struct answer *a);
void ask_commit(uv_loop_t *loop, struct queue *q, const struct lane_commit *lanes, size_t len,
                struct answer *a);
void ask_define(uv_loop_t *loop, struct queue *q, const struct definition *defs, size_t len,
                struct answer *a);
void ask_define_as(uv_loop_t *loop, struct queue *q, const struct define_call *call,
                   struct answer *a);
void ask_depth(uv_loop_t *loop, struct queue *q, struct answer *a);
void ask_receipt(uv_loop_t *loop, struct queue *q, const uint8_t id[EVENT_ID_LEN],
                 struct answer *a);
void ask_registry(uv_loop_t *loop, struct queue *q, struct answer *a);
void ask_hold(uv_loop_t *loop, struct queue *q, const struct hold_call *call, struct answer *a);
/* One page. */
void ask_failed(uv_loop_t *loop, struct queue *q, const struct failed_call *call, struct answer *a);
/* All pages from call->after on, as one: rows and groups of all of them, each group once; the job
 * that the first one made is named in the others. Ends the program when they never end. */
void ask_failed_all(uv_loop_t *loop, struct queue *q, const struct failed_call *call,
                    struct answer *a);
void ask_jobs(uv_loop_t *loop, struct queue *q, struct answer *a);
void ask_cancel(uv_loop_t *loop, struct queue *q, uint64_t job, struct answer *a);
void ask_observe(uv_loop_t *loop, struct queue *q, const struct observe_call *call,
                 struct answer *a);
void ask_statistics(uv_loop_t *loop, struct queue *q, const struct statistics_call *call,
                    struct answer *a);
void ask_lead(uv_loop_t *loop, struct queue *q, const struct lead_call *call, struct answer *a);
void ask_close(uv_loop_t *loop, struct queue *q);

/* Runs the loop until `*flag`; ends the program after ten seconds. */
void run_until(uv_loop_t *loop, const bool *flag, const char *what);

#endif
