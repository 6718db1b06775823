/* Two websockets of ours against each other, over pipes in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "tests/support/websocket_pair.h"

#include <stdio.h>
#include <stdlib.h>
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

static void texts_of_each_length_arrive_whole_in_any_chunks(void **state)
{
    struct websocket_pair *b = *state;
    static const size_t lens[] = {0, 1, 125, 126, 127, 4090, 4096, 5000, 65535, 65536, MESSAGE_MAX};
    static const size_t chunks[] = {1, 2, 3, 7, 1000, 4096, 1u << 20};
    char *text = mem_new(MESSAGE_MAX);
    for (size_t i = 0; i < MESSAGE_MAX; i++)
        text[i] = (char)('a' + i % 23);
    for (size_t c = 0; c < COUNT_OF(chunks); c++) {
        for (size_t i = 0; i < COUNT_OF(lens); i++) {
            for (int back = 0; back < 2; back++) {
                struct end *from = back ? &b->server : &b->client;
                struct end *to = back ? &b->client : &b->server;
                from->out->chunk = chunks[c];
                from->out->room = 3 * chunks[c];
                buf_clear(&to->texts);
                assert_int_equal(websocket_send_text(from->ws, text, lens[i]), ERR_NONE);
                assert_int_equal(websocket_send_text(from->ws, "next", 4), ERR_NONE);
                pair_drain(from, to);
                assert_int_equal(to->texts.len, lens[i] + 1 + 5);
                assert_memory_equal(to->texts.data, text, lens[i]);
                assert_memory_equal(to->texts.data + lens[i], "\nnext\n", 6);
            }
        }
    }
    free(text);
}

static void random_traffic_both_ways_keeps_its_order(void **state)
{
    struct websocket_pair *b = *state;
    const char *env = getenv("VOLLEY_SEED");
    struct rng rng;
    uint64_t seed;
    rng_secure(&seed, sizeof seed);
    seed = env != NULL ? strtoull(env, NULL, 0) : seed;
    print_message("seed %llu\n", (unsigned long long)seed);
    rng_init(&rng, seed);
    struct end *ends[] = {&b->client, &b->server};
    struct buf sent[2];
    for (int i = 0; i < 2; i++)
        buf_init(&sent[i], PIPE_MAX);
    b->to_client.room = b->to_server.room = 5000;
    for (int step = 0; step < 4000; step++) {
        size_t who = rng_below(&rng, 2);
        struct end *e = ends[who];
        char text[1500];
        size_t len = rng_below(&rng, sizeof text);
        e->in->chunk = 1 + rng_below(&rng, 3000);
        switch (rng_below(&rng, 4)) {
        case 0:
            memset(text, (int)('a' + step % 26), len);
            if (websocket_send_text(e->ws, text, len) == ERR_NONE) {
                assert_int_equal(buf_add(&sent[who], text, len), ERR_NONE);
                assert_int_equal(buf_add_char(&sent[who], '\n'), ERR_NONE);
            }
            break;
        case 1:
            assert_int_equal(websocket_ping(e->ws), ERR_NONE);
            break;
        case 2:
            assert_true(websocket_flush(e->ws) != ERR_IO);
            break;
        default:
            assert_int_equal(websocket_read(e->ws, 1 + rng_below(&rng, 3000)), ERR_NONE);
        }
    }
    b->to_client.room = b->to_server.room = PIPE_MAX;
    for (int i = 0; i < 4; i++)
        pair_drain(ends[i % 2], ends[1 - i % 2]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ends[1 - i]->texts.len, sent[i].len);
        assert_memory_equal(ends[1 - i]->texts.data, sent[i].data, sent[i].len);
        buf_fini(&sent[i]);
    }
}

static void many_frames_leave_in_one_write(void **state)
{
    struct websocket_pair *b = *state;
    for (int i = 0; i < 100; i++)
        assert_int_equal(websocket_send_text(b->client.ws, "[\"EVENT\",{}]", 12), ERR_NONE);
    assert_int_equal(websocket_queued_len(b->client.ws), 100 * (6 + 12));
    assert_int_equal(websocket_flush(b->client.ws), ERR_NONE);
    assert_int_equal(b->client.writes, 1);
    assert_int_equal(websocket_read(b->server.ws, ALL), ERR_NONE);
    assert_int_equal(b->server.texts_len, 100);
}

static void each_frame_of_a_client_has_a_mask_of_its_own(void **state)
{
    struct websocket_pair *b = *state;
    enum { FRAMES = 200, FRAME = 2 + 4 + 1 };
    for (int i = 0; i < FRAMES; i++)
        assert_int_equal(websocket_send_text(b->client.ws, "x", 1), ERR_NONE);
    assert_int_equal(websocket_flush(b->client.ws), ERR_NONE);
    assert_int_equal(b->to_server.bytes.len, FRAMES * FRAME);
    const uint8_t *d = b->to_server.bytes.data;
    int equal = 0;
    for (size_t i = 0; i < FRAMES; i++) {
        assert_int_equal(d[i * FRAME + 1], 0x81);
        assert_int_equal(d[i * FRAME + 6] ^ d[i * FRAME + 2], 'x');
        for (size_t j = 0; j < i; j++)
            equal += memcmp(d + i * FRAME + 2, d + j * FRAME + 2, 4) == 0;
    }
    assert_true(equal <= 1); /* 20,000 pairs of 32 bits: one such chance in 200,000 */
}

static void a_server_s_frames_are_not_masked(void **state)
{
    struct websocket_pair *b = *state;
    assert_int_equal(websocket_send_text(b->server.ws, "hi", 2), ERR_NONE);
    assert_int_equal(websocket_flush(b->server.ws), ERR_NONE);
    assert_memory_equal(b->to_client.bytes.data, "\x81\x02hi", 4);
    assert_int_equal(b->to_client.bytes.len, 4);
}

static void a_full_queue_refuses_text_and_still_takes_pong_and_close(void **state)
{
    struct websocket_pair *b = *state;
    char text[1000], data[125];
    memset(text, 'x', sizeof text);
    memset(data, 'y', sizeof data);
    b->to_server.room = 0;
    size_t n = 0;
    while (websocket_send_text(b->client.ws, text, sizeof text) == ERR_NONE)
        n++;
    assert_in_range(n, QUEUE_MAX / 1008 - 2, QUEUE_MAX / 1008);
    assert_int_equal(websocket_send_text(b->client.ws, text, sizeof text), ERR_FULL);
    assert_int_equal(websocket_flush(b->client.ws), ERR_AGAIN);
    for (size_t i = 0; i < 1100; i++) /* whatever is left of the room goes in small pieces */
        if (websocket_send_text(b->client.ws, "", 0) != ERR_NONE)
            break;
    assert_int_equal(websocket_ping(b->client.ws), ERR_FULL);
    raw_frame(&b->to_client, false, 0x89, data, sizeof data);
    assert_int_equal(websocket_read(b->client.ws, ALL), ERR_NONE);
    websocket_close(b->client.ws, 1001, "going away");
    assert_true(websocket_queued_len(b->client.ws) <= QUEUE_MAX);
    assert_int_equal(websocket_send_text(b->client.ws, "", 0), ERR_CLOSED);
    b->to_server.room = PIPE_MAX;
    assert_int_equal(websocket_flush(b->client.ws), ERR_CLOSED);
    assert_int_equal(websocket_read(b->server.ws, ALL), ERR_CLOSED);
    assert_int_equal(websocket_close_code(b->server.ws), 1001);
    assert_true(b->server.texts_len >= n);
}

static void a_text_that_no_queue_could_take_is_too_big(void **state)
{
    struct websocket_pair *b = *state;
    char *text = mem_zero(1, QUEUE_MAX);
    assert_int_equal(websocket_send_text(b->client.ws, text, QUEUE_MAX - 262 - 14), ERR_NONE);
    assert_int_equal(websocket_send_text(b->client.ws, text, QUEUE_MAX - 262 - 14), ERR_FULL);
    assert_int_equal(websocket_send_text(b->client.ws, text, QUEUE_MAX - 262 - 13), ERR_TOO_BIG);
    assert_int_equal(websocket_send_text(b->client.ws, text, SIZE_MAX), ERR_TOO_BIG);
    free(text);
}

static void a_closing_is_answered_and_later_texts_still_arrive(void **state)
{
    struct websocket_pair *b = *state;
    assert_int_equal(websocket_send_text(b->server.ws, "late", 4), ERR_NONE);
    websocket_close(b->client.ws, 4321, "enough");
    websocket_close(b->client.ws, 1000, "a second one does nothing");
    assert_int_equal(websocket_flush(b->client.ws), ERR_CLOSED);
    assert_int_equal(websocket_read(b->server.ws, ALL), ERR_CLOSED);
    assert_int_equal(websocket_close_code(b->server.ws), 4321);
    assert_int_equal(websocket_flush(b->server.ws), ERR_CLOSED);
    assert_int_equal(websocket_read(b->client.ws, ALL), ERR_CLOSED);
    assert_string_equal(buf_str(&b->client.texts), "late\n");
    assert_int_equal(websocket_close_code(b->client.ws), 4321);
}

static void a_long_reason_is_cut_between_characters(void **state)
{
    struct websocket_pair *b = *state;
    char reason[301];
    for (size_t i = 0; i < 300; i += 2)
        memcpy(reason + i, "\xc3\xa4", 2);
    reason[300] = '\0';
    websocket_close(b->server.ws, 1008, reason);
    assert_int_equal(websocket_flush(b->server.ws), ERR_CLOSED);
    assert_int_equal(b->to_client.bytes.data[1], 2 + 122);
    assert_int_equal(websocket_read(b->client.ws, ALL), ERR_CLOSED);
    assert_int_equal(websocket_close_code(b->client.ws), 1008);
}

static void on_text_can_stop_the_reading_and_nothing_is_lost(void **state)
{
    struct websocket_pair *b = *state;
    for (int i = 0; i < 300; i++) {
        char text[8];
        int len = snprintf(text, sizeof text, "%d", i);
        assert_int_equal(websocket_send_text(b->client.ws, text, (size_t)len), ERR_NONE);
    }
    assert_int_equal(websocket_flush(b->client.ws), ERR_NONE);
    for (size_t i = 1; i < 300; i++) {
        b->server.stop_after = i;
        assert_int_equal(websocket_read(b->server.ws, ALL), ERR_AGAIN);
        assert_int_equal(b->server.texts_len, i);
        assert_true(websocket_pending(b->server.ws));
    }
    b->server.stop_after = 0;
    assert_int_equal(websocket_read(b->server.ws, ALL), ERR_NONE);
    assert_int_equal(b->server.texts_len, 300);
    assert_false(websocket_pending(b->server.ws));
}

static void a_budget_is_kept_and_what_is_left_is_told(void **state)
{
    struct websocket_pair *b = *state;
    for (int i = 0; i < 10000; i++)
        raw_frame(&b->to_server, true, 0x81, "0123", 4);
    size_t before = b->to_server.bytes.len;
    assert_int_equal(websocket_read(b->server.ws, 5000), ERR_NONE);
    assert_int_equal(before - b->to_server.bytes.len, 5000);
    assert_true(websocket_pending(b->server.ws));
    assert_int_equal(b->server.texts_len, 500);
    while (websocket_pending(b->server.ws))
        assert_int_equal(websocket_read(b->server.ws, 5000), ERR_NONE);
    assert_int_equal(b->server.texts_len, 10000);
}

static void what_came_with_the_handshake_is_read_first(void **state)
{
    struct websocket_pair *b = *state;
    assert_false(websocket_pending(b->client.ws));
    assert_int_equal(websocket_preload(b->client.ws, "\x81\x02hi\x81", 5), ERR_NONE);
    assert_true(websocket_pending(b->client.ws));
    assert_int_equal(buf_add(&b->to_client.bytes, "\x03you", 4), ERR_NONE);
    assert_int_equal(websocket_read(b->client.ws, 2), ERR_NONE);
    assert_true(websocket_pending(b->client.ws));
    assert_int_equal(websocket_read(b->client.ws, ALL), ERR_NONE);
    assert_false(websocket_pending(b->client.ws));
    assert_string_equal(buf_str(&b->client.texts), "hi\nyou\n");
}

static void the_stream_s_end_and_its_errors_are_told(void **state)
{
    struct websocket_pair *b = *state;
    raw_frame(&b->to_server, true, 0x81, "last", 4);
    b->to_server.ended = true;
    assert_int_equal(websocket_read(b->server.ws, ALL), ERR_CLOSED);
    assert_int_equal(websocket_close_code(b->server.ws), 0);
    assert_string_equal(buf_str(&b->server.texts), "last\n");
    assert_int_equal(websocket_queued_len(b->server.ws), 0);
    b->to_client.broken = true;
    assert_int_equal(websocket_read(b->client.ws, ALL), ERR_IO);
    assert_int_equal(websocket_flush(b->server.ws), ERR_NONE); /* nothing to write */
    assert_int_equal(websocket_send_text(b->server.ws, "x", 1), ERR_NONE);
    assert_int_equal(websocket_flush(b->server.ws), ERR_IO);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(texts_of_each_length_arrive_whole_in_any_chunks),
        TEST(random_traffic_both_ways_keeps_its_order),
        TEST(many_frames_leave_in_one_write),
        TEST(each_frame_of_a_client_has_a_mask_of_its_own),
        TEST(a_server_s_frames_are_not_masked),
        TEST(a_full_queue_refuses_text_and_still_takes_pong_and_close),
        TEST(a_text_that_no_queue_could_take_is_too_big),
        TEST(a_closing_is_answered_and_later_texts_still_arrive),
        TEST(a_long_reason_is_cut_between_characters),
        TEST(on_text_can_stop_the_reading_and_nothing_is_lost),
        TEST(a_budget_is_kept_and_what_is_left_is_told),
        TEST(what_came_with_the_handshake_is_read_first),
        TEST(the_stream_s_end_and_its_errors_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
