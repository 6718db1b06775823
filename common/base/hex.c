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

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

enum err hex_get(const char *hex, size_t hex_len, uint8_t *out, size_t out_len)
{
    if (hex_len != 2 * out_len)
        return ERR_INVALID;
    for (size_t i = 0; i < out_len; i++) {
        int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return ERR_INVALID;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return ERR_NONE;
}
