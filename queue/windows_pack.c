/* Statistics in few bytes: numbers as long as they are large, seven bits a byte; of what is mostly
 * zero a word of bits first that says what is there. */
#include "queue/windows.h"

#include <string.h>

static void put(struct pack *p, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        pack_u8(p, (uint8_t)(v | 0x80));
    pack_u8(p, (uint8_t)v);
}

static uint64_t get(struct unpack *u, uint64_t max)
{
    uint64_t v = 0;
    unsigned shift = 0;
    uint8_t b;
    do {
        b = unpack_u8(u);
        if (shift == 63 && b > 1)
            u->bad = true;
        v |= (uint64_t)(b & 0x7f) << shift;
        shift += 7;
    } while ((b & 0x80) != 0 && shift < 64 && !u->bad);
    if ((b & 0x80) != 0 || v > max)
        u->bad = true;
    return u->bad ? 0 : v;
}

static uint32_t get32(struct unpack *u)
{
    return (uint32_t)get(u, UINT32_MAX);
}

/* ---- numbers of which most are zero ---- */

static void put_sparse(struct pack *p, const uint32_t *v, unsigned len)
{
    uint64_t there = 0;
    for (unsigned i = 0; i < len; i++)
        there |= (uint64_t)(v[i] != 0) << i;
    put(p, there);
    for (unsigned i = 0; i < len; i++)
        if (v[i] != 0)
            put(p, v[i]);
}

static void get_sparse(struct unpack *u, uint32_t *v, unsigned len)
{
    uint64_t there = get(u, (UINT64_C(1) << len) - 1);
    for (unsigned i = 0; i < len; i++)
        v[i] = (there >> i & 1) != 0 ? get32(u) : 0;
}

static bool is_empty(const struct stat_histogram *h)
{
    static const struct stat_histogram none;
    return memcmp(h, &none, sizeof none) == 0;
}

/* ---- counts ---- */

void stat_counts_pack(struct pack *p, const struct stat_counts *c)
{
    const uint32_t heads[] = {c->attempts, c->successes, c->uses, c->deliveries};
    unsigned there = 0;
    put_sparse(p, heads, COUNT_OF(heads));
    put_sparse(p, c->failures, STAT_FAILURE_COUNT);
    for (unsigned i = 0; i < STAT_PHASE_COUNT; i++)
        there |= (unsigned)!is_empty(&c->phases[i]) << i;
    put(p, there);
    for (unsigned i = 0; i < STAT_PHASE_COUNT; i++) {
        if ((there >> i & 1) == 0)
            continue;
        put(p, c->phases[i].sum_us);
        put_sparse(p, c->phases[i].counts, STAT_BUCKETS);
    }
}

void stat_counts_unpack(struct unpack *u, struct stat_counts *c)
{
    uint32_t heads[4];
    memset(c, 0, sizeof *c);
    get_sparse(u, heads, COUNT_OF(heads));
    c->attempts = heads[0];
    c->successes = heads[1];
    c->uses = heads[2];
    c->deliveries = heads[3];
    get_sparse(u, c->failures, STAT_FAILURE_COUNT);
    uint64_t there = get(u, (1u << STAT_PHASE_COUNT) - 1);
    for (unsigned i = 0; i < STAT_PHASE_COUNT && !u->bad; i++) {
        if ((there >> i & 1) == 0)
            continue;
        c->phases[i].sum_us = get(u, UINT64_MAX);
        get_sparse(u, c->phases[i].counts, STAT_BUCKETS);
    }
}

/* ---- the last attempt ---- */

void stat_last_pack(struct pack *p, const struct stat_last *l)
{
    pack_i64(p, l->at_ms);
    if (l->at_ms == 0)
        return;
    pack_u8(p, l->ok);
    pack_u8(p, (uint8_t)l->why);
    pack_str(p, l->text);
    put_sparse(p, l->phases_us, STAT_PHASE_COUNT);
    pack_i64(p, l->certificate_end_s);
    pack_str(p, l->address);
    pack_str(p, l->software);
}

void stat_last_unpack(struct unpack *u, struct stat_last *l)
{
    memset(l, 0, sizeof *l);
    l->at_ms = unpack_i64(u);
    if (l->at_ms == 0)
        return;
    unsigned ok = unpack_u8(u), why = unpack_u8(u);
    if (ok > 1 || why >= STAT_FAILURE_COUNT)
        u->bad = true;
    l->ok = ok == 1;
    l->why = u->bad ? STAT_OTHER : (enum stat_failure)why;
    unpack_str(u, l->text, sizeof l->text);
    get_sparse(u, l->phases_us, STAT_PHASE_COUNT);
    l->certificate_end_s = unpack_i64(u);
    unpack_str(u, l->address, sizeof l->address);
    unpack_str(u, l->software, sizeof l->software);
}

/* ---- all of it ---- */

static bool nothing_in(const struct stat_counts *c)
{
    static const struct stat_counts none;
    return memcmp(c, &none, sizeof none) == 0;
}

void windows_pack(struct pack *p, const struct windows *w)
{
    uint64_t there = 0;
    pack_i64(p, w->last_success_ms);
    pack_i64(p, w->last_failure_ms);
    pack_u32(p, (uint32_t)w->streak);
    stat_last_pack(p, &w->last);
    stat_counts_pack(p, &w->total);
    for (unsigned i = 0; i < STAT_WINDOW_COUNT; i++)
        pack_i64(p, w->newest[i]);
    for (unsigned i = 0; i < WINDOWS_BUCKETS; i++)
        there |= (uint64_t)!nothing_in(&w->buckets[i]) << i;
    pack_u64(p, there);
    for (unsigned i = 0; i < WINDOWS_BUCKETS; i++)
        if ((there >> i & 1) != 0)
            stat_counts_pack(p, &w->buckets[i]);
}

void windows_unpack(struct unpack *u, struct windows *w)
{
    memset(w, 0, sizeof *w);
    w->last_success_ms = unpack_i64(u);
    w->last_failure_ms = unpack_i64(u);
    w->streak = (int32_t)unpack_u32(u);
    stat_last_unpack(u, &w->last);
    stat_counts_unpack(u, &w->total);
    for (unsigned i = 0; i < STAT_WINDOW_COUNT; i++)
        w->newest[i] = unpack_i64(u);
    uint64_t there = unpack_u64(u);
    for (unsigned i = 0; i < WINDOWS_BUCKETS && !u->bad; i++)
        if ((there >> i & 1) != 0)
            stat_counts_unpack(u, &w->buckets[i]);
}
