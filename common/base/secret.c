#include "common/base/secret.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool secret_in_container(void)
{
    return access("/.dockerenv", F_OK) == 0 || access("/run/.containerenv", F_OK) == 0 ||
           getenv("container") != NULL;
}

static enum err check(int fd, const char *path, bool may_be_readable, size_t size,
                      struct problem *p)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return problem_set(p, ERR_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return problem_set(p, ERR_INVALID, "%s: not a file", path);
    if ((st.st_mode & 077) != 0 && !may_be_readable)
        return problem_set(p, ERR_INVALID,
                           "%s: a secret that others can read (mode %03o): chmod 600 it", path,
                           (unsigned)(st.st_mode & 0777));
    if (st.st_size < 0 || (size_t)st.st_size >= size)
        return problem_set(p, ERR_INVALID, "%s: too long for what should be in it", path);
    return ERR_NONE;
}

/* Moves the text to the front, without the white space around it. */
static void trim(char *text, size_t len)
{
    size_t from = 0;
    while (len > 0 && isspace((unsigned char)text[len - 1]))
        len--;
    while (from < len && isspace((unsigned char)text[from]))
        from++;
    memmove(text, text + from, len - from);
    text[len - from] = '\0';
}

enum err secret_read(const char *path, bool may_be_readable, char *out, size_t size,
                     struct problem *p)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return problem_set(p, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s: %s", path,
                           strerror(errno));
    enum err e = check(fd, path, may_be_readable, size, p);
    ssize_t len = e == ERR_NONE ? read(fd, out, size - 1) : 0;
    if (len < 0)
        e = problem_set(p, ERR_IO, "%s: %s", path, strerror(errno));
    if (e == ERR_NONE)
        trim(out, (size_t)len);
    close(fd);
    return e;
}
