/* Whether the pipeline does its work, for /healthz. Pure. */
#ifndef VOLLEY_PROBE_VITALS_H
#define VOLLEY_PROBE_VITALS_H

#include "queue/queue.h"

#define VITALS_PATIENCE_MS                                                                         \
    60000 /* so long something may wait at a relay before it is a failure                          \
           */

/* True when it is well: some relay can be delivered to, and each that is connected takes what it is
 * given. One dead relay, or all held, is no failure. `d` NULL: nothing is known yet. `silent`: the
 * queue does not answer now. `why` is a line for people in either case. */
bool vitals_judge(const struct queue_depth *d, bool silent, struct problem *why);

#endif
