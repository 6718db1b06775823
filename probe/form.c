#include "probe/form.h"

#include <string.h>

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The byte of "%41" at `at`, or -1. Zero is none. */
static int escaped(const char *at, const char *end)
{
    if (end - at < 3)
        return -1;
    int high = digit(at[1]), low = digit(at[2]);
    return high < 0 || low < 0 || (high | low) == 0 ? -1 : high * 16 + low;
}

static bool decode(const char *at, const char *end, char *out, size_t size)
{
    size_t len = 0;
    for (; at < end; at++) {
        int c = *at == '+' ? ' ' : (unsigned char)*at;
        if (*at == '%') {
            c = escaped(at, end);
            at += 2;
        }
        if (c <= 0 || len + 1 >= size) {
            out[0] = '\0';
            return false;
        }
        out[len++] = (char)c;
    }
    out[len] = '\0';
    return true;
}

bool form_get(const char *form, size_t len, const char *name, char *out, size_t size)
{
    const char *end = form + len;
    size_t name_len = strlen(name);

    out[0] = '\0';
    while (form < end) {
        const char *next = memchr(form, '&', (size_t)(end - form));
        const char *stop = next != NULL ? next : end;
        if ((size_t)(stop - form) > name_len && memcmp(form, name, name_len) == 0 &&
            form[name_len] == '=')
            return decode(form + name_len + 1, stop, out, size);
        if (next == NULL)
            return true;
        form = next + 1;
    }
    return true;
}
