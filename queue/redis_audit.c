/* The log's line for each change that an operator makes, as the broker writes it
 * (broker_operate.c): who, what, and what came of it. In Redis no process of ours stands between,
 * so who asks writes it. */
#include "queue/queue_redis_state.h"

#include "common/base/log.h"

#include <stdio.h>

static void tell_defined(const struct define_call *call, const struct define_result *r)
{
    if (r->added + r->changed + r->retired > 0)
        LOG(LOG_INFO, "relays defined", LOG_S("by", call->by), LOG_I("added", r->added),
            LOG_I("changed", r->changed), LOG_I("retired", r->retired),
            LOG_I("unchanged", r->unchanged), LOG_S("forced", call->force ? "yes" : "no"));
}

static void tell_hold(const struct hold_call *c, const struct hold_result *r)
{
    LOG(LOG_INFO, c->held ? "relay held" : "relay released", LOG_S("by", c->by),
        LOG_S("relay", c->url), LOG_I("waiting", r->waiting), LOG_I("given_up", r->given_up));
}

/* A job is made page by page: with the last one it sends. */
static void tell_replay(uint64_t *sum, const struct failed_call *c, const struct failed_page *f)
{
    char rate[24] = "any";
    for (size_t i = 0; i < f->groups_len; i++)
        *sum += f->groups[i].count - f->groups[i].gone - f->groups[i].busy;
    if (f->more)
        return;
    if (c->rate_per_1000s != 0)
        (void)snprintf(rate, sizeof rate, "%g/s", c->rate_per_1000s / 1000.0);
    if (*sum > 0 || c->job == 0) /* else its last page came twice */
        LOG(LOG_INFO, "replay job made", LOG_S("by", c->by), LOG_I("job", f->job),
            LOG_S("filter", c->text), LOG_I("deliveries", *sum), LOG_S("rate", rate));
    *sum = 0;
}

static void tell_purge(const struct failed_call *c, const struct failed_page *f)
{
    uint64_t purged = 0;
    for (size_t i = 0; i < f->groups_len; i++)
        purged += f->groups[i].count - f->groups[i].busy;
    if (purged > 0)
        LOG(LOG_INFO, "failed deliveries purged", LOG_S("by", c->by), LOG_S("filter", c->text),
            LOG_I("purged", purged));
}

static void tell(struct redis_queue *q, const struct wire_request *asked,
                 const struct wire_reply *r)
{
    if (asked->type == WIRE_DEFINE)
        tell_defined(&asked->define, &r->define);
    else if (asked->type == WIRE_HOLD)
        tell_hold(&asked->hold, &r->hold);
    else if (asked->type == WIRE_CANCEL)
        LOG(LOG_INFO, "replay job cancelled", LOG_S("by", asked->cancel.by),
            LOG_I("job", asked->cancel.job));
    else if (asked->failed.what == FAILED_REPLAY)
        tell_replay(&q->replaying, &asked->failed, &r->failed);
    else if (asked->failed.what == FAILED_PURGE)
        tell_purge(&asked->failed, &r->failed);
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
