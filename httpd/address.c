#include "httpd/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static enum err parse_port(const char *text, in_port_t *out)
{
    uint32_t port = 0;

    if (text[0] == '\0' || strlen(text) > 5)
        return ERR_INVALID;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return ERR_INVALID;
        port = port * 10 + (uint32_t)(*text - '0');
    }
    if (port > UINT16_MAX)
        return ERR_INVALID;
    *out = htons((uint16_t)port);
    return ERR_NONE;
}

enum err address_parse(const char *text, union address *out, struct problem *p)
{
    char host[INET6_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    bool v6 = text[0] == '[';
    const char *start = v6 ? text + 1 : text;
    const char *end = v6 ? strchr(text, ']') : colon;
    bool good = colon != NULL && end != NULL && (!v6 || end + 1 == colon) &&
                (size_t)(end - start) < sizeof host;

    *out = (union address){.any.sa_family = v6 ? AF_INET6 : AF_INET};
    if (good) {
        memcpy(host, start, (size_t)(end - start));
        host[end - start] = '\0';
        good = v6 ? inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1
                  : inet_pton(AF_INET, host, &out->v4.sin_addr) == 1;
    }
    if (!good || parse_port(colon + 1, v6 ? &out->v6.sin6_port : &out->v4.sin_port) != ERR_NONE)
        return problem_set(p, ERR_INVALID,
                           "'%s' is no address to listen on; write 127.0.0.1:7787 or [::1]:7787",
                           text);
    return ERR_NONE;
}

socklen_t address_len(const union address *a)
{
    return a->any.sa_family == AF_INET6 ? sizeof a->v6 : sizeof a->v4;
}

bool address_is_loopback(const union address *a)
{
    if (a->any.sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
    return ntohl(a->v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

struct address_key address_key(const struct sockaddr *a)
{
    struct address_key key = {{0}};

    if (a->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, a, sizeof v4);
        key.bytes[0] = 4;
        memcpy(key.bytes + 1, &v4.sin_addr, 4);
    } else if (a->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, a, sizeof v6);
        bool mapped = IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr);
        key.bytes[0] = mapped ? 4 : 6;
        memcpy(key.bytes + 1, v6.sin6_addr.s6_addr + (mapped ? 12 : 0), mapped ? 4 : 8);
    }
    return key;
}
