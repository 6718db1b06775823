/* Statistics, and who leads, at the broker. */
#include "queue/broker_state.h"

#include "common/base/log.h"

static void do_observe(struct broker *b, const struct observe_call *c, struct wire_reply *r)
{
    if (broker_change(b))
        (void)broker_is_done(
            b, r, store_observe(b->store, c, broker_wall_ms(b), broker_boot_ms(b), &r->observe));
}

/* Asking to go on changes nothing durable; another leader does. */
static void do_lead(struct broker *b, const struct lead_call *c, struct wire_reply *r)
{
    static const char *const roles[LEAD_ROLE_COUNT] = {[LEAD_PROBER] = "prober"};
    bool changed = false;
    if (!broker_change(b) || !broker_is_done(b, r,
                                             store_lead(b->store, c, broker_wall_ms(b),
                                                        broker_boot_ms(b), &r->lead, &changed)))
        return;
    if (changed)
        LOG(LOG_INFO, c->leaving ? "gives up the lead" : "leads", LOG_S("role", roles[c->role]),
            LOG_S("name", c->name), LOG_I("epoch", r->lead.epoch));
}

void broker_count(struct broker *b, const struct wire_request *q, struct wire_reply *r)
{
    switch (q->type) {
    case WIRE_OBSERVE:
        do_observe(b, &q->observe, r);
        break;
    case WIRE_STATISTICS:
        (void)broker_is_read(b, r,
                             store_statistics(b->store, &q->statistics, broker_wall_ms(b),
                                              broker_boot_ms(b), &r->statistics));
        break;
    case WIRE_LEAD:
        do_lead(b, &q->lead, r);
        break;
    default:
        die("request %d is none of statistics", (int)q->type);
    }
}
