/* Ids and signatures: BIP-340's vectors, events signed elsewhere, and our own signing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/hex.h"
#include "common/nostr/event.h"
#include "common/nostr/event_hash.h"
#include "tests/unit/vectors.h"

#include <secp256k1_schnorrsig.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t secret_3[32] = {[31] = 3};

static void get_hex(const char *hex, uint8_t *out, size_t len)
{
    assert_int_equal(hex_get(hex, strlen(hex), out, len), ERR_NONE);
}

static struct event *parse(const char *json)
{
    struct event *ev;
    struct problem p = {0};
    if (event_parse((struct json_span){json, strlen(json)}, EVENT_LEN_MAX, &ev, &p) != ERR_NONE)
        fail_msg("refused: %s: %s", json, p.text);
    return ev;
}

/* Messages of other lengths than an id's go to the library directly. */
static bool library_says(const uint8_t pubkey[32], const uint8_t *message, size_t len,
                         const uint8_t sig[64])
{
    secp256k1_xonly_pubkey key;
    const secp256k1_context *ctx = secp256k1_context_static;
    return secp256k1_xonly_pubkey_parse(ctx, &key, pubkey) == 1 &&
           secp256k1_schnorrsig_verify(ctx, sig, message, len, &key) == 1;
}

static void the_vectors_of_bip340_hold(void **state)
{
    (void)state;
    assert_int_equal(COUNT_OF(bip340), 19);
    for (size_t i = 0; i < COUNT_OF(bip340); i++) {
        uint8_t pubkey[32], sig[64], message[100];
        size_t len = strlen(bip340[i].message) / 2;
        get_hex(bip340[i].pubkey, pubkey, 32);
        get_hex(bip340[i].sig, sig, 64);
        get_hex(bip340[i].message, message, len);
        bool good = len == 32 ? event_check_sig(pubkey, message, sig) == ERR_NONE
                              : library_says(pubkey, message, len, sig);
        if (good != bip340[i].good)
            fail_msg("vector %s", bip340[i].comment);
    }
}

static void public_keys_follow_from_the_secrets_of_bip340(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bip340); i++) {
        uint8_t secret[32], pubkey[32], got[32];
        if (bip340[i].secret[0] == '\0')
            continue;
        get_hex(bip340[i].secret, secret, 32);
        get_hex(bip340[i].pubkey, pubkey, 32);
        assert_int_equal(event_pubkey(secret, got), ERR_NONE);
        assert_memory_equal(got, pubkey, 32);
    }
}

static void events_signed_elsewhere_are_good_and_canonical(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(signed_events); i++) {
        struct event *ev = parse(signed_events[i].json);
        struct problem p = {0};
        if (event_verify(ev, &p) != ERR_NONE)
            fail_msg("%s: %s", signed_events[i].what, p.text);
        assert_int_equal(ev->len, strlen(signed_events[i].json));
        assert_memory_equal(ev->bytes, signed_events[i].json, ev->len);
        event_unref(ev);
    }
}

static void control_characters_have_two_forms_and_both_ids_are_taken(void **state)
{
    (void)state;
    unsigned text_only = 0, escaped_only = 0;
    for (size_t i = 0; i < COUNT_OF(signed_events); i++) {
        struct event *ev = parse(signed_events[i].json);
        uint8_t text[32], escaped[32];
        event_hash_text(ev, text);
        event_hash_escaped(ev, escaped);
        bool is_text = memcmp(ev->id, text, 32) == 0;
        bool is_escaped = memcmp(ev->id, escaped, 32) == 0;
        assert_true(is_text || is_escaped);
        text_only += is_text && !is_escaped;
        escaped_only += is_escaped && !is_text;
        event_unref(ev);
    }
    assert_int_equal(text_only, 1);
    assert_int_equal(escaped_only, 1);
}

/* Every byte of the event matters: one digit, letter or sign of it changed, and it is refused. */
static void a_changed_event_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *why;
    } rows[] = {
        {"\"id\":\"d", "\"id\":\"e", "the id is not"},
        {"1644271588", "1644271589", "the id is not"},
        {"\"kind\":1", "\"kind\":2", "the id is not"},
        {"\"tags\":[]", "\"tags\":[[]]", "the id is not"},
        {"now that", "now That", "the id is not"},
        {"\"pubkey\":\"3", "\"pubkey\":\"4", "the id is not"},
        {"\"sig\":\"2", "\"sig\":\"3", "the signature is not good"},
        {"24\"}", "25\"}", "the signature is not good"},
    };
    const char *json = signed_events[COUNT_OF(signed_events) - 2].json;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf text;
        const char *at = strstr(json, rows[i].from);
        assert_non_null(at);
        buf_init(&text, 4096);
        assert_int_equal(buf_add(&text, json, (size_t)(at - json)), ERR_NONE);
        assert_int_equal(buf_add_str(&text, rows[i].to), ERR_NONE);
        assert_int_equal(buf_add_str(&text, at + strlen(rows[i].from)), ERR_NONE);
        struct event *ev = parse(buf_str(&text));
        struct problem p = {0};
        assert_int_equal(event_verify(ev, &p), ERR_INVALID);
        assert_non_null(strstr(p.text, rows[i].why));
        event_unref(ev);
        buf_fini(&text);
    }
}

static void what_we_sign_is_what_we_take(void **state)
{
    (void)state;
    static const struct {
        uint32_t kind;
        const char *tags, *content;
    } rows[] = {
        {1, "[]", ""},
        {1, "[[\"t\",\"\\u0001\\n\"]]", "\x01\n\"\\\x7f\xc3\xa9"},
        {22242, " [ [\"relay\",\"wss://r.example\"], [\"challenge\",\"x\"] ] ", ""},
        {65535, "[[]]", "{\"tags\":[[\"-\"]]}"},
    };
    uint8_t pubkey[32];
    assert_int_equal(event_pubkey(secret_3, pubkey), ERR_NONE);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct event *ev, *again;
        assert_int_equal(event_make(secret_3, 1700000000, rows[i].kind, rows[i].tags,
                                    rows[i].content, &ev, NULL),
                         ERR_NONE);
        assert_memory_equal(ev->pubkey, pubkey, 32);
        assert_int_equal(ev->kind, rows[i].kind);
        assert_int_equal(event_verify(ev, NULL), ERR_NONE);
        assert_int_equal(event_parse((struct json_span){ev->bytes, ev->len}, ev->len, &again, NULL),
                         ERR_NONE);
        assert_memory_equal(again->id, ev->id, 32);
        assert_memory_equal(again->sig, ev->sig, 64);
        assert_int_equal(event_verify(again, NULL), ERR_NONE);
        event_unref(again);
        event_unref(ev);
    }
}

static void the_id_is_that_of_another_program(void **state)
{
    (void)state;
    uint8_t secret[32];
    struct event *ev;
    struct event *want = parse(signed_events[0].json);
    get_hex(bip340[1].secret, secret, 32);
    assert_int_equal(event_make(secret, 1700000000, 1, "[[\"t\",\"\\nx\"]]", "a\nb", &ev, NULL),
                     ERR_NONE);
    assert_memory_equal(ev->id, want->id, 32);
    event_unref(ev);
    event_unref(want);
}

static void what_can_not_be_signed_is_refused(void **state)
{
    (void)state;
    static const uint8_t zero[32] = {0};
    uint8_t order[32], pubkey[32];
    struct event *ev;
    struct problem p = {0};
    get_hex("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", order, 32);
    assert_int_equal(event_pubkey(zero, pubkey), ERR_INVALID);
    assert_int_equal(event_pubkey(order, pubkey), ERR_INVALID);
    assert_int_equal(event_make(zero, 0, 1, "[]", "", &ev, &p), ERR_INVALID);
    assert_string_equal(p.text, "the secret key is none");
    static const char *const bad_tags[] = {
        "", "[", "{}", "[1]", "[[1]]", "[],\"content\":\"x\"", "[]}", "[[\"\xff\"]]"};
    for (size_t i = 0; i < COUNT_OF(bad_tags); i++)
        assert_int_equal(event_make(secret_3, 0, 1, bad_tags[i], "", &ev, NULL), ERR_INVALID);
    assert_int_equal(event_make(secret_3, 0, 65536, "[]", "", &ev, NULL), ERR_INVALID);
    assert_int_equal(event_make(secret_3, EVENT_TIME_MAX + 1, 1, "[]", "", &ev, NULL), ERR_INVALID);
    char *big = malloc(EVENT_LEN_MAX + 1);
    assert_non_null(big);
    memset(big, 'x', EVENT_LEN_MAX);
    big[EVENT_LEN_MAX] = '\0';
    assert_int_equal(event_make(secret_3, 0, 1, "[]", big, &ev, NULL), ERR_TOO_BIG);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_bip340_hold),
        cmocka_unit_test(public_keys_follow_from_the_secrets_of_bip340),
        cmocka_unit_test(events_signed_elsewhere_are_good_and_canonical),
        cmocka_unit_test(control_characters_have_two_forms_and_both_ids_are_taken),
        cmocka_unit_test(a_changed_event_is_refused),
        cmocka_unit_test(what_we_sign_is_what_we_take),
        cmocka_unit_test(the_id_is_that_of_another_program),
        cmocka_unit_test(what_can_not_be_signed_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
