#include "queue/audit.h"

#include "common/base/log.h"

#include <stdio.h>

void audit_define(const struct define_call *c, const struct define_result *r)
{
    if (r->added + r->changed + r->retired > 0)
        LOG(LOG_INFO, "relays defined", LOG_S("by", c->by), LOG_I("added", r->added),
            LOG_I("changed", r->changed), LOG_I("retired", r->retired),
            LOG_I("unchanged", r->unchanged), LOG_S("forced", c->force ? "yes" : "no"));
}

void audit_hold(const struct hold_call *c, const struct hold_result *r)
{
    if (r->changed)
        LOG(LOG_INFO, c->held ? "relay held" : "relay released", LOG_S("by", c->by),
            LOG_S("relay", c->url), LOG_I("waiting", r->waiting), LOG_I("given_up", r->given_up));
}

void audit_replay(const struct failed_call *c, uint64_t job, uint64_t deliveries)
{
    char rate[24] = "any";
    if (c->rate_per_1000s != 0)
        (void)snprintf(rate, sizeof rate, "%g/s", c->rate_per_1000s / 1000.0);
    LOG(LOG_INFO, "replay job made", LOG_S("by", c->by), LOG_I("job", job),
        LOG_S("filter", c->text), LOG_I("deliveries", deliveries), LOG_S("rate", rate));
}

void audit_purge(const struct failed_call *c, const struct failed_page *f)
{
    uint64_t purged = 0;
    for (size_t i = 0; i < f->groups_len; i++)
        purged += f->groups[i].count - f->groups[i].busy;
    if (purged > 0)
        LOG(LOG_INFO, "failed deliveries purged", LOG_S("by", c->by), LOG_S("filter", c->text),
            LOG_I("purged", purged));
}

void audit_cancel(uint64_t job, const char *by)
{
    LOG(LOG_INFO, "replay job cancelled", LOG_S("by", by), LOG_I("job", job));
}
