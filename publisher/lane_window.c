/* How many in flight, and how fast.
 *
 * The window begins at 8 and doubles with each window of OKs, until the relay first complains; from
 * then on it grows by one a window. A complaint (rate-limited:) halves window and rate and pauses
 * the lane; the answers to everything sent before it belong to the same complaint. A rate is only
 * kept once a relay has complained. It recovers at most once a second and after 8 OKs: it doubles
 * up to half of what the relay took before it complained (or until it complains again, when that
 * was never seen), then it grows by an eighth. It is forgotten when it no longer binds anything.
 *
 * The rate is kept by one time, `rate_tat_us`: when the next event would be due at exactly this
 * rate. It may be sent up to 100 ms early, so that a fast rate does not need a timer for each. */
#include "publisher/lane_internal.h"

#define RATE_MIN      10u      /* per 1,000 s */
#define RATE_FORGET   1000000u /* 1,000/s */
#define RATE_UNKNOWN  1000u    /* when a relay complains before it took anything: 1/s, halved */
#define RATE_EARLY_US 100000u
#define RATE_STEP_OKS 8u
#define RATE_STEP_MS  1000u

static uint32_t smaller_set(uint32_t a, uint32_t b)
{
    if (a == 0 || b == 0)
        return a | b;
    return a < b ? a : b;
}

static uint32_t window_most(const struct lane *l)
{
    uint32_t most = smaller_set(l->limits.window_max, l->definition.window);
    return most == 0 ? 1 : most;
}

void window_init(struct lane *l, const struct learned *k, uint32_t stalls)
{
    l->window = k->window > 0 && stalls == 0 ? k->window : LANE_WINDOW_START;
    l->threshold = UINT32_MAX;
    l->rate_per_1000s = l->rate_threshold = k->rate_per_1000s;
}

uint32_t window_size(const struct lane *l)
{
    uint32_t most = window_most(l);
    if (l->failing)
        return 1;
    return l->window < most ? l->window : most;
}

uint32_t window_rate(const struct lane *l)
{
    return smaller_set(l->rate_per_1000s,
                       smaller_set(l->limits.rate_per_1000s, l->definition.rate_per_1000s));
}

uint64_t window_opens(const struct lane *l, uint64_t now_ms)
{
    if (l->flying >= window_size(l) || (l->flying > 0 && l->flying_bytes >= l->limits.window_bytes))
        return LANE_NEVER;
    uint64_t at_ms = l->pause_ms;
    if (window_rate(l) != 0 && l->rate_tat_us > RATE_EARLY_US) {
        uint64_t rate_ms = (l->rate_tat_us - RATE_EARLY_US + 999) / 1000;
        at_ms = rate_ms > at_ms ? rate_ms : at_ms;
    }
    return at_ms > now_ms ? at_ms : 0;
}

void window_sent(struct lane *l, uint64_t now_ms)
{
    uint32_t rate = window_rate(l);
    if (l->flying >= window_size(l))
        l->full = true;
    if (rate == 0)
        return;
    if (l->rate_tat_us < now_ms * 1000)
        l->rate_tat_us = now_ms * 1000;
    l->rate_tat_us += 1000000000u / rate;
}

/* ---- how fast it went lately ---- */

static void pace_count(struct lane *l, uint64_t now_ms)
{
    uint64_t s = now_ms / 1000;
    if (s >= l->pace_s + LANE_PACE_SECONDS)
        l->pace_since_ms = now_ms;
    for (uint32_t i = 0; i < LANE_PACE_SECONDS && l->pace_s < s; i++)
        l->pace[++l->pace_s % LANE_PACE_SECONDS] = 0;
    l->pace_s = s;
    l->pace[s % LANE_PACE_SECONDS]++;
}

static uint64_t pace_sum(const struct lane *l, uint64_t now_ms)
{
    uint64_t s = now_ms / 1000, sum = 0;
    for (uint64_t i = 0; i < LANE_PACE_SECONDS && i <= l->pace_s; i++)
        if (l->pace_s - i + LANE_PACE_SECONDS > s)
            sum += l->pace[(l->pace_s - i) % LANE_PACE_SECONDS];
    return sum;
}

uint32_t window_pace(const struct lane *l, uint64_t now_ms)
{
    uint64_t ms = (LANE_PACE_SECONDS - 1) * 1000 + now_ms % 1000; /* the last second is not over */
    return (uint32_t)(pace_sum(l, now_ms) * 1000000 / ms);
}

/* What the relay took since it began to take anything, per 1,000 s: over ten seconds at most, over
 * one at least. */
static uint64_t pace_while_busy(const struct lane *l, uint64_t now_ms)
{
    uint64_t ms = now_ms - l->pace_since_ms;
    ms = ms < 1000 ? 1000 : ms > LANE_PACE_SECONDS * 1000 ? LANE_PACE_SECONDS * 1000 : ms;
    return pace_sum(l, now_ms) * 1000000 / ms;
}

/* ---- growing and shrinking ---- */

static void rate_grow(struct lane *l, uint64_t now_ms)
{
    if (l->rate_per_1000s == 0)
        return;
    l->rate_oks++;
    if (l->rate_oks < RATE_STEP_OKS || now_ms < l->rate_ms + RATE_STEP_MS)
        return;
    uint32_t rate = l->rate_per_1000s, slow = rate + rate / 8 + 1;
    if (rate < l->rate_threshold)
        l->rate_per_1000s = 2 * rate < l->rate_threshold ? 2 * rate : l->rate_threshold;
    else
        l->rate_per_1000s = slow;
    if (l->rate_per_1000s > RATE_FORGET)
        l->rate_per_1000s = 0;
    l->rate_oks = 0;
    l->rate_ms = now_ms;
}

/* A window that is not used does not grow. */
void window_ok(struct lane *l, uint64_t now_ms)
{
    pace_count(l, now_ms);
    l->slow_streak = 0;
    rate_grow(l, now_ms);
    if (l->failing || l->window >= window_most(l) || !l->full)
        return;
    if (l->window < l->threshold) {
        l->window++;
    } else if (++l->growth >= l->window) {
        l->window++;
        l->growth = 0;
    }
}

/* False when `it` was sent before the last complaint: that one answered for it too. */
static bool new_complaint(struct lane *l, const struct item *it)
{
    if (it->sent_no <= l->slow_no)
        return false;
    l->slow_no = l->sent_no;
    l->window = window_size(l) / 2;
    if (l->window == 0)
        l->window = 1;
    l->threshold = l->window;
    l->growth = 0;
    return true;
}

void window_limited(struct lane *l, const struct item *it, uint64_t now_ms)
{
    if (!new_complaint(l, it))
        return;
    /* Complaints with no OK between them are one bad time: they tell nothing new of what it takes.
     */
    bool again = l->rate_per_1000s != 0 && l->rate_oks == 0;
    uint64_t rate = l->rate_per_1000s;
    if (rate == 0)
        rate = pace_while_busy(l, now_ms);
    bool unknown = rate == 0;
    if (unknown)
        rate = RATE_UNKNOWN;
    rate = rate / 2 < RATE_MIN ? RATE_MIN : rate / 2;
    l->rate_per_1000s = rate > RATE_FORGET ? RATE_FORGET : (uint32_t)rate;
    if (!again)
        l->rate_threshold = unknown ? UINT32_MAX : l->rate_per_1000s;
    l->rate_oks = 0;
    l->rate_ms = now_ms;
    l->slow_streak++;
    l->pause_ms = now_ms + lane_backoff(l, l->slow_streak);
}

/* Slower than ok_timeout while others pass: fewer at a time, at the same rate. */
void window_silent(struct lane *l, const struct item *it)
{
    (void)new_complaint(l, it);
}

void window_lost(struct lane *l)
{
    if (l->window > LANE_WINDOW_START)
        l->window = LANE_WINDOW_START;
}
