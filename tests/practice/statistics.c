/* `practice statistics URL`: all that a queue keeps of reaching relays, a path a line, as JSON. */
#include "tests/practice/practice.h"

#include "ctl/statistics_show.h"
#include "queue/queue.h"

#include <inttypes.h>
#include <stdlib.h>

struct asking {
    struct queue *q;
    enum err err;
};

static void put_window(const char *name, const struct window_statistics *w)
{
    cJSON *o = statistics_window_json(w);
    char *text = cJSON_PrintUnformatted(o);
    printf(",\"%s\":%s", name, text);
    cJSON_free(text);
    cJSON_Delete(o);
}

static void put_path(const struct relay_statistics *r, const struct path_statistics *s)
{
    printf("{\"relay\":\"%s\",\"source\":\"%s\",\"route\":\"%s\",\"family\":\"%s\",\"streak\":%d"
           ",\"last_success_ms\":%" PRId64 ",\"last_failure_ms\":%" PRId64
           ",\"total_attempts\":%u,\"last_ok\":%s,\"certificate_end_s\":%" PRId64
           ",\"last_why\":\"%s\",\"address\":\"%s\",\"software\":\"%s\"",
           r->url, stat_source_name(s->source), route_name(s->route), family_name(s->family),
           s->streak, s->last_success_ms, s->last_failure_ms, s->total.attempts,
           s->last.ok ? "true" : "false", s->last.certificate_end_s,
           s->last.ok ? "" : stat_failure_name(s->last.why), s->last.address, s->last.software);
    for (unsigned i = 0; i < STAT_WINDOW_COUNT; i++)
        put_window(stat_window_name(i), &s->windows[i]);
    printf("}\n");
}

static void on_closed(void *arg)
{
    (void)arg;
}

static void on_page(void *arg, enum err e, const struct statistics_page *p)
{
    struct asking *a = arg;
    a->err = e;
    for (size_t i = 0; e == ERR_NONE && i < p->len; i++)
        for (size_t k = 0; k < p->relays[i].paths_len; k++)
            put_path(&p->relays[i], &p->relays[i].paths[k]);
    const struct statistics_call next = {.after = e == ERR_NONE ? p->next : 0};
    if (next.after != 0)
        a->q->ops->statistics(a->q, &next, on_page, a);
    else
        a->q->ops->close(a->q, on_closed, a);
}

int practice_statistics(int argc, char **argv)
{
    static const struct statistics_call all;
    uv_loop_t loop;
    struct asking a = {.err = ERR_NONE};
    struct problem p;
    if (argc != 1) {
        fprintf(stderr, "usage: practice statistics URL\n");
        return 2;
    }
    const struct queue_options o = {.url = argv[0], .timeout_ms = 5000};
    uv_loop_init(&loop);
    if (queue_open(&loop, &o, &a.q, &p) != ERR_NONE) {
        fprintf(stderr, "%s\n", p.text);
        return 1;
    }
    a.q->ops->statistics(a.q, &all, on_page, &a);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    if (a.err != ERR_NONE)
        fprintf(stderr, "statistics: %s\n", err_name(a.err));
    return a.err == ERR_NONE ? 0 : 1;
}
