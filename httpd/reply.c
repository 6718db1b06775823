#include "httpd/reply.h"

#include <string.h>

void reply_header(struct MHD_Response *r, const char *name, const char *value)
{
    if (MHD_add_response_header(r, name, value) != MHD_YES)
        die("a response header was refused: %s", name);
}

static struct MHD_Response *dressed(struct MHD_Response *r, const char *type)
{
    if (r == NULL)
        die("out of memory");
    reply_header(r, "Content-Type", type);
    reply_header(r, "X-Content-Type-Options", "nosniff");
    return r;
}

struct MHD_Response *reply_new(const char *type, const char *body)
{
    /* MHD takes a pointer to non-const and, with this mode, only copies. */
    return dressed(MHD_create_response_from_buffer(strlen(body), (void *)(uintptr_t)body,
                                                   MHD_RESPMEM_MUST_COPY),
                   type);
}

struct MHD_Response *reply_new_owned(const char *type, char *body, size_t len)
{
    return dressed(MHD_create_response_from_buffer(len, body, MHD_RESPMEM_MUST_FREE), type);
}

enum MHD_Result reply_send(struct MHD_Connection *c, unsigned status, struct MHD_Response *r)
{
    enum MHD_Result result = MHD_queue_response(c, status, r);

    MHD_destroy_response(r);
    return result;
}

enum MHD_Result reply_send_text(struct MHD_Connection *c, unsigned status, const char *body)
{
    struct MHD_Response *r = reply_new(REPLY_TEXT, body);

    if (status == MHD_HTTP_UPGRADE_REQUIRED)
        reply_header(r, "Sec-WebSocket-Version", "13");
    if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
        reply_header(r, "Retry-After", "5");
    return reply_send(c, status, r);
}

enum MHD_Result reply_send_not_allowed(struct MHD_Connection *c, const char *methods)
{
    struct MHD_Response *r = reply_new(REPLY_TEXT, "This method is not offered here.\n");

    reply_header(r, "Allow", methods);
    return reply_send(c, MHD_HTTP_METHOD_NOT_ALLOWED, r);
}
