#include "common/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[ERR_COUNT] = {
    [ERR_NONE] = "ok",
    [ERR_INVALID] = "invalid",
    [ERR_TOO_BIG] = "too big",
    [ERR_NOT_FOUND] = "not found",
    [ERR_EXISTS] = "exists",
    [ERR_FULL] = "full",
    [ERR_NO_SPACE] = "no space",
    [ERR_NO_LANES] = "no relays",
    [ERR_FILTERED] = "filtered",
    [ERR_AGAIN] = "again",
    [ERR_TIMEOUT] = "timeout",
    [ERR_CLOSED] = "closed",
    [ERR_UNREACHABLE] = "unreachable",
    [ERR_TLS] = "tls",
    [ERR_HTTP] = "http",
    [ERR_PROTOCOL] = "protocol",
    [ERR_UNKNOWN] = "unknown",
    [ERR_STALE] = "stale",
    [ERR_LOCKED] = "locked",
    [ERR_CORRUPT] = "corrupt",
    [ERR_VERSION] = "version",
    [ERR_IO] = "io",
    [ERR_UNSUPPORTED] = "unsupported",
};

const char *err_name(enum err e)
{
    return e >= 0 && e < ERR_COUNT ? names[e] : "?";
}

enum err problem_set(struct problem *p, enum err e, const char *fmt, ...)
{
    if (p == NULL)
        return e;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(p->text, sizeof p->text, fmt, ap);
    va_end(ap);
    return e;
}

void die(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("volley: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    abort();
}

static void *or_die(void *p, size_t len)
{
    if (p == NULL)
        die("out of memory (%zu bytes)", len);
    return p;
}

void *mem_new(size_t len)
{
    return or_die(malloc(len > 0 ? len : 1), len);
}

void *mem_zero(size_t count, size_t len)
{
    return or_die(calloc(count > 0 ? count : 1, len > 0 ? len : 1), count * len);
}

void *mem_grow(void *p, size_t len)
{
    return or_die(realloc(p, len > 0 ? len : 1), len);
}

char *mem_strdup(const char *s)
{
    return mem_strndup(s, strlen(s));
}

char *mem_strndup(const char *s, size_t len)
{
    char *copy = mem_new(len + 1);
    memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}
