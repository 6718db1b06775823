/* How the pages of failed deliveries are fetched: from a queue that answers as it is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl/paging.h"

struct fake {
    struct queue queue;
    uv_loop_t loop;
    uv_idle_t idle;
    const struct fake_page {
        enum err e;
        uint32_t rows;
        bool more;
        uint64_t job;
    } * pages;
    size_t pages_len, at;
    struct failed_call calls[16];
    queue_failed_fn *fn;
    void *arg;
    size_t pages_seen, rows_seen, stop_after; /* pages; 0: never */
    bool ended;
    enum err end;
};

static void on_idle(uv_idle_t *idle)
{
    struct fake *f = idle->data;
    const struct fake_page *page = &f->pages[f->at];
    const struct failed_page p = {.rows_len = page->rows,
                                  .more = page->more,
                                  .job = page->job,
                                  .next = {.phase = 1, .a = f->at + 1}};
    f->at++;
    uv_idle_stop(idle);
    f->fn(f->arg, page->e, page->e == ERR_NONE ? &p : NULL);
}

static void fake_failed(struct queue *q, const struct failed_call *call, queue_failed_fn *fn,
                        void *arg)
{
    struct fake *f = (struct fake *)q;
    assert_true(f->at < f->pages_len);
    f->calls[f->at] = *call;
    f->fn = fn;
    f->arg = arg;
    uv_idle_start(&f->idle, on_idle);
}

static bool on_page(void *arg, const struct failed_page *p)
{
    struct fake *f = arg;
    f->rows_seen += p->rows_len;
    return ++f->pages_seen != f->stop_after;
}

static void on_walked(void *arg, enum err e)
{
    struct fake *f = arg;
    f->ended = true;
    f->end = e;
    uv_close((uv_handle_t *)&f->idle, NULL);
}

static void walk(struct fake *f, struct paging *w, enum failed_do what,
                 const struct fake_page *pages, size_t len, size_t stop_after)
{
    static const struct queue_ops ops = {.failed = fake_failed};
    const struct failed_call call = {.what = what, .token = 77, .limit = 10};
    *f = (struct fake){
        .queue.ops = &ops, .pages = pages, .pages_len = len, .stop_after = stop_after};
    uv_loop_init(&f->loop);
    uv_idle_init(&f->loop, &f->idle);
    f->idle.data = f;
    *w = (struct paging){.on_page = on_page, .on_end = on_walked, .arg = f};
    paging_begin(w, &f->loop, &f->queue, &call);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    assert_true(f->ended);
}

static void a_walk_goes_from_mark_to_mark(void **state)
{
    (void)state;
    static const struct fake_page pages[] = {
        {.rows = 10, .more = true}, {.rows = 0, .more = true}, {.rows = 3}};
    struct fake f;
    struct paging w;
    walk(&f, &w, FAILED_LIST, pages, COUNT_OF(pages), 0);
    assert_int_equal(f.end, ERR_NONE);
    assert_int_equal(f.rows_seen, 13);
    for (size_t i = 0; i < COUNT_OF(pages); i++)
        assert_int_equal(f.calls[i].after.a, i);
    walk(&f, &w, FAILED_LIST, pages, COUNT_OF(pages), 1);
    assert_int_equal(f.rows_seen, 10);
    assert_int_equal(f.at, 1);
}

static void a_lost_page_is_asked_for_again_as_it_was(void **state)
{
    (void)state;
    static const struct fake_page pages[] = {{.e = ERR_UNKNOWN},
                                             {.more = true, .job = 5},
                                             {.e = ERR_CLOSED},
                                             {.e = ERR_TIMEOUT},
                                             {.more = false, .job = 5}};
    struct fake f;
    struct paging w;
    walk(&f, &w, FAILED_REPLAY, pages, COUNT_OF(pages), 0);
    assert_int_equal(f.end, ERR_NONE);
    assert_true(w.repeated);
    assert_int_equal(w.call.job, 5);
    static const uint64_t jobs[] = {0, 0, 5, 5, 5}, marks[] = {0, 0, 2, 2, 2};
    for (size_t i = 0; i < COUNT_OF(pages); i++) {
        assert_int_equal(f.calls[i].token, 77);
        assert_int_equal(f.calls[i].job, jobs[i]);
        assert_int_equal(f.calls[i].after.a, marks[i]);
    }
}

static void a_walk_gives_up_after_so_many_times(void **state)
{
    (void)state;
    static const struct fake_page lost[PAGING_REPEATS_MAX + 1] = {
        {.e = ERR_CLOSED}, {.e = ERR_CLOSED}, {.e = ERR_CLOSED},
        {.e = ERR_CLOSED}, {.e = ERR_CLOSED}, {.e = ERR_CLOSED},
        {.e = ERR_CLOSED}, {.e = ERR_CLOSED}, {.e = ERR_CLOSED}};
    static const struct fake_page full[] = {{.e = ERR_FULL}};
    struct fake f;
    struct paging w;
    walk(&f, &w, FAILED_REPLAY, lost, COUNT_OF(lost), 0);
    assert_int_equal(f.end, ERR_CLOSED);
    assert_int_equal(f.at, COUNT_OF(lost));
    assert_false(w.repeated);
    walk(&f, &w, FAILED_REPLAY, full, COUNT_OF(full), 0);
    assert_int_equal(f.end, ERR_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_walk_goes_from_mark_to_mark),
        cmocka_unit_test(a_lost_page_is_asked_for_again_as_it_was),
        cmocka_unit_test(a_walk_gives_up_after_so_many_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
