/* A publisher, or several, on the model queue, with relays in the same process: for tests of the
 * publisher as a whole. */
#ifndef VOLLEY_TESTS_SUPPORT_PUBLISH_RIG_H
#define VOLLEY_TESTS_SUPPORT_PUBLISH_RIG_H

#include "publisher/publisher.h"
#include "queue/model.h"
#include "tests/support/fake_relay.h"
#include "tests/support/tap.h"

#define RIG_RELAYS     3
#define RIG_PUBLISHERS 2
#define RIG_EVENTS_MAX 2048u

struct publish_rig {
    uv_loop_t loop;
    struct queue *model;
    int64_t skew_ms; /* of the model's clocks, boot and wall */
    struct broker_clock clock;
    struct tap taps[RIG_PUBLISHERS]; /* a publisher each: a queue has one follower */
    struct fake_relay relays[RIG_RELAYS];
    struct definition defs[RIG_RELAYS];
    struct publisher_options options;
    struct publisher *publishers[RIG_PUBLISHERS];
    uint8_t ids[RIG_EVENTS_MAX][EVENT_ID_LEN]; /* appended, by position - 1 */
    unsigned len;
    bool appended, drained;
};

/* Model, relays and definitions are there, the definitions in force; no publisher yet: change
 * options and defs before publish_rig_start. */
void publish_rig_init(struct publish_rig *r);
/* Drains the publishers that are left, closes everything. */
void publish_rig_fini(struct publish_rig *r);
/* The two as cmocka's setup and teardown: *state is a rig. */
int publish_rig_setup(void **state);
int publish_rig_teardown(void **state);
/* Puts defs in force by hand. */
void publish_rig_define(struct publish_rig *r);
void publish_rig_start(struct publish_rig *r, unsigned publisher);
/* Gives it r->options as they are now. */
void publish_rig_reload(struct publish_rig *r, unsigned publisher);
void publish_rig_drain(struct publish_rig *r, unsigned publisher);
/* Appends and gives up the reference; waits for the answer. */
void publish_rig_append(struct publish_rig *r, struct event *ev);
void publish_rig_append_notes(struct publish_rig *r, unsigned count);
/* Runs until the relay got so many events. */
void publish_rig_wait_for_events(struct publish_rig *r, unsigned relay, unsigned count);
/* Runs until no lane has anything left to do and everything is committed. */
void publish_rig_settle(struct publish_rig *r);
/* Runs until this is true of the relay's lane, as the queue shows it. */
void publish_rig_await(struct publish_rig *r, unsigned relay,
                       bool (*done)(const struct lane_status *s), const char *what);
/* What the queue shows of a relay's lane now. */
struct lane_status publish_rig_lane(struct publish_rig *r, unsigned relay);
/* What became of an event at a relay. */
struct receipt_lane publish_rig_receipt(struct publish_rig *r, unsigned event, unsigned relay);
/* Ends the program unless the relay got all events once each, in order. */
void publish_rig_check_all(const struct publish_rig *r, unsigned relay);

#endif
