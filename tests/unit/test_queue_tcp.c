/* Broker and clients by zmq+tcp, on loopback: who is let in, who is not and hears why, and that all
 * goes on after a restart. */
#include "tests/support/broker_world.h"

#include "common/base/clock.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void an_event_goes_all_the_way_and_followers_hear_of_it(void **state)
{
    struct world *w = *state;
    struct answer a;
    world_define(w, 2);
    world_follow(w, 1);
    assert_int_equal(world_append_note(w, 0, 1).pos, 1);
    world_await_tail(w, 1);
    world_lease(w, 0, NULL, 0, &a);
    assert_int_equal(a.lease.grants_len, 2);
    answer_free(&a);
    world_append_notes(w, 0, 2, 3000);
    world_await_answers(w, 2999);
    assert_int_equal(w->failed + w->unknown, 0);
    assert_int_equal(world_head_of(w, 1), 3000);
}

static void after_a_restart_all_goes_on(void **state)
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
    world_append_notes(w, 0, 2, 2);
    world_start_broker(w);
    world_await_answers(w, 1);
    assert_int_equal(w->failed, 0);
    world_append_note(w, 0, 3);
    world_await_head(w, world_head_of(w, 0)); /* the follower found the way back, too */
    world_lease(w, 0, &held, 1, &a);
    assert_int_equal(a.lease.kept_len, 1);
    answer_free(&a);
}

/* ---- who is not let in */

/* A directory for a client's own keys. */
struct elsewhere {
    char dir[128];
    struct curve_pair own;
};

static struct elsewhere elsewhere(const struct curve_pair *server)
{
    struct elsewhere e;
    (void)snprintf(e.dir, sizeof e.dir, "%s/volley-client-XXXXXX", P_tmpdir);
    assert_non_null(mkdtemp(e.dir));
    assert_int_equal(curve_make(&e.own, NULL), ERR_NONE);
    curve_dir_fill_client(e.dir, &e.own, server->public);
    return e;
}

static void allow(const struct world *w, const struct curve_pair *also)
{
    char lines[200];
    (void)snprintf(lines, sizeof lines, "%s client\n%s also\n", w->client.public,
                   also != NULL ? also->public : "#");
    curve_dir_allow(w->dir, lines);
}

static void an_unlisted_key_is_refused_and_hears_why(void **state)
{
    struct world *w = *state;
    struct elsewhere e = elsewhere(&w->server);
    struct queue *q = world_open(w, e.dir, 1500);
    struct answer a;
    uint64_t from_ms = clock_boot_ms();
    ask_depth(&w->loop, q, &a);
    assert_int_equal(a.e, ERR_CLOSED);
    assert_true(clock_boot_ms() - from_ms < 4000);
    assert_non_null(strstr(q->trouble.text, "refused this client's key"));
    assert_non_null(strstr(q->trouble.text, e.own.public));
    assert_non_null(strstr(q->trouble.text, "clients.allow"));
    answer_free(&a);
    ask_close(&w->loop, q);
    world_define(w, 1); /* nobody else noticed */
    world_remove(e.dir);
}

static void a_key_that_is_added_comes_in_without_any_restart(void **state)
{
    struct world *w = *state;
    struct elsewhere e = elsewhere(&w->server);
    struct queue *q = world_open(w, e.dir, 1000);
    struct answer a;
    ask_depth(&w->loop, q, &a);
    assert_int_equal(a.e, ERR_CLOSED);
    answer_free(&a);
    allow(w, &e.own);
    do { /* it tries again by itself */
        ask_depth(&w->loop, q, &a);
        enum err err = a.e;
        answer_free(&a);
        if (err == ERR_NONE)
            break;
        assert_int_equal(err, ERR_CLOSED);
    } while (true);
    assert_string_equal(q->trouble.text, "");
    struct queue *was = w->q[1]; /* and its tail comes, too */
    w->q[1] = q;
    world_follow(w, 1);
    w->q[1] = was;
    ask_close(&w->loop, q);
    world_remove(e.dir);
}

static void a_key_that_is_removed_is_refused_at_its_next_connection(void **state)
{
    struct world *w = *state;
    struct elsewhere e = elsewhere(&w->server);
    struct answer a;
    allow(w, &e.own);
    struct queue *q = world_open(w, e.dir, 1500);
    ask_depth(&w->loop, q, &a);
    assert_int_equal(a.e, ERR_NONE);
    answer_free(&a);
    allow(w, NULL);
    ask_depth(&w->loop, q, &a);
    assert_int_equal(a.e, ERR_NONE); /* the one that stands goes on */
    answer_free(&a);
    world_stop_broker(w);
    world_start_broker(w);
    do { /* the first may have been sent to the old one */
        ask_depth(&w->loop, q, &a);
        enum err err = a.e;
        answer_free(&a);
        if (err == ERR_CLOSED)
            break;
        assert_int_equal(err, ERR_UNKNOWN);
    } while (true);
    assert_non_null(strstr(q->trouble.text, "refused"));
    ask_close(&w->loop, q);
    world_remove(e.dir);
}

static void who_knows_another_servers_key_hears_that(void **state)
{
    struct world *w = *state;
    struct elsewhere e = elsewhere(&w->client); /* some key, not the server's */
    allow(w, &e.own);
    struct queue *q = world_open(w, e.dir, 2500);
    struct answer a;
    ask_depth(&w->loop, q, &a);
    assert_int_equal(a.e, ERR_CLOSED);
    assert_non_null(strstr(q->trouble.text, "server.pub"));
    answer_free(&a);
    ask_close(&w->loop, q);
    world_remove(e.dir);
}

static void a_client_without_keys_is_not_even_opened(void **state)
{
    struct world *w = *state;
    const char *const dirs[] = {NULL, "", "/nowhere"};
    for (size_t i = 0; i < COUNT_OF(dirs); i++) {
        struct queue_options o = {.url = w->url, .keys_dir = dirs[i]};
        struct problem p = {0};
        struct queue *q;
        assert_int_equal(queue_open(&w->loop, &o, &q, &p), ERR_INVALID);
        assert_non_null(strstr(p.text, "keys_dir"));
    }
}

/* ---- strangers that speak ZeroMQ, or nothing */

static bool hears_anything(void *socket)
{
    zmq_msg_t m;
    zmq_msg_init(&m);
    bool any = endpoint_recv(socket, &m);
    zmq_msg_close(&m);
    return any;
}

/* What a request that is answered looks like. */
static void ask_raw(void *socket)
{
    struct wire_request r = {.type = WIRE_DEPTH, .number = 1};
    struct buf b;
    buf_init(&b, 100);
    assert_int_equal(wire_put_request(&b, &r), ERR_NONE);
    zmq_send(socket, b.data, b.len, ZMQ_DONTWAIT);
    buf_fini(&b);
}

static void without_curve_nobody_is_answered_and_nobody_hears_the_tail(void **state)
{
    struct world *w = *state;
    void *ctx = zmq_ctx_new();
    struct curve_pair stranger;
    assert_int_equal(curve_make(&stranger, NULL), ERR_NONE);
    struct curve_client unlisted = {.own = stranger};
    memcpy(unlisted.server, w->server.public, sizeof unlisted.server);
    void *s[6];
    for (int i = 0; i < 6; i++) {
        s[i] = endpoint_socket(ctx, i % 2 == 0 ? ZMQ_DEALER : ZMQ_SUB, 100);
        if (i % 2 == 1)
            zmq_setsockopt(s[i], ZMQ_SUBSCRIBE, "", 0);
        if (i / 2 == 1) { /* PLAIN; the first two: NULL */
            zmq_setsockopt(s[i], ZMQ_PLAIN_USERNAME, "admin", 5);
            zmq_setsockopt(s[i], ZMQ_PLAIN_PASSWORD, "admin", 5);
        }
        if (i / 2 == 2)
            curve_join(s[i], &unlisted);
        assert_int_equal(endpoint_connect(s[i], i % 2 == 0 ? w->at.requests : w->at.tail),
                         ERR_NONE);
        if (i % 2 == 0)
            ask_raw(s[i]);
    }
    world_define(w, 1);
    world_follow(w, 0);
    uint64_t until_ms = clock_boot_ms() + 1500; /* many beats, and long after all handshakes */
    while (clock_boot_ms() < until_ms) {
        uv_run(&w->loop, UV_RUN_ONCE);
        for (int i = 0; i < 6; i++)
            assert_false(hears_anything(s[i]));
    }
    for (int i = 0; i < 6; i++)
        zmq_close(s[i]);
    endpoint_end(ctx);
    world_append_note(w, 0, 1);
}

static unsigned port_of(const struct world *w)
{
    return (unsigned)strtoul(strrchr(w->url, ':') + 1, NULL, 10);
}

static int connect_raw(unsigned port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static bool is_let_go(void *arg)
{
    char c[256];
    ssize_t n;
    do
        n = recv(*(int *)arg, c, sizeof c, MSG_DONTWAIT);
    while (n > 0);
    return n == 0;
}

/* Of these connections some say nothing, some rubbish, and some stop in the middle of a greeting.
 */
static void rubbish_and_silence_on_the_port_harm_nobody(void **state)
{
    struct world *w = *state;
    int fds[60];
    world_define(w, 1);
    for (unsigned i = 0; i < COUNT_OF(fds); i++) {
        static const char greeting[] = "\xff\0\0\0\0\0\0\0\x01\x7f\x03";
        fds[i] = connect_raw(port_of(w) + i % 2);
        if (i % 3 == 1)
            assert_true(send(fds[i], "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL) == 18);
        if (i % 3 == 2)
            assert_true(send(fds[i], greeting, sizeof greeting, MSG_NOSIGNAL) > 0);
    }
    world_append_note(w, 0, 1);
    struct queue *q = world_open(w, w->keys_dir, 4000); /* a new one comes in, too */
    struct answer a;
    ask_depth(&w->loop, q, &a);
    assert_int_equal(a.e, ERR_NONE);
    answer_free(&a);
    ask_close(&w->loop, q);
    for (unsigned i = 0; i < COUNT_OF(fds); i++) { /* and those are let go after 5 s */
        spin_until(&w->loop, is_let_go, &fds[i], "that a silent connection is closed");
        close(fds[i]);
    }
}

/* ---- how it listens */

static void a_queue_without_keys_or_list_does_not_start(void **state)
{
    struct world *w = *state;
    const struct {
        const char *name, *text, *word; /* the file that is spoiled: NULL text: gone */
    } rows[] = {
        {"server.key", NULL, "volley keys"},
        {"server.key", "rubbish", "server.key"},
        {"clients.allow", NULL, "clients.allow"},
        {"clients.allow", "rubbish", "clients.allow:1"},
    };
    world_stop_broker(w);
    for (size_t i = 0; i < COUNT_OF(rows) + 1; i++) {
        struct broker_options o = world_options(w);
        struct problem p = {0};
        char path[CURVE_PATH_SIZE];
        if (i == COUNT_OF(rows)) {
            o.keys_dir = "";
        } else {
            curve_dir_write(w->dir, "server.key", 0600, w->server.secret);
            allow(w, NULL);
            assert_int_equal(curve_path(w->dir, rows[i].name, path, NULL), ERR_NONE);
            unlink(path);
            if (rows[i].text != NULL)
                curve_dir_write(w->dir, rows[i].name, 0600, rows[i].text);
        }
        assert_int_equal(broker_new(&w->loop, &o, &w->broker, &p), ERR_INVALID);
        assert_non_null(strstr(p.text, i < COUNT_OF(rows) ? rows[i].word : "queue.keys_dir"));
    }
    w->broker = NULL;
}

static void it_listens_on_addresses_of_its_own_only(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *host;
        enum err e;
    } rows[] = {{"localhost", ERR_INVALID}, {"192.0.2.7", ERR_INVALID}, {"127.0.0.1", ERR_LOCKED}};
    char dir[200];
    (void)snprintf(dir, sizeof dir, "%s/second", w->dir);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct broker_options o = world_options(w);
        struct problem p = {0};
        char url[100];
        (void)snprintf(url, sizeof url, "zmq+tcp://%s:%u", rows[i].host, port_of(w));
        o.url = url;
        o.store.dir = dir;
        struct broker *b;
        assert_int_equal(broker_new(&w->loop, &o, &b, &p), rows[i].e);
        assert_string_not_equal(p.text, "");
    }
    world_remove(dir);
}

/* The first name that this machine gives to IPv6's loopback; false when it has none. */
static bool ipv6_name(char out[64])
{
    char line[256];
    bool found = false;
    FILE *f = fopen("/etc/hosts", "r");
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL)
        found = sscanf(line, "::1 %63s", out) == 1;
    if (f != NULL)
        fclose(f);
    return found;
}

static enum err ask_at(struct world *w, const char *host, unsigned port)
{
    char url[128];
    struct queue *q;
    struct answer a;
    (void)snprintf(url, sizeof url, "zmq+tcp://%s:%u", host, port);
    struct queue_options o = {.url = url, .keys_dir = w->keys_dir, .timeout_ms = 8000};
    assert_int_equal(queue_open(&w->loop, &o, &q, NULL), ERR_NONE);
    ask_depth(&w->loop, q, &a);
    enum err e = a.e;
    answer_free(&a);
    ask_close(&w->loop, q);
    return e;
}

static bool restart_at(struct world *w, const char *host, unsigned port)
{
    struct problem p = {0};
    char url[sizeof w->url];
    memcpy(url, w->url, sizeof url);
    (void)snprintf(w->url, sizeof w->url, "zmq+tcp://%s:%u", host, port);
    struct broker_options o = world_options(w);
    world_stop_broker(w);
    if (broker_new(&w->loop, &o, &w->broker, &p) == ERR_NONE)
        return true;
    print_message("not tried: %s\n", p.text);
    memcpy(w->url, url, sizeof url);
    world_start_broker(w);
    return false;
}

/* Any address means loopback to a client; and a name may mean addresses of both families of which
 * only one listens: each is tried in turn. */
static void it_is_found_by_address_and_by_name(void **state)
{
    struct world *w = *state;
    char name[64] = "localhost";
    unsigned port = curve_dir_port();
    assert_true(restart_at(w, "0.0.0.0", port));
    assert_int_equal(ask_at(w, "0.0.0.0", port), ERR_NONE);
    assert_int_equal(ask_at(w, "127.0.0.1", port), ERR_NONE);
    assert_int_equal(ask_at(w, "localhost", port), ERR_NONE);
    port = curve_dir_port();
    if (restart_at(w, "[::]", port)) {
        assert_int_equal(ask_at(w, "[::]", port), ERR_NONE);
        assert_int_equal(ask_at(w, "[::1]", port), ERR_NONE);
        assert_int_equal(ask_at(w, "localhost", port), ERR_NONE);
    }
    port = curve_dir_port();
    if (ipv6_name(name) && restart_at(w, "[::1]", port))
        assert_int_equal(ask_at(w, name, port), ERR_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TCP_TEST(an_event_goes_all_the_way_and_followers_hear_of_it),
        WORLD_TCP_TEST(after_a_restart_all_goes_on),
        WORLD_TCP_TEST(an_unlisted_key_is_refused_and_hears_why),
        WORLD_TCP_TEST(a_key_that_is_added_comes_in_without_any_restart),
        WORLD_TCP_TEST(a_key_that_is_removed_is_refused_at_its_next_connection),
        WORLD_TCP_TEST(who_knows_another_servers_key_hears_that),
        WORLD_TCP_TEST(a_client_without_keys_is_not_even_opened),
        WORLD_TCP_TEST(without_curve_nobody_is_answered_and_nobody_hears_the_tail),
        WORLD_TCP_TEST(rubbish_and_silence_on_the_port_harm_nobody),
        WORLD_TCP_TEST(a_queue_without_keys_or_list_does_not_start),
        WORLD_TCP_TEST(it_listens_on_addresses_of_its_own_only),
        WORLD_TCP_TEST(it_is_found_by_address_and_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
