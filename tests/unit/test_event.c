/* What is an event and what is none, and the bytes that are kept of one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/nostr/event.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define KEY "f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9"
#define SIG ID ID

/* Fields as they stand in an event's text. */
#define F_ID      "\"id\":\"" ID "\""
#define F_KEY     "\"pubkey\":\"" KEY "\""
#define F_TIME    "\"created_at\":1700000000"
#define F_KIND    "\"kind\":1"
#define F_TAGS    "\"tags\":[[\"t\",\"x\"]]"
#define F_CONTENT "\"content\":\"hello\""
#define F_SIG     "\"sig\":\"" SIG "\""
#define WHOLE     "{" F_ID "," F_KEY "," F_TIME "," F_KIND "," F_TAGS "," F_CONTENT "," F_SIG "}"

/* From memory of just that size, so that ASan sees one byte read too many. */
static enum err parse_len(const char *text, size_t len, size_t max_len, struct event **out,
                          struct problem *p)
{
    char *exact = malloc(len > 0 ? len : 1);
    assert_non_null(exact);
    memcpy(exact, text, len);
    enum err e = event_parse((struct json_span){exact, len}, max_len, out, p);
    free(exact);
    return e;
}

static enum err parse(const char *text, struct event **out, struct problem *p)
{
    return parse_len(text, strlen(text), EVENT_LEN_MAX, out, p);
}

static void assert_canonical(const char *text, const char *canonical)
{
    struct event *ev, *again;
    struct problem p = {0};
    if (parse(text, &ev, &p) != ERR_NONE)
        fail_msg("refused: %s: %s", text, p.text);
    assert_int_equal(ev->len, strlen(canonical));
    assert_memory_equal(ev->bytes, canonical, ev->len);
    assert_int_equal(parse_len(ev->bytes, ev->len, EVENT_LEN_MAX, &again, NULL), ERR_NONE);
    assert_int_equal(again->len, ev->len);
    assert_memory_equal(again->bytes, ev->bytes, ev->len);
    event_unref(again);
    event_unref(ev);
}

static void a_canonical_event_stays_as_it_is(void **state)
{
    (void)state;
    assert_canonical(WHOLE, WHOLE);
}

static void order_spaces_and_unknown_fields_do_not_survive(void **state)
{
    (void)state;
    assert_canonical(" { " F_SIG " ,\n" F_CONTENT "\t, \"x\":{\"id\":[1,{\"kind\":2}]}, " F_TAGS
                     "," F_KIND "," F_TIME ",\r" F_KEY "," F_ID ",\"seen\":null , \"x\":1 } ",
                     WHOLE);
    assert_canonical("{" F_ID "," F_KEY ",\"created_at\" : 1700000000 , \"kind\" : 1 ,"
                     "\"tags\" : [ [ \"t\" , \"x\" ] ] , \"content\" : \"hello\" ," F_SIG "}",
                     WHOLE);
    assert_canonical("{\"\\u0069d\":\"" ID "\"," F_KEY "," F_TIME ",\"k\\u0069nd\":1," F_TAGS
                     "," F_CONTENT "," F_SIG "}",
                     WHOLE);
}

#define WITH(tags, content)                                                                        \
    "{" F_ID "," F_KEY "," F_TIME "," F_KIND ",\"tags\":" tags ",\"content\":" content "," F_SIG "}"

static void strings_are_brought_to_one_form(void **state)
{
    (void)state;
    assert_canonical(WITH("[]", "\"\""), WITH("[]", "\"\""));
    assert_canonical(WITH("[ ]", "\"\\u0041\\/\\u00e9\""), WITH("[]", "\"A/\xc3\xa9\""));
    assert_canonical(WITH("[[],[\"\"],[\"\\u0022\\u005c\",\"a b\\u005d\"]]", "\"\""),
                     WITH("[[],[\"\"],[\"\\\"\\\\\",\"a b]\"]]", "\"\""));
    assert_canonical(WITH("[ [ \"\\\"\" , \" [ \\\\\" ] ]", "\"\\u000A\\u0001\\u001F\\u007f\""),
                     WITH("[[\"\\\"\",\" [ \\\\\"]]", "\"\\n\\u0001\\u001f\x7f\""));
    assert_canonical(WITH("[]", "\"\\ud83d\\ude00\xf0\x9f\x98\x80\""),
                     WITH("[]", "\"\xf0\x9f\x98\x80\xf0\x9f\x98\x80\""));
}

static void the_fields_are_read(void **state)
{
    (void)state;
    struct event *ev;
    assert_int_equal(parse(WHOLE, &ev, NULL), ERR_NONE);
    static const uint8_t begins[] = {0x01, 0x23, 0x45}, key_begins[] = {0xf9, 0x30, 0x8a};
    assert_memory_equal(ev->id, begins, 3);
    assert_memory_equal(ev->pubkey, key_begins, 3);
    assert_memory_equal(ev->sig + 32, begins, 3);
    assert_int_equal(ev->created_at, 1700000000);
    assert_int_equal(ev->kind, 1);
    assert_int_equal(ev->refs, 1);
    assert_int_equal(ev->expiration, 0);
    assert_false(ev->is_protected);
    assert_false(ev->has_address);
    assert_int_equal(ev->tags.len, strlen("[[\"t\",\"x\"]]"));
    assert_memory_equal(ev->tags.p, "[[\"t\",\"x\"]]", ev->tags.len);
    assert_int_equal(ev->content.len, strlen("\"hello\""));
    assert_memory_equal(ev->content.p, "\"hello\"", ev->content.len);
    assert_true(ev->tags.p > ev->bytes && ev->content.p < ev->bytes + ev->len);
    event_unref(ev);
}

/* Each of the fields gone, one at a time, and twice, one at a time. */
static void each_field_must_be_there_once(void **state)
{
    (void)state;
    static const char *const fields[] = {F_ID, F_KEY, F_TIME, F_KIND, F_TAGS, F_CONTENT, F_SIG};
    static const char *const names[] = {"id",   "pubkey",  "created_at", "kind",
                                        "tags", "content", "sig"};
    for (size_t odd = 0; odd < COUNT_OF(fields); odd++) {
        for (int times = 0; times <= 2; times += 2) {
            char text[2048] = "{\"x\":0", want[64];
            struct event *ev;
            struct problem p = {0};
            for (size_t i = 0; i < COUNT_OF(fields); i++) {
                for (int n = i == odd ? times : 1; n > 0; n--) {
                    size_t len = strlen(text);
                    (void)snprintf(text + len, sizeof text - len, ",%s", fields[i]);
                }
            }
            size_t len = strlen(text);
            (void)snprintf(text + len, sizeof text - len, "}");
            (void)snprintf(want, sizeof want, "%s: %s (", names[odd],
                           times == 0 ? "missing" : "there twice");
            assert_int_equal(parse(text, &ev, &p), ERR_INVALID);
            if (strncmp(p.text, want, strlen(want)) != 0)
                fail_msg("wanted %s, got %s", want, p.text);
        }
    }
}

#define BUT(field)                                                                                 \
    "{" field "," F_ID "," F_KEY "," F_TIME "," F_KIND "," F_TAGS "," F_CONTENT "," F_SIG "}"
#define NO_ID(f)   "{" f "," F_KEY "," F_TIME "," F_KIND "," F_TAGS "," F_CONTENT "," F_SIG "}"
#define NO_KEY(f)  "{" F_ID "," f "," F_TIME "," F_KIND "," F_TAGS "," F_CONTENT "," F_SIG "}"
#define NO_TIME(f) "{" F_ID "," F_KEY "," f "," F_KIND "," F_TAGS "," F_CONTENT "," F_SIG "}"
#define NO_KIND(f) "{" F_ID "," F_KEY "," F_TIME "," f "," F_TAGS "," F_CONTENT "," F_SIG "}"
#define NO_SIG(f)  "{" F_ID "," F_KEY "," F_TIME "," F_KIND "," F_TAGS "," F_CONTENT "," f "}"
#define HEX63      "123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DEEP15     "[[[[[[[[[[[[[[["
#define DEEP15_END "]]]]]]]]]]]]]]]"

static void what_is_not_quite_an_event_is_refused_and_told_why(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"", "an object is missing"},
        {"[]", "an object is missing"},
        {"null", "an object is missing"},
        {"\"" ID "\"", "an object is missing"},
        {"{}", "id: missing"},
        {WHOLE "x", "more than one value"},
        {WHOLE WHOLE, "more than one value"},
        {"{" F_ID, "a comma or the closing bracket is missing"},
        {BUT("\"\\u0069d\":\"" ID "\""), "id: there twice"},
        {BUT("\"content\\u0000\":1"), "an escape that is none"},
        {BUT("\"x\":" DEEP15 DEEP15_END ",\"y\":" DEEP15 "[]" DEEP15_END), "nested too deep"},
        {BUT("\"x\":tru"), "a value is missing"},
        {BUT("\"x\":\"\xff\""), "not UTF-8"},
        {NO_ID("\"id\":\"" HEX63 "\""), "id: not 64 lower-case hex digits"},
        {NO_ID("\"id\":\"" HEX63 "00\""), "id: not 64 lower-case hex digits"},
        {NO_ID("\"id\":\"" HEX63 "A\""), "id: not 64 lower-case hex digits"},
        {NO_ID("\"id\":\"" HEX63 "g\""), "id: not 64 lower-case hex digits"},
        {NO_ID("\"id\":\"" HEX63 "\\u0061\""), "id: not 64 lower-case hex digits"},
        {NO_ID("\"id\":\"\""), "id: not 64 lower-case hex digits"},
        {NO_ID("\"id\":1"), "id: a string is missing"},
        {NO_ID("\"ID\":\"" ID "\""), "id: missing"},
        {NO_KEY("\"pubkey\":\"02" KEY "\""), "pubkey: not 64 lower-case hex digits"},
        {NO_KEY("\"pubkey\":null"), "pubkey: a string is missing"},
        {NO_SIG("\"sig\":\"" ID "\""), "sig: not 128 lower-case hex digits"},
        {NO_SIG("\"sig\":[]"), "sig: a string is missing"},
        {NO_TIME("\"created_at\":\"1700000000\""), "created_at: a number of digits only"},
        {NO_TIME("\"created_at\":-1"), "created_at: a number of digits only"},
        {NO_TIME("\"created_at\":1700000000.0"), "created_at: a number has more than digits"},
        {NO_TIME("\"created_at\":17e8"), "created_at: a number has more than digits"},
        {NO_TIME("\"created_at\":01700000000"), "created_at: a number begins with 0"},
        {NO_TIME("\"created_at\":253402300800"), "created_at: a number is too large"},
        {NO_TIME("\"created_at\":18446744073709551617"), "created_at: a number is too large"},
        {NO_KIND("\"kind\":65536"), "kind: a number is too large"},
        {NO_KIND("\"kind\":-0"), "kind: a number of digits only"},
        {NO_KIND("\"kind\":1.5"), "kind: a number has more than digits"},
        {NO_KIND("\"kind\":null"), "kind: a number of digits only"},
        {WITH("{}", "\"\""), "tags: an array is missing"},
        {WITH("null", "\"\""), "tags: an array is missing"},
        {WITH("[\"t\"]", "\"\""), "tags: an array is missing"},
        {WITH("[[1]]", "\"\""), "tags: a string is missing"},
        {WITH("[[\"t\",null]]", "\"\""), "tags: a string is missing"},
        {WITH("[[\"t\",[\"x\"]]]", "\"\""), "tags: a string is missing"},
        {WITH("[[\"t\"],]", "\"\""), "tags: an array is missing"},
        {WITH("[[\"t\",]]", "\"\""), "tags: a string is missing"},
        {WITH("[[\"\\ud800\"]]", "\"\""), "tags: an escape that is none"},
        {WITH("[]", "null"), "content: a string is missing"},
        {WITH("[]", "\"\n\""), "content: a raw control character"},
        {WITH("[]", "\"\\u0000\""), "content: an escape that is none"},
        {WITH("[]", "\"\\udc00\""), "content: an escape that is none"},
        {WITH("[]", "\"\xc0\xaf\""), "content: not UTF-8"},
        {WITH("[]", "\"\xed\xa0\x80\""), "content: not UTF-8"},
        {WITH("[]", "\"\xf4\x90\x80\x80\""), "content: not UTF-8"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct event *ev;
        struct problem p = {0};
        if (parse(rows[i].text, &ev, &p) != ERR_INVALID)
            fail_msg("taken: %s", rows[i].text);
        if (strstr(p.text, rows[i].why) == NULL)
            fail_msg("wanted %s, got %s", rows[i].why, p.text);
    }
}

static void every_part_of_an_event_is_refused(void **state)
{
    (void)state;
    struct event *ev;
    for (size_t len = 0; len < strlen(WHOLE); len++)
        assert_int_equal(parse_len(WHOLE, len, EVENT_LEN_MAX, &ev, NULL), ERR_INVALID);
}

static void the_limits_themselves_are_taken(void **state)
{
    (void)state;
    assert_canonical(NO_TIME("\"created_at\":253402300799"),
                     NO_TIME("\"created_at\":253402300799"));
    assert_canonical(NO_TIME("\"created_at\":0"), NO_TIME("\"created_at\":0"));
    assert_canonical(NO_KIND("\"kind\":65535"), NO_KIND("\"kind\":65535"));
    assert_canonical(NO_KIND("\"kind\":0"), NO_KIND("\"kind\":0"));
    struct event *ev;
    assert_int_equal(parse(BUT("\"x\":" DEEP15 DEEP15_END), &ev, NULL), ERR_NONE);
    event_unref(ev);
}

static enum err parse_with_tags(unsigned count)
{
    struct buf text;
    struct event *ev = NULL;
    buf_init(&text, 65536);
    assert_int_equal(buf_add_str(&text, "{" F_ID "," F_KEY "," F_TIME "," F_KIND ",\"tags\":["),
                     ERR_NONE);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(buf_add_str(&text, i == 0 ? "[\"t\"]" : ",[\"t\"]"), ERR_NONE);
    assert_int_equal(buf_add_str(&text, "]," F_CONTENT "," F_SIG "}"), ERR_NONE);
    enum err e = parse(buf_str(&text), &ev, NULL);
    event_unref(ev);
    buf_fini(&text);
    return e;
}

static void tags_are_bounded(void **state)
{
    (void)state;
    assert_int_equal(parse_with_tags(EVENT_TAGS_MAX), ERR_NONE);
    assert_int_equal(parse_with_tags(EVENT_TAGS_MAX + 1), ERR_TOO_BIG);
}

static void the_maximum_is_of_the_canonical_bytes(void **state)
{
    (void)state;
    static const char wordy[] =
        "  " WITH(" [ [ \"\\u0074\" , \"x\" ] ] ", " \"\\u0068ello\" , \"unknown\" : 1 ") "  ";
    size_t len = strlen(WHOLE);
    struct event *ev;
    struct problem p = {0};
    assert_int_equal(parse_len(wordy, sizeof wordy - 1, len, &ev, NULL), ERR_NONE);
    assert_int_equal(ev->len, len);
    event_unref(ev);
    assert_int_equal(parse_len(wordy, sizeof wordy - 1, len - 1, &ev, &p), ERR_TOO_BIG);
    assert_non_null(strstr(p.text, "and at most"));
}

static enum err parse_of_len(size_t len, size_t max_len)
{
    static const char head[] =
        "{" F_ID "," F_KEY "," F_TIME "," F_KIND ",\"tags\":[],\"content\":\"";
    static const char tail[] = "\"," F_SIG "}";
    char *text = malloc(len);
    struct event *ev = NULL;
    assert_non_null(text);
    memset(text, 'x', len);
    memcpy(text, head, sizeof head - 1);
    memcpy(text + len - (sizeof tail - 1), tail, sizeof tail - 1);
    enum err e = event_parse((struct json_span){text, len}, max_len, &ev, NULL);
    event_unref(ev);
    free(text);
    return e;
}

static void no_event_is_longer_than_the_greatest_length(void **state)
{
    (void)state;
    assert_int_equal(parse_of_len(EVENT_LEN_MAX, EVENT_LEN_MAX), ERR_NONE);
    assert_int_equal(parse_of_len(EVENT_LEN_MAX + 1, EVENT_LEN_MAX), ERR_TOO_BIG);
    assert_int_equal(parse_of_len(EVENT_LEN_MAX + 1, 2 * EVENT_LEN_MAX), ERR_TOO_BIG);
}

static void an_event_lives_until_its_last_reference_goes(void **state)
{
    (void)state;
    struct event *ev;
    assert_int_equal(parse(WHOLE, &ev, NULL), ERR_NONE);
    assert_ptr_equal(event_ref(ev), ev);
    assert_int_equal(ev->refs, 2);
    event_unref(ev);
    assert_int_equal(ev->refs, 1);
    event_unref(ev);
    event_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_canonical_event_stays_as_it_is),
        cmocka_unit_test(order_spaces_and_unknown_fields_do_not_survive),
        cmocka_unit_test(strings_are_brought_to_one_form),
        cmocka_unit_test(the_fields_are_read),
        cmocka_unit_test(each_field_must_be_there_once),
        cmocka_unit_test(what_is_not_quite_an_event_is_refused_and_told_why),
        cmocka_unit_test(every_part_of_an_event_is_refused),
        cmocka_unit_test(the_limits_themselves_are_taken),
        cmocka_unit_test(tags_are_bounded),
        cmocka_unit_test(the_maximum_is_of_the_canonical_bytes),
        cmocka_unit_test(no_event_is_longer_than_the_greatest_length),
        cmocka_unit_test(an_event_lives_until_its_last_reference_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
