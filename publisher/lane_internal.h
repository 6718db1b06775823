/* What the lane's files share. Only publisher/lane*.c and their tests include it.
 *
 *   lane.c         birth, what it wants, what it is told about events
 *   lane_items.c   the exceptions, in order of their positions
 *   lane_window.c  how many in flight, how fast
 *   lane_link.c    connecting, losing the link, silence
 *   lane_family.c  which family first, with what head start
 *   lane_answer.c  what an answer does, AUTH, settling
 *   lane_poison.c  who pays: attempts, suspects, the relay's own failure
 *   lane_commit.c  the snapshot, and what the queue tells back
 *
 * Times are the boot clock's, except where `wall` is said. */
#ifndef VOLLEY_PUBLISHER_LANE_INTERNAL_H
#define VOLLEY_PUBLISHER_LANE_INTERNAL_H

#include "publisher/lane.h"

#define LANE_WINDOW_START    8u   /* of a new lane, and after a lost link */
#define LANE_ROWS_MAX        256u /* with so many uncommitted rows the lane waits for its commit */
#define LANE_STALLS_SUSPECT  2u   /* so many hang-ups or grants without progress: look for poison */
#define LANE_HANGUPS_SUSPECT 3u   /* in flight at so many hang-ups, progress or not: suspect too */
#define LANE_STREAK          8u   /* so many different events failed in a row: it is the relay */
#define LANE_NEVER           UINT64_MAX

enum item_state {
    ITEM_SETTLED, /* no longer an exception; its place is reused later */
    ITEM_WAITING, /* until due_ms */
    ITEM_FLYING,  /* sent, counts in the window */
    ITEM_AUTH     /* until AUTH went through */
};
#define ITEM_SUSPECT 0x01u /* goes alone */
#define ITEM_SENT    0x02u /* was written at least once without an answer */
#define ITEM_AWAITED 0x04u /* an answer may still come over this link */
#define ITEM_ROW     0x08u /* a row may cover it: delivery removes that */
#define ITEM_REQUEST 0x10u /* asked for again, and the definition has not been asked yet */

/* One exception. */
struct item {
    uint64_t pos;
    uint64_t due_ms;            /* WAITING: 0 at once */
    uint64_t first_ms, sent_ms; /* first and last time it was sent under this epoch; 0 never */
    uint64_t sent_no;           /* the lane's count of sends when it was sent last */
    uint32_t answers;           /* the link's count of answers then */
    uint32_t len;               /* bytes, while FLYING */
    uint32_t attempts;
    uint8_t state, flags, family, route;
    uint8_t hangups; /* it was in flight at so many */
    uint8_t tries;   /* failures, paid or not: its next wait */
};

enum link_state { LINK_DOWN, LINK_CONNECTING, LINK_UP };
enum auth_state { AUTH_NONE, AUTH_WANTED, AUTH_SENT, AUTH_DONE, AUTH_REFUSED };
enum lone_stage {
    LONE_NONE,
    LONE_ALONE,     /* chosen: waits until nothing else is in flight */
    LONE_PAID,      /* its attempt waits for a commit to begin */
    LONE_COMMITTED, /* … for that commit's answer */
    LONE_CLEAR,     /* may be sent */
    LONE_SENT
};
enum commit_state { COMMIT_NONE, COMMIT_UNDER_WAY, COMMIT_UNANSWERED };

/* Attempts paid since the last OK, to give back when it turns out to be the relay. */
struct streak {
    uint64_t pos;
    uint32_t paid;
};

#define LANE_PACE_SECONDS 10u

struct lane {
    uint32_t number;
    uint64_t epoch;
    struct lane_limits limits;
    struct rng rng;
    int64_t wall_offset_ms;

    /* the log */
    uint64_t head;
    uint64_t next;        /* the first position that was not taken up yet */
    uint64_t suspect_to;  /* new positions up to here are set aside as suspects */
    uint64_t peeked;      /* known to be sendable; 0 */
    uint64_t floor;       /* the last one that commits name; the position at the grant until then */
    uint64_t floor_heard; /* nothing up to here is sent any more; above `floor` until all that was
                             settled below is committed */
    struct definition definition;
    uint32_t definition_version, next_version;
    struct definition *next_definition; /* for the next commit; NULL */
    bool held, give_back, draining;

    /* exceptions: items[first … end), ascending; settled ones in between are skipped */
    struct item *items;
    uint32_t first, end, cap, live, flying, authing;
    size_t flying_bytes;
    uint64_t due_ms;    /* no waiting item is due before; exact or too early */
    uint64_t oldest_ms; /* no flying item was sent before; exact or too early */

    /* the link */
    enum link_state link;
    enum family family;
    enum route route;
    bool closing, silent; /* wants it closed; because it said nothing */
    enum auth_state auth;
    uint64_t auth_ms, auth_no; /* when AUTH was sent; sent_no when it went through */
    uint64_t since_ms;         /* of the state that people see */
    uint64_t held_ms;          /* of held: it lasts, whatever becomes of the link */
    uint64_t active_ms;        /* last sent or answered */
    uint64_t delivered_ms;     /* last OK that counted; 0: none since the grant */
    uint64_t retry_at_ms;      /* connects no earlier */
    uint64_t retry_after_ms;   /* the relay asked to stay away until then */
    uint32_t failures;         /* in a row; decays with OKs */
    uint32_t answers;          /* on this link */
    uint64_t sent_no,
        answered_no; /* sends so far; the latest send that was answered on this link */
    char last_error[QUEUE_TEXT_SIZE];
    uint64_t error_ms; /* when that was */

    /* window and rate */
    uint32_t window, threshold, growth; /* below the threshold it doubles, above it creeps */
    bool full;               /* the window held something back: more OKs are a reason to widen it */
    uint32_t rate_per_1000s; /* learned; 0 none */
    uint32_t rate_threshold; /* below it the rate doubles */
    uint32_t rate_oks;       /* OKs since the rate last changed, */
    uint64_t rate_ms;        /* and when that was */
    uint64_t rate_tat_us;    /* when the next event would be due at exactly this rate */
    uint64_t slow_no;        /* complaints about sends up to this one are one complaint */
    uint32_t slow_streak;
    uint64_t pause_ms; /* nothing is sent before */
    uint32_t pace[LANE_PACE_SECONDS];
    uint64_t pace_s, pace_since_ms; /* deliveries by second */

    /* poison */
    uint32_t stalls;
    uint32_t neighbours; /* so many others first, before the next suspect */
    uint64_t lone;
    enum lone_stage lone_stage;
    struct streak streak[LANE_STREAK];
    uint32_t streak_len;
    bool failing;     /* the relay fails as such: nobody pays until an OK */
    uint64_t fail_no; /* errors about sends up to this one are one failure of the lane */

    /* the next commit */
    bool dirty;
    struct row *rows;
    uint32_t rows_len, rows_cap;
    uint64_t *removed;
    uint32_t removed_len, removed_cap;
    uint64_t requests_seen, requests_taken, delivered;
    struct path_stat paths[PATHS_MAX];
    struct learned learned; /* all but window and rate, which stand above */

    /* the one under way, or unanswered */
    enum commit_state commit_state;
    bool switching; /* it brings a definition in force: nothing new is taken up until it is durable
                     */
    uint64_t floor_told; /* it tells all that was settled up to this floor, which then holds; 0 */
    uint64_t seq, told;  /* `told`: the largest position in any commit so far */
    struct lane_commit commit;
};

/* ---- lane_items.c ---- */
struct item *items_find(struct lane *l, uint64_t pos); /* NULL when it is no exception */
/* A new one, to be given to item_wait or item_fly next. Pointers to others are stale afterwards. */
struct item *items_add(struct lane *l, uint64_t pos);
void items_settle(struct lane *l, struct item *it);
/* FLYING is item_fly's. */
void item_wait(struct lane *l, struct item *it, uint64_t due_ms);
void item_auth(struct lane *l, struct item *it);
void item_fly(struct lane *l, struct item *it, size_t len, uint64_t now_ms);
/* The lowest position that is due, of the suspects and of the others. While the relay fails, of the
 * others the one whose last trial is longest ago: one at a time is tried, and each has its turn.
 * Makes due_ms exact when none is due. */
struct due {
    struct item *plain, *suspect;
};
struct due items_due(struct lane *l, uint64_t now_ms);

static inline uint32_t items_room(const struct lane *l)
{
    return l->live < QUEUE_EXCEPTIONS_MAX ? QUEUE_EXCEPTIONS_MAX - l->live : 0;
}
/* for (struct item *it = items_begin(l); it; it = items_after(l, it)): the live ones. Stands while
 * items are settled. */
struct item *items_begin(const struct lane *l);
struct item *items_after(const struct lane *l, const struct item *it);

/* ---- lane_window.c ---- */
void window_init(struct lane *l, const struct learned *k, uint32_t stalls);
uint32_t window_size(const struct lane *l);
uint32_t window_rate(const struct lane *l); /* in force, per 1,000 s; 0 none */
/* 0: one more may be sent. LANE_NEVER: not before something is answered. Else the time. */
uint64_t window_opens(const struct lane *l, uint64_t now_ms);
void window_sent(struct lane *l, uint64_t now_ms);
void window_ok(struct lane *l, uint64_t now_ms);
void window_limited(struct lane *l, const struct item *it, uint64_t now_ms);
void window_silent(struct lane *l, const struct item *it);
void window_lost(struct lane *l);
uint32_t window_pace(const struct lane *l, uint64_t now_ms); /* deliveries per 1,000 s, lately */

/* ---- lane_link.c ---- */
void link_failed(struct lane *l, uint64_t at_least_ms, uint64_t now_ms); /* backs off */
void link_says(struct lane *l, const char *text, uint64_t now_ms);
/* Looks for events without an answer: sets them aside, or wants the link closed. */
void link_silence(struct lane *l, uint64_t now_ms);

/* ---- lane_answer.c ---- */
enum row_end row_end_of(enum row_class cls);
/* Ends an exception, or position `pos` that never was one, with a row. */
void settle_row(struct lane *l, uint64_t pos, struct item *it, enum row_class cls, const char *text,
                uint64_t now_ms);
/* Ends an exception without one. */
void settle_quietly(struct lane *l, struct item *it);

/* ---- lane_poison.c ---- */
void poison_take_over(struct lane *l, const struct lane_grant *g);
/* The event failed at the relay, and pays, or the relay is found to fail. Then it waits, or it ends
 * as failed with `cls`. True when it was the relay. */
bool poison_pay(struct lane *l, struct item *it, enum row_class cls, const char *text,
                uint64_t now_ms);
/* The link went with events in flight: they wait, one alone pays. */
void poison_hang_up(struct lane *l, enum row_class cls, const char *text, uint64_t now_ms);
void poison_delivered(struct lane *l); /* an OK: the relay works */
void poison_progress(struct lane *l);  /* an answer settled something */
/* `it` is a suspect, due, and the link is up: true when it may be sent now. */
bool poison_may_send(struct lane *l, struct item *it, uint64_t now_ms);
void poison_lone_sent(struct lane *l);
/* The lone event's attempt was for nothing: it goes back. */
void poison_refund(struct lane *l, struct item *it);
/* It is over with `pos`, or it must wait again. */
void poison_lone_over(struct lane *l, uint64_t pos);
uint32_t poison_stalls(const struct lane *l);

/* ---- lane.c ---- */
static inline bool lane_leaving(const struct lane *l)
{
    return l->give_back || l->draining;
}
uint64_t lane_backoff(struct lane *l, uint32_t failures); /* a wait in ms */

/* ---- lane_commit.c ---- */
/* For the next commit: the last word about a position counts. */
void commit_add_row(struct lane *l, const struct row *row);
void commit_remove_row(struct lane *l, uint64_t pos);
bool commit_rows_full(const struct lane *l);
/* The queue gave it up, and what was settled about it is not committed yet: it stays as it is. */
static inline bool commit_given_up(const struct lane *l, uint64_t pos)
{
    return l->floor_heard > l->floor && pos <= l->floor_heard;
}
void lane_take_requests(struct lane *l, const struct lane_request *r, size_t len);

#endif
