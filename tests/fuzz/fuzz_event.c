/* Events: what is taken has a canonical form that is itself an event, the same to the byte and in
 * all that is known of it. Each input is tried as an event, and once more inside of one, which
 * spares the fuzzer from finding 256 digits of hex: there its first two bytes are the kind, what
 * follows up to a NUL are the tags, and the rest is the content. */
#include "common/nostr/event.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool promise, const char *what)
{
    if (!promise)
        die("broken promise: %s", what);
}

static void on_deletion(void *arg, const uint8_t *id, const uint8_t *address)
{
    (void)arg;
    require((id == NULL) != (address == NULL), "a deletion names one thing");
}

static bool on_tag(void *arg, struct json_span value)
{
    const struct event *ev = arg;
    require(value.p > ev->tags.p && value.p + value.len < ev->tags.p + ev->tags.len,
            "a tag's value lies in the tags");
    return true;
}

static void same_facts(const struct event *a, const struct event *b)
{
    require(a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0, "canonical bytes stay");
    require(memcmp(a->id, b->id, 32) == 0 && memcmp(a->pubkey, b->pubkey, 32) == 0 &&
                memcmp(a->sig, b->sig, 64) == 0,
            "id, key and signature stay");
    require(a->created_at == b->created_at && a->kind == b->kind &&
                a->expiration == b->expiration && a->is_protected == b->is_protected,
            "the facts stay");
    require(a->has_address == b->has_address && memcmp(a->address, b->address, 32) == 0,
            "the address stays");
}

static void try_event(struct json_span json)
{
    struct event *ev, *again;
    struct problem p = {0};
    if (event_parse(json, EVENT_LEN_MAX, &ev, &p) != ERR_NONE) {
        require(p.text[0] != '\0', "a refusal has a reason");
        return;
    }
    require(event_parse((struct json_span){ev->bytes, ev->len}, ev->len, &again, &p) == ERR_NONE,
            "a canonical event is an event");
    same_facts(ev, again);
    event_unref(again);
    cJSON *tree = cJSON_ParseWithLength(ev->bytes, ev->len);
    require(tree != NULL, "cJSON takes a canonical event");
    cJSON_Delete(tree);
    require(event_verify(ev, &p) == ERR_NONE || p.text[0] != '\0', "a refusal has a reason");
    event_each_tag(ev, "t", on_tag, ev);
    event_each_deletion(ev, on_deletion, NULL);
    event_unref(ev);
}

static void try_inside(const uint8_t *data, size_t size)
{
    struct buf text;
    buf_init(&text, size + 1024);
    uint32_t kind = (uint32_t)data[0] << 8 | data[1];
    const uint8_t *tags = data + 2, *end = data + size, *nul = memchr(tags, '\0', size - 2);
    const uint8_t *tags_end = nul != NULL ? nul : end, *content = nul != NULL ? nul + 1 : end;
    require(buf_addf(&text,
                     "{\"id\":\"%064d\",\"pubkey\":\"%064d\",\"sig\":\"%0128d\","
                     "\"created_at\":1,\"kind\":%" PRIu32 ",\"tags\":[",
                     0, 0, 0, kind) == ERR_NONE &&
                buf_add(&text, tags, (size_t)(tags_end - tags)) == ERR_NONE &&
                buf_add_str(&text, "],\"content\":\"") == ERR_NONE &&
                buf_add(&text, content, (size_t)(end - content)) == ERR_NONE &&
                buf_add_str(&text, "\"}") == ERR_NONE,
            "an input fits into an event");
    try_event((struct json_span){(const char *)text.data, text.len});
    buf_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_event((struct json_span){(const char *)data, size});
    if (size >= 2)
        try_inside(data, size);
    return 0;
}
