/* The contract's promises about what operators do to lanes: hold and release, lists that were
 * replaced, the registry, what one lane may pin, and how its owner hears of it. */
#include "tests/support/contract.h"

#include <stdio.h>
#include <string.h>

/* ---- hold, release ---- */

/* Whether the owner of lane 1 is told to hold it. */
static bool told_held(struct rig *r, struct holder *h)
{
    struct answer a;
    holder_lease(r, h, &a);
    bool held = a.lease.kept_len > 0 ? a.lease.kept[0].held : a.lease.grants[0].held;
    answer_free(&a);
    return held;
}

static void a_held_lane_keeps_what_it_is_for(void **state)
{
    struct rig *r = *state;
    struct holder h;
    define_relays(r, 2);
    append_notes(r, 3);
    holder_init(&h, 0);
    assert_false(told_held(r, &h));
    struct hold_result held = hold(r, 0, true, false);
    assert_int_equal(held.waiting, 3);
    assert_true(held.changed);
    assert_true(told_held(r, &h));
    assert_true(status(r, 1).held);
    assert_false(status(r, 2).held);
    (void)append_note(r, 4);
    held = hold(r, 0, true, false); /* changes nothing */
    assert_int_equal(held.waiting, 4);
    assert_false(held.changed);
    assert_int_equal(receipt_end(r, 1, 1), RECEIPT_QUEUED);
    struct hold_result free = hold(r, 0, false, false);
    assert_int_equal(free.waiting, 4);
    assert_int_equal(free.given_up, 0);
    assert_true(free.changed);
    assert_false(told_held(r, &h));
    assert_false(hold(r, 0, false, false).changed);
    assert_true(hold(r, 0, false, true).changed); /* it is released already, but gives up four */
    assert_false(hold(r, 0, false, true).changed);
}

static void an_operators_word_is_durable_and_outranks_the_list(void **state)
{
    struct rig *r = *state;
    struct holder h;
    struct definition d = relay(0);
    holder_init(&h, 0);
    (void)define(r, &d, 1);
    (void)hold(r, 0, true, false);
    rig_restart(r);
    assert_true(told_held(r, &h));
    d.window = 9;
    (void)define(r, &d, 1);
    assert_true(status(r, 1).held);
    (void)hold(r, 0, false, false);
    d.hold = true;
    (void)define(r, &d, 1);
    assert_false(status(r, 1).held);
    rig_restart(r);
    assert_false(told_held(r, &h));
    const struct definition other = relay(1), back[2] = {relay(0), relay(1)};
    (void)define(r, &other, 1);
    (void)define(r, back, 2); /* another lane: nobody said anything about it */
    assert_false(status(r, 3).held);
}

static void release_from_now_gives_up_what_waited(void **state)
{
    static const struct exception waiting = {.pos = 2, .attempts = 4};
    struct rig *r = *state;
    struct holder h;
    struct answer a;
    define_relays(r, 2);
    append_notes(r, 5);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    const struct row failed = row_at(1, ROW_FAILED, CLASS_POW);
    struct lane_commit c = holder_next(&h, 1, 3);
    c.exceptions = &waiting;
    c.exceptions_len = 1;
    c.rows_added = &failed;
    c.rows_added_len = 1;
    assert_int_equal(holder_commit(r, &h, &c).status, COMMIT_DONE);
    (void)hold(r, 0, true, false);
    struct hold_result free = hold(r, 0, false, true);
    assert_int_equal(free.given_up, 3);
    assert_int_equal(free.waiting, 0);
    assert_int_equal(status(r, 1).expired, 3);
    assert_int_equal(status(r, 2).depth, 5);
    for (unsigned n = 2; n <= 5; n++) {
        if (n == 3)
            continue;
        struct receipt_lane got = receipt(r, n, 1);
        assert_int_equal(got.row.end, ROW_EXPIRED);
        assert_int_equal(got.row.cls, CLASS_RELEASED);
        assert_int_equal(got.row.attempts, n == 2 ? 4 : 0);
    }
    assert_int_equal(receipt_end(r, 3, 1), RECEIPT_DELIVERED);
    assert_int_equal(receipt(r, 1, 1).row.cls, CLASS_POW);
    assert_int_equal(hold(r, 0, false, true).given_up, 0);
    holder_lease(r, &h, &a);
    assert_int_equal(a.lease.kept[0].floor, 5);
    answer_free(&a);
    (void)append_note(r, 6);
    assert_int_equal(receipt_end(r, 6, 1), RECEIPT_QUEUED);
}

static void only_a_lane_that_is_there_can_be_held(void **state)
{
    struct rig *r = *state;
    struct answer a;
    struct hold_call c = {.url = "wss://relay1.example", .held = true};
    const struct definition left = relay(0);
    define_relays(r, 2);
    (void)define(r, &left, 1);
    ask_hold(&r->loop, r->q, &c, &a);
    assert_int_equal(a.e, ERR_NOT_FOUND); /* it retired */
    answer_free(&a);
    (void)snprintf(c.url, sizeof c.url, "wss://relay9.example");
    ask_hold(&r->loop, r->q, &c, &a);
    assert_int_equal(a.e, ERR_NOT_FOUND);
    answer_free(&a);
}

/* ---- lists ---- */

static enum err force(struct rig *r, const struct definition *defs, size_t len)
{
    struct answer a;
    struct define_call c = {.defs = defs, .len = len, .force = true, .by = "op@host"};
    ask_define_as(&r->loop, r->q, &c, &a);
    enum err e = a.e;
    answer_free(&a);
    return e;
}

static void a_list_that_was_replaced_is_stale(void **state)
{
    struct rig *r = *state;
    const struct definition one[] = {relay(0), relay(1)}, two[] = {relay(0), relay(2)};
    const struct definition turned[] = {relay(1), relay(0)};
    (void)define(r, one, 2);
    (void)define(r, two, 2);
    uint64_t version = define(r, two, 2).registry_version;
    assert_int_equal(define_error(r, one, 2), ERR_STALE);
    assert_int_equal(define_error(r, turned, 2), ERR_STALE); /* whatever its order */
    rig_restart(r);
    assert_int_equal(define_error(r, one, 2), ERR_STALE);
    assert_int_equal(define(r, two, 2).registry_version, version);
    assert_true(status(r, 2).retired);
    assert_false(status(r, 3).retired);

    assert_int_equal(force(r, one, 2), ERR_NONE);
    assert_int_equal(define_error(r, one, 2), ERR_NONE);
    assert_int_equal(define_error(r, two, 2), ERR_STALE); /* now this one was replaced */
    assert_true(status(r, 3).retired);
    assert_int_equal(force(r, two, 2), ERR_NONE);
    assert_int_equal(define_error(r, one, 2), ERR_STALE);
}

static void the_empty_list_is_a_list(void **state)
{
    struct rig *r = *state;
    const struct definition one = relay(0), two[] = {relay(0), relay(1)};
    (void)define(r, NULL, 0);
    (void)define(r, &one, 1);
    assert_int_equal(define_error(r, NULL, 0), ERR_STALE);
    assert_false(status(r, 1).retired);
    assert_int_equal(force(r, NULL, 0), ERR_NONE);
    assert_true(status(r, 1).retired);
    assert_int_equal(define_error(r, &one, 1), ERR_STALE);
    (void)define(r, two, 2);
}

static void so_many_lists_are_remembered(void **state)
{
    struct rig *r = *state;
    struct definition d = relay(0);
    for (uint32_t i = 0; i <= LISTS_MAX + 1; i++) {
        d.window = 1 + i;
        (void)define(r, &d, 1);
    }
    d.window = 2;
    assert_int_equal(define_error(r, &d, 1), ERR_STALE);
    d.window = 1; /* replaced longest ago */
    assert_int_equal(define_error(r, &d, 1), ERR_NONE);
}

/* ---- the registry ---- */

static void the_registry_tells_every_lane_and_definition(void **state)
{
    struct rig *r = *state;
    struct holder h;
    struct answer a;
    struct definition defs[2] = {relay(0), relay(1)};
    ask_registry(&r->loop, r->q, &a);
    assert_int_equal(a.registry.defined_ms, 0);
    assert_int_equal(a.registry.lanes_len, 0);
    answer_free(&a);

    (void)define(r, defs, 2);
    append_notes(r, 3);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    deliver(r, &h, 1, 1);
    for (uint32_t window = 2; window <= 4; window++) { /* 2 is replaced before it was in force */
        defs[0].window = window;
        (void)define(r, defs, 2);
        holder_lease(r, &h, NULL);
        if (window != 3)
            continue;
        struct lane_commit c = holder_next(&h, 1, 2);
        c.definition_version = 3;
        assert_int_equal(holder_commit(r, &h, &c).status, COMMIT_DONE);
    }
    (void)hold(r, 0, true, false);
    rig_pass(r, 1000);
    struct define_call drop = {.defs = defs, .len = 1, .by = "op@host"};
    ask_define_as(&r->loop, r->q, &drop, &a);
    assert_int_equal(a.define.retired, 1);
    uint64_t version = a.define.registry_version;
    answer_free(&a);

    ask_registry(&r->loop, r->q, &a);
    const struct queue_registry *reg = &a.registry;
    assert_int_equal(reg->version, version);
    assert_int_equal(reg->defined_ms, RIG_WALL_MS + 1000);
    assert_string_equal(reg->defined_by, "op@host");
    assert_int_equal(reg->lanes_len, 2);
    const struct lane_entry *l = &reg->lanes[0];
    assert_int_equal(l->lane, 1);
    assert_false(l->retired);
    assert_int_equal(l->hold, HOLD_HELD);
    assert_int_equal(l->position, 2);
    assert_int_equal(l->versions_len, 3);
    static const struct lane_version versions[] = {
        {.version = 1, .from = 0}, {.version = 3, .from = 2}, {.version = 4, .waits = true}};
    for (size_t i = 0; i < COUNT_OF(versions); i++) {
        assert_int_equal(l->versions[i].version, versions[i].version);
        assert_int_equal(l->versions[i].from, versions[i].from);
        assert_int_equal(l->versions[i].waits, versions[i].waits);
    }
    assert_int_equal(l->versions[2].definition.window, 4);
    l = &reg->lanes[1];
    assert_true(l->retired);
    assert_int_equal(l->retired_ms, RIG_WALL_MS + 1000);
    assert_int_equal(l->hold, HOLD_AS_DEFINED);
    assert_int_equal(l->versions_len, 1);
    answer_free(&a);
}

/* ---- what one lane may pin ---- */

/* What notes from … to pin. */
static uint64_t pinned(unsigned from, unsigned to)
{
    uint64_t bytes = 0;
    for (unsigned n = from; n <= to; n++) {
        struct event *ev = make_note(0, n);
        bytes += ev->len + 128;
        event_unref(ev);
    }
    return bytes;
}

static void a_lane_beyond_its_share_gives_up_its_oldest(void **state)
{
    struct rig_options o = rig_defaults;
    o.lane_max = pinned(3, 6);
    struct rig *r = contract_again(state, &o);
    struct holder h;
    define_relays(r, 2);
    append_notes(r, 6);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    deliver(r, &h, 1, 4);
    (void)hold(r, 1, true, false); /* held lanes too */
    rig_housekeep(r);
    assert_int_equal(status(r, 1).expired, 0);
    assert_int_equal(status(r, 2).expired, 2);
    assert_int_equal(status(r, 2).position, 2);
    assert_int_equal(receipt(r, 2, 2).row.cls, CLASS_LANE_MAX);
    assert_int_equal(receipt_end(r, 3, 2), RECEIPT_QUEUED);
    assert_int_equal(first_kept(r), 3);
    rig_housekeep(r);
    assert_int_equal(status(r, 2).expired, 2);
    deliver(r, &h, 1, 6);
    (void)append_note(r, 7);
    rig_housekeep(r);
    assert_int_equal(status(r, 2).position, pinned(4, 7) > o.lane_max ? 4 : 3);
}

static void an_exception_pins_what_lies_behind_it(void **state)
{
    static const struct exception waiting[] = {{.pos = 1, .attempts = 3}, {.pos = 7}};
    struct rig_options o = rig_defaults;
    o.lane_max = pinned(6, 9);
    struct rig *r = contract_again(state, &o);
    struct holder h;
    struct answer a;
    define_relays(r, 1);
    append_notes(r, 9);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    struct lane_commit c = holder_next(&h, 1, 9);
    c.exceptions = waiting;
    c.exceptions_len = 2;
    assert_int_equal(holder_commit(r, &h, &c).status, COMMIT_DONE);
    rig_housekeep(r);
    struct lane_status now = status(r, 1);
    assert_int_equal(now.expired, 1); /* what lay between was delivered */
    assert_int_equal(now.retrying, 1);
    assert_int_equal(now.position, 9);
    struct receipt_lane got = receipt(r, 1, 1);
    assert_int_equal(got.row.cls, CLASS_LANE_MAX);
    assert_int_equal(got.row.attempts, 3);
    assert_int_equal(receipt_end(r, 5, 1), RECEIPT_DELIVERED);
    assert_int_equal(first_kept(r), 7);
    holder_lease(r, &h, &a);
    assert_int_equal(a.lease.kept[0].floor, 1);
    answer_free(&a);
}

static void a_dead_lane_does_not_make_ingest_refuse(void **state)
{
    struct rig_options o = rig_defaults;
    o.max_bytes = pinned(1, 20);
    o.lane_max = pinned(1, 10);
    struct rig *r = contract_again(state, &o);
    struct holder h;
    define_relays(r, 2);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    for (unsigned n = 1; n <= 60; n++) {
        assert_int_equal(append_note(r, n), n);
        deliver(r, &h, 1, n);
        if (n % 20 == 0)
            holder_lease(r, &h, NULL);
    }
    assert_true(status(r, 2).depth < 20);
    assert_true(status(r, 2).depth >= 9);
    assert_int_equal(status(r, 1).depth, 0);
    assert_int_equal(receipt_end(r, 60, 2), RECEIPT_QUEUED);
    assert_int_equal(receipt_end(r, 60, 1), RECEIPT_DELIVERED);
}

/* ---- how owners hear of it ---- */

struct beats {
    bool heard;
    unsigned count;
    uint64_t news;
};

static void on_head(void *arg, uint64_t head, uint64_t news)
{
    struct beats *b = arg;
    (void)head;
    b->news = news;
    b->heard = ++b->count >= 2; /* the first may have been on its way */
}

static uint64_t news_now(struct rig *r)
{
    struct beats b = {.count = 0};
    struct queue_follower f = {.on_head = on_head, .arg = &b};
    r->q->ops->follow(r->q, &f);
    run_until(&r->loop, &b.heard, "beats");
    r->q->ops->follow(r->q, NULL);
    return b.news;
}

#define assert_news(r, before, is_new)                                                             \
    do {                                                                                           \
        uint64_t now_ = news_now(r);                                                               \
        assert_int_equal(now_ != (before), is_new);                                                \
        (before) = now_;                                                                           \
    } while (0)

static void beats_tell_when_a_lease_call_would_bring_something_new(void **state)
{
    struct rig *r = *state;
    struct holder h, other;
    struct definition defs[2] = {relay(0), relay(1)};
    (void)define(r, defs, 2);
    append_notes(r, 2);
    holder_init(&h, 0);
    holder_init(&other, 1);
    holder_lease(r, &h, NULL);
    uint64_t news = news_now(r);
    holder_lease(r, &h, NULL);
    fail_at(r, &h, 1, 1, CLASS_BLOCKED);
    (void)append_note(r, 3);
    rig_pass(r, 100);
    assert_news(r, news, false);
    (void)hold(r, 1, true, false);
    assert_news(r, news, true);
    (void)replay(r, NULL, 0);
    rig_pass(r, 100);
    assert_news(r, news, true);
    defs[1].window = 5;
    (void)define(r, defs, 2);
    assert_news(r, news, true);
    (void)append(r, make_heartbeat(1));
    assert_news(r, news, true);
    (void)append(r, make_heartbeat(1)); /* again */
    assert_news(r, news, false);
    holder_lease(r, &other, NULL); /* the first shall give one back */
    assert_news(r, news, true);
    holder_lease(r, &h, NULL);
    for (size_t i = 0; i < h.lanes_len; i++)
        h.lanes[i].gives = h.lanes[i].asked;
    holder_lease(r, &h, NULL);
    assert_news(r, news, true);
    holder_lease(r, &other, NULL);
    assert_int_equal(other.lanes_len, 1);
}

static void depth_tells_what_the_owner_tells(void **state)
{
    struct rig *r = *state;
    struct holder h;
    define_relays(r, 1);
    holder_init(&h, 0);
    holder_lease(r, &h, NULL);
    h.lanes[0].live = (struct lane_live){.state = LANE_BACKOFF,
                                         .since_ms = 17,
                                         .in_flight = 3,
                                         .family = FAMILY_IPV6,
                                         .retry_at_ms = 18,
                                         .delivered_ms = 19,
                                         .rate_per_1000s = 20,
                                         .error_ms = 21,
                                         .last_error = "gone"};
    holder_lease(r, &h, NULL);
    struct lane_live live = status(r, 1).live;
    assert_int_equal(live.state, LANE_BACKOFF);
    assert_int_equal(live.since_ms, 17);
    assert_int_equal(live.in_flight, 3);
    assert_int_equal(live.family, FAMILY_IPV6);
    assert_int_equal(live.retry_at_ms, 18);
    assert_int_equal(live.delivered_ms, 19);
    assert_int_equal(live.rate_per_1000s, 20);
    assert_int_equal(live.error_ms, 21);
    assert_string_equal(live.last_error, "gone");
}

int main(void)
{
    static const struct CMUnitTest cases[] = {
        CASE(a_held_lane_keeps_what_it_is_for),
        CASE(an_operators_word_is_durable_and_outranks_the_list),
        CASE(release_from_now_gives_up_what_waited),
        CASE(only_a_lane_that_is_there_can_be_held),
        CASE(a_list_that_was_replaced_is_stale),
        CASE(the_empty_list_is_a_list),
        CASE(so_many_lists_are_remembered),
        CASE(the_registry_tells_every_lane_and_definition),
        CASE(a_lane_beyond_its_share_gives_up_its_oldest),
        CASE(an_exception_pins_what_lies_behind_it),
        CASE(a_dead_lane_does_not_make_ingest_refuse),
        CASE(beats_tell_when_a_lease_call_would_bring_something_new),
        CASE(depth_tells_what_the_owner_tells),
    };
    return contract_run("operating", cases, COUNT_OF(cases));
}
