#include "queue/allow.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define YOUNG_S 2 /* a file so young may change again and look the same: it is read each time */

struct entry {
    uint8_t key[CURVE_KEY_LEN];
    char name[ALLOW_NAME_SIZE];
};

struct allow {
    char path[CURVE_PATH_SIZE];
    struct entry *entries;
    size_t len, cap;
    struct stat seen; /* all zero: never */
    char complaint[sizeof(struct problem)];
};

static void add(struct allow *a, const uint8_t *key, const char *name, size_t name_len)
{
    if (a->len == a->cap) {
        a->cap = a->cap == 0 ? 16 : a->cap * 2;
        a->entries = mem_grow(a->entries, a->cap * sizeof *a->entries);
    }
    struct entry *e = &a->entries[a->len++];
    memcpy(e->key, key, CURVE_KEY_LEN);
    (void)snprintf(e->name, sizeof e->name, "%.*s",
                   name_len < sizeof e->name ? (int)name_len : (int)sizeof e->name - 1, name);
}

/* "KEY name", "KEY", a comment, or nothing. */
static enum err take_line(struct allow *a, char *line, unsigned number, struct problem *p)
{
    uint8_t key[CURVE_KEY_LEN];
    line += strspn(line, " \t\r");
    size_t len = strcspn(line, " \t\r");
    if (len == 0 || line[0] == '#')
        return ERR_NONE;
    char *name = line + len + strspn(line + len, " \t\r");
    size_t name_len = strcspn(name, "\r");
    line[len] = '\0';
    if (curve_parse(line, key) != ERR_NONE)
        return problem_set(p, ERR_INVALID,
                           "%s:%u: no key (40 characters of Z85, and a name): 'volley keys' writes "
                           "such lines",
                           a->path, number);
    if (a->len == ALLOW_KEYS_MAX)
        return problem_set(p, ERR_TOO_BIG, "%s:%u: more than %u keys", a->path, number,
                           ALLOW_KEYS_MAX);
    add(a, key, name, name_len);
    return ERR_NONE;
}

/* All lines are taken; the first that is wrong is told. */
static enum err take_text(struct allow *a, char *text, struct problem *p)
{
    enum err first = ERR_NONE;
    unsigned number = 1;
    for (char *line = text; line != NULL; number++) {
        struct problem why = {0};
        char *end = strchr(line, '\n');
        if (end != NULL)
            *end = '\0';
        enum err e = take_line(a, line, number, &why);
        if (e != ERR_NONE && first == ERR_NONE)
            first = problem_set(p, e, "%s", why.text);
        line = end != NULL ? end + 1 : NULL;
    }
    return first;
}

static enum err read_text(const char *path, int fd, struct buf *text, struct problem *p)
{
    char piece[4096];
    for (ssize_t n; (n = read(fd, piece, sizeof piece)) != 0;) {
        if (n < 0)
            return problem_set(p, ERR_IO, "%s: %s", path, strerror(errno));
        if (buf_add(text, piece, (size_t)n) != ERR_NONE)
            return problem_set(p, ERR_TOO_BIG, "%s: longer than %u bytes", path, ALLOW_FILE_MAX);
    }
    return ERR_NONE;
}

/* Who may write this file may let anybody in. */
static enum err check(const char *path, const struct stat *st, struct problem *p)
{
    if (!S_ISREG(st->st_mode))
        return problem_set(p, ERR_INVALID, "%s: not a file", path);
    if ((st->st_mode & 022) != 0)
        return problem_set(p, ERR_INVALID,
                           "%s: others can write it (mode %03o), and so let anybody in: chmod go-w "
                           "it",
                           path, (unsigned)(st->st_mode & 0777));
    return ERR_NONE;
}

static enum err load(struct allow *a, struct problem *p)
{
    struct buf text;
    struct stat st = {0};
    a->len = 0;
    a->seen = (struct stat){0};
    int fd = open(a->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0) {
        enum err e = problem_set(p, ERR_INVALID, "%s: %s", a->path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return e;
    }
    buf_init(&text, ALLOW_FILE_MAX);
    enum err e = check(a->path, &st, p);
    if (e == ERR_NONE)
        e = read_text(a->path, fd, &text, p);
    a->seen = st;
    if (e == ERR_NONE)
        e = take_text(a, (char *)buf_str(&text), p);
    close(fd);
    buf_fini(&text);
    return e;
}

enum err allow_new(const char *dir, struct allow **out, struct problem *p)
{
    struct allow *a = mem_zero(1, sizeof *a);
    enum err e = curve_path(dir, "clients.allow", a->path, p);
    if (e == ERR_NONE)
        e = load(a, p);
    if (e != ERR_NONE) {
        allow_free(a);
        return ERR_INVALID;
    }
    *out = a;
    return ERR_NONE;
}

void allow_free(struct allow *a)
{
    if (a == NULL)
        return;
    free(a->entries);
    free(a);
}

static bool is_as_seen(const struct allow *a)
{
    struct stat st;
    return stat(a->path, &st) == 0 && st.st_ino == a->seen.st_ino &&
           st.st_size == a->seen.st_size && st.st_mode == a->seen.st_mode &&
           memcmp(&st.st_mtim, &a->seen.st_mtim, sizeof st.st_mtim) == 0 &&
           memcmp(&st.st_ctim, &a->seen.st_ctim, sizeof st.st_ctim) == 0 &&
           clock_wall_s() - st.st_ctim.tv_sec > YOUNG_S;
}

static void load_again(struct allow *a)
{
    struct problem p = {0};
    if (load(a, &p) == ERR_NONE) {
        a->complaint[0] = '\0';
    } else if (strcmp(a->complaint, p.text) != 0) {
        memcpy(a->complaint, p.text, sizeof a->complaint);
        LOG(LOG_ERROR, "the list of clients is not as it should be", LOG_S("problem", p.text),
            LOG_I("keys", a->len));
    }
}

bool allow_has(struct allow *a, const uint8_t key[CURVE_KEY_LEN], const char **name)
{
    *name = NULL;
    if (!is_as_seen(a))
        load_again(a);
    for (size_t i = 0; i < a->len; i++)
        if (memcmp(a->entries[i].key, key, CURVE_KEY_LEN) == 0) {
            *name = a->entries[i].name;
            return true;
        }
    return false;
}
