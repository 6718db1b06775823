/* Configuration: what the table accepts, where values come from, and what errors say. */
#include "common/config/config.h"
#include "common/config/value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// after the four that it needs
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[64];

static int make_file(void **state)
{
    (void)state;
    (void)snprintf(path, sizeof path, "/tmp/volley-config-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0)
        return -1;
    close(fd);
    return 0;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static enum err load(const char *text, char *const *env, const char *const *sets, size_t sets_len,
                     struct config *c, struct problem *p)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return config_load(
        &(struct config_options){.file = path, .env = env, .sets = sets, .sets_len = sets_len}, c,
        p);
}

static void defaults_are_the_documented_ones(void **state)
{
    (void)state;
    struct config c;
    struct problem p;
    char *const env[] = {"XDG_DATA_HOME=/data", NULL};
    assert_int_equal(load("", env, NULL, 0, &c, &p), ERR_NONE);
    assert_string_equal(c.ingest.listen.address[0], "127.0.0.1:7787");
    assert_int_equal(c.ingest.max_event, 128 * 1024);
    assert_int_equal(c.ingest.created_at_past_ms, 0);
    assert_int_equal(c.ingest.created_at_future_ms, 900000);
    assert_string_equal(c.queue.data_dir, "/data/volley");
    assert_string_equal(c.queue.url, "zmq+ipc:///data/volley/queue.sock");
    assert_int_equal(c.queue.retention_ms, 7 * 86400000ll);
    assert_int_equal(c.publisher.route, ROUTE_TOR);
    assert_int_equal(c.publisher.serve, 3);
    assert_int_equal(c.publisher.race_delay_ms, 0); /* auto: by route */
    assert_int_equal(c.publisher.relays.len, 0);
    assert_string_equal(c.tor.socks, "managed");
    config_free(&c);
}

static void the_later_of_file_environment_and_set_wins(void **state)
{
    (void)state;
    struct config c;
    struct problem p;
    char *const env[] = {"VOLLEY_INGEST_MAX_EVENT=3KiB", "VOLLEY_LOG_LEVEL=debug", NULL};
    const char *const sets[] = {"log.level=error"};
    assert_int_equal(load("ingest:\n  max_event: 2KiB\n  min_pow: 4\nlog: {level: warn}\n", env,
                          sets, 1, &c, &p),
                     ERR_NONE);
    assert_int_equal(c.ingest.min_pow, 4);
    assert_int_equal(c.ingest.max_event, 3 * 1024);
    assert_int_equal(c.log.level, LOG_ERROR);
    config_free(&c);
}

static void relays_are_urls_bare_hosts_and_maps(void **state)
{
    (void)state;
    struct config c;
    struct problem p;
    const char *text =
        "publisher:\n  route: direct\n  window: 99\n  relays:\n"
        "    - wss://One.Example/\n    - two.example\n"
        "    - {url: three.example, name: three, route: tor, family: ipv6, window: 7, rate: 5/s, "
        "kinds: [1, 6], except_kinds: 7, private: yes, backfill: yes, hold: yes}\n"
        "blastr-relays: \"four.example, ws://five.example:80/x?y=z\"\n";
    assert_int_equal(load(text, NULL, NULL, 0, &c, &p), ERR_NONE);
    static const char *const urls[] = {"wss://one.example", "wss://two.example",
                                       "wss://three.example", "wss://four.example",
                                       "ws://five.example/x?y=z"};
    assert_int_equal(c.publisher.relays.len, COUNT_OF(urls));
    for (size_t i = 0; i < COUNT_OF(urls); i++)
        assert_string_equal(c.publisher.relays.defs[i].url, urls[i]);
    const struct definition *d = &c.publisher.relays.defs[2];
    assert_string_equal(d->name, "three");
    assert_int_equal(d->route, ROUTE_TOR);
    assert_int_equal(d->family, MODE_IPV6);
    assert_int_equal(d->window, 7);
    assert_int_equal(d->rate_per_1000s, 5000);
    assert_int_equal(d->kinds_len, 2);
    assert_int_equal(d->except_kinds[0], 7);
    assert_true(d->is_private && d->backfill && d->hold);
    assert_int_equal(c.publisher.relays.defs[0].route, ROUTE_DIRECT);
    assert_int_equal(c.publisher.relays.defs[0].window, 99);
    assert_true(config_needs_managed_tor(&c));
    config_free(&c);
}

static void the_same_relay_twice_is_merged_with_a_warning(void **state)
{
    (void)state;
    struct config c;
    struct problem p;
    assert_int_equal(
        load("publisher: {relays: [a.example, wss://A.EXAMPLE:443/]}\n", NULL, NULL, 0, &c, &p),
        ERR_NONE);
    assert_int_equal(c.publisher.relays.len, 1);
    assert_non_null(strstr(buf_str(&c.warnings), "wss://a.example is given twice"));
    config_free(&c);
    assert_int_equal(load("publisher: {relays: [a.example, {url: a.example, window: 3}]}\n", NULL,
                          NULL, 0, &c, &p),
                     ERR_INVALID);
    assert_non_null(strstr(p.text, "given twice, with different settings"));
}

static void a_name_belongs_to_one_relay(void **state)
{
    (void)state;
    struct config c;
    struct problem p;
    assert_int_equal(load("publisher:\n  relays:\n    - {url: a.example, name: one}\n"
                          "    - {url: b.example, name: one}\n",
                          NULL, NULL, 0, &c, &p),
                     ERR_INVALID);
    assert_non_null(
        strstr(p.text, ":4: relay wss://b.example: the name 'one' is wss://a.example's already"));
    assert_int_equal(load("publisher: {relays: [{url: a.example, name: one}, "
                          "{url: wss://A.EXAMPLE/, name: one}, b.example, c.example]}\n",
                          NULL, NULL, 0, &c, &p),
                     ERR_NONE);
    assert_int_equal(c.publisher.relays.len, 3);
    config_free(&c);
    assert_int_equal(
        load("publisher: {relays: [{url: a.example, name: two words}]}\n", NULL, NULL, 0, &c, &p),
        ERR_INVALID);
    assert_non_null(strstr(p.text, "'two words' is no name: at most 63 bytes, no white space"));
}

static void a_list_from_the_environment_replaces_the_files(void **state)
{
    (void)state;
    struct config c;
    struct problem p;
    char *const env[] = {"VOLLEY_PUBLISHER_RELAYS=x.example y.example", NULL};
    assert_int_equal(load("publisher: {relays: [a.example]}\n", env, NULL, 0, &c, &p), ERR_NONE);
    assert_int_equal(c.publisher.relays.len, 2);
    assert_string_equal(c.publisher.relays.defs[0].url, "wss://x.example");
    config_free(&c);
}

static void write_list(char list[80], const char *text)
{
    (void)snprintf(list, 80, "%s.json", path);
    FILE *f = fopen(list, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void a_list_of_hosts_in_json_is_added_to_the_others(void **state)
{
    (void)state;
    struct config c;
    struct problem p;
    char list[80], set[128];
    write_list(list, "[\n \"relay.damus.io\",\n \"wss:\\/\\/nos.lol\", \"A.example\"\n]\n");
    (void)snprintf(set, sizeof set, "publisher.relays_file=%s", list);
    const char *const sets[] = {set, "publisher.relays=x.example"};
    for (size_t n = 1; n <= 2; n++) { /* with the file's list, and with one that replaces it */
        static const char *const urls[2][4] = {
            {"wss://a.example", "wss://b.example", "wss://relay.damus.io", "wss://nos.lol"},
            {"wss://x.example", "wss://relay.damus.io", "wss://nos.lol", "wss://a.example"}};
        assert_int_equal(load("publisher: {relays: [a.example]}\nblastr-relays: b.example\n", NULL,
                              sets, n, &c, &p),
                         ERR_NONE);
        assert_int_equal(c.publisher.relays.len, 4);
        for (size_t i = 0; i < 4; i++)
            assert_string_equal(c.publisher.relays.defs[i].url, urls[n - 1][i]);
        if (n == 1)
            assert_non_null(
                strstr(buf_str(&c.warnings), ".json:3: relay wss://a.example is given"));
        config_free(&c);
    }
    unlink(list);
}

static void an_empty_list_by_set_replaces_the_files_and_an_empty_variable_does_not(void **state)
{
    (void)state;
    struct config c;
    struct problem p;
    static const char *const sets[] = {"publisher.relays="};
    char *env[] = {"VOLLEY_PUBLISHER_RELAYS=", NULL};
    const char *yaml = "publisher: {relays: [a.example]}\nblastr-relays: b.example\n";
    assert_int_equal(load(yaml, env, sets, 1, &c, &p), ERR_NONE);
    assert_int_equal(c.publisher.relays.len, 0);
    config_free(&c);
    assert_int_equal(load(yaml, env, sets, 0, &c, &p), ERR_NONE);
    assert_int_equal(c.publisher.relays.len, 2);
    config_free(&c);
}

static void what_is_wrong_with_that_list_names_its_file_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } rows[] = {
        {"", ".json:1: not a JSON list of relays"},
        {"{\"a.example\": 1}", ".json:1: not a JSON list of relays: "},
        {"\"a.example\"", ".json:1: not a JSON list of relays"},
        {"[\n\n\"a.example\",\n 7]", ".json:4: not a JSON list of relays"},
        {"[\"a.example\",]", ".json:1: not a JSON list"},
        {"[\"a.example\"]\n]", ".json:2: not a JSON list"},
        {"[[\"a.example\"]]", ".json:1: not a JSON list"},
        {"[\"a.example\\u0000\"]", ".json:1: not a JSON list"},
        {"[\"a.example\",\n\"http://b.example\"]", ".json:2: relay 'http://b.example': "},
        {"[\"\"]", ".json:1: relay '': "},
        {"[\n\"127.0.0.1\"]", ".json:2: relay wss://127.0.0.1 is a loopback"},
    };
    char list[80], set[128];
    (void)snprintf(set, sizeof set, "publisher.relays_file=%s.json", path);
    const char *const sets[] = {set};
    struct config c;
    struct problem p = {""};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        write_list(list, rows[i].text);
        assert_int_equal(load("", NULL, sets, 1, &c, &p), ERR_INVALID);
        if (strstr(p.text, rows[i].expected) == NULL)
            fail_msg("row %zu: '%s' is not in '%s'", i, rows[i].expected, p.text);
    }
    unlink(list);
    assert_int_equal(load("", NULL, sets, 1, &c, &p), ERR_INVALID);
    assert_non_null(strstr(p.text, "--set: publisher.relays_file: "));
    assert_non_null(strstr(p.text, ".json: No such file"));
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } rows[] = {
        {"queue: {retention: 7}\n", ":1: queue.retention: '7' is not a duration"},
        {"\nqueue:\n  data_dir: relative\n", ":3: queue.data_dir: 'relative' must begin with /"},
        {"publisher:\n  backoff_min: 2m\n  backoff_max: 1m\n", "backoff_min is larger"},
        {"publisher: {relays: [{url: a.example, kinds: x}]}\n", "'x' is no kinds"},
        {"publisher: {relays: [{url: a.example, kinds: 65536}]}\n", "is no kinds"},
        {"publisher: {relays: [{url: a.example, rate: fast}]}\n", "'fast' is no rate"},
        {"publisher: {relays: [{url: a.example, url: b.example}]}\n", "'url' is given twice"},
        {"publisher: {relays: [[a.example]]}\n", "a relay is a URL or a map"},
        {"publisher: {relays: [ws://10.0.0.1]}\n", "no Tor exit"},
        {"- a\n- b\n", "expected sections"},
        {"publisher: 3\n", "a section is a map"},
        {"&a [*a]\n", "expected sections"},
        {"ingest: {listen: \"::1:7787\"}\n", "ingest.listen"},
        {"log: {format: xml}\n", "is not a format"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct config c;
        struct problem p = {""};
        assert_int_equal(load(rows[i].text, NULL, NULL, 0, &c, &p), ERR_INVALID);
        if (strstr(p.text, rows[i].expected) == NULL)
            fail_msg("row %zu: '%s' is not in '%s'", i, rows[i].expected, p.text);
    }
}

static void every_key_is_printed_with_its_source(void **state)
{
    (void)state;
    struct config c;
    struct problem p;
    struct buf out;
    buf_init(&out, 1u << 20);
    assert_int_equal(load("ingest: {min_pow: 4}\n", NULL, NULL, 0, &c, &p), ERR_NONE);
    assert_int_equal(config_print(&c, &out), ERR_NONE);
    char expected[128];
    (void)snprintf(expected, sizeof expected, "ingest.min_pow = 4   # %s:1\n", path);
    assert_non_null(strstr(buf_str(&out), expected));
    assert_non_null(strstr(buf_str(&out), "log.level = info   # default\n"));
    buf_fini(&out);
    config_free(&c);
}

static void durations_sizes_numbers_and_rates(void **state)
{
    (void)state;
    static const struct {
        char type;
        const char *text;
        bool ok;
        uint64_t value;
    } rows[] = {
        {'d', "300ms", true, 300},
        {'d', "5s", true, 5000},
        {'d', "10m", true, 600000},
        {'d', "2h", true, 7200000},
        {'d', "7d", true, 604800000},
        {'d', "0", true, 0},
        {'d', "5", false, 0},
        {'d', "-5s", false, 0},
        {'d', "5 s", false, 0},
        {'d', "s", false, 0},
        {'d', "", false, 0},
        {'d', "99999999999999999999d", false, 0},
        {'d', "9223372036854775807ms", false, 0},
        {'s', "512", true, 512},
        {'s', "64KiB", true, 65536},
        {'s', "8GiB", true, UINT64_C(8) << 30},
        {'s', "1kb", false, 0},
        {'s', "18446744073709551615KiB", false, 0},
        {'u', "0", true, 0},
        {'u', "18446744073709551615", true, UINT64_MAX},
        {'u', "18446744073709551616", false, 0},
        {'u', "1x", false, 0},
        {'u', "+1", false, 0},
        {'r', "10/s", true, 10000},
        {'r', "6/m", true, 100},
        {'r', "600/h", true, 166},
        {'r', "1/h", true, 1},
        {'r', "off", true, 0},
        {'r', "10", false, 0},
        {'r', "10/d", false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint64_t value = 0;
        uint32_t rate = 0;
        enum err e = rows[i].type == 'd'   ? value_duration(rows[i].text, &value)
                     : rows[i].type == 's' ? value_size(rows[i].text, &value)
                     : rows[i].type == 'u' ? value_uint(rows[i].text, &value)
                                           : value_rate(rows[i].text, &rate);
        if (rows[i].type == 'r')
            value = rate;
        if ((e == ERR_NONE) != rows[i].ok || (rows[i].ok && value != rows[i].value))
            fail_msg("row %zu, '%s': err %d, value %llu", i, rows[i].text, e,
                     (unsigned long long)value);
    }
}

static void the_nearest_word_is_found_and_a_far_one_is_not(void **state)
{
    (void)state;
    static const char *const words[] = {"ingest.listen", "queue.url", "log.level"};
    assert_string_equal(value_nearest("ingest.lisen", words, 3), "ingest.listen");
    assert_string_equal(value_nearest("log.levle", words, 3), "log.level");
    assert_null(value_nearest("publisher", words, 3));
    assert_null(value_nearest(
        "a.very.long.word.that.no.key.could.ever.be.mistaken.for.at.all.whatever", words, 3));
}

static void what_changed_is_found_by_value_not_by_how_it_is_written(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after, *changed;
    } rows[] = {
        {"", "", ""},
        {"publisher:\n  ok_timeout: 30s\n", "publisher:\n  ok_timeout: 30000ms\n", ""},
        {"", "ingest:\n  open: yes\n", "ingest.open"},
        {"", "ingest:\n  listen: 127.0.0.1:1\n", "ingest.listen"},
        {"", "ingest:\n  max_event: 64KiB\n", "ingest.max_event"},
        {"ingest:\n  allow_pubkeys: "
         "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798\n",
         "", "ingest.allow_pubkeys"},
        {"", "queue:\n  data_dir: /elsewhere\n", "queue.url queue.data_dir"},
        {"publisher:\n  relays: [wss://a.example, b.example]\n",
         "publisher:\n  relays: a.example wss://b.example/\n", ""},
        {"publisher:\n  relays: [a.example]\n", "publisher:\n  relays: [b.example]\n",
         "publisher.relays"},
        {"publisher:\n  relays: [{ url: a.example }]\n",
         "publisher:\n  relays: [{ url: a.example, rate: 5/s }]\n", "publisher.relays"},
        {"", "publisher:\n  serve: direct\n  family: ipv6\n  route: direct\n",
         "publisher.route publisher.serve publisher.family"},
        {"", "log:\n  level: debug\n  format: json\n", "log.level log.format"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char *const env[] = {"XDG_DATA_HOME=/data", NULL};
        struct config a, b;
        struct problem p;
        struct config_key_row key;
        char changed[256] = "";
        assert_int_equal(load(rows[i].before, env, NULL, 0, &a, &p), ERR_NONE);
        assert_int_equal(load(rows[i].after, env, NULL, 0, &b, &p), ERR_NONE);
        for (size_t n = 0, len = 0; config_key_at(n, &key); n++)
            if (config_key_differs(&a, &b, n))
                len += (size_t)snprintf(changed + len, sizeof changed - len, "%s%s",
                                        len > 0 ? " " : "", key.name);
        assert_string_equal(changed, rows[i].changed);
        config_free(&a);
        config_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(defaults_are_the_documented_ones, make_file, remove_file),
        cmocka_unit_test_setup_teardown(the_later_of_file_environment_and_set_wins, make_file,
                                        remove_file),
        cmocka_unit_test_setup_teardown(relays_are_urls_bare_hosts_and_maps, make_file,
                                        remove_file),
        cmocka_unit_test_setup_teardown(the_same_relay_twice_is_merged_with_a_warning, make_file,
                                        remove_file),
        cmocka_unit_test_setup_teardown(a_name_belongs_to_one_relay, make_file, remove_file),
        cmocka_unit_test_setup_teardown(a_list_from_the_environment_replaces_the_files, make_file,
                                        remove_file),
        cmocka_unit_test_setup_teardown(
            an_empty_list_by_set_replaces_the_files_and_an_empty_variable_does_not, make_file,
            remove_file),
        cmocka_unit_test_setup_teardown(a_list_of_hosts_in_json_is_added_to_the_others, make_file,
                                        remove_file),
        cmocka_unit_test_setup_teardown(what_is_wrong_with_that_list_names_its_file_and_line,
                                        make_file, remove_file),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_named, make_file, remove_file),
        cmocka_unit_test_setup_teardown(every_key_is_printed_with_its_source, make_file,
                                        remove_file),
        cmocka_unit_test_setup_teardown(what_changed_is_found_by_value_not_by_how_it_is_written,
                                        make_file, remove_file),
        cmocka_unit_test(durations_sizes_numbers_and_rates),
        cmocka_unit_test(the_nearest_word_is_found_and_a_far_one_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
