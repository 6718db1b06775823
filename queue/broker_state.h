/* The broker's inside, shared by broker.c (sockets, life), broker_turn.c (turns), broker_answer.c
 * (what each request does), broker_operate.c (those of operators) and broker_count.c (statistics).
 * For them only. */
#ifndef VOLLEY_QUEUE_BROKER_STATE_H
#define VOLLEY_QUEUE_BROKER_STATE_H

#include "queue/blasted.h"
#include "queue/broker.h"
#include "queue/endpoint.h"
#include "queue/leases.h"
#include "queue/wire.h"
#include "queue/zap.h"

#define BROKER_COMPLAINTS_MS 1000 /* at most one line about what can't be read in so long */

/* A request of this turn, and whom to answer. */
struct asked {
    zmq_msg_t peer;
    struct wire_request request;
    struct wire_arena arena; /* what request and reply point to */
    zmq_msg_t message;       /* what the request's views point to */
};

struct asked_list {
    struct asked *items;
    size_t len, cap;
};

/* A packed reply that waits for the commit. */
struct answer {
    zmq_msg_t peer;
    struct buf data;
};

struct broker {
    uv_loop_t *loop;
    struct broker_clock clock;
    bool by_hand;
    void (*on_fatal)(void *arg, enum err e);
    void *arg;
    uint64_t number; /* random: tells this process from the one before */

    struct store *store;
    struct leases *leases;
    struct blasted *blasted;

    void *ctx, *router, *pub;
    struct endpoint at;
    struct zap *zap;              /* by tcp: who may connect */
    bool bound_router, bound_pub; /* the socket files are ours to remove */
    uv_poll_t poll;
    uv_prepare_t prepare;
    uv_idle_t idle;
    uv_timer_t tick;
    int handles_open;
    bool closing;
    void (*closed_fn)(void *arg);
    void *closed_arg;

    bool look; /* the ROUTER may have something: its descriptor said so, or the last look found any
                */

    /* One turn. */
    bool in_turn;            /* the store has a transaction open */
    enum err fatal;          /* it broke: nothing is acknowledged any more */
    struct asked_list later; /* lease and depth requests, answered when all else is done */
    struct asked_list pages; /* of failed deliveries: after those, one a turn */
    struct answer *answers;
    size_t answers_len, answers_cap, answers_bytes;
    struct buf tail;
    uint32_t tail_len;
    unsigned tail_lost; /* for tests: so many next ones are left out */
    struct broker_added {
        uint64_t pos;
        int64_t accepted_ms;
    } * added; /* for the "blasted" line */
    size_t added_len, added_cap;
    bool moved; /* a lane committed */

    uint64_t news, news_told; /* see queue_follower.on_head: changes of ours, and the last beat's */
    uint64_t store_news;      /* the store's that is in `news` */
    bool requests_full;       /* a lane has more requests than one answer takes */

    bool ticked;    /* the timer ran since the last turn */
    bool step_due;  /* replay jobs are to be stepped */
    unsigned ticks; /* since the start */
    bool more_housekeeping;
    uint64_t turned_ms;                  /* machine's boot clock: when the last turn began */
    uint64_t no_expiry_ms;               /* nobody is expired before: we were stalled ourselves */
    uint64_t complained_ms, lamented_ms; /* when the log last had such a line */
};

int64_t broker_wall_ms(const struct broker *b);
uint64_t broker_boot_ms(const struct broker *b);

/* Opens the turn's transaction if it is not open yet. False when the broker is broken. */
bool broker_change(struct broker *b);
/* Notes an error of the store that ends the process; ERR_NONE changes nothing. True when `e` was
 * ERR_NONE. */
bool broker_check(struct broker *b, enum err e);

/* True when there is nothing more to do before something arrives. A send may swallow what the
 * descriptor had to tell: after it there is another look. */
bool broker_turn(struct broker *b);
/* Forgets the pages that wait. */
void broker_drop_pages(struct broker *b);

/* A change that was refused is answered; anything else that fails is the store's end. True when it
 * is done. */
bool broker_is_done(struct broker *b, struct wire_reply *r, enum err e);
/* Whether an error is the asker's own; all others of a change are the store's end. */
bool broker_is_refusal(enum err e);
/* A question that failed changed nothing: who asked is told, and the queue goes on. True when `e`
 * was ERR_NONE. */
bool broker_is_read(struct broker *b, struct wire_reply *r, enum err e);

/* Does what the request asks and fills the reply; everything in it lives in `a`, in the store until
 * its next call, or in the leases until their next call. */
void broker_do(struct broker *b, const struct wire_request *q, struct wire_arena *a,
               struct wire_reply *r);
/* The same for what operators ask: registry, hold, failed deliveries, jobs, cancel; and what define
 * changed, for the log. */
void broker_operate(struct broker *b, const struct wire_request *q, struct wire_arena *a,
                    struct wire_reply *r);
/* The same for statistics, and who leads. */
void broker_count(struct broker *b, const struct wire_request *q, struct wire_reply *r);

/* Frees the lanes of publishers whose term ended. */
void broker_expire(struct broker *b);
/* The store's lanes into the lease table: at start and after each define. */
void broker_load_lanes(struct broker *b);

#endif
