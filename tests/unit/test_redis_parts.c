/* The parts of the queue in Redis that decide by themselves: its address, what it must be, and the
 * facts that travel beside an event. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/pack.h"
#include "queue/redis_address.h"
#include "queue/redis_checks.h"
#include "queue/redis_facts.h"
#include "queue/redis_scripts.h"
#include "tests/support/make_event.h"

#include <string.h>

/* ---- the address ---- */

static void good_addresses(void **state)
{
    static const struct {
        const char *url;
        struct redis_address is;
    } rows[] = {
        {"redis://localhost", {.is_name = true, .host = "localhost", .port = 6379}},
        {"redis://localhost:7000/3", {.is_name = true, .host = "localhost", .port = 7000, .db = 3}},
        {"redis://127.0.0.1:1", {.host = "127.0.0.1", .port = 1}},
        {"redis://127.0.0.1/0", {.host = "127.0.0.1", .port = 6379}},
        {"redis://[::1]:6380/15", {.host = "::1", .port = 6380, .db = 15}},
        {"redis://[::1]", {.host = "::1", .port = 6379}},
        {"redis://my-redis.local/", {.is_name = true, .host = "my-redis.local", .port = 6379}},
        {"redis+unix:///run/redis.sock",
         {.is_unix = true, .path = "/run/redis.sock", .port = 6379}},
        {"redis+unix:///run/redis.sock/2",
         {.is_unix = true, .path = "/run/redis.sock", .port = 6379, .db = 2}},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct redis_address a;
        struct problem p = {0};
        if (redis_address_parse(rows[i].url, &a, &p) != ERR_NONE)
            fail_msg("%s: %s", rows[i].url, p.text);
        assert_true(redis_address_is(rows[i].url));
        assert_int_equal(a.is_unix, rows[i].is.is_unix);
        assert_int_equal(a.is_name, rows[i].is.is_name);
        assert_string_equal(a.host, rows[i].is.host);
        assert_string_equal(a.path, rows[i].is.path);
        assert_int_equal(a.port, rows[i].is.port);
        assert_int_equal(a.db, rows[i].is.db);
    }
}

static void bad_addresses_say_what_is_wrong(void **state)
{
    static const struct {
        const char *url, *says;
    } rows[] = {
        {"redis://", "HOST"},
        {"redis://:6379", "HOST"},
        {"redis://host:0", "HOST"},
        {"redis://host:65536", "HOST"},
        {"redis://host:", "HOST"},
        {"redis://host/x", "HOST"},
        {"redis://host/99999999", "HOST"},
        {"redis://::1", "HOST"},
        {"redis://[::1", "HOST"},
        {"redis://ho st", "HOST"},
        {"redis://:secret@host", "queue.password_file"},
        {"redis+unix://run/redis.sock", "must begin with /"},
        {"redis+unix:///", "must begin with /"},
        {"rediss://host", "redis://"},
        {"redis+unix:///"
         "0123456789012345678901234567890123456789012345678901234567890123456789012345"
         "6789012345678901234567890123456789",
         "bytes"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct redis_address a;
        struct problem p = {0};
        if (redis_address_parse(rows[i].url, &a, &p) != ERR_INVALID ||
            strstr(p.text, rows[i].says) == NULL)
            fail_msg("%s: %s", rows[i].url, p.text);
        assert_null(strstr(p.text, "secret"));
    }
}

/* ---- what it must be ---- */

#define MIB (1024u * 1024u)

static struct redis_said good(void)
{
    static const char info[] = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n"
                               "run_id:0a0b\r\n\r\n# Replication\r\nrole:master\r\n"
                               "master_replid:0c0d\r\nmaster_replid2:0000\r\n";
    struct redis_said s = {0};
    redis_said_info(&s, info, strlen(info));
    redis_said_config(&s, "appendonly", "yes");
    redis_said_config(&s, "appendfsync", "always");
    redis_said_config(&s, "no-appendfsync-on-rewrite", "no");
    redis_said_config(&s, "maxmemory", "0");
    redis_said_config(&s, "maxmemory-policy", "noeviction");
    return s;
}

static void a_good_redis_is_taken(void **state)
{
    struct problem p = {0};
    (void)state;
    struct redis_said s = good();
    assert_int_equal(s.version, 7);
    assert_string_equal(s.run_id, "0a0b");
    assert_string_equal(s.replication_id, "0c0d");
    assert_int_equal(redis_check_usable(&s, &p), ERR_NONE);
    assert_int_equal(redis_check_safe(&s, 1000 * MIB, &p), ERR_NONE);
}

static void each_complaint_names_the_line_for_redis_conf(void **state)
{
    static const struct {
        const char *name, *value, *says;
    } rows[] = {
        {"appendonly", "no", "\"appendonly yes\""},
        {"appendfsync", "everysec", "\"appendfsync always\""},
        {"no-appendfsync-on-rewrite", "yes", "\"no-appendfsync-on-rewrite no\""},
        {"maxmemory-policy", "allkeys-lru", "\"maxmemory-policy noeviction\""},
        {"maxmemory", "100000000", "\"maxmemory 174762"},
    };
    struct problem p = {0};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct redis_said s = good();
        redis_said_config(&s, rows[i].name, rows[i].value);
        assert_int_equal(redis_check_usable(&s, &p), ERR_NONE);
        assert_int_equal(redis_check_safe(&s, 100 * MIB, &p), ERR_INVALID);
        if (strstr(p.text, rows[i].says) == NULL || strstr(p.text, "queue.unsafe") == NULL)
            fail_msg("%s %s: %s", rows[i].name, rows[i].value, p.text);
    }
    struct redis_said all = {.config_known = true, .maxmemory = 1};
    assert_int_equal(redis_check_safe(&all, 100 * MIB, &p), ERR_INVALID);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_non_null(strstr(p.text, rows[i].says));
    assert_non_null(strstr(p.text, "queue.unsafe"));
}

static void max_bytes_must_be_below_60_percent_of_maxmemory(void **state)
{
    static const struct {
        const char *maxmemory;
        uint64_t max_bytes;
        enum err is;
    } rows[] = {
        {"0", 1000 * MIB, ERR_NONE},      {"1000", 0, ERR_NONE},
        {"1000", 601, ERR_INVALID},       {"1000000", 590000, ERR_NONE},
        {"1000000", 600001, ERR_INVALID},
    };
    struct problem p = {0};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct redis_said s = good();
        redis_said_config(&s, "maxmemory", rows[i].maxmemory);
        assert_int_equal(redis_check_safe(&s, rows[i].max_bytes, &p), rows[i].is);
    }
}

static void what_cannot_be_used_is_refused_even_when_unsafe(void **state)
{
    static const struct {
        const char *info, *says;
    } rows[] = {
        {"redis_version:6.2.6\r\nrun_id:a\r\nmaster_replid:b\r\n", "Redis 7"},
        {"", "Redis 7"},
        {"redis_version:7.2.0\r\n", "INFO"},
        {"redis_version:7.2.0\r\nrun_id:a\r\nmaster_replid:b\r\nredis_mode:cluster\r\n", "cluster"},
        {"redis_version:7.2.0\r\nrun_id:a\r\nmaster_replid:b\r\nrole:slave\r\n", "replica"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct redis_said s = {0};
        struct problem p = {0};
        redis_said_info(&s, rows[i].info, strlen(rows[i].info));
        assert_int_equal(redis_check_usable(&s, &p), ERR_UNSUPPORTED);
        if (strstr(p.text, rows[i].says) == NULL)
            fail_msg("row %zu: %s", i, p.text);
    }
}

/* ---- facts ---- */

static void facts_are_those_of_the_event(void **state)
{
    struct event *note = make_event(2, 1700000001, 30023, "[[\"d\",\"x\"]]", "text");
    struct event *gone = make_deletion(3, 1700000002, note->id);
    struct buf b;
    struct unpack u;
    uint8_t bytes[32];
    (void)state;
    buf_init(&b, 4096);
    assert_int_equal(redis_facts_put(&b, note), ERR_NONE);
    assert_int_equal(redis_facts_put(&b, gone), ERR_NONE);
    unpack_init(&u, b.data, b.len);
    unpack_raw(&u, bytes, 32);
    assert_memory_equal(bytes, note->id, 32);
    unpack_raw(&u, bytes, 32);
    assert_memory_equal(bytes, note->pubkey, 32);
    assert_int_equal(unpack_u64(&u), 1700000001);
    assert_int_equal(unpack_u32(&u), 30023);
    assert_int_equal(unpack_u8(&u), 1);
    unpack_raw(&u, bytes, 32);
    assert_memory_equal(bytes, note->address, 32);
    assert_int_equal(unpack_u16(&u), 0);
    unpack_raw(&u, bytes, 32);
    assert_memory_equal(bytes, gone->id, 32);
    unpack_raw(&u, bytes, 32);
    assert_int_equal(unpack_u64(&u), 1700000002);
    assert_int_equal(unpack_u32(&u), 5);
    assert_int_equal(unpack_u8(&u), 0);
    unpack_raw(&u, bytes, 32);
    assert_int_equal(unpack_u16(&u), 1);
    assert_int_equal(unpack_u8(&u), 'i');
    unpack_raw(&u, bytes, 32);
    assert_memory_equal(bytes, note->id, 32);
    assert_int_equal(unpack_end(&u), ERR_NONE);
    buf_fini(&b);
    event_unref(note);
    event_unref(gone);
}

/* ---- scripts ---- */

static void every_verb_has_its_script_and_says_its_flags_first(void **state)
{
    (void)state;
    for (unsigned verb = VERB_FIRST; verb < VERB_END; verb++) {
        struct buf b;
        buf_init(&b, REDIS_SCRIPT_MAX);
        redis_script_text(verb, &b);
        const char *text = buf_str(&b);
        const char *oom = verb == VERB_APPEND ? NULL : "allow-oom";
        size_t line = strcspn(text, "\n");
        char first[200] = "";
        memcpy(first, text, line < sizeof first ? line : sizeof first - 1);
        if (strncmp(first, "#!lua", 5) != 0 ||
            (strstr(first, "allow-oom") != NULL) != (oom != NULL))
            fail_msg("%s: %s", redis_verb_name(verb), first);
        buf_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_addresses),
        cmocka_unit_test(bad_addresses_say_what_is_wrong),
        cmocka_unit_test(a_good_redis_is_taken),
        cmocka_unit_test(each_complaint_names_the_line_for_redis_conf),
        cmocka_unit_test(max_bytes_must_be_below_60_percent_of_maxmemory),
        cmocka_unit_test(what_cannot_be_used_is_refused_even_when_unsafe),
        cmocka_unit_test(facts_are_those_of_the_event),
        cmocka_unit_test(every_verb_has_its_script_and_says_its_flags_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
