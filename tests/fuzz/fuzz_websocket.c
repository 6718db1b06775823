/* Anything at all as what a peer sends. The first byte chooses role, chunks and budgets; the rest
 * is the stream. What is handed out is UTF-8 and within the limit, what is queued within the other,
 * and however the stream is cut, the same texts come out. */
#include "common/base/utf8.h"
#include "common/net/websocket.h"

#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX 2000u
#define QUEUE_MAX   3000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct peer {
    const uint8_t *data;
    size_t len, chunk;
    bool takes;      /* reads what we send */
    uint64_t digest; /* of all texts and where they ended */
    size_t texts_len, stop_each;
};

static ssize_t to_peer(void *arg, const uint8_t *data, size_t len)
{
    struct peer *p = arg;
    (void)data;
    return p->takes ? (ssize_t)(len < p->chunk ? len : p->chunk) : 0;
}

static ssize_t from_peer(void *arg, uint8_t *out, size_t len)
{
    struct peer *p = arg;
    size_t n = len < p->chunk ? len : p->chunk;
    n = n < p->len ? n : p->len;
    if (n == 0)
        return -2;
    memcpy(out, p->data, n);
    p->data += n;
    p->len -= n;
    return (ssize_t)n;
}

static bool on_text(void *arg, const char *text, size_t len)
{
    struct peer *p = arg;
    if (len > MESSAGE_MAX)
        die("a text of %zu bytes", len);
    for (size_t i = 0; i < len;) {
        size_t n = utf8_len(text + i, text + len);
        if (n == 0)
            die("a text that is not UTF-8");
        i += n;
    }
    for (size_t i = 0; i < len; i++)
        p->digest = (p->digest ^ (uint8_t)text[i]) * 1099511628211u;
    p->digest = (p->digest ^ 256) * 1099511628211u;
    p->texts_len++;
    return p->stop_each == 0 || p->texts_len % p->stop_each != 0;
}

static enum err play(struct peer *p, enum websocket_role role, size_t budget, uint16_t *code)
{
    struct websocket_io io = {to_peer, from_peer, on_text, p};
    struct websocket_limits limits = {MESSAGE_MAX, QUEUE_MAX};
    struct websocket *ws = websocket_new(role, &io, &limits);
    enum err e = ERR_NONE;
    while (e == ERR_NONE || e == ERR_AGAIN) {
        e = websocket_read(ws, budget);
        if (websocket_queued_len(ws) > QUEUE_MAX)
            die("%zu bytes are queued", websocket_queued_len(ws));
        (void)!websocket_flush(ws);
    }
    if (websocket_read(ws, budget) != e)
        die("the end was not final");
    *code = websocket_close_code(ws);
    websocket_free(ws);
    return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    enum websocket_role role = data[0] & 1 ? WEBSOCKET_CLIENT : WEBSOCKET_SERVER;
    struct peer whole = {.data = data + 1, .len = len - 1, .chunk = SIZE_MAX, .takes = true};
    struct peer cut = {.data = data + 1,
                       .len = len - 1,
                       .chunk = 1u + (data[0] >> 5),
                       .takes = data[0] & 2,
                       .stop_each = data[0] & 4 ? 1 : 0};
    uint16_t whole_code, cut_code;
    enum err a = play(&whole, role, SIZE_MAX, &whole_code);
    enum err b = play(&cut, role, data[0] & 8 ? 3 : 5000, &cut_code);
    if (a != b || whole.digest != cut.digest || whole_code != cut_code)
        die("cut to pieces: %s and %zu texts, not %s and %zu", err_name(b), cut.texts_len,
            err_name(a), whole.texts_len);
    return 0;
}
