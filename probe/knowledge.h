/* All that the probe knows and shows: the queue's last answers, copied, and what was counted along
 * the way. The asker (asker.h) fills it in; pages, metrics, properties and health only read it. */
#ifndef VOLLEY_PROBE_KNOWLEDGE_H
#define VOLLEY_PROBE_KNOWLEDGE_H

#include "common/net/control.h"
#include "ctl/groups.h"
#include "probe/meter.h"

/* What a lane's rows grew by since the probe began: counters that only grow. */
struct lane_counts {
    uint64_t failed, skipped, expired;
};

/* An answer to depth, copied. */
struct snapshot {
    bool known;
    uint64_t at_ms; /* boot clock */
    struct queue_depth depth;
    struct lane_status *lanes;  /* owned, as are: */
    struct path_stat *paths;    /* of all lanes */
    struct lane_counts *counts; /* beside lanes */
};
/* Replaces what it has. Counters of lanes that stay go on. */
void snapshot_take(struct snapshot *s, const struct queue_depth *d, uint64_t at_ms);
void snapshot_fini(struct snapshot *s);

/* The last words of a relay about failures of a class. */
struct failed_sample {
    uint32_t lane;
    enum row_class cls;
    char text[QUEUE_TEXT_SIZE];
};
#define SAMPLES_MAX 256u

/* Statistics of one relay, copied whole. */
struct relay_record {
    uint32_t lane;
    struct path_statistics *paths; /* owned */
    size_t paths_len;
};

/* Histograms of all relays together, as they grew since the probe began. */
struct histogram_sum {
    uint64_t counts[STAT_BUCKETS];
    uint64_t sum_us;
};

struct records {
    struct relay_record *list; /* owned, ascending by lane */
    size_t len;
    struct histogram_sum phases[STAT_SOURCE_COUNT][ROUTE_COUNT][FAMILY_COUNT][STAT_PHASE_COUNT];
};
/* Takes one relay's statistics; `first`: what it says was there before the probe began, and counts
 * in no sum. */
void records_take(struct records *r, const struct relay_statistics *from, bool first);
/* Drops those of lanes that the queue does not tell of any more. */
void records_prune(struct records *r, const struct queue_depth *d);
void records_fini(struct records *r);
/* NULL: nothing is known. */
const struct path_statistics *records_path(const struct records *r, uint32_t lane,
                                           enum stat_source source, enum route route,
                                           enum family family);
const struct relay_record *records_lane(const struct records *r, uint32_t lane);

/* How ingest answered events, as it counts them and as we add them up. */
enum ingest_result { INGEST_DUPLICATE, INGEST_REFUSED, INGEST_ERROR, INGEST_RESULT_COUNT };
const char *ingest_result_name(enum ingest_result r);

/* How a service is. */
struct service_state {
    bool configured, known, well;
    int64_t heard_ms; /* wall clock: when it was last well; 0 */
    char text[160];
    uint64_t last[INGEST_RESULT_COUNT], totals[INGEST_RESULT_COUNT]; /* totals: since we began */
    bool counted;                                                    /* last is known */
};
/* What it counted by now: it may have begun anew meanwhile. */
void service_counted(struct service_state *s, const uint64_t now[INGEST_RESULT_COUNT]);

struct knowledge {
    struct snapshot snapshot;
    struct meter meter;
    bool silent;         /* the last question was not answered */
    const char *trouble; /* why, as far as the queue's client knows; "" */

    bool counted; /* groups are known */
    struct groups groups;
    struct failed_sample samples[SAMPLES_MAX];
    size_t samples_len;

    struct replay_job *jobs; /* owned */
    size_t jobs_len;

    struct records records;
    struct service_state ingest;
    uint64_t beat_every_ms; /* this process posts heartbeats; 0: it does not */
    bool tor_wanted;        /* some relay goes by it */
    bool tor_known;
    struct control_status tor;
};
void knowledge_fini(struct knowledge *k);

/* Failed deliveries of one relay (0: all) and class, as counted last. */
uint64_t knowledge_failed(const struct knowledge *k, uint32_t lane, enum row_class cls);
/* The same of every relay at once, beside snapshot.lanes. The caller frees it. */
uint64_t (*knowledge_failed_table(const struct knowledge *k))[CLASS_COUNT];
const char *knowledge_sample(const struct knowledge *k, uint32_t lane, enum row_class cls);

#endif
