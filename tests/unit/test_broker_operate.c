/* What operators ask of the broker: the line in the log that each change leaves, the beat that
 * tells publishers of it at once, and pages that keep nobody waiting. What is right to answer is
 * the contract suite's. */
#include "tests/support/broker_world.h"

#include "common/base/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the log, as far as it was written since log_begin */

static int log_fd = -1, true_stderr = -1;

static void log_begin(void)
{
    char path[] = P_tmpdir "/volley-log-XXXXXX";
    log_fd = mkstemp(path);
    assert_true(log_fd >= 0);
    unlink(path);
    true_stderr = dup(STDERR_FILENO);
    assert_true(dup2(log_fd, STDERR_FILENO) >= 0);
}

/* Without the line that tells of events, which comes when it comes. */
static void leave_out_blasted(char *text)
{
    for (char *at; (at = strstr(text, "blasted")) != NULL;) {
        char *end = strchr(at, '\n'), *from = at;
        while (from > text && from[-1] != '\n')
            from--;
        memmove(from, end + 1, strlen(end + 1) + 1);
    }
}

static const char *log_end(void)
{
    static char text[8192];
    assert_true(dup2(true_stderr, STDERR_FILENO) >= 0);
    close(true_stderr);
    ssize_t len = pread(log_fd, text, sizeof text - 1, 0);
    close(log_fd);
    assert_true(len >= 0);
    text[len] = '\0';
    leave_out_blasted(text);
    return text;
}

static unsigned lines_in(const char *text)
{
    unsigned n = 0;
    for (; (text = strchr(text, '\n')) != NULL; text++)
        n++;
    return n;
}

/* ---- a relay where notes failed */

static struct lease_held held;

/* Notes 1 … count are appended, and have failed at relay 0. */
static void begin_failed(struct world *w, unsigned count)
{
    struct answer a;
    struct row *rows = mem_zero(count, sizeof *rows);
    world_define(w, 1);
    world_append_notes(w, 0, 1, count);
    world_await_answers(w, count);
    world_lease(w, 0, NULL, 0, &a);
    assert_int_equal(a.lease.grants_len, 1);
    held = (struct lease_held){.lane = a.lease.grants[0].lane, .epoch = a.lease.grants[0].epoch};
    for (unsigned i = 0; i < count; i++)
        rows[i] = (struct row){i + 1,      i + 1,      ROW_FAILED,   CLASS_BLOCKED, 1,
                               w->wall_ms, w->wall_ms, ROUTE_DIRECT, FAMILY_IPV4,   "blocked: no"};
    struct lane_commit c = {.lane = held.lane,
                            .epoch = held.epoch,
                            .seq = 1,
                            .position = count,
                            .rows_added = rows,
                            .rows_added_len = count,
                            .definition_version = a.lease.grants[0].definition_version};
    answer_free(&a);
    ask_commit(&w->loop, w->q[0], &c, 1, &a);
    assert_int_equal(a.committed[0].status, COMMIT_DONE);
    answer_free(&a);
    free(rows);
}

static struct failed_call failed_call(enum failed_do what)
{
    return (struct failed_call){
        .what = what, .limit = 10, .token = 77, .text = "--all", .by = "ann@host"};
}

static uint64_t replay(struct world *w)
{
    struct failed_call c = failed_call(FAILED_REPLAY);
    struct answer a;
    ask_failed_all(&w->loop, w->q[1], &c, &a);
    assert_int_equal(a.e, ERR_NONE);
    uint64_t job = a.failed.job;
    answer_free(&a);
    return job;
}

static enum err hold(struct world *w, const char *url, bool is_held)
{
    struct hold_call c = {.held = is_held, .by = "ann@host"};
    struct answer a;
    (void)snprintf(c.url, sizeof c.url, "%s", url);
    ask_hold(&w->loop, w->q[1], &c, &a);
    enum err e = a.e;
    answer_free(&a);
    return e;
}

/* ---- */

static void each_change_leaves_one_line_with_who_and_what(void **state)
{
    struct world *w = *state;
    struct answer a;
    log_begin();
    begin_failed(w, 5);
    const char *log = log_end();
    assert_non_null(strstr(log, "relays defined by=test added=1 changed=0 retired=0"));
    assert_int_equal(lines_in(log), 1);

    log_begin();
    assert_int_equal(hold(w, "wss://r0.example", true), ERR_NONE);
    log = log_end();
    assert_non_null(strstr(log, "[INFO] relay held by=ann@host relay=wss://r0.example waiting=0"));
    assert_int_equal(lines_in(log), 1);
    log_begin();
    assert_int_equal(hold(w, "wss://r0.example", true), ERR_NONE); /* changes nothing */
    assert_string_equal(log_end(), "");
    log_begin();
    assert_int_equal(hold(w, "wss://r0.example", false), ERR_NONE);
    assert_non_null(strstr(log_end(), "[INFO] relay released by=ann@host"));
    log_begin();
    assert_int_equal(hold(w, "wss://r0.example", false), ERR_NONE);
    assert_string_equal(log_end(), "");

    log_begin();
    uint64_t job = replay(w);
    log = log_end();
    assert_non_null(strstr(log, "[INFO] replay job made by=ann@host job=1 filter=--all "
                                "deliveries=5"));
    assert_int_equal(lines_in(log), 1);
    log_begin();
    assert_int_equal(replay(w), job); /* the same one, asked for again */
    assert_string_equal(log_end(), "");
    log_begin();
    ask_cancel(&w->loop, w->q[1], job, &a);
    assert_int_equal(a.e, ERR_NONE);
    answer_free(&a);
    assert_non_null(strstr(log_end(), "[INFO] replay job cancelled by="));

    struct failed_call purge = failed_call(FAILED_PURGE);
    log_begin();
    ask_failed_all(&w->loop, w->q[1], &purge, &a);
    assert_int_equal(a.e, ERR_NONE);
    answer_free(&a);
    log = log_end();
    assert_non_null(strstr(log, "[INFO] failed deliveries purged by=ann@host filter=--all"));
    assert_non_null(strstr(log, "purged=5"));
}

static void reading_and_what_is_refused_leave_none(void **state)
{
    struct world *w = *state;
    struct answer a;
    begin_failed(w, 5);
    log_begin();
    struct failed_call list = failed_call(FAILED_LIST), count = failed_call(FAILED_COUNT);
    ask_failed(&w->loop, w->q[1], &list, &a);
    assert_int_equal(a.failed.rows_len, 5);
    assert_string_equal(a.failed.rows[0].row.text, "blocked: no");
    answer_free(&a);
    ask_failed(&w->loop, w->q[1], &count, &a);
    assert_int_equal(a.failed.groups_len, 1);
    assert_int_equal(a.failed.groups[0].count, 5);
    answer_free(&a);
    ask_registry(&w->loop, w->q[1], &a);
    assert_int_equal(a.registry.lanes_len, 1);
    assert_string_equal(a.registry.defined_by, "test");
    answer_free(&a);
    ask_jobs(&w->loop, w->q[1], &a);
    assert_int_equal(a.e, ERR_NONE);
    assert_int_equal(a.jobs_len, 0);
    answer_free(&a);
    assert_int_equal(hold(w, "wss://nobody.example", true), ERR_NOT_FOUND);
    ask_cancel(&w->loop, w->q[1], 9, &a);
    assert_int_equal(a.e, ERR_NOT_FOUND);
    answer_free(&a);
    struct definition same[1] = {{.url = "wss://r0.example", .window = 8}};
    ask_define(&w->loop, w->q[1], same, 1, &a);
    assert_int_equal(a.define.unchanged, 1);
    answer_free(&a);
    assert_string_equal(log_end(), "");
    world_append_note(w, 0, 100); /* and the queue goes on */
}

/* ---- news */

struct news {
    struct world *w;
    uint64_t last, changes, beats;
};

static void on_tail(void *arg, const struct queue_tail *t)
{
    (void)arg, (void)t;
}

static void on_head(void *arg, uint64_t head, uint64_t news)
{
    struct news *n = arg;
    (void)head;
    n->changes += n->beats > 0 && news != n->last;
    n->last = news;
    n->beats++;
}

static bool has_beats(void *arg)
{
    const struct news *n = arg;
    return n->beats >= n->w->wanted;
}

static bool has_change(void *arg)
{
    const struct news *n = arg;
    return n->changes >= n->w->wanted;
}

static void await_change(struct news *n, const char *what)
{
    n->w->wanted = 1;
    spin_until(&n->w->loop, has_change, n, what);
    n->changes = 0;
}

/* What was told of is over (beats come by another way than answers), and then there is nothing new.
 */
static void await_silence(struct news *n)
{
    n->w->wanted = n->beats + 2;
    spin_until(&n->w->loop, has_beats, n, "beats");
    n->changes = 0;
    n->w->wanted = n->beats + 3;
    spin_until(&n->w->loop, has_beats, n, "beats");
    assert_int_equal(n->changes, 0);
}

static void what_a_lease_call_would_bring_is_told_by_a_beat(void **state)
{
    struct world *w = *state;
    struct news n = {.w = w};
    struct queue_follower f = {on_tail, on_head, &n};
    struct answer a;
    begin_failed(w, 3);
    w->q[1]->ops->follow(w->q[1], &f);
    w->wanted = 1;
    spin_until(&w->loop, has_beats, &n, "a beat");
    await_silence(&n);

    world_lease(w, 0, &held, 1, &a); /* a renewal */
    answer_free(&a);
    world_append_note(w, 0, 4);
    assert_int_equal(hold(w, "wss://nobody.example", true), ERR_NOT_FOUND);
    await_silence(&n);

    assert_int_equal(hold(w, "wss://r0.example", true), ERR_NONE);
    await_change(&n, "news of a hold");
    await_silence(&n);
    replay(w);
    await_change(&n, "news of a job's requests");
    world_lease(w, 0, &held, 1, &a);
    assert_true(a.lease.kept[0].held);
    assert_true(a.lease.kept[0].requests_len > 0);
    answer_free(&a);
    await_silence(&n);

    struct definition defs[] = {{.url = "wss://r0.example", .window = 9},
                                {.url = "wss://new.example"}};
    ask_define(&w->loop, w->q[0], defs, 2, &a);
    assert_int_equal(a.e, ERR_NONE);
    answer_free(&a);
    await_change(&n, "news of a list of relays");
    await_silence(&n);
    world_lease(w, 1, NULL, 0, &a);
    answer_free(&a);
    await_change(&n, "news of a publisher that joined");
    await_silence(&n);
    w->boot_ms += LEASE_TERM_MS;
    await_change(&n, "news of publishers that are gone");
    await_silence(&n);

    struct broker_options o = world_options(w);
    o.store.lane_max = 1; /* the lane gives up what waits: its owner would send it */
    broker_set_limits(w->broker, &o.store);
    await_change(&n, "news of a floor");
    await_silence(&n);
}

/* One answer takes QUEUE_REQUESTS_MAX of them: when those were taken up, the rest is news. */
static void requests_that_did_not_fit_are_news_when_there_is_room(void **state)
{
    struct world *w = *state;
    struct news n = {.w = w};
    struct queue_follower f = {on_tail, on_head, &n};
    enum { MANY = QUEUE_REQUESTS_MAX + 44 };
    struct exception waiting[QUEUE_REQUESTS_MAX] = {0};
    struct answer a;
    begin_failed(w, MANY);
    w->q[1]->ops->follow(w->q[1], &f);
    w->wanted = 1;
    spin_until(&w->loop, has_beats, &n, "a beat");
    await_silence(&n);
    world_append_notes(w, 0, 1, MANY);
    await_change(&n, "news of events that are sent again");
    world_await_answers(w, 2 * MANY);
    assert_int_equal(w->duplicates, MANY);
    await_silence(&n);

    world_lease(w, 0, &held, 1, &a);
    assert_int_equal(a.lease.kept[0].requests_len, QUEUE_REQUESTS_MAX);
    struct lane_commit c = {.lane = held.lane,
                            .epoch = held.epoch,
                            .seq = 2,
                            .position = MANY,
                            .exceptions = waiting,
                            .exceptions_len = QUEUE_REQUESTS_MAX,
                            .definition_version = 1};
    for (unsigned i = 0; i < QUEUE_REQUESTS_MAX; i++) {
        waiting[i].pos = a.lease.kept[0].requests[i].pos;
        c.requests_taken = a.lease.kept[0].requests[i].number;
    }
    answer_free(&a);
    ask_commit(&w->loop, w->q[0], &c, 1, &a);
    assert_int_equal(a.committed[0].status, COMMIT_DONE);
    answer_free(&a);
    await_change(&n, "news of the others");
    world_lease(w, 0, &held, 1, &a);
    assert_int_equal(a.lease.kept[0].requests_len, 44);
    answer_free(&a);
    await_silence(&n);
}

static void news_do_not_wait_for_the_next_beat(void **state)
{
    struct world *w = *state;
    struct news n = {.w = w};
    struct queue_follower f = {on_tail, on_head, &n};
    begin_failed(w, 1);
    w->q[1]->ops->follow(w->q[1], &f);
    w->wanted = 1;
    spin_until(&w->loop, has_beats, &n, "a beat");
    uint64_t before = n.beats, from_ms = clock_boot_ms();
    n.changes = 0;
    for (unsigned i = 0; i < 100; i++) { /* each one news: more beats than a timer sends */
        assert_int_equal(hold(w, "wss://r0.example", i % 2 == 0), ERR_NONE);
        w->wanted = i + 1;
        spin_until(&w->loop, has_change, &n, "news");
    }
    uint64_t ticks = (clock_boot_ms() - from_ms) / 100 + 1;
    assert_true(n.beats - before >= 100);
    assert_true(n.beats - before <= 100 + 2 * ticks);
}

/* ---- pages */

struct pages {
    unsigned answers, refused;
};

static void on_page(void *arg, enum err e, const struct failed_page *p)
{
    struct pages *s = arg;
    s->answers++;
    s->refused += e != ERR_NONE;
    if (e == ERR_NONE)
        assert_int_equal(p->rows_len, 10);
    else
        assert_int_equal(e, ERR_FULL);
}

struct waiting {
    struct pages *pages;
    unsigned before; /* pages answered when the lease was */
    bool leased;
};

static void on_lease(void *arg, enum err e, const struct lease_reply *r)
{
    struct waiting *s = arg;
    (void)r;
    assert_int_equal(e, ERR_NONE);
    s->before = s->pages->answers;
    s->leased = true;
}

static bool all_pages(void *arg)
{
    return ((struct pages *)arg)->answers == 40;
}

/* Forty pages at once: some are refused as too many, the others come one a turn, and a lease call
 * sent after them all is answered before nearly all of them. */
static void pages_wait_for_leases_and_are_bounded(void **state)
{
    struct world *w = *state;
    struct pages pages = {0};
    struct waiting lease = {.pages = &pages};
    struct failed_call c = failed_call(FAILED_LIST);
    begin_failed(w, 50);
    for (int i = 0; i < 40; i++)
        w->q[1]->ops->failed(w->q[1], &c, on_page, &pages);
    struct lease_call call = {.publisher = {1}, .routes = 3, .held = &held, .held_len = 1};
    w->q[1]->ops->lease(w->q[1], &call, on_lease, &lease);
    spin_until(&w->loop, all_pages, &pages, "pages");
    assert_true(lease.leased);
    assert_true(lease.before - pages.refused <= 20);
    assert_true(pages.refused > 0);
    assert_true(pages.refused <= 24);
    world_append_note(w, 0, 100);
}

static void limits_can_be_changed_while_it_runs(void **state)
{
    struct world *w = *state;
    struct broker_options o = world_options(w);
    struct answer a;
    world_define(w, 1);
    world_append_note(w, 0, 1);
    o.store.max_bytes = 100;
    broker_set_limits(w->broker, &o.store);
    struct event *ev = make_note(0, 2);
    ask_append(&w->loop, w->q[0], ev, &a);
    assert_int_equal(a.e, ERR_FULL);
    answer_free(&a);
    o.store.max_bytes = 1u << 20;
    broker_set_limits(w->broker, &o.store);
    ask_append(&w->loop, w->q[0], ev, &a);
    assert_int_equal(a.e, ERR_NONE);
    answer_free(&a);
    event_unref(ev);
}

static void a_lane_tells_since_when_nobody_has_it(void **state)
{
    struct world *w = *state;
    struct answer a;
    int64_t defined_ms = w->wall_ms;
    world_define(w, 1);
    w->wall_ms += 5000;
    w->boot_ms += 5000;
    ask_depth(&w->loop, w->q[0], &a);
    assert_int_equal(a.depth.lanes[0].live.state, LANE_UNLEASED);
    assert_int_equal(a.depth.lanes[0].live.since_ms, defined_ms);
    answer_free(&a);
    world_stop_broker(w);
    w->wall_ms += 1000;
    w->boot_ms += 1000;
    world_start_broker(w);
    enum err e;
    do { /* the first may have been sent to the old one */
        ask_depth(&w->loop, w->q[0], &a);
        e = a.e;
        if (e == ERR_NONE)
            assert_int_equal(a.depth.lanes[0].live.since_ms, w->wall_ms);
        answer_free(&a);
    } while (e == ERR_UNKNOWN);
    assert_int_equal(e, ERR_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(each_change_leaves_one_line_with_who_and_what),
        WORLD_TEST(reading_and_what_is_refused_leave_none),
        WORLD_TEST(what_a_lease_call_would_bring_is_told_by_a_beat),
        WORLD_TEST(requests_that_did_not_fit_are_news_when_there_is_room),
        WORLD_TEST(news_do_not_wait_for_the_next_beat),
        WORLD_TEST(pages_wait_for_leases_and_are_bounded),
        WORLD_TEST(limits_can_be_changed_while_it_runs),
        WORLD_TEST(a_lane_tells_since_when_nobody_has_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
