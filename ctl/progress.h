/* A bar on the terminal that standard error is; nothing elsewhere. */
#ifndef VOLLEY_CTL_PROGRESS_H
#define VOLLEY_CTL_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROGRESS_EVERY_MS 200u

struct progress {
    bool on;      /* standard error is a terminal */
    bool visible; /* a bar stands in the last line */
    uint64_t began_ms;
};
void progress_init(struct progress *p, uint64_t now_ms);
/* One line of at most `width` columns: a bar and what is left when `total` is known (not 0), and
 * the number and rate of what was done. Pure. */
void progress_text(char *out, size_t size, size_t width, uint64_t done, uint64_t total,
                   uint64_t count, uint64_t ms);
/* `done` of `total` bytes (0: unknown), `count` events so far. */
void progress_draw(struct progress *p, uint64_t done, uint64_t total, uint64_t count,
                   uint64_t now_ms);
/* Takes the bar away, before a line is printed and at the end. */
void progress_clear(struct progress *p);

#endif
