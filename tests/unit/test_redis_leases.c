/* Terms of leases on Redis when who keeps house is late, or everything stood still: what no other
 * queue has to think of, as there the broker's own clock counts. */
#include "queue/redis_scripts.h"
#include "tests/support/contract.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define HOUSE "fedcba9876543210fedcba9876543210" /* another housekeeper than the rig's */
#define PAST  20000

/* What redis_house.c calls ten times a second. */
static void keep_house(struct rig *r, uint64_t boot_ms)
{
    struct buf text;
    char boot[24];
    (void)snprintf(boot, sizeof boot, "%" PRIu64, boot_ms);
    buf_init(&text, REDIS_SCRIPT_MAX);
    redis_script_text(VERB_HOUSEKEEP, &text);
    redisReply *sha = redis_server_do(r->redis, "SCRIPT LOAD %b", text.data, text.len);
    redisReply *incarnation = redis_server_do(r->redis, "HGET volley:meta incarnation");
    redisReply *held = redis_server_do(r->redis, "EVALSHA %s 1 volley %s %s %s %s %s %s 1 other",
                                       sha->str, "", incarnation->str, "",
                                       "3600000 1000000000 100000000 500000000", boot, HOUSE);
    assert_int_equal(held->type, REDIS_REPLY_ARRAY);
    assert_int_equal(held->element[0]->integer, 1);
    freeReplyObject(sha);
    freeReplyObject(incarnation);
    freeReplyObject(held);
    buf_fini(&text);
}

/* Time that nobody who keeps house hears of. */
static void pass_unseen(struct rig *r, int64_t *wall_ms, int64_t ms)
{
    *wall_ms += ms;
    redis_server_set_clock(r->redis, *wall_ms);
}

static size_t lanes_of(struct rig *r, struct holder *h)
{
    holder_lease(r, h, NULL);
    return h->lanes_len;
}

static void a_term_is_whole_when_housekeeping_is_late(void **state)
{
    struct rig *r = *state;
    struct holder h, heir;
    int64_t wall_ms = r->wall_ms;
    define_relays(r, 2);
    rig_housekeep(r);
    holder_init(&h, 0);
    holder_init(&heir, 1);
    assert_int_equal(lanes_of(r, &h), 2);
    pass_unseen(r, &wall_ms, LEASE_TERM_MS - 1);
    assert_int_equal(lanes_of(r, &h), 2); /* renews */
    rig_set_clocks(r, wall_ms + LEASE_TERM_MS - 1, r->boot_ms + 2 * (LEASE_TERM_MS - 1));
    rig_housekeep(r);
    assert_int_equal(lanes_of(r, &heir), 0);
    rig_pass(r, 1);
    assert_int_equal(lanes_of(r, &heir), 2);
}

static void who_was_stalled_hears_publishers_before_he_expires_one(void **state)
{
    struct rig *r = *state;
    struct holder h, heir;
    int64_t wall_ms = r->wall_ms;
    define_relays(r, 2);
    holder_init(&h, 0);
    holder_init(&heir, 1);
    pass_unseen(r, &wall_ms, PAST);
    keep_house(r, 1000000); /* the rig's is dead */
    assert_int_equal(lanes_of(r, &h), 2);
    pass_unseen(r, &wall_ms, PAST);
    keep_house(r, 1000000 + PAST);
    assert_int_equal(lanes_of(r, &heir), 0);
    assert_int_equal(lanes_of(r, &h), 2); /* it was there all the time */
    for (unsigned i = 1; i <= 20; i++) {
        pass_unseen(r, &wall_ms, LEASE_TERM_MS / 20);
        keep_house(r, 1000000 + PAST + i * LEASE_TERM_MS / 20);
        assert_int_equal(lanes_of(r, &heir), i < 20 ? 0 : 2); /* it is not any more */
    }
}

int main(void)
{
    static const struct CMUnitTest cases[] = {
        CASE(a_term_is_whole_when_housekeeping_is_late),
        CASE(who_was_stalled_hears_publishers_before_he_expires_one),
    };
    if (setenv("VOLLEY_BACKEND", "redis", 1) != 0)
        return 1;
    return contract_run("leases on Redis", cases, COUNT_OF(cases));
}
