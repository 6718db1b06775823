/* A relay's I/O against a relay in the same process, over real sockets on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "publisher/relay.h"
#include "tests/support/fake_relay.h"
#include "tests/support/make_event.h"
#include "tests/support/spin.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct room {
    uv_loop_t loop;
    struct dialer *dialer;
    struct fake_relay fake;
    struct relay *relay;
    uint8_t secret[32];
    bool gate;
    unsigned asked; /* the gate, so often */

    unsigned opens, losses;
    enum err open_err;
    enum family family;
    unsigned answers, accepted, notices, auths;
    uint8_t last_id[EVENT_ID_LEN];
    bool auth_ok;
    bool close_in_answer, close_in_open;
    char text[512]; /* of the last answer, notice, AUTH or loss */
};

static void note(struct room *r, const char *text)
{
    (void)snprintf(r->text, sizeof r->text, "%s", text);
}

static void close_relay(struct room *r)
{
    relay_close(r->relay);
    r->relay = NULL;
}

static void on_open(void *arg, const struct link_result *res)
{
    struct room *r = arg;
    assert_non_null(r->relay); /* never from inside relay_open */
    r->opens++;
    r->open_err = res->err;
    r->family = res->family;
    if (r->close_in_open)
        close_relay(r);
}

static void on_answer(void *arg, const uint8_t id[EVENT_ID_LEN], bool accepted, const char *text)
{
    struct room *r = arg;
    assert_non_null(r->relay); /* none after relay_close */
    r->answers++;
    r->accepted += accepted;
    memcpy(r->last_id, id, EVENT_ID_LEN);
    note(r, text);
    if (r->close_in_answer)
        close_relay(r);
}

static void on_notice(void *arg, const char *text)
{
    struct room *r = arg;
    r->notices++;
    note(r, text);
}

static void on_auth(void *arg, bool ok, const char *text)
{
    struct room *r = arg;
    r->auths++;
    r->auth_ok = ok;
    note(r, text);
}

static void on_lost(void *arg, const char *text)
{
    struct room *r = arg;
    r->losses++;
    note(r, text);
}

static bool may_write(void *arg)
{
    struct room *r = arg;
    r->asked++;
    return r->gate;
}

/* ---- the room ---- */

static void open_relay(struct room *r, bool with_key, uint32_t auth_timeout_ms)
{
    struct relay_options o = {.link = {.route = ROUTE_DIRECT, .timeout_ms = 5000},
                              .auth_secret = with_key ? r->secret : NULL,
                              .auth_timeout_ms = auth_timeout_ms,
                              .message_max = 128 * 1024,
                              .queue_max = 2u * EVENT_LEN_MAX};
    const struct relay_events ev = {.on_open = on_open,
                                    .on_answer = on_answer,
                                    .on_notice = on_notice,
                                    .on_auth = on_auth,
                                    .on_lost = on_lost,
                                    .arg = r};
    struct problem p;
    assert_int_equal(relay_url_parse(r->fake.url, &o.link.url, &p), ERR_NONE);
    r->gate = true;
    r->relay = relay_open(r->dialer, &r->loop, &o, &ev);
    relay_set_gate(r->relay, may_write, r);
}

struct count {
    const unsigned *is;
    unsigned want;
};

static bool counted(void *arg)
{
    const struct count *c = arg;
    return *c->is >= c->want;
}

static void spin_to(struct room *r, const unsigned *is, unsigned want)
{
    struct count c = {is, want};
    spin_until(&r->loop, counted, &c, "a count");
    assert_int_equal(*is, want);
}

static void connected(struct room *r, bool with_key)
{
    open_relay(r, with_key, 5000);
    spin_to(r, &r->opens, 1);
    assert_int_equal(r->open_err, ERR_NONE);
    spin_to(r, &r->fake.connections, 1);
}

static enum err send_note(struct room *r, unsigned number)
{
    struct event *ev = make_note(1, number);
    enum err e = relay_send(r->relay, ev);
    event_unref(ev);
    return e;
}

static int setup(void **state)
{
    struct room *r = mem_zero(1, sizeof *r);
    const struct dialer_options o = {.user_agent = "test"};
    struct problem p;
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&r->loop);
    assert_int_equal(dialer_new(&r->loop, &o, &r->dialer, &p), ERR_NONE);
    fake_relay_start(&r->fake, &r->loop);
    test_secret(3, r->secret);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct room *r = *state;
    if (r->relay != NULL)
        relay_close(r->relay);
    fake_relay_stop(&r->fake);
    dialer_free(r->dialer, NULL, NULL);
    spin_out(&r->loop);
    free(r);
    return 0;
}

/* ---- promises ---- */

static void events_arrive_in_order_and_answers_come_back(void **state)
{
    struct room *r = *state;
    struct event *evs[50];
    connected(r, false);
    for (unsigned i = 0; i < COUNT_OF(evs); i++) {
        evs[i] = make_note(1, i);
        assert_int_equal(relay_send(r->relay, evs[i]), ERR_NONE);
    }
    assert_int_equal(r->fake.len, 0);
    spin_to(r, &r->answers, 50);
    assert_int_equal(r->accepted, 50);
    for (unsigned i = 0; i < COUNT_OF(evs); i++) {
        assert_memory_equal(r->fake.ids[i], evs[i]->id, EVENT_ID_LEN);
        event_unref(evs[i]);
    }
    assert_int_equal(relay_family(r->relay), FAMILY_IPV4);
    assert_int_equal(relay_noise(r->relay), 0);
}

static void frames_of_one_turn_leave_in_one_write(void **state)
{
    struct room *r = *state;
    connected(r, false);
    spin_turns(&r->loop, 5);
    unsigned before = r->asked;
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(send_note(r, i), ERR_NONE);
    spin_to(r, &r->answers, 50);
    assert_int_equal(r->asked - before, 1);
}

static void a_refusal_comes_with_its_words(void **state)
{
    struct room *r = *state;
    connected(r, false);
    r->fake.refuse = true;
    r->fake.text = "blocked: \"you\"\nknow";
    assert_int_equal(send_note(r, 1), ERR_NONE);
    spin_to(r, &r->answers, 1);
    assert_int_equal(r->accepted, 0);
    assert_string_equal(r->text, "blocked: \"you\"\nknow");
}

static void a_closed_gate_lets_nothing_out(void **state)
{
    struct room *r = *state;
    connected(r, false);
    r->gate = false;
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(send_note(r, i), ERR_NONE);
    spin_turns(&r->loop, 50);
    assert_int_equal(r->fake.len, 0);
    assert_true(r->asked >= 1);
    r->gate = true;
    spin_turns(&r->loop, 20);
    assert_int_equal(r->fake.len, 0); /* until told to go on */
    relay_resume(r->relay);
    spin_to(r, &r->answers, 10);
}

static void closing_behind_a_closed_gate_writes_nothing_either(void **state)
{
    struct room *r = *state;
    connected(r, false);
    r->gate = false;
    assert_int_equal(send_note(r, 1), ERR_NONE);
    close_relay(r);
    spin_turns(&r->loop, 50);
    assert_int_equal(r->fake.len, 0);
    assert_null(r->fake.clients); /* it saw the end */
}

static void auth_answers_the_challenge(void **state)
{
    struct room *r = *state;
    r->fake.mode = FAKE_AUTH;
    connected(r, true);
    assert_int_equal(send_note(r, 1), ERR_NONE);
    spin_to(r, &r->answers, 1);
    assert_string_equal(r->text, "auth-required: who are you");
    relay_auth(r->relay);
    relay_auth(r->relay); /* one is under way: nothing */
    spin_to(r, &r->auths, 1);
    assert_string_equal(r->fake.auth_problem, "");
    assert_true(r->auth_ok);
    assert_int_equal(send_note(r, 1), ERR_NONE);
    spin_to(r, &r->accepted, 1);
    assert_int_equal(r->fake.auths, 1);
    assert_int_equal(r->auths, 1);
    assert_int_equal(r->answers, 2); /* AUTH's own OK is not among them */
}

static void a_challenge_may_follow_the_refusal(void **state)
{
    struct room *r = *state;
    r->fake.mode = FAKE_LATE_AUTH;
    connected(r, true);
    assert_int_equal(send_note(r, 1), ERR_NONE);
    relay_auth(r->relay); /* none is there yet */
    spin_to(r, &r->auths, 1);
    assert_true(r->auth_ok);
}

static void a_refused_auth_says_why(void **state)
{
    struct room *r = *state;
    r->fake.mode = FAKE_AUTH;
    r->fake.refuse_auth = true;
    connected(r, true);
    relay_auth(r->relay);
    spin_to(r, &r->auths, 1);
    assert_false(r->auth_ok);
    assert_string_equal(r->text, "restricted: not you");
}

static void auth_without_a_key_fails_at_once(void **state)
{
    struct room *r = *state;
    r->fake.mode = FAKE_AUTH;
    connected(r, false);
    relay_auth(r->relay);
    assert_int_equal(r->auths, 0); /* not from inside */
    spin_to(r, &r->auths, 1);
    assert_false(r->auth_ok);
    assert_string_equal(r->text, "no key is configured for AUTH");
}

static void auth_without_a_challenge_fails_in_time(void **state)
{
    struct room *r = *state;
    open_relay(r, true, 1);
    spin_to(r, &r->opens, 1);
    relay_auth(r->relay);
    spin_to(r, &r->auths, 1);
    assert_false(r->auth_ok);
    assert_string_equal(r->text, "the relay sent no AUTH challenge");
}

static void a_cut_is_told_once_with_the_answers_before_it(void **state)
{
    struct room *r = *state;
    connected(r, false);
    assert_int_equal(send_note(r, 1), ERR_NONE);
    spin_to(r, &r->answers, 1);
    r->fake.mode = FAKE_CUT;
    assert_int_equal(send_note(r, 2), ERR_NONE);
    spin_to(r, &r->losses, 1);
    assert_string_equal(r->text, "the relay hung up");
    assert_int_equal(send_note(r, 3), ERR_CLOSED);
}

static void garbage_is_counted_and_survived(void **state)
{
    static const char *const garbage[] = {
        "",
        "hello",
        "[]",
        "{}",
        "[\"OK\"]",
        "[\"OK\",1,2,3]",
        "[\"WHAT\"]",
        "[\"NOTICE\",\"slow \\u0007 down\"]",
        "[\"EOSE\",\"x\"]",
    };
    struct room *r = *state;
    connected(r, false);
    for (size_t i = 0; i < COUNT_OF(garbage); i++)
        fake_relay_say(&r->fake, garbage[i], strlen(garbage[i]));
    assert_int_equal(send_note(r, 1), ERR_NONE);
    spin_to(r, &r->answers, 1);
    assert_int_equal(relay_noise(r->relay), COUNT_OF(garbage));
    assert_int_equal(r->notices, 1);
}

static void a_huge_message_ends_the_link(void **state)
{
    struct room *r = *state;
    size_t len = 300u * 1024;
    char *text = mem_new(len);
    connected(r, false);
    memset(text, 'x', len);
    fake_relay_say(&r->fake, text, len);
    spin_to(r, &r->losses, 1);
    assert_string_equal(r->text, "the relay sent a message larger than 131072 bytes");
    free(text);
}

static void a_broken_frame_ends_the_link(void **state)
{
    struct room *r = *state;
    connected(r, false);
    fake_relay_spill(&r->fake, "\xff\xff\xff\xff", 4);
    spin_to(r, &r->losses, 1);
    assert_string_equal(r->text, "the relay broke the websocket protocol");
}

static void an_ok_for_another_event_is_handed_up(void **state)
{
    struct room *r = *state;
    connected(r, false);
    r->fake.mode = FAKE_WRONG_ID;
    assert_int_equal(send_note(r, 1), ERR_NONE);
    spin_to(r, &r->answers, 1);
    assert_int_equal(r->last_id[0], 0xff);
}

static void a_relay_that_does_not_read_costs_a_bounded_queue(void **state)
{
    struct room *r = *state;
    r->fake.mode = FAKE_DEAF;
    connected(r, false);
    char *text = mem_zero(1, 60001);
    memset(text, 'x', 60000);
    struct event *ev = make_event(1, 1700000000, 1, "[]", text);
    enum err e = ERR_NONE;
    unsigned sent = 0;
    while (sent < 10000 && (e = relay_send(r->relay, ev)) == ERR_NONE) {
        sent++;
        spin_turns(&r->loop, 3);
    }
    assert_int_equal(e, ERR_FULL);
    assert_int_equal(r->losses, 0);
    event_unref(ev);
    free(text);
}

static void the_largest_event_fits(void **state)
{
    struct room *r = *state;
    connected(r, false);
    size_t len = EVENT_LEN_MAX - 500;
    char *text = mem_zero(1, len + 1);
    memset(text, 'x', len);
    struct event *ev = make_event(1, 1700000000, 1, "[]", text);
    assert_int_equal(relay_send(r->relay, ev), ERR_NONE);
    spin_to(r, &r->answers, 1);
    assert_memory_equal(r->last_id, ev->id, EVENT_ID_LEN);
    event_unref(ev);
    free(text);
}

static void it_may_be_closed_in_an_answer(void **state)
{
    struct room *r = *state;
    connected(r, false);
    r->close_in_answer = true;
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(send_note(r, i), ERR_NONE);
    spin_to(r, &r->answers, 1);
    spin_turns(&r->loop, 50);
    assert_int_equal(r->answers, 1);
    assert_int_equal(r->losses, 0);
}

static void it_may_be_closed_when_it_opens(void **state)
{
    struct room *r = *state;
    r->close_in_open = true;
    open_relay(r, false, 5000);
    spin_to(r, &r->opens, 1);
    assert_null(r->relay);
}

static void it_may_be_closed_while_it_connects(void **state)
{
    struct room *r = *state;
    open_relay(r, false, 5000);
    close_relay(r);
    spin_turns(&r->loop, 50);
    assert_int_equal(r->opens, 0);
}

static void who_refuses_the_connection_is_told(void **state)
{
    struct room *r = *state;
    fake_relay_down(&r->fake);
    open_relay(r, false, 5000);
    spin_to(r, &r->opens, 1);
    assert_int_equal(r->open_err, ERR_UNREACHABLE);
    assert_int_equal(send_note(r, 1), ERR_CLOSED);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(events_arrive_in_order_and_answers_come_back),
        T(frames_of_one_turn_leave_in_one_write),
        T(a_refusal_comes_with_its_words),
        T(a_closed_gate_lets_nothing_out),
        T(closing_behind_a_closed_gate_writes_nothing_either),
        T(auth_answers_the_challenge),
        T(a_challenge_may_follow_the_refusal),
        T(a_refused_auth_says_why),
        T(auth_without_a_key_fails_at_once),
        T(auth_without_a_challenge_fails_in_time),
        T(a_cut_is_told_once_with_the_answers_before_it),
        T(garbage_is_counted_and_survived),
        T(a_huge_message_ends_the_link),
        T(a_broken_frame_ends_the_link),
        T(an_ok_for_another_event_is_handed_up),
        T(a_relay_that_does_not_read_costs_a_bounded_queue),
        T(the_largest_event_fits),
        T(it_may_be_closed_in_an_answer),
        T(it_may_be_closed_when_it_opens),
        T(it_may_be_closed_while_it_connects),
        T(who_refuses_the_connection_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
