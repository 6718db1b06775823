/* What ingest says to its clients, over real websockets: every verb, when an OK may leave, in which
 * order, and with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/hex.h"
#include "tests/support/ingest_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DUPLICATE "duplicate: already have this event"
#define CLOSED    "\"unsupported: volley keeps no archive, it only passes events on\"]"

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

/* Starts anew, with the options a test has set since ingest_rig_init. */
static void restart_with(struct ingest_options o)
{
    ingest_rig_stop(&rig);
    ingest_rig_init(&rig);
    o.listen[0] = rig.options.listen[0];
    o.listen_len = 1;
    rig.options = o;
    ingest_rig_start(&rig);
}

/* ---- verbs */

static const struct verb_case {
    const char *message;
    const char *answers[2]; /* their beginnings */
} verb_cases[] = {
    {"[\"REQ\",\"a\",{}]", {"[\"EOSE\",\"a\"]", "[\"CLOSED\",\"a\"," CLOSED}},
    {"[\"REQ\",\"a\\\"\",{\"kinds\":[1]},{}]",
     {"[\"EOSE\",\"a\\\"\"]", "[\"CLOSED\",\"a\\\"\"," CLOSED}},
    {"[\"COUNT\",\"b\",{}]", {"[\"CLOSED\",\"b\"," CLOSED}},
    {"[\"CLOSE\",\"a\"]", {NULL}},
    {"[\"AUTH\",{\"id\":\"abc\"}]", {"[\"OK\",\"abc\",false,\"unsupported: "}},
    {"[\"AUTH\",{}]", {"[\"NOTICE\",\"unsupported: "}},
    {"[\"HELLO\",1]", {"[\"NOTICE\",\"unsupported: unknown message 'HELLO'\"]"}},
    {"[\"OK\",\"x\",true,\"\"]", {"[\"NOTICE\",\"unsupported: "}},
    {"[]", {"[\"NOTICE\",\"invalid: "}},
    {"{}", {"[\"NOTICE\",\"invalid: "}},
    {"", {"[\"NOTICE\",\"invalid: "}},
    {"[\"REQ\"]", {"[\"NOTICE\",\"invalid: "}},
    {"[\"EVENT\"]", {"[\"NOTICE\",\"invalid: "}},
    {"[\"EVENT\",{\"kind\":01}]", {"[\"NOTICE\",\"invalid: "}},
    {"[\"EVENT\",{}]", {"[\"NOTICE\",\"invalid: "}},
    {"[\"EVENT\",{\"id\":7}]", {"[\"NOTICE\",\"invalid: "}},
    {"[\"EVENT\",{\"id\":\"abc\",\"kind\":1}]", {"[\"OK\",\"abc\",false,\"invalid: "}},
    {"[\"EVENT\",{\"kind\":\"x\",\"id\":\"abc\"}]", {"[\"OK\",\"abc\",false,\"invalid: "}},
};

static void every_message_has_its_answer(void **state)
{
    (void)state;
    struct ws_client *c = ingest_rig_client(&rig);
    for (size_t n = 0; n < COUNT_OF(verb_cases); n++) {
        const struct verb_case *v = &verb_cases[n];
        ws_client_send(c, v->message);
        for (size_t a = 0; a < COUNT_OF(v->answers) && v->answers[a] != NULL; a++)
            expect_start(c, v->answers[a]);
        /* And no more than these. */
        ws_client_send(c, "[\"COUNT\",\"end\",{}]");
        expect_start(c, "[\"CLOSED\",\"end\"");
    }
    assert_int_equal(rig.gate.appends_len, 0);
    ws_client_free(c);
}

/* ---- OK */

static void ok_leaves_only_after_the_append_was_answered(void **state)
{
    (void)state;
    struct event *ev = signed_note(1);
    struct ws_client *c = ingest_rig_client(&rig);
    rig.gate.hold = true;
    send_event(c, ev);
    await_appends(&rig, 1);
    ws_client_send(c, "[\"COUNT\",\"x\",{}]");
    expect_start(c, "[\"CLOSED\",\"x\""); /* the connection lives, the OK waits */
    spin_turns(&rig.loop, 20);
    assert_false(ws_client_has(c));
    gate_let_go(&rig.gate, 1);
    expect_ok(c, ev, true, "");
    event_unref(ev);
    ws_client_free(c);
}

static void a_repeated_event_is_the_queues_to_judge(void **state)
{
    (void)state;
    struct event *ev = signed_note(1);
    struct ws_client *c = ingest_rig_client(&rig);
    send_event(c, ev);
    expect_ok(c, ev, true, "");
    for (unsigned n = 2; n <= 4; n++) { /* it may have failed since, and is wanted again */
        send_event(c, ev);
        expect_ok(c, ev, true, DUPLICATE);
        assert_int_equal(rig.gate.appends_len, n);
    }
    event_unref(ev);
    ws_client_free(c);
}

static void what_was_queued_again_is_answered_from_memory_for_a_minute(void **state)
{
    (void)state;
    struct event *ev = signed_note(1);
    struct ws_client *c = ingest_rig_client(&rig);
    rig.gate.requeued = 2;
    send_event(c, ev);
    expect_ok(c, ev, true, "");
    send_event(c, ev);
    expect_ok(c, ev, true, DUPLICATE ", queued again for 2 relays");
    send_event(c, ev);
    expect_ok(c, ev, true, DUPLICATE);
    assert_int_equal(rig.gate.appends_len, 2);
    ingest_rig_pass(&rig, RECENT_TERM_MS);
    send_event(c, ev);
    expect_ok(c, ev, true, DUPLICATE ", queued again for 2 relays");
    assert_int_equal(rig.gate.appends_len, 3);
    event_unref(ev);
    ws_client_free(c);
}

static void a_repeated_event_waits_for_the_first_ones_commit(void **state)
{
    (void)state;
    struct event *ev = signed_note(1);
    struct ws_client *c = ingest_rig_client(&rig);
    rig.gate.hold = true;
    send_event(c, ev);
    send_event(c, ev);
    await_appends(&rig, 2);
    assert_false(ws_client_has(c));
    gate_let_go(&rig.gate, 2);
    expect_ok(c, ev, true, "");
    expect_ok(c, ev, true, DUPLICATE);
    event_unref(ev);
    ws_client_free(c);
}

static void a_refused_append_is_not_remembered_as_confirmed(void **state)
{
    (void)state;
    struct event *ev = signed_note(1);
    struct ws_client *c = ingest_rig_client(&rig);
    rig.gate.fail = ERR_UNKNOWN;
    send_event(c, ev);
    expect_ok(c, ev, false, "error: outcome unknown, send again");
    rig.gate.fail = ERR_NONE;
    send_event(c, ev);
    expect_ok(c, ev, true, "");
    event_unref(ev);
    ws_client_free(c);
}

/* ---- refusals */

/* The event's bytes with one digit of `field` changed. */
static void send_spoilt(struct ws_client *c, const struct event *ev, const char *field)
{
    char *text = mem_new(ev->len + 16);
    (void)snprintf(text, ev->len + 16, "[\"EVENT\",%.*s]", (int)ev->len, ev->bytes);
    char *digit = strstr(text, field) + strlen(field);
    *digit = *digit == '0' ? '1' : '0';
    ws_client_send(c, text);
    free(text);
}

static void wrong_signatures_and_ids_are_refused(void **state)
{
    (void)state;
    struct event *ev = signed_note(1);
    struct ws_client *c = ingest_rig_client(&rig);
    send_spoilt(c, ev, "\"sig\":\"");
    expect_ok(c, ev, false, "invalid: the signature is not good");
    send_spoilt(c, ev, "\"content\":\"note ");
    expect_ok(c, ev, false, "invalid: the id is not the SHA-256 of the event");
    assert_int_equal(rig.gate.appends_len, 0);
    event_unref(ev);
    ws_client_free(c);
}

static void expect_refusal(struct ws_client *c, struct event *ev, const char *prefix)
{
    char id[65], start[128];
    (void)snprintf(start, sizeof start, "[\"OK\",\"%s\",false,\"%s: ", hex_str(id, ev->id, 32),
                   prefix);
    send_event(c, ev);
    expect_start(c, start);
    event_unref(ev);
}

static void the_policy_refuses_before_anything_is_queued(void **state)
{
    (void)state;
    uint8_t listed[1][32];
    test_pubkey(0, listed[0]);
    restart_with((struct ingest_options){.allow_pubkeys = (const uint8_t(*)[32])listed,
                                         .allow_len = 1,
                                         .created_at_past_s = 100000,
                                         .created_at_future_s = 900});
    struct ws_client *c = ingest_rig_client(&rig);
    uint64_t now = (uint64_t)rig.now_s;
    expect_refusal(c, make_signed_event(1, now, 1, "[]", ""), "restricted");
    expect_refusal(c, make_signed_event(0, now, 22242, "[]", ""), "invalid");
    expect_refusal(c, make_signed_event(0, now, 1, "[[\"-\"]]", ""), "blocked");
    expect_refusal(c, make_signed_event(0, now, 1, "[[\"expiration\",\"1000\"]]", ""), "invalid");
    expect_refusal(c, make_signed_event(0, now - 200000, 1, "[]", ""), "invalid");
    expect_refusal(c, make_signed_event(0, now + 2000, 1, "[]", ""), "invalid");
    assert_int_equal(rig.gate.appends_len, 0);
    struct event *good = make_signed_event(0, now, 1, "[]", "");
    send_event(c, good);
    expect_ok(c, good, true, "");
    event_unref(good);
    ws_client_free(c);
}

static void too_little_work_is_refused(void **state)
{
    (void)state;
    restart_with((struct ingest_options){.min_pow = 200});
    struct ws_client *c = ingest_rig_client(&rig);
    expect_refusal(c, signed_note(1), "pow");
    ws_client_free(c);
}

static void an_event_longer_than_max_event_is_refused_by_its_id(void **state)
{
    (void)state;
    restart_with((struct ingest_options){.max_event = 1000});
    char content[1001];
    memset(content, 'a', 1000);
    content[1000] = '\0';
    struct ws_client *c = ingest_rig_client(&rig);
    expect_refusal(c, make_signed_event(0, 1, 1, "[]", content), "invalid");
    ws_client_free(c);
}

static void other_rules_hold_at_once_for_clients_that_are_connected(void **state)
{
    (void)state;
    uint8_t listed[1][32];
    struct problem p = {0};
    test_pubkey(0, listed[0]);
    struct ws_client *c = ingest_rig_client(&rig);
    struct event *first = make_signed_event(1, 1, 1, "[]", "a"),
                 *listed_one = make_signed_event(0, 1, 1, "[]", "b");
    send_event(c, first);
    expect_ok(c, first, true, "");
    struct ingest_options o = rig.options;
    o.allow_pubkeys = (const uint8_t(*)[32])listed;
    o.allow_len = 1;
    o.max_event = 1000;
    assert_int_equal(ingest_reload(rig.i, &o, &p), ERR_NONE);
    expect_refusal(c, make_signed_event(1, 1, 1, "[]", "c"), "restricted");
    char content[1001];
    memset(content, 'a', 1000);
    content[1000] = '\0';
    expect_refusal(c, make_signed_event(0, 1, 1, "[]", content), "invalid");
    send_event(c, listed_one);
    expect_ok(c, listed_one, true, "");
    o.min_pow = 200;
    assert_int_equal(ingest_reload(rig.i, &o, &p), ERR_NONE);
    expect_refusal(c, make_signed_event(0, 1, 1, "[]", "d"), "pow");
    ws_client_free(c);
    event_unref(first);
    event_unref(listed_one);
}

static void rules_that_would_let_everybody_in_from_elsewhere_change_nothing(void **state)
{
    (void)state;
    uint8_t listed[1][32] = {{1}};
    struct problem p = {0};
    restart_with(
        (struct ingest_options){.allow_pubkeys = (const uint8_t(*)[32])listed, .allow_len = 1});
    struct ingest_options o = rig.options;
    o.listen[0] = "0.0.0.0:0";
    o.allow_len = 0;
    assert_int_equal(ingest_reload(rig.i, &o, &p), ERR_INVALID);
    assert_non_null(strstr(p.text, "ingest.allow_pubkeys is empty"));
    struct ws_client *c = ingest_rig_client(&rig);
    expect_refusal(c, signed_note(1), "restricted");
    ws_client_free(c);
}

static void the_queues_refusals_are_told_with_their_prefix(void **state)
{
    (void)state;
    static const struct {
        enum err e;
        const char *why, *text;
    } rows[] = {
        {ERR_FULL, "full up", "error: full up"},
        {ERR_NO_SPACE, NULL, "error: the queue's disk is full"},
        {ERR_CLOSED, NULL, "error: the queue is out of reach, try again later"},
        {ERR_NO_LANES, "no relays are configured", "error: no relays are configured"},
        {ERR_FILTERED, "no relay takes kind 4", "blocked: no relay takes kind 4"},
        {ERR_UNKNOWN, "no answer", "error: outcome unknown, send again"},
    };
    struct event *ev = signed_note(1);
    struct ws_client *c = ingest_rig_client(&rig);
    for (size_t n = 0; n < COUNT_OF(rows); n++) {
        rig.gate.fail = rows[n].e;
        rig.gate.why = rows[n].why;
        send_event(c, ev);
        expect_ok(c, ev, false, rows[n].text);
    }
    event_unref(ev);
    ws_client_free(c);
}

/* ---- order */

#define MANY 1000

struct log_read {
    struct event **events;
    bool done;
};

static void on_log(void *arg, enum err e, const struct queue_event *events, size_t len,
                   uint64_t head)
{
    struct log_read *l = arg;
    assert_int_equal(e, ERR_NONE);
    assert_int_equal(head, MANY);
    assert_int_equal(len, MANY);
    for (size_t n = 0; n < len; n++)
        assert_memory_equal(events[n].event->id, l->events[n]->id, 32);
    l->done = true;
}

static bool is_true(void *arg)
{
    return *(bool *)arg;
}

static void pipelined_events_are_queued_and_answered_in_their_order(void **state)
{
    (void)state;
    static struct event *events[MANY];
    struct ws_client *c = ingest_rig_client(&rig);
    for (unsigned n = 0; n < MANY; n++)
        events[n] = signed_note(n);
    for (unsigned n = 0; n < MANY; n++)
        send_event(c, events[n]);
    for (unsigned n = 0; n < MANY; n++)
        expect_ok(c, events[n], true, "");
    struct log_read l = {.events = events};
    rig.model->ops->read(rig.model, 1, MANY, on_log, &l);
    spin_until(&rig.loop, is_true, &l.done, "the log");
    for (unsigned n = 0; n < MANY; n++)
        event_unref(events[n]);
    ws_client_free(c);
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(every_message_has_its_answer),
        WITH_RIG(ok_leaves_only_after_the_append_was_answered),
        WITH_RIG(a_repeated_event_is_the_queues_to_judge),
        WITH_RIG(what_was_queued_again_is_answered_from_memory_for_a_minute),
        WITH_RIG(a_repeated_event_waits_for_the_first_ones_commit),
        WITH_RIG(a_refused_append_is_not_remembered_as_confirmed),
        WITH_RIG(wrong_signatures_and_ids_are_refused),
        WITH_RIG(the_policy_refuses_before_anything_is_queued),
        WITH_RIG(too_little_work_is_refused),
        WITH_RIG(an_event_longer_than_max_event_is_refused_by_its_id),
        WITH_RIG(other_rules_hold_at_once_for_clients_that_are_connected),
        WITH_RIG(rules_that_would_let_everybody_in_from_elsewhere_change_nothing),
        WITH_RIG(the_queues_refusals_are_told_with_their_prefix),
        WITH_RIG(pipelined_events_are_queued_and_answered_in_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
