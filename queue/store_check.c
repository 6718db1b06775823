/* A look at data.mdb before LMDB maps it: what is mapped and not there ends the process with
 * SIGBUS, and LMDB itself looks at little more than the magic number.
 *
 * The file begins with two meta pages; the one with the larger transaction number is in force. It
 * tells the last page that was ever used. A file may rightly be shorter than that by pages at its
 * end which were used and freed within one transaction: they were never written, and stand in
 * LMDB's list of free pages. So when the file is short, that list is read, page by page and bounds
 * checked; all that is missing must be in it. */
#include "queue/store_internal.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* LMDB 0.9's format (mdb.c: MDB_page, MDB_meta, MDB_db, MDB_node), 64 bit, the machine's order. */
#define MDB_MAGIC_NUMBER 0xbeefc0deu
#define MDB_FORMAT       1u
#define PAGE_FLAGS_AT    10u
#define PAGE_LOWER_AT    12u
#define PAGE_HEADER      16u
#define PAGE_IS_BRANCH   0x01u
#define PAGE_IS_LEAF     0x02u
#define PAGE_IS_OVERFLOW 0x04u
#define PAGE_IS_META     0x08u
#define META_MAGIC_AT    16u
#define META_VERSION_AT  20u
#define META_FREE_AT     40u /* struct MDB_db of the free list; its first field is the page size */
#define META_MAIN_AT     88u
#define DB_ROOT_AT       40u
#define META_LAST_AT     136u
#define META_TXN_AT      144u
#define META_SIZE        152u
#define NODE_FLAGS_AT    4u
#define NODE_KEY_LEN_AT  6u
#define NODE_HEADER      8u
#define NODE_IS_BIG      0x01u
#define PAGE_NONE        UINT64_MAX
#define DEPTH_MAX        32

struct file {
    int fd;
    uint64_t len;
    uint32_t page_size;
    uint64_t pages; /* whole ones that are there */
};

struct meta_page {
    uint64_t last, txn, free_root, main_root;
    uint32_t page_size;
};

static uint16_t get_u16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint32_t get_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint64_t get_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static bool read_at(const struct file *f, uint64_t at, void *out, size_t len)
{
    return at <= f->len && len <= f->len - at && pread(f->fd, out, len, (off_t)at) == (ssize_t)len;
}

/* ---- meta pages ---- */

static const char *read_meta(const struct file *f, uint64_t at, struct meta_page *m)
{
    uint8_t page[META_SIZE];
    if (!read_at(f, at, page, sizeof page))
        return "it ends within its first two pages";
    if (!(get_u16(page + PAGE_FLAGS_AT) & PAGE_IS_META) ||
        get_u32(page + META_MAGIC_AT) != MDB_MAGIC_NUMBER)
        return "its first pages are not those of a store";
    if (get_u32(page + META_VERSION_AT) != MDB_FORMAT)
        return NULL;
    m->page_size = get_u32(page + META_FREE_AT);
    m->free_root = get_u64(page + META_FREE_AT + DB_ROOT_AT);
    m->main_root = get_u64(page + META_MAIN_AT + DB_ROOT_AT);
    m->last = get_u64(page + META_LAST_AT);
    m->txn = get_u64(page + META_TXN_AT);
    if (m->page_size < 512 || m->page_size > 65536 || (m->page_size & (m->page_size - 1)) != 0 ||
        m->last < 1 || m->last > UINT64_MAX / 65536 - 1)
        return "its first pages are damaged";
    return "";
}

/* Only of the page in force: when the write of a meta page fails, LMDB puts its old number back
 * beside the new roots. */
static bool roots_fit(const struct meta_page *m)
{
    return (m->free_root == PAGE_NONE || m->free_root <= m->last) &&
           (m->main_root == PAGE_NONE || m->main_root <= m->last);
}

/* ---- the list of free pages ---- */

static bool read_page(const struct file *f, uint64_t page, uint8_t *out)
{
    return page < f->pages && read_at(f, page * f->page_size, out, f->page_size);
}

/* Counts those of a list that lie beyond the file's end. */
static bool count_list(const uint8_t *list, size_t len, uint64_t from, uint64_t *count)
{
    if (len < 8 || get_u64(list) > (len - 8) / 8)
        return false;
    uint64_t pages = get_u64(list);
    for (uint64_t i = 1; i <= pages; i++)
        *count += get_u64(list + 8 * i) >= from ? 1 : 0;
    return true;
}

static bool count_big(const struct file *f, uint64_t page, uint32_t len, uint64_t *count)
{
    uint8_t *list = mem_new((size_t)len + 1);
    bool good = page < f->pages && read_at(f, page * f->page_size + PAGE_HEADER, list, len) &&
                count_list(list, len, f->pages, count);
    free(list);
    return good;
}

static bool count_page(const struct file *f, uint64_t number, int depth, uint64_t *count);

static bool count_node(const struct file *f, const uint8_t *page, uint16_t at, bool branch,
                       int depth, uint64_t *count)
{
    if (at < PAGE_HEADER || at + NODE_HEADER > f->page_size)
        return false;
    const uint8_t *node = page + at;
    uint32_t low = get_u32(node);
    uint16_t flags = get_u16(node + NODE_FLAGS_AT), key_len = get_u16(node + NODE_KEY_LEN_AT);
    if (branch)
        return count_page(f, low | (uint64_t)flags << 32, depth + 1, count);
    size_t data_at = (size_t)at + NODE_HEADER + key_len;
    size_t data_len = flags & NODE_IS_BIG ? 8 : low;
    if (data_at + data_len > f->page_size)
        return false;
    if (flags & NODE_IS_BIG)
        return low <= f->len && count_big(f, get_u64(page + data_at), low, count);
    return count_list(page + data_at, data_len, f->pages, count);
}

static bool count_page(const struct file *f, uint64_t number, int depth, uint64_t *count)
{
    uint8_t *page = mem_new(f->page_size);
    bool good = depth < DEPTH_MAX && read_page(f, number, page);
    uint16_t flags = good ? get_u16(page + PAGE_FLAGS_AT) : 0;
    bool branch = (flags & PAGE_IS_BRANCH) != 0;
    uint16_t lower = good ? get_u16(page + PAGE_LOWER_AT) : 0;
    good =
        good && (branch || (flags & PAGE_IS_LEAF)) && lower >= PAGE_HEADER && lower <= f->page_size;
    for (uint16_t at = PAGE_HEADER; good && at + 2u <= lower; at = (uint16_t)(at + 2u))
        good = count_node(f, page, get_u16(page + at), branch, depth, count);
    free(page);
    return good;
}

/* Whether every page from the file's end to the last that was used is free. */
static bool missing_is_free(const struct file *f, const struct meta_page *m)
{
    uint64_t count = 0;
    if (m->free_root == PAGE_NONE || !count_page(f, m->free_root, 0, &count))
        return false;
    return count == m->last + 1 - f->pages;
}

/* ---- all ---- */

static enum err look(struct file *f, const char *path, uint64_t *used, struct problem *p)
{
    static const char mend[] = "restore a backup, or move the directory away to begin anew";
    struct meta_page first, second;
    const char *wrong = read_meta(f, 0, &first);
    if (wrong && wrong[0] == '\0')
        wrong = read_meta(f, first.page_size, &second);
    if (!wrong)
        return problem_set(p, ERR_VERSION,
                           "%s was written by an LMDB that this volley does not know", path);
    if (wrong[0] != '\0')
        return problem_set(p, ERR_CORRUPT, "%s is damaged: %s; %s", path, wrong, mend);
    const struct meta_page *m = second.txn > first.txn ? &second : &first;
    f->page_size = m->page_size;
    f->pages = f->len / m->page_size;
    *used = (m->last + 1) * m->page_size;
    if (!roots_fit(m))
        return problem_set(p, ERR_CORRUPT, "%s is damaged: its first pages are damaged; %s", path,
                           mend);
    if (first.page_size != second.page_size)
        return problem_set(p, ERR_CORRUPT, "%s is damaged: its first pages disagree; %s", path,
                           mend);
    if (m->last + 1 > f->pages && !missing_is_free(f, m))
        return problem_set(p, ERR_CORRUPT,
                           "%s is cut short: %llu bytes, and its last page ends at %llu; %s", path,
                           (unsigned long long)f->len, (unsigned long long)*used, mend);
    return ERR_NONE;
}

enum err check_file(const char *path, uint64_t *used, struct problem *p)
{
    struct stat st;
    struct file f = {.fd = open(path, O_RDONLY | O_CLOEXEC)};
    if (f.fd < 0 || fstat(f.fd, &st) != 0) {
        enum err e = problem_set(p, ERR_IO, "%s can't be read: %s", path, strerror(errno));
        if (f.fd >= 0)
            close(f.fd);
        return e;
    }
    f.len = (uint64_t)st.st_size;
    enum err e = look(&f, path, used, p);
    close(f.fd);
    return e;
}
