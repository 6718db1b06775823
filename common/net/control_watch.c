#include "common/base/clock.h"
#include "common/net/control_internal.h"

#include <stdlib.h>
#include <utlist.h>

static void on_watch_closed(uv_handle_t *handle)
{
    struct control_watch *w = handle->data;
    struct control *c = w->control;
    free(w->user);
    free(w->host);
    free(w->socks);
    free(w);
    control_release(c);
}

void control_unwatch(struct control_watch *w)
{
    DL_DELETE(w->control->watches, w);
    uv_close((uv_handle_t *)&w->timer, on_watch_closed);
}

/* It is over before `fn` is called: that may end everything. */
static void tell(struct control_watch *w, const struct control_path *path, const char *why)
{
    control_path_fn *fn = w->fn;
    void *arg = w->arg;
    control_unwatch(w);
    fn(arg, path, why);
}

/* Whether it told. */
static bool look(struct control_watch *w, bool last)
{
    struct control_path path;
    const char *why = "the control port is away";
    bool away = w->control->step < STEP_BOOTSTRAP;
    enum err e =
        away ? ERR_CLOSED : control_streams_find(w->control->streams, &w->query, &path, &why);
    if (e != ERR_NONE && !last)
        return false;
    tell(w, e == ERR_NONE ? &path : NULL, e == ERR_NONE ? "" : why);
    return true;
}

/* Those who are told may begin and end others: from the top again after each. */
void control_look_at_watches(struct control *c)
{
    struct control_watch *w = c->watches;
    while (w != NULL && !c->closing)
        w = look(w, false) ? c->watches : w->next;
}

static void on_watch_timer(uv_timer_t *timer)
{
    struct control_watch *w = timer->data;
    uint64_t now_ms = clock_boot_ms();
    bool last = now_ms >= w->until_ms;
    if (!look(w, last))
        uv_timer_start(timer, on_watch_timer, w->until_ms - now_ms, 0);
}

struct control_watch *control_watch(struct control *c, const struct control_query *q,
                                    uint32_t within_ms, control_path_fn *fn, void *arg)
{
    struct control_watch *w = mem_zero(1, sizeof *w);
    w->control = c;
    w->user = q->user != NULL ? mem_strdup(q->user) : NULL;
    w->host = mem_strdup(q->host);
    w->socks = q->socks != NULL ? mem_strdup(q->socks) : NULL;
    w->query = (struct control_query){w->user, w->host, q->port, w->socks, q->local_port};
    w->until_ms = clock_boot_ms() + within_ms;
    w->fn = fn;
    w->arg = arg;
    (void)uv_timer_init(c->loop, &w->timer);
    w->timer.data = w;
    c->handles++;
    DL_APPEND(c->watches, w);
    uv_timer_start(&w->timer, on_watch_timer, 0, 0);
    return w;
}
