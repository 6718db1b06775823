#include "probe/html.h"

#include "common/base/err.h"
#include "ctl/text.h"

#include <stdlib.h>
#include <string.h>

void html_open(struct html_stream *s)
{
    *s = (struct html_stream){0};
    s->out = open_memstream(&s->text, &s->len);
    if (s->out == NULL)
        die("out of memory");
}

void html_close(struct html_stream *s)
{
    if (fclose(s->out) != 0)
        die("out of memory");
    s->out = NULL;
}

static const char *entity(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

void html_text(FILE *out, const char *text)
{
    size_t size = strlen(text) + 1;
    char small[512], *large = size > sizeof small ? mem_new(size) : NULL;
    const char *at = clean_text(text, large != NULL ? large : small, size);

    for (; *at != '\0'; at++) {
        const char *instead = entity(*at);
        if (instead != NULL)
            (void)fputs(instead, out);
        else
            (void)fputc(*at, out);
    }
    free(large);
}

void html_query(FILE *out, const char *text)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

    for (; *text != '\0'; text++) {
        if (strchr(plain, *text) != NULL)
            (void)fputc(*text, out);
        else
            (void)fprintf(out, "%%%02X", (unsigned char)*text);
    }
}
