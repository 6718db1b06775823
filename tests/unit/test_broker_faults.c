/* The broker that ends and starts again, peers that talk rubbish or vanish, a damaged store, a
 * socket that somebody has. */
#include "tests/support/broker_world.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void a_restart_keeps_log_and_holders_and_followers_go_on(void **state)
{
    struct world *w = *state;
    struct answer a;
    world_define(w, 1);
    world_follow(w, 1);
    world_append_note(w, 0, 1);
    world_lease(w, 0, NULL, 0, &a);
    struct lease_held held = {.lane = a.lease.grants[0].lane, .epoch = a.lease.grants[0].epoch};
    answer_free(&a);

    world_stop_broker(w);
    world_append_notes(w, 0, 2, 3); /* wait for it, or were sent before its end was noticed */
    spin_turns(&w->loop, 10);
    world_start_broker(w);
    world_await_answers(w, 2);
    assert_int_equal(w->failed, 0);
    if (w->unknown > 0)
        world_append_notes(w, 0, 2, 3);
    world_await_answers(w, w->unknown > 0 ? 4 : 2);
    world_await_head(w, 3);
    ask_read(&w->loop, w->q[1], w->last_pos + 1, UINT64_MAX, &a);
    assert_int_equal(w->last_pos + a.read.len, 3); /* nothing is missing */
    answer_free(&a);

    w->boot_ms += LEASE_TERM_MS - 1;
    world_lease(w, 1, NULL, 0, &a);
    assert_int_equal(a.lease.grants_len, 0); /* the holder has a full term to call */
    answer_free(&a);
    world_lease(w, 0, &held, 1, &a);
    assert_int_equal(a.lease.lost_len, 0);
    assert_int_equal(a.lease.kept_len, 1);
    answer_free(&a);
}

static void what_was_under_way_at_a_restart_is_answered_once(void **state)
{
    struct world *w = *state;
    world_define(w, 1);
    world_append_note(w, 0, 0);
    unsigned sent = 0;
    for (int round = 0; round < 5; round++) {
        world_append_notes(w, 0, sent + 1, sent + 100);
        world_append_notes(w, 1, sent + 101, sent + 200);
        sent += 200;
        spin_turns(&w->loop, (unsigned)round);
        world_stop_broker(w);
        world_start_broker(w);
    }
    world_await_answers(w, sent);
    spin_turns(&w->loop, 10);
    assert_int_equal(w->answered, sent);
    assert_int_equal(w->failed, 0);
    /* What was confirmed is there; what is unknown may be. */
    uint64_t head = world_head_of(w, 0);
    assert_true(head <= sent + 1);
    assert_true(head >= sent + 1 - w->unknown);
}

static bool hears_version(void *arg)
{
    void *dealer = arg;
    zmq_msg_t m;
    bool heard = false;
    zmq_msg_init(&m);
    if (endpoint_recv(dealer, &m)) {
        struct wire_arena a = {0};
        struct wire_reply r;
        assert_int_equal(wire_get_reply(zmq_msg_data(&m), zmq_msg_size(&m), &a, &r), ERR_NONE);
        assert_int_equal(r.number, 99);
        assert_true(r.err == ERR_VERSION || r.err == ERR_INVALID);
        assert_non_null(r.why);
        heard = r.err == ERR_VERSION;
        wire_arena_free(&a);
    }
    zmq_msg_close(&m);
    return heard;
}

static void garbage_is_refused_and_harms_nobody(void **state)
{
    struct world *w = *state;
    void *ctx = zmq_ctx_new(), *dealer = endpoint_socket(ctx, ZMQ_DEALER, 1000);
    assert_int_equal(endpoint_connect(dealer, w->at.requests), ERR_NONE);
    world_define(w, 1);
    static const uint8_t cut[] = {WIRE_VERSION, 0, WIRE_APPEND, 99, 0, 0, 0, 0, 0, 0, 0, 255, 255};
    static const uint8_t newer[] = {WIRE_VERSION + 1, 0, WIRE_READ, 99, 0, 0, 0, 0, 0, 0, 0, 1};
    for (int i = 0; i < 50; i++) {
        zmq_send(dealer, "", 0, 0);
        zmq_send(dealer, "rubbish", 7, 0);
        zmq_send(dealer, "one", 3, ZMQ_SNDMORE);
        zmq_send(dealer, "two", 3, ZMQ_SNDMORE);
        zmq_send(dealer, "", 0, 0);
        zmq_send(dealer, cut, sizeof cut, 0);
    }
    zmq_send(dealer, newer, sizeof newer, 0);
    world_append_note(w, 0, 1);
    spin_until(&w->loop, hears_version, dealer, "that the version is another");
    world_append_note(w, 0, 2);
    assert_int_equal(world_head_of(w, 1), 2);
    zmq_close(dealer);
    endpoint_end(ctx);
}

static void a_client_that_vanishes_harms_nobody(void **state)
{
    struct world *w = *state;
    world_define(w, 1);
    for (unsigned i = 0; i < 5; i++) {
        world_append_notes(w, 1, 100 * i + 1, 100 * i + 50);
        spin_turns(&w->loop, i);
        ask_close(&w->loop, w->q[1]);
        struct queue_options o = {.url = w->url, .timeout_ms = 5000};
        assert_int_equal(queue_open(&w->loop, &o, &w->q[1], NULL), ERR_NONE);
    }
    assert_int_equal(w->answered, 250); /* each was told something, once */
    world_append_note(w, 0, 1000);
}

/* Turns one byte of the first note's text over, wherever the store keeps it. */
static void damage(struct world *w, const char *text)
{
    char path[200];
    (void)snprintf(path, sizeof path, "%s/data.mdb", w->dir);
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    struct buf b;
    buf_init(&b, 64u << 20);
    uint8_t piece[4096];
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;)
        assert_int_equal(buf_add(&b, piece, n), ERR_NONE);
    unsigned found = 0;
    for (uint8_t *at = b.data;
         (at = memmem(at, b.len - (size_t)(at - b.data), text, strlen(text))) != NULL;
         at++, found++) {
        assert_int_equal(fseek(f, at - b.data, SEEK_SET), 0);
        assert_int_equal(fputc(*at ^ 1, f), *at ^ 1);
    }
    assert_true(found > 0);
    assert_int_equal(fclose(f), 0);
    buf_fini(&b);
}

static void a_damaged_record_is_told_and_the_queue_goes_on(void **state)
{
    struct world *w = *state;
    struct answer a;
    world_define(w, 1);
    struct event *ev = make_event(0, 1700000000, 1, "[]", "something to be found");
    ask_append(&w->loop, w->q[0], ev, &a);
    event_unref(ev);
    answer_free(&a);
    world_append_note(w, 0, 2);
    world_stop_broker(w);
    damage(w, "something to be found");
    world_start_broker(w);
    ask_read(&w->loop, w->q[0], 1, 2, &a);
    assert_int_equal(a.e, ERR_CORRUPT);
    answer_free(&a);
    ask_read(&w->loop, w->q[0], 2, 2, &a);
    assert_int_equal(a.e, ERR_NONE);
    assert_int_equal(a.read.len, 1);
    answer_free(&a);
    world_append_note(w, 0, 3);
}

static void a_second_broker_is_refused(void **state)
{
    struct world *w = *state;
    struct broker_options o = world_options(w);
    struct broker *b;
    struct problem p = {0};
    assert_int_equal(broker_new(&w->loop, &o, &b, &p), ERR_LOCKED);
    assert_string_not_equal(p.text, "");
    world_define(w, 1);
    world_append_note(w, 0, 1); /* the first is unharmed */
}

static int listen_at(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memcpy(at.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void a_socket_is_taken_from_the_dead_only(void **state)
{
    struct world *w = *state;
    struct broker_options o = world_options(w);
    struct problem p = {0};
    struct stat st;
    assert_int_equal(stat(w->at.requests, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(w->at.tail, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    world_stop_broker(w);
    assert_int_not_equal(stat(w->at.requests, &st), 0);
    int fd = listen_at(w->at.tail);
    assert_int_equal(broker_new(&w->loop, &o, &w->broker, &p), ERR_LOCKED);
    assert_non_null(strstr(p.text, w->at.tail));
    close(fd); /* the file stays, nobody listens */
    world_start_broker(w);
    world_stop_broker(w);
    FILE *f = fopen(w->at.requests, "w");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(broker_new(&w->loop, &o, &w->broker, &p), ERR_EXISTS);
    assert_int_equal(stat(w->at.requests, &st), 0);
    unlink(w->at.requests);
    world_start_broker(w);
    world_define(w, 1);
    world_append_note(w, 0, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_restart_keeps_log_and_holders_and_followers_go_on),
        WORLD_TEST(what_was_under_way_at_a_restart_is_answered_once),
        WORLD_TEST(garbage_is_refused_and_harms_nobody),
        WORLD_TEST(a_client_that_vanishes_harms_nobody),
        WORLD_TEST(a_damaged_record_is_told_and_the_queue_goes_on),
        WORLD_TEST(a_second_broker_is_refused),
        WORLD_TEST(a_socket_is_taken_from_the_dead_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
