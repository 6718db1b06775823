/* Opening the store: what is refused, and that nothing on disk is touched then; what an end at any
 * moment leaves. */
#include "tests/support/store_box.h"

#include "queue/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files ---- */

static char *slurp(const char *path, size_t *len)
{
    struct stat st;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &st) != 0)
        die("%s can't be read", path);
    char *data = mem_new((size_t)st.st_size + 1);
    *len = (size_t)st.st_size;
    if (read(fd, data, *len) != (ssize_t)*len)
        die("%s can't be read whole", path);
    close(fd);
    return data;
}

static void write_at(const char *path, long at, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY);
    if (fd < 0 || pwrite(fd, data, len, at) != (ssize_t)len)
        die("%s can't be written", path);
    close(fd);
}

/* Opening must fail with `want`, say something, and leave data.mdb as it is. */
static void check_refused(struct store_box *b, enum err want)
{
    char path[512];
    size_t before_len, after_len;
    struct problem p = {0};
    box_path(b, "data.mdb", path);
    char *before = slurp(path, &before_len);
    assert_string_equal(err_name(box_try_open(b, &p)), err_name(want));
    assert_true(strlen(p.text) > 0);
    char *after = slurp(path, &after_len);
    assert_int_equal(before_len, after_len);
    assert_memory_equal(before, after, before_len);
    free(before);
    free(after);
}

static void fill_and_close(struct store_box *b)
{
    box_relays(b, 2);
    box_notes(b, 1, 200);
    store_close(b->s);
    b->s = NULL;
}

/* ---- a new directory ---- */

static void a_directory_is_made_for_its_owner_only(void **state)
{
    struct store_box *b = *state;
    struct stat st;
    char path[512];
    struct store_options o = b->options;
    struct store *s;
    struct problem p = {0};
    box_path(b, "one/two/three", path);
    o.dir = path;
    assert_int_equal(store_open(&o, b->now_ms, &s, &p), ERR_NONE);
    assert_int_equal(store_head(s), 0);
    store_close(s);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    box_path(b, "one/two/three/data.mdb", path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_file_in_the_directorys_place_is_an_error(void **state)
{
    struct store_box *b = *state;
    char path[512];
    struct store *s = NULL;
    struct problem p = {0};
    box_path(b, "data.mdb", path);
    struct store_options o = b->options;
    o.dir = path;
    assert_int_equal(store_open(&o, b->now_ms, &s, &p), ERR_IO);
    assert_null(s);
    assert_non_null(strstr(p.text, "data.mdb"));
    o.dir = "";
    assert_int_equal(store_open(&o, b->now_ms, &s, &p), ERR_IO);
}

static void a_store_that_was_not_finished_is_made_anew(void **state)
{
    struct store_box *b = *state;
    char path[512], made[512];
    store_close(b->s);
    b->s = NULL;
    box_path(b, "data.mdb", path);
    box_path(b, "new.mdb", made);
    assert_int_equal(unlink(path), 0);
    int fd = open(made, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "half a page", 11), 11);
    close(fd);
    struct problem p = {0};
    assert_int_equal(box_try_open(b, &p), ERR_NONE);
    assert_int_equal(access(made, F_OK), -1);
}

/* ---- who else ---- */

static void a_second_opener_is_refused_and_the_first_goes_on(void **state)
{
    struct store_box *b = *state;
    struct problem p = {0};
    box_relays(b, 1);
    check_refused(b, ERR_LOCKED);
    assert_int_equal(box_try_open(b, &p), ERR_LOCKED);
    assert_non_null(strstr(p.text, b->dir));
    assert_int_equal(box_note(b, 1), 1);
    store_close(b->s);
    b->s = NULL;
    assert_int_equal(box_try_open(b, &p), ERR_NONE);
}

/* ---- what is damaged ---- */

static void a_file_that_is_no_store_is_corrupt(void **state)
{
    struct store_box *b = *state;
    char path[512];
    store_close(b->s);
    b->s = NULL;
    box_path(b, "data.mdb", path);
    char noise[8192];
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (char)(i * 7 + 3);
    write_at(path, 0, noise, sizeof noise);
    check_refused(b, ERR_CORRUPT);
}

static void damage_in_either_meta_page_is_found(void **state)
{
    struct store_box *b = *state;
    char path[512];
    fill_and_close(b);
    box_path(b, "data.mdb", path);
    size_t len;
    char *whole = slurp(path, &len);
    static const struct {
        long at;
        enum err err;
    } rows[] = {
        {10, ERR_CORRUPT},        {16, ERR_CORRUPT},        {20, ERR_VERSION},
        {41, ERR_CORRUPT},        {16 + 4096, ERR_CORRUPT}, {20 + 4096, ERR_VERSION},
        {41 + 4096, ERR_CORRUPT},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        write_at(path, rows[i].at, "\x77", 1);
        check_refused(b, rows[i].err);
        write_at(path, 0, whole, len);
    }
    free(whole);
    struct problem p = {0};
    assert_int_equal(box_try_open(b, &p), ERR_NONE);
}

static void a_file_cut_short_anywhere_is_corrupt(void **state)
{
    struct store_box *b = *state;
    char path[512];
    fill_and_close(b);
    box_path(b, "data.mdb", path);
    size_t len;
    char *whole = slurp(path, &len);
    assert_true(len > 20 * 4096);
    const size_t cuts[] = {0, 1, 4095, 4096, 4200, 8191, 8192, 3 * 4096, len / 2, len / 2 + 7};
    for (size_t i = 0; i < COUNT_OF(cuts); i++) {
        assert_int_equal(truncate(path, (off_t)cuts[i]), 0);
        check_refused(b, ERR_CORRUPT);
        assert_int_equal(truncate(path, (off_t)len), 0);
        write_at(path, 0, whole, len);
    }
    free(whole);
    struct problem p = {0};
    assert_int_equal(box_try_open(b, &p), ERR_NONE);
}

/* LMDB may leave pages at the end unwritten that were used and freed in one transaction. Here each
 * length from the end backwards is either refused, or all that was stored is read from it. */
static void a_file_is_taken_short_only_when_nothing_is_missing(void **state)
{
    struct store_box *b = *state;
    char path[512];
    box_relays(b, 1);
    (void)box_grant(b, 1, 1);
    box_notes(b, 1, 2000);
    box_deliver(b, 1, 2000);
    box_housekeep(b);
    box_pass(b, BOX_RETENTION_MS); /* all is forgotten: most pages are free */
    for (unsigned n = 2001; n <= 2010; n++)
        (void)box_note(b, n);
    store_close(b->s);
    b->s = NULL;
    box_path(b, "data.mdb", path);
    size_t len;
    char *whole = slurp(path, &len);
    unsigned taken = 0, refused = 0;
    for (size_t cut = len; cut > 0 && refused < 8; cut -= 4096 * (1 + taken / 8)) {
        struct problem p = {0};
        assert_int_equal(truncate(path, (off_t)cut), 0);
        enum err e = store_open(&b->options, b->now_ms, &b->s, &p);
        if (e == ERR_NONE) {
            for (uint64_t pos = 2001; pos <= 2010; pos++)
                assert_int_equal(box_look(b, pos).gone, GONE_NO);
            assert_int_equal(box_receipt(b, 2003, 1).end, RECEIPT_QUEUED);
            taken += cut < len ? 1 : 0;
        } else {
            assert_int_equal(e, ERR_CORRUPT);
            refused++;
        }
        store_close(b->s);
        b->s = NULL;
        assert_int_equal(truncate(path, 0), 0);
        assert_int_equal(truncate(path, (off_t)len), 0);
        write_at(path, 0, whole, len);
    }
    free(whole);
    print_message("%u lengths taken, %u refused\n", taken, refused);
    assert_true(taken >= 1 && refused >= 1);
}

/* Here the list of free pages lies at the file's beginning, and events at its end: what is missing
 * is found by counting. */
static void a_missing_page_is_found_though_the_free_list_is_there(void **state)
{
    struct store_box *b = *state;
    char path[512];
    box_relays(b, 1);
    (void)box_grant(b, 1, 1);
    box_notes(b, 1, 1000);
    box_notes(b, 1001, 2000);
    box_deliver(b, 1, 1000);
    box_housekeep(b); /* frees the pages of 1 … 1,000 */
    for (unsigned n = 2001; n <= 2010; n++)
        (void)box_note(b, n);
    store_close(b->s);
    b->s = NULL;
    box_path(b, "data.mdb", path);
    size_t len;
    char *whole = slurp(path, &len);
    for (size_t cut = len - 4096; cut > len / 2; cut -= 4096 * 7) {
        struct problem p = {0};
        assert_int_equal(truncate(path, (off_t)cut), 0);
        enum err e = store_open(&b->options, b->now_ms, &b->s, &p);
        for (uint64_t pos = 1001; e == ERR_NONE && pos <= 2010; pos++)
            assert_int_equal(box_look(b, pos).gone, GONE_NO);
        store_close(b->s);
        b->s = NULL;
        if (e == ERR_CORRUPT)
            continue;
        assert_int_equal(e, ERR_NONE);
        write_at(path, 0, whole, len);
    }
    free(whole);
    check_refused(b, ERR_CORRUPT);
}

/* Finds the only place where these bytes stand in data.mdb, and changes the last of them. */
static void spoil(const struct store_box *b, const void *what, size_t what_len, size_t at)
{
    char path[512];
    size_t len;
    box_path(b, "data.mdb", path);
    char *whole = slurp(path, &len);
    bool found = false;
    for (size_t i = 0; i + what_len <= len; i++) {
        if (memcmp(whole + i, what, what_len) != 0)
            continue;
        whole[i + at] = (char)(whole[i + at] ^ 0x40);
        found = true;
    }
    if (!found)
        die("these bytes are not in data.mdb");
    write_at(path, 0, whole, len);
    free(whole);
}

/* A store of a format to come: a meta record that is whole, with another number. */
static void an_unknown_format_is_refused_by_name(void **state)
{
    struct store_box *b = *state;
    char path[512];
    size_t len, at = 0;
    struct buf record;
    struct pack p;
    struct meta any = {0};
    buf_init(&record, 4096);
    pack_init(&p, &record);
    meta_pack(&p, &any);
    store_close(b->s);
    b->s = NULL;
    box_path(b, "data.mdb", path);
    char *whole = slurp(path, &len);
    for (size_t i = 1; i + record.len + 4 <= len; i++) {
        if (memcmp(whole + i, "volley\x03\0\0\0", 10) != 0)
            continue;
        at = i;
        whole[i + 6] = 99;
        uint32_t check = record_check(TABLE_META, "meta", 4, whole + i - 1, record.len + 1);
        memcpy(whole + i + record.len, &check, sizeof check);
    }
    assert_true(at > 0);
    write_at(path, 0, whole, len);
    free(whole);
    buf_fini(&record);
    check_refused(b, ERR_VERSION);
    struct problem why = {0};
    assert_int_equal(box_try_open(b, &why), ERR_VERSION);
    assert_non_null(strstr(why.text, "99"));
}

static void a_damaged_meta_record_is_found_when_opened(void **state)
{
    struct store_box *b = *state;
    store_close(b->s);
    b->s = NULL;
    spoil(b, "volley\x03", 7, 6);
    check_refused(b, ERR_CORRUPT);
}

static void a_damaged_lane_is_found_when_opened(void **state)
{
    struct store_box *b = *state;
    fill_and_close(b);
    spoil(b, "wss://relay1.example", 20, 12);
    check_refused(b, ERR_CORRUPT);
}

static void a_damaged_event_is_found_when_read(void **state)
{
    struct store_box *b = *state;
    fill_and_close(b);
    spoil(b, "\"note 150\"", 10, 3);
    struct problem p = {0};
    assert_int_equal(store_open(&b->options, b->now_ms, &b->s, &p), ERR_NONE);
    struct queue_event ev = box_look(b, 149);
    assert_int_equal(ev.gone, GONE_NO);
    assert_int_equal(store_read(b->s, 150, 150, NULL, NULL), ERR_CORRUPT);
    assert_non_null(strstr(store_problem(b->s), "table log"));
}

/* ---- ends ---- */

static void what_was_committed_is_there_and_what_was_not_is_not(void **state)
{
    struct store_box *b = *state;
    box_relays(b, 2);
    box_notes(b, 1, 5);
    (void)box_grant(b, 1, 1);
    box_deliver(b, 1, 3);
    box_begin(b);
    struct append_result r;
    struct problem why = {0};
    struct lane_committed done;
    struct event *ev = make_note(0, 6);
    assert_int_equal(store_append(b->s, ev, b->now_ms, &r, NULL, &why), ERR_NONE);
    event_unref(ev);
    struct lane_commit c = box_next(b, 1, 5);
    assert_int_equal(store_lane_commit(b->s, &c, b->now_ms, &done), ERR_NONE);
    assert_int_equal(done.status, COMMIT_DONE);
    assert_int_equal(box_status(b, 1).position, 5); /* seen within the turn */
    box_reopen(b);                                  /* the turn is lost */
    assert_int_equal(store_head(b->s), 5);
    assert_int_equal(box_status(b, 1).position, 3);
    assert_false(box_known(b, 6));
    assert_int_equal(box_note(b, 6), 6);
    box_deliver(b, 1, 6);
    box_reopen(b);
    assert_int_equal(store_head(b->s), 6);
    assert_int_equal(box_status(b, 1).position, 6);
    assert_true(box_append(b, make_note(0, 6)).duplicate);
}

static void an_aborted_turn_leaves_nothing(void **state)
{
    struct store_box *b = *state;
    box_relays(b, 1);
    box_notes(b, 1, 2);
    uint64_t registry = store_registry_version(b->s);
    uint64_t bytes = box_depth(b).bytes;
    box_begin(b);
    struct definition defs[2] = {box_relay(7), box_relay(8)};
    struct define_result d;
    struct append_result r;
    struct problem why = {0};
    struct event *ev = make_note(0, 3), *beat = make_heartbeat(1);
    struct lane_grant g;
    uint8_t id[PUBLISHER_ID_LEN] = {9};
    uint64_t number;
    assert_int_equal(store_append(b->s, ev, b->now_ms, &r, NULL, &why), ERR_NONE);
    assert_int_equal(store_append(b->s, beat, b->now_ms, &r, NULL, &why), ERR_NONE);
    event_unref(beat);
    assert_int_equal(store_grant(b->s, 1, id, "x", b->now_ms, &g), ERR_NONE);
    assert_int_equal(
        store_define(b->s, &(struct define_call){.defs = defs, .len = 2}, b->now_ms, &d, &why),
        ERR_NONE);
    assert_int_equal(d.retired, 1);
    event_unref(ev);
    store_abort(b->s);
    assert_int_equal(store_head(b->s), 2);
    assert_null(store_heartbeat(b->s, &number));
    assert_int_equal(store_registry_version(b->s), registry);
    struct queue_depth after = box_depth(b);
    assert_int_equal(after.lanes_len, 1);
    assert_int_equal(after.bytes, bytes);
    assert_false(after.lanes[0].retired);
    assert_string_equal(after.lanes[0].definition.url, "wss://relay0.example");
    assert_string_equal(after.lanes[0].publisher, "");
    assert_int_equal(box_note(b, 3), 3);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        BOX_TEST(a_directory_is_made_for_its_owner_only),
        BOX_TEST(a_file_in_the_directorys_place_is_an_error),
        BOX_TEST(a_store_that_was_not_finished_is_made_anew),
        BOX_TEST(a_second_opener_is_refused_and_the_first_goes_on),
        BOX_TEST(a_file_that_is_no_store_is_corrupt),
        BOX_TEST(damage_in_either_meta_page_is_found),
        BOX_TEST(a_file_cut_short_anywhere_is_corrupt),
        BOX_TEST(a_file_is_taken_short_only_when_nothing_is_missing),
        BOX_TEST(a_missing_page_is_found_though_the_free_list_is_there),
        BOX_TEST(an_unknown_format_is_refused_by_name),
        BOX_TEST(a_damaged_meta_record_is_found_when_opened),
        BOX_TEST(a_damaged_lane_is_found_when_opened),
        BOX_TEST(a_damaged_event_is_found_when_read),
        BOX_TEST(what_was_committed_is_there_and_what_was_not_is_not),
        BOX_TEST(an_aborted_turn_leaves_nothing),
    };
    return cmocka_run_group_tests_name("opening the store", tests, NULL, NULL);
}
