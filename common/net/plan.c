#include "common/net/plan.h"

#include "common/base/hex.h"

#include <openssl/sha.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* A SOCKS port, or NULL when it is not known. */
static const char *port(const char *address)
{
    return address[0] != '\0' ? address : NULL;
}

static const char *plan_only(struct plan *out, enum family only, const char *socks)
{
    out->mode = MODE_IPV4; /* the race has one lane; which one does not matter */
    out->only = only;
    out->socks[FAMILY_IPV4] = socks;
    return NULL;
}

static const char *plan_onion(const struct link_request *r, struct plan *out)
{
    if (r->route != ROUTE_TOR)
        return "an onion service is reached by route tor only";
    if (port(r->socks->any) == NULL) /* the others are for one family, and it has none */
        return "an onion service is reached through the SOCKS port \"any\", which is not known";
    return plan_only(out, FAMILY_ONION, r->socks->any);
}

static const char *plan_lanes(struct plan *out, bool ipv6, bool ipv4, const char *why_none)
{
    if (!ipv6 && !ipv4)
        return why_none;
    out->mode = !ipv4 ? MODE_IPV6 : !ipv6 ? MODE_IPV4 : MODE_AUTO;
    return NULL;
}

/* An address knows its family, so `any` will do for it. */
static const char *plan_literal(const struct link_request *r, struct plan *out)
{
    bool is_ipv6 = strchr(r->url.host, ':') != NULL;
    enum family f = is_ipv6 ? FAMILY_IPV6 : FAMILY_IPV4;
    if (r->mode == (is_ipv6 ? MODE_IPV4 : MODE_IPV6))
        return is_ipv6 ? "it is an IPv6 address, and family is ipv4"
                       : "it is an IPv4 address, and family is ipv6";
    if (r->route == ROUTE_TOR) {
        const char *own = port(is_ipv6 ? r->socks->ipv6 : r->socks->ipv4);
        out->socks[f] = own != NULL ? own : port(r->socks->any);
        if (out->socks[f] == NULL)
            return "no SOCKS port for its family";
    }
    return plan_lanes(out, is_ipv6, !is_ipv6, NULL);
}

const char *plan_families(const struct link_request *r, struct plan *out)
{
    const struct socks_ports *s = r->socks;
    *out = (struct plan){.only = FAMILY_COUNT};
    if (r->route == ROUTE_TOR && (s == NULL || (!port(s->any) && !port(s->ipv6) && !port(s->ipv4))))
        return "no SOCKS port";
    if (r->route == ROUTE_TOR && r->url.is_local)
        return "a loopback or private address, which no Tor exit can reach; give this relay "
               "'route: direct'";
    if (r->url.is_onion)
        return plan_onion(r, out);
    if (r->url.is_literal)
        return plan_literal(r, out);
    bool ipv6 = r->mode != MODE_IPV4, ipv4 = r->mode != MODE_IPV6;
    if (r->route != ROUTE_TOR)
        return plan_lanes(out, ipv6, ipv4, NULL);
    if (!port(s->ipv6) && !port(s->ipv4))
        return r->mode == MODE_AUTO ? plan_only(out, FAMILY_NONE, s->any)
                                    : "the SOCKS proxy has no port for one family alone";
    out->socks[FAMILY_IPV6] = port(s->ipv6);
    out->socks[FAMILY_IPV4] = port(s->ipv4);
    return plan_lanes(out, ipv6 && port(s->ipv6), ipv4 && port(s->ipv4),
                      "no SOCKS port for this family");
}

void plan_socks_user(const struct relay_url *u, char out[SOCKS_USER_SIZE])
{
    static const char domain[] = "volley: circuits of one relay\n";
    char text[sizeof domain + URL_SIZE], hex[2 * 12 + 1];
    uint8_t hash[SHA256_DIGEST_LENGTH];
    int len = snprintf(text, sizeof text, "%s%s", domain, u->text);
    SHA256((const uint8_t *)text, (size_t)len, hash);
    (void)snprintf(out, SOCKS_USER_SIZE, "volley-%s", hex_str(hex, hash, 12));
}
