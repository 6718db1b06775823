#include "probe/nip11.h"

#include "common/nostr/json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { KIND_TEXT, KIND_NUMBER, KIND_BOOL };

struct field {
    const char *key;
    enum kind kind;
    size_t offset, size;
};
#define TEXT(k)                                                                                    \
    {                                                                                              \
#k, KIND_TEXT, offsetof(struct nip11, k), sizeof(((struct nip11 *)0)->k)                   \
    }
#define NUMBER(k)                                                                                  \
    {                                                                                              \
#k, KIND_NUMBER, offsetof(struct nip11, k), 0                                              \
    }
#define BOOL(k)                                                                                    \
    {                                                                                              \
#k, KIND_BOOL, offsetof(struct nip11, k), 0                                                \
    }

static const struct field top[] = {TEXT(name), TEXT(software), TEXT(version)};
static const struct field limitation[] = {
    NUMBER(max_message_length), NUMBER(max_content_length),     NUMBER(max_event_tags),
    NUMBER(min_pow_difficulty), NUMBER(created_at_lower_limit), NUMBER(created_at_upper_limit),
    BOOL(auth_required),        BOOL(payment_required),         BOOL(restricted_writes)};

/* Digits alone, and not more than fit: anything else is not known. */
static int64_t number_of(struct json_span raw)
{
    char digits[16];
    if (raw.len == 0 || raw.len >= sizeof digits)
        return NIP11_UNKNOWN;
    for (size_t i = 0; i < raw.len; i++)
        if (raw.p[i] < '0' || raw.p[i] > '9')
            return NIP11_UNKNOWN;
    memcpy(digits, raw.p, raw.len);
    digits[raw.len] = '\0';
    return strtoll(digits, NULL, 10);
}

static int bool_of(struct json_span raw)
{
    if (raw.len == 4 && memcmp(raw.p, "true", 4) == 0)
        return 1;
    return raw.len == 5 && memcmp(raw.p, "false", 5) == 0 ? 0 : NIP11_UNKNOWN;
}

static void take(const struct field *f, struct json_span raw, struct nip11 *out)
{
    char *into = (char *)out + f->offset;
    if (f->kind == KIND_NUMBER)
        *(int64_t *)(void *)into = number_of(raw);
    else if (f->kind == KIND_BOOL)
        *(int *)(void *)into = bool_of(raw);
    else if (raw.len >= 2 && raw.p[0] == '"')
        json_copy((struct json_span){raw.p + 1, raw.len - 2}, into, f->size);
}

static const struct field *find(const struct field *fields, size_t len, struct json_span key)
{
    for (size_t i = 0; i < len; i++)
        if (json_equals(key, fields[i].key))
            return &fields[i];
    return NULL;
}

static bool has_nip(const struct nip11 *n, int64_t nip)
{
    for (size_t i = 0; i < n->nips_len; i++)
        if (n->nips[i] == nip)
            return true;
    return false;
}

static void read_nips(struct json_cur *c, struct nip11 *out)
{
    bool first = true;
    struct json_span raw;
    if (json_enter(c, '[') != ERR_NONE)
        return;
    while (json_next(c, ']', &first)) {
        if (json_skip(c, &raw) != ERR_NONE)
            return;
        int64_t nip = number_of(raw);
        if (nip > 0 && nip <= UINT16_MAX && out->nips_len < NIP11_NIPS && !has_nip(out, nip))
            out->nips[out->nips_len++] = (uint16_t)nip;
    }
}

/* One object's fields; its "limitation" is gone into when `inner` is wanted. */
static void read_object(struct json_cur *c, const struct field *fields, size_t len, bool inner,
                        struct nip11 *out)
{
    bool first = true;
    struct json_span key, raw;
    if (json_enter(c, '{') != ERR_NONE)
        return;
    while (json_next(c, '}', &first)) {
        if (json_key(c, &key) != ERR_NONE)
            return;
        if (inner && json_equals(key, "limitation") && json_peek(c) == '{') {
            read_object(c, limitation, COUNT_OF(limitation), false, out);
            continue;
        }
        if (inner && json_equals(key, "supported_nips") && json_peek(c) == '[') {
            read_nips(c, out);
            continue;
        }
        const struct field *f = find(fields, len, key);
        if (json_skip(c, &raw) != ERR_NONE)
            return;
        if (f != NULL)
            take(f, raw, out);
    }
}

enum err nip11_parse(const char *text, size_t len, struct nip11 *out, struct problem *p)
{
    struct json_cur c;
    *out = (struct nip11){0};
    for (size_t i = 0; i < COUNT_OF(limitation); i++)
        take(&limitation[i], (struct json_span){"", 0}, out);
    enum err e = json_check(text, len, NIP11_MAX, p);
    if (e != ERR_NONE)
        return e;
    json_begin(&c, text, len);
    if (json_peek(&c) != '{')
        return problem_set(p, ERR_INVALID, "not a JSON object");
    read_object(&c, top, COUNT_OF(top), true, out);
    return ERR_NONE;
}

/* ---- for people ---- */

struct words {
    char *out;
    size_t size, len;
};

static void add(struct words *w, const char *fmt, ...) PRINTF(2, 3);
static void add(struct words *w, const char *fmt, ...)
{
    char one[64];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(one, sizeof one, fmt, ap);
    va_end(ap);
    int n = snprintf(w->out + w->len, w->size - w->len, "%s%s", w->len > 0 ? ", " : "", one);
    w->len += (size_t)n;
    if (w->len >= w->size)
        w->len = w->size - 1;
}

static void add_bytes(struct words *w, const char *what, int64_t n)
{
    if (n >= 1024 && n % 1024 == 0)
        add(w, "%s up to %" PRId64 " KiB", what, n / 1024);
    else if (n > 0)
        add(w, "%s up to %" PRId64 " bytes", what, n);
}

void nip11_limits(const struct nip11 *n, char *out, size_t size)
{
    struct words w = {out, size, 0};
    out[0] = '\0';
    add_bytes(&w, "messages", n->max_message_length);
    if (n->max_content_length > 0)
        add(&w, "content up to %" PRId64 " characters", n->max_content_length);
    if (n->max_event_tags > 0)
        add(&w, "up to %" PRId64 " tags", n->max_event_tags);
    if (n->min_pow_difficulty > 0)
        add(&w, "PoW %" PRId64, n->min_pow_difficulty);
    if (n->auth_required == 1)
        add(&w, "AUTH required");
    if (n->payment_required == 1)
        add(&w, "payment required");
    if (n->restricted_writes == 1)
        add(&w, "writes restricted");
}
