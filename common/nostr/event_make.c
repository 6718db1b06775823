/* Signing. The event is written with zeros for id and signature, read back by event_parse like any
 * other, and the two are then filled in: so what we sign is what we would take. */
#include "common/base/hex.h"
#include "common/base/rng.h"
#include "common/nostr/event_hash.h"

#include <inttypes.h>
#include <secp256k1_schnorrsig.h>
#include <string.h>

#define TAGS_LEN_MAX     EVENT_LEN_MAX
#define UNSIGNED_LEN_MAX (4u * EVENT_LEN_MAX)

/* A context of its own for each use: signing is rare, and contexts that sign are not shared between
 * threads for free. Blinded against side channels. */
static secp256k1_context *signing_context(void)
{
    uint8_t seed[32];
    rng_secure(seed, sizeof seed);
    secp256k1_context *ctx = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
    if (ctx == NULL || secp256k1_context_randomize(ctx, seed) != 1)
        die("libsecp256k1 gave no context");
    explicit_bzero(seed, sizeof seed);
    return ctx;
}

static enum err pubkey_of(const secp256k1_context *ctx, const secp256k1_keypair *pair,
                          uint8_t pubkey[32])
{
    secp256k1_xonly_pubkey key;
    if (secp256k1_keypair_xonly_pub(ctx, &key, NULL, pair) != 1 ||
        secp256k1_xonly_pubkey_serialize(ctx, pubkey, &key) != 1)
        return ERR_INVALID;
    return ERR_NONE;
}

enum err event_pubkey(const uint8_t secret[32], uint8_t pubkey[32])
{
    secp256k1_keypair pair;
    secp256k1_context *ctx = signing_context();
    enum err e = ERR_INVALID;
    if (secp256k1_keypair_create(ctx, &pair, secret) == 1)
        e = pubkey_of(ctx, &pair, pubkey);
    explicit_bzero(&pair, sizeof pair);
    secp256k1_context_destroy(ctx);
    return e;
}

static enum err sign(const uint8_t secret[32], const uint8_t id[32], uint8_t sig[64])
{
    uint8_t noise[32];
    rng_secure(noise, sizeof noise);
    secp256k1_keypair pair;
    secp256k1_context *ctx = signing_context();
    bool done = secp256k1_keypair_create(ctx, &pair, secret) == 1 &&
                secp256k1_schnorrsig_sign32(ctx, sig, id, &pair, noise) == 1;
    explicit_bzero(&pair, sizeof pair);
    explicit_bzero(noise, sizeof noise);
    secp256k1_context_destroy(ctx);
    return done ? ERR_NONE : ERR_INVALID;
}

static enum err put_unsigned(struct buf *out, const uint8_t pubkey[32], uint64_t created_at,
                             uint32_t kind, const char *tags_json, const char *content)
{
    char hex[65];
    enum err e = buf_addf(out,
                          "{\"id\":\"%064d\",\"pubkey\":\"%s\",\"created_at\":%" PRIu64
                          ",\"kind\":%" PRIu32 ",\"sig\":\"%0128d\",\"tags\":",
                          0, hex_str(hex, pubkey, 32), created_at, kind, 0);
    if (e == ERR_NONE)
        e = buf_add_str(out, tags_json);
    if (e == ERR_NONE)
        e = buf_add_str(out, ",\"content\":");
    if (e == ERR_NONE)
        e = json_put_string(out, content, strlen(content));
    if (e == ERR_NONE)
        e = buf_add_char(out, '}');
    return e;
}

/* Puts id and signature in place of the zeros. The canonical form begins {"id":"… and ends …"}. */
static void fill_in(struct event *ev, const uint8_t sig[64])
{
    memcpy(ev->sig, sig, sizeof ev->sig);
    hex_put(ev->bytes + strlen("{\"id\":\""), ev->id, sizeof ev->id);
    hex_put(ev->bytes + ev->len - strlen("\"}") - 2 * sizeof ev->sig, ev->sig, sizeof ev->sig);
}

enum err event_make(const uint8_t secret[32], uint64_t created_at, uint32_t kind,
                    const char *tags_json, const char *content, struct event **out,
                    struct problem *p)
{
    uint8_t pubkey[32], sig[64];
    struct event *ev = NULL;
    struct buf text;
    buf_init(&text, UNSIGNED_LEN_MAX);
    enum err e = event_pubkey(secret, pubkey);
    if (e != ERR_NONE) {
        (void)problem_set(p, e, "the secret key is none");
        goto out;
    }
    /* One value and no more, so that tags can't bring fields of their own. */
    e = json_check(tags_json, strlen(tags_json), TAGS_LEN_MAX, p);
    if (e != ERR_NONE)
        goto out;
    e = put_unsigned(&text, pubkey, created_at, kind, tags_json, content);
    if (e != ERR_NONE) {
        (void)problem_set(p, e, "the event is too big");
        goto out;
    }
    e = event_parse((struct json_span){buf_str(&text), text.len}, EVENT_LEN_MAX, &ev, p);
    if (e != ERR_NONE)
        goto out;
    event_hash_text(ev, ev->id);
    e = sign(secret, ev->id, sig);
    if (e != ERR_NONE) {
        (void)problem_set(p, e, "libsecp256k1 did not sign");
        event_unref(ev);
        goto out;
    }
    fill_in(ev, sig);
    *out = ev;
out:
    buf_fini(&text);
    return e;
}
