/* Event × lane → send, pass or skip: one table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "publisher/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1700000000000ll

static const struct route_case {
    const char *what;
    uint32_t kind;
    enum verdict_kind verdict;
    enum row_class cls;
    /* what is special about the event, the lane, the moment */
    uint64_t newer, deleted_by, expiration;
    int64_t age_ms;
    bool is_protected, is_private, admitted, newer_lost;
    uint16_t only, except;
    const char *relay_tag;
} cases[] = {
    {"a note", 1, VERDICT_SEND},
    {"a profile", 0, VERDICT_SEND},
    {"contacts", 3, VERDICT_SEND},
    {"a deletion", 5, VERDICT_SEND},
    {"a relay list", 10002, VERDICT_SEND},
    {"an article", 30023, VERDICT_SEND},

    {"a kind that is wanted", 7, VERDICT_SEND, .only = 7},
    {"a kind that is not", 1, VERDICT_PASS, .only = 7},
    {"a kind that is excluded", 7, VERDICT_PASS, .except = 7},
    {"another than the excluded", 1, VERDICT_SEND, .except = 7},
    {"filters are not asked again about an exception", 1, VERDICT_SEND, .only = 7,
     .admitted = true},

    {"a direct message, public lane", 4, VERDICT_PASS},
    {"a gift wrap, public lane", 1059, VERDICT_PASS},
    {"an ephemeral gift wrap, public lane", 21059, VERDICT_PASS},
    {"a direct message, private lane", 4, VERDICT_SEND, .is_private = true},
    {"a gift wrap, private lane", 1059, VERDICT_SEND, .is_private = true},
    {"let through once, but the lane is public now", 4, VERDICT_SKIP, CLASS_OPERATOR,
     .admitted = true},
    {"let through once, and still private", 4, VERDICT_SEND, .admitted = true, .is_private = true},
    {"AUTH never", 22242, VERDICT_PASS, .is_private = true},
    {"AUTH never, not even as an exception", 22242, VERDICT_SKIP, CLASS_OPERATOR,
     .is_private = true, .admitted = true},

    {"protected", 1, VERDICT_SKIP, CLASS_PROTECTED, .is_protected = true},
    {"protected comes before deleted", 1, VERDICT_SKIP, CLASS_PROTECTED, .is_protected = true,
     .deleted_by = 9},

    {"deleted by its author", 1, VERDICT_SKIP, CLASS_DELETED, .deleted_by = 9},
    {"a deletion can't be deleted", 5, VERDICT_SEND, .deleted_by = 9},
    {"deleted comes before superseded", 0, VERDICT_SKIP, CLASS_DELETED, .deleted_by = 9,
     .newer = 8},

    {"its time has come", 1, VERDICT_SKIP, CLASS_OUTDATED, .expiration = NOW / 1000},
    {"its time is long past", 1, VERDICT_SKIP, CLASS_OUTDATED, .expiration = 1},
    {"one second left", 1, VERDICT_SEND, .expiration = NOW / 1000 + 1},
    {"expires at the end of time", 1, VERDICT_SEND, .expiration = UINT64_MAX},

    {"superseded", 0, VERDICT_SKIP, CLASS_SUPERSEDED, .newer = 8},
    {"superseded by one that can't be delivered here", 0, VERDICT_SEND, .newer = 8,
     .newer_lost = true},
    {"superseded, as an exception", 30023, VERDICT_SKIP, CLASS_SUPERSEDED, .newer = 8,
     .admitted = true},

    {"ephemeral, fresh", 20001, VERDICT_SEND, .age_ms = 0},
    {"ephemeral, just in time", 20001, VERDICT_SEND, .age_ms = 60000},
    {"ephemeral, too late", 20001, VERDICT_SKIP, CLASS_EPHEMERAL, .age_ms = 60001},
    {"a note may be late", 1, VERDICT_SEND, .age_ms = 86400000},
    {"accepted in the future, after a jump of the clock", 20001, VERDICT_SEND, .age_ms = -5000},

    {"a request to vanish that names this relay", 62, VERDICT_SEND,
     .relay_tag = "WSS://Relay.Example.com:443/"},
    {"… that names all", 62, VERDICT_SEND, .relay_tag = "ALL_RELAYS"},
    {"… that names another", 62, VERDICT_SKIP, CLASS_VANISHED,
     .relay_tag = "wss://other.example.com"},
    {"… that names none", 62, VERDICT_SKIP, CLASS_VANISHED},
};

static struct event *event_for(const struct route_case *c)
{
    char tags[128] = "[]";
    if (c->relay_tag != NULL)
        snprintf(tags, sizeof tags, "[[\"relay\",\"%s\"]]", c->relay_tag);
    struct event *ev = mem_zero(1, sizeof *ev + sizeof tags);
    memcpy(ev->bytes, tags, sizeof tags);
    ev->len = strlen(tags);
    ev->tags = (struct json_span){ev->bytes, ev->len};
    ev->kind = c->kind;
    ev->expiration = c->expiration;
    ev->is_protected = c->is_protected;
    return ev;
}

static void every_case_has_its_verdict(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct route_case *c = &cases[i];
        struct definition def = {.url = "wss://relay.example.com", .is_private = c->is_private};
        if (c->only != 0)
            def.kinds[def.kinds_len++] = c->only;
        if (c->except != 0)
            def.except_kinds[def.except_kinds_len++] = c->except;
        struct event *ev = event_for(c);
        struct queue_event q = {.pos = 5,
                                .accepted_ms = NOW - c->age_ms,
                                .event = ev,
                                .newer = c->newer,
                                .deleted_by = c->deleted_by};
        struct verdict v = route_event(&q, &def, c->admitted, !c->newer_lost, NOW);
        if (v.kind != c->verdict || v.cls != c->cls)
            fail_msg("%s: verdict %d, class %d", c->what, (int)v.kind, (int)v.cls);
        free(ev);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(every_case_has_its_verdict)};
    return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
