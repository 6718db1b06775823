/* Numbers and byte strings to and from a flat form: little endian, fixed widths, strings after
 * their u32 length. Used on the wire between volley's processes and in the store's records; both
 * carry a version of their own. */
#ifndef VOLLEY_BASE_PACK_H
#define VOLLEY_BASE_PACK_H

#include "common/base/buf.h"

/* Writers. ERR_TOO_BIG from the buffer is remembered: ask once, at the end, with pack_end. */
struct pack {
    struct buf *out;
    enum err err;
};
void pack_init(struct pack *p, struct buf *out);
void pack_u8(struct pack *p, uint8_t v);
void pack_u16(struct pack *p, uint16_t v);
void pack_u32(struct pack *p, uint32_t v);
void pack_u64(struct pack *p, uint64_t v);
void pack_i64(struct pack *p, int64_t v);
void pack_raw(struct pack *p, const void *data, size_t len);   /* no length in front */
void pack_bytes(struct pack *p, const void *data, size_t len); /* u32 length, then the bytes */
void pack_str(struct pack *p, const char *s); /* as bytes, without the terminator; NULL is "" */
MUST_USE enum err pack_end(const struct pack *p);

/* Readers. Reading past the end gives zeros and is remembered: ask once, at the end, with
 * unpack_end. */
struct unpack {
    const uint8_t *p, *end;
    bool bad;
};
void unpack_init(struct unpack *u, const void *data, size_t len);
uint8_t unpack_u8(struct unpack *u);
uint16_t unpack_u16(struct unpack *u);
uint32_t unpack_u32(struct unpack *u);
uint64_t unpack_u64(struct unpack *u);
int64_t unpack_i64(struct unpack *u);
/* Copies `len` bytes to `out` (zeros when they are not there). */
void unpack_raw(struct unpack *u, void *out, size_t len);
/* A view into the input: valid as long as that is. NULL and *len 0 when bad or longer than `max`.
 */
const uint8_t *unpack_bytes(struct unpack *u, size_t max, size_t *len);
/* Copies into `out` with a terminator; longer than size-1, or with a NUL inside, is bad. */
void unpack_str(struct unpack *u, char *out, size_t size);
/* A count of things that take at least `each` bytes: bad (and 0) when they can't all be there or
 * pass `max`. */
uint32_t unpack_count(struct unpack *u, size_t each, uint32_t max);
/* ERR_INVALID when anything was bad or bytes are left over. */
MUST_USE enum err unpack_end(const struct unpack *u);

#endif
