/* A lane's share of the log: beyond it the lane gives up its oldest, and nobody else notices. */
#include "tests/support/store_box.h"

#include "common/base/rng.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Notes below 1,000 are alike long when they have two digits or three; this is of three. */
static uint64_t cost(void)
{
    struct event *ev = make_note(0, 100);
    uint64_t bytes = ev->len + 128;
    event_unref(ev);
    return bytes;
}

static void limit(struct store_box *b, uint64_t lane_max)
{
    b->options.lane_max = lane_max;
    store_set_limits(b->s, &b->options);
}

static void a_dead_lane_gives_up_its_oldest(void **state)
{
    struct store_box *b = *state;
    box_relays(b, 2);
    (void)box_grant(b, 2, 1);
    limit(b, 10 * cost());
    box_notes(b, 100, 109);
    box_housekeep(b);
    assert_int_equal(box_status(b, 1).expired, 0); /* just so many are allowed */
    box_notes(b, 110, 112);
    box_deliver(b, 2, 13);
    box_housekeep(b);
    struct lane_status l = box_status(b, 1);
    assert_int_equal(l.expired, 3);
    assert_int_equal(l.depth, 10);
    assert_int_equal(l.position, 3);
    assert_int_equal(box_receipt(b, 102, 1).row.cls, CLASS_LANE_MAX);
    assert_int_equal(box_receipt(b, 103, 1).end, RECEIPT_QUEUED);
    assert_int_equal(box_status(b, 2).expired, 0); /* the other one was done with all of it */
    assert_int_equal(box_depth(b).first, 4);
    limit(b, 0); /* half of max_bytes */
    box_notes(b, 113, 200);
    box_housekeep(b);
    assert_int_equal(box_status(b, 1).expired, 3);
}

static void a_held_lane_does_too(void **state)
{
    struct store_box *b = *state;
    struct hold_call hold = {.held = true, .url = "wss://relay0.example"};
    struct hold_result r;
    box_relays(b, 1);
    limit(b, 4 * cost());
    box_begin(b);
    assert_int_equal(store_hold(b->s, &hold, b->now_ms, &r), ERR_NONE);
    box_commit(b);
    box_notes(b, 100, 109);
    box_housekeep(b);
    assert_int_equal(box_status(b, 1).depth, 4);
}

/* The lane passed what is given up but for its exceptions: the floor rises to the last of those. */
static void exceptions_pin_what_lies_above_them(void **state)
{
    struct store_box *b = *state;
    struct exception x[] = {{.pos = 2}, {.pos = 5}, {.pos = 18}};
    struct lane_kept k;
    box_relays(b, 1);
    (void)box_grant(b, 1, 1);
    limit(b, 10 * cost());
    box_notes(b, 100, 119);
    struct lane_commit c = box_next(b, 1, 19);
    c.exceptions = x;
    c.exceptions_len = COUNT_OF(x);
    assert_int_equal(box_lane_commit(b, &c).status, COMMIT_DONE);
    box_housekeep(b);
    assert_int_equal(box_receipt(b, 104, 1).row.cls, CLASS_LANE_MAX);
    assert_int_equal(box_receipt(b, 105, 1).end, RECEIPT_DELIVERED);
    assert_int_equal(box_receipt(b, 117, 1).end, RECEIPT_RETRYING);
    assert_int_equal(store_kept(b->s, 1, b->epoch[1], &k), ERR_NONE);
    assert_int_equal(k.floor, 5);
    assert_int_equal(box_depth(b).first, 18);
}

static void a_full_queue_looks_at_the_lanes_before_it_refuses(void **state)
{
    struct store_box *b = *state;
    box_relays(b, 2);
    (void)box_grant(b, 2, 1);
    b->options.max_bytes = 20 * cost();
    limit(b, 0);
    for (unsigned n = 100; n < 160; n++) { /* without any housekeeping */
        assert_int_equal(box_note(b, n), n - 99);
        box_deliver(b, 2, n - 99);
    }
    assert_true(box_depth(b).bytes <= b->options.max_bytes);
    struct lane_status l = box_status(b, 1);
    assert_true(l.depth >= 10 && l.depth < 20);
    /* When all need it, it is refused all the same: nothing is dropped of what is not too much. */
    struct append_result r;
    struct problem why = {0};
    limit(b, b->options.max_bytes);
    unsigned n = 200;
    enum err e = ERR_NONE;
    for (; e == ERR_NONE && n < 300; n++) {
        struct event *ev = make_note(0, n);
        box_begin(b);
        e = store_append(b->s, ev, b->now_ms, &r, NULL, &why);
        box_commit(b);
        event_unref(ev);
    }
    assert_int_equal(e, ERR_FULL);
}

/* Sizes at random, against plain counting. */
static void a_lane_keeps_as_much_as_fits(void **state)
{
    struct store_box *b = *state;
    struct rng rng;
    static uint64_t bytes[401];
    char text[600];
    rng_init_secure(&rng);
    uint64_t seed = rng_next(&rng), sum = 0;
    print_message("seed %" PRIu64 "\n", seed);
    rng_init(&rng, seed);
    box_relays(b, 1);
    limit(b, 20000);
    for (unsigned n = 1; n <= 400; n++) {
        size_t len = (size_t)rng_below(&rng, sizeof text);
        memset(text, 'x', len);
        text[len] = '\0';
        struct event *ev = make_event(0, 1700000000 + n, 1, "[]", text);
        bytes[n] = ev->len + 128;
        (void)box_append(b, ev);
        if (rng_below(&rng, 5) != 0)
            continue;
        box_housekeep(b);
        uint64_t low = n + 1;
        for (sum = 0; low > 1 && sum + bytes[low - 1] <= 20000; low--)
            sum += bytes[low - 1];
        assert_int_equal(box_status(b, 1).position, low - 1);
        assert_int_equal(box_depth(b).first, low);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        BOX_TEST(a_dead_lane_gives_up_its_oldest),
        BOX_TEST(a_held_lane_does_too),
        BOX_TEST(exceptions_pin_what_lies_above_them),
        BOX_TEST(a_full_queue_looks_at_the_lanes_before_it_refuses),
        BOX_TEST(a_lane_keeps_as_much_as_fits),
    };
    return cmocka_run_group_tests_name("lane_max of the store", tests, NULL, NULL);
}
