/* Bytes in, lines out, none longer than a maximum: a longer one is passed over and named so. */
#ifndef VOLLEY_CTL_LINES_H
#define VOLLEY_CTL_LINES_H

#include "common/base/buf.h"

struct lines {
    struct buf buf;
    size_t at;       /* where the next line begins in buf */
    size_t max;      /* bytes of a line, without its end */
    uint64_t number; /* of the line given out last; the first is 1 */
    bool skipping;   /* the rest of a line that was too long comes */
};

enum line_kind {
    LINE_NONE, /* more bytes are needed, or with `eof` there is nothing left */
    LINE_WHOLE,
    LINE_TOO_LONG
};
struct line {
    const char *text; /* not terminated, without its end; valid until the next call */
    size_t len;
    uint64_t number;
};

/* Frees with lines_fini. `chunk_max`: the most that lines_add is given at once. */
void lines_init(struct lines *l, size_t line_max, size_t chunk_max);
void lines_fini(struct lines *l);
/* To be called when lines_next says LINE_NONE, and only then. */
void lines_add(struct lines *l, const char *data, size_t len);
/* The next line; with `eof` also a last one without an end. Lines of white space alone are counted
 * and passed over. */
enum line_kind lines_next(struct lines *l, bool eof, struct line *out);

#endif
