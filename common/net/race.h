/* Happy Eyeballs (after RFC 8305) as a decision: when to start which family, and who won. Pure: it
 * is told the time and what happened, and says what to do. The same for direct connections and over
 * Tor; what differs is the head start and the grace. */
#ifndef VOLLEY_NET_RACE_H
#define VOLLEY_NET_RACE_H

#include "common/base/err.h"
#include "common/net/family.h"

#include <stdbool.h>
#include <stdint.h>

#define RACE_AGAIN_MAX 4u

/* The head start, where it is not fixed: at least, at most (of what is learned, over Tor). */
#define RACE_DELAY_MIN_MS 300u
#define RACE_DELAY_MAX_MS 3000u
#define RACE_TOR_GRACE_MS 100u

struct race_rules {
    enum family_mode mode;
    bool ipv4_first;
    uint32_t delay_ms; /* the first one's head start */
    uint32_t grace_ms; /* IPv4 complete while IPv6 is under way: so long IPv6 may still win. Over
                          Tor only */
    uint32_t again_ms; /* one failed in a way that may pass, and the other hangs: so long later it
                          is started again, then after twice as long, and so on. 0: never */
};

enum race_lane_state { RACER_WAITING, RACER_RUNNING, RACER_WON, RACER_FAILED, RACER_UNUSED };

struct race {
    struct race_rules rules;
    enum race_lane_state ipv6, ipv4;
    uint64_t started_ms,
        completed_ms;     /* completed: when the first of them did, while the other has its grace */
    uint64_t again_at_ms; /* when the one that failed is started again; 0: not */
    uint32_t agains;
};

enum race_do {
    RACE_WAIT,  /* until `at_ms`, or the next event when it is 0 */
    RACE_START, /* start `family`, then ask again */
    RACE_TAKE,  /* `family` won: keep it, close the other */
    RACE_FAIL   /* all failed */
};
struct race_step {
    enum race_do what;
    enum family family;
    uint64_t at_ms;
};

void race_init(struct race *r, const struct race_rules *rules, uint64_t now_ms);
void race_started(struct race *r, enum family f);
void race_completed(struct race *r, enum family f, uint64_t now_ms);
/* `may_pass`: trying again may help. */
void race_failed(struct race *r, enum family f, bool may_pass, uint64_t now_ms);
/* Ask after each event and when at_ms has come, until it no longer says RACE_START. */
struct race_step race_next(const struct race *r, uint64_t now_ms);

/* ---- how long the head start is, over Tor ----
 *
 * A circuit makes a connection take half a second or two, and a new one is needed now and then. So
 * what IPv6 took lately is kept for each relay, rising quickly and falling slowly, and the head
 * start is half as much again: then a healthy IPv6 has connected before IPv4 is even started. */

/* `known_ms` with one more connection over IPv6 and Tor; 0: nothing was known. */
uint32_t race_learn(uint32_t known_ms, uint64_t took_ms);
/* IPv6's head start by this route, with what is known (ROUTE_DIRECT: the least). */
uint32_t race_head_start_ms(enum route route, uint32_t known_ms);

/* IPv6's grace by this route, where it was beaten so often in a row: who was beaten is not waited
 * for twice. */
uint32_t race_grace_ms(enum route route, uint32_t beaten);

/* Whether IPv6 rests until `until_ms` and IPv4 has the first turn, at a place where it rests for
 * `for_ms` when it was beaten `after` times in a row (0: never). A time further away than that
 * comes from a clock that jumped, and does not count. */
bool race_demoted(int64_t until_ms, int64_t now_ms, uint32_t after, uint64_t for_ms);

#endif
