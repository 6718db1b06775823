#include "common/net/tor_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* With all above it. */
static enum err make_dir(const char *dir, struct problem *p)
{
    char path[TOR_DIR_SIZE];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s", dir);
    for (char *at = path + 1;; at++) {
        char c = *at;
        if (c != '/' && c != '\0')
            continue;
        *at = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return problem_set(p, ERR_IO, "%s cannot be made: %s", path, strerror(errno));
        if (c == '\0')
            break;
        *at = c;
    }
    if (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode))
        return problem_set(p, ERR_IO, "%s is no directory", dir);
    if ((st.st_mode & 077) != 0 && chmod(dir, 0700) != 0)
        return problem_set(p, ERR_IO, "%s: others can look into it: %s", dir, strerror(errno));
    return ERR_NONE;
}

static enum err take_lock(const struct tor_paths *at, int *fd, struct problem *p)
{
    *fd = open(at->lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd < 0)
        return problem_set(p, ERR_IO, "%s: %s", at->lock, strerror(errno));
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
        return ERR_NONE;
    close(*fd);
    *fd = -1;
    return problem_set(p, ERR_LOCKED, "another tor of volley's runs in %s", at->dir);
}

/* *out is owned by the caller, NULL without a file. */
static enum err read_extra(const char *path, char **out, struct problem *p)
{
    struct problem why = {0};
    struct stat st;
    *out = NULL;
    if (path[0] == '\0')
        return ERR_NONE;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return problem_set(p, ERR_IO, "tor.extra_file %s: %s", path, strerror(errno));
    char *text = mem_new(TOR_EXTRA_MAX + 2);
    bool is_file = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    ssize_t len = is_file ? read(fd, text, TOR_EXTRA_MAX + 1) : -1;
    close(fd);
    enum err e = ERR_NONE;
    if (len < 0)
        e = problem_set(p, ERR_IO, "tor.extra_file %s cannot be read", path);
    else if (torrc_check_extra(text, (size_t)len, &why) != ERR_NONE)
        e = problem_set(p, ERR_INVALID, "tor.extra_file %s: %s", path, why.text);
    if (e != ERR_NONE) {
        free(text);
        return e;
    }
    text[len] = '\0';
    *out = text;
    return ERR_NONE;
}

/* Bridges are secrets: mode 0600. */
static enum err write_torrc(const struct tor_paths *at, const char *extra, long owner,
                            struct problem *p)
{
    struct buf text;
    enum err e = ERR_NONE;
    buf_init(&text, TOR_EXTRA_MAX + 4096);
    if (torrc_write(at, owner, extra, &text) != ERR_NONE)
        die("the torrc is longer than it can be");
    int fd = open(at->torrc, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len)
        e = problem_set(p, ERR_IO, "%s cannot be written: %s", at->torrc, strerror(errno));
    if (fd >= 0)
        close(fd);
    buf_fini(&text);
    return e;
}

enum err tor_files_prepare(const struct tor_paths *at, const char *extra_file, long owner,
                           int *lock_fd, struct problem *p)
{
    char *extra = NULL;
    *lock_fd = -1;
    enum err e = make_dir(at->dir, p);
    if (e == ERR_NONE)
        e = take_lock(at, lock_fd, p);
    if (e == ERR_NONE)
        e = read_extra(extra_file, &extra, p);
    if (e == ERR_NONE)
        e = write_torrc(at, extra, owner, p);
    free(extra);
    if (e != ERR_NONE && *lock_fd >= 0) {
        close(*lock_fd);
        *lock_fd = -1;
    }
    return e;
}
