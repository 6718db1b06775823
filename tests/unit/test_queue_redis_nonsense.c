/* The client of a queue in Redis, when what stands there talks nonsense: no call is left without
 * its one answer, and nothing breaks. */
#include "tests/unit/redis_world.h"

static void nonsense_on_the_tail_costs_that_connection_only(void **state)
{
    static const char *const rows[] = {
        "+OK\r\n",
        "-ERR no\r\n",
        ":1\r\n",
        "$3\r\nabc\r\n",
        "*0\r\n",
        "*1\r\n$7\r\nmessage\r\n",
        "*3\r\n$7\r\nmessage\r\n:1\r\n:2\r\n",
        "*3\r\n:1\r\n:1\r\n:2\r\n",
        "*3\r\n*1\r\n:1\r\n$1\r\na\r\n$1\r\nb\r\n",
        "*3\r\n$7\r\nmessage\r\n$11\r\nvolley:tail\r\n*0\r\n",
        "*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$4\r\nTail\r\n",
        "*3\r\n$11\r\nunsubscribe\r\n$11\r\nvolley:tail\r\n:0\r\n",
        "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:7\r\n",
        "*3\r\n$7\r\nmessage\r\n$11\r\nvolley:tail\r\n$-1\r\n",
        "*1000000000\r\n",
        "HTTP/1.1 400 Bad Request\r\n\r\n",
    };
    struct world *w = with_queue(state);
    w->wanted = 1;
    follow(w);
    spin_until(&w->loop, has_head, w, "a beat");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        unsigned before = w->redis.subscribers;
        fake_redis_push(&w->redis, rows[i], strlen(rows[i]));
        spin_turns(&w->loop, 20);
        assert_int_equal(ask(w), ERR_NONE);
        w->head = 0;
        w->wanted = before; /* at least; some rows are harmless */
        spin_until(&w->loop, has_head, w, "a beat");
    }
    assert_int_equal(w->tails, 0);
    assert_int_equal(w->redis.hellos, 1);
}

/* ---- nonsense instead of answers ---- */

static void what_is_no_answer_is_unknown(void **state)
{
    static const char *const rows[] = {
        "+OK\r\n",
        ":7\r\n",
        "$-1\r\n",
        "*-1\r\n",
        "*0\r\n",
        "$0\r\n\r\n",
        "$3\r\nabc\r\n",
        "$11\r\n\x02\x00\x86\x01\x00\x00\x00\x00\x00\x00\x00\r\n",
        "*2\r\n+a\r\n+b\r\n",
        "*1000000000\r\n",
        "$99999999999\r\nx",
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "+OK\r\n+OK\r\n+OK\r\n",
        "\r\n\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
    };
    struct world *w = *state;
    open_queue(w, &(struct queue_options){.timeout_ms = 300});
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (int n = 0; n < 100 && ask(w) != ERR_NONE; n++)
            continue;
        w->redis.garbage = rows[i];
        w->redis.garbage_len = rows[i][0] == '$' && rows[i][1] == '1' ? 18 : strlen(rows[i]);
        enum err e = ask(w);
        if (e != ERR_UNKNOWN)
            fail_msg("row %zu: %s", i, err_name(e));
        w->redis.garbage_len = 0;
        fake_redis_cut(&w->redis); /* what is half said */
    }
    for (int n = 0; n < 100 && ask(w) != ERR_NONE; n++)
        continue;
    assert_int_equal(ask(w), ERR_NONE);
}

static void who_speaks_unasked_is_left(void **state)
{
    struct world *w = *state;
    w->redis.garbage = "+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n";
    w->redis.garbage_len = 35;
    w->redis.garbage_first = true;
    open_queue(w, &(struct queue_options){.timeout_ms = 500});
    assert_int_not_equal(ask(w), ERR_NONE);
    w->redis.garbage_first = false;
    w->redis.garbage_len = 0;
    for (int n = 0; n < 100 && ask(w) != ERR_NONE; n++)
        continue;
    assert_int_equal(ask(w), ERR_NONE);
}

#define RANDOM_ROUNDS 150

/* A good answer, and bytes of it changed, cut or said twice. */
static void random_answers_break_nothing(void **state)
{
    struct world *w = *state;
    const char *given = getenv("VOLLEY_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 0;
    struct rng rng;
    static uint8_t bytes[600];
    if (given == NULL)
        rng_secure(&seed, sizeof seed);
    print_message("VOLLEY_SEED=%" PRIu64 "\n", seed);
    rng_init(&rng, seed);
    open_queue(w, &(struct queue_options){.timeout_ms = 60});
    for (int i = 0; i < RANDOM_ROUNDS; i++) {
        struct wire_reply r = {.type = WIRE_DEPTH, .number = (uint64_t)(i + 1)};
        struct buf frame;
        buf_init(&frame, sizeof bytes);
        assert_int_equal(wire_put_reply(&frame, &r), ERR_NONE);
        size_t len = (size_t)snprintf((char *)bytes, sizeof bytes, "$%zu\r\n", frame.len);
        memcpy(bytes + len, frame.data, frame.len);
        len += frame.len;
        bytes[len++] = '\r';
        bytes[len++] = '\n';
        buf_fini(&frame);
        for (uint64_t n = 1 + rng_below(&rng, 4); n > 0; n--)
            bytes[rng_below(&rng, len)] = (uint8_t)rng_next(&rng);
        w->redis.garbage = bytes;
        w->redis.garbage_len = rng_below(&rng, 4) == 0 ? 1 + rng_below(&rng, len) : len;
        (void)ask(w); /* answered exactly once: ask.c looks */
        if (i % 3 == 0)
            fake_redis_cut(&w->redis);
    }
    w->redis.garbage_len = 0;
    fake_redis_cut(&w->redis);
    for (int n = 0; n < 200 && ask(w) != ERR_NONE; n++)
        continue;
    assert_int_equal(ask(w), ERR_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nonsense_on_the_tail_costs_that_connection_only),
        TEST(what_is_no_answer_is_unknown),
        TEST(who_speaks_unasked_is_left),
        TEST(random_answers_break_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
