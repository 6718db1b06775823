/* When the disk says no: full, or failing. The system calls that tell are this program's own, so
 * that it can say what it likes. */
#include "tests/support/store_box.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MIB (1024ull * 1024)

static struct {
    uint64_t free, total; /* of the file system; total 0: as it is */
    bool fdatasync_fails;
    unsigned syncs;
} disk;

int statvfs(const char *restrict path, struct statvfs *restrict out)
{
    (void)path;
    uint64_t total = disk.total ? disk.total : 1000 * 1024 * MIB;
    *out = (struct statvfs){.f_frsize = 4096, .f_bsize = 4096};
    out->f_blocks = total / 4096;
    out->f_bavail = out->f_bfree = (disk.total ? disk.free : total) / 4096;
    return 0;
}

/* LMDB, a shared library, finds this one first. */
int fdatasync(int fd)
{
    disk.syncs++;
    if (disk.fdatasync_fails) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

static int setup(void **state)
{
    memset(&disk, 0, sizeof disk);
    return box_setup(state);
}

#define FAULT_TEST(f) cmocka_unit_test_setup_teardown(f, setup, box_teardown)

static enum err append_err(struct store_box *b, unsigned n, struct problem *why)
{
    struct append_result r;
    struct event *ev = make_note(0, n);
    box_begin(b);
    enum err e = store_append(b->s, ev, b->now_ms, &r, NULL, why);
    box_commit(b);
    event_unref(ev);
    return e;
}

/* A heartbeat tells the truth about the disk, too. */
static enum err beat_err(struct store_box *b, unsigned n)
{
    struct append_result r;
    struct problem why;
    struct event *ev = make_heartbeat(n);
    uint64_t before, after;
    (void)store_heartbeat(b->s, &before);
    box_begin(b);
    enum err e = store_append(b->s, ev, b->now_ms, &r, NULL, &why);
    box_commit(b);
    event_unref(ev);
    (void)store_heartbeat(b->s, &after);
    assert_int_equal(after, before + (e == ERR_NONE));
    return e;
}

static void a_full_disk_refuses_appends_and_never_commits(void **state)
{
    static const struct {
        uint64_t total, free;
        enum err err;
    } rows[] = {
        {100000 * MIB, 65 * MIB, ERR_NONE},  {100000 * MIB, 63 * MIB, ERR_NO_SPACE},
        {100000 * MIB, 0, ERR_NO_SPACE},     {400 * MIB, 21 * MIB, ERR_NONE}, /* 5 % */
        {400 * MIB, 19 * MIB, ERR_NO_SPACE}, {20 * MIB, 5 * MIB, ERR_NONE},   /* 4 MiB at least */
        {20 * MIB, 3 * MIB, ERR_NO_SPACE},
    };
    struct store_box *b = *state;
    box_relays(b, 1);
    box_notes(b, 1, 10);
    (void)box_grant(b, 1, 1);
    uint64_t position = 0;
    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        struct problem why = {0};
        disk.total = rows[i].total;
        disk.free = rows[i].free;
        if (append_err(b, 100 + i, &why) != rows[i].err)
            fail_msg("row %u: %s", i, why.text);
        if (rows[i].err != ERR_NONE) {
            assert_non_null(strstr(why.text, "disk is full"));
            assert_true(box_append(b, make_note(0, 1)).duplicate);
        }
        assert_int_equal(beat_err(b, i + 1), rows[i].err);
        box_deliver(b, 1, ++position);
        box_housekeep(b);
        assert_int_equal(box_status(b, 1).position, position);
    }
}

/* What operators write waits until there is room; what settles does not. */
static void a_full_disk_refuses_replays_and_purges_and_never_steps(void **state)
{
    struct store_box *b = *state;
    struct failed_call c = {.what = FAILED_REPLAY, .token = 1};
    struct failed_page p;
    const uint64_t removed[] = {1};
    box_relays(b, 1);
    box_notes(b, 1, 3);
    (void)box_grant(b, 1, 1);
    for (uint64_t pos = 1; pos <= 3; pos++)
        box_fail(b, 1, pos);
    uint64_t job = box_replay(b, &(struct row_filter){.min_attempts = 0}, 0);
    disk.total = 100000 * MIB;
    disk.free = 1 * MIB;
    assert_int_equal(box_try_page(b, &c, &p), ERR_NO_SPACE);
    c.what = FAILED_PURGE;
    assert_int_equal(box_try_page(b, &c, &p), ERR_NO_SPACE);
    c.what = FAILED_COUNT;
    assert_int_equal(box_page(b, &c).groups[0].count, 3);
    assert_true(box_step(b, 100));
    struct lane_commit k = box_next(b, 1, 3);
    k.rows_removed = removed;
    k.rows_removed_len = 1;
    assert_int_equal(box_lane_commit(b, &k).status, COMMIT_DONE);
    assert_int_equal(box_job(b, job).delivered, 1);
    box_begin(b);
    assert_int_equal(store_cancel(b->s, job, b->now_ms), ERR_NONE);
    box_commit(b);
    disk.total = 0;
    c.what = FAILED_PURGE;
    assert_int_equal(box_page(b, &c).groups[0].count, 2);
}

static void one_turn_does_not_take_more_than_there_is(void **state)
{
    struct store_box *b = *state;
    struct problem why = {0};
    struct append_result r;
    unsigned taken = 0;
    box_relays(b, 1);
    disk.total = 100000 * MIB;
    disk.free = 66 * MIB;
    box_begin(b);
    enum err e = ERR_NONE;
    for (unsigned n = 1; e == ERR_NONE && n < 1000; n++) {
        struct event *ev = make_note(0, n);
        e = store_append(b->s, ev, b->now_ms, &r, NULL, &why);
        taken += e == ERR_NONE;
        event_unref(ev);
    }
    box_commit(b);
    assert_int_equal(e, ERR_NO_SPACE);
    assert_true(taken > 10 && taken < 100);
    assert_int_equal(store_head(b->s), taken);
}

static bool has_ballast(const struct store_box *b, uint64_t *size)
{
    char path[512];
    struct stat st;
    box_path(b, "reserve", path);
    if (stat(path, &st) != 0)
        return false;
    *size = (uint64_t)st.st_blocks * 512;
    return true;
}

static void the_ballast_goes_on_a_full_disk_and_comes_back(void **state)
{
    struct store_box *b = *state;
    uint64_t size = 0;
    assert_true(has_ballast(b, &size));
    assert_true(size >= 16 * MIB); /* really there, not a hole */
    disk.total = 100000 * MIB;
    disk.free = 30 * MIB; /* too little for appends, enough for a commit */
    box_reopen(b);
    assert_true(has_ballast(b, &size));
    disk.free = 1 * MIB;
    box_reopen(b);
    assert_false(has_ballast(b, &size));
    box_pass(b, 120000);
    assert_false(has_ballast(b, &size));
    disk.free = 1000 * MIB;
    box_pass(b, 120000);
    assert_true(has_ballast(b, &size));
}

static void a_sync_that_fails_ends_the_store_and_what_was_not_committed_is_not_there(void **state)
{
    struct store_box *b = *state;
    struct append_result r;
    struct problem why = {0};
    box_relays(b, 1);
    box_notes(b, 1, 3);
    struct event *ev = make_note(0, 4);
    box_begin(b);
    assert_int_equal(store_append(b->s, ev, b->now_ms, &r, NULL, &why), ERR_NONE);
    event_unref(ev);
    disk.fdatasync_fails = true;
    assert_int_equal(store_commit(b->s), ERR_IO);
    assert_non_null(strstr(store_problem(b->s), "data.mdb"));
    disk.fdatasync_fails = false;
    box_reopen(b);
    assert_int_equal(store_head(b->s), 3);
    assert_int_equal(box_note(b, 4), 4);
}

static void every_commit_is_synced_and_opening_makes_one(void **state)
{
    struct store_box *b = *state;
    box_relays(b, 1);
    for (unsigned n = 1; n <= 5; n++) {
        unsigned before = disk.syncs;
        (void)box_note(b, n);
        assert_true(disk.syncs > before);
    }
    unsigned before = disk.syncs;
    box_reopen(b);
    assert_true(disk.syncs > before);
    disk.fdatasync_fails = true;
    store_close(b->s);
    b->s = NULL;
    struct problem p = {0};
    assert_int_equal(box_try_open(b, &p), ERR_IO);
    assert_true(p.text[0] != '\0');
}

static void an_idle_store_does_not_write(void **state)
{
    struct store_box *b = *state;
    box_relays(b, 1);
    box_notes(b, 1, 5);
    box_pass(b, 1000);
    unsigned before = disk.syncs;
    for (unsigned i = 0; i < 100; i++)
        box_pass(b, 1000);
    assert_int_equal(disk.syncs, before);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        FAULT_TEST(a_full_disk_refuses_appends_and_never_commits),
        FAULT_TEST(a_full_disk_refuses_replays_and_purges_and_never_steps),
        FAULT_TEST(one_turn_does_not_take_more_than_there_is),
        FAULT_TEST(the_ballast_goes_on_a_full_disk_and_comes_back),
        FAULT_TEST(a_sync_that_fails_ends_the_store_and_what_was_not_committed_is_not_there),
        FAULT_TEST(every_commit_is_synced_and_opening_makes_one),
        FAULT_TEST(an_idle_store_does_not_write),
    };
    return cmocka_run_group_tests_name("the store and its disk", tests, NULL, NULL);
}
