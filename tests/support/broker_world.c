#include "tests/support/broker_world.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int64_t wall_ms(void *arg)
{
    return ((struct world *)arg)->wall_ms;
}

static uint64_t boot_ms(void *arg)
{
    return ((struct world *)arg)->boot_ms;
}

static void on_fatal(void *arg, enum err e)
{
    (void)arg;
    die("the broker ended: %s", err_name(e));
}

struct broker_options world_options(struct world *w)
{
    return (struct broker_options){.store = {.dir = w->dir,
                                             .retention_ms = 3600000,
                                             .max_bytes = 64u << 20,
                                             .failed_max = 1u << 20},
                                   .url = w->url,
                                   .clock = &w->clock,
                                   .on_fatal = on_fatal,
                                   .arg = w};
}

void world_start_broker(struct world *w)
{
    struct broker_options o = world_options(w);
    struct problem p = {0};
    if (broker_new(&w->loop, &o, &w->broker, &p) != ERR_NONE)
        fail_msg("broker_new: %s", p.text);
}

static void on_closed(void *arg)
{
    ((struct world *)arg)->closed = true;
}

void world_stop_broker(struct world *w)
{
    w->closed = false;
    broker_close(w->broker, on_closed, w);
    run_until(&w->loop, &w->closed, "broker_close");
    w->broker = NULL;
}

int world_begin(void **state)
{
    struct world *w = mem_zero(1, sizeof *w);
    (void)snprintf(w->dir, sizeof w->dir, "%s/volley-broker-XXXXXX", P_tmpdir);
    assert_non_null(mkdtemp(w->dir));
    (void)snprintf(w->url, sizeof w->url, "zmq+ipc://%s/queue.sock", w->dir);
    assert_int_equal(endpoint_parse(w->url, &w->at, NULL), ERR_NONE);
    w->wall_ms = 1800000000000;
    w->boot_ms = 1000000;
    w->clock = (struct broker_clock){wall_ms, boot_ms, w};
    uv_loop_init(&w->loop);
    world_start_broker(w);
    for (int i = 0; i < WORLD_CLIENTS; i++) {
        struct queue_options o = {.url = w->url, .timeout_ms = 5000};
        assert_int_equal(queue_open(&w->loop, &o, &w->q[i], NULL), ERR_NONE);
    }
    *state = w;
    return 0;
}

static void remove_dir(const char *path)
{
    DIR *d = opendir(path);
    char name[600];
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        (void)snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        unlink(name);
    }
    closedir(d);
    rmdir(path);
}

int world_end(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < WORLD_CLIENTS; i++)
        ask_close(&w->loop, w->q[i]);
    if (w->broker != NULL)
        world_stop_broker(w);
    remove_dir(w->dir);
    spin_out(&w->loop);
    free(w);
    return 0;
}

void world_define(struct world *w, unsigned count)
{
    struct definition defs[4] = {0};
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(defs[i].url, sizeof defs[i].url, "wss://r%u.example", i);
        defs[i].window = 8;
    }
    struct answer a;
    ask_define(&w->loop, w->q[0], defs, count, &a);
    assert_int_equal(a.e, ERR_NONE);
    assert_int_equal(a.define.added, count);
    answer_free(&a);
}

struct append_result world_append_note(struct world *w, int client, unsigned number)
{
    struct event *ev = make_note(0, number);
    struct answer a;
    ask_append(&w->loop, w->q[client], ev, &a);
    event_unref(ev);
    assert_int_equal(a.e, ERR_NONE);
    struct append_result r = a.append;
    answer_free(&a);
    return r;
}

static void on_append(void *arg, enum err e, const struct append_result *r, const char *why)
{
    struct world *w = arg;
    (void)why;
    w->answered++;
    if (e == ERR_NONE)
        w->duplicates += r->duplicate;
    else if (e == ERR_UNKNOWN)
        w->unknown++;
    else
        w->failed++;
}

void world_append_notes(struct world *w, int client, unsigned from, unsigned to)
{
    for (unsigned i = from; i <= to; i++) {
        struct event *ev = make_note(0, i);
        w->q[client]->ops->append(w->q[client], ev, on_append, w);
        event_unref(ev);
    }
}

static bool are_answered(void *arg)
{
    const struct world *w = arg;
    return w->answered >= w->wanted;
}

void world_await_answers(struct world *w, unsigned count)
{
    w->wanted = count;
    spin_until(&w->loop, are_answered, w, "appends");
}

uint64_t world_head_of(struct world *w, int client)
{
    struct answer a;
    ask_read(&w->loop, w->q[client], 1, 1, &a);
    while (a.e == ERR_UNKNOWN) { /* sent to a broker that was just ending: reads are repeated */
        answer_free(&a);
        ask_read(&w->loop, w->q[client], 1, 1, &a);
    }
    assert_int_equal(a.e, ERR_NONE);
    uint64_t head = a.read.head;
    answer_free(&a);
    return head;
}

static void on_head(void *arg, uint64_t head, uint64_t news)
{
    (void)news;
    ((struct world *)arg)->head = head;
}

static void on_tail(void *arg, const struct queue_tail *t)
{
    struct world *w = arg;
    assert_true(t->ev.pos > w->last_pos);
    assert_non_null(t->ev.event);
    w->last_pos = t->ev.pos;
    w->tails++;
}

static bool has_head(void *arg)
{
    const struct world *w = arg;
    return w->head == w->wanted;
}

static bool has_tail(void *arg)
{
    const struct world *w = arg;
    return w->last_pos == w->wanted;
}

void world_await_head(struct world *w, uint64_t head)
{
    w->wanted = head;
    spin_until(&w->loop, has_head, w, "a beat");
}

void world_await_tail(struct world *w, uint64_t pos)
{
    w->wanted = pos;
    spin_until(&w->loop, has_tail, w, "the tail");
}

void world_follow(struct world *w, int client)
{
    struct queue_follower f = {on_tail, on_head, w};
    w->q[client]->ops->follow(w->q[client], &f);
    w->head = UINT64_MAX;
    world_await_head(w, world_head_of(w, 0));
}

void world_lease(struct world *w, int client, struct lease_held *held, size_t len, struct answer *a)
{
    struct lease_call c = {
        .publisher = {(uint8_t)(client + 1)}, .routes = 3, .held = held, .held_len = len};
    (void)snprintf(c.name, sizeof c.name, "host:%d", client);
    ask_lease(&w->loop, w->q[client], &c, a);
    assert_int_equal(a->e, ERR_NONE);
}
