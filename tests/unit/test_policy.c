/* Ingest's pure deciders, by tables: which events are taken, what the queue's answer becomes, which
 * addresses are whose, which requests become websockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "httpd/address.h"
#include "ingest/answer.h"
#include "ingest/health.h"
#include "ingest/http.h"
#include "ingest/policy.h"
#include "ingest/recent.h"

#include <arpa/inet.h>
#include <string.h>

#define NOW 1700000000

/* ---- events */

static const struct policy_row {
    const char *name;
    struct policy policy;
    struct event event;
    const char *why; /* how the refusal begins; NULL: taken */
} policy_rows[] = {
    {"a plain note", {0}, {.created_at = NOW, .kind = 1}, NULL},
    {"an AUTH event", {0}, {.created_at = NOW, .kind = 22242}, "invalid: kind 22242 "},
    {"a protected event", {0}, {.created_at = NOW, .is_protected = true}, "blocked: "},
    {"not expired yet", {0}, {.created_at = NOW, .expiration = NOW + 1}, NULL},
    {"expires this second", {0}, {.created_at = NOW, .expiration = NOW}, "invalid: "},
    {"expired long ago", {0}, {.created_at = NOW, .expiration = 1}, "invalid: the event has exp"},
    {"any past", {0}, {.created_at = 0}, NULL},
    {"any future", {0}, {.created_at = EVENT_TIME_MAX}, NULL},
    {"future edge", {.future_s = 900}, {.created_at = NOW + 900}, NULL},
    {"beyond the future edge",
     {.future_s = 900},
     {.created_at = NOW + 901},
     "invalid: created_at is more than 900 s in the future"},
    {"far beyond", {.future_s = 900}, {.created_at = EVENT_TIME_MAX}, "invalid: created_at"},
    {"past edge", {.past_s = 60}, {.created_at = NOW - 60}, NULL},
    {"beyond the past edge",
     {.past_s = 60},
     {.created_at = NOW - 61},
     "invalid: created_at is more than 60 s in the past"},
    {"created at zero", {.past_s = 60}, {.created_at = 0}, "invalid: created_at"},
    {"enough work", {.min_pow = 9}, {.created_at = NOW, .id = {0x00, 0x7f}}, NULL},
    {"too little work",
     {.min_pow = 10},
     {.created_at = NOW, .id = {0x00, 0x7f}},
     "pow: difficulty 9 is less than 10"},
};

static void the_policy_takes_and_refuses_by_the_table(void **state)
{
    (void)state;
    for (size_t n = 0; n < COUNT_OF(policy_rows); n++) {
        const struct policy_row *row = &policy_rows[n];
        struct problem why = {{0}};
        enum err e = policy_check(&row->policy, &row->event, NOW, &why);
        if (e != (row->why == NULL ? ERR_NONE : ERR_INVALID) ||
            (row->why != NULL && strncmp(why.text, row->why, strlen(row->why)) != 0))
            fail_msg("%s: %s '%s'", row->name, err_name(e), why.text);
    }
}

static void only_listed_authors_are_taken(void **state)
{
    (void)state;
    static const uint8_t list[3][32] = {{9}, {1, 2}, {5}};
    struct policy p;
    struct problem why;
    policy_init(&p, list, COUNT_OF(list));
    for (size_t n = 0; n < COUNT_OF(list); n++) {
        struct event ev = {.created_at = NOW};
        memcpy(ev.pubkey, list[n], sizeof ev.pubkey);
        assert_int_equal(policy_check(&p, &ev, NOW, &why), ERR_NONE);
        ev.pubkey[31] = 1;
        assert_int_equal(policy_check(&p, &ev, NOW, &why), ERR_INVALID);
        assert_memory_equal(why.text, "restricted: ", 12);
    }
    policy_fini(&p);
}

/* ---- the queue's answers */

static const struct answer_row {
    enum err e;
    struct append_result r;
    const char *why;
    bool accepted;
    const char *text;
} answer_rows[] = {
    {ERR_NONE, {.pos = 1}, NULL, true, ""},
    {ERR_NONE, {.pos = 1, .duplicate = true}, NULL, true, "duplicate: already have this event"},
    {ERR_NONE,
     {.pos = 1, .duplicate = true, .requeued = 1},
     NULL,
     true,
     "duplicate: already have this event, queued again for 1 relay"},
    {ERR_NONE,
     {.pos = 1, .duplicate = true, .requeued = 3},
     NULL,
     true,
     "duplicate: already have this event, queued again for 3 relays"},
    {ERR_FILTERED,
     {0},
     "no relay takes events of kind 4",
     false,
     "blocked: no relay takes events of kind 4"},
    {ERR_FILTERED, {0}, "blocked: said before", false, "blocked: said before"},
    {ERR_FILTERED, {0}, "", false, "blocked: no relay would take this event"},
    {ERR_NO_LANES,
     {0},
     NULL,
     false,
     "error: no relays are configured yet, so nothing can be promised"},
    {ERR_FULL, {0}, NULL, false, "error: the queue is full, try again later"},
    {ERR_NO_SPACE, {0}, "disk", false, "error: disk"},
    {ERR_CLOSED, {0}, NULL, false, "error: the queue is out of reach, try again later"},
    {ERR_UNKNOWN, {0}, "no answer in 10 s", false, "error: outcome unknown, send again"},
    {ERR_PROTOCOL, {0}, NULL, false, "error: protocol"},
};

static void every_answer_of_the_queue_has_its_ok_text(void **state)
{
    (void)state;
    for (size_t n = 0; n < COUNT_OF(answer_rows); n++) {
        const struct answer_row *row = &answer_rows[n];
        struct problem text;
        bool accepted = answer_append(row->e, row->e == ERR_NONE ? &row->r : NULL, row->why, &text);
        assert_int_equal(accepted, row->accepted);
        assert_string_equal(text.text, row->text);
    }
}

/* ---- health */

static void events_can_be_queued_when_a_lane_lives_and_there_is_room(void **state)
{
    (void)state;
    struct lane_status lanes[2] = {{.retired = true}, {.retired = false}};
    struct queue_depth d = {.lanes = lanes, .lanes_len = 2, .bytes = 9, .max_bytes = 10};
    assert_string_equal(health_judge(ERR_NONE, &d), "");
    d.bytes = 10;
    assert_string_equal(health_judge(ERR_NONE, &d), "the queue is full");
    d.lanes_len = 1;
    assert_string_equal(health_judge(ERR_NONE, &d), "no relays are configured");
    assert_string_equal(health_judge(ERR_CLOSED, NULL), "the queue is out of reach");
    assert_string_equal(health_judge(ERR_UNKNOWN, NULL), "the queue does not answer");
}

/* ---- ids that were queued again */

static void an_id_is_known_for_a_minute_after_it_was_queued_again(void **state)
{
    (void)state;
    static const uint8_t id[32] = {1, 2, 3}, other[32] = {1, 2, 3, 0, 0, 1};
    struct recent r;
    recent_init(&r);
    assert_false(recent_has(&r, id, 5000));
    recent_add(&r, id, 5000);
    assert_true(recent_has(&r, id, 5000));
    assert_true(recent_has(&r, id, 5000 + RECENT_TERM_MS - 1));
    assert_false(recent_has(&r, id, 5000 + RECENT_TERM_MS));
    assert_false(recent_has(&r, other, 5000));
    recent_add(&r, other, 5000); /* the same slot */
    assert_true(recent_has(&r, other, 5000));
    assert_false(recent_has(&r, id, 5000));
    recent_fini(&r);
}

/* ---- addresses */

static const struct address_row {
    const char *text;
    bool good, loopback;
    uint16_t port;
} address_rows[] = {
    {"127.0.0.1:7787", true, true, 7787},
    {"127.9.9.9:0", true, true, 0},
    {"[::1]:7787", true, true, 7787},
    {"0.0.0.0:65535", true, false, 65535},
    {"[::]:1", true, false, 1},
    {"192.168.1.2:80", true, false, 80},
    {"128.0.0.1:80", true, false, 80},
    {"127.0.0.1", false, false, 0},
    {"127.0.0.1:", false, false, 0},
    {"127.0.0.1:65536", false, false, 0},
    {"127.0.0.1:-1", false, false, 0},
    {"127.0.0.1:80x", false, false, 0},
    {"127.0.0.1:000080", false, false, 0},
    {"::1:7787", false, false, 0},
    {"[::1]", false, false, 0},
    {"[::1]7787", false, false, 0},
    {"[::1]x:7787", false, false, 0},
    {"[127.0.0.1]:80", false, false, 0},
    {"localhost:7787", false, false, 0},
    {":7787", false, false, 0},
    {"[]:7787", false, false, 0},
    {"", false, false, 0},
};

static void addresses_to_listen_on_are_read_strictly(void **state)
{
    (void)state;
    for (size_t n = 0; n < COUNT_OF(address_rows); n++) {
        const struct address_row *row = &address_rows[n];
        union address a;
        struct problem p;
        if ((address_parse(row->text, &a, &p) == ERR_NONE) != row->good)
            fail_msg("'%s'", row->text);
        if (!row->good)
            continue;
        if (address_is_loopback(&a) != row->loopback)
            fail_msg("'%s' loopback", row->text);
        assert_int_equal(ntohs(a.any.sa_family == AF_INET6 ? a.v6.sin6_port : a.v4.sin_port),
                         row->port);
    }
}

static struct address_key key_of(const char *text)
{
    union address a;
    struct problem p;
    assert_int_equal(address_parse(text, &a, &p), ERR_NONE);
    return address_key(&a.any);
}

static bool same_client(const char *a, const char *b)
{
    struct address_key ka = key_of(a), kb = key_of(b);
    return memcmp(&ka, &kb, sizeof ka) == 0;
}

static void a_client_is_an_ipv4_address_or_an_ipv6_network(void **state)
{
    (void)state;
    assert_true(same_client("10.0.0.1:1", "10.0.0.1:2"));
    assert_false(same_client("10.0.0.1:1", "10.0.0.2:1"));
    assert_true(same_client("[2001:db8::1]:1", "[2001:db8::ffff:1]:1"));
    assert_false(same_client("[2001:db8::1]:1", "[2001:db8:0:1::1]:1"));
    assert_true(same_client("[::ffff:10.0.0.1]:1", "10.0.0.1:1"));
    assert_false(same_client("[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.2]:1"));
}

/* ---- requests for a websocket */

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="

static const struct upgrade_row {
    const char *name;
    bool http10;
    const char *headers[5][2];
    unsigned status;
} upgrade_rows[] = {
    {"as browsers do",
     false,
     {{"connection", "keep-alive, Upgrade"},
      {"UPGRADE", "WebSocket"},
      {"Sec-WebSocket-Version", "13"},
      {"Sec-WebSocket-Key", KEY}},
     101},
    {"Connection in two lines",
     false,
     {{"Connection", "keep-alive"},
      {"Connection", "upgrade"},
      {"Upgrade", "h2c, websocket"},
      {"Sec-WebSocket-Version", "13"},
      {"Sec-WebSocket-Key", KEY}},
     101},
    {"HTTP/1.0",
     true,
     {{"Connection", "Upgrade"}, {"Sec-WebSocket-Version", "13"}, {"Sec-WebSocket-Key", KEY}},
     400},
    {"no Connection", false, {{"Sec-WebSocket-Version", "13"}, {"Sec-WebSocket-Key", KEY}}, 400},
    {"a word that only begins so",
     false,
     {{"Connection", "Upgrades"}, {"Sec-WebSocket-Version", "13"}, {"Sec-WebSocket-Key", KEY}},
     400},
    {"no version", false, {{"Connection", "Upgrade"}, {"Sec-WebSocket-Key", KEY}}, 426},
    {"another version",
     false,
     {{"Connection", "Upgrade"}, {"Sec-WebSocket-Version", "8"}, {"Sec-WebSocket-Key", KEY}},
     426},
    {"no key", false, {{"Connection", "Upgrade"}, {"Sec-WebSocket-Version", "13"}}, 400},
    {"an empty key",
     false,
     {{"Connection", "Upgrade"}, {"Sec-WebSocket-Version", "13"}, {"Sec-WebSocket-Key", NULL}},
     400},
    {"a short key",
     false,
     {{"Connection", "Upgrade"}, {"Sec-WebSocket-Version", "13"}, {"Sec-WebSocket-Key", "AAAA"}},
     400},
    {"a key with other characters",
     false,
     {{"Connection", "Upgrade"},
      {"Sec-WebSocket-Version", "13"},
      {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25j\r\n=="}},
     400},
    {"two keys",
     false,
     {{"Connection", "Upgrade"},
      {"Sec-WebSocket-Version", "13"},
      {"Sec-WebSocket-Key", KEY},
      {"Sec-WebSocket-Key", KEY}},
     400},
};

static void a_websocket_needs_its_whole_handshake(void **state)
{
    (void)state;
    for (size_t n = 0; n < COUNT_OF(upgrade_rows); n++) {
        const struct upgrade_row *row = &upgrade_rows[n];
        struct request_facts f = {.http11 = !row->http10};
        const char *why;
        for (size_t h = 0; h < COUNT_OF(row->headers) && row->headers[h][0] != NULL; h++)
            request_fact_add(&f, row->headers[h][0], row->headers[h][1]);
        unsigned status = upgrade_check(&f, &why);
        if (status != row->status)
            fail_msg("%s: %u", row->name, status);
        assert_int_equal(why[0] == '\0', status == 101);
    }
}

static void headers_tell_browsers_proxies_and_who_wants_the_document(void **state)
{
    (void)state;
    struct request_facts f = {0};
    request_fact_add(&f, "Accept", "text/html, application/nostr+json;q=0.9");
    assert_true(f.wants_info && !f.from_web && !f.from_proxy && !f.upgrade_websocket);
    request_fact_add(&f, "origin", "null");
    assert_true(f.from_web && !f.from_proxy);
    request_fact_add(&f, "Forwarded", "");
    assert_true(f.from_proxy);
    f = (struct request_facts){0};
    request_fact_add(&f, "X-FORWARDED-FOR", "1.2.3.4");
    request_fact_add(&f, "Accept", "application/nostr+jsonx, */*");
    assert_true(f.from_proxy && !f.from_web && !f.wants_info);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_policy_takes_and_refuses_by_the_table),
        cmocka_unit_test(only_listed_authors_are_taken),
        cmocka_unit_test(every_answer_of_the_queue_has_its_ok_text),
        cmocka_unit_test(events_can_be_queued_when_a_lane_lives_and_there_is_room),
        cmocka_unit_test(an_id_is_known_for_a_minute_after_it_was_queued_again),
        cmocka_unit_test(addresses_to_listen_on_are_read_strictly),
        cmocka_unit_test(a_client_is_an_ipv4_address_or_an_ipv6_network),
        cmocka_unit_test(a_websocket_needs_its_whole_handshake),
        cmocka_unit_test(headers_tell_browsers_proxies_and_who_wants_the_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
