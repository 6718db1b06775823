#include "queue/redis_facts.h"

#include "common/base/pack.h"
#include "common/nostr/kinds.h"
#include "queue/heartbeat.h"

struct deletions {
    struct pack *p;
    uint16_t len;
};

static void count_one(void *arg, const uint8_t *id, const uint8_t *address)
{
    (void)id, (void)address;
    ((struct deletions *)arg)->len++;
}

static void put_one(void *arg, const uint8_t *id, const uint8_t *address)
{
    struct deletions *d = arg;
    pack_u8(d->p, id != NULL ? 'i' : 'a');
    pack_raw(d->p, id != NULL ? id : address, 32);
}

enum err redis_facts_put(struct buf *out, const struct event *ev)
{
    static const uint8_t none[32];
    struct pack p;
    pack_init(&p, out);
    struct deletions d = {.p = &p};
    if (ev->kind == KIND_DELETION)
        event_each_deletion(ev, count_one, &d);
    pack_raw(&p, ev->id, sizeof ev->id);
    pack_raw(&p, ev->pubkey, sizeof ev->pubkey);
    pack_u64(&p, ev->created_at);
    pack_u32(&p, ev->kind);
    pack_u8(&p, (ev->has_address ? REDIS_FACTS_ADDRESS : 0) |
                    (heartbeat_is(ev) ? REDIS_FACTS_HEARTBEAT : 0));
    pack_raw(&p, ev->has_address ? ev->address : none, 32);
    pack_u16(&p, d.len);
    if (ev->kind == KIND_DELETION)
        event_each_deletion(ev, put_one, &d);
    return pack_end(&p);
}
