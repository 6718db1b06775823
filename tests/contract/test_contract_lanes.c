/* The contract's promises about lanes: definitions, where they start, how they retire, who leases
 * them. */
#include "tests/support/contract.h"

#include <string.h>

/* ---- definitions ---- */

static void a_first_registry_starts_at_the_logs_first_event_a_later_lane_at_the_head(void **state)
{
    struct rig *r = *state;
    define_relays(r, 2);
    append_notes(r, 3);
    assert_int_equal(status(r, 1).start, 0);
    assert_int_equal(status(r, 1).depth, 3);
    struct definition defs[4] = {relay(0), relay(1), relay(2), relay(3)};
    defs[3].backfill = true;
    struct define_result d = define(r, defs, 4);
    assert_int_equal(d.added, 2);
    assert_int_equal(d.unchanged, 2);
    assert_int_equal(status(r, 3).start, 3);
    assert_int_equal(status(r, 3).depth, 0);
    assert_int_equal(status(r, 4).start, 0);
    assert_int_equal(status(r, 4).depth, 3);
    assert_int_equal(receipt_end(r, 3, 3), RECEIPT_NEVER);
    assert_int_equal(receipt_end(r, 3, 4), RECEIPT_QUEUED);
    (void)append_note(r, 4);
    assert_int_equal(receipt_end(r, 4, 3), RECEIPT_QUEUED);
}

static void backfill_begins_at_the_oldest_kept_event(void **state)
{
    struct rig *r = *state;
    struct holder h;
    define_relays(r, 1);
    append_notes(r, 5);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    deliver(r, &h, 1, 2);
    rig_housekeep(r);
    struct definition defs[2] = {relay(0), relay(1)};
    defs[1].backfill = true;
    (void)define(r, defs, 2);
    assert_int_equal(status(r, 2).start, 2);
    assert_int_equal(receipt_end(r, 2, 2), RECEIPT_NEVER);
    assert_int_equal(receipt_end(r, 3, 2), RECEIPT_QUEUED);
}

static void the_same_list_again_changes_nothing(void **state)
{
    struct rig *r = *state;
    struct definition defs[3] = {relay(0), relay(1), relay(2)};
    struct define_result one = define(r, defs, 3);
    assert_int_equal(one.added, 3);
    struct definition turned[3] = {relay(2), relay(0), relay(1)};
    struct define_result two = define(r, turned, 3);
    assert_int_equal(two.added + two.changed + two.retired, 0);
    assert_int_equal(two.unchanged, 3);
    assert_int_equal(two.registry_version, one.registry_version);
    defs[1].window = 3;
    assert_true(define(r, defs, 3).registry_version > one.registry_version);
}

static void a_url_twice_is_refused_and_changes_nothing(void **state)
{
    struct rig *r = *state;
    struct answer a;
    struct definition defs[3] = {relay(5), relay(6), relay(5)};
    define_relays(r, 1);
    ask_define(&r->loop, r->q, defs, 3, &a);
    assert_int_equal(a.e, ERR_INVALID);
    assert_true(a.why[0] != '\0');
    answer_free(&a);
    ask_depth(&r->loop, r->q, &a);
    assert_int_equal(a.depth.lanes_len, 1);
    assert_false(a.depth.lanes[0].retired);
    answer_free(&a);
}

static void a_changed_definition_takes_force_above_the_lanes_position(void **state)
{
    struct rig *r = *state;
    struct holder h;
    struct answer a;
    struct definition defs[2] = {relay(0), relay(1)};
    (void)define(r, defs, 2);
    append_notes(r, 6);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    deliver(r, &h, 1, 2);
    defs[0].kinds[defs[0].kinds_len++] = 7; /* notes are not for it any more */
    struct define_result d = define(r, defs, 2);
    assert_int_equal(d.changed, 1);
    deliver(r, &h, 1, 3); /* the holder has not heard of it */
    holder_lease(r, &h, &a);
    assert_int_equal(a.lease.kept_len, 2);
    assert_non_null(a.lease.kept[0].next);
    assert_true(a.lease.kept[0].next_version > 1);
    assert_int_equal(a.lease.kept[0].next->kinds[0], 7);
    assert_null(a.lease.kept[1].next);
    uint32_t next = a.lease.kept[0].next_version;
    answer_free(&a);
    struct lane_commit c = holder_next(&h, 1, 4); /* 4 still went by the old one */
    c.definition_version = next;
    assert_int_equal(holder_commit(r, &h, &c).status, COMMIT_DONE);
    deliver(r, &h, 1, 5);
    static const enum receipt_end ends[] = {RECEIPT_DELIVERED, RECEIPT_DELIVERED, RECEIPT_DELIVERED,
                                            RECEIPT_DELIVERED, RECEIPT_FILTERED,  RECEIPT_QUEUED};
    for (unsigned n = 1; n <= 6; n++)
        assert_int_equal(receipt_end(r, n, 1), ends[n - 1]);
    assert_int_equal(status(r, 1).definition_version, next);
    holder_lease(r, &h, &a);
    assert_null(a.lease.kept[0].next);
    answer_free(&a);
}

static void a_version_that_was_replaced_while_pending_may_still_be_named(void **state)
{
    struct rig *r = *state;
    struct holder h;
    struct answer a;
    struct definition d = relay(0);
    (void)define(r, &d, 1);
    append_notes(r, 4);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    d.window = 2;
    (void)define(r, &d, 1);
    holder_lease(r, &h, &a);
    uint32_t second = a.lease.kept[0].next_version;
    answer_free(&a);
    d.window = 3;
    (void)define(r, &d, 1); /* while the holder's commit is on its way */
    struct lane_commit c = holder_next(&h, 1, 1);
    c.definition_version = second;
    assert_int_equal(holder_commit(r, &h, &c).status, COMMIT_DONE);
    assert_int_equal(status(r, 1).definition_version, second);
    assert_int_equal(status(r, 1).definition.window, 2);
    holder_lease(r, &h, &a);
    assert_true(a.lease.kept[0].next_version > second);
    assert_int_equal(a.lease.kept[0].next->window, 3);
    answer_free(&a);
}

static void a_new_holder_is_granted_both_definitions(void **state)
{
    struct rig *r = *state;
    struct holder h;
    struct answer a;
    struct definition d = relay(0);
    (void)define(r, &d, 1);
    append_notes(r, 1);
    d.window = 2;
    (void)define(r, &d, 1);
    holder_init(&h, 0);
    holder_lease(r, &h, &a);
    assert_int_equal(a.lease.grants_len, 1);
    const struct lane_grant *g = &a.lease.grants[0];
    assert_int_equal(g->definition.window, 256);
    assert_true(g->next_version > g->definition_version);
    assert_int_equal(g->next.window, 2);
    answer_free(&a);
}

static void a_dropped_lane_retires_pins_nothing_and_keeps_its_rows(void **state)
{
    struct rig *r = *state;
    struct holder h;
    struct answer a;
    define_relays(r, 2);
    append_notes(r, 4);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    fail_at(r, &h, 2, 1, CLASS_BLOCKED);
    deliver(r, &h, 2, 2);
    deliver(r, &h, 1, 3);
    define_relays(r, 1);
    rig_housekeep(r);
    assert_int_equal(first_kept(r), 4);
    assert_true(status(r, 2).retired);
    assert_int_equal(status(r, 2).depth, 0);
    assert_int_equal(receipt(r, 1, 2).row.cls, CLASS_BLOCKED);
    assert_true(receipt(r, 1, 2).retired);
    assert_int_equal(receipt_end(r, 2, 2), RECEIPT_DELIVERED);
    struct receipt_lane never_sent = receipt(r, 3, 2);
    assert_int_equal(never_sent.end, RECEIPT_ROW);
    assert_int_equal(never_sent.row.end, ROW_EXPIRED);
    assert_int_equal(never_sent.row.cls, CLASS_RETIRED);
    struct lane_commit late = holder_next(&h, 2, 4);
    assert_int_equal(holder_commit(r, &h, &late).status, COMMIT_STALE);
    holder_lease(r, &h, &a);
    assert_int_equal(a.lease.lost_len, 1);
    assert_int_equal(a.lease.lost[0], 2);
    answer_free(&a);
}

/* ---- leases ---- */

static void check_one_holder_each(const struct holder *hs, size_t len, unsigned lanes)
{
    unsigned held[HOLDER_LANES_MAX] = {0};
    for (size_t i = 0; i < len; i++) {
        for (size_t k = 0; k < hs[i].lanes_len; k++)
            held[hs[i].lanes[k].lane]++;
    }
    for (unsigned lane = 1; lane <= lanes; lane++)
        assert_true(held[lane] <= 1);
}

static void one_publisher_gets_all_lanes_two_get_half_each(void **state)
{
    struct rig *r = *state;
    struct holder hs[2];
    define_relays(r, 10);
    holder_init(&hs[0], 0);
    holder_init(&hs[1], 1);
    holder_lease(r, &hs[0], NULL);
    assert_int_equal(hs[0].lanes_len, 10);
    holder_lease(r, &hs[1], NULL);
    assert_int_equal(hs[1].lanes_len, 0); /* nothing is free before it is given back */
    holder_lease(r, &hs[0], NULL);
    size_t asked = 0;
    for (size_t i = 0; i < hs[0].lanes_len; i++) {
        asked += hs[0].lanes[i].asked;
        hs[0].lanes[i].gives = hs[0].lanes[i].asked;
    }
    assert_int_equal(asked, 5);
    holder_lease(r, &hs[0], NULL);
    assert_int_equal(hs[0].lanes_len, 5);
    holder_lease(r, &hs[1], NULL);
    assert_int_equal(hs[1].lanes_len, 5);
    check_one_holder_each(hs, 2, 10);
    for (unsigned i = 0; i < 3; i++) { /* and so it stays */
        holder_lease(r, &hs[0], NULL);
        holder_lease(r, &hs[1], NULL);
        assert_int_equal(hs[0].lanes_len, 5);
        assert_int_equal(hs[1].lanes_len, 5);
        for (size_t k = 0; k < 5; k++)
            assert_false(hs[0].lanes[k].asked || hs[1].lanes[k].asked);
    }
}

static void a_publisher_leases_only_lanes_whose_route_it_serves(void **state)
{
    struct rig *r = *state;
    struct holder tor, direct;
    struct definition defs[4] = {relay(0), relay(1), relay(2), relay(3)};
    defs[3].route = ROUTE_DIRECT;
    (void)define(r, defs, 4);
    holder_init(&tor, 0);
    holder_init(&direct, 1);
    tor.routes = 1u << ROUTE_TOR;
    direct.routes = 1u << ROUTE_DIRECT;
    holder_lease(r, &tor, NULL);
    assert_int_equal(tor.lanes_len, 3);
    assert_null(holder_lane(&tor, 4));
    assert_int_equal(status(r, 4).live.state, LANE_UNLEASED);
    holder_lease(r, &direct, NULL);
    assert_int_equal(direct.lanes_len, 1);
    assert_non_null(holder_lane(&direct, 4));
}

static void every_grant_has_a_larger_epoch(void **state)
{
    struct rig *r = *state;
    uint64_t last = 0;
    define_relays(r, 1);
    for (unsigned i = 0; i < 6; i++) {
        struct holder h;
        holder_init(&h, i);
        if (i == 3)
            rig_restart(r);
        rig_pass(r, LEASE_TERM_MS);
        holder_lease(r, &h, NULL);
        assert_int_equal(h.lanes_len, 1);
        assert_true(h.lanes[0].epoch > last);
        last = h.lanes[0].epoch;
    }
}

static void a_lane_is_taken_over_when_the_term_has_ended_and_not_before(void **state)
{
    struct rig *r = *state;
    struct holder dead, heir;
    struct answer a;
    define_relays(r, 3);
    holder_init(&dead, 0);
    holder_init(&heir, 1);
    holder_lease(r, &dead, NULL);
    rig_pass(r, LEASE_TERM_MS - 1);
    holder_lease(r, &heir, NULL);
    assert_int_equal(heir.lanes_len, 0);
    rig_pass(r, 1);
    holder_lease(r, &heir, NULL);
    assert_int_equal(heir.lanes_len, 3);
    holder_lease(r, &dead, &a); /* it was only slow */
    assert_int_equal(a.lease.lost_len, 3);
    assert_int_equal(dead.lanes_len, 0);
    answer_free(&a);
}

static void a_renewal_keeps_a_lane_beyond_its_term(void **state)
{
    struct rig *r = *state;
    struct holder h, other;
    define_relays(r, 1);
    holder_init(&h, 0);
    holder_init(&other, 1);
    holder_lease(r, &h, NULL);
    uint64_t epoch = h.lanes[0].epoch;
    for (unsigned i = 0; i < 20; i++) {
        rig_pass(r, LEASE_RENEW_MS);
        holder_lease(r, &h, NULL);
        holder_lease(r, &other, NULL);
        assert_int_equal(other.lanes_len, 0);
        assert_int_equal(h.lanes_len, 1);
        assert_int_equal(h.lanes[0].epoch, epoch);
    }
}

static void who_leaves_gives_back_and_gets_nothing(void **state)
{
    struct rig *r = *state;
    struct holder h, heir;
    define_relays(r, 2);
    holder_init(&h, 0);
    holder_init(&heir, 1);
    holder_lease(r, &h, NULL);
    h.leaving = true;
    holder_lease(r, &h, NULL);
    assert_true(h.lanes[0].asked && h.lanes[1].asked);
    h.lanes[0].gives = true;
    holder_lease(r, &h, NULL);
    assert_int_equal(h.lanes_len, 1);
    holder_lease(r, &heir, NULL);
    assert_int_equal(heir.lanes_len, 1);
    h.lanes[0].gives = true;
    holder_lease(r, &h, NULL);
    assert_int_equal(h.lanes_len, 0);
    holder_lease(r, &heir, NULL);
    assert_int_equal(heir.lanes_len, 2);
}

static void a_restarted_queue_leaves_a_lane_to_its_holder_for_one_term(void **state)
{
    struct rig *r = *state;
    struct holder h, other;
    struct answer a;
    define_relays(r, 2);
    append_notes(r, 3);
    holder_init(&h, 0);
    holder_init(&other, 1);
    holder_lease(r, &h, NULL);
    rig_restart(r);
    holder_lease(r, &other, NULL);
    assert_int_equal(other.lanes_len, 0);
    holder_lease(r, &h, &a);
    assert_int_equal(a.lease.kept_len, 2);
    assert_int_equal(a.lease.lost_len, 0);
    answer_free(&a);
    deliver(r, &h, 1, 3);
    rig_restart(r);
    rig_pass(r, LEASE_TERM_MS);
    holder_lease(r, &other, NULL);
    assert_int_equal(other.lanes_len, 2);
}

static void a_lane_whose_grant_was_never_heard_of_is_granted_again(void **state)
{
    struct rig *r = *state;
    struct holder h;
    define_relays(r, 1);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    uint64_t epoch = h.lanes[0].epoch;
    h.lanes_len = 0; /* the answer was lost */
    holder_lease(r, &h, NULL);
    assert_int_equal(h.lanes_len, 1);
    assert_true(h.lanes[0].epoch > epoch);
}

static void what_a_holder_tells_is_shown_and_gone_with_it(void **state)
{
    struct rig *r = *state;
    struct holder h;
    define_relays(r, 1);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    h.lanes[0].live = (struct lane_live){.state = LANE_BACKOFF,
                                         .since_ms = 5,
                                         .in_flight = 6,
                                         .family = FAMILY_IPV6,
                                         .retry_at_ms = 7,
                                         .rate_per_1000s = 8,
                                         .last_error = "connection refused"};
    holder_lease(r, &h, NULL);
    struct lane_status now = status(r, 1);
    assert_string_equal(now.publisher, h.name);
    assert_int_equal(now.live.state, LANE_BACKOFF);
    assert_int_equal(now.live.since_ms, 5);
    assert_int_equal(now.live.in_flight, 6);
    assert_int_equal(now.live.family, FAMILY_IPV6);
    assert_int_equal(now.live.retry_at_ms, 7);
    assert_int_equal(now.live.rate_per_1000s, 8);
    assert_string_equal(now.live.last_error, "connection refused");
    rig_pass(r, LEASE_TERM_MS);
    assert_int_equal(status(r, 1).live.state, LANE_UNLEASED);
    assert_string_equal(status(r, 1).publisher, "");
}

int main(void)
{
    static const struct CMUnitTest cases[] = {
        CASE(a_first_registry_starts_at_the_logs_first_event_a_later_lane_at_the_head),
        CASE(backfill_begins_at_the_oldest_kept_event),
        CASE(the_same_list_again_changes_nothing),
        CASE(a_url_twice_is_refused_and_changes_nothing),
        CASE(a_changed_definition_takes_force_above_the_lanes_position),
        CASE(a_version_that_was_replaced_while_pending_may_still_be_named),
        CASE(a_new_holder_is_granted_both_definitions),
        CASE(a_dropped_lane_retires_pins_nothing_and_keeps_its_rows),
        CASE(one_publisher_gets_all_lanes_two_get_half_each),
        CASE(a_publisher_leases_only_lanes_whose_route_it_serves),
        CASE(every_grant_has_a_larger_epoch),
        CASE(a_lane_is_taken_over_when_the_term_has_ended_and_not_before),
        CASE(a_renewal_keeps_a_lane_beyond_its_term),
        CASE(who_leaves_gives_back_and_gets_nothing),
        CASE(a_restarted_queue_leaves_a_lane_to_its_holder_for_one_term),
        CASE(a_lane_whose_grant_was_never_heard_of_is_granted_again),
        CASE(what_a_holder_tells_is_shown_and_gone_with_it),
    };
    return contract_run("lanes", cases, COUNT_OF(cases));
}
