/* Which relays there are to be probed, and by which families: from the queue's registry and what
 * its statistics know of earlier probes. Pure. */
#ifndef VOLLEY_PROBE_TARGETS_H
#define VOLLEY_PROBE_TARGETS_H

#include "common/net/link.h"
#include "probe/schedule.h"
#include "queue/queue.h"

struct target {
    uint32_t lane;
    struct relay_url url;
    enum route route;
    enum family_mode modes[2]; /* what an act is asked for; an item's `family` is the index */
    size_t modes_len;
};

/* One path's last probe. */
struct target_known {
    uint32_t lane;
    enum route route;
    enum family family;
    uint64_t ago_ms;
    int32_t failures; /* in a row */
};

struct targets {
    struct target *list; /* by lane */
    size_t len;
    struct target_known *known; /* by lane */
    size_t known_len;
};
void targets_free(struct targets *t);
/* Replaces the list: lanes that are not retired, as last defined, whose route is one of `routes`
 * (bits) and can be taken from here. */
void targets_take(struct targets *t, const struct queue_registry *r, uint32_t routes,
                  const struct socks_ports *socks);
/* Adds what a page tells. */
void targets_learn(struct targets *t, const struct statistics_page *p);
void targets_forget(struct targets *t); /* what was learned */
const struct target *targets_find(const struct targets *t, uint32_t lane);
/* For schedule_set; the caller frees it. */
struct schedule_item *targets_items(const struct targets *t, size_t *len);

#endif
