/* What operators are shown: verdicts by a table, and tables that fit a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl/depth_show.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "ctl/verdict.h"

#include <stdlib.h>
#include <string.h>

#define NOW INT64_C(1700000000000)
#define S   1000

/* ---- verdicts ---- */

static const struct verdict_row {
    const char *name;
    enum lane_state state;
    bool held;
    uint64_t depth;
    int64_t age_ms;          /* of the oldest; -1: none */
    uint32_t rate_per_1000s; /* measured */
    uint32_t ours, theirs;   /* limits */
    enum verdict verdict;
    int64_t since_ms; /* before now; -1: unknown */
    int64_t drain_ms;
} verdict_rows[] = {
    {"idle, nothing waits", LANE_IDLE, false, 0, -1, 0, 0, 0, VERDICT_FINE, 60 * S, 0},
    {"in backoff, but nothing waits", LANE_BACKOFF, false, 0, -1, 0, 0, 0, VERDICT_FINE, 60 * S, 0},
    {"came this moment", LANE_OPEN, false, 3, 10, 0, 0, 0, VERDICT_FINE, 60 * S, -1},
    {"too young to be judged", LANE_OPEN, false, 3, 9999, 0, 0, 0, VERDICT_FINE, 60 * S, -1},
    {"nothing left in the span", LANE_OPEN, false, 3, 10 * S, 0, 0, 0, VERDICT_STALLED, 10 * S, -1},
    {"connects and connects", LANE_CONNECTING, false, 3, 30 * S, 0, 0, 0, VERDICT_STALLED, 30 * S,
     -1},
    {"connecting for the first time", LANE_CONNECTING, false, 3, S, 0, 0, 0, VERDICT_FINE, 60 * S,
     -1},
    {"in backoff with work", LANE_BACKOFF, false, 1, 10, 0, 0, 0, VERDICT_STALLED, 10, -1},
    {"hung up a moment ago", LANE_BACKOFF, false, 10, 20 * S, 1000, 0, 0, VERDICT_FINE, 60 * S,
     10 * S},
    {"leaves as fast as it comes", LANE_OPEN, false, 200, 20 * S, 10000, 0, 0, VERDICT_FINE, 60 * S,
     20 * S},
    {"a bit more comes than leaves", LANE_OPEN, false, 201, 20 * S, 10000, 0, 0, VERDICT_BEHIND,
     20 * S, 20100},
    {"a large backlog that shrinks", LANE_OPEN, false, 1000000, 86400 * S, 100000, 0, 0,
     VERDICT_FINE, 60 * S, 10000 * S},
    {"slower than can be measured, as told", LANE_OPEN, false, 10, 700 * S, 0, 16, 0, VERDICT_FINE,
     60 * S, 625 * S},
    {"slower than can be measured, too slow", LANE_OPEN, false, 10, 600 * S, 0, 16, 0,
     VERDICT_BEHIND, 600 * S, 625 * S},
    {"a slow limit the relay taught", LANE_OPEN, false, 1, 20 * S, 0, 5000, 50, VERDICT_FINE,
     60 * S, 20 * S},
    {"a slow limit, but no connection", LANE_BACKOFF, false, 1, 20 * S, 0, 16, 0, VERDICT_STALLED,
     20 * S, -1},
    {"a limit that could be measured", LANE_OPEN, false, 1, 20 * S, 0, 5000, 0, VERDICT_STALLED,
     20 * S, -1},
    {"held, and the publisher knows", LANE_HELD, true, 5, 90 * S, 0, 0, 0, VERDICT_HELD, 60 * S,
     -1},
    {"held a moment ago", LANE_OPEN, true, 5, 90 * S, 0, 0, 0, VERDICT_HELD, -1, -1},
    {"nobody has it", LANE_UNLEASED, false, 5, 90 * S, 0, 0, 0, VERDICT_UNLEASED, -1, -1},
    {"nobody has it, nothing waits", LANE_UNLEASED, false, 0, -1, 0, 0, 0, VERDICT_UNLEASED, -1, 0},
    {"held, and nobody has it", LANE_UNLEASED, true, 5, 90 * S, 0, 0, 0, VERDICT_HELD, -1, -1},
    {"accepted in the future", LANE_OPEN, false, 5, -90 * S, 0, 0, 0, VERDICT_FINE, 60 * S, -1},
    {"an absurd depth", LANE_OPEN, false, UINT64_MAX, 20 * S, 1, 0, 0, VERDICT_STALLED, 20 * S, -1},
};

static struct lane_status lane_of(const struct verdict_row *row)
{
    return (struct lane_status){
        .held = row->held,
        .depth = row->depth,
        .oldest_ms = row->age_ms == -1 ? 0 : NOW - row->age_ms,
        .definition.rate_per_1000s = row->ours,
        .learned.rate_per_1000s = row->theirs,
        .live = {.state = row->state,
                 .since_ms = row->state == LANE_UNLEASED ? 0 : NOW - 60 * S,
                 .rate_per_1000s = row->rate_per_1000s},
    };
}

static void verdicts_follow_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(verdict_rows); i++) {
        const struct verdict_row *row = &verdict_rows[i];
        const struct lane_status l = lane_of(row);
        int64_t since_ms, expected_ms = row->since_ms == -1 ? 0 : NOW - row->since_ms;
        enum verdict v = verdict_of(&l, NOW, &since_ms);
        if (v != row->verdict || since_ms != expected_ms || verdict_drain_ms(&l) != row->drain_ms)
            fail_msg("%s: %s since %lld, drain %lld", row->name, verdict_name(v),
                     since_ms == 0 ? -1ll : (long long)(NOW - since_ms),
                     (long long)verdict_drain_ms(&l));
    }
}

static void stalled_and_unleased_say_since_when(void **state)
{
    (void)state;
    struct lane_status l = {.depth = 3,
                            .oldest_ms = NOW - 600 * S,
                            .live = {.state = LANE_OPEN, .delivered_ms = NOW - 30 * S}};
    int64_t since_ms;
    assert_int_equal(verdict_of(&l, NOW, &since_ms), VERDICT_STALLED);
    assert_int_equal(since_ms, NOW - 30 * S);
    l.live.delivered_ms = NOW - 700 * S; /* before anything that waits now came */
    assert_int_equal(verdict_of(&l, NOW, &since_ms), VERDICT_STALLED);
    assert_int_equal(since_ms, NOW - 600 * S);
    l.live = (struct lane_live){.state = LANE_UNLEASED, .since_ms = NOW - 5 * S};
    assert_int_equal(verdict_of(&l, NOW, &since_ms), VERDICT_UNLEASED);
    assert_int_equal(since_ms, NOW - 5 * S);
}

/* ---- text ---- */

static void text_from_outside_can_do_nothing_to_a_terminal(void **state)
{
    (void)state;
    static const struct {
        const char *text, *clean;
    } rows[] = {
        {"plain", "plain"},
        {"a\033[2Jb\r\n\t\x7f", "a?[2Jb????"},
        {"c1 \xc2\x9b", "c1 ?"},
        {"bad \xff\xc3", "bad ??"},
        {"right to left \xe2\x80\xae!", "right to left ?!"},
        {"gr\xc3\xbc\xc3\x9f \xe2\x82\xac", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac"},
    };
    char out[64];
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_string_equal(clean_text(rows[i].text, out, sizeof out), rows[i].clean);
    assert_string_equal(clean_text("ab\xe2\x82\xac", out, 5), "ab");
    assert_string_equal(clean_text("ab\xe2\x82\xac", out, 6), "ab\xe2\x82\xac");
}

static void text_is_cut_by_columns(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t width, columns;
        const char *cut;
    } rows[] = {
        {"relay", 5, 5, "relay"},
        {"relay.example", 6, 13, "relay\xe2\x80\xa6"},
        {"ab", 1, 2, "\xe2\x80\xa6"},
        {"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", 6, 6, "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"},
        {"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", 4, 6, "\xe6\x97\xa5\xe2\x80\xa6"},
        {"e\xcc\x81toile", 3, 6, "e\xcc\x81t\xe2\x80\xa6"},
    };
    char out[64];
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(text_width(rows[i].text), rows[i].columns);
        assert_string_equal(text_cut(rows[i].text, rows[i].width, out, sizeof out), rows[i].cut);
        assert_true(text_width(out) <= rows[i].width);
    }
    assert_string_equal(text_cut("0123456789", 99, out, 8), "0123\xe2\x80\xa6");
}

static void numbers_are_short(void **state)
{
    (void)state;
    static const struct {
        uint64_t n;
        const char *text;
    } counts[] = {{0, "0"},           {99999, "99999"},  {100000, "100k"},
                  {9999999, "9999k"}, {10000000, "10M"}, {UINT64_MAX, "18E"}},
      rates[] = {{0, "0"},      {16, "<0.1"},  {100, "0.1"},
                 {1500, "1.5"}, {17900, "17"}, {400000000, "400k"}};
    char out[16];
    for (size_t i = 0; i < COUNT_OF(counts); i++)
        assert_string_equal(short_count(counts[i].n, out), counts[i].text);
    for (size_t i = 0; i < COUNT_OF(rates); i++)
        assert_string_equal(short_rate(rates[i].n, out), rates[i].text);
}

/* ---- tables ---- */

static char *print(const struct table *t, size_t width, size_t lines_max, bool colours)
{
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    const struct table_look look = {.width = width, .lines_max = lines_max, .colours = colours};
    (void)table_print(t, &look, out);
    fclose(out);
    return text;
}

static const struct table_column columns[] = {{.head = "NAME"},
                                              {.head = "N", .right = true},
                                              {.head = "WORD", .colours = true},
                                              {.head = "MORE", .drop = 1},
                                              {.head = "MOST", .drop = 2}};

static void fill(struct table *t)
{
    table_init(t, columns, COUNT_OF(columns));
    table_add(t,
              (const char *const[]){"a-name-of-thirty-bytes-no-less", "1", "good", "more", "most"},
              NULL, COLOUR_GREEN);
    table_add(t, (const char *const[]){"b", "1234", "bad", "m", "o"}, "why it is bad", COLOUR_RED);
}

static void a_table_is_as_wide_as_it_needs(void **state)
{
    (void)state;
    struct table t;
    fill(&t);
    char *text = print(&t, 0, 0, false);
    assert_string_equal(text, "NAME                              N WORD MORE MOST\n"
                              "a-name-of-thirty-bytes-no-less    1 good more most\n"
                              "b                              1234 bad  m    o\n"
                              "    why it is bad\n");
    free(text);
    table_fini(&t);
}

static void what_does_not_fit_is_cut_then_left_out(void **state)
{
    (void)state;
    static const struct {
        size_t width;
        const char *second; /* the second line */
    } rows[] = {
        {50, "a-name-of-thirty-bytes-no-less    1 good more most\n"},
        {49, "a-name-of-thirty-bytes-no-le\xe2\x80\xa6    1 good more most\n"},
        {40, "a-name-of-thirty-by\xe2\x80\xa6    1 good more most\n"},
        {39, "a-name-of-thirty-bytes-\xe2\x80\xa6    1 good more\n"},
        {34, "a-name-of-thirty-bytes-\xe2\x80\xa6    1 good\n"},
        {20, "a-name-of\xe2\x80\xa6    1 good\n"},
    };
    struct table t;
    fill(&t);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char *text = print(&t, rows[i].width, 0, false);
        const char *second = text + strcspn(text, "\n") + 1;
        if (strncmp(second, rows[i].second, strlen(rows[i].second)) != 0)
            fail_msg("width %zu:\n%s", rows[i].width, text);
        free(text);
    }
    table_fini(&t);
}

static void colours_and_lines_are_as_asked(void **state)
{
    (void)state;
    struct table t;
    fill(&t);
    char *text = print(&t, 40, 0, true);
    assert_non_null(strstr(text, "\033[32mgood\033[0m"));
    assert_non_null(strstr(text, "\033[31mbad\033[0m"));
    free(text);
    text = print(&t, 40, 3, false);
    assert_null(strstr(text, "why")); /* the row of two lines would be the fourth */
    assert_null(strchr(text, '\033'));
    free(text);
    table_fini(&t);
}

/* ---- depth ---- */

static char *depth_text(const struct queue_depth *d, const char *relay, size_t lines_max)
{
    struct relay_choice choice;
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    relay_choose(relay, &choice);
    const struct depth_look look = {.relay = &choice, .width = 80, .lines_max = lines_max};
    depth_table(d, &look, out);
    fclose(out);
    return text;
}

static void the_worst_come_first_when_not_all_fit(void **state)
{
    (void)state;
    struct lane_status lanes[4] = {
        {.definition.url = "wss://one.example", .live.state = LANE_IDLE},
        {.definition.url = "wss://two.example", .live.state = LANE_UNLEASED, .depth = 5},
        {.definition.url = "wss://three.example", .live.state = LANE_IDLE},
        {.definition.url = "wss://gone.example", .retired = true},
    };
    const struct queue_depth d = {.now_ms = NOW, .lanes = lanes, .lanes_len = COUNT_OF(lanes)};
    char *text = depth_text(&d, NULL, 0);
    assert_true(strstr(text, "one.example") < strstr(text, "two.example"));
    assert_null(strstr(text, "gone.example"));
    assert_non_null(strstr(text, "total: 5 waiting at 3 relays, 0 failed"));
    free(text);
    text = depth_text(&d, NULL, 4);
    assert_true(strstr(text, "two.example") < strstr(text, "one.example"));
    assert_null(strstr(text, "three.example"));
    assert_non_null(strstr(text, "total: 5 waiting at 3 relays (1 not shown), 0 failed; "));
    free(text);
    text = depth_text(&d, "THREE.example/", 0);
    assert_non_null(strstr(text, "three.example"));
    assert_null(strstr(text, "one.example"));
    free(text);
}

static void what_a_publisher_said_gives_way_to_what_the_queue_knows(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        bool held;
        struct lane_live live;
        uint64_t depth;
        const char *line; /* from DEPTH to the state */
    } rows[] = {
        {"held a moment ago",
         true,
         {.state = LANE_OPEN, .since_ms = NOW - 90 * S},
         3,
         "     3      0     0      0      -    0     - held    open 90s "},
        {"held, as both say",
         true,
         {.state = LANE_HELD, .since_ms = NOW - 90 * S},
         3,
         "     3      0     0      0      -    0     - held 90s held 90s "},
        {"released a moment ago",
         false,
         {.state = LANE_HELD, .since_ms = NOW - 90 * S},
         0,
         "     0      0     0      0      -    0    0s fine    idle "},
        {"settled since it was said to be in flight",
         false,
         {.state = LANE_OPEN, .since_ms = NOW - 90 * S, .in_flight = 8},
         3,
         "     3      3     0      0      -    0     - fine    open 90s "},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct lane_status lane = {.definition.url = "wss://one.example",
                                   .held = rows[i].held,
                                   .depth = rows[i].depth,
                                   .live = rows[i].live};
        const struct queue_depth d = {.now_ms = NOW, .lanes = &lane, .lanes_len = 1};
        char *text = depth_text(&d, NULL, 0);
        if (strstr(text, rows[i].line) == NULL)
            fail_msg("%s:\n%s", rows[i].what, text);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_follow_the_table),
        cmocka_unit_test(stalled_and_unleased_say_since_when),
        cmocka_unit_test(text_from_outside_can_do_nothing_to_a_terminal),
        cmocka_unit_test(text_is_cut_by_columns),
        cmocka_unit_test(numbers_are_short),
        cmocka_unit_test(a_table_is_as_wide_as_it_needs),
        cmocka_unit_test(what_does_not_fit_is_cut_then_left_out),
        cmocka_unit_test(colours_and_lines_are_as_asked),
        cmocka_unit_test(the_worst_come_first_when_not_all_fit),
        cmocka_unit_test(what_a_publisher_said_gives_way_to_what_the_queue_knows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
