/* What `volley depth` prints: the answer of the queue as JSON lines, or as a table. */
#ifndef VOLLEY_CTL_DEPTH_SHOW_H
#define VOLLEY_CTL_DEPTH_SHOW_H

#include "ctl/ctl.h"

/* Sums over the lanes shown. */
struct depth_total {
    size_t relays;
    uint64_t depth, failed, delivered;
};

struct depth_look {
    const struct relay_choice *relay;
    size_t width;     /* of the terminal; 0: any */
    size_t lines_max; /* of the table and its total line; 0: any. The worst lanes come first then
                         when not all fit */
    bool colours;
};

/* Which lanes are shown, added up. */
struct depth_total depth_sum(const struct queue_depth *d, const struct relay_choice *relay);
/* One object a lane, the total last. */
void depth_json(const struct queue_depth *d, const struct relay_choice *relay, FILE *out);
/* The table and the total line. */
void depth_table(const struct queue_depth *d, const struct depth_look *look, FILE *out);

#endif
