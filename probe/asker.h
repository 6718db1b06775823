/* Asks the queue, again and again, for what the probe shows: depth every two seconds; then jobs,
 * what is new in the statistics, and, when the number of failed deliveries changed, which they are;
 * and ingest, whether it is well. One question after the other, never two at a time. */
#ifndef VOLLEY_PROBE_ASKER_H
#define VOLLEY_PROBE_ASKER_H

#include "probe/knowledge.h"

struct probe;

#define MISSING_MAX 64u

struct asker {
    bool busy; /* a question is under way */
    uint64_t next_ms;
    uint64_t depth_failed, counted_failed; /* the sum now, and when it was counted last */
    uint64_t counted_ms;
    uint64_t count_began_ms, count_took_ms;
    struct failed_call call; /* of the page under way */
    struct {
        uint32_t lane;
        enum row_class cls;
    } missing[MISSING_MAX]; /* kinds of failure whose words the first page did not have */
    size_t missing_len;
    struct groups groups;         /* being counted */
    uint64_t version, version_ms; /* of the statistics known, and when all were asked for */
    uint64_t next_version;
    bool had_statistics;
    struct statistics_call statistics;
    struct ingest_ask *ingest; /* under way; NULL */
};
/* Every second or so. */
void asker_tick(struct probe *p, uint64_t now_ms);
/* Ends what does not end with the queue. */
void asker_fini(struct asker *a);

#endif
