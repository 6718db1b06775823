/* A store that a format before wrote: it is read, and written as this format in the turn in which
 * it is opened, or left as it was.
 *
 * The old store is made here: this build fills one, and its records are then written as format 1
 * had them, by writers of their own. */
#include "tests/support/store_box.h"

#include "queue/store_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool sync_fails;

/* LMDB, a shared library, finds this one first. */
int fdatasync(int fd)
{
    if (sync_fails) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

/* ---- records of format 1 ---- */

static void pack_meta_1(struct pack *p, const struct meta *m)
{
    pack_raw(p, "volley", 6);
    pack_u32(p, 1);
    pack_u64(p, m->opened);
    pack_u64(p, m->head);
    pack_u64(p, m->first);
    pack_u64(p, m->forget);
    pack_u64(p, m->expired);
    pack_u64(p, m->entries);
    pack_u64(p, m->bytes);
    pack_u64(p, m->kept_bytes);
    pack_u64(p, m->deletions);
    pack_u64(p, m->registry_version);
    pack_u32(p, m->lanes_made);
    pack_i64(p, m->look_wall_ms);
    pack_u64(p, m->look_boot_ms);
    pack_u64(p, m->calm_until_boot_ms);
}

static void pack_meta_2(struct pack *p, const struct meta *m)
{
    pack_meta_1(p, m);
    pack_u64(p, m->lists_made);
    pack_u64(p, m->jobs_made);
    pack_u64(p, m->sum);
}

static void pack_entry_1(struct pack *p, const struct entry *e)
{
    pack_raw(p, e->id, sizeof e->id);
    pack_i64(p, e->accepted_ms);
    pack_u32(p, e->kind);
    pack_u32(p, e->len);
    pack_i64(p, e->trimmed_ms);
    pack_i64(p, e->failed_ms);
    pack_u32(p, e->holds);
    pack_i64(p, e->requeued_ms);
    pack_u8(p, e->has_address);
    if (e->has_address)
        pack_raw(p, e->address, sizeof e->address);
}

static void pack_lane_1(struct pack *p, const struct lane *l)
{
    pack_u8(p, l->retired);
    pack_i64(p, l->retired_ms);
    pack_u64(p, l->start);
    pack_u64(p, l->position);
    pack_u64(p, l->floor);
    pack_u32(p, l->version);
    pack_u64(p, l->version_from);
    pack_u32(p, l->newest);
    pack_u64(p, l->epoch);
    pack_u64(p, l->seq);
    pack_raw(p, l->holder, sizeof l->holder);
    pack_str(p, l->holder_name);
    pack_u8(p, l->progressed);
    pack_u32(p, l->stalls);
    pack_u8(p, l->operator_hold);
    pack_u64(p, l->request_last);
    pack_u64(p, l->requests_pending);
    pack_u64(p, l->delivered);
    pack_u64(p, l->failed);
    pack_u64(p, l->skipped);
    pack_u64(p, l->expired);
    pack_u64(p, l->purged);
    pack_u32(p, l->exceptions_len);
    pack_u64(p, l->exceptions_first);
    pack_u32(p, l->learned.window);
    pack_u32(p, l->learned.rate_per_1000s);
    pack_u8(p, (uint8_t)l->learned.family);
    pack_u32(p, l->learned.ipv6_failures);
    pack_i64(p, l->learned.demoted_until_ms);
}

/* ---- an old store ---- */

static const struct old_table {
    const char *name;
    enum table table; /* for the checksum */
} changed[] = {{"meta", TABLE_META}, {"entry", TABLE_ENTRY}, {"lane", TABLE_LANE}};
static const char *const added[] = {"statistics",
                                    "leader",
                                    /* since format 2: */ "history",
                                    "list",
                                    "job",
                                    "member",
                                    "waiting"};

static void ok(int rc)
{
    if (rc != 0)
        die("lmdb: %s", mdb_strerror(rc));
}

/* The record `v` of this format as that format had it. */
static void rewrite(enum table t, const MDB_val *k, const MDB_val *v, uint32_t format,
                    struct buf *out)
{
    struct unpack u;
    struct pack p;
    bool good = false;
    unpack_init(&u, (const uint8_t *)v->mv_data + 1, v->mv_size - 5);
    buf_clear(out);
    pack_init(&p, out);
    pack_u8(&p, 1);
    if (t == TABLE_META) {
        struct meta m;
        u.p += 10;
        good = meta_unpack(&u, STORE_FORMAT, &m);
        if (format == 2)
            pack_meta_2(&p, &m);
        else
            pack_meta_1(&p, &m);
    } else if (t == TABLE_ENTRY) {
        struct entry e;
        good = entry_unpack(&u, STORE_FORMAT, &e);
        pack_entry_1(&p, &e);
    } else {
        struct lane l = {.number = 0};
        good = lane_unpack(&u, STORE_FORMAT, &l);
        pack_lane_1(&p, &l);
    }
    if (!good || pack_end(&p) != ERR_NONE)
        die("a record of the store is not read");
    if (t == TABLE_META)
        memcpy(out->data + 1 + 6, &format, sizeof format);
    uint32_t check = record_check(t, k->mv_data, k->mv_size, out->data, out->len);
    if (buf_add(out, &check, sizeof check) != ERR_NONE)
        die("a record is too long");
}

static void rewrite_table(MDB_txn *txn, const struct old_table *t, uint32_t format)
{
    MDB_dbi dbi;
    MDB_cursor *c;
    MDB_val k, v;
    struct buf record;
    buf_init(&record, 65536);
    ok(mdb_dbi_open(txn, t->name, 0, &dbi));
    ok(mdb_cursor_open(txn, dbi, &c));
    int rc = mdb_cursor_get(c, &k, &v, MDB_FIRST);
    for (; rc == 0; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
        uint8_t key[16]; /* what is lent goes with the page */
        rewrite(t->table, &k, &v, format, &record);
        memcpy(key, k.mv_data, k.mv_size);
        k.mv_data = key;
        MDB_val new = {.mv_size = record.len, .mv_data = record.data};
        ok(mdb_cursor_put(c, &k, &new, MDB_CURRENT));
    }
    mdb_cursor_close(c);
    buf_fini(&record);
}

/* Closes the store, and makes it one of this format: 2, or 1 whatever it then says. */
static void make_old(struct store_box *b, uint32_t format)
{
    MDB_env *env;
    MDB_txn *txn;
    store_close(b->s);
    b->s = NULL;
    ok(mdb_env_create(&env));
    ok(mdb_env_set_maxdbs(env, TABLE_COUNT));
    ok(mdb_env_set_mapsize(env, 1u << 30));
    ok(mdb_env_open(env, b->dir, 0, 0600));
    ok(mdb_txn_begin(env, NULL, 0, &txn));
    for (size_t i = 0; i < (format == 2 ? 1 : COUNT_OF(changed)); i++)
        rewrite_table(txn, &changed[i], format);
    for (size_t i = 0; i < (format == 2 ? 2 : COUNT_OF(added)); i++) {
        MDB_dbi dbi;
        ok(mdb_dbi_open(txn, added[i], 0, &dbi));
        ok(mdb_drop(txn, dbi, 1));
    }
    ok(mdb_txn_commit(txn));
    mdb_env_close(env);
}

static uint32_t format_of(const struct store_box *b)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_val k = {.mv_size = 4, .mv_data = (void *)"meta"}, v;
    uint32_t format;
    ok(mdb_env_create(&env));
    ok(mdb_env_set_maxdbs(env, TABLE_COUNT));
    ok(mdb_env_open(env, b->dir, MDB_RDONLY, 0600));
    ok(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn));
    ok(mdb_dbi_open(txn, "meta", 0, &dbi));
    ok(mdb_get(txn, dbi, &k, &v));
    memcpy(&format, (const uint8_t *)v.mv_data + 7, sizeof format);
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return format;
}

/* Of all there was in format 1: what is in the log, kept, finished and forgotten; rows and runs, an
 * exception, a request, a version that waits, a lane that retired. */
static void fill(struct store_box *b)
{
    struct definition list[2] = {box_relay(0), box_relay(1)};
    struct define_call call = {.defs = list, .len = 2};
    struct define_result r;
    struct problem why = {0};
    struct exception x = {.pos = 6, .attempts = 2};
    box_relays(b, 3);
    (void)box_grant(b, 1, 1);
    (void)box_grant(b, 2, 1);
    for (unsigned n = 1; n <= 5; n++)
        (void)box_append(b, make_note(n % 2, n));
    (void)box_append(b, make_event(1, 1700000000, 30023, "[[\"d\",\"a\"]]", "text"));
    box_fail(b, 2, 1);
    box_fail(b, 2, 2);
    list[0].window = 9;
    box_begin(b);
    assert_int_equal(store_define(b->s, &call, b->now_ms, &r, &why), ERR_NONE); /* 3 retires */
    box_commit(b);
    struct lane_commit c = box_next(b, 1, 6);
    c.exceptions = &x;
    c.exceptions_len = 1;
    c.learned = (struct learned){.window = 8, .family = FAMILY_IPV6, .ipv6_connect_ms = 777};
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
    box_deliver(b, 2, 4);
    box_housekeep(b);
    assert_int_equal(box_append(b, make_note(0, 2)).requeued, 1);
    assert_int_equal(box_depth(b).first, 5);
}

static void check_filled(struct store_box *b)
{
    assert_int_equal(store_head(b->s), 6);
    assert_int_equal(box_depth(b).first, 5);
    struct lane_status l = box_status(b, 1);
    assert_int_equal(l.definition_version, 1);
    assert_int_equal(l.learned.window, 8);
    assert_int_equal(l.learned.family, FAMILY_IPV6);
    assert_int_equal(l.retrying, 1);
    assert_int_equal(box_status(b, 2).failed, 2);
    assert_int_equal(box_status(b, 2).asked, 1);
    assert_true(box_status(b, 3).retired);
    assert_int_equal(box_status(b, 3).expired, 6);
    struct lane_grant g = box_grant(b, 1, 3);
    assert_int_equal(g.next_version, 2);
    assert_int_equal(g.next.window, 9);
    assert_int_equal(g.exceptions[0].attempts, 2);
}

static void a_store_of_format_1_is_read_and_written_anew(void **state)
{
    struct store_box *b = *state;
    fill(b);
    make_old(b, 1);
    assert_int_equal(format_of(b), 1);
    b->now_ms += 5000;
    box_reopen(b);
    check_filled(b);
    assert_int_equal(box_status(b, 1).learned.ipv6_connect_ms, 0);
    box_reopen(b);
    check_filled(b);
    store_close(b->s);
    b->s = NULL;
    assert_int_equal(format_of(b), STORE_FORMAT);
}

static void a_store_of_format_2_gets_tables_for_statistics(void **state)
{
    static const struct observation seen = {.lane = 1, .counts = {.attempts = 3}};
    static const struct observe_call call = {.list = &seen, .len = 1};
    static const struct statistics_call all;
    struct store_box *b = *state;
    struct observe_result r;
    struct statistics_page p;
    fill(b);
    make_old(b, 2);
    assert_int_equal(format_of(b), 2);
    box_reopen(b);
    check_filled(b);
    assert_int_equal(box_status(b, 1).learned.ipv6_connect_ms, 777);
    assert_int_equal(store_statistics(b->s, &all, b->now_ms, b->boot_ms, &p), ERR_NONE);
    assert_int_equal(p.len, 0);
    box_begin(b);
    assert_int_equal(store_observe(b->s, &call, b->now_ms, b->boot_ms, &r), ERR_NONE);
    box_commit(b);
    box_reopen(b);
    assert_int_equal(store_statistics(b->s, &all, b->now_ms, b->boot_ms, &p), ERR_NONE);
    assert_int_equal(p.len, 1);
    assert_int_equal(p.version, 1);
    assert_int_equal(p.relays[0].paths[0].total.attempts, 3);
    store_close(b->s);
    b->s = NULL;
    assert_int_equal(format_of(b), STORE_FORMAT);
}

static void authors_are_known_as_far_as_events_are_kept(void **state)
{
    struct store_box *b = *state;
    struct row_filter f = {.has_author = true};
    struct failed_call c = {.what = FAILED_LIST};
    fill(b);
    b->options.failed_max = 0; /* the first one's bytes go, the second is asked for */
    store_set_limits(b->s, &b->options);
    box_housekeep(b);
    assert_int_equal(box_look(b, 1).gone, GONE_TRIMMED);
    make_old(b, 1);
    box_reopen(b);
    struct failed_page p = box_page(b, &c);
    assert_int_equal(p.rows_len, 2);
    assert_false(p.rows[0].replayable);
    assert_true(p.rows[1].replayable);
    test_pubkey(0, f.author);
    assert_memory_equal(p.rows[1].author, f.author, 32);
    c.filter = f;
    assert_int_equal(box_page(b, &c).rows_len, 1);
    test_pubkey(1, c.filter.author);
    assert_int_equal(box_page(b, &c).rows_len, 0); /* it was its author's, and nobody knows */
}

static void lanes_are_measured_in_an_upgraded_store(void **state)
{
    struct store_box *b = *state;
    struct event *ev = make_note(0, 2);
    uint64_t cost = ev->len + 128;
    event_unref(ev);
    box_relays(b, 1);
    box_notes(b, 1, 9);
    make_old(b, 1);
    b->options.lane_max = 4 * cost;
    box_reopen(b);
    box_housekeep(b);
    assert_int_equal(box_status(b, 1).depth, 4);
    assert_int_equal(box_note(b, 10), 10); /* one digit longer: three fit above it */
    box_housekeep(b);
    assert_int_equal(box_status(b, 1).depth, 3);
}

static void the_list_of_an_upgraded_store_is_in_force(void **state)
{
    struct store_box *b = *state;
    struct definition list[2] = {box_relay(1), box_relay(0)}; /* whatever its order */
    struct define_call call = {.defs = list, .len = 2};
    struct define_result r;
    struct queue_registry reg;
    struct problem why = {0};
    box_relays(b, 2);
    make_old(b, 1);
    b->now_ms += 5000;
    box_reopen(b);
    assert_int_equal(store_registry(b->s, &reg), ERR_NONE);
    assert_int_equal(reg.defined_ms, b->now_ms);
    box_begin(b);
    assert_int_equal(store_define(b->s, &call, b->now_ms, &r, &why), ERR_NONE);
    assert_int_equal(r.unchanged, 2);
    call.len = 1;
    assert_int_equal(store_define(b->s, &call, b->now_ms, &r, &why), ERR_NONE);
    call.len = 2;
    assert_int_equal(store_define(b->s, &call, b->now_ms, &r, &why), ERR_STALE);
    box_commit(b);
}

static void a_store_without_any_list_has_none_afterwards(void **state)
{
    struct store_box *b = *state;
    struct queue_registry reg;
    make_old(b, 1);
    box_reopen(b);
    assert_int_equal(store_registry(b->s, &reg), ERR_NONE);
    assert_int_equal(reg.defined_ms, 0);
}

static void an_upgrade_that_fails_leaves_the_old_store(void **state)
{
    struct store_box *b = *state;
    struct problem p = {0};
    fill(b);
    make_old(b, 1);
    sync_fails = true;
    assert_int_equal(box_try_open(b, &p), ERR_IO);
    sync_fails = false;
    assert_int_equal(format_of(b), 1);
    box_reopen(b);
    check_filled(b);
}

/* The process ends before the turn's commit: LMDB's transaction never was. */
static void a_damaged_record_stops_the_upgrade_and_nothing_is_changed(void **state)
{
    struct store_box *b = *state;
    struct problem p = {0};
    char path[512];
    fill(b);
    make_old(b, 1);
    box_path(b, "data.mdb", path);
    FILE *f = fopen(path, "r+b");
    uint8_t id[EVENT_ID_LEN], page[4096];
    struct event *ev = make_note(1, 3);
    memcpy(id, ev->id, sizeof id);
    event_unref(ev);
    unsigned spoiled = 0;
    for (long at = 0; fread(page, 1, sizeof page, f) == sizeof page; at += (long)sizeof page) {
        for (size_t i = 0; i + sizeof id < sizeof page; i++) {
            bool is_entry = i > 0 && page[i - 1] == 1 && memcmp(page + i, id, sizeof id) == 0;
            if (!is_entry)
                continue;
            (void)fseek(f, at + (long)i + 33, SEEK_SET);
            (void)fputc('?', f);
            (void)fseek(f, at + (long)sizeof page, SEEK_SET);
            spoiled++;
        }
    }
    (void)fclose(f);
    assert_true(spoiled > 0);
    assert_int_equal(box_try_open(b, &p), ERR_CORRUPT);
    assert_non_null(strstr(p.text, "table entry"));
    assert_int_equal(format_of(b), 1);
}

static void formats_that_are_not_known_are_refused(void **state)
{
    struct store_box *b = *state;
    struct problem p = {0};
    fill(b);
    make_old(b, 0);
    assert_int_equal(box_try_open(b, &p), ERR_VERSION);
    assert_non_null(strstr(p.text, "format 0"));
    assert_int_equal(format_of(b), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        BOX_TEST(a_store_of_format_1_is_read_and_written_anew),
        BOX_TEST(a_store_of_format_2_gets_tables_for_statistics),
        BOX_TEST(authors_are_known_as_far_as_events_are_kept),
        BOX_TEST(lanes_are_measured_in_an_upgraded_store),
        BOX_TEST(the_list_of_an_upgraded_store_is_in_force),
        BOX_TEST(a_store_without_any_list_has_none_afterwards),
        BOX_TEST(an_upgrade_that_fails_leaves_the_old_store),
        BOX_TEST(a_damaged_record_stops_the_upgrade_and_nothing_is_changed),
        BOX_TEST(formats_that_are_not_known_are_refused),
    };
    return cmocka_run_group_tests_name("upgrading a store", tests, NULL, NULL);
}
