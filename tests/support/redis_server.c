#include "tests/support/redis_server.h"

#include "common/base/clock.h"
#include "common/base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 20000

bool redis_server_exists(void)
{
    return access("/usr/bin/redis-server", X_OK) == 0 ||
           access("/usr/local/bin/redis-server", X_OK) == 0;
}

/* tests are build/MODE/tests/…: the shim is build/MODE/clock.so, or the release's. */
static void find_shim(char *out, size_t size)
{
    char exe[512];
    ssize_t len = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[len > 0 ? len : 0] = '\0';
    char *build = strstr(exe, "/build/");
    if (build == NULL)
        die("%s is not below build/: where is clock.so?", exe);
    char *mode = build + strlen("/build/");
    (void)snprintf(out, size, "%.*s/clock.so", (int)(mode - exe + (long)strcspn(mode, "/")), exe);
    if (access(out, R_OK) != 0)
        (void)snprintf(out, size, "%.*srelease/clock.so", (int)(mode - exe), exe);
    if (access(out, R_OK) != 0)
        die("no clock.so: make build/release/clock.so");
}

static void map_clock(struct redis_server *s)
{
    char path[200];
    (void)snprintf(path, sizeof path, "%s/clock", s->dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *s->clock_us) != 0)
        die("%s: %s", path, strerror(errno));
    void *at = mmap(NULL, sizeof *s->clock_us, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        die("mmap: %s", strerror(errno));
    s->clock_us = at;
    close(fd);
}

void redis_server_set_clock(struct redis_server *s, int64_t wall_ms)
{
    *s->clock_us = (uint64_t)wall_ms * 1000;
}

static void write_config(const struct redis_server *s, const char *more)
{
    char path[200];
    (void)snprintf(path, sizeof path, "%s/redis.conf", s->dir);
    FILE *f = fopen(path, "we");
    if (f == NULL)
        die("%s: %s", path, strerror(errno));
    fprintf(f,
            "port 0\nunixsocket %s\nunixsocketperm 700\ndir %s\nlogfile %s/log\nsave \"\"\n"
            "appendonly yes\nappendfsync always\nno-appendfsync-on-rewrite no\n"
            "maxmemory-policy noeviction\ndaemonize no\n%s",
            s->socket, s->dir, s->dir, more != NULL ? more : "");
    if (fclose(f) != 0)
        die("%s: %s", path, strerror(errno));
}

/* The child: it ends with us, however we end. A sanitizer's library comes before any preloaded one,
 * so Redis gets none. */
static _Noreturn void be_server(const struct redis_server *s, pid_t parent, const char *shim)
{
    char path[200], clock[200];
    (void)snprintf(path, sizeof path, "%s/redis.conf", s->dir);
    (void)snprintf(clock, sizeof clock, "%s/clock", s->dir);
    if (s->clock_us != NULL) {
        setenv("LD_PRELOAD", shim, 1);
        setenv("CLOCK_FILE", clock, 1);
    }
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(1);
    execlp("redis-server", "redis-server", path, (char *)NULL);
    _exit(127);
}

/* Until it answers, its data loaded. */
static void connect_to(struct redis_server *s)
{
    uint64_t until_ms = clock_boot_ms() + PATIENCE_MS;
    while (clock_boot_ms() < until_ms) {
        int status;
        if (waitpid(s->pid, &status, WNOHANG) == s->pid)
            die("redis-server ended with status %d: see %s/log", status, s->dir);
        redisContext *c = redisConnectUnix(s->socket);
        redisReply *r = c != NULL && c->err == 0 ? redisCommand(c, "PING") : NULL;
        bool up = r != NULL && (r->type == REDIS_REPLY_STATUS || strstr(r->str, "NOAUTH") != NULL);
        if (r != NULL)
            freeReplyObject(r);
        if (up) {
            s->to = c;
            return;
        }
        if (c != NULL)
            redisFree(c);
        usleep(5000);
    }
    die("redis-server does not answer on %s", s->socket);
}

void redis_server_again(struct redis_server *s)
{
    char shim[512] = "";
    pid_t self = getpid();
    if (s->clock_us != NULL)
        find_shim(shim, sizeof shim);
    unlink(s->socket);
    s->pid = fork();
    if (s->pid < 0)
        die("fork: %s", strerror(errno));
    if (s->pid == 0)
        be_server(s, self, shim);
    connect_to(s);
}

void redis_server_start(struct redis_server *s, bool clock, const char *config)
{
    const char *tmp = getenv("TMPDIR");
    memset(s, 0, sizeof *s);
    (void)snprintf(s->dir, sizeof s->dir, "%s/volley-redis-XXXXXX", tmp != NULL ? tmp : P_tmpdir);
    if (mkdtemp(s->dir) == NULL)
        die("no directory like %s", s->dir);
    (void)snprintf(s->socket, sizeof s->socket, "%s/redis.sock", s->dir);
    (void)snprintf(s->url, sizeof s->url, "redis+unix://%s", s->socket);
    if (clock)
        map_clock(s);
    write_config(s, config);
    redis_server_again(s);
}

void redis_server_kill(struct redis_server *s)
{
    if (s->to != NULL)
        redisFree(s->to);
    s->to = NULL;
    if (s->pid > 0) {
        kill(s->pid, SIGKILL);
        while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    s->pid = 0;
}

void redis_server_restart(struct redis_server *s)
{
    redis_server_kill(s);
    redis_server_again(s);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

void redis_server_stop(struct redis_server *s)
{
    redis_server_kill(s);
    if (s->clock_us != NULL)
        munmap((void *)s->clock_us, sizeof *s->clock_us);
    if (nftw(s->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0)
        die("%s can't be removed", s->dir);
    memset(s, 0, sizeof *s);
}

redisReply *redis_server_do(struct redis_server *s, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    redisReply *r = redisvCommand(s->to, format, ap);
    va_end(ap);
    if (r == NULL)
        die("redis-server: %s: %s", format, s->to->errstr);
    if (r->type == REDIS_REPLY_ERROR)
        die("redis-server: %s: %s", format, r->str);
    return r;
}

void redis_server_tell(struct redis_server *s, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    redisReply *r = redisvCommand(s->to, format, ap);
    va_end(ap);
    if (r == NULL)
        die("redis-server: %s: %s", format, s->to->errstr);
    freeReplyObject(r);
}
