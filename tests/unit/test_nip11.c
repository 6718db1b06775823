/* What relays tell of themselves, truth and nonsense: tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "probe/nip11.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *text;
    const char *name;
    const char *limits; /* in words; NULL: refused */
} rows[] = {
    {"{}", "", ""},
    {"{\"name\":\"r\\u0065lay\",\"software\":\"s\",\"version\":\"1\"}", "relay", ""},
    {"{\"limitation\":{}}", "", ""},
    {"{\"limitation\":{\"max_message_length\":131072,\"max_content_length\":8196,\"max_event_"
     "tags\":"
     "100,\"min_pow_difficulty\":20,\"auth_required\":true,\"payment_required\":true,"
     "\"restricted_writes\":true}}",
     "",
     "messages up to 128 KiB, content up to 8196 characters, up to 100 tags, PoW 20, AUTH "
     "required, "
     "payment required, writes restricted"},
    {"{\"limitation\":{\"max_message_length\":70000,\"auth_required\":false,\"min_pow_difficulty\":"
     "0}}",
     "", "messages up to 70000 bytes"},
    /* unknown keys, at any depth, are passed over; known ones elsewhere mean nothing */
    {"{\"fees\":{\"admission\":[{\"amount\":1}]},\"auth_required\":true,\"retention\":[{\"kinds\":["
     "0,"
     "[5,7]]}],\"limitation\":{\"x\":{\"min_pow_difficulty\":9}}}",
     "", ""},
    /* nonsense is not known */
    {"{\"name\":7,\"limitation\":{\"max_message_length\":-1,\"min_pow_difficulty\":1e3,"
     "\"max_event_tags\":\"100\",\"max_content_length\":99999999999999999999,\"auth_required\":1,"
     "\"payment_required\":null}}",
     "", ""},
    {"{\"limitation\":[]}", "", ""},
    {"{\"limitation\":null}", "", ""},
    {" {\"name\":\"x\"} \n", "x", ""},
    {"", NULL, NULL},
    {"[]", NULL, NULL},
    {"\"name\"", NULL, NULL},
    {"{\"name\":\"x\"", NULL, NULL},
    {"{\"name\":\"x\"}{}", NULL, NULL},
    {"{\"name\":\"x\",\"name\":\"y\"}", NULL, NULL},
    {"{\"name\":\"\xff\"}", NULL, NULL},
    {"<html></html>", NULL, NULL},
};

static void each_document_is_read_as_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct nip11 n;
        struct problem p = {""};
        char limits[300];
        enum err e = nip11_parse(rows[i].text, strlen(rows[i].text), &n, &p);
        if ((e == ERR_NONE) != (rows[i].limits != NULL))
            fail_msg("%s: %s %s", rows[i].text, err_name(e), p.text);
        if (e != ERR_NONE) {
            assert_true(p.text[0] != '\0');
            continue;
        }
        nip11_limits(&n, limits, sizeof limits);
        if (strcmp(n.name, rows[i].name) != 0 || strcmp(limits, rows[i].limits) != 0)
            fail_msg("%s: name '%s', limits '%s'", rows[i].text, n.name, limits);
    }
}

static void what_is_not_told_is_not_known(void **state)
{
    (void)state;
    struct nip11 n;
    assert_int_equal(nip11_parse("{}", 2, &n, NULL), ERR_NONE);
    assert_int_equal(n.max_message_length, NIP11_UNKNOWN);
    assert_int_equal(n.created_at_upper_limit, NIP11_UNKNOWN);
    assert_int_equal(n.auth_required, NIP11_UNKNOWN);
    assert_int_equal(n.restricted_writes, NIP11_UNKNOWN);
}

static void long_texts_are_cut_and_a_long_document_is_refused(void **state)
{
    (void)state;
    struct nip11 n;
    char *text = mem_zero(1, NIP11_MAX + 64);
    memcpy(text, "{\"name\":\"", 9);
    memset(text + 9, 'n', 1000);
    memcpy(text + 1009, "\"}", 2);
    assert_int_equal(nip11_parse(text, 1011, &n, NULL), ERR_NONE);
    assert_int_equal(strlen(n.name), sizeof n.name - 1);
    memset(text + 9, 'n', NIP11_MAX);
    memcpy(text + 9 + NIP11_MAX, "\"}", 2);
    assert_int_equal(nip11_parse(text, NIP11_MAX + 11, &n, NULL), ERR_TOO_BIG);
    free(text);
}

static void limits_are_cut_where_there_is_no_room(void **state)
{
    (void)state;
    struct nip11 n;
    char limits[24];
    static const char text[] = "{\"limitation\":{\"min_pow_difficulty\":20,\"auth_required\":true,"
                               "\"payment_required\":true}}";
    assert_int_equal(nip11_parse(text, sizeof text - 1, &n, NULL), ERR_NONE);
    nip11_limits(&n, limits, sizeof limits);
    assert_string_equal(limits, "PoW 20, AUTH required, ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_document_is_read_as_the_table_says),
        cmocka_unit_test(what_is_not_told_is_not_known),
        cmocka_unit_test(long_texts_are_cut_and_a_long_document_is_refused),
        cmocka_unit_test(limits_are_cut_where_there_is_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
