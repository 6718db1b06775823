/* What the model of the queue keeps in memory, and what its files call of each other. Nobody else
 * includes this.
 *
 * One entry for each position that ever was, one lane for each that ever was defined, one row for
 * each position of a lane that has one (a run of the contract is many rows here): everything is
 * found by walking. */
#ifndef VOLLEY_QUEUE_MODEL_STATE_H
#define VOLLEY_QUEUE_MODEL_STATE_H

#include "queue/leases.h"
#include "queue/model.h"

#define MODEL_ID_BYTES         128u              /* what an id counts in max_bytes */
#define MODEL_REQUEUE_PAUSE_MS 60000             /* an id is put back at most so often */
#define MODEL_EXPIRY_PAUSE_MS  (60u * 60 * 1000) /* after a jump of the wall clock */
#define MODEL_CLOCKS_APART_MS  1000 /* they are read one after the other, and rounded */
#define MODEL_TAIL_DELETED_MAX 64u

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

struct model_version {
    uint32_t version;
    uint64_t from; /* holds for positions above this; meaningless while pending */
    struct definition definition;
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
    struct row *rows; /* one position each, in no order */
    size_t rows_len;
    struct lane_request *requests;
    size_t requests_len;
    uint64_t last_request;

    uint64_t epoch, seq;
    bool held;
    uint8_t holder[PUBLISHER_ID_LEN];
    bool progress; /* since the last grant */
    uint32_t stalls;

    uint64_t delivered;
    struct learned learned;
    struct path_stat paths[PATHS_MAX];
    size_t paths_len;
};

struct model {
    int64_t retention_ms;
    uint64_t max_bytes, failed_max;

    struct model_entry *entries; /* entries[pos - 1] */
    uint64_t head, first;
    struct model_lane *lanes;
    size_t lanes_len;
    uint32_t lanes_made; /* numbers given so far */
    uint64_t registry_version;
    struct leases *leases;

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

/* ---- model_lane.c: lanes and who holds them ---- */
/* NULL when there is no such lane. */
struct model_lane *model_lane(const struct model *m, uint32_t number);
void model_lane_free(struct model_lane *l);
uint64_t model_position(const struct model_lane *l); /* the effective one */
const struct model_version *model_newest(const struct model_lane *l);
/* The definition that holds at `pos`. */
const struct definition *model_definition(const struct model_lane *l, uint64_t pos);
struct exception *model_exception(const struct model_lane *l, uint64_t pos); /* NULL: none */
struct row *model_row(const struct model_lane *l, uint64_t pos);             /* NULL: none */
void model_row_put(struct model_lane *l, const struct row *r); /* replaces the position's row */
void model_row_drop(struct model_lane *l, uint64_t pos);
/* Nothing is to be done about `pos` on this lane (any more). */
bool model_settled(const struct model_lane *l, uint64_t pos);
/* Somebody sent `pos` again, or it failed, less than retention ago on this lane. */
bool model_asked_lately(const struct model *m, const struct model_lane *l, uint64_t pos,
                        int64_t now_ms);
/* Gives up what is not settled from the lane's position to `to`, and the exceptions there. With
 * CLASS_RETENTION an exception that was asked for lately stays. */
void model_give_up(const struct model *m, struct model_lane *l, uint64_t to, enum row_class cls,
                   int64_t now_ms);
/* Asks for `pos` once more when it failed or expired on this lane. */
bool model_requeue(struct model_lane *l, uint64_t pos);
enum err model_define(struct model *m, const struct define_call *call, int64_t now_ms,
                      struct define_result *r, struct problem *why);
/* Tells `leases` which lanes there are. */
void model_load_leases(struct model *m, uint64_t boot_ms);
void model_release(struct model *m, uint32_t lane, uint64_t epoch);
/* The arrays in `out` are lent by the lane. */
void model_grant(struct model_lane *l, const uint8_t holder[PUBLISHER_ID_LEN],
                 struct lane_grant *out);
void model_kept(const struct model_lane *l, bool give_back, struct lane_kept *out);

/* ---- model_commit.c ---- */
void model_commit(struct model *m, const struct lane_commit *c, struct lane_committed *out);

/* ---- model_keep.c: what goes with time ---- */
/* Forgets the oldest finished ids until `bytes` more fit; none when that would not do. */
void model_make_room(struct model *m, uint64_t bytes, int64_t wall_ms);
void model_keep_house(struct model *m, int64_t wall_ms, uint64_t boot_ms);

/* ---- model_show.c: what operators see. Free with free(). ---- */
void model_depth(struct model *m, int64_t now_ms, struct queue_depth *out);
enum err model_receipt(const struct model *m, const uint8_t id[EVENT_ID_LEN],
                       struct queue_receipt *out);

#endif
