/* The language of tor's control port: replies line by line, and the fields in them. Pure.
 *
 * A line is "250-text" (more follow), "250+text" (data follow until "."), "250 text" (the last of a
 * reply); 650 is an event, the rest answer commands. Whoever answers is not trusted: lengths are
 * bounded, and a line that is none ends the connection. */
#ifndef VOLLEY_NET_CONTROL_LINE_H
#define VOLLEY_NET_CONTROL_LINE_H

#include "common/base/buf.h"

#define CONTROL_LINE_MAX 8192

enum control_kind {
    CONTROL_MID,  /* "250-" or "250+": the reply goes on */
    CONTROL_DATA, /* one line of what follows a "250+" */
    CONTROL_END   /* "250 " */
};
struct control_line {
    int status; /* 100 … 999 */
    enum control_kind kind;
    const char *text; /* without status and line end; no control characters but tabs */
};

struct control_reader {
    struct buf in;
    int data_status; /* not 0: inside the data of a reply with this status */
};
void control_reader_init(struct control_reader *r);
void control_reader_fini(struct control_reader *r);

/* `line` is valid until it returns. false: no more, please. */
typedef bool control_line_fn(void *arg, const struct control_line *line);
/* Takes bytes as they come and calls `fn` for each line that is whole. ERR_PROTOCOL: not a line, or
 * longer than CONTROL_LINE_MAX; the reader is then of no more use. */
MUST_USE enum err control_feed(struct control_reader *r, const uint8_t *data, size_t len,
                               control_line_fn *fn, void *arg);

/* The next word of `*at`, which moves behind it. ERR_NOT_FOUND: none left. ERR_TOO_BIG. */
MUST_USE enum err control_word(const char **at, char *out, size_t size);
/* The value of "KEY=value" or KEY="a \"quoted\" value" among the words of `text`, escapes undone.
 * ERR_NOT_FOUND; ERR_TOO_BIG: longer than `size`-1; ERR_INVALID: an open quote, a NUL. */
MUST_USE enum err control_field(const char *text, const char *key, char *out, size_t size);
/* "text" with quotes and escapes, as a command's argument. */
MUST_USE enum err control_quote(struct buf *out, const char *text);

#endif
