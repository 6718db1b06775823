/* The contract's promises about what goes with time and what is full: retention, floors, clocks
 * that jump, forgetting, max_bytes. */
#include "tests/support/contract.h"

#include <string.h>

#define HOUR_MS (3600 * 1000)

/* Two lanes, both held by `h`; lane 1 has everything delivered when `notes` were appended. */
static struct rig *two_lanes(void **state, struct holder *h, unsigned notes)
{
    struct rig *r = *state;
    define_relays(r, 2);
    append_notes(r, notes);
    holder_init(h, 0);
    holder_lease(r, h, NULL);
    deliver(r, h, 1, notes);
    return r;
}

static void check_expired(struct rig *r, unsigned n, uint32_t lane)
{
    struct receipt_lane got = receipt(r, n, lane);
    assert_int_equal(got.end, RECEIPT_ROW);
    assert_int_equal(got.row.end, ROW_EXPIRED);
    assert_int_equal(got.row.cls, CLASS_RETENTION);
    assert_true(got.row.from <= n && n <= got.row.to);
}

/* ---- retention ---- */

static void what_waited_longer_than_retention_expires(void **state)
{
    struct holder h;
    struct rig *r = two_lanes(state, &h, 5);
    rig_pass(r, RIG_RETENTION_MS / 2);
    (void)append_note(r, 6);
    rig_pass(r, RIG_RETENTION_MS / 2 - 1);
    assert_int_equal(status(r, 2).depth, 6);
    rig_pass(r, 1);
    assert_int_equal(status(r, 2).depth, 1);
    assert_int_equal(status(r, 2).position, 5);
    assert_int_equal(status(r, 2).expired, 5);
    assert_int_equal(status(r, 1).expired, 0);
    for (unsigned n = 1; n <= 5; n++) {
        check_expired(r, n, 2);
        assert_int_equal(receipt_end(r, n, 1), RECEIPT_DELIVERED);
    }
    assert_int_equal(receipt_end(r, 6, 2), RECEIPT_QUEUED);
    assert_int_equal(first_kept(r), 6);
    assert_int_equal(look(r, 5).gone, GONE_TRIMMED);
}

static void an_expired_run_covers_only_what_was_not_settled(void **state)
{
    static const struct exception waiting[] = {{.pos = 1, .attempts = 7}, {.pos = 3}};
    struct holder h;
    struct rig *r = two_lanes(state, &h, 6);
    const struct row failed = row_at(2, ROW_FAILED, CLASS_POW);
    struct lane_commit c = holder_next(&h, 2, 4);
    c.exceptions = waiting;
    c.exceptions_len = 2;
    c.rows_added = &failed;
    c.rows_added_len = 1;
    assert_int_equal(holder_commit(r, &h, &c).status, COMMIT_DONE);
    rig_pass(r, RIG_RETENTION_MS);
    check_expired(r, 1, 2);
    assert_int_equal(receipt(r, 2, 2).row.cls, CLASS_POW);
    check_expired(r, 3, 2);
    assert_int_equal(receipt_end(r, 4, 2), RECEIPT_DELIVERED);
    check_expired(r, 5, 2);
    check_expired(r, 6, 2);
    assert_int_equal(status(r, 2).expired, 4);
    assert_int_equal(status(r, 2).failed, 1);
    assert_int_equal(status(r, 2).depth, 0);
    assert_int_equal(status(r, 2).retrying, 0);
}

static void a_holder_is_told_the_floor(void **state)
{
    struct holder h, heir;
    struct answer a;
    struct rig *r = two_lanes(state, &h, 5);
    rig_pass(r, RIG_RETENTION_MS);
    holder_init(&heir, 1);
    holder_lease(r, &heir, &a);
    assert_int_equal(a.lease.grants_len, 2);
    assert_int_equal(a.lease.grants[1].lane, 2);
    assert_int_equal(a.lease.grants[1].position, 5);
    answer_free(&a);
    (void)append_note(r, 6);
    for (int64_t ms = 0; ms < RIG_RETENTION_MS; ms += LEASE_TERM_MS / 2) {
        rig_pass(r, LEASE_TERM_MS / 2);
        holder_lease(r, &heir, &a);
        assert_int_equal(a.lease.kept_len, 2);
        assert_int_equal(a.lease.kept[1].floor,
                         r->wall_ms - RIG_WALL_MS < 2 * RIG_RETENTION_MS ? 5 : 6);
        answer_free(&a);
    }
}

static void a_commit_below_the_floor_is_merged_and_told_so(void **state)
{
    static const struct exception waiting = {.pos = 3, .attempts = 1};
    struct holder h;
    struct rig *r = two_lanes(state, &h, 6);
    deliver(r, &h, 2, 1);
    rig_pass(r, RIG_RETENTION_MS);
    (void)append_note(r, 7);
    assert_int_equal(status(r, 2).position, 6);
    const struct row failed = row_at(4, ROW_FAILED, CLASS_MUTE);
    struct lane_commit c = holder_next(&h, 2, 4); /* the holder has not heard of the floor */
    c.exceptions = &waiting;
    c.exceptions_len = 1;
    c.rows_added = &failed;
    c.rows_added_len = 1;
    struct lane_committed done = holder_commit(r, &h, &c);
    assert_int_equal(done.status, COMMIT_DONE);
    assert_int_equal(done.position, 6);
    assert_int_equal(receipt_end(r, 1, 2), RECEIPT_DELIVERED);
    assert_int_equal(receipt_end(r, 2, 2), RECEIPT_DELIVERED); /* settled after all */
    check_expired(r, 3, 2);
    assert_int_equal(receipt(r, 4, 2).row.cls, CLASS_MUTE);
    check_expired(r, 5, 2);
    check_expired(r, 6, 2);
    assert_int_equal(receipt_end(r, 7, 2), RECEIPT_QUEUED);
    struct lane_status now = status(r, 2);
    assert_int_equal(now.expired, 3);
    assert_int_equal(now.failed, 1);
    assert_int_equal(now.depth, 1);
    c = holder_next(&h, 2, 7); /* and it goes on from there */
    assert_int_equal(holder_commit(r, &h, &c).status, COMMIT_DONE);
    check_expired(r, 3, 2);
    check_expired(r, 6, 2);
    assert_int_equal(receipt_end(r, 7, 2), RECEIPT_DELIVERED);
}

/* The holder went to the first floor because it was told to, not because it settled anything. */
static void following_a_floor_settles_nothing_when_the_next_one_rises(void **state)
{
    struct holder h;
    struct rig *r = two_lanes(state, &h, 3);
    rig_pass(r, RIG_RETENTION_MS / 2);
    for (unsigned n = 4; n <= 6; n++)
        (void)append_note(r, n);
    rig_pass(r, RIG_RETENTION_MS / 2);
    holder_init(&h, 1);
    holder_lease(r, &h, NULL); /* with position 3: what lies there expired */
    (void)append_note(r, 7);
    for (int64_t ms = 0; ms < RIG_RETENTION_MS / 2; ms += LEASE_TERM_MS / 2) {
        rig_pass(r, LEASE_TERM_MS / 2);
        if (status(r, 2).position == 3)
            holder_lease(r, &h, NULL);
    }
    assert_int_equal(status(r, 2).position, 6); /* the next three expired, the holder not knowing */
    struct lane_commit c = holder_next(&h, 2, 5);
    assert_int_equal(c.floor, 3);
    assert_int_equal(holder_commit(r, &h, &c).position, 6);
    for (unsigned n = 1; n <= 3; n++)
        check_expired(r, n, 2);
    assert_int_equal(receipt_end(r, 4, 2), RECEIPT_DELIVERED);
    assert_int_equal(receipt_end(r, 5, 2), RECEIPT_DELIVERED);
    check_expired(r, 6, 2);
}

static void what_was_settled_beyond_a_floor_nobody_told_of_is_settled(void **state)
{
    static const struct exception waiting = {.pos = 3, .attempts = 1};
    struct holder h;
    struct rig *r = two_lanes(state, &h, 5);
    rig_pass(r, RIG_RETENTION_MS);
    (void)append_note(r, 6);
    struct lane_commit c = holder_next(&h, 2, 6);
    c.exceptions = &waiting;
    c.exceptions_len = 1;
    assert_int_equal(holder_commit(r, &h, &c).position, 6);
    for (unsigned n = 1; n <= 6; n++) {
        if (n == 3)
            check_expired(r, n, 2);
        else
            assert_int_equal(receipt_end(r, n, 2), RECEIPT_DELIVERED);
    }
    assert_int_equal(status(r, 2).depth, 0);
}

static void a_held_lane_expires_too(void **state)
{
    struct rig *r = *state;
    struct holder h;
    struct answer a;
    struct definition d = relay(0);
    d.hold = true;
    (void)define(r, &d, 1);
    append_notes(r, 2);
    holder_init(&h, 0);
    holder_lease(r, &h, &a);
    assert_true(a.lease.grants[0].held);
    answer_free(&a);
    assert_true(status(r, 1).held);
    rig_pass(r, RIG_RETENTION_MS);
    check_expired(r, 1, 1);
    check_expired(r, 2, 1);
}

static void an_expired_event_sent_again_can_be_had_again(void **state)
{
    struct holder h;
    struct answer a;
    struct rig *r = two_lanes(state, &h, 2);
    rig_pass(r, RIG_RETENTION_MS);
    assert_int_equal(look(r, 1).gone, GONE_TRIMMED);
    assert_int_equal(again(r, 1).requeued, 1);
    assert_int_equal(look(r, 1).gone, GONE_NO);
    check_expired(r, 1, 2);
    rig_housekeep(r);
    assert_int_equal(look(r, 1).gone, GONE_NO);

    holder_lease(r, &h, &a);
    holder_lease(r, &h, NULL);
    answer_free(&a);
    holder_init(&h, 1);
    rig_pass(r, LEASE_TERM_MS);
    holder_lease(r, &h, &a);
    assert_int_equal(a.lease.grants[1].requests_len, 1);
    struct exception taken = {.pos = 1};
    struct lane_commit c = holder_next(&h, 2, 2);
    c.requests_taken = a.lease.grants[1].requests[0].number;
    c.exceptions = &taken;
    c.exceptions_len = 1;
    answer_free(&a);
    assert_int_equal(holder_commit(r, &h, &c).status, COMMIT_DONE);
    rig_housekeep(r);
    assert_int_equal(receipt_end(r, 1, 2), RECEIPT_RETRYING);
    assert_int_equal(look(r, 1).gone, GONE_NO);
    assert_int_equal(status(r, 2).depth, 1);

    const uint64_t removed = 1;
    c = holder_next(&h, 2, 2);
    c.rows_removed = &removed;
    c.rows_removed_len = 1;
    assert_int_equal(holder_commit(r, &h, &c).status, COMMIT_DONE);
    assert_int_equal(receipt_end(r, 1, 2), RECEIPT_DELIVERED);
    check_expired(r, 2, 2);
    assert_int_equal(status(r, 2).expired, 1);
}

static void a_request_ends_when_what_it_asks_for_arrives_without_it(void **state)
{
    struct holder h;
    struct answer a;
    struct rig *r = two_lanes(state, &h, 2);
    rig_pass(r, RIG_RETENTION_MS);
    assert_int_equal(again(r, 1).requeued, 1);
    assert_int_equal(again(r, 2).requeued, 1);
    deliver(r, &h, 2, 1); /* it was on its way when it expired */
    assert_int_equal(receipt_end(r, 1, 2), RECEIPT_DELIVERED);
    holder_init(&h, 1);
    holder_lease(r, &h, &a);
    assert_int_equal(a.lease.grants[1].requests_len, 1);
    assert_int_equal(a.lease.grants[1].requests[0].pos, 2);
    answer_free(&a);
}

/* ---- clocks ---- */

static void a_wall_clock_that_jumps_expires_nothing_for_an_hour(void **state)
{
    struct holder h;
    struct rig *r = two_lanes(state, &h, 3);
    rig_housekeep(r);
    rig_jump(r, 10 * RIG_RETENTION_MS);
    assert_int_equal(status(r, 2).depth, 3);
    rig_pass(r, HOUR_MS - 1);
    assert_int_equal(status(r, 2).depth, 3);
    rig_pass(r, 1);
    assert_int_equal(status(r, 2).depth, 0);
    check_expired(r, 1, 2);
}

static void a_jump_while_the_queue_was_down_is_seen_too(void **state)
{
    struct holder h;
    struct rig *r = two_lanes(state, &h, 3);
    rig_housekeep(r);
    rig_set_clocks(r, r->wall_ms + 10 * RIG_RETENTION_MS, r->boot_ms + 500);
    rig_restart(r);
    rig_housekeep(r);
    assert_int_equal(status(r, 2).depth, 3);
}

static void a_wall_clock_that_falls_back_loses_nothing(void **state)
{
    struct holder h;
    struct rig *r = two_lanes(state, &h, 3);
    rig_jump(r, -5 * (int64_t)RIG_RETENTION_MS);
    (void)append_note(r, 4);
    rig_pass(r, HOUR_MS);
    for (unsigned n = 1; n <= 3; n++)
        assert_int_equal(receipt_end(r, n, 2), RECEIPT_QUEUED);
    assert_int_equal(receipt_end(r, 4, 1), RECEIPT_QUEUED);
}

/* ---- forgetting ---- */

static void an_id_is_forgotten_when_retention_has_passed_since_it_was_trimmed(void **state)
{
    struct holder h;
    struct rig *r = two_lanes(state, &h, 3);
    deliver(r, &h, 2, 2);
    rig_pass(r, 1000);
    assert_int_equal(first_kept(r), 3);
    rig_pass(r, RIG_RETENTION_MS - 1001);
    assert_true(receipt_known(r, 2));
    assert_true(again(r, 2).duplicate);
    rig_pass(r, 1001);
    assert_false(receipt_known(r, 1));
    assert_false(receipt_known(r, 2));
    assert_true(receipt_known(r, 3));
    struct append_result anew = again(r, 2);
    assert_false(anew.duplicate);
    assert_int_equal(anew.pos, 4);
    assert_int_equal(look(r, 2).gone, GONE_TRIMMED);
}

static void what_failed_is_kept_for_retention_from_its_failure(void **state)
{
    struct holder h;
    struct rig *r = two_lanes(state, &h, 2);
    deliver(r, &h, 2, 1);
    rig_housekeep(r);
    rig_pass(r, RIG_RETENTION_MS / 2);
    fail_at(r, &h, 2, 2, CLASS_BLOCKED);
    rig_housekeep(r);
    assert_int_equal(first_kept(r), 3);
    rig_pass(r, RIG_RETENTION_MS - 1);
    assert_false(receipt_known(r, 1));
    assert_int_equal(receipt(r, 2, 2).row.cls, CLASS_BLOCKED);
    assert_int_equal(again(r, 2).requeued, 1);
    assert_int_equal(look(r, 2).gone, GONE_NO);
}

static void a_failed_row_goes_with_its_id(void **state)
{
    struct holder h;
    struct rig *r = two_lanes(state, &h, 1);
    fail_at(r, &h, 2, 1, CLASS_BLOCKED);
    rig_housekeep(r);
    rig_pass(r, RIG_RETENTION_MS);
    assert_false(receipt_known(r, 1));
    assert_int_equal(status(r, 2).failed, 0);
}

/* ---- full ---- */

static void a_full_queue_refuses_and_loses_nothing(void **state)
{
    static char text[2000];
    struct rig_options small = rig_defaults;
    small.max_bytes = small.lane_max = 20000; /* the lane may pin all of it */
    struct rig *r = contract_again(state, &small);
    struct holder h;
    struct answer a;
    define_relays(r, 1);
    memset(text, 'x', sizeof text - 1);
    uint64_t taken = 0;
    for (unsigned i = 0; i < 20; i++) {
        text[0] = (char)('a' + i);
        struct event *ev = make_event(0, 1700000000, 1, "[]", text);
        ask_append(&r->loop, r->q, ev, &a);
        event_unref(ev);
        if (a.e != ERR_NONE)
            break;
        taken = a.append.pos;
        answer_free(&a);
    }
    assert_int_equal(a.e, ERR_FULL);
    assert_true(a.why[0] != '\0');
    answer_free(&a);
    assert_true(taken >= 7 && taken <= 9);

    ask_depth(&r->loop, r->q, &a);
    assert_int_equal(a.depth.head, taken);
    assert_int_equal(a.depth.max_bytes, 20000);
    assert_true(a.depth.bytes <= 20000);
    struct event *ev = make_event(0, 1700000000, 1, "[]", text);
    assert_int_equal(a.depth.bytes, taken * (ev->len + 128));
    answer_free(&a);
    event_unref(ev);

    text[0] = 'a'; /* what is there already is found all the same */
    assert_true(append(r, make_event(0, 1700000000, 1, "[]", text)).duplicate);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    deliver(r, &h, 1, taken); /* and what is there can be settled */
    rig_housekeep(r);
    assert_int_equal(append(r, make_note(0, 1)).pos, taken + 1);
}

static void when_full_the_oldest_finished_ids_go_first(void **state)
{
    struct rig_options small = rig_defaults;
    small.max_bytes = 4000;
    struct rig *r = contract_again(state, &small);
    struct holder h;
    define_relays(r, 1);
    holder_init(&h, 0);
    for (unsigned n = 1; n <= 100; n++) {
        assert_int_equal(append_note(r, n), n);
        holder_lease(r, &h, NULL);
        deliver(r, &h, 1, n);
        rig_housekeep(r);
    }
    assert_false(receipt_known(r, 1));
    assert_int_equal(receipt_end(r, 99, 1), RECEIPT_DELIVERED);
}

static void failed_max_shortens_what_can_be_replayed_and_nothing_else(void **state)
{
    struct rig_options small = rig_defaults;
    small.failed_max = 1000; /* two notes */
    struct rig *r = contract_again(state, &small);
    struct holder h;
    define_relays(r, 1);
    append_notes(r, 6);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    for (uint64_t pos = 1; pos <= 6; pos++)
        fail_at(r, &h, 1, pos, CLASS_BLOCKED);
    rig_housekeep(r);
    for (unsigned n = 1; n <= 6; n++)
        assert_int_equal(receipt(r, n, 1).row.cls, CLASS_BLOCKED);
    assert_int_equal(status(r, 1).failed, 6);
    assert_int_equal(look(r, 1).gone, GONE_TRIMMED);
    assert_int_equal(again(r, 1).requeued, 1);
    rig_housekeep(r);
    assert_int_equal(look(r, 1).gone, GONE_NO);
}

/* ---- restart ---- */

static void a_restart_keeps_everything(void **state)
{
    static const struct exception waiting = {.pos = 3, .attempts = 1};
    struct holder h;
    struct rig *r = two_lanes(state, &h, 5);
    const struct row failed = row_at(2, ROW_FAILED, CLASS_INVALID);
    struct lane_commit c = holder_next(&h, 2, 4);
    c.exceptions = &waiting;
    c.exceptions_len = 1;
    c.rows_added = &failed;
    c.rows_added_len = 1;
    c.delivered = 2;
    assert_int_equal(holder_commit(r, &h, &c).status, COMMIT_DONE);
    rig_housekeep(r);
    rig_restart(r);
    assert_int_equal(first_kept(r), 3);
    assert_int_equal(receipt_end(r, 1, 2), RECEIPT_DELIVERED);
    assert_int_equal(receipt(r, 2, 2).row.cls, CLASS_INVALID);
    assert_int_equal(receipt_end(r, 3, 2), RECEIPT_RETRYING);
    assert_int_equal(receipt_end(r, 4, 2), RECEIPT_DELIVERED);
    assert_int_equal(receipt_end(r, 5, 2), RECEIPT_QUEUED);
    struct lane_status now = status(r, 2);
    assert_int_equal(now.depth, 2);
    assert_int_equal(now.delivered, 2);
    assert_int_equal(now.failed, 1);
    assert_true(again(r, 4).duplicate);
    assert_int_equal(append_note(r, 6), 6);
    deliver(r, &h, 2, 6); /* the holder did not notice */
}

int main(void)
{
    static const struct CMUnitTest cases[] = {
        CASE(what_waited_longer_than_retention_expires),
        CASE(an_expired_run_covers_only_what_was_not_settled),
        CASE(a_holder_is_told_the_floor),
        CASE(a_commit_below_the_floor_is_merged_and_told_so),
        CASE(following_a_floor_settles_nothing_when_the_next_one_rises),
        CASE(what_was_settled_beyond_a_floor_nobody_told_of_is_settled),
        CASE(a_request_ends_when_what_it_asks_for_arrives_without_it),
        CASE(a_held_lane_expires_too),
        CASE(an_expired_event_sent_again_can_be_had_again),
        CASE(a_wall_clock_that_jumps_expires_nothing_for_an_hour),
        CASE(a_jump_while_the_queue_was_down_is_seen_too),
        CASE(a_wall_clock_that_falls_back_loses_nothing),
        CASE(an_id_is_forgotten_when_retention_has_passed_since_it_was_trimmed),
        CASE(what_failed_is_kept_for_retention_from_its_failure),
        CASE(a_failed_row_goes_with_its_id),
        CASE(a_full_queue_refuses_and_loses_nothing),
        CASE(when_full_the_oldest_finished_ids_go_first),
        CASE(failed_max_shortens_what_can_be_replayed_and_nothing_else),
        CASE(a_restart_keeps_everything),
    };
    return contract_run("time and space", cases, COUNT_OF(cases));
}
