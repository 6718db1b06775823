/* How it works: ZeroMQ's descriptor only wakes the loop. A turn runs in a prepare handle, after all
 * other callbacks and before the loop sleeps: it reads what has arrived, up to a bound, does it all
 * in one transaction, commits, and then answers. While the disk works, more arrives, so that the
 * load itself makes the groups. A timer ticks for beats, terms and housekeeping; its changes go
 * into the turn's transaction too.
 *
 * Lease and depth requests of a turn are done last: first every publisher that called is renewed,
 * and only then, when nothing is left to read, are the silent ones expired. */
#include "queue/broker_state.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define TICK_MS            100
#define REPLIES_HWM        256 /* to one client that does not read; then they are dropped */
#define TAIL_HWM           128 /* to one subscriber; then it misses some */
#define TURN_MESSAGES_MAX  1024u
#define TURN_BYTES_MAX     (8u * 1024 * 1024) /* read, or answered */
#define TAIL_LEN_MAX       (4u * 1024 * 1024)
#define HOUSEKEEPING_TICKS 5
#define HOUSEKEEPING_WORK  512
#define STALLED_MS         2000 /* a turn that comes so late: we stood still */
#define AFTER_STALL_MS     1000 /* then calls that wait in the kernel get so long to arrive */
#define CLOSE_LINGER_MS    500
#define TALLIES_MAX        8 /* a tick; fewer with many lanes, as each costs a look at every lane */
#define TALLY_LANES_MAX    2000u
#define HANDLES            4

static int64_t machine_wall_ms(void *arg)
{
    (void)arg;
    return clock_wall_ms();
}

static uint64_t machine_boot_ms(void *arg)
{
    (void)arg;
    return clock_boot_ms();
}

int64_t broker_wall_ms(const struct broker *b)
{
    return b->clock.wall_ms(b->clock.arg);
}

uint64_t broker_boot_ms(const struct broker *b)
{
    return b->clock.boot_ms(b->clock.arg);
}

/* ---- reading and answering */

static void complain(struct broker *b, enum err e, size_t len)
{
    if (b->turned_ms - b->complained_ms < BROKER_COMPLAINTS_MS)
        return;
    b->complained_ms = b->turned_ms;
    LOG(LOG_WARN, "a request can't be read", LOG_S("error", err_name(e)), LOG_I("bytes", len));
}

static void answer(struct broker *b, zmq_msg_t *peer, const struct wire_reply *r)
{
    if (b->answers_len == b->answers_cap) {
        b->answers_cap = b->answers_cap == 0 ? 64 : b->answers_cap * 2;
        b->answers = mem_grow(b->answers, b->answers_cap * sizeof *b->answers);
    }
    struct answer *out = &b->answers[b->answers_len++];
    zmq_msg_init(&out->peer);
    zmq_msg_copy(&out->peer, peer);
    buf_init(&out->data, WIRE_MESSAGE_MAX);
    if (wire_put_reply(&out->data, r) != ERR_NONE) {
        struct wire_reply sorry = {.type = r->type,
                                   .number = r->number,
                                   .err = ERR_TOO_BIG,
                                   .why = "the answer is too large"};
        buf_clear(&out->data);
        if (wire_put_reply(&out->data, &sorry) != ERR_NONE)
            die("a reply without content does not fit");
    }
    b->answers_bytes += out->data.len;
}

/* Where it makes sense to answer, as the head could be read. */
static void refuse(struct broker *b, struct asked *q, enum err e)
{
    static const char *const texts[ERR_COUNT] = {
        [ERR_VERSION] = "this queue speaks another version of the protocol: run the same volley "
                        "everywhere",
        [ERR_UNSUPPORTED] = "this queue does not know such a request",
        [ERR_INVALID] = "the request is malformed",
        [ERR_FULL] = "too many publishers",
    };
    struct wire_reply r = {
        .type = q->request.type, .number = q->request.number, .err = e, .why = texts[e]};
    complain(b, e, zmq_msg_size(&q->message));
    if (r.type != 0)
        answer(b, &q->peer, &r);
}

static void free_asked(struct asked *q)
{
    wire_arena_free(&q->arena);
    zmq_msg_close(&q->message);
    zmq_msg_close(&q->peer);
}

static void do_now(struct broker *b, struct asked *q)
{
    struct wire_reply r = {.type = q->request.type, .number = q->request.number};
    if (b->fatal == ERR_NONE)
        broker_do(b, &q->request, &q->arena, &r);
    if (b->fatal == ERR_NONE)
        answer(b, &q->peer, &r);
    free_asked(q);
}

static void do_later(struct broker *b, struct asked *q)
{
    if (b->later_len == b->later_cap) {
        b->later_cap = b->later_cap == 0 ? 8 : b->later_cap * 2;
        b->later = mem_grow(b->later, b->later_cap * sizeof *b->later);
    }
    b->later[b->later_len++] = *q;
}

static void take(struct broker *b, struct asked *q)
{
    enum err e = wire_get_request(zmq_msg_data(&q->message), zmq_msg_size(&q->message), &q->arena,
                                  &q->request);
    if (e == ERR_NONE && q->request.type == WIRE_LEASE)
        e = leases_renew(b->leases, &q->request.lease, broker_boot_ms(b));
    if (e != ERR_NONE) {
        refuse(b, q, e);
        free_asked(q);
    } else if (q->request.type == WIRE_LEASE || q->request.type == WIRE_DEPTH) {
        do_later(b, q);
    } else {
        do_now(b, q);
    }
}

/* One message: the peer's name and one frame. Anything else is read away. False: nothing there. */
static bool receive(struct broker *b, struct asked *q)
{
    int frames = 1;
    zmq_msg_init(&q->peer);
    zmq_msg_init(&q->message);
    bool any = endpoint_recv(b->router, &q->peer), more = any && zmq_msg_more(&q->peer);
    for (; more && endpoint_recv(b->router, &q->message); frames++)
        more = zmq_msg_more(&q->message);
    if (any && frames != 2) {
        complain(b, ERR_PROTOCOL, zmq_msg_size(&q->message));
        zmq_msg_close(&q->message);
        zmq_msg_init(&q->message); /* empty: refused without an answer */
    }
    if (!any) {
        zmq_msg_close(&q->peer);
        zmq_msg_close(&q->message);
    }
    return any;
}

/* True when nothing is left to read. */
static bool drain(struct broker *b)
{
    size_t bytes = 0;
    for (unsigned i = 0; b->look && i < TURN_MESSAGES_MAX; i++) {
        struct asked q = {0};
        if (bytes > TURN_BYTES_MAX || b->answers_bytes > TURN_BYTES_MAX || b->fatal != ERR_NONE)
            return false;
        b->look = receive(b, &q);
        if (!b->look)
            break;
        bytes += zmq_msg_size(&q.message);
        take(b, &q);
    }
    return !b->look;
}

static void drop_answers(struct broker *b)
{
    for (size_t i = 0; i < b->answers_len; i++) {
        zmq_msg_close(&b->answers[i].peer);
        buf_fini(&b->answers[i].data);
    }
    b->answers_len = b->answers_bytes = 0;
    buf_fini(&b->tail);
    b->tail_len = 0;
    b->added_len = 0;
    b->moved = false;
}

static void free_message(void *data, void *hint)
{
    (void)hint;
    free(data);
}

/* Hands the buffer's memory over to ZeroMQ. A peer that is gone, or does not read, gets nothing. */
static void send_buf(void *to, struct buf *data)
{
    zmq_msg_t m;
    zmq_msg_init_data(&m, data->data, data->len, free_message, NULL);
    buf_init(data, data->max);
    if (zmq_msg_send(&m, to, ZMQ_DONTWAIT) < 0)
        zmq_msg_close(&m);
}

static void send_answers(struct broker *b)
{
    for (size_t i = 0; i < b->answers_len; i++) {
        if (zmq_msg_send(&b->answers[i].peer, b->router, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0)
            send_buf(b->router, &b->answers[i].data);
    }
}

static void publish(struct broker *b)
{
    if (b->tail_len > 0) {
        wire_end_tail(&b->tail, store_head(b->store), b->tail_len);
        send_buf(b->pub, &b->tail);
    }
    if (b->ticked) {
        struct buf beat;
        buf_init(&beat, WIRE_MESSAGE_MAX);
        if (wire_put_beat(&beat, b->number, store_head(b->store), 0) == ERR_NONE)
            send_buf(b->pub, &beat);
        buf_fini(&beat);
    }
}

/* ---- a turn */

static void housekeep(struct broker *b)
{
    bool due = b->ticked && !b->by_hand && b->ticks % HOUSEKEEPING_TICKS == 0;
    if (!due && !b->more_housekeeping)
        return;
    b->more_housekeeping = false;
    if (broker_change(b))
        (void)broker_check(b, store_housekeep(b->store, broker_wall_ms(b), broker_boot_ms(b),
                                              HOUSEKEEPING_WORK, &b->more_housekeeping));
}

static void commit(struct broker *b)
{
    if (!b->in_turn)
        return;
    b->in_turn = false;
    if (b->fatal == ERR_NONE)
        (void)broker_check(b, store_commit(b->store));
    else
        store_abort(b->store);
}

static void tell_blasted(struct broker *b)
{
    for (size_t i = 0; i < b->added_len; i++)
        blasted_add(b->blasted, b->added[i].pos, b->added[i].accepted_ms);
    if (b->moved)
        blasted_moved(b->blasted);
    if (!b->ticked)
        return;
    size_t lanes = leases_lanes(b->leases), most = TALLIES_MAX;
    if (lanes * most > TALLY_LANES_MAX)
        most = lanes > TALLY_LANES_MAX ? 1 : TALLY_LANES_MAX / lanes;
    blasted_look(b->blasted, broker_wall_ms(b), broker_boot_ms(b), (unsigned)most);
}

/* Nothing leaves any more; the process is to end. */
static void give_up(struct broker *b)
{
    uv_prepare_stop(&b->prepare);
    uv_idle_stop(&b->idle);
    uv_timer_stop(&b->tick);
    uv_poll_stop(&b->poll);
    b->on_fatal(b->arg, b->fatal);
}

static void note_stall(struct broker *b)
{
    uint64_t now_ms = clock_boot_ms();
    if (now_ms - b->turned_ms > STALLED_MS && !b->by_hand)
        b->no_expiry_ms = now_ms + AFTER_STALL_MS;
    b->turned_ms = now_ms;
}

/* True when there is nothing more to do before something arrives. A send may swallow what the
 * descriptor had to tell: after it there is another look. */
static bool turn(struct broker *b)
{
    note_stall(b);
    bool drained = drain(b);
    bool look = b->later_len > 0 || b->more_housekeeping || (b->ticked && !b->by_hand);
    if (drained && look && b->turned_ms >= b->no_expiry_ms)
        broker_expire(b);
    for (size_t i = 0; i < b->later_len; i++)
        do_now(b, &b->later[i]);
    b->later_len = 0;
    housekeep(b);
    commit(b);
    if (b->fatal == ERR_NONE) {
        b->look |= b->answers_len > 0;
        send_answers(b);
        publish(b);
        tell_blasted(b);
    }
    drop_answers(b);
    b->ticked = false;
    return !b->look && !b->more_housekeeping;
}

static void on_idle(uv_idle_t *h)
{
    (void)h; /* that it is active keeps the loop from sleeping */
}

static void on_prepare(uv_prepare_t *h)
{
    struct broker *b = h->data;
    bool done = turn(b);
    if (b->fatal != ERR_NONE)
        give_up(b);
    else if (done)
        uv_idle_stop(&b->idle);
    else
        uv_idle_start(&b->idle, on_idle);
}

void broker_housekeep(struct broker *b)
{
    b->more_housekeeping = true;
    while (b->more_housekeeping && b->fatal == ERR_NONE) {
        b->ticked = b->look = true;
        (void)turn(b);
    }
}

const char *broker_problem(const struct broker *b)
{
    return store_problem(b->store);
}

void broker_lose_tail(struct broker *b, unsigned count)
{
    b->tail_lost = count;
}

static void on_readable(uv_poll_t *h, int status, int events)
{
    struct broker *b = h->data;
    (void)status, (void)events;
    b->look = true;
}

static void on_tick(uv_timer_t *h)
{
    struct broker *b = h->data;
    b->ticked = b->look = true;
    b->ticks++;
}

/* ---- life */

static enum err open_sockets(struct broker *b, struct problem *p)
{
    b->ctx = zmq_ctx_new();
    if (b->ctx != NULL) {
        b->router = endpoint_socket(b->ctx, ZMQ_ROUTER, REPLIES_HWM);
        b->pub = endpoint_socket(b->ctx, ZMQ_PUB, TAIL_HWM);
    }
    if (b->router == NULL || b->pub == NULL)
        return problem_set(p, ERR_IO, "no ZeroMQ sockets: %s", zmq_strerror(errno));
    /* With MANDATORY a send to one that is gone fails at the first frame, and nothing is queued. */
    endpoint_set(b->router, ZMQ_ROUTER_MANDATORY, 1);
    enum err e = endpoint_bind(b->router, b->at.requests, p);
    b->bound_router = e == ERR_NONE;
    if (e == ERR_NONE)
        e = endpoint_bind(b->pub, b->at.tail, p);
    b->bound_pub = e == ERR_NONE;
    return e;
}

static void free_broker(struct broker *b)
{
    if (b->router != NULL)
        zmq_close(b->router);
    if (b->pub != NULL)
        zmq_close(b->pub);
    endpoint_end(b->ctx);
    if (b->bound_router)
        unlink(b->at.requests); /* the store's lock is still ours: no other broker's */
    if (b->bound_pub)
        unlink(b->at.tail);
    if (b->store != NULL)
        store_close(b->store);
    leases_free(b->leases);
    blasted_free(b->blasted);
    free(b->later);
    free(b->answers);
    free(b->added);
    buf_fini(&b->tail);
    free(b);
}

static enum err tally(void *arg, uint64_t pos, struct store_tally *out)
{
    struct broker *b = arg;
    return store_tally(b->store, pos, out);
}

static void say(void *arg, const char *line)
{
    (void)arg;
    LOG(LOG_INFO, line);
}

static void start(struct broker *b)
{
    uv_poll_init(b->loop, &b->poll, endpoint_fd(b->router));
    uv_prepare_init(b->loop, &b->prepare);
    uv_idle_init(b->loop, &b->idle);
    uv_timer_init(b->loop, &b->tick);
    b->poll.data = b->prepare.data = b->idle.data = b->tick.data = b;
    b->handles_open = HANDLES;
    uv_poll_start(&b->poll, UV_READABLE, on_readable);
    uv_prepare_start(&b->prepare, on_prepare);
    uv_idle_start(&b->idle, on_idle); /* the first turn comes at once */
    uv_timer_start(&b->tick, on_tick, TICK_MS, TICK_MS);
}

enum err broker_new(uv_loop_t *loop, const struct broker_options *o, struct broker **out,
                    struct problem *p)
{
    static const struct broker_clock machine = {machine_wall_ms, machine_boot_ms, NULL};
    struct broker *b = mem_zero(1, sizeof *b);
    b->loop = loop;
    b->clock = o->clock != NULL ? *o->clock : machine;
    b->by_hand = o->by_hand;
    b->on_fatal = o->on_fatal;
    b->arg = o->arg;
    b->look = true;
    b->turned_ms = clock_boot_ms();
    rng_secure(&b->number, sizeof b->number);
    buf_init(&b->tail, TAIL_LEN_MAX);
    b->leases = leases_new();
    b->blasted = blasted_new(&(struct blasted_ops){tally, say, b});
    enum err e = endpoint_parse(o->url, &b->at, p);
    if (e == ERR_NONE)
        e = store_open(&o->store, broker_wall_ms(b), &b->store, p);
    if (e == ERR_NONE)
        e = open_sockets(b, p);
    if (e != ERR_NONE) {
        free_broker(b);
        return e;
    }
    broker_load_lanes(b);
    start(b);
    *out = b;
    return ERR_NONE;
}

static void on_closed(uv_handle_t *h)
{
    struct broker *b = h->data;
    if (--b->handles_open > 0)
        return;
    void (*fn)(void *) = b->closed_fn;
    void *arg = b->closed_arg;
    free_broker(b);
    fn(arg);
}

void broker_close(struct broker *b, void (*fn)(void *arg), void *arg)
{
    b->closed_fn = fn;
    b->closed_arg = arg;
    b->look = true;
    if (b->fatal == ERR_NONE)
        (void)turn(b); /* what has arrived is answered */
    if (b->fatal == ERR_NONE)
        endpoint_set(b->router, ZMQ_LINGER, CLOSE_LINGER_MS);
    uv_close((uv_handle_t *)&b->poll, on_closed);
    uv_close((uv_handle_t *)&b->prepare, on_closed);
    uv_close((uv_handle_t *)&b->idle, on_closed);
    uv_close((uv_handle_t *)&b->tick, on_closed);
}
