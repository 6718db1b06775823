#include "publisher/publisher.h"

#include "publisher/worker.h"

#include <stdlib.h>
#include <string.h>

struct publisher {
    struct publisher_options o; /* points to the copies below */
    struct definition *relays;
    struct socks_ports socks;
    char *auth_key_file, *ca_file;
    struct dialer *dialer;
    struct keys *keys;
    struct worker *worker;
    void (*drained)(void *arg);
    void *drained_arg;
};

static void copy_options(struct publisher *p, const struct publisher_options *o)
{
    p->o = *o;
    p->relays = mem_zero(o->relays_len + 1, sizeof *p->relays);
    if (o->relays_len > 0)
        memcpy(p->relays, o->relays, o->relays_len * sizeof *p->relays);
    p->o.relays = p->relays;
    if (o->socks != NULL) {
        p->socks = *o->socks;
        p->o.socks = &p->socks;
    }
    p->auth_key_file = mem_strdup(o->auth_key_file != NULL ? o->auth_key_file : "");
    p->o.auth_key_file = p->auth_key_file;
    p->ca_file = o->ca_file != NULL ? mem_strdup(o->ca_file) : NULL;
    p->o.ca_file = p->ca_file;
}

/* Every key that the options name is there and is one: told now rather than when a relay asks. */
static enum err check_keys(const struct publisher *p, struct problem *why)
{
    const uint8_t *secret;
    enum err e = ERR_NONE;
    if (p->auth_key_file[0] != '\0')
        e = keys_get(p->keys, p->auth_key_file, &secret, why);
    for (size_t i = 0; i < p->o.relays_len && e == ERR_NONE; i++)
        if (p->relays[i].auth_key_file[0] != '\0')
            e = keys_get(p->keys, p->relays[i].auth_key_file, &secret, why);
    return e;
}

static void free_all(struct publisher *p)
{
    keys_free(p->keys);
    free(p->relays);
    free(p->auth_key_file);
    free(p->ca_file);
    free(p);
}

enum err publisher_new(uv_loop_t *loop, struct queue *q, const struct publisher_options *o,
                       struct publisher **out, struct problem *why)
{
    struct publisher *p = mem_zero(1, sizeof *p);
    copy_options(p, o);
    p->keys = keys_new(o->keys_may_be_readable);
    const struct dialer_options d = {.ca_file = p->ca_file, .user_agent = "volley/" VERSION};
    enum err e = check_keys(p, why);
    if (e == ERR_NONE)
        e = dialer_new(loop, &d, &p->dialer, why);
    if (e != ERR_NONE) {
        free_all(p);
        return e;
    }
    p->worker = worker_new(loop, q, &p->o, p->dialer, p->keys);
    *out = p;
    return ERR_NONE;
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
