/* What `volley send` is made of: lines out of chunks, and the bar. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl/lines.h"
#include "ctl/progress.h"
#include "ctl/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_LEN 8
#define CHUNK_MAX    16

/* "1:abc 4:!": line 1 is abc, line 4 was too long. */
static void collect(struct lines *l, bool eof, char *out, size_t size)
{
    struct line line;
    for (;;) {
        size_t n = strlen(out);
        switch (lines_next(l, eof, &line)) {
        case LINE_NONE:
            return;
        case LINE_TOO_LONG:
            (void)snprintf(out + n, size - n, "%s%d:!", n > 0 ? " " : "", (int)line.number);
            break;
        case LINE_WHOLE:
            (void)snprintf(out + n, size - n, "%s%d:%.*s", n > 0 ? " " : "", (int)line.number,
                           (int)line.len, line.text);
            break;
        }
    }
}

static const struct {
    const char *text, *lines;
} line_rows[] = {
    {"", ""},
    {"\n", ""},
    {"\n \t\r\n\n", ""},
    {"abc", "1:abc"},
    {"abc\n", "1:abc"},
    {"abc\ndef", "1:abc 2:def"},
    {"abc\n\n  \ndef\n", "1:abc 4:def"},
    {"12345678\n", "1:12345678"},
    {"12345678", "1:12345678"},
    {"123456789\nabc", "1:! 2:abc"},
    {"123456789", "1:!"},
    {"12345678901234567890123456789012345678901234567890\nabc\n", "1:! 2:abc"},
    {"         \nabc", "1:! 2:abc"},
    {"a\n123456789012345678901234567890", "1:a 2:!"},
};

static void lines_are_the_same_however_they_are_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(line_rows); i++) {
        for (size_t chunk = 1; chunk <= CHUNK_MAX; chunk++) {
            struct lines l;
            char out[256] = "";
            const char *at = line_rows[i].text;
            lines_init(&l, LINE_MAX_LEN, CHUNK_MAX);
            for (size_t left = strlen(at); left > 0;) {
                size_t len = left < chunk ? left : chunk;
                lines_add(&l, at, len);
                collect(&l, false, out, sizeof out);
                at += len;
                left -= len;
            }
            collect(&l, true, out, sizeof out);
            if (strcmp(out, line_rows[i].lines) != 0)
                fail_msg("row %zu in chunks of %zu: '%s'", i, chunk, out);
            lines_fini(&l);
        }
    }
}

static void the_bar_says_what_is_known_and_fits(void **state)
{
    (void)state;
    static const struct {
        size_t width;
        uint64_t done, total, count, ms;
        const char *text;
    } rows[] = {
        {79, 0, 0, 1200, 1000, "1200 events, 1200/s"},
        {79, 50, 100, 600, 60000, "[#########..........]  50%  600 events, 10/s, 60s left"},
        {70, 50, 100, 600, 60000, "[#####.....]  50%  600 events, 10/s, 60s left"},
        {79, 0, 100, 0, 0, "[...................]   0%  0 events, 0/s, - left"},
        {70, 300, 100, 5, 1000, "[##########] 100%  5 events, 5.0/s, 0s left"},
        {20, 50, 100, 600, 60000, "[#####.....]  50%  \xe2\x80\xa6"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char out[128];
        progress_text(out, sizeof out, rows[i].width, rows[i].done, rows[i].total, rows[i].count,
                      rows[i].ms);
        assert_string_equal(out, rows[i].text);
        assert_true(text_width(out) <= rows[i].width);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_the_same_however_they_are_cut),
        cmocka_unit_test(the_bar_says_what_is_known_and_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
