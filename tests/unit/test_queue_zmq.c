/* The ZeroMQ client against brokers that are none: absent, silent, dying, talking nonsense. What a
 * caller is told then, how fast, and that it is told once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "tests/support/fake_broker.h"
#include "tests/support/make_event.h"
#include "tests/support/spin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct world {
    char dir[128], url[256];
    struct endpoint at;
    uv_loop_t loop;
    struct queue *q;
    unsigned answers; /* callbacks so far */
    enum err last;
    char why[128];
    unsigned beats;
    uint64_t head;
    unsigned waiting_for;
    bool closed;
};

static int begin(void **state)
{
    struct world *w = mem_zero(1, sizeof *w);
    (void)snprintf(w->dir, sizeof w->dir, "%s/volley-XXXXXX", P_tmpdir);
    assert_non_null(mkdtemp(w->dir));
    (void)snprintf(w->url, sizeof w->url, "zmq+ipc://%s/q.sock", w->dir);
    assert_int_equal(endpoint_parse(w->url, &w->at, NULL), ERR_NONE);
    uv_loop_init(&w->loop);
    *state = w;
    return 0;
}

static int end(void **state)
{
    struct world *w = *state;
    unlink(w->at.requests);
    unlink(w->at.tail);
    rmdir(w->dir);
    spin_out(&w->loop);
    free(w);
    return 0;
}

/* ---- the caller's side */

static void open_queue(struct world *w, uint32_t timeout_ms)
{
    struct queue_options o = {.url = w->url, .timeout_ms = timeout_ms};
    assert_int_equal(queue_open(&w->loop, &o, &w->q, NULL), ERR_NONE);
}

static void on_closed(void *arg)
{
    struct world *w = arg;
    w->closed = true;
}

static bool is_closed(void *arg)
{
    return ((struct world *)arg)->closed;
}

static void close_queue(struct world *w)
{
    w->q->ops->close(w->q, on_closed, w);
    assert_false(w->closed);
    spin_until(&w->loop, is_closed, w, "close");
}

static void on_append(void *arg, enum err e, const struct append_result *r, const char *why)
{
    struct world *w = arg;
    w->answers++;
    w->last = e;
    if (r != NULL)
        w->head = r->pos;
    (void)snprintf(w->why, sizeof w->why, "%s", why);
}

static void on_read(void *arg, enum err e, const struct queue_event *events, size_t len,
                    uint64_t head)
{
    struct world *w = arg;
    (void)events, (void)len, (void)head;
    w->answers++;
    w->last = e;
}

static void append(struct world *w, unsigned number)
{
    struct event *ev = make_note(0, number);
    unsigned before = w->answers;
    w->q->ops->append(w->q, ev, on_append, w);
    assert_int_equal(w->answers, before); /* never from inside */
    event_unref(ev);
}

static bool is_answered(void *arg)
{
    struct world *w = arg;
    return w->answers >= w->waiting_for;
}

static void await(struct world *w, unsigned answers)
{
    w->waiting_for = answers;
    spin_until(&w->loop, is_answered, w, "answers");
    spin_turns(&w->loop, 3);
    assert_int_equal(w->answers, answers);
}

static struct fake_broker *asked;
static bool is_asked(void *arg)
{
    return asked->requests >= *(unsigned *)arg;
}

static void await_requests(struct world *w, struct fake_broker *f, unsigned count)
{
    asked = f;
    spin_until(&w->loop, is_asked, &count, "requests");
}

/* ---- */

static void without_a_broker_calls_wait_and_then_are_closed(void **state)
{
    struct world *w = *state;
    open_queue(w, 150);
    uint64_t from_ms = clock_boot_ms();
    append(w, 1);
    w->q->ops->read(w->q, 1, 2, on_read, w);
    await(w, 2);
    assert_true(clock_boot_ms() - from_ms >= 150);
    assert_int_equal(w->last, ERR_CLOSED);
    assert_string_equal(w->why, "the queue is out of reach, send again later");
    close_queue(w);
}

static void a_broker_that_comes_in_time_answers_what_waited(void **state)
{
    struct world *w = *state;
    struct fake_broker f = {.on_request = fake_broker_say_yes};
    open_queue(w, 5000);
    append(w, 1);
    spin_turns(&w->loop, 5);
    fake_broker_start(&w->loop, &w->at, &f);
    await(w, 1);
    assert_int_equal(w->last, ERR_NONE);
    assert_int_equal(w->head, 1);
    close_queue(w);
    fake_broker_kill(&f);
}

static void appends_of_one_turn_travel_together_and_in_order(void **state)
{
    struct world *w = *state;
    struct fake_broker f = {.on_request = fake_broker_say_yes};
    fake_broker_start(&w->loop, &w->at, &f);
    open_queue(w, 5000);
    append(w, 1);
    await(w, 1);
    for (unsigned i = 2; i <= 101; i++)
        append(w, i);
    await(w, 101);
    assert_int_equal(w->head, 101);
    assert_int_equal(f.requests, 2);
    for (unsigned i = 0; i < WIRE_APPENDS_MAX + 1; i++)
        append(w, 200 + i);
    await(w, 101 + WIRE_APPENDS_MAX + 1);
    assert_int_equal(f.requests, 4); /* more than fit into one message */
    close_queue(w);
    fake_broker_kill(&f);
}

static void a_silent_broker_leaves_the_outcome_unknown(void **state)
{
    struct world *w = *state;
    struct fake_broker f = {0};
    fake_broker_start(&w->loop, &w->at, &f);
    open_queue(w, 200);
    append(w, 1);
    await_requests(w, &f, 1);
    append(w, 2);
    await(w, 2);
    assert_int_equal(w->last, ERR_UNKNOWN);
    assert_string_equal(w->why, "outcome unknown, send again");
    close_queue(w);
    fake_broker_kill(&f);
}

static void a_dying_broker_is_noticed_at_once(void **state)
{
    struct world *w = *state;
    struct fake_broker f = {0}, g = {.on_request = fake_broker_say_yes};
    fake_broker_start(&w->loop, &w->at, &f);
    open_queue(w, 60000);
    append(w, 1);
    w->q->ops->read(w->q, 1, 2, on_read, w);
    await_requests(w, &f, 2);
    fake_broker_kill(&f);
    await(w, 2); /* long before 60 s */
    assert_int_equal(w->last, ERR_UNKNOWN);
    append(w, 2);
    fake_broker_start(&w->loop, &w->at, &g);
    await(w, 3);
    assert_int_equal(w->last, ERR_NONE);
    assert_int_equal(g.requests, 1); /* what the dead one was asked is not asked again */
    close_queue(w);
    fake_broker_kill(&g);
}

static void answer_twice(struct fake_broker *f, zmq_msg_t *peer, const struct wire_request *q)
{
    fake_broker_say_yes(f, peer, q);
    fake_broker_say_yes(f, peer, q);
}

static void a_second_answer_is_no_answer(void **state)
{
    struct world *w = *state;
    struct fake_broker f = {.on_request = answer_twice};
    fake_broker_start(&w->loop, &w->at, &f);
    open_queue(w, 5000);
    append(w, 1);
    await(w, 1);
    append(w, 2);
    await(w, 2);
    close_queue(w);
    fake_broker_kill(&f);
}

/* Garbage; a reply to nobody; one that is cut; one of another type; one of another version. */
static void talk_nonsense(struct fake_broker *f, zmq_msg_t *peer, const struct wire_request *q)
{
    struct wire_reply stray = {.type = WIRE_COMMIT, .number = 12345};
    struct wire_reply wrong = {.type = WIRE_DEPTH, .number = q->number};
    struct wire_reply other = {.type = q->type, .number = q->number};
    struct buf b;
    zmq_send(f->router, zmq_msg_data(peer), zmq_msg_size(peer), ZMQ_SNDMORE);
    zmq_send(f->router, "garbage", 7, 0);
    fake_broker_reply(f, peer, &stray);
    fake_broker_reply(f, peer, &wrong);
    buf_init(&b, 1000);
    assert_int_equal(wire_put_reply(&b, &other), ERR_NONE);
    b.data[0]++;
    zmq_send(f->router, zmq_msg_data(peer), zmq_msg_size(peer), ZMQ_SNDMORE);
    zmq_send(f->router, b.data, b.len, 0);
    buf_fini(&b);
}

static void nonsense_does_no_harm_and_another_version_is_told(void **state)
{
    struct world *w = *state;
    struct fake_broker f = {.on_request = talk_nonsense};
    fake_broker_start(&w->loop, &w->at, &f);
    open_queue(w, 5000);
    append(w, 1);
    await(w, 1);
    assert_int_equal(w->last, ERR_VERSION);
    close_queue(w);
    fake_broker_kill(&f);
}

static void answer_too_little(struct fake_broker *f, zmq_msg_t *peer, const struct wire_request *q)
{
    struct wire_reply r = {.type = q->type, .number = q->number};
    fake_broker_reply(f, peer, &r);
}

static void an_answer_to_fewer_appends_than_sent_is_none(void **state)
{
    struct world *w = *state;
    struct fake_broker f = {.on_request = answer_too_little};
    fake_broker_start(&w->loop, &w->at, &f);
    open_queue(w, 5000);
    append(w, 1);
    append(w, 2);
    await(w, 2);
    assert_int_equal(w->last, ERR_UNKNOWN);
    close_queue(w);
    fake_broker_kill(&f);
}

static void closing_answers_everything_under_way(void **state)
{
    struct world *w = *state;
    struct fake_broker f = {0};
    fake_broker_start(&w->loop, &w->at, &f);
    open_queue(w, 60000);
    append(w, 1);
    await_requests(w, &f, 1);
    append(w, 2); /* not sent any more */
    close_queue(w);
    assert_int_equal(w->answers, 2);
    assert_int_equal(w->last, ERR_CLOSED);
    fake_broker_kill(&f);
}

static void on_head(void *arg, uint64_t head, uint64_t news)
{
    (void)news;
    struct world *w = arg;
    w->beats++;
    w->head = head;
}

static void on_tail(void *arg, const struct queue_tail *t)
{
    (void)arg, (void)t;
    fail_msg("no tail was sent");
}

struct beating {
    struct world *w;
    struct fake_broker *f;
    unsigned until;
};

static bool has_beaten(void *arg)
{
    struct beating *b = arg;
    struct buf out;
    buf_init(&out, 100);
    assert_int_equal(wire_put_beat(&out, 7, 42, 9), ERR_NONE);
    zmq_send(b->f->pub, out.data, out.len, 0);
    zmq_send(b->f->pub, "Bgarbage", 8, 0);
    buf_fini(&out);
    return b->w->beats >= b->until;
}

static void beats_reach_a_follower_also_of_the_next_broker(void **state)
{
    struct world *w = *state;
    struct fake_broker f = {0}, g = {0};
    struct queue_follower follower = {on_tail, on_head, w};
    fake_broker_start(&w->loop, &w->at, &f);
    open_queue(w, 5000);
    w->q->ops->follow(w->q, &follower);
    struct beating b = {w, &f, 1};
    spin_until(&w->loop, has_beaten, &b, "a beat");
    assert_int_equal(w->head, 42);
    fake_broker_kill(&f);
    fake_broker_start(&w->loop, &w->at, &g);
    b.f = &g;
    w->beats = 0;
    spin_until(&w->loop, has_beaten, &b, "a beat of the next");
    w->q->ops->follow(w->q, NULL);
    w->beats = 0;
    b.until = 0;
    for (int i = 0; i < 20; i++) {
        assert_true(has_beaten(&b));
        spin_turns(&w->loop, 1);
    }
    assert_int_equal(w->beats, 0);
    close_queue(w);
    fake_broker_kill(&g);
}

struct chain {
    struct world *w;
    unsigned left;
};

static void ask_again(void *arg, enum err e, const struct queue_event *events, size_t len,
                      uint64_t head)
{
    struct chain *c = arg;
    on_read(c->w, e, events, len, head);
    if (--c->left > 0)
        c->w->q->ops->read(c->w->q, 1, 2, ask_again, c);
}

static void a_callback_may_call_again(void **state)
{
    struct world *w = *state;
    struct fake_broker f = {.on_request = fake_broker_say_yes};
    struct chain c = {w, 20};
    fake_broker_start(&w->loop, &w->at, &f);
    open_queue(w, 5000);
    w->q->ops->read(w->q, 1, 2, ask_again, &c);
    await(w, 20);
    assert_int_equal(w->last, ERR_NONE);
    close_queue(w);
    fake_broker_kill(&f);
}

static void urls_that_are_none_or_too_long_are_refused(void **state)
{
    struct world *w = *state;
    char longest[200];
    struct problem p;
    memset(longest, 'x', sizeof longest);
    memcpy(longest, "zmq+ipc:///", 11);
    longest[10 + ENDPOINT_PATH_MAX - 4] = '\0'; /* the path has 103 bytes, the tail's 108 */
    const struct {
        const char *url;
        enum err e;
    } rows[] = {
        {"queue.sock", ERR_INVALID},        {"zmq+ipc://q.sock", ERR_INVALID},
        {"zmq+ipc://", ERR_INVALID},        {longest, ERR_INVALID},
        {"amqp://host/0", ERR_UNSUPPORTED}, {"zmq+tcp://host:1", ERR_INVALID},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct queue_options o = {.url = rows[i].url};
        p.text[0] = '\0';
        assert_int_equal(queue_open(&w->loop, &o, &w->q, &p), rows[i].e);
        assert_string_not_equal(p.text, "");
    }
    longest[10 + ENDPOINT_PATH_MAX - 5] = '\0';
    struct endpoint at;
    assert_int_equal(endpoint_parse(longest, &at, NULL), ERR_NONE);
    assert_int_equal(endpoint_parse("zmq+ipc:///d/queue.sock", &at, NULL), ERR_NONE);
    assert_string_equal(at.requests, "/d/queue.sock");
    assert_string_equal(at.tail, "/d/queue-tail.sock");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_broker_calls_wait_and_then_are_closed),
        TEST(a_broker_that_comes_in_time_answers_what_waited),
        TEST(appends_of_one_turn_travel_together_and_in_order),
        TEST(a_silent_broker_leaves_the_outcome_unknown),
        TEST(a_dying_broker_is_noticed_at_once),
        TEST(a_second_answer_is_no_answer),
        TEST(nonsense_does_no_harm_and_another_version_is_told),
        TEST(an_answer_to_fewer_appends_than_sent_is_none),
        TEST(closing_answers_everything_under_way),
        TEST(beats_reach_a_follower_also_of_the_next_broker),
        TEST(a_callback_may_call_again),
        TEST(urls_that_are_none_or_too_long_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
