#include "probe/guard.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

void guard_fact_add(struct guard_facts *f, const char *name, const char *value)
{
    if (value == NULL)
        value = "";
    if (strcasecmp(name, "Host") == 0) {
        f->host = value;
        f->hosts_len++;
    } else if (strcasecmp(name, "Origin") == 0) {
        f->origin = value;
        f->origins_len++;
    } else if (strcasecmp(name, "Sec-Fetch-Site") == 0) {
        f->site = value;
    } else if (strcasecmp(name, "Authorization") == 0) {
        f->authorization = value;
    } else if (strcasecmp(name, "Forwarded") == 0 || strcasecmp(name, "X-Forwarded-For") == 0) {
        f->by_proxy = true;
    }
}

/* ---- Host ---- */

/* The name's length, without the port: "[::1]:80" → 5. 0 when it is no Host. */
static size_t name_len_of(const char *host)
{
    size_t len = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    const char *port = host + len;

    if (len > strlen(host) || host[strcspn(host, "@/\\ ")] != '\0')
        return 0;
    if (port[0] == '\0')
        return len;
    size_t digits = strspn(port + 1, "0123456789");
    return port[0] == ':' && digits <= 5 && port[1 + digits] == '\0' ? len : 0;
}

static bool is_loopback(const char *name, size_t len)
{
    char text[64];
    struct in_addr v4;

    if (len == 9 && strncasecmp(name, "localhost", len) == 0)
        return true;
    if (len == 5 && strncmp(name, "[::1]", len) == 0)
        return true;
    if (len >= sizeof text)
        return false;
    memcpy(text, name, len);
    text[len] = '\0';
    return inet_pton(AF_INET, text, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

bool guard_host_is_ours(const struct config_hosts *hosts, const char *host)
{
    size_t len = name_len_of(host);

    if (len == 0)
        return false;
    if (is_loopback(host, len))
        return true;
    for (size_t i = 0; i < hosts->len; i++) {
        const char *listed = hosts->host[i];
        size_t listed_len = name_len_of(listed);
        bool with_port = listed[listed_len] != '\0';
        if (with_port ? strcasecmp(listed, host) == 0
                      : listed_len == len && strncasecmp(listed, host, len) == 0)
            return true;
    }
    return false;
}

static bool host_is_ours(const struct guard_rules *r, const struct guard_facts *f)
{
    return f->hosts_len == 1 && guard_host_is_ours(&r->hosts, f->host);
}

/* ---- the token ---- */

static const char *after_scheme(const char *authorization, const char *scheme)
{
    size_t len = strlen(scheme);

    if (authorization == NULL || strncasecmp(authorization, scheme, len) != 0 ||
        authorization[len] != ' ')
        return NULL;
    return authorization + len + strspn(authorization + len, " ");
}

static enum guard_answer token_answer(const struct guard_rules *r, const char *text)
{
    return token_is(&r->token, text) ? GUARD_YES : GUARD_WRONG_TOKEN;
}

/* Basic: any user's name, the token as password. For browsers, which ask for it. */
static enum guard_answer password_answer(const struct guard_rules *r, const char *base64)
{
    uint8_t text[TOKEN_SIZE + 4];
    size_t len = strlen(base64);
    enum guard_answer answer = GUARD_WRONG_TOKEN;

    if (len == 0 || len % 4 != 0 || len / 4 * 3 >= sizeof text)
        return answer;
    int got = EVP_DecodeBlock(text, (const uint8_t *)base64, (int)len);
    if (got > 0) {
        text[got] = '\0'; /* padding was decoded to zeros */
        const char *colon = strchr((char *)text, ':');
        if (colon != NULL)
            answer = token_answer(r, colon + 1);
    }
    OPENSSL_cleanse(text, sizeof text);
    return answer;
}

enum guard_answer guard_read(const struct guard_rules *r, const struct guard_facts *f)
{
    const char *bearer = after_scheme(f->authorization, "Bearer");
    const char *basic = after_scheme(f->authorization, "Basic");

    if (!host_is_ours(r, f))
        return GUARD_BAD_HOST;
    if (r->open || (!f->not_loopback && !f->by_proxy))
        return GUARD_YES;
    if (bearer != NULL)
        return token_answer(r, bearer);
    return basic != NULL ? password_answer(r, basic) : GUARD_NO_TOKEN;
}

/* ---- acting ---- */

/* A browser says where a request comes from; other programs say nothing. TLS may end before us. */
static bool from_our_page(const struct guard_facts *f)
{
    static const char *const schemes[] = {"http://", "https://"};

    if (f->site != NULL && strcasecmp(f->site, "same-origin") != 0 &&
        strcasecmp(f->site, "none") != 0)
        return false;
    if (f->origins_len == 0)
        return true;
    for (size_t i = 0; f->origins_len == 1 && i < COUNT_OF(schemes); i++) {
        size_t len = strlen(schemes[i]);
        if (strncasecmp(f->origin, schemes[i], len) == 0 &&
            strcasecmp(f->origin + len, f->host) == 0)
            return true;
    }
    return false;
}

enum guard_answer guard_act(const struct guard_rules *r, const struct guard_facts *f)
{
    const char *bearer = after_scheme(f->authorization, "Bearer");
    const char *token = f->form_token != NULL && f->form_token[0] != '\0' ? f->form_token : bearer;

    if (!host_is_ours(r, f))
        return GUARD_BAD_HOST;
    if (!from_our_page(f))
        return GUARD_OTHER_SITE;
    if (!r->token.is_set)
        return GUARD_READ_ONLY;
    return token != NULL ? token_answer(r, token) : GUARD_NO_TOKEN;
}

const char *guard_words(enum guard_answer a)
{
    switch (a) {
    case GUARD_YES:
        return "ok";
    case GUARD_BAD_HOST:
        return "This name is not the probe's. Ask by localhost, or list the name in probe.hosts.";
    case GUARD_OTHER_SITE:
        return "This request comes from another site's page. Nothing was done.";
    case GUARD_READ_ONLY:
        return "Nobody may act here: probe.admin_token_file is not set. The commands can: see "
               "'volley replay --help'.";
    case GUARD_NO_TOKEN:
        return "The admin token is needed: as Authorization: Bearer TOKEN, or as the password.";
    case GUARD_WRONG_TOKEN:
        return "This is not the admin token.";
    }
    return "no";
}
