/* Reading an event: the cursor goes once over the object, checks each field and remembers where
 * tags and content are; then the canonical bytes are written into memory taken once. No canonical
 * part is longer than the part it came from, as every escape we write is the shortest. */
#include "common/nostr/event.h"

#include "common/base/hex.h"
#include "common/nostr/event_hash.h"
#include "common/nostr/event_repost.h"
#include "common/nostr/kinds.h"

#include <stdlib.h>
#include <string.h>

/* All canonical bytes but tags and content: keys and punctuation, 256 digits of hex, 12 of time
 * (EVENT_TIME_MAX) and 5 of kind. */
#define FRAME_LEN_MAX 384u
/* More unused memory than this behind an event is given back. */
#define SLACK_MAX 256u

enum field { F_ID, F_PUBKEY, F_CREATED_AT, F_KIND, F_TAGS, F_CONTENT, F_SIG, F_COUNT };
static const char *const names[F_COUNT] = {"id",   "pubkey",  "created_at", "kind",
                                           "tags", "content", "sig"};

/* What the walk over the object found. The spans are raw. */
struct draft {
    bool seen[F_COUNT + 1];
    uint8_t id[32], pubkey[32], sig[64];
    uint64_t created_at, kind, expiration;
    struct json_span tags, content, d;
    bool has_d, is_protected;
};

/* NIP-40. A date beyond our calendar is its last day; 0 would mean none, so it becomes 1. */
static bool read_expiration(struct json_span value, uint64_t *out)
{
    char text[24];
    uint64_t v = 0;
    if (value.len == 0 || json_chars(value) > 20)
        return false;
    json_copy(value, text, sizeof text);
    for (const char *at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '9')
            return false;
        v = v * 10 + (uint64_t)(*at - '0');
        if (v > EVENT_TIME_MAX)
            v = EVENT_TIME_MAX;
    }
    *out = v > 0 ? v : 1;
    return true;
}

/* Picks out the tags that say something about the event itself. */
static void note_tag(struct draft *d, struct json_span name, struct json_span value)
{
    if (json_equals(name, "-")) {
        d->is_protected = true;
    } else if (json_equals(name, "d")) {
        if (!d->has_d)
            d->d = value;
        d->has_d = true;
    } else if (d->expiration == 0 && json_equals(name, "expiration")) {
        uint64_t when;
        if (read_expiration(value, &when))
            d->expiration = when;
    }
}

static enum err read_tag(struct json_cur *c, struct draft *d)
{
    struct json_span name = {0}, value = {0}, rest;
    size_t count = 0;
    bool first = true;
    if (json_enter(c, '[') != ERR_NONE)
        return c->err;
    for (; json_next(c, ']', &first); count++)
        if (json_string(c, count == 0 ? &name : count == 1 ? &value : &rest) != ERR_NONE)
            break;
    if (c->err == ERR_NONE && count > 0)
        note_tag(d, name, value);
    return c->err;
}

static enum err read_tags(struct json_cur *c, struct draft *d)
{
    size_t count = 0;
    bool first = true;
    if (json_enter(c, '[') != ERR_NONE)
        return c->err;
    const char *start = c->p - 1;
    for (; json_next(c, ']', &first); count++) {
        if (count == EVENT_TAGS_MAX)
            return json_fail(c, ERR_TOO_BIG, "too many");
        if (read_tag(c, d) != ERR_NONE)
            break;
    }
    d->tags = (struct json_span){start, (size_t)(c->p - start)};
    return c->err;
}

static enum err read_hex(struct json_cur *c, uint8_t *out, size_t len)
{
    struct json_span raw;
    if (json_string(c, &raw) != ERR_NONE)
        return c->err;
    if (hex_get(raw.p, raw.len, out, len) == ERR_NONE)
        return ERR_NONE;
    return json_fail(c, ERR_INVALID,
                     len == 32 ? "not 64 lower-case hex digits" : "not 128 lower-case hex digits");
}

static enum err read_field(struct json_cur *c, enum field f, struct draft *d)
{
    switch (f) {
    case F_ID:
        return read_hex(c, d->id, sizeof d->id);
    case F_PUBKEY:
        return read_hex(c, d->pubkey, sizeof d->pubkey);
    case F_SIG:
        return read_hex(c, d->sig, sizeof d->sig);
    case F_CREATED_AT:
        return json_uint(c, EVENT_TIME_MAX, &d->created_at);
    case F_KIND:
        return json_uint(c, EVENT_KIND_MAX, &d->kind);
    case F_TAGS:
        return read_tags(c, d);
    case F_CONTENT:
        return json_string(c, &d->content);
    case F_COUNT:
        break;
    }
    return json_skip(c, NULL);
}

static enum field find_field(struct json_span key)
{
    enum field f = F_ID;
    while (f < F_COUNT && !json_equals(key, names[f]))
        f++;
    return f;
}

/* `*f` is the known field that was being read when an error came up; else F_COUNT. */
static enum err read_object(struct json_cur *c, struct draft *d, enum field *f)
{
    struct json_span key;
    bool first = true;
    if (json_enter(c, '{') != ERR_NONE)
        return c->err;
    while (json_next(c, '}', &first)) {
        if (json_key(c, &key) != ERR_NONE)
            return c->err;
        *f = find_field(key);
        if (*f != F_COUNT && d->seen[*f])
            return json_fail(c, ERR_INVALID, "there twice");
        if (read_field(c, *f, d) != ERR_NONE)
            return c->err;
        d->seen[*f] = true;
        *f = F_COUNT;
    }
    for (enum field need = F_ID; need < F_COUNT && c->err == ERR_NONE; need++) {
        if (!d->seen[need]) {
            *f = need;
            return json_fail(c, ERR_INVALID, "missing");
        }
    }
    return json_end(c);
}

static enum err read_draft(struct json_span json, struct draft *d, struct problem *p)
{
    struct json_cur c;
    enum field f = F_COUNT;
    json_begin(&c, json.p, json.len);
    if (read_object(&c, d, &f) == ERR_NONE)
        return ERR_NONE;
    size_t at = (size_t)(c.p - json.p);
    if (f == F_COUNT)
        return problem_set(p, c.err, "%s (at byte %zu)", c.what, at);
    return problem_set(p, c.err, "%s: %s (at byte %zu)", names[f], c.what, at);
}

static char *put(char *out, const char *text)
{
    size_t len = strlen(text);
    memcpy(out, text, len);
    return out + len;
}

static char *put_hex(char *out, const uint8_t *data, size_t len)
{
    hex_put(out, data, len);
    return out + 2 * len;
}

static char *put_uint(char *out, uint64_t v)
{
    char digits[20];
    size_t len = 0;
    do {
        digits[len++] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    while (len > 0)
        *out++ = digits[--len];
    return out;
}

static char *put_string(char *out, struct json_span raw)
{
    *out++ = '"';
    out = json_canon(out, raw);
    *out++ = '"';
    return out;
}

/* Tags that were read before: only white space and escapes can differ from the canonical form. */
static char *put_tags(char *out, struct json_span tags)
{
    for (size_t i = 0; i < tags.len; i++) {
        const char *at = tags.p + i;
        if (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')
            continue;
        if (*at != '"') {
            *out++ = *at;
            continue;
        }
        struct json_cur c;
        struct json_span raw;
        json_begin(&c, at, tags.len - i);
        if (json_string(&c, &raw) != ERR_NONE)
            die("a tag was a string and is none now");
        out = put_string(out, raw);
        i += raw.len + 1;
    }
    return out;
}

static struct event *write_event(const struct draft *d)
{
    size_t room = FRAME_LEN_MAX + d->tags.len + d->content.len;
    struct event *ev = mem_new(sizeof *ev + room);
    *ev = (struct event){.refs = 1,
                         .created_at = d->created_at,
                         .kind = (uint32_t)d->kind,
                         .expiration = d->expiration};
    memcpy(ev->id, d->id, sizeof ev->id);
    memcpy(ev->pubkey, d->pubkey, sizeof ev->pubkey);
    memcpy(ev->sig, d->sig, sizeof ev->sig);
    char *out = put_hex(put(ev->bytes, "{\"id\":\""), d->id, sizeof d->id);
    out = put_hex(put(out, "\",\"pubkey\":\""), d->pubkey, sizeof d->pubkey);
    out = put_uint(put(out, "\",\"created_at\":"), d->created_at);
    out = put_uint(put(out, ",\"kind\":"), d->kind);
    char *tags = put(out, ",\"tags\":");
    out = put_tags(tags, d->tags);
    size_t tags_at = (size_t)(tags - ev->bytes), tags_len = (size_t)(out - tags);
    char *content = put(out, ",\"content\":");
    out = put_string(content, d->content);
    size_t content_at = (size_t)(content - ev->bytes), content_len = (size_t)(out - content);
    out = put(put_hex(put(out, ",\"sig\":\""), d->sig, sizeof d->sig), "\"}");
    ev->len = (size_t)(out - ev->bytes);
    if (room - ev->len > SLACK_MAX)
        ev = mem_grow(ev, sizeof *ev + ev->len);
    ev->tags = (struct json_span){ev->bytes + tags_at, tags_len};
    ev->content = (struct json_span){ev->bytes + content_at, content_len};
    return ev;
}

static void add_facts(struct event *ev, const struct draft *d)
{
    enum kind_class class = kind_class(ev->kind);
    ev->is_protected = d->is_protected || event_embeds_protected(ev->kind, d->content);
    ev->has_address = class == KIND_REPLACEABLE || class == KIND_ADDRESSABLE;
    if (ev->has_address)
        event_hash_address(ev->kind, ev->pubkey, d->d, ev->address);
}

enum err event_parse(struct json_span json, size_t max_len, struct event **out, struct problem *p)
{
    struct draft d = {0};
    enum err e = read_draft(json, &d, p);
    if (e != ERR_NONE)
        return e;
    struct event *ev = write_event(&d);
    if (ev->len > max_len || ev->len > EVENT_LEN_MAX) {
        e = problem_set(p, ERR_TOO_BIG, "%zu bytes, and at most %zu are taken", ev->len,
                        max_len < EVENT_LEN_MAX ? max_len : EVENT_LEN_MAX);
        event_unref(ev);
        return e;
    }
    add_facts(ev, &d);
    *out = ev;
    return ERR_NONE;
}

struct event *event_ref(struct event *ev)
{
    ev->refs++;
    return ev;
}

void event_unref(struct event *ev)
{
    if (ev != NULL && --ev->refs == 0)
        free(ev);
}
