#include "common/config/socks.h"

#include "common/config/value.h"

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

enum err socks_of_config(const struct config *c, struct socks_ports *out, bool *has_tor,
                         struct problem *p)
{
    *out = (struct socks_ports){0};
    *has_tor = false;
    if (config_needs_managed_tor(c))
        return problem_set(p, ERR_INVALID,
                           "a relay has route tor and tor.socks is 'managed', which this version "
                           "cannot run yet; give the ports of a running tor "
                           "(tor.socks: any=127.0.0.1:9050), or 'route: direct' to those relays");
    if (strcmp(c->tor.socks, "managed") == 0)
        return ERR_NONE;
    if (parse(c->tor.socks, out) != ERR_NONE)
        return problem_set(p, ERR_INVALID,
                           "tor.socks: '%.100s' is not 'managed' or any=HOST:PORT, with "
                           "ipv6=HOST:PORT ipv4=HOST:PORT or neither",
                           c->tor.socks);
    *has_tor = true;
    return ERR_NONE;
}
