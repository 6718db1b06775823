#include "ctl/table.h"

#include "ctl/text.h"

#include <stdlib.h>
#include <string.h>

void table_init(struct table *t, const struct table_column *columns, size_t len)
{
    *t = (struct table){.columns = columns, .columns_len = len};
    for (size_t c = 0; c < len; c++)
        t->widths[c] = text_width(columns[c].head);
}

static void free_rows(struct table *t)
{
    for (size_t r = 0; r < t->rows_len; r++) {
        for (size_t c = 0; c < t->columns_len; c++)
            free(t->rows[r].cells[c]);
        free(t->rows[r].note);
    }
    free(t->rows);
    t->rows = NULL;
    t->rows_len = 0;
}

void table_fini(struct table *t)
{
    free_rows(t);
    *t = (struct table){0};
}

void table_clear(struct table *t)
{
    free_rows(t);
    t->headless = true;
}

void table_add(struct table *t, const char *const *cells, const char *note, enum colour colour)
{
    if ((t->rows_len & (t->rows_len - 1)) == 0)
        t->rows = mem_grow(t->rows, (t->rows_len == 0 ? 1 : 2 * t->rows_len) * sizeof *t->rows);
    struct table_row *row = &t->rows[t->rows_len++];
    *row = (struct table_row){.note = note != NULL ? mem_strdup(note) : NULL, .colour = colour};
    for (size_t c = 0; c < t->columns_len; c++) {
        size_t width = text_width(cells[c]);
        row->cells[c] = mem_strdup(cells[c]);
        if (width > t->widths[c])
            t->widths[c] = width;
    }
}

/* How wide each column is; 0: left out. */
struct layout {
    size_t widths[TABLE_COLUMNS_MAX];
};

static size_t total(const struct table *t, const struct layout *l)
{
    size_t sum = 0, shown = 0;
    for (size_t c = 0; c < t->columns_len; c++) {
        sum += l->widths[c];
        shown += l->widths[c] > 0;
    }
    return sum + (shown > 0 ? shown - 1 : 0);
}

/* The shown column that is left out next, or 0: there is none. */
static size_t next_to_drop(const struct table *t, const struct layout *l)
{
    size_t found = 0;
    for (size_t c = 1; c < t->columns_len; c++)
        if (l->widths[c] > 0 && t->columns[c].drop > 0 &&
            (found == 0 || t->columns[c].drop > t->columns[found].drop))
            found = c;
    return found;
}

static void shrink_first(const struct table *t, struct layout *l, size_t width, size_t least)
{
    size_t all = total(t, l);
    if (all <= width || l->widths[0] <= least)
        return;
    size_t over = all - width, can = l->widths[0] - least;
    l->widths[0] -= over < can ? over : can;
}

static void lay_out(const struct table *t, size_t width, struct layout *l)
{
    *l = (struct layout){0};
    memcpy(l->widths, t->widths, sizeof l->widths);
    size_t first = l->widths[0];
    if (width == 0)
        return;
    shrink_first(t, l, width, TABLE_FIRST_MIN);
    for (size_t c = 0; total(t, l) > width && (c = next_to_drop(t, l)) != 0;)
        l->widths[c] = 0;
    l->widths[0] = first; /* columns were left out whole: what they leave over is the first's */
    shrink_first(t, l, width, 1);
}

static const char *code(enum colour c)
{
    static const char *const codes[COLOUR_COUNT] = {[COLOUR_NONE] = "",
                                                    [COLOUR_GREEN] = "\033[32m",
                                                    [COLOUR_YELLOW] = "\033[33m",
                                                    [COLOUR_RED] = "\033[31m",
                                                    [COLOUR_DIM] = "\033[2m"};
    return codes[c];
}

static void print_cell(const char *text, size_t width, bool right, enum colour colour, bool last,
                       FILE *out)
{
    char cell[1024];
    (void)text_cut(text, width, cell, sizeof cell);
    size_t w = text_width(cell), pad = w < width ? width - w : 0;
    fprintf(out, "%*s%s%s%s%*s", right ? (int)pad : 0, "", code(colour), cell,
            colour != COLOUR_NONE ? "\033[0m" : "", right || last ? 0 : (int)pad, "");
}

static void print_row(const struct table *t, const struct layout *l, const struct table_row *row,
                      bool colours, FILE *out)
{
    size_t last = 0;
    for (size_t c = 0; c < t->columns_len; c++)
        if (l->widths[c] > 0)
            last = c;
    for (size_t c = 0; c <= last; c++) {
        const struct table_column *column = &t->columns[c];
        if (l->widths[c] == 0)
            continue;
        if (c > 0)
            fputc(' ', out);
        bool bright = colours && row != NULL && column->colours;
        print_cell(row != NULL ? row->cells[c] : column->head, l->widths[c], column->right,
                   bright ? row->colour : COLOUR_NONE, c == last, out);
    }
    fputc('\n', out);
}

static void print_note(const char *note, size_t width, FILE *out)
{
    char text[1024];
    size_t room = width > TABLE_NOTE_INDENT ? width - TABLE_NOTE_INDENT : sizeof text;
    fprintf(out, "%*s%s\n", TABLE_NOTE_INDENT, "", text_cut(note, room, text, sizeof text));
}

size_t table_print(const struct table *t, const struct table_look *look, FILE *out)
{
    struct layout l;
    size_t lines = t->headless ? 0 : 1, r = 0;
    lay_out(t, look->width, &l);
    if (!t->headless)
        print_row(t, &l, NULL, look->colours, out);
    for (; r < t->rows_len; r++) {
        const struct table_row *row = &t->rows[r];
        lines += row->note != NULL ? 2 : 1;
        if (look->lines_max > 0 && lines > look->lines_max)
            break;
        print_row(t, &l, row, look->colours, out);
        if (row->note != NULL)
            print_note(row->note, look->width, out);
    }
    return r;
}
