#include "common/net/race.h"

void race_init(struct race *r, const struct race_rules *rules, uint64_t now_ms)
{
    *r = (struct race){.rules = *rules, .started_ms = now_ms};
    if (rules->mode == MODE_IPV4)
        r->ipv6 = RACER_UNUSED;
    if (rules->mode == MODE_IPV6)
        r->ipv4 = RACER_UNUSED;
}

static enum race_lane_state *lane(struct race *r, enum family f)
{
    return f == FAMILY_IPV6 ? &r->ipv6 : &r->ipv4;
}

void race_started(struct race *r, enum family f)
{
    if (*lane(r, f) == RACER_FAILED)
        r->agains++;
    *lane(r, f) = RACER_RUNNING;
}

void race_completed(struct race *r, enum family f, uint64_t now_ms)
{
    if (r->ipv6 != RACER_WON && r->ipv4 != RACER_WON)
        r->completed_ms = now_ms;
    *lane(r, f) = RACER_WON;
}

void race_failed(struct race *r, enum family f, bool may_pass, uint64_t now_ms)
{
    *lane(r, f) = RACER_FAILED;
    r->again_at_ms = 0;
    if (may_pass && r->rules.again_ms > 0 && r->agains < RACE_AGAIN_MAX)
        r->again_at_ms = now_ms + ((uint64_t)r->rules.again_ms << r->agains);
}

static struct race_step step(enum race_do what, enum family f, uint64_t at_ms)
{
    return (struct race_step){.what = what, .family = f, .at_ms = at_ms};
}

/* One has completed, perhaps both. */
static struct race_step choose(const struct race *r, uint64_t now_ms)
{
    bool prefer_ipv4 = r->rules.ipv4_first && r->ipv4 == RACER_WON;
    if (r->ipv6 == RACER_WON && !prefer_ipv4)
        return step(RACE_TAKE, FAMILY_IPV6, 0);
    uint64_t grace_end_ms = r->completed_ms + r->rules.grace_ms;
    if (r->ipv6 == RACER_RUNNING && !r->rules.ipv4_first && now_ms < grace_end_ms)
        return step(RACE_WAIT, FAMILY_NONE, grace_end_ms);
    return step(RACE_TAKE, FAMILY_IPV4, 0);
}

/* All were started. `failed` did, while the other is under way; FAMILY_NONE: none did. */
static struct race_step alone(const struct race *r, enum family failed, uint64_t now_ms)
{
    if (failed == FAMILY_NONE || r->again_at_ms == 0)
        return step(RACE_WAIT, FAMILY_NONE, 0);
    if (now_ms < r->again_at_ms)
        return step(RACE_WAIT, FAMILY_NONE, r->again_at_ms);
    return step(RACE_START, failed, 0);
}

struct race_step race_next(const struct race *r, uint64_t now_ms)
{
    if (r->ipv6 == RACER_WON || r->ipv4 == RACER_WON)
        return choose(r, now_ms);
    bool ipv4_first = r->ipv6 == RACER_UNUSED || (r->rules.ipv4_first && r->ipv4 != RACER_UNUSED);
    enum family first = ipv4_first ? FAMILY_IPV4 : FAMILY_IPV6;
    enum family second = ipv4_first ? FAMILY_IPV6 : FAMILY_IPV4;
    enum race_lane_state first_is = ipv4_first ? r->ipv4 : r->ipv6;
    enum race_lane_state second_is = ipv4_first ? r->ipv6 : r->ipv4;
    if (first_is == RACER_WAITING)
        return step(RACE_START, first, 0);
    if (second_is == RACER_WAITING) {
        uint64_t head_start_end_ms = r->started_ms + r->rules.delay_ms;
        if (first_is == RACER_FAILED || now_ms >= head_start_end_ms)
            return step(RACE_START, second, 0);
        return step(RACE_WAIT, FAMILY_NONE, head_start_end_ms);
    }
    if (first_is == RACER_RUNNING || second_is == RACER_RUNNING)
        return alone(r,
                     first_is == RACER_FAILED    ? first
                     : second_is == RACER_FAILED ? second
                                                 : FAMILY_NONE,
                     now_ms);
    return step(RACE_FAIL, FAMILY_NONE, 0);
}

/* Up by a half of the difference, down by a sixteenth: a circuit is built anew every ten minutes,
 * and the connection that does it should win as well. */
uint32_t race_learn(uint32_t known_ms, uint64_t took_ms)
{
    uint32_t took = took_ms < RACE_DELAY_MAX_MS ? (uint32_t)took_ms : RACE_DELAY_MAX_MS;
    if (took == 0)
        took = 1;
    if (known_ms == 0 || known_ms > RACE_DELAY_MAX_MS)
        return took;
    if (took > known_ms)
        return known_ms + (took - known_ms + 1) / 2;
    return known_ms - (known_ms - took) / 16;
}

uint32_t race_head_start_ms(enum route route, uint32_t known_ms)
{
    if (route != ROUTE_TOR || known_ms == 0)
        return RACE_DELAY_MIN_MS;
    uint32_t ms = known_ms + known_ms / 2;
    return ms < RACE_DELAY_MIN_MS   ? RACE_DELAY_MIN_MS
           : ms > RACE_DELAY_MAX_MS ? RACE_DELAY_MAX_MS
                                    : ms;
}

uint32_t race_grace_ms(enum route route, uint32_t beaten)
{
    return route == ROUTE_TOR && beaten == 0 ? RACE_TOR_GRACE_MS : 0;
}

bool race_demoted(int64_t until_ms, int64_t now_ms, uint32_t after, uint64_t for_ms)
{
    return after > 0 && until_ms > now_ms && (uint64_t)until_ms - (uint64_t)now_ms <= for_ms;
}
