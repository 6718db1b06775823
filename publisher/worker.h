/* The worker: ties lanes to the queue and to their relays. Only publisher.c and worker*.c know it.
 *
 *   worker.c         the lanes held, a turn: what each wants, timers, beginning and end
 *   worker_relay.c   a lane's relay: connecting, sending, answers
 *   worker_path.c    what came of connecting: statistics, what is learned of families
 *   worker_verbose.c and all of it in the log, when asked for
 *   worker_heed.c    what a prober found, for who may use it
 *   worker_lease.c   renewals, grants, giving back
 *   worker_settings.c  the relay list, limits and keys, also when they change
 *   worker_commit.c  commits of all changed lanes
 *   worker_heartbeat.c  where heartbeats end
 *
 * Everything that happens to a lane only marks it (worker_wake); the turn that follows asks it what
 * it wants, so that nothing is freed or sent inside a callback of something else. A lane is dropped
 * (worker_drop) the moment it is known to be lost. */
#ifndef VOLLEY_PUBLISHER_WORKER_H
#define VOLLEY_PUBLISHER_WORKER_H

#include "publisher/feed.h"
#include "publisher/key.h"
#include "publisher/publisher.h"
#include "publisher/relay.h"
#include "queue/tally.h"

#include <uthash.h>

/* An event sent over a link and not answered yet. */
struct flight {
    uint8_t id[EVENT_ID_LEN];
    uint64_t pos;
    int64_t accepted_ms; /* the queue's clock */
    UT_hash_handle hh;
};

/* A lane we hold, and its relay. */
struct holding {
    struct worker *worker;
    uint32_t number;
    struct lane *lane;
    struct relay *relay; /* NULL: neither connecting nor connected */
    bool open;
    enum route route;            /* the link's */
    bool ipv4_first;             /* in its race */
    struct link_open *late;      /* the IPv6 that lost it; NULL */
    struct names *names;         /* verbose: being looked up; NULL */
    struct control_watch *watch; /* verbose: the path of the try that won is asked for; NULL */
    enum family watched_family;
    char watched_port[SOCKS_ADDRESS_SIZE];
    const uint8_t *secret;        /* for AUTH; NULL: none. The keys' */
    struct flight *flights;       /* by id, oldest first */
    uint64_t strays;              /* OKs for what was never sent */
    uint64_t newer;               /* a version that was asked for; 0: none */
    bool newer_known, newer_goes; /* it came; and may be delivered */
    uint64_t at_ms;               /* look again then; 0: not by itself */
    bool ready, changed;          /* is in the list */
    bool giving;                  /* the last lease call gave it back */
    bool more; /* the queue has more requests than it handed over: ask when these are taken up */
    struct holding *prev, *next;                 /* ready */
    struct holding *changed_prev, *changed_next; /* changed */
    UT_hash_handle hh;
};

/* A call to the queue under way. The worker may be gone when it is answered. */
struct worker_call {
    struct worker *worker;
    uint64_t sent_ms;
};

struct worker {
    uv_loop_t *loop;
    struct queue *q;
    struct publisher_options o; /* what it points to is the publisher's */
    struct dialer *dialer;
    struct keys *keys;
    struct feed *feed;
    struct rng rng;
    uint8_t id[PUBLISHER_ID_LEN];
    char name[PUBLISHER_NAME_SIZE];

    struct holding *holdings; /* by number */
    struct holding *ready, *changed;

    /* the lease */
    uint64_t term_end_ms;    /* of all lanes, on the boot clock */
    int64_t wall_offset_ms;  /* the queue's wall clock minus our boot clock */
    int64_t judge_offset_ms; /* the same, but slow to believe a jump; see worker_judge_ms */
    uint64_t jumped_ms;      /* when it last jumped; 0 never */
    bool clock_known;
    bool queue_away;           /* the last call failed */
    uint64_t registry_version; /* as the last reply told */
    uint64_t leased_ms;        /* when the last call was sent */
    bool leaving, left;        /* draining; and the queue was told */
    bool force;                /* the relay list changed while we ran: it is meant */
    struct worker_call *defining, *leasing, *heeding;

    /* the commit */
    struct worker_call *committing;
    struct holding **committed; /* whose lanes are in it, in order; NULL where dropped meanwhile */
    size_t committed_len;
    uint64_t commit_at_ms; /* not before */
    bool commit_urgent;
    bool commit_failed; /* the last one was not answered: the next waits its time */
    uint64_t heartbeat; /* goes with the next commit: number of one that arrived; 0 */

    uint64_t disagreements; /* verbose: so often an exit used another family than its port's */

    struct tally *tally; /* statistics that the queue was not told yet */

    uv_idle_t soon; /* a turn is due */
    uv_timer_t wants_timer, lease_timer, define_timer, commit_timer, term_timer, drain_timer,
        tell_timer, heed_timer;
    uint64_t wants_ms; /* when wants_timer fires; 0: not */
    int handles;
    void (*gone)(void *arg);
    void *gone_arg;
};

/* ---- worker.c ---- */
/* Starts. `o` with what it points to, dialer and keys stay the caller's, until `gone`. */
struct worker *worker_new(uv_loop_t *loop, struct queue *q, const struct publisher_options *o,
                          struct dialer *dialer, struct keys *keys);
/* See publisher_drain. */
void worker_drain(struct worker *w, void (*fn)(void *arg), void *arg);
/* The lane was told something: asks it what it wants in the turn to come. */
void worker_wake(struct holding *h);
void worker_wake_all(struct worker *w);
/* Forgets the lane, closing its link without a word to the lane. */
void worker_drop(struct holding *h);
/* While draining: is there nothing left to do? */
void worker_check_left(struct worker *w);
/* Ends it, with what it holds. */
void worker_finish(struct worker *w);
/* A call under way is not ours any more: its answer goes nowhere. */
void worker_let_go(struct worker_call **call);
/* See publisher_tor_ready. */
void worker_tor_ready(struct worker *w);
/* The queue's wall clock. */
int64_t worker_wall_ms(const struct worker *w, uint64_t now_ms);
/* The same, to judge events by their own times: for an hour after that clock jumped, the earlier of
 * what it was and what it is, so that no event is skipped because a clock was set. */
int64_t worker_judge_ms(const struct worker *w, uint64_t now_ms);

/* ---- worker_relay.c ---- */
/* What the want asks for. False: it stands, or the lane wants nothing; enough for this turn. */
bool worker_connect(struct holding *h, uint64_t now_ms);
bool worker_offer(struct holding *h, const struct want *want, uint64_t now_ms);
bool worker_auth(struct holding *h, uint64_t now_ms);
bool worker_hang_up(struct holding *h, uint64_t now_ms);
/* Closes the link, if there is one; forgets what is in flight. The lane is not told. */
void worker_unlink(struct holding *h);

/* ---- worker_path.c ---- */
/* What a race came to, and later what became of its loser (link.h; `arg` is the holding). */
void worker_note_race(struct holding *h, const struct link_result *r, uint64_t now_ms);
void worker_on_late(void *arg, const struct link_try *t);
/* An event that was accepted then arrived over the link there is. */
void worker_note_delivery(struct holding *h, int64_t accepted_ms, uint64_t now_ms);
/* Tells the queue the statistics since the last time. True: it is being told, and
 * worker_check_left is called then. */
bool worker_tell(struct worker *w);
void worker_on_tell(uv_timer_t *t);
/* Follows nothing any more. */
void worker_forget_path(struct holding *h);

/* ---- worker_heed.c ---- */
void worker_on_heed(uv_timer_t *t);

/* ---- worker_verbose.c ---- */
void verbose_connecting(struct holding *h, const struct link_request *r);
void verbose_raced(struct holding *h, const struct link_result *r);
void verbose_forget(struct holding *h);

/* ---- worker_settings.c ---- */
void worker_define(struct worker *w);
/* The key for AUTH at this relay, or NULL; the keys'. */
const uint8_t *worker_secret(struct worker *w, const struct definition *d);
struct lane_limits worker_limits(const struct holding *h);
/* Key and limits as they are now, for a lane that is held. */
void worker_apply_settings(struct holding *h);
/* Other options and keys from now on, the caller's as those before, which are not looked at any
 * more. */
void worker_reload(struct worker *w, const struct publisher_options *o, struct keys *keys);

/* ---- worker_lease.c ---- */
/* Calls at the latest in so many ms. */
void worker_lease_within(struct worker *w, uint64_t ms);
/* A call may bring something new: soon, but not one after the other. */
void worker_lease_soon(struct worker *w);
/* Whether bytes may be written to relays: long enough before the term ends, by a fresh look at the
 * clock. `arg` is the worker. */
bool worker_may_write(void *arg);
void worker_on_term(uv_timer_t *t);
void worker_on_restart(void *worker);

/* ---- worker_commit.c ---- */
/* Notes a lane that has something to commit. */
void worker_note_change(struct holding *h);
void worker_forget_change(struct holding *h);
/* Commits now, or sets the timer for it. At the end of a turn. */
void worker_commit(struct worker *w, uint64_t now_ms);
/* A call to the queue was answered so: whether it is away, and what must then be distrusted. */
void worker_saw_queue(struct worker *w, enum err e);

/* ---- worker_heartbeat.c ---- */
/* A lease reply: a heartbeat that came with it has arrived, if it is whole. It is committed with
 * whatever else is; a lost commit is no matter, as the next reply brings it again. */
void worker_take_heartbeat(struct worker *w, const struct lease_reply *r, uint64_t now_ms);

#endif
