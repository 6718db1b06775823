/* The log: appending, finding what is there already, reading. An append touches the log, the index
 * and nothing of any lane, however many there are. */
#include "queue/store_operate.h"

#include <string.h>

/* ---- records ---- */

enum err entry_get(struct store *s, uint64_t pos, struct entry *en)
{
    struct key k = key_u64(pos);
    struct unpack u;
    enum err e = db_get(s, TABLE_ENTRY, &k, &u);
    if (e == ERR_NONE && !entry_unpack(&u, STORE_FORMAT, en))
        e = db_corrupt(s, TABLE_ENTRY);
    return e;
}

enum err entry_put(struct store *s, uint64_t pos, const struct entry *en)
{
    struct key k = key_u64(pos);
    struct pack p = db_record(s);
    entry_pack(&p, en);
    return db_put(s, TABLE_ENTRY, &k, &p);
}

enum err log_get(struct store *s, uint64_t pos, int64_t *accepted_ms, struct event **ev)
{
    struct key k = key_u64(pos);
    struct unpack u;
    enum err e = db_get(s, TABLE_LOG, &k, &u);
    if (e == ERR_NONE && !log_unpack(&u, accepted_ms, ev))
        e = db_corrupt(s, TABLE_LOG);
    return e;
}

enum err log_has(struct store *s, uint64_t pos, bool *has)
{
    struct key k = key_u64(pos);
    return db_has(s, TABLE_LOG, &k, has);
}

void log_uncount(struct store *s, uint64_t pos, const struct entry *en)
{
    s->meta.bytes -= en->len;
    if (pos < s->meta.first)
        s->meta.kept_bytes -= en->len;
    s->meta_dirty = true;
}

enum err log_drop(struct store *s, uint64_t pos, const struct entry *en)
{
    bool has;
    struct key k = key_u64(pos);
    enum err e = log_has(s, pos, &has);
    if (e != ERR_NONE || !has)
        return e;
    log_uncount(s, pos, en);
    return db_del(s, TABLE_LOG, &k);
}

uint64_t store_head(const struct store *s)
{
    return s->meta.head;
}

uint64_t store_registry_version(const struct store *s)
{
    return s->meta.registry_version;
}

/* ---- appending what is new ---- */

static enum err refuse(struct store *s, const struct event *ev, int64_t now_ms, struct problem *why)
{
    if (s->lanes_alive == 0)
        return problem_set(why, ERR_NO_LANES, "no relay is configured");
    if (!state_takes_kind(s, ev->kind))
        return problem_set(why, ERR_FILTERED, "no relay takes events of kind %u", ev->kind);
    enum err e = room_for(s, ev->len, why);
    if (e != ERR_NONE)
        return e;
    uint64_t need = ev->len + STORE_ENTRY_COST;
    if (s->meta.bytes + need <= s->options.max_bytes)
        return ERR_NONE;
    e = lanes_give_up_excess(s, now_ms);
    if (e == ERR_NONE)
        e = forget_for(s, need, now_ms);
    if (e == ERR_FULL)
        return problem_set(why, ERR_FULL, "queue is full (its relays are behind); try again later");
    return e;
}

static enum err put_event(struct store *s, const struct event *ev, uint64_t pos, int64_t now_ms)
{
    struct entry en = {.accepted_ms = now_ms,
                       .kind = ev->kind,
                       .len = (uint32_t)ev->len,
                       .sum = s->meta.sum + ev->len + STORE_ENTRY_COST,
                       .has_address = ev->has_address};
    memcpy(en.author, ev->pubkey, sizeof en.author);
    memcpy(en.id, ev->id, sizeof en.id);
    memcpy(en.address, ev->address, sizeof en.address);
    struct key k = key_u64(pos);
    struct pack p = db_record(s);
    log_pack(&p, now_ms, ev);
    enum err e = db_append(s, TABLE_LOG, &k, &p);
    if (e != ERR_NONE)
        return e;
    p = db_record(s);
    entry_pack(&p, &en);
    e = db_append(s, TABLE_ENTRY, &k, &p);
    return e == ERR_NONE ? id_put(s, ev->id, pos) : e;
}

static enum err append_new(struct store *s, struct event *ev, int64_t now_ms,
                           struct append_result *r, struct queue_tail *t)
{
    uint64_t pos = s->meta.head + 1;
    t->ev = (struct queue_event){.pos = pos, .accepted_ms = now_ms, .event = ev};
    enum err e = put_event(s, ev, pos, now_ms);
    if (e == ERR_NONE)
        e = index_add(s, ev, pos, t);
    if (e == ERR_NONE)
        e = index_deleted_by(s, ev, &t->ev.deleted_by);
    s->meta.head = pos;
    s->meta.entries++;
    s->meta.bytes += ev->len + STORE_ENTRY_COST;
    s->meta.sum += ev->len + STORE_ENTRY_COST;
    s->meta_dirty = true;
    r->pos = pos;
    return e;
}

/* ---- appending again ---- */

/* Whether this lane has the position as not delivered, and nobody asked for it yet. Skipped stays
 * skipped: the reason would still hold. */
static enum err may_requeue(struct store *s, const struct lane *l, uint64_t pos, bool *may)
{
    struct row row;
    size_t len;
    bool pending = false;
    *may = false;
    enum err e = l->retired ? ERR_NOT_FOUND : row_find(s, l->number, pos, &row);
    if (e != ERR_NONE || row.end == ROW_SKIPPED)
        return e == ERR_NOT_FOUND ? ERR_NONE : e;
    e = request_pending(s, l, pos, &pending);
    if (e == ERR_NONE)
        e = exceptions_load(s, l, s->exceptions, &len);
    if (e == ERR_NONE)
        *may = !pending && !exceptions_find(s->exceptions, len, pos);
    return e;
}

/* The bytes were gone, and here they are again: TABLE_LOOSE lets housekeeping find them when it is
 * over. */
static enum err restore_bytes(struct store *s, const struct event *ev, uint64_t pos,
                              struct entry *en)
{
    bool has;
    enum err e = log_has(s, pos, &has);
    if (e != ERR_NONE || has)
        return e;
    struct key k = key_u64(pos);
    struct pack p = db_record(s);
    log_pack(&p, en->accepted_ms, ev);
    e = db_put(s, TABLE_LOG, &k, &p);
    en->len = (uint32_t)ev->len;
    s->meta.bytes += en->len;
    s->meta.kept_bytes += en->len;
    s->meta_dirty = true;
    p = db_record(s);
    return e == ERR_NONE ? db_put(s, TABLE_LOOSE, &k, &p) : e;
}

/* Somebody sent it again and means it: it is asked for once more where it was not delivered. */
static enum err append_again(struct store *s, const struct event *ev, uint64_t pos, int64_t now_ms,
                             struct append_result *r)
{
    struct entry en;
    *r = (struct append_result){.pos = pos, .duplicate = true};
    enum err e = entry_get(s, pos, &en);
    if (e == ERR_NOT_FOUND)
        return db_corrupt(s, TABLE_ENTRY);
    if (e != ERR_NONE)
        return e;
    if (en.requeued_ms != 0 && now_ms - en.requeued_ms < STORE_REQUEUE_MS)
        return ERR_NONE;
    for (size_t i = 0; e == ERR_NONE && i < s->lanes_len; i++) {
        struct lane *l = s->lanes[i];
        bool may = false;
        if (l->failed + l->expired + l->purged > 0)
            e = may_requeue(s, l, pos, &may);
        if (e == ERR_NONE && may) {
            e = request_add(s, l, pos);
            r->requeued++;
        }
    }
    if (e != ERR_NONE || r->requeued == 0)
        return e;
    e = restore_bytes(s, ev, pos, &en);
    en.requeued_ms = now_ms;
    if (s->asked_due_ms > now_ms + s->options.retention_ms)
        s->asked_due_ms = now_ms + s->options.retention_ms;
    return e == ERR_NONE ? entry_put(s, pos, &en) : e;
}

enum err store_append(struct store *s, struct event *ev, int64_t now_ms, struct append_result *r,
                      struct queue_tail *tail, struct problem *why)
{
    struct queue_tail unheard;
    struct queue_tail *t = tail ? tail : &unheard;
    *r = (struct append_result){0};
    *t = (struct queue_tail){0};
    db_need_turn(s);
    if (heartbeat_is(ev))
        return heartbeat_append(s, ev, now_ms, r, why);
    uint64_t pos;
    enum err e = id_find(s, ev->id, &pos);
    if (e == ERR_NONE)
        return append_again(s, ev, pos, now_ms, r);
    if (e != ERR_NOT_FOUND)
        return e;
    e = refuse(s, ev, now_ms, why);
    return e == ERR_NONE ? append_new(s, ev, now_ms, r, t) : e;
}

/* ---- reading ---- */

static enum err read_at(struct store *s, struct unpack *u, uint64_t pos, store_read_fn *fn,
                        void *arg, bool *more)
{
    struct queue_event out = {.pos = pos};
    if (!log_unpack(u, &out.accepted_ms, &out.event))
        return db_corrupt(s, TABLE_LOG);
    enum err e = index_newer(s, out.event, pos, &out.newer);
    if (e == ERR_NONE)
        e = index_deleted_by(s, out.event, &out.deleted_by);
    if (e == ERR_NONE)
        *more = fn(arg, &out);
    event_unref(out.event);
    return e;
}

/* Tells the positions before the next one that has its bytes: they are gone. */
static bool tell_gone(uint64_t *pos, uint64_t before, store_read_fn *fn, void *arg)
{
    for (; *pos < before; (*pos)++) {
        struct queue_event out = {.pos = *pos, .gone = GONE_TRIMMED};
        if (!fn(arg, &out))
            return false;
    }
    return true;
}

static enum err read_range(struct walk *w, uint64_t from, uint64_t to, store_read_fn *fn, void *arg)
{
    uint64_t pos = from;
    bool more = true;
    struct key k = key_u64(from);
    enum err e = walk_seek(w, &k);
    while (more && e == ERR_NONE && walk_key_pos(w) <= to) {
        more = tell_gone(&pos, walk_key_pos(w), fn, arg);
        if (!more)
            return ERR_NONE;
        e = read_at(w->s, &w->u, pos++, fn, arg, &more);
        if (e == ERR_NONE && more)
            e = walk_next(w);
    }
    if (e != ERR_NONE && e != ERR_NOT_FOUND)
        return e;
    if (more)
        (void)tell_gone(&pos, to + 1, fn, arg);
    return ERR_NONE;
}

enum err store_read(struct store *s, uint64_t from, uint64_t to, store_read_fn *fn, void *arg)
{
    struct walk w;
    if (from == 0)
        from = 1;
    if (to > s->meta.head)
        to = s->meta.head;
    if (from > to)
        return ERR_NONE;
    enum err e = db_wake(s);
    if (e != ERR_NONE)
        return e;
    e = walk_begin(s, TABLE_LOG, &w);
    if (e == ERR_NONE)
        e = read_range(&w, from, to, fn, arg);
    walk_end(&w);
    db_sleep(s);
    return e;
}
