/* Log lines, read back from stderr: three forms, and no text from outside that could forge one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/nostr/json.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_LEN_MAX 4096

static int real_stderr;
static FILE *sink;
static char line[2 * LINE_LEN_MAX];

/* stderr goes to a file for the time of one line. */
static void begin(void)
{
    sink = tmpfile();
    assert_non_null(sink);
    fflush(stderr);
    real_stderr = dup(STDERR_FILENO);
    assert_true(real_stderr >= 0);
    assert_true(dup2(fileno(sink), STDERR_FILENO) >= 0);
}

static const char *end(void)
{
    assert_true(dup2(real_stderr, STDERR_FILENO) >= 0);
    close(real_stderr);
    rewind(sink);
    size_t len = fread(line, 1, sizeof line - 1, sink);
    line[len] = '\0';
    fclose(sink);
    return line;
}

static void text_is_level_message_and_facts(void **state)
{
    (void)state;
    log_init(LOG_INFO, LOG_TEXT, "publisher");
    begin();
    LOG(LOG_INFO, "lane opened", LOG_S("relay", "wss://r.example"), LOG_I("ms", 12));
    assert_string_equal(end(), "[INFO] lane opened relay=wss://r.example ms=12\n");
    begin();
    LOG(LOG_WARN, "no facts");
    assert_string_equal(end(), "[WARN] no facts\n");
    begin();
    LOG(LOG_ERROR, "low", LOG_I("n", INT64_MIN), LOG_S("empty", ""), LOG_S("words", "a b"));
    assert_string_equal(end(), "[ERROR] low n=-9223372036854775808 empty=\"\" words=\"a b\"\n");
}

static void what_is_below_the_level_is_not_written(void **state)
{
    (void)state;
    log_init(LOG_WARN, LOG_TEXT, "x");
    begin();
    LOG(LOG_DEBUG, "no");
    LOG(LOG_INFO, "no");
    LOG(LOG_WARN, "yes");
    assert_string_equal(end(), "[WARN] yes\n");
    assert_true(log_on(LOG_ERROR));
    assert_false(log_on(LOG_INFO));
}

static void logfmt_has_time_level_and_service(void **state)
{
    (void)state;
    log_init(LOG_DEBUG, LOG_LOGFMT, "queue");
    begin();
    LOG(LOG_DEBUG, "a message", LOG_S("k", "v=w"));
    const char *text = end();
    assert_int_equal(strlen("time=2020-01-01T00:00:00.000Z"), 29);
    assert_memory_equal(text, "time=2", 6);
    assert_int_equal(text[15], 'T');
    assert_string_equal(text + 28, "Z level=debug service=queue msg=\"a message\" k=\"v=w\"\n");
}

static void json_is_one_valid_object_a_line(void **state)
{
    (void)state;
    struct problem p = {0};
    log_init(LOG_DEBUG, LOG_JSON, "in\"gest");
    begin();
    LOG(LOG_INFO, "said", LOG_S("text", "a\n\"\\\x01\x7f\xc3\xa9\xff"), LOG_I("n", -1));
    const char *text = end();
    assert_int_equal(json_check(text, strlen(text), LINE_LEN_MAX, &p), ERR_NONE);
    assert_non_null(strstr(text, "\"level\":\"info\",\"service\":\"in\\\"gest\",\"msg\":\"said\","
                                 "\"text\":\"a\\u000a\\\"\\\\\\u0001\\u007f\xc3\xa9\xef\xbf\xbd\","
                                 "\"n\":-1}\n"));
}

static void a_value_can_not_forge_a_line_or_command_a_terminal(void **state)
{
    (void)state;
    static const struct {
        const char *value, *written;
    } rows[] = {
        {"x\n[INFO] forged", "v=\"x\\u000a[INFO] forged\""},
        {"a b=c", "v=\"a b=c\""},
        {"\"", "v=\"\\\"\""},
        {"\\", "v=\"\\\\\""},
        {"\x1b[2J", "v=\"\\u001b[2J\""},
        {"\xc2\x9b", "v=\"\\u009b\""},
        {"\xc2\xa0", "v=\"\xc2\xa0\""},
        {"\x9b", "v=\"\xef\xbf\xbd\""},
        {"\xf0\x9f\x94\xab", "v=\"\xf0\x9f\x94\xab\""},
    };
    log_init(LOG_INFO, LOG_TEXT, "x");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char want[128];
        begin();
        LOG(LOG_INFO, "m", LOG_S("v", rows[i].value));
        (void)snprintf(want, sizeof want, "[INFO] m %s\n", rows[i].written);
        assert_string_equal(end(), want);
    }
}

/* Values of every length around the limits, plain, escaped and of many bytes a character: the line
 * stays a line, JSON stays JSON, and the facts before are there. */
static void a_long_value_is_cut_and_the_line_stays_whole(void **state)
{
    (void)state;
    static const char *const units[] = {"x", "\n", "\xf0\x9f\x94\xab"};
    static const enum log_format forms[] = {LOG_TEXT, LOG_LOGFMT, LOG_JSON};
    static char value[6001];
    for (size_t f = 0; f < COUNT_OF(forms); f++) {
        log_init(LOG_INFO, forms[f], "x");
        for (size_t u = 0; u < COUNT_OF(units); u++) {
            for (size_t len = 900; len < 6000; len += 37) {
                size_t unit = strlen(units[u]), at = 0;
                for (; at + unit <= len; at += unit)
                    memcpy(value + at, units[u], unit);
                value[at] = '\0';
                begin();
                LOG(LOG_INFO, "m", LOG_I("first", 1), LOG_S("a", value), LOG_S("b", value),
                    LOG_S("c", value), LOG_S("d", value), LOG_S("e", value));
                const char *text = end();
                size_t got = strlen(text);
                assert_true(got <= LINE_LEN_MAX);
                assert_ptr_equal(strchr(text, '\n'), text + got - 1);
                assert_non_null(strstr(text, forms[f] == LOG_JSON ? "\"first\":1" : "first=1"));
                assert_true(len < 1025 || strstr(text, "\xe2\x80\xa6\"") != NULL);
                if (forms[f] == LOG_JSON)
                    assert_int_equal(json_check(text, got, LINE_LEN_MAX, NULL), ERR_NONE);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_level_message_and_facts),
        cmocka_unit_test(what_is_below_the_level_is_not_written),
        cmocka_unit_test(logfmt_has_time_level_and_service),
        cmocka_unit_test(json_is_one_valid_object_a_line),
        cmocka_unit_test(a_value_can_not_forge_a_line_or_command_a_terminal),
        cmocka_unit_test(a_long_value_is_cut_and_the_line_stays_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
