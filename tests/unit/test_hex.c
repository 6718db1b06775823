/* Lower-case hexadecimal and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/hex.h"

#include <stdbool.h>

static void every_byte_is_two_digits_and_comes_back(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 256; i++) {
        uint8_t byte = (uint8_t)i, again = (uint8_t)~i;
        char text[3], want[3];
        static const char digits[] = "0123456789abcdef";
        want[0] = digits[i / 16];
        want[1] = digits[i % 16];
        want[2] = '\0';
        assert_string_equal(hex_str(text, &byte, 1), want);
        assert_int_equal(hex_get(text, 2, &again, 1), ERR_NONE);
        assert_int_equal(again, byte);
    }
}

static void only_lower_case_digits_are_read(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        bool good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        char high[] = {(char)c, '0'}, low[] = {'0', (char)c};
        uint8_t out;
        assert_int_equal(hex_get(high, 2, &out, 1), good ? ERR_NONE : ERR_INVALID);
        assert_int_equal(hex_get(low, 2, &out, 1), good ? ERR_NONE : ERR_INVALID);
    }
}

static void the_length_is_exact(void **state)
{
    (void)state;
    uint8_t out[2];
    assert_int_equal(hex_get("", 0, out, 0), ERR_NONE);
    assert_int_equal(hex_get("ab", 2, out, 2), ERR_INVALID);
    assert_int_equal(hex_get("abc", 3, out, 2), ERR_INVALID);
    assert_int_equal(hex_get("abcd", 4, out, 2), ERR_NONE);
    assert_int_equal(hex_get("abcde", 5, out, 2), ERR_INVALID);
    assert_int_equal(hex_get("abcdef", 6, out, 2), ERR_INVALID);
    assert_int_equal(hex_get("", 0, out, 2), ERR_INVALID);
}

static void writing_without_a_terminator_writes_none(void **state)
{
    (void)state;
    char text[] = "xxxxx";
    hex_put(text, (const uint8_t *)"\x0a\xf0", 2);
    assert_string_equal(text, "0af0x");
    assert_string_equal(hex_str(text, NULL, 0), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_is_two_digits_and_comes_back),
        cmocka_unit_test(only_lower_case_digits_are_read),
        cmocka_unit_test(the_length_is_exact),
        cmocka_unit_test(writing_without_a_terminator_writes_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
