/* Our websocket against frames made by hand, as a hostile peer would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "tests/support/websocket_pair.h"

#include <string.h>

static int setup(void **state)
{
    *state = websocket_pair_new();
    return 0;
}

static int teardown(void **state)
{
    websocket_pair_free(*state);
    return 0;
}

static void control_frames_between_fragments_are_answered(void **state)
{
    struct websocket_pair *b = *state;
    for (size_t chunk = 1; chunk < 20; chunk += 3) {
        b->to_server.chunk = chunk;
        buf_clear(&b->server.texts);
        buf_clear(&b->to_client.bytes);
        raw_frame(&b->to_server, true, 0x01, "Gr\xc3", 3); /* a character cut by a fragment */
        raw_frame(&b->to_server, true, 0x89, "one", 3);
        raw_frame(&b->to_server, true, 0x00, "", 0);
        raw_frame(&b->to_server, true, 0x8a, "nobody asked", 12);
        raw_frame(&b->to_server, true, 0x00, "\xbc\xc3", 2);
        raw_frame(&b->to_server, true, 0x89, "", 0);
        raw_frame(&b->to_server, true, 0x80,
                  "\x9f"
                  "e",
                  2);
        assert_int_equal(websocket_read(b->server.ws, ALL), ERR_NONE);
        assert_string_equal(buf_str(&b->server.texts), "Gr\xc3\xbc\xc3\x9f"
                                                       "e\n");
        assert_int_equal(websocket_flush(b->server.ws), ERR_NONE);
        assert_int_equal(b->to_client.bytes.len, 7);
        assert_memory_equal(b->to_client.bytes.data, "\x8a\x03one\x8a\x00", 7);
    }
}

/* One frame, or bytes, that end the connection. */
static const struct {
    const char *what;
    const char *bytes; /* behind a masked (server) or unmasked (client) header */
    size_t len;
    enum websocket_role reader;
    enum err err;
    int code; /* of our close frame */
} bad[] = {
#define TO_SERVER(what, bytes, err, code)                                                          \
    {                                                                                              \
        what, bytes, sizeof bytes - 1, WEBSOCKET_SERVER, err, code                                 \
    }
#define TO_CLIENT(what, bytes, err, code)                                                          \
    {                                                                                              \
        what, bytes, sizeof bytes - 1, WEBSOCKET_CLIENT, err, code                                 \
    }
    TO_SERVER("not masked", "\x81\x02hi", ERR_PROTOCOL, 1002),
    TO_CLIENT("masked", "\x81\x82\0\0\0\0hi", ERR_PROTOCOL, 1002),
    TO_CLIENT("RSV1", "\xc1\x02hi", ERR_PROTOCOL, 1002),
    TO_CLIENT("RSV2", "\xa1\x02hi", ERR_PROTOCOL, 1002),
    TO_CLIENT("RSV3", "\x91\x02hi", ERR_PROTOCOL, 1002),
    TO_SERVER("RSV1 on a ping", "\xc9\x80\0\0\0\0", ERR_PROTOCOL, 1002),
    TO_CLIENT("unknown opcode 3", "\x83\x00", ERR_PROTOCOL, 1002),
    TO_CLIENT("unknown opcode 7", "\x87\x01x", ERR_PROTOCOL, 1002),
    TO_CLIENT("unknown control opcode 11", "\x8b\x00", ERR_PROTOCOL, 1002),
    TO_CLIENT("unknown control opcode 15", "\x8f\x00", ERR_PROTOCOL, 1002),
    TO_CLIENT("a binary frame", "\x82\x01x", ERR_PROTOCOL, 1003),
    TO_CLIENT("a fragmented ping", "\x09\x01x", ERR_PROTOCOL, 1002),
    TO_CLIENT("a ping of 126 bytes", "\x89\x7e\x00\x7e", ERR_PROTOCOL, 1002),
    TO_CLIENT("a continuation of nothing", "\x80\x01x", ERR_PROTOCOL, 1002),
    TO_CLIENT("a text inside a text", "\x01\x01x\x81\x01x", ERR_PROTOCOL, 1002),
    TO_CLIENT("a length not minimal", "\x81\x7e\x00\x05hello", ERR_PROTOCOL, 1002),
    TO_CLIENT("a long length not minimal", "\x81\x7f\0\0\0\0\0\0\0\x05hello", ERR_PROTOCOL, 1002),
    TO_CLIENT("a length with the top bit", "\x81\x7f\x80\0\0\0\0\0\0\x05hello", ERR_PROTOCOL, 1002),
    TO_CLIENT("UTF-8: a byte alone", "\x81\x01\x80", ERR_PROTOCOL, 1007),
    TO_CLIENT("UTF-8: overlong", "\x81\x02\xc0\xaf", ERR_PROTOCOL, 1007),
    TO_CLIENT("UTF-8: a surrogate", "\x81\x03\xed\xa0\x80", ERR_PROTOCOL, 1007),
    TO_CLIENT("UTF-8: cut off",
              "\x81\x0a"
              "12345678\xe2\x82",
              ERR_PROTOCOL, 1007),
    TO_CLIENT("UTF-8: cut off over fragments", "\x01\x01\xe2\x80\x01\x82", ERR_PROTOCOL, 1007),
    TO_CLIENT("larger than allowed", "\x81\x7f\0\0\0\0\0\x01\x86\xa1x", ERR_TOO_BIG, 1009),
    TO_CLIENT("2^62 bytes", "\x81\x7f\x40\0\0\0\0\0\0\0x", ERR_TOO_BIG, 1009),
    TO_CLIENT("larger in the second fragment", "\x01\x01x\x80\x7f\0\0\0\0\0\x01\x86\xa0x",
              ERR_TOO_BIG, 1009),
    TO_CLIENT("close", "\x88\x02\x03\xe8", ERR_CLOSED, 1000),
    TO_CLIENT("close with a reason", "\x88\x06\x0f\xa0sp\xc3\xa4", ERR_CLOSED, 4000),
    TO_CLIENT("close without a code", "\x88\x00", ERR_CLOSED, 1005),
    TO_CLIENT("close with half a code", "\x88\x01\x03", ERR_PROTOCOL, 1002),
    TO_CLIENT("close 999", "\x88\x02\x03\xe7", ERR_PROTOCOL, 1002),
    TO_CLIENT("close 1004", "\x88\x02\x03\xec", ERR_PROTOCOL, 1002),
    TO_CLIENT("close 1005", "\x88\x02\x03\xed", ERR_PROTOCOL, 1002),
    TO_CLIENT("close 1006", "\x88\x02\x03\xee", ERR_PROTOCOL, 1002),
    TO_CLIENT("close 1015", "\x88\x02\x03\xf7", ERR_PROTOCOL, 1002),
    TO_CLIENT("close 2999", "\x88\x02\x0b\xb7", ERR_PROTOCOL, 1002),
    TO_CLIENT("close 3000", "\x88\x02\x0b\xb8", ERR_CLOSED, 3000),
    TO_CLIENT("close 5000", "\x88\x02\x13\x88", ERR_PROTOCOL, 1002),
    TO_CLIENT("close with a reason that is not UTF-8", "\x88\x03\x03\xe8\xff", ERR_PROTOCOL, 1007),
};

static void what_breaks_the_rules_is_closed_with_the_right_code(void **state)
{
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        for (size_t chunk = 1; chunk < 2000; chunk += 1999 / 2) {
            struct websocket_pair *b;
            setup((void **)&b);
            bool to_server = bad[i].reader == WEBSOCKET_SERVER;
            struct end *e = to_server ? &b->server : &b->client;
            e->in->chunk = chunk;
            assert_int_equal(buf_add(&e->in->bytes, bad[i].bytes, bad[i].len), ERR_NONE);
            raw_frame(e->in, to_server, 0x81, "ignored", 7);
            enum err first = websocket_read(e->ws, ALL), second = websocket_read(e->ws, ALL);
            enum err flushed = websocket_flush(e->ws);
            int code = close_code_in(e->out, !to_server);
            if (first != bad[i].err || second != first || flushed != ERR_CLOSED ||
                code != bad[i].code || e->texts_len != 0 || websocket_pending(e->ws))
                fail_msg("%s: %s, then %s, close %d", bad[i].what, err_name(first),
                         err_name(second), code);
            assert_int_equal(websocket_close_code(e->ws),
                             bad[i].err == ERR_CLOSED ? bad[i].code : 0);
            assert_int_equal(websocket_send_text(e->ws, "x", 1), ERR_CLOSED);
            teardown((void **)&b);
        }
    }
    (void)state;
}

static void fragments_without_end_pass_no_limit(void **state)
{
    struct websocket_pair *b = *state;
    raw_frame(&b->to_server, true, 0x01, "x", 1);
    for (size_t i = 0; i < MESSAGE_MAX - 1; i++)
        raw_frame(&b->to_server, true, 0x00, "x", 1);
    for (size_t i = 0; i < 1000; i++)
        raw_frame(&b->to_server, true, 0x00, "", 0);
    assert_int_equal(websocket_read(b->server.ws, ALL), ERR_NONE);
    assert_int_equal(b->server.texts_len, 0);
    raw_frame(&b->to_server, true, 0x00, "x", 1);
    assert_int_equal(websocket_read(b->server.ws, ALL), ERR_TOO_BIG);
    assert_int_equal(websocket_flush(b->server.ws), ERR_CLOSED);
    assert_int_equal(close_code_in(&b->to_client, false), 1009);
}

static void a_flood_of_pings_queues_no_more_than_allowed(void **state)
{
    struct websocket_pair *b = *state;
    char data[125];
    b->to_client.room = 0; /* it does not read our pongs */
    for (int i = 0; i < 20000; i++) {
        memset(data, 'a' + i % 26, sizeof data);
        raw_frame(&b->to_server, true, 0x89, data, sizeof data);
        assert_int_equal(websocket_read(b->server.ws, ALL), ERR_NONE);
        assert_true(websocket_queued_len(b->server.ws) <= QUEUE_MAX);
    }
    assert_true(websocket_queued_len(b->server.ws) > QUEUE_MAX - 3 * 131);
    assert_int_equal(websocket_send_text(b->server.ws, "x", 1), ERR_FULL);
    b->to_client.room = PIPE_MAX;
    assert_int_equal(websocket_flush(b->server.ws), ERR_NONE);
    /* The last pong answers the newest ping. */
    assert_memory_equal(b->to_client.bytes.data + b->to_client.bytes.len - sizeof data, data,
                        sizeof data);
}

static void garbage_ends_in_an_error_and_never_in_a_crash(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 7);
    for (int round = 0; round < 2000; round++) {
        struct websocket_pair *b;
        setup((void **)&b);
        struct end *e = round % 2 ? &b->server : &b->client;
        uint8_t bytes[400];
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)rng_next(&rng);
        if (round % 3 == 0)
            bytes[0] = 0x81;
        assert_int_equal(buf_add(&e->in->bytes, bytes, sizeof bytes), ERR_NONE);
        e->in->ended = true;
        enum err err = websocket_read(e->ws, ALL);
        assert_true(err == ERR_PROTOCOL || err == ERR_TOO_BIG || err == ERR_CLOSED);
        assert_true(websocket_flush(e->ws) ==
                    (err == ERR_CLOSED && e->out->bytes.len == 0 ? ERR_NONE : ERR_CLOSED));
        teardown((void **)&b);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(control_frames_between_fragments_are_answered),
        TEST(what_breaks_the_rules_is_closed_with_the_right_code),
        TEST(fragments_without_end_pass_no_limit),
        TEST(a_flood_of_pings_queues_no_more_than_allowed),
        cmocka_unit_test(garbage_ends_in_an_error_and_never_in_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
