/* The scanner judged by tables, in the manner of JSONTestSuite: what must be taken, what must be
 * refused; then the cursor and the strings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/nostr/json.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 65536u
#define ROW(s)   s, sizeof(s) - 1

struct row {
    const char *text;
    size_t len;
};

static const struct row taken[] = {
    {ROW("[]")},
    {ROW("{}")},
    {ROW("null")},
    {ROW("true")},
    {ROW("false")},
    {ROW("\"\"")},
    {ROW("0")},
    {ROW("-0")},
    {ROW("-1")},
    {ROW("123456789012345678901234567890123456789012345678901234567890123")},
    {ROW("-12345678901234567890123456789012345678901234567890123456789012")},
    {ROW("0.5")},
    {ROW("-0.0e0")},
    {ROW("1e5")},
    {ROW("1E+5")},
    {ROW("1e-005")},
    {ROW(" \t\r\n[ ] \n")},
    {ROW("[1,2,[3,[4]],{\"a\":5}]")},
    {ROW("{\"a\" : 1 , \"b\" : [ ] }")},
    {ROW("{\"\":1}")},
    {ROW("{\"a\":{\"a\":{\"a\":1}}}")},
    {ROW("[{\"a\":1},{\"a\":1}]")},
    {ROW("{\"a\":1,\"A\":2}")},
    {ROW("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"")},
    {ROW("\"\\u0001\\u001f\\uABcd\"")},
    {ROW("\"\\ud83d\\ude00\"")},
    {ROW("\"\\uD800\\uDC00\\uDBFF\\uDFFF\"")},
    {ROW("\"\\uFFFF\\uFFFE\"")},
    {ROW("\"\\\\u0000\"")},
    {ROW("\"\x7f\"")},
    {ROW("\"\xc2\x80\xdf\xbf\"")},
    {ROW("\"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\"")},
    {ROW("\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"")},
    {ROW("\"\xe2\x80\xa8\xe2\x80\xa9\"")},
    {ROW("[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]")},
    {ROW("[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]")},
};

static const struct row refused[] = {
    {ROW("")},
    {ROW(" ")},
    {ROW("[")},
    {ROW("]")},
    {ROW("[1")},
    {ROW("[1,")},
    {ROW("[1,]")},
    {ROW("[,1]")},
    {ROW("[1,,2]")},
    {ROW("[1 2]")},
    {ROW("[1}")},
    {ROW("{]")},
    {ROW("[:1]")},
    {ROW("[\"a\":1]")},
    {ROW("{")},
    {ROW("{\"a\"")},
    {ROW("{\"a\":")},
    {ROW("{\"a\":1")},
    {ROW("{\"a\":1,")},
    {ROW("{\"a\":1,}")},
    {ROW("{,\"a\":1}")},
    {ROW("{\"a\"}")},
    {ROW("{\"a\",1}")},
    {ROW("{\"a\" 1}")},
    {ROW("{\"a\"::1}")},
    {ROW("{a:1}")},
    {ROW("{'a':1}")},
    {ROW("{1:1}")},
    {ROW("{null:1}")},
    {ROW("[1]2")},
    {ROW("[1],")},
    {ROW("[1][2]")},
    {ROW("{}}")},
    {ROW("[]\0")},
    {ROW("\0[]")},
    {ROW("[\0]")},
    {ROW("\xef\xbb\xbf[]")},
    {ROW("\v[]")},
    {ROW("\f[]")},
    {ROW("\xc2\xa0[]")},
    {ROW("[]//x")},
    {ROW("[/**/]")},
    {ROW("tru")},
    {ROW("truee")},
    {ROW("True")},
    {ROW("nul")},
    {ROW("NaN")},
    {ROW("Infinity")},
    {ROW("-")},
    {ROW("--1")},
    {ROW("+1")},
    {ROW("01")},
    {ROW("-01")},
    {ROW("007")},
    {ROW("1.")},
    {ROW("1234567890123456789012345678901234567890123456789012345678901234")},
    {ROW("[-0.1234567890123456789012345678901234567890123456789012345678901]")},
    {ROW(".5")},
    {ROW("1.e5")},
    {ROW("1e")},
    {ROW("1e+")},
    {ROW("1e5.5")},
    {ROW("1.5.5")},
    {ROW("0x10")},
    {ROW("1_000")},
    {ROW("- 1")},
    {ROW("\xef\xbc\x91")},
    {ROW("\"")},
    {ROW("\"a")},
    {ROW("\"\\\"")},
    {ROW("\"\\")},
    {ROW("\"\\x41\"")},
    {ROW("\"\\a\"")},
    {ROW("\"\\'\"")},
    {ROW("\"\\U0041\"")},
    {ROW("\"\\\0\"")},
    {ROW("\"\\u\"")},
    {ROW("\"\\u123\"")},
    {ROW("\"\\u12")},
    {ROW("\"\\u12g4\"")},
    {ROW("\"\\u 123\"")},
    {ROW("\"\\u+123\"")},
    {ROW("\"\\u0000\"")},
    {ROW("{\"\\u0000\":1}")},
    {ROW("\"\\ud800\"")},
    {ROW("\"\\udbff\\u0041\"")},
    {ROW("\"\\ud800\\ud800\"")},
    {ROW("\"\\udc00\"")},
    {ROW("\"\\udc00\\ud800\"")},
    {ROW("\"\\ud800x\"")},
    {ROW("\"\\ud800\\n\"")},
    {ROW("\"\\ud800\\udc0\"")},
    {ROW("\"\\ud800\\u\"")},
    {ROW("\"\n\"")},
    {ROW("\"\t\"")},
    {ROW("\"\x1f\"")},
    {ROW("\"\0\"")},
    {ROW("\"\x80\"")},
    {ROW("\"\xbf\"")},
    {ROW("\"\xc0\x80\"")},
    {ROW("\"\xc1\xbf\"")},
    {ROW("\"\xc2\"")},
    {ROW("\"\xc2")},
    {ROW("\"\xc2\x41\"")},
    {ROW("\"\xe0\x9f\xbf\"")},
    {ROW("\"\xe1\x80\"")},
    {ROW("\"\xe1\x80\x41\"")},
    {ROW("\"\xed\xa0\x80\"")},
    {ROW("\"\xed\xbf\xbf\"")},
    {ROW("\"\xf0\x8f\xbf\xbf\"")},
    {ROW("\"\xf0\x90\x80\"")},
    {ROW("\"\xf4\x90\x80\x80\"")},
    {ROW("\"\xf5\x80\x80\x80\"")},
    {ROW("\"\xf8\x88\x80\x80\x80\"")},
    {ROW("\"\xfe\"")},
    {ROW("\"\xff\"")},
    {ROW("{\"a\":1,\"a\":1}")},
    {ROW("{\"a\":1,\"b\":2,\"\\u0061\":3}")},
    {ROW("[{\"x\":{\"\\/\":1,\"/\":2}}]")},
    {ROW("{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}")},
    {ROW("{\"a\":{\"b\":1},\"a\":2}")},
    {ROW("[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]")},
    {ROW("[[[[[[[[[[[[[[[[{}]]]]]]]]]]]]]]]]")},
};

/* From memory of just that size, so that ASan sees one byte read too many. */
static enum err check(const char *text, size_t len, size_t max_len, struct problem *p)
{
    char *exact = malloc(len > 0 ? len : 1);
    assert_non_null(exact);
    memcpy(exact, text, len);
    enum err e = json_check(exact, len, max_len, p);
    free(exact);
    return e;
}

static void what_is_json_is_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(taken); i++) {
        struct problem p = {0};
        enum err e = check(taken[i].text, taken[i].len, TEXT_MAX, &p);
        if (e != ERR_NONE)
            fail_msg("refused: %s: %s", taken[i].text, p.text);
    }
}

static void what_is_not_or_is_doubtful_is_refused_with_a_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        struct problem p = {0};
        enum err e = check(refused[i].text, refused[i].len, TEXT_MAX, &p);
        if (e != ERR_INVALID)
            fail_msg("row %zu is taken: %s", i, refused[i].text);
        assert_non_null(strstr(p.text, "(at byte "));
    }
}

static void every_part_of_a_text_is_refused(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\":[1.5e3,-0,true,false,null,\"\\u00e9\\ud83d\\ude00\xf0\x9f\x98\x80\"],\"b\":{}}";
    assert_int_equal(check(text, sizeof text - 1, TEXT_MAX, NULL), ERR_NONE);
    for (size_t len = 0; len < sizeof text - 1; len++)
        assert_int_equal(check(text, len, TEXT_MAX, NULL), ERR_INVALID);
}

static void the_size_is_bounded_first(void **state)
{
    (void)state;
    assert_int_equal(check("[1234]", 6, 6, NULL), ERR_NONE);
    assert_int_equal(check("[12345]", 7, 6, NULL), ERR_TOO_BIG);
    assert_int_equal(check("nonsense", 8, 6, NULL), ERR_TOO_BIG);
}

static enum err check_keys(unsigned count)
{
    struct buf text;
    buf_init(&text, TEXT_MAX);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(buf_addf(&text, "%s\"k%u\":[{\"x\":1}]", i == 0 ? "{" : ",", i), ERR_NONE);
    assert_int_equal(buf_add_char(&text, '}'), ERR_NONE);
    enum err e = json_check((const char *)text.data, text.len, TEXT_MAX, NULL);
    buf_fini(&text);
    return e;
}

static void keys_open_at_once_are_bounded(void **state)
{
    (void)state;
    assert_int_equal(check_keys(JSON_KEYS_MAX - 1), ERR_NONE);
    assert_int_equal(check_keys(JSON_KEYS_MAX + 1), ERR_INVALID);
}

static struct json_cur cursor(const char *text)
{
    struct json_cur c;
    json_begin(&c, text, strlen(text));
    return c;
}

static void the_cursor_reads_a_text_left_to_right(void **state)
{
    (void)state;
    struct json_cur c = cursor(" { \"a\" : [ 12 , true , \"x\\ny\" ] , \"b\" : {\"c\":[]} } ");
    struct json_span raw;
    bool first = true, inner = true, yes = false;
    uint64_t n = 0;
    assert_int_equal(json_peek(&c), '{');
    assert_int_equal(json_enter(&c, '{'), ERR_NONE);
    assert_true(json_next(&c, '}', &first));
    assert_int_equal(json_key(&c, &raw), ERR_NONE);
    assert_true(json_equals(raw, "a"));
    assert_int_equal(json_enter(&c, '['), ERR_NONE);
    assert_true(json_next(&c, ']', &inner));
    assert_int_equal(json_uint(&c, 12, &n), ERR_NONE);
    assert_int_equal(n, 12);
    assert_true(json_next(&c, ']', &inner));
    assert_int_equal(json_bool(&c, &yes), ERR_NONE);
    assert_true(yes);
    assert_true(json_next(&c, ']', &inner));
    assert_int_equal(json_string(&c, &raw), ERR_NONE);
    assert_int_equal(raw.len, 4);
    assert_memory_equal(raw.p, "x\\ny", 4);
    assert_false(json_next(&c, ']', &inner));
    assert_true(json_next(&c, '}', &first));
    assert_int_equal(json_key(&c, &raw), ERR_NONE);
    assert_int_equal(json_skip(&c, &raw), ERR_NONE);
    assert_int_equal(raw.len, 8);
    assert_memory_equal(raw.p, "{\"c\":[]}", 8);
    assert_false(json_next(&c, '}', &first));
    assert_int_equal(json_end(&c), ERR_NONE);
    assert_int_equal(c.depth, 0);
}

static void the_first_error_stays_and_nothing_moves(void **state)
{
    (void)state;
    struct json_cur c = cursor("[tru, 1]");
    struct json_span raw;
    bool first = true, yes;
    uint64_t n;
    assert_int_equal(json_enter(&c, '['), ERR_NONE);
    assert_true(json_next(&c, ']', &first));
    assert_int_equal(json_bool(&c, &yes), ERR_INVALID);
    const char *at = c.p, *what = c.what;
    assert_int_equal(json_peek(&c), '\0');
    assert_int_equal(json_skip(&c, &raw), ERR_INVALID);
    assert_int_equal(json_string(&c, &raw), ERR_INVALID);
    assert_int_equal(json_key(&c, &raw), ERR_INVALID);
    assert_int_equal(json_uint(&c, 9, &n), ERR_INVALID);
    assert_int_equal(json_bool(&c, &yes), ERR_INVALID);
    assert_int_equal(json_enter(&c, '['), ERR_INVALID);
    assert_int_equal(json_fail(&c, ERR_TOO_BIG, "later"), ERR_INVALID);
    assert_int_equal(json_end(&c), ERR_INVALID);
    assert_false(json_next(&c, ']', &first));
    assert_ptr_equal(c.p, at);
    assert_ptr_equal(c.what, what);
}

static void skipping_lets_repeated_keys_pass_unless_asked(void **state)
{
    (void)state;
    struct json_cur c = cursor("{\"a\":1,\"a\":2}");
    assert_int_equal(json_skip(&c, NULL), ERR_NONE);
    c = cursor("{\"a\":1,\"a\":2}");
    assert_int_equal(json_skip_unique(&c, NULL), ERR_INVALID);
    assert_string_equal(c.what, "the same key twice in an object");
}

static void whole_numbers_are_digits_up_to_the_maximum(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t max;
        bool good;
        uint64_t value;
    } rows[] = {
        {"0", 0, true, 0},
        {"0", 9, true, 0},
        {"1", 0, false, 0},
        {"65535", 65535, true, 65535},
        {"65536", 65535, false, 0},
        {"99999", 65535, false, 0},
        {"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, false, 0},
        {"99999999999999999999999", UINT64_MAX, false, 0},
        {"", 9, false, 0},
        {"00", 9, false, 0},
        {"01", 9, false, 0},
        {"-1", 9, false, 0},
        {"-0", 9, false, 0},
        {"+1", 9, false, 0},
        {"1.0", 9, false, 0},
        {"1e0", 9, false, 0},
        {"1E0", 9, false, 0},
        {"\"1\"", 9, false, 0},
        {"null", 9, false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct json_cur c = cursor(rows[i].text);
        uint64_t v = 0;
        bool good = json_uint(&c, rows[i].max, &v) == ERR_NONE && json_end(&c) == ERR_NONE;
        if (good != rows[i].good || v != rows[i].value)
            fail_msg("%s of at most %lu", rows[i].text, (unsigned long)rows[i].max);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_json_is_taken),
        cmocka_unit_test(what_is_not_or_is_doubtful_is_refused_with_a_reason),
        cmocka_unit_test(every_part_of_a_text_is_refused),
        cmocka_unit_test(the_size_is_bounded_first),
        cmocka_unit_test(keys_open_at_once_are_bounded),
        cmocka_unit_test(the_cursor_reads_a_text_left_to_right),
        cmocka_unit_test(the_first_error_stays_and_nothing_moves),
        cmocka_unit_test(skipping_lets_repeated_keys_pass_unless_asked),
        cmocka_unit_test(whole_numbers_are_digits_up_to_the_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
