/* The words of the queue: what stands in its log and in its lanes. queue.h says what can be done
 * with them, operate.h what operators see. */
#ifndef VOLLEY_QUEUE_TERMS_H
#define VOLLEY_QUEUE_TERMS_H

#include "common/net/definition.h"
#include "common/nostr/event.h"

#define QUEUE_EXCEPTIONS_MAX 1024u /* with this many a lane reads no further */
#define QUEUE_REQUESTS_MAX                                                                         \
    256u /* handed to an owner at a time; a replay has no more of a lane under way */
#define QUEUE_LANES_MAX     16384u
#define QUEUE_READ_MAX      (1024u * 1024u) /* bytes of one read's answer, but at least one event */
#define QUEUE_TEXT_SIZE     256             /* a relay's words in a row, cut at a character's end */
#define PUBLISHER_ID_LEN    16              /* random, anew for each process */
#define PUBLISHER_NAME_SIZE 80              /* host:pid, for people */

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
    uint64_t pos;      /* the event's position, the old one for a duplicate; 0: a heartbeat */
    bool duplicate;    /* it was there already */
    uint32_t requeued; /* duplicate: on so many lanes it was put back (failed or expired before; at
                          most once a minute an id) */
};

/* The lane that is built in (heartbeat.h): no relay's number. */
#define HEARTBEAT_LANE 0u
/* How it stands. Heartbeats are numbered as they come; the latest alone is kept. */
struct heartbeat {
    uint64_t number;     /* the latest; 0: there never was one */
    int64_t accepted_ms; /* when that was appended; queue's clock */
    uint64_t taken;      /* the latest that a publisher committed */
    int64_t taken_ms;
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

/* Somebody asked for this position to be sent again (the event was appended again, or a replay
 * job's turn came). Durable until the lane's owner takes it up in a commit: from then on the
 * position is an exception. Its row stays until it is settled. */
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
    uint32_t window;         /* 0: nothing learned yet */
    uint32_t rate_per_1000s; /* 0: no limit met */
    enum family family;      /* of the last good connection */
    uint32_t ipv6_failures;  /* in a row */
    uint32_t
        ipv6_connect_ms; /* what a connection over IPv6 and Tor takes, smoothed; 0: not known */
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
    int64_t delivered_ms;    /* when an event last arrived there; 0: not since it was granted */
    uint32_t rate_per_1000s; /* deliveries, over the last 10 s */
    int64_t error_ms;        /* when that was: */
    char last_error[QUEUE_TEXT_SIZE];
};

#endif
