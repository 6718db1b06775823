/* One act of probing: one relay by one family, once: name, connection, TLS, websocket, a read, and
 * what the relay tells of itself. The one-shot test does some and shows them; a prober does them
 * again and again. By the route it is given and no other. */
#ifndef VOLLEY_PROBE_ACT_H
#define VOLLEY_PROBE_ACT_H

#include "common/net/link.h"
#include "probe/nip11.h"
#include "probe/peek.h"

struct act_request {
    struct relay_url url;
    enum route route;
    enum family_mode family;         /* from act_families */
    const struct socks_ports *socks; /* route tor; must outlive the act */
    uint32_t timeout_ms;             /* to the websocket */
    uint32_t read_ms;                /* then, for an answer to a REQ */
    uint32_t nip11_ms;               /* then, for the document */
};

struct act_result {
    struct link_try try; /* ERR_NONE: the websocket opened. Else `why` and `text`; phases that were
                            not reached are 0 */
    bool peeked;         /* read from, which is only done when the websocket opened; then: */
    struct peek_result read;
    bool asked;       /* for the document, which is only done when the websocket opened */
    bool told;        /* and there is one: `nip11` */
    int nip11_status; /* HTTP's; 0: no answer */
    uint64_t nip11_us;
    char nip11_text[160]; /* asked and not told: why */
    struct nip11 nip11;
};
typedef void act_fn(void *arg, const struct act_result *r);

/* The families to try at this relay, as requests of an act: two for a name, by a route that can
 * tell them apart; else one (an address, an onion service, one SOCKS port for all). Returns how
 * many. */
size_t act_families(const struct relay_url *url, enum route route, const struct socks_ports *socks,
                    enum family_mode out[2]);

struct act;
/* Calls `fn` once, later, unless act_cancel comes first. The dialer, which is the loop's, must live
 * until then. */
struct act *act_start(uv_loop_t *loop, struct dialer *d, const struct act_request *r, act_fn *fn,
                      void *arg);
void act_cancel(struct act *a);

/* The websocket opened, and it answered a REQ: a relay. */
bool act_good(const struct act_result *r);
/* In words for people: "ok", "no address", "not a relay". */
const char *act_verdict(const struct act_result *r);

#endif
