#include "common/net/control_auth.h"

#include "common/base/hex.h"
#include "common/net/control_line.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum err control_methods_take(struct control_methods *m, const char *text)
{
    char methods[256], word[32];
    if (strncmp(text, "AUTH ", 5) != 0)
        return ERR_NONE;
    if (control_field(text + 5, "METHODS", methods, sizeof methods) != ERR_NONE)
        return ERR_INVALID;
    for (char *c = methods; *c != '\0'; c++)
        if (*c == ',')
            *c = ' ';
    const char *at = methods;
    enum err e;
    while ((e = control_word(&at, word, sizeof word)) == ERR_NONE) {
        m->none |= strcmp(word, "NULL") == 0;
        m->password |= strcmp(word, "HASHEDPASSWORD") == 0;
        m->cookie |= strcmp(word, "COOKIE") == 0;
        m->safe_cookie |= strcmp(word, "SAFECOOKIE") == 0;
    }
    if (e != ERR_NOT_FOUND)
        return ERR_INVALID;
    e = control_field(text + 5, "COOKIEFILE", m->cookie_file, sizeof m->cookie_file);
    if (e != ERR_NONE)
        m->cookie_file[0] = '\0';
    return e == ERR_NONE || e == ERR_NOT_FOUND ? ERR_NONE : ERR_INVALID;
}

/* The path comes from outside: no device, no pipe, nothing that blocks. */
static enum err read_file(const char *path, uint8_t *out, size_t size, size_t *len, struct stat *st,
                          struct problem *p)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return problem_set(p, ERR_IO, "%s: %s", path, strerror(errno));
    ssize_t n = fstat(fd, st) == 0 && S_ISREG(st->st_mode) ? read(fd, out, size) : -1;
    close(fd);
    if (n < 0)
        return problem_set(p, ERR_IO, "%s: cannot be read", path);
    *len = (size_t)n;
    return ERR_NONE;
}

enum err control_cookie_load(const char *path, uint8_t out[CONTROL_COOKIE_LEN], struct problem *p)
{
    uint8_t data[CONTROL_COOKIE_LEN + 1];
    struct stat st;
    size_t len;
    if (path[0] != '/')
        return problem_set(p, ERR_INVALID, "tor tells no file with its cookie");
    enum err e = read_file(path, data, sizeof data, &len, &st, p);
    if (e == ERR_NONE && len != CONTROL_COOKIE_LEN)
        e = problem_set(p, ERR_INVALID, "%s: no cookie of 32 bytes in it", path);
    if (e == ERR_NONE)
        memcpy(out, data, CONTROL_COOKIE_LEN);
    explicit_bzero(data, sizeof data);
    return e;
}

enum err control_password_load(const char *path, bool may_be_readable, char out[CONTROL_SECRET_MAX],
                               struct problem *p)
{
    struct stat st;
    size_t len = 0;
    enum err e = read_file(path, (uint8_t *)out, CONTROL_SECRET_MAX, &len, &st, p);
    if (e != ERR_NONE)
        return e;
    if ((st.st_mode & 077) != 0 && !may_be_readable) {
        explicit_bzero(out, CONTROL_SECRET_MAX);
        return problem_set(p, ERR_INVALID, "%s: a password that others can read: chmod 600 it",
                           path);
    }
    while (len > 0 && len < CONTROL_SECRET_MAX && isspace((unsigned char)out[len - 1]))
        len--;
    bool good = len > 0 && len < CONTROL_SECRET_MAX;
    for (size_t i = 0; i < len && good; i++)
        good = (unsigned char)out[i] >= ' ';
    if (!good) {
        explicit_bzero(out, CONTROL_SECRET_MAX);
        return problem_set(p, ERR_INVALID, "%s: no password on one line of at most %d bytes", path,
                           CONTROL_SECRET_MAX - 1);
    }
    out[len] = '\0';
    return ERR_NONE;
}

static enum err field_bytes(const char *text, const char *key, uint8_t *out, size_t len)
{
    char hex[2 * CONTROL_PROOF_LEN + 1];
    if (control_field(text, key, hex, sizeof hex) != ERR_NONE)
        return ERR_INVALID;
    for (char *c = hex; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    return hex_get(hex, strlen(hex), out, len);
}

enum err control_challenge_parse(const char *text, struct control_challenge *out)
{
    if (strncmp(text, "AUTHCHALLENGE ", 14) != 0 ||
        field_bytes(text, "SERVERHASH", out->server_proof, sizeof out->server_proof) != ERR_NONE ||
        field_bytes(text, "SERVERNONCE", out->server_nonce, sizeof out->server_nonce) != ERR_NONE)
        return ERR_INVALID;
    return ERR_NONE;
}

/* HMAC-SHA256 of cookie, our nonce, its nonce, under a key for each direction. */
static void prove(const char *key, const struct control_challenge *c, const uint8_t *cookie,
                  const uint8_t *nonce, uint8_t out[CONTROL_PROOF_LEN])
{
    uint8_t text[CONTROL_COOKIE_LEN + 2 * CONTROL_NONCE_LEN];
    memcpy(text, cookie, CONTROL_COOKIE_LEN);
    memcpy(text + CONTROL_COOKIE_LEN, nonce, CONTROL_NONCE_LEN);
    memcpy(text + CONTROL_COOKIE_LEN + CONTROL_NONCE_LEN, c->server_nonce, CONTROL_NONCE_LEN);
    unsigned len = CONTROL_PROOF_LEN;
    if (HMAC(EVP_sha256(), key, (int)strlen(key), text, sizeof text, out, &len) == NULL)
        die("HMAC-SHA256 failed");
    explicit_bzero(text, sizeof text);
}

enum err control_challenge_answer(const struct control_challenge *c,
                                  const uint8_t cookie[CONTROL_COOKIE_LEN],
                                  const uint8_t nonce[CONTROL_NONCE_LEN],
                                  uint8_t proof[CONTROL_PROOF_LEN])
{
    uint8_t expected[CONTROL_PROOF_LEN];
    prove("Tor safe cookie authentication server-to-controller hash", c, cookie, nonce, expected);
    if (CRYPTO_memcmp(expected, c->server_proof, sizeof expected) != 0)
        return ERR_INVALID;
    prove("Tor safe cookie authentication controller-to-server hash", c, cookie, nonce, proof);
    return ERR_NONE;
}
