/* Which families a link races over, through which SOCKS ports, and as whom. Pure. Below link.c. */
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

#define SOCKS_USER_SIZE 40

/* The SOCKS user of a relay, which isolates its circuits: the same for all its ports, wherever and
 * whenever it is asked for, and for no other relay. Only tor sees it, and it does not tell the
 * relay's URL. */
void plan_socks_user(const struct relay_url *u, char out[SOCKS_USER_SIZE]);

#endif
