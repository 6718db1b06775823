/* Room: on the disk, in LMDB's map, and for what must always be possible.
 *
 * Settling and trimming write too, as LMDB copies every page it changes. So appends are refused
 * while there is still room left, and commits never are: a reserve of the disk that appends don't
 * touch, a map that is grown long before it is full, and a limit on the pages in use that counts
 * for appends only. The ballast is for a disk that others filled: it is given up when the store is
 * opened. */
#include "queue/store_operate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MIB             (1024ull * 1024)
#define GIB             (1024ull * MIB)
#define RESERVE_MAX     (64 * MIB)
#define RESERVE_MIN     (4 * MIB)
#define BALLAST_MAX     (16 * MIB)
#define PAGES_RESERVE   (256 * MIB) /* of pages_max, for what is not an append */
#define MAP_SPARE       (2 * GIB)   /* beyond what is used, before a turn begins */
#define TURN_MAX        GIB         /* what one turn's appends may take of the spare */
#define APPEND_OVERHEAD 32768u      /* pages that an append copies, at most, besides its own */

/* ---- the map ---- */

/* Pages that may be in use before appends are refused. Bytes in records and pages are more than
 * canonical bytes. */
static uint64_t use_max(const struct store_options *o)
{
    uint64_t max = o->max_bytes > UINT64_MAX / 64 ? UINT64_MAX / 64 : o->max_bytes;
    return 4 * max + GIB;
}

uint64_t room_map_bytes(const struct store_options *o, uint64_t used)
{
    uint64_t bytes = use_max(o);
    if (bytes < used)
        bytes = used;
    return bytes / GIB * GIB + 2 * MAP_SPARE;
}

/* The map is address space, not memory and not disk. Free pages in pieces may be of no use for what
 * needs several side by side, so LMDB can reach the map's end with much of it free. */
enum err room_grow_map(struct store *s)
{
    MDB_envinfo info;
    MDB_stat st;
    if (mdb_env_info(s->env, &info) != 0 || mdb_env_stat(s->env, &st) != 0)
        return problem_set(&s->problem, ERR_IO, "%s/data.mdb does not tell its size", s->dir);
    uint64_t used = (info.me_last_pgno + 1) * st.ms_psize;
    if (info.me_mapsize - used >= MAP_SPARE)
        return ERR_NONE;
    int rc = mdb_env_set_mapsize(s->env, room_map_bytes(&s->options, used));
    if (rc != 0)
        return problem_set(&s->problem, ERR_IO, "%s/data.mdb can't be mapped larger: %s", s->dir,
                           mdb_strerror(rc));
    return ERR_NONE;
}

/* ---- the disk ---- */

struct disk {
    uint64_t free, total;
};

/* A file system that tells nothing is taken to have room: LMDB will say otherwise. */
static struct disk look_at_disk(const char *dir)
{
    struct statvfs v;
    if (statvfs(dir, &v) != 0)
        return (struct disk){UINT64_MAX, UINT64_MAX};
    return (struct disk){(uint64_t)v.f_bavail * v.f_frsize, (uint64_t)v.f_blocks * v.f_frsize};
}

static uint64_t disk_reserve(const struct disk *d)
{
    uint64_t reserve = d->total / 20;
    if (reserve > RESERVE_MAX)
        reserve = RESERVE_MAX;
    return reserve < RESERVE_MIN ? RESERVE_MIN : reserve;
}

/* ---- appends ---- */

static enum err look(struct store *s)
{
    struct disk d = look_at_disk(s->dir);
    MDB_stat st;
    s->room.disk = d.free;
    s->room.disk_reserve = disk_reserve(&d);
    if (mdb_env_stat(s->env, &st) != 0)
        return problem_set(&s->problem, ERR_IO, "%s/data.mdb does not tell its size", s->dir);
    s->room.pages_max = (use_max(&s->options) - PAGES_RESERVE) / st.ms_psize;
    s->room.known = true;
    return db_pages(s, &s->room.pages);
}

enum err room_for(struct store *s, size_t len, struct problem *why)
{
    struct room *r = &s->room;
    if (!r->known) {
        enum err e = look(s);
        if (e != ERR_NONE)
            return e;
    }
    uint64_t need = 2 * len + APPEND_OVERHEAD;
    if (r->disk < r->disk_reserve || r->disk - r->disk_reserve < r->turn + need)
        return problem_set(why, ERR_NO_SPACE, "the disk is full (%llu MiB left); try again later",
                           (unsigned long long)(r->disk / MIB));
    if (r->pages >= r->pages_max)
        return problem_set(why, ERR_FULL, "queue is full (its file is); try again later");
    if (r->turn + need > TURN_MAX)
        return problem_set(why, ERR_FULL, "too much at once; try again");
    r->turn += need;
    return ERR_NONE;
}

/* One page of a walk that writes, at most. */
#define PAGE_WRITES (2 * MIB)

enum err room_for_operator(struct store *s)
{
    struct problem why;
    enum err e = room_for(s, PAGE_WRITES, &why);
    return e == ERR_FULL ? ERR_NO_SPACE : e;
}

/* ---- ballast ---- */

static void ballast_path(const char *dir, char path[4096])
{
    (void)snprintf(path, 4096, "%s/reserve", dir);
}

bool room_ballast(const char *dir)
{
    char path[4096];
    struct disk d = look_at_disk(dir);
    uint64_t size = d.total / 100 < BALLAST_MAX ? d.total / 100 : BALLAST_MAX;
    ballast_path(dir, path);
    if (access(path, F_OK) == 0)
        return true;
    if (d.free < 2 * disk_reserve(&d) + size)
        return false;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    int rc = posix_fallocate(fd, 0, (off_t)size);
    close(fd);
    if (rc != 0)
        (void)unlink(path);
    return rc == 0;
}

void room_drop_ballast(const char *dir)
{
    char path[4096];
    struct disk d = look_at_disk(dir);
    ballast_path(dir, path);
    if (d.free < RESERVE_MIN)
        (void)unlink(path);
}
