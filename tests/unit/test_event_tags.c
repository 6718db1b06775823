/* What the tags of an event say: expiration, protection, address, deletions; and the order of
 * versions, and the work in an id. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/hex.h"
#include "common/nostr/event.h"
#include "common/nostr/event_hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ID    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define KEY   "f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9"
#define OTHER "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659"

/* `content` is raw: as it stands between the quotes. */
static struct event *make(uint32_t kind, const char *tags, const char *content)
{
    struct event *ev;
    struct problem p = {0};
    struct buf text;
    buf_init(&text, 65536);
    assert_int_equal(buf_addf(&text,
                              "{\"id\":\"" ID "\",\"pubkey\":\"" KEY "\",\"created_at\":1,"
                              "\"sig\":\"" ID ID
                              "\",\"tags\":%s,\"content\":\"%s\",\"kind\":%" PRIu32 "}",
                              tags, content, kind),
                     ERR_NONE);
    if (event_parse((struct json_span){buf_str(&text), text.len}, EVENT_LEN_MAX, &ev, &p) !=
        ERR_NONE)
        fail_msg("refused: %s: %s", buf_str(&text), p.text);
    buf_fini(&text);
    return ev;
}

static void the_first_readable_expiration_counts(void **state)
{
    (void)state;
    static const struct {
        const char *tags;
        uint64_t expiration;
    } rows[] = {
        {"[]", 0},
        {"[[\"expiration\"]]", 0},
        {"[[\"expiration\",\"1700000000\"]]", 1700000000},
        {"[[\"expiration\",\"1700000000\",\"x\"]]", 1700000000},
        {"[[\"expiration\",\"17\"],[\"expiration\",\"18\"]]", 17},
        {"[[\"t\",\"x\"],[\"expiration\",\"soon\"],[\"expiration\",\"18\"]]", 18},
        {"[[\"expiration\",\"\"]]", 0},
        {"[[\"expiration\",\"-1\"]]", 0},
        {"[[\"expiration\",\"1.5\"]]", 0},
        {"[[\"expiration\",\" 1\"]]", 0},
        {"[[\"expiration\",\"1e9\"]]", 0},
        {"[[\"expiration\",\"0x10\"]]", 0},
        {"[[\"Expiration\",\"1\"]]", 0},
        {"[[\"expiration \",\"1\"]]", 0},
        {"[[\"expiration\",\"0\"]]", 1},
        {"[[\"expiration\",\"0017\"]]", 17},
        {"[[\"\\u0065xpiration\",\"\\u0031\\u0037\"]]", 17},
        {"[[\"expiration\",\"253402300799\"]]", EVENT_TIME_MAX},
        {"[[\"expiration\",\"253402300800\"]]", EVENT_TIME_MAX},
        {"[[\"expiration\",\"18446744073709551617\"]]", EVENT_TIME_MAX},
        {"[[\"expiration\",\"100000000000000000000\"]]", 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct event *ev = make(1, rows[i].tags, "");
        if (ev->expiration != rows[i].expiration)
            fail_msg("%s: %lu", rows[i].tags, (unsigned long)ev->expiration);
        event_unref(ev);
    }
}

static void the_minus_tag_protects_and_a_repost_of_one_is_protected_too(void **state)
{
    (void)state;
    static const struct {
        uint32_t kind;
        const char *tags, *content;
        bool is_protected;
    } rows[] = {
        {1, "[]", "", false},
        {1, "[[\"-\"]]", "", true},
        {1, "[[\"t\",\"x\"],[\"-\"]]", "", true},
        {1, "[[\"\\u002d\"]]", "", true},
        {1, "[[\"t\",\"-\"]]", "", false},
        {1, "[[\"--\"]]", "", false},
        {1, "[[]]", "", false},
        {1, "[]", "{\\\"tags\\\":[[\\\"-\\\"]]}", false},
        {6, "[]", "{\\\"tags\\\":[[\\\"-\\\"]]}", true},
        {16, "[]", "{\\\"tags\\\":[[\\\"-\\\"]]}", true},
        {7, "[]", "{\\\"tags\\\":[[\\\"-\\\"]]}", false},
        {6, "[]",
         " {\\\"id\\\":{\\\"x\\\":[1]},\\n\\\"tags\\\" : [ [\\\"t\\\"] , [ \\\"-\\\" ] ] } ", true},
        {6, "[]", "{\\\"t\\\\u0061gs\\\":[[\\\"\\\\u002d\\\"]]}", true},
        {6, "[]", "{\\\"tags\\\":[[\\\"-\\\"]],\\\"sig\\\":", true},
        {6, "[]", "{\\\"tags\\\":1,\\\"tags\\\":[[\\\"-\\\"]]}", true},
        {6, "[]", "{\\\"tags\\\":[null,7,[],[1],[[\\\"-\\\"]],{\\\"-\\\":1},[\\\"-\\\"]]}", true},
        {6, "[]", "{\\\"tags\\\":[[[\\\"-\\\"]],{\\\"-\\\":1},\\\"-\\\"]}", false},
        {6, "[]", "{\\\"tags\\\":[[\\\"t\\\",\\\"-\\\"]]}", false},
        {6, "[]", "{\\\"tags\\\":[],\\\"content\\\":\\\"[[\\\\\\\"-\\\\\\\"]]\\\"}", false},
        {6, "[]", "{\\\"x\\\":{\\\"tags\\\":[[\\\"-\\\"]]}}", false},
        {6, "[]", "[{\\\"tags\\\":[[\\\"-\\\"]]}]", false},
        {6, "[]", "{\\\"tags\\\":[[\\\"-", false},
        {6, "[]", "{tags:[[\\\"-\\\"]]}", false},
        {6, "[]", "[[\\\"-\\\"]]", false},
        {6, "[]", "a note, no JSON", false},
        {6, "[]", "", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct event *ev = make(rows[i].kind, rows[i].tags, rows[i].content);
        if (ev->is_protected != rows[i].is_protected)
            fail_msg("row %zu: %s %s", i, rows[i].tags, rows[i].content);
        event_unref(ev);
    }
}

/* The hash's own text, written out. */
static void want_address(const char *text, uint8_t out[32])
{
    static const struct {
        const char *text, *hash;
    } known[] = {
        /* printf '%s' "$text" | sha256sum */
        {"0:" KEY ":", "edc8c68f65a109908749ddaa8369eb0d5bbfe142791ff9b5b6cbf75e0a0adda3"},
        {"3:" KEY ":", "2d56649cb53e2062a29f2de64852253d8d3219db520bd51cb544908d3c766247"},
        {"10000:" KEY ":", "87c35b3a72c029be69bbb3295c0855e62b8edf303f4e1a3535bd2acf0c75dc43"},
        {"19999:" KEY ":", "30577d79921d16b6323db746965b82467794ef7e089ec58f501311a2c4359ac9"},
        {"30000:" KEY ":", "97b217b2a929d0cb17838a5f9d08a1a68acebf2e0b2a8be7da5cc80860ba1d94"},
        {"30000:" KEY ":x", "8d0b97c782f653cd35d73e1ab508175aa7ee5252e4e249ccbdfd95a4df7d6a3e"},
        {"39999:" KEY ":a:\n\xc3\xa9\x01",
         "2e8a62c871ea5f2ca07414be90718dacdaf104c1ca25b8f5f20c14011895df24"},
    };
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        if (strcmp(known[i].text, text) == 0) {
            assert_int_equal(hex_get(known[i].hash, 64, out, 32), ERR_NONE);
            return;
        }
    }
    fail_msg("no hash known for %s", text);
}

static void an_address_names_kind_author_and_first_d(void **state)
{
    (void)state;
    static const struct {
        uint32_t kind;
        const char *tags, *address;
    } rows[] = {
        {0, "[]", "0:" KEY ":"},
        {0, "[[\"d\",\"x\"]]", "0:" KEY ":"},
        {3, "[]", "3:" KEY ":"},
        {10000, "[]", "10000:" KEY ":"},
        {19999, "[[\"d\",\"x\"]]", "19999:" KEY ":"},
        {30000, "[]", "30000:" KEY ":"},
        {30000, "[[\"d\"]]", "30000:" KEY ":"},
        {30000, "[[\"d\",\"\"]]", "30000:" KEY ":"},
        {30000, "[[\"d\"],[\"d\",\"x\"]]", "30000:" KEY ":"},
        {30000, "[[\"t\",\"y\"],[\"d\",\"x\",\"z\"],[\"d\",\"y\"]]", "30000:" KEY ":x"},
        {30000, "[[\"\\u0064\",\"\\u0078\"]]", "30000:" KEY ":x"},
        {30000, "[[\"D\",\"x\"]]", "30000:" KEY ":"},
        {39999, "[[\"d\",\"a:\\n\\u00e9\\u0001\"]]", "39999:" KEY ":a:\n\xc3\xa9\x01"},
        {1, "[[\"d\",\"x\"]]", NULL},
        {2, "[[\"d\",\"x\"]]", NULL},
        {9999, "[]", NULL},
        {20000, "[[\"d\",\"x\"]]", NULL},
        {29999, "[[\"d\",\"x\"]]", NULL},
        {40000, "[[\"d\",\"x\"]]", NULL},
        {65535, "[[\"d\",\"x\"]]", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct event *ev = make(rows[i].kind, rows[i].tags, "");
        uint8_t want[32];
        if (ev->has_address != (rows[i].address != NULL))
            fail_msg("kind %u: has_address", rows[i].kind);
        if (rows[i].address != NULL) {
            want_address(rows[i].address, want);
            if (memcmp(ev->address, want, 32) != 0)
                fail_msg("kind %u %s: another address", rows[i].kind, rows[i].tags);
        }
        event_unref(ev);
    }
}

/* Tag values, one after the other, each with a bar behind it; stops at "stop". */
static bool on_tag(void *arg, struct json_span value)
{
    struct buf *out = arg;
    assert_int_equal(buf_add(out, value.p, value.len), ERR_NONE);
    assert_int_equal(buf_add_char(out, '|'), ERR_NONE);
    return !json_equals(value, "stop");
}

static void tags_are_told_by_name_with_their_first_value(void **state)
{
    (void)state;
    static const struct {
        const char *tags, *name, *values;
    } rows[] = {
        {"[]", "t", ""},
        {"[[\"t\",\"a\",\"b\"],[\"p\",\"x\"],[\"t\",\"c\"]]", "t", "a|c|"},
        {"[[\"t\"],[],[\"t\",\"\"]]", "t", "|"},
        {"[[\"t\",\"\\u0041\\u000a\"]]", "t", "A\\n|"},
        {"[[\"T\",\"a\"],[\"tt\",\"a\"]]", "t", ""},
        {"[[\"relay\",\"wss://r\"]]", "relay", "wss://r|"},
        {"[[\"t\",\"a\"],[\"t\",\"stop\"],[\"t\",\"b\"]]", "t", "a|stop|"},
        {"[[\"\\u0001\",\"a\"]]", "\x01", "a|"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct event *ev = make(1, rows[i].tags, "");
        struct buf out;
        buf_init(&out, 256);
        event_each_tag(ev, rows[i].name, on_tag, &out);
        assert_string_equal(buf_str(&out), rows[i].values);
        buf_fini(&out);
        event_unref(ev);
    }
}

struct deleted {
    unsigned ids, addresses;
    uint8_t id[32], address[32]; /* the last */
};

static void on_deletion(void *arg, const uint8_t *id, const uint8_t *address)
{
    struct deleted *d = arg;
    assert_true((id == NULL) != (address == NULL));
    if (id != NULL) {
        d->ids++;
        memcpy(d->id, id, 32);
    } else {
        d->addresses++;
        memcpy(d->address, address, 32);
    }
}

static void a_deletion_names_ids_and_its_authors_own_addresses(void **state)
{
    (void)state;
    static const struct {
        uint32_t kind;
        const char *tags;
        unsigned ids;
        const char *address;
    } rows[] = {
        {5, "[]", 0, NULL},
        {5, "[[\"e\",\"" ID "\"]]", 1, NULL},
        {5, "[[\"e\",\"" ID "\",\"wss://r\"],[\"e\",\"" KEY "\"],[\"k\",\"1\"]]", 2, NULL},
        {5, "[[\"e\"],[\"e\",\"\"],[\"e\",\"xyz\"],[\"E\",\"" ID "\"]]", 0, NULL},
        {4, "[[\"e\",\"" ID "\"]]", 0, NULL},
        {1, "[[\"a\",\"30000:" KEY ":x\"]]", 0, NULL},
        {5, "[[\"a\",\"30000:" KEY ":x\"]]", 0, "30000:" KEY ":x"},
        {5, "[[\"a\",\"30000:" KEY ":\"]]", 0, "30000:" KEY ":"},
        {5, "[[\"a\",\"39999:" KEY ":a:\\n\\u00e9\\u0001\"]]", 0, "39999:" KEY ":a:\n\xc3\xa9\x01"},
        {5, "[[\"a\",\"10000:" KEY ":\"]]", 0, "10000:" KEY ":"},
        {5, "[[\"a\",\"0:" KEY ":\"]]", 0, "0:" KEY ":"},
        {5, "[[\"a\",\"10000:" KEY ":x\"]]", 0, NULL},
        {5, "[[\"a\",\"30000:" KEY "\"]]", 0, NULL},
        {5, "[[\"a\",\"30000:" OTHER ":x\"]]", 0, NULL},
        {5, "[[\"a\",\"1:" KEY ":\"]]", 0, NULL},
        {5, "[[\"a\",\"20000:" KEY ":\"]]", 0, NULL},
        {5, "[[\"a\",\"030000:" KEY ":x\"]]", 0, NULL},
        {5, "[[\"a\",\"95536:" KEY ":x\"]]", 0, NULL},
        {5, "[[\"a\",\":" KEY ":x\"]]", 0, NULL},
        {5, "[[\"a\",\"-1:" KEY ":x\"]]", 0, NULL},
        {5, "[[\"a\",\" 30000:" KEY ":x\"]]", 0, NULL},
        {5, "[[\"a\",\"30000 :" KEY ":x\"]]", 0, NULL},
        {5, "[[\"a\",\"30000\"],[\"a\",\"\"],[\"a\"],[\"a\",\":\"],[\"a\",\"30000:\"]]", 0, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct event *ev = make(rows[i].kind, rows[i].tags, "");
        struct deleted got = {0};
        uint8_t want[32];
        event_each_deletion(ev, on_deletion, &got);
        if (got.ids != rows[i].ids || got.addresses != (rows[i].address != NULL))
            fail_msg("row %zu: %s: %u ids, %u addresses", i, rows[i].tags, got.ids, got.addresses);
        if (rows[i].address != NULL) {
            want_address(rows[i].address, want);
            assert_memory_equal(got.address, want, 32);
        }
        event_unref(ev);
    }
}

static void the_id_to_delete_is_the_one_in_the_tag(void **state)
{
    (void)state;
    struct event *ev = make(5, "[[\"e\",\"" OTHER "\"]]", "");
    struct deleted got = {0};
    uint8_t want[32];
    assert_int_equal(hex_get(OTHER, 64, want, 32), ERR_NONE);
    event_each_deletion(ev, on_deletion, &got);
    assert_memory_equal(got.id, want, 32);
    event_unref(ev);
}

static void the_newer_version_wins_and_at_equal_time_the_lower_id(void **state)
{
    (void)state;
    static const uint8_t low[32] = {[31] = 1}, high[32] = {[0] = 1};
    assert_true(event_newer(2, high, 1, low));
    assert_false(event_newer(1, low, 2, high));
    assert_true(event_newer(1, low, 1, high));
    assert_false(event_newer(1, high, 1, low));
    assert_false(event_newer(1, low, 1, low));
}

static void difficulty_is_the_leading_zero_bits(void **state)
{
    (void)state;
    static const struct {
        uint8_t id[32];
        unsigned bits;
    } rows[] = {
        {{0x80}, 0},  {{0xff}, 0},        {{0x7f}, 1},       {{0x01}, 7}, {{0x00, 0x80}, 8},
        {{0, 1}, 15}, {{0, 0, 0x2f}, 18}, {{[31] = 1}, 255}, {{0}, 256},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(event_difficulty(rows[i].id), rows[i].bits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_readable_expiration_counts),
        cmocka_unit_test(the_minus_tag_protects_and_a_repost_of_one_is_protected_too),
        cmocka_unit_test(an_address_names_kind_author_and_first_d),
        cmocka_unit_test(tags_are_told_by_name_with_their_first_value),
        cmocka_unit_test(a_deletion_names_ids_and_its_authors_own_addresses),
        cmocka_unit_test(the_id_to_delete_is_the_one_in_the_tag),
        cmocka_unit_test(the_newer_version_wins_and_at_equal_time_the_lower_id),
        cmocka_unit_test(difficulty_is_the_leading_zero_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
