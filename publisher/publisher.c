#include "publisher/publisher.h"

#include "publisher/worker.h"

#include <stdlib.h>
#include <string.h>

/* Options with what they point to. */
struct settings {
    struct publisher_options o;
    struct definition *relays;
    struct socks_ports socks;
    char *auth_key_file, *ca_file;
    struct keys *keys;
};

struct publisher {
    struct settings *now;
    struct dialer *dialer;
    struct worker *worker;
    void (*drained)(void *arg);
    void *drained_arg;
};

static void copy_options(struct settings *s, const struct publisher_options *o)
{
    s->o = *o;
    s->relays = mem_zero(o->relays_len + 1, sizeof *s->relays);
    if (o->relays_len > 0)
        memcpy(s->relays, o->relays, o->relays_len * sizeof *s->relays);
    s->o.relays = s->relays;
    if (o->socks != NULL) {
        s->socks = *o->socks;
        s->o.socks = &s->socks;
    }
    s->auth_key_file = mem_strdup(o->auth_key_file != NULL ? o->auth_key_file : "");
    s->o.auth_key_file = s->auth_key_file;
    s->ca_file = o->ca_file != NULL ? mem_strdup(o->ca_file) : NULL;
    s->o.ca_file = s->ca_file;
}

/* Every key that the options name is there and is one: told now rather than when a relay asks. */
static enum err check_keys(const struct settings *s, struct problem *why)
{
    const uint8_t *secret;
    enum err e = ERR_NONE;
    if (s->auth_key_file[0] != '\0')
        e = keys_get(s->keys, s->auth_key_file, &secret, why);
    for (size_t i = 0; i < s->o.relays_len && e == ERR_NONE; i++)
        if (s->relays[i].auth_key_file[0] != '\0')
            e = keys_get(s->keys, s->relays[i].auth_key_file, &secret, why);
    return e;
}

static void settings_free(struct settings *s)
{
    keys_free(s->keys);
    free(s->relays);
    free(s->auth_key_file);
    free(s->ca_file);
    free(s);
}

static enum err settings_new(const struct publisher_options *o, struct settings **out,
                             struct problem *why)
{
    struct settings *s = mem_zero(1, sizeof *s);
    copy_options(s, o);
    s->keys = keys_new(o->keys_may_be_readable);
    enum err e = check_keys(s, why);
    if (e != ERR_NONE)
        settings_free(s);
    else
        *out = s;
    return e;
}

static void free_all(struct publisher *p)
{
    settings_free(p->now);
    free(p);
}

enum err publisher_new(uv_loop_t *loop, struct queue *q, const struct publisher_options *o,
                       struct publisher **out, struct problem *why)
{
    struct settings *s;
    enum err e = settings_new(o, &s, why);
    if (e != ERR_NONE)
        return e;
    struct publisher *p = mem_zero(1, sizeof *p);
    p->now = s;
    const struct dialer_options d = {.ca_file = s->ca_file, .user_agent = "volley/" VERSION};
    e = dialer_new(loop, &d, &p->dialer, why);
    if (e != ERR_NONE) {
        free_all(p);
        return e;
    }
    p->worker = worker_new(loop, q, &s->o, p->dialer, s->keys);
    *out = p;
    return ERR_NONE;
}

enum err publisher_reload(struct publisher *p, const struct publisher_options *o,
                          struct problem *why)
{
    struct settings *s;
    struct publisher_options next = *o;
    if (p->now->o.socks != NULL)
        next.socks = p->now->o.socks; /* a change of ports needs a restart */
    next.ca_file = p->now->o.ca_file;
    next.cache_max = p->now->o.cache_max;
    enum err e = settings_new(&next, &s, why);
    if (e != ERR_NONE)
        return e;
    worker_reload(p->worker, &s->o, s->keys);
    settings_free(p->now);
    p->now = s;
    return ERR_NONE;
}

void publisher_tor_ready(struct publisher *p)
{
    worker_tor_ready(p->worker);
}

static void on_dialer_freed(void *arg)
{
    struct publisher *p = arg;
    void (*fn)(void *) = p->drained;
    void *fn_arg = p->drained_arg;
    free_all(p);
    fn(fn_arg);
}

static void on_worker_gone(void *arg)
{
    struct publisher *p = arg;
    dialer_free(p->dialer, on_dialer_freed, p);
}

void publisher_drain(struct publisher *p, void (*fn)(void *arg), void *arg)
{
    p->drained = fn;
    p->drained_arg = arg;
    worker_drain(p->worker, on_worker_gone, p);
}
