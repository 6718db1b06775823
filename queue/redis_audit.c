/* Which answers of Redis tell of a change by an operator, for the log (audit.h). */
#include "queue/audit.h"
#include "queue/queue_redis_state.h"

/* A job is made page by page: with the last one it sends. */
static void tell_replay(uint64_t *sum, const struct failed_call *c, const struct failed_page *f)
{
    for (size_t i = 0; i < f->groups_len; i++)
        *sum += f->groups[i].count - f->groups[i].gone - f->groups[i].busy;
    if (f->more)
        return;
    if (*sum > 0 || c->job == 0) /* else its last page came twice */
        audit_replay(c, f->job, *sum);
    *sum = 0;
}

static void tell(struct redis_queue *q, const struct wire_request *asked,
                 const struct wire_reply *r)
{
    if (asked->type == WIRE_DEFINE)
        audit_define(&asked->define, &r->define);
    else if (asked->type == WIRE_HOLD)
        audit_hold(&asked->hold, &r->hold);
    else if (asked->type == WIRE_CANCEL)
        audit_cancel(asked->cancel.job, asked->cancel.by);
    else if (asked->failed.what == FAILED_REPLAY)
        tell_replay(&q->replaying, &asked->failed, &r->failed);
    else if (asked->failed.what == FAILED_PURGE)
        audit_purge(&asked->failed, &r->failed);
}

void redis_audit(struct redis_queue *q, const struct call *c, const void *data, size_t len)
{
    struct wire_arena a = {0};
    struct wire_request asked;
    struct wire_reply r;
    bool changes = c->type == WIRE_DEFINE || c->type == WIRE_HOLD || c->type == WIRE_CANCEL ||
                   c->type == WIRE_FAILED;
    if (changes && wire_get_request(c->message.data, c->message.len, &a, &asked) == ERR_NONE &&
        wire_get_reply(data, len, &a, &r) == ERR_NONE && r.type == c->type && r.err == ERR_NONE)
        tell(q, &asked, &r);
    wire_arena_free(&a);
}
