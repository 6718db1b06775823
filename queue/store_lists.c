/* Which lists of relays were in force: so that an old one, brought by a container that merely
 * restarts, changes nothing. The last record is the one in force; before it stand the last
 * LISTS_MAX that were replaced, each list once. */
#include "queue/store_operate.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static struct key number_key(uint64_t number)
{
    struct key k = {.len = 0};
    key_add_u64(&k, number);
    return k;
}

static enum err list_put(struct store *s, uint64_t number, const struct list *l)
{
    struct key k = number_key(number);
    struct pack p = db_record(s);
    list_pack(&p, l);
    return db_put(s, TABLE_LIST, &k, &p);
}

enum err list_in_force(struct store *s, struct list *l)
{
    struct key k = number_key(s->meta.lists_made);
    struct unpack u;
    if (s->meta.lists_made == 0)
        return ERR_NOT_FOUND;
    enum err e = db_get(s, TABLE_LIST, &k, &u);
    if (e == ERR_NOT_FOUND || (e == ERR_NONE && !list_unpack(&u, l)))
        return db_corrupt(s, TABLE_LIST);
    return e;
}

/* The record of this list. ERR_NOT_FOUND. */
static enum err find(struct store *s, const uint8_t hash[32], uint64_t *number, struct list *l)
{
    struct walk w;
    enum err e = walk_begin(s, TABLE_LIST, &w);
    if (e != ERR_NONE)
        return e;
    for (e = walk_seek(&w, NULL); e == ERR_NONE; e = walk_next(&w)) {
        *number = walk_key_u64(&w, 0);
        if (!list_unpack(&w.u, l))
            e = db_corrupt(s, TABLE_LIST);
        if (e != ERR_NONE || memcmp(l->hash, hash, sizeof l->hash) == 0)
            break;
    }
    walk_end(&w);
    return e;
}

static enum err say_stale(const struct list *l, struct problem *why)
{
    char when[32] = "";
    time_t t = (time_t)(l->replaced_ms / 1000);
    struct tm tm;
    gmtime_r(&t, &tm);
    (void)strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &tm);
    return problem_set(
        why, ERR_STALE,
        "this list of relays was replaced by another on %s UTC%s%s, and is not put in "
        "force again by itself; if you mean it: volley relays apply",
        when, l->replaced_by[0] ? " by " : "", l->replaced_by);
}

enum err list_check(struct store *s, const uint8_t hash[32], bool *again, struct problem *why)
{
    struct list l;
    uint64_t number = 0;
    enum err e = find(s, hash, &number, &l);
    *again = e == ERR_NONE && number == s->meta.lists_made;
    if (e != ERR_NONE)
        return e == ERR_NOT_FOUND ? ERR_NONE : e;
    return *again ? ERR_NONE : say_stale(&l, why);
}

/* What has been replaced for long is forgotten. */
static enum err drop_oldest(struct store *s)
{
    struct walk w;
    size_t len = 0;
    enum err e = walk_begin(s, TABLE_LIST, &w);
    if (e != ERR_NONE)
        return e;
    for (e = walk_seek(&w, NULL); e == ERR_NONE; e = walk_next(&w))
        len++;
    if (e == ERR_NOT_FOUND)
        e = ERR_NONE;
    for (; e == ERR_NONE && len > LISTS_MAX + 1; len--) {
        e = walk_seek(&w, NULL);
        if (e == ERR_NONE)
            e = walk_del(&w);
    }
    walk_end(&w);
    return e;
}

enum err list_begin(struct store *s, const uint8_t hash[32], const char *by, int64_t now_ms)
{
    struct list l;
    uint64_t number;
    enum err e = find(s, hash, &number, &l);
    if (e == ERR_NONE) { /* it was in force before */
        struct key k = number_key(number);
        e = db_del(s, TABLE_LIST, &k);
    } else if (e == ERR_NOT_FOUND) {
        e = ERR_NONE;
    }
    if (e == ERR_NONE && s->meta.lists_made > 0) {
        e = list_in_force(s, &l);
        l.replaced_ms = now_ms;
        (void)snprintf(l.replaced_by, sizeof l.replaced_by, "%s", by);
        if (e == ERR_NONE)
            e = list_put(s, s->meta.lists_made, &l);
    }
    if (e != ERR_NONE)
        return e;
    l = (struct list){.since_ms = now_ms};
    memcpy(l.hash, hash, sizeof l.hash);
    (void)snprintf(l.by, sizeof l.by, "%s", by);
    s->meta_dirty = true;
    e = list_put(s, ++s->meta.lists_made, &l);
    return e == ERR_NONE ? drop_oldest(s) : e;
}
