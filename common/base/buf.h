/* A growing byte buffer that was told its maximum at birth. Every push can fail, and says so. */
#ifndef VOLLEY_BASE_BUF_H
#define VOLLEY_BASE_BUF_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct buf {
    uint8_t *data; /* owned; NULL until the first push */
    size_t len;    /* bytes in use */
    size_t cap;    /* bytes allocated */
    size_t max;    /* len never passes this */
};

/* An empty buffer that may grow to `max` bytes. Allocates nothing yet. */
void buf_init(struct buf *b, size_t max);
/* Frees the memory; the buffer is empty and usable again, with the same maximum. */
void buf_fini(struct buf *b);
/* Empties it and keeps the memory. */
void buf_clear(struct buf *b);

/* Makes room for `len` more bytes after data+len. ERR_TOO_BIG when the maximum would be passed. */
MUST_USE enum err buf_reserve(struct buf *b, size_t len);
/* Append. ERR_TOO_BIG when the maximum would be passed; then nothing was appended. */
MUST_USE enum err buf_add(struct buf *b, const void *data, size_t len);
MUST_USE enum err buf_add_str(struct buf *b, const char *s);
MUST_USE enum err buf_add_char(struct buf *b, char c);
MUST_USE enum err buf_addf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);

/* Drops the first `len` bytes (at most all of them) and moves the rest to the front. */
void buf_drop(struct buf *b, size_t len);
/* The content as a C string; the terminator is not counted in len. Valid until the next change. */
const char *buf_str(struct buf *b);

#endif
