/* The embedded queue on disk: one LMDB environment in `dir`, opened by one process, touched by one
 * thread.
 *
 * The broker works in turns: store_begin, any number of changes, store_commit, and only then the
 * answers. Every change is synchronous and takes the time as an argument. All reads are allowed in
 * and out of a turn, and see the turn's own changes. Structs, limits and rules are queue.h's;
 * docs/storage.md describes the tables and argues each crash point.
 *
 * Errors: functions that change return ERR_IO or ERR_CORRUPT when LMDB does; the turn must then be
 * given up and the process end, acknowledging nothing. */
#ifndef VOLLEY_QUEUE_STORE_H
#define VOLLEY_QUEUE_STORE_H

#include "queue/queue.h"

struct store;

struct store_options {
    const char *dir; /* made with mode 0700 when missing */
    int64_t retention_ms;
    uint64_t max_bytes;  /* canonical bytes and 128 an id; the map on disk is larger */
    uint64_t failed_max; /* bytes kept for replay */
    uint64_t
        lane_max; /* canonical bytes and 128 an id that one lane may pin; 0: half of max_bytes */
};

/* ERR_LOCKED: another process has it. ERR_CORRUPT: looked at before it is mapped (meta, length), or
 * a record that fails its checksum. ERR_VERSION: a format this build does not know; the one before
 * its own it writes anew, in one turn. ERR_IO, ERR_NO_SPACE. `p` says what, where and how to mend
 * it; nothing on disk is touched then. Makes one durable commit before it returns, so that what a
 * dead broker left is settled before anyone is answered. */
MUST_USE enum err store_open(const struct store_options *o, int64_t now_ms, struct store **out,
                             struct problem *p);
/* NULL is fine. A turn that is open is given up. */
void store_close(struct store *s);
/* What the last ERR_IO or ERR_CORRUPT was about, in one line. Empty when there was none. */
const char *store_problem(const struct store *s);

MUST_USE enum err store_begin(struct store *s);
/* Durable when it returns ERR_NONE (mdb_txn_commit with sync). Any error is fatal for the process.
 */
MUST_USE enum err store_commit(struct store *s);
/* Forgets the turn's changes. */
void store_abort(struct store *s);

/* One append; a heartbeat has no position (0) and nothing for the tail. ERR_NO_LANES, ERR_FILTERED,
 * ERR_FULL, ERR_NO_SPACE leave nothing changed, `why` says it in words fit for an OK message.
 * `tail` (may be NULL) gets what the tail must tell, all zero when nothing was added; its arrays
 * are the store's, valid until the next call. */
MUST_USE enum err store_append(struct store *s, struct event *ev, int64_t now_ms,
                               struct append_result *r, struct queue_tail *tail,
                               struct problem *why);

/* Calls `fn` for each position from `from` to `to`, ascending, none skipped, until it returns
 * false. What it is lent is valid until it returns (the event has a reference of its own: event_ref
 * to keep). */
typedef bool store_read_fn(void *arg, const struct queue_event *ev);
MUST_USE enum err store_read(struct store *s, uint64_t from, uint64_t to, store_read_fn *fn,
                             void *arg);

uint64_t store_head(const struct store *s);
/* The latest heartbeat, lent until the next turn, and its number, as long as nobody has committed
 * it; else NULL and 0. */
struct event *store_heartbeat(const struct store *s, uint64_t *number);
uint64_t store_registry_version(const struct store *s);

MUST_USE enum err store_define(struct store *s, const struct define_call *call, int64_t now_ms,
                               struct define_result *r, struct problem *why);

/* Every lane that is not retired, for leases.h: number, route, and its durable holder (all zero:
 * none) with its epoch. */
struct store_lane {
    uint32_t lane;
    enum route route;
    bool held;
    uint8_t holder[PUBLISHER_ID_LEN];
    uint64_t epoch;
};
/* Fills at most `max` and returns how many there are. The route is that of the newest definition,
 * in force or not. */
size_t store_lanes(struct store *s, struct store_lane *out, size_t max);
/* A new epoch for a new holder; counts a stall when the last holder made no progress. Fills `out`:
 * its arrays are the store's, valid until the next call. ERR_NOT_FOUND: no such lane, or retired.
 */
MUST_USE enum err store_grant(struct store *s, uint32_t lane,
                              const uint8_t holder[PUBLISHER_ID_LEN], const char *holder_name,
                              int64_t now_ms, struct lane_grant *out);
/* The holder gave it back, or its term ended: nobody holds it. The epoch stays. Nothing happens
 * when the epoch is not the lane's (any more). */
MUST_USE enum err store_release(struct store *s, uint32_t lane, uint64_t epoch);
/* A number that changes when a floor is raised, or an operator's word about a hold is another: what
 * owners have to hear of. It begins anew with each opening. */
uint64_t store_news(const struct store *s);
/* News for a lane that stays. Arrays and pointers are the store's, valid until the next call.
 * ERR_STALE when the epoch is not the lane's. */
MUST_USE enum err store_kept(struct store *s, uint32_t lane, uint64_t epoch, struct lane_kept *out);

/* One lane's commit. Only ERR_IO and ERR_CORRUPT are errors; everything else is in out->status. */
MUST_USE enum err store_lane_commit(struct store *s, const struct lane_commit *c, int64_t now_ms,
                                    struct lane_committed *out);

/* live is left for the broker to fill, and publisher is what the last grant was told; arrays are
 * the store's, valid until the next call. */
MUST_USE enum err store_depth(struct store *s, int64_t now_ms, struct queue_depth *out);
MUST_USE enum err store_receipt(struct store *s, const uint8_t id[EVENT_ID_LEN],
                                struct queue_receipt *out);
/* Settled or not, lane by lane, for the "blasted" line: how many lanes had it delivered, failed,
 * waiting; filtered and skipped lanes, and those that started later, are not counted. ERR_NOT_FOUND
 * when the position is forgotten. */
struct store_tally {
    uint8_t id[EVENT_ID_LEN];
    int64_t accepted_ms;
    uint32_t delivered, failed, waiting;
};
MUST_USE enum err store_tally(struct store *s, uint64_t pos, struct store_tally *out);

/* Its arrays are the store's, valid until the next call. */
MUST_USE enum err store_registry(struct store *s, struct queue_registry *out);
/* Within a turn. ERR_NOT_FOUND. */
MUST_USE enum err store_hold(struct store *s, const struct hold_call *c, int64_t now_ms,
                             struct hold_result *out);

/* One page; within a turn when it replays or purges. ERR_NOT_FOUND, ERR_FULL. ERR_NO_SPACE: REPLAY
 * and PURGE on a disk that is too full for appends; steps, cancelling and holding are never refused
 * for that. The answer's arrays are the store's, valid until the next call. */
MUST_USE enum err store_failed(struct store *s, const struct failed_call *c, int64_t now_ms,
                               struct failed_page *out);
MUST_USE enum err store_jobs(struct store *s, const struct replay_job **jobs, size_t *len);
/* Within a turn. ERR_NOT_FOUND. */
MUST_USE enum err store_cancel(struct store *s, uint64_t job, int64_t now_ms);
/* Whether a step may do anything: jobs are known, or something that they left is swept. */
bool store_has_jobs(const struct store *s);
/* One step of every job, as queue_ops.jobs describes it; forgets those that are over for longer
 * than retention. `*asked`: some lane has new requests. Within a turn. */
MUST_USE enum err store_step_jobs(struct store *s, int64_t now_ms, uint64_t boot_ms, bool *asked);

/* Within a turn. ERR_INVALID, ERR_STALE; ERR_NO_SPACE: a disk that is too full for appends. */
MUST_USE enum err store_observe(struct store *s, const struct observe_call *c, int64_t now_ms,
                                uint64_t boot_ms, struct observe_result *out);
/* Its arrays are the store's, valid until the next call. */
MUST_USE enum err store_statistics(struct store *s, const struct statistics_call *c, int64_t now_ms,
                                   uint64_t boot_ms, struct statistics_page *out);
/* Within a turn. `*changed`: there is another leader, or none any more. */
MUST_USE enum err store_lead(struct store *s, const struct lead_call *c, int64_t now_ms,
                             uint64_t boot_ms, struct lead_result *out, bool *changed);

/* Other limits from now on, between turns; `dir` does not matter. */
void store_set_limits(struct store *s, const struct store_options *o);

/* Trims what lies below every lane, expires what is older than retention and what a lane pins
 * beyond lane_max (raising floors to the lowest position with which it fits; an append that finds
 * the queue full looks at lane_max first, too; a lane pins what lies in the log from its lowest
 * needed position to the head: an exception below the log's first pins nothing), forgets ids whose
 * time is up: at most about `work_max` records a call; *more says whether anything is left to do. A
 * wall clock that jumped by more than the boot clock moved since the last call expires nothing for
 * an hour. Within a turn. */
MUST_USE enum err store_housekeep(struct store *s, int64_t now_ms, uint64_t boot_ms,
                                  unsigned work_max, bool *more);

#endif
