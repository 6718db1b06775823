/* LMDB, and around each record the same coat: one byte of version in front, a checksum over table,
 * key and content behind. A turn is LMDB's one write transaction; between turns a read transaction
 * is woken for each call and put to sleep again, so that it never pins old pages. */
#include "queue/store_internal.h"

#include <string.h>

#define RECORD_VERSION 1u
#define RECORD_COAT    5u /* version, checksum */
#define RECORD_MAX     (EVENT_LEN_MAX + 65536u)

static const struct {
    const char *name;
    unsigned flags;
} tables[TABLE_COUNT] = {
    [TABLE_META] = {"meta", 0},
    [TABLE_LOG] = {"log", MDB_INTEGERKEY},
    [TABLE_ENTRY] = {"entry", MDB_INTEGERKEY},
    [TABLE_ID] = {"id", 0},
    [TABLE_LATEST] = {"latest", 0},
    [TABLE_DELETION] = {"deletion", 0},
    [TABLE_DELETES] = {"deletes", 0},
    [TABLE_LANE] = {"lane", MDB_INTEGERKEY},
    [TABLE_EXCEPTION] = {"exception", MDB_INTEGERKEY},
    [TABLE_PATH] = {"path", MDB_INTEGERKEY},
    [TABLE_DEFINITION] = {"definition", 0},
    [TABLE_ROW] = {"row", 0},
    [TABLE_RUN] = {"run", 0},
    [TABLE_REQUEST] = {"request", 0},
    [TABLE_REQUESTED] = {"requested", 0},
    [TABLE_LOOSE] = {"loose", MDB_INTEGERKEY},
    [TABLE_LATER] = {"later", 0},
    [TABLE_HISTORY] = {"history", 0},
    [TABLE_LIST] = {"list", 0},
    [TABLE_JOB] = {"job", 0},
    [TABLE_MEMBER] = {"member", 0},
    [TABLE_WAITING] = {"waiting", 0},
    [TABLE_STATISTICS] = {"statistics", 0},
    [TABLE_LEADER] = {"leader", 0},
};

/* ---- keys ---- */

struct key key_bytes(const void *p, size_t len)
{
    struct key k = {.len = 0};
    key_add(&k, p, len);
    return k;
}

void key_add(struct key *k, const void *p, size_t len)
{
    if (len > KEY_MAX - k->len)
        die("a key of the store is too long");
    memcpy(k->bytes + k->len, p, len);
    k->len += len;
}

struct key key_u64(uint64_t v)
{
    return key_bytes(&v, sizeof v);
}

struct key key_u32(uint32_t v)
{
    return key_bytes(&v, sizeof v);
}

void key_add_u32(struct key *k, uint32_t v)
{
    uint8_t bytes[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    key_add(k, bytes, sizeof bytes);
}

void key_add_u64(struct key *k, uint64_t v)
{
    key_add_u32(k, (uint32_t)(v >> 32));
    key_add_u32(k, (uint32_t)v);
}

struct key key_lane_u64(uint32_t lane, uint64_t v)
{
    struct key k = {.len = 0};
    key_add_u32(&k, lane);
    key_add_u64(&k, v);
    return k;
}

struct key key_u64_u32(uint64_t a, uint32_t b)
{
    struct key k = {.len = 0};
    key_add_u64(&k, a);
    key_add_u32(&k, b);
    return k;
}

struct key key_u64_u64(uint64_t a, uint64_t b)
{
    struct key k = {.len = 0};
    key_add_u64(&k, a);
    key_add_u64(&k, b);
    return k;
}

/* ---- errors ---- */

/* What LMDB finds damaged is ERR_CORRUPT, everything else the system's refusal. */
static enum err failed(struct store *s, const char *what, const char *where, int rc)
{
    bool damaged = rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND || rc == MDB_INVALID ||
                   rc == MDB_VERSION_MISMATCH || rc == MDB_INCOMPATIBLE || rc == MDB_BAD_VALSIZE;
    s->last_error = rc;
    return problem_set(&s->problem, damaged ? ERR_CORRUPT : ERR_IO, "%s/data.mdb: %s %s: %s",
                       s->dir, what, where, mdb_strerror(rc));
}

enum err db_corrupt(struct store *s, enum table t)
{
    return problem_set(&s->problem, ERR_CORRUPT,
                       "%s/data.mdb: a record of table %s is damaged; restore a backup, or move "
                       "the directory away to begin anew",
                       s->dir, tables[t].name);
}

/* ---- turns ---- */

enum err db_open_tables(struct store *s, enum table from, enum table to, bool create)
{
    for (enum table t = from; t < to; t++) {
        unsigned flags = tables[t].flags | (create ? MDB_CREATE : 0u);
        int rc = mdb_dbi_open(s->txn, tables[t].name, flags, &s->dbi[t]);
        if (rc == MDB_NOTFOUND)
            return ERR_NOT_FOUND;
        if (rc != 0)
            return failed(s, "opening table", tables[t].name, rc);
    }
    return ERR_NONE;
}

enum err db_begin(struct store *s)
{
    if (s->txn)
        die("a turn of the store inside a turn");
    int rc = mdb_txn_begin(s->env, NULL, 0, &s->turn);
    if (rc != 0)
        return failed(s, "beginning", "a turn", rc);
    s->txn = s->turn;
    return ERR_NONE;
}

enum err db_commit(struct store *s)
{
    int rc = mdb_txn_commit(s->turn);
    s->turn = s->txn = NULL;
    return rc == 0 ? ERR_NONE : failed(s, "committing", "a turn", rc);
}

void db_abort(struct store *s)
{
    if (s->turn)
        mdb_txn_abort(s->turn);
    s->turn = s->txn = NULL;
}

void db_need_turn(const struct store *s)
{
    if (!s->turn)
        die("the store is changed outside a turn");
}

enum err db_wake(struct store *s)
{
    if (s->turn)
        return ERR_NONE;
    int rc =
        s->reader ? mdb_txn_renew(s->reader) : mdb_txn_begin(s->env, NULL, MDB_RDONLY, &s->reader);
    if (rc != 0)
        return failed(s, "reading", "", rc);
    s->txn = s->reader;
    return ERR_NONE;
}

void db_sleep(struct store *s)
{
    if (s->turn)
        return;
    mdb_txn_reset(s->reader);
    s->txn = NULL;
}

enum err db_empty(struct store *s, enum table t, bool *empty)
{
    MDB_stat st;
    int rc = mdb_stat(s->txn, s->dbi[t], &st);
    *empty = rc == 0 && st.ms_entries == 0;
    return rc == 0 ? ERR_NONE : failed(s, "measuring table", tables[t].name, rc);
}

enum err db_pages(struct store *s, uint64_t *pages)
{
    *pages = 0;
    for (enum table t = 0; t < TABLE_COUNT; t++) {
        MDB_stat st;
        int rc = mdb_stat(s->txn, s->dbi[t], &st);
        if (rc != 0)
            return failed(s, "measuring table", tables[t].name, rc);
        *pages += st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages;
    }
    return ERR_NONE;
}

/* ---- records ---- */

static MDB_val key_val(const struct key *k)
{
    return (MDB_val){.mv_size = k->len, .mv_data = (void *)k->bytes};
}

/* Takes the coat off. */
static enum err undress(struct store *s, enum table t, const MDB_val *k, const MDB_val *v,
                        struct unpack *u)
{
    const uint8_t *data = v->mv_data;
    if (v->mv_size < RECORD_COAT || data[0] != RECORD_VERSION)
        return db_corrupt(s, t);
    size_t len = v->mv_size - sizeof(uint32_t);
    uint32_t check;
    memcpy(&check, data + len, sizeof check);
    if (check != record_check(t, k->mv_data, k->mv_size, data, len))
        return db_corrupt(s, t);
    unpack_init(u, data + 1, len - 1);
    return ERR_NONE;
}

enum err db_get(struct store *s, enum table t, const struct key *k, struct unpack *u)
{
    MDB_val key = key_val(k), v;
    int rc = mdb_get(s->txn, s->dbi[t], &key, &v);
    if (rc == MDB_NOTFOUND)
        return ERR_NOT_FOUND;
    if (rc != 0)
        return failed(s, "reading table", tables[t].name, rc);
    return undress(s, t, &key, &v, u);
}

enum err db_has(struct store *s, enum table t, const struct key *k, bool *has)
{
    MDB_val key = key_val(k), v;
    int rc = mdb_get(s->txn, s->dbi[t], &key, &v);
    *has = rc == 0;
    if (rc != 0 && rc != MDB_NOTFOUND)
        return failed(s, "reading table", tables[t].name, rc);
    return ERR_NONE;
}

struct pack db_record(struct store *s)
{
    struct pack p;
    s->record.max = RECORD_MAX;
    buf_clear(&s->record);
    pack_init(&p, &s->record);
    pack_u8(&p, RECORD_VERSION);
    return p;
}

static enum err put(struct store *s, enum table t, const struct key *k, const struct pack *p,
                    unsigned flags)
{
    uint32_t check = record_check(t, k->bytes, k->len, s->record.data, s->record.len);
    if (pack_end(p) != ERR_NONE || buf_add(&s->record, &check, sizeof check) != ERR_NONE)
        die("a record of the store's table %s is too big", tables[t].name);
    MDB_val key = key_val(k), v = {.mv_size = s->record.len, .mv_data = s->record.data};
    int rc = mdb_put(s->txn, s->dbi[t], &key, &v, flags);
    return rc == 0 ? ERR_NONE : failed(s, "writing table", tables[t].name, rc);
}

enum err db_put(struct store *s, enum table t, const struct key *k, const struct pack *p)
{
    return put(s, t, k, p, 0);
}

enum err db_append(struct store *s, enum table t, const struct key *k, const struct pack *p)
{
    return put(s, t, k, p, MDB_APPEND);
}

enum err db_del(struct store *s, enum table t, const struct key *k)
{
    MDB_val key = key_val(k);
    int rc = mdb_del(s->txn, s->dbi[t], &key, NULL);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return failed(s, "deleting from table", tables[t].name, rc);
    return ERR_NONE;
}

/* ---- walks ---- */

enum err walk_begin(struct store *s, enum table t, struct walk *w)
{
    *w = (struct walk){.s = s, .table = t};
    int rc = mdb_cursor_open(s->txn, s->dbi[t], &w->cursor);
    return rc == 0 ? ERR_NONE : failed(s, "walking table", tables[t].name, rc);
}

void walk_end(struct walk *w)
{
    if (w->cursor)
        mdb_cursor_close(w->cursor);
    w->cursor = NULL;
}

static enum err step(struct walk *w, MDB_val *k, MDB_cursor_op op)
{
    MDB_val v;
    int rc = mdb_cursor_get(w->cursor, k, &v, op);
    if (rc == MDB_NOTFOUND)
        return ERR_NOT_FOUND;
    if (rc != 0)
        return failed(w->s, "walking table", tables[w->table].name, rc);
    w->key = k->mv_data;
    w->key_len = k->mv_size;
    return undress(w->s, w->table, k, &v, &w->u);
}

enum err walk_seek(struct walk *w, const struct key *k)
{
    MDB_val key = {0};
    if (!k)
        return step(w, &key, MDB_FIRST);
    key = key_val(k);
    return step(w, &key, MDB_SET_RANGE);
}

enum err walk_back(struct walk *w, const struct key *k)
{
    MDB_val key = key_val(k);
    enum err e = step(w, &key, MDB_SET_RANGE);
    if (e == ERR_NOT_FOUND)
        return step(w, &key, MDB_LAST);
    if (e != ERR_NONE || (w->key_len == k->len && memcmp(w->key, k->bytes, k->len) == 0))
        return e;
    return step(w, &key, MDB_PREV);
}

enum err walk_next(struct walk *w)
{
    MDB_val key = {0};
    return step(w, &key, MDB_NEXT);
}

enum err walk_prev(struct walk *w)
{
    MDB_val key = {0};
    return step(w, &key, MDB_PREV);
}

enum err walk_del(struct walk *w)
{
    int rc = mdb_cursor_del(w->cursor, 0);
    return rc == 0 ? ERR_NONE : failed(w->s, "deleting from table", tables[w->table].name, rc);
}

bool walk_has_prefix(const struct walk *w, const struct key *prefix)
{
    return w->key_len >= prefix->len && memcmp(w->key, prefix->bytes, prefix->len) == 0;
}

uint32_t walk_key_u32(const struct walk *w, size_t at)
{
    if (at + 4 > w->key_len)
        die("a key of the store's table %s is too short", tables[w->table].name);
    const uint8_t *k = w->key + at;
    return (uint32_t)k[0] << 24 | (uint32_t)k[1] << 16 | (uint32_t)k[2] << 8 | k[3];
}

uint64_t walk_key_u64(const struct walk *w, size_t at)
{
    return (uint64_t)walk_key_u32(w, at) << 32 | walk_key_u32(w, at + 4);
}

uint64_t walk_key_pos(const struct walk *w)
{
    uint64_t pos;
    if (w->key_len != sizeof pos)
        die("a key of the store's table %s has a wrong length", tables[w->table].name);
    memcpy(&pos, w->key, sizeof pos);
    return pos;
}
