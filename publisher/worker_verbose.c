/* publisher.verbose: how each connection came about. Direct: the name's AAAA and A records. Over
 * Tor: the path through the network and the exit's address, from tor's control port; that address
 * must be of the family whose SOCKS port won. In both cases each try, with its times. */
#include "publisher/worker.h"

#include "common/base/log.h"
#include "common/net/names.h"
#include "common/net/plan.h"

#include <stdio.h>
#include <string.h>

#define PATH_WITHIN_MS 5000u

static const char *url_of(const struct holding *h)
{
    return lane_definition(h->lane)->url;
}

/* ---- direct: names ---- */

/* "2001:db8::1 2001:db8::2 and 3 more", or why there are none. */
static void addresses(const struct names_family *f, char *out, size_t size)
{
    size_t len = 0;
    (void)snprintf(out, size, "%s%s", f->len == 0 ? "none: " : "", f->why);
    for (size_t i = 0; i < f->len && i < NAMES_MAX && len < size; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s", i > 0 ? " " : "", f->addresses[i]);
    if (f->len > NAMES_MAX && len < size)
        (void)snprintf(out + len, size - len, " and %zu more", f->len - NAMES_MAX);
}

static void on_names(void *arg, const struct names_result *r)
{
    struct holding *h = arg;
    char aaaa[NAMES_MAX * LINK_ADDRESS_SIZE + 32], a[NAMES_MAX * LINK_ADDRESS_SIZE + 32];
    h->names = NULL;
    addresses(&r->ipv6, aaaa, sizeof aaaa);
    addresses(&r->ipv4, a, sizeof a);
    LOG(LOG_INFO, "name looked up", LOG_S("relay", url_of(h)), LOG_S("aaaa", aaaa), LOG_S("a", a),
        LOG_I("aaaa_ms", r->ipv6.us / 1000), LOG_I("a_ms", r->ipv4.us / 1000));
}

void verbose_connecting(struct holding *h, const struct link_request *r)
{
    bool races = r->mode == MODE_AUTO && !r->url.is_literal && !r->url.is_onion;
    const char *first = !races ? "-" : r->ipv4_first ? "ipv4" : "ipv6";
    LOG(LOG_INFO, "race begins", LOG_S("relay", url_of(h)), LOG_S("route", route_name(r->route)),
        LOG_S("mode", family_mode_name(r->mode)), LOG_S("first", first),
        LOG_I("head_start_ms", races ? r->race_delay_ms : 0));
    if (r->route != ROUTE_DIRECT || r->url.is_literal || h->names != NULL)
        return;
    h->names = names_look(h->worker->loop, r->route, r->url.host, on_names, h);
}

/* ---- over Tor: the path ---- */

/* An exit that connects by another family than its port asked for lies, or tor does not do what we
 * build on. */
static void check_family(struct holding *h, const struct control_path *p)
{
    bool known = h->watched_family == FAMILY_IPV6 || h->watched_family == FAMILY_IPV4;
    if (!known || p->exit_family == FAMILY_NONE || p->exit_family == h->watched_family)
        return;
    h->worker->disagreements++;
    LOG(LOG_ERROR, "the exit used another family than the SOCKS port that won",
        LOG_S("relay", url_of(h)), LOG_S("port", h->watched_port),
        LOG_S("family", family_name(h->watched_family)), LOG_S("exit_address", p->exit_address),
        LOG_S("exit_family", family_name(p->exit_family)), LOG_S("path", p->hops),
        LOG_I("so_far", h->worker->disagreements));
}

static void on_path(void *arg, const struct control_path *p, const char *why)
{
    struct holding *h = arg;
    h->watch = NULL;
    if (p == NULL) {
        LOG(LOG_INFO, "path through Tor not known", LOG_S("relay", url_of(h)),
            LOG_S("reason", why));
        return;
    }
    LOG(LOG_INFO, "path through Tor", LOG_S("relay", url_of(h)),
        LOG_S("family", family_name(h->watched_family)), LOG_S("port", h->watched_port),
        LOG_I("circuit", p->circuit), LOG_S("path", p->hops),
        LOG_S("exit_address", p->exit_address), LOG_I("exit_port", p->exit_port),
        LOG_S("exit_family", family_name(p->exit_family)));
    check_family(h, p);
}

static void watch_path(struct holding *h, const struct link_try *won)
{
    struct relay_url url;
    char user[SOCKS_USER_SIZE];
    if (h->worker->o.control == NULL || relay_url_parse(url_of(h), &url, NULL) != ERR_NONE)
        return;
    plan_socks_user(&url, user);
    const struct control_query q = {.user = user,
                                    .host = url.host,
                                    .port = url.port,
                                    .socks = won->via,
                                    .local_port = won->local_port};
    if (h->watch != NULL)
        control_unwatch(h->watch);
    h->watched_family = won->family;
    memcpy(h->watched_port, won->via, sizeof h->watched_port);
    h->watch = control_watch(h->worker->o.control, &q, PATH_WITHIN_MS, on_path, h);
}

/* ---- both ---- */

static void log_try(const struct holding *h, const struct link_try *t)
{
    const char *result = t->err == ERR_NONE ? "won" : t->lost ? "lost" : "failed";
    LOG(LOG_INFO, "tried", LOG_S("relay", url_of(h)), LOG_S("family", family_name(t->family)),
        LOG_S("result", result), LOG_S("reason", t->lost ? "" : t->text), LOG_S("port", t->via),
        LOG_S("address", t->address), LOG_I("ms", t->took_us / 1000),
        LOG_I("dns_ms", t->dns_us / 1000), LOG_I("connect_ms", t->connect_us / 1000),
        LOG_I("tls_ms", t->tls_us / 1000), LOG_I("websocket_ms", t->websocket_us / 1000));
}

void verbose_raced(struct holding *h, const struct link_result *r)
{
    for (size_t i = 0; i < r->tries_len; i++) {
        const struct link_try *t = &r->tries[i];
        log_try(h, t);
        if (t->err == ERR_NONE && t->via[0] != '\0')
            watch_path(h, t);
    }
}

void verbose_forget(struct holding *h)
{
    names_cancel(h->names);
    h->names = NULL;
    if (h->watch != NULL)
        control_unwatch(h->watch);
    h->watch = NULL;
}
