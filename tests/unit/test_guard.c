/* Who may read the probe and who may act through it, as tables; and what forms are made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "probe/form.h"
#include "probe/guard.h"

#include <string.h>

#define TOKEN "correct-horse-battery"

/* ---- Host ---- */

static const struct host_row {
    const char *host;
    bool ours;
} host_rows[] = {
    {"localhost", true},
    {"LOCALHOST:7788", true},
    {"127.0.0.1", true},
    {"127.0.0.1:7788", true},
    {"127.8.8.8:1", true},
    {"[::1]", true},
    {"[::1]:7788", true},
    {"volley.example", true},
    {"Volley.Example:80", true},
    {"other.example:8080", true},
    {"10.1.2.3:7788", true},
    {"[fd00::5]:7788", true},
    {"", false},
    {"evil.example", false},
    {"evil.example:7788", false},
    {"localhost.evil.example", false},
    {"127.0.0.1.evil.example", false},
    {"volley.example.evil.example", false},
    {"notvolley.example", false},
    {"other.example", false}, /* listed with its port */
    {"other.example:80", false},
    {"10.1.2.4", false},
    {"0.0.0.0", false},
    {"128.0.0.1", false},
    {"::1", false},
    {"[::1", false},
    {"[::2]", false},
    {"[fd00::6]", false},
    {"localhost:80:80", false},
    {"localhost:http", false},
    {"localhost@evil.example", false},
    {"localhost:1234567", false},
    {"2130706433", false}, /* 127.0.0.1 as browsers would read it, but would not send it */
};

static const struct config_hosts listed = {
    .host = {"volley.example", "other.example:8080", "10.1.2.3", "[fd00::5]"}, .len = 4};

static void only_loopback_and_listed_hosts_are_ours(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(host_rows); i++)
        if (guard_host_is_ours(&listed, host_rows[i].host) != host_rows[i].ours)
            fail_msg("Host: %s", host_rows[i].host);
}

/* ---- reading ---- */

static struct guard_rules rules_of(bool open, bool token)
{
    struct guard_rules r = {.hosts = listed, .open = open};
    struct problem p;
    if (token)
        assert_int_equal(token_set(&r.token, TOKEN, &p), ERR_NONE);
    return r;
}

static const struct read_row {
    const char *name;
    bool open, token;
    const char *headers[5][2];
    bool elsewhere; /* came in where others than this machine can */
    enum guard_answer answer;
} read_rows[] = {
    {"on this machine", false, false, {{"Host", "localhost"}}, false, GUARD_YES},
    {"a foreign name for this machine",
     true,
     true,
     {{"Host", "evil.example"}},
     false,
     GUARD_BAD_HOST},
    {"no Host", true, false, {{"Accept", "*/*"}}, false, GUARD_BAD_HOST},
    {"two of them",
     true,
     false,
     {{"Host", "localhost"}, {"Host", "localhost"}},
     false,
     GUARD_BAD_HOST},
    {"from elsewhere", false, true, {{"Host", "volley.example"}}, true, GUARD_NO_TOKEN},
    {"from elsewhere, open", true, false, {{"Host", "volley.example"}}, true, GUARD_YES},
    {"from elsewhere, as loopback", false, true, {{"Host", "localhost"}}, true, GUARD_NO_TOKEN},
    {"through a proxy",
     false,
     true,
     {{"Host", "localhost"}, {"X-Forwarded-For", "192.0.2.1"}},
     false,
     GUARD_NO_TOKEN},
    {"through a newer proxy",
     false,
     false,
     {{"Host", "localhost"}, {"forwarded", "for=x"}},
     false,
     GUARD_NO_TOKEN},
    {"with the token",
     false,
     true,
     {{"Host", "volley.example"}, {"Authorization", "Bearer " TOKEN}},
     true,
     GUARD_YES},
    {"in lower case",
     false,
     true,
     {{"host", "volley.example"}, {"authorization", "bearer  " TOKEN}},
     true,
     GUARD_YES},
    {"as a password",
     false,
     true,
     {{"Host", "volley.example"}, {"Authorization", "Basic bWU6Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5"}},
     true,
     GUARD_YES},
    {"another password",
     false,
     true,
     {{"Host", "volley.example"}, {"Authorization", "Basic bWU6Y29ycmVjdC1ob3JzZS1iYXR0ZXJ4"}},
     true,
     GUARD_WRONG_TOKEN},
    {"no base64",
     false,
     true,
     {{"Host", "volley.example"}, {"Authorization", "Basic ????"}},
     true,
     GUARD_WRONG_TOKEN},
    {"a wrong token",
     false,
     true,
     {{"Host", "volley.example"}, {"Authorization", "Bearer " TOKEN "x"}},
     true,
     GUARD_WRONG_TOKEN},
    {"part of it",
     false,
     true,
     {{"Host", "volley.example"}, {"Authorization", "Bearer correct-horse-batter"}},
     true,
     GUARD_WRONG_TOKEN},
    {"a token where there is none",
     false,
     false,
     {{"Host", "volley.example"}, {"Authorization", "Bearer "}},
     true,
     GUARD_WRONG_TOKEN},
};

static void reading_follows_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(read_rows); i++) {
        const struct read_row *row = &read_rows[i];
        struct guard_rules r = rules_of(row->open, row->token);
        struct guard_facts f = {.not_loopback = row->elsewhere};
        for (size_t n = 0; n < 5 && row->headers[n][0] != NULL; n++)
            guard_fact_add(&f, row->headers[n][0], row->headers[n][1]);
        if (guard_read(&r, &f) != row->answer)
            fail_msg("%s: %s", row->name, guard_words(guard_read(&r, &f)));
    }
}

/* ---- acting ---- */

static const struct act_row {
    const char *name;
    bool token; /* one is configured */
    const char *form_token;
    const char *headers[5][2];
    enum guard_answer answer;
} act_rows[] = {
    {"a form of ours",
     true,
     TOKEN,
     {{"Host", "localhost:1"}, {"Origin", "http://localhost:1"}, {"Sec-Fetch-Site", "same-origin"}},
     GUARD_YES},
    {"behind TLS",
     true,
     TOKEN,
     {{"Host", "volley.example"}, {"Origin", "https://volley.example"}},
     GUARD_YES},
    {"no browser",
     true,
     NULL,
     {{"Host", "localhost"}, {"Authorization", "Bearer " TOKEN}},
     GUARD_YES},
    {"no browser, a form", true, TOKEN, {{"Host", "localhost"}}, GUARD_YES},
    {"another site's page",
     true,
     TOKEN,
     {{"Host", "localhost:1"}, {"Origin", "http://evil.example"}},
     GUARD_OTHER_SITE},
    {"a page of another port",
     true,
     TOKEN,
     {{"Host", "localhost:1"}, {"Origin", "http://localhost:2"}},
     GUARD_OTHER_SITE},
    {"a page with no origin",
     true,
     TOKEN,
     {{"Host", "localhost:1"}, {"Origin", "null"}},
     GUARD_OTHER_SITE},
    {"two origins",
     true,
     TOKEN,
     {{"Host", "localhost"}, {"Origin", "http://localhost"}, {"Origin", "http://localhost"}},
     GUARD_OTHER_SITE},
    {"another scheme",
     true,
     TOKEN,
     {{"Host", "localhost"}, {"Origin", "file://localhost"}},
     GUARD_OTHER_SITE},
    {"the browser says cross-site",
     true,
     TOKEN,
     {{"Host", "localhost"}, {"Sec-Fetch-Site", "cross-site"}},
     GUARD_OTHER_SITE},
    {"the browser says same-site",
     true,
     TOKEN,
     {{"Host", "localhost"}, {"Sec-Fetch-Site", "same-site"}},
     GUARD_OTHER_SITE},
    {"DNS rebinding",
     true,
     TOKEN,
     {{"Host", "evil.example"},
      {"Origin", "http://evil.example"},
      {"Sec-Fetch-Site", "same-origin"}},
     GUARD_BAD_HOST},
    {"no token", true, NULL, {{"Host", "localhost"}}, GUARD_NO_TOKEN},
    {"an empty token", true, "", {{"Host", "localhost"}}, GUARD_NO_TOKEN},
    {"a wrong one", true, "correct-horse-batterz", {{"Host", "localhost"}}, GUARD_WRONG_TOKEN},
    {"a password, which browsers send by themselves",
     true,
     NULL,
     {{"Host", "localhost"}, {"Authorization", "Basic bWU6Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5"}},
     GUARD_NO_TOKEN},
    {"none is configured", false, TOKEN, {{"Host", "localhost"}}, GUARD_READ_ONLY},
};

static void acting_follows_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(act_rows); i++) {
        const struct act_row *row = &act_rows[i];
        struct guard_rules r = rules_of(true, row->token);
        struct guard_facts f = {.form_token = row->form_token};
        for (size_t n = 0; n < 5 && row->headers[n][0] != NULL; n++)
            guard_fact_add(&f, row->headers[n][0], row->headers[n][1]);
        if (guard_act(&r, &f) != row->answer)
            fail_msg("%s: %s", row->name, guard_words(guard_act(&r, &f)));
    }
}

static void a_token_must_be_long_enough(void **state)
{
    (void)state;
    struct token t = {0};
    struct problem p;
    assert_int_equal(token_set(&t, "", &p), ERR_INVALID);
    assert_int_equal(token_set(&t, "fifteen-letters", &p), ERR_INVALID);
    assert_false(token_is(&t, ""));
    assert_int_equal(token_set(&t, "sixteen-letters!", &p), ERR_NONE);
    assert_true(token_is(&t, "sixteen-letters!"));
    assert_false(token_is(&t, ""));
}

/* ---- forms ---- */

static const struct form_row {
    const char *form, *name;
    bool found;
    const char *value;
} form_rows[] = {
    {"act=hold&relay=damus", "relay", true, "damus"},
    {"act=hold&relay=damus", "act", true, "hold"},
    {"act=hold", "relay", true, ""}, /* none: as if empty */
    {"", "act", true, ""},
    {"act", "act", true, ""},
    {"act=", "act", true, ""},
    {"xact=1&act=2&act=3", "act", true, "2"},
    {"&&act=1&", "act", true, "1"},
    {"relay=wss%3A%2f%2Fa.example%2F%3fx%3D1%26y", "relay", true, "wss://a.example/?x=1&y"},
    {"t=a+b%2Bc", "t", true, "a b+c"},
    {"t=%00", "t", false, ""},
    {"t=abc%00def", "t", false, ""},
    {"t=%", "t", false, ""},
    {"t=%4", "t", false, ""},
    {"t=%zz", "t", false, ""},
    {"t=%4&x=1", "t", false, ""},
    {"t=12345678901", "t", true, "12345678901"},
    {"t=0123456789012345678901234567890123456789", "t", false, ""}, /* does not fit */
};

static void forms_are_decoded_or_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(form_rows); i++) {
        const struct form_row *row = &form_rows[i];
        char out[32];
        bool found = form_get(row->form, strlen(row->form), row->name, out, sizeof out);
        if (found != row->found || strcmp(out, row->value) != 0)
            fail_msg("%s in '%s': '%s'", row->name, row->form, out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_loopback_and_listed_hosts_are_ours),
        cmocka_unit_test(reading_follows_the_table),
        cmocka_unit_test(acting_follows_the_table),
        cmocka_unit_test(a_token_must_be_long_enough),
        cmocka_unit_test(forms_are_decoded_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
