/* Asks a service of ours on this machine or network for its /healthz: a plain HTTP request, with a
 * deadline. A name is looked up each time, as a container's address changes. */
#ifndef VOLLEY_PROBE_HEALTH_H
#define VOLLEY_PROBE_HEALTH_H

#include "probe/knowledge.h"

struct ingest_ask;
/* "HOST:PORT", IPv6 in brackets. ERR_INVALID. */
MUST_USE enum err ingest_address_check(const char *address, struct problem *p);
/* Asks once; fills in `state` and clears `*slot` when it ended, whatever came. NULL: the address is
 * none, and `state` says so. */
struct ingest_ask *ingest_ask(uv_loop_t *loop, const char *address, struct ingest_ask **slot,
                              struct service_state *state);
/* Its handles are closed in the loop's next turns; nothing is filled in any more. */
void ingest_ask_cancel(struct ingest_ask *a);

/* Pure: what the answer's text means. */
void health_read(const char *answer, size_t len, struct service_state *out);

#endif
