#include "publisher/key.h"

#include "common/nostr/event.h"
#include "common/nostr/nip19.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utlist.h>

#define FILE_LEN_MAX 256

static enum err check_file(int fd, const char *path, bool may_be_readable, struct problem *p)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return problem_set(p, ERR_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return problem_set(p, ERR_INVALID, "%s: not a file", path);
    if ((st.st_mode & 077) != 0 && !may_be_readable)
        return problem_set(p, ERR_INVALID,
                           "%s: a secret key that others can read (mode %03o): chmod 600 it", path,
                           (unsigned)(st.st_mode & 0777));
    return ERR_NONE;
}

/* The whole file without the white space around it. */
static enum err read_text(int fd, const char *path, char out[FILE_LEN_MAX + 1], struct problem *p)
{
    ssize_t len = read(fd, out, FILE_LEN_MAX);
    if (len < 0)
        return problem_set(p, ERR_IO, "%s: %s", path, strerror(errno));
    while (len > 0 && isspace((unsigned char)out[len - 1]))
        len--;
    out[len] = '\0';
    return ERR_NONE;
}

static enum err parse(const char *text, const char *path, uint8_t out[32], struct problem *p)
{
    struct problem why = {0};
    uint8_t pubkey[32];
    while (isspace((unsigned char)*text))
        text++;
    if (nip19_secret(text, out, &why) != ERR_NONE || event_pubkey(out, pubkey) != ERR_NONE)
        return problem_set(p, ERR_INVALID,
                           "%s: no secret key in it (64 hex digits or nsec1… on one line)%s%s",
                           path, why.text[0] != '\0' ? ": " : "", why.text);
    return ERR_NONE;
}

enum err key_load(const char *path, bool may_be_readable, uint8_t out[32], struct problem *p)
{
    char text[FILE_LEN_MAX + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return problem_set(p, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s: %s", path,
                           strerror(errno));
    enum err e = check_file(fd, path, may_be_readable, p);
    if (e == ERR_NONE)
        e = read_text(fd, path, text, p);
    if (e == ERR_NONE)
        e = parse(text, path, out, p);
    explicit_bzero(text, sizeof text);
    close(fd);
    return e;
}

/* ---- each once ---- */

struct key {
    char *path;
    uint8_t secret[32];
    struct key *next;
};

struct keys {
    bool may_be_readable;
    struct key *list;
};

struct keys *keys_new(bool may_be_readable)
{
    struct keys *k = mem_zero(1, sizeof *k);
    k->may_be_readable = may_be_readable;
    return k;
}

static void forget(struct key *key)
{
    explicit_bzero(key->secret, sizeof key->secret);
    free(key->path);
    free(key);
}

void keys_free(struct keys *k)
{
    if (k == NULL)
        return;
    struct key *key, *next;
    LL_FOREACH_SAFE(k->list, key, next)
    forget(key);
    free(k);
}

enum err keys_get(struct keys *k, const char *path, const uint8_t **secret, struct problem *p)
{
    struct key *key;
    LL_FOREACH(k->list, key)
    {
        if (strcmp(key->path, path) == 0) {
            *secret = key->secret;
            return ERR_NONE;
        }
    }
    key = mem_zero(1, sizeof *key);
    key->path = mem_strdup(path);
    enum err e = key_load(path, k->may_be_readable, key->secret, p);
    if (e != ERR_NONE) {
        forget(key);
        return e;
    }
    LL_PREPEND(k->list, key);
    *secret = key->secret;
    return ERR_NONE;
}
