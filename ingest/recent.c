#include "ingest/recent.h"

#include "common/base/err.h"

#include <stdlib.h>
#include <string.h>

void recent_init(struct recent *r)
{
    r->slots = mem_zero(RECENT_SLOTS, sizeof r->slots[0]);
}

void recent_fini(struct recent *r)
{
    free(r->slots);
    r->slots = NULL;
}

/* Ids are hashes already (only verified ones come here): their first bytes spread evenly. */
static struct recent_slot *slot_of(const struct recent *r, const uint8_t id[32])
{
    uint32_t n;

    memcpy(&n, id, sizeof n);
    return &r->slots[n % RECENT_SLOTS];
}

void recent_add(struct recent *r, const uint8_t id[32], uint64_t now_ms)
{
    struct recent_slot *s = slot_of(r, id);

    memcpy(s->id, id, sizeof s->id);
    s->until_ms = now_ms + RECENT_TERM_MS;
}

bool recent_has(const struct recent *r, const uint8_t id[32], uint64_t now_ms)
{
    const struct recent_slot *s = slot_of(r, id);

    return now_ms < s->until_ms && memcmp(s->id, id, sizeof s->id) == 0;
}
