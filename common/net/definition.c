#include "common/net/definition.h"

#include "common/nostr/kinds.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

static bool holds(const uint16_t *kinds, uint32_t len, uint32_t kind)
{
    for (uint32_t i = 0; i < len; i++)
        if (kinds[i] == kind)
            return true;
    return false;
}

bool definition_allows(const struct definition *d, uint32_t kind)
{
    if (kind_never(kind))
        return false;
    if (kind_private(kind) && !d->is_private)
        return false;
    if (d->kinds_len > 0 && !holds(d->kinds, d->kinds_len, kind))
        return false;
    return !holds(d->except_kinds, d->except_kinds_len, kind);
}

static bool same_kinds(const uint16_t *a, uint32_t a_len, const uint16_t *b, uint32_t b_len)
{
    return a_len == b_len && memcmp(a, b, a_len * sizeof *a) == 0;
}

bool definition_equal(const struct definition *a, const struct definition *b)
{
    return strcmp(a->url, b->url) == 0 && strcmp(a->name, b->name) == 0 && a->route == b->route &&
           a->family == b->family && a->window == b->window &&
           a->rate_per_1000s == b->rate_per_1000s &&
           same_kinds(a->kinds, a->kinds_len, b->kinds, b->kinds_len) &&
           same_kinds(a->except_kinds, a->except_kinds_len, b->except_kinds, b->except_kinds_len) &&
           a->is_private == b->is_private && a->backfill == b->backfill && a->hold == b->hold &&
           strcmp(a->auth_key_file, b->auth_key_file) == 0;
}

static void pack_kinds(struct pack *p, const uint16_t *kinds, uint32_t len)
{
    pack_u32(p, len);
    for (uint32_t i = 0; i < len; i++)
        pack_u16(p, kinds[i]);
}

static void unpack_kinds(struct unpack *u, uint16_t *kinds, uint32_t *len)
{
    *len = unpack_count(u, sizeof *kinds, DEFINITION_KINDS_MAX);
    for (uint32_t i = 0; i < *len; i++)
        kinds[i] = unpack_u16(u);
}

static int by_url(const void *a, const void *b)
{
    const struct definition *const *x = a, *const *y = b;
    return strcmp((*x)->url, (*y)->url);
}

void definition_list_hash(const struct definition *defs, size_t len, uint8_t out[32])
{
    const struct definition **sorted = mem_zero(len + 1, sizeof *sorted);
    struct buf all;
    struct pack p;
    for (size_t i = 0; i < len; i++)
        sorted[i] = &defs[i];
    qsort(sorted, len, sizeof *sorted, by_url);
    buf_init(&all, (len + 1) * 2 * sizeof *defs);
    pack_init(&p, &all);
    for (size_t i = 0; i < len; i++)
        definition_pack(&p, sorted[i]);
    if (pack_end(&p) != ERR_NONE)
        die("a list of definitions does not fit");
    SHA256(all.data, all.len, out);
    buf_fini(&all);
    free(sorted);
}

void definition_pack(struct pack *p, const struct definition *d)
{
    pack_str(p, d->url);
    pack_str(p, d->name);
    pack_u8(p, (uint8_t)d->route);
    pack_u8(p, (uint8_t)d->family);
    pack_u32(p, d->window);
    pack_u32(p, d->rate_per_1000s);
    pack_kinds(p, d->kinds, d->kinds_len);
    pack_kinds(p, d->except_kinds, d->except_kinds_len);
    pack_u8(p, (uint8_t)(d->is_private | d->backfill << 1 | d->hold << 2));
    pack_str(p, d->auth_key_file);
}

void definition_unpack(struct unpack *u, struct definition *out)
{
    *out = (struct definition){0};
    unpack_str(u, out->url, sizeof out->url);
    unpack_str(u, out->name, sizeof out->name);
    uint8_t route = unpack_u8(u), family = unpack_u8(u);
    out->window = unpack_u32(u);
    out->rate_per_1000s = unpack_u32(u);
    unpack_kinds(u, out->kinds, &out->kinds_len);
    unpack_kinds(u, out->except_kinds, &out->except_kinds_len);
    uint8_t flags = unpack_u8(u);
    out->is_private = flags & 1;
    out->backfill = flags & 2;
    out->hold = flags & 4;
    unpack_str(u, out->auth_key_file, sizeof out->auth_key_file);
    u->bad |= route >= ROUTE_COUNT || family >= MODE_COUNT || flags > 7 || out->url[0] == '\0';
    if (!u->bad) {
        out->route = (enum route)route;
        out->family = (enum family_mode)family;
    }
}
