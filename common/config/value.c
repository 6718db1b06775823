#include "common/config/value.h"

#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

static enum err digits(const char **at, uint64_t *out)
{
    const char *s = *at;
    uint64_t v = 0;
    if (*s < '0' || *s > '9')
        return ERR_INVALID;
    for (; *s >= '0' && *s <= '9'; s++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *s - '0', &v))
            return ERR_INVALID;
    *at = s;
    *out = v;
    return ERR_NONE;
}

static enum err with_unit(const char *text, const struct unit *units, size_t len, uint64_t *out)
{
    uint64_t v;
    if (digits(&text, &v) != ERR_NONE)
        return ERR_INVALID;
    for (size_t i = 0; i < len; i++)
        if (strcmp(text, units[i].name) == 0)
            return __builtin_mul_overflow(v, units[i].factor, out) ? ERR_INVALID : ERR_NONE;
    *out = 0;
    return v == 0 && *text == '\0' ? ERR_NONE : ERR_INVALID;
}

enum err value_duration(const char *text, uint64_t *out_ms)
{
    static const struct unit units[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    enum err e = with_unit(text, units, COUNT_OF(units), out_ms);
    return e == ERR_NONE && *out_ms > (uint64_t)INT64_MAX / 4 ? ERR_INVALID : e;
}

enum err value_size(const char *text, uint64_t *out)
{
    static const struct unit units[] = {{"", 1},
                                        {"B", 1},
                                        {"KiB", UINT64_C(1) << 10},
                                        {"MiB", UINT64_C(1) << 20},
                                        {"GiB", UINT64_C(1) << 30},
                                        {"TiB", UINT64_C(1) << 40}};
    return with_unit(text, units, COUNT_OF(units), out);
}

enum err value_uint(const char *text, uint64_t *out)
{
    enum err e = digits(&text, out);
    return e == ERR_NONE && *text != '\0' ? ERR_INVALID : e;
}

enum err value_rate(const char *text, uint32_t *out_per_1000s)
{
    static const struct {
        const char *unit;
        uint64_t seconds;
    } units[] = {{"/s", 1}, {"/m", 60}, {"/h", 3600}};
    *out_per_1000s = 0;
    if (strcmp(text, "off") == 0 || strcmp(text, "0") == 0)
        return ERR_NONE;
    uint64_t v;
    if (digits(&text, &v) != ERR_NONE || v > 1000000)
        return ERR_INVALID;
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        if (strcmp(text, units[i].unit) != 0)
            continue;
        uint64_t per = v * 1000 / units[i].seconds;
        *out_per_1000s = (uint32_t)(per == 0 && v > 0 ? 1 : per);
        return ERR_NONE;
    }
    return ERR_INVALID;
}

enum err value_bool(const char *text, bool *out)
{
    static const char *const yes[] = {"yes", "true", "on"}, *const no[] = {"no", "false", "off"};
    for (size_t i = 0; i < COUNT_OF(yes); i++) {
        *out = strcmp(text, yes[i]) == 0;
        if (*out || strcmp(text, no[i]) == 0)
            return ERR_NONE;
    }
    return ERR_INVALID;
}

#define WORD_MAX 64

/* Levenshtein, one row at a time. */
static size_t distance(const char *a, const char *b)
{
    size_t row[WORD_MAX + 1], a_len = strlen(a), b_len = strlen(b);
    if (a_len > WORD_MAX || b_len > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[b_len];
}

const char *value_nearest(const char *word, const char *const *candidates, size_t len)
{
    size_t limit = strlen(word) / 3 + 1, best = limit > 3 ? 4 : limit + 1;
    const char *found = NULL;
    for (size_t i = 0; i < len; i++) {
        size_t d = distance(word, candidates[i]);
        if (d < best) {
            best = d;
            found = candidates[i];
        }
    }
    return found;
}
