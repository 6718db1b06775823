/* Who is alive and who holds which lane, in memory: the bookkeeping around lease_plan, the same for
 * the broker and the model. Pure: no clock, no store, no socket.
 *
 * What must be durable (the holder of a lane and its epoch) is the caller's: this table says what
 * to release and what to grant, the caller does it in its store and tells the new epochs back. A
 * lane is granted only when nobody holds it: given back, or its holder's term ended.
 *
 * One lease call is answered so:
 *
 *     leases_renew(l, call, now_ms)         of every call at hand, before anybody is expired
 *     leases_expire(l, now_ms, &freed)      store_release each of `freed`
 *     leases_answer(l, call, &a)            store_release each of a.released; then
 *                                           store_grant each of a.grants and leases_granted it;
 *                                           a.kept and a.lost go into the reply as they are
 *
 * `now_ms` is the boot clock's. Whoever was stalled itself reads what arrived meanwhile, and renews
 * it, before it expires anyone. */
#ifndef VOLLEY_QUEUE_LEASES_H
#define VOLLEY_QUEUE_LEASES_H

#include "queue/lease.h"
#include "queue/store.h"

#define LEASES_PUBLISHERS_MAX 1024u /* alive at once; more are refused */
#define LEASES_GRANTS_MAX     1024u /* by one answer, as it travels whole; the next brings more */

struct leases;

/* Knows no lane and nobody. */
struct leases *leases_new(void);
/* NULL is fine. */
void leases_free(struct leases *l);

/* Takes the list of lanes as the store has it: at start, and after each define. New lanes join,
 * missing ones leave (their holders find them in `lost`), routes are taken over. A lane that is
 * here keeps its holder; one that is new with a durable holder counts that publisher as alive for
 * one full term from now (a restarted broker does not know better), serving the routes of the lanes
 * it holds, until it calls. */
void leases_load(struct leases *l, const struct store_lane *lanes, size_t len, uint64_t now_ms);

/* The publisher of `call` is alive for LEASE_TERM_MS from now; takes its name, routes and wish to
 * leave. ERR_FULL: LEASES_PUBLISHERS_MAX others are alive; the call must then be refused. */
MUST_USE enum err leases_renew(struct leases *l, const struct lease_call *call, uint64_t now_ms);

struct lease_ref {
    uint32_t lane;
    uint64_t epoch;
};

/* Forgets every publisher whose term ended at or before now. Nobody holds its lanes any more:
 * `*freed`, the table's, valid until the next call. */
void leases_expire(struct leases *l, uint64_t now_ms, const struct lease_ref **freed,
                   size_t *freed_len);

struct lease_keep {
    uint32_t lane;
    uint64_t epoch;
    bool give_back;
};
struct lease_answer {
    const struct lease_ref *released; /* given back; or held by the caller here but not named by it:
                                         it never heard of the grant */
    size_t released_len;
    const uint32_t *grants; /* the caller's from now on, ascending */
    size_t grants_len;
    const struct lease_keep *kept; /* in the order of the call */
    size_t kept_len;
    const uint32_t
        *lost; /* named by the caller, but not its own (any more), or with an old epoch */
    size_t lost_len;
};

/* Decides one call of a publisher that was renewed. Notes what the call tells about its lanes. The
 * arrays are the table's, valid until the next call but leases_granted. */
void leases_answer(struct leases *l, const struct lease_call *call, struct lease_answer *out);
/* The caller granted `lane` (one of the answer's grants) and its store gave it `epoch`. */
void leases_granted(struct leases *l, uint32_t lane, const uint8_t publisher[PUBLISHER_ID_LEN],
                    uint64_t epoch);

/* The answer under way tells the holder that `lane` is not held (any more): if its word was that it
 * is, it goes on now. So LANE_HELD is only ever told of a holder that stopped and was not told to
 * go on since. */
void leases_not_held(struct leases *l, uint32_t lane);

/* For queue_depth: what the holder told last, and its name. A lane nobody holds (or that is not
 * known) is LANE_UNLEASED with an empty name, since it was given back or its holder's term ended,
 * or since this table knows it; one whose holder has not told yet is LANE_IDLE. `wall_ms` and
 * `now_ms` are the same moment on the wall and on the boot clock. */
void leases_status(const struct leases *l, uint32_t lane, int64_t wall_ms, uint64_t now_ms,
                   struct lane_live *live, char publisher[PUBLISHER_NAME_SIZE]);

/* A number that changes when a lease call of somebody would bring something that his last one did
 * not: lanes are free, or shall be somebody else's. */
uint64_t leases_news(const struct leases *l);

/* How many lanes there are. */
size_t leases_lanes(const struct leases *l);
/* When the first term ends, on the boot clock; UINT64_MAX when nobody is alive. */
uint64_t leases_next_expiry(const struct leases *l);

#endif
