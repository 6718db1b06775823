/* The client of a queue in Redis, against a Redis that misbehaves as told: every call is answered
 * exactly once, and told the truth about what may have happened. */
#include "tests/unit/redis_world.h"

/* ---- calls ---- */

static void calls_wait_for_the_connection_and_those_of_a_turn_travel_together(void **state)
{
    struct world *w = with_queue(state);
    append_notes(w, 1, 3);
    await(w, 3);
    assert_int_equal(w->good, 3);
    assert_int_equal(w->redis.runs, 1);
    assert_int_equal(w->redis.hellos, 1);
    assert_int_equal(w->redis.loads, 15);
    assert_int_equal(w->redis.facts_len, 3 * (32 + 32 + 8 + 4 + 1 + 32 + 2));
}

static void a_lost_answer_is_unknown_and_the_next_connection_serves(void **state)
{
    struct world *w = with_queue(state);
    assert_int_equal(ask(w), ERR_NONE);
    w->redis.drops = true;
    append_notes(w, 1, 2);
    await(w, 2);
    assert_int_equal(w->unknown, 2);
    w->redis.drops = false;
    assert_int_equal(ask(w), ERR_NONE);
    assert_int_equal(w->redis.hellos, 2);
}

static void what_waits_for_a_redis_that_is_not_there_was_not_sent(void **state)
{
    struct world *w = *state;
    w->redis.silent = true;
    open_queue(w, &(struct queue_options){.timeout_ms = 200});
    append_notes(w, 1, 1);
    await(w, 1);
    assert_int_equal(w->refused, 1);
}

static void scripts_that_are_gone_are_loaded_again_and_the_calls_repeated_in_order(void **state)
{
    struct world *w = with_queue(state);
    assert_int_equal(ask(w), ERR_NONE);
    w->redis.error = "NOSCRIPT No matching script.";
    w->redis.errors = 2;
    append_notes(w, 1, 2000); /* two messages */
    await(w, 2000);
    assert_int_equal(w->good, 2000);
    assert_int_equal(w->redis.runs, 1 + 2 + 2);
    assert_true(w->redis.loads >= 30);
}

static void what_redis_refuses_before_it_runs_a_script_was_not_done(void **state)
{
    static const struct {
        const char *error;
        enum err is;
    } rows[] = {
        {"OOM command not allowed when used memory > 'maxmemory'.", ERR_FULL},
        {"OOM allow-oom flag is not set on the script, can not run it", ERR_FULL},
        {"BUSY Redis is busy running a script.", ERR_CLOSED},
        {"LOADING Redis is loading the dataset in memory", ERR_CLOSED},
        {"READONLY You can't write against a read only replica.", ERR_CLOSED},
        {"MISCONF Errors writing to the AOF file: No space left on device", ERR_CLOSED},
        {"MASTERDOWN Link with MASTER is down", ERR_CLOSED},
        {"NOAUTH Authentication required.", ERR_CLOSED},
        {"NOPERM this user has no permissions to run the 'evalsha' command", ERR_CLOSED},
        {"ERR user_script:1: attempt to index a nil value script: 00ff, on @user_script:1.",
         ERR_UNKNOWN},
        {"OOM command not allowed script: 00ff, on @user_script:12.", ERR_UNKNOWN},
        {"WHAT is this", ERR_UNKNOWN},
        {"VOLLEYFORMAT 9", ERR_VERSION},
    };
    struct world *w = with_queue(state);
    char why[sizeof(struct problem)];
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        w->redis.error = rows[i].error;
        w->redis.errors = 0;
        enum err e = append_one(w, why, sizeof why);
        if (e != rows[i].is || why[0] == '\0')
            fail_msg("%s: %s, \"%s\"", rows[i].error, err_name(e), why);
        w->redis.error = NULL;
        assert_int_equal(append_one(w, why, sizeof why), ERR_NONE);
        assert_string_equal(w->q->trouble.text, "");
    }
}

static bool is_dialed_again(void *arg)
{
    const struct world *w = arg;
    return w->redis.connections >= 2;
}

static void a_redis_that_stands_still_is_judged_by_its_answers(void **state)
{
    struct world *w = *state;
    open_queue(w, &(struct queue_options){.timeout_ms = 300});
    assert_int_equal(ask(w), ERR_NONE);
    w->redis.silent = true;
    append_notes(w, 1, 1);
    await(w, 1);
    assert_int_equal(w->unknown, 1);
    spin_until(&w->loop, is_dialed_again, w, "another connection");
    w->redis.silent = false;
    for (int i = 0; i < 100 && ask(w) != ERR_NONE; i++)
        continue;
    assert_int_equal(ask(w), ERR_NONE);
}

static void calls_under_way_are_answered_when_the_queue_is_closed(void **state)
{
    struct world *w = with_queue(state);
    assert_int_equal(ask(w), ERR_NONE);
    w->redis.silent = true;
    append_notes(w, 1, 2);
    spin_turns(&w->loop, 20);
    append_notes(w, 3, 3);
    ask_close(&w->loop, w->q);
    w->q = NULL;
    assert_int_equal(w->answered, 3);
    assert_int_equal(w->good, 0);
}

/* ---- another store ---- */

static void another_store_at_the_address_is_claimed_by_nobody(void **state)
{
    struct world *w = with_queue(state);
    struct lease_held held[] = {{.lane = 3, .epoch = 1}, {.lane = 5, .epoch = 2}};
    struct lease_call call = {.publisher = {1}, .name = "p", .held = held, .held_len = 2};
    struct answer a;
    char why[sizeof(struct problem)];
    assert_int_equal(ask(w), ERR_NONE);
    w->redis.error = "VOLLEYOTHER its id is another";
    (void)snprintf(w->redis.store, sizeof w->redis.store, "%032d", 2);
    assert_int_equal(append_one(w, why, sizeof why), ERR_CLOSED);
    assert_non_null(strstr(w->q->trouble.text, "not the one we used"));
    ask_lease(&w->loop, w->q, &call, &a);
    assert_int_equal(a.e, ERR_NONE);
    assert_int_equal(a.lease.lost_len, 2);
    assert_int_equal(a.lease.lost[0], 3);
    assert_int_equal(a.lease.lost[1], 5);
    assert_int_equal(a.lease.grants_len, 0);
    answer_free(&a);
    w->redis.error = NULL;
    assert_int_equal(append_one(w, why, sizeof why), ERR_CLOSED);
    assert_int_equal(w->redis.appended, 0);
    (void)snprintf(w->redis.store, sizeof w->redis.store, "%032d", 1); /* it is back */
    for (int i = 0; i < 100 && ask(w) != ERR_NONE; i++)
        usleep(50000);
    assert_int_equal(append_one(w, why, sizeof why), ERR_NONE);
    assert_string_equal(w->q->trouble.text, "");
}

/* ---- what a Redis must be ---- */

static void a_redis_that_would_lose_events_is_refused_unless_unsafe(void **state)
{
    struct world *w = *state;
    w->redis.appendfsync = "everysec";
    open_queue(w, &(struct queue_options){.quiet = true});
    assert_int_equal(ask(w), ERR_CLOSED);
    assert_non_null(strstr(w->q->trouble.text, "\"appendfsync always\""));
    assert_int_equal(w->redis.hellos, 0);
    w->redis.appendfsync = "always"; /* mended meanwhile */
    for (int i = 0; i < 100 && ask(w) != ERR_NONE; i++)
        usleep(50000);
    assert_int_equal(ask(w), ERR_NONE);
    ask_close(&w->loop, w->q);
    w->redis.appendfsync = "no";
    open_queue(w, &(struct queue_options){.unsafe = true});
    assert_int_equal(ask(w), ERR_NONE);
}

static void one_that_cannot_be_used_says_why(void **state)
{
    static const struct {
        const char *version, *role, *config_error, *password, *loading, *says;
    } rows[] = {
        {"6.2.6", "master", NULL, NULL, NULL, "Redis 7"},
        {"7.0.15", "slave", NULL, NULL, NULL, "replica"},
        {"7.0.15", "master", "NOPERM no permissions to run 'config|get'", NULL, NULL,
         "allow it CONFIG GET"},
        {"7.0.15", "master", NULL, "secret", NULL, "password"},
        {"7.0.15", "master", NULL, NULL, "NOAUTH Authentication required.", "asks for a password"},
        {"7.0.15", "master", NULL, NULL, "LOADING Redis is loading", "is loading its data"},
        {"7.0.15", "master", NULL, NULL, "ERR DB index is out of range", "DB index"},
    };
    struct world *w = *state;
    char file[200];
    (void)snprintf(file, sizeof file, "%s/password", w->redis.dir);
    FILE *f = fopen(file, "we");
    assert_non_null(f);
    fputs("wrong\n", f);
    fclose(f);
    assert_int_equal(chmod(file, 0600), 0);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        w->redis.version = rows[i].version;
        w->redis.role = rows[i].role;
        w->redis.config_error = rows[i].config_error;
        w->redis.password = rows[i].password;
        w->redis.loading = rows[i].loading;
        open_queue(w, &(struct queue_options){
                          .quiet = true, .password_file = rows[i].password != NULL ? file : NULL});
        if (ask(w) != ERR_CLOSED || strstr(w->q->trouble.text, rows[i].says) == NULL)
            fail_msg("%s: %s", rows[i].says, w->q->trouble.text);
        ask_close(&w->loop, w->q);
        w->q = NULL;
    }
    f = fopen(file, "we");
    assert_non_null(f);
    fputs("secret\n", f);
    fclose(f);
    w->redis.loading = NULL;
    w->redis.password = "secret";
    open_queue(w, &(struct queue_options){.password_file = file});
    assert_int_equal(ask(w), ERR_NONE);
    unlink(file);
}

/* ---- following ---- */

static void a_follower_hears_tail_and_head_and_of_a_restart(void **state)
{
    struct world *w = with_queue(state);
    w->wanted = 1;
    follow(w);
    spin_until(&w->loop, has_head, w, "a beat");
    publish(w, 8);
    spin_until(&w->loop, has_tail, w, "the tail");
    assert_int_equal(w->last_pos, 8);
    w->wanted = w->redis.subscribers + 1;
    fake_redis_cut(&w->redis); /* the same Redis again: nothing of that */
    assert_int_not_equal(ask(w), ERR_NOT_FOUND);
    assert_int_equal(ask(w), ERR_NONE);
    assert_int_equal(w->restarts, 0);
    w->head = 0;
    spin_until(&w->loop, has_head, w, "a beat");
    (void)snprintf(w->redis.run_id, sizeof w->redis.run_id, "%040d", 2);
    w->wanted = w->redis.subscribers + 1;
    fake_redis_cut(&w->redis);
    spin_until(&w->loop, has_restarted, w, "the restart");
    w->head = 0;
    spin_until(&w->loop, has_head, w, "a beat again");
    w->tails = 0;
    publish(w, 9);
    spin_until(&w->loop, has_tail, w, "the tail again");
}

/* ---- the housekeeper ---- */

static bool is_housekept(void *arg)
{
    return ((struct world *)arg)->redis.housekeeps >= 3;
}

static void only_services_keep_house(void **state)
{
    struct world *w = *state;
    open_queue(w, &(struct queue_options){.lives = true, .max_bytes = 1u << 20});
    spin_until(&w->loop, is_housekept, w, "housekeeping");
    ask_close(&w->loop, w->q);
    w->redis.housekeeps = 0;
    open_queue(w, &(struct queue_options){.lives = false});
    for (int i = 0; i < 20; i++) {
        assert_int_equal(ask(w), ERR_NONE);
        usleep(20000);
    }
    assert_int_equal(w->redis.housekeeps, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(calls_wait_for_the_connection_and_those_of_a_turn_travel_together),
        TEST(a_lost_answer_is_unknown_and_the_next_connection_serves),
        TEST(what_waits_for_a_redis_that_is_not_there_was_not_sent),
        TEST(scripts_that_are_gone_are_loaded_again_and_the_calls_repeated_in_order),
        TEST(what_redis_refuses_before_it_runs_a_script_was_not_done),
        TEST(a_redis_that_stands_still_is_judged_by_its_answers),
        TEST(calls_under_way_are_answered_when_the_queue_is_closed),
        TEST(another_store_at_the_address_is_claimed_by_nobody),
        TEST(a_redis_that_would_lose_events_is_refused_unless_unsafe),
        TEST(one_that_cannot_be_used_says_why),
        TEST(a_follower_hears_tail_and_head_and_of_a_restart),
        TEST(only_services_keep_house),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
