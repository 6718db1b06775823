/* Strings between their raw and their plain form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/nostr/json.h"

#include <stdlib.h>
#include <string.h>

static struct json_span span(const char *raw)
{
    return (struct json_span){raw, strlen(raw)};
}

static void equality_is_of_the_unescaped(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *text;
        bool equal;
    } rows[] = {
        {"", "", true},
        {"", "a", false},
        {"a", "", false},
        {"id", "id", true},
        {"\\u0069d", "id", true},
        {"i\\u0064", "id", true},
        {"\\u0069\\u0064", "id", true},
        {"id\\u0064", "id", false},
        {"\\u0069", "id", false},
        {"ID", "id", false},
        {"a\\nb", "a\nb", true},
        {"a\\nb", "anb", false},
        {"\\/", "/", true},
        {"\\\\", "\\", true},
        {"\\u00e9", "\xc3\xa9", true},
        {"\xc3\xa9", "\xc3\xa9", true},
        {"\\ud83d\\uDE00", "\xf0\x9f\x98\x80", true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (json_equals(span(rows[i].raw), rows[i].text) != rows[i].equal)
            fail_msg("%s and %s", rows[i].raw, rows[i].text);
    assert_true(json_equals((struct json_span){0}, ""));
}

static void two_raw_strings_are_the_same_when_they_mean_the_same(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } rows[] = {
        {"", "", true},
        {"a", "a", true},
        {"a", "b", false},
        {"a", "aa", false},
        {"\\u0061", "a", true},
        {"\\u0061bc", "ab\\u0063", true},
        {"\\u0061b", "ab\\u0063", false},
        {"abc", "\\u0061b", false},
        {"\\u00e9x", "\xc3\xa9x", true},
        {"\\u00e9", "\\u00e8", false},
        {"", "\\u0061", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (json_same(span(rows[i].a), span(rows[i].b)) != rows[i].same ||
            json_same(span(rows[i].b), span(rows[i].a)) != rows[i].same)
            fail_msg("%s and %s", rows[i].a, rows[i].b);
    }
}

static void characters_are_counted_unescaped(void **state)
{
    (void)state;
    assert_int_equal(json_chars(span("")), 0);
    assert_int_equal(json_chars(span("abc")), 3);
    assert_int_equal(json_chars(span("\xc3\xa9\xf0\x9f\x98\x80")), 2);
    assert_int_equal(json_chars(span("\\n\\u00e9\\ud83d\\ude00x")), 4);
}

static void unescaping_fits_or_leaves_the_buffer_alone(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 8);
    assert_int_equal(json_unescape(span("a\\t\\u00e9\\ud83d\\ude00"), &out), ERR_NONE);
    assert_string_equal(buf_str(&out), "a\t\xc3\xa9\xf0\x9f\x98\x80");
    assert_int_equal(json_unescape(span("x\\n"), &out), ERR_TOO_BIG);
    assert_int_equal(out.len, 8);
    buf_clear(&out);
    assert_int_equal(json_unescape(span("\\u00e9\\u00e9\\u00e9\\u00e9\\n"), &out), ERR_TOO_BIG);
    assert_int_equal(out.len, 0);
    buf_fini(&out);
}

static void a_copy_is_cut_between_characters(void **state)
{
    (void)state;
    static const struct {
        const char *raw;
        size_t size;
        const char *copy;
    } rows[] = {
        {"", 1, ""},
        {"abc", 1, ""},
        {"abc", 3, "ab"},
        {"abc", 4, "abc"},
        {"a\xc3\xa9", 3, "a"},
        {"a\xc3\xa9", 4, "a\xc3\xa9"},
        {"a\\u00e9z", 3, "a"},
        {"a\\u00e9z", 4, "a\xc3\xa9"},
        {"\\ud83d\\ude00", 4, ""},
        {"\\ud83d\\ude00", 5, "\xf0\x9f\x98\x80"},
        {"\xf0\x9f\x98\x80z", 4, ""},
        {"a\\nb", 3, "a\n"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char *out = malloc(rows[i].size);
        assert_non_null(out);
        json_copy(span(rows[i].raw), out, rows[i].size);
        assert_string_equal(out, rows[i].copy);
        free(out);
    }
}

static void the_canonical_form_has_seven_escapes_and_no_other_detours(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *canon;
    } rows[] = {
        {"", ""},
        {"plain \x7f \xc3\xa9", "plain \x7f \xc3\xa9"},
        {"\\n\\\"\\\\\\r\\t\\b\\f", "\\n\\\"\\\\\\r\\t\\b\\f"},
        {"\\u000a\\u0022\\u005C\\u000D\\u0009\\u0008\\u000c", "\\n\\\"\\\\\\r\\t\\b\\f"},
        {"\\u0001\\u000B\\u001F\\u007f", "\\u0001\\u000b\\u001f\x7f"},
        {"\\/\\u002f", "//"},
        {"\\u0041\\u00e9\\u20AC\\ud83d\\ude00", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\\\\u0041", "\\\\u0041"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char out[128];
        char *end = json_canon(out, span(rows[i].raw));
        *end = '\0';
        assert_string_equal(out, rows[i].canon);
        assert_true(strlen(out) <= strlen(rows[i].raw));
    }
}

static void a_string_of_ours_is_escaped_and_made_utf8(void **state)
{
    (void)state;
    struct buf out;
    static const char text[] = "a\n\"\\\r\t\b\f\x01\x1f\x7f\xc3\xa9\0\xff\xe2\x82z";
    buf_init(&out, 256);
    assert_int_equal(json_put_string(&out, text, sizeof text - 1), ERR_NONE);
    assert_string_equal(
        buf_str(&out),
        "\"a\\n\\\"\\\\\\r\\t\\b\\f\\u0001\\u001f\x7f\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd"
        "\xef\xbf\xbd\xef\xbf\xbdz\"");
    assert_int_equal(json_check((const char *)out.data, out.len, 256, NULL), ERR_NONE);
    buf_fini(&out);
    buf_init(&out, 4);
    assert_int_equal(json_put_string(&out, "ab", 2), ERR_NONE);
    buf_clear(&out);
    assert_int_equal(json_put_string(&out, "abc", 3), ERR_TOO_BIG);
    assert_int_equal(json_put_string(&out, "\x01", 1), ERR_TOO_BIG);
    assert_int_equal(out.len, 0);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equality_is_of_the_unescaped),
        cmocka_unit_test(two_raw_strings_are_the_same_when_they_mean_the_same),
        cmocka_unit_test(characters_are_counted_unescaped),
        cmocka_unit_test(unescaping_fits_or_leaves_the_buffer_alone),
        cmocka_unit_test(a_copy_is_cut_between_characters),
        cmocka_unit_test(the_canonical_form_has_seven_escapes_and_no_other_detours),
        cmocka_unit_test(a_string_of_ours_is_escaped_and_made_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
