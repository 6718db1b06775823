/* The seam: what a queue promises, whatever keeps it. Publishers, ingest and operators' commands
 * know only this file (and what it includes: terms.h, operate.h, statistics.h).
 *
 * A queue is a LOG WITH LANES. An event is appended once to a shared log and gets a dense position
 * 1, 2, 3 …. Each relay is a lane: a committed POSITION (everything at or below it is dealt with,
 * except the exceptions), at most QUEUE_EXCEPTIONS_MAX EXCEPTIONS (positions in flight or waiting
 * for a retry), and ROWS for what did not simply arrive. What a lane passed since its start and no
 * exception or row covers was delivered, or filtered by the definition that held there.
 *
 *   depth of a lane = head - position + exceptions
 *
 * Every call is asynchronous. Its callback is called exactly once, later, from the loop's thread,
 * never from inside the call; also with ERR_CLOSED for what was under way at queue_close. What a
 * callback is lent is valid until it returns. Inputs are copied before a call returns. ERR_UNKNOWN:
 * the request was sent and no answer came, so it may have happened: appends are then answered
 * "outcome unknown, send again"; reads and leases are simply repeated; a commit is repeated with
 * the same sequence number, which is harmless. ERR_CLOSED: it was not sent, the queue is out of
 * reach.
 *
 * Durable times are the queue's own wall clock (ms since 1970). A queue's replies carry it, so that
 * clients need not agree. */
#ifndef VOLLEY_QUEUE_QUEUE_H
#define VOLLEY_QUEUE_QUEUE_H

#include "queue/operate.h"
#include "queue/statistics.h"

#include <uv.h>

#define LEASE_TERM_MS   10000u
#define LEASE_RENEW_MS  2000u
#define LEASE_MARGIN_MS 2000u /* the holder stops writing this long before the term ends */

/* ---- leases
 * ---------------------------------------------------------------------------------------------------------
 */

struct lease_held {
    uint32_t lane;
    uint64_t epoch;
    struct lane_live live;
    bool give_back; /* settled and committed: the queue may grant it to another */
};

/* One call renews all a publisher has and asks for its share. */
struct lease_call {
    uint8_t publisher[PUBLISHER_ID_LEN];
    char name[PUBLISHER_NAME_SIZE];
    uint32_t routes; /* bit (1 << enum route): what this publisher serves */
    bool leaving;    /* grants nothing new; the share is taken back as lanes are given back */
    const struct lease_held *held;
    size_t held_len;
};

/* A lane newly granted, with all its owner needs. */
struct lane_grant {
    uint32_t lane;
    uint64_t epoch;              /* durable; grows with every grant */
    uint64_t start;              /* positions at or below were never this lane's business */
    uint64_t position;           /* effective: never below the floor */
    uint32_t definition_version; /* in force */
    struct definition definition;
    uint32_t next_version; /* larger than definition_version: `next` takes force with the first
                              commit that names it, for what lies above that commit's position */
    struct definition next;
    bool held;
    uint32_t
        stalls; /* grants and hang-ups without progress: from 2 on the first window is suspect */
    const struct exception *exceptions; /* by position, ascending */
    size_t exceptions_len;
    const struct lane_request *requests;
    size_t requests_len;
    struct learned learned;
};

/* News about a lane that stays with its holder. */
struct lane_kept {
    uint32_t lane;
    uint64_t floor; /* what lies at or below was given up by the queue (expired) */
    uint32_t
        next_version; /* as in the grant; fetch `next` only when it is larger than what is known */
    const struct definition *next; /* NULL when the version is the one in force */
    bool held;
    bool give_back; /* settle what is in flight, commit, give back: another publisher shall have it
                     */
    const struct lane_request *requests;
    size_t requests_len;
};

struct lease_reply {
    int64_t now_ms; /* the queue's clock */
    uint64_t head;
    uint64_t registry_version;
    const struct lane_grant *grants;
    size_t grants_len;
    const struct lane_kept *kept;
    size_t kept_len;
    const uint32_t *lost; /* held by the caller's account, but the epoch is stale or the lane is
                             gone: drop at once */
    size_t lost_len;
    uint64_t heartbeat_number; /* the latest heartbeat, as long as nobody has committed it; 0 */
    struct event *heartbeat;   /* lent; NULL */
};

/* ---- commits
 * --------------------------------------------------------------------------------------------------------
 */

/* Of a heartbeat only `lane` (HEARTBEAT_LANE) and `position` (its number) count; whoever committed
 * it first, the others are COMMIT_REPEATED. COMMIT_INVALID: there never was one of this number. */

struct lane_commit {
    uint32_t lane;
    uint64_t epoch;
    uint64_t seq; /* 1, 2, 3 … per epoch, no gaps; one seen before changes nothing and is answered
                     as it was */
    uint64_t position; /* never falls, never beyond the head */
    uint64_t floor;    /* the last one the holder heard of, in lane_kept or in an answer (or the
                          grant's position): what the queue gave up up to there the holder did not
                          settle. What it gave up above, the holder settled not knowing of it */
    const struct exception
        *exceptions; /* all of them, ascending by position, all at or below `position` */
    size_t exceptions_len;
    const struct row *rows_added; /* replace a row of the same position */
    size_t rows_added_len;
    const uint64_t *rows_removed;
    size_t rows_removed_len;
    uint64_t requests_taken;     /* up to this number; 0 for none */
    uint32_t definition_version; /* the one in force, or a pending one: that takes force above
                                    `position` */
    uint32_t stalls;             /* 0 when there was progress */
    uint64_t delivered;          /* since the last commit, for counters */
    struct learned learned;
    const struct path_stat *paths; /* deltas */
    size_t paths_len;
};

enum commit_status {
    COMMIT_DONE,
    COMMIT_REPEATED, /* this sequence number was seen before: nothing was changed again */
    COMMIT_STALE,    /* the epoch is not the lane's: the caller holds nothing there */
    COMMIT_INVALID,  /* falls, jumps beyond the head, leaves a gap in seq, breaks a bound: a bug of
                        the caller; nothing was changed */
    COMMIT_STATUS_COUNT
};
struct lane_committed {
    uint32_t lane;
    enum commit_status status;
    uint64_t
        position; /* now, effective: larger than what was asked for when the floor is above it */
};

/* ---- the table
 * ------------------------------------------------------------------------------------------------------
 */

struct queue;

typedef void queue_append_fn(void *arg, enum err e, const struct append_result *r, const char *why);
typedef void queue_read_fn(void *arg, enum err e, const struct queue_event *events, size_t len,
                           uint64_t head);
typedef void queue_lease_fn(void *arg, enum err e, const struct lease_reply *r);
typedef void queue_commit_fn(void *arg, enum err e, const struct lane_committed *lanes, size_t len);
typedef void queue_registry_fn(void *arg, enum err e, const struct queue_registry *r);
typedef void queue_hold_fn(void *arg, enum err e, const struct hold_result *r);
typedef void queue_failed_fn(void *arg, enum err e, const struct failed_page *p);
typedef void queue_jobs_fn(void *arg, enum err e, const struct replay_job *jobs, size_t len);
typedef void queue_done_fn(void *arg, enum err e);
typedef void queue_define_fn(void *arg, enum err e, const struct define_result *r, const char *why);
typedef void queue_depth_fn(void *arg, enum err e, const struct queue_depth *d);
typedef void queue_receipt_fn(void *arg, enum err e, const struct queue_receipt *r);
typedef void queue_observe_fn(void *arg, enum err e, const struct observe_result *r);
typedef void queue_statistics_fn(void *arg, enum err e, const struct statistics_page *p);
typedef void queue_lead_fn(void *arg, enum err e, const struct lead_result *r);
typedef void queue_closed_fn(void *arg);
/* What backends keep of a call under way: the one that its verb has. */
union queue_callback {
    queue_append_fn *append;
    queue_read_fn *read;
    queue_lease_fn *lease;
    queue_commit_fn *commit;
    queue_define_fn *define;
    queue_depth_fn *depth;
    queue_receipt_fn *receipt;
    queue_registry_fn *registry;
    queue_hold_fn *hold;
    queue_failed_fn *failed;
    queue_jobs_fn *jobs;
    queue_done_fn *done; /* cancel */
    queue_observe_fn *observe;
    queue_statistics_fn *statistics;
    queue_lead_fn *lead;
};

struct queue_follower {
    void (*on_tail)(void *arg, const struct queue_tail *t);
    /* A beat, every 100 ms: what is missing up to `head` must be read. `news` changes when a lease
     * call may bring something that the last one did not (a lane to hold or to give back, requests,
     * a hold, a definition): a hint too, as the next renewal brings it anyway. */
    void (*on_head)(void *arg, uint64_t head, uint64_t news);
    void *arg;
    /* The queue may not be what it was (Redis was restarted, or a replica took over): what was told
     * and read before is to be read again, and the head may have fallen. NULL: not of interest. */
    void (*on_restart)(void *arg);
};

struct queue_ops {
    /* Adds an event, or finds it. Answered after the commit that holds it. A heartbeat is taken
     * whatever the lanes are. Errors: ERR_NO_LANES,
     * ERR_FILTERED (every lane would filter it), ERR_FULL (max_bytes), ERR_NO_SPACE (disk),
     * ERR_UNKNOWN, ERR_CLOSED; `why` is then a line fit for an OK message. Appends of one loop turn
     * travel together; those of one caller keep their order. The event is referenced until the
     * callback. */
    void (*append)(struct queue *q, struct event *ev, queue_append_fn *fn, void *arg);

    /* Positions from … to, both included (`to` may lie beyond the head): every position from `from`
     * on, none skipped, as far as QUEUE_READ_MAX allows; an empty answer means `from` is beyond the
     * head. Facts as of now. */
    void (*read)(struct queue *q, uint64_t from, uint64_t to, queue_read_fn *fn, void *arg);

    /* Sends tail and beats until queue_close. A hint, never the truth: some may be missed without
     * notice. One follower a queue. NULL stops. */
    void (*follow)(struct queue *q, const struct queue_follower *f);

    /* See struct lease_call. Which lanes whom: lease_plan in lease.h, the same in all backends. One
     * call in flight. */
    void (*lease)(struct queue *q, const struct lease_call *call, queue_lease_fn *fn, void *arg);

    /* All changed lanes of a publisher at once; answered, lane by lane in the same order, after it
     * is durable. One call in flight. */
    void (*commit)(struct queue *q, const struct lane_commit *lanes, size_t len,
                   queue_commit_fn *fn, void *arg);

    /* Puts a list of definitions in force: new lanes start (a registry that never had one: at the
     * log's first event; else at the head, or at the oldest kept event with backfill), changed ones
     * get a new pending version, missing ones retire. The list in force again changes nothing.
     * ERR_INVALID for a URL twice or too many. ERR_STALE: this very list (definition_list_hash) was
     * in force and has been replaced since, by another, at most LISTS_MAX ago: so a container with
     * an old configuration that merely restarts changes nothing; `force` puts it in force all the
     * same. `why` is a line for people. */
    void (*define)(struct queue *q, const struct define_call *call, queue_define_fn *fn, void *arg);

    void (*depth)(struct queue *q, queue_depth_fn *fn, void *arg);
    /* ERR_NOT_FOUND: never accepted, or forgotten after retention. */
    void (*receipt)(struct queue *q, const uint8_t id[EVENT_ID_LEN], queue_receipt_fn *fn,
                    void *arg);

    /* All lanes with all their definitions. */
    void (*registry)(struct queue *q, queue_registry_fn *fn, void *arg);
    /* Holds or releases the lane of one relay, durably: its owner hears it with the next lease
     * reply. ERR_NOT_FOUND: no lane that is not retired has this URL. */
    void (*hold)(struct queue *q, const struct hold_call *call, queue_hold_fn *fn, void *arg);

    /* One page of failed deliveries: see struct failed_call. ERR_NOT_FOUND: REPLAY names a job (by
     * number or token) that is not known, or was cancelled; ERR_FULL: JOBS_MAX jobs are not over
     * yet. */
    void (*failed)(struct queue *q, const struct failed_call *call, queue_failed_fn *fn, void *arg);
    /* All jobs, ascending.
     *
     * A running job is stepped with the queue's housekeeping (100 ms), after all else of it, job by
     * job ascending: it earns rate × boot time, at most one second's worth, but never less than one
     * delivery at most (and has just one delivery at its first step, and at the queue's first);
     * then, lane by lane in turn (ascending, beginning after the lane that had the last turn), each
     * lane's lowest position that waits is put back as a request, while the lane has fewer than
     * QUEUE_REQUESTS_MAX of them, is not retired, and what was earned lasts; at most JOB_STEP_MAX
     * turns a step. Its row stays until the delivery is settled. A position whose bytes are gone
     * when its turn comes is dropped and costs nothing; one that is asked for already, or an
     * exception, counts as asked. Being asked for so is as being appended again: retention and the
     * minute of requeued begin anew. */
    void (*jobs)(struct queue *q, queue_jobs_fn *fn, void *arg);
    /* Stops a job: what waits, and what was asked for and not taken up by the lane's owner, is
     * dropped, with the request; what is in flight (an exception) is settled. ERR_NOT_FOUND: no
     * such job, or it is over. */
    void (*cancel)(struct queue *q, uint64_t job, const char *by, queue_done_fn *fn, void *arg);

    /* Adds to the statistics. Answered after it is durable. What was sent and not answered
     * (ERR_UNKNOWN) may be counted, and is better forgotten than sent again. ERR_INVALID: too many,
     * or a path there is not; ERR_STALE: a prober's epoch that is not the leader's: nothing is
     * counted then. */
    void (*observe)(struct queue *q, const struct observe_call *call, queue_observe_fn *fn,
                    void *arg);
    void (*statistics)(struct queue *q, const struct statistics_call *call, queue_statistics_fn *fn,
                       void *arg);
    /* Asks to lead, or to go on: see struct lead_result. */
    void (*lead)(struct queue *q, const struct lead_call *call, queue_lead_fn *fn, void *arg);

    /* Ends everything under way (callbacks with ERR_CLOSED, or ERR_UNKNOWN for what was sent), then
     * frees `q` and calls `fn`. */
    void (*close)(struct queue *q, queue_closed_fn *fn, void *arg);
};

/* Every backend's struct begins with this. */
struct queue {
    const struct queue_ops *ops;
    /* Why it can't be reached although somebody is there (our key is refused, another version), in
     * a line for people, as long as it is so. Empty: nothing more is known than the error says. */
    struct problem trouble;
};

struct queue_options {
    const char *url;      /* zmq+ipc://PATH, zmq+tcp://HOST:PORT, redis://HOST:PORT/DB,
                             redis+unix:///PATH/DB */
    const char *keys_dir; /* zmq+tcp: where client.key and server.pub are; else NULL or empty */
    uint32_t timeout_ms;  /* an answer that takes longer is ERR_UNKNOWN; 0: 10 s */
    bool quiet;           /* the caller shows `trouble` himself; else the log does */

    /* On Redis alone. Whoever uses the queue brings its limits, as no process of ours stands
     * between: those of struct store_options (lane_max 0: half of max_bytes). */
    const char *prefix;        /* of all keys; NULL or empty: "volley" */
    const char *password_file; /* NULL or empty: none */
    int64_t retention_ms;
    uint64_t max_bytes, failed_max, lane_max;
    bool unsafe; /* use a Redis that may lose what it acknowledged, all the same */
    bool lives;  /* a service: it keeps house when its turn comes */
    bool strict; /* as services do, look whether there is memory for max_bytes */
};
/* What the configuration says: url, keys, and the lines for Redis. */
struct config;
struct queue_options queue_options_of(const struct config *c);
/* Picks the backend by the URL's scheme. Connects in the background: calls made meanwhile wait for
 * it, at most timeout_ms, then ERR_CLOSED. ERR_UNSUPPORTED for a scheme this build does not offer,
 * ERR_INVALID for a bad URL. */
MUST_USE enum err queue_open(uv_loop_t *loop, const struct queue_options *o, struct queue **out,
                             struct problem *p);

#endif
