/* The terminal: what it can, how large it is, and a full screen that a command may draw on and must
 * give back. */
#ifndef VOLLEY_CTL_SCREEN_H
#define VOLLEY_CTL_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

/* Columns of the terminal that `fd` is; 0 when it is none. `lines` may be NULL. */
size_t terminal_size(int fd, size_t *lines);
/* Whether colours are wanted there: a terminal that is not dumb, and no NO_COLOR. */
bool terminal_colours(int fd);

/* Drawn like top: the terminal's other screen, keys without Enter. Of one loop, one at a time. */
struct screen {
    uv_signal_t signals[5];
    uv_tty_t keys;
    bool has_keys, entered;
    void (*on_end)(void *arg);    /* q, Ctrl-C or a signal that ends: now call screen_end */
    void (*on_redraw)(void *arg); /* the size changed, or it is back from Ctrl-Z */
    void *arg;
};
/* Takes the terminal that standard output is. The callbacks come from the loop. */
void screen_begin(struct screen *s, uv_loop_t *loop, void (*on_end)(void *arg),
                  void (*on_redraw)(void *arg), void *arg);
/* Shows `frame`: lines of at most the terminal's width. Lines beyond its height are not shown. */
void screen_draw(struct screen *s, const char *frame);
/* Gives the terminal back as it was, and closes the handles in the loop. */
void screen_end(struct screen *s);

#endif
