/* Strings of the scanner, between their raw (escaped) form and plain UTF-8. All walk a raw string
 * piece by piece: a run without escapes, as it stands, or one escape, decoded. */
#include "common/nostr/json.h"

#include "common/base/utf8.h"

#include <string.h>

static bool hex4(const char *p, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)p[i], low = c | 0x20;
        if (c >= '0' && c <= '9')
            *out = *out << 4 | (uint32_t)(c - '0');
        else if (low >= 'a' && low <= 'f')
            *out = *out << 4 | (uint32_t)(low - 'a' + 10);
        else
            return false;
    }
    return true;
}

/* `p` points at the backslash of \uXXXX. */
static size_t unicode_escape(const char *p, const char *end, uint32_t *code_point)
{
    uint32_t high, low;
    if (end - p < 6 || !hex4(p + 2, &high) || high == 0)
        return 0;
    *code_point = high;
    if (high < 0xd800 || high > 0xdfff)
        return 6;
    if (high > 0xdbff || end - p < 12 || p[6] != '\\' || p[7] != 'u' || !hex4(p + 8, &low) ||
        low < 0xdc00 || low > 0xdfff)
        return 0;
    *code_point = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    return 12;
}

size_t json_escape(const char *p, const char *end, uint32_t *code_point)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    if (end - p < 2 || p[1] == '\0')
        return 0;
    if (p[1] == 'u')
        return unicode_escape(p, end, code_point);
    const char *at = strchr(letters, p[1]);
    if (at == NULL)
        return 0;
    *code_point = (unsigned char)meanings[at - letters];
    return 2;
}

/* Takes the next piece off the front of `rest`. An escape is decoded into `scratch`. Of a string
 * that was never validated, a bad escape ends it: nothing is read beyond its end. */
static struct json_span piece(struct json_span *rest, char scratch[4])
{
    struct json_span out = *rest;
    uint32_t code_point;
    size_t taken;
    if (rest->p[0] == '\\') {
        taken = json_escape(rest->p, rest->p + rest->len, &code_point);
        out.p = scratch;
        out.len = taken > 0 ? utf8_put(scratch, code_point) : 0;
        if (taken == 0)
            taken = rest->len;
    } else {
        const char *escape = memchr(rest->p, '\\', rest->len);
        if (escape != NULL)
            out.len = (size_t)(escape - rest->p);
        taken = out.len;
    }
    rest->p += taken;
    rest->len -= taken;
    return out;
}

static bool is_plain(struct json_span raw)
{
    return raw.len == 0 || memchr(raw.p, '\\', raw.len) == NULL;
}

bool json_same(struct json_span a, struct json_span b)
{
    if (is_plain(a) && is_plain(b))
        return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
    char a_scratch[4], b_scratch[4];
    struct json_span x = {0}, y = {0};
    for (;;) {
        if (x.len == 0 && a.len > 0)
            x = piece(&a, a_scratch);
        if (y.len == 0 && b.len > 0)
            y = piece(&b, b_scratch);
        size_t len = x.len < y.len ? x.len : y.len;
        if (len == 0)
            return x.len == y.len && a.len == b.len;
        if (memcmp(x.p, y.p, len) != 0)
            return false;
        x = (struct json_span){x.p + len, x.len - len};
        y = (struct json_span){y.p + len, y.len - len};
    }
}

bool json_equals(struct json_span raw, const char *text)
{
    size_t len = strlen(text);
    if (is_plain(raw))
        return raw.len == len && (len == 0 || memcmp(raw.p, text, len) == 0);
    char scratch[4];
    while (raw.len > 0) {
        struct json_span got = piece(&raw, scratch);
        if (got.len > len || memcmp(got.p, text, got.len) != 0)
            return false;
        text += got.len;
        len -= got.len;
    }
    return len == 0;
}

static bool begins_char(char c)
{
    return ((unsigned char)c & 0xc0) != 0x80;
}

size_t json_chars(struct json_span raw)
{
    size_t count = 0;
    char scratch[4];
    while (raw.len > 0) {
        struct json_span got = piece(&raw, scratch);
        for (size_t i = 0; i < got.len; i++)
            count += begins_char(got.p[i]);
    }
    return count;
}

enum err json_unescape(struct json_span raw, struct buf *out)
{
    size_t start = out->len;
    char scratch[4];
    while (raw.len > 0) {
        struct json_span got = piece(&raw, scratch);
        if (buf_add(out, got.p, got.len) != ERR_NONE) {
            out->len = start;
            return ERR_TOO_BIG;
        }
    }
    return ERR_NONE;
}

void json_copy(struct json_span raw, char *out, size_t size)
{
    size_t len = 0;
    char scratch[4];
    if (size == 0)
        return;
    while (raw.len > 0) {
        struct json_span got = piece(&raw, scratch);
        size_t fits = size - 1 - len;
        bool cut = got.len > fits;
        if (cut) {
            got.len = fits;
            while (got.len > 0 && !begins_char(got.p[got.len]))
                got.len--;
        }
        memcpy(out + len, got.p, got.len);
        len += got.len;
        if (cut)
            break;
    }
    out[len] = '\0';
}

/* The canonical form of one byte: as it is, or one of the seven escapes, or \u00xx. */
static size_t put_byte(char out[6], char c)
{
    static const char letters[0x20] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    static const char digits[] = "0123456789abcdef";
    unsigned char byte = (unsigned char)c;
    if (byte >= 0x20 && c != '"' && c != '\\') {
        out[0] = c;
        return 1;
    }
    out[0] = '\\';
    out[1] = byte >= 0x20 ? c : letters[byte];
    if (out[1] != '\0')
        return 2;
    memcpy(out + 1, "u00", 3);
    out[4] = digits[byte >> 4];
    out[5] = digits[byte & 15];
    return 6;
}

char *json_canon(char *out, struct json_span raw)
{
    char scratch[4];
    while (raw.len > 0) {
        struct json_span got = piece(&raw, scratch);
        /* A run holds nothing that needs an escape, so what is left are decoded single bytes. */
        if (got.len == 1) {
            out += put_byte(out, got.p[0]);
        } else {
            memcpy(out, got.p, got.len);
            out += got.len;
        }
    }
    return out;
}

/* How many bytes at `p` can be copied as they are. */
static size_t run_len(const char *p, const char *end)
{
    const char *at = p;
    while (at < end) {
        unsigned char c = (unsigned char)*at;
        if (c < 0x20 || c == '"' || c == '\\')
            break;
        size_t len = c < 0x80 ? 1 : utf8_len(at, end);
        if (len == 0)
            break;
        at += len;
    }
    return (size_t)(at - p);
}

static enum err put_escaped(struct buf *out, const char *s, const char *end)
{
    enum err e = ERR_NONE;
    while (s < end && e == ERR_NONE) {
        char text[6];
        size_t run = run_len(s, end);
        if (run > 0) {
            e = buf_add(out, s, run);
            s += run;
        } else if (*s == '\0' || (unsigned char)*s >= 0x80) {
            e = buf_add_str(out, "\xef\xbf\xbd");
            s++;
        } else {
            e = buf_add(out, text, put_byte(text, *s));
            s++;
        }
    }
    return e;
}

enum err json_put_string(struct buf *out, const char *s, size_t len)
{
    size_t start = out->len;
    if (buf_add_char(out, '"') == ERR_NONE && put_escaped(out, s, s + len) == ERR_NONE &&
        buf_add_char(out, '"') == ERR_NONE)
        return ERR_NONE;
    out->len = start;
    return ERR_TOO_BIG;
}
