/* The relays' definitions as the queue has them, as JSON lines or as a table. */
#ifndef VOLLEY_CTL_RELAYS_SHOW_H
#define VOLLEY_CTL_RELAYS_SHOW_H

#include "ctl/ctl.h"
#include "ctl/table.h"

/* What else is known of a relay, for its object. */
struct relays_more {
    void (*add)(void *arg, uint32_t lane, cJSON *o);
    void *arg;
};

/* One object a relay, the list's own last. `all`: retired ones too. `more`: NULL for nothing else.
 */
void relays_json(const struct queue_registry *r, bool all, const struct relays_more *more,
                 FILE *out);
/* A line about the list, then the table. */
void relays_table(const struct queue_registry *r, bool all, const struct table_look *look,
                  FILE *out);

#endif
