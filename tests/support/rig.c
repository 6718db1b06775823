#include "tests/support/rig.h"

#include "queue/model.h"

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
                              .clock = &r->clock};
    r->q = model_new(&r->loop, &o);
}

static void model_stop(struct rig *r)
{
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

const struct backend backends[] = {
    {"model", model_start, model_stop, model_again, model_house, model_lose},
};
const size_t backends_len = COUNT_OF(backends);

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

void rig_pass(struct rig *r, int64_t ms)
{
    r->wall_ms += ms;
    r->boot_ms += (uint64_t)ms;
    rig_housekeep(r);
}

void rig_jump(struct rig *r, int64_t ms)
{
    r->wall_ms += ms;
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
