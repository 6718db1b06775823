/* The dashboard as HTML. Everything from outside (names, URLs, relays' words) goes through
 * html_text. No script and no style stands in the page itself: the policy forbids it. */
#ifndef VOLLEY_PROBE_PAGE_H
#define VOLLEY_PROBE_PAGE_H

#include "probe/knowledge.h"

#include <stdbool.h>
#include <stdio.h>

struct page_look {
    uint64_t now_ms;         /* boot clock */
    bool admin;              /* a token is configured: actions are offered */
    enum stat_window window; /* what statistics are shown over; links keep it */
};

#define PAGE_WINDOW STAT_DAY /* where none is asked for */
/* "1h", "24h", "7d"; NULL: PAGE_WINDOW. False for anything else. */
bool page_window_of(const char *text, enum stat_window *out);

/* The whole page. */
void page_dashboard(const struct knowledge *k, const struct page_look *look, FILE *out);
/* What its script fetches again and again: all but the frame. */
void page_sections(const struct knowledge *k, const struct page_look *look, FILE *out);

/* The frame of a smaller page: a receipt, an action. Its way back keeps the window. */
void page_begin(const char *title, enum stat_window w, FILE *out);
void page_end(FILE *out);
/* Within a form, which has no query of its own: the field that keeps the window. */
void page_keep_window(enum stat_window w, FILE *out);

#endif
