/* The records of the store, field by field; docs/storage.md has them as a table. A change of any of
 * them is a new STORE_FORMAT; the readers know the format before, too (see store_upgrade.c). */
#include "queue/store_internal.h"

#include "common/base/hex.h"

#include <string.h>

/* ---- checksum ---- */

#define PRIME_1 0x9e3779b97f4a7c15ull
#define PRIME_2 0xd6e8feb86659fd93ull

static uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 m = (unsigned __int128)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint64_t absorb(uint64_t h, const uint8_t *p, size_t len)
{
    h = mix(h ^ len, PRIME_1);
    uint64_t word;
    for (; len >= sizeof word; p += sizeof word, len -= sizeof word) {
        memcpy(&word, p, sizeof word);
        h = mix(h ^ word, PRIME_1) + PRIME_2;
    }
    word = 0;
    if (len > 0)
        memcpy(&word, p, len);
    return mix(h ^ word, PRIME_2);
}

/* Finds damage, not malice: whoever can write the file can write the checksum. Table and key are
 * part of it, so that a record in a wrong place is found too. */
uint32_t record_check(enum table t, const void *key, size_t key_len, const void *data, size_t len)
{
    uint64_t h = absorb(PRIME_2 * ((uint64_t)t + 1), key, key_len);
    h = absorb(h, data, len);
    return (uint32_t)(h ^ (h >> 32));
}

static bool done(const struct unpack *u)
{
    return unpack_end(u) == ERR_NONE;
}

unsigned record_enum(struct unpack *u, unsigned count)
{
    unsigned v = unpack_u8(u);
    if (v >= count)
        u->bad = true;
    return v < count ? v : 0;
}

/* ---- meta ---- */

/* The first two fields stay where they are in all formats to come. */
void meta_pack(struct pack *p, const struct meta *m)
{
    pack_raw(p, "volley", 6);
    pack_u32(p, STORE_FORMAT);
    pack_u64(p, m->opened);
    pack_u64(p, m->head);
    pack_u64(p, m->first);
    pack_u64(p, m->forget);
    pack_u64(p, m->expired);
    pack_u64(p, m->entries);
    pack_u64(p, m->bytes);
    pack_u64(p, m->kept_bytes);
    pack_u64(p, m->deletions);
    pack_u64(p, m->registry_version);
    pack_u32(p, m->lanes_made);
    pack_i64(p, m->look_wall_ms);
    pack_u64(p, m->look_boot_ms);
    pack_u64(p, m->calm_until_boot_ms);
    pack_u64(p, m->lists_made);
    pack_u64(p, m->jobs_made);
    pack_u64(p, m->sum);
    pack_u64(p, m->observed);
}

bool meta_unpack(struct unpack *u, uint32_t format, struct meta *m)
{
    m->opened = unpack_u64(u);
    m->head = unpack_u64(u);
    m->first = unpack_u64(u);
    m->forget = unpack_u64(u);
    m->expired = unpack_u64(u);
    m->entries = unpack_u64(u);
    m->bytes = unpack_u64(u);
    m->kept_bytes = unpack_u64(u);
    m->deletions = unpack_u64(u);
    m->registry_version = unpack_u64(u);
    m->lanes_made = unpack_u32(u);
    m->look_wall_ms = unpack_i64(u);
    m->look_boot_ms = unpack_u64(u);
    m->calm_until_boot_ms = unpack_u64(u);
    if (format > 1) {
        m->lists_made = unpack_u64(u);
        m->jobs_made = unpack_u64(u);
        m->sum = unpack_u64(u);
    }
    if (format > 2)
        m->observed = unpack_u64(u);
    return done(u) && m->forget >= 1 && m->forget <= m->first && m->first <= m->head + 1;
}

/* ---- positions ---- */

void entry_pack(struct pack *p, const struct entry *e)
{
    pack_raw(p, e->id, sizeof e->id);
    pack_i64(p, e->accepted_ms);
    pack_u32(p, e->kind);
    pack_u32(p, e->len);
    pack_i64(p, e->trimmed_ms);
    pack_i64(p, e->failed_ms);
    pack_u32(p, e->holds);
    pack_i64(p, e->requeued_ms);
    pack_u64(p, e->sum);
    pack_raw(p, e->author, sizeof e->author);
    pack_u8(p, e->has_address);
    if (e->has_address)
        pack_raw(p, e->address, sizeof e->address);
}

bool entry_unpack(struct unpack *u, uint32_t format, struct entry *e)
{
    *e = (struct entry){0};
    unpack_raw(u, e->id, sizeof e->id);
    e->accepted_ms = unpack_i64(u);
    e->kind = unpack_u32(u);
    e->len = unpack_u32(u);
    e->trimmed_ms = unpack_i64(u);
    e->failed_ms = unpack_i64(u);
    e->holds = unpack_u32(u);
    e->requeued_ms = unpack_i64(u);
    if (format > 1) {
        e->sum = unpack_u64(u);
        unpack_raw(u, e->author, sizeof e->author);
    }
    e->has_address = record_enum(u, 2) != 0;
    if (e->has_address)
        unpack_raw(u, e->address, sizeof e->address);
    return done(u);
}

#define LOG_PROTECTED 1u
#define LOG_ADDRESS   2u

/* Next to the canonical bytes stands what is not cheaply read from them. */
void log_pack(struct pack *p, int64_t accepted_ms, const struct event *ev)
{
    pack_i64(p, accepted_ms);
    pack_u64(p, ev->created_at);
    pack_u32(p, ev->kind);
    pack_u64(p, ev->expiration);
    pack_u8(
        p, (uint8_t)((ev->is_protected ? LOG_PROTECTED : 0) | (ev->has_address ? LOG_ADDRESS : 0)));
    if (ev->has_address)
        pack_raw(p, ev->address, sizeof ev->address);
    pack_u32(p, (uint32_t)(ev->tags.p - ev->bytes));
    pack_u32(p, (uint32_t)ev->tags.len);
    pack_u32(p, (uint32_t)(ev->content.p - ev->bytes));
    pack_u32(p, (uint32_t)ev->content.len);
    pack_bytes(p, ev->bytes, ev->len);
}

#define ID_AT     7u   /* {"id":" */
#define PUBKEY_AT 83u  /* ","pubkey":" */
#define SIG_BACK  130u /* the last digits, "} */

static bool canonical_keys(struct event *ev)
{
    return ev->len >= PUBKEY_AT + 64 + SIG_BACK &&
           hex_get(ev->bytes + ID_AT, 64, ev->id, sizeof ev->id) == ERR_NONE &&
           hex_get(ev->bytes + PUBKEY_AT, 64, ev->pubkey, sizeof ev->pubkey) == ERR_NONE &&
           hex_get(ev->bytes + ev->len - SIG_BACK, 128, ev->sig, sizeof ev->sig) == ERR_NONE;
}

static bool read_span(struct unpack *u, const struct event *ev, uint32_t at, uint32_t len,
                      struct json_span *out)
{
    if (at > ev->len || len > ev->len - at)
        u->bad = true;
    else
        *out = (struct json_span){ev->bytes + at, len};
    return !u->bad;
}

/* The event was judged when it was appended and its record has a checksum, so nothing is parsed
 * again. Freed by event_unref, which frees the struct and its bytes as one. */
bool log_unpack(struct unpack *u, int64_t *accepted_ms, struct event **out)
{
    struct event head = {.refs = 1};
    *accepted_ms = unpack_i64(u);
    head.created_at = unpack_u64(u);
    head.kind = unpack_u32(u);
    head.expiration = unpack_u64(u);
    unsigned flags = unpack_u8(u);
    head.is_protected = (flags & LOG_PROTECTED) != 0;
    head.has_address = (flags & LOG_ADDRESS) != 0;
    if (head.has_address)
        unpack_raw(u, head.address, sizeof head.address);
    uint32_t tags_at = unpack_u32(u), tags_len = unpack_u32(u);
    uint32_t content_at = unpack_u32(u), content_len = unpack_u32(u);
    size_t len;
    const uint8_t *bytes = unpack_bytes(u, EVENT_LEN_MAX, &len);
    if (!done(u) || len == 0)
        return false;
    struct event *ev = mem_new(sizeof *ev + len);
    *ev = head;
    ev->len = len;
    memcpy(ev->bytes, bytes, len);
    if (canonical_keys(ev) && read_span(u, ev, tags_at, tags_len, &ev->tags) &&
        read_span(u, ev, content_at, content_len, &ev->content)) {
        *out = ev;
        return true;
    }
    event_unref(ev);
    return false;
}

void latest_pack(struct pack *p, const struct latest *l)
{
    pack_u64(p, l->pos);
    pack_u64(p, l->created_at);
    pack_raw(p, l->id, sizeof l->id);
    pack_u32(p, l->versions);
}

bool latest_unpack(struct unpack *u, struct latest *l)
{
    l->pos = unpack_u64(u);
    l->created_at = unpack_u64(u);
    unpack_raw(u, l->id, sizeof l->id);
    l->versions = unpack_u32(u);
    return done(u);
}

/* ---- lanes ---- */

void version_pack(struct pack *p, const struct version *v)
{
    pack_u64(p, v->from);
    pack_u8(p, v->waits);
    definition_pack(p, &v->definition);
}

bool version_unpack(struct unpack *u, struct version *v)
{
    v->from = unpack_u64(u);
    v->waits = record_enum(u, 2) != 0;
    definition_unpack(u, &v->definition);
    return done(u);
}

static void learned_pack(struct pack *p, const struct learned *l)
{
    pack_u32(p, l->window);
    pack_u32(p, l->rate_per_1000s);
    pack_u8(p, (uint8_t)l->family);
    pack_u32(p, l->ipv6_failures);
    pack_u32(p, l->ipv6_connect_ms);
    pack_i64(p, l->demoted_until_ms);
}

static void learned_unpack(struct unpack *u, uint32_t format, struct learned *l)
{
    l->window = unpack_u32(u);
    l->rate_per_1000s = unpack_u32(u);
    l->family = (enum family)record_enum(u, FAMILY_COUNT);
    l->ipv6_failures = unpack_u32(u);
    l->ipv6_connect_ms = format > 1 ? unpack_u32(u) : 0;
    l->demoted_until_ms = unpack_i64(u);
}

void lane_pack(struct pack *p, const struct lane *l)
{
    pack_u8(p, l->retired);
    pack_i64(p, l->retired_ms);
    pack_u64(p, l->start);
    pack_u64(p, l->position);
    pack_u64(p, l->floor);
    pack_u32(p, l->version);
    pack_u64(p, l->version_from);
    pack_u32(p, l->newest);
    pack_u64(p, l->epoch);
    pack_u64(p, l->seq);
    pack_raw(p, l->holder, sizeof l->holder);
    pack_str(p, l->holder_name);
    pack_u8(p, l->progressed);
    pack_u32(p, l->stalls);
    pack_u8(p, l->operator_hold);
    pack_u64(p, l->request_last);
    pack_u64(p, l->requests_pending);
    pack_u64(p, l->delivered);
    pack_u64(p, l->failed);
    pack_u64(p, l->skipped);
    pack_u64(p, l->expired);
    pack_u64(p, l->purged);
    pack_u32(p, l->exceptions_len);
    pack_u64(p, l->exceptions_first);
    learned_pack(p, &l->learned);
}

bool lane_unpack(struct unpack *u, uint32_t format, struct lane *l)
{
    l->retired = record_enum(u, 2) != 0;
    l->retired_ms = unpack_i64(u);
    l->start = unpack_u64(u);
    l->position = unpack_u64(u);
    l->floor = unpack_u64(u);
    l->version = unpack_u32(u);
    l->version_from = unpack_u64(u);
    l->newest = unpack_u32(u);
    l->epoch = unpack_u64(u);
    l->seq = unpack_u64(u);
    unpack_raw(u, l->holder, sizeof l->holder);
    unpack_str(u, l->holder_name, sizeof l->holder_name);
    l->progressed = record_enum(u, 2) != 0;
    l->stalls = unpack_u32(u);
    l->operator_hold = (uint8_t)record_enum(u, HOLD_COUNT);
    l->request_last = unpack_u64(u);
    l->requests_pending = unpack_u64(u);
    l->delivered = unpack_u64(u);
    l->failed = unpack_u64(u);
    l->skipped = unpack_u64(u);
    l->expired = unpack_u64(u);
    l->purged = unpack_u64(u);
    l->exceptions_len = unpack_u32(u);
    l->exceptions_first = unpack_u64(u);
    learned_unpack(u, format, &l->learned);
    return done(u);
}

void exceptions_pack(struct pack *p, const struct exception *x, size_t len)
{
    pack_u32(p, (uint32_t)len);
    for (size_t i = 0; i < len; i++) {
        pack_u64(p, x[i].pos);
        pack_u32(p, x[i].attempts);
        pack_u32(p, x[i].flags);
        pack_i64(p, x[i].not_before_ms);
    }
}

bool exceptions_unpack(struct unpack *u, struct exception x[QUEUE_EXCEPTIONS_MAX], size_t *len)
{
    *len = unpack_count(u, 24, QUEUE_EXCEPTIONS_MAX);
    for (size_t i = 0; i < *len; i++) {
        x[i].pos = unpack_u64(u);
        x[i].attempts = unpack_u32(u);
        x[i].flags = unpack_u32(u);
        x[i].not_before_ms = unpack_i64(u);
    }
    return done(u);
}

void paths_pack(struct pack *p, const struct path_stat *paths, size_t len)
{
    pack_u32(p, (uint32_t)len);
    for (size_t i = 0; i < len; i++) {
        const struct path_stat *s = &paths[i];
        pack_u8(p, (uint8_t)s->route);
        pack_u8(p, (uint8_t)s->family);
        pack_u64(p, s->attempts);
        pack_u64(p, s->successes);
        pack_u64(p, s->failures);
        pack_u64(p, s->connect_us);
        pack_u64(p, s->tls_us);
        pack_u64(p, s->websocket_us);
        pack_i64(p, s->last_success_ms);
        pack_i64(p, s->last_failure_ms);
    }
}

bool paths_unpack(struct unpack *u, struct path_stat paths[PATHS_MAX], size_t *len)
{
    *len = unpack_count(u, 66, PATHS_MAX);
    for (size_t i = 0; i < *len; i++) {
        struct path_stat *s = &paths[i];
        s->route = (enum route)record_enum(u, ROUTE_COUNT);
        s->family = (enum family)record_enum(u, FAMILY_COUNT);
        s->attempts = unpack_u64(u);
        s->successes = unpack_u64(u);
        s->failures = unpack_u64(u);
        s->connect_us = unpack_u64(u);
        s->tls_us = unpack_u64(u);
        s->websocket_us = unpack_u64(u);
        s->last_success_ms = unpack_i64(u);
        s->last_failure_ms = unpack_i64(u);
    }
    return done(u);
}

/* ---- rows ---- */

void row_pack(struct pack *p, const struct row *r)
{
    pack_u64(p, r->to);
    pack_u8(p, (uint8_t)r->end);
    pack_u8(p, (uint8_t)r->cls);
    pack_u32(p, r->attempts);
    pack_i64(p, r->first_ms);
    pack_i64(p, r->last_ms);
    pack_u8(p, (uint8_t)r->route);
    pack_u8(p, (uint8_t)r->family);
    pack_str(p, r->text);
}

static void row_read(struct unpack *u, struct row *r)
{
    r->to = unpack_u64(u);
    r->end = (enum row_end)record_enum(u, ROW_END_COUNT);
    r->cls = (enum row_class)record_enum(u, CLASS_COUNT);
    r->attempts = unpack_u32(u);
    r->first_ms = unpack_i64(u);
    r->last_ms = unpack_i64(u);
    r->route = (enum route)record_enum(u, ROUTE_COUNT);
    r->family = (enum family)record_enum(u, FAMILY_COUNT);
    unpack_str(u, r->text, sizeof r->text);
}

bool row_unpack(struct unpack *u, struct row *r)
{
    row_read(u, r);
    return done(u);
}

#define ROW_LEN_MIN 40u /* without words */

void history_pack(struct pack *p, const struct row *rows, size_t len)
{
    pack_u32(p, (uint32_t)len);
    for (size_t i = 0; i < len; i++)
        row_pack(p, &rows[i]);
}

bool history_unpack(struct unpack *u, uint64_t pos, struct row rows[HISTORY_MAX], size_t *len)
{
    *len = unpack_count(u, ROW_LEN_MIN, HISTORY_MAX);
    for (size_t i = 0; i < *len; i++) {
        rows[i].from = pos;
        row_read(u, &rows[i]);
    }
    return done(u);
}
