#include "tests/support/rig.h"

#include "queue/model.h"
#include "tests/support/rig_redis.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct rig_options rig_defaults = {
    .retention_ms = RIG_RETENTION_MS, .max_bytes = 4u << 20, .failed_max = 1u << 20};

static int64_t wall_now(void *arg)
{
    return ((struct rig *)arg)->wall_ms;
}

static uint64_t boot_now(void *arg)
{
    return ((struct rig *)arg)->boot_ms;
}

/* ---- the model ---- */

static void model_start(struct rig *r)
{
    struct model_options o = {.retention_ms = r->options.retention_ms,
                              .max_bytes = r->options.max_bytes,
                              .failed_max = r->options.failed_max,
                              .lane_max = r->options.lane_max,
                              .clock = &r->clock};
    r->q = model_new(&r->loop, &o);
}

static void model_stop(struct rig *r)
{
    if (r->q)
        ask_close(&r->loop, r->q);
}

static void model_again(struct rig *r)
{
    model_restart(r->q);
}

static void model_house(struct rig *r)
{
    model_housekeep(r->q);
}

static void model_lose(struct rig *r, unsigned count)
{
    model_lose_tail(r->q, count);
}

/* ---- the embedded broker, through its ZeroMQ client ---- */

static void on_fatal(void *arg, enum err e)
{
    (void)arg;
    die("the broker gave up: %s", err_name(e));
}

static void on_broker_closed(void *arg)
{
    *(bool *)arg = true;
}

static void broker_up(struct rig *r)
{
    struct problem p = {0};
    char dir[sizeof r->dir + 8];
    (void)snprintf(dir, sizeof dir, "%s/data", r->dir);
    struct broker_options o = {.store = {.dir = dir,
                                         .retention_ms = r->options.retention_ms,
                                         .max_bytes = r->options.max_bytes,
                                         .failed_max = r->options.failed_max,
                                         .lane_max = r->options.lane_max},
                               .url = r->url,
                               .clock = &r->clock,
                               .by_hand = true,
                               .on_fatal = on_fatal};
    if (broker_new(&r->loop, &o, &r->broker, &p) != ERR_NONE)
        die("no broker: %s", p.text);
}

static void broker_down(struct rig *r)
{
    bool closed = false;
    broker_close(r->broker, on_broker_closed, &closed);
    run_until(&r->loop, &closed, "the broker's end");
    r->broker = NULL;
}

static void broker_start(struct rig *r)
{
    struct problem p = {0};
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(r->dir, sizeof r->dir, "%s/volley-rig-XXXXXX", tmp ? tmp : P_tmpdir);
    if (!mkdtemp(r->dir))
        die("no directory like %s", r->dir);
    (void)snprintf(r->url, sizeof r->url, "zmq+ipc://%s/queue.sock", r->dir);
    broker_up(r);
    struct queue_options o = {.url = r->url};
    if (queue_open(&r->loop, &o, &r->q, &p) != ERR_NONE)
        die("no client: %s", p.text);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static void broker_stop(struct rig *r)
{
    if (r->q)
        ask_close(&r->loop, r->q);
    broker_down(r);
    if (nftw(r->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0)
        die("%s can't be removed", r->dir);
}

/* Until the client has noticed everything: a call that it sent in between ends as unknown. */
static void broker_again(struct rig *r)
{
    enum err e = ERR_UNKNOWN;
    broker_down(r);
    broker_up(r);
    for (int good = 0; good < 2; good = e == ERR_NONE ? good + 1 : 0) {
        struct answer a;
        ask_depth(&r->loop, r->q, &a);
        e = a.e;
        if (e != ERR_NONE && e != ERR_UNKNOWN)
            die("the restarted broker answers %s", err_name(e));
        answer_free(&a);
    }
}

static void broker_house(struct rig *r)
{
    broker_housekeep(r->broker);
}

static void broker_lose(struct rig *r, unsigned count)
{
    broker_lose_tail(r->broker, count);
}

const struct backend backends[] = {
    {"model", model_start, model_stop, model_again, model_house, model_lose, NULL},
    {"broker", broker_start, broker_stop, broker_again, broker_house, broker_lose, NULL},
    {"redis", rig_redis_start, rig_redis_stop, rig_redis_again, rig_redis_house, rig_redis_lose,
     rig_redis_clocks},
};
const size_t backends_len = COUNT_OF(backends);

bool backend_wanted(const struct backend *b)
{
    const char *name = getenv("VOLLEY_BACKEND");
    return !name || strcmp(name, b->name) == 0;
}

/* ---- all ---- */

struct rig *rig_open(const struct backend *b, const struct rig_options *o)
{
    struct rig *r = mem_zero(1, sizeof *r);
    r->backend = b;
    r->options = *o;
    r->wall_ms = RIG_WALL_MS;
    r->boot_ms = RIG_BOOT_MS;
    r->clock = (struct broker_clock){wall_now, boot_now, r};
    uv_loop_init(&r->loop);
    b->start(r);
    return r;
}

void rig_close(struct rig *r)
{
    r->backend->stop(r);
    if (uv_loop_close(&r->loop) != 0)
        die("%s left something open on the loop", r->backend->name);
    free(r);
}

void rig_set_clocks(struct rig *r, int64_t wall_ms, uint64_t boot_ms)
{
    r->wall_ms = wall_ms;
    r->boot_ms = boot_ms;
    if (r->backend->tell_clocks)
        r->backend->tell_clocks(r);
}

void rig_pass(struct rig *r, int64_t ms)
{
    rig_set_clocks(r, r->wall_ms + ms, r->boot_ms + (uint64_t)ms);
    rig_housekeep(r);
}

void rig_jump(struct rig *r, int64_t ms)
{
    rig_set_clocks(r, r->wall_ms + ms, r->boot_ms);
    rig_housekeep(r);
}

void rig_restart(struct rig *r)
{
    r->backend->restart(r);
}

void rig_housekeep(struct rig *r)
{
    r->backend->housekeep(r);
}
