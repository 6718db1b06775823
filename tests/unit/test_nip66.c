/* What is told of relays (NIP-66): which tags come of which facts, hostile ones too; and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/log.h"
#include "probe/herald.h"
#include "probe/nip66.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t secret[32] = {[31] = 7}, other_secret[32] = {[31] = 8};
static const char onion[] = "ws://2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion";

static struct relay_url url_of(const char *text)
{
    struct relay_url url;
    assert_int_equal(relay_url_parse(text, &url, NULL), ERR_NONE);
    return url;
}

/* ---- tags ---- */

#define L6 "[\"L\",\"volley.family\"],[\"l\",\"ipv6\",\"volley.family\"]"
#define L4 "[\"L\",\"volley.family\"],[\"l\",\"ipv4\",\"volley.family\"]"

static const struct tag_row {
    const char *url;
    unsigned works; /* bits */
    uint64_t open_us, read_us;
    const char *document; /* NULL: none */
    const char *tags;
} rows[] = {
    {"wss://a.example", 1u << FAMILY_IPV6, 234000, 1, NULL,
     "[[\"d\",\"wss://a.example/\"],[\"n\",\"clearnet\"],[\"rtt-open\",\"234\"],"
     "[\"rtt-read\",\"1\"]," L6 "]"},
    {"wss://a.example/in", (1u << FAMILY_IPV6) | (1u << FAMILY_IPV4), 0, 0, "{}",
     "[[\"d\",\"wss://a.example/in\"],[\"n\",\"clearnet\"]," L6
     ",[\"l\",\"ipv4\",\"volley.family\"]]"},
    {"ws://2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion", 1u << FAMILY_ONION, 0,
     0, NULL,
     "[[\"d\",\"ws://2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion/\"],"
     "[\"n\",\"tor\"],[\"L\",\"volley.family\"],[\"l\",\"onion\",\"volley.family\"]]"},
    /* through one port that tells no family: no label */
    {"wss://a.example", 1u << FAMILY_NONE, 0, 0, NULL,
     "[[\"d\",\"wss://a.example/\"],[\"n\",\"clearnet\"]]"},
    {"wss://a.example", 1u << FAMILY_IPV4, 0, 0,
     "{\"supported_nips\":[1,11,42,1],\"software\":\"git+https://x.example\",\"limitation\":{"
     "\"auth_required\":true,\"payment_required\":false,\"min_pow_difficulty\":20,"
     "\"restricted_writes\":false}}",
     "[[\"d\",\"wss://a.example/\"],[\"n\",\"clearnet\"],[\"N\",\"1\"],[\"N\",\"11\"],[\"N\","
     "\"42\"],[\"R\",\"auth\"],[\"R\",\"!payment\"],[\"R\",\"pow\"],[\"R\",\"!writes\"],[\"s\","
     "\"git+https://x.example\"]," L4 "]"},
    {"wss://a.example", 1u << FAMILY_IPV4, 0, 0,
     "{\"supported_nips\":[\"1\",-1,0,70000,1e1,null,[1],{\"a\":2},9],\"limitation\":{\"min_pow_"
     "difficulty\":0,\"auth_required\":\"yes\"}}",
     "[[\"d\",\"wss://a.example/\"],[\"n\",\"clearnet\"],[\"N\",\"9\"],[\"R\",\"!pow\"]," L4 "]"},
    /* tags, quotes, lines, other directions: as text, or not at all */
    {"wss://a.example", 1u << FAMILY_IPV4, 0, 0,
     "{\"software\":\"x\\\"],[\\\"p\\\",\\\"y\\\\\",\"name\":\"n\\\"]\"}",
     "[[\"d\",\"wss://a.example/"
     "\"],[\"n\",\"clearnet\"],[\"s\",\"x\\\"],[\\\"p\\\",\\\"y\\\\\"]," L4 "]"},
    {"wss://a.example", 1u << FAMILY_IPV4, 0, 0, "{\"software\":\"x\\ny\"}",
     "[[\"d\",\"wss://a.example/\"],[\"n\",\"clearnet\"]," L4 "]"},
    {"wss://a.example", 1u << FAMILY_IPV4, 0, 0, "{\"software\":\"x\\u202ey\"}",
     "[[\"d\",\"wss://a.example/\"],[\"n\",\"clearnet\"]," L4 "]"},
    {"wss://a.example", 1u << FAMILY_IPV4, 0, 0, "{\"software\":7,\"supported_nips\":7}",
     "[[\"d\",\"wss://a.example/\"],[\"n\",\"clearnet\"]," L4 "]"},
};

static void each_fact_has_its_tag_and_the_event_is_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct tag_row *r = &rows[i];
        const struct relay_url url = url_of(r->url);
        struct nip11 n;
        struct event *ev;
        struct nip66_facts f = {.url = &url, .open_us = r->open_us, .read_us = r->read_us};
        for (size_t k = 0; k < FAMILY_COUNT; k++)
            f.works[k] = (r->works >> k & 1) != 0;
        if (r->document != NULL) {
            assert_int_equal(nip11_parse(r->document, strlen(r->document), &n, NULL), ERR_NONE);
            f.nip11 = &n;
        }
        assert_int_equal(nip66_relay(secret, 1700000000, &f, &ev, NULL), ERR_NONE);
        if (ev->tags.len != strlen(r->tags) || memcmp(ev->tags.p, r->tags, ev->tags.len) != 0)
            fail_msg("row %zu: %.*s", i, (int)ev->tags.len, ev->tags.p);
        assert_int_equal(ev->kind, NIP66_RELAY);
        assert_int_equal(ev->content.len, 2);
        assert_true(ev->has_address);
        assert_int_equal(event_verify(ev, NULL), ERR_NONE);
        event_unref(ev);
    }
}

static void the_longest_facts_fit(void **state)
{
    (void)state;
    char text[URL_SIZE] = "wss://a.example/";
    memset(text + strlen(text), 'p', sizeof text - 1 - strlen(text));
    const struct relay_url url = url_of(text);
    struct nip11 n = {.nips_len = NIP11_NIPS};
    for (size_t i = 0; i < NIP11_NIPS; i++)
        n.nips[i] = (uint16_t)(UINT16_MAX - i);
    memset(n.software, '"', sizeof n.software - 1);
    const struct nip66_facts f = {.url = &url,
                                  .works = {false, true, true, true},
                                  .open_us = UINT64_MAX / 2,
                                  .read_us = UINT64_MAX / 2,
                                  .nip11 = &n};
    struct event *ev;
    assert_int_equal(nip66_relay(secret, 1700000000, &f, &ev, NULL), ERR_NONE);
    assert_int_equal(event_verify(ev, NULL), ERR_NONE);
    event_unref(ev);
}

static void the_monitor_says_how_often_and_how(void **state)
{
    (void)state;
    static const char tags[] =
        "[[\"frequency\",\"4200\"],[\"timeout\",\"open\",\"30000\"],[\"c\",\"open\"],[\"timeout\","
        "\"read\",\"10000\"],[\"c\",\"read\"],[\"timeout\",\"nip11\",\"9000\"],[\"c\",\"nip11\"]]";
    const struct nip66_monitor m = {4200, 30000, 10000, 9000};
    struct event *ev;
    assert_int_equal(nip66_monitor(secret, 1700000000, &m, &ev, NULL), ERR_NONE);
    assert_int_equal(ev->kind, NIP66_MONITOR);
    assert_int_equal(ev->tags.len, strlen(tags));
    assert_memory_equal(ev->tags.p, tags, ev->tags.len);
    assert_int_equal(event_verify(ev, NULL), ERR_NONE);
    event_unref(ev);
}

static void what_is_private_is_not_told(void **state)
{
    static const struct {
        const char *url, *address;
        bool may;
    } cases[] = {
        {"wss://a.example", NULL, true},
        {"wss://a.example", "198.51.100.7", true},
        {"wss://a.example", "2001:db8::7", true},
        {"wss://a.example", "192.168.1.7", false}, /* a name that leads home */
        {"wss://a.example", "127.0.0.1", false},
        {"wss://a.example", "::1", false},
        {"wss://a.example", "fd00::7", false},
        {"wss://a.example", "fe80::7", false},
        {"wss://a.example", "100.64.0.1", false},
        {"wss://a.example", "", false}, /* not known where: not told */
        {"ws://127.0.0.1:7777", NULL, false},
        {"ws://10.0.0.1", NULL, false},
        {"ws://[::1]", NULL, false},
        {"ws://localhost:1", NULL, false},
        {"ws://umbrel.local", NULL, false},
        {"ws://198.51.100.7", NULL, true},
        {"wss://a.example/in", NULL, true},
        {"wss://a.example/?token=1", NULL, false},
        {onion, NULL, true},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct relay_url url = url_of(cases[i].url);
        if (nip66_may_tell(&url, cases[i].address) != cases[i].may)
            fail_msg("%s at %s", cases[i].url, cases[i].address == NULL ? "-" : cases[i].address);
    }
}

/* ---- when: a queue that only takes events ---- */

#define TOLD_MAX 16

static struct sink {
    struct queue q;
    struct event *got[TOLD_MAX];
    size_t len;
    enum err answer;
    queue_append_fn *fn[TOLD_MAX];
    void *arg[TOLD_MAX];
    size_t answered;
} sink;

static void sink_append(struct queue *q, struct event *ev, queue_append_fn *fn, void *arg)
{
    struct sink *s = (struct sink *)q;
    assert_true(s->len < TOLD_MAX);
    s->got[s->len] = event_ref(ev);
    s->fn[s->len] = fn;
    s->arg[s->len++] = arg;
}

static void answer_all(void)
{
    static const struct append_result r;
    for (; sink.answered < sink.len; sink.answered++)
        sink.fn[sink.answered](sink.arg[sink.answered], sink.answer, &r, "");
}

static int setup(void **state)
{
    static const struct queue_ops ops = {.append = sink_append};
    (void)state;
    sink = (struct sink){.q.ops = &ops};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < sink.len; i++)
        event_unref(sink.got[i]);
    return 0;
}

static struct herald *herald_with(const uint8_t *key)
{
    const struct herald_settings s = {key, 600000, 30000, 10000, 10000};
    struct herald *h = herald_new(&sink.q);
    herald_set(h, &s);
    return h;
}

static struct target target_of(uint32_t lane, enum route route, const char *url)
{
    return (struct target){.lane = lane,
                           .url = url_of(url),
                           .route = route,
                           .modes = {MODE_IPV6, MODE_IPV4},
                           .modes_len = 2};
}

static struct act_result result(enum family f, bool ok)
{
    struct act_result r = {.try = {.family = f, .started = true, .took_us = 50000}, .peeked = ok};
    r.read.answered = ok;
    r.try.err = ok ? ERR_NONE : ERR_TIMEOUT;
    r.try.why = ok ? LINK_WHY_NONE : LINK_WHY_TIMEOUT;
    (void)snprintf(r.try.address, sizeof r.try.address, "%s",
                   f == FAMILY_IPV6 ? "2001:db8::7" : "198.51.100.7");
    return r;
}

/* Every act in order, at its time; how many events there are after it. */
static void relays_are_told_of_when_the_table_says(void **state)
{
    static const struct {
        uint32_t at_s;
        enum family family;
        bool ok;
        size_t told; /* with the monitor's own */
    } acts[] = {
        {1, FAMILY_IPV6, true, 0},   /* the other family was not tried yet */
        {2, FAMILY_IPV4, true, 2},   /* the monitor and the relay */
        {602, FAMILY_IPV6, true, 2}, /* the same again: not before an hour */
        {603, FAMILY_IPV4, true, 2},   {1202, FAMILY_IPV6, false, 2}, /* failures say nothing … */
        {1203, FAMILY_IPV4, true, 3},                                 /* … but by what is left */
        {1300, FAMILY_IPV6, true, 3},                                 /* too soon after that */
        {1903, FAMILY_IPV6, true, 4},  {2600, FAMILY_IPV4, true, 4},
        {5503, FAMILY_IPV4, true, 5},                                 /* an hour */
        {9999, FAMILY_IPV6, false, 5}, {9999, FAMILY_IPV4, false, 5}, /* it is gone: silence */
    };
    (void)state;
    struct herald *h = herald_with(secret);
    const struct target t = target_of(3, ROUTE_DIRECT, "wss://a.example");
    for (size_t i = 0; i < COUNT_OF(acts); i++) {
        const struct act_result r = result(acts[i].family, acts[i].ok);
        herald_note(h, &t, &r, acts[i].at_s * 1000ull, 1700000000 + acts[i].at_s);
        answer_all();
        if (sink.len != acts[i].told)
            fail_msg("act %zu: %zu events", i, sink.len);
    }
    assert_int_equal(sink.got[0]->kind, NIP66_MONITOR);
    for (size_t i = 1; i < sink.len; i++) {
        assert_int_equal(sink.got[i]->kind, NIP66_RELAY);
        assert_memory_equal(sink.got[i]->address, sink.got[1]->address, 32);
        assert_int_equal(event_verify(sink.got[i], NULL), ERR_NONE);
    }
    herald_free(h);
}

static void both_families(struct herald *h, const struct target *t, bool ok, uint32_t at_s)
{
    const struct act_result r6 = result(FAMILY_IPV6, ok), r4 = result(FAMILY_IPV4, ok);
    herald_note(h, t, &r6, at_s * 1000ull, 1700000000 + at_s);
    herald_note(h, t, &r4, at_s * 1000ull, 1700000000 + at_s);
    answer_all();
}

static void nothing_is_told_without_a_key_nor_of_what_is_private_or_gone(void **state)
{
    (void)state;
    struct herald *off = herald_with(NULL), *h = herald_with(secret);
    const struct target public = target_of(1, ROUTE_DIRECT, "wss://a.example");
    const struct target here = target_of(2, ROUTE_DIRECT, "ws://127.0.0.1:7777");
    const struct target home = target_of(3, ROUTE_DIRECT, "wss://home.example");
    struct act_result r = result(FAMILY_IPV4, true);
    both_families(off, &public, true, 1);
    both_families(h, &public, false, 2);
    both_families(h, &here, true, 3);
    (void)snprintf(r.try.address, sizeof r.try.address, "192.168.0.9");
    for (uint32_t at_s = 4; at_s < 7; at_s++)
        herald_note(h, &home, &r, at_s * 1000ull, 1700000000 + at_s);
    assert_int_equal(sink.len, 0);
    both_families(h, &public, true, 8);
    assert_int_equal(sink.len, 2);
    herald_free(off);
    herald_free(h);
}

static void another_key_tells_anew_and_none_falls_silent(void **state)
{
    (void)state;
    struct herald *h = herald_with(secret);
    struct herald_settings s = {other_secret, 600000, 30000, 10000, 10000};
    const struct target t = target_of(1, ROUTE_TOR, "wss://a.example");
    both_families(h, &t, true, 1);
    assert_int_equal(sink.len, 2);
    herald_set(h, &s);
    both_families(h, &t, true, 2);
    assert_int_equal(sink.len, 4);
    assert_memory_not_equal(sink.got[3]->pubkey, sink.got[1]->pubkey, 32);
    herald_set(h, &s); /* the same: nothing begins anew */
    both_families(h, &t, true, 3);
    s.secret = NULL;
    herald_set(h, &s);
    both_families(h, &t, true, 9000);
    assert_int_equal(sink.len, 4);
    herald_free(h);
}

static void what_the_queue_did_not_take_is_told_at_the_next_occasion(void **state)
{
    (void)state;
    struct herald *h = herald_with(secret);
    const struct target t = target_of(1, ROUTE_TOR, "wss://a.example");
    sink.answer = ERR_FULL;
    both_families(h, &t, true, 1);
    assert_int_equal(sink.len, 2);
    sink.answer = ERR_NONE;
    both_families(h, &t, true, 601);
    assert_int_equal(sink.len, 4);
    assert_int_equal(sink.got[2]->kind, NIP66_MONITOR);
    herald_free(h);
}

/* What the one before found, so long ago; what this one finds then, by both families; how many
 * events there are after it, with the monitor's own. The relay's hour has begun 2,000 s ago. */
static void after_a_restart_only_what_is_new_is_told(void **state)
{
    static const struct {
        const char *name;
        enum stat_source source;
        bool was6, was4;
        uint32_t ago_s;
        bool is6, is4;
        size_t told;
    } cases[] = {
        {"the same", STAT_PROBE, true, true, 900, true, true, 0},
        {"the same, by one family", STAT_PROBE, false, true, 900, false, true, 0},
        {"the same, just found", STAT_PROBE, true, true, 1, true, true, 0},
        {"in the hour before", STAT_PROBE, true, true, 2300, true, true, 2},
        {"days ago", STAT_PROBE, true, true, 300000, true, true, 2},
        {"a family came", STAT_PROBE, false, true, 900, true, true, 2},
        {"a family went", STAT_PROBE, true, true, 900, false, true, 2},
        {"none ever worked", STAT_PROBE, false, false, 900, true, true, 2},
        {"known by deliveries alone", STAT_DELIVERY, true, true, 900, true, true, 2},
        {"gone meanwhile", STAT_PROBE, true, true, 900, false, false, 0},
    };
    const struct target t = target_of(3, ROUTE_DIRECT, "wss://a.example");
    const int64_t hour_s = 3600,
                  began_s = 472223 * hour_s - 3 * INT64_C(2654435761) % (1ll << 32) % hour_s;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        teardown(state);
        setup(state);
        struct herald *h = herald_with(secret);
        const int64_t now_ms = 9000000, wall_s = began_s + 2000;
        const int64_t at_ms = now_ms - cases[i].ago_s * 1000ll;
        struct path_statistics paths[2] = {{.family = FAMILY_IPV6}, {.family = FAMILY_IPV4}};
        for (size_t n = 0; n < 2; n++) {
            bool ok = n == 0 ? cases[i].was6 : cases[i].was4;
            paths[n].source = cases[i].source;
            paths[n].last = (struct stat_last){.at_ms = now_ms - 1000, .ok = ok};
            paths[n].last_success_ms = ok ? at_ms : 0;
        }
        const struct relay_statistics s = {.lane = 3, .paths = paths, .paths_len = 2};
        const struct act_result r6 = result(FAMILY_IPV6, cases[i].is6);
        const struct act_result r4 = result(FAMILY_IPV4, cases[i].is4);
        herald_recall(h, &s, now_ms, 5000, wall_s); /* the machine was just booted */
        for (uint32_t again_s = 0; again_s < 1500; again_s += 700) {
            herald_note(h, &t, &r6, 5000 + again_s * 1000, wall_s + again_s);
            herald_note(h, &t, &r4, 5000 + again_s * 1000, wall_s + again_s);
            answer_all();
        }
        if (sink.len != cases[i].told)
            fail_msg("%s: %zu events", cases[i].name, sink.len);
        /* In its next hour it is told of in any case. */
        herald_note(h, &t, &r6, 5000 + 2000 * 1000, wall_s + 2000);
        herald_note(h, &t, &r4, 5000 + 2000 * 1000, wall_s + 2000);
        answer_all();
        size_t more = !cases[i].is4 ? 0 : cases[i].told == 0 ? 2 : 1;
        if (sink.len != cases[i].told + more)
            fail_msg("%s: %zu events in the next hour", cases[i].name, sink.len);
        herald_free(h);
    }
}

static void a_key_that_is_new_is_not_taken_for_the_one_before(void **state)
{
    (void)state;
    struct herald *h = herald_with(secret);
    const struct herald_settings s = {other_secret, 600000, 30000, 10000, 10000};
    const struct target t = target_of(3, ROUTE_DIRECT, "wss://a.example");
    const struct path_statistics paths[] = {{.source = STAT_PROBE,
                                             .family = FAMILY_IPV6,
                                             .last = {.at_ms = 1, .ok = true},
                                             .last_success_ms = 8000},
                                            {.source = STAT_PROBE,
                                             .family = FAMILY_IPV4,
                                             .last = {.at_ms = 1, .ok = true},
                                             .last_success_ms = 8000}};
    const struct relay_statistics known = {.lane = 3, .paths = paths, .paths_len = 2};
    herald_recall(h, &known, 9000, 1000, 1700000001);
    both_families(h, &t, true, 1);
    assert_int_equal(sink.len, 0);
    herald_set(h, &s);
    both_families(h, &t, true, 2);
    assert_int_equal(sink.len, 2);
    herald_free(h);
}

static void an_answer_may_come_after_the_end(void **state)
{
    (void)state;
    struct herald *h = herald_with(secret);
    const struct target t = target_of(1, ROUTE_TOR, "wss://a.example");
    const struct act_result r6 = result(FAMILY_IPV6, true), r4 = result(FAMILY_IPV4, true);
    herald_note(h, &t, &r6, 1000, 1700000001);
    herald_note(h, &t, &r4, 1000, 1700000001);
    assert_int_equal(sink.len, 2);
    herald_free(h);
    sink.answer = ERR_CLOSED;
    answer_all();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_fact_has_its_tag_and_the_event_is_good),
        cmocka_unit_test(the_longest_facts_fit),
        cmocka_unit_test(the_monitor_says_how_often_and_how),
        cmocka_unit_test(what_is_private_is_not_told),
        TEST(relays_are_told_of_when_the_table_says),
        TEST(nothing_is_told_without_a_key_nor_of_what_is_private_or_gone),
        TEST(another_key_tells_anew_and_none_falls_silent),
        TEST(what_the_queue_did_not_take_is_told_at_the_next_occasion),
        TEST(after_a_restart_only_what_is_new_is_told),
        TEST(a_key_that_is_new_is_not_taken_for_the_one_before),
        TEST(an_answer_may_come_after_the_end),
    };
    log_init(LOG_ERROR, LOG_TEXT, "nip66");
    return cmocka_run_group_tests_name("NIP-66", tests, NULL, NULL);
}
