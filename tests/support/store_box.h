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
/* `lanes` lanes with an owner each; notes 1 … `len`, which failed at all of them. */
void box_fail_all(struct store_box *b, unsigned lanes, unsigned len);
/* Several rows in one commit, which moves the lane to `position`. */
void box_commit_rows(struct store_box *b, uint32_t lane, uint64_t position, const struct row *rows,
                     size_t len);
struct row box_row(const struct store_box *b, uint64_t pos, enum row_end end, enum row_class cls);
/* Until nothing is left to do. */
void box_housekeep(struct store_box *b);
/* Both clocks go on, and housekeeping with them. */
void box_pass(struct store_box *b, int64_t ms);

/* One page of failed deliveries; the answer's arrays are the store's. */
enum err box_try_page(struct store_box *b, const struct failed_call *c, struct failed_page *out);
struct failed_page box_page(struct store_box *b, const struct failed_call *c);
/* All pages of a walk, their groups added up (LIST: the rows counted, by lane and class). */
struct failed_group box_walk(struct store_box *b, struct failed_call c);
/* A job with all that the filter means; its number. */
uint64_t box_replay(struct store_box *b, const struct row_filter *f, uint32_t rate_per_1000s);
uint64_t box_purge(struct store_box *b, const struct row_filter *f);
/* One step, some time after the last one; whether something was asked for. */
bool box_step(struct store_box *b, uint64_t ms);
struct replay_job box_job(struct store_box *b, uint64_t number);
bool box_has_job(struct store_box *b, uint64_t number);
/* What the lane's owner is asked for; how many. `out` has room for QUEUE_REQUESTS_MAX. */
size_t box_requested(struct store_box *b, uint32_t lane, struct lane_request *out);
/* Its owner takes up all that it is asked for: just these are its exceptions from then on. */
struct lane_committed box_take_up(struct store_box *b, uint32_t lane);
/* These arrived, and nothing is in flight any more. */
void box_remove(struct store_box *b, uint32_t lane, const uint64_t *removed, size_t len);

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
