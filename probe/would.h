/* Which family the publisher would use at a relay now, and why: from the definition, what was
 * learned, and what has just been tried. Pure. */
#ifndef VOLLEY_PROBE_WOULD_H
#define VOLLEY_PROBE_WOULD_H

#include "probe/act.h"
#include "queue/terms.h"

struct would_facts {
    const struct relay_url *url;
    enum route route;      /* the publisher's for this relay */
    enum family_mode mode; /* as defined */
    const struct socks_ports *socks;
    uint32_t race_delay_ms; /* 0: auto */
    uint32_t demote_after;
    uint64_t demote_for_ms;
    const struct learned *learned; /* NULL: not known */
    const struct act_result *acts; /* by that route; those of one family each */
    size_t acts_len;
    int64_t now_ms; /* the queue's wall clock */
};

struct would {
    enum family first;      /* who has the first turn; FAMILY_NONE: not known, or no race */
    uint32_t head_start_ms; /* 0: no race */
    bool connects;          /* by what was tried, */
    enum family family;     /* and then by this one; FAMILY_NONE: not known */
    char why[160];
};
void would_use(const struct would_facts *f, struct would *out);

#endif
