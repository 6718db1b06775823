#include "common/base/hex.h"

void hex_put(char *out, const uint8_t *data, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
}

char *hex_str(char *out, const uint8_t *data, size_t len)
{
    hex_put(out, data, len);
    out[2 * len] = '\0';
    return out;
}

/* One more than what the digit means, so that 0 is "no digit". A table, as ids, keys and signatures
 * are most of an event. */
static const uint8_t meaning[256] = {
    ['0'] = 1, ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9, ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
};

enum err hex_get(const char *hex, size_t hex_len, uint8_t *out, size_t out_len)
{
    if (hex_len != 2 * out_len)
        return ERR_INVALID;
    for (size_t i = 0; i < out_len; i++) {
        unsigned high = meaning[(uint8_t)hex[2 * i]], low = meaning[(uint8_t)hex[2 * i + 1]];
        if (high == 0 || low == 0)
            return ERR_INVALID;
        out[i] = (uint8_t)((high - 1) << 4 | (low - 1));
    }
    return ERR_NONE;
}
