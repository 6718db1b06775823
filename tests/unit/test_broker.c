/* The broker with its store and real sockets, and clients on the same loop. What the store decides
 * is the contract suite's; here it is what lies between: turns, leases, followers, restarts, and
 * peers that misbehave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue/broker.h"
#include "queue/endpoint.h"
#include "tests/support/ask.h"
#include "tests/support/make_event.h"
#include "tests/support/spin.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENTS 2

struct world {
    char dir[128], url[256];
    struct endpoint at;
    uv_loop_t loop;
    int64_t wall_ms;
    uint64_t boot_ms;
    struct broker_clock clock;
    struct broker *broker;
    struct queue *q[CLIENTS];
    bool closed;
    /* as a follower */
    uint64_t head, tails, last_pos;
    /* appends */
    unsigned answered, duplicates, unknown, failed;
};

static int64_t wall_ms(void *arg)
{
    return ((struct world *)arg)->wall_ms;
}

static uint64_t boot_ms(void *arg)
{
    return ((struct world *)arg)->boot_ms;
}

static void on_fatal(void *arg, enum err e)
{
    (void)arg;
    die("the broker ended: %s", err_name(e));
}

static struct broker_options options(struct world *w)
{
    return (struct broker_options){.store = {.dir = w->dir,
                                             .retention_ms = 3600000,
                                             .max_bytes = 64u << 20,
                                             .failed_max = 1u << 20},
                                   .url = w->url,
                                   .clock = &w->clock,
                                   .on_fatal = on_fatal,
                                   .arg = w};
}

static void start_broker(struct world *w)
{
    struct broker_options o = options(w);
    struct problem p = {0};
    if (broker_new(&w->loop, &o, &w->broker, &p) != ERR_NONE)
        fail_msg("broker_new: %s", p.text);
}

static void on_closed(void *arg)
{
    ((struct world *)arg)->closed = true;
}

static void stop_broker(struct world *w)
{
    w->closed = false;
    broker_close(w->broker, on_closed, w);
    run_until(&w->loop, &w->closed, "broker_close");
    w->broker = NULL;
}

static int begin(void **state)
{
    struct world *w = mem_zero(1, sizeof *w);
    (void)snprintf(w->dir, sizeof w->dir, "%s/volley-XXXXXX", P_tmpdir);
    assert_non_null(mkdtemp(w->dir));
    (void)snprintf(w->url, sizeof w->url, "zmq+ipc://%s/queue.sock", w->dir);
    assert_int_equal(endpoint_parse(w->url, &w->at, NULL), ERR_NONE);
    w->wall_ms = 1800000000000;
    w->boot_ms = 1000000;
    w->clock = (struct broker_clock){wall_ms, boot_ms, w};
    uv_loop_init(&w->loop);
    start_broker(w);
    for (int i = 0; i < CLIENTS; i++) {
        struct queue_options o = {.url = w->url, .timeout_ms = 5000};
        assert_int_equal(queue_open(&w->loop, &o, &w->q[i], NULL), ERR_NONE);
    }
    *state = w;
    return 0;
}

static void remove_dir(const char *path)
{
    DIR *d = opendir(path);
    char name[600];
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        (void)snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        unlink(name);
    }
    closedir(d);
    rmdir(path);
}

static int end(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < CLIENTS; i++)
        ask_close(&w->loop, w->q[i]);
    if (w->broker != NULL)
        stop_broker(w);
    remove_dir(w->dir);
    spin_out(&w->loop);
    free(w);
    return 0;
}

/* ---- the caller's side */

static void define(struct world *w, unsigned count)
{
    struct definition defs[4] = {0};
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(defs[i].url, sizeof defs[i].url, "wss://r%u.example", i);
        defs[i].window = 8;
    }
    struct answer a;
    ask_define(&w->loop, w->q[0], defs, count, &a);
    assert_int_equal(a.e, ERR_NONE);
    assert_int_equal(a.define.added, count);
    answer_free(&a);
}

static struct append_result append_note(struct world *w, int client, unsigned number)
{
    struct event *ev = make_note(0, number);
    struct answer a;
    ask_append(&w->loop, w->q[client], ev, &a);
    event_unref(ev);
    assert_int_equal(a.e, ERR_NONE);
    struct append_result r = a.append;
    answer_free(&a);
    return r;
}

static void on_append(void *arg, enum err e, const struct append_result *r, const char *why)
{
    struct world *w = arg;
    (void)why;
    w->answered++;
    if (e == ERR_NONE)
        w->duplicates += r->duplicate;
    else if (e == ERR_UNKNOWN)
        w->unknown++;
    else
        w->failed++;
}

/* Notes from … to, of one turn. */
static void append_notes(struct world *w, int client, unsigned from, unsigned to)
{
    for (unsigned i = from; i <= to; i++) {
        struct event *ev = make_note(0, i);
        w->q[client]->ops->append(w->q[client], ev, on_append, w);
        event_unref(ev);
    }
}

static unsigned wanted;
static bool are_answered(void *arg)
{
    return ((struct world *)arg)->answered >= wanted;
}

static void await_answers(struct world *w, unsigned count)
{
    wanted = count;
    spin_until(&w->loop, are_answered, w, "appends");
}

static uint64_t head_of(struct world *w, int client)
{
    struct answer a;
    ask_read(&w->loop, w->q[client], 1, 1, &a);
    assert_int_equal(a.e, ERR_NONE);
    uint64_t head = a.read.head;
    answer_free(&a);
    return head;
}

static void on_head(void *arg, uint64_t head)
{
    ((struct world *)arg)->head = head;
}

static void on_tail(void *arg, const struct queue_tail *t)
{
    struct world *w = arg;
    assert_true(t->ev.pos > w->last_pos);
    assert_non_null(t->ev.event);
    w->last_pos = t->ev.pos;
    w->tails++;
}

static bool has_head(void *arg)
{
    return ((struct world *)arg)->head == wanted;
}

static bool has_tail(void *arg)
{
    return ((struct world *)arg)->last_pos == wanted;
}

static void follow(struct world *w, int client)
{
    struct queue_follower f = {on_tail, on_head, w};
    w->q[client]->ops->follow(w->q[client], &f);
    w->head = UINT64_MAX;
    wanted = (unsigned)head_of(w, 0);
    spin_until(&w->loop, has_head, w, "a beat");
}

static void lease(struct world *w, int client, struct lease_held *held, size_t len,
                  struct answer *a)
{
    struct lease_call c = {
        .publisher = {(uint8_t)(client + 1)}, .routes = 3, .held = held, .held_len = len};
    (void)snprintf(c.name, sizeof c.name, "host:%d", client);
    ask_lease(&w->loop, w->q[client], &c, a);
    assert_int_equal(a->e, ERR_NONE);
}

/* ---- */

static void an_event_goes_all_the_way(void **state)
{
    struct world *w = *state;
    struct answer a;
    define(w, 1);
    assert_int_equal(append_note(w, 0, 1).pos, 1);
    struct append_result twice = append_note(w, 1, 1);
    assert_true(twice.duplicate);
    assert_int_equal(twice.pos, 1);

    ask_read(&w->loop, w->q[1], 1, UINT64_MAX, &a);
    assert_int_equal(a.read.len, 1);
    assert_int_equal(a.read.head, 1);
    struct event *ev = make_note(0, 1);
    assert_memory_equal(a.read.events[0].event->id, ev->id, EVENT_ID_LEN);
    answer_free(&a);

    lease(w, 0, NULL, 0, &a);
    assert_int_equal(a.lease.grants_len, 1);
    assert_int_equal(a.lease.head, 1);
    assert_int_equal(a.lease.now_ms, w->wall_ms);
    assert_string_equal(a.lease.grants[0].definition.url, "wss://r0.example");
    struct lane_commit c = {.lane = a.lease.grants[0].lane,
                            .epoch = a.lease.grants[0].epoch,
                            .seq = 1,
                            .position = 1,
                            .definition_version = a.lease.grants[0].definition_version,
                            .delivered = 1};
    answer_free(&a);
    ask_commit(&w->loop, w->q[0], &c, 1, &a);
    assert_int_equal(a.e, ERR_NONE);
    assert_int_equal(a.committed[0].status, COMMIT_DONE);
    answer_free(&a);

    ask_receipt(&w->loop, w->q[1], ev->id, &a);
    assert_int_equal(a.e, ERR_NONE);
    assert_int_equal(a.receipt.lanes_len, 1);
    assert_int_equal(a.receipt.lanes[0].end, RECEIPT_DELIVERED);
    answer_free(&a);
    ask_depth(&w->loop, w->q[1], &a);
    assert_int_equal(a.depth.lanes[0].depth, 0);
    assert_string_equal(a.depth.lanes[0].publisher, "host:0");
    answer_free(&a);
    event_unref(ev);
}

static void refusals_come_with_words(void **state)
{
    struct world *w = *state;
    struct event *ev = make_note(0, 1);
    struct answer a;
    ask_append(&w->loop, w->q[0], ev, &a);
    assert_int_equal(a.e, ERR_NO_LANES);
    assert_string_not_equal(a.why, "");
    answer_free(&a);
    ask_receipt(&w->loop, w->q[0], ev->id, &a);
    assert_int_equal(a.e, ERR_NOT_FOUND);
    answer_free(&a);
    event_unref(ev);
}

/* One message is published a commit: so many events in it shared theirs. */
static void appends_that_come_together_share_a_commit(void **state)
{
    struct world *w = *state;
    void *ctx = zmq_ctx_new(), *sub = endpoint_socket(ctx, ZMQ_SUB, 100);
    zmq_setsockopt(sub, ZMQ_SUBSCRIBE, "", 0);
    assert_int_equal(endpoint_connect(sub, w->at.tail), ERR_NONE);
    define(w, 1);
    zmq_msg_t m;
    zmq_msg_init(&m);
    while (!endpoint_recv(sub, &m)) /* a beat: subscribed */
        uv_run(&w->loop, UV_RUN_NOWAIT);
    append_notes(w, 0, 1, 500);
    await_answers(w, 500);
    struct wire_published p = {0};
    struct wire_arena a = {0};
    while (p.topic != WIRE_TOPIC_TAIL) {
        if (endpoint_recv(sub, &m))
            assert_int_equal(wire_get_published(zmq_msg_data(&m), zmq_msg_size(&m), &a, &p),
                             ERR_NONE);
        uv_run(&w->loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(p.tails_len, 500);
    assert_int_equal(p.head, 500);
    assert_int_equal(p.tails[499].ev.pos, 500);
    zmq_msg_close(&m);
    wire_arena_free(&a);
    zmq_close(sub);
    endpoint_end(ctx);
}

static void two_clients_append_and_both_follow_from_one_log(void **state)
{
    struct world *w = *state;
    define(w, 2);
    follow(w, 1);
    append_notes(w, 0, 1, 50);
    append_notes(w, 1, 51, 100);
    append_notes(w, 0, 51, 60);
    await_answers(w, 110);
    assert_int_equal(w->failed + w->unknown, 0);
    assert_int_equal(w->duplicates, 10);
    wanted = 100;
    spin_until(&w->loop, has_tail, w, "the tail");
    assert_int_equal(w->tails, 100);
    assert_int_equal(head_of(w, 0), 100);
}

static void a_lost_tail_is_shown_by_the_beat(void **state)
{
    struct world *w = *state;
    define(w, 1);
    follow(w, 1);
    broker_lose_tail(w->broker, 2);
    append_notes(w, 0, 1, 3);
    wanted = 3;
    spin_until(&w->loop, has_tail, w, "the tail");
    spin_until(&w->loop, has_head, w, "a beat");
    assert_int_equal(w->tails, 1);
}

static void lanes_are_shared_between_two_publishers_and_pass_on(void **state)
{
    struct world *w = *state;
    struct lease_held held[4];
    struct answer a;
    define(w, 4);
    lease(w, 0, NULL, 0, &a);
    assert_int_equal(a.lease.grants_len, 4);
    for (int i = 0; i < 4; i++)
        held[i] = (struct lease_held){.lane = a.lease.grants[i].lane,
                                      .epoch = a.lease.grants[i].epoch,
                                      .live = {.state = LANE_OPEN, .in_flight = 3}};
    answer_free(&a);
    lease(w, 1, NULL, 0, &a);
    assert_int_equal(a.lease.grants_len, 0);
    answer_free(&a);
    lease(w, 0, held, 4, &a);
    assert_int_equal(a.lease.kept_len, 4);
    for (int i = 0; i < 4; i++)
        held[i].give_back = a.lease.kept[i].give_back;
    answer_free(&a);
    ask_depth(&w->loop, w->q[1], &a);
    assert_int_equal(a.depth.lanes[0].live.state, LANE_OPEN);
    assert_int_equal(a.depth.lanes[0].live.in_flight, 3);
    answer_free(&a);
    lease(w, 0, held, 4, &a);
    assert_int_equal(a.lease.kept_len, 2);
    answer_free(&a);
    lease(w, 1, NULL, 0, &a);
    assert_int_equal(a.lease.grants_len, 2);
    assert_int_equal(a.lease.grants[0].epoch, 2);
    answer_free(&a);
}

static void a_silent_publisher_loses_its_lanes_and_is_told(void **state)
{
    struct world *w = *state;
    struct answer a;
    define(w, 1);
    lease(w, 0, NULL, 0, &a);
    struct lease_held held = {.lane = a.lease.grants[0].lane, .epoch = a.lease.grants[0].epoch};
    answer_free(&a);
    w->boot_ms += LEASE_TERM_MS;
    ask_depth(&w->loop, w->q[0], &a);
    assert_int_equal(a.depth.lanes[0].live.state, LANE_UNLEASED);
    assert_string_equal(a.depth.lanes[0].publisher, "");
    answer_free(&a);
    lease(w, 1, NULL, 0, &a);
    assert_int_equal(a.lease.grants_len, 1);
    answer_free(&a);
    lease(w, 0, &held, 1, &a);
    assert_int_equal(a.lease.lost_len, 1);
    assert_int_equal(a.lease.lost[0], held.lane);
    answer_free(&a);
}

static void a_restart_keeps_log_and_holders_and_followers_go_on(void **state)
{
    struct world *w = *state;
    struct answer a;
    define(w, 1);
    follow(w, 1);
    append_note(w, 0, 1);
    lease(w, 0, NULL, 0, &a);
    struct lease_held held = {.lane = a.lease.grants[0].lane, .epoch = a.lease.grants[0].epoch};
    answer_free(&a);

    stop_broker(w);
    append_notes(w, 0, 2, 3); /* wait for it to come back */
    spin_turns(&w->loop, 10);
    assert_int_equal(w->answered, 0);
    start_broker(w);
    await_answers(w, 2);
    assert_int_equal(w->failed + w->unknown, 0);
    wanted = 3;
    spin_until(&w->loop, has_head, w, "a beat of the new one");
    ask_read(&w->loop, w->q[1], w->last_pos + 1, UINT64_MAX, &a);
    assert_int_equal(w->last_pos + a.read.len, 3); /* nothing is missing */
    answer_free(&a);

    w->boot_ms += LEASE_TERM_MS - 1;
    lease(w, 1, NULL, 0, &a);
    assert_int_equal(a.lease.grants_len, 0); /* the holder has a full term to call */
    answer_free(&a);
    lease(w, 0, &held, 1, &a);
    assert_int_equal(a.lease.lost_len, 0);
    assert_int_equal(a.lease.kept_len, 1);
    answer_free(&a);
}

static void what_was_under_way_at_a_restart_is_answered_once(void **state)
{
    struct world *w = *state;
    define(w, 1);
    append_note(w, 0, 0);
    unsigned sent = 0;
    for (int round = 0; round < 5; round++) {
        append_notes(w, 0, sent + 1, sent + 100);
        append_notes(w, 1, sent + 101, sent + 200);
        sent += 200;
        spin_turns(&w->loop, (unsigned)round);
        stop_broker(w);
        start_broker(w);
    }
    await_answers(w, sent);
    spin_turns(&w->loop, 10);
    assert_int_equal(w->answered, sent);
    assert_int_equal(w->failed, 0);
    /* What was confirmed is there; what is unknown may be. */
    uint64_t head = head_of(w, 0);
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
    define(w, 1);
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
    append_note(w, 0, 1);
    spin_until(&w->loop, hears_version, dealer, "that the version is another");
    append_note(w, 0, 2);
    assert_int_equal(head_of(w, 1), 2);
    zmq_close(dealer);
    endpoint_end(ctx);
}

static void a_client_that_vanishes_harms_nobody(void **state)
{
    struct world *w = *state;
    define(w, 1);
    for (unsigned i = 0; i < 5; i++) {
        append_notes(w, 1, 100 * i + 1, 100 * i + 50);
        spin_turns(&w->loop, i);
        ask_close(&w->loop, w->q[1]);
        struct queue_options o = {.url = w->url, .timeout_ms = 5000};
        assert_int_equal(queue_open(&w->loop, &o, &w->q[1], NULL), ERR_NONE);
    }
    assert_int_equal(w->answered, 250); /* each was told something, once */
    append_note(w, 0, 1000);
}

static void a_long_read_comes_in_pieces_without_a_gap(void **state)
{
    struct world *w = *state;
    define(w, 1);
    append_notes(w, 0, 1, 5000);
    await_answers(w, 5000);
    uint64_t next = 1;
    unsigned pieces = 0;
    for (; next <= 5000; pieces++) {
        struct answer a;
        ask_read(&w->loop, w->q[0], next, 6000, &a);
        assert_int_equal(a.e, ERR_NONE);
        assert_true(a.read.len > 0);
        for (size_t i = 0; i < a.read.len; i++)
            assert_int_equal(a.read.events[i].pos, next++);
        answer_free(&a);
    }
    assert_true(pieces > 1);
    struct answer a;
    ask_read(&w->loop, w->q[0], 5001, 6000, &a);
    assert_int_equal(a.read.len, 0);
    answer_free(&a);
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
    define(w, 1);
    struct event *ev = make_event(0, 1700000000, 1, "[]", "something to be found");
    ask_append(&w->loop, w->q[0], ev, &a);
    event_unref(ev);
    answer_free(&a);
    append_note(w, 0, 2);
    stop_broker(w);
    damage(w, "something to be found");
    start_broker(w);
    ask_read(&w->loop, w->q[0], 1, 2, &a);
    assert_int_equal(a.e, ERR_CORRUPT);
    answer_free(&a);
    ask_read(&w->loop, w->q[0], 2, 2, &a);
    assert_int_equal(a.e, ERR_NONE);
    assert_int_equal(a.read.len, 1);
    answer_free(&a);
    append_note(w, 0, 3);
}

static void a_second_broker_is_refused(void **state)
{
    struct world *w = *state;
    struct broker_options o = options(w);
    struct broker *b;
    struct problem p = {0};
    assert_int_equal(broker_new(&w->loop, &o, &b, &p), ERR_LOCKED);
    assert_string_not_equal(p.text, "");
    define(w, 1);
    append_note(w, 0, 1); /* the first is unharmed */
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
    struct broker_options o = options(w);
    struct problem p = {0};
    struct stat st;
    assert_int_equal(stat(w->at.requests, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(w->at.tail, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    stop_broker(w);
    assert_int_not_equal(stat(w->at.requests, &st), 0);
    int fd = listen_at(w->at.tail);
    assert_int_equal(broker_new(&w->loop, &o, &w->broker, &p), ERR_LOCKED);
    assert_non_null(strstr(p.text, w->at.tail));
    close(fd); /* the file stays, nobody listens */
    start_broker(w);
    stop_broker(w);
    FILE *f = fopen(w->at.requests, "w");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(broker_new(&w->loop, &o, &w->broker, &p), ERR_EXISTS);
    assert_int_equal(stat(w->at.requests, &st), 0);
    unlink(w->at.requests);
    start_broker(w);
    define(w, 1);
    append_note(w, 0, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_event_goes_all_the_way),
        TEST(refusals_come_with_words),
        TEST(appends_that_come_together_share_a_commit),
        TEST(two_clients_append_and_both_follow_from_one_log),
        TEST(a_lost_tail_is_shown_by_the_beat),
        TEST(lanes_are_shared_between_two_publishers_and_pass_on),
        TEST(a_silent_publisher_loses_its_lanes_and_is_told),
        TEST(a_restart_keeps_log_and_holders_and_followers_go_on),
        TEST(what_was_under_way_at_a_restart_is_answered_once),
        TEST(garbage_is_refused_and_harms_nobody),
        TEST(a_client_that_vanishes_harms_nobody),
        TEST(a_long_read_comes_in_pieces_without_a_gap),
        TEST(a_damaged_record_is_told_and_the_queue_goes_on),
        TEST(a_second_broker_is_refused),
        TEST(a_socket_is_taken_from_the_dead_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
