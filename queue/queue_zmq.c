/* The queue behind ZeroMQ: calls (calls.h) over a broker's sockets (zmq_client.h). */
#include "queue/queue_zmq.h"

#include "queue/calls.h"
#include "queue/zmq_client.h"

#include <stdlib.h>
#include <string.h>

struct zmq_queue {
    struct calls calls;
    struct zmq_client *client;
    struct queue_ops table;
    struct queue_follower follower;
    bool following, closing;
    queue_closed_fn *closed_fn;
    void *closed_arg;
};

static struct zmq_queue *zmq_queue_of(struct queue *q)
{
    return (struct zmq_queue *)q;
}

static void zmq_follow(struct queue *queue, const struct queue_follower *f)
{
    struct zmq_queue *q = zmq_queue_of(queue);
    q->following = f != NULL;
    if (f != NULL)
        q->follower = *f;
    zmq_client_follow(q->client, q->following);
}

/* ---- what the client tells */

static void on_trouble(void *arg, const char *text)
{
    calls_trouble(&((struct zmq_queue *)arg)->calls, text);
}

static void on_reply(void *arg, const void *data, size_t len)
{
    (void)calls_reply(&((struct zmq_queue *)arg)->calls, data, len);
}

static void on_published(void *arg, const void *data, size_t len)
{
    struct zmq_queue *q = arg;
    struct wire_arena a = {0};
    struct wire_published p;
    if (wire_get_published(data, len, &a, &p) == ERR_NONE) {
        zmq_client_wake(q->client);
        for (size_t i = 0; i < p.tails_len && q->following && q->follower.on_tail != NULL; i++)
            q->follower.on_tail(q->follower.arg, &p.tails[i]);
        if (p.topic == WIRE_TOPIC_BEAT && q->following)
            q->follower.on_head(q->follower.arg, p.head, p.news);
    }
    wire_arena_free(&a);
}

static void on_down(void *arg)
{
    calls_down(&((struct zmq_queue *)arg)->calls);
}

/* ---- what calls need */

static enum err send_call(void *arg, struct call *c)
{
    struct zmq_queue *q = arg;
    enum err e = zmq_client_send(q->client, c->message.data, c->message.len);
    if (e == ERR_NONE)
        buf_fini(&c->message);
    return e;
}

static void wake(void *arg)
{
    zmq_client_wake(((struct zmq_queue *)arg)->client);
}

/* ---- the end */

static void on_client_closed(void *arg)
{
    struct zmq_queue *q = arg;
    queue_closed_fn *fn = q->closed_fn;
    void *fn_arg = q->closed_arg;
    free(q);
    fn(fn_arg);
}

static void on_timer_closed(uv_handle_t *h)
{
    struct zmq_queue *q = h->data;
    calls_end(&q->calls); /* what the last callbacks began */
    zmq_client_close(q->client, on_client_closed, q);
}

static void on_turn(void *arg)
{
    struct zmq_queue *q = arg;
    uv_handle_t *timer = (uv_handle_t *)&q->calls.timer;
    if (uv_is_closing(timer))
        return;
    if (q->closing) {
        calls_end(&q->calls);
        uv_close(timer, on_timer_closed);
        return;
    }
    calls_turn(&q->calls);
}

static void zmq_close_queue(struct queue *queue, queue_closed_fn *fn, void *arg)
{
    struct zmq_queue *q = zmq_queue_of(queue);
    q->closing = true;
    q->following = false;
    q->closed_fn = fn;
    q->closed_arg = arg;
    zmq_client_wake(q->client);
}

/* ---- the beginning */

static enum err open_client(uv_loop_t *loop, const struct queue_options *o, struct zmq_queue *q,
                            struct problem *p)
{
    static const struct zmq_client_ops client_ops = {on_reply, on_published, on_down, on_trouble,
                                                     on_turn};
    struct endpoint at;
    struct curve_client keys;
    enum err e = endpoint_parse(o->url, &at, p);
    if (e == ERR_NONE && at.tcp)
        e = curve_load_client(o->keys_dir, &keys, p);
    if (e == ERR_NONE)
        e = zmq_client_open(loop, &at, at.tcp ? &keys : NULL, &client_ops, q, &q->client, p);
    explicit_bzero(&keys, sizeof keys);
    return e;
}

enum err queue_zmq_open(uv_loop_t *loop, const struct queue_options *o, struct queue **out,
                        struct problem *p)
{
    static const struct calls_ops ops = {send_call, wake};
    struct zmq_queue *q = mem_zero(1, sizeof *q);
    enum err e = open_client(loop, o, q, p);
    if (e != ERR_NONE) {
        free(q);
        return e;
    }
    calls_init(&q->calls, loop, o, &ops, q);
    q->table = calls_queue_ops;
    q->table.follow = zmq_follow;
    q->table.close = zmq_close_queue;
    q->calls.base.ops = &q->table;
    *out = &q->calls.base;
    return ERR_NONE;
}
