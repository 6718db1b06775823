/* Three indexes beside the log: where an id is, which version of an address is the newest, and what
 * was deleted by its author. */
#include "queue/store_internal.h"

#include "common/nostr/kinds.h"

#include <string.h>

/* ---- ids ---- */

enum err id_find(struct store *s, const uint8_t id[EVENT_ID_LEN], uint64_t *pos)
{
    struct key k = key_bytes(id, EVENT_ID_LEN);
    struct unpack u;
    enum err e = db_get(s, TABLE_ID, &k, &u);
    if (e != ERR_NONE)
        return e;
    *pos = unpack_u64(&u);
    return unpack_end(&u) == ERR_NONE ? ERR_NONE : db_corrupt(s, TABLE_ID);
}

enum err id_put(struct store *s, const uint8_t id[EVENT_ID_LEN], uint64_t pos)
{
    struct key k = key_bytes(id, EVENT_ID_LEN);
    struct pack p = db_record(s);
    pack_u64(&p, pos);
    return db_put(s, TABLE_ID, &k, &p);
}

/* ---- versions ---- */

static enum err latest_get(struct store *s, const uint8_t address[32], struct latest *l)
{
    struct key k = key_bytes(address, 32);
    struct unpack u;
    enum err e = db_get(s, TABLE_LATEST, &k, &u);
    if (e == ERR_NONE && !latest_unpack(&u, l))
        e = db_corrupt(s, TABLE_LATEST);
    return e;
}

static enum err latest_put(struct store *s, const uint8_t address[32], const struct latest *l)
{
    struct key k = key_bytes(address, 32);
    struct pack p = db_record(s);
    latest_pack(&p, l);
    return db_put(s, TABLE_LATEST, &k, &p);
}

enum err index_newer(struct store *s, const struct event *ev, uint64_t pos, uint64_t *newer)
{
    *newer = 0;
    if (!ev->has_address)
        return ERR_NONE;
    struct latest l;
    enum err e = latest_get(s, ev->address, &l);
    if (e == ERR_NONE && l.pos != pos)
        *newer = l.pos;
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

static enum err add_version(struct store *s, const struct event *ev, uint64_t pos,
                            struct queue_tail *t)
{
    struct latest l = {.versions = 0};
    enum err e = latest_get(s, ev->address, &l);
    if (e != ERR_NONE && e != ERR_NOT_FOUND)
        return e;
    /* The same event may be there under a position that is forgotten. */
    bool same = e == ERR_NONE && memcmp(l.id, ev->id, sizeof l.id) == 0;
    bool newest = e == ERR_NOT_FOUND || event_newer(ev->created_at, ev->id, l.created_at, l.id);
    if (e == ERR_NONE && newest) {
        s->superseded[0] = l.pos;
        t->superseded_len = 1;
    }
    if (newest || same) {
        l.pos = pos;
        l.created_at = ev->created_at;
        memcpy(l.id, ev->id, sizeof l.id);
    } else {
        t->ev.newer = l.pos;
    }
    l.versions++;
    return latest_put(s, ev->address, &l);
}

/* The newest counts until all versions are forgotten: the others are superseded all the same. */
static enum err remove_version(struct store *s, const struct entry *en)
{
    struct latest l;
    enum err e = latest_get(s, en->address, &l);
    if (e != ERR_NONE)
        return e == ERR_NOT_FOUND ? ERR_NONE : e;
    if (l.versions > 1) {
        l.versions--;
        return latest_put(s, en->address, &l);
    }
    struct key k = key_bytes(en->address, sizeof en->address);
    return db_del(s, TABLE_LATEST, &k);
}

/* ---- deletions ---- */

static struct key deletion_of_id(const uint8_t author[32], const uint8_t id[EVENT_ID_LEN])
{
    struct key k = key_bytes("i", 1);
    key_add(&k, author, 32);
    key_add(&k, id, EVENT_ID_LEN);
    return k;
}

/* An address names its author: nobody else's deletion reaches it. */
static struct key deletion_of_address(const uint8_t address[32])
{
    struct key k = key_bytes("a", 1);
    key_add(&k, address, 32);
    return k;
}

/* The lowest position of a deletion of `what` that was made at or after `since`. */
static enum err first_deletion(struct store *s, const struct key *what, uint64_t since,
                               uint64_t *pos)
{
    struct walk w;
    enum err e = walk_begin(s, TABLE_DELETION, &w);
    if (e != ERR_NONE)
        return e;
    for (e = walk_seek(&w, what); e == ERR_NONE && walk_has_prefix(&w, what); e = walk_next(&w)) {
        if (unpack_u64(&w.u) >= since) {
            uint64_t at = walk_key_u64(&w, what->len);
            if (*pos == 0 || at < *pos)
                *pos = at;
            break;
        }
    }
    walk_end(&w);
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

enum err index_deleted_by(struct store *s, const struct event *ev, uint64_t *pos)
{
    *pos = 0;
    if (ev->kind == KIND_DELETION || s->meta.deletions == 0)
        return ERR_NONE;
    struct key k = deletion_of_id(ev->pubkey, ev->id);
    enum err e = first_deletion(s, &k, 0, pos);
    if (e == ERR_NONE && ev->has_address) {
        k = deletion_of_address(ev->address);
        e = first_deletion(s, &k, ev->created_at, pos);
    }
    return e;
}

struct deleting {
    struct store *s;
    const struct event *ev;
    uint64_t pos;
    uint32_t n;
    struct queue_tail *t;
    enum err err;
};

static void tell_deleted(struct deleting *d, uint64_t pos)
{
    struct queue_tail *t = d->t;
    for (size_t i = 0; i < t->deleted_len; i++) {
        if (d->s->deleted[i] == pos)
            return;
    }
    if (t->deleted_len == STORE_TAIL_DELETED)
        t->deleted_more = true;
    else
        d->s->deleted[t->deleted_len++] = pos;
}

/* Only what still has its bytes is told: nobody has anything to skip of what is trimmed. */
static enum err find_deleted_id(struct deleting *d, const uint8_t *id)
{
    uint64_t pos;
    int64_t accepted_ms;
    struct event *ev;
    enum err e = id_find(d->s, id, &pos);
    if (e == ERR_NONE)
        e = log_get(d->s, pos, &accepted_ms, &ev);
    if (e != ERR_NONE)
        return e == ERR_NOT_FOUND ? ERR_NONE : e;
    if (ev->kind != KIND_DELETION && memcmp(ev->pubkey, d->ev->pubkey, sizeof ev->pubkey) == 0)
        tell_deleted(d, pos);
    event_unref(ev);
    return ERR_NONE;
}

/* The index knows the newest version only. When there are older ones the facts must be read again.
 */
static enum err find_deleted_address(struct deleting *d, const uint8_t *address)
{
    struct latest l;
    bool has = false;
    enum err e = latest_get(d->s, address, &l);
    if (e == ERR_NONE)
        e = log_has(d->s, l.pos, &has);
    if (e != ERR_NONE)
        return e == ERR_NOT_FOUND ? ERR_NONE : e;
    if (has && l.created_at <= d->ev->created_at)
        tell_deleted(d, l.pos);
    if (l.versions > 1)
        d->t->deleted_more = true;
    return ERR_NONE;
}

static enum err note_deletion(struct deleting *d, struct key *what)
{
    struct store *s = d->s;
    struct key n = key_u64_u32(d->pos, d->n++);
    struct pack p = db_record(s);
    pack_bytes(&p, what->bytes, what->len);
    enum err e = db_put(s, TABLE_DELETES, &n, &p);
    key_add_u64(what, d->pos);
    bool has = false;
    if (e == ERR_NONE)
        e = db_has(s, TABLE_DELETION, what, &has);
    if (e != ERR_NONE || has)
        return e;
    p = db_record(s);
    pack_u64(&p, d->ev->created_at);
    s->meta.deletions++;
    s->meta_dirty = true;
    return db_put(s, TABLE_DELETION, what, &p);
}

static void on_deletion(void *arg, const uint8_t *id, const uint8_t *address)
{
    struct deleting *d = arg;
    if (d->err != ERR_NONE)
        return;
    struct key what = id ? deletion_of_id(d->ev->pubkey, id) : deletion_of_address(address);
    d->err = id ? find_deleted_id(d, id) : find_deleted_address(d, address);
    if (d->err == ERR_NONE)
        d->err = note_deletion(d, &what);
}

static enum err delete_record(struct store *s, struct unpack *u, uint64_t pos)
{
    size_t len;
    const uint8_t *bytes = unpack_bytes(u, KEY_MAX - sizeof pos, &len);
    if (unpack_end(u) != ERR_NONE || len == 0)
        return db_corrupt(s, TABLE_DELETES);
    struct key what = key_bytes(bytes, len);
    key_add_u64(&what, pos);
    bool has;
    enum err e = db_has(s, TABLE_DELETION, &what, &has);
    if (e != ERR_NONE || !has)
        return e;
    s->meta.deletions--;
    s->meta_dirty = true;
    return db_del(s, TABLE_DELETION, &what);
}

static enum err remove_deletions(struct store *s, uint64_t pos)
{
    struct key prefix = {.len = 0};
    key_add_u64(&prefix, pos);
    struct walk w;
    enum err e = walk_begin(s, TABLE_DELETES, &w);
    if (e != ERR_NONE)
        return e;
    e = walk_seek(&w, &prefix);
    while (e == ERR_NONE && walk_has_prefix(&w, &prefix)) {
        e = delete_record(s, &w.u, pos);
        if (e == ERR_NONE)
            e = walk_del(&w);
        if (e == ERR_NONE)
            e = walk_next(&w);
    }
    walk_end(&w);
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

/* ---- both ---- */

enum err index_add(struct store *s, const struct event *ev, uint64_t pos, struct queue_tail *t)
{
    t->superseded = s->superseded;
    t->deleted = s->deleted;
    enum err e = ev->has_address ? add_version(s, ev, pos, t) : ERR_NONE;
    if (e != ERR_NONE || ev->kind != KIND_DELETION)
        return e;
    struct deleting d = {.s = s, .ev = ev, .pos = pos, .t = t};
    event_each_deletion(ev, on_deletion, &d);
    return d.err;
}

enum err index_remove(struct store *s, uint64_t pos, const struct entry *en)
{
    struct key k = key_bytes(en->id, sizeof en->id);
    enum err e = db_del(s, TABLE_ID, &k);
    if (e == ERR_NONE && en->has_address)
        e = remove_version(s, en);
    if (e == ERR_NONE && en->kind == KIND_DELETION)
        e = remove_deletions(s, pos);
    return e;
}
