#include "probe/vitals.h"

#include "ctl/ctl.h"

#include <inttypes.h>

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Connected, with something to send, and nothing arrived for too long. */
static bool stuck(const struct lane_status *l, int64_t now_ms)
{
    int64_t since_ms = later(later(l->oldest_ms, l->live.delivered_ms), l->live.since_ms);

    return l->live.state == LANE_OPEN && l->depth > l->retrying &&
           now_ms - since_ms > VITALS_PATIENCE_MS;
}

/* Whether events can go there, as far as is known: who is idle was reached the last time, who
 * begins to connect gets the benefit of the doubt. */
static bool reachable(const struct lane_status *l, int64_t now_ms)
{
    if (l->live.state == LANE_CONNECTING)
        return l->depth == 0 || now_ms - l->oldest_ms <= VITALS_PATIENCE_MS;
    return l->live.state == LANE_OPEN || l->live.state == LANE_IDLE || l->live.state == LANE_HELD;
}

bool vitals_judge(const struct queue_depth *d, bool silent, struct problem *why)
{
    size_t relays = 0, wanted = 0, leased = 0, good = 0;
    char label[URL_SIZE];

    if (d == NULL || silent) {
        (void)problem_set(why, ERR_CLOSED, "the queue does not answer");
        return false;
    }
    for (size_t i = 0; i < d->lanes_len; i++) {
        const struct lane_status *l = &d->lanes[i];
        relays += !l->retired;
        if (l->retired || l->held)
            continue;
        wanted++;
        leased += l->live.state != LANE_UNLEASED;
        good += reachable(l, d->now_ms);
        if (!stuck(l, d->now_ms))
            continue;
        (void)problem_set(why, ERR_TIMEOUT,
                          "%s is reached, but nothing arrives there: %" PRIu64
                          " wait; 'volley depth' tells more",
                          clean_text(relay_label(&l->definition), label, sizeof label), l->depth);
        return false;
    }
    if (relays == 0)
        (void)problem_set(why, ERR_NO_LANES, "no relays are configured");
    else if (wanted > 0 && leased == 0)
        (void)problem_set(why, ERR_CLOSED, "no publisher is running");
    else if (wanted > 0 && good == 0)
        (void)problem_set(why, ERR_UNREACHABLE,
                          "no relay can be reached; 'volley depth' tells why, 'volley test' tries");
    else
        (void)problem_set(why, ERR_NONE, "ok");
    return relays > 0 && (wanted == 0 || (leased > 0 && good > 0));
}
