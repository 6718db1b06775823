/* Anything at all as a request, a reply or a published message. What is taken must come back the
 * same when it is packed and read once more. The first byte chooses. */
#include "queue/wire.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_request(const uint8_t *data, size_t len, struct wire_arena *a)
{
    struct wire_request r;
    struct buf b;
    if (wire_get_request(data, len, a, &r) != ERR_NONE)
        return;
    buf_init(&b, WIRE_MESSAGE_MAX);
    if (wire_put_request(&b, &r) != ERR_NONE || b.len != len || memcmp(b.data, data, len) != 0)
        die("a request of %zu bytes came back as %zu others", len, b.len);
    buf_fini(&b);
}

static void check_reply(const uint8_t *data, size_t len, struct wire_arena *a)
{
    struct wire_reply r, again;
    struct buf b;
    if (wire_get_reply(data, len, a, &r) != ERR_NONE)
        return;
    buf_init(&b, WIRE_MESSAGE_MAX);
    /* Events come back in canonical form, so the length may differ from what was sent. */
    if (wire_put_reply(&b, &r) != ERR_NONE || wire_get_reply(b.data, b.len, a, &again) != ERR_NONE)
        die("a reply of %zu bytes can't be read a second time", len);
    buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct wire_arena a = {0};
    struct wire_published p;
    if (len == 0)
        return 0;
    if (data[0] % 3 == 0)
        check_request(data + 1, len - 1, &a);
    else if (data[0] % 3 == 1)
        check_reply(data + 1, len - 1, &a);
    else
        (void)wire_get_published(data + 1, len - 1, &a, &p);
    wire_arena_free(&a);
    return 0;
}
