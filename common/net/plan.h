/* Which families a link races over, and through which SOCKS ports. Pure. Below link.c. */
#ifndef VOLLEY_NET_PLAN_H
#define VOLLEY_NET_PLAN_H

#include "common/net/link.h"

struct plan {
    enum family_mode mode;           /* which of the race's two lanes run */
    enum family only;                /* what the only try is called; FAMILY_COUNT: as its lane */
    const char *socks[FAMILY_COUNT]; /* by lane, from r->socks; NULL: direct */
};

/* NULL, and `out` holds what link.h promises for such a request; or, in words, why nothing may be
 * tried. `out` points into r->socks. */
const char *plan_families(const struct link_request *r, struct plan *out);

#endif
