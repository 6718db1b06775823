/* What `volley failed` prints: pages of failed deliveries as JSON lines, or as a table. */
#ifndef VOLLEY_CTL_FAILED_SHOW_H
#define VOLLEY_CTL_FAILED_SHOW_H

#include "ctl/relay_names.h"
#include "ctl/table.h"

#define FAILED_ID_SHORT 10u /* hex digits of an id on a terminal */

void failed_json(const struct failed_row *row, const struct relay_names *names, FILE *out);

/* The table of all pages, begun with table_init(&t, failed_columns, …). */
extern const struct table_column failed_columns[];
extern const size_t failed_columns_len;
/* Prints one page and clears the table for the next. `width` 0: any, and ids are whole. */
void failed_page_print(struct table *t, const struct failed_page *p,
                       const struct relay_names *names, int64_t now_ms,
                       const struct table_look *look, FILE *out);

#endif
