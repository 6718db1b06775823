/* The queue's backends, each brought up in this process with a clock that only moves when a test
 * says so. The contract suite runs every promise on every row of the table; with VOLLEY_BACKEND, on
 * those of that name. */
#ifndef VOLLEY_TESTS_SUPPORT_RIG_H
#define VOLLEY_TESTS_SUPPORT_RIG_H

#include "queue/broker.h"
#include "tests/support/ask.h"
#include "tests/support/redis_server.h"

#define RIG_WALL_MS      1800000000000 /* where the clocks begin */
#define RIG_BOOT_MS      1000000
#define RIG_RETENTION_MS (3600 * 1000)

struct rig_options {
    int64_t retention_ms;
    uint64_t max_bytes, failed_max, lane_max;
};
extern const struct rig_options rig_defaults;

struct rig {
    const struct backend *backend;
    struct rig_options options;
    uv_loop_t loop;
    struct queue *q; /* NULL when the case has closed it */
    int64_t wall_ms; /* the queue's clocks */
    uint64_t boot_ms;
    struct broker_clock clock;
    struct broker *broker; /* of the backends that have one */
    struct redis_server *redis;
    char dir[256], url[512];
};

struct backend {
    const char *name;
    void (*start)(struct rig *r); /* makes r->q */
    void (*stop)(struct rig *r);  /* undoes it, and what is on disk */
    void (*restart)(struct rig *r);
    /* What the queue does by itself in time, done now. */
    void (*housekeep)(struct rig *r);
    /* The next tail messages do not arrive. */
    void (*lose_tail)(struct rig *r, unsigned count);
    /* NULL, or: the rig's clocks have moved. */
    void (*tell_clocks)(struct rig *r);
};
extern const struct backend backends[];
extern const size_t backends_len;
bool backend_wanted(const struct backend *b);

struct rig *rig_open(const struct backend *b, const struct rig_options *o);
void rig_close(struct rig *r);
/* Time passes, and the queue does what it does in time. */
void rig_pass(struct rig *r, int64_t ms);
/* The clocks stand there now; the queue does nothing about it yet. */
void rig_set_clocks(struct rig *r, int64_t wall_ms, uint64_t boot_ms);
/* Somebody sets the wall clock. */
void rig_jump(struct rig *r, int64_t ms);
/* The queue ends and starts again, time standing still. */
void rig_restart(struct rig *r);
void rig_housekeep(struct rig *r);

#endif
