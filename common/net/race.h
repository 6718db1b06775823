/* Happy Eyeballs (after RFC 8305) as a decision: when to start which family, and who won. Pure: it
 * is told the time and what happened, and says what to do. The same for direct connections and over
 * Tor; what differs is the head start and the grace. */
#ifndef VOLLEY_NET_RACE_H
#define VOLLEY_NET_RACE_H

#include "common/base/err.h"
#include "common/net/family.h"

#include <stdbool.h>
#include <stdint.h>

struct race_rules {
    enum family_mode mode;
    bool ipv4_first;
    uint32_t delay_ms; /* the first one's head start */
    uint32_t grace_ms; /* IPv4 complete while IPv6 is under way: so long IPv6 may still win. 100
                          over Tor, 0 direct */
};

enum race_lane_state { RACER_WAITING, RACER_RUNNING, RACER_WON, RACER_FAILED, RACER_UNUSED };

struct race {
    struct race_rules rules;
    enum race_lane_state ipv6, ipv4;
    uint64_t started_ms,
        completed_ms; /* completed: when the first of them did, while the other has its grace */
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
void race_failed(struct race *r, enum family f);
/* Ask after each event and when at_ms has come, until it no longer says RACE_START. */
struct race_step race_next(const struct race *r, uint64_t now_ms);

#endif
