#include "common/net/tor_process.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct tor_process {
    const struct tor_process_calls *calls;
    void *arg;
    uv_process_t process;
    uv_pipe_t output;
    int handles; /* of the two, not yet closed */
    bool output_open;
    char line[TOR_LINE_SIZE]; /* what has come of it */
    size_t line_len;
    char bytes[4096];
};

static void on_closed(uv_handle_t *handle)
{
    struct tor_process *x = handle->data;
    if (--x->handles > 0)
        return;
    void (*fn)(void *) = x->calls->on_closed;
    void *arg = x->arg;
    free(x);
    fn(arg);
}

/* ---- what it says ---- */

static void end_line(struct tor_process *x)
{
    x->line[x->line_len] = '\0';
    x->line_len = 0;
    x->calls->on_line(x->arg, x->line);
}

static void take(struct tor_process *x, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == '\n')
            end_line(x);
        else if (x->line_len < sizeof x->line - 1)
            x->line[x->line_len++] = bytes[i];
    }
}

static void close_output(struct tor_process *x)
{
    if (!x->output_open)
        return;
    x->output_open = false;
    if (x->line_len > 0)
        end_line(x);
    uv_close((uv_handle_t *)&x->output, on_closed);
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *b)
{
    struct tor_process *x = handle->data;
    (void)size;
    *b = uv_buf_init(x->bytes, sizeof x->bytes);
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *b)
{
    struct tor_process *x = stream->data;
    if (len > 0)
        take(x, b->base, (size_t)len);
    else if (len < 0)
        close_output(x);
}

/* Its last words may still be in the pipe, and a child of its own may hold the other end open. */
static void drain(struct tor_process *x)
{
    uv_os_fd_t fd;
    if (!x->output_open || uv_fileno((uv_handle_t *)&x->output, &fd) != 0)
        return;
    for (int i = 0; i < 64; i++) {
        ssize_t len = read(fd, x->bytes, sizeof x->bytes);
        if (len <= 0)
            return;
        take(x, x->bytes, (size_t)len);
    }
}

/* ---- its life ---- */

static void on_end(uv_process_t *process, int64_t status, int number)
{
    struct tor_process *x = process->data;
    drain(x);
    close_output(x);
    uv_close((uv_handle_t *)process, on_closed);
    x->calls->on_end(x->arg, status, number);
}

static int open_output(struct tor_process *x, uv_file *child_end)
{
    uv_file fds[2];
    int e = uv_pipe(fds, UV_NONBLOCK_PIPE, 0);
    if (e != 0)
        return e;
    *child_end = fds[1];
    e = uv_pipe_open(&x->output, fds[0]);
    if (e != 0)
        close(fds[0]);
    if (e == 0)
        e = uv_read_start((uv_stream_t *)&x->output, on_alloc, on_read);
    if (e != 0)
        close(fds[1]);
    return e;
}

static int spawn(struct tor_process *x, uv_loop_t *loop, char *const *args, int lock_fd,
                 uv_file child_end)
{
    uv_stdio_container_t stdio[4] = {{.flags = UV_IGNORE},
                                     {.flags = UV_INHERIT_FD, .data.fd = child_end},
                                     {.flags = UV_INHERIT_FD, .data.fd = child_end},
                                     {.flags = UV_INHERIT_FD, .data.fd = lock_fd}};
    const uv_process_options_t o = {.file = args[0],
                                    .args = (char **)args,
                                    .exit_cb = on_end,
                                    .stdio = stdio,
                                    .stdio_count = 4,
                                    .flags = UV_PROCESS_DETACHED};
    return uv_spawn(loop, &x->process, &o);
}

int tor_process_start(uv_loop_t *loop, char *const *args, int lock_fd,
                      const struct tor_process_calls *calls, void *arg, struct tor_process **out)
{
    struct tor_process *x = mem_zero(1, sizeof *x);
    uv_file child_end;
    x->calls = calls;
    x->arg = arg;
    x->process.data = x->output.data = x;
    (void)uv_pipe_init(loop, &x->output, 0);
    x->handles = 1;
    x->output_open = true;
    int e = open_output(x, &child_end);
    if (e == 0) {
        x->handles = 2; /* uv_spawn makes a handle even when it fails */
        e = spawn(x, loop, args, lock_fd, child_end);
        close(child_end);
        if (e != 0)
            uv_close((uv_handle_t *)&x->process, on_closed);
    }
    if (e != 0)
        close_output(x);
    *out = e == 0 ? x : NULL;
    return e;
}

void tor_process_signal(struct tor_process *x, int number)
{
    uv_process_kill(&x->process, number);
}

int tor_process_id(const struct tor_process *x)
{
    return x->process.pid;
}
