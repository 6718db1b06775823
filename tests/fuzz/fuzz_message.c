/* Messages: what is understood points into the text, and answers made of it are JSON. */
#include "common/nostr/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool promise, const char *what)
{
    if (!promise)
        die("broken promise: %s", what);
}

static const char *text;
static size_t text_len;

static void inside(struct json_span span)
{
    require(span.len == 0 || (span.p >= text && span.p + span.len <= text + text_len),
            "a view lies in the text");
}

static void written(struct buf *out, enum err e)
{
    require(e == ERR_NONE, "an answer fits");
    require(json_check((const char *)out->data, out->len, out->max, NULL) == ERR_NONE,
            "an answer is JSON");
    buf_clear(out);
}

static void answer_client(const struct client_message *m)
{
    struct buf out;
    buf_init(&out, 8 * text_len + 1024);
    struct json_span id = message_event_id(m->event);
    inside(id);
    written(&out, message_put_ok(&out, id, false, "invalid: x"));
    if (m->sub.len > 0) {
        written(&out, message_put_eose(&out, m->sub));
        written(&out, message_put_closed(&out, m->sub, "unsupported: x"));
    }
    if (m->event.len > 0) {
        struct json_span event;
        struct json_cur c;
        json_begin(&c, m->event.p, m->event.len);
        require(json_skip(&c, &event) == ERR_NONE && json_end(&c) == ERR_NONE && event.p[0] == '{',
                "an event is an object");
    }
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct client_message from_client;
    struct relay_message from_relay;
    struct problem p = {0};
    text = (const char *)data;
    text_len = size;
    if (message_from_client(text, size, &from_client, &p) == ERR_NONE) {
        inside(from_client.event);
        inside(from_client.sub);
        inside(from_client.filters);
        inside(from_client.name);
        answer_client(&from_client);
    } else {
        require(p.text[0] != '\0', "a refusal has a reason");
    }
    p.text[0] = '\0';
    if (message_from_relay(text, size, &from_relay, &p) == ERR_NONE) {
        inside(from_relay.sub);
        inside(from_relay.text);
        inside(from_relay.event);
    } else {
        require(p.text[0] != '\0', "a refusal has a reason");
    }
    return 0;
}
