/* What failed, replay and purge share: reads FILTER, asks the queue for its relays, and walks over
 * the failed deliveries that are meant. */
#ifndef VOLLEY_CTL_ROWS_H
#define VOLLEY_CTL_ROWS_H

#include "ctl/ctl.h"
#include "ctl/filter.h"
#include "ctl/groups.h"
#include "ctl/paging.h"

struct rows {
    struct ask ask; /* first */
    bool json;
    struct filter filter;
    struct relay_names names;
    struct failed_call call; /* the first page's: the caller says what, and what belongs to it */
    struct paging paging, again; /* `again`: the walk of rows_again */
    struct groups groups;        /* counted by the pages, but LIST's */
    /* A page came; NULL: groups are all that is wanted. False: that is enough. */
    bool (*on_page)(struct rows *r, const struct failed_page *p);
    /* All pages came: prints, and ends with ask_done (or asks for more). */
    void (*on_end)(struct rows *r);
};
/* Neither a filter nor --all, or both: says so, and returns the exit status; else 0. */
int rows_need_filter(const struct invocation *inv);
/* Fills in filter, text and by of the call. Returns the exit status. */
int rows_run(struct rows *r, const struct invocation *inv);
/* In on_end, once: walks from the beginning again, to do something else. */
void rows_again(struct rows *r, enum failed_do what, void (*on_end)(struct rows *r));

#endif
