/* The contract suite's row for Redis: see struct backend in rig.h. */
#ifndef VOLLEY_TESTS_SUPPORT_RIG_REDIS_H
#define VOLLEY_TESTS_SUPPORT_RIG_REDIS_H

#include "tests/support/rig.h"

void rig_redis_start(struct rig *r);
void rig_redis_stop(struct rig *r);
void rig_redis_again(struct rig *r);
void rig_redis_house(struct rig *r);
void rig_redis_lose(struct rig *r, unsigned count);
void rig_redis_clocks(struct rig *r);

#endif
