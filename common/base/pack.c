#include "common/base/pack.h"

#include <string.h>

void pack_init(struct pack *p, struct buf *out)
{
    *p = (struct pack){.out = out};
}

void pack_raw(struct pack *p, const void *data, size_t len)
{
    if (p->err == ERR_NONE)
        p->err = buf_add(p->out, data, len);
}

/* Byte by byte, so that it is little endian on every machine; compilers make one store of it. */
static void pack_uint(struct pack *p, uint64_t v, size_t width)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < width; i++)
        bytes[i] = (uint8_t)(v >> (8 * i));
    pack_raw(p, bytes, width);
}

void pack_u8(struct pack *p, uint8_t v)
{
    pack_uint(p, v, 1);
}

void pack_u16(struct pack *p, uint16_t v)
{
    pack_uint(p, v, 2);
}

void pack_u32(struct pack *p, uint32_t v)
{
    pack_uint(p, v, 4);
}

void pack_u64(struct pack *p, uint64_t v)
{
    pack_uint(p, v, 8);
}

void pack_i64(struct pack *p, int64_t v)
{
    pack_uint(p, (uint64_t)v, 8);
}

void pack_bytes(struct pack *p, const void *data, size_t len)
{
    if (len > UINT32_MAX) {
        if (p->err == ERR_NONE)
            p->err = ERR_TOO_BIG;
        return;
    }
    pack_u32(p, (uint32_t)len);
    pack_raw(p, data, len);
}

void pack_str(struct pack *p, const char *s)
{
    pack_bytes(p, s != NULL ? s : "", s != NULL ? strlen(s) : 0);
}

enum err pack_end(const struct pack *p)
{
    return p->err;
}

void unpack_init(struct unpack *u, const void *data, size_t len)
{
    const uint8_t *start = data != NULL ? data : (const uint8_t *)"";
    *u = (struct unpack){.p = start, .end = start + len};
}

static const uint8_t *take(struct unpack *u, size_t len)
{
    if (u->bad || len > (size_t)(u->end - u->p)) {
        u->bad = true;
        return NULL;
    }
    const uint8_t *at = u->p;
    u->p += len;
    return at;
}

static uint64_t unpack_uint(struct unpack *u, size_t width)
{
    const uint8_t *at = take(u, width);
    uint64_t v = 0;
    for (size_t i = 0; at != NULL && i < width; i++)
        v |= (uint64_t)at[i] << (8 * i);
    return v;
}

uint8_t unpack_u8(struct unpack *u)
{
    return (uint8_t)unpack_uint(u, 1);
}

uint16_t unpack_u16(struct unpack *u)
{
    return (uint16_t)unpack_uint(u, 2);
}

uint32_t unpack_u32(struct unpack *u)
{
    return (uint32_t)unpack_uint(u, 4);
}

uint64_t unpack_u64(struct unpack *u)
{
    return unpack_uint(u, 8);
}

int64_t unpack_i64(struct unpack *u)
{
    return (int64_t)unpack_uint(u, 8);
}

void unpack_raw(struct unpack *u, void *out, size_t len)
{
    const uint8_t *at = take(u, len);
    if (at != NULL)
        memcpy(out, at, len);
    else
        memset(out, 0, len);
}

const uint8_t *unpack_bytes(struct unpack *u, size_t max, size_t *len)
{
    *len = unpack_u32(u);
    const uint8_t *at = NULL;
    if (*len > max)
        u->bad = true;
    else
        at = take(u, *len);
    if (at == NULL)
        *len = 0;
    return at;
}

void unpack_str(struct unpack *u, char *out, size_t size)
{
    size_t len;
    const uint8_t *at = unpack_bytes(u, size - 1, &len);
    if (at != NULL && memchr(at, '\0', len) != NULL) {
        u->bad = true;
        len = 0;
    }
    if (at != NULL && len > 0)
        memcpy(out, at, len);
    out[len] = '\0';
}

uint32_t unpack_count(struct unpack *u, size_t each, uint32_t max)
{
    uint32_t count = unpack_u32(u);
    if (u->bad || count > max || (uint64_t)count * each > (uint64_t)(u->end - u->p)) {
        u->bad = true;
        return 0;
    }
    return count;
}

enum err unpack_end(const struct unpack *u)
{
    return u->bad || u->p != u->end ? ERR_INVALID : ERR_NONE;
}
