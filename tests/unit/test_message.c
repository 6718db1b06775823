/* NIP-01's messages in both directions: what is understood, what is refused, what is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/hex.h"
#include "common/nostr/message.h"

#include <stdlib.h>
#include <string.h>

#define ID       "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define CHARS_16 "0123456789abcdef"
#define E_ACUTE4 "\\u00e9\\u00e9\\u00e9\\u00e9"
#define DEEP15   "[[[[[[[[[[[[[[["
#define DEEP_END "]]]]]]]]]]]]]]]"

static bool is(struct json_span span, const char *text)
{
    text = text != NULL ? text : "";
    return span.len == strlen(text) && (span.len == 0 || memcmp(span.p, text, span.len) == 0);
}

static void what_a_client_says_is_understood(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum verb verb;
        const char *event, *sub, *filters, *name;
    } rows[] = {
        {"[\"EVENT\",{}]", VERB_EVENT, "{}", NULL, NULL, "EVENT"},
        {" [ \"EVENT\" , {\"id\" : 1} ] ", VERB_EVENT, "{\"id\" : 1}", NULL, NULL, "EVENT"},
        {"[\"EVENT\",{\"a\":1,\"a\":2}]", VERB_EVENT, "{\"a\":1,\"a\":2}", NULL, NULL, "EVENT"},
        {"[\"\\u0045VENT\",{},7]", VERB_EVENT, "{}", NULL, NULL, "\\u0045VENT"},
        {"[\"AUTH\",{\"kind\":22242}]", VERB_AUTH, "{\"kind\":22242}", NULL, NULL, "AUTH"},
        {"[\"REQ\",\"s\",{}]", VERB_REQ, NULL, "s", "{}", "REQ"},
        {"[\"REQ\",\"s\", {\"ids\":[]} , {\"kinds\":[1]} ]", VERB_REQ, NULL, "s",
         "{\"ids\":[]} , {\"kinds\":[1]}", "REQ"},
        {"[\"COUNT\",\"\\\"\",{}]", VERB_COUNT, NULL, "\\\"", "{}", "COUNT"},
        {"[\"CLOSE\",\"s\"]", VERB_CLOSE, NULL, "s", NULL, "CLOSE"},
        {"[\"CLOSE\",\"s\",{}]", VERB_CLOSE, NULL, "s", NULL, "CLOSE"},
        {"[\"OK\",1]", VERB_OTHER, NULL, NULL, NULL, "OK"},
        {"[\"event\",{}]", VERB_OTHER, NULL, NULL, NULL, "event"},
        {"[\"NEG-OPEN\",\"s\",{},\"\"]", VERB_OTHER, NULL, NULL, NULL, "NEG-OPEN"},
        {"[\"\"]", VERB_OTHER, NULL, NULL, NULL, ""},
        {"[\"CLOSE\",\"" CHARS_16 CHARS_16 CHARS_16 CHARS_16 "\"]", VERB_CLOSE, NULL,
         CHARS_16 CHARS_16 CHARS_16 CHARS_16, NULL, "CLOSE"},
        {"[\"CLOSE\",\"" E_ACUTE4 CHARS_16 CHARS_16 CHARS_16 "0123456789ab\"]", VERB_CLOSE, NULL,
         E_ACUTE4 CHARS_16 CHARS_16 CHARS_16 "0123456789ab", NULL, "CLOSE"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct client_message m;
        struct problem p = {0};
        if (message_from_client(rows[i].text, strlen(rows[i].text), &m, &p) != ERR_NONE)
            fail_msg("refused: %s: %s", rows[i].text, p.text);
        if (m.verb != rows[i].verb || !is(m.event, rows[i].event) || !is(m.sub, rows[i].sub) ||
            !is(m.filters, rows[i].filters) || !is(m.name, rows[i].name))
            fail_msg("misunderstood: %s", rows[i].text);
    }
}

static void what_a_client_can_not_mean_is_refused_and_told_why(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"", "an array is missing"},
        {"hello", "an array is missing"},
        {"{}", "an array is missing"},
        {"\"EVENT\"", "an array is missing"},
        {"[]", "the verb is missing"},
        {"[1]", "a string is missing"},
        {"[[\"EVENT\"]]", "a string is missing"},
        {"[\"EVENT\"]", "the event is missing"},
        {"[\"EVENT\",\"s\",{}]", "the event is not an object"},
        {"[\"EVENT\",[]]", "the event is not an object"},
        {"[\"EVENT\",{}", "a comma or the closing bracket is missing"},
        {"[\"EVENT\",{}]]", "more than one value"},
        {"[\"EVENT\",{}] []", "more than one value"},
        {"[\"EVENT\",{},]", "a value is missing"},
        {"[\"EVENT\",{\"id\":}]", "a value is missing"},
        {"[\"EVENT\",{\"x\":\"\xff\"}]", "not UTF-8"},
        {"[\"AUTH\",\"challenge\"]", "the event is not an object"},
        {"[\"REQ\"]", "the subscription id is missing"},
        {"[\"REQ\",\"s\"]", "a filter is missing"},
        {"[\"REQ\",\"s\",1]", "a filter is not an object"},
        {"[\"REQ\",\"s\",{},[]]", "a filter is not an object"},
        {"[\"REQ\",\"s\",{\"ids\":[],\"ids\":[]}]", "the same key twice"},
        {"[\"REQ\",\"\",{}]", "1 to 64 characters"},
        {"[\"REQ\",1,{}]", "a string is missing"},
        {"[\"REQ\",null,{}]", "a string is missing"},
        {"[\"COUNT\",\"s\"]", "a filter is missing"},
        {"[\"CLOSE\"]", "the subscription id is missing"},
        {"[\"CLOSE\",\"" CHARS_16 CHARS_16 CHARS_16 CHARS_16 "x\"]", "1 to 64 characters"},
        {"[\"X\",tru]", "a value is missing"},
        {"[\"X\"", "a comma or the closing bracket is missing"},
        {"[\"X\"," DEEP15 DEEP_END ",[" DEEP15 DEEP_END "]]", "nested too deep"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct client_message m;
        struct problem p = {0};
        if (message_from_client(rows[i].text, strlen(rows[i].text), &m, &p) != ERR_INVALID)
            fail_msg("taken: %s", rows[i].text);
        if (strstr(p.text, rows[i].why) == NULL)
            fail_msg("%s: wanted %s, got %s", rows[i].text, rows[i].why, p.text);
    }
}

static void what_a_relay_says_is_understood(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum verb verb;
        bool accepted;
        const char *sub, *said, *event;
    } rows[] = {
        {"[\"OK\",\"" ID "\",true,\"\"]", VERB_OK, true, NULL, "", NULL},
        {"[\"OK\",\"" ID "\",false,\"pow: \\u0032\"]", VERB_OK, false, NULL, "pow: \\u0032", NULL},
        {"[\"OK\",\"" ID "\",true,\"x\",{\"more\":1},2]", VERB_OK, true, NULL, "x", NULL},
        {"[\"OK\",\"" ID "\",true]", VERB_OK, true, NULL, NULL, NULL},
        {"[\"OK\",\"" ID "\",false,null]", VERB_OK, false, NULL, NULL, NULL},
        {"[\"NOTICE\",\"hi\"]", VERB_NOTICE, false, NULL, "hi", NULL},
        {"[\"AUTH\",\"challenge\"]", VERB_AUTH, false, NULL, "challenge", NULL},
        {"[\"EOSE\",\"s\"]", VERB_EOSE, false, "s", NULL, NULL},
        {"[\"CLOSED\",\"s\",\"error: x\"]", VERB_CLOSED, false, "s", "error: x", NULL},
        {"[\"CLOSED\",\"s\"]", VERB_CLOSED, false, "s", NULL, NULL},
        {"[\"EVENT\",\"s\",{\"id\":1}]", VERB_EVENT, false, "s", NULL, "{\"id\":1}"},
        {"[\"COUNT\",\"s\",{\"count\":1}]", VERB_OTHER, false, NULL, NULL, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct relay_message m;
        struct problem p = {0};
        char hex[65];
        if (message_from_relay(rows[i].text, strlen(rows[i].text), &m, &p) != ERR_NONE)
            fail_msg("refused: %s: %s", rows[i].text, p.text);
        if (m.verb != rows[i].verb || m.accepted != rows[i].accepted || !is(m.sub, rows[i].sub) ||
            !is(m.text, rows[i].said) || !is(m.event, rows[i].event))
            fail_msg("misunderstood: %s", rows[i].text);
        if (m.verb == VERB_OK)
            assert_string_equal(hex_str(hex, m.id, 32), ID);
    }
}

static void what_is_no_answer_of_a_relay_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "{}",
        "[]",
        "[null]",
        "[\"OK\"]",
        "[\"OK\",\"" ID "\"]",
        "[\"OK\",\"" ID "\",\"true\",\"\"]",
        "[\"OK\",\"" ID "\",1,\"\"]",
        "[\"OK\",\"" ID "\",null,\"\"]",
        "[\"OK\",\"\",true,\"\"]",
        "[\"OK\",\"" ID "0\",true,\"\"]",
        "[\"OK\",\"0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef\",true,\"\"]",
        "[\"OK\",null,true,\"\"]",
        "[\"OK\",true,\"\"]",
        "[\"OK\",\"" ID "\",true,\"\"",
        "[\"OK\",\"" ID "\",true,\"\n\"]",
        "[\"OK\",\"" ID "\",true,\"\"]x",
        "[\"NOTICE\"]",
        "[\"NOTICE\",1]",
        "[\"AUTH\",{}]",
        "[\"EOSE\"]",
        "[\"CLOSED\",\"\",\"x\"]",
        "[\"EVENT\",{}]",
        "[\"EVENT\",\"s\"]",
        "[\"EVENT\",\"s\",[]]",
        "\x80",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct relay_message m;
        struct problem p = {0};
        if (message_from_relay(rows[i], strlen(rows[i]), &m, &p) != ERR_INVALID)
            fail_msg("taken: %s", rows[i]);
        assert_true(p.text[0] != '\0');
    }
}

static struct json_span span(const char *text)
{
    return (struct json_span){text, strlen(text)};
}

/* Checks what was written, that it is JSON, and empties the buffer. */
static void assert_written(struct buf *out, enum err e, const char *text)
{
    assert_int_equal(e, ERR_NONE);
    assert_string_equal(buf_str(out), text);
    assert_int_equal(json_check((const char *)out->data, out->len, out->max, NULL), ERR_NONE);
    buf_clear(out);
}

static void messages_are_written_for_both_sides(void **state)
{
    (void)state;
    struct buf out;
    uint8_t id[32];
    assert_int_equal(hex_get(ID, 64, id, 32), ERR_NONE);
    buf_init(&out, 1024);
    assert_written(&out, message_put_ok(&out, span("\\u00e9"), false, "invalid: \"x\"\n"),
                   "[\"OK\",\"\\u00e9\",false,\"invalid: \\\"x\\\"\\n\"]");
    assert_written(&out, message_put_ok(&out, (struct json_span){0}, true, ""),
                   "[\"OK\",\"\",true,\"\"]");
    assert_written(&out, message_put_ok_id(&out, id, true, "duplicate: x"),
                   "[\"OK\",\"" ID "\",true,\"duplicate: x\"]");
    assert_written(&out, message_put_notice(&out, "not \xff"), "[\"NOTICE\",\"not \xef\xbf\xbd\"]");
    assert_written(&out, message_put_eose(&out, span("s\\\"")), "[\"EOSE\",\"s\\\"\"]");
    assert_written(&out, message_put_closed(&out, span("s"), "unsupported: x"),
                   "[\"CLOSED\",\"s\",\"unsupported: x\"]");
    assert_written(&out, message_put_challenge(&out, "abc"), "[\"AUTH\",\"abc\"]");
    assert_written(&out, message_put_event(&out, "EVENT", "{\"id\":1}", 8),
                   "[\"EVENT\",{\"id\":1}]");
    assert_written(&out, message_put_event(&out, "AUTH", "{}", 2), "[\"AUTH\",{}]");
    buf_fini(&out);
}

/* With every maximum below what is needed, whatever piece it is that does not fit. */
static void a_message_that_does_not_fit_leaves_nothing_behind(void **state)
{
    (void)state;
    static const char text[] = "[1][\"CLOSED\",\"sub\",\"a\\nb\"]";
    for (size_t max = 3; max < sizeof text; max++) {
        struct buf out;
        buf_init(&out, max);
        assert_int_equal(buf_add_str(&out, "[1]"), ERR_NONE);
        enum err e = message_put_closed(&out, span("sub"), "a\nb");
        assert_int_equal(e, max == sizeof text - 1 ? ERR_NONE : ERR_TOO_BIG);
        assert_string_equal(buf_str(&out), e == ERR_NONE ? text : "[1]");
        buf_fini(&out);
    }
}

static void the_id_of_a_broken_event_is_found_when_it_is_a_short_string(void **state)
{
    (void)state;
    static const struct {
        const char *event, *id;
    } rows[] = {
        {"{\"id\":\"" ID "\"}", ID},
        {"{\"x\":[{\"id\":\"no\"}],\"id\":\"yes\",\"kind\":-1}", "yes"},
        {"{\"\\u0069d\":\"\\u00e9\"}", "\\u00e9"},
        {"{\"id\":\"a\",\"id\":\"b\"}", "a"},
        {"{\"id\":\"a\",", "a"},
        {"{\"id\":\"" ID "0\"}", ""},
        {"{\"id\":1,\"id\":\"b\"}", ""},
        {"{\"id\":null}", ""},
        {"{\"kind\":1}", ""},
        {"{\"kind\":tru,\"id\":\"a\"}", ""},
        {"[\"id\",\"a\"]", ""},
        {"", ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (!is(message_event_id(span(rows[i].event)), rows[i].id))
            fail_msg("%s", rows[i].event);
    assert_int_equal(message_event_id((struct json_span){0}).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_client_says_is_understood),
        cmocka_unit_test(what_a_client_can_not_mean_is_refused_and_told_why),
        cmocka_unit_test(what_a_relay_says_is_understood),
        cmocka_unit_test(what_is_no_answer_of_a_relay_is_refused),
        cmocka_unit_test(messages_are_written_for_both_sides),
        cmocka_unit_test(a_message_that_does_not_fit_leaves_nothing_behind),
        cmocka_unit_test(the_id_of_a_broken_event_is_found_when_it_is_a_short_string),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
