#include "ctl/verdict.h"

const char *verdict_name(enum verdict v)
{
    static const char *const names[VERDICT_COUNT] = {[VERDICT_FINE] = "fine",
                                                     [VERDICT_BEHIND] = "falling behind",
                                                     [VERDICT_STALLED] = "stalled",
                                                     [VERDICT_HELD] = "held",
                                                     [VERDICT_UNLEASED] = "unleased"};
    return v < VERDICT_COUNT ? names[v] : "?";
}

/* At this rate or below less than one event in ten seconds leaves, so that a measured 0 says
 * nothing. */
#define SLOW_PER_1000S (1000u * 1000u / VERDICT_SPAN_MS)

/* Events per 1,000 s. A lane that is allowed less than the measure can see is believed to use what
 * it is allowed while its connection is open. */
static uint64_t rate_of(const struct lane_status *l)
{
    uint32_t ours = l->definition.rate_per_1000s, theirs = l->learned.rate_per_1000s;
    uint32_t limit = ours == 0 || (theirs != 0 && theirs < ours) ? theirs : ours;
    if (l->live.rate_per_1000s == 0 && limit < SLOW_PER_1000S && l->live.state == LANE_OPEN)
        return limit;
    return l->live.rate_per_1000s;
}

int64_t verdict_drain_ms(const struct lane_status *l)
{
    uint64_t rate = rate_of(l), ms;
    if (l->depth == 0)
        return 0;
    if (rate == 0 || __builtin_mul_overflow(l->depth, UINT64_C(1000000), &ms))
        return -1;
    return (int64_t)(ms / rate);
}

static enum verdict judge(const struct lane_status *l, int64_t now_ms)
{
    int64_t age_ms = l->oldest_ms != 0 ? now_ms - l->oldest_ms : 0;
    int64_t drain_ms = verdict_drain_ms(l);
    if (l->held)
        return VERDICT_HELD;
    if (l->live.state == LANE_UNLEASED)
        return VERDICT_UNLEASED;
    if (l->depth == 0)
        return VERDICT_FINE;
    if (drain_ms < 0 && l->live.state == LANE_BACKOFF)
        return VERDICT_STALLED;
    if (age_ms < VERDICT_SPAN_MS)
        return VERDICT_FINE;
    if (drain_ms < 0)
        return VERDICT_STALLED;
    return drain_ms > age_ms ? VERDICT_BEHIND : VERDICT_FINE;
}

enum verdict verdict_of(const struct lane_status *l, int64_t now_ms, int64_t *since_ms)
{
    enum verdict v = judge(l, now_ms);
    bool holds = v == VERDICT_FINE || v == VERDICT_UNLEASED ||
                 (v == VERDICT_HELD && l->live.state == LANE_HELD);
    *since_ms = 0;
    if (v == VERDICT_STALLED && l->live.delivered_ms > l->oldest_ms)
        *since_ms = l->live.delivered_ms; /* what is older waits for its retry; others passed it */
    else if (v == VERDICT_STALLED || v == VERDICT_BEHIND)
        *since_ms = l->oldest_ms;
    else if (holds)
        *since_ms = l->live.since_ms;
    return v;
}
