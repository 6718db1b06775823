/* The managed tor's life: programs that play tor badly, and the real one in a network that is not
 * there (its only authority is a closed port on loopback). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/net/tor.h"
#include "tests/support/spin.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct rig {
    uv_loop_t loop;
    char dir[64], bin[80], data[80], extra[80], log[80];
    char *old_path;
    int real_stderr;
    struct tor *tor;
    bool stopped;
    const char *awaited;
    size_t times;
    char text[64 * 1024]; /* what was logged */
};

/* ---- the rig ---- */

static void set_path(const struct rig *r, bool with_system)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s%s%s", r->bin, with_system ? ":" : "",
                   with_system ? r->old_path : "");
    assert_int_equal(setenv("PATH", path, 1), 0);
}

static int setup(void **state)
{
    struct rig *r = mem_zero(1, sizeof *r);
    (void)snprintf(r->dir, sizeof r->dir, "/tmp/volley-tor-XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    (void)snprintf(r->bin, sizeof r->bin, "%s/bin", r->dir);
    (void)snprintf(r->data, sizeof r->data, "%s/data", r->dir);
    (void)snprintf(r->extra, sizeof r->extra, "%s/extra", r->dir);
    (void)snprintf(r->log, sizeof r->log, "%s/log", r->dir);
    assert_int_equal(mkdir(r->bin, 0700), 0);
    assert_int_equal(uv_loop_init(&r->loop), 0);
    r->old_path = mem_strdup(getenv("PATH"));
    set_path(r, true);
    fflush(stderr);
    r->real_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    assert_non_null(freopen(r->log, "a", stderr));
    *state = r;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void on_stopped(void *arg)
{
    struct rig *r = arg;
    r->stopped = true;
    r->tor = NULL;
}

static bool is_stopped(void *arg)
{
    const struct rig *r = arg;
    return r->stopped;
}

static void stop(struct rig *r)
{
    r->stopped = false;
    tor_stop(r->tor, on_stopped, r);
    spin_until(&r->loop, is_stopped, r, "tor has stopped");
}

static int teardown(void **state)
{
    struct rig *r = *state;
    if (r->tor != NULL)
        stop(r);
    fflush(stderr);
    dup2(r->real_stderr, STDERR_FILENO);
    close(r->real_stderr);
    spin_out(&r->loop);
    setenv("PATH", r->old_path, 1);
    free(r->old_path);
    nftw(r->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(r);
    return 0;
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fputs(text, f) >= 0, 1);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

/* A tor of shell: `check` when it is to verify its torrc, else `run`. */
static void play_tor(const struct rig *r, const char *check, const char *run)
{
    char path[96], text[1024];
    (void)snprintf(path, sizeof path, "%s/tor", r->bin);
    (void)snprintf(text, sizeof text,
                   "#!/bin/sh\ncase \"$*\" in *--verify-config*) %s;; *) %s;; esac\n", check, run);
    write_file(path, text, 0700);
}

static void begin(struct rig *r)
{
    struct problem p = {0};
    const struct tor_options o = {.data_dir = r->data,
                                  .extra_file = access(r->extra, F_OK) == 0 ? r->extra : NULL};
    assert_int_equal(tor_new(&r->loop, &o, &r->tor, &p), ERR_NONE);
}

/* ---- what was logged ---- */

static size_t count(struct rig *r, const char *what)
{
    size_t n = 0;
    FILE *f = fopen(r->log, "r");
    assert_non_null(f);
    r->text[fread(r->text, 1, sizeof r->text - 1, f)] = '\0';
    fclose(f);
    for (const char *at = r->text; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

static bool was_logged(void *arg)
{
    struct rig *r = arg;
    return count(r, r->awaited) >= r->times;
}

/* A timer keeps the loop turning: the log is a file. */
static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

static void until_logged(struct rig *r, const char *what, size_t times)
{
    uv_timer_t tick;
    r->awaited = what;
    r->times = times;
    (void)uv_timer_init(&r->loop, &tick);
    uv_timer_start(&tick, on_tick, 10, 10);
    spin_until(&r->loop, was_logged, r, what);
    uv_close((uv_handle_t *)&tick, NULL);
    spin_turns(&r->loop, 2);
}

/* ---- a tor that is none ---- */

static void a_missing_tor_is_said_once_and_used_when_it_comes(void **state)
{
    struct rig *r = *state;
    set_path(r, false);
    begin(r);
    until_logged(r, "tor cannot be started: no such file or directory; install it", 1);
    uint64_t until_ms = clock_boot_ms() + 1500; /* another try has been made by then */
    while (clock_boot_ms() < until_ms)
        uv_run(&r->loop, UV_RUN_ONCE);
    assert_int_equal(count(r, "deliveries over it wait"), 1);
    set_path(r, true);
    play_tor(r, "exit 0", "exec sleep 600");
    until_logged(r, "tor started", 1);
}

static void lines_tor_does_not_take_are_shown_and_nothing_is_started(void **state)
{
    struct rig *r = *state;
    play_tor(r,
             "echo 'Nov 1 00:00:00.000 [notice] Tor 0.4.9'; echo \"Nov 1 00:00:00.000 [warn] "
             "Failed to parse: Unknown option 'Nonsense'.\"; echo 'Nov 1 00:00:00.000 [err] "
             "Reading config failed--see warnings above.'; exit 1",
             "exec sleep 600");
    begin(r);
    until_logged(r,
                 "checking tor's configuration ended with status 1: Failed to parse: Unknown "
                 "option 'Nonsense'.",
                 1);
    assert_int_equal(count(r, "tor started"), 0);
}

static void an_added_line_that_undoes_a_promise_is_refused(void **state)
{
    struct rig *r = *state;
    play_tor(r, "exit 0", "exec sleep 600");
    write_file(r->extra, "UseBridges 1\nSocksPort 9050\n", 0600);
    begin(r);
    until_logged(r, "/extra: line 2: SocksPort is set by volley itself", 1);
    assert_int_equal(count(r, "tor started"), 0);
    write_file(r->extra, "UseBridges 1\n", 0600);
    until_logged(r, "tor started", 1);
}

static void a_tor_that_dies_is_started_again_and_said_once(void **state)
{
    struct rig *r = *state;
    play_tor(r, "exit 0", "echo 'Nov 1 00:00:00.000 [warn] Out of luck'; exit 3");
    begin(r);
    until_logged(r, "[WARN] tor warns text=\"Out of luck\"", 3);
    assert_true(count(r, "tor started") >= 3);
    assert_int_equal(count(r, "tor ended with status 3: Out of luck"), 1);
}

static void output_without_end_does_no_harm(void **state)
{
    struct rig *r = *state;
    play_tor(r, "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end; exit 0",
             "head -c 100000 /dev/urandom; exec sleep 600");
    begin(r);
    until_logged(r, "tor started", 1);
}

static void a_tor_that_ignores_the_end_is_killed(void **state)
{
    struct rig *r = *state;
    play_tor(r, "exit 0", "trap '' TERM; echo '[warn] deaf'; while :; do sleep 1; done");
    begin(r);
    until_logged(r, "text=deaf", 1);
    uint64_t began_ms = clock_boot_ms();
    stop(r);
    uint64_t took_ms = clock_boot_ms() - began_ms;
    assert_in_range(took_ms, 4000, 9000);
}

static void it_can_be_ended_at_any_moment(void **state)
{
    struct rig *r = *state;
    play_tor(r, "sleep 5", "exec sleep 600");
    begin(r);
    stop(r);
    for (unsigned turns = 1; turns < 6; turns++) {
        begin(r);
        spin_turns(&r->loop, turns);
        tor_kill(r->tor);
        stop(r);
    }
}

static void two_in_one_directory_are_not_started(void **state)
{
    struct rig *r = *state;
    play_tor(r, "exit 0", "exec sleep 600");
    begin(r);
    until_logged(r, "tor started", 1);
    struct tor *first = r->tor;
    begin(r);
    struct tor *second = r->tor;
    until_logged(r, "another tor of volley's runs in ", 1);
    r->tor = first;
    stop(r);
    r->tor = second;
    until_logged(r, "tor started", 2);
}

static void its_directory_is_ours_alone(void **state)
{
    struct rig *r = *state;
    char path[128];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/tor", r->data);
    assert_int_equal(mkdir(r->data, 0755), 0);
    assert_int_equal(mkdir(path, 0755), 0);
    play_tor(r, "exit 0", "exec sleep 600");
    begin(r);
    until_logged(r, "tor started", 1);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    (void)snprintf(path, sizeof path, "%s/tor/torrc", r->data);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

/* ---- the real one ---- */

static void real_tor(struct rig *r)
{
    write_file(r->extra,
               "DirAuthority nobody orport=1 v3ident=0000000000000000000000000000000000000001 "
               "127.0.0.1:1 0000000000000000000000000000000000000002\n",
               0600);
    begin(r);
}

static long started_pid(struct rig *r)
{
    const char *at = NULL;
    assert_true(count(r, "tor started") > 0);
    for (const char *next = r->text; (next = strstr(next, "tor started pid=")) != NULL; next++)
        at = next;
    assert_non_null(at);
    return strtol(at + strlen("tor started pid="), NULL, 10);
}

static void the_real_tor_is_started_watched_and_ended(void **state)
{
    struct rig *r = *state;
    char path[128];
    static const char *const sockets[] = {"any", "ipv6", "ipv4", "control"};
    real_tor(r);
    until_logged(r, "Tor is starting percent=", 1);
    for (size_t i = 0; i < COUNT_OF(sockets); i++) {
        struct stat st;
        (void)snprintf(path, sizeof path, "%s/tor/%s.sock", r->data, sockets[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_true(S_ISSOCK(st.st_mode));
    }
    long pid = started_pid(r);
    assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
    until_logged(r, "tor ended by signal 9", 1);
    until_logged(r, "tor started", 2);
    pid = started_pid(r);
    stop(r);
    assert_int_equal(kill((pid_t)pid, 0), -1);
    assert_int_equal(errno, ESRCH);
}

static void the_real_tor_explains_what_it_does_not_take(void **state)
{
    struct rig *r = *state;
    write_file(r->extra, "UseBridges 1\nBridge 192.0.2.1:443\nNonsense 1\n", 0600);
    begin(r);
    until_logged(r, "Unknown option 'Nonsense'", 1);
    assert_int_equal(count(r, "tor started"), 0);
}

/* kill -9 of the supervisor: its control connection was tor's reason to live. */
static void the_real_tor_does_not_outlive_us(void **state)
{
    struct rig *r = *state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        uv_loop_fork(&r->loop);
        real_tor(r);
        for (;;)
            uv_run(&r->loop, UV_RUN_DEFAULT);
    }
    until_logged(r, "Tor is starting percent=", 1);
    long pid = started_pid(r);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    uint64_t until_ms = clock_boot_ms() + 10000;
    while (kill((pid_t)pid, 0) == 0 && clock_boot_ms() < until_ms)
        usleep(10000);
    assert_int_equal(kill((pid_t)pid, 0), -1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    log_init(LOG_INFO, LOG_TEXT, "test");
    const struct CMUnitTest tests[] = {
        TEST(a_missing_tor_is_said_once_and_used_when_it_comes),
        TEST(lines_tor_does_not_take_are_shown_and_nothing_is_started),
        TEST(an_added_line_that_undoes_a_promise_is_refused),
        TEST(a_tor_that_dies_is_started_again_and_said_once),
        TEST(output_without_end_does_no_harm),
        TEST(a_tor_that_ignores_the_end_is_killed),
        TEST(it_can_be_ended_at_any_moment),
        TEST(two_in_one_directory_are_not_started),
        TEST(its_directory_is_ours_alone),
        TEST(the_real_tor_is_started_watched_and_ended),
        TEST(the_real_tor_explains_what_it_does_not_take),
        TEST(the_real_tor_does_not_outlive_us),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
