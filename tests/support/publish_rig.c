#include "tests/support/publish_rig.h"

#include "tests/support/ask.h"
#include "tests/support/make_event.h"
#include "tests/support/spin.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Real time, whatever clock the test gives the publisher. */
static int64_t skewed_wall_ms(void *arg)
{
    uv_timeval64_t t;
    uv_gettimeofday(&t);
    return t.tv_sec * 1000 + t.tv_usec / 1000 + ((struct publish_rig *)arg)->skew_ms;
}

static uint64_t skewed_boot_ms(void *arg)
{
    return uv_hrtime() / 1000000 + (uint64_t)((struct publish_rig *)arg)->skew_ms;
}

static bool is_true(void *arg)
{
    return *(bool *)arg;
}

static void set_true(void *arg)
{
    *(bool *)arg = true;
}

void publish_rig_define(struct publish_rig *r)
{
    struct answer a;
    ask_define(&r->loop, r->model, r->defs, RIG_RELAYS, &a);
    if (a.e != ERR_NONE)
        die("define: %s", a.why);
    answer_free(&a);
}

void publish_rig_init(struct publish_rig *r)
{
    memset(r, 0, sizeof *r);
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&r->loop);
    r->clock = (struct broker_clock){skewed_wall_ms, skewed_boot_ms, r};
    const struct model_options mo = {.retention_ms = 86400000,
                                     .max_bytes = 1u << 30,
                                     .failed_max = 1u << 30,
                                     .clock = &r->clock};
    r->model = model_new(&r->loop, &mo);
    for (unsigned i = 0; i < RIG_PUBLISHERS; i++)
        tap_init(&r->taps[i], &r->loop, r->model);
    for (unsigned i = 0; i < RIG_RELAYS; i++) {
        fake_relay_start(&r->relays[i], &r->loop);
        r->defs[i] = (struct definition){.route = ROUTE_DIRECT, .window = 64};
        memcpy(r->defs[i].url, r->relays[i].url, sizeof r->relays[i].url);
    }
    publish_rig_define(r);
    r->options = (struct publisher_options){.relays = r->defs,
                                            .relays_len = RIG_RELAYS,
                                            .routes = 1u << ROUTE_DIRECT | 1u << ROUTE_TOR,
                                            .limits = {.window_max = 64,
                                                       .window_bytes = 256u * 1024,
                                                       .ok_timeout_ms = 3000,
                                                       .idle_close_ms = 300000,
                                                       .backoff_min_ms = 20,
                                                       .backoff_max_ms = 200,
                                                       .max_attempts = 5},
                                            .demote_after = 3,
                                            .demote_for_ms = 60000,
                                            .connect_timeout_ms = 5000,
                                            .cache_max = 4u << 20};
}

void publish_rig_start(struct publish_rig *r, unsigned publisher)
{
    struct problem p;
    if (publisher_new(&r->loop, &r->taps[publisher].queue, &r->options, &r->publishers[publisher],
                      &p) != ERR_NONE)
        die("publisher_new: %s", p.text);
}

void publish_rig_reload(struct publish_rig *r, unsigned publisher)
{
    struct problem p;
    if (publisher_reload(r->publishers[publisher], &r->options, &p) != ERR_NONE)
        die("publisher_reload: %s", p.text);
}

void publish_rig_drain(struct publish_rig *r, unsigned publisher)
{
    r->drained = false;
    publisher_drain(r->publishers[publisher], set_true, &r->drained);
    r->publishers[publisher] = NULL;
    spin_until(&r->loop, is_true, &r->drained, "the publisher's end");
}

void publish_rig_fini(struct publish_rig *r)
{
    bool closed = false;
    for (unsigned i = 0; i < RIG_PUBLISHERS; i++)
        if (r->publishers[i] != NULL)
            publish_rig_drain(r, i);
    for (unsigned i = 0; i < RIG_RELAYS; i++)
        fake_relay_stop(&r->relays[i]);
    r->model->ops->close(r->model, set_true, &closed);
    spin_until(&r->loop, is_true, &closed, "the model's end");
    spin_out(&r->loop);
}

static void on_append(void *arg, enum err e, const struct append_result *res, const char *why)
{
    struct publish_rig *r = arg;
    if (e != ERR_NONE)
        die("append: %s %s", err_name(e), why);
    if (res->pos != r->len)
        die("append: not the position that was expected");
    r->appended = true;
}

void publish_rig_append(struct publish_rig *r, struct event *ev)
{
    if (r->len == RIG_EVENTS_MAX)
        die("the rig is full");
    memcpy(r->ids[r->len++], ev->id, EVENT_ID_LEN);
    r->appended = false;
    r->model->ops->append(r->model, ev, on_append, r);
    event_unref(ev);
    spin_until(&r->loop, is_true, &r->appended, "append");
}

void publish_rig_append_notes(struct publish_rig *r, unsigned count)
{
    while (count-- > 0)
        publish_rig_append(r, make_note(1, r->len));
}

/* ---- what the queue shows ---- */

struct settling {
    bool asked, settled;
};

static void on_depth(void *arg, enum err e, const struct queue_depth *d)
{
    struct settling *s = arg;
    s->asked = false;
    s->settled = e == ERR_NONE;
    for (size_t i = 0; s->settled && i < d->lanes_len; i++)
        s->settled = d->lanes[i].depth == 0 && d->lanes[i].asked == 0;
}

struct settle_args {
    struct publish_rig *r;
    struct settling s;
};

static bool settled(void *arg)
{
    struct settle_args *a = arg;
    if (!a->s.settled && !a->s.asked) {
        a->s.asked = true;
        a->r->model->ops->depth(a->r->model, on_depth, &a->s);
    }
    return a->s.settled;
}

void publish_rig_settle(struct publish_rig *r)
{
    struct settle_args a = {.r = r};
    spin_until(&r->loop, settled, &a, "everything settled");
}

struct lane_status publish_rig_lane(struct publish_rig *r, unsigned relay)
{
    struct answer a;
    struct lane_status found = {0};
    ask_depth(&r->loop, r->model, &a);
    for (size_t i = 0; i < a.depth.lanes_len; i++)
        if (strcmp(a.depth.lanes[i].definition.url, r->defs[relay].url) == 0)
            found = a.depth.lanes[i];
    answer_free(&a);
    found.paths = NULL;
    return found;
}

#define AWAIT_MS 20000

void publish_rig_await(struct publish_rig *r, unsigned relay,
                       bool (*done)(const struct lane_status *s), const char *what)
{
    uint64_t began_ms = uv_hrtime() / 1000000;
    for (;;) {
        const struct lane_status s = publish_rig_lane(r, relay);
        if (done(&s))
            return;
        if (uv_hrtime() / 1000000 > began_ms + AWAIT_MS)
            die("waited in vain for %s", what);
        uv_run(&r->loop, UV_RUN_ONCE);
    }
}

struct receipt_lane publish_rig_receipt(struct publish_rig *r, unsigned event, unsigned relay)
{
    struct answer a;
    struct receipt_lane found = {0};
    ask_receipt(&r->loop, r->model, r->ids[event], &a);
    if (a.e != ERR_NONE)
        die("receipt: %s", err_name(a.e));
    for (size_t i = 0; i < a.receipt.lanes_len; i++)
        if (strcmp(a.receipt.lanes[i].url, r->defs[relay].url) == 0)
            found = a.receipt.lanes[i];
    answer_free(&a);
    return found;
}

void publish_rig_check_all(const struct publish_rig *r, unsigned relay)
{
    const struct fake_relay *f = &r->relays[relay];
    if (f->len != r->len)
        die("relay %u got %u events of %u", relay, f->len, r->len);
    for (unsigned i = 0; i < r->len; i++)
        if (memcmp(f->ids[i], r->ids[i], EVENT_ID_LEN) != 0)
            die("relay %u: event %u is not in its place", relay, i);
}

int publish_rig_setup(void **state)
{
    struct publish_rig *r = mem_zero(1, sizeof *r);
    publish_rig_init(r);
    *state = r;
    return 0;
}

int publish_rig_teardown(void **state)
{
    publish_rig_fini(*state);
    free(*state);
    return 0;
}

struct wait {
    struct publish_rig *r;
    unsigned relay, count;
};

static bool got_some(void *arg)
{
    const struct wait *w = arg;
    return w->r->relays[w->relay].len >= w->count;
}

void publish_rig_wait_for_events(struct publish_rig *r, unsigned relay, unsigned count)
{
    struct wait w = {r, relay, count};
    spin_until(&r->loop, got_some, &w, "events at a relay");
}
