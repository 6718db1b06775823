/* How it works: calls (calls.h) travel over one connection, `link`, in order, many at a time; a
 * second one, `tail`, hears what is appended while somebody follows. A turn comes in a check
 * handle, just after the loop has read what arrived; `idle` keeps the loop from sleeping before a
 * turn that somebody wants. */
#include "queue/queue_redis_state.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "queue/redis_facts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEAT_MS      100
#define TAIL_WAIT_MS 1000
#define REPLY_MAX    (2u * WIRE_MESSAGE_MAX)
#define FACTS_MAX    (WIRE_MESSAGE_MAX / 2)

static struct redis_queue *redis_queue_of(struct queue *q)
{
    return (struct redis_queue *)q;
}

static void on_idle(uv_idle_t *h)
{
    (void)h; /* that it is active keeps the loop from sleeping */
}

static void wake(void *arg)
{
    struct redis_queue *q = arg;
    q->woken = true;
    if (!uv_is_closing((uv_handle_t *)&q->idle))
        uv_idle_start(&q->idle, on_idle);
}

/* ---- sending */

bool redis_run(struct redis_queue *q, unsigned verb, struct redis_text frame,
               const struct redis_text *extra, size_t extra_len, redis_reply_fn *fn, uint64_t tag)
{
    const struct redis_text fixed[] = {
        {"EVALSHA", 7},
        {q->shas[verb], strlen(q->shas[verb])},
        {"1", 1},
        {q->prefix, strlen(q->prefix)},
        {q->store, strlen(q->store)},
        {q->incarnation, strlen(q->incarnation)},
        frame,
        {q->limits, strlen(q->limits)},
    };
    const char *argv[COUNT_OF(fixed) + REDIS_EXTRA_MAX];
    size_t lens[COUNT_OF(argv)], argc = 0;
    for (; argc < COUNT_OF(fixed); argc++) {
        argv[argc] = fixed[argc].data;
        lens[argc] = fixed[argc].len;
    }
    for (size_t i = 0; i < extra_len && argc < COUNT_OF(argv); i++, argc++) {
        argv[argc] = extra[i].data;
        lens[argc] = extra[i].len;
    }
    return (q->phase == REDIS_READY || verb == VERB_HELLO) &&
           redis_link_send(q->link, (int)argc, argv, lens, fn, tag);
}

static void on_call_reply(void *arg, uint64_t number, const redisReply *r)
{
    struct redis_queue *q = arg;
    const struct call *c = calls_find(&q->calls, number);
    if (r->type == REDIS_REPLY_STRING) {
        if (c != NULL)
            redis_audit(q, c, r->str, r->len);
        bool good = calls_reply(&q->calls, r->str, r->len);
        if (good && q->phase == REDIS_READY)
            calls_trouble(&q->calls, "");
        calls_fail(&q->calls, number, ERR_UNKNOWN, NULL); /* when it was no answer to this call */
    } else if (r->type == REDIS_REPLY_ERROR) {
        redis_answer_error(q, number, r->str);
    } else {
        LOG(LOG_WARN, "a script's answer is none", LOG_I("type", r->type));
        calls_fail(&q->calls, number, ERR_UNKNOWN, NULL);
    }
    wake(q);
}

/* The message stays: it may have to be sent again. */
static enum err send_call(void *arg, struct call *c)
{
    struct redis_queue *q = arg;
    struct buf facts;
    struct redis_text extra = {"", 0};
    bool sent = q->phase == REDIS_FOREIGN; /* it is answered by us, after this turn */
    if (q->phase != REDIS_READY)
        return sent ? ERR_NONE : ERR_AGAIN;
    buf_init(&facts, FACTS_MAX);
    for (size_t i = 0; i < c->appends_len; i++)
        if (redis_facts_put(&facts, c->appends[i].ev) != ERR_NONE)
            die("the facts of %zu events do not fit", c->appends_len);
    if (facts.len > 0)
        extra = (struct redis_text){facts.data, facts.len};
    sent = redis_run(q, c->type, (struct redis_text){c->message.data, c->message.len}, &extra,
                     c->type == WIRE_APPEND, on_call_reply, c->number);
    buf_fini(&facts);
    return sent ? ERR_NONE : ERR_AGAIN;
}

/* ---- following */

static void on_message(void *arg, const void *data, size_t len)
{
    struct redis_queue *q = arg;
    struct wire_arena a = {0};
    struct wire_published p;
    if (q->phase == REDIS_READY && wire_get_published(data, len, &a, &p) == ERR_NONE) {
        for (size_t i = 0; i < p.tails_len && q->following && q->follower.on_tail != NULL; i++) {
            if (q->tail_lost > 0) {
                q->tail_lost--;
                continue;
            }
            q->follower.on_tail(q->follower.arg, &p.tails[i]);
        }
        wake(q);
    }
    wire_arena_free(&a);
}

static bool number_of(const redisReply *r, uint64_t *out)
{
    char *end = NULL;
    if (r->type != REDIS_REPLY_STRING || r->len == 0)
        return false;
    *out = strtoull(r->str, &end, 10);
    return *end == '\0';
}

static void on_beat_reply(void *arg, uint64_t session, const redisReply *r)
{
    struct redis_queue *q = arg;
    uint64_t head, news;
    if (session != q->session || q->phase != REDIS_READY)
        return;
    q->beating = false;
    if (r->type == REDIS_REPLY_ARRAY && r->elements == 2 && number_of(r->element[0], &head) &&
        number_of(r->element[1], &news) && q->following) {
        q->follower.on_head(q->follower.arg, head, news);
        wake(q);
    }
}

static void on_beat(uv_timer_t *t)
{
    struct redis_queue *q = t->data;
    char meta[sizeof q->prefix + 8];
    (void)snprintf(meta, sizeof meta, "%s:meta", q->prefix);
    const char *argv[] = {"HMGET", meta, "head", "news"};
    const size_t lens[] = {5, strlen(meta), 4, 4};
    /* The first beat tells that the tail arrives; but it is the truth, and the tail a hint. */
    if (!redis_link_is_up(q->tail) && clock_boot_ms() - q->followed_ms < TAIL_WAIT_MS)
        return;
    if (q->phase == REDIS_READY && !q->beating)
        q->beating = redis_link_send(q->link, 4, argv, lens, on_beat_reply, q->session);
}

static void no_news(void *arg)
{
    (void)arg;
}

static void no_trouble(void *arg, const char *text)
{
    (void)arg, (void)text; /* the other connection tells */
}

static void open_tail(struct redis_queue *q)
{
    static const struct redis_link_ops ops = {no_news, no_news, no_trouble, on_message};
    char channel[sizeof q->prefix + 8];
    (void)snprintf(channel, sizeof channel, "%s:tail", q->prefix);
    const struct redis_link_options o = {.at = &q->at,
                                         .password_file = q->password_file,
                                         .channel = channel,
                                         .reply_max = REPLY_MAX};
    q->tail = redis_link_new(q->loop, &o, &ops, q);
    q->parts++;
}

static void redis_follow(struct queue *queue, const struct queue_follower *f)
{
    struct redis_queue *q = redis_queue_of(queue);
    q->following = f != NULL;
    if (f == NULL) {
        uv_timer_stop(&q->beat);
        return;
    }
    q->follower = *f;
    if (q->tail == NULL)
        open_tail(q);
    q->followed_ms = clock_boot_ms();
    uv_timer_start(&q->beat, on_beat, 0, BEAT_MS);
}

void queue_redis_lose_tail(struct queue *queue, unsigned count)
{
    redis_queue_of(queue)->tail_lost = count;
}

/* ---- the connection */

static void on_up(void *arg)
{
    struct redis_queue *q = arg;
    q->beating = false;
    redis_session_begin(q);
}

static void forget_session(struct redis_queue *q)
{
    q->session++;
    q->beating = false;
    if (q->phase != REDIS_FOREIGN)
        q->phase = REDIS_DOWN;
    if (q->house != NULL)
        redis_house_reset(q->house);
    calls_down(&q->calls);
}

/* Whoever is silent to one is silent to the other. */
static void on_down(void *arg)
{
    struct redis_queue *q = arg;
    forget_session(q);
    if (q->tail != NULL)
        redis_link_drop(q->tail);
}

void redis_leave(struct redis_queue *q)
{
    redis_link_drop(q->link);
    forget_session(q);
    calls_refuse(&q->calls, 0);
}

static void on_trouble(void *arg, const char *text)
{
    struct redis_queue *q = arg;
    calls_trouble(&q->calls, text);
    if (q->calls.quiet) /* somebody waits at a terminal */
        calls_refuse(&q->calls, 0);
}

/* ---- turns, and the end */

static void release(struct redis_queue *q)
{
    if (--q->parts > 0)
        return;
    queue_closed_fn *fn = q->closed_fn;
    void *arg = q->closed_arg;
    calls_end(&q->calls); /* what the last callbacks began */
    free(q);
    fn(arg);
}

static void on_part_closed(uv_handle_t *h)
{
    release(h->data);
}

static void on_link_closed(void *arg)
{
    release(arg);
}

static void end(struct redis_queue *q)
{
    uv_handle_t *const handles[] = {(uv_handle_t *)&q->check, (uv_handle_t *)&q->idle,
                                    (uv_handle_t *)&q->beat, (uv_handle_t *)&q->calls.timer};
    calls_end(&q->calls);
    for (size_t i = 0; i < COUNT_OF(handles); i++)
        uv_close(handles[i], on_part_closed);
    redis_link_close(q->link, on_link_closed, q);
    if (q->tail != NULL)
        redis_link_close(q->tail, on_link_closed, q);
    if (q->house != NULL)
        redis_house_close(q->house, release);
}

static void on_check(uv_check_t *h)
{
    struct redis_queue *q = h->data;
    if (q->closing) {
        end(q);
        return;
    }
    q->woken = false;
    calls_turn(&q->calls);
    if (q->phase == REDIS_FOREIGN)
        redis_answer_foreign(q);
    if (!q->woken)
        uv_idle_stop(&q->idle);
}

static void redis_close(struct queue *queue, queue_closed_fn *fn, void *arg)
{
    struct redis_queue *q = redis_queue_of(queue);
    q->closing = true;
    q->following = false;
    q->closed_fn = fn;
    q->closed_arg = arg;
    wake(q);
}

/* ---- the beginning */

static enum err take_options(struct redis_queue *q, const struct queue_options *o,
                             struct problem *p)
{
    uint64_t lane_max = o->lane_max != 0 ? o->lane_max : o->max_bytes / 2;
    const char *prefix = o->prefix != NULL && o->prefix[0] != '\0' ? o->prefix : "volley";
    if (strlen(prefix) >= sizeof q->prefix)
        return problem_set(p, ERR_INVALID, "queue.prefix: at most %zu bytes", sizeof q->prefix - 1);
    (void)snprintf(q->prefix, sizeof q->prefix, "%s", prefix);
    (void)snprintf(q->password_file, sizeof q->password_file, "%s",
                   o->password_file != NULL ? o->password_file : "");
    (void)snprintf(q->limits, sizeof q->limits, "%" PRId64 " %" PRIu64 " %" PRIu64 " %" PRIu64,
                   o->retention_ms, o->max_bytes, o->failed_max, lane_max);
    q->max_bytes = o->lives || o->strict ? o->max_bytes : 0;
    q->unsafe = o->unsafe;
    return redis_address_parse(o->url, &q->at, p);
}

static void start(struct redis_queue *q, bool lives)
{
    static const struct redis_link_ops ops = {on_up, on_down, on_trouble, NULL};
    const struct redis_link_options o = {
        .at = &q->at, .password_file = q->password_file, .reply_max = REPLY_MAX};
    uv_check_init(q->loop, &q->check);
    uv_idle_init(q->loop, &q->idle);
    uv_timer_init(q->loop, &q->beat);
    q->check.data = q->idle.data = q->beat.data = q;
    uv_check_start(&q->check, on_check);
    q->link = redis_link_new(q->loop, &o, &ops, q);
    q->parts = 5; /* with the calls' timer */
    if (lives) {
        q->house = redis_house_new(q);
        q->parts++;
    }
}

enum err queue_redis_open(uv_loop_t *loop, const struct queue_options *o, struct queue **out,
                          struct problem *p)
{
    static const struct calls_ops ops = {send_call, wake};
    struct redis_queue *q = mem_zero(1, sizeof *q);
    enum err e = take_options(q, o, p);
    if (e != ERR_NONE) {
        free(q);
        return e;
    }
    q->loop = loop;
    calls_init(&q->calls, loop, o, &ops, q);
    q->table = calls_queue_ops;
    q->table.follow = redis_follow;
    q->table.close = redis_close;
    q->calls.base.ops = &q->table;
    start(q, o->lives);
    *out = &q->calls.base;
    return ERR_NONE;
}
