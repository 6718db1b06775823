/* A whole publisher: the model queue on one side, relays on loopback on the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/hex.h"
#include "tests/support/make_event.h"
#include "tests/support/publish_rig.h"
#include "tests/support/spin.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A key file of test author 4 in a new directory; `name` gets its path. */
static void write_key(char *name, size_t size, mode_t mode, const char *text)
{
    char dir[] = "/tmp/volley-test-XXXXXX", hex[65];
    uint8_t secret[32];
    assert_non_null(mkdtemp(dir));
    test_secret(4, secret);
    (void)snprintf(name, size, "%s/key", dir);
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    if (text == NULL)
        text = hex_str(hex, secret, sizeof secret);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(write(fd, "\n", 1), 1);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void remove_key(char *name)
{
    unlink(name);
    *strrchr(name, '/') = '\0';
    rmdir(name);
}

/* ---- delivery ---- */

static void all_events_reach_all_relays_once_and_in_order(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 200);
    publish_rig_settle(r);
    for (unsigned i = 0; i < RIG_RELAYS; i++) {
        publish_rig_check_all(r, i);
        assert_int_equal(r->relays[i].connections, 1);
        assert_int_equal(publish_rig_lane(r, i).delivered, 200);
    }
}

static void a_backlog_is_read_once_for_all_lanes(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_append_notes(r, 200);
    publish_rig_start(r, 0);
    publish_rig_settle(r);
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        publish_rig_check_all(r, i);
    /* On a slow machine the first beat finds some unsent, and their facts are read again; three
     * lanes that read on their own would read 600. */
    assert_in_range(r->taps[0].positions_read, 200, 399);
}

static void a_lost_tail_loses_nothing(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 20);
    model_lose_tail(r->model, 30);
    publish_rig_append_notes(r, 40);
    publish_rig_settle(r);
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        publish_rig_check_all(r, i);
}

static void a_relay_that_is_down_gets_all_later_and_slows_nobody(void **state)
{
    struct publish_rig *r = *state;
    fake_relay_down(&r->relays[1]);
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 50);
    publish_rig_wait_for_events(r, 0, 50);
    publish_rig_wait_for_events(r, 2, 50);
    assert_int_equal(publish_rig_lane(r, 1).depth, 50);
    fake_relay_up(&r->relays[1]);
    publish_rig_settle(r);
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        publish_rig_check_all(r, i);
}

static void a_relay_that_hangs_up_gets_the_rest_later(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 20);
    publish_rig_wait_for_events(r, 1, 20);
    fake_relay_down(&r->relays[1]);
    publish_rig_append_notes(r, 20);
    fake_relay_up(&r->relays[1]);
    publish_rig_settle(r);
    for (unsigned i = 0; i < r->len; i++)
        assert_true(fake_relay_count(&r->relays[1], r->ids[i]) >= 1);
    publish_rig_check_all(r, 0);
}

static void the_path_is_counted_and_its_family_told(void **state)
{
    struct publish_rig *r = *state;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 1);
    publish_rig_settle(r);
    struct lane_status s = publish_rig_lane(r, 0);
    assert_int_equal(s.paths_len, 1);
    assert_int_equal(s.learned.family, FAMILY_IPV4);
}

/* ---- what is not sent ---- */

static void kinds_that_a_lane_filters_are_not_sent_there(void **state)
{
    struct publish_rig *r = *state;
    r->defs[0].kinds[0] = 7;
    r->defs[0].kinds_len = 1;
    publish_rig_define(r);
    publish_rig_start(r, 0);
    publish_rig_append(r, make_note(1, 0));
    publish_rig_append(r, make_event(1, 1700000000, 7, "[]", "+"));
    publish_rig_append(r, make_note(1, 2));
    publish_rig_settle(r);
    assert_int_equal(r->relays[0].len, 1);
    assert_memory_equal(r->relays[0].ids[0], r->ids[1], EVENT_ID_LEN);
    publish_rig_check_all(r, 1);
    assert_int_equal(publish_rig_receipt(r, 0, 0).end, RECEIPT_FILTERED);
}

static void a_superseded_version_still_queued_is_skipped(void **state)
{
    struct publish_rig *r = *state;
    fake_relay_down(&r->relays[0]);
    publish_rig_start(r, 0);
    publish_rig_append(r, make_event(1, 1700000000, 0, "[]", "old"));
    publish_rig_wait_for_events(r, 1, 1);
    publish_rig_append(r, make_event(1, 1700000001, 0, "[]", "new"));
    fake_relay_up(&r->relays[0]);
    publish_rig_settle(r);
    assert_int_equal(r->relays[0].len, 1);
    assert_memory_equal(r->relays[0].ids[0], r->ids[1], EVENT_ID_LEN);
    struct receipt_lane skipped = publish_rig_receipt(r, 0, 0);
    assert_int_equal(skipped.end, RECEIPT_ROW);
    assert_int_equal(skipped.row.cls, CLASS_SUPERSEDED);
    assert_int_equal(publish_rig_receipt(r, 0, 1).end, RECEIPT_DELIVERED);
}

static void a_superseded_version_goes_out_when_the_newer_may_not(void **state)
{
    struct publish_rig *r = *state;
    uint8_t newer[EVENT_ID_LEN];
    fake_relay_down(&r->relays[0]);
    publish_rig_start(r, 0);
    publish_rig_append(r, make_event(1, 1700000000, 0, "[]", "old"));
    publish_rig_append(r, make_event(1, 1700000001, 0, "[]", "new"));
    memcpy(newer, r->ids[1], sizeof newer);
    publish_rig_append(r, make_deletion(1, 1700000002, newer));
    fake_relay_up(&r->relays[0]);
    publish_rig_settle(r);
    assert_int_equal(fake_relay_count(&r->relays[0], r->ids[0]), 1);
    assert_int_equal(fake_relay_count(&r->relays[0], r->ids[1]), 0);
    assert_int_equal(fake_relay_count(&r->relays[0], r->ids[2]), 1);
}

static void a_newer_version_far_away_is_looked_at_before_it_counts(void **state)
{
    struct publish_rig *r = *state;
    uint8_t newer[EVENT_ID_LEN];
    publish_rig_append(r, make_event(1, 1700000000, 0, "[]", "old"));
    publish_rig_append(r, make_event(2, 1700000000, 0, "[]", "another's old"));
    publish_rig_append_notes(r, 300); /* further than one read reaches */
    publish_rig_append(r, make_event(1, 1700000001, 0, "[]", "new"));
    memcpy(newer, r->ids[302], sizeof newer);
    publish_rig_append(r, make_event(2, 1700000001, 0, "[]", "another's new"));
    publish_rig_append(r, make_deletion(1, 1700000002, newer));
    r->options.cache_max = 1; /* both are never at hand together */
    publish_rig_start(r, 0);
    publish_rig_settle(r);
    assert_int_equal(fake_relay_count(&r->relays[0], r->ids[0]), 1);
    assert_int_equal(fake_relay_count(&r->relays[0], newer), 0);
    assert_int_equal(publish_rig_receipt(r, 1, 0).row.cls, CLASS_SUPERSEDED);
    assert_int_equal(fake_relay_count(&r->relays[0], r->ids[303]), 1);
}

static void on_again(void *arg, enum err e, const struct append_result *res, const char *why)
{
    (void)arg, (void)why;
    assert_int_equal(e, ERR_NONE);
    assert_true(res->duplicate);
    assert_int_equal(res->requeued, 1);
}

/* Takes as long as a renewal: the lane's owner hears of it then. */
static void what_failed_is_sent_again_when_it_is_appended_again(void **state)
{
    struct publish_rig *r = *state;
    r->relays[0].refuse = true;
    r->relays[0].text = "blocked: not today";
    publish_rig_start(r, 0);
    publish_rig_append(r, make_note(1, 1));
    publish_rig_settle(r);
    assert_int_equal(publish_rig_receipt(r, 0, 0).row.cls, CLASS_BLOCKED);
    r->relays[0].refuse = false;
    r->relays[0].text = NULL;
    struct event *again = make_note(1, 1);
    r->model->ops->append(r->model, again, on_again, r);
    event_unref(again);
    publish_rig_wait_for_events(r, 0, 2);
    publish_rig_settle(r);
    assert_int_equal(publish_rig_receipt(r, 0, 0).end, RECEIPT_DELIVERED);
    assert_int_equal(r->relays[1].len, 1); /* it was delivered there */
}

static void a_refusal_becomes_a_row_and_the_lane_goes_on(void **state)
{
    struct publish_rig *r = *state;
    r->relays[2].refuse = true;
    r->relays[2].text = "blocked: go away";
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 10);
    publish_rig_settle(r);
    struct receipt_lane refused = publish_rig_receipt(r, 9, 2);
    assert_int_equal(refused.end, RECEIPT_ROW);
    assert_int_equal(refused.row.cls, CLASS_BLOCKED);
    assert_non_null(strstr(refused.row.text, "go away"));
    assert_int_equal(publish_rig_lane(r, 2).failed, 10);
}

static void an_answer_for_another_event_settles_nothing(void **state)
{
    struct publish_rig *r = *state;
    r->relays[0].mode = FAKE_WRONG_ID;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 1);
    publish_rig_wait_for_events(r, 0, 1);
    publish_rig_wait_for_events(r, 1, 1);
    spin_turns(&r->loop, 50);
    assert_int_equal(publish_rig_lane(r, 0).depth, 1);
    r->relays[0].mode = FAKE_OK;
    fake_relay_down(&r->relays[0]);
    fake_relay_up(&r->relays[0]);
    publish_rig_settle(r);
    assert_int_equal(publish_rig_receipt(r, 0, 0).end, RECEIPT_DELIVERED);
}

/* ---- AUTH ---- */

static bool connected_twice(void *arg)
{
    return ((struct fake_relay *)arg)->connections >= 2;
}

static void auth_is_answered_with_the_configured_key(void **state)
{
    struct publish_rig *r = *state;
    char path[128];
    write_key(path, sizeof path, 0600, NULL);
    (void)snprintf(r->defs[0].auth_key_file, sizeof r->defs[0].auth_key_file, "%s", path);
    publish_rig_define(r);
    r->relays[0].mode = FAKE_AUTH;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 20);
    publish_rig_settle(r);
    assert_string_equal(r->relays[0].auth_problem, "");
    assert_int_equal(r->relays[0].auths, 1);
    assert_int_equal(publish_rig_lane(r, 0).delivered, 20);
    remove_key(path);
}

static void silence_about_auth_fails_no_event(void **state)
{
    struct publish_rig *r = *state;
    char path[128];
    write_key(path, sizeof path, 0600, NULL);
    (void)snprintf(r->defs[0].auth_key_file, sizeof r->defs[0].auth_key_file, "%s", path);
    publish_rig_define(r);
    r->options.limits.ok_timeout_ms = 300;
    r->relays[0].mode = FAKE_AUTH;
    r->relays[0].silent_auth = true;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 1);
    spin_until(&r->loop, connected_twice, &r->relays[0], "the relay tried again");
    assert_int_equal(publish_rig_receipt(r, 0, 0).end, RECEIPT_RETRYING);
    r->relays[0].silent_auth = false;
    publish_rig_settle(r);
    assert_int_equal(publish_rig_receipt(r, 0, 0).end, RECEIPT_DELIVERED);
    remove_key(path);
}

static void without_a_key_what_needs_auth_fails(void **state)
{
    struct publish_rig *r = *state;
    r->relays[0].mode = FAKE_AUTH;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 3);
    publish_rig_settle(r);
    assert_int_equal(publish_rig_receipt(r, 0, 0).row.cls, CLASS_AUTH);
    assert_int_equal(r->relays[0].auths, 0);
    publish_rig_check_all(r, 1);
}

static void a_key_that_is_not_ours_alone_or_none_is_refused_at_start(void **state)
{
    static const struct {
        mode_t mode;
        const char *text;
        bool readable_is_fine;
        enum err err;
        const char *words;
    } rows[] = {
        {0644, NULL, false, ERR_INVALID, "chmod 600"},
        {0640, NULL, false, ERR_INVALID, "others can read"},
        {0604, NULL, false, ERR_INVALID, "mode 604"},
        {0600, "", false, ERR_INVALID, "no secret key"},
        {0600, "nsec1nonsense", false, ERR_INVALID, "no secret key"},
        {0600, "0000000000000000000000000000000000000000000000000000000000000000", false,
         ERR_INVALID, "no secret key"},
        {0644, "x", true, ERR_INVALID, "no secret key"},
    };
    struct publish_rig *r = *state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char path[128];
        struct problem p = {0};
        struct publisher *none;
        struct publisher_options o = r->options;
        write_key(path, sizeof path, rows[i].mode, rows[i].text);
        o.auth_key_file = path;
        o.keys_may_be_readable = rows[i].readable_is_fine;
        assert_int_equal(publisher_new(&r->loop, &r->taps[0].queue, &o, &none, &p), rows[i].err);
        assert_non_null(strstr(p.text, rows[i].words));
        assert_non_null(strstr(p.text, path));
        remove_key(path);
    }
    struct problem p = {0};
    struct publisher *none;
    struct publisher_options o = r->options;
    o.auth_key_file = "/nowhere/at/all";
    assert_int_equal(publisher_new(&r->loop, &r->taps[0].queue, &o, &none, &p), ERR_NOT_FOUND);
}

/* ---- routes ---- */

static void route_tor_without_tor_never_dials(void **state)
{
    struct publish_rig *r = *state;
    r->defs[1].route = ROUTE_TOR;
    publish_rig_define(r);
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 5);
    publish_rig_wait_for_events(r, 0, 5);
    struct lane_status s = publish_rig_lane(r, 1);
    for (unsigned renewals = r->taps[0].leases; s.live.last_error[0] == '\0';) {
        assert_true(r->taps[0].leases < renewals + 3); /* the reason rides on a renewal */
        uv_run(&r->loop, UV_RUN_ONCE);
        s = publish_rig_lane(r, 1);
    }
    assert_non_null(strstr(s.live.last_error, "tor"));
    assert_int_equal(s.depth, 5);
    assert_int_equal(r->relays[1].connections, 0);
    r->defs[1].route = ROUTE_DIRECT;
}

static void lanes_of_a_route_it_does_not_serve_are_left_alone(void **state)
{
    struct publish_rig *r = *state;
    r->defs[1].route = ROUTE_TOR;
    publish_rig_define(r);
    r->options.routes = 1u << ROUTE_DIRECT;
    publish_rig_start(r, 0);
    publish_rig_append_notes(r, 5);
    publish_rig_wait_for_events(r, 0, 5);
    assert_int_equal(publish_rig_lane(r, 1).live.state, LANE_UNLEASED);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, publish_rig_setup, publish_rig_teardown)
    const struct CMUnitTest tests[] = {
        T(all_events_reach_all_relays_once_and_in_order),
        T(a_backlog_is_read_once_for_all_lanes),
        T(a_lost_tail_loses_nothing),
        T(a_relay_that_is_down_gets_all_later_and_slows_nobody),
        T(a_relay_that_hangs_up_gets_the_rest_later),
        T(the_path_is_counted_and_its_family_told),
        T(kinds_that_a_lane_filters_are_not_sent_there),
        T(a_superseded_version_still_queued_is_skipped),
        T(a_superseded_version_goes_out_when_the_newer_may_not),
        T(a_newer_version_far_away_is_looked_at_before_it_counts),
        T(what_failed_is_sent_again_when_it_is_appended_again),
        T(a_refusal_becomes_a_row_and_the_lane_goes_on),
        T(an_answer_for_another_event_settles_nothing),
        T(auth_is_answered_with_the_configured_key),
        T(silence_about_auth_fails_no_event),
        T(without_a_key_what_needs_auth_fails),
        T(a_key_that_is_not_ours_alone_or_none_is_refused_at_start),
        T(route_tor_without_tor_never_dials),
        T(lanes_of_a_route_it_does_not_serve_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
