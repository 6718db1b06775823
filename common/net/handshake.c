#include "common/net/handshake.h"

#include "common/base/rng.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define RETRY_AFTER_MAX_S 86400

void handshake_key(char out[HANDSHAKE_KEY_SIZE])
{
    uint8_t nonce[16];
    rng_secure(nonce, sizeof nonce);
    EVP_EncodeBlock((unsigned char *)out, nonce, sizeof nonce);
}

void handshake_accept(const char *key, char out[HANDSHAKE_ACCEPT_SIZE])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455, 1.3 */
    char text[128];
    uint8_t hash[SHA_DIGEST_LENGTH];
    int len = snprintf(text, sizeof text, "%.80s%s", key, guid);
    SHA1((const unsigned char *)text, (size_t)len, hash);
    EVP_EncodeBlock((unsigned char *)out, hash, sizeof hash);
}

enum err handshake_request(struct buf *out, const struct relay_url *url, const char *key,
                           const char *user_agent)
{
    char port[8] = "";
    if (url->port != (url->tls ? 443 : 80))
        (void)snprintf(port, sizeof port, ":%u", (unsigned)url->port);
    bool ipv6 = strchr(url->host, ':') != NULL;
    enum err e = buf_addf(out,
                          "GET %s HTTP/1.1\r\n"
                          "Host: %s%s%s%s\r\n"
                          "Upgrade: websocket\r\n"
                          "Connection: Upgrade\r\n"
                          "Sec-WebSocket-Key: %s\r\n"
                          "Sec-WebSocket-Version: 13\r\n",
                          url->path, ipv6 ? "[" : "", url->host, ipv6 ? "]" : "", port, key);
    if (e == ERR_NONE && user_agent != NULL)
        e = buf_addf(out, "User-Agent: %s\r\n", user_agent);
    return e != ERR_NONE ? e : buf_add_str(out, "\r\n");
}

/* A piece of the answer. */
struct span {
    const char *at;
    size_t len;
};

static struct span trim(struct span s)
{
    while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t')) {
        s.at++;
        s.len--;
    }
    while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
        s.len--;
    return s;
}

static bool same(struct span s, const char *text)
{
    return s.len == strlen(text) && strncasecmp(s.at, text, s.len) == 0;
}

/* Is `token` one of the list's elements, which commas part? */
static bool lists(struct span list, const char *token)
{
    while (list.len > 0) {
        const char *comma = memchr(list.at, ',', list.len);
        size_t len = comma == NULL ? list.len : (size_t)(comma - list.at);
        if (same(trim((struct span){list.at, len}), token))
            return true;
        len += comma != NULL;
        list.at += len;
        list.len -= len;
    }
    return false;
}

/* What the headers said. */
struct headers {
    bool upgrade, connection, accept_right, accept_wrong, extension, protocol;
    struct span retry_after, date;
};

static void read_header(struct headers *h, struct span name, struct span value, const char *accept)
{
    if (same(name, "upgrade")) {
        h->upgrade |= lists(value, "websocket");
    } else if (same(name, "connection")) {
        h->connection |= lists(value, "upgrade");
    } else if (same(name, "sec-websocket-accept")) {
        /* Base64 tells upper from lower case: no `same` here. */
        if (value.len == strlen(accept) && memcmp(value.at, accept, value.len) == 0)
            h->accept_right = true;
        else
            h->accept_wrong = true;
    } else if (same(name, "sec-websocket-extensions")) {
        h->extension = true;
    } else if (same(name, "sec-websocket-protocol")) {
        h->protocol = true;
    } else if (same(name, "retry-after")) {
        h->retry_after = value;
    } else if (same(name, "date")) {
        h->date = value;
    }
}

/* The next line of data[*at … len), without its end; false when there is none yet. */
static bool next_line(const char *data, size_t len, size_t *at, struct span *line)
{
    const char *end = memchr(data + *at, '\n', len - *at);
    if (end == NULL)
        return false;
    *line = (struct span){data + *at, (size_t)(end - data) - *at};
    *at += line->len + 1;
    if (line->len > 0 && line->at[line->len - 1] == '\r')
        line->len--;
    return true;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT", the one form of dates that servers may still send. */
static bool read_date(struct span s, time_t *out)
{
    char text[40];
    struct tm tm = {0};
    if (s.len == 0 || s.len >= sizeof text)
        return false;
    memcpy(text, s.at, s.len);
    text[s.len] = '\0';
    const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    if (end == NULL || *end != '\0')
        return false;
    *out = timegm(&tm);
    return true;
}

/* Seconds, or a date: that is compared with the answer's own, so that nobody's clock matters. */
static uint32_t retry_after_ms(const struct headers *h)
{
    uint64_t s = 0;
    time_t then, now;
    struct span v = h->retry_after;
    if (v.len == 0)
        return 0;
    if (isdigit((unsigned char)v.at[0])) {
        for (size_t i = 0; i < v.len; i++) {
            if (!isdigit((unsigned char)v.at[i]))
                return 0;
            s = s * 10 + (uint64_t)(v.at[i] - '0');
            if (s > RETRY_AFTER_MAX_S)
                s = RETRY_AFTER_MAX_S;
        }
    } else if (read_date(v, &then) && read_date(h->date, &now) && then > now) {
        s = (uint64_t)(then - now);
    }
    return (uint32_t)(s > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : s) * 1000;
}

/* "HTTP/1.1 101 Switching Protocols". As many bytes as there are must fit it: garbage is noticed
 * before a line has ended. */
static bool begins_as_http(const char *data, size_t len)
{
    static const char start[] = "HTTP/1.";
    size_t n = len < sizeof start - 1 ? len : sizeof start - 1;
    return memcmp(data, start, n) == 0;
}

static bool read_status(struct span line, int *status)
{
    if (line.len < 12 || !isdigit((unsigned char)line.at[7]) || line.at[8] != ' ' ||
        (line.len > 12 && line.at[12] != ' '))
        return false;
    int code = 0;
    for (size_t i = 9; i < 12; i++) {
        if (!isdigit((unsigned char)line.at[i]))
            return false;
        code = code * 10 + (line.at[i] - '0');
    }
    *status = code;
    return code >= 100 && code <= 599;
}

/* Puts the status and the server's words into the problem, control characters replaced. */
static enum err tell_status(struct problem *p, int status, struct span line)
{
    char words[80];
    struct span s =
        line.len > 13 ? trim((struct span){line.at + 13, line.len - 13}) : (struct span){"", 0};
    size_t n = s.len < sizeof words - 1 ? s.len : sizeof words - 1;
    for (size_t i = 0; i < n; i++)
        words[i] = s.at[i] >= ' ' && s.at[i] < 127 ? s.at[i] : '?';
    words[n] = '\0';
    return problem_set(p, ERR_HTTP, "HTTP %d%s%s", status, n > 0 ? " " : "", words);
}

/* RFC 6455, 4.1, the client's list of what makes it fail the connection. */
static enum err judge(const struct headers *h, bool http_11, struct problem *p)
{
    const char *bad = NULL;
    if (!http_11)
        bad = "101 in a version other than HTTP/1.1";
    else if (!h->upgrade)
        bad = "no \"Upgrade: websocket\"";
    else if (!h->connection)
        bad = "no \"Connection: Upgrade\"";
    else if (h->accept_wrong)
        bad = "a wrong Sec-WebSocket-Accept";
    else if (!h->accept_right)
        bad = "no Sec-WebSocket-Accept";
    else if (h->extension)
        bad = "an extension nobody asked for";
    else if (h->protocol)
        bad = "a subprotocol nobody asked for";
    return bad == NULL
               ? ERR_NONE
               : problem_set(p, ERR_PROTOCOL, "websocket handshake: the answer has %s", bad);
}

/* Looks at the headers up to the empty line. A header that is none counts only in a 101: of other
 * answers nothing but the status matters. */
static enum err read_headers(const char *data, size_t len, size_t *at, const char *accept,
                             struct headers *h, bool *malformed)
{
    struct span line;
    while (next_line(data, len, at, &line)) {
        if (line.len == 0)
            return ERR_NONE;
        const char *colon = memchr(line.at, ':', line.len);
        if (colon == NULL || colon == line.at || line.at[0] == ' ' || line.at[0] == '\t' ||
            memchr(line.at, '\0', line.len) != NULL) {
            *malformed = true;
            continue;
        }
        size_t name_len = (size_t)(colon - line.at);
        struct span value = {colon + 1, line.len - name_len - 1};
        read_header(h, (struct span){line.at, name_len}, trim(value), accept);
    }
    return ERR_AGAIN;
}

enum err handshake_answer(const char *data, size_t len, const char *key,
                          struct handshake_answer *out, struct problem *p)
{
    struct headers h = {0};
    struct span line;
    char accept[HANDSHAKE_ACCEPT_SIZE];
    size_t at = 0;
    bool malformed = false;
    *out = (struct handshake_answer){0};
    if (len == 0)
        return ERR_AGAIN;
    if (!begins_as_http(data, len))
        return problem_set(p, ERR_PROTOCOL, "the answer is not HTTP");
    size_t look_len = len < HANDSHAKE_ANSWER_MAX ? len : HANDSHAKE_ANSWER_MAX;
    enum err e = ERR_AGAIN;
    if (next_line(data, look_len, &at, &line)) {
        if (!read_status(line, &out->status))
            return problem_set(p, ERR_PROTOCOL, "the answer's status line is not HTTP");
        handshake_accept(key, accept);
        e = read_headers(data, look_len, &at, accept, &h, &malformed);
    }
    if (e == ERR_AGAIN)
        return look_len < HANDSHAKE_ANSWER_MAX
                   ? ERR_AGAIN
                   : problem_set(p, ERR_TOO_BIG, "the answer's headers pass %u bytes",
                                 HANDSHAKE_ANSWER_MAX);
    out->len = at;
    if (out->status != 101) {
        out->retry_after_ms = retry_after_ms(&h);
        return tell_status(p, out->status, line);
    }
    if (malformed)
        return problem_set(p, ERR_PROTOCOL, "websocket handshake: a header is malformed");
    return judge(&h, data[7] == '1', p);
}
