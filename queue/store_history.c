/* Earlier failures of an event at a lane: a failed row that a commit replaced or removed. The last
 * HISTORY_MAX of them stand in one record under position and lane, and go with the position's
 * entry. */
#include "queue/store_operate.h"

#include <string.h>

enum err history_load(struct store *s, uint32_t lane, uint64_t pos, struct row rows[HISTORY_MAX],
                      size_t *len)
{
    struct key k = key_u64_u32(pos, lane);
    struct unpack u;
    *len = 0;
    enum err e = db_get(s, TABLE_HISTORY, &k, &u);
    if (e == ERR_NONE && !history_unpack(&u, pos, rows, len))
        e = db_corrupt(s, TABLE_HISTORY);
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

enum err history_keep(struct store *s, const struct lane *l, uint64_t pos)
{
    struct row rows[HISTORY_MAX], row;
    size_t len;
    enum err e = l->failed > 0 ? row_get(s, l->number, pos, &row) : ERR_NOT_FOUND;
    if (e != ERR_NONE || row.end != ROW_FAILED)
        return e == ERR_NOT_FOUND ? ERR_NONE : e;
    e = history_load(s, l->number, pos, rows, &len);
    if (e != ERR_NONE)
        return e;
    if (len == HISTORY_MAX)
        memmove(rows, rows + 1, --len * sizeof *rows);
    rows[len++] = row;
    struct key k = key_u64_u32(pos, l->number);
    struct pack p = db_record(s);
    history_pack(&p, rows, len);
    return db_put(s, TABLE_HISTORY, &k, &p);
}

enum err history_forget(struct store *s, uint64_t from, uint64_t to)
{
    struct walk w;
    bool empty;
    struct key k = key_u64_u32(from, 0);
    enum err e = db_empty(s, TABLE_HISTORY, &empty);
    if (e != ERR_NONE || empty)
        return e;
    e = walk_begin(s, TABLE_HISTORY, &w);
    if (e != ERR_NONE)
        return e;
    e = walk_seek(&w, &k);
    while (e == ERR_NONE && walk_key_u64(&w, 0) <= to) {
        e = walk_del(&w);
        if (e == ERR_NONE)
            e = walk_next(&w);
    }
    walk_end(&w);
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}
