/* What the files of the store share; nobody else includes it.
 *
 *   store_open.c       the directory, its lock, a new store, an old one
 *   store_upgrade.c    a store of the format before
 *   store_check.c      looks at data.mdb before it is mapped
 *   store_room.c       room on the disk and in the map
 *   store_db.c         tables, records with a checksum, turns
 *   store_codec.c      the records; store_codec_operate.c: lists and jobs
 *   store_state.c      what is held in memory during a turn: the meta record and the lanes
 *   store_log.c        append, read
 *   store_heartbeat.c  the lane that is built in
 *   store_index.c      ids, newest versions, deletions
 *   store_define.c     lanes begin, change, retire
 *   store_lists.c      the list in force, and those it replaced
 *   store_registry.c   the registry as operators see it; hold and release
 *   store_lane.c       grant, release, kept; exceptions and requests
 *   store_commit.c     one lane's commit
 *   store_rows.c       rows and runs
 *   store_history.c    earlier failures
 *   store_filter.c     which rows an operator means
 *   store_failed.c     pages of failed deliveries: list, count, replay, purge
 *   store_page.c       what such a page walks over
 *   store_jobs.c       replay jobs
 *   store_job_rows.c   the positions in them
 *   store_step.c       puts them back into their lanes
 *   store_show.c       depth, receipt, tally
 *   store_statistics.c statistics, and who leads
 *   store_housekeep.c  expiry, trimming
 *   store_lane_max.c   what a lane pins beyond its share
 *   store_forget.c     what is forgotten, by time or because the store is full
 *
 * What always holds between two calls: the meta record, every lane and every job are in memory as
 * the turn has made them; all else is in the tables. store_commit writes what is dirty, store_abort
 * reads all of it anew. */
#ifndef VOLLEY_QUEUE_STORE_INTERNAL_H
#define VOLLEY_QUEUE_STORE_INTERNAL_H

#include "queue/heartbeat.h"
#include "queue/lead.h"
#include "queue/store.h"
#include "queue/windows.h"

#include <lmdb.h>

#define STORE_FORMAT       3u   /* of all records; this build reads those before, too */
#define STORE_ENTRY_COST   128u /* what an id counts in max_bytes */
#define STORE_REQUEUE_MS   60000
#define STORE_CALM_MS      3600000u /* after a jump of the wall clock nothing expires for so long */
#define STORE_JUMP_MS      1000     /* the clocks are read one after the other, and rounded */
#define STORE_TAIL_DELETED 64u

enum table {
    TABLE_META,       /* "meta" → struct meta; "heartbeat" → struct heartbeat, event */
    TABLE_LOG,        /* position → accepted_ms, event */
    TABLE_ENTRY,      /* position → struct entry */
    TABLE_ID,         /* event id → position */
    TABLE_LATEST,     /* address → struct latest */
    TABLE_DELETION,   /* 'i' author id position, or 'a' address position → created_at */
    TABLE_DELETES,    /* position n → the first part of a key of TABLE_DELETION */
    TABLE_LANE,       /* lane → struct lane */
    TABLE_EXCEPTION,  /* lane → exceptions */
    TABLE_PATH,       /* lane → path statistics */
    TABLE_DEFINITION, /* lane version → struct version */
    TABLE_ROW,        /* position lane → row of one position */
    TABLE_RUN,        /* lane from → expired run, made by the queue */
    TABLE_REQUEST,    /* lane number → position */
    TABLE_REQUESTED,  /* lane position → number */
    TABLE_LOOSE,      /* position → nothing: trimmed, has bytes, and no failed row holds them */
    TABLE_LATER,      /* due_ms position → nothing: to be forgotten, but not in its turn */
    /* since format 2; the numbers before are part of checksums */
    TABLE_HISTORY, /* position lane → earlier failed rows */
    TABLE_LIST,    /* number → struct list; the last one is in force */
    TABLE_JOB,     /* number → struct job */
    TABLE_MEMBER,  /* lane position → struct member: in which job the row is */
    TABLE_WAITING, /* job lane position → nothing: its turn has not come */
    /* since format 3 */
    TABLE_STATISTICS, /* lane source route family → struct windows */
    TABLE_LEADER,     /* role → struct leader */
    TABLE_COUNT
};
#define TABLES_OF_FORMAT_1 ((enum table)(TABLE_LATER + 1))
#define TABLES_OF_FORMAT_2 ((enum table)(TABLE_WAITING + 1))

/* Counters and marks. Positions below `first` are trimmed, below `forget` forgotten (or in
 * TABLE_LATER). */
struct meta {
    uint64_t opened; /* how often */
    uint64_t head, first, forget;
    uint64_t expired;    /* up to here all are older than retention and given up */
    uint64_t entries;    /* ids known */
    uint64_t bytes;      /* canonical bytes held, and STORE_ENTRY_COST an id */
    uint64_t kept_bytes; /* of these, canonical bytes of trimmed positions */
    uint64_t deletions;  /* records in TABLE_DELETION */
    uint64_t registry_version;
    uint32_t lanes_made; /* numbers given so far */
    uint64_t lists_made, jobs_made;
    uint64_t sum;         /* canonical bytes and STORE_ENTRY_COST of all that ever was appended */
    int64_t look_wall_ms; /* housekeeping's last look at the clocks; 0: never */
    uint64_t look_boot_ms;
    uint64_t calm_until_boot_ms;
    uint64_t observed; /* version of the statistics */
};

struct entry {
    uint8_t id[EVENT_ID_LEN];
    int64_t accepted_ms;
    uint32_t kind;
    uint32_t len;        /* of the canonical bytes */
    int64_t trimmed_ms;  /* 0: still in the log */
    int64_t failed_ms;   /* of its latest failed row, even if that is gone */
    uint32_t holds;      /* failed rows */
    int64_t requeued_ms; /* when it was last put back; 0 */
    uint64_t sum;        /* meta.sum when it had been appended */
    uint8_t author[32];  /* all zero: not known (it was finished before format 2) */
    bool has_address;
    uint8_t address[32];
};

struct latest {
    uint64_t pos, created_at;
    uint8_t id[EVENT_ID_LEN];
    uint32_t versions; /* of this address that are not forgotten */
};

/* One definition of a lane. It holds above `from`, once it is in force. */
struct version {
    uint64_t from;
    bool waits; /* for a commit that names it */
    struct definition definition;
};

struct lane {
    uint32_t number;
    bool dirty; /* not written yet */
    bool retired;
    int64_t retired_ms;
    uint64_t start, position, floor;
    uint32_t version;      /* in force */
    uint64_t version_from; /* it holds above this */
    uint32_t newest;       /* the last one defined; waits when it is not `version` */
    uint64_t epoch, seq;
    uint8_t holder[PUBLISHER_ID_LEN]; /* all zero: nobody */
    char holder_name[PUBLISHER_NAME_SIZE];
    bool progressed; /* since the last grant */
    uint32_t stalls;
    uint8_t operator_hold; /* enum lane_hold */
    uint64_t request_last, requests_pending;
    uint64_t delivered, failed, skipped, expired, purged; /* rows: positions covered */
    uint32_t exceptions_len;
    uint64_t exceptions_first; /* the lowest of them; 0 */
    struct learned learned;
    uint64_t observed; /* not in the lane's record: version of its statistics, or a later one */
    /* Not in the lane's record. `wanted` is the newest's, `definition` the one in force: the same
     * memory when none waits. */
    struct definition *definition, *wanted;
};

/* A list of definitions that is, or was, in force. */
struct list {
    uint8_t hash[32];
    int64_t since_ms, replaced_ms; /* 0: not replaced yet */
    char by[OPERATOR_SIZE], replaced_by[OPERATOR_SIZE];
};

/* A replay job. */
struct job {
    struct replay_job told;
    uint64_t token;
    uint32_t next_lane; /* lanes after this one come first in the next round */
    bool dirty;         /* not written yet */
    /* Not in its record. */
    bool stepped;          /* since it was read, or since it began to run */
    bool paged;            /* since the last step */
    uint64_t last_boot_ms; /* the last step; of a job that collects: the last one after a page */
    uint64_t credit;       /* STEP_COST for each delivery */
};

/* A row's place in a job. It counts while the job runs or collects, or when it was asked for. */
struct member {
    uint64_t job;
    bool asked;
};

struct room {
    bool known; /* looked at in this turn */
    uint64_t disk, disk_reserve;
    uint64_t pages, pages_max;
    uint64_t turn; /* bytes that this turn's appends may have taken, at most */
    uint64_t mark; /* trim_mark, as it was when first asked; 0: not yet */
};

struct store {
    char *dir;
    int lock_fd;
    struct store_options options; /* dir is `dir` */
    MDB_env *env;
    MDB_dbi dbi[TABLE_COUNT];
    MDB_txn *txn;           /* what reads go to: the turn, or the reader while it is awake */
    MDB_txn *turn, *reader; /* reader: asleep between calls */
    struct problem problem; /* what LMDB said last, */
    int last_error;         /* and its number */
    enum err broken;        /* a given-up turn could not be undone */
    uint32_t format;        /* of the records on disk */
    struct meta meta;
    bool meta_dirty;
    struct leader leaders[LEAD_ROLE_COUNT];
    struct heartbeat heartbeat;
    struct event *beat; /* the latest; NULL */
    struct job *jobs;   /* ascending by number, at most JOBS_MAX */
    size_t jobs_len;
    bool leftovers;      /* of jobs that are over, there may be rows in TABLE_WAITING */
    struct lane **lanes; /* ascending by number; retired ones too */
    size_t lanes_len, lanes_cap, lanes_alive;
    uint8_t *verdicts; /* by kind: 0 unknown, else some lane takes it or none */
    struct room room;
    uint64_t look_written_boot_ms;
    int64_t asked_due_ms; /* nothing that was asked for again is too old before */
    uint64_t news;        /* see store_news */
    int64_t late_ms;      /* nothing that was due when it was put off stands later; 0: not known */
    uint64_t loose_next;  /* where the walk through TABLE_LOOSE goes on */
    bool sweeping;        /* rows of lanes that are gone are looked for, */
    uint64_t sweep_next;  /* from this position on */
    bool has_ballast;
    uint64_t ballast_tried_boot_ms;
    struct buf record;
    /* scratch: of whoever asks; a lane's next list; a lane's list before its commit */
    struct exception exceptions[QUEUE_EXCEPTIONS_MAX], merged[QUEUE_EXCEPTIONS_MAX],
        before[QUEUE_EXCEPTIONS_MAX];
    struct lane_request requests[QUEUE_REQUESTS_MAX];
    uint64_t superseded[1], deleted[STORE_TAIL_DELETED];
    /* the last answers */
    struct lane_status *statuses;
    struct path_stat *paths;
    struct receipt_lane *receipts;
    struct row *history;
    size_t history_len, history_cap;
    struct lane_entry *registry;
    struct lane_version *versions;
    struct failed_row *failed;
    struct failed_group *groups;
    struct replay_job *jobs_told;
    struct relay_statistics *statistics;
    struct path_statistics *ways;
    size_t ways_len, ways_cap;
    struct windows windows; /* scratch */
};

/* ---- store_db.c ---- */

#define KEY_MAX 80
struct key {
    size_t len;
    uint8_t bytes[KEY_MAX]; /* aligned for LMDB's integer keys, as `len` stands before it */
};
struct key key_u64(uint64_t v); /* a machine's own number: LOG, ENTRY, LOOSE */
struct key key_u32(uint32_t v); /* LANE, EXCEPTION, PATH */
struct key key_bytes(const void *p, size_t len);
void key_add(struct key *k, const void *p, size_t len);
void key_add_u32(struct key *k, uint32_t v); /* big endian: sorts as numbers do */
void key_add_u64(struct key *k, uint64_t v);
struct key key_lane_u64(uint32_t lane, uint64_t v);
struct key key_u64_u32(uint64_t a, uint32_t b);
struct key key_u64_u64(uint64_t a, uint64_t b);

/* Ends the process when no turn is open: a bug of the caller. */
void db_need_turn(const struct store *s);
/* Opens the tables from … to-1; with `create` those that are missing are made. */
MUST_USE enum err db_open_tables(struct store *s, enum table from, enum table to, bool create);
MUST_USE enum err db_begin(struct store *s);
MUST_USE enum err db_commit(struct store *s);
void db_abort(struct store *s);
/* Around every read that may come outside a turn. They may not be nested. */
MUST_USE enum err db_wake(struct store *s);
void db_sleep(struct store *s);
MUST_USE enum err db_empty(struct store *s, enum table t, bool *empty);
/* Pages that hold something, in all tables. */
MUST_USE enum err db_pages(struct store *s, uint64_t *pages);

/* One record; `u` reads it in place: valid until the next change. ERR_NOT_FOUND, ERR_CORRUPT,
 * ERR_IO. */
MUST_USE enum err db_get(struct store *s, enum table t, const struct key *k, struct unpack *u);
MUST_USE enum err db_has(struct store *s, enum table t, const struct key *k, bool *has);
/* Begin a record in s->record, then put it. */
struct pack db_record(struct store *s);
MUST_USE enum err db_put(struct store *s, enum table t, const struct key *k, const struct pack *p);
/* The key is larger than all there are. */
MUST_USE enum err db_append(struct store *s, enum table t, const struct key *k,
                            const struct pack *p);
/* Nothing to delete is fine. */
MUST_USE enum err db_del(struct store *s, enum table t, const struct key *k);
/* A record that was read is not what it should be: says so, returns ERR_CORRUPT. */
enum err db_corrupt(struct store *s, enum table t);

/* A walk through a table in the order of its keys. */
struct walk {
    struct store *s;
    enum table table;
    MDB_cursor *cursor;
    const uint8_t *key;
    size_t key_len;
    struct unpack u;
};
MUST_USE enum err walk_begin(struct store *s, enum table t, struct walk *w);
void walk_end(struct walk *w);
/* ERR_NOT_FOUND when there is none (any more). walk_seek: the first at or behind `k`; NULL: the
 * very first. walk_back: the last at or before `k`. */
MUST_USE enum err walk_seek(struct walk *w, const struct key *k);
MUST_USE enum err walk_back(struct walk *w, const struct key *k);
MUST_USE enum err walk_next(struct walk *w);
MUST_USE enum err walk_prev(struct walk *w);
/* Deletes where it stands; walk_next then goes to what followed. */
MUST_USE enum err walk_del(struct walk *w);
bool walk_has_prefix(const struct walk *w, const struct key *prefix);
uint32_t walk_key_u32(const struct walk *w, size_t at); /* big endian */
uint64_t walk_key_u64(const struct walk *w, size_t at);
uint64_t walk_key_pos(const struct walk *w); /* of an integer key */

/* ---- store_codec.c (more in store_operate.h): readers return false when the record is not one */

/* A number below `count`, else `u` is bad. */
unsigned record_enum(struct unpack *u, unsigned count);
uint32_t record_check(enum table t, const void *key, size_t key_len, const void *data, size_t len);
void meta_pack(struct pack *p, const struct meta *m);
bool meta_unpack(struct unpack *u, uint32_t format, struct meta *m);
void entry_pack(struct pack *p, const struct entry *e);
bool entry_unpack(struct unpack *u, uint32_t format, struct entry *e);
void log_pack(struct pack *p, int64_t accepted_ms, const struct event *ev);
/* The event is new and the caller's. */
bool log_unpack(struct unpack *u, int64_t *accepted_ms, struct event **ev);
void latest_pack(struct pack *p, const struct latest *l);
bool latest_unpack(struct unpack *u, struct latest *l);
void version_pack(struct pack *p, const struct version *v);
bool version_unpack(struct unpack *u, struct version *v);
void lane_pack(struct pack *p, const struct lane *l);
bool lane_unpack(struct unpack *u, uint32_t format, struct lane *l);
void exceptions_pack(struct pack *p, const struct exception *x, size_t len);
bool exceptions_unpack(struct unpack *u, struct exception x[QUEUE_EXCEPTIONS_MAX], size_t *len);
void paths_pack(struct pack *p, const struct path_stat *paths, size_t len);
bool paths_unpack(struct unpack *u, struct path_stat paths[PATHS_MAX], size_t *len);
void row_pack(struct pack *p, const struct row *r);
bool row_unpack(struct unpack *u, struct row *r); /* not `from`, which is in the key */
void history_pack(struct pack *p, const struct row *rows, size_t len);
bool history_unpack(struct unpack *u, uint64_t pos, struct row rows[HISTORY_MAX], size_t *len);

/* ---- store_check.c ---- */

/* Looks at a data.mdb before it is mapped: its two meta pages, its length. `*used` is the length
 * that the newer meta page tells. ERR_CORRUPT, ERR_VERSION (LMDB's), ERR_IO. */
MUST_USE enum err check_file(const char *path, uint64_t *used, struct problem *p);

/* ---- store_room.c ---- */

/* How large the map must be at least, when `used` bytes of the file are. */
uint64_t room_map_bytes(const struct store_options *o, uint64_t used);
MUST_USE enum err room_grow_map(struct store *s); /* between turns */
/* Whether an append of `len` bytes may be taken. ERR_NO_SPACE, ERR_FULL: `why` says it. */
MUST_USE enum err room_for(struct store *s, size_t len, struct problem *why);
/* The ballast: a file that is given up when a store is opened on a full disk, so that its first
 * commit has room. False when there is none and no room for it. */
bool room_ballast(const char *dir);
void room_drop_ballast(const char *dir); /* when the disk is full */

/* ---- store_state.c ---- */

/* Reads which format the records have. ERR_VERSION. */
MUST_USE enum err state_find_format(struct store *s);
MUST_USE enum err state_load(struct store *s);
MUST_USE enum err state_flush(struct store *s);
void state_free(struct store *s);
struct lane *state_add_lane(struct store *s); /* with the next number, dirty */
void state_remove_lane(struct store *s, struct lane *l);
struct lane *lane_find(const struct store *s, uint32_t number); /* NULL: none */
/* Of the first one in s->lanes with this number or a larger one. */
size_t lane_index(const struct store *s, uint32_t number);
/* What is dealt with, by the owner's word or the queue's. */
static inline uint64_t lane_position(const struct lane *l)
{
    return l->position > l->floor ? l->position : l->floor;
}
bool lane_held(const struct lane *l);
void lane_forget_definitions(struct lane *l);
/* A list of lanes changed: what each kind's verdict was no longer holds. */
void state_registry_changed(struct store *s);
/* Whether any lane would be sent this kind. */
bool state_takes_kind(struct store *s, uint32_t kind);

/* ---- store_log.c, store_index.c ---- */

MUST_USE enum err entry_get(struct store *s, uint64_t pos, struct entry *e);
MUST_USE enum err entry_put(struct store *s, uint64_t pos, const struct entry *e);
MUST_USE enum err log_get(struct store *s, uint64_t pos, int64_t *accepted_ms, struct event **ev);
MUST_USE enum err log_has(struct store *s, uint64_t pos, bool *has);
/* The bytes of `pos` no longer count. */
void log_uncount(struct store *s, uint64_t pos, const struct entry *e);
/* The bytes go. Fine when they are gone already. */
MUST_USE enum err log_drop(struct store *s, uint64_t pos, const struct entry *e);

MUST_USE enum err id_find(struct store *s, const uint8_t id[EVENT_ID_LEN], uint64_t *pos);
MUST_USE enum err id_put(struct store *s, const uint8_t id[EVENT_ID_LEN], uint64_t pos);
/* Position of the newest version when it is not `pos`; 0. */
MUST_USE enum err index_newer(struct store *s, const struct event *ev, uint64_t pos,
                              uint64_t *newer);
/* Position of the first deletion of `ev` by its author; 0. */
MUST_USE enum err index_deleted_by(struct store *s, const struct event *ev, uint64_t *pos);
/* Notes a new event; `t` is told what it supersedes and deletes. */
MUST_USE enum err index_add(struct store *s, const struct event *ev, uint64_t pos,
                            struct queue_tail *t);
/* The event at `pos` is forgotten. */
MUST_USE enum err index_remove(struct store *s, uint64_t pos, const struct entry *e);

/* ---- store_lane.c ---- */

MUST_USE enum err exceptions_load(struct store *s, const struct lane *l,
                                  struct exception x[QUEUE_EXCEPTIONS_MAX], size_t *len);
MUST_USE enum err exceptions_save(struct store *s, struct lane *l, const struct exception *x,
                                  size_t len);
/* NULL when `pos` is none of them. */
const struct exception *exceptions_find(const struct exception *x, size_t len, uint64_t pos);
MUST_USE enum err paths_load(struct store *s, const struct lane *l,
                             struct path_stat paths[PATHS_MAX], size_t *len);
/* The first of them, into s->requests. */
MUST_USE enum err requests_load(struct store *s, const struct lane *l, size_t *len);
MUST_USE enum err request_add(struct store *s, struct lane *l, uint64_t pos);
/* Drops those for positions that have no row any more: they arrived meanwhile. */
MUST_USE enum err requests_cancel(struct store *s, struct lane *l, uint64_t from, uint64_t to);
MUST_USE enum err request_drop(struct store *s, struct lane *l, const struct lane_request *r);
/* The same, and when the position is no exception, its turn in a replay job is over. */
MUST_USE enum err request_end(struct store *s, struct lane *l, const struct lane_request *r,
                              int64_t now_ms);
/* All up to this number end: taken up, or (UINT64_MAX) the lane is over. */
MUST_USE enum err requests_end(struct store *s, struct lane *l, uint64_t number, int64_t now_ms);
MUST_USE enum err request_pending(struct store *s, const struct lane *l, uint64_t pos, bool *is);
/* Some lane still has something to do about this position: it is an exception or asked for. */
MUST_USE enum err lanes_want(struct store *s, uint64_t pos, bool *want);

/* ---- store_define.c ---- */

MUST_USE enum err version_get(struct store *s, uint32_t lane, uint32_t version, struct version *v);
MUST_USE enum err version_put(struct store *s, uint32_t lane, uint32_t version,
                              const struct version *v);
/* `version`, which waits, takes force above `from`. What waited before it never will. */
MUST_USE enum err version_switch(struct store *s, struct lane *l, uint32_t version, uint64_t from);
/* The definition that held at `pos`. */
MUST_USE enum err version_at(struct store *s, const struct lane *l, uint64_t pos,
                             struct definition *d);
/* Gives up all that is not settled up to `to`, and raises the floor. With CLASS_RETENTION an
 * exception with a row younger than retention stays: somebody asked for it again. */
MUST_USE enum err lane_give_up(struct store *s, struct lane *l, uint64_t to, enum row_class cls,
                               int64_t now_ms);
/* `pos` was asked for again, and retention has not passed since; else `*until_ms` is 0. */
MUST_USE enum err asked_until(struct store *s, const struct lane *l, uint64_t pos, int64_t now_ms,
                              int64_t *until_ms);
/* Only its exceptions up to `to`; `*last` is the highest that went, 0 when none did. */
MUST_USE enum err exceptions_give_up(struct store *s, struct lane *l, uint64_t to,
                                     enum row_class cls, int64_t now_ms, uint64_t *last);
/* Takes a retired lane out of the store. Its rows go with their positions. */
MUST_USE enum err lane_remove(struct store *s, struct lane *l);

/* ---- store_rows.c ---- */

/* The row of just this position. */
MUST_USE enum err row_get(struct store *s, uint32_t lane, uint64_t pos, struct row *r);
/* That, or the run that covers it. */
MUST_USE enum err row_find(struct store *s, uint32_t lane, uint64_t pos, struct row *r);
/* Replaces the position's row. Nothing when the position is forgotten. */
MUST_USE enum err row_put(struct store *s, struct lane *l, const struct row *r, int64_t now_ms);
MUST_USE enum err row_remove(struct store *s, struct lane *l, uint64_t pos, int64_t now_ms);
/* The first run that ends at or after `pos`. ERR_NOT_FOUND. */
MUST_USE enum err run_next(struct store *s, uint32_t lane, uint64_t pos, struct row *r);
/* A run of positions that have no row. One that goes on where the last ended makes that longer. */
MUST_USE enum err run_add(struct store *s, struct lane *l, const struct row *r);
/* Takes these positions out of the lane's runs. */
MUST_USE enum err run_cut(struct store *s, struct lane *l, uint64_t from, uint64_t to);
MUST_USE enum err runs_drop(struct store *s, struct lane *l);
/* All rows of all lanes at these positions. */
MUST_USE enum err rows_forget(struct store *s, uint64_t from, uint64_t to, int64_t now_ms);
/* Goes on looking for rows of lanes that are no more, about `looks` of them: they go, and no longer
 * hold bytes. */
MUST_USE enum err rows_sweep(struct store *s, unsigned looks);
/* Counts again which failed rows of lanes that are still there hold the bytes of `pos`. */
MUST_USE enum err row_holds(struct store *s, uint64_t pos, struct entry *e);

/* ---- store_housekeep.c, store_forget.c ---- */

/* The lowest position that this lane still needs. Exceptions below the log's first position were
 * asked for again: their bytes are kept apart, and nothing else for them. */
MUST_USE enum err lane_lowest(struct store *s, const struct lane *l, uint64_t *low);
/* The lowest position that some lane still needs. */
MUST_USE enum err trim_mark(struct store *s, uint64_t *mark);
/* Takes what nobody needs any more out of the log, at most `*work` positions, which is lowered. */
MUST_USE enum err trim(struct store *s, int64_t now_ms, unsigned *work);
/* Drops bytes of trimmed positions: those that nobody needs, and the oldest beyond failed_max. */
MUST_USE enum err drop_unneeded(struct store *s, unsigned looks);
/* Forgets what is due, at most `*work` of them, which is lowered. */
MUST_USE enum err forget_due(struct store *s, int64_t now_ms, unsigned *work);
/* Makes `need` bytes of max_bytes free by trimming and forgetting what is finished, the oldest
 * first; forgets nothing when it can't be enough. ERR_FULL when that is not enough. */
MUST_USE enum err forget_for(struct store *s, uint64_t need, int64_t now_ms);

#endif
