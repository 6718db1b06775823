/* A preloaded shim between the broker and the disk, to show what is durable and when.
 *
 * It knows the two ways LMDB makes a commit durable: fdatasync on the data file after its pages,
 * then the meta page through a descriptor opened with O_DSYNC. SHIM_CONTROL names a file whose
 * first word is asked before each of the two: ok           nothing special block-data   fdatasync
 * waits until the word changes     eio-data   fdatasync fails with EIO block-meta   the O_DSYNC
 * write waits                    eio-meta   it fails with EIO SHIM_UNDO names a log of what every
 * unsynced write overwrote (offset, length, old file length, old bytes); a sync empties it. Whoever
 * kills the broker can play it backwards, and has the disk as a power cut may leave it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_fdatasync)(int);
static int undo_fd = -1;

__attribute__((constructor)) static void begin(void)
{
    *(void **)&real_pwrite = dlsym(RTLD_NEXT, "pwrite");
    *(void **)&real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    const char *path = getenv("SHIM_UNDO");
    if (path != NULL)
        undo_fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static bool is_data(int fd)
{
    char link[64], path[4096];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path);
    return len > 9 && memcmp(path + len - 9, "/data.mdb", 9) == 0;
}

static bool told(const char *word)
{
    char now[32] = "";
    const char *path = getenv("SHIM_CONTROL");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return false;
    ssize_t n = read(fd, now, sizeof now - 1);
    close(fd);
    size_t len = strlen(word);
    return n >= (ssize_t)len && memcmp(now, word, len) == 0;
}

/* Waits or fails as told. `what` is "data" or "meta". */
static int obstacle(const char *what)
{
    char block[32], fail[32];
    (void)snprintf(block, sizeof block, "block-%s", what);
    (void)snprintf(fail, sizeof fail, "eio-%s", what);
    while (told(block))
        usleep(5000);
    if (!told(fail))
        return 0;
    errno = EIO;
    return -1;
}

static void put(const void *data, size_t len)
{
    if (write(undo_fd, data, len) != (ssize_t)len)
        abort();
}

/* Keeps what this write is about to overwrite. */
static void remember(int fd, off_t offset, size_t len)
{
    struct stat st;
    if (undo_fd < 0 || fstat(fd, &st) != 0)
        return;
    char link[64];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int in = open(link, O_RDONLY | O_CLOEXEC);
    char *old = calloc(1, len);
    ssize_t had = pread(in, old, len, offset);
    close(in);
    uint64_t head[4] = {(uint64_t)offset, len, (uint64_t)st.st_size, had > 0 ? (uint64_t)had : 0};
    put(head, sizeof head);
    put(old, len);
    free(old);
}

static int before_write(int fd, off_t offset, size_t len)
{
    if (!is_data(fd))
        return 0;
    if (fcntl(fd, F_GETFL) & O_DSYNC)
        return obstacle("meta");
    remember(fd, offset, len);
    return 0;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
    if (before_write(fd, offset, len) != 0)
        return -1;
    return real_pwrite(fd, data, len, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off_t offset)
{
    return pwrite(fd, data, len, offset);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
    ssize_t total = 0;
    for (int i = 0; i < count; i++) {
        ssize_t n = pwrite(fd, iov[i].iov_base, iov[i].iov_len, offset + total);
        if (n < 0)
            return total > 0 ? total : -1;
        total += n;
        if ((size_t)n < iov[i].iov_len)
            break;
    }
    return total;
}

ssize_t pwritev64(int fd, const struct iovec *iov, int count, off_t offset)
{
    return pwritev(fd, iov, count, offset);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    static ssize_t (*real)(int, const struct iovec *, int);
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "writev");
    if (!is_data(fd))
        return real(fd, iov, count);
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t n = pwritev(fd, iov, count, at);
    if (n > 0)
        lseek(fd, n, SEEK_CUR);
    return n;
}

int fdatasync(int fd)
{
    if (!is_data(fd))
        return real_fdatasync(fd);
    if (obstacle("data") != 0)
        return -1;
    int status = real_fdatasync(fd);
    if (status == 0 && undo_fd >= 0 && ftruncate(undo_fd, 0) != 0)
        abort();
    return status;
}

int fsync(int fd)
{
    return fdatasync(fd);
}
