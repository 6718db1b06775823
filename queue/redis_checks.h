/* What a Redis must be to keep a queue's promises, judged by what it says of itself. Pure. */
#ifndef VOLLEY_QUEUE_REDIS_CHECKS_H
#define VOLLEY_QUEUE_REDIS_CHECKS_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REDIS_VERSION_MIN 7u
#define REDIS_ID_SIZE     41

/* What INFO and CONFIG GET told. */
struct redis_said {
    unsigned version; /* the first number of it; 0: not told */
    bool cluster, replica;
    char run_id[REDIS_ID_SIZE], replication_id[REDIS_ID_SIZE];
    bool config_known; /* CONFIG GET was answered */
    char config_error[128];
    char appendonly[16], appendfsync[16], no_fsync_on_rewrite[16], policy[24];
    uint64_t maxmemory;
};

/* Reads INFO's answer: everything of it that is needed. */
void redis_said_info(struct redis_said *s, const char *info, size_t len);
/* One name and value of CONFIG GET's answer. */
void redis_said_config(struct redis_said *s, const char *name, const char *value);

/* Whether it can be used at all. ERR_UNSUPPORTED: `p` says why not. */
MUST_USE enum err redis_check_usable(const struct redis_said *s, struct problem *p);
/* Whether it keeps what it acknowledges. `max_bytes` 0: does not matter. ERR_INVALID: `p` names the
 * lines for redis.conf. */
MUST_USE enum err redis_check_safe(const struct redis_said *s, uint64_t max_bytes,
                                   struct problem *p);

#endif
