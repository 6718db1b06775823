/* The seam: what a queue promises, whatever keeps it. Publishers, ingest and operators' commands
 * know only this file.
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
 * clients need not agree.
 *
 * Replay, purge, hold, release and listing failed rows will join the table at its end; what they
 * need is already in the data: requests, row classes, the held flag, definition history. */
#ifndef VOLLEY_QUEUE_QUEUE_H
#define VOLLEY_QUEUE_QUEUE_H

#include "common/net/definition.h"
#include "common/nostr/event.h"

#include <uv.h>

#define QUEUE_EXCEPTIONS_MAX 1024u /* with this many a lane reads no further */
#define QUEUE_REQUESTS_MAX   64u   /* handed to an owner at a time */
#define QUEUE_LANES_MAX      16384u
#define QUEUE_READ_MAX       (1024u * 1024u) /* bytes of one read's answer, but at least one event */
#define QUEUE_TEXT_SIZE      256 /* a relay's words in a row, cut at a character's end */
#define LEASE_TERM_MS        10000u
#define LEASE_RENEW_MS       2000u
#define LEASE_MARGIN_MS      2000u /* the holder stops writing this long before the term ends */
#define PUBLISHER_ID_LEN     16    /* random, anew for each process */
#define PUBLISHER_NAME_SIZE  80    /* host:pid, for people */

/* ---- the log
 * --------------------------------------------------------------------------------------------------------
 */

/* Why a position has no event any more. */
enum gone { GONE_NO, GONE_TRIMMED /* finished everywhere, or older than retention */ };

/* One position of the log, with the facts a route needs. */
struct queue_event {
    uint64_t pos;
    enum gone gone;
    int64_t accepted_ms;
    struct event *event; /* lent; NULL when gone. event_ref to keep */
    uint64_t newer; /* position of the newest version of the same address when this is not it; 0 */
    uint64_t deleted_by; /* position of its author's deletion (NIP-09); 0. Never set on a kind 5 */
};

struct append_result {
    uint64_t pos;      /* the event's position, the old one for a duplicate */
    bool duplicate;    /* it was there already */
    uint32_t requeued; /* duplicate: on so many lanes it was put back (failed or expired before; at
                          most once a minute an id) */
};

/* What the tail tells: an event that was just committed, and which older positions it supersedes or
 * deletes. */
struct queue_tail {
    struct queue_event ev;
    const uint64_t *
        superseded; /* positions whose newest version this now is; at most one known to the index */
    size_t superseded_len;
    const uint64_t *deleted;
    size_t
        deleted_len; /* at most 64; `deleted_more` when there were more: facts must be read again */
    bool deleted_more;
};

/* ---- lanes
 * ----------------------------------------------------------------------------------------------------------
 */

#define EXCEPTION_SUSPECT                                                                          \
    1u /* may be what makes the relay hang up: goes alone, its attempt committed before sending */
#define EXCEPTION_SENT 2u /* was written to the relay at least once without an answer */

struct exception {
    uint64_t pos;
    uint32_t attempts; /* paid so far */
    uint32_t flags;
    int64_t not_before_ms; /* queue's wall clock; 0: at once. Readers clamp it to backoff_max from
                              now */
};

/* How a position ended, when not simply delivered. */
enum row_end { ROW_SKIPPED, ROW_FAILED, ROW_EXPIRED, ROW_PURGED, ROW_END_COUNT };
enum row_class {
    CLASS_NONE,
    /* skipped */
    CLASS_SUPERSEDED, /* a newer version is deliverable on this lane; or the relay said replaced: */
    CLASS_DELETED,    /* by its author; or the relay said deleted: */
    CLASS_OUTDATED,   /* NIP-40, its own expiration passed */
    CLASS_EPHEMERAL,  /* could not be sent within 60 s */
    CLASS_PROTECTED,  /* NIP-70 */
    CLASS_VANISHED,   /* NIP-62 */
    CLASS_OPERATOR,
    /* failed */
    CLASS_BLOCKED,
    CLASS_RESTRICTED,
    CLASS_MUTE,
    CLASS_INVALID,
    CLASS_POW,
    CLASS_AUTH,
    CLASS_REFUSED,
    CLASS_ERROR,
    CLASS_TIMEOUT,
    /* expired */
    CLASS_RETENTION,
    CLASS_LANE_MAX,
    CLASS_RETIRED,
    CLASS_RELEASED,
    CLASS_COUNT
};
const char *row_end_name(enum row_end e);     /* "skipped" … */
const char *row_class_name(enum row_class c); /* "superseded" … */

struct row {
    uint64_t from, to; /* one event: the same. Runs are made by the queue alone (expired) */
    enum row_end end;
    enum row_class cls;
    uint32_t attempts;
    int64_t first_ms, last_ms; /* first and last attempt, or when it was decided; queue's clock */
    enum route route;          /* of the last attempt */
    enum family family;        /* of the last attempt; FAMILY_NONE when it never was sent */
    char text[QUEUE_TEXT_SIZE];
};

/* Somebody asked for this position to be sent again (the event was appended again; later: a replay
 * job). Durable until the lane's owner takes it up in a commit: from then on the position is an
 * exception. Its row stays until it is settled. */
struct lane_request {
    uint64_t number; /* rises per lane */
    uint64_t pos;
};

/* Connections by route and family, since the lane began, or since the last commit when it is a
 * delta. */
struct path_stat {
    enum route route;
    enum family family;
    uint64_t attempts, successes, failures;
    uint64_t connect_us, tls_us, websocket_us; /* sums over successes, by phase */
    int64_t last_success_ms, last_failure_ms;  /* 0: never */
};
#define PATHS_MAX (ROUTE_COUNT * FAMILY_COUNT)
/* Adds a delta of the same route and family. */
void path_stat_add(struct path_stat *total, const struct path_stat *delta);

/* What a lane's owner learned about the relay; moves with the lane. */
struct learned {
    uint32_t window;          /* 0: nothing learned yet */
    uint32_t rate_per_1000s;  /* 0: no limit met */
    enum family family;       /* of the last good connection */
    uint32_t ipv6_failures;   /* in a row */
    int64_t demoted_until_ms; /* IPv4 first until then; 0 */
};

enum lane_state {
    LANE_UNLEASED,
    LANE_IDLE,
    LANE_CONNECTING,
    LANE_OPEN,
    LANE_BACKOFF,
    LANE_HELD,
    LANE_STATE_COUNT
};
const char *lane_state_name(enum lane_state s);

/* What an owner tells about a lane with each renewal. Not durable. */
struct lane_live {
    enum lane_state state;
    int64_t since_ms;
    uint32_t in_flight;
    enum family family;      /* of the connection now; FAMILY_NONE */
    int64_t retry_at_ms;     /* backoff: when it tries again; 0 */
    uint32_t rate_per_1000s; /* deliveries, over the last 10 s */
    char last_error[QUEUE_TEXT_SIZE];
};

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
};

/* ---- commits
 * --------------------------------------------------------------------------------------------------------
 */

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

/* ---- what operators see
 * --------------------------------------------------------------------------------------------- */

struct lane_status {
    uint32_t lane;
    bool retired;
    uint32_t definition_version;
    struct definition definition;
    uint64_t start, position;
    uint64_t depth;
    uint64_t retrying;                 /* exceptions that wait */
    uint64_t failed, skipped, expired; /* events covered by such rows */
    uint64_t delivered;                /* counted since the lane began */
    int64_t oldest_ms;                 /* when the oldest unsettled event was accepted; 0 */
    bool held;
    struct lane_live live; /* state LANE_UNLEASED when nobody holds it */
    char publisher[PUBLISHER_NAME_SIZE];
    struct learned learned;
    const struct path_stat *paths;
    size_t paths_len;
};
struct queue_depth {
    int64_t now_ms;
    uint64_t head,
        first; /* newest and oldest position kept; first is head+1 when the log is empty */
    uint64_t events, bytes, max_bytes; /* canonical bytes and 128 an id */
    const struct lane_status *lanes;
    size_t lanes_len;
};

/* What became of one event at one lane. */
enum receipt_end {
    RECEIPT_DELIVERED,
    RECEIPT_QUEUED,
    RECEIPT_RETRYING,
    RECEIPT_FILTERED,
    RECEIPT_ROW /* as `row` says */,
    RECEIPT_NEVER /* before the lane's start */
};
struct receipt_lane {
    uint32_t lane;
    char url[URL_SIZE], name[RELAY_NAME_SIZE];
    bool retired;
    enum receipt_end end;
    struct row row;             /* RECEIPT_ROW; also for RETRYING when it failed before */
    struct exception exception; /* RETRYING */
};
struct queue_receipt {
    uint8_t id[EVENT_ID_LEN];
    uint64_t pos;
    int64_t accepted_ms;
    uint32_t kind;
    const struct receipt_lane *lanes;
    size_t lanes_len;
};

struct define_result {
    uint32_t added, changed, retired, unchanged;
    uint64_t registry_version;
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
typedef void queue_define_fn(void *arg, enum err e, const struct define_result *r, const char *why);
typedef void queue_depth_fn(void *arg, enum err e, const struct queue_depth *d);
typedef void queue_receipt_fn(void *arg, enum err e, const struct queue_receipt *r);
typedef void queue_closed_fn(void *arg);

struct queue_follower {
    void (*on_tail)(void *arg, const struct queue_tail *t);
    void (*on_head)(void *arg,
                    uint64_t head); /* a beat, every 100 ms; what is missing must be read */
    void *arg;
};

struct queue_ops {
    /* Adds an event, or finds it. Answered after the commit that holds it. Errors: ERR_NO_LANES,
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
     * get a new pending version, missing ones retire. The same list again changes nothing.
     * ERR_INVALID for a URL twice or too many. */
    void (*define)(struct queue *q, const struct definition *defs, size_t len, queue_define_fn *fn,
                   void *arg);

    void (*depth)(struct queue *q, queue_depth_fn *fn, void *arg);
    /* ERR_NOT_FOUND: never accepted, or forgotten after retention. */
    void (*receipt)(struct queue *q, const uint8_t id[EVENT_ID_LEN], queue_receipt_fn *fn,
                    void *arg);

    /* Ends everything under way (callbacks with ERR_CLOSED, or ERR_UNKNOWN for what was sent), then
     * frees `q` and calls `fn`. */
    void (*close)(struct queue *q, queue_closed_fn *fn, void *arg);
};

/* Every backend's struct begins with this. */
struct queue {
    const struct queue_ops *ops;
};

struct queue_options {
    const char *url;     /* zmq+ipc://PATH today; redis:// and zmq+tcp:// have their own issues */
    uint32_t timeout_ms; /* an answer that takes longer is ERR_UNKNOWN; 0: 10 s */
};
/* Picks the backend by the URL's scheme. Connects in the background: calls made meanwhile wait for
 * it, at most timeout_ms, then ERR_CLOSED. ERR_UNSUPPORTED for a scheme this build does not offer,
 * ERR_INVALID for a bad URL. */
MUST_USE enum err queue_open(uv_loop_t *loop, const struct queue_options *o, struct queue **out,
                             struct problem *p);

#endif
