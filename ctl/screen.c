/* The keyboard is read through libuv's tty handle: it opens the terminal anew, so that the
 * non-blocking mode is not left to the shell whose terminal it is. */
#include "ctl/screen.h"

#include "common/base/err.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The other screen, no cursor, and what is too long for a line ends there. */
#define ENTER "\033[?1049h\033[?25l\033[?7l"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"

size_t terminal_size(int fd, size_t *lines)
{
    struct winsize size;
    if (lines != NULL)
        *lines = 0;
    if (!isatty(fd))
        return 0;
    if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        size = (struct winsize){.ws_col = 80, .ws_row = 24};
    if (lines != NULL)
        *lines = size.ws_row;
    return size.ws_col;
}

bool terminal_colours(int fd)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(fd) && (no == NULL || no[0] == '\0') &&
           (term == NULL || strcmp(term, "dumb") != 0);
}

static void enter(struct screen *s)
{
    if (s->has_keys)
        uv_tty_set_mode(&s->keys, UV_TTY_MODE_RAW);
    fputs(ENTER, stdout);
    fflush(stdout);
    s->entered = true;
}

static void leave(struct screen *s)
{
    if (!s->entered)
        return;
    s->entered = false;
    if (s->has_keys)
        uv_tty_set_mode(&s->keys, UV_TTY_MODE_NORMAL);
    fputs(LEAVE, stdout);
    fflush(stdout);
}

/* Ctrl-Z: the shell gets its terminal as it was, we get it back with fg. */
static void suspend(struct screen *s)
{
    leave(s);
    raise(SIGTSTP);
    enter(s);
    s->on_redraw(s->arg);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct screen *s = handle->data;
    if (number == SIGWINCH)
        s->on_redraw(s->arg);
    else
        s->on_end(s->arg);
}

static void on_alloc(uv_handle_t *handle, size_t len, uv_buf_t *out)
{
    static char keys[64];
    (void)handle;
    (void)len;
    *out = uv_buf_init(keys, sizeof keys);
}

static void on_keys(uv_stream_t *stream, ssize_t len, const uv_buf_t *in)
{
    enum { CTRL_C = 3, CTRL_Z = 26 };
    struct screen *s = stream->data;
    bool end = len < 0;
    for (ssize_t i = 0; i < len; i++) {
        end |= in->base[i] == 'q' || in->base[i] == 'Q' || in->base[i] == CTRL_C;
        if (in->base[i] == CTRL_Z)
            suspend(s);
    }
    if (end)
        s->on_end(s->arg);
}

void screen_begin(struct screen *s, uv_loop_t *loop, void (*on_end)(void *arg),
                  void (*on_redraw)(void *arg), void *arg)
{
    static const int numbers[COUNT_OF(s->signals)] = {SIGWINCH, SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    *s = (struct screen){.on_end = on_end, .on_redraw = on_redraw, .arg = arg};
    for (size_t i = 0; i < COUNT_OF(s->signals); i++) {
        uv_signal_init(loop, &s->signals[i]);
        s->signals[i].data = s;
        uv_signal_start(&s->signals[i], on_signal, numbers[i]);
    }
    s->has_keys = isatty(0) && uv_tty_init(loop, &s->keys, 0, 1) == 0;
    s->keys.data = s;
    if (s->has_keys)
        uv_read_start((uv_stream_t *)&s->keys, on_alloc, on_keys);
    enter(s);
}

void screen_draw(struct screen *s, const char *frame)
{
    size_t lines, n = 1;
    (void)s;
    terminal_size(1, &lines);
    fputs("\033[H", stdout);
    for (; *frame != '\0'; frame++) {
        if (*frame != '\n')
            fputc(*frame, stdout);
        else if (frame[1] == '\0' || (lines > 0 && n == lines))
            break;
        else {
            fputs("\033[K\n", stdout);
            n++;
        }
    }
    fputs("\033[K\033[J", stdout);
    fflush(stdout);
}

void screen_end(struct screen *s)
{
    leave(s);
    for (size_t i = 0; i < COUNT_OF(s->signals); i++)
        uv_close((uv_handle_t *)&s->signals[i], NULL);
    if (s->has_keys)
        uv_close((uv_handle_t *)&s->keys, NULL);
}
