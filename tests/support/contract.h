/* What the cases of the contract suite share. A case gets a fresh rig as its state; every helper
 * ends the program when the queue answers what no queue may. */
#ifndef VOLLEY_TESTS_SUPPORT_CONTRACT_H
#define VOLLEY_TESTS_SUPPORT_CONTRACT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/holder.h"
#include "tests/support/make_event.h"

#define CASE(f) cmocka_unit_test_setup_teardown(f, contract_setup, contract_teardown)

int contract_setup(void **state);
int contract_teardown(void **state);
/* Runs the cases on every backend; returns the number of those that failed. */
int contract_run(const char *title, const struct CMUnitTest *cases, size_t len);
/* Closes the case's rig and opens another, with other limits. */
struct rig *contract_again(void **state, const struct rig_options *o);

/* Relay number `n`: over Tor, all kinds but private ones. */
struct definition relay(unsigned n);
/* Puts the list in force. */
struct define_result define(struct rig *r, const struct definition *defs, size_t len);
/* What it is answered. */
enum err define_error(struct rig *r, const struct definition *defs, size_t len);
/* Relays 0 … len-1, which get the lanes 1 … len in a fresh queue. */
void define_relays(struct rig *r, unsigned len);

/* Appends what must be taken, and lets go of `ev`. */
struct append_result append(struct rig *r, struct event *ev);
/* Appends what must be refused, and lets go of `ev`. */
enum err append_refused(struct rig *r, struct event *ev);
/* Note number `n`, of author 0. */
uint64_t append_note(struct rig *r, unsigned n);
/* Notes 1 … len, the first of a fresh queue: note n has position n. */
void append_notes(struct rig *r, unsigned len);
/* Sends a note again. */
struct append_result again(struct rig *r, unsigned n);

/* What a read of this one position tells. The event is not lent: NULL or not is all it says. */
struct queue_event look(struct rig *r, uint64_t pos);
struct receipt_lane receipt_id(struct rig *r, const uint8_t id[EVENT_ID_LEN], uint32_t lane);
/* Of note `n`. */
struct receipt_lane receipt(struct rig *r, unsigned n, uint32_t lane);
enum receipt_end receipt_end(struct rig *r, unsigned n, uint32_t lane);
bool receipt_known(struct rig *r, unsigned n);
struct lane_status status(struct rig *r, uint32_t lane);
uint64_t first_kept(struct rig *r);

/* A row about one position. */
struct row row_at(uint64_t pos, enum row_end end, enum row_class cls);
/* Moves a lane of `h` to `position` with nothing else to say. */
void deliver(struct rig *r, struct holder *h, uint32_t lane, uint64_t position);
/* Moves a lane to `pos`, which failed there with `cls`. */
void fail_at(struct rig *r, struct holder *h, uint32_t lane, uint64_t pos, enum row_class cls);
/* Moves a lane to `to`; all from `from` on failed. */
void fail_range(struct rig *r, struct holder *h, uint32_t lane, uint64_t from, uint64_t to,
                enum row_class cls);
/* One more commit that settles nothing new: `row` is added. */
void put_row(struct rig *r, struct holder *h, uint32_t lane, const struct row *row);

/* Renews (or leases anew), follows the floors it hears of, and returns what is asked for on the
 * lane. */
size_t requests(struct rig *r, struct holder *h, uint32_t lane,
                struct lane_request out[QUEUE_REQUESTS_MAX]);
/* Takes up all that is asked for on the lane; returns how many. They wait as its exceptions, */
size_t take_up(struct rig *r, struct holder *h, uint32_t lane);
/* or arrived, */
size_t deliver_asked(struct rig *r, struct holder *h, uint32_t lane);
/* or failed again. */
size_t fail_asked(struct rig *r, struct holder *h, uint32_t lane, enum row_class cls);

/* ---- what operators do ---- */

/* Holds or releases relay `n`, which must have a lane. */
struct hold_result hold(struct rig *r, unsigned n, bool held, bool from_now);
/* What the filter means (NULL: all that failed), over all groups. */
struct failed_group sum_of(struct rig *r, enum failed_do what, const struct row_filter *f);
/* Makes a job of what the filter means; returns its number. */
uint64_t replay(struct rig *r, const struct row_filter *f, uint32_t rate_per_1000s);
bool job_known(struct rig *r, uint64_t number);
struct replay_job job(struct rig *r, uint64_t number);
/* Checks all its counters. */
#define assert_job(r, number, is, waits, asks, arrived, failed_again, dropped_)                    \
    do {                                                                                           \
        struct replay_job j_ = job(r, number);                                                     \
        assert_string_equal(job_state_name(j_.state), job_state_name(is));                         \
        assert_int_equal(j_.waiting, waits);                                                       \
        assert_int_equal(j_.asked, asks);                                                          \
        assert_int_equal(j_.delivered, arrived);                                                   \
        assert_int_equal(j_.failed, failed_again);                                                 \
        assert_int_equal(j_.dropped, dropped_);                                                    \
        assert_int_equal(j_.total, j_.waiting + j_.asked + j_.delivered + j_.failed + j_.dropped); \
        assert_true((j_.ended_ms != 0) == (j_.state == JOB_DONE || j_.state == JOB_CANCELLED));    \
    } while (0)

#endif
