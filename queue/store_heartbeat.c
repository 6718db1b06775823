/* The lane that is built in (heartbeat.h): one record, beside the log. It is written with the turn
 * that changes it, and in memory as the turn has made it. */
#include "queue/store_operate.h"

#include <string.h>

#define HEARTBEAT_KEY "heartbeat"

static enum err put(struct store *s)
{
    struct key k = key_bytes(HEARTBEAT_KEY, strlen(HEARTBEAT_KEY));
    const struct heartbeat *h = &s->heartbeat;
    struct pack p = db_record(s);
    pack_u64(&p, h->number);
    pack_u64(&p, h->taken);
    pack_i64(&p, h->taken_ms);
    log_pack(&p, h->accepted_ms, s->beat);
    return db_put(s, TABLE_META, &k, &p);
}

/* A store that never had one has no such record. */
enum err heartbeat_load(struct store *s)
{
    struct key k = key_bytes(HEARTBEAT_KEY, strlen(HEARTBEAT_KEY));
    struct heartbeat *h = &s->heartbeat;
    struct unpack u;
    enum err e = db_get(s, TABLE_META, &k, &u);
    if (e != ERR_NONE)
        return e == ERR_NOT_FOUND ? ERR_NONE : e;
    h->number = unpack_u64(&u);
    h->taken = unpack_u64(&u);
    h->taken_ms = unpack_i64(&u);
    return log_unpack(&u, &h->accepted_ms, &s->beat) ? ERR_NONE : db_corrupt(s, TABLE_META);
}

struct event *store_heartbeat(const struct store *s, uint64_t *number)
{
    bool due = heartbeat_is_due(&s->heartbeat);
    *number = due ? s->heartbeat.number : 0;
    return due ? s->beat : NULL;
}

enum err heartbeat_append(struct store *s, struct event *ev, int64_t now_ms,
                          struct append_result *r, struct problem *why)
{
    if (s->beat && memcmp(s->beat->id, ev->id, EVENT_ID_LEN) == 0) {
        r->duplicate = true;
        return ERR_NONE;
    }
    enum err e = room_for(s, ev->len, why);
    if (e != ERR_NONE)
        return e;
    heartbeat_next(&s->heartbeat, now_ms);
    event_unref(s->beat);
    s->beat = event_ref(ev);
    return put(s);
}

enum err heartbeat_take(struct store *s, const struct lane_commit *c, int64_t now_ms,
                        struct lane_committed *out)
{
    return heartbeat_commit(&s->heartbeat, c, now_ms, out) ? put(s) : ERR_NONE;
}
