/* OpenSSL's old calls on purpose: they take half the time of its one-shot function for texts as
 * short as these. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "common/nostr/event_hash.h"

#include "common/base/hex.h"
#include "common/nostr/kinds.h"

#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

static void add(SHA256_CTX *sha, const void *data, size_t len)
{
    if (SHA256_Update(sha, data, len) != 1)
        die("SHA-256 failed");
}

static void begin(SHA256_CTX *sha)
{
    if (SHA256_Init(sha) != 1)
        die("SHA-256 failed");
}

static void finish(SHA256_CTX *sha, uint8_t out[32])
{
    if (SHA256_Final(out, sha) != 1)
        die("SHA-256 failed");
}

/* Canonical text with each \u00xx as its byte. There are no other \u escapes in it. */
static void add_raw_controls(SHA256_CTX *sha, struct json_span text)
{
    const char *run = text.p, *end = text.p + text.len;
    for (const char *at = run; (at = memchr(at, '\\', (size_t)(end - at))) != NULL;) {
        uint32_t code_point = 0;
        size_t len = json_escape(at, end, &code_point);
        if (len == 6) {
            char byte = (char)code_point;
            add(sha, run, (size_t)(at - run));
            add(sha, &byte, 1);
            run = at + len;
        }
        at += len;
    }
    add(sha, run, (size_t)(end - run));
}

static void add_escaped(SHA256_CTX *sha, struct json_span text)
{
    add(sha, text.p, text.len);
}

static void hash_id(const struct event *ev, void (*add_text)(SHA256_CTX *, struct json_span),
                    uint8_t out[32])
{
    char head[160], pubkey[65];
    int len = snprintf(head, sizeof head, "[0,\"%s\",%" PRIu64 ",%" PRIu32 ",",
                       hex_str(pubkey, ev->pubkey, 32), ev->created_at, ev->kind);
    SHA256_CTX sha;
    begin(&sha);
    add(&sha, head, (size_t)len);
    add_text(&sha, ev->tags);
    add(&sha, ",", 1);
    add_text(&sha, ev->content);
    add(&sha, "]", 1);
    finish(&sha, out);
}

void event_hash_text(const struct event *ev, uint8_t out[32])
{
    hash_id(ev, add_raw_controls, out);
}

void event_hash_escaped(const struct event *ev, uint8_t out[32])
{
    hash_id(ev, add_escaped, out);
}

void event_hash_address(uint32_t kind, const uint8_t pubkey[32], struct json_span d,
                        uint8_t out[32])
{
    char head[96], hex[65];
    int len = snprintf(head, sizeof head, "%" PRIu32 ":%s:", kind, hex_str(hex, pubkey, 32));
    SHA256_CTX sha;
    begin(&sha);
    add(&sha, head, (size_t)len);
    if (kind_class(kind) == KIND_ADDRESSABLE && d.len > 0) {
        struct buf text;
        buf_init(&text, d.len);
        if (json_unescape(d, &text) != ERR_NONE)
            die("an unescaped string is longer than the escaped one");
        add(&sha, text.data, text.len);
        buf_fini(&text);
    }
    finish(&sha, out);
}
