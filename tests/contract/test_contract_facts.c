/* The contract's promises about what a position is told with: newer versions, deletions, the tail.
 */
#include "tests/support/contract.h"

#include <string.h>

/* ---- versions and deletions ---- */

static void a_newer_version_is_a_fact_of_the_older(void **state)
{
    struct rig *r = *state;
    define_relays(r, 1);
    (void)append(r, make_event(0, 1700000100, 0, "[]", "first"));
    assert_int_equal(look(r, 1).newer, 0);
    (void)append(r, make_event(0, 1700000300, 0, "[]", "newest"));
    (void)append(r, make_event(0, 1700000200, 0, "[]", "comes late"));
    (void)append(r, make_event(1, 1700000400, 0, "[]", "another author's"));
    (void)append(r, make_event(0, 1700000400, 3, "[]", "another kind"));
    assert_int_equal(look(r, 1).newer, 2);
    assert_int_equal(look(r, 2).newer, 0);
    assert_int_equal(look(r, 3).newer, 2);
    assert_int_equal(look(r, 4).newer, 0);
    assert_int_equal(look(r, 5).newer, 0);
}

static void of_two_versions_of_the_same_second_the_lower_id_is_newer(void **state)
{
    struct rig *r = *state;
    define_relays(r, 1);
    struct event *a = make_event(0, 1700000100, 10002, "[]", "a");
    struct event *b = make_event(0, 1700000100, 10002, "[]", "b");
    bool a_wins = memcmp(a->id, b->id, sizeof a->id) < 0;
    (void)append(r, a);
    (void)append(r, b);
    assert_int_equal(look(r, 1).newer, a_wins ? 0 : 2);
    assert_int_equal(look(r, 2).newer, a_wins ? 1 : 0);
}

static void an_addressable_event_has_versions_by_its_d_tag(void **state)
{
    struct rig *r = *state;
    define_relays(r, 1);
    (void)append(r, make_event(0, 1700000100, 30023, "[[\"d\",\"one\"]]", "x"));
    (void)append(r, make_event(0, 1700000200, 30023, "[[\"d\",\"two\"]]", "x"));
    (void)append(r, make_event(0, 1700000300, 30023, "[[\"d\",\"one\"]]", "y"));
    assert_int_equal(look(r, 1).newer, 3);
    assert_int_equal(look(r, 2).newer, 0);
    assert_int_equal(look(r, 3).newer, 0);
}

static void its_authors_deletion_is_a_fact_of_an_event(void **state)
{
    struct rig *r = *state;
    define_relays(r, 1);
    struct event *note = make_note(0, 1), *other = make_note(0, 2);
    struct event *deletion = make_deletion(0, 1700000100, note->id);
    struct event *foreign = make_deletion(1, 1700000100, other->id);
    struct event *of_deletion = make_deletion(0, 1700000200, deletion->id);
    (void)append(r, note);
    (void)append(r, other);
    (void)append(r, deletion);
    (void)append(r, foreign);
    (void)append(r, of_deletion);
    assert_int_equal(look(r, 1).deleted_by, 3);
    assert_int_equal(look(r, 2).deleted_by, 0); /* not its author's */
    assert_int_equal(look(r, 3).deleted_by, 0); /* never set on a kind 5 */
}

static void a_deletion_may_come_before_what_it_deletes(void **state)
{
    struct rig *r = *state;
    define_relays(r, 1);
    struct event *note = make_note(0, 1);
    (void)append(r, make_deletion(0, 1700000100, note->id));
    (void)append(r, note);
    (void)append(r, make_note(1, 1));
    assert_int_equal(look(r, 2).deleted_by, 1);
    assert_int_equal(look(r, 3).deleted_by, 0);
}

static void a_deletion_by_address_covers_versions_up_to_its_time(void **state)
{
    struct rig *r = *state;
    define_relays(r, 1);
    (void)append(r, make_event(0, 1700000100, 30023, "[[\"d\",\"one\"]]", "x"));
    (void)append(r, make_address_deletion(0, 1700000200, 30023, "one"));
    (void)append(r, make_event(0, 1700000200, 30023, "[[\"d\",\"one\"]]", "y"));
    (void)append(r, make_event(0, 1700000201, 30023, "[[\"d\",\"one\"]]", "z"));
    assert_int_equal(look(r, 1).deleted_by, 2);
    assert_int_equal(look(r, 3).deleted_by, 2);
    assert_int_equal(look(r, 4).deleted_by, 0);
}

/* ---- the tail ---- */

struct heard {
    uint64_t pos[16], superseded[16], deleted[16];
    size_t len;
    uint64_t head, wanted_head, wanted_tail;
    bool enough;
};

static void on_heard(struct heard *h)
{
    h->enough = h->head >= h->wanted_head && h->len >= h->wanted_tail;
}

static void on_tail(void *arg, const struct queue_tail *t)
{
    struct heard *h = arg;
    assert_true(h->len < COUNT_OF(h->pos));
    assert_non_null(t->ev.event);
    assert_true(t->superseded_len <= 1);
    assert_true(t->deleted_len <= 1);
    h->pos[h->len] = t->ev.pos;
    h->superseded[h->len] = t->superseded_len ? t->superseded[0] : 0;
    h->deleted[h->len++] = t->deleted_len ? t->deleted[0] : 0;
    on_heard(h);
}

static void on_head(void *arg, uint64_t head, uint64_t news)
{
    (void)news;
    struct heard *h = arg;
    h->head = head;
    on_heard(h);
}

/* Follows, and waits for the first beat: from then on the tail arrives. */
static void follow(struct rig *r, struct heard *h)
{
    *h = (struct heard){.head = 0};
    struct queue_follower f = {.on_tail = on_tail, .on_head = on_head, .arg = h};
    r->q->ops->follow(r->q, &f);
    h->head = 0;
    h->wanted_head = 1;
    run_until(&r->loop, &h->enough, "the first beat");
    h->enough = false;
}

static void the_tail_tells_what_an_event_supersedes_or_deletes(void **state)
{
    struct rig *r = *state;
    struct heard h;
    define_relays(r, 1);
    append_notes(r, 1);
    follow(r, &h);
    struct event *victim = make_note(0, 1);
    h.wanted_tail = 4;
    (void)append(r, make_event(0, 1700000200, 0, "[]", "one"));
    (void)append(r, make_event(0, 1700000300, 0, "[]", "two"));
    (void)append(r, make_event(0, 1700000100, 0, "[]", "late"));
    (void)append(r, make_deletion(0, 1700000100, victim->id));
    event_unref(victim);
    run_until(&r->loop, &h.enough, "four tail messages");
    static const uint64_t superseded[] = {0, 2, 0, 0}, deleted[] = {0, 0, 0, 1};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(h.pos[i], i + 2);
        assert_int_equal(h.superseded[i], superseded[i]);
        assert_int_equal(h.deleted[i], deleted[i]);
    }
}

static void a_beat_tells_the_head_and_what_the_tail_lost_can_be_read(void **state)
{
    struct rig *r = *state;
    struct heard h;
    define_relays(r, 1);
    append_notes(r, 1);
    follow(r, &h);
    r->backend->lose_tail(r, 2);
    (void)append_note(r, 2);
    (void)append_note(r, 3);
    h.wanted_head = 3;
    run_until(&r->loop, &h.enough, "a beat");
    assert_int_equal(h.len, 0);
    assert_int_equal(look(r, 2).gone, GONE_NO);
    assert_int_equal(look(r, 3).gone, GONE_NO);
}

static void nobody_hears_the_tail_of_a_duplicate_or_after_it_stopped(void **state)
{
    struct rig *r = *state;
    struct heard h;
    define_relays(r, 1);
    append_notes(r, 1);
    follow(r, &h);
    (void)again(r, 1);
    h.wanted_tail = 1;
    (void)append_note(r, 2);
    run_until(&r->loop, &h.enough, "a tail message");
    assert_int_equal(h.len, 1);
    assert_int_equal(h.pos[0], 2);
    r->q->ops->follow(r->q, NULL);
    h.head = 0;
    (void)append_note(r, 3);
    struct answer a;
    ask_depth(&r->loop, r->q, &a);
    answer_free(&a);
    assert_int_equal(h.len, 1);
}

int main(void)
{
    static const struct CMUnitTest cases[] = {
        CASE(a_newer_version_is_a_fact_of_the_older),
        CASE(of_two_versions_of_the_same_second_the_lower_id_is_newer),
        CASE(an_addressable_event_has_versions_by_its_d_tag),
        CASE(its_authors_deletion_is_a_fact_of_an_event),
        CASE(a_deletion_may_come_before_what_it_deletes),
        CASE(a_deletion_by_address_covers_versions_up_to_its_time),
        CASE(the_tail_tells_what_an_event_supersedes_or_deletes),
        CASE(a_beat_tells_the_head_and_what_the_tail_lost_can_be_read),
        CASE(nobody_hears_the_tail_of_a_duplicate_or_after_it_stopped),
    };
    return contract_run("facts and the tail", cases, COUNT_OF(cases));
}
