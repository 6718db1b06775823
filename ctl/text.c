#include "ctl/text.h"

#include "common/base/err.h"
#include "common/base/utf8.h"

#include <inttypes.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

const char *short_duration(int64_t ms, char out[16])
{
    int64_t s = ms / 1000;
    if (ms < 0)
        (void)snprintf(out, 16, "-");
    else if (s < 120)
        (void)snprintf(out, 16, "%" PRId64 "s", s);
    else if (s < 120 * 60)
        (void)snprintf(out, 16, "%" PRId64 "m", s / 60);
    else if (s < 48 * 3600)
        (void)snprintf(out, 16, "%" PRId64 "h", s / 3600);
    else
        (void)snprintf(out, 16, "%" PRId64 "d", s / 86400 % 100000);
    return out;
}

const char *short_count(uint64_t n, char out[16])
{
    static const char units[] = " kMGTPE";
    size_t unit = 0;
    if (n < 100000) {
        (void)snprintf(out, 16, "%" PRIu64, n);
        return out;
    }
    for (; n >= 10000; unit++)
        n /= 1000;
    (void)snprintf(out, 16, "%" PRIu64 "%c", n, units[unit]);
    return out;
}

const char *short_rate(uint64_t per_1000s, char out[16])
{
    if (per_1000s == 0)
        (void)snprintf(out, 16, "0");
    else if (per_1000s < 100)
        (void)snprintf(out, 16, "<0.1");
    else if (per_1000s < 10000)
        (void)snprintf(out, 16, "%.1f", (double)per_1000s / 1000.0);
    else
        (void)short_count(per_1000s / 1000, out);
    return out;
}

static uint32_t code_point(const char *s, size_t len)
{
    static const uint8_t masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = (uint8_t)s[0] & masks[len];
    for (size_t i = 1; i < len; i++)
        c = c << 6 | ((uint8_t)s[i] & 0x3f);
    return c;
}

/* Columns of one character, or -1 for one a terminal would act upon. The C library knows the widths
 * for UTF-8 only in such a locale; ours is the one every Debian has. */
static int columns(const char *s, size_t len)
{
    static locale_t utf8;
    if (utf8 == (locale_t)0)
        utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    uint32_t c = code_point(s, len);
    if (c < 0x80 || utf8 == (locale_t)0)
        return c < 0x20 || (c >= 0x7f && c < 0xa0) ? -1 : 1;
    locale_t before = uselocale(utf8);
    int width = wcwidth((wchar_t)c);
    uselocale(before);
    bool turns = (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
                 (c >= 0x2060 && c <= 0x206f); /* the direction of writing, and the like */
    return turns ? -1 : width;
}

const char *clean_text(const char *s, char *out, size_t size)
{
    const char *end = s + strlen(s);
    size_t n = 0;
    while (s < end) {
        size_t len = utf8_len(s, end);
        bool bad = len == 0 || columns(s, len) < 0;
        if (n + (bad ? 1 : len) >= size)
            break;
        if (bad)
            out[n++] = '?';
        for (size_t i = 0; !bad && i < len; i++)
            out[n++] = s[i];
        s += len == 0 ? 1 : len;
    }
    out[n] = '\0';
    return out;
}

size_t text_width(const char *s)
{
    const char *end = s + strlen(s);
    size_t width = 0;
    while (s < end) {
        size_t len = utf8_len(s, end);
        int w = len == 0 ? 1 : columns(s, len);
        width += w < 0 ? 1 : (size_t)w;
        s += len == 0 ? 1 : len;
    }
    return width;
}

const char *text_cut(const char *s, size_t width, char *out, size_t size)
{
    static const char dots[] = "\xe2\x80\xa6"; /* … */
    const char *end = s + strlen(s), *at = s;
    bool whole = text_width(s) <= width;
    size_t used = 0, n = 0;
    while (at < end) {
        size_t len = utf8_len(at, end);
        int w = len == 0 ? 1 : columns(at, len);
        len = len == 0 ? 1 : len;
        used += w < 0 ? 1 : (size_t)w;
        if ((!whole && used + 1 > width) || n + len + sizeof dots > size)
            break;
        memcpy(out + n, at, len);
        n += len;
        at += len;
    }
    memcpy(out + n, dots, at < end ? sizeof dots : 0);
    out[at < end ? n + sizeof dots - 1 : n] = '\0';
    return out;
}
