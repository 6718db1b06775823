/* Building. A message that does not fit is taken back whole, so that a buffer never holds half of
 * one. */
#include "common/base/hex.h"
#include "common/nostr/message.h"

#include <string.h>

/* The buffer, where the message starts in it, and the first error. */
struct writer {
    struct buf *out;
    size_t start;
    enum err err;
};

static struct writer begin(struct buf *out)
{
    return (struct writer){.out = out, .start = out->len};
}

static void add(struct writer *w, const char *text, size_t len)
{
    if (w->err == ERR_NONE)
        w->err = buf_add(w->out, text, len);
}

static void add_str(struct writer *w, const char *text)
{
    add(w, text, strlen(text));
}

/* A raw string: it was escaped when it came in. */
static void add_raw(struct writer *w, struct json_span raw)
{
    add_str(w, "\"");
    add(w, raw.p, raw.len);
    add_str(w, "\"");
}

static void add_text(struct writer *w, const char *text)
{
    if (w->err == ERR_NONE)
        w->err = json_put_string(w->out, text, strlen(text));
}

static enum err end(struct writer *w)
{
    add_str(w, "]");
    if (w->err != ERR_NONE)
        w->out->len = w->start;
    return w->err;
}

enum err message_put_ok(struct buf *out, struct json_span id_raw, bool accepted, const char *text)
{
    struct writer w = begin(out);
    add_str(&w, "[\"OK\",");
    add_raw(&w, id_raw);
    add_str(&w, accepted ? ",true," : ",false,");
    add_text(&w, text);
    return end(&w);
}

enum err message_put_ok_id(struct buf *out, const uint8_t id[32], bool accepted, const char *text)
{
    char hex[64];
    hex_put(hex, id, 32);
    return message_put_ok(out, (struct json_span){hex, sizeof hex}, accepted, text);
}

enum err message_put_notice(struct buf *out, const char *text)
{
    struct writer w = begin(out);
    add_str(&w, "[\"NOTICE\",");
    add_text(&w, text);
    return end(&w);
}

enum err message_put_eose(struct buf *out, struct json_span sub_raw)
{
    struct writer w = begin(out);
    add_str(&w, "[\"EOSE\",");
    add_raw(&w, sub_raw);
    return end(&w);
}

enum err message_put_closed(struct buf *out, struct json_span sub_raw, const char *text)
{
    struct writer w = begin(out);
    add_str(&w, "[\"CLOSED\",");
    add_raw(&w, sub_raw);
    add_str(&w, ",");
    add_text(&w, text);
    return end(&w);
}

enum err message_put_challenge(struct buf *out, const char *challenge)
{
    struct writer w = begin(out);
    add_str(&w, "[\"AUTH\",");
    add_text(&w, challenge);
    return end(&w);
}

enum err message_put_event(struct buf *out, const char *verb, const char *event_bytes, size_t len)
{
    struct writer w = begin(out);
    add_str(&w, "[");
    add_text(&w, verb);
    add_str(&w, ",");
    add(&w, event_bytes, len);
    return end(&w);
}
