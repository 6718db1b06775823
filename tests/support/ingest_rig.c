#include "tests/support/ingest_rig.h"

#include "common/base/clock.h"
#include "common/base/hex.h"
#include "ingest/session.h"
#include "queue/model.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

void ingest_rig_init(struct ingest_rig *r)
{
    *r = (struct ingest_rig){0};
    r->options.listen[0] = "127.0.0.1:0";
    r->options.listen_len = 1;
    r->limits = ingest_limits_default();
    r->limits.tick_ms = 0;
}

static void on_defined(void *arg, enum err e, const struct define_result *result, const char *why)
{
    (void)result;
    if (e != ERR_NONE)
        die("the lane is refused: %s", why);
    *(bool *)arg = true;
}

static bool is_true(void *arg)
{
    return *(bool *)arg;
}

static void define_lane(struct ingest_rig *r)
{
    struct definition d = {.url = "ws://127.0.0.1:1", .route = ROUTE_DIRECT, .is_private = true};
    bool done = false;

    r->model->ops->define(r->model, &(struct define_call){.defs = &d, .len = 1}, on_defined, &done);
    spin_until(&r->loop, is_true, &done, "the definition of a lane");
}

void ingest_rig_start(struct ingest_rig *r)
{
    static const struct model_options options = {
        .retention_ms = 3600 * 1000, .max_bytes = 1u << 30, .failed_max = 1u << 30};
    struct problem why;

    (void)signal(SIGPIPE, SIG_IGN);
    if (uv_loop_init(&r->loop) != 0)
        die("no loop");
    r->model = model_new(&r->loop, &options);
    if (!r->no_lanes)
        define_lane(r);
    gate_init(&r->gate, &r->loop, r->model);
    if (service_new(&r->loop, &r->gate.queue, &r->options, &r->limits, &r->i, &why) != ERR_NONE)
        die("ingest does not start: %s", why.text);
    r->now_ms = r->i->now_ms;
    r->now_s = r->i->now_s;
}

static void on_drained(void *arg)
{
    struct ingest_rig *r = arg;
    r->drained = true;
    r->i = NULL;
}

void ingest_rig_drain(struct ingest_rig *r, uint64_t patience_ms)
{
    ingest_drain(r->i, patience_ms, on_drained, r);
}

void ingest_rig_drained(struct ingest_rig *r)
{
    spin_until(&r->loop, is_true, &r->drained, "the end of a drain");
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

void ingest_rig_stop(struct ingest_rig *r)
{
    if (r->i != NULL && r->i->drain == DRAIN_NO)
        ingest_rig_drain(r, 0);
    ingest_rig_drained(r);
    gate_fini(&r->gate);
    r->model->ops->close(r->model, on_closed, &r->closed);
    spin_until(&r->loop, is_true, &r->closed, "the queue's end");
    spin_out(&r->loop);
}

void ingest_rig_pass(struct ingest_rig *r, uint64_t ms)
{
    r->now_ms += ms;
    r->now_s += (int64_t)(ms / 1000);
    service_tick(r->i, r->now_ms, r->now_s);
    spin_turns(&r->loop, 4);
}

static void on_beat(uv_timer_t *timer)
{
    (void)timer; /* it only wakes the loop, so that `done` is asked again */
}

void ingest_rig_await(struct ingest_rig *r, bool (*done)(void *arg), void *arg, const char *what)
{
    uv_timer_t *beat = mem_zero(1, sizeof *beat);

    (void)uv_timer_init(&r->loop, beat);
    (void)uv_timer_start(beat, on_beat, 2, 2);
    spin_until(&r->loop, done, arg, what);
    uv_close((uv_handle_t *)beat, (uv_close_cb)free);
}

struct ws_client *ingest_rig_client(struct ingest_rig *r)
{
    struct ws_client *c =
        ws_client_new(&r->loop, &(struct ws_client_options){.port = ingest_port(r->i, 0)});

    if (!ws_client_opened(c))
        die("a client was refused: %d", c->status);
    return c;
}

void send_event(struct ws_client *c, const struct event *ev)
{
    char *text = mem_new(ev->len + 16);
    int len = snprintf(text, ev->len + 16, "[\"EVENT\",%.*s]", (int)ev->len, ev->bytes);

    text[len] = '\0';
    ws_client_send(c, text);
    free(text);
}

static const char *need_message(struct ws_client *c, const char *wanted)
{
    const char *got = ws_client_next(c);

    if (got == NULL)
        die("the connection ended (%u) instead of: %s", c->close_code, wanted);
    return got;
}

void expect_text(struct ws_client *c, const char *text)
{
    const char *got = need_message(c, text);

    if (strcmp(got, text) != 0)
        die("got %s\n instead of %s", got, text);
}

void expect_start(struct ws_client *c, const char *start)
{
    const char *got = need_message(c, start);

    if (strncmp(got, start, strlen(start)) != 0)
        die("got %s\n instead of %s…", got, start);
}

void expect_ok(struct ws_client *c, const struct event *ev, bool accepted, const char *text)
{
    char id[65], wanted[768];

    (void)snprintf(wanted, sizeof wanted, "[\"OK\",\"%s\",%s,\"%s\"]", hex_str(id, ev->id, 32),
                   accepted ? "true" : "false", text);
    expect_text(c, wanted);
}

struct count {
    struct ingest_rig *r;
    size_t wanted;
};

static bool has_appends(void *arg)
{
    const struct count *c = arg;
    return c->r->gate.appends_len >= c->wanted;
}

void await_appends(struct ingest_rig *r, unsigned count)
{
    ingest_rig_await(r, has_appends, &(struct count){r, count}, "appends");
}

size_t count_sessions(const struct ingest_rig *r)
{
    const struct session *s;
    int count;

    DL_COUNT(r->i->sessions, s, count);
    return (size_t)count;
}

static bool has_sessions(void *arg)
{
    const struct count *c = arg;
    return count_sessions(c->r) == c->wanted;
}

void await_sessions(struct ingest_rig *r, size_t count)
{
    ingest_rig_await(r, has_sessions, &(struct count){r, count}, "sessions to come or go");
}

static bool has_connections(void *arg)
{
    const struct count *c = arg;
    return c->r->i->http.peers.connections_len == c->wanted;
}

void await_connections(struct ingest_rig *r, size_t count)
{
    ingest_rig_await(r, has_connections, &(struct count){r, count}, "connections to come or go");
}

struct event *signed_note(unsigned number)
{
    char text[32];

    (void)snprintf(text, sizeof text, "note %u", number);
    return make_signed_event(number % TEST_AUTHORS, 1700000000, 1, "[]", text);
}
