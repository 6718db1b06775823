#include "up/service.h"

#include "up/reload.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static void on_signal(uv_signal_t *handle, int number)
{
    struct service *s = handle->data;
    if (number == SIGHUP) {
        if (!s->stopping && s->on_reload != NULL)
            reload(s);
        return;
    }
    if (s->stopping) {
        if (s->on_second_signal != NULL)
            s->on_second_signal(s->arg);
        return;
    }
    s->stopping = true;
    LOG(LOG_INFO, "stopping", LOG_S("service", s->name),
        LOG_S("signal", number == SIGTERM ? "SIGTERM" : "SIGINT"));
    s->on_stop(s->arg);
}

static void watch(struct service *s, uv_signal_t *handle, int number)
{
    uv_signal_init(&s->loop, handle);
    handle->data = s;
    uv_signal_start(handle, on_signal, number);
}

/* A child of `volley up` does not outlive it: the kernel tells it, and it drains as on any SIGTERM.
 */
static void die_with(long parent)
{
    if (parent == 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != (pid_t)parent) /* it went before we could say so */
        raise(SIGTERM);
}

/* One descriptor a client or relay: what the system lets us have, we take. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
            LOG(LOG_WARN, "cannot raise the number of open files");
    }
}

void service_init(struct service *s, const struct invocation *inv, void (*on_stop)(void *arg),
                  void *arg)
{
    *s = (struct service){.name = inv->command->name,
                          .inv = inv,
                          .config = &inv->config,
                          .on_stop = on_stop,
                          .arg = arg};
    signal(SIGPIPE, SIG_IGN);
    raise_descriptors();
    if (uv_loop_init(&s->loop) != 0)
        die("cannot make an event loop");
    watch(s, &s->term, SIGTERM);
    watch(s, &s->intr, SIGINT);
    watch(s, &s->hup, SIGHUP);
    die_with(inv->parent);
}

void service_done(void *service)
{
    struct service *s = service;
    uv_close((uv_handle_t *)&s->term, NULL);
    uv_close((uv_handle_t *)&s->intr, NULL);
    uv_close((uv_handle_t *)&s->hup, NULL);
}

int service_run(struct service *s)
{
    uv_run(&s->loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&s->loop) != 0)
        LOG(LOG_WARN, "the event loop was not empty at the end");
    reload_free(s);
    return s->status;
}

int service_abandon(struct service *s, int status)
{
    service_done(s);
    service_run(s);
    return status;
}

void service_log_warnings(const struct config *c)
{
    const char *at = (const char *)c->warnings.data;
    for (const char *end = at + c->warnings.len; at < end;) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        char line[CONFIG_TEXT_SIZE * 2];
        size_t len = (size_t)(eol - at) < sizeof line ? (size_t)(eol - at) : sizeof line - 1;
        memcpy(line, at, len);
        line[len] = '\0';
        LOG(LOG_WARN, line);
        at = eol + 1;
    }
}
