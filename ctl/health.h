/* Judging whether a service does its work, from what the queue says of it. Pure; the command is
 * in health.c. */
#ifndef VOLLEY_CTL_HEALTH_H
#define VOLLEY_CTL_HEALTH_H

#include "queue/queue.h"

#include <stdbool.h>

#define HEALTH_LINE_SIZE 200

/* A publisher on `host` that serves these routes (bits, 1 << enum route) is well when no relay it
 * could serve is without a publisher: one that hangs lets its leases end, and while others live
 * they take its relays over. `line` says so in words. */
bool health_publisher(const struct queue_depth *d, const char *host, uint32_t routes,
                      char line[HEALTH_LINE_SIZE]);

/* Where to reach a service of this machine that listens at `listen`: on every address means on
 * loopback, too. The URL ends in `path`. */
void health_url(const char *listen, const char *path, char *out, size_t size);

#endif
