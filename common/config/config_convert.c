/* From a row's text to its field in struct config, one small function a type. */
#include "common/config/config_internal.h"
#include "common/config/value.h"
#include "common/nostr/nip19.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char gaps[] = ", \t\r\n";

static enum err no_good(const struct config_source *src, const struct config_key *key,
                        const char *expected, struct problem *p)
{
    return problem_set(p, ERR_INVALID, "%s: %s: '%.80s' is not %s", src->where, key->name,
                       src->text, expected);
}

static enum err number(const struct config_source *src, const struct config_key *key, uint64_t *out,
                       struct problem *p)
{
    static const struct {
        enum err (*read)(const char *, uint64_t *);
        const char *expected;
    } readers[] = {
        [TYPE_UINT] = {value_uint, "a whole number"},
        [TYPE_SIZE] = {value_size, "a size such as 64KiB or 8GiB"},
        [TYPE_DURATION] = {value_duration, "a duration such as 300ms, 5s, 10m, 2h or 7d"}};
    bool is_word = key->fallback[0] < '0' || key->fallback[0] > '9'; /* auto, any, half: 0 */
    *out = 0;
    if (is_word && strcmp(src->text, key->fallback) == 0)
        return ERR_NONE;
    if (readers[key->type].read(src->text, out) != ERR_NONE)
        return no_good(src, key, readers[key->type].expected, p);
    if (*out < key->min || *out > key->max)
        return problem_set(p, ERR_INVALID,
                           "%s: %s: '%s' is out of bounds (%" PRIu64 " to %" PRIu64 "%s)",
                           src->where, key->name, src->text, key->min, key->max,
                           key->type == TYPE_DURATION ? " ms"
                           : key->type == TYPE_SIZE   ? " bytes"
                                                      : "");
    return ERR_NONE;
}

/* Calls `fn` for each word of a list; a word of 128 bytes or more is refused. */
static enum err each_word(const char *text, enum err (*fn)(void *arg, const char *word), void *arg)
{
    enum err e = ERR_NONE;
    for (text += strspn(text, gaps); *text != '\0' && e == ERR_NONE; text += strspn(text, gaps)) {
        char word[128];
        size_t len = strcspn(text, gaps);
        if (len >= sizeof word)
            return ERR_INVALID;
        memcpy(word, text, len);
        word[len] = '\0';
        e = fn(arg, word);
        text += len;
    }
    return e;
}

/* "HOST:PORT" with a literal address, IPv6 in brackets. */
static bool is_listen(const char *word)
{
    char host[64];
    const char *colon = strrchr(word, ':');
    uint64_t port;
    bool v6 = word[0] == '[';
    if (colon == NULL || value_uint(colon + 1, &port) != ERR_NONE || port > UINT16_MAX)
        return false;
    size_t len = (size_t)(colon - word);
    if (v6 && (len < 2 || word[len - 1] != ']'))
        return false;
    if (v6) {
        word++;
        len -= 2;
    }
    if (len >= sizeof host)
        return false;
    memcpy(host, word, len);
    host[len] = '\0';
    uint8_t address[16];
    return inet_pton(v6 ? AF_INET6 : AF_INET, host, address) == 1;
}

static enum err add_listen(void *arg, const char *word)
{
    struct config_listen *l = arg;
    if (l->len == CONFIG_LISTEN_MAX || strlen(word) >= sizeof l->address[0] || !is_listen(word))
        return ERR_INVALID;
    (void)snprintf(l->address[l->len++], sizeof l->address[0], "%s", word);
    return ERR_NONE;
}

/* A name or an address as a Host header has it, with or without a port. */
static bool is_host(const char *word)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:[]";
    const char *end = word[0] == '[' ? strchr(word, ']') : NULL;
    const char *colon = strchr(end != NULL ? end : word, ':');
    uint64_t port;
    if (word[strspn(word, letters)] != '\0' || colon == word || (word[0] == '[' && end == NULL))
        return false;
    return colon == NULL || (value_uint(colon + 1, &port) == ERR_NONE && port <= UINT16_MAX);
}

static enum err add_host(void *arg, const char *word)
{
    struct config_hosts *h = arg;
    if (h->len == CONFIG_HOSTS_MAX || strlen(word) >= sizeof h->host[0] || !is_host(word))
        return ERR_INVALID;
    (void)snprintf(h->host[h->len++], sizeof h->host[0], "%s", word);
    return ERR_NONE;
}

static enum err add_pubkey(void *arg, const char *word)
{
    struct config_pubkeys *k = arg;
    struct problem ignored;
    uint8_t key[32];
    if (nip19_pubkey(word, key, &ignored) != ERR_NONE)
        return ERR_INVALID;
    k->keys = mem_grow(k->keys, (k->len + 1) * sizeof *k->keys);
    memcpy(k->keys[k->len++], key, sizeof key);
    return ERR_NONE;
}

static enum err add_route(void *arg, const char *word)
{
    uint32_t *bits = arg;
    for (enum route r = 0; r < ROUTE_COUNT; r++)
        if (strcmp(word, route_name(r)) == 0) {
            *bits |= 1u << r;
            return ERR_NONE;
        }
    return ERR_INVALID;
}

/* A word of a fixed set, by its place in it. */
static int choice(const char *text, const char *const *words, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (strcmp(text, words[i]) == 0)
            return (int)i;
    return -1;
}

static const char *const levels[] = {"debug", "info", "warn", "error"};
static const char *const formats[] = {"text", "logfmt", "json"};
static const char *const routes[] = {"tor", "direct"};
static const char *const families[] = {"auto", "ipv6", "ipv4"};

static enum err text_value(const struct config_source *src, const struct config_key *key, char *out,
                           struct problem *p)
{
    size_t len = strlen(src->text);
    if (len >= CONFIG_TEXT_SIZE || strpbrk(src->text, "\r\n") != NULL)
        return no_good(src, key, "one line of at most 511 bytes", p);
    memcpy(out, src->text, len + 1);
    return ERR_NONE;
}

static enum err list_value(const struct config_source *src, const struct config_key *key,
                           enum err (*add)(void *, const char *), void *into, const char *expected,
                           struct problem *p)
{
    return each_word(src->text, add, into) == ERR_NONE ? ERR_NONE : no_good(src, key, expected, p);
}

static enum err word_value(const struct config_source *src, const struct config_key *key,
                           const char *const *words, size_t len, void *out, const char *expected,
                           struct problem *p)
{
    int at = choice(src->text, words, len);
    if (at < 0)
        return no_good(src, key, expected, p);
    *(unsigned *)out = (unsigned)at; /* every such field is an enum */
    return ERR_NONE;
}

enum err config_convert(struct config *c, int row, const struct config_source *src,
                        struct problem *p)
{
    const struct config_key *key = &config_keys[row];
    void *field = (char *)c + key->offset;
    switch (key->type) {
    case TYPE_TEXT:
        return text_value(src, key, field, p);
    case TYPE_UINT:
    case TYPE_SIZE:
    case TYPE_DURATION:
        return number(src, key, field, p);
    case TYPE_BOOL:
        return value_bool(src->text, field) == ERR_NONE ? ERR_NONE
                                                        : no_good(src, key, "yes or no", p);
    case TYPE_LISTEN:
        return list_value(src, key, add_listen, field,
                          "a list of at most 8 addresses such as 127.0.0.1:7787 or [::1]:7787", p);
    case TYPE_PUBKEYS:
        return list_value(src, key, add_pubkey, field,
                          "a list of public keys (64 lower-case hex digits, or npub1…)", p);
    case TYPE_HOSTS:
        return list_value(src, key, add_host, field,
                          "a list of at most 16 hosts such as volley.example or 192.0.2.7:7788", p);
    case TYPE_ROUTES:
        return list_value(src, key, add_route, field, "a list of routes (tor, direct)", p);
    case TYPE_ROUTE:
        return word_value(src, key, routes, COUNT_OF(routes), field, "a route (tor, direct)", p);
    case TYPE_FAMILY:
        return word_value(src, key, families, COUNT_OF(families), field,
                          "a family (auto, ipv6, ipv4)", p);
    case TYPE_LEVEL:
        return word_value(src, key, levels, COUNT_OF(levels), field,
                          "a level (debug, info, warn, error)", p);
    case TYPE_FORMAT:
        return word_value(src, key, formats, COUNT_OF(formats), field,
                          "a format (text, logfmt, json)", p);
    case TYPE_RELAYS:
        return ERR_NONE; /* config_make_relays */
    }
    return ERR_INVALID;
}
