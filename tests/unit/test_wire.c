/* Every message there and back, cut at every byte, with bytes turned over, and of other versions.
 */
#include "tests/unit/wire_samples.h"

#include "common/base/rng.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- three kinds of messages, one way to look at them */

struct message {
    uint8_t *data;
    size_t len;
};

static enum err get_any(int kind, const void *data, size_t len, struct wire_arena *a)
{
    struct wire_request req;
    struct wire_reply rep;
    struct wire_published pub;
    return kind == 0   ? wire_get_request(data, len, a, &req)
           : kind == 1 ? wire_get_reply(data, len, a, &rep)
                       : wire_get_published(data, len, a, &pub);
}

static const size_t kinds[] = {COUNT_OF(all_requests), COUNT_OF(all_replies), 3};

/* Calls `fn` with each message, in memory of exactly its size, so that a read beyond it is caught.
 */
static void each_message(void (*fn)(int kind, size_t i, const struct message *m))
{
    for (int kind = 0; kind < (int)COUNT_OF(kinds); kind++)
        for (size_t i = 0; i < kinds[kind]; i++) {
            struct buf b;
            buf_init(&b, WIRE_MESSAGE_MAX);
            if (kind == 0)
                assert_int_equal(wire_put_request(&b, &all_requests[i]), ERR_NONE);
            else if (kind == 1)
                assert_int_equal(wire_put_reply(&b, &all_replies[i]), ERR_NONE);
            else
                put_published(&b, i);
            struct message m = {mem_new(b.len), b.len};
            memcpy(m.data, b.data, b.len);
            buf_fini(&b);
            fn(kind, i, &m);
            free(m.data);
        }
}

/* ---- there and back: what was packed again is the same, bytes of it */

static void back_and_forth(int kind, size_t i, const struct message *m)
{
    struct wire_arena a = {0};
    struct wire_request req;
    struct wire_reply rep;
    struct wire_published pub;
    struct buf b;
    buf_init(&b, WIRE_MESSAGE_MAX);
    if (kind == 0) {
        assert_int_equal(wire_get_request(m->data, m->len, &a, &req), ERR_NONE);
        assert_int_equal(req.type, all_requests[i].type);
        assert_int_equal(req.number, all_requests[i].number);
        assert_int_equal(wire_put_request(&b, &req), ERR_NONE);
    } else if (kind == 1) {
        assert_int_equal(wire_get_reply(m->data, m->len, &a, &rep), ERR_NONE);
        assert_int_equal(rep.err, all_replies[i].err);
        assert_int_equal(wire_put_reply(&b, &rep), ERR_NONE);
    } else {
        assert_int_equal(wire_get_published(m->data, m->len, &a, &pub), ERR_NONE);
        assert_int_equal(pub.tails_len, i);
        assert_int_equal(pub.head, 1234);
        assert_int_equal(pub.broker, 0xabcdef);
        put_published(&b, i);
    }
    assert_int_equal(b.len, m->len);
    assert_memory_equal(b.data, m->data, m->len);
    buf_fini(&b);
    wire_arena_free(&a);
}

static void every_message_comes_back_as_it_went(void **state)
{
    (void)state;
    each_message(back_and_forth);
}

/* ---- what must not be believed */

static void cut_everywhere(int kind, size_t i, const struct message *m)
{
    (void)i;
    for (size_t len = 0; len < m->len; len++) {
        struct wire_arena a = {0};
        uint8_t *cut = mem_new(len == 0 ? 1 : len); /* exact, so that a read beyond is caught */
        memcpy(cut, m->data, len);
        assert_int_not_equal(get_any(kind, cut, len, &a), ERR_NONE);
        free(cut);
        wire_arena_free(&a);
    }
}

static void a_message_cut_anywhere_is_refused(void **state)
{
    (void)state;
    each_message(cut_everywhere);
}

static void add_a_byte(int kind, size_t i, const struct message *m)
{
    (void)i;
    struct wire_arena a = {0};
    uint8_t *longer = mem_zero(m->len + 1, 1);
    memcpy(longer, m->data, m->len);
    assert_int_equal(get_any(kind, longer, m->len + 1, &a), ERR_INVALID);
    free(longer);
    wire_arena_free(&a);
}

static void a_message_with_a_byte_too_many_is_refused(void **state)
{
    (void)state;
    each_message(add_a_byte);
}

static void of_other_versions(int kind, size_t i, const struct message *m)
{
    struct wire_arena a = {0};
    static const uint8_t others[] = {WIRE_VERSION - 1, WIRE_VERSION + 1};
    for (size_t k = 0; k < COUNT_OF(others); k++) {
        m->data[kind == 2 ? 1 : 0] = others[k];
        assert_int_equal(get_any(kind, m->data, m->len, &a), ERR_VERSION);
    }
    if (kind == 0) {
        struct wire_request r;
        assert_int_equal(wire_get_request(m->data, m->len, &a, &r), ERR_VERSION);
        assert_int_equal(r.number, all_requests[i].number); /* so that it can be told */
    }
    wire_arena_free(&a);
}

static void another_version_is_told_apart(void **state)
{
    (void)state;
    each_message(of_other_versions);
}

static void a_type_of_the_future_is_unsupported_and_a_reply_is_no_request(void **state)
{
    (void)state;
    struct wire_arena a = {0};
    struct wire_request r;
    uint8_t head[] = {WIRE_VERSION, 0, WIRE_TYPE_END, 7, 0, 0, 0, 0, 0, 0, 0};
    assert_int_equal(wire_get_request(head, sizeof head, &a, &r), ERR_UNSUPPORTED);
    assert_int_equal(r.number, 7);
    head[2] = 0;
    assert_int_equal(wire_get_request(head, sizeof head, &a, &r), ERR_UNSUPPORTED);
    head[2] = WIRE_DEPTH | WIRE_IS_REPLY;
    assert_int_equal(wire_get_request(head, sizeof head, &a, &r), ERR_INVALID);
    head[2] = WIRE_DEPTH;
    assert_int_equal(wire_get_request(head, sizeof head, &a, &r), ERR_NONE);
    wire_arena_free(&a);
}

static void nobody_is_no_publisher(void **state)
{
    (void)state;
    struct wire_arena a = {0};
    struct wire_request r = {.type = WIRE_LEASE};
    struct buf b;
    buf_init(&b, WIRE_MESSAGE_MAX);
    assert_int_equal(wire_put_request(&b, &r), ERR_NONE);
    assert_int_equal(wire_get_request(b.data, b.len, &a, &r), ERR_INVALID);
    buf_fini(&b);
    wire_arena_free(&a);
}

static void a_message_beyond_the_buffers_maximum_is_not_made(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    assert_int_equal(wire_put_request(&b, &all_requests[4]), ERR_TOO_BIG);
    buf_fini(&b);
}

/* Each byte once, all its bits turned over: in bounds, and what is still taken can be packed. */
static void turn_each_byte_over(int kind, size_t i, const struct message *m)
{
    (void)i;
    for (size_t at = 0; at < m->len; at++) {
        struct wire_arena a = {0};
        uint8_t *copy = mem_new(m->len);
        memcpy(copy, m->data, m->len);
        copy[at] ^= 0xff;
        (void)get_any(kind, copy, m->len, &a);
        free(copy);
        wire_arena_free(&a);
    }
}

static void each_byte_may_be_wrong(void **state)
{
    (void)state;
    each_message(turn_each_byte_over);
}

static struct rng dice;

static void turn_bytes_over(int kind, size_t i, const struct message *m)
{
    (void)i;
    for (int n = 0; n < 300; n++) {
        struct wire_arena a = {0};
        uint8_t *copy = mem_new(m->len);
        memcpy(copy, m->data, m->len);
        for (uint64_t k = 1 + rng_below(&dice, 3); k > 0; k--)
            copy[rng_below(&dice, m->len)] = (uint8_t)rng_next(&dice);
        (void)get_any(kind, copy, m->len, &a); /* must only come back, in bounds */
        free(copy);
        wire_arena_free(&a);
    }
}

static void damaged_messages_do_no_harm(void **state)
{
    (void)state;
    const char *text = getenv("VOLLEY_SEED");
    uint64_t s;
    rng_secure(&s, sizeof s);
    if (text != NULL)
        s = strtoull(text, NULL, 10);
    print_message("VOLLEY_SEED=%llu\n", (unsigned long long)s);
    rng_init(&dice, s);
    each_message(turn_bytes_over);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_comes_back_as_it_went),
        cmocka_unit_test(a_message_cut_anywhere_is_refused),
        cmocka_unit_test(a_message_with_a_byte_too_many_is_refused),
        cmocka_unit_test(another_version_is_told_apart),
        cmocka_unit_test(a_type_of_the_future_is_unsupported_and_a_reply_is_no_request),
        cmocka_unit_test(nobody_is_no_publisher),
        cmocka_unit_test(a_message_beyond_the_buffers_maximum_is_not_made),
        cmocka_unit_test(each_byte_may_be_wrong),
        cmocka_unit_test(damaged_messages_do_no_harm),
    };
    return cmocka_run_group_tests(tests, fill, empty);
}
