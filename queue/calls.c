/* How calls live: from waiting to their end. What can be asked is in calls_ask.c. */
#include "queue/calls.h"

#include "common/base/clock.h"
#include "common/base/log.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define TIMEOUT_MS        10000u
#define COMPLAIN_AGAIN_MS 60000

void calls_init(struct calls *cs, uv_loop_t *loop, const struct queue_options *o,
                const struct calls_ops *ops, void *arg)
{
    cs->ops = *ops;
    cs->arg = arg;
    cs->timeout_ms = o->timeout_ms != 0 ? o->timeout_ms : TIMEOUT_MS;
    cs->quiet = o->quiet;
    uv_timer_init(loop, &cs->timer);
    cs->timer.data = cs;
}

/* ---- ending calls */

/* Takes the call off its list and out of everything, and only then calls back: the callback may
 * make other calls. */
static void end_call(struct calls *cs, struct call *c, bool sent, enum err e,
                     const struct wire_reply *r)
{
    if (sent) {
        DL_DELETE(cs->sent, c);
        HASH_DEL(cs->by_number, c);
    } else {
        DL_DELETE(cs->waiting, c);
    }
    if (cs->batch == c)
        cs->batch = NULL;
    cs->bytes -= c->bytes;
    buf_fini(&c->message);
    cs->ops.wake(cs->arg); /* the caller, once told, may have something to do before a sleep */
    calls_call_back(c, e, r);
    free(c);
}

#define OTHER_VERSION                                                                              \
    "the queue speaks another version of the protocol: run the same volley everywhere"

void calls_trouble(struct calls *cs, const char *text)
{
    uint64_t now_ms = clock_boot_ms();
    bool same = strcmp(cs->base.trouble.text, text) == 0;
    if (!same)
        (void)problem_set(&cs->base.trouble, ERR_NONE, "%s", text);
    if (text[0] == '\0' || cs->quiet || (same && now_ms - cs->complained_ms < COMPLAIN_AGAIN_MS))
        return;
    cs->complained_ms = now_ms;
    LOG(LOG_WARN, text);
}

struct call *calls_find(struct calls *cs, uint64_t number)
{
    struct call *c;
    HASH_FIND(hh, cs->by_number, &number, sizeof number, c);
    return c;
}

bool calls_reply(struct calls *cs, const void *data, size_t len)
{
    struct wire_arena a = {0};
    struct wire_reply r;
    enum err e = wire_get_reply(data, len, &a, &r);
    struct call *c = calls_find(cs, r.number);
    if (e == ERR_VERSION || r.err == ERR_VERSION)
        calls_trouble(cs, OTHER_VERSION);
    if (e == ERR_NONE && c != NULL && r.type == c->type) {
        end_call(cs, c, true, r.err, &r);
    } else if (e != ERR_NONE) {
        if (e != ERR_VERSION)
            LOG(LOG_WARN, "the queue's answer can't be read", LOG_S("error", err_name(e)),
                LOG_I("bytes", len));
        if (c != NULL)
            end_call(cs, c, true, e == ERR_VERSION ? ERR_VERSION : ERR_UNKNOWN, NULL);
    } /* else too late: that call was given up */
    wire_arena_free(&a);
    return e == ERR_NONE;
}

void calls_fail(struct calls *cs, uint64_t number, enum err e, const char *why)
{
    struct call *c = calls_find(cs, number);
    struct wire_reply r = {.number = number, .err = e, .why = why};
    if (c != NULL)
        end_call(cs, c, true, e, &r);
}

void calls_again(struct calls *cs, uint64_t number)
{
    struct call *c = calls_find(cs, number);
    if (c == NULL)
        return;
    DL_DELETE(cs->sent, c);
    HASH_DEL(cs->by_number, c);
    struct call *at = cs->waiting; /* those that come back earlier have lower numbers */
    while (at != NULL && at->number < number)
        at = at->next;
    if (at == NULL)
        DL_APPEND(cs->waiting, c);
    else
        DL_PREPEND_ELEM(cs->waiting, at, c);
    cs->ops.wake(cs->arg);
}

void calls_down(struct calls *cs)
{
    while (cs->sent != NULL)
        end_call(cs, cs->sent, true, ERR_UNKNOWN, NULL);
}

void calls_refuse(struct calls *cs, unsigned type)
{
    uint64_t last = cs->last_number; /* not those that the callbacks make */
    for (struct call *c = cs->waiting; c != NULL && c->number <= last;) {
        if (type != 0 && c->type != type) {
            c = c->next;
            continue;
        }
        end_call(cs, c, false, ERR_CLOSED, NULL);
        c = cs->waiting; /* the callback may have ended others */
    }
}

void calls_end(struct calls *cs)
{
    calls_down(cs);
    while (cs->waiting != NULL)
        end_call(cs, cs->waiting, false, ERR_CLOSED, NULL);
}

/* ---- one turn */

static void send_waiting(struct calls *cs)
{
    cs->batch = NULL;
    while (cs->waiting != NULL) {
        struct call *c = cs->waiting;
        if (c->type == WIRE_APPEND && c->failed == ERR_NONE && c->message.len == 0)
            calls_pack_appends(c);
        if (c->failed != ERR_NONE) {
            end_call(cs, c, false, c->failed, NULL);
            continue;
        }
        if (cs->ops.send(cs->arg, c) != ERR_NONE)
            break;
        DL_DELETE(cs->waiting, c);
        DL_APPEND(cs->sent, c);
        HASH_ADD(hh, cs->by_number, number, sizeof c->number, c);
    }
}

static void give_up_old(struct calls *cs, uint64_t now_ms)
{
    while (cs->sent != NULL && cs->sent->deadline_ms <= now_ms)
        end_call(cs, cs->sent, true, ERR_UNKNOWN, NULL);
    while (cs->waiting != NULL && cs->waiting->deadline_ms <= now_ms)
        end_call(cs, cs->waiting, false, ERR_CLOSED, NULL);
}

static void on_timer(uv_timer_t *t)
{
    struct calls *cs = t->data;
    cs->ops.wake(cs->arg); /* what has arrived is read before anything is given up */
}

static void set_timer(struct calls *cs, uint64_t now_ms)
{
    uint64_t first = UINT64_MAX;
    if (cs->sent != NULL)
        first = cs->sent->deadline_ms;
    if (cs->waiting != NULL && cs->waiting->deadline_ms < first)
        first = cs->waiting->deadline_ms;
    if (first == UINT64_MAX)
        uv_timer_stop(&cs->timer);
    else
        uv_timer_start(&cs->timer, on_timer, first > now_ms ? first - now_ms : 0, 0);
}

void calls_turn(struct calls *cs)
{
    uint64_t now_ms = clock_boot_ms();
    send_waiting(cs);
    give_up_old(cs, now_ms);
    set_timer(cs, now_ms);
}
