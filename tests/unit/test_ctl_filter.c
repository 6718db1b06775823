/* FILTER as people type it: what is understood, what is refused, and how it is told again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/hex.h"
#include "ctl/filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ID1 "1111111111111111111111111111111111111111111111111111111111111111"
#define ID2 "2222222222222222222222222222222222222222222222222222222222222222"
#define NPUB                                                                                       \
    "npub1zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygse4sl3h" /* ID1 as a public key */

static const struct option_row options[] = {FILTER_OPTIONS};
static const struct command command = {
    .name = "failed", .options = options, .options_len = COUNT_OF(options)};

/* "--class=mute|--kind=1" as an invocation; the words live in `text`. */
static struct invocation typed(const char *words, char *text, size_t size)
{
    struct invocation inv = {.command = &command};
    char *save = NULL;
    (void)snprintf(text, size, "%s", words);
    for (char *w = strtok_r(text, "|", &save); w != NULL; w = strtok_r(NULL, "|", &save)) {
        size_t i = 0, len = strcspn(w, "=");
        while (i < COUNT_OF(options) &&
               (strncmp(options[i].name, w, len) != 0 || options[i].name[len] != '\0'))
            i++;
        assert_true(i < COUNT_OF(options));
        inv.given[i] = w + len + 1;
    }
    return inv;
}

/* The read end of a pipe that holds `text`. */
static int pipe_with(const char *text)
{
    int fds[2];
    size_t len = strlen(text);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], text, len), (ssize_t)len);
    close(fds[1]);
    return fds[0];
}

static const struct {
    const char *words, *text; /* text: the filter in words, or NULL */
    const char *problem;      /* what is said instead */
} rows[] = {
    {"", "all that failed", NULL},
    {"--relay=Damus", "relay Damus", NULL},
    {"--class=blocked", "class blocked", NULL},
    {"--class=mute,blocked error", "class blocked mute error", NULL},
    {"--class=expired", "class expired", NULL},
    {"--class=expired,pow", "class expired pow", NULL},
    {"--class=lane_max", "class lane_max", NULL},
    {"--reason=no spam", "reason 'no spam'", NULL},
    {"--reason=a\033b", "reason 'a?b'", NULL},
    {"--kind=0", "kind 0", NULL},
    {"--kind=65535", "kind 65535", NULL},
    {"--author=" ID1, "author " NPUB, NULL},
    {"--author=" NPUB, "author " NPUB, NULL},
    {"--id=" ID1, "id " ID1, NULL},
    {"--id=" ID1 "," ID2, "2 ids", NULL},
    {"--id=" ID1 "," ID1, "id " ID1, NULL},
    {"--older-than=90m", "older than 90m", NULL},
    {"--older-than=120m", "older than 2h", NULL},
    {"--newer-than=1500ms", "newer than 1500ms", NULL},
    {"--min-attempts=3", "at least 3 attempts", NULL},
    {"--kind=1|--class=mute|--older-than=1d|--newer-than=7d",
     "class mute, kind 1, older than 1d, newer than 7d", NULL},
    {"--class=blokced", NULL, "no class 'blokced' (did you mean blocked?)"},
    {"--class=superseded", NULL, "no class 'superseded'; there are blocked"},
    {"--class=", NULL, "no class ''"},
    {"--class=,", NULL, "no class ''"},
    {"--reason=", NULL, "--reason: expected a text"},
    {"--kind=65536", NULL, "--kind=65536: expected a number from 0 to 65535"},
    {"--kind=-1", NULL, "--kind=-1: expected a number"},
    {"--author=me", NULL, "--author: "},
    {"--id=xyz", NULL, "--id: not an event id"},
    {"--id=", NULL, "--id: expected an event id"},
    {"--older-than=2", NULL, "--older-than=2: expected a duration"},
    {"--older-than=0", NULL, "--older-than=0: expected a duration"},
    {"--newer-than=0s", NULL, "--newer-than=0s: expected a duration"},
    {"--min-attempts=0", NULL, "--min-attempts=0: expected a number from 1"},
};

static void filters_follow_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char words[512], text[FILTER_TEXT_SIZE];
        struct invocation inv = typed(rows[i].words, words, sizeof words);
        struct filter f;
        struct problem p = {0};
        enum err e = filter_read(&inv, -1, &f, &p);
        if ((e == ERR_NONE) != (rows[i].problem == NULL))
            fail_msg("'%s': %s %s", rows[i].words, err_name(e), p.text);
        if (e != ERR_NONE && strstr(p.text, rows[i].problem) == NULL)
            fail_msg("'%s': %s", rows[i].words, p.text);
        if (e == ERR_NONE) {
            filter_text(&f, text);
            assert_string_equal(text, rows[i].text);
        }
        filter_free(&f);
    }
}

static void a_long_filter_is_told_within_bounds(void **state)
{
    (void)state;
    char words[600], reason[300], text[FILTER_TEXT_SIZE];
    memset(reason, 'r', sizeof reason);
    reason[QUEUE_TEXT_SIZE - 1] = '\0';
    (void)snprintf(words, sizeof words, "--reason=%s|--author=" ID1, reason);
    char copy[600];
    struct invocation inv = typed(words, copy, sizeof copy);
    struct filter f;
    assert_int_equal(filter_read(&inv, -1, &f, NULL), ERR_NONE);
    filter_text(&f, text);
    assert_int_equal(strlen(text), FILTER_TEXT_SIZE - 1);
    filter_free(&f);
}

static const struct {
    const char *lines;
    size_t ids;
    const char *problem;
} id_rows[] = {
    {"", 0, NULL},
    {"\n \n", 0, NULL},
    {ID1, 1, NULL},
    {ID1 "\r\n\n  " ID2 "  \n" ID1 "\n", 2, NULL},
    {ID1 "\nxyz\n" ID2 "\n", 0, "--id -: line 2: not an event id"},
    {"x\n\ny\nz", 0, "--id -: line 1: "},
    {ID1 "\n\nx\ny", 0, "(and 1 more line)"},
    {ID1 ID1 ID1 ID1 ID1 "\n", 0, "line 1: the line is too long"},
};

static void ids_come_from_stdin_and_bad_lines_are_numbered(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(id_rows); i++) {
        char words[16];
        struct invocation inv = typed("--id=-", words, sizeof words);
        struct filter f;
        struct problem p = {0};
        int fd = pipe_with(id_rows[i].lines);
        enum err e = filter_read(&inv, fd, &f, &p);
        close(fd);
        if ((e == ERR_NONE) != (id_rows[i].problem == NULL) ||
            (e != ERR_NONE && strstr(p.text, id_rows[i].problem) == NULL))
            fail_msg("row %zu: %s %s", i, err_name(e), p.text);
        if (e == ERR_NONE) {
            assert_int_equal(f.row.ids_len, id_rows[i].ids);
            assert_int_equal(f.none, id_rows[i].ids == 0);
        }
        filter_free(&f);
    }
}

/* FILTER_IDS_MAX are taken, one more is refused: from a file, a pipe is too small. */
static void ids_are_bounded(void **state)
{
    (void)state;
    for (unsigned more = 0; more < 2; more++) {
        FILE *file = tmpfile();
        char words[16];
        struct invocation inv = typed("--id=-", words, sizeof words);
        struct filter f;
        struct problem p = {0};
        assert_non_null(file);
        for (unsigned i = 0; i < FILTER_IDS_MAX + more; i++)
            fprintf(file, "%064x\n", i);
        assert_int_equal(fflush(file), 0);
        rewind(file);
        enum err e = filter_read(&inv, fileno(file), &f, &p);
        if (more == 0) {
            assert_int_equal(e, ERR_NONE);
            assert_int_equal(f.row.ids_len, FILTER_IDS_MAX);
        } else {
            assert_int_equal(e, ERR_TOO_BIG);
            assert_non_null(strstr(p.text, "more than 65536 ids"));
        }
        filter_free(&f);
        fclose(file);
    }
}

static void add(struct relay_names *names, uint32_t lane, bool retired, const char *url,
                const char *name)
{
    struct definition d = {0};
    (void)snprintf(d.url, sizeof d.url, "%s", url);
    (void)snprintf(d.name, sizeof d.name, "%s", name);
    relay_names_add(names, lane, retired, &d);
}

static void relays_are_found_by_url_and_name(void **state)
{
    (void)state;
    static const struct {
        const char *typed, *url, *problem;
    } find[] = {
        {"damus", "wss://relay.damus.io", NULL},
        {"wss://relay.damus.io", "wss://relay.damus.io", NULL},
        {"relay.damus.io", "wss://relay.damus.io", NULL},
        {"WSS://Relay.Damus.IO:443/", "wss://relay.damus.io", NULL},
        {"gone", "wss://gone.example", NULL},
        {"moved", "wss://new.example", NULL},
        {"wss://old.example", "wss://old.example", NULL},
        {"relay.damus.oi", NULL,
         "no relay 'relay.damus.oi' in the queue (did you mean "
         "relay.damus.io?)"},
        {"damsu", NULL, "(did you mean damus?)"},
        {"Damus", NULL, "(did you mean damus?)"},
        {"nothing like it", NULL, "no relay 'nothing like it' in the queue; 'volley relays' lists"},
        {"", NULL, "no relay ''"},
        {"twin", NULL, "two relays are called 'twin': say wss://a.example or wss://b.example"},
    };
    struct relay_names names = {0};
    add(&names, 1, false, "wss://relay.damus.io", "damus");
    add(&names, 3, true, "wss://gone.example", "gone");
    add(&names, 4, true, "wss://old.example", "moved");
    add(&names, 5, false, "wss://new.example", "moved");
    add(&names, 6, false, "wss://a.example", "twin");
    add(&names, 9, false, "wss://b.example", "twin");
    for (size_t i = 0; i < COUNT_OF(find); i++) {
        struct filter f = {.relay = find[i].typed};
        struct problem p = {0};
        enum err e = filter_resolve(&f, &names, &p);
        if (find[i].url != NULL && (e != ERR_NONE || strcmp(f.row.url, find[i].url) != 0))
            fail_msg("'%s': %s %s", find[i].typed, f.row.url, p.text);
        if (find[i].url == NULL && (e == ERR_NONE || strstr(p.text, find[i].problem) == NULL))
            fail_msg("'%s': %s %s", find[i].typed, f.row.url, p.text);
    }
    assert_int_equal(relay_names_lane(&names, 9)->lane, 9);
    assert_null(relay_names_lane(&names, 2));
    assert_null(relay_names_lane(&names, 10));
    char label[URL_SIZE];
    assert_string_equal(relay_name_label(NULL, 12, label), "lane 12");
    assert_string_equal(relay_name_label(&names.rows[0], 1, label), "damus");
    relay_names_fini(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_follow_the_table),
        cmocka_unit_test(a_long_filter_is_told_within_bounds),
        cmocka_unit_test(ids_come_from_stdin_and_bad_lines_are_numbered),
        cmocka_unit_test(ids_are_bounded),
        cmocka_unit_test(relays_are_found_by_url_and_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
