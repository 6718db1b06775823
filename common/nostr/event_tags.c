/* What tags say, read from the canonical bytes: so the cursor can't meet an error here. */
#include "common/base/hex.h"
#include "common/nostr/event_hash.h"
#include "common/nostr/kinds.h"

#include <string.h>

#define PUBKEY_HEX_LEN 64u

/* Reads one tag. `*value` is the first after the name; false when there is none. */
static bool read_tag(struct json_cur *c, struct json_span *name, struct json_span *value)
{
    struct json_span rest;
    size_t count = 0;
    bool first = true;
    if (json_enter(c, '[') != ERR_NONE)
        return false;
    for (; json_next(c, ']', &first); count++)
        if (json_string(c, count == 0 ? name : count == 1 ? value : &rest) != ERR_NONE)
            return false;
    return count > 1;
}

void event_each_tag(const struct event *ev, const char *name, event_tag_fn *fn, void *arg)
{
    struct json_cur c;
    struct json_span tag_name, value;
    bool first = true;
    json_begin(&c, ev->tags.p, ev->tags.len);
    if (json_enter(&c, '[') != ERR_NONE)
        return;
    while (json_next(&c, ']', &first))
        if (read_tag(&c, &tag_name, &value) && json_equals(tag_name, name) && !fn(arg, value))
            return;
}

struct deletion {
    const struct event *ev;
    event_delete_fn *fn;
    void *arg;
};

static bool on_e(void *arg, struct json_span value)
{
    const struct deletion *del = arg;
    uint8_t id[32];
    if (hex_get(value.p, value.len, id, sizeof id) == ERR_NONE)
        del->fn(del->arg, id, NULL);
    return true;
}

/* Takes "kind:" off the front of a raw string. Digits and colons are never escaped in canonical
 * bytes; spaces, which the cursor would pass over, make it another name. */
static bool take_kind(struct json_span *value, uint32_t *kind)
{
    const char *colon = value->len > 0 ? memchr(value->p, ':', value->len) : NULL;
    if (colon == NULL || value->p[0] == ' ')
        return false;
    struct json_cur c;
    uint64_t v;
    json_begin(&c, value->p, (size_t)(colon - value->p));
    if (json_uint(&c, EVENT_KIND_MAX, &v) != ERR_NONE || c.p != colon)
        return false;
    *kind = (uint32_t)v;
    value->len -= (size_t)(colon + 1 - value->p);
    value->p = colon + 1;
    return true;
}

/* Takes "pubkey:" off the front; only the author's own will do. */
static bool take_pubkey(struct json_span *value, const uint8_t pubkey[32])
{
    uint8_t got[32];
    if (value->len <= PUBKEY_HEX_LEN || value->p[PUBKEY_HEX_LEN] != ':' ||
        hex_get(value->p, PUBKEY_HEX_LEN, got, sizeof got) != ERR_NONE ||
        memcmp(got, pubkey, sizeof got) != 0)
        return false;
    value->p += PUBKEY_HEX_LEN + 1;
    value->len -= PUBKEY_HEX_LEN + 1;
    return true;
}

static bool on_a(void *arg, struct json_span value)
{
    const struct deletion *del = arg;
    uint32_t kind;
    uint8_t address[32];
    if (!take_kind(&value, &kind) || !take_pubkey(&value, del->ev->pubkey))
        return true;
    enum kind_class class = kind_class(kind);
    if (class == KIND_ADDRESSABLE || (class == KIND_REPLACEABLE && value.len == 0)) {
        event_hash_address(kind, del->ev->pubkey, value, address);
        del->fn(del->arg, NULL, address);
    }
    return true;
}

void event_each_deletion(const struct event *ev, event_delete_fn *fn, void *arg)
{
    struct deletion del = {.ev = ev, .fn = fn, .arg = arg};
    if (ev->kind != KIND_DELETION)
        return;
    event_each_tag(ev, "e", on_e, &del);
    event_each_tag(ev, "a", on_a, &del);
}

bool event_newer(uint64_t a_created_at, const uint8_t a_id[32], uint64_t b_created_at,
                 const uint8_t b_id[32])
{
    if (a_created_at != b_created_at)
        return a_created_at > b_created_at;
    return memcmp(a_id, b_id, 32) < 0;
}

unsigned event_difficulty(const uint8_t id[32])
{
    unsigned bits = 0;
    for (size_t i = 0; i < 32; i++, bits += 8)
        if (id[i] != 0)
            return bits + (unsigned)__builtin_clz(id[i]) - 24;
    return bits;
}
