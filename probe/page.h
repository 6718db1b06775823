/* The dashboard as HTML. Everything from outside (names, URLs, relays' words) goes through
 * html_text. No script and no style stands in the page itself: the policy forbids it. */
#ifndef VOLLEY_PROBE_PAGE_H
#define VOLLEY_PROBE_PAGE_H

#include "probe/knowledge.h"

#include <stdbool.h>
#include <stdio.h>

struct page_look {
    uint64_t now_ms; /* boot clock */
    bool admin;      /* a token is configured: actions are offered */
};

/* The whole page. */
void page_dashboard(const struct knowledge *k, const struct page_look *look, FILE *out);
/* What its script fetches again and again: all but the frame. */
void page_sections(const struct knowledge *k, const struct page_look *look, FILE *out);

/* The frame of a smaller page: a receipt, an action. */
void page_begin(const char *title, FILE *out);
void page_end(FILE *out);

#endif
