#include "ctl/paging.h"

static void ask_page(struct paging *w);

static void finish(struct paging *w, enum err e)
{
    uv_close((uv_handle_t *)&w->again, NULL);
    w->on_end(w->arg, e);
}

static void on_again(uv_timer_t *timer)
{
    ask_page(timer->data);
}

static void on_failed(void *arg, enum err e, const struct failed_page *p)
{
    struct paging *w = arg;
    bool lost = e == ERR_UNKNOWN || e == ERR_TIMEOUT || e == ERR_CLOSED;
    if (lost && w->repeats < PAGING_REPEATS_MAX) {
        w->repeats++;
        w->repeated |= e != ERR_CLOSED;
        uv_timer_start(&w->again, on_again, PAGING_AGAIN_MS, 0);
        return;
    }
    if (e != ERR_NONE) {
        finish(w, e);
        return;
    }
    w->repeats = 0;
    w->call.after = p->next;
    if (w->call.what == FAILED_REPLAY)
        w->call.job = p->job;
    bool more = p->more;
    if (w->on_page(w->arg, p) && more)
        ask_page(w);
    else
        finish(w, ERR_NONE);
}

static void ask_page(struct paging *w)
{
    w->queue->ops->failed(w->queue, &w->call, on_failed, w);
}

void paging_begin(struct paging *w, uv_loop_t *loop, struct queue *queue,
                  const struct failed_call *call)
{
    w->queue = queue;
    w->call = *call;
    w->repeats = 0;
    w->repeated = false;
    uv_timer_init(loop, &w->again);
    w->again.data = w;
    ask_page(w);
}
