/* A lane's definition: what it allows, when two are the same, and its way through bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "common/net/definition.h"

#include <string.h>

static struct definition plain(void)
{
    struct definition d = {.url = "wss://relay.example",
                           .name = "example",
                           .route = ROUTE_TOR,
                           .family = MODE_AUTO,
                           .window = 256};
    return d;
}

static void kinds_exceptions_and_private_kinds_decide(void **state)
{
    (void)state;
    static const struct {
        uint16_t only[2];
        uint32_t only_len;
        uint16_t except[2];
        uint32_t except_len;
        bool is_private;
        uint32_t kind;
        bool allowed;
    } rows[] = {
        {{0}, 0, {0}, 0, false, 1, true},      {{0}, 0, {0}, 0, false, 65535, true},
        {{1, 7}, 2, {0}, 0, false, 7, true},   {{1, 7}, 2, {0}, 0, false, 3, false},
        {{0}, 0, {1, 7}, 2, false, 7, false},  {{0}, 0, {1, 7}, 2, false, 3, true},
        {{1, 7}, 2, {7}, 1, false, 7, false}, /* an exception outranks */
        {{0}, 0, {0}, 0, false, 4, false},     {{0}, 0, {0}, 0, false, 1059, false},
        {{0}, 0, {0}, 0, false, 21059, false}, {{0}, 0, {0}, 0, true, 4, true},
        {{0}, 0, {0}, 0, true, 1059, true},    {{0}, 0, {0}, 0, true, 21059, true},
        {{4}, 1, {0}, 0, false, 4, false}, /* asking for it is not enough */
        {{4}, 1, {0}, 0, true, 4, true},       {{1}, 1, {0}, 0, true, 4, false},
        {{0}, 0, {0}, 0, true, 22242, false},  {{22242}, 1, {0}, 0, true, 22242, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct definition d = plain();
        memcpy(d.kinds, rows[i].only, sizeof rows[i].only);
        d.kinds_len = rows[i].only_len;
        memcpy(d.except_kinds, rows[i].except, sizeof rows[i].except);
        d.except_kinds_len = rows[i].except_len;
        d.is_private = rows[i].is_private;
        if (definition_allows(&d, rows[i].kind) != rows[i].allowed)
            fail_msg("row %zu: kind %u", i, rows[i].kind);
    }
}

/* Each of these changes one thing. */
static struct definition changed(unsigned i)
{
    struct definition d = plain();
    switch (i) {
    case 0:
        d.url[6] = 'x';
        break;
    case 1:
        d.route = ROUTE_DIRECT;
        break;
    case 2:
        d.family = MODE_IPV6;
        break;
    case 3:
        d.window = 1;
        break;
    case 4:
        d.rate_per_1000s = 10000;
        break;
    case 5:
        d.kinds_len = 1;
        break;
    case 6:
        d.except_kinds_len = 1;
        break;
    case 7:
        d.is_private = true;
        break;
    case 8:
        d.backfill = true;
        break;
    case 9:
        d.hold = true;
        break;
    case 10:
        d.name[0] = 'E';
        break;
    default:
        d.auth_key_file[0] = 'k';
        break;
    }
    return d;
}
#define CHANGES 12u

static void all_that_is_said_makes_a_difference(void **state)
{
    (void)state;
    struct definition d = plain();
    assert_true(definition_equal(&d, &d));
    for (unsigned i = 0; i < CHANGES; i++) {
        struct definition other = changed(i);
        if (definition_equal(&d, &other))
            fail_msg("change %u makes no difference", i);
    }
    struct definition kinds = plain(), same_len = plain();
    kinds.kinds_len = same_len.kinds_len = 1;
    kinds.kinds[0] = 1;
    assert_false(definition_equal(&kinds, &same_len));
}

static void what_lies_behind_the_lists_makes_none(void **state)
{
    (void)state;
    struct definition a = plain(), b = plain();
    b.kinds[3] = 9;
    b.except_kinds[0] = 9;
    assert_true(definition_equal(&a, &b));
}

static void pack_it(const struct definition *d, struct buf *out)
{
    struct pack p;
    buf_init(out, 65536);
    pack_init(&p, out);
    definition_pack(&p, d);
    assert_int_equal(pack_end(&p), ERR_NONE);
}

static void it_comes_back_from_bytes_as_it_was(void **state)
{
    (void)state;
    for (unsigned i = 0; i <= CHANGES; i++) {
        struct definition d = i < CHANGES ? changed(i) : plain(), back;
        if (i == CHANGES) {
            d.kinds_len = d.except_kinds_len = DEFINITION_KINDS_MAX;
            for (uint16_t k = 0; k < DEFINITION_KINDS_MAX; k++)
                d.kinds[k] = d.except_kinds[k] = (uint16_t)(65535 - k);
        }
        struct buf bytes;
        struct unpack u;
        pack_it(&d, &bytes);
        unpack_init(&u, bytes.data, bytes.len);
        definition_unpack(&u, &back);
        assert_int_equal(unpack_end(&u), ERR_NONE);
        assert_true(definition_equal(&d, &back));
        assert_string_equal(d.name, back.name);
        buf_fini(&bytes);
    }
}

static void bytes_cut_anywhere_are_bad(void **state)
{
    (void)state;
    struct definition d = changed(5), back;
    struct buf bytes;
    pack_it(&d, &bytes);
    for (size_t len = 0; len < bytes.len; len++) {
        struct unpack u;
        unpack_init(&u, bytes.data, len);
        definition_unpack(&u, &back);
        assert_int_equal(unpack_end(&u), ERR_INVALID);
    }
    buf_fini(&bytes);
}

static void enums_flags_and_counts_out_of_range_are_bad(void **state)
{
    (void)state;
    struct definition d = plain(), back, none = {.window = 1};
    struct buf bytes;
    pack_it(&d, &bytes);
    size_t route_at = 4 + strlen(d.url) + 4 + strlen(d.name);
    const struct {
        size_t at;
        uint8_t value;
    } rows[] = {
        {route_at, ROUTE_COUNT},
        {route_at + 1, MODE_COUNT},
        {route_at + 10, 65},
        {route_at + 14, 65}, /* the counts */
        {route_at + 18, 8},  /* the flags */
        {4, 0},              /* a NUL within the URL */
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct unpack u;
        uint8_t before = bytes.data[rows[i].at];
        bytes.data[rows[i].at] = rows[i].value;
        unpack_init(&u, bytes.data, bytes.len);
        definition_unpack(&u, &back);
        if (unpack_end(&u) == ERR_NONE)
            fail_msg("row %zu was taken", i);
        bytes.data[rows[i].at] = before;
    }
    buf_fini(&bytes);
    pack_it(&none, &bytes); /* without a URL */
    struct unpack u;
    unpack_init(&u, bytes.data, bytes.len);
    definition_unpack(&u, &back);
    assert_int_equal(unpack_end(&u), ERR_INVALID);
    buf_fini(&bytes);
}

static void any_bytes_give_a_definition_within_its_bounds(void **state)
{
    (void)state;
    struct rng rng;
    struct definition d = changed(5), back;
    struct buf bytes;
    pack_it(&d, &bytes);
    rng_init(&rng, 7);
    for (unsigned i = 0; i < 20000; i++) {
        struct unpack u;
        size_t at = rng_below(&rng, bytes.len);
        uint8_t before = bytes.data[at];
        bytes.data[at] = (uint8_t)rng_next(&rng);
        unpack_init(&u, bytes.data, bytes.len);
        definition_unpack(&u, &back);
        assert_true((unsigned)back.route < ROUTE_COUNT && (unsigned)back.family < MODE_COUNT);
        assert_true(back.kinds_len <= DEFINITION_KINDS_MAX);
        assert_true(back.except_kinds_len <= DEFINITION_KINDS_MAX);
        assert_non_null(memchr(back.url, '\0', sizeof back.url));
        bytes.data[at] = before;
    }
    buf_fini(&bytes);
}

static void families_modes_and_routes_have_names(void **state)
{
    (void)state;
    assert_string_equal(family_name(FAMILY_NONE), "-");
    assert_string_equal(family_name(FAMILY_IPV6), "ipv6");
    assert_string_equal(family_name(FAMILY_IPV4), "ipv4");
    assert_string_equal(family_name(FAMILY_ONION), "onion");
    assert_string_equal(family_name(FAMILY_COUNT), "?");
    assert_string_equal(family_mode_name(MODE_AUTO), "auto");
    assert_string_equal(family_mode_name(MODE_IPV6), "ipv6");
    assert_string_equal(family_mode_name(MODE_IPV4), "ipv4");
    assert_string_equal(route_name(ROUTE_TOR), "tor");
    assert_string_equal(route_name(ROUTE_DIRECT), "direct");
    assert_string_equal(route_name((enum route)99), "?");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_exceptions_and_private_kinds_decide),
        cmocka_unit_test(all_that_is_said_makes_a_difference),
        cmocka_unit_test(what_lies_behind_the_lists_makes_none),
        cmocka_unit_test(it_comes_back_from_bytes_as_it_was),
        cmocka_unit_test(bytes_cut_anywhere_are_bad),
        cmocka_unit_test(enums_flags_and_counts_out_of_range_are_bad),
        cmocka_unit_test(any_bytes_give_a_definition_within_its_bounds),
        cmocka_unit_test(families_modes_and_routes_have_names),
    };
    return cmocka_run_group_tests_name("definition", tests, NULL, NULL);
}
