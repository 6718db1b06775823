/* The buffer with a maximum: it holds what fits, and refuses the rest whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/buf.h"

#include <string.h>

static void a_new_buffer_is_empty_and_holds_nothing(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    assert_int_equal(b.len, 0);
    assert_null(b.data);
    assert_string_equal(buf_str(&b), "");
    buf_drop(&b, 5);
    buf_clear(&b);
    buf_fini(&b);
}

static void what_is_added_stands_one_behind_the_other(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    assert_int_equal(buf_add_str(&b, "one"), ERR_NONE);
    assert_int_equal(buf_add_char(&b, ' '), ERR_NONE);
    assert_int_equal(buf_add(&b, "two\0x", 5), ERR_NONE);
    assert_int_equal(buf_addf(&b, "%d-%s", 3, "four"), ERR_NONE);
    assert_int_equal(buf_add(&b, NULL, 0), ERR_NONE);
    assert_int_equal(b.len, 15);
    assert_memory_equal(buf_str(&b), "one two\0x3-four", 16);
    buf_fini(&b);
}

static void the_maximum_is_reached_and_not_passed(void **state)
{
    (void)state;
    for (size_t max = 0; max < 200; max++) {
        struct buf b;
        char text[256];
        memset(text, 'x', sizeof text);
        text[max] = '\0';
        buf_init(&b, max);
        assert_int_equal(buf_add(&b, text, max + 1), ERR_TOO_BIG);
        assert_int_equal(b.len, 0);
        assert_int_equal(buf_addf(&b, "%s", text), ERR_NONE);
        assert_int_equal(b.len, max);
        assert_int_equal(buf_add_char(&b, 'y'), ERR_TOO_BIG);
        assert_int_equal(buf_addf(&b, "%d", 1), ERR_TOO_BIG);
        assert_int_equal(buf_add_str(&b, "z"), ERR_TOO_BIG);
        assert_int_equal(buf_reserve(&b, SIZE_MAX), ERR_TOO_BIG);
        assert_int_equal(buf_add_str(&b, ""), ERR_NONE);
        assert_string_equal(buf_str(&b), text);
        assert_true(b.cap <= max + 1);
        buf_fini(&b);
    }
}

static void room_that_was_reserved_is_there(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    assert_int_equal(buf_add_str(&b, "ab"), ERR_NONE);
    assert_int_equal(buf_reserve(&b, 998), ERR_NONE);
    memset(b.data + b.len, 'c', 998);
    b.len += 998;
    assert_int_equal(strlen(buf_str(&b)), 1000);
    assert_int_equal(buf_reserve(&b, 1), ERR_TOO_BIG);
    buf_fini(&b);
}

static void a_buffer_without_a_real_maximum_still_refuses_the_impossible(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, SIZE_MAX);
    assert_int_equal(buf_add_str(&b, "x"), ERR_NONE);
    assert_int_equal(buf_reserve(&b, SIZE_MAX - 1), ERR_TOO_BIG);
    assert_string_equal(buf_str(&b), "x");
    buf_fini(&b);
}

static void dropping_moves_the_rest_to_the_front(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    assert_int_equal(buf_add_str(&b, "abcdef"), ERR_NONE);
    buf_drop(&b, 0);
    assert_string_equal(buf_str(&b), "abcdef");
    buf_drop(&b, 2);
    assert_string_equal(buf_str(&b), "cdef");
    buf_drop(&b, 100);
    assert_string_equal(buf_str(&b), "");
    buf_fini(&b);
}

static void clearing_keeps_the_memory_and_ending_keeps_the_maximum(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 3);
    assert_int_equal(buf_add_str(&b, "abc"), ERR_NONE);
    const uint8_t *data = b.data;
    buf_clear(&b);
    assert_int_equal(buf_add_str(&b, "xyz"), ERR_NONE);
    assert_ptr_equal(b.data, data);
    buf_fini(&b);
    assert_int_equal(b.max, 3);
    assert_int_equal(buf_add_str(&b, "abc"), ERR_NONE);
    assert_int_equal(buf_add_str(&b, "d"), ERR_TOO_BIG);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_buffer_is_empty_and_holds_nothing),
        cmocka_unit_test(what_is_added_stands_one_behind_the_other),
        cmocka_unit_test(the_maximum_is_reached_and_not_passed),
        cmocka_unit_test(room_that_was_reserved_is_there),
        cmocka_unit_test(a_buffer_without_a_real_maximum_still_refuses_the_impossible),
        cmocka_unit_test(dropping_moves_the_rest_to_the_front),
        cmocka_unit_test(clearing_keeps_the_memory_and_ending_keeps_the_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
