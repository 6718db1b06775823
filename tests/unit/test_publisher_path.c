/* What a whole publisher records of its connections: by route and family, the loser of a race apart
 * from the one that failed. The SOCKS ports play the relay themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "tests/support/ask.h"
#include "tests/support/link_server.h"
#include "tests/support/publish_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RELAY "ws://relay.invalid"

static const struct tale {
    const char *what;
    struct link_server_options ipv6, ipv4; /* the two ports */
    bool only_any;                         /* one port, which is ipv4's */
    uint32_t race_delay_ms;
    const char *stats; /* family attempts/successes/failures */
    const char *later; /* what they become when the loser is known; NULL: the same */
    uint32_t learned_from_ms, learned_to_ms, failures_in_a_row;
} rows[] = {
    {.what = "IPv6 wins",
     .race_delay_ms = 300,
     .stats = "ipv6 1/1/0",
     .learned_from_ms = 1,
     .learned_to_ms = 250},
    {.what = "IPv6 fails",
     .ipv6 = {.socks_reply = 4},
     .race_delay_ms = 300,
     .stats = "ipv6 1/0/1 ipv4 1/1/0",
     .failures_in_a_row = 1},
    {.what = "IPv6 hangs up where its answer is due",
     .ipv6 = {.does = SERVER_HANGS_UP},
     .race_delay_ms = 300,
     .stats = "ipv6 1/0/1 ipv4 1/1/0",
     .failures_in_a_row = 1},
    {.what = "IPv6 is slow: neither a failure nor a success",
     .ipv6 = {.socks_delay_ms = 500},
     .race_delay_ms = 50,
     .stats = "ipv6 1/0/0 ipv4 1/1/0",
     .learned_from_ms = 490,
     .learned_to_ms = 900},
    {.what = "IPv6 fails after it lost",
     .ipv6 = {.socks_delay_ms = 400, .socks_reply = 4},
     .race_delay_ms = 50,
     .stats = "ipv6 1/0/0 ipv4 1/1/0",
     .later = "ipv6 1/0/1 ipv4 1/1/0",
     .failures_in_a_row = 1},
    {.what = "IPv6 is dead",
     .ipv6 = {.socks_is_silent = true},
     .race_delay_ms = 50,
     .stats = "ipv6 1/0/0 ipv4 1/1/0",
     .later = "ipv6 1/0/1 ipv4 1/1/0",
     .failures_in_a_row = 1},
    {.what = "IPv4 was started and lost",
     .ipv6 = {.socks_delay_ms = 200},
     .ipv4 = {.socks_delay_ms = 800},
     .race_delay_ms = 50,
     .stats = "ipv6 1/1/0 ipv4 1/0/0",
     .learned_from_ms = 190,
     .learned_to_ms = 600},
    {.what = "one port for both: the family is not known",
     .only_any = true,
     .race_delay_ms = 300,
     .stats = "- 1/1/0"},
};

struct scene {
    struct publish_rig *r;
    const struct tale *row;
    struct link_server ipv6, ipv4;
    struct socks_ports ports;
    const char *expected;
    char stats[200];
    struct learned learned;
    enum family family;
};

static void look(struct scene *s)
{
    struct answer a;
    s->stats[0] = '\0';
    ask_depth(&s->r->loop, s->r->model, &a);
    for (size_t i = 0; i < a.depth.lanes_len; i++) {
        const struct lane_status *l = &a.depth.lanes[i];
        if (strcmp(l->definition.url, RELAY) != 0)
            continue;
        s->learned = l->learned;
        s->family = l->live.family;
        for (size_t p = 0; p < l->paths_len; p++) {
            const struct path_stat *d = &l->paths[p];
            size_t len = strlen(s->stats);
            assert_int_equal(d->route, ROUTE_TOR);
            (void)snprintf(s->stats + len, sizeof s->stats - len, "%s%s %d/%d/%d",
                           len > 0 ? " " : "", family_name(d->family), (int)d->attempts,
                           (int)d->successes, (int)d->failures);
        }
    }
    answer_free(&a);
}

static bool as_expected(struct scene *s)
{
    const struct tale *row = s->row;
    return strcmp(s->stats, s->expected) == 0 &&
           s->learned.ipv6_connect_ms >= row->learned_from_ms &&
           s->learned.ipv6_connect_ms <= row->learned_to_ms;
}

static bool any_stats(struct scene *s)
{
    return s->stats[0] != '\0';
}

/* The queue is looked at again and again; asking it turns the loop. */
static void wait_for(struct scene *s, bool (*so)(struct scene *s), const char *what)
{
    uint64_t began_ms = clock_boot_ms();
    for (look(s); !so(s); look(s)) {
        if (clock_boot_ms() - began_ms > 20000)
            fail_msg("waited in vain for: %s (%s)", what, s->stats);
        uv_run(&s->r->loop, UV_RUN_NOWAIT);
        uv_sleep(2);
    }
}

static void start_ports(struct scene *s)
{
    struct link_server_options o6 = s->row->ipv6, o4 = s->row->ipv4;
    o6.address = o4.address = "127.0.0.1";
    o6.socks = o4.socks = true;
    assert_true(link_server_start(&s->ipv6, &s->r->loop, &o6));
    assert_true(link_server_start(&s->ipv4, &s->r->loop, &o4));
    (void)snprintf(s->ports.any, SOCKS_ADDRESS_SIZE, "127.0.0.1:%d", s->ipv4.port);
    if (s->row->only_any)
        return;
    (void)snprintf(s->ports.ipv6, SOCKS_ADDRESS_SIZE, "127.0.0.1:%d", s->ipv6.port);
    (void)snprintf(s->ports.ipv4, SOCKS_ADDRESS_SIZE, "127.0.0.1:%d", s->ipv4.port);
}

static void play(const struct tale *row)
{
    struct publish_rig *r = mem_zero(1, sizeof *r);
    struct scene s = {.r = r, .row = row, .expected = row->stats};
    publish_rig_init(r);
    start_ports(&s);
    (void)snprintf(r->defs[0].url, sizeof r->defs[0].url, "%s", RELAY);
    r->defs[0].route = ROUTE_TOR;
    publish_rig_define(r);
    r->options.socks = &s.ports;
    r->options.limits.ok_timeout_ms = 20000; /* one connection; its event is never answered */
    r->options.race_delay_ms = row->race_delay_ms;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 1);
    wait_for(&s, any_stats, "a connection");
    if (strcmp(s.stats, row->stats) != 0)
        fail_msg("%s: %s, not %s", row->what, s.stats, row->stats);
    s.expected = row->later != NULL ? row->later : row->stats;
    wait_for(&s, as_expected, row->what);
    assert_int_equal(s.learned.ipv6_failures, row->failures_in_a_row);
    link_server_stop(&s.ipv6); /* nothing is in flight any more */
    link_server_stop(&s.ipv4);
    publish_rig_drain(r, 0);
    publish_rig_fini(r);
    free(r);
}

static void each_try_is_counted_for_what_it_was(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        play(&rows[i]);
}

static bool has_failed(struct scene *s)
{
    return publish_rig_lane(s->r, 0).live.last_error[0] != '\0';
}

/* Nothing was started, so nothing is counted. */
static void what_could_not_be_tried_is_no_attempt(void **state)
{
    struct publish_rig *r = *state;
    struct scene s = {.r = r, .row = &rows[0]};
    start_ports(&s);
    (void)snprintf(r->defs[0].url, sizeof r->defs[0].url, "%s", "ws://nas.local");
    r->defs[0].route = ROUTE_TOR;
    publish_rig_define(r);
    r->options.socks = &s.ports;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 1);
    wait_for(&s, has_failed, "a refusal");
    const struct lane_status l = publish_rig_lane(r, 0);
    assert_non_null(strstr(l.live.last_error, "'route: direct'"));
    assert_int_equal(l.paths_len, 0);
    assert_int_equal(s.ipv6.accepted + s.ipv4.accepted, 0);
    publish_rig_drain(r, 0);
    link_server_stop(&s.ipv6);
    link_server_stop(&s.ipv4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_try_is_counted_for_what_it_was),
        cmocka_unit_test_setup_teardown(what_could_not_be_tried_is_no_attempt, publish_rig_setup,
                                        publish_rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
