/* What ingest does with clients that take too much: of its memory, of its connections, of its time.
 * Time is the test's own; memory is what ingest counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ingest/session.h"
#include "tests/support/ingest_rig.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static struct ingest_rig rig;

static int setup(void **state)
{
    (void)state;
    ingest_rig_init(&rig);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ingest_rig_stop(&rig);
    return 0;
}

/* ---- floods */

#define FLOOD 300

static void a_client_with_enough_under_way_is_not_read(void **state)
{
    (void)state;
    rig.limits.client_events_max = 8;
    ingest_rig_start(&rig);
    static struct event *events[FLOOD];
    struct ws_client *c = ingest_rig_client(&rig), *other = ingest_rig_client(&rig);
    rig.gate.hold = true;
    for (unsigned n = 0; n < FLOOD; n++) {
        events[n] = signed_note(n);
        send_event(c, events[n]);
    }
    await_appends(&rig, 8);
    spin_turns(&rig.loop, 50);
    assert_int_equal(rig.gate.appends_len, 8);
    assert_int_equal(rig.i->under_way_len, 8);
    /* Another is served meanwhile. */
    ws_client_send(other, "[\"COUNT\",\"x\",{}]");
    expect_start(other, "[\"CLOSED\",\"x\"");
    /* As some settle, as many are read. */
    gate_let_go(&rig.gate, 3);
    await_appends(&rig, 11);
    spin_turns(&rig.loop, 50);
    assert_int_equal(rig.gate.appends_len, 11);
    rig.gate.hold = false;
    gate_let_go(&rig.gate, FLOOD);
    for (unsigned n = 0; n < FLOOD; n++) {
        expect_ok(c, events[n], true, "");
        event_unref(events[n]);
    }
    ws_client_free(c);
    ws_client_free(other);
}

static void a_clients_bytes_under_way_are_bounded(void **state)
{
    (void)state;
    rig.limits.client_bytes_max = 5000;
    ingest_rig_start(&rig);
    struct ws_client *c = ingest_rig_client(&rig);
    rig.gate.hold = true;
    for (unsigned n = 0; n < 50; n++) {
        struct event *ev = signed_note(n);
        send_event(c, ev);
        event_unref(ev);
    }
    await_appends(&rig, 1);
    spin_turns(&rig.loop, 50);
    assert_in_range(rig.i->under_way_bytes, 5000, 5000 + 1000);
    ws_client_free(c);
}

static void all_clients_together_are_bounded_and_all_are_served_in_the_end(void **state)
{
    (void)state;
    enum { CLIENTS = 20, EACH = 20 };
    rig.limits.total_bytes_max = 20000;
    ingest_rig_start(&rig);
    struct ws_client *clients[CLIENTS];
    struct event *events[CLIENTS][EACH];
    for (unsigned k = 0; k < CLIENTS; k++) {
        clients[k] = ingest_rig_client(&rig);
        for (unsigned n = 0; n < EACH; n++)
            events[k][n] = signed_note(k * EACH + n);
    }
    rig.gate.hold = true;
    for (unsigned k = 0; k < CLIENTS; k++)
        for (unsigned n = 0; n < EACH; n++)
            send_event(clients[k], events[k][n]);
    await_appends(&rig, 10);
    spin_turns(&rig.loop, 50);
    assert_true(rig.i->congested);
    rig.gate.hold = false;
    gate_let_go(&rig.gate, CLIENTS * EACH);
    for (unsigned k = 0; k < CLIENTS; k++) {
        for (unsigned n = 0; n < EACH; n++) {
            expect_ok(clients[k], events[k][n], true, "");
            event_unref(events[k][n]);
        }
        ws_client_free(clients[k]);
    }
    assert_in_range(rig.i->under_way_peak, 20000, 20000 + 1000); /* by the last message at most */
    assert_int_equal(rig.i->under_way_bytes, 0);
}

static bool is_blocked(void *arg)
{
    struct ingest *i = arg;
    return i->sessions != NULL && !(i->sessions->polled & UV_READABLE);
}

static bool is_read(void *arg)
{
    return !is_blocked(arg);
}

/* A client that asks and asks and reads nothing. */
static struct ws_client *deaf_flooder(void)
{
    struct ws_client_options o = {.port = ingest_port(rig.i, 0), .receive_len = 4096};
    struct ws_client *c = ws_client_new(&rig.loop, &o);
    struct buf frames;
    assert_true(ws_client_opened(c));
    ws_client_deafen(c, true);
    buf_init(&frames, 64 << 20);
    for (unsigned n = 0; n < 200000; n++)
        ws_frame(&frames, 0x81, "[\"REQ\",\"x\",{}]", 14);
    ws_client_send_raw(c, frames.data, frames.len);
    buf_fini(&frames);
    return c;
}

static void a_client_that_does_not_read_is_not_read_and_then_cut_off(void **state)
{
    (void)state;
    ingest_rig_start(&rig);
    struct ws_client *c = deaf_flooder();
    ingest_rig_await(&rig, is_blocked, rig.i, "the flooder not to be read any more");
    struct session *s = rig.i->sessions;
    assert_in_range(websocket_queued_len(s->ws), rig.limits.reply_pause,
                    rig.limits.reply_pause + 1024);
    ingest_rig_pass(&rig, rig.limits.stall_ms - 1000);
    assert_int_equal(count_sessions(&rig), 1);
    ingest_rig_pass(&rig, 1000);
    assert_int_equal(count_sessions(&rig), 0);
    ws_client_free(c);
}

static bool are_blocked(void *arg)
{
    const struct ingest *i = arg;
    const struct session *s = i->sessions;
    return s != NULL && s->next != NULL && !(s->polled & UV_READABLE) &&
           !(s->next->polled & UV_READABLE);
}

static void unread_replies_of_all_clients_are_bounded(void **state)
{
    (void)state;
    rig.limits.replies_max = 100000;
    rig.limits.reply_free = 8192;
    ingest_rig_start(&rig);
    struct ws_client *a = deaf_flooder(), *b = deaf_flooder(), *good = ingest_rig_client(&rig);
    ingest_rig_await(&rig, are_blocked, rig.i, "both flooders not to be read any more");
    assert_in_range(rig.i->reply_bytes, 100000, 100000 + 2 * (8192 + 1024));
    ws_client_send(good, "[\"COUNT\",\"x\",{}]");
    expect_start(good, "[\"CLOSED\",\"x\"");
    ws_client_free(a);
    ws_client_free(b);
    await_sessions(&rig, 1);
    assert_int_equal(rig.i->reply_bytes, 0);
    ws_client_free(good);
}

static void a_client_that_reads_again_gets_every_reply(void **state)
{
    (void)state;
    ingest_rig_start(&rig);
    struct ws_client *c = deaf_flooder();
    ingest_rig_await(&rig, is_blocked, rig.i, "the flooder not to be read any more");
    ws_client_deafen(c, false);
    for (unsigned n = 0; n < 200000; n++) {
        expect_start(c, "[\"EOSE\"");
        expect_start(c, "[\"CLOSED\"");
    }
    ws_client_free(c);
}

static void too_many_unread_replies_end_the_connection(void **state)
{
    (void)state;
    rig.limits.reply_pause = SIZE_MAX; /* as if not reading it had not helped */
    rig.limits.reply_max = 100000;
    ingest_rig_start(&rig);
    struct ws_client *c = deaf_flooder();
    await_sessions(&rig, 0);
    ws_client_free(c);
}

/* ---- unfinished messages */

static void send_part(struct ws_client *c, size_t len)
{
    struct buf b;
    char *text = mem_zero(1, len);
    memset(text, 'a', len);
    buf_init(&b, 1 << 20);
    ws_frame(&b, 0x01, text, len);
    ws_client_send_raw(c, b.data, b.len);
    buf_fini(&b);
    free(text);
}

static bool has_partial(void *arg)
{
    struct ingest *i = arg;
    return i->partial_bytes > 0;
}

static void a_message_must_end_within_its_time(void **state)
{
    (void)state;
    ingest_rig_start(&rig);
    struct ws_client *c = ingest_rig_client(&rig);
    send_part(c, 10);
    ingest_rig_await(&rig, has_partial, rig.i, "a piece of a message");
    ingest_rig_pass(&rig, rig.limits.message_ms - 1);
    assert_int_equal(c->state, WS_CLIENT_OPEN);
    ingest_rig_pass(&rig, 1);
    assert_int_equal(ws_client_ended(c), 1013);
    ws_client_free(c);
    await_sessions(&rig, 0);
    assert_int_equal(rig.i->partial_bytes, 0);
}

static void unfinished_messages_of_all_clients_are_bounded(void **state)
{
    (void)state;
    rig.limits.partial_max = 70000;
    ingest_rig_start(&rig);
    struct ws_client *long_ones[4], *short_one = ingest_rig_client(&rig);
    unsigned cut = 0;
    for (size_t n = 0; n < COUNT_OF(long_ones); n++) {
        long_ones[n] = ingest_rig_client(&rig);
        send_part(long_ones[n], 20000);
    }
    send_part(short_one, 1000);
    await_sessions(&rig, 3 + 1); /* the fourth was too much */
    for (size_t n = 0; n < COUNT_OF(long_ones); n++)
        cut += long_ones[n]->state == WS_CLIENT_ENDED && long_ones[n]->close_code == 1013;
    assert_int_equal(cut, 1);
    assert_int_equal(short_one->state, WS_CLIENT_OPEN);
    for (size_t n = 0; n < COUNT_OF(long_ones); n++)
        ws_client_free(long_ones[n]);
    ws_client_free(short_one);
}

/* ---- silence */

static bool was_answered(void *arg)
{
    const struct session *s = arg;
    return s->pings == 0;
}

static void a_silent_client_that_answers_pings_stays(void **state)
{
    (void)state;
    ingest_rig_start(&rig);
    struct ws_client *c = ingest_rig_client(&rig);
    for (unsigned n = 0; n < 10; n++) {
        ingest_rig_pass(&rig, rig.limits.ping_ms);
        ingest_rig_await(&rig, was_answered, rig.i->sessions, "a pong");
    }
    assert_int_equal(count_sessions(&rig), 1);
    ws_client_free(c);
}

static void a_client_that_misses_two_pings_is_closed(void **state)
{
    (void)state;
    ingest_rig_start(&rig);
    struct ws_client *c = ingest_rig_client(&rig);
    ws_client_deafen(c, true);
    ingest_rig_pass(&rig, rig.limits.ping_ms - 1);
    assert_int_equal(rig.i->sessions->pings, 0);
    ingest_rig_pass(&rig, 1);
    assert_int_equal(rig.i->sessions->pings, 1);
    ingest_rig_pass(&rig, rig.limits.ping_ms);
    assert_int_equal(rig.i->sessions->pings, 2);
    assert_int_equal(rig.i->sessions->state, SESSION_OPEN);
    ingest_rig_pass(&rig, rig.limits.ping_ms);
    assert_int_equal(rig.i->sessions->state, SESSION_ENDING);
    ingest_rig_pass(&rig, rig.limits.close_ms);
    assert_int_equal(count_sessions(&rig), 0);
    ws_client_free(c);
}

static void a_client_that_waits_for_the_queue_is_not_called_silent(void **state)
{
    (void)state;
    rig.limits.client_events_max = 1;
    ingest_rig_start(&rig);
    struct event *ev = signed_note(1);
    struct ws_client *c = ingest_rig_client(&rig);
    rig.gate.hold = true;
    send_event(c, ev);
    await_appends(&rig, 1);
    spin_turns(&rig.loop, 10);
    ws_client_deafen(c, true);
    for (unsigned n = 0; n < 5; n++)
        ingest_rig_pass(&rig, rig.limits.ping_ms);
    gate_let_go(&rig.gate, 1);
    ingest_rig_await(&rig, is_read, rig.i, "the client to be read again");
    ingest_rig_pass(&rig, 1000); /* its silence is counted from here */
    assert_int_equal(rig.i->sessions->pings, 0);
    ws_client_deafen(c, false);
    expect_ok(c, ev, true, "");
    event_unref(ev);
    ws_client_free(c);
}

/* ---- connections */

static struct ws_client *knock(const char *from)
{
    struct ws_client_options o = {.port = ingest_port(rig.i, 0), .from = from};
    return ws_client_new(&rig.loop, &o);
}

static void connections_are_limited_per_address(void **state)
{
    (void)state;
    rig.options.max_per_ip = 2;
    ingest_rig_start(&rig);
    struct ws_client *a = knock("127.0.0.1"), *b = knock("127.0.0.1");
    assert_true(ws_client_opened(a));
    assert_true(ws_client_opened(b));
    struct ws_client *over = knock("127.0.0.1"), *other = knock("127.0.0.2");
    assert_false(ws_client_opened(over));
    assert_true(ws_client_opened(other));
    ws_client_free(a);
    await_connections(&rig, 2);
    struct ws_client *next = knock("127.0.0.1");
    assert_true(ws_client_opened(next));
    ws_client_free(b);
    ws_client_free(over);
    ws_client_free(other);
    ws_client_free(next);
}

static void connections_are_limited_over_all_addresses_and_listeners(void **state)
{
    (void)state;
    rig.options.max_connections = 2;
    rig.options.listen[1] = "127.0.0.1:0";
    rig.options.listen_len = 2;
    ingest_rig_start(&rig);
    struct ws_client *a = knock("127.0.0.1");
    struct ws_client_options second = {.port = ingest_port(rig.i, 1)};
    struct ws_client *b = ws_client_new(&rig.loop, &second);
    assert_true(ws_client_opened(a));
    assert_true(ws_client_opened(b));
    struct ws_client *over = knock("127.0.0.3");
    assert_false(ws_client_opened(over));
    assert_int_equal(over->status, 0);
    ws_client_free(b);
    await_connections(&rig, 1);
    struct ws_client *next = knock("127.0.0.3");
    assert_true(ws_client_opened(next));
    ws_client_free(a);
    ws_client_free(over);
    ws_client_free(next);
}

static void who_says_nothing_is_cut_off(void **state)
{
    (void)state;
    ingest_rig_start(&rig);
    /* A request that does not end: its last line is missing. */
    struct ws_client_options o = {.port = ingest_port(rig.i, 0), .headers = "X-Slow: yes"};
    struct ws_client *c = ws_client_new(&rig.loop, &o);
    c->raw.len -= 4; /* "\r\n" twice */
    await_connections(&rig, 1);
    spin_turns(&rig.loop, 10);
    ingest_rig_pass(&rig, rig.limits.handshake_ms - 1);
    assert_int_equal(rig.i->http.peers.connections_len, 1);
    ingest_rig_pass(&rig, 1);
    spin_turns(&rig.loop, 50); /* not as long as the HTTP server's own timeout */
    assert_int_equal(rig.i->http.peers.connections_len, 0);
    assert_false(ws_client_opened(c));
    ws_client_free(c);
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(a_client_with_enough_under_way_is_not_read),
        WITH_RIG(a_clients_bytes_under_way_are_bounded),
        WITH_RIG(all_clients_together_are_bounded_and_all_are_served_in_the_end),
        WITH_RIG(a_client_that_does_not_read_is_not_read_and_then_cut_off),
        WITH_RIG(unread_replies_of_all_clients_are_bounded),
        WITH_RIG(a_client_that_reads_again_gets_every_reply),
        WITH_RIG(too_many_unread_replies_end_the_connection),
        WITH_RIG(a_message_must_end_within_its_time),
        WITH_RIG(unfinished_messages_of_all_clients_are_bounded),
        WITH_RIG(a_silent_client_that_answers_pings_stays),
        WITH_RIG(a_client_that_misses_two_pings_is_closed),
        WITH_RIG(a_client_that_waits_for_the_queue_is_not_called_silent),
        WITH_RIG(connections_are_limited_per_address),
        WITH_RIG(connections_are_limited_over_all_addresses_and_listeners),
        WITH_RIG(who_says_nothing_is_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
