/* Ingest in this process, on the queue in memory behind a gate, with a clock that only moves when a
 * test says so. */
#ifndef VOLLEY_TESTS_SUPPORT_INGEST_RIG_H
#define VOLLEY_TESTS_SUPPORT_INGEST_RIG_H

#include "ingest/service.h"
#include "tests/support/gate.h"
#include "tests/support/make_event.h"
#include "tests/support/spin.h"
#include "tests/support/ws_client.h"

struct ingest_rig {
    uv_loop_t loop;
    struct queue *model;
    struct gate gate;
    struct ingest *i; /* NULL once drained */
    struct ingest_options options;
    struct ingest_limits limits;
    bool no_lanes; /* the queue knows no relay */
    bool drained, closed;
    uint64_t now_ms;
    int64_t now_s;
};

/* Defaults: one listener on loopback, anybody's events, one lane that takes all kinds. */
void ingest_rig_init(struct ingest_rig *r);
void ingest_rig_start(struct ingest_rig *r);
/* Drains, if that was not done, and ends everything. */
void ingest_rig_stop(struct ingest_rig *r);
/* Begins to drain. r->drained tells the end. */
void ingest_rig_drain(struct ingest_rig *r, uint64_t patience_ms);
void ingest_rig_drained(struct ingest_rig *r);
/* Time passes. */
void ingest_rig_pass(struct ingest_rig *r, uint64_t ms);

/* Waits for something that no event of the loop tells of, such as a change in ingest's own state.
 */
void ingest_rig_await(struct ingest_rig *r, bool (*done)(void *arg), void *arg, const char *what);

/* A client whose handshake went well. */
struct ws_client *ingest_rig_client(struct ingest_rig *r);
/* Sends ["EVENT",…]. */
void send_event(struct ws_client *c, const struct event *ev);
/* The next message is the OK of this event. */
void expect_ok(struct ws_client *c, const struct event *ev, bool accepted, const char *text);
/* The next message is this, or begins so. */
void expect_text(struct ws_client *c, const char *text);
void expect_start(struct ws_client *c, const char *start);
/* Waits until the gate was asked for so many appends, over all. */
void await_appends(struct ingest_rig *r, unsigned count);
/* Waits until so many sessions live. */
void await_sessions(struct ingest_rig *r, size_t count);
/* Waits until there are so many connections, websockets or not. */
void await_connections(struct ingest_rig *r, size_t count);
size_t count_sessions(const struct ingest_rig *r);
/* The n-th note of a seeded series, signed; the caller's reference. */
struct event *signed_note(unsigned number);

#endif
