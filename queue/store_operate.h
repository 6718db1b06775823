/* What the store's files for operators share: replay jobs, pages of failed deliveries, the history
 * of lists and of failures, a lane's share of the log. Goes with store_internal.h. */
#ifndef VOLLEY_QUEUE_STORE_OPERATE_H
#define VOLLEY_QUEUE_STORE_OPERATE_H

#include "queue/store_internal.h"

/* ---- store_upgrade.c ---- */

/* Writes all records of the format before anew. Within the turn in which a store is opened. */
MUST_USE enum err store_upgrade(struct store *s, int64_t now_ms);

/* ---- store_codec_operate.c ---- */

void list_pack(struct pack *p, const struct list *l);
bool list_unpack(struct unpack *u, struct list *l);
void job_pack(struct pack *p, const struct job *j);
bool job_unpack(struct unpack *u, struct job *j); /* not its number */
void member_pack(struct pack *p, const struct member *m);
bool member_unpack(struct unpack *u, struct member *m);

/* ---- store_statistics.c ---- */

MUST_USE enum err leaders_load(struct store *s);
/* The lane goes. */
MUST_USE enum err statistics_drop(struct store *s, uint32_t lane);

/* ---- store_housekeep.c ---- */

/* The wall clock moved further than the machine was up since it was looked at last, or did so less
 * than an hour ago. */
bool clock_is_calm(const struct store *s, int64_t wall_ms, uint64_t boot_ms);

/* ---- store_lists.c ---- */

/* ERR_STALE when this list was in force and has been replaced since; `why` says by whom. `*again`:
 * it is the one in force. */
MUST_USE enum err list_check(struct store *s, const uint8_t hash[32], bool *again,
                             struct problem *why);
/* It is in force now. */
MUST_USE enum err list_begin(struct store *s, const uint8_t hash[32], const char *by,
                             int64_t now_ms);
/* The one in force. ERR_NOT_FOUND: there is none. */
MUST_USE enum err list_in_force(struct store *s, struct list *l);

/* ---- store_history.c ---- */

/* Keeps the row of `pos`, if it failed, as something that was: a commit takes it away. */
MUST_USE enum err history_keep(struct store *s, const struct lane *l, uint64_t pos);
MUST_USE enum err history_load(struct store *s, uint32_t lane, uint64_t pos,
                               struct row rows[HISTORY_MAX], size_t *len);
/* Of all lanes at these positions. */
MUST_USE enum err history_forget(struct store *s, uint64_t from, uint64_t to);

/* ---- store_lane_max.c ---- */

/* Each lane that pins more than lane_max gives up its oldest. */
MUST_USE enum err lanes_give_up_excess(struct store *s, int64_t now_ms);

/* ---- store_jobs.c ---- */

MUST_USE enum err jobs_load(struct store *s);
MUST_USE enum err jobs_flush(struct store *s);
struct job *job_find(const struct store *s, uint64_t number); /* NULL: none */
static inline bool job_over(const struct job *j)
{
    return j->told.state == JOB_DONE || j->told.state == JOB_CANCELLED;
}
/* The job that a page of REPLAY is for, made when it is the first. ERR_NOT_FOUND, ERR_FULL. */
MUST_USE enum err job_for_page(struct store *s, const struct failed_call *c, int64_t now_ms,
                               struct job **out);
/* It has all its rows. */
void job_start(struct job *j, int64_t now_ms);
/* Ends it when nothing is left to do. */
void job_end_if_done(struct job *j, int64_t now_ms);
MUST_USE enum err job_forget(struct store *s, struct job *j);

/* ---- store_job_rows.c ---- */

/* How a position left its job. */
enum settled { SETTLED_DELIVERED, SETTLED_FAILED, SETTLED_DROPPED };

/* The job that this row is in, and whether it was asked for; NULL: in none. */
MUST_USE enum err member_get(struct store *s, uint32_t lane, uint64_t pos, struct job **j,
                             bool *asked);
MUST_USE enum err member_add(struct store *s, struct job *j, uint32_t lane, uint64_t pos);
/* Its turn has come. */
MUST_USE enum err member_ask(struct store *s, struct job *j, uint32_t lane, uint64_t pos);
/* It leaves its job, if it is in one. */
MUST_USE enum err member_settle(struct store *s, uint32_t lane, uint64_t pos, enum settled how,
                                int64_t now_ms);
/* Nobody has it as an exception or asks for it any more: its turn in the job is over, if it had
 * come. */
MUST_USE enum err member_vanish(struct store *s, const struct lane *l, uint64_t pos,
                                int64_t now_ms);
MUST_USE enum err members_settle(struct store *s, uint32_t lane, uint64_t from, uint64_t to,
                                 enum settled how, int64_t now_ms);
/* The first row from `from` to `to` that is in a job. ERR_NOT_FOUND. */
MUST_USE enum err member_next(struct store *s, uint32_t lane, uint64_t from, uint64_t to,
                              uint64_t *pos, struct job **j);
/* The first lane from this number on that something of the job waits for, and its lowest position.
 * ERR_NOT_FOUND. */
MUST_USE enum err waiting_next(struct store *s, const struct job *j, uint32_t from, uint32_t *lane,
                               uint64_t *pos);
/* Removes what jobs that are over left behind, about `work` records. */
MUST_USE enum err leftovers_sweep(struct store *s, unsigned work);

/* ---- store_room.c ---- */

/* As room_for, for what an operator writes beside appends; only ERR_NO_SPACE. */
MUST_USE enum err room_for_operator(struct store *s);

/* ---- store_heartbeat.c ---- */

MUST_USE enum err heartbeat_load(struct store *s);
/* See store_append. */
MUST_USE enum err heartbeat_append(struct store *s, struct event *ev, int64_t now_ms,
                                   struct append_result *r, struct problem *why);
MUST_USE enum err heartbeat_take(struct store *s, const struct lane_commit *c, int64_t now_ms,
                                 struct lane_committed *out);

/* ---- store_filter.c ---- */

/* A filter, looked through once. */
struct filter {
    const struct row_filter *f;
    int64_t now_ms;
    bool by_event;                       /* something of the event itself must be looked at */
    const uint8_t (**ids)[EVENT_ID_LEN]; /* sorted, each once; NULL: any */
    size_t ids_len;
};
void filter_init(struct filter *out, const struct row_filter *f, int64_t now_ms);
void filter_fini(struct filter *f);
/* Whether rows that expired may be meant, too. */
bool filter_takes_expired(const struct filter *f);
bool filter_takes_lane(const struct filter *f, const struct lane *l);
bool filter_takes_row(const struct filter *f, const struct row *r);
bool filter_takes_event(const struct filter *f, const struct entry *en);

/* ---- store_page.c ---- */

/* Rows of one lane that a filter means, from … to. */
struct meant {
    struct lane *l;
    const struct row *row; /* of just this position, or a run around it */
    uint64_t from, to;
};
/* Takes them. Of a run perhaps the first only: `*done` says up to where, p->looks are lowered. */
struct page;
typedef enum err page_take_fn(struct page *p, const struct meant *m, uint64_t *done);

/* One page of a walk. */
struct page {
    struct store *s;
    const struct failed_call *call;
    struct filter filter;
    unsigned looks;  /* left */
    bool one_by_one; /* `take` gets single positions only */
    bool full;       /* `take` wants no more */
    page_take_fn *take;
    struct row_mark mark; /* after what was looked at last */
    bool more;
    struct entry entry; /* of the position looked at last */
    uint64_t entry_pos;
};
#define PAGE_OF_TAKER(p, type) ((type *)(void *)(p)) /* a taker's struct begins with its page */
/* Walks on from the mark as far as looks last. */
MUST_USE enum err page_walk(struct page *p);
/* The position's entry, read once. ERR_NOT_FOUND when it is forgotten. */
MUST_USE enum err page_entry(struct page *p, uint64_t pos);

#endif
