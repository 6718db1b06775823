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

#endif
