#include "common/net/control_wire.h"

#include "common/config/value.h"
#include "common/net/control.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

struct control_wire {
    char *address;
    const struct control_wire_calls *calls;
    void *arg;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_pipe_t pipe;
        uv_tcp_t tcp;
    } u;
    uv_connect_t connect;
    struct control_reader reader;
    bool closing;
    char bytes[8192];
};

/* ---- addresses ---- */

static enum err unix_path(const char *text, const char **path)
{
    if (strncmp(text, "unix:/", 6) != 0 ||
        strlen(text + 5) >= sizeof((struct sockaddr_un *)NULL)->sun_path)
        return ERR_INVALID;
    *path = text + 5;
    return ERR_NONE;
}

static enum err tcp_address(const char *text, struct sockaddr_storage *out)
{
    char host[64];
    uint64_t port;
    const char *colon = strrchr(text, ':');
    *out = (struct sockaddr_storage){0};
    if (colon == NULL || value_uint(colon + 1, &port) != ERR_NONE || port == 0 ||
        port > UINT16_MAX || (size_t)(colon - text) >= sizeof host)
        return ERR_INVALID;
    bool brackets = text[0] == '[' && colon > text + 1 && colon[-1] == ']';
    (void)snprintf(host, sizeof host, "%.*s", (int)(colon - text) - 2 * brackets, text + brackets);
    if (strcmp(host, "localhost") == 0)
        (void)snprintf(host, sizeof host, "127.0.0.1");
    bool good = brackets ? uv_ip6_addr(host, (int)port, (struct sockaddr_in6 *)out) == 0
                         : uv_ip4_addr(host, (int)port, (struct sockaddr_in *)out) == 0;
    return good ? ERR_NONE : ERR_INVALID;
}

enum err control_address_check(const char *text, struct problem *p)
{
    const char *path;
    struct sockaddr_storage address;
    if (unix_path(text, &path) == ERR_NONE || tcp_address(text, &address) == ERR_NONE)
        return ERR_NONE;
    return problem_set(p, ERR_INVALID,
                       "'%.100s' is not unix:/PATH or HOST:PORT, HOST an address or localhost "
                       "(names are not resolved)",
                       text);
}

/* ---- ending ---- */

static void on_closed(uv_handle_t *handle)
{
    struct control_wire *w = handle->data;
    void (*fn)(void *) = w->calls->on_closed;
    void *arg = w->arg;
    control_reader_fini(&w->reader);
    free(w->address);
    free(w);
    fn(arg);
}

void control_wire_close(struct control_wire *w)
{
    w->closing = true;
    uv_close(&w->u.handle, on_closed);
}

static void end(struct control_wire *w, const char *fmt, ...) PRINTF(2, 3);
static void end(struct control_wire *w, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    control_wire_close(w);
    w->calls->on_end(w->arg, text);
}

/* ---- writing ---- */

struct writing {
    uv_write_t request;
    size_t len;
    char text[];
};

static void on_written(uv_write_t *request, int status)
{
    struct writing *w = request->data;
    (void)status; /* a failure shows when reading, too */
    explicit_bzero(w->text, w->len);
    free(w);
}

void control_wire_send(struct control_wire *w, const char *text, size_t len)
{
    struct writing *out = mem_zero(1, sizeof *out + len);
    memcpy(out->text, text, len);
    out->len = len;
    out->request.data = out;
    uv_buf_t b = uv_buf_init(out->text, (unsigned)len);
    if (uv_write(&out->request, &w->u.stream, &b, 1, on_written) != 0)
        on_written(&out->request, 0);
}

/* ---- reading ---- */

static bool on_line(void *arg, const struct control_line *line)
{
    struct control_wire *w = arg;
    w->calls->on_line(w->arg, line);
    return !w->closing;
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *b)
{
    struct control_wire *w = handle->data;
    (void)size;
    *b = uv_buf_init(w->bytes, sizeof w->bytes);
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *b)
{
    struct control_wire *w = stream->data;
    if (w->closing || len == 0)
        return;
    if (len < 0) {
        end(w, len == UV_EOF ? "%s: tor closed the connection" : "%s: the connection was lost",
            w->address);
        return;
    }
    enum err e = control_feed(&w->reader, (const uint8_t *)b->base, (size_t)len, on_line, w);
    if (e != ERR_NONE && !w->closing)
        end(w, "%s: not tor's control protocol", w->address);
}

/* ---- connecting ---- */

static void on_connect(uv_connect_t *request, int status)
{
    struct control_wire *w = request->data;
    if (w->closing)
        return;
    if (status == 0)
        status = uv_read_start(&w->u.stream, on_alloc, on_read);
    if (status == 0)
        w->calls->on_open(w->arg);
    else
        end(w, "cannot connect to %s: %s", w->address, uv_strerror(status));
}

struct control_wire *control_wire_open(uv_loop_t *loop, const char *address,
                                       const struct control_wire_calls *calls, void *arg)
{
    struct sockaddr_storage to = {0};
    const char *path;
    struct control_wire *w = mem_zero(1, sizeof *w);
    w->address = mem_strdup(address);
    w->calls = calls;
    w->arg = arg;
    control_reader_init(&w->reader);
    bool local = unix_path(w->address, &path) == ERR_NONE;
    if (!local && tcp_address(address, &to) != ERR_NONE)
        die("control: an address that was not checked: %s", address);
    int e = local ? uv_pipe_init(loop, &w->u.pipe, 0) : uv_tcp_init(loop, &w->u.tcp);
    if (e != 0)
        die("control: cannot make a socket: %s", uv_strerror(e));
    w->u.handle.data = w->connect.data = w;
    if (local)
        uv_pipe_connect(&w->connect, &w->u.pipe, path, on_connect);
    else
        e = uv_tcp_connect(&w->connect, &w->u.tcp, (const struct sockaddr *)&to, on_connect);
    if (e == 0)
        return w;
    end(w, "cannot connect to %s: %s", w->address, uv_strerror(e));
    return NULL;
}
