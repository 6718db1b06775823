/* Whether events can be queued now, for GET /healthz. The queue is asked only when somebody wants
 * to know, at most once a second; the request waits suspended meanwhile. */
#ifndef VOLLEY_INGEST_HEALTH_H
#define VOLLEY_INGEST_HEALTH_H

#include "queue/queue.h"

#include <microhttpd.h>

struct ingest;
struct listener;

struct health_waiter {
    struct listener *listener;
    struct MHD_Connection *connection;
    struct health_waiter *next;
};

struct health {
    bool asked;        /* the queue has not answered yet */
    uint64_t asked_ms; /* when it was asked */
    bool known;
    uint64_t known_ms;
    char why[160]; /* empty: events can be queued */
    struct health_waiter *waiting;
    enum err appended; /* how the last append ended */
    uint64_t appended_ms;
};

/* Pure: why events can't be queued, or "" when they can. `d` is looked at when `e` is ERR_NONE. */
const char *health_judge(enum err e, const struct queue_depth *d);

/* True: the answer is in health.why. False: the connection was suspended and will be resumed. */
bool health_ask(struct ingest *i, struct listener *l, struct MHD_Connection *c);
/* An append ended so: tells of a full disk, which no depth shows, and of a queue too full for it.
 */
void health_appended(struct ingest *i, enum err e);
/* Answers those who have waited too long; when draining, everybody. */
void health_tick(struct ingest *i);

#endif
