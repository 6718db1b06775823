/* A seeded simulation of one lane: a relay with its moods, a queue that keeps the lane's durable
 * state, a publisher that crashes, and virtual time. Header only; test_sim.c drives it.
 *
 * Everything that will happen lies in one heap of happenings, ordered by time. */
#ifndef VOLLEY_TESTS_SIM_H
#define VOLLEY_TESTS_SIM_H

#include "publisher/lane_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIM_EVENTS_MAX 3000u
#define SIM_WALL       1700000000000ll

enum happening {
    HAPPENS_APPEND,
    HAPPENS_READ, /* the feed has the event it was asked for */
    HAPPENS_CONNECTED,
    HAPPENS_REFUSED,
    HAPPENS_ARRIVAL, /* an event, at the relay */
    HAPPENS_ANSWER,
    HAPPENS_CUT, /* the publisher sees the link gone */
    HAPPENS_AUTHED,
    HAPPENS_COMMIT_ARRIVAL, /* at the queue */
    HAPPENS_COMMIT_ANSWER,
    HAPPENS_LEASE,
    HAPPENS_CRASH,
    HAPPENS_HANDOVER,
    HAPPENS_GRANT,
    HAPPENS_FLOOR,
    HAPPENS_DEFINITION,
    HAPPENS_RESEND,
    HAPPENS_MOOD,
    HAPPENS_WAKE
};
struct happens {
    uint64_t at_ms, order;
    enum happening what;
    uint32_t link, epoch;
    uint64_t pos;
    enum outcome_kind outcome;
};

enum mood {
    MOOD_OK,
    MOOD_SLOW,
    MOOD_LIMITED,    /* so many a minute, the rest is rate-limited: */
    MOOD_CUT_BEFORE, /* hangs up instead of answering, every so often */
    MOOD_CUT_AFTER,  /* answers, and hangs up */
    MOOD_SILENT,
    MOOD_HOLE,     /* does not even accept */
    MOOD_DOWN,     /* refuses connections */
    MOOD_BROKEN,   /* error: to everything */
    MOOD_RUDE,     /* hangs up on everything */
    MOOD_SWALLOWS, /* answers most */
    MOOD_COUNT
};
static const char *const mood_names[] = {"ok",        "slow",   "limited", "cut before",
                                         "cut after", "silent", "hole",    "down",
                                         "broken",    "rude",   "swallows"};

/* What is special about an event. */
struct fate {
    bool poison, late_poison, /* hangs up: at once, or after a while */
        blocked, hopeless /* always error: */, deleted, filtered[3];
    uint8_t errors; /* so many error: first */
    /* seen so far */
    bool taken;      /* the relay has it */
    bool may_repeat; /* there is a reason to send it again */
    uint32_t sent;
    uint64_t sent_ms;
};

struct stored_row {
    enum row_end end;
    enum row_class cls;
    bool there;
};

struct sim_queue {
    uint64_t epoch, position, floor, seq, head;
    uint32_t stalls, version, next_version;
    uint64_t switched[4]; /* version v holds above this position */
    bool progress;
    struct exception exceptions[QUEUE_EXCEPTIONS_MAX];
    size_t exceptions_len;
    struct stored_row rows[SIM_EVENTS_MAX + 1];
    bool expired[SIM_EVENTS_MAX + 1], requested[SIM_EVENTS_MAX + 1];
    struct lane_request requests[QUEUE_REQUESTS_MAX];
    size_t requests_len;
    uint64_t request_number;
    struct learned learned;
};

struct sim {
    uint64_t seed, now_ms, order;
    struct rng rng;
    struct happens *heap;
    size_t heap_len, heap_cap;

    uint32_t total;
    struct fate fates[SIM_EVENTS_MAX + 1];
    struct sim_queue queue;

    /* the relay */
    enum mood mood;
    uint64_t mood_since_ms;
    uint32_t moods_left;
    uint64_t latency_ms, tokens, tokens_ms;
    bool wants_auth, refuses_auth, authed;
    uint32_t link, served; /* the publisher's link, and the one the relay serves; 0 none */
    uint32_t links;
    uint64_t busy_ms; /* answers in order: the last one's time */

    /* the publisher */
    struct lane *lane, *zombie;
    struct lane_limits limits;
    uint64_t reading, read; /* positions the feed was asked for, and has */
    bool handing_over;
    struct lane_commit *flying_commit; /* a deep copy */
    uint64_t commit_ms, wake_ms;
    uint64_t first_sent; /* highest position that was ever sent for a first time */

    /* counted */
    uint64_t sends, wants, connects, dead_connects, dead_ms, commits;
};

static uint64_t below(struct sim *s, uint64_t n)
{
    return rng_below(&s->rng, n);
}

static bool chance(struct sim *s, uint64_t percent)
{
    return below(s, 100) < percent;
}

#define SIM_CHECK(s, good, ...)                                                                    \
    do {                                                                                           \
        if (!(good)) {                                                                             \
            fprintf(stderr, "VOLLEY_SEED=%" PRIu64 " at %" PRIu64 " ms (relay %s): ", (s)->seed,   \
                    (s)->now_ms, mood_names[(s)->mood]);                                           \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fprintf(stderr, "\n");                                                                 \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* ---- the heap ---- */

static bool earlier(const struct happens *a, const struct happens *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void happens(struct sim *s, uint64_t in_ms, struct happens h)
{
    if (s->heap_len == s->heap_cap) {
        s->heap_cap = s->heap_cap == 0 ? 64 : s->heap_cap * 2;
        s->heap = mem_grow(s->heap, s->heap_cap * sizeof *s->heap);
    }
    h.at_ms = s->now_ms + in_ms;
    h.order = ++s->order;
    size_t i = s->heap_len++;
    for (; i > 0 && earlier(&h, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = h;
}

static struct happens next_happening(struct sim *s)
{
    struct happens top = s->heap[0], last = s->heap[--s->heap_len];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < s->heap_len; i = child) {
        if (child + 1 < s->heap_len && earlier(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!earlier(&s->heap[child], &last))
            break;
        s->heap[i] = s->heap[child];
    }
    s->heap[i] = last;
    return top;
}

#include "tests/sim/sim_queue.h"
#include "tests/sim/sim_relay.h"

#include "tests/sim/sim_check.h"

#endif
