#include "common/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b, size_t max)
{
    /* The terminator must be counted too. */
    *b = (struct buf){.max = max < SIZE_MAX ? max : SIZE_MAX - 1};
}

void buf_fini(struct buf *b)
{
    free(b->data);
    buf_init(b, b->max);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
}

/* One byte more than asked for is always there, for buf_str's terminator; and no more than that
 * beyond the maximum. */
enum err buf_reserve(struct buf *b, size_t len)
{
    if (b->len > b->max || len > b->max - b->len)
        return ERR_TOO_BIG;
    size_t need = b->len + len + 1;
    if (need <= b->cap)
        return ERR_NONE;
    size_t cap = b->cap < 64 ? 64 : b->cap;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    if (cap > b->max)
        cap = b->max + 1;
    b->data = mem_grow(b->data, cap);
    b->cap = cap;
    return ERR_NONE;
}

enum err buf_add(struct buf *b, const void *data, size_t len)
{
    enum err e = buf_reserve(b, len);
    if (e != ERR_NONE)
        return e;
    if (len > 0)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    return ERR_NONE;
}

enum err buf_add_str(struct buf *b, const char *s)
{
    return buf_add(b, s, strlen(s));
}

enum err buf_add_char(struct buf *b, char c)
{
    return buf_add(b, &c, 1);
}

enum err buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (len < 0)
        return ERR_INVALID;
    enum err e = buf_reserve(b, (size_t)len);
    if (e != ERR_NONE)
        return e;
    va_start(ap, fmt);
    (void)vsnprintf((char *)b->data + b->len, (size_t)len + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)len;
    return ERR_NONE;
}

void buf_drop(struct buf *b, size_t len)
{
    if (len > b->len)
        len = b->len;
    if (len == 0)
        return;
    memmove(b->data, b->data + len, b->len - len);
    b->len -= len;
}

const char *buf_str(struct buf *b)
{
    if (b->data == NULL)
        return "";
    b->data[b->len] = '\0';
    return (const char *)b->data;
}
