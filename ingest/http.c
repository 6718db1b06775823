#include "ingest/http.h"

#include "common/net/handshake.h"
#include "httpd/reply.h"
#include "ingest/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define TYPE_INFO "application/nostr+json"

static const char page[] =
    "This is volley " VERSION ", a broadcaster for Nostr.\n"
    "It takes signed events over a websocket (NIP-01), keeps them in a durable queue and delivers\n"
    "them to its owner's relays. It keeps no archive: post here, read elsewhere.\n";

/* ---- facts of a request */

/* Whether a comma-separated list has `token`, in any case; parameters after ; don't matter. */
static bool has_token(const char *list, const char *token)
{
    size_t len = strlen(token);

    while (*list != '\0') {
        list += strspn(list, " \t,");
        size_t item_len = strcspn(list, ",");
        size_t word_len = strcspn(list, " \t,;");
        if (word_len == len && strncasecmp(list, token, len) == 0)
            return true;
        list += item_len;
    }
    return false;
}

void request_fact_add(struct request_facts *f, const char *name, const char *value)
{
    if (value == NULL)
        value = "";
    if (strcasecmp(name, "Upgrade") == 0) {
        f->upgrade_websocket = f->upgrade_websocket || has_token(value, "websocket");
    } else if (strcasecmp(name, "Connection") == 0) {
        f->connection_upgrade = f->connection_upgrade || has_token(value, "Upgrade");
    } else if (strcasecmp(name, "Sec-WebSocket-Key") == 0) {
        f->key = value;
        f->keys_len++;
    } else if (strcasecmp(name, "Sec-WebSocket-Version") == 0) {
        f->version = value;
    } else if (strcasecmp(name, "Origin") == 0) {
        f->from_web = true;
    } else if (strcasecmp(name, "Forwarded") == 0 || strcasecmp(name, "X-Forwarded-For") == 0) {
        f->from_proxy = true;
    } else if (strcasecmp(name, "Accept") == 0) {
        f->wants_info = f->wants_info || has_token(value, TYPE_INFO);
    }
}

/* Base64 of 16 bytes: 22 characters and ==. */
static bool key_is_good(const char *key)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    return strlen(key) == HANDSHAKE_KEY_SIZE - 1 && strspn(key, alphabet) == 22 &&
           strcmp(key + 22, "==") == 0;
}

unsigned upgrade_check(const struct request_facts *f, const char **why)
{
    *why = "";
    if (!f->http11) {
        *why = "A websocket needs HTTP/1.1.\n";
        return MHD_HTTP_BAD_REQUEST;
    }
    if (!f->connection_upgrade) {
        *why = "Upgrade: websocket without Connection: Upgrade. Does a proxy drop the header?\n";
        return MHD_HTTP_BAD_REQUEST;
    }
    if (f->version == NULL || strcmp(f->version, "13") != 0) {
        *why = "Only websocket version 13 (RFC 6455) is spoken here.\n";
        return MHD_HTTP_UPGRADE_REQUIRED;
    }
    if (f->keys_len != 1 || !key_is_good(f->key)) {
        *why = "Sec-WebSocket-Key must be there once, with 16 bytes in base64.\n";
        return MHD_HTTP_BAD_REQUEST;
    }
    return MHD_HTTP_SWITCHING_PROTOCOLS;
}

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                 const char *value)
{
    (void)kind;
    request_fact_add(cls, name, value);
    return MHD_YES;
}

/* ---- answers */

/* The three headers that NIP-11 asks for, so that web clients may read the document. */
static void put_cors(struct MHD_Response *r)
{
    reply_header(r, "Access-Control-Allow-Origin", "*");
    reply_header(r, "Access-Control-Allow-Headers", "*");
    reply_header(r, "Access-Control-Allow-Methods", "GET, HEAD, OPTIONS");
}

static enum MHD_Result send_info(struct MHD_Connection *c, const char *info)
{
    struct MHD_Response *r = reply_new(TYPE_INFO, info);

    put_cors(r);
    reply_header(r, "Vary", "Accept");
    return reply_send(c, MHD_HTTP_OK, r);
}

static enum MHD_Result send_page(struct MHD_Connection *c)
{
    struct MHD_Response *r = reply_new(REPLY_TEXT, page);

    reply_header(r, "Vary", "Accept");
    return reply_send(c, MHD_HTTP_OK, r);
}

static enum MHD_Result send_preflight(struct MHD_Connection *c)
{
    struct MHD_Response *r = reply_new(REPLY_TEXT, "");

    put_cors(r);
    return reply_send(c, MHD_HTTP_NO_CONTENT, r);
}

/* ---- websockets */

static void on_upgraded(void *cls, struct MHD_Connection *c, void *context, const char *extra,
                        size_t extra_len, MHD_socket fd, struct MHD_UpgradeResponseHandle *urh)
{
    struct listener *l = cls;
    struct ingest *i = l->http->arg;
    struct connection *conn = connection_of(c);

    (void)context;
    conn->upgraded = true;
    if (i->drain == DRAIN_ENDING)
        (void)MHD_upgrade_action(urh, MHD_UPGRADE_ACTION_CLOSE);
    else
        session_new(i, l, urh, fd, extra, extra_len);
}

static enum MHD_Result upgrade(struct listener *l, struct MHD_Connection *c,
                               const struct request_facts *f)
{
    const char *why;
    const struct ingest *i = l->http->arg;
    char accept[HANDSHAKE_ACCEPT_SIZE];
    unsigned status = upgrade_check(f, &why);

    if (status != MHD_HTTP_SWITCHING_PROTOCOLS)
        return reply_send_text(c, status, why);
    if (i->drain != DRAIN_NO)
        return reply_send_text(c, MHD_HTTP_SERVICE_UNAVAILABLE, "Shutting down.\n");
    struct MHD_Response *r = MHD_create_response_for_upgrade(on_upgraded, l);
    if (r == NULL)
        die("out of memory");
    handshake_accept(f->key, accept);
    reply_header(r, "Upgrade", "websocket");
    reply_header(r, "Sec-WebSocket-Accept", accept);
    return reply_send(c, status, r);
}

/* ---- paths */

static enum MHD_Result serve_root(struct listener *l, struct MHD_Connection *c, const char *method,
                                  const struct request_facts *f)
{
    const struct ingest *i = l->http->arg;
    bool get = strcmp(method, "GET") == 0;

    if (strcmp(method, "OPTIONS") == 0)
        return send_preflight(c);
    if (!get && strcmp(method, "HEAD") != 0)
        return reply_send_not_allowed(c, "GET, HEAD, OPTIONS");
    if (get && f->upgrade_websocket)
        return upgrade(l, c, f);
    return f->wants_info ? send_info(c, i->info) : send_page(c);
}

/* For the probe's metrics. */
static void put_counts(struct MHD_Response *r, const struct ingest_counts *n)
{
    char text[128];

    (void)snprintf(text, sizeof text,
                   "accepted=%" PRIu64 " duplicate=%" PRIu64 " refused=%" PRIu64 " error=%" PRIu64,
                   n->accepted, n->duplicate, n->refused, n->error);
    reply_header(r, "Volley-Events", text);
}

static enum MHD_Result serve_health(struct listener *l, struct MHD_Connection *c,
                                    const char *method, void **context)
{
    static char waited; /* its address marks a request that comes again after waiting */
    struct ingest *i = l->http->arg;
    char body[sizeof i->health.why + 2];

    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return reply_send_not_allowed(c, "GET, HEAD");
    if (i->drain != DRAIN_NO)
        return reply_send_text(c, MHD_HTTP_SERVICE_UNAVAILABLE, "shutting down\n");
    if (*context != &waited) {
        *context = &waited;
        if (!health_ask(i, l, c))
            return MHD_YES;
    }
    const char *why = i->health.why;
    (void)snprintf(body, sizeof body, "%s\n", why[0] == '\0' ? "ok" : why);
    struct MHD_Response *r = reply_new(REPLY_TEXT, body);
    put_counts(r, &i->counts);
    if (why[0] == '\0')
        return reply_send(c, MHD_HTTP_OK, r);
    reply_header(r, "Retry-After", "5");
    return reply_send(c, MHD_HTTP_SERVICE_UNAVAILABLE, r);
}

enum MHD_Result http_on_request(void *cls, struct MHD_Connection *c, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_len, void **context)
{
    struct listener *l = cls;
    const struct ingest *i = l->http->arg;
    struct request_facts f = {.http11 = strcmp(version, "HTTP/1.1") == 0};

    (void)upload;
    (void)upload_len;
    connection_of(c)->since_ms = i->now_ms;
    (void)MHD_get_connection_values(c, MHD_HEADER_KIND, on_header, &f);
    if (i->guarded && (f.from_web || f.from_proxy))
        return reply_send_text(
            c, MHD_HTTP_FORBIDDEN,
            "This relay takes events of anybody, so it serves only programs on its own\n"
            "machine: no web pages (Origin) and nothing through a proxy (Forwarded,\n"
            "X-Forwarded-For). Set ingest.allow_pubkeys to the authors it shall serve.\n");
    if (strcmp(url, "/") == 0)
        return serve_root(l, c, method, &f);
    if (strcmp(url, "/healthz") == 0)
        return serve_health(l, c, method, context);
    return reply_send_text(c, MHD_HTTP_NOT_FOUND, "There is nothing here. The relay is at /.\n");
}
