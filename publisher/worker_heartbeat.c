/* Where heartbeats end (queue/heartbeat.h). The target stands in this process: it does what a relay
 * would, reads the event and checks its signature, and what it accepts is committed. */
#include "publisher/worker.h"

#include "common/base/log.h"
#include "queue/heartbeat.h"

void worker_take_heartbeat(struct worker *w, const struct lease_reply *r, uint64_t now_ms)
{
    struct problem why = {.text = "it is another event"};
    if (r->heartbeat == NULL)
        return;
    if (!heartbeat_is(r->heartbeat) || event_verify(r->heartbeat, &why) != ERR_NONE) {
        LOG(LOG_ERROR, "a heartbeat came damaged out of the queue", LOG_S("problem", why.text),
            LOG_I("number", r->heartbeat_number));
        return;
    }
    w->heartbeat = r->heartbeat_number;
    worker_commit(w, now_ms);
}
