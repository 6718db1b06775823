/* A table for people: columns as wide as they need, fitted to a terminal. What does not fit: the
 * first column is cut (to TABLE_FIRST_MIN at least), then whole columns are left out in the order
 * of their `drop`, then the first is cut further. */
#ifndef VOLLEY_CTL_TABLE_H
#define VOLLEY_CTL_TABLE_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 16
#define TABLE_FIRST_MIN   20
#define TABLE_NOTE_INDENT 4

enum colour { COLOUR_NONE, COLOUR_GREEN, COLOUR_YELLOW, COLOUR_RED, COLOUR_DIM, COLOUR_COUNT };

struct table_column {
    const char *head;
    bool right;   /* numbers */
    int drop;     /* 0: always shown; else the largest is left out first */
    bool colours; /* shown in its row's colour */
};

struct table_row {
    char *cells[TABLE_COLUMNS_MAX]; /* owned */
    char *note;                     /* a line of its own below; owned; NULL: none */
    enum colour colour;
};

struct table {
    const struct table_column *columns;
    size_t columns_len;
    struct table_row *rows; /* owned */
    size_t rows_len;
    size_t widths[TABLE_COLUMNS_MAX]; /* that all rows so far needed */
    bool headless;                    /* its head was printed already */
};

/* `columns` must outlive the table; at most TABLE_COLUMNS_MAX. */
void table_init(struct table *t, const struct table_column *columns, size_t len);
void table_fini(struct table *t);
/* Drops the rows, for a next page: it goes on without a head, its columns at least as wide. */
void table_clear(struct table *t);
/* Copies. All clean text (clean_text); `note` may be NULL. */
void table_add(struct table *t, const char *const *cells, const char *note, enum colour colour);

struct table_look {
    size_t width;     /* columns of the terminal; 0: as wide as it gets */
    size_t lines_max; /* of the whole table, head included; 0: no limit */
    bool colours;
};
/* Returns how many rows were shown. */
size_t table_print(const struct table *t, const struct table_look *look, FILE *out);

#endif
