/* Who may read the probe, and who may act through it. Pure: a request's headers in, an answer out.
 *
 * Reading: the Host must be loopback's or a listed one (else a page of another site could have its
 * own name point here: DNS rebinding). On loopback nothing more is asked; on another address, or
 * through a proxy, the token is, unless `open`.
 *
 * Acting: besides the Host, the request must come from our own page or from no page at all, and
 * must bring the token as a form's field or as Authorization: Bearer. Never as a password, which a
 * browser would add to another site's request by itself. There are no cookies. */
#ifndef VOLLEY_PROBE_GUARD_H
#define VOLLEY_PROBE_GUARD_H

#include "common/config/config.h"
#include "probe/token.h"

struct guard_rules {
    struct config_hosts hosts;
    bool open;
    struct token token; /* none set: read only */
};

/* What matters of a request. Strings are borrowed. */
struct guard_facts {
    bool not_loopback; /* the socket it came in by can be reached from elsewhere */
    bool by_proxy;     /* has Forwarded or X-Forwarded-For */
    unsigned hosts_len, origins_len;
    const char *host, *origin, *site; /* site: Sec-Fetch-Site */
    const char *authorization;
    const char *form_token; /* NULL: none */
};
/* Takes one header into account. `value` may be NULL. */
void guard_fact_add(struct guard_facts *f, const char *name, const char *value);

enum guard_answer {
    GUARD_YES,
    GUARD_BAD_HOST,
    GUARD_OTHER_SITE,
    GUARD_READ_ONLY,
    GUARD_NO_TOKEN,
    GUARD_WRONG_TOKEN
};
enum guard_answer guard_read(const struct guard_rules *r, const struct guard_facts *f);
enum guard_answer guard_act(const struct guard_rules *r, const struct guard_facts *f);
/* Why not, and what to do, in a line for people. */
const char *guard_words(enum guard_answer a);

/* Whether a Host header names loopback or a listed host. One listed without a port is ours on any.
 */
bool guard_host_is_ours(const struct config_hosts *hosts, const char *host);

#endif
