/* UTF-8 at each edge of RFC 3629's table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/err.h"
#include "common/base/utf8.h"

#include <stdbool.h>
#include <string.h>

static void each_code_point_is_written_and_read(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        char text[4];
        if (c == 0xd800)
            c = 0xe000;
        size_t want = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        assert_int_equal(utf8_put(text, c), want);
        assert_int_equal(utf8_len(text, text + want), want);
        for (size_t cut = 1; cut < want; cut++)
            assert_int_equal(utf8_len(text, text + cut), 0);
    }
}

static void what_is_no_character_has_no_length(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xc2\x7f",
        "\xc2\xc0",
        "\xe0\x9f\xbf",
        "\xe0\x80\x80",
        "\xe1\x80\x7f",
        "\xe1\x80\xc0",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xf0\x8f\xbf\xbf",
        "\xf0\x90\x80\xc0",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xff",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(utf8_len(rows[i], rows[i] + strlen(rows[i])), 0);
}

static void every_pair_of_bytes_agrees_with_arithmetic(void **state)
{
    (void)state;
    for (unsigned first = 0x80; first < 0x100; first++) {
        for (unsigned second = 0; second < 0x100; second++) {
            const char text[] = {(char)first, (char)second};
            bool good = first >= 0xc2 && first <= 0xdf && second >= 0x80 && second <= 0xbf;
            assert_int_equal(utf8_len(text, text + 2), good ? 2 : 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_code_point_is_written_and_read),
        cmocka_unit_test(what_is_no_character_has_no_length),
        cmocka_unit_test(every_pair_of_bytes_agrees_with_arithmetic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
