/* What goes with time: events older than retention expire, what every lane is done with is trimmed,
 * bytes that nobody needs go, ids are forgotten (store_forget.c), retired lanes leave.
 *
 * Time is the wall clock's, and a wall clock can be set. When it moved further than the machine was
 * up since the last look, nothing expires for an hour: whoever set it wrongly has time to mend it.
 */
#include "queue/store_operate.h"

#include <string.h>

/* ---- the clocks ---- */

/* The look is written when something else is, or every ten minutes: an idle queue does not write.
 */
#define LOOK_WRITTEN_MS 600000u

static bool may_expire(struct store *s, int64_t wall_ms, uint64_t boot_ms)
{
    struct meta *m = &s->meta;
    uint64_t up_ms = boot_ms >= m->look_boot_ms ? boot_ms - m->look_boot_ms : boot_ms;
    bool rebooted = boot_ms < m->look_boot_ms;
    if (rebooted)
        m->calm_until_boot_ms = 0;
    if (m->look_wall_ms != 0 && wall_ms - m->look_wall_ms > (int64_t)up_ms + STORE_JUMP_MS) {
        m->calm_until_boot_ms = boot_ms + STORE_CALM_MS;
        s->meta_dirty = true;
    }
    if (m->look_wall_ms == 0 || rebooted || boot_ms - s->look_written_boot_ms >= LOOK_WRITTEN_MS)
        s->meta_dirty = true;
    m->look_wall_ms = wall_ms;
    m->look_boot_ms = boot_ms;
    if (s->meta_dirty)
        s->look_written_boot_ms = boot_ms;
    return boot_ms >= m->calm_until_boot_ms;
}

/* ---- expiry ---- */

/* Moves the mark over what is older than retention. */
static enum err find_expired(struct store *s, int64_t now_ms, unsigned *work)
{
    uint64_t pos = s->meta.expired + 1;
    if (pos < s->meta.first)
        pos = s->meta.first;
    for (; pos <= s->meta.head && *work > 0; pos++, (*work)--) {
        struct entry en;
        enum err e = entry_get(s, pos, &en);
        if (e != ERR_NONE)
            return e == ERR_NOT_FOUND ? db_corrupt(s, TABLE_ENTRY) : e;
        if (en.accepted_ms + s->options.retention_ms > now_ms)
            break;
        s->meta.expired = pos;
        s->meta_dirty = true;
    }
    return ERR_NONE;
}

/* A lane that is past the mark is still told when an exception of it expires. */
static enum err expire(struct store *s, int64_t now_ms, unsigned *work)
{
    uint64_t before = s->meta.expired;
    enum err e = find_expired(s, now_ms, work);
    uint64_t to = s->meta.expired;
    for (size_t i = 0; e == ERR_NONE && i < s->lanes_len; i++) {
        struct lane *l = s->lanes[i];
        bool behind = lane_position(l) < to ||
                      (to > before && l->exceptions_len > 0 && l->exceptions_first <= to);
        if (!l->retired && behind)
            e = lane_give_up(s, l, to, CLASS_RETENTION, now_ms);
    }
    return e;
}

/* ---- what was asked for again, and nobody came ---- */

/* The first requests of the lane: others are looked at when these are gone. */
static enum err drop_old_requests(struct store *s, struct lane *l, int64_t now_ms)
{
    struct lane_request asked[QUEUE_REQUESTS_MAX];
    size_t len;
    enum err e = requests_load(s, l, &len);
    memcpy(asked, s->requests, sizeof asked);
    for (size_t i = 0; e == ERR_NONE && i < len; i++) {
        int64_t until_ms;
        e = asked_until(s, l, asked[i].pos, now_ms, &until_ms);
        if (e == ERR_NONE && until_ms == 0)
            e = request_end(s, l, &asked[i], now_ms);
        else if (until_ms < s->asked_due_ms)
            s->asked_due_ms = until_ms;
    }
    return e;
}

/* An exception below the log's first position was asked for again. The floor tells the owner when
 * it goes. */
static enum err drop_old_exceptions(struct store *s, struct lane *l, int64_t now_ms)
{
    uint64_t last;
    size_t len;
    enum err e = exceptions_give_up(s, l, s->meta.first - 1, CLASS_RETENTION, now_ms, &last);
    if (last > l->floor) {
        l->floor = last;
        l->dirty = true;
        s->news++;
    }
    if (e == ERR_NONE)
        e = exceptions_load(s, l, s->exceptions, &len);
    for (size_t i = 0; e == ERR_NONE && i < len && s->exceptions[i].pos < s->meta.first; i++) {
        int64_t until_ms;
        e = asked_until(s, l, s->exceptions[i].pos, now_ms, &until_ms);
        if (until_ms < s->asked_due_ms)
            s->asked_due_ms = until_ms;
    }
    return e;
}

/* All are looked at only when one may be due: there can be many of them, for long. */
static enum err expire_asked(struct store *s, int64_t now_ms)
{
    if (now_ms < s->asked_due_ms)
        return ERR_NONE;
    s->asked_due_ms = INT64_MAX;
    enum err e = ERR_NONE;
    for (size_t i = 0; e == ERR_NONE && i < s->lanes_len; i++) {
        struct lane *l = s->lanes[i];
        if (l->requests_pending > 0)
            e = drop_old_requests(s, l, now_ms);
        if (e == ERR_NONE && l->exceptions_len > 0 && l->exceptions_first < s->meta.first)
            e = drop_old_exceptions(s, l, now_ms);
    }
    return e;
}

/* ---- trimming ---- */

enum err lane_lowest(struct store *s, const struct lane *l, uint64_t *low)
{
    size_t len = 0;
    *low = lane_position(l) + 1;
    if (l->exceptions_len == 0)
        return ERR_NONE;
    if (l->exceptions_first >= s->meta.first) {
        *low = l->exceptions_first;
        return ERR_NONE;
    }
    enum err e = exceptions_load(s, l, s->exceptions, &len);
    for (size_t i = 0; i < len; i++) {
        if (s->exceptions[i].pos >= s->meta.first) {
            *low = s->exceptions[i].pos;
            break;
        }
    }
    return e;
}

enum err trim_mark(struct store *s, uint64_t *mark)
{
    *mark = s->meta.head + 1;
    for (size_t i = 0; i < s->lanes_len; i++) {
        uint64_t low;
        if (s->lanes[i]->retired)
            continue;
        enum err e = lane_lowest(s, s->lanes[i], &low);
        if (e != ERR_NONE)
            return e;
        if (low < *mark)
            *mark = low;
    }
    return ERR_NONE;
}

static enum err mark_loose(struct store *s, uint64_t pos)
{
    struct key k = key_u64(pos);
    struct pack p = db_record(s);
    return db_put(s, TABLE_LOOSE, &k, &p);
}

static enum err trim_one(struct store *s, int64_t now_ms)
{
    uint64_t pos = s->meta.first;
    struct entry en;
    bool want = false;
    enum err e = entry_get(s, pos, &en);
    if (e != ERR_NONE)
        return e == ERR_NOT_FOUND ? db_corrupt(s, TABLE_ENTRY) : e;
    if (en.holds > 0)
        e = row_holds(s, pos, &en);
    if (e == ERR_NONE && en.holds == 0)
        e = lanes_want(s, pos, &want);
    if (e == ERR_NONE && en.holds == 0)
        e = want ? mark_loose(s, pos) : log_drop(s, pos, &en);
    if (e == ERR_NONE && (en.holds > 0 || want))
        s->meta.kept_bytes += en.len;
    s->meta.first++;
    s->meta_dirty = true;
    en.trimmed_ms = now_ms;
    return e == ERR_NONE ? entry_put(s, pos, &en) : e;
}

enum err trim(struct store *s, int64_t now_ms, unsigned *work)
{
    uint64_t mark;
    enum err e = trim_mark(s, &mark);
    for (; e == ERR_NONE && s->meta.first<mark && * work> 0; (*work)--)
        e = trim_one(s, now_ms);
    return e;
}

/* ---- bytes of trimmed positions ---- */

/* Looks at one that no failed row held when it was noted. `*gone`: the note has served. */
static enum err look_at_loose(struct store *s, uint64_t pos, bool *gone)
{
    struct entry en;
    bool want = false;
    *gone = true;
    enum err e = entry_get(s, pos, &en);
    if (e == ERR_NONE && en.holds == 0) {
        e = lanes_want(s, pos, &want);
        if (e == ERR_NONE && !want)
            e = log_drop(s, pos, &en);
        *gone = !want;
    }
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

/* Round and round, a part of them each time: most may be waiting for long. */
static enum err drop_loose(struct store *s, unsigned looks)
{
    struct walk w;
    struct key k = key_u64(s->loose_next);
    enum err e = walk_begin(s, TABLE_LOOSE, &w);
    if (e != ERR_NONE)
        return e;
    for (e = walk_seek(&w, &k); e == ERR_NONE && looks > 0; looks--) {
        bool gone;
        s->loose_next = walk_key_pos(&w) + 1;
        e = look_at_loose(s, walk_key_pos(&w), &gone);
        if (e == ERR_NONE && gone)
            e = walk_del(&w);
        if (e == ERR_NONE)
            e = walk_next(&w);
    }
    walk_end(&w);
    if (e == ERR_NOT_FOUND)
        s->loose_next = 0;
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

static enum err drop_bytes(struct walk *w, uint64_t pos)
{
    struct store *s = w->s;
    struct entry en;
    bool want;
    enum err e = lanes_want(s, pos, &want);
    if (e != ERR_NONE || want)
        return e;
    e = entry_get(s, pos, &en);
    if (e != ERR_NONE)
        return e == ERR_NOT_FOUND ? db_corrupt(s, TABLE_ENTRY) : e;
    log_uncount(s, pos, &en);
    return walk_del(w);
}

/* Beyond failed_max the oldest lose their bytes; their rows stay. */
static enum err drop_failed(struct store *s, unsigned looks)
{
    struct walk w;
    if (s->meta.kept_bytes <= s->options.failed_max)
        return ERR_NONE;
    enum err e = walk_begin(s, TABLE_LOG, &w);
    if (e != ERR_NONE)
        return e;
    for (e = walk_seek(&w, NULL); e == ERR_NONE && looks > 0; looks--) {
        uint64_t pos = walk_key_pos(&w);
        if (pos >= s->meta.first || s->meta.kept_bytes <= s->options.failed_max)
            break;
        e = drop_bytes(&w, pos);
        if (e == ERR_NONE)
            e = walk_next(&w);
    }
    walk_end(&w);
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

enum err drop_unneeded(struct store *s, unsigned looks)
{
    enum err e = drop_loose(s, looks);
    return e == ERR_NONE ? drop_failed(s, looks) : e;
}

/* ---- retired lanes ---- */

static enum err remove_retired(struct store *s, int64_t now_ms)
{
    enum err e = ERR_NONE;
    for (size_t i = s->lanes_len; e == ERR_NONE && i-- > 0;) {
        struct lane *l = s->lanes[i];
        if (l->retired && l->retired_ms + s->options.retention_ms <= now_ms)
            e = lane_remove(s, l);
    }
    return e;
}

/* ---- all ---- */

#define BALLAST_TRY_MS 60000u

static void restore_ballast(struct store *s, uint64_t boot_ms)
{
    if (s->has_ballast || boot_ms - s->ballast_tried_boot_ms < BALLAST_TRY_MS)
        return;
    s->ballast_tried_boot_ms = boot_ms;
    s->has_ballast = room_ballast(s->dir);
}

enum err store_housekeep(struct store *s, int64_t now_ms, uint64_t boot_ms, unsigned work_max,
                         bool *more)
{
    unsigned expire_work = work_max, work = work_max;
    db_need_turn(s);
    bool old_goes = may_expire(s, now_ms, boot_ms);
    enum err e = ERR_NONE;
    if (old_goes)
        e = expire(s, now_ms, &expire_work);
    if (e == ERR_NONE && old_goes)
        e = expire_asked(s, now_ms);
    if (e == ERR_NONE)
        e = lanes_give_up_excess(s, now_ms);
    if (e == ERR_NONE)
        e = trim(s, now_ms, &work);
    if (e == ERR_NONE)
        e = rows_sweep(s, work_max);
    if (e == ERR_NONE)
        e = drop_unneeded(s, work_max);
    if (e == ERR_NONE && old_goes)
        e = forget_due(s, now_ms, &work);
    if (e == ERR_NONE && old_goes)
        e = remove_retired(s, now_ms);
    restore_ballast(s, boot_ms);
    *more = work == 0 || (old_goes && expire_work == 0);
    return e;
}
