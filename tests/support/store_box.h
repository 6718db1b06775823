/* A store in a temporary directory, with a clock that stands until a test moves it. Every helper
 * ends the program when the store refuses what it must not. */
#ifndef VOLLEY_TESTS_SUPPORT_STORE_BOX_H
#define VOLLEY_TESTS_SUPPORT_STORE_BOX_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue/store.h"
#include "tests/support/make_event.h"

#define BOX_WALL_MS      1800000000000
#define BOX_RETENTION_MS (3600 * 1000)

struct store_box {
    char dir[256];
    struct store_options options; /* changed before box_reopen, they hold from then on */
    struct store *s;
    int64_t now_ms;
    uint64_t boot_ms;
    uint64_t seq[64]; /* of the epoch, by lane */
    uint64_t epoch[64];
};

/* For cmocka: a fresh directory with an open store. */
int box_setup(void **state);
int box_teardown(void **state);
/* As cmocka_unit_test_setup_teardown. */
#define BOX_TEST(f) cmocka_unit_test_setup_teardown(f, box_setup, box_teardown)

/* Closes it, with or without giving up a turn, and opens it again. */
void box_reopen(struct store_box *b);
/* Opens the same directory again, as another process would; the error. */
enum err box_try_open(struct store_box *b, struct problem *p);
void box_path(const struct store_box *b, const char *name, char out[512]);

void box_begin(struct store_box *b);
void box_commit(struct store_box *b);

/* Each of these is a turn of its own. */
struct definition box_relay(unsigned n);
void box_relays(struct store_box *b, unsigned len);
/* Lets go of `ev`. */
struct append_result box_append(struct store_box *b, struct event *ev);
uint64_t box_note(struct store_box *b, unsigned n);
void box_notes(struct store_box *b, unsigned from, unsigned to);
struct lane_grant box_grant(struct store_box *b, uint32_t lane, uint8_t who);
/* With the lane's epoch and next sequence number, which counts when it is done. */
struct lane_commit box_next(const struct store_box *b, uint32_t lane, uint64_t position);
struct lane_committed box_lane_commit(struct store_box *b, const struct lane_commit *c);
void box_deliver(struct store_box *b, uint32_t lane, uint64_t position);
void box_fail(struct store_box *b, uint32_t lane, uint64_t pos);
struct row box_row(const struct store_box *b, uint64_t pos, enum row_end end, enum row_class cls);
/* Until nothing is left to do. */
void box_housekeep(struct store_box *b);
/* Both clocks go on, and housekeeping with them. */
void box_pass(struct store_box *b, int64_t ms);

/* Reading. The event is not lent: NULL or not is all it says. */
struct queue_event box_look(struct store_box *b, uint64_t pos);
/* The event with a reference of the caller's; it must be there. */
struct event *box_take(struct store_box *b, uint64_t pos);
struct lane_status box_status(struct store_box *b, uint32_t lane);
struct queue_depth box_depth(struct store_box *b);
bool box_known(struct store_box *b, unsigned n);
/* Of note `n`. */
struct receipt_lane box_receipt(struct store_box *b, unsigned n, uint32_t lane);

#endif
