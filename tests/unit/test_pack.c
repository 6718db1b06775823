/* The flat form: what is written is read back, in bytes that stay the same on every machine, and
 * what is broken is noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/pack.h"
#include "common/base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t sample[] = {
    0x01, 0x03, 0x02, 0x07, 0x06, 0x05, 0x04, 0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99, 0x88,
    0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 'r',  'a',  'w',  0x02, 0x00, 0x00, 0x00,
    0x00, 'b',  0x03, 0x00, 0x00, 0x00, 's',  't',  'r',  0x00, 0x00, 0x00, 0x00,
};

static void write_sample(struct pack *p)
{
    pack_u8(p, 1);
    pack_u16(p, 0x0203);
    pack_u32(p, 0x04050607);
    pack_u64(p, 0x8899aabbccddeeff);
    pack_i64(p, -2);
    pack_raw(p, "raw", 3);
    pack_bytes(p, "\0b", 2);
    pack_str(p, "str");
    pack_str(p, NULL);
}

static void numbers_are_little_endian_and_strings_follow_their_length(void **state)
{
    (void)state;
    struct buf b;
    struct pack p;
    buf_init(&b, sizeof sample);
    pack_init(&p, &b);
    write_sample(&p);
    assert_int_equal(pack_end(&p), ERR_NONE);
    assert_int_equal(b.len, sizeof sample);
    assert_memory_equal(b.data, sample, sizeof sample);
    buf_fini(&b);
}

/* Reads the sample's fields; true when all were there. */
static bool read_sample(struct unpack *u)
{
    char raw[3], str[4], empty[1];
    size_t len;
    bool same = unpack_u8(u) == 1 && unpack_u16(u) == 0x0203 && unpack_u32(u) == 0x04050607 &&
                unpack_u64(u) == 0x8899aabbccddeeff && unpack_i64(u) == -2;
    unpack_raw(u, raw, sizeof raw);
    const uint8_t *bytes = unpack_bytes(u, 2, &len);
    unpack_str(u, str, sizeof str);
    unpack_str(u, empty, sizeof empty);
    return same && memcmp(raw, "raw", 3) == 0 && bytes != NULL && len == 2 &&
           memcmp(bytes, "\0b", 2) == 0 && strcmp(str, "str") == 0 && empty[0] == '\0' &&
           unpack_end(u) == ERR_NONE;
}

static void what_was_written_is_read_back(void **state)
{
    (void)state;
    struct unpack u;
    unpack_init(&u, sample, sizeof sample);
    assert_true(read_sample(&u));
}

static void a_part_is_noticed_and_read_as_zeros(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof sample; len++) {
        struct unpack u;
        uint8_t *part = malloc(len > 0 ? len : 1);
        assert_non_null(part);
        memcpy(part, sample, len);
        unpack_init(&u, part, len);
        assert_false(read_sample(&u));
        assert_int_equal(unpack_end(&u), ERR_INVALID);
        assert_int_equal(unpack_u64(&u), 0);
        free(part);
    }
}

static void bytes_left_over_are_noticed(void **state)
{
    (void)state;
    struct unpack u;
    unpack_init(&u, sample, 2);
    assert_int_equal(unpack_u8(&u), 1);
    assert_int_equal(unpack_end(&u), ERR_INVALID);
    assert_int_equal(unpack_u8(&u), 3);
    assert_int_equal(unpack_end(&u), ERR_NONE);
}

static void nothing_at_all_can_be_read(void **state)
{
    (void)state;
    struct unpack u;
    uint8_t out[4] = {1, 2, 3, 4};
    unpack_init(&u, NULL, 0);
    unpack_raw(&u, out, 0);
    assert_int_equal(unpack_end(&u), ERR_NONE);
    unpack_raw(&u, out, 4);
    assert_memory_equal(out, "\0\0\0\0", 4);
    assert_int_equal(unpack_end(&u), ERR_INVALID);
}

static void a_full_buffer_is_remembered_until_the_end(void **state)
{
    (void)state;
    struct buf b;
    struct pack p;
    buf_init(&b, 3);
    pack_init(&p, &b);
    pack_u16(&p, 1);
    pack_u16(&p, 2);
    pack_u8(&p, 3);
    assert_int_equal(pack_end(&p), ERR_TOO_BIG);
    assert_int_equal(b.len, 2);
    buf_fini(&b);
}

static void strings_beyond_their_bound_are_bad(void **state)
{
    (void)state;
    static const uint8_t text[] = {3, 0, 0, 0, 'a', 'b', 'c'};
    static const uint8_t nul[] = {3, 0, 0, 0, 'a', 0, 'c'};
    static const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff, 'a'};
    struct unpack u;
    char out[4];
    size_t len = 9;
    unpack_init(&u, text, sizeof text);
    unpack_str(&u, out, 3);
    assert_string_equal(out, "");
    assert_int_equal(unpack_end(&u), ERR_INVALID);
    unpack_init(&u, nul, sizeof nul);
    unpack_str(&u, out, 4);
    assert_string_equal(out, "");
    assert_int_equal(unpack_end(&u), ERR_INVALID);
    unpack_init(&u, text, sizeof text);
    assert_null(unpack_bytes(&u, 2, &len));
    assert_int_equal(len, 0);
    unpack_init(&u, huge, sizeof huge);
    assert_null(unpack_bytes(&u, SIZE_MAX, &len));
    assert_int_equal(len, 0);
    assert_int_equal(unpack_end(&u), ERR_INVALID);
}

static void a_count_is_believed_only_when_all_can_be_there(void **state)
{
    (void)state;
    static const struct {
        uint8_t data[12];
        size_t len, each;
        uint32_t max, count;
        bool bad;
    } rows[] = {
        {{2, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}, 12, 4, 2, 2, false},
        {{2, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7}, 11, 4, 2, 0, true},
        {{2, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}, 12, 4, 1, 0, true},
        {{0xff, 0xff, 0xff, 0xff, 1}, 5, 1, UINT32_MAX, 0, true},
        {{0, 0, 0, 0}, 4, 4, 9, 0, false},
        {{1, 0, 0}, 3, 0, 9, 0, true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct unpack u;
        unpack_init(&u, rows[i].data, rows[i].len);
        assert_int_equal(unpack_count(&u, rows[i].each, rows[i].max), rows[i].count);
        assert_int_equal(u.bad, rows[i].bad);
    }
}

static void random_bytes_are_read_without_harm(void **state)
{
    (void)state;
    const char *set = getenv("VOLLEY_SEED");
    uint64_t seed = set != NULL ? strtoull(set, NULL, 10) : 0;
    struct rng r;
    if (set == NULL)
        rng_secure(&seed, sizeof seed);
    print_message("seed %llu\n", (unsigned long long)seed);
    rng_init(&r, seed);
    for (int i = 0; i < 10000; i++) {
        struct unpack u;
        uint8_t data[64];
        size_t len = rng_below(&r, sizeof data + 1);
        for (size_t at = 0; at < len; at++)
            data[at] = (uint8_t)rng_below(&r, rng_below(&r, 2) == 0 ? 256 : 4);
        unpack_init(&u, data, len);
        bool same = read_sample(&u);
        assert_true(!same || len == sizeof sample);
        assert_true(u.p <= u.end);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_little_endian_and_strings_follow_their_length),
        cmocka_unit_test(what_was_written_is_read_back),
        cmocka_unit_test(a_part_is_noticed_and_read_as_zeros),
        cmocka_unit_test(bytes_left_over_are_noticed),
        cmocka_unit_test(nothing_at_all_can_be_read),
        cmocka_unit_test(a_full_buffer_is_remembered_until_the_end),
        cmocka_unit_test(strings_beyond_their_bound_are_bad),
        cmocka_unit_test(a_count_is_believed_only_when_all_can_be_there),
        cmocka_unit_test(random_bytes_are_read_without_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
