#include "ctl/lines.h"

#include <string.h>

void lines_init(struct lines *l, size_t line_max, size_t chunk_max)
{
    *l = (struct lines){.max = line_max};
    buf_init(&l->buf, line_max + 1 + chunk_max);
}

void lines_fini(struct lines *l)
{
    buf_fini(&l->buf);
}

void lines_add(struct lines *l, const char *data, size_t len)
{
    buf_drop(&l->buf, l->at);
    l->at = 0;
    if (buf_add(&l->buf, data, len) != ERR_NONE)
        die("lines: more than was agreed");
}

static bool is_blank(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r')
            return false;
    return true;
}

/* The line at the front, or with its end still to come LINE_NONE. */
static enum line_kind front(struct lines *l, bool eof, struct line *out)
{
    const char *begin = (const char *)l->buf.data + l->at;
    size_t left = l->buf.len - l->at;
    const char *end = left > 0 ? memchr(begin, '\n', left) : NULL;
    size_t len = end != NULL ? (size_t)(end - begin) : left;
    bool too_long = l->skipping || len > l->max;
    if (end == NULL && too_long && !eof) {
        l->at = l->buf.len;
        l->skipping = true;
    }
    if (end == NULL && (!eof || (left == 0 && !l->skipping)))
        return LINE_NONE;
    l->at += len + (end != NULL);
    l->skipping = false;
    l->number++;
    *out = (struct line){.text = begin, .len = too_long ? 0 : len, .number = l->number};
    return too_long ? LINE_TOO_LONG : LINE_WHOLE;
}

enum line_kind lines_next(struct lines *l, bool eof, struct line *out)
{
    for (;;) {
        enum line_kind kind = front(l, eof, out);
        if (kind != LINE_WHOLE || !is_blank(out->text, out->len))
            return kind;
    }
}
