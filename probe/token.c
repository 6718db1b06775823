#include "probe/token.h"

#include "common/base/secret.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

static void hash_of(const char *text, uint8_t out[32])
{
    (void)SHA256((const uint8_t *)text, strlen(text), out);
}

enum err token_set(struct token *t, const char *text, struct problem *p)
{
    if (strlen(text) < TOKEN_LEN_MIN)
        return problem_set(p, ERR_INVALID,
                           "a token needs at least %u characters; 'openssl rand -hex 24' makes one",
                           TOKEN_LEN_MIN);
    hash_of(text, t->hash);
    t->is_set = true;
    return ERR_NONE;
}

enum err token_read(struct token *t, const char *path, struct problem *p)
{
    char text[TOKEN_SIZE];
    struct problem why;

    *t = (struct token){0};
    if (path[0] == '\0')
        return ERR_NONE;
    enum err e = secret_read(path, secret_in_container(), text, sizeof text, &why);
    if (e == ERR_NONE)
        e = token_set(t, text, &why);
    OPENSSL_cleanse(text, sizeof text);
    return e == ERR_NONE ? e : problem_set(p, e, "probe.admin_token_file: %s: %s", path, why.text);
}

bool token_is(const struct token *t, const char *text)
{
    uint8_t hash[32];

    hash_of(text, hash);
    return t->is_set && CRYPTO_memcmp(hash, t->hash, sizeof hash) == 0;
}
