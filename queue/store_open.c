/* The store's directory:
 *
 *   lock       whoever has it locked (flock) has the store
 *   data.mdb   the store. Made under the name new.mdb and renamed when it is whole, so that a
 *              data.mdb that is empty or cut short always tells of damage
 *   lock.mdb   LMDB's own
 *   reserve    ballast, see store_room.c
 *
 * Opening looks before it touches: lock, data.mdb's own pages, then our meta record and every lane,
 * and only then the first commit. That commit is made in any case: what a dead process wrote and
 * did not sync is durable before anybody reads it. */
#include "queue/store_operate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_LEN 4096

static void path_of(const struct store *s, const char *name, char out[PATH_LEN])
{
    (void)snprintf(out, PATH_LEN, "%s/%s", s->dir, name);
}

static enum err refused(struct problem *p, const char *what, const char *path, int error)
{
    enum err e = error == ENOSPC || error == EDQUOT ? ERR_NO_SPACE : ERR_IO;
    return problem_set(p, e, "%s %s: %s", what, path, strerror(error));
}

/* ---- directory and lock ---- */

static enum err make_dir(const char *dir, struct problem *p)
{
    char path[PATH_LEN];
    struct stat st;
    if (strlen(dir) == 0 || strlen(dir) > PATH_LEN - 32)
        return problem_set(p, ERR_IO, "the data directory's name is %s",
                           strlen(dir) == 0 ? "empty" : "too long");
    (void)snprintf(path, sizeof path, "%s", dir);
    for (char *at = path + 1; *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return refused(p, "can't make", path, errno);
        *at = '/';
    }
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return refused(p, "can't make", dir, errno);
    if (stat(dir, &st) != 0)
        return refused(p, "can't use", dir, errno);
    return S_ISDIR(st.st_mode) ? ERR_NONE : refused(p, "can't use", dir, ENOTDIR);
}

static enum err take_lock(struct store *s, struct problem *p)
{
    char path[PATH_LEN];
    path_of(s, "lock", path);
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0)
        return refused(p, "can't open", path, errno);
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return ERR_NONE;
    if (errno != EWOULDBLOCK)
        return refused(p, "can't lock", path, errno);
    return problem_set(p, ERR_LOCKED,
                       "%s is in use by another volley queue: stop it, or use another directory",
                       s->dir);
}

static enum err sync_dir(const struct store *s, struct problem *p)
{
    int fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum err e = fd < 0 || fsync(fd) != 0 ? refused(p, "can't sync", s->dir, errno) : ERR_NONE;
    if (fd >= 0)
        close(fd);
    return e;
}

/* ---- LMDB ---- */

/* An error of LMDB on opening; the system's errors are positive. */
static enum err lmdb_refused(struct problem *p, const char *path, int rc)
{
    if (rc > 0)
        return refused(p, "can't open", path, rc);
    return problem_set(p, rc == MDB_VERSION_MISMATCH ? ERR_VERSION : ERR_CORRUPT,
                       "%s can't be opened: %s", path, mdb_strerror(rc));
}

/* No thread-local readers: there is one thread, and one reader. No read-ahead: a store is larger
 * than what of it is used. */
static enum err open_env(struct store *s, const char *path, unsigned flags, uint64_t used,
                         struct problem *p)
{
    int rc = mdb_env_create(&s->env);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(s->env, TABLE_COUNT);
    if (rc == 0)
        rc = mdb_env_set_mapsize(s->env, room_map_bytes(&s->options, used));
    if (rc == 0)
        rc = mdb_env_open(s->env, path, flags | MDB_NOTLS | MDB_NORDAHEAD, 0600);
    return rc == 0 ? ERR_NONE : lmdb_refused(p, path, rc);
}

static void close_env(struct store *s)
{
    db_abort(s);
    if (s->reader)
        mdb_txn_abort(s->reader);
    s->reader = NULL;
    if (s->env)
        mdb_env_close(s->env);
    s->env = NULL;
}

/* What a step said, or what LMDB said below it. */
static enum err told(const struct store *s, enum err e, struct problem *p)
{
    if (e == ERR_IO && (s->last_error == ENOSPC || s->last_error == EDQUOT))
        e = ERR_NO_SPACE;
    return e == ERR_NONE ? e : problem_set(p, e, "%s", s->problem.text);
}

/* ---- a new store ---- */

static enum err fill_new(struct store *s)
{
    enum err e = db_begin(s);
    if (e == ERR_NONE)
        e = db_open_tables(s, 0, TABLE_COUNT, true);
    s->format = STORE_FORMAT;
    s->meta = (struct meta){.first = 1, .forget = 1};
    s->meta_dirty = true;
    if (e == ERR_NONE)
        e = state_flush(s);
    return e == ERR_NONE ? db_commit(s) : e;
}

static enum err make_new(struct store *s, struct problem *p)
{
    char made[PATH_LEN], made_lock[PATH_LEN], path[PATH_LEN];
    path_of(s, "new.mdb", made);
    path_of(s, "new.mdb-lock", made_lock);
    path_of(s, "data.mdb", path);
    (void)unlink(made); /* what a process that died here left */
    enum err e = open_env(s, made, MDB_NOSUBDIR, 0, p);
    if (e == ERR_NONE)
        e = told(s, fill_new(s), p);
    close_env(s);
    (void)unlink(made_lock);
    if (e == ERR_NONE && rename(made, path) != 0)
        e = refused(p, "can't rename", made, errno);
    if (e != ERR_NONE)
        (void)unlink(made);
    return e == ERR_NONE ? sync_dir(s, p) : e;
}

/* ---- an old one ---- */

/* A store of a format before has not all of them. */
static enum err open_tables(struct store *s)
{
    enum err e = db_open_tables(s, 0, TABLES_OF_FORMAT_1, false);
    if (e == ERR_NONE)
        e = state_find_format(s);
    if (e == ERR_NONE && s->format > 1)
        e = db_open_tables(s, TABLES_OF_FORMAT_1, TABLES_OF_FORMAT_2, false);
    if (e == ERR_NONE && s->format > 2)
        e = db_open_tables(s, TABLES_OF_FORMAT_2, TABLE_COUNT, false);
    if (e == ERR_NOT_FOUND)
        e = problem_set(&s->problem, ERR_CORRUPT,
                        "%s/data.mdb is no store of volley; use another directory", s->dir);
    return e;
}

/* Reads all that a refusal can come from; writes nothing. LMDB keeps the tables open because the
 * transaction that opened them is committed. */
static enum err look_inside(struct store *s)
{
    enum err e = db_wake(s);
    if (e != ERR_NONE)
        return e;
    e = open_tables(s);
    if (e == ERR_NONE)
        e = state_load(s);
    (void)mdb_txn_commit(s->reader);
    s->reader = s->txn = NULL;
    return e;
}

static enum err first_commit(struct store *s, int64_t now_ms)
{
    enum err e = store_begin(s);
    if (e == ERR_NONE && s->format != STORE_FORMAT)
        e = store_upgrade(s, now_ms);
    s->meta.opened++;
    s->meta_dirty = true;
    return e == ERR_NONE ? store_commit(s) : e;
}

static enum err open_old(struct store *s, int64_t now_ms, struct problem *p)
{
    char path[PATH_LEN];
    uint64_t used;
    path_of(s, "data.mdb", path);
    enum err e = check_file(path, &used, p);
    if (e == ERR_NONE)
        e = open_env(s, s->dir, 0, used, p);
    if (e == ERR_NONE)
        e = told(s, look_inside(s), p);
    if (e != ERR_NONE)
        return e;
    room_drop_ballast(s->dir);
    return told(s, first_commit(s, now_ms), p);
}

/* ---- all ---- */

static enum err open_all(struct store *s, int64_t now_ms, struct problem *p)
{
    char path[PATH_LEN];
    enum err e = make_dir(s->dir, p);
    if (e == ERR_NONE)
        e = take_lock(s, p);
    path_of(s, "data.mdb", path);
    if (e == ERR_NONE && access(path, F_OK) != 0)
        e = make_new(s, p);
    if (e == ERR_NONE)
        e = open_old(s, now_ms, p);
    if (e == ERR_NONE)
        s->has_ballast = room_ballast(s->dir);
    return e;
}

/* What was judged by another retention is looked at again. */
static void judge_anew(struct store *s)
{
    s->meta.expired = s->meta.first - 1;
    s->asked_due_ms = 0;
}

enum err store_open(const struct store_options *o, int64_t now_ms, struct store **out,
                    struct problem *p)
{
    struct store *s = mem_zero(1, sizeof *s);
    s->options = *o;
    s->dir = mem_strdup(o->dir);
    s->options.dir = s->dir;
    s->lock_fd = -1;
    enum err e = open_all(s, now_ms, p);
    if (e != ERR_NONE) {
        store_close(s);
        return e;
    }
    judge_anew(s);
    *out = s;
    return ERR_NONE;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    close_env(s);
    state_free(s);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    buf_fini(&s->record);
    free(s->statuses);
    free(s->paths);
    free(s->receipts);
    free(s->history);
    free(s->registry);
    free(s->versions);
    free(s->failed);
    free(s->groups);
    free(s->jobs_told);
    free(s->statistics);
    free(s->ways);
    free(s->dir);
    free(s);
}

void store_set_limits(struct store *s, const struct store_options *o)
{
    s->options = *o;
    s->options.dir = s->dir;
    judge_anew(s);
}

const char *store_problem(const struct store *s)
{
    return s->problem.text;
}

/* ---- turns ---- */

enum err store_begin(struct store *s)
{
    enum err e = s->broken == ERR_NONE ? room_grow_map(s) : s->broken;
    s->room = (struct room){.known = false};
    return e == ERR_NONE ? db_begin(s) : e;
}

enum err store_commit(struct store *s)
{
    db_need_turn(s);
    enum err e = state_flush(s);
    return e == ERR_NONE ? db_commit(s) : e;
}

void store_abort(struct store *s)
{
    db_abort(s);
    s->broken = db_wake(s);
    if (s->broken != ERR_NONE)
        return;
    s->broken = state_load(s);
    db_sleep(s);
}
