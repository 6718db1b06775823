#include "common/nostr/event_hash.h"

#include <secp256k1_schnorrsig.h>
#include <string.h>

enum err event_check_sig(const uint8_t pubkey[32], const uint8_t id[32], const uint8_t sig[64])
{
    secp256k1_xonly_pubkey key;
    const secp256k1_context *ctx = secp256k1_context_static;
    if (secp256k1_xonly_pubkey_parse(ctx, &key, pubkey) != 1 ||
        secp256k1_schnorrsig_verify(ctx, sig, id, 32, &key) != 1)
        return ERR_INVALID;
    return ERR_NONE;
}

/* The two forms differ only where there is a \u00xx, which hardly any event has. A "\u" behind an
 * escaped backslash looks like one and costs a second hash, no more. */
static bool has_controls(const struct event *ev)
{
    return memmem(ev->tags.p, ev->tags.len, "\\u", 2) != NULL ||
           memmem(ev->content.p, ev->content.len, "\\u", 2) != NULL;
}

static bool id_is_right(const struct event *ev)
{
    uint8_t id[32];
    event_hash_escaped(ev, id);
    if (memcmp(id, ev->id, sizeof id) == 0)
        return true;
    if (!has_controls(ev))
        return false;
    event_hash_text(ev, id);
    return memcmp(id, ev->id, sizeof id) == 0;
}

enum err event_verify(const struct event *ev, struct problem *p)
{
    if (!id_is_right(ev))
        return problem_set(p, ERR_INVALID, "the id is not the SHA-256 of the event");
    if (event_check_sig(ev->pubkey, ev->id, ev->sig) != ERR_NONE)
        return problem_set(p, ERR_INVALID, "the signature is not good");
    return ERR_NONE;
}
