/* Text for people's terminals: safe, measured in columns, cut. Pure. */
#ifndef VOLLEY_CTL_TEXT_H
#define VOLLEY_CTL_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* "3s" "12m" "2h" "5d": how long, in one unit; "-" when negative. */
const char *short_duration(int64_t ms, char out[16]);
/* "0" "99999" "123k" "45M": at most five characters below 10^13. */
const char *short_count(uint64_t n, char out[16]);
/* A rate in events per 1,000 s as events a second: "0" "0.2" "17" "12k". */
const char *short_rate(uint64_t per_1000s, char out[16]);
/* Makes text from outside safe for a terminal: control characters (C1 too), bytes that are not
 * UTF-8 and what has no width of its own in a terminal become '?'. At most `size`-1 bytes, cut at a
 * character's end. */
const char *clean_text(const char *s, char *out, size_t size);
/* Columns of clean text in a terminal: wide characters are two. */
size_t text_width(const char *s);
/* Copies clean text, cut to `width` columns (at least 1) and to `size` (at least 8) bytes; what was
 * longer ends with "…". Returns `out`. */
const char *text_cut(const char *s, size_t width, char *out, size_t size);

#endif
