/* What operators see of a queue, and do to it: depth, receipts, the registry of lanes, failed
 * deliveries and their replay. Part of queue.h, which has the calls. */
#ifndef VOLLEY_QUEUE_OPERATE_H
#define VOLLEY_QUEUE_OPERATE_H

#include "queue/terms.h"

#define OPERATOR_SIZE    PUBLISHER_NAME_SIZE /* who asks, user@host, for the log and the jobs */
#define FILTER_TEXT_SIZE 256                 /* a filter as it was typed, for people */
#define FILTER_IDS_MAX   65536u
#define FAILED_PAGE_MAX  1000u /* rows of one page */
#define FAILED_LOOKS_MAX                                                                           \
    20000u /* positions that one page looks at, so that the queue answers others meanwhile */
#define HISTORY_MAX  8u   /* earlier failures of one event at one lane that are kept */
#define JOBS_MAX     256u /* replay jobs known; the oldest ended one makes room, else ERR_FULL */
#define JOB_STEP_MAX 512u /* of one job at one step of housekeeping */
#define LISTS_MAX    256u /* relay lists that were replaced and are remembered */
/* A job whose next page does not come for so long is dropped and forgotten: by the boot clock, from
 * the first step after its last page (or after a restart) on. */
#define JOB_COLLECT_MS 60000

/* ---- depth ---- */

struct lane_status {
    uint32_t lane;
    bool retired;
    uint32_t definition_version;
    struct definition definition;
    uint64_t start, position;
    uint64_t depth;
    uint64_t retrying;                 /* exceptions that wait */
    uint64_t asked;                    /* to be sent again, and not taken up by the owner yet */
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
    struct heartbeat heartbeat;
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
    const struct row
        *history; /* earlier failures, oldest first: each time a failed row was replaced
                     or removed by a commit. At most HISTORY_MAX, the latest */
    size_t history_len;
};
struct queue_receipt {
    uint8_t id[EVENT_ID_LEN];
    uint64_t pos;
    int64_t accepted_ms;
    uint32_t kind;
    const struct receipt_lane *lanes;
    size_t lanes_len;
};

/* ---- the registry of lanes ---- */

enum lane_hold {
    HOLD_AS_DEFINED,
    HOLD_HELD,
    HOLD_RELEASED,
    HOLD_COUNT
};                                            /* an operator's word outranks the list */
const char *lane_hold_name(enum lane_hold h); /* "defined" "held" "released" */

struct lane_version {
    uint32_t version;
    uint64_t from; /* holds for positions above this; 0 while it waits */
    bool waits;    /* for a commit of the lane's owner */
    struct definition definition;
};
struct lane_entry {
    uint32_t lane;
    bool retired;
    int64_t retired_ms;
    uint64_t start, position;
    enum lane_hold hold;
    const struct lane_version
        *versions; /* ascending; the one in force is the last that does not wait */
    size_t versions_len;
};
struct queue_registry {
    uint64_t version;
    int64_t defined_ms;             /* when the list came into force; 0: there is none */
    char defined_by[OPERATOR_SIZE]; /* who put it in force */
    const struct lane_entry *lanes; /* retired ones too, ascending */
    size_t lanes_len;
};

/* A list of definitions to put in force. */
struct define_call {
    const struct definition *defs;
    size_t len;
    bool force; /* also one that was in force once and was replaced since */
    char by[OPERATOR_SIZE];
};
struct define_result {
    uint32_t added, changed, retired, unchanged;
    uint64_t registry_version;
};

struct hold_call {
    char url[URL_SIZE]; /* normalized */
    bool held;          /* else released */
    bool from_now;      /* released: what waited up to now is given up (expired, class released) */
    char by[OPERATOR_SIZE];
};
struct hold_result {
    uint64_t waiting;  /* depth afterwards */
    uint64_t given_up; /* by from_now */
    bool changed;      /* the operator's word is another than before, or something was given up */
};

/* ---- failed deliveries ---- */

/* Which rows are meant: failed and expired ones, nothing else: never skipped or purged ones. Of a
 * run every position counts by itself, with the run's times. What is zero does not matter, the rest
 * all apply. */
struct row_filter {
    char url[URL_SIZE]; /* normalized; retired lanes of this relay too */
    uint32_t classes;   /* bits, 1 << enum row_class; 0: all that failed, none that expired */
    char reason[QUEUE_TEXT_SIZE]; /* the text contains it; ASCII letters match in either case */
    bool has_kind;
    uint32_t kind;
    bool has_author;
    uint8_t author[32];
    const uint8_t (*ids)[EVENT_ID_LEN]; /* NULL: any; else one of these, FILTER_IDS_MAX at most */
    size_t ids_len;
    int64_t older_than_ms,
        newer_than_ms; /* the age of row.last_ms by the queue's clock is larger, or smaller */
    uint32_t min_attempts;
};

enum failed_do {
    FAILED_LIST,
    FAILED_COUNT,
    FAILED_REPLAY, /* puts what can be replayed into a job */
    FAILED_PURGE,  /* makes them purged, but those in a job: class, text, attempts and times stay */
    FAILED_DO_COUNT
};

/* Where a page ended: opaque, all zero before the first one. */
struct row_mark {
    uint32_t phase;
    uint64_t a, b;
};

/* One page of a walk over all rows that a filter means. The caller asks again with `next` as long
 * as there is `more`. A page may be repeated when its answer was lost.
 *
 * A replay is made so: the first page (job 0) makes the job and names it, the others add to it, and
 * the last one starts it: with nothing in it, it is done at once. Until then it sends nothing, and
 * it is dropped when no page comes for JOB_COLLECT_MS. A page for a job that is running or done (a
 * repeated one) changes nothing and is answered without groups or more. */
struct failed_call {
    enum failed_do what;
    struct row_filter filter;
    struct row_mark after;
    uint32_t limit;          /* LIST: rows of this page, 1 … FAILED_PAGE_MAX */
    uint64_t job;            /* REPLAY: 0 to make one */
    uint64_t token;          /* REPLAY: random; making a job twice with the same one makes one */
    uint32_t rate_per_1000s; /* REPLAY: deliveries put back, of the job as a whole; 0: no limit */
    char text[FILTER_TEXT_SIZE]; /* REPLAY, PURGE: the filter in words, for people */
    char by[OPERATOR_SIZE];
};
struct failed_row {
    uint32_t lane;
    uint8_t id[EVENT_ID_LEN], author[32];
    uint32_t kind;
    int64_t accepted_ms;
    struct row row;  /* of this one position, also when a run covers it */
    bool replayable; /* its bytes are kept, and its lane is not retired */
    uint64_t job;    /* the replay job it is in; 0 */
};
struct failed_group {
    uint32_t lane;
    enum row_class cls;
    uint64_t count; /* that the filter means, on this page */
    uint64_t gone;  /* of these: can't be replayed, and not busy */
    uint64_t busy;  /* of these: in a replay job (REPLAY: in another one) */
};
struct failed_page {
    const struct failed_row *rows; /* LIST */
    size_t rows_len;
    const struct failed_group *groups; /* all but LIST; ascending by lane, class */
    size_t groups_len;
    uint64_t job; /* REPLAY: the job, also when nothing was put into it (yet) */
    bool more;
    struct row_mark next;
};

/* ---- replay jobs ---- */

enum job_state { JOB_COLLECTING, JOB_RUNNING, JOB_DONE, JOB_CANCELLED, JOB_STATE_COUNT };
const char *job_state_name(enum job_state s);

/* total = waiting + asked + delivered + failed + dropped. Kept for retention after its end.
 *
 * A position of a job is settled, also while it waits, as soon as its row is no longer what it was:
 * delivered when a commit removes the row, failed when a commit puts a failed row there, dropped
 * when anything else does (another row by a commit, expiry, retiring, a purge can't); also when its
 * id is forgotten, and when it was taken up and is neither an exception nor asked for any more
 * (a filter stops it now). A job is done when nothing waits or is asked. One that was cancelled is
 * over at once; its counters go on until what was in flight is settled. */
struct replay_job {
    uint64_t number; /* 1, 2, 3 … */
    enum job_state state;
    int64_t made_ms, ended_ms; /* ended: 0 while it is not over */
    uint32_t rate_per_1000s;
    uint64_t total;
    uint64_t waiting;   /* its turn has not come */
    uint64_t asked;     /* put back into its lane, and not settled there */
    uint64_t delivered; /* arrived */
    uint64_t failed;    /* again */
    uint64_t dropped; /* ended otherwise: skipped, expired, purged, no bytes any more, lane retired,
                         cancelled */
    char text[FILTER_TEXT_SIZE];
    char by[OPERATOR_SIZE];
};

#endif
