#include "queue/windows.h"

#include <string.h>

static const struct ring {
    const char *name;
    unsigned first, len;
    int64_t width_ms;
} rings[STAT_WINDOW_COUNT] = {
    [STAT_HOUR] = {"1h", 0, 12, 300000},
    [STAT_DAY] = {"24h", 12, 24, 3600000},
    [STAT_WEEK] = {"7d", 36, 28, 21600000},
};

/* ---- names ---- */

const char *stat_window_name(enum stat_window w)
{
    return rings[w].name;
}

const char *stat_source_name(enum stat_source s)
{
    static const char *const names[STAT_SOURCE_COUNT] = {
        [STAT_DELIVERY] = "delivery", [STAT_PROBE] = "probe"};
    return names[s];
}

const char *stat_failure_name(enum stat_failure f)
{
    static const char *const names[STAT_FAILURE_COUNT] = {[STAT_NO_ADDRESS] = "no_address",
                                                          [STAT_REFUSED] = "refused",
                                                          [STAT_UNREACHABLE] = "unreachable",
                                                          [STAT_TOR] = "tor",
                                                          [STAT_TIMEOUT] = "timeout",
                                                          [STAT_TLS] = "tls",
                                                          [STAT_HTTP] = "http",
                                                          [STAT_NOT_A_RELAY] = "not_a_relay",
                                                          [STAT_OTHER] = "other"};
    return names[f];
}

const char *stat_phase_name(enum stat_phase p)
{
    static const char *const names[STAT_PHASE_COUNT] = {
        [STAT_DNS] = "dns",           [STAT_CONNECT] = "connect",
        [STAT_TLS_PHASE] = "tls",     [STAT_WEBSOCKET] = "websocket",
        [STAT_NIP11] = "nip11",       [STAT_READ] = "read",
        [STAT_DELIVERED] = "delivery"};
    return names[p];
}

/* ---- histograms ---- */

/* Two for each doubling: 250 and 354 µs, 500 and 708 … */
uint64_t stat_bucket_us(unsigned i)
{
    static const uint64_t first[2] = {250, 354};
    return i + 1 < STAT_BUCKETS ? first[i % 2] << (i / 2) : UINT64_MAX;
}

unsigned stat_bucket_of(uint64_t us)
{
    unsigned i = 0;
    while (us > stat_bucket_us(i))
        i++;
    return i;
}

static uint32_t sum32(uint32_t a, uint32_t b)
{
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

static uint64_t sum64(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

void stat_histogram_add(struct stat_histogram *h, uint64_t us)
{
    uint32_t *count = &h->counts[stat_bucket_of(us)];
    *count = sum32(*count, 1);
    h->sum_us = sum64(h->sum_us, us);
}

uint64_t stat_histogram_count(const struct stat_histogram *h)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < STAT_BUCKETS; i++)
        n += h->counts[i];
    return n;
}

uint64_t stat_quantile_us(const struct stat_histogram *h, unsigned per_mille)
{
    uint64_t all = stat_histogram_count(h), below = 0;
    uint64_t rank = (all * per_mille + 999) / 1000;
    if (all == 0)
        return 0;
    if (rank == 0)
        rank = 1;
    for (unsigned i = 0; i < STAT_BUCKETS; i++) {
        uint64_t from = i > 0 ? stat_bucket_us(i - 1) : 0, n = h->counts[i];
        if (below + n < rank) {
            below += n;
            continue;
        }
        if (i + 1 == STAT_BUCKETS)
            return from; /* how much more it was is not known */
        return from + (stat_bucket_us(i) - from) * (rank - below) / n;
    }
    return 0;
}

/* ---- counts ---- */

uint64_t stat_failed(const struct stat_counts *c)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < STAT_FAILURE_COUNT; i++)
        n += c->failures[i];
    return n;
}

void stat_counts_add(struct stat_counts *to, const struct stat_counts *from)
{
    to->attempts = sum32(to->attempts, from->attempts);
    to->successes = sum32(to->successes, from->successes);
    to->uses = sum32(to->uses, from->uses);
    to->deliveries = sum32(to->deliveries, from->deliveries);
    for (unsigned i = 0; i < STAT_FAILURE_COUNT; i++)
        to->failures[i] = sum32(to->failures[i], from->failures[i]);
    for (unsigned p = 0; p < STAT_PHASE_COUNT; p++) {
        struct stat_histogram *h = &to->phases[p];
        h->sum_us = sum64(h->sum_us, from->phases[p].sum_us);
        for (unsigned i = 0; i < STAT_BUCKETS; i++)
            h->counts[i] = sum32(h->counts[i], from->phases[p].counts[i]);
    }
}

enum err observe_check(const struct observe_call *c)
{
    if (c->len > OBSERVATIONS_MAX || (unsigned)c->source >= STAT_SOURCE_COUNT)
        return ERR_INVALID;
    for (size_t i = 0; i < c->len; i++)
        if ((unsigned)c->list[i].route >= ROUTE_COUNT ||
            (unsigned)c->list[i].family >= FAMILY_COUNT)
            return ERR_INVALID;
    return ERR_NONE;
}

/* ---- time ---- */

static int64_t number_of(const struct ring *r, int64_t now_ms)
{
    return now_ms > 0 ? now_ms / r->width_ms : 0;
}

static void forget_oldest(struct stat_counts *buckets, const struct ring *r, int64_t count)
{
    unsigned gone = count < (int64_t)r->len ? (unsigned)count : r->len;
    memmove(buckets + gone, buckets, (r->len - gone) * sizeof *buckets);
    memset(buckets, 0, gone * sizeof *buckets);
}

/* A clock that went back a little will come back; one that went back by more than the ring holds
 * was wrong before. */
static void roll(struct windows *w, unsigned window, int64_t now_ms)
{
    const struct ring *r = &rings[window];
    int64_t number = number_of(r, now_ms), by = number - w->newest[window];
    if (by > 0)
        forget_oldest(&w->buckets[r->first], r, by);
    if (by > 0 || by <= -(int64_t)r->len)
        w->newest[window] = number;
}

void windows_roll(struct windows *w, int64_t now_ms)
{
    for (unsigned i = 0; i < STAT_WINDOW_COUNT; i++)
        roll(w, i, now_ms);
}

static int32_t streak_of(const struct windows *w, const struct observation *o)
{
    bool only = o->streak > 0 ? stat_failed(&o->counts) == 0 : o->counts.successes == 0;
    bool goes_on = only && (o->streak > 0) == (w->streak > 0) && w->streak != 0;
    if (o->streak == 0)
        return w->streak;
    int64_t streak = goes_on ? (int64_t)w->streak + o->streak : o->streak;
    if (streak > INT32_MAX)
        return INT32_MAX;
    return streak < -INT32_MAX ? -INT32_MAX : (int32_t)streak;
}

void windows_add(struct windows *w, const struct observation *o, int64_t now_ms, bool calm)
{
    if (!calm || w->newest[0] == 0) /* of what is new, nothing can be lost */
        windows_roll(w, now_ms);
    stat_counts_add(&w->total, &o->counts);
    for (unsigned i = 0; i < STAT_WINDOW_COUNT; i++)
        stat_counts_add(&w->buckets[rings[i].first], &o->counts);
    if (o->counts.successes > 0)
        w->last_success_ms = now_ms - o->success_ago_ms;
    if (stat_failed(&o->counts) > 0)
        w->last_failure_ms = now_ms - o->failure_ago_ms;
    w->streak = streak_of(w, o);
    if (o->last.at_ms == 0)
        return;
    w->last = o->last;
    w->last.at_ms = now_ms - o->last.at_ms;
}

/* ---- showing ---- */

static void show_window(const struct windows *w, const struct ring *r,
                        struct window_statistics *out)
{
    struct stat_counts sum = {0};
    for (unsigned i = 0; i < r->len; i++)
        stat_counts_add(&sum, &w->buckets[r->first + i]);
    out->attempts = sum.attempts;
    out->successes = sum.successes;
    memcpy(out->failures, sum.failures, sizeof out->failures);
    out->uses = sum.uses;
    out->deliveries = sum.deliveries;
    for (unsigned p = 0; p < STAT_PHASE_COUNT; p++) {
        const struct stat_histogram *h = &sum.phases[p];
        out->phases[p] = (struct stat_latency){.count = stat_histogram_count(h),
                                               .sum_us = h->sum_us,
                                               .p50_us = stat_quantile_us(h, 500),
                                               .p90_us = stat_quantile_us(h, 900),
                                               .p99_us = stat_quantile_us(h, 990)};
    }
}

void windows_show(const struct windows *w, struct path_statistics *out)
{
    for (unsigned i = 0; i < STAT_WINDOW_COUNT; i++)
        show_window(w, &rings[i], &out->windows[i]);
    out->total = w->total;
    out->last_success_ms = w->last_success_ms;
    out->last_failure_ms = w->last_failure_ms;
    out->streak = w->streak;
    out->last = w->last;
}
