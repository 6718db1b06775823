/* One turn: what has arrived is read, done, committed, answered and told.
 *
 * Lease and depth requests of a turn are done last: first every publisher that called is renewed,
 * and only then, when nothing is left to read, are the silent ones expired. Pages of failed
 * deliveries come after them, one a turn, as each may look at many rows. */
#include "queue/broker_state.h"

#include "common/base/clock.h"
#include "common/base/log.h"

#include <stdlib.h>
#include <string.h>

#define TURN_MESSAGES_MAX  1024u
#define TURN_BYTES_MAX     (8u * 1024 * 1024) /* read, or answered */
#define HOUSEKEEPING_TICKS 5
#define HOUSEKEEPING_WORK  512
#define STALLED_MS         2000 /* a turn that comes so late: we stood still */
#define AFTER_STALL_MS     1000 /* then calls that wait in the kernel get so long to arrive */
#define TALLIES_MAX        8 /* a tick; fewer with many lanes, as each costs a look at every lane */
#define TALLY_LANES_MAX    2000u
#define PAGES_MAX          16u /* that wait for their turn; each may hold two megabytes of ids */

/* ---- reading and answering */

static void complain(struct broker *b, enum err e, size_t len)
{
    if (b->turned_ms - b->complained_ms < BROKER_COMPLAINTS_MS)
        return;
    b->complained_ms = b->turned_ms;
    LOG(LOG_WARN,
        e == ERR_FULL      ? "a request is refused: too many at once"
        : e == ERR_VERSION ? "a client speaks another version of the protocol: run the same volley "
                             "everywhere"
                           : "a request can't be read",
        LOG_S("error", err_name(e)), LOG_I("bytes", len));
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
        [ERR_FULL] = "too many ask at once: try again later",
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

static void do_later(struct asked_list *l, struct asked *q)
{
    if (l->len == l->cap) {
        l->cap = l->cap == 0 ? 8 : l->cap * 2;
        l->items = mem_grow(l->items, l->cap * sizeof *l->items);
    }
    l->items[l->len++] = *q;
}

/* The page that has waited longest. */
static void do_a_page(struct broker *b)
{
    if (b->pages.len == 0)
        return;
    do_now(b, &b->pages.items[0]);
    b->pages.len--;
    memmove(b->pages.items, b->pages.items + 1, b->pages.len * sizeof *b->pages.items);
}

static void take(struct broker *b, struct asked *q)
{
    enum err e = wire_get_request(zmq_msg_data(&q->message), zmq_msg_size(&q->message), &q->arena,
                                  &q->request);
    if (e == ERR_NONE && q->request.type == WIRE_LEASE)
        e = leases_renew(b->leases, &q->request.lease, broker_boot_ms(b));
    if (e == ERR_NONE && q->request.type == WIRE_FAILED && b->pages.len == PAGES_MAX)
        e = ERR_FULL;
    if (e != ERR_NONE) {
        refuse(b, q, e);
        free_asked(q);
    } else if (q->request.type == WIRE_LEASE || q->request.type == WIRE_DEPTH) {
        do_later(&b->later, q);
    } else if (q->request.type == WIRE_FAILED) {
        do_later(&b->pages, q);
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
    uint64_t news = b->number + b->news + leases_news(b->leases);
    if (b->ticked || news != b->news_told) {
        struct buf beat;
        buf_init(&beat, WIRE_MESSAGE_MAX);
        if (wire_put_beat(&beat, b->number, store_head(b->store), news) == ERR_NONE)
            send_buf(b->pub, &beat);
        buf_fini(&beat);
        b->news_told = news;
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
    if (due && store_news(b->store) != b->store_news) { /* floors that rose, twice a second */
        b->store_news = store_news(b->store);
        b->news++;
    }
}

/* After all other housekeeping of this moment. */
static void step_jobs(struct broker *b)
{
    bool asked = false;
    if (!b->step_due || (b->by_hand && b->more_housekeeping))
        return;
    b->step_due = false;
    if (store_has_jobs(b->store) && broker_change(b))
        (void)broker_check(b,
                           store_step_jobs(b->store, broker_wall_ms(b), broker_boot_ms(b), &asked));
    b->news += asked;
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

static void note_stall(struct broker *b)
{
    uint64_t now_ms = clock_boot_ms();
    if (now_ms - b->turned_ms > STALLED_MS && !b->by_hand)
        b->no_expiry_ms = now_ms + AFTER_STALL_MS;
    b->turned_ms = now_ms;
}

bool broker_turn(struct broker *b)
{
    note_stall(b);
    bool drained = drain(b);
    bool look = b->later.len > 0 || b->more_housekeeping || (b->ticked && !b->by_hand);
    if (drained && look && b->turned_ms >= b->no_expiry_ms)
        broker_expire(b);
    for (size_t i = 0; i < b->later.len; i++)
        do_now(b, &b->later.items[i]);
    b->later.len = 0;
    do_a_page(b);
    housekeep(b);
    step_jobs(b);
    commit(b);
    if (b->fatal == ERR_NONE) {
        b->look |= b->answers_len > 0;
        send_answers(b);
        publish(b);
        tell_blasted(b);
    }
    drop_answers(b);
    b->ticked = false;
    return !b->look && !b->more_housekeeping && b->pages.len == 0;
}

void broker_drop_pages(struct broker *b)
{
    for (size_t i = 0; i < b->pages.len; i++)
        free_asked(&b->pages.items[i]);
    b->pages.len = 0;
}
