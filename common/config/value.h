/* The little languages of configuration values: durations, sizes, numbers, words. Pure. */
#ifndef VOLLEY_CONFIG_VALUE_H
#define VOLLEY_CONFIG_VALUE_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* "300ms" "5s" "10m" "2h" "7d" → milliseconds. A unit is needed, but for 0. */
MUST_USE enum err value_duration(const char *text, uint64_t *out_ms);
/* "512" "64KiB" "8GiB" (B, KiB, MiB, GiB, TiB) → bytes. */
MUST_USE enum err value_size(const char *text, uint64_t *out);
/* Digits only. */
MUST_USE enum err value_uint(const char *text, uint64_t *out);
/* "10/s" "6/m" "600/h" → events per 1,000 seconds; "0" and "off" are 0. */
MUST_USE enum err value_rate(const char *text, uint32_t *out_per_1000s);
/* yes no true false on off. */
MUST_USE enum err value_bool(const char *text, bool *out);

/* The candidate nearest to `word` (edit distance at most a third of it, and at most 3), or NULL. */
const char *value_nearest(const char *word, const char *const *candidates, size_t len);

#endif
