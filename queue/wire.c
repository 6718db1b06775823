/* The arena, the head every message begins with, and what is published. */
#include "queue/wire_parts.h"

#include <stdlib.h>
#include <string.h>

struct wire_block {
    struct wire_block *next;
    max_align_t data[];
};

void *wire_alloc(struct wire_arena *a, size_t count, size_t size)
{
    if (size != 0 && count > (SIZE_MAX / 2) / size)
        die("wire_alloc: %zu × %zu bytes", count, size);
    struct wire_block *b = mem_zero(1, sizeof *b + count * size);
    b->next = a->blocks;
    a->blocks = b;
    return b->data;
}

void *wire_copy(struct wire_arena *a, const void *data, size_t count, size_t size)
{
    if (count == 0)
        return NULL;
    return memcpy(wire_alloc(a, count, size), data, count * size);
}

/* Takes over the caller's reference. */
static void own_event(struct wire_arena *a, struct event *ev)
{
    if (a->events_len == a->events_cap) {
        a->events_cap = a->events_cap == 0 ? 16 : a->events_cap * 2;
        a->events = mem_grow(a->events, a->events_cap * sizeof(struct event *));
    }
    a->events[a->events_len++] = ev;
}

void wire_keep(struct wire_arena *a, struct event *ev)
{
    own_event(a, event_ref(ev));
}

void wire_arena_free(struct wire_arena *a)
{
    for (size_t i = 0; i < a->events_len; i++)
        event_unref(a->events[i]);
    free(a->events);
    while (a->blocks != NULL) {
        struct wire_block *b = a->blocks;
        a->blocks = b->next;
        free(b);
    }
    *a = (struct wire_arena){0};
}

void wire_put_head(struct pack *p, unsigned type, uint64_t number)
{
    pack_u16(p, WIRE_VERSION);
    pack_u8(p, (uint8_t)type);
    pack_u64(p, number);
}

enum err wire_get_head(struct unpack *u, unsigned flag, enum wire_type *type, uint64_t *number)
{
    unsigned version = unpack_u16(u), t = unpack_u8(u);
    *number = unpack_u64(u);
    *type = 0;
    if (u->bad || (t & WIRE_IS_REPLY) != flag)
        return ERR_INVALID;
    *type = (enum wire_type)(t & ~WIRE_IS_REPLY);
    if (version != WIRE_VERSION)
        return ERR_VERSION;
    return *type >= WIRE_APPEND && *type < WIRE_TYPE_END ? ERR_NONE : ERR_UNSUPPORTED;
}

/* ---- published */

#define DELETED_MAX 64u
/* Topic, version, broker, head, count. */
#define TAIL_HEAD_LEN (1u + 2 + 8 + 8 + 4)
#define TAIL_MIN      (WIRE_EVENT_MIN + 4 + 4 + 1)

static enum err put_topic(struct buf *out, char topic, uint64_t broker, uint64_t head)
{
    struct pack p;
    pack_init(&p, out);
    pack_u8(&p, (uint8_t)topic);
    pack_u16(&p, WIRE_VERSION);
    pack_u64(&p, broker);
    pack_u64(&p, head);
    return pack_end(&p);
}

enum err wire_put_beat(struct buf *out, uint64_t broker, uint64_t head, uint64_t news)
{
    struct pack p;
    enum err e = put_topic(out, WIRE_TOPIC_BEAT, broker, head);
    pack_init(&p, out);
    pack_u64(&p, news);
    return e != ERR_NONE ? e : pack_end(&p);
}

enum err wire_begin_tail(struct buf *out, uint64_t broker)
{
    static const uint8_t no_count[4];
    enum err e = put_topic(out, WIRE_TOPIC_TAIL, broker, 0);
    return e != ERR_NONE ? e : buf_add(out, no_count, sizeof no_count);
}

static void put_positions(struct pack *p, const uint64_t *pos, size_t len)
{
    pack_u32(p, (uint32_t)len);
    for (size_t i = 0; i < len; i++)
        pack_u64(p, pos[i]);
}

enum err wire_put_tail(struct buf *out, const struct queue_tail *t)
{
    struct pack p;
    pack_init(&p, out);
    wire_put_event(&p, &t->ev);
    put_positions(&p, t->superseded, t->superseded_len);
    put_positions(&p, t->deleted, t->deleted_len);
    pack_u8(&p, t->deleted_more);
    return pack_end(&p);
}

void wire_end_tail(struct buf *out, uint64_t head, uint32_t count)
{
    uint8_t *at = out->data + TAIL_HEAD_LEN - 12;
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(head >> (8 * i));
    for (int i = 0; i < 4; i++)
        at[8 + i] = (uint8_t)(count >> (8 * i));
}

static const uint64_t *get_positions(struct unpack *u, struct wire_arena *a, size_t *len)
{
    uint64_t *pos = wire_array(u, a, 8, DELETED_MAX, sizeof *pos, len);
    for (size_t i = 0; i < *len; i++)
        pos[i] = unpack_u64(u);
    return pos;
}

static void get_tail(struct unpack *u, struct wire_arena *a, struct queue_tail *t)
{
    wire_get_event(u, a, &t->ev);
    t->superseded = get_positions(u, a, &t->superseded_len);
    t->deleted = get_positions(u, a, &t->deleted_len);
    t->deleted_more = wire_bool(u);
}

enum err wire_get_published(const void *data, size_t len, struct wire_arena *a,
                            struct wire_published *out)
{
    struct unpack u;
    unpack_init(&u, data, len);
    *out = (struct wire_published){.topic = (char)unpack_u8(&u)};
    unsigned version = unpack_u16(&u);
    if (!u.bad && version != WIRE_VERSION)
        return ERR_VERSION;
    out->broker = unpack_u64(&u);
    out->head = unpack_u64(&u);
    if (out->topic == WIRE_TOPIC_TAIL) {
        struct queue_tail *t =
            wire_array(&u, a, TAIL_MIN, WIRE_EVENTS_MAX, sizeof *t, &out->tails_len);
        for (size_t i = 0; i < out->tails_len && !u.bad; i++)
            get_tail(&u, a, &t[i]);
        out->tails = t;
    } else if (out->topic == WIRE_TOPIC_BEAT) {
        out->news = unpack_u64(&u);
    } else {
        return ERR_INVALID;
    }
    return unpack_end(&u);
}
