/* Pages in the making: a stream into memory, and text made safe for it. */
#ifndef VOLLEY_PROBE_HTML_H
#define VOLLEY_PROBE_HTML_H

#include <stddef.h>
#include <stdio.h>

struct html_stream {
    FILE *out;
    char *text; /* after html_close: terminated; the caller frees it */
    size_t len;
};
void html_open(struct html_stream *s);
void html_close(struct html_stream *s);

/* Text as text, also inside a quoted attribute: & < > " ' are escaped; control characters, bytes
 * that are not UTF-8 and characters that turn or hide text become '?'. */
void html_text(FILE *out, const char *text);
/* A value in a URL's query: percent-encoded, safe in an attribute too. */
void html_query(FILE *out, const char *text);

#endif
