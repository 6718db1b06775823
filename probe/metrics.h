/* What Prometheus scrapes, in its text format. One table of metrics: name, type and help stand
 * once. */
#ifndef VOLLEY_PROBE_METRICS_H
#define VOLLEY_PROBE_METRICS_H

#include "probe/knowledge.h"

#include <stdio.h>

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* All relays together: a bounded number of series. What is not known is left out. */
void metrics_all(const struct knowledge *k, FILE *out);
/* A row for each relay: as many series as there are relays, times some. */
void metrics_relays(const struct knowledge *k, FILE *out);

#endif
