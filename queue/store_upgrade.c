/* From the formats before to this one, in the turn in which the store is opened: a crash within it
 * leaves the old one as it was.
 *
 * From 2 to 3: tables for statistics, empty, and their version in the meta record.
 *
 * From 1 to 2: entries get their author, read from the event where it is still kept (else it stays
 * unknown), and the sum up to them; lanes and the meta record get fields that begin at nothing. The
 * list in force is what the lanes make up; when it came, and by whom, nobody wrote down: it counts
 * from now. */
#include "queue/store_operate.h"

#include <stdlib.h>
#include <string.h>

/* The first entry at or behind `*pos`. ERR_NOT_FOUND. */
static enum err next_entry(struct store *s, uint64_t *pos, struct entry *en)
{
    struct walk w;
    struct key k = key_u64(*pos);
    enum err e = walk_begin(s, TABLE_ENTRY, &w);
    if (e != ERR_NONE)
        return e;
    e = walk_seek(&w, &k);
    if (e == ERR_NONE) {
        *pos = walk_key_pos(&w);
        if (!entry_unpack(&w.u, s->format, en))
            e = db_corrupt(s, TABLE_ENTRY);
    }
    walk_end(&w);
    return e;
}

static enum err upgrade_entries(struct store *s)
{
    struct entry en;
    enum err e = ERR_NONE;
    for (uint64_t pos = 1; e == ERR_NONE; pos++) {
        struct event *ev;
        int64_t accepted_ms;
        e = next_entry(s, &pos, &en);
        if (e != ERR_NONE)
            break;
        s->meta.sum += en.len + STORE_ENTRY_COST;
        en.sum = s->meta.sum;
        e = log_get(s, pos, &accepted_ms, &ev);
        if (e == ERR_NONE) {
            memcpy(en.author, ev->pubkey, sizeof en.author);
            event_unref(ev);
        }
        if (e == ERR_NONE || e == ERR_NOT_FOUND)
            e = entry_put(s, pos, &en);
    }
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

static enum err upgrade_list(struct store *s, int64_t now_ms)
{
    uint8_t hash[32];
    size_t len = 0;
    if (s->meta.registry_version == 0)
        return ERR_NONE;
    struct definition *defs = mem_zero(s->lanes_alive + 1, sizeof *defs);
    for (size_t i = 0; i < s->lanes_len; i++) {
        if (!s->lanes[i]->retired)
            defs[len++] = *s->lanes[i]->wanted;
    }
    definition_list_hash(defs, len, hash);
    free(defs);
    return list_begin(s, hash, "", now_ms);
}

static enum err upgrade_1(struct store *s, int64_t now_ms)
{
    enum err e = db_open_tables(s, TABLES_OF_FORMAT_1, TABLES_OF_FORMAT_2, true);
    if (e == ERR_NONE)
        e = upgrade_entries(s);
    if (e == ERR_NONE)
        e = upgrade_list(s, now_ms);
    for (size_t i = 0; i < s->lanes_len; i++)
        s->lanes[i]->dirty = true;
    return e == ERR_NONE ? jobs_load(s) : e;
}

enum err store_upgrade(struct store *s, int64_t now_ms)
{
    enum err e = s->format == 1 ? upgrade_1(s, now_ms) : ERR_NONE;
    if (e == ERR_NONE)
        e = db_open_tables(s, TABLES_OF_FORMAT_2, TABLE_COUNT, true);
    s->meta_dirty = true;
    s->format = STORE_FORMAT;
    return e;
}
