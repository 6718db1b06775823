/* One relay's lane at its owner: what to send next, what came of it, when to connect and when to
 * wait. A pure state machine: it is told the time and the facts, and asked what it wants. No
 * sockets, no clock, no queue: publisher/worker.c brings those.
 *
 * Everything at or below `position` is settled, except the exceptions: in flight (sent, no answer
 * yet) or waiting (for a retry, for the link to come back, for AUTH). A commit is a snapshot of
 * just that; see lane_commit_begin.
 *
 * Two levels of failure (docs/delivery.md): the relay's (cannot connect, hangs up with many in
 * flight, answers error: to everything, is silent) backs the lane off and costs no event an
 * attempt; the event's (an answer about it, or hanging up on it alone) costs an attempt and ends in
 * a row. */
#ifndef VOLLEY_PUBLISHER_LANE_H
#define VOLLEY_PUBLISHER_LANE_H

#include "common/base/rng.h"
#include "publisher/outcome.h"
#include "queue/queue.h"

/* The publisher's limits. The definition in force lowers window and rate by itself, also when it
 * changes later. */
struct lane_limits {
    uint32_t window_max; /* most in flight; a lane starts at 8 (or at what was learned), grows with
                            OKs, halves on rate-limited: */
    size_t window_bytes; /* with so many bytes in flight nothing more is sent; always one event */
    uint32_t rate_per_1000s; /* most events per 1,000 s; 0 none */
    uint64_t ok_timeout_ms, idle_close_ms, backoff_min_ms, backoff_max_ms;
    uint32_t max_attempts;
    bool can_auth;          /* a key is configured for this relay */
    uint32_t demote_after;  /* beaten so often in a row, IPv6 leaves IPv4 the first turn … */
    uint64_t demote_for_ms; /* … for so long; 0 failures: never */
};

struct lane;

/* Takes over from a grant. `wall_offset_ms` = queue's wall clock minus boot clock, for durable
 * times. */
struct lane *lane_new(const struct lane_grant *g, const struct lane_limits *l, uint64_t head,
                      uint64_t seed, int64_t wall_offset_ms, uint64_t now_ms);
void lane_free(struct lane *l);
/* The queue's clock was looked at again (each lease reply tells it). */
void lane_set_clock(struct lane *l, int64_t wall_offset_ms);
/* Other limits from now on; waits that have begun stay as long as they are. */
void lane_set_limits(struct lane *l, const struct lane_limits *limits);

/* ---- what it wants ---- */
enum want_kind {
    WANT_NOTHING, /* until at_ms (0: until something is told) */
    WANT_PEEK,    /* is `pos` to be sent at all? answer with lane_sendable, lane_pass or lane_skip
                     (asked before connecting, and before an event is set aside as a suspect) */
    WANT_CONNECT, /* start connecting; then lane_connecting */
    WANT_AUTH,    /* answer the relay's challenge (relay_auth); then lane_auth_sent */
    WANT_SEND,    /* connected and the window is open: send `pos`, then lane_sent; or lane_pass,
                     lane_skip */
    WANT_CLOSE    /* close the link, or stop connecting (idle, silent, given back); then
                     lane_link_lost(…, LINK_CLOSED_BY_US) */
};
struct want {
    enum want_kind kind;
    uint64_t pos;
    uint64_t at_ms;
};
/* Ask until it wants nothing, and again after anything was told. A want stands until it is
 * answered: when an event must first be read, ask again when it is there. A suspect's attempt is
 * durable before its WANT_SEND is heard: until then the lane wants nothing and lane_urgent says so.
 */
struct want lane_want(struct lane *l, uint64_t now_ms);

/* ---- what it is told ---- */
void lane_head(struct lane *l, uint64_t head);    /* the log grew; never falls */
void lane_sendable(struct lane *l, uint64_t pos); /* WANT_PEEK: yes */
void lane_pass(struct lane *l, uint64_t pos);     /* filtered by definition: settled, no row */
void lane_skip(struct lane *l, uint64_t pos, enum row_class cls,
               uint64_t now_ms); /* settled, with a row; CLASS_RETENTION for a gone position */
void lane_sent(struct lane *l, uint64_t pos, size_t len, uint64_t now_ms);

void lane_connecting(struct lane *l, uint64_t now_ms);
void lane_connected(struct lane *l, enum family family, enum route route, uint64_t now_ms);
/* `retry_after_ms` from the handshake's answer, 0 for none; `text` for people. */
void lane_connect_failed(struct lane *l, uint64_t retry_after_ms, const char *text,
                         uint64_t now_ms);
/* What a race told of IPv6. `took_ms` from its start, for the first and the third. */
enum ipv6_end {
    IPV6_WON,
    IPV6_BEATEN, /* it had the first turn, and IPv4 won all the same */
    IPV6_LATE,   /* the one that was beaten made it a little later (link.h), */
    IPV6_DEAD    /* or did not */
};
void lane_raced(struct lane *l, enum ipv6_end end, enum route route, uint64_t took_ms,
                uint64_t now_ms);
/* For the next race: whether IPv6 lost its first turn (beaten demote_after times in a row, for
 * demote_for_ms), and the head start of whoever is first. */
bool lane_ipv4_first(const struct lane *l, uint64_t now_ms);
uint32_t lane_head_start_ms(const struct lane *l, enum route route, uint64_t now_ms);
/* Over Tor IPv6 may still win so long after IPv4 was faster; not where it was beaten the last time.
 */
uint32_t lane_grace_ms(const struct lane *l, enum route route);

/* What kept it from connecting may have gone (tor works again): its wait is cut short to the first
 * one of a series, but not below what the relay itself asked for. */
void lane_retry(struct lane *l, uint64_t now_ms);
enum link_end { LINK_LOST, LINK_CLOSED_BY_US };
void lane_link_lost(struct lane *l, enum link_end end, const char *text, uint64_t now_ms);

/* An OK for an event of ours, also for one that was set aside for its silence, as long as the link
 * it was sent on stands. False when `pos` is not in flight here (late, or never sent): counted, not
 * an answer. */
bool lane_answer(struct lane *l, uint64_t pos, const struct outcome *o, uint64_t now_ms);
void lane_auth_sent(struct lane *l, uint64_t now_ms);
/* AUTH went through, or failed with the relay's words: what waited for it goes again, or fails with
 * class auth. */
void lane_authenticated(struct lane *l, bool ok, const char *text, uint64_t now_ms);

void lane_kept(struct lane *l, const struct lane_kept *k,
               uint64_t now_ms); /* floor, pending definition, hold, give back, requests */
bool lane_is_held(const struct lane *l);
void lane_drain(struct lane *l); /* send nothing new, settle what is in flight (at most ok_timeout),
                                    then want WANT_CLOSE */
/* Asked to give back or drain, and done: nothing in flight, link closed, everything committed. */
bool lane_drained(const struct lane *l);

/* ---- commits ---- */
bool lane_dirty(const struct lane *l); /* something to commit, and none is under way */
/* A want waits for the commit: a suspect's attempt, a full list of rows, a new definition, the end
 * of a drain. Then
 * commit at once. */
bool lane_urgent(const struct lane *l);
/* Fills `out` with a snapshot, with the next sequence number (the same one and the same content
 * when the last was not answered). Arrays are the lane's and valid until lane_commit_end. `paths`
 * and `delivered` since the last are included. */
void lane_commit_begin(struct lane *l, struct lane_commit *out);
/* `r` NULL: no answer came (unknown or not sent): the same commit is begun again next time.
 * False for COMMIT_STALE (another owns it) and COMMIT_INVALID (a bug of ours): the lane is lost;
 * drop link and lane at once. */
bool lane_commit_end(struct lane *l, const struct lane_committed *r);

/* ---- looking at it ---- */
uint64_t lane_epoch(const struct lane *l);
const struct definition *lane_definition(const struct lane *l); /* in force for the next position */
const struct definition *lane_newest(const struct lane *l); /* also one that waits for a commit */
/* Whether `pos` was let through by the definition that held when it was first taken up: what
 * route_event must know, because exceptions keep theirs when the definition changes. */
bool lane_admitted(const struct lane *l, uint64_t pos);
void lane_live_state(const struct lane *l, uint64_t now_ms, struct lane_live *out);
/* Adds to the paths of the next commit. */
void lane_count_path(struct lane *l, const struct path_stat *delta);

#endif
