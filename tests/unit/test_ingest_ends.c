/* How ingest's websockets carry messages and how they end: frames, close codes, clients that leave,
 * draining. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/nostr/message.h"
#include "tests/support/ingest_rig.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static struct ingest_rig rig;

static int setup(void **state)
{
    (void)state;
    ingest_rig_init(&rig);
    ingest_rig_start(&rig);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ingest_rig_stop(&rig);
    return 0;
}

/* ---- frames */

static void send_frames(struct ws_client *c, const struct buf *b)
{
    ws_client_send_raw(c, b->data, b->len);
}

static void fragments_and_pings_between_them_make_one_message(void **state)
{
    (void)state;
    struct event *ev = signed_note(1);
    struct ws_client *c = ingest_rig_client(&rig);
    struct buf b, text;
    buf_init(&b, 1 << 20);
    buf_init(&text, 1 << 20);
    assert_int_equal(message_put_event(&text, "EVENT", ev->bytes, ev->len), ERR_NONE);
    for (size_t n = 0; n < text.len; n++) {
        ws_frame(&b, n == 0 ? 0x01 : n + 1 == text.len ? 0x80 : 0x00, text.data + n, 1);
        ws_frame(&b, 0x89, "ping", 4);
    }
    send_frames(c, &b);
    expect_ok(c, ev, true, "");
    buf_fini(&b);
    buf_fini(&text);
    event_unref(ev);
    ws_client_free(c);
}

static bool has_bytes(void *arg)
{
    uint8_t data[8];
    return recv(*(int *)arg, data, sizeof data, MSG_PEEK) == sizeof data;
}

static void a_ping_is_answered_with_its_words(void **state)
{
    (void)state;
    struct ws_client *c = ingest_rig_client(&rig);
    struct buf b;
    uint8_t data[8];
    buf_init(&b, 1 << 20);
    ws_frame(&b, 0x89, "volley", 6);
    ws_client_deafen(c, true);
    send_frames(c, &b);
    ingest_rig_await(&rig, has_bytes, &c->fd, "a pong");
    assert_int_equal(recv(c->fd, data, sizeof data, 0), 8);
    assert_memory_equal(data, "\x8a\x06volley", 8);
    buf_fini(&b);
    ws_client_free(c);
}

static void messages_sent_with_the_handshake_are_not_lost(void **state)
{
    (void)state;
    struct ws_client_options o = {.port = ingest_port(rig.i, 0)};
    struct ws_client *c = ws_client_new(&rig.loop, &o);
    struct event *ev = signed_note(1);
    struct buf b, text;
    buf_init(&b, 1 << 20);
    buf_init(&text, 1 << 20);
    assert_int_equal(message_put_event(&text, "EVENT", ev->bytes, ev->len), ERR_NONE);
    ws_frame(&b, 0x81, "[\"COUNT\",\"x\",{}]", 16);
    ws_frame(&b, 0x81, text.data, text.len);
    send_frames(c, &b);
    assert_true(ws_client_opened(c));
    expect_start(c, "[\"CLOSED\",\"x\"");
    expect_ok(c, ev, true, "");
    buf_fini(&b);
    buf_fini(&text);
    event_unref(ev);
    ws_client_free(c);
}

/* ---- ends */

static uint16_t code_after(const void *data, size_t len)
{
    struct ws_client *c = ingest_rig_client(&rig);
    ws_client_send_raw(c, data, len);
    uint16_t code = ws_client_ended(c);
    ws_client_free(c);
    await_sessions(&rig, 0);
    return code;
}

static uint16_t code_after_frame(uint8_t head, const void *payload, size_t len)
{
    struct buf b;
    buf_init(&b, 16 << 20);
    ws_frame(&b, head, payload, len);
    uint16_t code = code_after(b.data, b.len);
    buf_fini(&b);
    return code;
}

static void connections_end_with_the_right_code(void **state)
{
    (void)state;
    assert_int_equal(code_after_frame(0x88, "\x03\xe8", 2), 1000);
    assert_int_equal(code_after_frame(0x88, "\x0f\xa0", 2), 4000);
    assert_int_equal(code_after_frame(0x82, "binary", 6), 1003);
    assert_int_equal(code_after_frame(0x81, "\xff\xfe", 2), 1007);
    assert_int_equal(code_after_frame(0x80, "late", 4), 1002);
    assert_int_equal(code_after("\x81\x02hi", 4), 1002); /* not masked */
}

static void an_oversize_message_ends_the_connection(void **state)
{
    (void)state;
    size_t len = service_message_max(rig.i->max_event);
    char *text = mem_new(len + 1);
    memset(text, ' ', len + 1);
    assert_int_equal(code_after_frame(0x81, text, len + 1), 1009);
    struct ws_client *c = ingest_rig_client(&rig);
    text[len] = '\0';
    ws_client_send(c, text);
    expect_start(c, "[\"NOTICE\",\"invalid: "); /* the longest is taken */
    ws_client_free(c);
    free(text);
}

static void events_of_a_client_that_left_are_queued_all_the_same(void **state)
{
    (void)state;
    struct ws_client *c = ingest_rig_client(&rig);
    rig.gate.hold = true;
    for (unsigned n = 0; n < 50; n++) {
        struct event *ev = signed_note(n);
        send_event(c, ev);
        event_unref(ev);
    }
    await_appends(&rig, 1); /* some are appended, most are being verified */
    ws_client_free(c);
    await_sessions(&rig, 0);
    await_appends(&rig, 50);
    gate_let_go(&rig.gate, 50);
    spin_turns(&rig.loop, 4);
    assert_int_equal(rig.i->under_way_len, 0);
    assert_int_equal(rig.i->under_way_bytes, 0);
}

/* ---- draining */

static void a_drain_answers_what_is_under_way_and_then_says_goodbye(void **state)
{
    (void)state;
    struct event *ev = signed_note(1), *late = signed_note(2);
    struct ws_client *c = ingest_rig_client(&rig), *idle = ingest_rig_client(&rig);
    uint16_t port = ingest_port(rig.i, 0);
    rig.gate.hold = true;
    send_event(c, ev);
    await_appends(&rig, 1);
    ingest_rig_drain(&rig, 60000);
    send_event(c, late);
    spin_turns(&rig.loop, 20);
    assert_false(rig.drained);
    assert_false(ws_client_has(c));
    struct ws_client *refused = ws_client_new(&rig.loop, &(struct ws_client_options){.port = port});
    assert_false(ws_client_opened(refused));
    assert_int_equal(refused->status, 0); /* nobody listens any more */
    gate_let_go(&rig.gate, 1);
    expect_ok(c, ev, true, "");
    assert_int_equal(ws_client_ended(c), 1001);
    assert_int_equal(ws_client_ended(idle), 1001);
    assert_false(ws_client_has(c)); /* nothing was said of the late one */
    ws_client_free(c);
    ws_client_free(idle);
    ws_client_free(refused);
    ingest_rig_drained(&rig);
    assert_int_equal(rig.gate.appends_len, 1);
    event_unref(ev);
    event_unref(late);
}

static void a_drain_does_not_wait_longer_than_it_was_told(void **state)
{
    (void)state;
    struct event *ev = signed_note(1);
    struct ws_client *c = ingest_rig_client(&rig), *deaf = ingest_rig_client(&rig);
    ws_client_deafen(deaf, true);
    rig.gate.hold = true;
    send_event(c, ev);
    await_appends(&rig, 1);
    ingest_rig_drain(&rig, 1);
    assert_int_equal(ws_client_ended(c), 1001);
    assert_false(ws_client_has(c));
    ingest_rig_drained(&rig); /* the queue answers later still: gate_fini */
    ws_client_free(c);
    ws_client_free(deaf);
    event_unref(ev);
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(fragments_and_pings_between_them_make_one_message),
        WITH_RIG(a_ping_is_answered_with_its_words),
        WITH_RIG(messages_sent_with_the_handshake_are_not_lost),
        WITH_RIG(connections_end_with_the_right_code),
        WITH_RIG(an_oversize_message_ends_the_connection),
        WITH_RIG(events_of_a_client_that_left_are_queued_all_the_same),
        WITH_RIG(a_drain_answers_what_is_under_way_and_then_says_goodbye),
        WITH_RIG(a_drain_does_not_wait_longer_than_it_was_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
