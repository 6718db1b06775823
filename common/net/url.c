/* libcurl's URL API takes the text apart, writes IP addresses and dots in paths in one way, and
 * turns IDN into ASCII. It knows many schemes and forgives much; what it forgives is looked at here
 * before and after. */
#include "common/net/url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <curl/curl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HOST_MAX        253 /* characters a DNS name may have (RFC 1035) */
#define LABEL_MAX       63
#define ONION_LABEL_LEN 56 /* of a version 3 address */

/* Where an @ is, a password may be: such a text is not repeated. */
static enum err refuse(struct problem *p, const char *text, const char *why)
{
    const char *shown = strchr(text, '@') != NULL ? "…" : text;
    return problem_set(p, ERR_INVALID, "\"%.200s\" is not a relay's URL: %s", shown, why);
}

/* Adds wss:// to a bare host, refuses other schemes and what no URL may hold. */
static enum err add_scheme(const char *text, char *out, size_t size, struct problem *p)
{
    for (const char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c <= ' ' || *c == 127)
            return problem_set(p, ERR_INVALID,
                               "a relay's URL holds a space or a control character (byte %zu)",
                               (size_t)(c - text) + 1);
    if (*text == '\0')
        return problem_set(p, ERR_INVALID, "a relay's URL is empty");
    const char *colon = strstr(text, "://");
    const char *path = strpbrk(text, "/?#");
    bool bare = colon == NULL || path < colon;
    if (!bare && strncasecmp(text, "wss://", 6) != 0 && strncasecmp(text, "ws://", 5) != 0) {
        bool web = strncasecmp(text, "https://", 8) == 0 || strncasecmp(text, "http://", 7) == 0;
        return refuse(p, text,
                      web ? "write wss:// for https:// and ws:// for http://"
                          : "its scheme must be wss:// or ws://");
    }
    if (bare && (strncasecmp(text, "wss:", 4) == 0 || strncasecmp(text, "ws:", 3) == 0))
        return refuse(p, text, "a scheme is followed by ://");
    if (bare && text[0] != '[' &&
        memchr(text, ':', strcspn(text, "/?#")) != memrchr(text, ':', strcspn(text, "/?#")))
        return refuse(p, text, "an IPv6 address goes into brackets, as in wss://[2001:db8::1]");
    const char *after = bare ? text : colon + 3;
    if (*after == '/' || *after == '?' || *after == '\0')
        return refuse(p, text, "it has no host");
    int len = snprintf(out, size, "%s%s", bare ? "wss://" : "", text);
    return (size_t)len < size ? ERR_NONE : refuse(p, text, "it is too long");
}

/* Writes the host in ASCII. libidn2 reads names in the locale's encoding, so it is given UTF-8's.
 * By way of the whole URL, since libcurl 7.88 leaks a host that it is asked for alone and cannot
 * convert. */
static CURLUcode make_ascii(CURLU *u)
{
    char *whole = NULL;
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    locale_t old = utf8 != (locale_t)0 ? uselocale(utf8) : (locale_t)0;
    CURLUcode c = curl_url_get(u, CURLUPART_URL, &whole, CURLU_PUNYCODE);
    if (utf8 != (locale_t)0) {
        (void)uselocale(old);
        freelocale(utf8);
    }
    if (c == CURLUE_OK)
        c = curl_url_set(u, CURLUPART_URL, whole, CURLU_NON_SUPPORT_SCHEME);
    curl_free(whole);
    return c;
}

/* Letters, digits, '-' and '_' in labels of 1 to 63 characters, the last not all of digits: that
 * would be an IPv4 address gone wrong. */
static bool is_name(const char *host)
{
    size_t label_len = 0, digits = 0;
    for (const char *c = host; *c != '\0'; c++) {
        bool part = *c == '.';
        if (part ? label_len == 0 : !isalnum((unsigned char)*c) && *c != '-' && *c != '_')
            return false;
        digits = part ? 0 : digits + (isdigit((unsigned char)*c) != 0);
        label_len = part ? 0 : label_len + 1;
        if (label_len > LABEL_MAX)
            return false;
    }
    return label_len > digits && strlen(host) <= HOST_MAX;
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static bool is_local_ipv4(const uint8_t a[4])
{
    return a[0] == 0 || a[0] == 10 || a[0] == 127 || (a[0] == 100 && (a[1] & 0xc0) == 64) ||
           (a[0] == 169 && a[1] == 254) || (a[0] == 172 && (a[1] & 0xf0) == 16) ||
           (a[0] == 192 && a[1] == 168);
}

/* Loopback and unspecified, unique local, link-local. */
static bool is_local_ipv6(const uint8_t a[16])
{
    static const uint8_t zeros[15] = {0};
    return (memcmp(a, zeros, 15) == 0 && a[15] <= 1) || (a[0] & 0xfe) == 0xfc ||
           (a[0] == 0xfe && (a[1] & 0xc0) == 0x80);
}

/* An IPv4 address in IPv6's clothes: connecting would use IPv4 and record IPv6. */
static bool is_mapped_ipv4(const uint8_t a[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(a, mapped, sizeof mapped) == 0;
}

/* Version 3: the label before ".onion" is 56 characters of base32. */
static bool is_onion_v3(const char *host)
{
    size_t name_len = strlen(host) - strlen(".onion");
    if (name_len < ONION_LABEL_LEN)
        return false;
    const char *label = host + name_len - ONION_LABEL_LEN;
    if (label != host && label[-1] != '.')
        return false;
    for (size_t i = 0; i < ONION_LABEL_LEN; i++)
        if (!((label[i] >= 'a' && label[i] <= 'z') || (label[i] >= '2' && label[i] <= '7')))
            return false;
    return true;
}

static enum err read_ipv6(const char *text, const char *host, struct relay_url *out,
                          struct problem *p)
{
    uint8_t address[16];
    if (inet_pton(AF_INET6, host, address) != 1)
        return refuse(p, text, "its IPv6 address is none");
    if (is_mapped_ipv4(address))
        return refuse(p, text, "write the IPv4 address as such");
    out->is_literal = true;
    out->is_local = is_local_ipv6(address);
    return ERR_NONE;
}

/* An IPv4 address or a name, in lower case and without a dot at the end. */
static enum err read_name(const char *text, const char *host, struct relay_url *out,
                          struct problem *p)
{
    uint8_t address[4];
    if (inet_pton(AF_INET, host, address) == 1) {
        out->is_literal = true;
        out->is_local = is_local_ipv4(address);
        return ERR_NONE;
    }
    if (!is_name(host))
        return refuse(p, text, "its host is not a valid name");
    out->is_onion = ends_with(host, ".onion");
    out->is_local = strcmp(host, "localhost") == 0 || ends_with(host, ".localhost") ||
                    ends_with(host, ".local");
    if (out->is_onion && !is_onion_v3(host))
        return refuse(p, text, "an onion address has 56 characters before .onion (version 3)");
    return ERR_NONE;
}

/* Fills host and what follows from it alone. `host` is as libcurl gave it. */
static enum err read_host(const char *text, char *host, struct relay_url *out, struct problem *p)
{
    size_t len = strlen(host);
    if (len >= sizeof out->host || len < 1)
        return refuse(p, text, "its host is not a valid name");
    for (size_t i = 0; i < len; i++)
        host[i] = (char)tolower((unsigned char)host[i]);
    bool ipv6 = host[0] == '[';
    if (ipv6 ? host[len - 1] == ']' : host[len - 1] == '.') /* "r.example." is the same relay */
        host[--len] = '\0';
    (void)snprintf(out->host, sizeof out->host, "%s", host + ipv6);
    return ipv6 ? read_ipv6(text, out->host, out, p) : read_name(text, out->host, out, p);
}

static enum err read_port(const char *text, CURLU *u, struct relay_url *out, struct problem *p)
{
    char *port = NULL;
    out->port = out->tls ? 443 : 80;
    if (curl_url_get(u, CURLUPART_PORT, &port, 0) != CURLUE_OK)
        return ERR_NONE;
    unsigned long n = strtoul(port, NULL, 10);
    curl_free(port);
    if (n == 0 || n > 65535)
        return refuse(p, text, "its port must be 1 to 65535");
    out->port = (uint16_t)n;
    return ERR_NONE;
}

/* Bytes beyond ASCII become %XX, as HTTP wants them. False when it does not fit. */
static bool add_encoded(char *out, size_t size, const char *text)
{
    size_t at = strlen(out);
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        int n = snprintf(out + at, size - at, *c < 128 ? "%c" : "%%%02X", *c);
        at += (size_t)n;
        if (at >= size)
            return false;
    }
    return true;
}

static enum err read_path(const char *text, CURLU *u, struct relay_url *out, struct problem *p)
{
    char *path = NULL, *query = NULL;
    bool fits = true;
    if (curl_url_get(u, CURLUPART_PATH, &path, 0) == CURLUE_OK)
        fits = add_encoded(out->path, sizeof out->path, path);
    if (fits && curl_url_get(u, CURLUPART_QUERY, &query, 0) == CURLUE_OK && query[0] != '\0')
        fits = add_encoded(out->path, sizeof out->path, "?") &&
               add_encoded(out->path, sizeof out->path, query);
    curl_free(path);
    curl_free(query);
    return fits ? ERR_NONE : refuse(p, text, "it is too long");
}

/* Puts the one normalized form together. */
static enum err write_text(const char *text, struct relay_url *out, struct problem *p)
{
    bool ipv6 = strchr(out->host, ':') != NULL;
    char port[8] = "";
    if (out->port != (out->tls ? 443 : 80))
        (void)snprintf(port, sizeof port, ":%u", (unsigned)out->port);
    int len = snprintf(out->text, sizeof out->text, "%s://%s%s%s%s%s", out->tls ? "wss" : "ws",
                       ipv6 ? "[" : "", out->host, ipv6 ? "]" : "", port,
                       strcmp(out->path, "/") == 0 ? "" : out->path);
    return (size_t)len < sizeof out->text ? ERR_NONE : refuse(p, text, "it is too long");
}

static bool has(CURLU *u, CURLUPart part)
{
    char *value = NULL;
    bool yes = curl_url_get(u, part, &value, 0) == CURLUE_OK;
    curl_free(value);
    return yes;
}

static enum err read_parts(const char *text, CURLU *u, struct relay_url *out, struct problem *p)
{
    char *host = NULL;
    if (has(u, CURLUPART_USER) || has(u, CURLUPART_PASSWORD))
        return refuse(p, text, "a user name or password does not belong into it");
    if (has(u, CURLUPART_FRAGMENT) || strchr(text, '#') != NULL)
        return refuse(p, text, "remove the fragment, from # on");
    if (has(u, CURLUPART_ZONEID))
        return refuse(p, text, "an IPv6 zone means something on one machine only");
    if (make_ascii(u) != CURLUE_OK || curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK)
        return refuse(p, text, "its host cannot be written in ASCII (IDN)");
    enum err e = read_host(text, host, out, p);
    curl_free(host);
    if (e == ERR_NONE)
        e = read_port(text, u, out, p);
    if (e == ERR_NONE)
        e = read_path(text, u, out, p);
    return e != ERR_NONE ? e : write_text(text, out, p);
}

enum err relay_url_parse(const char *text, struct relay_url *out, struct problem *p)
{
    char whole[2 * URL_SIZE];
    *out = (struct relay_url){0};
    enum err e = add_scheme(text, whole, sizeof whole, p);
    if (e != ERR_NONE)
        return e;
    out->tls = strncasecmp(whole, "wss", 3) == 0;
    CURLU *u = curl_url();
    if (u == NULL)
        die("out of memory (url)");
    CURLUcode c = curl_url_set(u, CURLUPART_URL, whole, CURLU_NON_SUPPORT_SCHEME);
    if (c == CURLUE_OK)
        e = read_parts(text, u, out, p);
    else
        e = refuse(p, text, curl_url_strerror(c));
    curl_url_cleanup(u);
    return e;
}
