/* The queue in a real Redis: killed, stopped, emptied, replaced, full, read-only, beside others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/log.h"
#include "tests/support/ask.h"
#include "tests/support/curve_dir.h"
#include "tests/support/make_event.h"
#include "tests/support/redis_server.h"
#include "tests/support/spin.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE     400  /* tries, 50 ms apart */
#define PATIENT_MS   8000 /* how long an answer may take, */
#define IMPATIENT_MS 1500 /* or where none is to come */

struct world {
    uv_loop_t loop;
    struct redis_server redis;
    struct queue *q;
};

static struct queue *open_queue(struct world *w, const struct queue_options *more)
{
    struct queue_options o = *more;
    struct problem p = {0};
    struct queue *q = NULL;
    if (o.url == NULL)
        o.url = w->redis.url;
    o.retention_ms = 3600000;
    o.max_bytes = 64u << 20;
    o.failed_max = 1u << 20;
    if (queue_open(&w->loop, &o, &q, &p) != ERR_NONE)
        fail_msg("queue_open: %s", p.text);
    return q;
}

static void define_relays(struct world *w)
{
    struct definition defs[2] = {{.url = "wss://r0.example", .window = 8},
                                 {.url = "wss://r1.example", .window = 8}};
    struct answer a;
    ask_define(&w->loop, w->q, defs, 2, &a);
    assert_int_equal(a.e, ERR_NONE);
    answer_free(&a);
}

static int begin(void **state)
{
    struct world *w = mem_zero(1, sizeof *w);
    log_init(LOG_ERROR, LOG_TEXT, "test");
    uv_loop_init(&w->loop);
    redis_server_start(&w->redis, false, NULL);
    w->q = open_queue(w, &(struct queue_options){.timeout_ms = PATIENT_MS});
    define_relays(w);
    *state = w;
    return 0;
}

static int end(void **state)
{
    struct world *w = *state;
    ask_close(&w->loop, w->q);
    redis_server_stop(&w->redis);
    spin_out(&w->loop);
    free(w);
    return 0;
}

static enum err append(struct world *w, unsigned n)
{
    struct answer a;
    struct event *ev = make_note(0, n);
    ask_append(&w->loop, w->q, ev, &a);
    enum err e = a.e;
    event_unref(ev);
    answer_free(&a);
    return e;
}

/* From now on an answer that does not come is waited for less long. */
static void lose_patience(struct world *w)
{
    ask_close(&w->loop, w->q);
    w->q = open_queue(w, &(struct queue_options){.timeout_ms = IMPATIENT_MS});
}

/* Tries until it is taken: a call that met the trouble ends as unknown, or unsent. */
static void append_in_the_end(struct world *w, unsigned n)
{
    for (int i = 0; i < PATIENCE; i++) {
        enum err e = append(w, n);
        if (e == ERR_NONE)
            return;
        if (e != ERR_UNKNOWN && e != ERR_CLOSED)
            fail_msg("append: %s (%s)", err_name(e), w->q->trouble.text);
        usleep(50000);
    }
    fail_msg("note %u is not taken: %s", n, w->q->trouble.text);
}

static enum err lease(struct world *w, const struct lease_held *held, size_t len, struct answer *a)
{
    struct lease_call c = {
        .publisher = {1}, .name = "test:1", .routes = 3, .held = held, .held_len = len};
    ask_lease(&w->loop, w->q, &c, a);
    return a->e;
}

/* All of 1 … len are there, once each. */
static void check_log(struct world *w, unsigned len)
{
    for (unsigned n = 1; n <= len; n++) {
        struct answer a;
        struct event *ev = make_note(0, n);
        ask_receipt(&w->loop, w->q, ev->id, &a);
        if (a.e != ERR_NONE)
            fail_msg("note %u was acknowledged and is gone: %s", n, err_name(a.e));
        event_unref(ev);
        answer_free(&a);
    }
    struct answer a;
    ask_depth(&w->loop, w->q, &a);
    assert_int_equal(a.e, ERR_NONE);
    assert_int_equal(a.depth.events, len);
    answer_free(&a);
}

static void kill_9_loses_nothing_that_was_acknowledged(void **state)
{
    struct world *w = *state;
    unsigned n = 0;
    lose_patience(w);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 20; i++)
            append_in_the_end(w, ++n);
        redis_server_kill(&w->redis);
        assert_int_not_equal(append(w, n + 1), ERR_NONE);
        redis_server_again(&w->redis);
    }
    append_in_the_end(w, ++n);
    check_log(w, n);
}

static void a_cut_connection_is_made_again(void **state)
{
    struct world *w = *state;
    for (unsigned n = 1; n <= 10; n++) {
        redis_server_tell(&w->redis, "CLIENT KILL TYPE normal SKIPME yes");
        append_in_the_end(w, n);
    }
    check_log(w, 10);
}

static void one_that_stands_still_leaves_calls_unknown_and_goes_on(void **state)
{
    struct world *w = *state;
    lose_patience(w);
    append_in_the_end(w, 1);
    assert_int_equal(kill(w->redis.pid, SIGSTOP), 0);
    assert_int_equal(append(w, 2), ERR_UNKNOWN);
    assert_int_not_equal(append(w, 3), ERR_NONE);
    assert_int_not_equal(append(w, 3), ERR_NONE);
    assert_int_equal(kill(w->redis.pid, SIGCONT), 0);
    for (unsigned n = 2; n <= 4; n++)
        append_in_the_end(w, n);
    check_log(w, 4);
}

static void scripts_that_were_flushed_are_loaded_again(void **state)
{
    struct world *w = *state;
    for (unsigned n = 1; n <= 5; n++) {
        redis_server_tell(&w->redis, "SCRIPT FLUSH");
        assert_int_equal(append(w, n), ERR_NONE);
    }
    check_log(w, 5);
}

static bool has_meta(struct world *w)
{
    redisReply *r = redis_server_do(&w->redis, "EXISTS volley:meta");
    bool has = r->integer != 0;
    freeReplyObject(r);
    return has;
}

/* Holders are told that they hold nothing, and nobody makes a new queue in its place. */
static void check_claims_nothing(struct world *w)
{
    struct lease_held held = {.lane = 1, .epoch = 1};
    struct answer a;
    enum err e = ERR_NONE;
    for (int i = 0; i < PATIENCE && (e = append(w, 2)) == ERR_UNKNOWN; i++)
        continue;
    assert_int_equal(e, ERR_CLOSED);
    for (int i = 0; i < PATIENCE && strstr(w->q->trouble.text, "not the one we used") == NULL; i++)
        (void)append(w, 2);
    assert_non_null(strstr(w->q->trouble.text, "not the one we used"));
    assert_int_equal(lease(w, &held, 1, &a), ERR_NONE);
    assert_int_equal(a.lease.lost_len, 1);
    assert_int_equal(a.lease.lost[0], 1);
    answer_free(&a);
    assert_int_equal(lease(w, NULL, 0, &a), ERR_NONE);
    assert_int_equal(a.lease.grants_len, 0);
    answer_free(&a);
    assert_false(has_meta(w));
}

static void after_flushall_nothing_is_claimed(void **state)
{
    struct world *w = *state;
    append_in_the_end(w, 1);
    redis_server_tell(&w->redis, "FLUSHALL");
    check_claims_nothing(w);
    ask_close(&w->loop, w->q); /* a process that starts anew means it */
    w->q = open_queue(w, &(struct queue_options){.timeout_ms = PATIENT_MS});
    define_relays(w);
    append_in_the_end(w, 1);
    check_log(w, 1);
}

static void another_server_at_the_address_is_not_ours(void **state)
{
    struct world *w = *state;
    char moved[200], data[200];
    append_in_the_end(w, 1);
    redis_server_kill(&w->redis);
    (void)snprintf(data, sizeof data, "%s/appendonlydir", w->redis.dir);
    (void)snprintf(moved, sizeof moved, "%s/elsewhere", w->redis.dir);
    assert_int_equal(rename(data, moved), 0);
    redis_server_again(&w->redis);
    check_claims_nothing(w);
    redis_server_kill(&w->redis); /* and back */
    char other[200];
    (void)snprintf(other, sizeof other, "%s/other", w->redis.dir);
    assert_int_equal(rename(data, other), 0);
    assert_int_equal(rename(moved, data), 0);
    redis_server_again(&w->redis);
    append_in_the_end(w, 2);
    check_log(w, 2);
}

static void with_maxmemory_reached_appends_are_refused_and_commits_go_on(void **state)
{
    struct world *w = *state;
    struct answer a;
    append_in_the_end(w, 1);
    append_in_the_end(w, 2);
    assert_int_equal(lease(w, NULL, 0, &a), ERR_NONE);
    assert_int_equal(a.lease.grants_len, 2);
    uint32_t lane = a.lease.grants[0].lane;
    uint64_t epoch = a.lease.grants[0].epoch;
    uint32_t version = a.lease.grants[0].definition_version;
    answer_free(&a);
    redis_server_tell(&w->redis, "CONFIG SET maxmemory 1000000");
    assert_int_equal(append(w, 3), ERR_FULL);
    struct lane_commit c = {.lane = lane,
                            .epoch = epoch,
                            .seq = 1,
                            .position = 2,
                            .definition_version = version,
                            .delivered = 2};
    ask_commit(&w->loop, w->q, &c, 1, &a);
    assert_int_equal(a.e, ERR_NONE);
    assert_int_equal(a.committed[0].status, COMMIT_DONE);
    answer_free(&a);
    struct lease_held held = {.lane = lane, .epoch = epoch};
    assert_int_equal(lease(w, &held, 1, &a), ERR_NONE);
    assert_int_equal(a.lease.kept_len, 1);
    answer_free(&a);
    redis_server_tell(&w->redis, "CONFIG SET maxmemory 0");
    assert_int_equal(append(w, 3), ERR_NONE);
    check_log(w, 3);
}

static void one_that_became_a_replica_is_not_written_to(void **state)
{
    struct world *w = *state;
    append_in_the_end(w, 1);
    redis_server_tell(&w->redis, "REPLICAOF 127.0.0.1 1");
    enum err e = append(w, 2);
    if (e != ERR_CLOSED && e != ERR_UNKNOWN)
        fail_msg("append: %s", err_name(e));
    redis_server_tell(&w->redis, "REPLICAOF NO ONE");
    append_in_the_end(w, 2);
    check_log(w, 2);
}

static void a_queue_lives_beside_other_data_and_other_queues(void **state)
{
    struct world *w = *state;
    char url[300];
    redis_server_tell(&w->redis, "SET other data");
    append_in_the_end(w, 1);
    (void)snprintf(url, sizeof url, "%s/3", w->redis.url);
    struct queue *first = w->q;
    w->q = open_queue(w, &(struct queue_options){.timeout_ms = PATIENT_MS, .prefix = "second"});
    define_relays(w);
    for (unsigned n = 1; n <= 2; n++)
        append_in_the_end(w, n);
    check_log(w, 2);
    ask_close(&w->loop, w->q);
    w->q = open_queue(w, &(struct queue_options){.timeout_ms = PATIENT_MS, .url = url});
    define_relays(w);
    for (unsigned n = 1; n <= 3; n++)
        append_in_the_end(w, n);
    check_log(w, 3);
    ask_close(&w->loop, w->q);
    w->q = first;
    check_log(w, 1);
    redisReply *r = redis_server_do(&w->redis, "KEYS *");
    for (size_t i = 0; i < r->elements; i++) {
        const char *key = r->element[i]->str;
        if (strncmp(key, "volley:", 7) != 0 && strncmp(key, "second:", 7) != 0 &&
            strcmp(key, "other") != 0)
            fail_msg("a key of ours has no prefix: %s", key);
    }
    freeReplyObject(r);
}

static void settings_that_lose_events_are_refused_at_the_next_connect(void **state)
{
    static const struct {
        const char *bad, *says, *good;
    } rows[] = {
        {"appendonly no", "appendonly yes", "appendonly yes"},
        {"appendfsync everysec", "appendfsync always", "appendfsync always"},
        {"no-appendfsync-on-rewrite yes", "no-appendfsync-on-rewrite no",
         "no-appendfsync-on-rewrite no"},
        {"maxmemory-policy allkeys-lru", "maxmemory-policy noeviction",
         "maxmemory-policy noeviction"},
    };
    struct world *w = *state;
    unsigned n = 0;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char command[100];
        (void)snprintf(command, sizeof command, "CONFIG SET %s", rows[i].bad);
        redis_server_tell(&w->redis, command);
        redis_server_tell(&w->redis, "CLIENT KILL TYPE normal SKIPME yes");
        for (int t = 0; t < PATIENCE && strstr(w->q->trouble.text, rows[i].says) == NULL; t++)
            (void)append(w, 1);
        assert_non_null(strstr(w->q->trouble.text, rows[i].says));
        (void)snprintf(command, sizeof command, "CONFIG SET %s", rows[i].good);
        redis_server_tell(&w->redis, command);
        append_in_the_end(w, ++n);
    }
}

static void a_password_is_read_from_its_file(void **state)
{
    struct world *w = *state;
    char file[200];
    (void)snprintf(file, sizeof file, "%s/password", w->redis.dir);
    FILE *f = fopen(file, "we");
    assert_non_null(f);
    fputs("correct horse\n", f);
    fclose(f);
    assert_int_equal(chmod(file, 0600), 0);
    const char *argv[] = {"CONFIG", "SET", "requirepass", "correct horse"};
    redisReply *r = redisCommandArgv(w->redis.to, 4, argv, NULL);
    assert_non_null(r);
    freeReplyObject(r);
    ask_close(&w->loop, w->q);
    w->q = open_queue(w, &(struct queue_options){.quiet = true});
    assert_int_equal(append(w, 1), ERR_CLOSED);
    assert_non_null(strstr(w->q->trouble.text, "queue.password_file"));
    ask_close(&w->loop, w->q);
    w->q = open_queue(w, &(struct queue_options){.password_file = file});
    assert_int_equal(append(w, 1), ERR_NONE);
    check_log(w, 1);
}

static void it_is_reached_by_tcp_by_address_and_by_name(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "localhost"};
    struct world *w = *state;
    unsigned port = curve_dir_port();
    char url[100], command[60];
    (void)snprintf(command, sizeof command, "CONFIG SET port %u", port);
    redis_server_tell(&w->redis, command);
    append_in_the_end(w, 1);
    for (size_t i = 0; i < COUNT_OF(hosts); i++) {
        ask_close(&w->loop, w->q);
        (void)snprintf(url, sizeof url, "redis://%s:%u/0", hosts[i], port);
        w->q = open_queue(w, &(struct queue_options){.timeout_ms = PATIENT_MS, .url = url});
        check_log(w, (unsigned)i + 1);
        append_in_the_end(w, (unsigned)i + 2);
        redis_server_tell(&w->redis, "CLIENT KILL TYPE normal SKIPME yes");
        append_in_the_end(w, (unsigned)i + 2);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(kill_9_loses_nothing_that_was_acknowledged),
        TEST(a_cut_connection_is_made_again),
        TEST(one_that_stands_still_leaves_calls_unknown_and_goes_on),
        TEST(scripts_that_were_flushed_are_loaded_again),
        TEST(after_flushall_nothing_is_claimed),
        TEST(another_server_at_the_address_is_not_ours),
        TEST(with_maxmemory_reached_appends_are_refused_and_commits_go_on),
        TEST(one_that_became_a_replica_is_not_written_to),
        TEST(a_queue_lives_beside_other_data_and_other_queues),
        TEST(settings_that_lose_events_are_refused_at_the_next_connect),
        TEST(a_password_is_read_from_its_file),
        TEST(it_is_reached_by_tcp_by_address_and_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
