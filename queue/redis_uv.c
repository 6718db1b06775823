/* hiredis frees a connection by itself in the middle of a read or a write; `cleanup` is how it
 * tells. What we keep of it lives on until libuv has let go of the poll handle.
 *
 * The guard stands where hiredis makes objects of what it has parsed: one that is not made (NULL)
 * is an error of the connection. */
#include "queue/redis_uv.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

struct watch {
    redisAsyncContext *ac; /* NULL when it is gone */
    uv_poll_t poll;
    int events;
    size_t reply_max;
    bool subscribed;
    redisReplyObjectFunctions *make, guarded; /* hiredis' own, and ours around them */
    struct redis_uv_ops ops;
    void *arg;
};

/* ---- the guard */

/* "subscribe", a channel, a number; or "message", a channel, the message. */
static bool is_push(const struct watch *w, const redisReadTask *t, int type, const char *str,
                    size_t len)
{
    if (!w->subscribed)
        return true;
    if (t->parent == NULL)
        return type == REDIS_REPLY_ARRAY;
    if (t->parent->parent != NULL)
        return false;
    if (t->idx == 0)
        return type == REDIS_REPLY_STRING && ((len == 7 && memcmp(str, "message", 7) == 0) ||
                                              (len == 9 && memcmp(str, "subscribe", 9) == 0));
    return type == REDIS_REPLY_STRING || (t->idx == 2 && type == REDIS_REPLY_INTEGER);
}

static void *make_string(const redisReadTask *t, char *str, size_t len)
{
    const struct watch *w = t->privdata;
    return is_push(w, t, t->type, str, len) ? w->make->createString(t, str, len) : NULL;
}

static void *make_array(const redisReadTask *t, int elements)
{
    const struct watch *w = t->privdata;
    bool ok = elements >= 0 && elements <= REDIS_UV_ARRAY_MAX && (!w->subscribed || elements == 3);
    return ok && is_push(w, t, REDIS_REPLY_ARRAY, "", 0) ? w->make->createArray(t, elements) : NULL;
}

static void *make_integer(const redisReadTask *t, long long value)
{
    const struct watch *w = t->privdata;
    return is_push(w, t, REDIS_REPLY_INTEGER, "", 0) ? w->make->createInteger(t, value) : NULL;
}

static void *make_nil(const redisReadTask *t)
{
    const struct watch *w = t->privdata;
    return is_push(w, t, REDIS_REPLY_NIL, "", 0) ? w->make->createNil(t) : NULL;
}

static void guard(struct watch *w)
{
    redisReader *r = w->ac->c.reader;
    w->make = r->fn;
    w->guarded = (redisReplyObjectFunctions){.createString = make_string,
                                             .createArray = make_array,
                                             .createInteger = make_integer,
                                             .createNil = make_nil,
                                             .freeObject = r->fn->freeObject};
    r->privdata = w;
    r->fn = &w->guarded;
}

bool redis_uv_reply(redisAsyncContext *ac)
{
    const redisReader *r = ac->c.reader;
    if (ac->replies.head != NULL || r->pos >= r->len)
        return true;
    redisAsyncFree(ac);
    return false;
}

/* Nothing was asked: the only thing to come is the end. */
static bool is_unasked(const struct watch *w)
{
    char byte;
    return (w->ac->c.flags & REDIS_CONNECTED) != 0 && w->ac->replies.head == NULL &&
           !w->subscribed && recv(w->ac->c.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* ---- reading and writing */

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    if (status != 0) /* such as EBADF: hiredis finds out what */
        events = UV_READABLE;
    if (w->ac != NULL && (events & UV_READABLE) != 0) {
        if (is_unasked(w))
            redisAsyncFree(w->ac);
        else
            redisAsyncHandleRead(w->ac);
    }
    if (w->ac != NULL && (events & UV_WRITABLE) != 0)
        redisAsyncHandleWrite(w->ac);
    if (w->ac != NULL && w->ac->c.reader->len > w->reply_max)
        redisAsyncFree(w->ac);
}

static void watch_for(struct watch *w, int add, int drop)
{
    int events = (w->events | add) & ~drop;
    if (events == w->events || w->ac == NULL)
        return;
    w->events = events;
    if (events == 0)
        uv_poll_stop(&w->poll);
    else
        uv_poll_start(&w->poll, events, on_ready);
}

static void add_read(void *watch)
{
    watch_for(watch, UV_READABLE, 0);
}

static void del_read(void *watch)
{
    watch_for(watch, 0, UV_READABLE);
}

static void add_write(void *watch)
{
    watch_for(watch, UV_WRITABLE, 0);
}

static void del_write(void *watch)
{
    watch_for(watch, 0, UV_WRITABLE);
}

static void on_closed(uv_handle_t *h)
{
    struct watch *w = h->data;
    w->ops.on_closed(w->arg);
    free(w);
}

/* The reader is freed after this, without making anything more. */
static void cleanup(void *watch)
{
    struct watch *w = watch;
    w->ac->c.reader->fn = w->make;
    w->ac = NULL;
    uv_close((uv_handle_t *)&w->poll, on_closed);
    w->ops.on_gone(w->arg);
}

enum err redis_uv_attach(uv_loop_t *loop, redisAsyncContext *ac, size_t reply_max,
                         const struct redis_uv_ops *ops, void *arg)
{
    struct watch *w = mem_zero(1, sizeof *w);
    if (uv_poll_init(loop, &w->poll, ac->c.fd) != 0) {
        free(w);
        return ERR_IO;
    }
    w->ac = ac;
    w->poll.data = w;
    w->reply_max = reply_max;
    w->ops = *ops;
    w->arg = arg;
    guard(w);
    ac->ev.data = w;
    ac->ev.addRead = add_read;
    ac->ev.delRead = del_read;
    ac->ev.addWrite = add_write;
    ac->ev.delWrite = del_write;
    ac->ev.cleanup = cleanup;
    return ERR_NONE;
}

void redis_uv_subscribed(redisAsyncContext *ac)
{
    ((struct watch *)ac->ev.data)->subscribed = true;
}
