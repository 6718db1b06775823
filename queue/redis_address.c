#include "queue/redis_address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define TCP      "redis://"
#define UNIX     "redis+unix://"
#define PORT_MAX 65535u
#define DB_MAX   65535u

bool redis_address_is(const char *url)
{
    return strncmp(url, TCP, strlen(TCP)) == 0 || strncmp(url, UNIX, strlen(UNIX)) == 0;
}

/* Decimal digits and nothing else, at least one. */
static bool parse_number(const char *text, unsigned max, unsigned *out)
{
    unsigned n = 0;
    const char *c = text;
    for (; isdigit((unsigned char)*c) && n <= max; c++)
        n = n * 10 + (unsigned)(*c - '0');
    *out = n;
    return c != text && *c == '\0' && n <= max;
}

static enum err parse_unix(const char *rest, struct redis_address *out, struct problem *p)
{
    const char *slash = strrchr(rest, '/');
    size_t len = strlen(rest);
    if (slash != NULL && slash != rest && parse_number(slash + 1, DB_MAX, &out->db))
        len = (size_t)(slash - rest);
    out->is_unix = true;
    if (rest[0] != '/' || len < 2)
        return problem_set(p, ERR_INVALID, "queue.url: %s%s: the path must begin with /", UNIX,
                           rest);
    if (len >= sizeof out->path)
        return problem_set(p, ERR_INVALID,
                           "queue.url: the path of a unix socket may have %d bytes, this one has "
                           "%zu",
                           REDIS_PATH_SIZE - 1, len);
    (void)snprintf(out->path, sizeof out->path, "%.*s", (int)len, rest);
    return ERR_NONE;
}

static bool is_name(const char *host)
{
    for (const char *c = host; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && *c != '-' && *c != '.' && *c != '_')
            return false;
    return host[0] != '\0' && host[0] != '-' && host[0] != '.';
}

static bool parse_host(const char *host, size_t len, struct redis_address *out)
{
    uint8_t address[16];
    bool is_ipv6 = len > 2 && host[0] == '[' && host[len - 1] == ']';
    if (len >= sizeof out->host)
        return false;
    if (is_ipv6) {
        (void)snprintf(out->host, sizeof out->host, "%.*s", (int)len - 2, host + 1);
        return inet_pton(AF_INET6, out->host, address) == 1;
    }
    (void)snprintf(out->host, sizeof out->host, "%.*s", (int)len, host);
    out->is_name = inet_pton(AF_INET, out->host, address) != 1;
    return !out->is_name || is_name(out->host);
}

static enum err parse_tcp(const char *rest, struct redis_address *out, struct problem *p)
{
    size_t len = strcspn(rest, "/");
    const char *db = rest + len + (rest[len] == '/');
    const char *bracket = memchr(rest, ']', len);
    const char *from = bracket != NULL ? bracket : rest;
    const char *colon = memchr(from, ':', len - (size_t)(from - rest));
    char port[8] = "6379";
    if (memchr(rest, '@', len) != NULL)
        return problem_set(p, ERR_INVALID,
                           "queue.url: no user and no password in it: put the password into a file "
                           "of its own and name that in queue.password_file");
    if (colon != NULL) {
        (void)snprintf(port, sizeof port, "%.*s", (int)(len - (size_t)(colon - rest) - 1),
                       colon + 1);
        len = (size_t)(colon - rest);
    }
    if (!parse_host(rest, len, out) || !parse_number(port, PORT_MAX, &out->port) ||
        out->port == 0 || (db[0] != '\0' && !parse_number(db, DB_MAX, &out->db)))
        return problem_set(p, ERR_INVALID,
                           "queue.url: %s%s: write %sHOST:PORT/DB, an IPv6 address in brackets, DB "
                           "a number",
                           TCP, rest, TCP);
    return ERR_NONE;
}

enum err redis_address_parse(const char *url, struct redis_address *out, struct problem *p)
{
    *out = (struct redis_address){.port = 6379};
    if (strncmp(url, UNIX, strlen(UNIX)) == 0)
        return parse_unix(url + strlen(UNIX), out, p);
    if (strncmp(url, TCP, strlen(TCP)) == 0)
        return parse_tcp(url + strlen(TCP), out, p);
    return problem_set(p, ERR_INVALID,
                       "queue.url: \"%s\": write redis://HOST:PORT/DB or "
                       "redis+unix:///PATH/DB",
                       url);
}
