/* `volley keys`: the CURVE keys of zmq+tcp. Nothing is ever overwritten; what was begun and could
 * not be finished is taken away again. */
#include "ctl/ctl.h"
#include "queue/curve.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_MAX_LEN 40u
#define LINE_SIZE    (CURVE_TEXT_SIZE + NAME_MAX_LEN + 4)

/* One file to be made in DIR. */
struct new_file {
    char name[NAME_MAX_LEN + 8];
    mode_t mode;
    char text[160];
};

static enum err write_all(int fd, const char *text)
{
    size_t len = strlen(text);
    bool good = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
    return good ? ERR_NONE : ERR_IO;
}

static enum err make_file(const char *dir, const struct new_file *f, struct problem *p)
{
    char path[CURVE_PATH_SIZE];
    enum err e = curve_path(dir, f->name, path, p);
    if (e != ERR_NONE)
        return e;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, f->mode);
    if (fd < 0 && errno == EEXIST)
        return problem_set(p, ERR_EXISTS,
                           "%s is there already; nothing is ever overwritten, and nothing was "
                           "changed",
                           path);
    if (fd < 0)
        return problem_set(p, ERR_IO, "%s: %s", path, strerror(errno));
    e = fchmod(fd, f->mode) == 0 ? write_all(fd, f->text) : ERR_IO;
    if (e != ERR_NONE) {
        (void)problem_set(p, e, "%s: %s", path, strerror(errno));
        unlink(path);
    }
    close(fd);
    return e;
}

static void unmake(const char *dir, const struct new_file *files, size_t len)
{
    char path[CURVE_PATH_SIZE];
    for (size_t i = 0; i < len; i++)
        if (curve_path(dir, files[i].name, path, NULL) == ERR_NONE)
            unlink(path);
}

/* All of them, or none. */
static enum err make_files(const char *dir, const struct new_file *files, size_t len,
                           struct problem *p)
{
    for (size_t i = 0; i < len; i++) {
        enum err e = make_file(dir, &files[i], p);
        if (e != ERR_NONE) {
            unmake(dir, files, i);
            return e;
        }
    }
    return ERR_NONE;
}

static struct new_file new_file(const char *name, const char *suffix, mode_t mode, const char *text)
{
    struct new_file f = {.mode = mode};
    (void)snprintf(f.name, sizeof f.name, "%s%s", name, suffix);
    (void)snprintf(f.text, sizeof f.text, "%s\n", text);
    return f;
}

/* ---- volley keys DIR ---- */

static enum err make_all(const char *dir, struct problem *p)
{
    struct curve_pair server, client;
    char allow[sizeof((struct new_file *)0)->text - 1];
    enum err e = curve_make(&server, p);
    if (e == ERR_NONE)
        e = curve_make(&client, p);
    if (e != ERR_NONE)
        return e;
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return problem_set(p, ERR_IO, "%s: %s", dir, strerror(errno));
    (void)snprintf(allow, sizeof allow,
                   "# Who may connect to the queue by zmq+tcp: KEY name, one a line.\n%s client",
                   client.public);
    struct new_file files[] = {
        new_file("server", ".key", 0600, server.secret),
        new_file("server", ".pub", 0644, server.public),
        new_file("client", ".key", 0600, client.secret),
        new_file("client", ".pub", 0644, client.public),
        new_file("clients", ".allow", 0644, allow),
    };
    e = make_files(dir, files, COUNT_OF(files), p);
    explicit_bzero(files, sizeof files);
    explicit_bzero(&server, sizeof server);
    explicit_bzero(&client, sizeof client);
    return e;
}

static void say_all(const char *dir)
{
    printf("keys made in %s:\n"
           "  server.key     the queue's secret: it never leaves this machine\n"
           "  server.pub     its public key: every client needs it\n"
           "  client.key     the secret of this machine's own commands and services\n"
           "  client.pub     its public key\n"
           "  clients.allow  who may connect: a public key a line\n"
           "\n"
           "Here, in volley.yaml:     queue.keys_dir: %s\n"
           "For another machine:      volley keys %s --client NAME\n",
           dir, dir, dir);
}

/* ---- volley keys DIR --client NAME ---- */

static bool is_good_name(const char *name)
{
    size_t len = strlen(name);
    for (const char *c = name; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && *c != '-' && *c != '_' && *c != '.')
            return false;
    return len > 0 && len <= NAME_MAX_LEN && name[0] != '.' && name[0] != '-';
}

/* Whether the file's last line has no end yet. */
static bool is_open_ended(int fd)
{
    char last = '\n';
    off_t len = lseek(fd, 0, SEEK_END);
    return len > 0 && pread(fd, &last, 1, len - 1) == 1 && last != '\n';
}

/* One write at the file's end: a queue that reads it meanwhile sees the line or does not. */
static enum err add_line(const char *path, int fd, const char *key, const char *name,
                         struct problem *p)
{
    char line[LINE_SIZE];
    (void)snprintf(line, sizeof line, "%s%s %s\n", is_open_ended(fd) ? "\n" : "", key, name);
    if (write_all(fd, line) != ERR_NONE)
        return problem_set(p, ERR_IO, "%s: %s", path, strerror(errno));
    return ERR_NONE;
}

static enum err add_client(const char *dir, const char *name, struct problem *p)
{
    struct curve_pair pair;
    char path[CURVE_PATH_SIZE];
    if (!is_good_name(name))
        return problem_set(p, ERR_INVALID,
                           "'%s' is no name for a client: letters, digits, - _ and . (at most %u)",
                           name, NAME_MAX_LEN);
    enum err e = curve_path(dir, "clients.allow", path, p);
    if (e == ERR_NONE)
        e = curve_make(&pair, p);
    if (e != ERR_NONE)
        return e;
    int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return problem_set(p, ERR_NOT_FOUND, "%s: %s; 'volley keys %s' makes it", path,
                           strerror(errno), dir);
    struct new_file files[] = {new_file(name, ".key", 0600, pair.secret),
                               new_file(name, ".pub", 0644, pair.public)};
    e = make_files(dir, files, COUNT_OF(files), p);
    if (e == ERR_NONE) {
        e = add_line(path, fd, pair.public, name, p);
        if (e != ERR_NONE)
            unmake(dir, files, COUNT_OF(files));
    }
    close(fd);
    explicit_bzero(files, sizeof files);
    explicit_bzero(&pair, sizeof pair);
    return e;
}

static void say_client(const char *dir, const char *name)
{
    printf("key made for %s, and listed in %s/clients.allow: a queue that runs lets it in from now "
           "on.\n"
           "\n"
           "Copy to the directory queue.keys_dir of that machine (mode 700):\n"
           "  %s/%s.key  as  client.key  (a secret: mode 600)\n"
           "  %s/server.pub  as  server.pub\n"
           "Then delete %s/%s.key here.\n",
           name, dir, dir, name, dir, dir, name);
}

static int keys_run(const struct invocation *inv)
{
    struct problem p = {0};
    const char *dir = inv->arguments[0], *name = invocation_option(inv, "--client");
    enum err e = name != NULL ? add_client(dir, name, &p) : make_all(dir, &p);
    if (e != ERR_NONE)
        return command_fail(inv, e == ERR_INVALID ? EXIT_USAGE : 1, "%s", p.text);
    if (name != NULL)
        say_client(dir, name);
    else
        say_all(dir);
    return 0;
}

static const struct option_row options[] = {
    {"--client", "NAME", "add a client to a directory that is there: NAME.key, NAME.pub, a line"}};

const struct command command_keys = {
    .name = "keys",
    .arguments = "DIR",
    .summary = "makes the CURVE keys for a queue on zmq+tcp, and for its clients",
    .details =
        "A queue on zmq+tcp lets in only clients whose public key stands in clients.allow, and "
        "everything that travels is encrypted. DIR is what queue.keys_dir names. Nothing in it is "
        "ever overwritten. To lock a client out, delete its line; it is refused when it connects "
        "again.",
    .examples = "  volley keys /etc/volley/keys\n"
                "  volley keys /etc/volley/keys --client publisher2",
    .options = options,
    .options_len = COUNT_OF(options),
    .arguments_min = 1,
    .arguments_max = 1,
    .run = keys_run,
};
