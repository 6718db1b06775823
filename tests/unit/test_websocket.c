/* Websockets over pipes in memory: two of ours against each other, and ours against frames made by
 * hand, as a hostile peer would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "common/net/websocket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIPE_MAX    (8u << 20)
#define MESSAGE_MAX 100000u
#define QUEUE_MAX   300000u
#define ALL         ((size_t)1 << 30)

/* One direction. `chunk` is the most that moves in a call, `room` the most it holds. */
struct pipe_end {
    struct buf bytes;
    size_t chunk, room;
    bool ended, broken;
};

struct end {
    struct websocket *ws;
    struct pipe_end *in, *out;
    struct buf texts; /* what came, each followed by '\n' */
    size_t texts_len, writes, stop_after;
};

static void pipe_init(struct pipe_end *p)
{
    *p = (struct pipe_end){.chunk = ALL, .room = PIPE_MAX};
    buf_init(&p->bytes, PIPE_MAX);
}

static ssize_t pipe_send(void *arg, const uint8_t *data, size_t len)
{
    struct end *e = arg;
    struct pipe_end *p = e->out;
    if (p->broken)
        return -1;
    e->writes++;
    size_t free_len = p->room - p->bytes.len;
    size_t n = len < p->chunk ? len : p->chunk;
    n = n < free_len ? n : free_len;
    assert_int_equal(buf_add(&p->bytes, data, n), ERR_NONE);
    return (ssize_t)n;
}

static ssize_t pipe_recv(void *arg, uint8_t *data, size_t len)
{
    struct pipe_end *p = ((struct end *)arg)->in;
    if (p->broken)
        return -1;
    size_t n = len < p->chunk ? len : p->chunk;
    n = n < p->bytes.len ? n : p->bytes.len;
    if (n == 0)
        return p->ended ? -2 : 0;
    memcpy(data, p->bytes.data, n);
    buf_drop(&p->bytes, n);
    return (ssize_t)n;
}

static bool on_text(void *arg, const char *text, size_t len)
{
    struct end *e = arg;
    assert_int_equal(buf_add(&e->texts, text, len), ERR_NONE);
    assert_int_equal(buf_add_char(&e->texts, '\n'), ERR_NONE);
    e->texts_len++;
    return e->stop_after == 0 || e->texts_len < e->stop_after;
}

struct both {
    struct pipe_end to_server, to_client;
    struct end server, client;
};

static void end_init(struct end *e, enum websocket_role role, struct pipe_end *in,
                     struct pipe_end *out)
{
    struct websocket_io io = {pipe_send, pipe_recv, on_text, e};
    struct websocket_limits limits = {MESSAGE_MAX, QUEUE_MAX};
    *e = (struct end){.in = in, .out = out};
    buf_init(&e->texts, PIPE_MAX);
    e->ws = websocket_new(role, &io, &limits);
}

static int setup(void **state)
{
    struct both *b = mem_zero(1, sizeof *b);
    pipe_init(&b->to_server);
    pipe_init(&b->to_client);
    end_init(&b->server, WEBSOCKET_SERVER, &b->to_server, &b->to_client);
    end_init(&b->client, WEBSOCKET_CLIENT, &b->to_client, &b->to_server);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct both *b = *state;
    websocket_free(b->server.ws);
    websocket_free(b->client.ws);
    buf_fini(&b->server.texts);
    buf_fini(&b->client.texts);
    buf_fini(&b->to_server.bytes);
    buf_fini(&b->to_client.bytes);
    free(b);
    return 0;
}

/* A frame by hand; masked with zeros when it goes to a server, so that its payload stays legible.
 */
static void raw(struct pipe_end *p, bool masked, uint8_t first, const void *data, size_t len)
{
    uint8_t head[14] = {first};
    size_t n = 2;
    uint8_t mask_bit = masked ? 0x80 : 0;
    if (len < 126) {
        head[1] = (uint8_t)(mask_bit | len);
    } else if (len < 65536) {
        head[1] = mask_bit | 126;
        head[2] = (uint8_t)(len >> 8);
        head[3] = (uint8_t)len;
        n = 4;
    } else {
        head[1] = mask_bit | 127;
        for (size_t i = 0; i < 8; i++)
            head[2 + i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
        n = 10;
    }
    assert_int_equal(buf_add(&p->bytes, head, n + (masked ? 4 : 0)), ERR_NONE);
    assert_int_equal(buf_add(&p->bytes, data, len), ERR_NONE);
}

/* The code of the close frame at the end of what was sent, 0 when there is none. A client masks. */
static int close_code_in(const struct pipe_end *p, bool masked)
{
    const uint8_t *d = p->bytes.data;
    size_t head = masked ? 6 : 2, code = 0;
    for (size_t i = 0; i + head <= p->bytes.len; i += head + (d[i + 1] & 0x7f)) {
        size_t len = d[i + 1] & 0x7f;
        assert_true(len < 126);
        assert_int_equal(d[i + 1] >> 7, masked);
        if ((d[i] & 15) == 8)
            code = len < 2 ? 1005
                           : (size_t)((d[i + head] ^ (masked ? d[i + 2] : 0)) << 8 |
                                      (d[i + head + 1] ^ (masked ? d[i + 3] : 0)));
    }
    return (int)code;
}

static void drain(struct end *from, struct end *to)
{
    enum err e = ERR_AGAIN;
    while (e == ERR_AGAIN) {
        e = websocket_flush(from->ws);
        assert_true(e == ERR_NONE || e == ERR_AGAIN || e == ERR_CLOSED);
        enum err r = ERR_NONE;
        do
            r = websocket_read(to->ws, 1000);
        while (r == ERR_NONE && websocket_pending(to->ws));
        assert_true(r == ERR_NONE || r == ERR_CLOSED);
    }
}

static void texts_of_each_length_arrive_whole_in_any_chunks(void **state)
{
    struct both *b = *state;
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
                drain(from, to);
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
    struct both *b = *state;
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
        drain(ends[i % 2], ends[1 - i % 2]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ends[1 - i]->texts.len, sent[i].len);
        assert_memory_equal(ends[1 - i]->texts.data, sent[i].data, sent[i].len);
        buf_fini(&sent[i]);
    }
}

static void many_frames_leave_in_one_write(void **state)
{
    struct both *b = *state;
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
    struct both *b = *state;
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
    struct both *b = *state;
    assert_int_equal(websocket_send_text(b->server.ws, "hi", 2), ERR_NONE);
    assert_int_equal(websocket_flush(b->server.ws), ERR_NONE);
    assert_memory_equal(b->to_client.bytes.data, "\x81\x02hi", 4);
    assert_int_equal(b->to_client.bytes.len, 4);
}

static void control_frames_between_fragments_are_answered(void **state)
{
    struct both *b = *state;
    for (size_t chunk = 1; chunk < 20; chunk += 3) {
        b->to_server.chunk = chunk;
        buf_clear(&b->server.texts);
        buf_clear(&b->to_client.bytes);
        raw(&b->to_server, true, 0x01, "Gr\xc3", 3); /* a character cut by a fragment */
        raw(&b->to_server, true, 0x89, "one", 3);
        raw(&b->to_server, true, 0x00, "", 0);
        raw(&b->to_server, true, 0x8a, "nobody asked", 12);
        raw(&b->to_server, true, 0x00, "\xbc\xc3", 2);
        raw(&b->to_server, true, 0x89, "", 0);
        raw(&b->to_server, true, 0x80,
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
            struct both *b;
            setup((void **)&b);
            bool to_server = bad[i].reader == WEBSOCKET_SERVER;
            struct end *e = to_server ? &b->server : &b->client;
            e->in->chunk = chunk;
            assert_int_equal(buf_add(&e->in->bytes, bad[i].bytes, bad[i].len), ERR_NONE);
            raw(e->in, to_server, 0x81, "ignored", 7);
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
    struct both *b = *state;
    raw(&b->to_server, true, 0x01, "x", 1);
    for (size_t i = 0; i < MESSAGE_MAX - 1; i++)
        raw(&b->to_server, true, 0x00, "x", 1);
    for (size_t i = 0; i < 1000; i++)
        raw(&b->to_server, true, 0x00, "", 0);
    assert_int_equal(websocket_read(b->server.ws, ALL), ERR_NONE);
    assert_int_equal(b->server.texts_len, 0);
    raw(&b->to_server, true, 0x00, "x", 1);
    assert_int_equal(websocket_read(b->server.ws, ALL), ERR_TOO_BIG);
    assert_int_equal(websocket_flush(b->server.ws), ERR_CLOSED);
    assert_int_equal(close_code_in(&b->to_client, false), 1009);
}

static void a_flood_of_pings_queues_no_more_than_allowed(void **state)
{
    struct both *b = *state;
    char data[125];
    b->to_client.room = 0; /* it does not read our pongs */
    for (int i = 0; i < 20000; i++) {
        memset(data, 'a' + i % 26, sizeof data);
        raw(&b->to_server, true, 0x89, data, sizeof data);
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

static void a_full_queue_refuses_text_and_still_takes_pong_and_close(void **state)
{
    struct both *b = *state;
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
    raw(&b->to_client, false, 0x89, data, sizeof data);
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
    struct both *b = *state;
    char *text = mem_zero(1, QUEUE_MAX);
    assert_int_equal(websocket_send_text(b->client.ws, text, QUEUE_MAX - 262 - 14), ERR_NONE);
    assert_int_equal(websocket_send_text(b->client.ws, text, QUEUE_MAX - 262 - 14), ERR_FULL);
    assert_int_equal(websocket_send_text(b->client.ws, text, QUEUE_MAX - 262 - 13), ERR_TOO_BIG);
    assert_int_equal(websocket_send_text(b->client.ws, text, SIZE_MAX), ERR_TOO_BIG);
    free(text);
}

static void a_closing_is_answered_and_later_texts_still_arrive(void **state)
{
    struct both *b = *state;
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
    struct both *b = *state;
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
    struct both *b = *state;
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
    struct both *b = *state;
    for (int i = 0; i < 10000; i++)
        raw(&b->to_server, true, 0x81, "0123", 4);
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
    struct both *b = *state;
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
    struct both *b = *state;
    raw(&b->to_server, true, 0x81, "last", 4);
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

static void garbage_ends_in_an_error_and_never_in_a_crash(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 7);
    for (int round = 0; round < 2000; round++) {
        struct both *b;
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
        TEST(texts_of_each_length_arrive_whole_in_any_chunks),
        TEST(random_traffic_both_ways_keeps_its_order),
        TEST(many_frames_leave_in_one_write),
        TEST(each_frame_of_a_client_has_a_mask_of_its_own),
        TEST(a_server_s_frames_are_not_masked),
        TEST(control_frames_between_fragments_are_answered),
        TEST(what_breaks_the_rules_is_closed_with_the_right_code),
        TEST(fragments_without_end_pass_no_limit),
        TEST(a_flood_of_pings_queues_no_more_than_allowed),
        TEST(a_full_queue_refuses_text_and_still_takes_pong_and_close),
        TEST(a_text_that_no_queue_could_take_is_too_big),
        TEST(a_closing_is_answered_and_later_texts_still_arrive),
        TEST(a_long_reason_is_cut_between_characters),
        TEST(on_text_can_stop_the_reading_and_nothing_is_lost),
        TEST(a_budget_is_kept_and_what_is_left_is_told),
        TEST(what_came_with_the_handshake_is_read_first),
        TEST(the_stream_s_end_and_its_errors_are_told),
        cmocka_unit_test(garbage_ends_in_an_error_and_never_in_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
