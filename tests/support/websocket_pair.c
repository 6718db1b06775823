#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/websocket_pair.h"

#include <stdlib.h>
#include <string.h>

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

static void end_init(struct end *e, enum websocket_role role, struct pipe_end *in,
                     struct pipe_end *out)
{
    struct websocket_io io = {pipe_send, pipe_recv, on_text, e};
    struct websocket_limits limits = {MESSAGE_MAX, QUEUE_MAX};
    *e = (struct end){.in = in, .out = out};
    buf_init(&e->texts, PIPE_MAX);
    e->ws = websocket_new(role, &io, &limits);
}

struct websocket_pair *websocket_pair_new(void)
{
    struct websocket_pair *b = mem_zero(1, sizeof *b);
    pipe_init(&b->to_server);
    pipe_init(&b->to_client);
    end_init(&b->server, WEBSOCKET_SERVER, &b->to_server, &b->to_client);
    end_init(&b->client, WEBSOCKET_CLIENT, &b->to_client, &b->to_server);
    return b;
}

void websocket_pair_free(struct websocket_pair *b)
{
    websocket_free(b->server.ws);
    websocket_free(b->client.ws);
    buf_fini(&b->server.texts);
    buf_fini(&b->client.texts);
    buf_fini(&b->to_server.bytes);
    buf_fini(&b->to_client.bytes);
    free(b);
}

void raw_frame(struct pipe_end *p, bool masked, uint8_t first, const void *data, size_t len)
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

int close_code_in(const struct pipe_end *p, bool masked)
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

void pair_drain(struct end *from, struct end *to)
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
