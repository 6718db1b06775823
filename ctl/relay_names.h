/* The relays of a queue by lane, and which of them a person means: a URL in any spelling, or the
 * name somebody gave it. */
#ifndef VOLLEY_CTL_RELAY_NAMES_H
#define VOLLEY_CTL_RELAY_NAMES_H

#include "queue/queue.h"

#include <cjson/cJSON.h>

struct relay_name {
    uint32_t lane;
    bool retired;
    enum lane_hold hold;
    bool hold_defined; /* the list says hold */
    char url[URL_SIZE], name[RELAY_NAME_SIZE];
};
/* Ascending by lane, as the queue tells them. Zeroed before the first; frees with relay_names_fini.
 */
struct relay_names {
    struct relay_name *rows; /* owned */
    size_t len;
};
void relay_names_add(struct relay_names *n, uint32_t lane, bool retired,
                     const struct definition *d);
void relay_names_take(struct relay_names *n, const struct queue_registry *r);
void relay_names_fini(struct relay_names *n);

/* NULL when the queue knew no such lane yet. */
const struct relay_name *relay_names_lane(const struct relay_names *n, uint32_t lane);
/* The relay that `text` means, one that is not retired before one that is. NULL: `p` says that
 * there is none and the nearest, or that two have this name. */
const struct relay_name *relay_names_find(const struct relay_names *n, const char *text,
                                          struct problem *p);
/* What a table shows: the name, or the URL without "wss://"; clean. `r` NULL: "lane 7". */
const char *relay_name_label(const struct relay_name *r, uint32_t lane, char out[URL_SIZE]);
/* Adds "relay" and "name"; null what is unknown. */
void relay_name_json(cJSON *o, const struct relay_name *r);

/* The definition in force: of the versions the last that does not wait. */
const struct lane_version *lane_in_force(const struct lane_entry *lane);
/* The one that waits for its lane's owner, or NULL. */
const struct lane_version *lane_waiting(const struct lane_entry *lane);

#endif
