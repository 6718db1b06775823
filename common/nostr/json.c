/* The scanner. A cursor walks the text once and stops for good at the first thing that is wrong;
 * skipping a value is the same walk, one level of C's stack for each level of the text. */
#include "common/nostr/json.h"

#include "common/base/utf8.h"

#include <string.h>

void json_begin(struct json_cur *c, const char *text, size_t len)
{
    if (text == NULL)
        text = "";
    *c = (struct json_cur){.p = text, .end = text + len};
}

enum err json_fail(struct json_cur *c, enum err e, const char *what)
{
    if (c->err == ERR_NONE) {
        c->err = e;
        c->what = what;
    }
    return c->err;
}

static enum err bad(struct json_cur *c, const char *what)
{
    return json_fail(c, ERR_INVALID, what);
}

char json_peek(struct json_cur *c)
{
    if (c->err != ERR_NONE)
        return '\0';
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\r' || *c->p == '\t'))
        c->p++;
    return c->p < c->end ? *c->p : '\0';
}

enum err json_enter(struct json_cur *c, char open)
{
    if (json_peek(c) != open)
        return bad(c, open == '[' ? "an array is missing" : "an object is missing");
    if (c->depth == JSON_DEPTH_MAX)
        return bad(c, "nested too deep");
    c->p++;
    c->depth++;
    return ERR_NONE;
}

bool json_next(struct json_cur *c, char close, bool *first)
{
    char at = json_peek(c);
    if (c->err != ERR_NONE)
        return false;
    if (at == close) {
        c->p++;
        c->depth--;
        return false;
    }
    if (!*first) {
        if (at != ',') {
            (void)bad(c, "a comma or the closing bracket is missing");
            return false;
        }
        c->p++;
        (void)json_peek(c);
    }
    *first = false;
    return true;
}

/* Passes over ordinary ASCII eight bytes at a time. `odd` gets a bit in each byte that is a control
 * character, a quote, a backslash or not ASCII (and perhaps in one behind such a byte: the loop
 * looks closer). Most bytes of Nostr go by here. */
static const char *skip_plain(const char *p, const char *end)
{
    const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
    while (end - p >= 8) {
        uint64_t eight;
        memcpy(&eight, p, sizeof eight);
        uint64_t quote = eight ^ ones * '"', backslash = eight ^ ones * '\\';
        uint64_t odd = eight | (eight - ones * 0x20) | (quote - ones) | (backslash - ones);
        if ((odd & tops) != 0)
            break;
        p += 8;
    }
    return p;
}

/* From behind the opening quote to the closing one. Leaves c->p there, or where it went wrong. */
static enum err scan_string(struct json_cur *c)
{
    while ((c->p = skip_plain(c->p, c->end)) < c->end) {
        unsigned char at = (unsigned char)*c->p;
        size_t len = 1;
        uint32_t ignored;
        if (at == '"')
            return ERR_NONE;
        if (at < 0x20)
            return bad(c, "a raw control character in a string");
        if (at == '\\' && (len = json_escape(c->p, c->end, &ignored)) == 0)
            return bad(c, "an escape that is none, \\u0000, or half a surrogate pair");
        if (at >= 0x80 && (len = utf8_len(c->p, c->end)) == 0)
            return bad(c, "not UTF-8");
        c->p += len;
    }
    return bad(c, "a string does not end");
}

enum err json_string(struct json_cur *c, struct json_span *raw)
{
    if (json_peek(c) != '"')
        return bad(c, "a string is missing");
    const char *start = ++c->p;
    if (scan_string(c) != ERR_NONE)
        return c->err;
    *raw = (struct json_span){start, (size_t)(c->p - start)};
    c->p++;
    return ERR_NONE;
}

enum err json_key(struct json_cur *c, struct json_span *raw)
{
    if (json_string(c, raw) != ERR_NONE)
        return c->err;
    if (json_peek(c) != ':')
        return bad(c, "a colon is missing");
    c->p++;
    return ERR_NONE;
}

static bool is_digit(const struct json_cur *c)
{
    return c->p < c->end && *c->p >= '0' && *c->p <= '9';
}

static bool is_char(const struct json_cur *c, const char *set)
{
    return c->p < c->end && *c->p != '\0' && strchr(set, *c->p) != NULL;
}

enum err json_uint(struct json_cur *c, uint64_t max, uint64_t *out)
{
    (void)json_peek(c);
    if (c->err != ERR_NONE)
        return c->err;
    if (!is_digit(c))
        return bad(c, "a number of digits only is missing");
    const char *start = c->p;
    uint64_t v = 0;
    for (; is_digit(c); c->p++) {
        uint64_t digit = (uint64_t)(*c->p - '0');
        if (digit > max || v > (max - digit) / 10)
            return bad(c, "a number is too large");
        v = v * 10 + digit;
    }
    if (*start == '0' && c->p - start > 1)
        return bad(c, "a number begins with 0");
    if (is_char(c, ".eE"))
        return bad(c, "a number has more than digits");
    *out = v;
    return ERR_NONE;
}

static bool word(struct json_cur *c, const char *text)
{
    size_t len = strlen(text);
    if ((size_t)(c->end - c->p) < len || memcmp(c->p, text, len) != 0)
        return false;
    c->p += len;
    return true;
}

enum err json_bool(struct json_cur *c, bool *out)
{
    (void)json_peek(c);
    if (c->err != ERR_NONE)
        return c->err;
    if (word(c, "true"))
        *out = true;
    else if (word(c, "false"))
        *out = false;
    else
        return bad(c, "true or false is missing");
    return ERR_NONE;
}

static enum err skip_digits(struct json_cur *c)
{
    if (!is_digit(c))
        return bad(c, "a digit is missing in a number");
    while (is_digit(c))
        c->p++;
    return ERR_NONE;
}

static enum err skip_exponent(struct json_cur *c)
{
    c->p++;
    if (is_char(c, "+-"))
        c->p++;
    return skip_digits(c);
}

static enum err skip_number(struct json_cur *c)
{
    const char *start = c->p;
    if (*c->p == '-')
        c->p++;
    const char *digits = c->p;
    if (skip_digits(c) != ERR_NONE)
        return c->err;
    if (*digits == '0' && c->p - digits > 1)
        return bad(c, "a number begins with 0");
    if (is_char(c, ".")) {
        c->p++;
        if (skip_digits(c) != ERR_NONE)
            return c->err;
    }
    if (is_char(c, "eE") && skip_exponent(c) != ERR_NONE)
        return c->err;
    return c->p - start > JSON_NUMBER_LEN_MAX ? bad(c, "a number is too long") : ERR_NONE;
}

/* The keys of all objects that are open, the innermost last. */
struct keys {
    size_t len;
    struct json_span at[JSON_KEYS_MAX];
};

static enum err add_key(struct json_cur *c, struct keys *keys, size_t base, struct json_span key)
{
    for (size_t i = base; i < keys->len; i++)
        if (json_same(keys->at[i], key))
            return bad(c, "the same key twice in an object");
    if (keys->len == JSON_KEYS_MAX)
        return bad(c, "too many keys");
    keys->at[keys->len++] = key;
    return ERR_NONE;
}

static enum err skip(struct json_cur *c, struct keys *keys);

static enum err skip_array(struct json_cur *c, struct keys *keys)
{
    bool first = true;
    if (json_enter(c, '[') != ERR_NONE)
        return c->err;
    while (json_next(c, ']', &first))
        if (skip(c, keys) != ERR_NONE)
            break;
    return c->err;
}

/* `keys` is NULL where repeated keys are fine. */
static enum err skip_object(struct json_cur *c, struct keys *keys)
{
    size_t base = keys != NULL ? keys->len : 0;
    struct json_span key;
    bool first = true;
    if (json_enter(c, '{') != ERR_NONE)
        return c->err;
    while (json_next(c, '}', &first)) {
        if (json_key(c, &key) != ERR_NONE)
            break;
        if (keys != NULL && add_key(c, keys, base, key) != ERR_NONE)
            break;
        if (skip(c, keys) != ERR_NONE)
            break;
    }
    if (keys != NULL)
        keys->len = base;
    return c->err;
}

static enum err skip(struct json_cur *c, struct keys *keys)
{
    struct json_span ignored;
    switch (json_peek(c)) {
    case '[':
        return skip_array(c, keys);
    case '{':
        return skip_object(c, keys);
    case '"':
        return json_string(c, &ignored);
    case '-':
    case '0' ... '9':
        return skip_number(c);
    default:
        if (c->err != ERR_NONE || word(c, "true") || word(c, "false") || word(c, "null"))
            return c->err;
        return bad(c, "a value is missing");
    }
}

static enum err skip_span(struct json_cur *c, struct keys *keys, struct json_span *raw)
{
    (void)json_peek(c);
    const char *start = c->p;
    if (skip(c, keys) == ERR_NONE && raw != NULL)
        *raw = (struct json_span){start, (size_t)(c->p - start)};
    return c->err;
}

enum err json_skip(struct json_cur *c, struct json_span *raw)
{
    return skip_span(c, NULL, raw);
}

enum err json_skip_unique(struct json_cur *c, struct json_span *raw)
{
    struct keys keys;
    keys.len = 0;
    return skip_span(c, &keys, raw);
}

enum err json_end(struct json_cur *c)
{
    (void)json_peek(c);
    if (c->err == ERR_NONE && c->p != c->end)
        return bad(c, "more than one value");
    return c->err;
}

enum err json_check(const char *text, size_t len, size_t max_len, struct problem *p)
{
    if (len > max_len)
        return problem_set(p, ERR_TOO_BIG, "%zu bytes, and at most %zu are taken", len, max_len);
    struct json_cur c;
    json_begin(&c, text, len);
    if (json_skip_unique(&c, NULL) == ERR_NONE && json_end(&c) == ERR_NONE)
        return ERR_NONE;
    return problem_set(p, c.err, "not JSON that we take: %s (at byte %zu)", c.what,
                       (size_t)(c.p - text));
}
