/* Answers of our HTTP servers: small helpers over libmicrohttpd. */
#ifndef VOLLEY_HTTPD_REPLY_H
#define VOLLEY_HTTPD_REPLY_H

#include "common/base/err.h"

#include <microhttpd.h>

#define REPLY_TEXT "text/plain; charset=utf-8"

/* `body` is copied. Has Content-Type and nosniff. */
struct MHD_Response *reply_new(const char *type, const char *body);
/* The same of `len` bytes that malloc made; they are freed with the response. */
struct MHD_Response *reply_new_owned(const char *type, char *body, size_t len);
void reply_header(struct MHD_Response *r, const char *name, const char *value);
/* Queues and forgets it. */
enum MHD_Result reply_send(struct MHD_Connection *c, unsigned status, struct MHD_Response *r);
/* A line of text. */
enum MHD_Result reply_send_text(struct MHD_Connection *c, unsigned status, const char *body);
/* 405; `methods` are those offered. */
enum MHD_Result reply_send_not_allowed(struct MHD_Connection *c, const char *methods);

#endif
