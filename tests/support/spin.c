#include "tests/support/spin.h"

#include "common/base/err.h"

#define PATIENCE_MS 20000

/* Asked before the loop goes to sleep, so that it does not sleep on what has just come true. */
struct watch {
    uv_timer_t timer;
    uv_prepare_t before_sleep;
    bool (*done)(void *arg);
    void *arg;
    bool over, late;
    int handles;
};

static void on_late(uv_timer_t *t)
{
    struct watch *w = t->data;
    w->late = true;
}

static void look(uv_prepare_t *h)
{
    struct watch *w = h->data;
    w->over = w->over || w->done(w->arg);
    if (w->over)
        uv_stop(h->loop);
}

static void on_closed(uv_handle_t *h)
{
    struct watch *w = h->data;
    w->handles--;
}

void spin_until(uv_loop_t *loop, bool (*done)(void *arg), void *arg, const char *what)
{
    struct watch w = {.done = done, .arg = arg, .handles = 2};
    uv_timer_init(loop, &w.timer);
    uv_prepare_init(loop, &w.before_sleep);
    w.timer.data = w.before_sleep.data = &w;
    uv_timer_start(&w.timer, on_late, PATIENCE_MS, 0);
    uv_prepare_start(&w.before_sleep, look);
    while (!w.over && !w.late)
        uv_run(loop, UV_RUN_ONCE);
    if (!w.over)
        die("%s: not within %d ms", what, PATIENCE_MS);
    uv_close((uv_handle_t *)&w.timer, on_closed);
    uv_close((uv_handle_t *)&w.before_sleep, on_closed);
    while (w.handles > 0)
        uv_run(loop, UV_RUN_NOWAIT);
}

void spin_turns(uv_loop_t *loop, unsigned turns)
{
    while (turns-- > 0)
        uv_run(loop, UV_RUN_NOWAIT);
}

void spin_out(uv_loop_t *loop)
{
    uv_run(loop, UV_RUN_DEFAULT);
    if (uv_loop_close(loop) != 0)
        die("the loop still has handles");
}
