#include "ctl/ctl.h"

#include "queue/redis_address.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_closed(void *arg)
{
    (void)arg;
}

void ask_done(struct ask *a, enum err e, int status)
{
    const char *trouble = a->queue->trouble.text;
    a->status = status;
    if (e != ERR_NONE && trouble[0] != '\0')
        a->status = command_fail(a->inv, 1, "%s", trouble);
    else if (a->changes && (e == ERR_UNKNOWN || e == ERR_TIMEOUT))
        a->status = command_fail(a->inv, 1,
                                 "no answer from the queue at %s: it may have happened or not; "
                                 "look, and say it again",
                                 a->inv->config.queue.url);
    else if (e == ERR_CLOSED || e == ERR_UNKNOWN || e == ERR_TIMEOUT)
        a->status = command_fail(
            a->inv, 1,
            redis_address_is(a->inv->config.queue.url)
                ? "the Redis at %s does not answer"
                : "the queue at %s does not answer; is 'volley up' (or 'volley queue') running?",
            a->inv->config.queue.url);
    else if (e == ERR_NO_SPACE)
        a->status = command_fail(a->inv, 1,
                                 "the disk of the queue is full: sending again and forgetting need "
                                 "room on it, too");
    else if (e != ERR_NONE)
        a->status = command_fail(a->inv, 1, "the queue said: %s", err_name(e));
    a->queue->ops->close(a->queue, on_closed, a);
}

int ask_queue(struct ask *a, const struct invocation *inv, void (*ask)(struct ask *a))
{
    struct problem p;
    a->inv = inv;
    a->status = 1;
    if (uv_loop_init(&a->loop) != 0)
        die("cannot make an event loop");
    struct queue_options o = queue_options_of(&inv->config);
    o.quiet = true;
    o.strict = a->strict;
    o.timeout_ms = a->timeout_ms != 0 ? a->timeout_ms : 5000;
    enum err e = queue_open(&a->loop, &o, &a->queue, &p);
    if (e != ERR_NONE) {
        uv_loop_close(&a->loop);
        return command_fail(inv, e == ERR_INVALID || e == ERR_UNSUPPORTED ? EXIT_USAGE : 1, "%s",
                            p.text);
    }
    ask(a);
    uv_run(&a->loop, UV_RUN_DEFAULT);
    uv_loop_close(&a->loop);
    return a->status;
}

cJSON *number_or_null(bool known, double value)
{
    return known ? cJSON_CreateNumber(value) : cJSON_CreateNull();
}

cJSON *time_or_null(int64_t ms)
{
    return number_or_null(ms != 0, (double)(ms / 1000));
}

cJSON *text_or_null(const char *text)
{
    return text[0] != '\0' ? cJSON_CreateString(text) : cJSON_CreateNull();
}

void print_json(cJSON *o, FILE *out)
{
    char *text = cJSON_PrintUnformatted(o);
    if (text == NULL)
        die("out of memory");
    fputs(text, out);
    fputc('\n', out);
    free(text);
    cJSON_Delete(o);
}

const char *relay_label(const struct definition *d)
{
    if (d->name[0] != '\0')
        return d->name;
    return strncmp(d->url, "wss://", 6) == 0 ? d->url + 6 : d->url;
}

void relay_choose(const char *text, struct relay_choice *out)
{
    struct relay_url url;
    *out = (struct relay_choice){.text = text};
    if (text != NULL && relay_url_parse(text, &url, NULL) == ERR_NONE)
        (void)snprintf(out->url, sizeof out->url, "%s", url.text);
}

bool relay_chosen(const struct relay_choice *c, const struct definition *d)
{
    return c->text == NULL || (d->name[0] != '\0' && strcmp(c->text, d->name) == 0) ||
           strcmp(c->url, d->url) == 0;
}
