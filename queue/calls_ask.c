/* What can be asked: each call's request, and how its answer is handed over. */
#include "queue/calls.h"

#include "common/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define BATCH_LEN_MAX (1024u * 1024u)       /* bytes of one append message, or a single event */
#define BYTES_MAX     (64u * 1024u * 1024u) /* of all calls under way; more are refused */

/* ---- making calls */

static struct call *new_call(struct calls *cs, enum wire_type type, void *arg)
{
    struct call *c = mem_zero(1, sizeof *c);
    c->number = ++cs->last_number;
    c->type = type;
    c->arg = arg;
    c->deadline_ms = clock_boot_ms() + cs->timeout_ms;
    buf_init(&c->message, WIRE_MESSAGE_MAX);
    DL_APPEND(cs->waiting, c);
    cs->ops.wake(cs->arg);
    return c;
}

static void count_bytes(struct calls *cs, struct call *c, size_t bytes)
{
    if (cs->bytes + bytes > BYTES_MAX && cs->bytes > 0) {
        c->failed = ERR_FULL;
        return;
    }
    c->bytes += bytes;
    cs->bytes += bytes;
}

static void pack_call(struct calls *cs, struct call *c, struct wire_request *r)
{
    r->type = c->type;
    r->number = c->number;
    c->failed = wire_put_request(&c->message, r);
    if (c->failed == ERR_NONE)
        count_bytes(cs, c, c->message.len);
}

static void add_append(struct call *c, struct event *ev, queue_append_fn *fn, void *arg)
{
    if (c->appends_len == c->appends_cap) {
        c->appends_cap = c->appends_cap == 0 ? 8 : c->appends_cap * 2;
        c->appends = mem_grow(c->appends, c->appends_cap * sizeof *c->appends);
    }
    c->appends[c->appends_len++] = (struct append){event_ref(ev), fn, arg};
}

static void ask_append(struct queue *queue, struct event *ev, queue_append_fn *fn, void *arg)
{
    struct calls *cs = calls_of(queue);
    struct call *c = cs->batch;
    bool fits = cs->bytes == 0 || cs->bytes + ev->len <= BYTES_MAX;
    if (c == NULL || !fits || c->appends_len == WIRE_APPENDS_MAX ||
        c->bytes + ev->len > BATCH_LEN_MAX)
        c = new_call(cs, WIRE_APPEND, NULL);
    add_append(c, ev, fn, arg);
    count_bytes(cs, c, ev->len);
    cs->batch = fits ? c : NULL;
}

static void ask_read(struct queue *queue, uint64_t from, uint64_t to, queue_read_fn *fn, void *arg)
{
    struct wire_request r = {.read = {from, to}};
    struct call *c = new_call(calls_of(queue), WIRE_READ, arg);
    c->fn.read = fn;
    pack_call(calls_of(queue), c, &r);
}

static void ask_lease(struct queue *queue, const struct lease_call *call, queue_lease_fn *fn,
                      void *arg)
{
    struct wire_request r = {.lease = *call};
    struct call *c = new_call(calls_of(queue), WIRE_LEASE, arg);
    c->fn.lease = fn;
    pack_call(calls_of(queue), c, &r);
}

static void ask_commit(struct queue *queue, const struct lane_commit *lanes, size_t len,
                       queue_commit_fn *fn, void *arg)
{
    struct wire_request r = {.commit = {lanes, len}};
    struct call *c = new_call(calls_of(queue), WIRE_COMMIT, arg);
    c->fn.commit = fn;
    pack_call(calls_of(queue), c, &r);
}

static void ask_define(struct queue *queue, const struct define_call *call, queue_define_fn *fn,
                       void *arg)
{
    struct wire_request r = {.define = *call};
    struct call *c = new_call(calls_of(queue), WIRE_DEFINE, arg);
    c->fn.define = fn;
    pack_call(calls_of(queue), c, &r);
}

static void ask_depth(struct queue *queue, queue_depth_fn *fn, void *arg)
{
    struct wire_request r = {.type = WIRE_DEPTH};
    struct call *c = new_call(calls_of(queue), WIRE_DEPTH, arg);
    c->fn.depth = fn;
    pack_call(calls_of(queue), c, &r);
}

static void ask_receipt(struct queue *queue, const uint8_t id[EVENT_ID_LEN], queue_receipt_fn *fn,
                        void *arg)
{
    struct wire_request r = {.type = WIRE_RECEIPT};
    struct call *c = new_call(calls_of(queue), WIRE_RECEIPT, arg);
    memcpy(r.receipt, id, EVENT_ID_LEN);
    c->fn.receipt = fn;
    pack_call(calls_of(queue), c, &r);
}

static void ask_registry(struct queue *queue, queue_registry_fn *fn, void *arg)
{
    struct wire_request r = {.type = WIRE_REGISTRY};
    struct call *c = new_call(calls_of(queue), WIRE_REGISTRY, arg);
    c->fn.registry = fn;
    pack_call(calls_of(queue), c, &r);
}

static void ask_hold(struct queue *queue, const struct hold_call *call, queue_hold_fn *fn,
                     void *arg)
{
    struct wire_request r = {.hold = *call};
    struct call *c = new_call(calls_of(queue), WIRE_HOLD, arg);
    c->fn.hold = fn;
    pack_call(calls_of(queue), c, &r);
}

static void ask_failed(struct queue *queue, const struct failed_call *call, queue_failed_fn *fn,
                       void *arg)
{
    struct wire_request r = {.failed = *call};
    struct call *c = new_call(calls_of(queue), WIRE_FAILED, arg);
    c->fn.failed = fn;
    pack_call(calls_of(queue), c, &r);
}

static void ask_jobs(struct queue *queue, queue_jobs_fn *fn, void *arg)
{
    struct wire_request r = {.type = WIRE_JOBS};
    struct call *c = new_call(calls_of(queue), WIRE_JOBS, arg);
    c->fn.jobs = fn;
    pack_call(calls_of(queue), c, &r);
}

static void ask_cancel(struct queue *queue, uint64_t job, const char *by, queue_done_fn *fn,
                       void *arg)
{
    struct wire_request r = {.cancel = {.job = job}};
    struct call *c = new_call(calls_of(queue), WIRE_CANCEL, arg);
    (void)snprintf(r.cancel.by, sizeof r.cancel.by, "%s", by);
    c->fn.done = fn;
    pack_call(calls_of(queue), c, &r);
}

void calls_pack_appends(struct call *c)
{
    struct json_span *events = mem_new(c->appends_len * sizeof *events);
    for (size_t i = 0; i < c->appends_len; i++)
        events[i] = (struct json_span){c->appends[i].ev->bytes, c->appends[i].ev->len};
    struct wire_request r = {
        .type = WIRE_APPEND, .number = c->number, .append = {events, c->appends_len}};
    c->failed = wire_put_request(&c->message, &r);
    free(events);
}

/* ---- ending calls */

static const char *why_of(enum err e)
{
    switch (e) {
    case ERR_UNKNOWN:
        return "outcome unknown, send again";
    case ERR_CLOSED:
        return "the queue is out of reach, send again later";
    case ERR_FULL:
        return "the queue does not keep up, send again later";
    default:
        return err_name(e);
    }
}

static void end_appends(struct call *c, enum err e, const struct wire_reply *r)
{
    if (e == ERR_NONE && r->append.len != c->appends_len)
        e = ERR_UNKNOWN;
    for (size_t i = 0; i < c->appends_len; i++) {
        struct append *a = &c->appends[i];
        struct wire_appended res = {.err = e, .why = r != NULL ? r->why : NULL};
        if (e == ERR_NONE)
            res = r->append.results[i];
        if (res.err == ERR_NONE)
            a->fn(a->arg, ERR_NONE, &res.result, "");
        else
            a->fn(a->arg, res.err, NULL, res.why != NULL ? res.why : why_of(res.err));
        event_unref(a->ev);
    }
    free(c->appends);
}

void calls_call_back(struct call *c, enum err e, const struct wire_reply *r)
{
    bool ok = e == ERR_NONE;
    switch (c->type) {
    case WIRE_APPEND:
        end_appends(c, e, r);
        break;
    case WIRE_READ:
        c->fn.read(c->arg, e, ok ? r->read.events : NULL, ok ? r->read.len : 0,
                   ok ? r->read.head : 0);
        break;
    case WIRE_LEASE:
        c->fn.lease(c->arg, e, ok ? &r->lease : NULL);
        break;
    case WIRE_COMMIT:
        c->fn.commit(c->arg, e, ok ? r->commit.lanes : NULL, ok ? r->commit.len : 0);
        break;
    case WIRE_DEFINE:
        c->fn.define(c->arg, e, ok ? &r->define : NULL,
                     ok                            ? ""
                     : r != NULL && r->why != NULL ? r->why
                                                   : why_of(e));
        break;
    case WIRE_DEPTH:
        c->fn.depth(c->arg, e, ok ? &r->depth : NULL);
        break;
    case WIRE_RECEIPT:
        c->fn.receipt(c->arg, e, ok ? &r->receipt : NULL);
        break;
    case WIRE_REGISTRY:
        c->fn.registry(c->arg, e, ok ? &r->registry : NULL);
        break;
    case WIRE_HOLD:
        c->fn.hold(c->arg, e, ok ? &r->hold : NULL);
        break;
    case WIRE_FAILED:
        c->fn.failed(c->arg, e, ok ? &r->failed : NULL);
        break;
    case WIRE_JOBS:
        c->fn.jobs(c->arg, e, ok ? r->jobs.jobs : NULL, ok ? r->jobs.len : 0);
        break;
    case WIRE_CANCEL:
        c->fn.done(c->arg, e);
        break;
    case WIRE_TYPE_END:
        break;
    }
}

const struct queue_ops calls_queue_ops = {
    .append = ask_append,
    .read = ask_read,
    .lease = ask_lease,
    .commit = ask_commit,
    .define = ask_define,
    .depth = ask_depth,
    .receipt = ask_receipt,
    .registry = ask_registry,
    .hold = ask_hold,
    .failed = ask_failed,
    .jobs = ask_jobs,
    .cancel = ask_cancel,
};
