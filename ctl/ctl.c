#include "ctl/ctl.h"

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
    a->status = status;
    if (e == ERR_CLOSED || e == ERR_UNKNOWN || e == ERR_TIMEOUT)
        a->status = command_fail(
            a->inv, 1,
            "the queue at %s does not answer; is 'volley up' (or 'volley queue') running?",
            a->inv->config.queue.url);
    else if (e != ERR_NONE && status == 0)
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
    const struct queue_options o = {.url = inv->config.queue.url, .timeout_ms = 5000};
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

void print_json(cJSON *o)
{
    char *text = cJSON_PrintUnformatted(o);
    if (text == NULL)
        die("out of memory");
    puts(text);
    free(text);
    cJSON_Delete(o);
}

const char *short_duration(int64_t ms, char out[16])
{
    int64_t s = ms / 1000;
    if (ms < 0)
        (void)snprintf(out, 16, "-");
    else if (s < 120)
        (void)snprintf(out, 16, "%" PRId64 "s", s);
    else if (s < 120 * 60)
        (void)snprintf(out, 16, "%" PRId64 "m", s / 60);
    else if (s < 48 * 3600)
        (void)snprintf(out, 16, "%" PRId64 "h", s / 3600);
    else
        (void)snprintf(out, 16, "%" PRId64 "d", s / 86400 % 100000);
    return out;
}

const char *relay_label(const struct definition *d)
{
    if (d->name[0] != '\0')
        return d->name;
    return strncmp(d->url, "wss://", 6) == 0 ? d->url + 6 : d->url;
}

const char *clean_text(const char *s, char *out, size_t size)
{
    size_t len = strnlen(s, size - 1);
    while (len > 0 && s[len] != '\0' && ((unsigned char)s[len] & 0xc0) == 0x80)
        len--; /* not in the middle of a character */
    for (size_t i = 0; i < len; i++)
        out[i] = (unsigned char)s[i] < 0x20 || s[i] == 0x7f ? '?' : s[i];
    out[len] = '\0';
    return out;
}
