/* Failed deliveries counted by relay and class, added up over the pages of a walk. */
#ifndef VOLLEY_CTL_GROUPS_H
#define VOLLEY_CTL_GROUPS_H

#include "ctl/relay_names.h"

#include <stdio.h>

/* Zeroed before the first; frees with groups_fini. */
struct groups {
    struct group *by_key; /* owned */
    uint64_t count, gone, busy;
};
void groups_add(struct groups *g, const struct failed_page *p);
void groups_fini(struct groups *g);

/* How many there are of a relay (lane 0: of all) and class; gone and busy ones among them. */
uint64_t groups_count(const struct groups *g, uint32_t lane, enum row_class cls);
/* Each, in no order. */
void groups_each(const struct groups *g,
                 void (*fn)(void *arg, uint32_t lane, enum row_class cls, uint64_t count),
                 void *arg);

/* A table of `width` columns (0: any) and a total line: "total: 12 failed deliveries at 2 relays".
 */
void groups_table(struct groups *g, const struct relay_names *names, size_t width, FILE *out);
/* One object a relay and class; without a total. */
void groups_json(struct groups *g, const struct relay_names *names, FILE *out);

#endif
