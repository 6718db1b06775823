/* Who leads in a role: the rule of every backend; pure. `leader` is kept by role, its id, name and
 * epoch durably. */
#ifndef VOLLEY_QUEUE_LEAD_H
#define VOLLEY_QUEUE_LEAD_H

#include "queue/statistics.h"

struct leader {
    uint64_t epoch;               /* grows with every new leader; 0: there never was one */
    uint8_t id[PUBLISHER_ID_LEN]; /* all zero: nobody */
    char name[PUBLISHER_NAME_SIZE];
    /* Not durable. 0: not known, as after a restart: a term from the first time anybody asks. */
    uint64_t until_boot_ms;
};

/* True when what is durable changed. `out` but for now_ms. */
bool lead_ask(struct leader *l, const struct lead_call *c, uint64_t boot_ms,
              struct lead_result *out);
/* Whether `epoch` is that of the one who leads now, or last led: nobody has come after it. */
bool lead_is_current(const struct leader *l, uint64_t epoch);

#endif
