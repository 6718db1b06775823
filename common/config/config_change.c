/* What changed between two readings of the configuration: values are compared, not how they were
 * written. */
#include "common/config/config_internal.h"

#include <string.h>

static bool relays_differ(const struct config_relays *a, const struct config_relays *b)
{
    bool differ = a->len != b->len;
    for (size_t i = 0; i < a->len && !differ; i++)
        differ = !definition_equal(&a->defs[i], &b->defs[i]);
    return differ;
}

static bool listens_differ(const struct config_listen *a, const struct config_listen *b)
{
    bool differ = a->len != b->len;
    for (size_t i = 0; i < a->len && !differ; i++)
        differ = strcmp(a->address[i], b->address[i]) != 0;
    return differ;
}

static bool pubkeys_differ(const struct config_pubkeys *a, const struct config_pubkeys *b)
{
    return a->len != b->len ||
           (a->len > 0 && memcmp(a->keys, b->keys, a->len * sizeof a->keys[0]) != 0);
}

bool config_key_differs(const struct config *a, const struct config *b, size_t n)
{
    const struct config_key *key = &config_keys[n];
    const void *x = (const char *)a + key->offset, *y = (const char *)b + key->offset;
    switch (key->type) {
    case TYPE_TEXT:
        return strcmp(x, y) != 0;
    case TYPE_UINT:
    case TYPE_SIZE:
    case TYPE_DURATION:
        return memcmp(x, y, sizeof(uint64_t)) != 0;
    case TYPE_BOOL:
        return memcmp(x, y, sizeof(bool)) != 0;
    case TYPE_LISTEN:
        return listens_differ(x, y);
    case TYPE_HOSTS:
        return memcmp(x, y, sizeof(struct config_hosts)) != 0;
    case TYPE_PUBKEYS:
        return pubkeys_differ(x, y);
    case TYPE_RELAYS:
        return relays_differ(x, y);
    case TYPE_ROUTE:
        return memcmp(x, y, sizeof(enum route)) != 0;
    case TYPE_ROUTES:
        return memcmp(x, y, sizeof(uint32_t)) != 0;
    case TYPE_FAMILY:
        return memcmp(x, y, sizeof(enum family_mode)) != 0;
    case TYPE_LEVEL:
        return memcmp(x, y, sizeof(enum log_level)) != 0;
    case TYPE_FORMAT:
        return memcmp(x, y, sizeof(enum log_format)) != 0;
    }
    return true;
}
