#include "tests/support/spin.h"

#include "common/base/err.h"

#define PATIENCE_MS 20000

struct watch {
    uv_timer_t timer;
    bool late, closed;
};

static void on_late(uv_timer_t *t)
{
    struct watch *w = t->data;
    w->late = true;
}

static void on_closed(uv_handle_t *h)
{
    struct watch *w = h->data;
    w->closed = true;
}

void spin_until(uv_loop_t *loop, bool (*done)(void *arg), void *arg, const char *what)
{
    struct watch w = {.late = false};
    uv_timer_init(loop, &w.timer);
    w.timer.data = &w;
    uv_timer_start(&w.timer, on_late, PATIENCE_MS, 0);
    while (!done(arg)) {
        if (w.late)
            die("%s: not within %d ms", what, PATIENCE_MS);
        uv_run(loop, UV_RUN_ONCE);
    }
    uv_close((uv_handle_t *)&w.timer, on_closed);
    while (!w.closed)
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
