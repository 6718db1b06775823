/* Anything at all as the answer to a websocket handshake. It must never be read beyond its end, and
 * the verdict on a prefix must not contradict the verdict on the whole. */
#include "common/net/handshake.h"

#include <stdlib.h>
#include <string.h>

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static enum err judge(const uint8_t *data, size_t len, struct handshake_answer *a)
{
    struct problem p = {""};
    char *exact = mem_new(len);
    if (len > 0)
        memcpy(exact, data, len);
    enum err e = handshake_answer(exact, len, KEY, a, &p);
    free(exact);
    bool failed = e != ERR_NONE && e != ERR_AGAIN;
    if (failed != (p.text[0] != '\0'))
        die("%s without words, or words without an error", err_name(e));
    for (const char *c = p.text; *c != '\0'; c++)
        if ((unsigned char)*c < ' ')
            die("a control character in the words");
    return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct handshake_answer whole, part;
    enum err e = judge(data, len, &whole);
    if ((e == ERR_NONE || e == ERR_HTTP) != (whole.len > 0) && e != ERR_PROTOCOL)
        die("%s with an answer of %zu bytes", err_name(e), whole.len);
    if (whole.len > len || whole.len > HANDSHAKE_ANSWER_MAX || whole.retry_after_ms > 86400000)
        die("out of bounds");
    size_t cut = len > 0 ? data[len - 1] % len : 0;
    enum err before = judge(data, cut, &part);
    if (before != ERR_AGAIN && before != e)
        die("%s became %s with more bytes", err_name(before), err_name(e));
    if (whole.len > 0 && cut < whole.len && before != ERR_AGAIN)
        die("%s before the answer was whole", err_name(before));
    return 0;
}
