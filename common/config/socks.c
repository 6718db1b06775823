#include "common/config/socks.h"

#include "common/config/value.h"
#include "common/net/control.h"
#include "common/net/torrc.h"

#include <string.h>

static const char gaps[] = ", \t";

/* HOST:PORT or unix:PATH. A name would have to be resolved by us, so it is a literal, localhost, or
 * a container's name. */
static enum err port_of(const char *value, size_t len, char out[SOCKS_ADDRESS_SIZE])
{
    if (len >= SOCKS_ADDRESS_SIZE)
        return ERR_INVALID;
    memcpy(out, value, len);
    out[len] = '\0';
    if (strncmp(out, "unix:/", 6) == 0)
        return ERR_NONE;
    const char *colon = strrchr(out, ':');
    uint64_t port;
    if (colon == NULL || colon == out || value_uint(colon + 1, &port) != ERR_NONE || port == 0 ||
        port > UINT16_MAX)
        return ERR_INVALID;
    return ERR_NONE;
}

static enum err parse(const char *text, struct socks_ports *out)
{
    const struct {
        const char *key;
        char *into;
    } keys[] = {{"any=", out->any}, {"ipv6=", out->ipv6}, {"ipv4=", out->ipv4}};
    for (text += strspn(text, gaps); *text != '\0'; text += strspn(text, gaps)) {
        size_t len = strcspn(text, gaps);
        enum err e = ERR_INVALID;
        for (size_t i = 0; i < COUNT_OF(keys); i++) {
            size_t key_len = strlen(keys[i].key);
            if (len > key_len && strncmp(text, keys[i].key, key_len) == 0 &&
                keys[i].into[0] == '\0')
                e = port_of(text + key_len, len - key_len, keys[i].into);
        }
        if (e != ERR_NONE)
            return e;
        text += len;
    }
    bool pair = (out->ipv6[0] != '\0') == (out->ipv4[0] != '\0');
    return pair && out->any[0] != '\0' ? ERR_NONE : ERR_INVALID;
}

static bool managed(const struct config *c)
{
    return strcmp(c->tor.socks, "managed") == 0;
}

enum err socks_of_config(const struct config *c, struct socks_ports *out, bool *has_tor,
                         struct problem *p)
{
    *out = (struct socks_ports){0};
    *has_tor = false;
    if (managed(c)) {
        struct tor_paths paths;
        if (!config_needs_managed_tor(c))
            return ERR_NONE;
        enum err e = tor_paths_of(c->queue.data_dir, &paths, p);
        if (e == ERR_NONE)
            *out = paths.socks;
        *has_tor = e == ERR_NONE;
        return e;
    }
    if (parse(c->tor.socks, out) != ERR_NONE)
        return problem_set(p, ERR_INVALID,
                           "tor.socks: '%.100s' is not 'managed' or any=HOST:PORT, with "
                           "ipv6=HOST:PORT ipv4=HOST:PORT or neither",
                           c->tor.socks);
    *has_tor = true;
    return ERR_NONE;
}

static enum err control_of(const struct config *c, char out[SOCKS_ADDRESS_SIZE], struct problem *p)
{
    struct tor_paths paths;
    struct problem why = {0};
    if (managed(c) && c->tor.control[0] != '\0')
        return problem_set(p, ERR_INVALID,
                           "tor.control belongs to an existing tor (tor.socks: any=…); the managed "
                           "one has a control port of its own");
    if (managed(c)) {
        if (!config_needs_managed_tor(c))
            return ERR_NONE;
        enum err e = tor_paths_of(c->queue.data_dir, &paths, p);
        if (e == ERR_NONE)
            memcpy(out, paths.control, SOCKS_ADDRESS_SIZE);
        return e;
    }
    size_t len = strlen(c->tor.control);
    if (len == 0)
        return ERR_NONE;
    if (len >= SOCKS_ADDRESS_SIZE || control_address_check(c->tor.control, &why) != ERR_NONE)
        return problem_set(p, ERR_INVALID, "tor.control: %s",
                           why.text[0] != '\0' ? why.text : "too long");
    memcpy(out, c->tor.control, len + 1);
    return ERR_NONE;
}

enum err tor_ports_of_config(const struct config *c, struct tor_ports *out, struct problem *p)
{
    *out = (struct tor_ports){.managed = managed(c)};
    enum err e = socks_of_config(c, &out->socks, &out->has_tor, p);
    return e == ERR_NONE ? control_of(c, out->control, p) : e;
}

/* What another publisher serves is that one's business. */
static bool serves(const struct config *c, enum route route)
{
    return (c->publisher.serve & (1u << route)) != 0 && config_route_len(c, route) > 0;
}

enum err ipv6_of_config(const struct config *c, struct ipv6_options *out, struct problem *p)
{
    bool none = c->publisher.relays.len == 0;
    *out = (struct ipv6_options){
        .direct = none ? c->publisher.route == ROUTE_DIRECT : serves(c, ROUTE_DIRECT),
        .tor = none ? c->publisher.route == ROUTE_TOR : serves(c, ROUTE_TOR),
        .test_host = c->ipv6.test_host,
    };
    return out->test_host[0] == '\0' ? ERR_NONE : ipv6_test_host_check(out->test_host, p);
}
