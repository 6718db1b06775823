#include "common/net/control_line.h"

#include <string.h>

/* A line, what it is waiting for and the end of line of the one before. */
#define READER_MAX (CONTROL_LINE_MAX + 2)

void control_reader_init(struct control_reader *r)
{
    buf_init(&r->in, READER_MAX);
    r->data_status = 0;
}

void control_reader_fini(struct control_reader *r)
{
    buf_fini(&r->in);
}

/* ---- lines ---- */

static bool printable(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (((unsigned char)text[i] < ' ' && text[i] != '\t') || text[i] == 0x7f)
            return false;
    return true;
}

static int status_of(const char *text)
{
    int status = 0;
    for (int i = 0; i < 3; i++) {
        if (text[i] < '0' || text[i] > '9')
            return 0;
        status = status * 10 + (text[i] - '0');
    }
    return status >= 100 ? status : 0;
}

static enum err take_data(struct control_reader *r, const char *text, struct control_line *out,
                          bool *ended)
{
    *ended = strcmp(text, ".") == 0;
    *out = (struct control_line){r->data_status, CONTROL_DATA, text[0] == '.' ? text + 1 : text};
    if (*ended)
        r->data_status = 0;
    return ERR_NONE;
}

/* *ended: nothing to hand on. */
static enum err take_line(struct control_reader *r, const char *text, size_t len,
                          struct control_line *out, bool *ended)
{
    if (!printable(text, len))
        return ERR_PROTOCOL;
    if (r->data_status != 0)
        return take_data(r, text, out, ended);
    *ended = false;
    int status = len >= 4 ? status_of(text) : 0;
    if (status == 0 || strchr("-+ ", text[3]) == NULL)
        return ERR_PROTOCOL;
    if (text[3] == '+')
        r->data_status = status;
    *out = (struct control_line){status, text[3] == ' ' ? CONTROL_END : CONTROL_MID, text + 4};
    return ERR_NONE;
}

/* The buffer holds a line without its line feed. */
static enum err end_line(struct control_reader *r, control_line_fn *fn, void *arg, bool *more)
{
    struct control_line line;
    bool ended;
    size_t len = r->in.len;
    if (len > 0 && r->in.data[len - 1] == '\r')
        r->in.len = --len;
    enum err e = take_line(r, buf_str(&r->in), len, &line, &ended);
    if (e == ERR_NONE && !ended)
        *more = fn(arg, &line);
    return e;
}

enum err control_feed(struct control_reader *r, const uint8_t *data, size_t len,
                      control_line_fn *fn, void *arg)
{
    bool more = true;
    while (len > 0 && more) {
        const uint8_t *eol = memchr(data, '\n', len);
        size_t part = eol != NULL ? (size_t)(eol - data) : len;
        if (r->in.len + part > CONTROL_LINE_MAX || buf_add(&r->in, data, part) != ERR_NONE)
            return ERR_PROTOCOL;
        if (eol == NULL)
            return ERR_NONE;
        enum err e = end_line(r, fn, arg, &more);
        if (e != ERR_NONE)
            return e;
        buf_clear(&r->in);
        data += part + 1;
        len -= part + 1;
    }
    return ERR_NONE;
}

/* ---- fields ---- */

enum err control_word(const char **at, char *out, size_t size)
{
    const char *word = *at + strspn(*at, " ");
    size_t len = strcspn(word, " ");
    if (len == 0)
        return ERR_NOT_FOUND;
    if (len >= size)
        return ERR_TOO_BIG;
    memcpy(out, word, len);
    out[len] = '\0';
    *at = word + len;
    return ERR_NONE;
}

static bool octal(char c)
{
    return c >= '0' && c <= '7';
}

/* One character of a quoted string behind its backslash. */
static char unescape(const char **at)
{
    static const char from[] = "ntr", to[] = "\n\t\r";
    const char *s = *at;
    if (octal(s[0])) {
        unsigned value = 0;
        int n = 0;
        for (; n < 3 && octal(s[n]) && value * 8 + (unsigned)(s[n] - '0') <= 255; n++)
            value = value * 8 + (unsigned)(s[n] - '0');
        *at += n;
        return (char)value;
    }
    *at += 1;
    const char *known = strchr(from, s[0]);
    return known != NULL ? to[known - from] : s[0];
}

/* Copies the quoted string behind its first quote; out == NULL: only walks over it. ERR_INVALID: it
 * does not end, or holds a NUL. */
static enum err take_quoted(const char **at, char *out, size_t size)
{
    const char *s = *at;
    size_t len = 0;
    enum err e = ERR_NONE;
    while (*s != '"') {
        if (*s == '\0' || (*s == '\\' && s[1] == '\0'))
            return ERR_INVALID;
        char c = *s++;
        if (c == '\\') {
            c = unescape(&s);
            if (c == '\0' && out != NULL)
                e = ERR_INVALID;
        }
        if (out != NULL && len + 1 < size)
            out[len] = c;
        len++;
    }
    *at = s + 1;
    if (out == NULL || e != ERR_NONE)
        return e;
    if (len >= size)
        return ERR_TOO_BIG;
    out[len] = '\0';
    return ERR_NONE;
}

/* A value; out == NULL: walks over it. */
static enum err take_value(const char **at, char *out, size_t size)
{
    if (**at == '"') {
        *at += 1;
        return take_quoted(at, out, size);
    }
    size_t len = strcspn(*at, " ");
    if (out != NULL && len >= size)
        return ERR_TOO_BIG;
    if (out != NULL) {
        memcpy(out, *at, len);
        out[len] = '\0';
    }
    *at += len;
    return ERR_NONE;
}

enum err control_field(const char *text, const char *key, char *out, size_t size)
{
    size_t key_len = strlen(key);
    for (text += strspn(text, " "); *text != '\0'; text += strspn(text, " ")) {
        size_t len = strcspn(text, " =");
        bool found = text[len] == '=' && len == key_len && memcmp(text, key, len) == 0;
        text += len;
        if (*text != '=')
            continue;
        text++;
        enum err e = take_value(&text, found ? out : NULL, size);
        if (found || e != ERR_NONE)
            return e;
    }
    return ERR_NOT_FOUND;
}

enum err control_quote(struct buf *out, const char *text)
{
    enum err e = buf_add_char(out, '"');
    for (; *text != '\0' && e == ERR_NONE; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            e = buf_addf(out, "\\%c", c);
        else if (c < ' ' || c >= 0x7f)
            e = buf_addf(out, "\\%03o", c);
        else
            e = buf_add_char(out, (char)c);
    }
    return e == ERR_NONE ? buf_add_char(out, '"') : e;
}
