/* What the model of the queue keeps in memory, and what its files call of each other. Nobody else
 * includes this.
 *
 * One entry for each position that ever was, one lane for each that ever was defined, one row for
 * each position of a lane that has one (a run of the contract is many rows here): everything is
 * found by walking. */
#ifndef VOLLEY_QUEUE_MODEL_STATE_H
#define VOLLEY_QUEUE_MODEL_STATE_H

#include "queue/heartbeat.h"
#include "queue/lead.h"
#include "queue/leases.h"
#include "queue/model.h"
#include "queue/windows.h"

#define MODEL_ID_BYTES         128u              /* what an id counts in max_bytes */
#define MODEL_REQUEUE_PAUSE_MS 60000             /* an id is put back at most so often */
#define MODEL_EXPIRY_PAUSE_MS  (60u * 60 * 1000) /* after a jump of the wall clock */
#define MODEL_CLOCKS_APART_MS  1000 /* they are read one after the other, and rounded */
#define MODEL_TAIL_DELETED_MAX 64u
#define MODEL_DELIVERY_COST    1000000u

/* A position of the log. */
struct model_entry {
    struct event *event; /* for its facts; NULL when nothing needs them any more */
    bool forgotten;      /* its id is not known any more */
    bool came_again;     /* its facts were known from a forgotten position */
    int64_t accepted_ms;
    bool kept; /* its bytes are to be had: in the log, or kept for replay */
    int64_t trimmed_ms;
    int64_t failed_ms;   /* of its latest failed row, even if that is gone */
    int64_t requeued_ms; /* when it was last put back; 0 */
};

/* The row of one position at one lane. */
struct model_row {
    struct row row;
    uint64_t job; /* the replay job it is in; 0 */
    bool asked;   /* its turn in that job has come */
};

struct model_version {
    uint32_t version;
    uint64_t from; /* holds for positions above this; meaningless while pending */
    struct definition definition;
};

/* Statistics of one way to a lane's relay. */
struct model_path {
    enum stat_source source;
    enum route route;
    enum family family;
    struct windows windows;
};

struct model_lane {
    uint32_t number;
    bool retired;
    int64_t retired_ms;
    struct model_version *versions; /* ascending; those after `in_force` are pending */
    size_t versions_len, in_force;

    uint64_t start, position, floor;
    struct exception *exceptions;
    size_t exceptions_len;
    struct model_row *rows; /* in no order */
    size_t rows_len;
    struct row *history; /* failed rows that commits replaced or removed, oldest first */
    size_t history_len;
    struct lane_request *requests;
    size_t requests_len;
    uint64_t last_request;

    enum lane_hold hold; /* an operator's word */
    uint64_t epoch, seq;
    bool leased;
    uint8_t holder[PUBLISHER_ID_LEN];
    bool progress; /* since the last grant */
    uint32_t stalls;

    uint64_t delivered;
    struct learned learned;
    struct path_stat paths[PATHS_MAX];
    size_t paths_len;
    struct model_path *observed; /* by source, route, family */
    size_t observed_len;
    uint64_t observed_version;
};

struct model_job {
    struct replay_job job;
    uint64_t token;
    uint32_t last_lane; /* had the last turn */
    /* not durable: */
    bool paged; /* a page came since the last step */
    uint64_t paged_boot_ms;
    bool stepped;
    uint64_t stepped_boot_ms;
    uint64_t credit; /* a delivery costs MODEL_DELIVERY_COST */
};

/* A list of definitions that is or was in force. */
struct model_list {
    uint8_t hash[32];
    int64_t since_ms;
    char by[OPERATOR_SIZE];
};

struct model {
    int64_t retention_ms;
    uint64_t max_bytes, failed_max, lane_max;

    struct model_entry *entries; /* entries[pos - 1] */
    uint64_t head, first;
    struct model_lane *lanes;
    size_t lanes_len;
    uint32_t lanes_made; /* numbers given so far */
    uint64_t registry_version;
    bool defined;                                /* there is a list */
    struct model_list list, replaced[LISTS_MAX]; /* the latest last */
    size_t replaced_len;
    struct leases *leases;
    uint64_t news; /* what leases do not know: requests, floors, holds, definitions, heartbeats */
    struct heartbeat heartbeat;
    struct event *beat; /* the latest; NULL */

    struct model_job *jobs; /* by number, ascending */
    size_t jobs_len;
    uint64_t jobs_made;

    uint64_t statistics_version;
    struct leader leaders[LEAD_ROLE_COUNT];

    bool looked; /* housekeeping has looked at the clocks before */
    int64_t looked_wall_ms;
    uint64_t looked_boot_ms;
    uint64_t no_expiry_until_boot_ms;
};

/* ---- model_log.c: positions ---- */
/* NULL when there is no such position. */
struct model_entry *model_entry(const struct model *m, uint64_t pos);
/* The position of an id; 0 when it is not known (any more). */
uint64_t model_find(const struct model *m, const uint8_t id[EVENT_ID_LEN]);
/* Both are versions of one address. */
bool model_same_address(const struct event *a, const struct event *b);
/* What counts against max_bytes. */
uint64_t model_bytes(const struct model *m);
/* What a read tells of a position now; the event is lent. */
struct queue_event model_look(const struct model *m, uint64_t pos);
enum err model_append(struct model *m, struct event *ev, int64_t now_ms, struct append_result *r,
                      struct problem *why);
/* The positions that `pos`, just appended, supersedes or deletes: up to `max` into `out`, in
 * ascending order; returns how many there are. */
size_t model_superseded(const struct model *m, uint64_t pos, uint64_t *out, size_t max);
size_t model_deleted(const struct model *m, uint64_t pos, uint64_t *out, size_t max);

/* ---- model_rows.c: how positions ended ---- */
struct model_row *model_row(const struct model_lane *l, uint64_t pos); /* NULL: none */
/* Replaces the position's row, which leaves its replay job. */
void model_row_put(struct model *m, struct model_lane *l, const struct row *r, int64_t now_ms);
/* How a position left its replay job. */
enum model_settled { MODEL_DELIVERED, MODEL_FAILED, MODEL_DROPPED };
/* Fine when there is no row. */
void model_row_drop(struct model *m, struct model_lane *l, uint64_t pos, enum model_settled how,
                    int64_t now_ms);
/* Keeps the position's row, if it failed, as something that was. */
void model_row_remember(struct model_lane *l, uint64_t pos);
/* Row and history go. */
void model_row_forget(struct model *m, struct model_lane *l, uint64_t pos, int64_t now_ms);
/* Somebody sent `pos` again, or it failed, less than retention ago on this lane. */
bool model_asked_lately(const struct model *m, const struct model_lane *l, uint64_t pos,
                        int64_t now_ms);
/* NULL: nobody asked for `pos`, or that was taken up. */
struct lane_request *model_request(const struct model_lane *l, uint64_t pos);
void model_request_add(struct model *m, struct model_lane *l, uint64_t pos);
void model_request_drop(struct model_lane *l, uint64_t pos);
/* Asks for `pos` once more when it failed, expired or was purged on this lane. */
bool model_requeue(struct model *m, struct model_lane *l, uint64_t pos);
/* Gives up what is not settled from the lane's position to `to`, and the exceptions there. With
 * CLASS_RETENTION an exception that was asked for lately stays. Returns how many. */
uint64_t model_give_up(struct model *m, struct model_lane *l, uint64_t to, enum row_class cls,
                       int64_t now_ms);

/* ---- model_lane.c: lanes and who holds them ---- */
/* NULL when there is no such lane. */
struct model_lane *model_lane(const struct model *m, uint32_t number);
/* The one that is not retired. NULL: none. */
struct model_lane *model_lane_of(const struct model *m, const char *url);
void model_lane_free(struct model_lane *l);
uint64_t model_position(const struct model_lane *l); /* the effective one */
const struct model_version *model_newest(const struct model_lane *l);
/* The definition that holds at `pos`. */
const struct definition *model_definition(const struct model_lane *l, uint64_t pos);
bool model_held(const struct model_lane *l);
struct exception *model_exception(const struct model_lane *l, uint64_t pos); /* NULL: none */
/* Nothing is to be done about `pos` on this lane (any more). */
bool model_settled(const struct model_lane *l, uint64_t pos);
uint64_t model_depth_of(const struct model *m, const struct model_lane *l);
/* Tells `leases` which lanes there are. */
void model_load_leases(struct model *m, uint64_t boot_ms);
void model_release(struct model *m, uint32_t lane, uint64_t epoch);
/* The arrays in `out` are lent by the lane. */
void model_grant(struct model_lane *l, const uint8_t holder[PUBLISHER_ID_LEN],
                 struct lane_grant *out);
void model_kept(const struct model_lane *l, bool give_back, struct lane_kept *out);

/* ---- model_define.c: the registry ---- */
enum err model_define(struct model *m, const struct define_call *call, int64_t now_ms,
                      struct define_result *r, struct problem *why);
enum err model_hold(struct model *m, const struct hold_call *call, int64_t now_ms,
                    struct hold_result *r);
/* Free with model_registry_free. */
void model_registry(const struct model *m, struct queue_registry *out);
void model_registry_free(struct queue_registry *r);

/* ---- model_failed.c ---- */
/* Free with model_failed_free, when ERR_NONE. */
enum err model_failed(struct model *m, const struct failed_call *c, int64_t now_ms,
                      struct failed_page *out);
void model_failed_free(struct failed_page *p);

/* ---- model_jobs.c ---- */
/* The job that a page is for, made when it is the first. ERR_NOT_FOUND, ERR_FULL. */
enum err model_job_page(struct model *m, const struct failed_call *c, int64_t now_ms,
                        struct model_job **out);
void model_job_add(struct model_job *j, struct model_row *r);
/* It has all its rows. */
void model_job_start(struct model_job *j, int64_t now_ms);
/* `r` leaves its job, if it is in one. */
void model_job_settle(struct model *m, struct model_row *r, enum model_settled how, int64_t now_ms);
/* All of the lane's rows leave their jobs: it retires. */
void model_jobs_leave(struct model *m, struct model_lane *l, int64_t now_ms);
/* What was asked for on this lane and is neither a request nor an exception any more. */
void model_jobs_sweep(struct model *m, struct model_lane *l, int64_t now_ms);
enum err model_cancel(struct model *m, uint64_t job, int64_t now_ms);
void model_step_jobs(struct model *m, int64_t now_ms, uint64_t boot_ms);
/* What of them is not durable goes. */
void model_jobs_restart(struct model *m);

/* ---- model_commit.c ---- */
void model_commit(struct model *m, const struct lane_commit *c, int64_t now_ms,
                  struct lane_committed *out);

/* ---- model_keep.c: what goes with time ---- */
/* When that is needed: makes lanes fit into lane_max, then forgets the oldest finished ids until
 * `bytes` more fit; none when that would not do. */
void model_make_room(struct model *m, uint64_t bytes, int64_t wall_ms);
/* The wall clock moved further than the machine was up since it was looked at last, or did so less
 * than an hour ago. */
bool model_is_calm(const struct model *m, int64_t wall_ms, uint64_t boot_ms);
void model_keep_house(struct model *m, int64_t wall_ms, uint64_t boot_ms);

/* ---- model_show.c: what operators see ---- */
void model_depth(struct model *m, int64_t now_ms, uint64_t boot_ms, struct queue_depth *out);
void model_depth_free(struct queue_depth *d);
enum err model_receipt(const struct model *m, const uint8_t id[EVENT_ID_LEN],
                       struct queue_receipt *out);
void model_receipt_free(struct queue_receipt *r);

/* ---- model_statistics.c ---- */
/* ERR_INVALID, ERR_STALE. */
enum err model_observe(struct model *m, const struct observe_call *c, int64_t now_ms,
                       uint64_t boot_ms, struct observe_result *out);
/* Free with model_statistics_free. */
void model_statistics(const struct model *m, const struct statistics_call *c, int64_t now_ms,
                      uint64_t boot_ms, struct statistics_page *out);
void model_statistics_free(struct statistics_page *p);

#endif
