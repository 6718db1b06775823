#include "queue/model_call.h"

#include <stdlib.h>
#include <string.h>

static void *copy(const void *from, size_t count, size_t size)
{
    void *to = mem_zero(count + 1, size);
    if (count > 0)
        memcpy(to, from, count * size);
    return to;
}

struct model_call *model_call_new(enum model_verb verb, void *arg)
{
    struct model_call *c = mem_zero(1, sizeof *c);
    c->verb = verb;
    c->arg = arg;
    return c;
}

void model_call_lease(struct model_call *c, const struct lease_call *from)
{
    c->lease = *from;
    c->lease.held = copy(from->held, from->held_len, sizeof *from->held);
}

void model_call_commits(struct model_call *c, const struct lane_commit *from, size_t len)
{
    c->commits = copy(from, len, sizeof *from);
    c->len = len;
    for (size_t i = 0; i < len; i++) {
        struct lane_commit *l = &c->commits[i];
        l->exceptions = copy(l->exceptions, l->exceptions_len, sizeof *l->exceptions);
        l->rows_added = copy(l->rows_added, l->rows_added_len, sizeof *l->rows_added);
        l->rows_removed = copy(l->rows_removed, l->rows_removed_len, sizeof *l->rows_removed);
        l->paths = copy(l->paths, l->paths_len, sizeof *l->paths);
    }
}

void model_call_definitions(struct model_call *c, const struct define_call *from)
{
    c->define = *from;
    c->define.defs = copy(from->defs, from->len, sizeof *from->defs);
}

void model_call_failed(struct model_call *c, const struct failed_call *from)
{
    struct row_filter *f = &c->failed.filter;
    c->failed = *from;
    if (f->ids)
        f->ids = copy(f->ids, f->ids_len, sizeof *f->ids);
}

void model_call_observe(struct model_call *c, const struct observe_call *from)
{
    c->observe = *from;
    c->observe.list = copy(from->list, from->len, sizeof *from->list);
}

void model_call_free(struct model_call *c)
{
    event_unref(c->event);
    free((void *)c->lease.held);
    for (size_t i = 0; c->commits && i < c->len; i++) {
        free((void *)c->commits[i].exceptions);
        free((void *)c->commits[i].rows_added);
        free((void *)c->commits[i].rows_removed);
        free((void *)c->commits[i].paths);
    }
    free(c->commits);
    free((void *)c->define.defs);
    free((void *)c->failed.filter.ids);
    free((void *)c->observe.list);
    free(c);
}

void model_call_fail(const struct model_call *c, enum err e, const char *why)
{
    switch (c->verb) {
    case MODEL_APPEND:
        c->fn.append(c->arg, e, NULL, why);
        break;
    case MODEL_READ:
        c->fn.read(c->arg, e, NULL, 0, 0);
        break;
    case MODEL_LEASE:
        c->fn.lease(c->arg, e, NULL);
        break;
    case MODEL_COMMIT:
        c->fn.commit(c->arg, e, NULL, 0);
        break;
    case MODEL_DEFINE:
        c->fn.define(c->arg, e, NULL, why);
        break;
    case MODEL_DEPTH:
        c->fn.depth(c->arg, e, NULL);
        break;
    case MODEL_RECEIPT:
        c->fn.receipt(c->arg, e, NULL);
        break;
    case MODEL_REGISTRY:
        c->fn.registry(c->arg, e, NULL);
        break;
    case MODEL_HOLD:
        c->fn.hold(c->arg, e, NULL);
        break;
    case MODEL_FAILED_PAGE:
        c->fn.failed(c->arg, e, NULL);
        break;
    case MODEL_JOBS:
        c->fn.jobs(c->arg, e, NULL, 0);
        break;
    case MODEL_CANCEL:
        c->fn.done(c->arg, e);
        break;
    case MODEL_OBSERVE:
        c->fn.observe(c->arg, e, NULL);
        break;
    case MODEL_STATISTICS:
        c->fn.statistics(c->arg, e, NULL);
        break;
    case MODEL_LEAD:
        c->fn.lead(c->arg, e, NULL);
        break;
    }
}
