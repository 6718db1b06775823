/* Does this host have IPv6, and what does that mean for the routes in use? Looked at when a service
 * starts and by `volley check`. Sends nothing, but for the test of a host the user has named, and
 * that only when a relay is reached directly. */
#ifndef VOLLEY_NET_IPV6_H
#define VOLLEY_NET_IPV6_H

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/net/family.h"

struct ipv6_facts {
    bool kernel;        /* the kernel speaks it */
    unsigned addresses; /* neither loopback nor link-local */
    bool route;         /* there is a way to the internet */
};

/* The lines of /proc/net/if_inet6 → usable addresses beyond the link. */
unsigned ipv6_count(const char *if_inet6);
/* A few system calls; no packet. Works in containers, where disable_ipv6 lies. */
void ipv6_look(struct ipv6_facts *out);

/* ---- what it means ---- */

enum ipv6_test { IPV6_NOT_TESTED, IPV6_SKIPPED, IPV6_CONNECTED, IPV6_FAILED };
struct ipv6_result {
    struct ipv6_facts facts;
    bool direct, tor; /* which routes are in use */
    enum ipv6_test test;
    const char *test_host; /* "HOST:PORT" */
    uint64_t test_ms;
    char test_problem[160];
};

#define IPV6_LINES_MAX 8
struct ipv6_line {
    enum log_level level; /* INFO or WARN */
    char text[256];
};
/* In the order and words that docs/ipv6.md explains. Returns how many. Pure. */
size_t ipv6_tell(const struct ipv6_result *r, struct ipv6_line out[IPV6_LINES_MAX]);

/* ---- all of it ---- */

/* ERR_INVALID: not HOST:PORT. */
MUST_USE enum err ipv6_test_host_check(const char *text, struct problem *p);

struct ipv6_options {
    bool direct, tor;
    const char *test_host; /* one that ipv6_test_host_check likes; NULL or "": no test. A name is
                              resolved only for the test */
};
/* Looks and tests, blocking for some seconds at most when there is a test. */
void check_ipv6(const struct ipv6_options *o, struct ipv6_result *out);
/* The same, told in the log. */
void check_ipv6_log(const struct ipv6_options *o);

#endif
