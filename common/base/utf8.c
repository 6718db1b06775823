#include "common/base/utf8.h"

#include "common/base/err.h"

#include <stdbool.h>

static bool between(unsigned char c, unsigned char low, unsigned char high)
{
    return c >= low && c <= high;
}

/* The table of RFC 3629, section 4: which second byte a first one allows. It is the second byte
 * that rules out overlong forms, surrogates and what lies beyond U+10FFFF. */
static const struct {
    unsigned char first_low, first_high, second_low, second_high;
    size_t len;
} forms[] = {
    {0x00, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
    {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
    {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
};

size_t utf8_len(const char *p, const char *end)
{
    const unsigned char *s = (const unsigned char *)p;
    size_t form = 0;
    while (form < COUNT_OF(forms) && !between(s[0], forms[form].first_low, forms[form].first_high))
        form++;
    if (form == COUNT_OF(forms) || forms[form].len > (size_t)(end - p))
        return 0;
    if (forms[form].len > 1 && !between(s[1], forms[form].second_low, forms[form].second_high))
        return 0;
    for (size_t i = 2; i < forms[form].len; i++)
        if (!between(s[i], 0x80, 0xbf))
            return 0;
    return forms[form].len;
}

size_t utf8_put(char out[4], uint32_t code_point)
{
    if (code_point < 0x80) {
        out[0] = (char)code_point;
        return 1;
    }
    size_t len = code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    static const unsigned char marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = len - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code_point & 0x3f));
        code_point >>= 6;
    }
    out[0] = (char)(marks[len] | code_point);
    return len;
}
