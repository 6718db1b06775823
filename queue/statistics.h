/* What the queue keeps of reaching relays: counts by lane, source, route and family, told by
 * publishers and by the prober, and asked for by whoever shows them. Part of queue.h, which has the
 * calls.
 *
 * What is counted is kept in a TOTAL since the lane began, and in buckets of time from which the
 * WINDOWS are made (windows.h): the last hour, day and week, by the queue's own clock, rounded down
 * to the width of a bucket. While that clock has just jumped, time stands still for them, up to an
 * hour; then it is believed. Everything is bounded: at most STAT_PATHS_MAX records a lane, each of
 * a few kilobytes. They go with their lane, retention after it retired. */
#ifndef VOLLEY_QUEUE_STATISTICS_H
#define VOLLEY_QUEUE_STATISTICS_H

#include "queue/terms.h"

enum stat_source {
    STAT_DELIVERY, /* a publisher's connections, and what it delivered */
    STAT_PROBE,    /* the prober's acts */
    STAT_SOURCE_COUNT
};
const char *stat_source_name(enum stat_source s); /* "delivery", "probe" */

/* Why an attempt failed. A relay without an address of a family is not reached by it. */
enum stat_failure {
    STAT_NO_ADDRESS,
    STAT_REFUSED,
    STAT_UNREACHABLE, /* by SOCKS whatever kept the exit from connecting */
    STAT_TOR,         /* the SOCKS port itself can't be used */
    STAT_TIMEOUT,
    STAT_TLS,
    STAT_HTTP,
    STAT_NOT_A_RELAY, /* no websocket, or one that does not speak NIP-01 */
    STAT_OTHER,
    STAT_FAILURE_COUNT
};
const char *stat_failure_name(enum stat_failure f); /* "no_address" … "not_a_relay", "other" */

/* How long it took: each phase of a connection that completed, what a prober asks then, and an
 * event's way from accepted to OK. */
enum stat_phase {
    STAT_DNS, /* direct only */
    STAT_CONNECT,
    STAT_TLS_PHASE,
    STAT_WEBSOCKET,
    STAT_NIP11,
    STAT_READ,
    STAT_DELIVERED,
    STAT_PHASE_COUNT
};
const char *stat_phase_name(enum stat_phase p); /* "dns" … "read", "delivery" */

/* Latencies are counted by size: bucket i holds what is at most stat_bucket_us(i) and more than the
 * one before; each is about 1.41 times the last, the first 250 µs. The last one holds all the rest,
 * from 35 minutes. */
#define STAT_BUCKETS 48u
uint64_t stat_bucket_us(unsigned i); /* UINT64_MAX for the last */
unsigned stat_bucket_of(uint64_t us);

struct stat_histogram {
    uint64_t sum_us;
    uint32_t counts[STAT_BUCKETS];
};
void stat_histogram_add(struct stat_histogram *h, uint64_t us);
uint64_t stat_histogram_count(const struct stat_histogram *h);
/* What `per_mille` of all (500, 900, 990 …) are not above; within a bucket as if evenly spread. 0
 * when there is none. */
uint64_t stat_quantile_us(const struct stat_histogram *h, unsigned per_mille);

/* What is added up. attempts = successes + failures + those that lost a race and were closed. */
struct stat_counts {
    uint32_t attempts, successes;
    uint32_t failures[STAT_FAILURE_COUNT];
    uint32_t uses;       /* connections over which the relay was then talked to: of a race, who won
                            it */
    uint32_t deliveries; /* events that arrived over this family */
    struct stat_histogram phases[STAT_PHASE_COUNT];
};
uint64_t stat_failed(const struct stat_counts *c); /* of all classes */

/* The last attempt, as it went. */
struct stat_last {
    int64_t at_ms; /* the queue's clock; 0: there was none */
    bool ok;
    enum stat_failure why;                /* when not ok */
    char text[96];                        /* in words; when not ok */
    uint32_t phases_us[STAT_PHASE_COUNT]; /* of phases that were reached; 0 */
    int64_t certificate_end_s;            /* 0: not known */
    char address[64];                     /* direct: where it connected to, or "" */
    char software[64];                    /* a probe's, by NIP-11; or "" */
};

/* What somebody saw at one lane, by one route and family, since it last told. */
struct observation {
    uint32_t lane;
    enum route route;
    enum family family;
    struct stat_counts counts;
    /* How many of the latest attempts went the same way: positive successes, negative failures. It
     * goes on with the queue's own count when there was nothing else. */
    int32_t streak;
    uint32_t success_ago_ms, failure_ago_ms; /* when the latest was, before this call; only where
                                                counts has one */
    struct stat_last last; /* at_ms: 0 none; else as `ago_ms`: before this call, and 1 at least */
};
#define OBSERVATIONS_MAX 256u /* in one call, so that the queue answers others meanwhile */

struct observe_call {
    enum stat_source source;
    uint64_t epoch; /* STAT_PROBE: the caller's, from `lead` (LEAD_PROBER). Else 0 */
    const struct observation *list;
    size_t len;
};
struct observe_result {
    uint32_t taken;
    uint32_t unknown; /* for a lane that there is not, or that retired: dropped */
    int64_t now_ms;   /* the queue's clock */
};

/* ---- asking ---- */

enum stat_window { STAT_HOUR, STAT_DAY, STAT_WEEK, STAT_WINDOW_COUNT };
const char *stat_window_name(enum stat_window w); /* "1h", "24h", "7d" */

struct stat_latency {
    uint64_t count, sum_us, p50_us, p90_us, p99_us;
};
struct window_statistics {
    uint32_t attempts, successes, failures[STAT_FAILURE_COUNT], uses, deliveries;
    struct stat_latency phases[STAT_PHASE_COUNT];
};

/* Everything about one way to one relay. */
struct path_statistics {
    enum stat_source source;
    enum route route;
    enum family family;
    struct window_statistics windows[STAT_WINDOW_COUNT];
    struct stat_counts total;
    int64_t last_success_ms, last_failure_ms; /* the queue's clock; 0: never */
    int32_t streak;                           /* of the latest attempts; negative: failures */
    struct stat_last last;
};
#define STAT_PATHS_MAX ((unsigned)STAT_SOURCE_COUNT * ROUTE_COUNT * FAMILY_COUNT)

struct relay_statistics {
    uint32_t lane;
    char url[URL_SIZE];
    const struct path_statistics *paths; /* by source, route, family */
    size_t paths_len;
};

#define STATISTICS_LANES_MAX 64u /* of one page */
/* How old an unchanged lane's windows may be shown: they move on with time, too. Ask for all (since
 * 0) at least so often. */
#define STATISTICS_AGE_MS 300000u

struct statistics_call {
    uint64_t since; /* only lanes with something new since this version; 0: all that have any */
    uint32_t after; /* lanes with larger numbers: the last page's `next`. 0 to begin */
};
/* Lanes that are not retired and of which something is known, ascending by number. */
struct statistics_page {
    int64_t now_ms;
    uint64_t version; /* ask with the FIRST page's as `since` the next time */
    uint32_t next;    /* the next page's `after`; 0: this was the last */
    const struct relay_statistics *relays;
    size_t len;
};

/* ---- one of several acts ---- */

/* What only one process of a fleet does at a time. */
enum lead_role { LEAD_PROBER, LEAD_ROLE_COUNT };
#define LEAD_TERM_MS  30000u
#define LEAD_RENEW_MS 5000u

struct lead_call {
    enum lead_role role;
    uint8_t id[PUBLISHER_ID_LEN];   /* random, anew for each process; not all zero */
    char name[PUBLISHER_NAME_SIZE]; /* host:pid, for people */
    bool leaving;                   /* gives it up, if it has it */
};
/* Whoever asks first leads, until it leaves or has not asked for LEAD_TERM_MS; with each new leader
 * the epoch grows, durably. A restarted queue gives the old leader a whole term to come back. Who
 * leads counts its term from when it sent the call. */
struct lead_result {
    bool leads;                       /* the caller does */
    uint64_t epoch;                   /* the leader's */
    char leader[PUBLISHER_NAME_SIZE]; /* who does; empty: nobody (the caller left) */
    int64_t now_ms;                   /* the queue's clock */
};

#endif
