#include "tests/support/fake_broker.h"

#include "tests/support/spin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void fake_look(struct fake_broker *f)
{
    zmq_msg_t peer, m;
    zmq_msg_init(&peer);
    zmq_msg_init(&m);
    while (f->router != NULL && endpoint_recv(f->router, &peer) && endpoint_recv(f->router, &m)) {
        struct wire_arena a = {0};
        struct wire_request q;
        assert_false(zmq_msg_more(&m));
        assert_int_equal(wire_get_request(zmq_msg_data(&m), zmq_msg_size(&m), &a, &q), ERR_NONE);
        f->requests++;
        f->events += q.type == WIRE_APPEND ? (unsigned)q.append.len : 0;
        if (f->on_request != NULL)
            f->on_request(f, &peer, &q);
        wire_arena_free(&a);
    }
    zmq_msg_close(&peer);
    zmq_msg_close(&m);
}

static void on_fake_timer(uv_timer_t *t)
{
    fake_look(t->data);
}

void fake_broker_start(uv_loop_t *loop, const struct endpoint *at, struct fake_broker *f)
{
    f->ctx = zmq_ctx_new();
    f->router = endpoint_socket(f->ctx, ZMQ_ROUTER, 100);
    f->pub = endpoint_socket(f->ctx, ZMQ_PUB, 100);
    assert_int_equal(endpoint_bind(f->router, at->requests, NULL), ERR_NONE);
    assert_int_equal(endpoint_bind(f->pub, at->tail, NULL), ERR_NONE);
    uv_timer_init(loop, &f->timer);
    f->timer.data = f;
    uv_timer_start(&f->timer, on_fake_timer, 1, 1);
}

void fake_broker_kill(struct fake_broker *f)
{
    uv_loop_t *loop = f->timer.loop;
    uv_close((uv_handle_t *)&f->timer, NULL);
    zmq_close(f->router);
    zmq_close(f->pub);
    endpoint_end(f->ctx);
    f->router = NULL;
    spin_turns(loop, 1); /* until the timer is closed */
}

void fake_broker_reply(struct fake_broker *f, zmq_msg_t *peer, const struct wire_reply *r)
{
    struct buf b;
    buf_init(&b, WIRE_MESSAGE_MAX);
    assert_int_equal(wire_put_reply(&b, r), ERR_NONE);
    zmq_send(f->router, zmq_msg_data(peer), zmq_msg_size(peer), ZMQ_SNDMORE);
    zmq_send(f->router, b.data, b.len, 0);
    buf_fini(&b);
}

void fake_broker_say_yes(struct fake_broker *f, zmq_msg_t *peer, const struct wire_request *q)
{
    struct wire_appended res[WIRE_APPENDS_MAX] = {0};
    struct wire_reply r = {.type = q->type, .number = q->number};
    if (q->type == WIRE_APPEND) {
        for (size_t i = 0; i < q->append.len; i++)
            res[i].result.pos = f->events - q->append.len + i + 1;
        r.append.results = res;
        r.append.len = q->append.len;
    }
    fake_broker_reply(f, peer, &r);
}
