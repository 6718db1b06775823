/* HTTP requests: which path and headers get which answer. A websocket's request becomes a session.
 */
#ifndef VOLLEY_INGEST_HTTP_H
#define VOLLEY_INGEST_HTTP_H

#include "common/base/err.h"

#include <microhttpd.h>
#include <stdbool.h>

/* What matters of a request's headers. Strings live as long as the request. */
struct request_facts {
    bool http11;             /* HTTP/1.1 */
    bool upgrade_websocket;  /* Upgrade names websocket */
    bool connection_upgrade; /* Connection names Upgrade */
    unsigned keys_len;       /* Sec-WebSocket-Key headers */
    const char *key, *version;
    bool from_web;   /* has Origin: a page in a browser sends it */
    bool from_proxy; /* has Forwarded or X-Forwarded-For */
    bool wants_info; /* Accept: application/nostr+json */
};
/* Takes one header into account. `value` may be NULL. */
void request_fact_add(struct request_facts *f, const char *name, const char *value);
/* Pure: the HTTP status that answers a websocket's request (RFC 6455, 4.2.1), 101 when it is good;
 * `why` is the body otherwise. */
unsigned upgrade_check(const struct request_facts *f, const char **why);

/* libmicrohttpd's access handler; `cls` is the listener. */
enum MHD_Result http_on_request(void *cls, struct MHD_Connection *c, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_len, void **context);

#endif
