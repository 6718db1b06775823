/* The inside of the queue on Redis, shared by queue_redis.c (calls and life), redis_session.c (what
 * is asked before the first call on a connection), redis_answer.c (what answers mean) and
 * redis_house.c (the housekeeper). For them only. */
#ifndef VOLLEY_QUEUE_QUEUE_REDIS_STATE_H
#define VOLLEY_QUEUE_QUEUE_REDIS_STATE_H

#include "queue/calls.h"
#include "queue/queue_redis.h"
#include "queue/redis_checks.h"
#include "queue/redis_link.h"
#include "queue/redis_scripts.h"

#define REDIS_STORE_SIZE       33 /* 32 hex and a terminator */
#define REDIS_INCARNATION_SIZE (2 * REDIS_ID_SIZE)
#define REDIS_SHA_SIZE         41
#define REDIS_EXTRA_MAX        4 /* of a verb's own arguments */

enum redis_phase {
    REDIS_DOWN,    /* no connection */
    REDIS_ASKING,  /* what is it, and here are our scripts */
    REDIS_HELLO,   /* is it ours */
    REDIS_READY,   /* calls travel */
    REDIS_FOREIGN, /* it is not: nothing is claimed, until it is again */
};

struct redis_house;

struct redis_queue {
    struct calls calls;
    struct queue_ops table;
    uv_loop_t *loop;
    char prefix[64];
    char limits[100];
    uint64_t max_bytes; /* 0: of no concern to this process */
    bool unsafe, warned;

    struct redis_link *link, *tail;
    enum redis_phase phase;
    struct redis_address at;
    char password_file[512];
    unsigned session; /* counts them: an answer of an earlier one is nobody's */
    unsigned owed;    /* answers of this session that are still to come */
    bool failed;      /* one of them was a refusal */
    struct redis_said said;
    char shas[VERB_END][REDIS_SHA_SIZE];
    char store[REDIS_STORE_SIZE];
    char incarnation[REDIS_INCARNATION_SIZE];
    char known[REDIS_INCARNATION_SIZE]; /* the last one that was ours; empty: none yet */

    uv_check_t check;
    uv_idle_t idle;
    uv_timer_t beat;
    bool beating; /* a beat was asked for and not answered */
    bool woken;
    struct queue_follower follower;
    bool following;
    uint64_t followed_ms;      /* since when */
    unsigned tail_lost;        /* for tests: so many next ones are left out */
    uint64_t replaying;        /* deliveries of the replay job that is being made, for the log */
    struct redis_house *house; /* NULL: somebody else's business */

    bool closing;
    int parts; /* of us in the loop */
    queue_closed_fn *closed_fn;
    void *closed_arg;
};

struct redis_text {
    const void *data;
    size_t len;
};

/* EVALSHA of a verb. False: no connection, or it is not ours yet. */
bool redis_run(struct redis_queue *q, unsigned verb, struct redis_text frame,
               const struct redis_text *extra, size_t extra_len, redis_reply_fn *fn, uint64_t tag);

/* redis_session.c: a fresh connection, or one whose scripts are gone. */
void redis_session_begin(struct redis_queue *q);

/* redis_answer.c */
/* A script's refusal of a call. */
void redis_answer_error(struct redis_queue *q, uint64_t number, const char *text);
/* It is not the store we know: what is under way is answered, and what comes until it is again. */
void redis_foreign(struct redis_queue *q, const char *text);
/* In that state: everything that was sent in this turn. */
void redis_answer_foreign(struct redis_queue *q);

/* Leaves the connection; what was sent is unknown. */
void redis_leave(struct redis_queue *q);

/* redis_audit.c. Writes the log's line when the answer to `c` tells of a change. */
void redis_audit(struct redis_queue *q, const struct call *c, const void *data, size_t len);

/* redis_house.c */
struct redis_house *redis_house_new(struct redis_queue *q);
/* The connection is lost, or new: what it asked is not answered. */
void redis_house_reset(struct redis_house *h);
/* Frees it; `fn` is called with `q` when nothing of it is left in the loop. */
void redis_house_close(struct redis_house *h, void (*fn)(struct redis_queue *q));

#endif
