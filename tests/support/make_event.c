#include "tests/support/make_event.h"

#include "common/base/hex.h"
#include "common/nostr/event_hash.h"
#include "queue/heartbeat.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX (4u * EVENT_LEN_MAX)

void test_secret(unsigned author, uint8_t out[32])
{
    memset(out, 0, 32);
    out[31] = (uint8_t)(author + 1);
}

void test_pubkey(unsigned author, uint8_t out[32])
{
    static uint8_t known[TEST_AUTHORS][32];
    static bool made[TEST_AUTHORS];
    if (author >= TEST_AUTHORS)
        die("there is no test author %u", author);
    if (!made[author]) {
        uint8_t secret[32];
        test_secret(author, secret);
        if (event_pubkey(secret, known[author]) != ERR_NONE)
            die("test author %u has no public key", author);
        made[author] = true;
    }
    memcpy(out, known[author], 32);
}

static struct event *parse(const struct buf *text)
{
    struct problem why = {0};
    struct event *ev;
    struct json_span json = {(const char *)text->data, text->len};
    if (event_parse(json, EVENT_LEN_MAX, &ev, &why) != ERR_NONE)
        die("a test's event is none: %s", why.text);
    return ev;
}

/* Writes the event with the given id; most of it twice, as the id is only known after the first
 * time. */
static struct event *write_event(const uint8_t id[32], const uint8_t pubkey[32],
                                 uint64_t created_at, uint32_t kind, const char *tags_json,
                                 const char *content)
{
    char id_hex[65], key_hex[65];
    struct buf text;
    buf_init(&text, TEXT_MAX);
    enum err e = buf_addf(&text,
                          "{\"id\":\"%s\",\"pubkey\":\"%s\",\"created_at\":%" PRIu64
                          ",\"kind\":%" PRIu32 ",\"tags\":%s,\"content\":",
                          hex_str(id_hex, id, 32), hex_str(key_hex, pubkey, 32), created_at, kind,
                          tags_json);
    if (e == ERR_NONE)
        e = json_put_string(&text, content, strlen(content));
    if (e == ERR_NONE)
        e = buf_addf(&text, ",\"sig\":\"%0128d\"}", 0);
    if (e != ERR_NONE)
        die("a test's event is too big");
    struct event *ev = parse(&text);
    buf_fini(&text);
    return ev;
}

struct event *make_event(unsigned author, uint64_t created_at, uint32_t kind, const char *tags_json,
                         const char *content)
{
    uint8_t id[32] = {0}, pubkey[32];
    test_pubkey(author, pubkey);
    struct event *draft = write_event(id, pubkey, created_at, kind, tags_json, content);
    event_hash_text(draft, id);
    event_unref(draft);
    return write_event(id, pubkey, created_at, kind, tags_json, content);
}

struct event *make_signed_event(unsigned author, uint64_t created_at, uint32_t kind,
                                const char *tags_json, const char *content)
{
    uint8_t secret[32];
    struct problem why = {0};
    struct event *ev;
    test_secret(author, secret);
    if (event_make(secret, created_at, kind, tags_json, content, &ev, &why) != ERR_NONE)
        die("a test's event can't be made: %s", why.text);
    return ev;
}

struct event *make_note(unsigned author, unsigned number)
{
    char text[32];
    (void)snprintf(text, sizeof text, "note %u", number);
    return make_event(author, 1700000000, 1, "[]", text);
}

struct event *make_heartbeat(unsigned n)
{
    return make_event(0, 1700000000 + n, HEARTBEAT_KIND, HEARTBEAT_TAGS, HEARTBEAT_TEXT);
}

struct event *make_deletion(unsigned author, uint64_t created_at, const uint8_t id[32])
{
    char tags[128], hex[65];
    (void)snprintf(tags, sizeof tags, "[[\"e\",\"%s\"]]", hex_str(hex, id, 32));
    return make_event(author, created_at, 5, tags, "");
}

struct event *make_address_deletion(unsigned author, uint64_t created_at, uint32_t kind,
                                    const char *d)
{
    uint8_t pubkey[32];
    char tags[256], hex[65];
    test_pubkey(author, pubkey);
    (void)snprintf(tags, sizeof tags, "[[\"a\",\"%" PRIu32 ":%s:%s\"]]", kind,
                   hex_str(hex, pubkey, 32), d);
    return make_event(author, created_at, 5, tags, "");
}
