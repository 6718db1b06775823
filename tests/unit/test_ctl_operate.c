/* What operators see of failed deliveries, replay jobs, relays and receipts: lines that fit a
 * terminal, and JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl/failed_show.h"
#include "ctl/groups.h"
#include "ctl/jobs_show.h"
#include "ctl/receipt_show.h"
#include "ctl/relays_show.h"

#include <stdlib.h>
#include <string.h>

#define NOW INT64_C(1700000000000)
#define S   1000

/* ---- text ---- */

struct out {
    char *text;
    size_t len;
    FILE *f;
};

static void out_begin(struct out *o)
{
    o->f = open_memstream(&o->text, &o->len);
    assert_non_null(o->f);
}

static const char *out_end(struct out *o)
{
    fclose(o->f);
    return o->text;
}

static void no_line_is_longer(const char *text, size_t width)
{
    while (*text != '\0') {
        char line[2048];
        size_t len = strcspn(text, "\n");
        assert_true(len < sizeof line);
        (void)snprintf(line, sizeof line, "%.*s", (int)len, text);
        if (text_width(line) > width)
            fail_msg("%zu columns: %s", text_width(line), line);
        text += len + (text[len] == '\n');
    }
}

/* ---- failed ---- */

static struct relay_names three_relays(void)
{
    struct relay_names names = {0};
    struct definition d = {.url = "wss://one.example"};
    relay_names_add(&names, 1, false, &d);
    d = (struct definition){.url = "wss://a-very-long-host-name-of-a-relay.example/with/a/path",
                            .name = ""};
    relay_names_add(&names, 2, false, &d);
    d = (struct definition){.url = "wss://three.example", .name = "th\033ree"};
    relay_names_add(&names, 3, true, &d);
    return names;
}

static struct failed_row failed_row(uint32_t lane, enum row_class cls, const char *text)
{
    struct failed_row f = {.lane = lane,
                           .id = {0xab, 0xcd, 0xef},
                           .author = {0x12},
                           .kind = 30023,
                           .accepted_ms = NOW - 7200 * S,
                           .row = {.end = ROW_FAILED,
                                   .cls = cls,
                                   .attempts = 3,
                                   .route = ROUTE_TOR,
                                   .family = FAMILY_IPV6,
                                   .first_ms = NOW - 600 * S,
                                   .last_ms = NOW - 5 * S},
                           .replayable = true};
    (void)snprintf(f.row.text, sizeof f.row.text, "%s", text);
    return f;
}

static void failed_rows_fit_a_terminal_and_are_clean(void **state)
{
    (void)state;
    struct relay_names names = three_relays();
    struct failed_row rows[4] = {
        failed_row(1, CLASS_BLOCKED, "blocked: \033[31mno\n"),
        failed_row(2, CLASS_RESTRICTED,
                   "restricted: this is a very long reason that does not fit into one line of any "
                   "terminal that has eighty columns"),
        failed_row(3, CLASS_ERROR, ""), failed_row(7, CLASS_RETENTION, "")};
    const struct failed_page p = {.rows = rows, .rows_len = COUNT_OF(rows)};
    struct table t;
    struct out o;
    rows[2].job = 12;
    rows[3].replayable = false;
    rows[3].row.end = ROW_EXPIRED;
    rows[3].row.family = FAMILY_NONE;
    rows[3].row.first_ms = 0;
    out_begin(&o);
    table_init(&t, failed_columns, failed_columns_len);
    const struct table_look look = {.width = 80};
    failed_page_print(&t, &p, &names, NOW, &look, o.f);
    failed_page_print(&t, &p, &names, NOW, &look, o.f);
    table_fini(&t);
    const char *text = out_end(&o);
    no_line_is_longer(text, 80);
    assert_null(strchr(text, '\033'));
    assert_non_null(strstr(text, "    blocked: ?[31mno?\n"));
    assert_non_null(strstr(text, "    [replay job 12]\n"));
    assert_non_null(strstr(text, "th?ree"));
    assert_non_null(strstr(text, "lane 7"));
    assert_non_null(strstr(text, "    [gone]"));
    assert_non_null(strstr(text, " abcdef0000 "));
    assert_non_null(strstr(text, " 10m "));
    assert_ptr_equal(strstr(text, "RELAY"), text);
    assert_null(strstr(text + 1, "RELAY")); /* one head for all pages */
    free(o.text);
    relay_names_fini(&names);
}

static void failed_json_has_every_field(void **state)
{
    (void)state;
    struct relay_names names = three_relays();
    struct failed_row row = failed_row(3, CLASS_POW, "pow: 20 bits");
    struct out o;
    row.job = 4;
    out_begin(&o);
    failed_json(&row, &names, o.f);
    row.lane = 9;
    row.job = 0;
    row.row.family = FAMILY_NONE;
    row.row.text[0] = '\0';
    failed_json(&row, &names, o.f);
    assert_string_equal(
        out_end(&o),
        "{\"id\":\"abcdef0000000000000000000000000000000000000000000000000000000000\","
        "\"kind\":30023,"
        "\"author\":\"1200000000000000000000000000000000000000000000000000000000000000\","
        "\"relay\":\"wss://three.example\",\"name\":\"th\\u001bree\",\"result\":\"failed\","
        "\"class\":\"pow\",\"reason\":\"pow: 20 bits\",\"attempts\":3,\"accepted\":1699992800,"
        "\"first\":1699999400,\"last\":1699999995,\"family\":\"ipv6\",\"route\":\"tor\","
        "\"replayable\":true,\"job\":4}\n"
        "{\"id\":\"abcdef0000000000000000000000000000000000000000000000000000000000\","
        "\"kind\":30023,"
        "\"author\":\"1200000000000000000000000000000000000000000000000000000000000000\","
        "\"relay\":null,\"name\":null,\"result\":\"failed\",\"class\":\"pow\",\"reason\":null,"
        "\"attempts\":3,\"accepted\":1699992800,\"first\":1699999400,\"last\":1699999995,"
        "\"family\":null,\"route\":null,\"replayable\":true,\"job\":null}\n");
    free(o.text);
    relay_names_fini(&names);
}

static void counts_of_pages_are_added_up(void **state)
{
    (void)state;
    struct relay_names names = three_relays();
    static const struct failed_group first[] = {{1, CLASS_POW, 10, 1, 2}, {3, CLASS_MUTE, 5, 0, 0}},
                                     second[] = {{1, CLASS_BLOCKED, 3, 0, 0},
                                                 {1, CLASS_POW, 1, 0, 1}};
    const struct failed_page a = {.groups = first, .groups_len = 2},
                             b = {.groups = second, .groups_len = 2};
    struct groups g = {0};
    struct out o;
    groups_add(&g, &a);
    groups_add(&g, &b);
    assert_int_equal(g.count, 19);
    assert_int_equal(g.gone, 1);
    assert_int_equal(g.busy, 3);
    out_begin(&o);
    groups_table(&g, &names, 80, o.f);
    assert_string_equal(out_end(&o),
                        "RELAY       CLASS   COUNT GONE BUSY\n"
                        "one.example blocked     3    0    0\n"
                        "one.example pow        11    1    3\n"
                        "th?ree      mute        5    0    0\n"
                        "total: 19 failed deliveries at 2 relays\n"
                        "  gone: 1 can't be sent again: no longer kept, or the relay retired\n"
                        "  busy: 3 are in a replay job\n");
    free(o.text);
    groups_fini(&g);
    out_begin(&o);
    groups_table(&g, &names, 80, o.f);
    assert_string_equal(out_end(&o), "total: 0 failed deliveries at 0 relays\n");
    free(o.text);
    relay_names_fini(&names);
}

/* ---- jobs ---- */

static void jobs_fit_a_terminal(void **state)
{
    (void)state;
    const struct replay_job jobs[] = {
        {.number = 3,
         .state = JOB_DONE,
         .made_ms = NOW - 3600 * S,
         .ended_ms = NOW - 60 * S,
         .total = 7,
         .delivered = 7,
         .text = "relay one, class blocked",
         .by = "ann@host"},
        {.number = 4,
         .state = JOB_CANCELLED,
         .made_ms = NOW - 10 * S,
         .ended_ms = NOW,
         .rate_per_1000s = 50000,
         .total = 12345678,
         .waiting = 12345678,
         .asked = 12345678,
         .delivered = 12345678,
         .failed = 12345678,
         .dropped = 12345678,
         .text = "a long filter, a long filter, a long filter, a long filter, a long filter",
         .by = "somebody.with.a.long.name@a-long-host-name.example"}};
    struct out o;
    const struct table_look look = {.width = 80};
    out_begin(&o);
    jobs_table(jobs, COUNT_OF(jobs), NOW, &look, o.f);
    const char *text = out_end(&o);
    no_line_is_longer(text, 80);
    assert_non_null(strstr(text, "\n3   done"));
    assert_non_null(strstr(text, "\n    by ann@host: relay one, class blocked\n"));
    free(o.text);
    out_begin(&o);
    jobs_table(NULL, 0, NOW, &look, o.f);
    jobs_line(&jobs[0], o.f);
    jobs_line(&jobs[1], o.f);
    assert_string_equal(out_end(&o),
                        "no replay jobs\n"
                        "job 3 is done: 7 of 7 delivered\n"
                        "job 4 is cancelled: 12345678 of 12345678 delivered\n"
                        "  12345678 failed again, 12345678 dropped, 24691356 under way\n");
    free(o.text);
    assert_ptr_equal(jobs_find(jobs, 2, 4), &jobs[1]);
    assert_null(jobs_find(jobs, 2, 5));
}

/* ---- relays ---- */

static void relays_tell_what_is_in_force_and_what_waits(void **state)
{
    (void)state;
    struct lane_version
        one = {.version = 1, .from = 10, .definition = {.url = "wss://one.example"}},
        two[2] = {
            {.version = 1, .definition = {.url = "wss://two.example", .name = "two", .hold = true}},
            {.version = 3,
             .waits = true,
             .definition = {
                 .url = "wss://two.example", .name = "zwei", .kinds = {1, 7}, .kinds_len = 2}}};
    one.definition.except_kinds[0] = 7;
    one.definition.except_kinds_len = 1;
    one.definition.rate_per_1000s = 5000;
    one.definition.window = 256;
    const struct lane_entry lanes[] = {
        {.lane = 1,
         .versions = &one,
         .versions_len = 1,
         .start = 10,
         .position = 20,
         .hold = HOLD_HELD},
        {.lane = 2, .versions = two, .versions_len = 2},
        {.lane = 3, .versions = &one, .versions_len = 1, .retired = true, .retired_ms = NOW}};
    const struct queue_registry r = {.version = 9,
                                     .defined_ms = NOW,
                                     .defined_by = "ann@host",
                                     .lanes = lanes,
                                     .lanes_len = COUNT_OF(lanes)},
                                none = {0};
    const struct table_look look = {.width = 80};
    struct out o;
    out_begin(&o);
    relays_table(&r, false, &look, o.f);
    const char *text = out_end(&o);
    no_line_is_longer(text, 80);
    assert_ptr_equal(strstr(text, "list 9 in force since "), text);
    assert_non_null(strstr(text, " by ann@host: 2 relays, 1 retired\n"));
    assert_non_null(strstr(text, "one.example"));
    assert_non_null(strstr(text, " held "));
    assert_non_null(strstr(text, " as listed "));
    assert_non_null(strstr(text, "\n    not kinds 7\n"));
    assert_non_null(strstr(text, "\n    wss://two.example; version 3 waits for a publisher\n"));
    assert_null(strstr(text, " retired "));
    free(o.text);
    out_begin(&o);
    relays_table(&r, true, &look, o.f);
    assert_non_null(strstr(out_end(&o), " retired "));
    free(o.text);
    out_begin(&o);
    relays_table(&none, true, &look, o.f);
    text = out_end(&o);
    assert_ptr_equal(strstr(text, "no relays: "), text);
    free(o.text);
    out_begin(&o);
    relays_json(&r, true, NULL, o.f);
    text = out_end(&o);
    assert_non_null(strstr(text, "\"waiting_version\":3,\"waiting\":{\"name\":\"zwei\","));
    assert_non_null(strstr(text, "\"kinds\":[1,7]"));
    assert_non_null(strstr(text, "\"operator\":\"held\",\"held\":true,"));
    assert_non_null(strstr(text, "\"operator\":\"defined\",\"held\":true,"));
    assert_non_null(strstr(text, "{\"total\":true,\"relays\":2,\"retired\":1,\"list\":9,"));
    free(o.text);
    struct relay_names names = {0};
    relay_names_take(&names, &r);
    assert_int_equal(names.len, 3);
    assert_string_equal(names.rows[1].name, "zwei"); /* the newest word for it */
    relay_names_fini(&names);
}

/* ---- receipts ---- */

static void receipts_tell_earlier_failures_below_their_relay(void **state)
{
    (void)state;
    const struct row earlier[] = {{.end = ROW_FAILED,
                                   .cls = CLASS_POW,
                                   .attempts = 1,
                                   .last_ms = NOW - 9 * S,
                                   .family = FAMILY_IPV4,
                                   .route = ROUTE_DIRECT,
                                   .text = "pow: more"},
                                  {.end = ROW_FAILED,
                                   .cls = CLASS_ERROR,
                                   .attempts = 20,
                                   .last_ms = NOW - 5 * S,
                                   .family = FAMILY_IPV6,
                                   .route = ROUTE_TOR,
                                   .text = "error: \033[2J"}};
    const struct receipt_lane lanes[] = {
        {.lane = 1,
         .url = "wss://one.example",
         .end = RECEIPT_DELIVERED,
         .history = earlier,
         .history_len = 2},
        {.lane = 2,
         .url = "wss://two.example/a/path/that/is/much/longer/than/forty/columns/of/it",
         .end = RECEIPT_ROW,
         .row = {.end = ROW_PURGED,
                 .cls = CLASS_BLOCKED,
                 .attempts = 2,
                 .last_ms = NOW,
                 .text = "blocked: a reason that goes on and on, far beyond what any line of "
                         "eighty columns has room for"}},
        {.lane = 3,
         .url = "wss://three.example",
         .name = "three",
         .end = RECEIPT_ROW,
         .row = {.end = ROW_EXPIRED, .cls = CLASS_RELEASED, .last_ms = NOW}},
        {.lane = 4, .url = "wss://four.example", .end = RECEIPT_RETRYING, .exception.attempts = 1},
        {.lane = 5, .url = "wss://five.example", .end = RECEIPT_NEVER, .retired = true},
        {.lane = 6, .url = "wss://six.example", .end = RECEIPT_NEVER}};
    const struct queue_receipt r = {.id = {0xab},
                                    .pos = 7,
                                    .accepted_ms = NOW - 60 * S,
                                    .kind = 1,
                                    .lanes = lanes,
                                    .lanes_len = COUNT_OF(lanes)};
    struct out o;
    out_begin(&o);
    receipt_text(&r, 80, o.f);
    const char *text = out_end(&o);
    no_line_is_longer(text, 80);
    assert_null(strchr(text, '\033'));
    const char *after = strstr(text, "one.example");
    assert_non_null(after);
    after = strstr(after, "    before: failed (pow), 20");
    assert_non_null(after);
    after = strstr(after, "\n      pow: more\n    before: failed (error), 20");
    assert_non_null(after);
    after = strstr(after, ", 20 attempts, ipv6 by tor\n      error: ?[2J\n");
    assert_non_null(after);
    assert_non_null(strstr(text, " purged (blocked), 20"));
    assert_non_null(strstr(text, "\n    blocked: a reason"));
    assert_non_null(strstr(text, "expired (released), "));
    assert_non_null(strstr(text, "\n    an operator gave up what waited"));
    assert_non_null(strstr(text, "retrying, 1 attempt\n"));
    assert_null(strstr(text, "five"));
    assert_non_null(strstr(text, "six.example"));
    free(o.text);
    out_begin(&o);
    receipt_json(&r, o.f);
    text = out_end(&o);
    assert_non_null(strstr(text, "\"retired\":false,\"history\":[{\"result\":\"failed\",\"class\":"
                                 "\"pow\",\"reason\":\"pow: more\",\"attempts\":1,"));
    assert_non_null(strstr(text, "\"history\":[]}"));
    free(o.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failed_rows_fit_a_terminal_and_are_clean),
        cmocka_unit_test(failed_json_has_every_field),
        cmocka_unit_test(counts_of_pages_are_added_up),
        cmocka_unit_test(jobs_fit_a_terminal),
        cmocka_unit_test(relays_tell_what_is_in_force_and_what_waits),
        cmocka_unit_test(receipts_tell_earlier_failures_below_their_relay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
