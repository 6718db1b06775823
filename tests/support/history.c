#include "tests/support/history.h"

#include "tests/support/make_event.h"
#include "tests/support/say.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAID_MAX (16u << 20)

/* ---- side by side ---- */

void history_fail(const struct history *h, const char *fmt, ...)
{
    va_list args;
    fprintf(stderr, "VOLLEY_SEED=%" PRIu64 ", step %u, %s:\n", h->seed, h->step, h->doing);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

/* The line at `*text`, which moves on to the next. */
static struct json_span line_of(const char **text)
{
    const char *end = strchrnul(*text, '\n');
    struct json_span line = {*text, (size_t)(end - *text)};
    *text = *end ? end + 1 : end;
    return line;
}

#define LINES_SHOWN 12

/* What two queues said, from a little before the first difference on. */
_Noreturn static void fail_different(const struct history *h, size_t which, const char *one,
                                     const char *other)
{
    const char *a = one, *b = other, *before[2][3] = {{one, one, one}, {other, other, other}};
    int shown[2] = {0, 0};
    for (;;) {
        const char *at[2] = {a, b};
        struct json_span x = line_of(&a), y = line_of(&b);
        if (x.len != y.len || memcmp(x.p, y.p, x.len) != 0)
            break;
        for (int i = 0; i < 2; i++) {
            memmove(before[i], before[i] + 1, 2 * sizeof(char *));
            before[i][2] = at[i];
        }
    }
    for (int i = 0; i < 2; i++) {
        const char *end = before[i][0];
        for (int n = 0; n < LINES_SHOWN; n++)
            (void)line_of(&end);
        shown[i] = (int)(end - before[i][0]);
    }
    history_fail(h, "the %s says\n%.*s\nthe %s says\n%.*s", h->rigs[0]->backend->name, shown[0],
                 before[0][0], h->rigs[which]->backend->name, shown[1], before[1][0]);
}

void history_ask(struct history *h, history_ask_fn *ask, void *arg, history_say_fn *say,
                 struct answer *first)
{
    struct buf one, other;
    buf_init(&one, SAID_MAX);
    buf_init(&other, SAID_MAX);
    ask(h->rigs[0], arg, first);
    say(&one, first);
    for (size_t i = 1; i < h->rigs_len; i++) {
        struct answer a;
        ask(h->rigs[i], arg, &a);
        buf_clear(&other);
        say(&other, &a);
        if (strcmp(buf_str(&one), buf_str(&other)) != 0)
            fail_different(h, i, buf_str(&one), buf_str(&other));
        answer_free(&a);
    }
    buf_fini(&one);
    buf_fini(&other);
}

unsigned history_roll(struct history *h, unsigned below)
{
    return (unsigned)rng_below(&h->truth.rng, below);
}

/* ---- appends ---- */

static void ask_to_append(struct rig *r, void *arg, struct answer *a)
{
    ask_append(&r->loop, r->q, arg, a);
}

static void put(struct history *h, struct event *ev)
{
    struct answer a;
    history_ask(h, ask_to_append, ev, say_append, &a);
    if (a.e == ERR_NONE && !a.append.duplicate) {
        if (a.append.pos != h->head + 1)
            history_fail(h, "position %" PRIu64 " after %" PRIu64, a.append.pos, h->head);
        h->head++;
        truth_add(&h->truth, ev->kind);
    }
    answer_free(&a);
}

static struct event *new_event(struct history *h)
{
    static const uint32_t kinds[] = {1, 1, 1, 1, 1, 0, 3, 10002, 30023, 7, 20001, 4};
    char text[64], tags[128] = "[]";
    unsigned author = history_roll(h, 3);
    uint64_t created_at = 1700000000 + history_roll(h, 20);
    uint32_t kind = kinds[history_roll(h, COUNT_OF(kinds))];
    (void)snprintf(text, sizeof text, "event %u of %" PRIu64, h->made++, h->seed);
    if (kind == 30023)
        (void)snprintf(tags, sizeof tags, "[[\"d\",\"%c\"]]", 'a' + (int)history_roll(h, 2));
    if (h->events_len == 0 || history_roll(h, 10) > 0)
        return make_event(author, created_at, kind, tags, text);
    if (history_roll(h, 3) == 0)
        return make_address_deletion(author, created_at, 30023, history_roll(h, 2) ? "a" : "b");
    return make_deletion(author, created_at,
                         h->events[history_roll(h, (unsigned)h->events_len)]->id);
}

static void do_append(struct history *h)
{
    h->doing = "append";
    struct event *ev = new_event(h);
    for (size_t i = 0; i < h->events_len; i++) {
        if (memcmp(h->events[i]->id, ev->id, sizeof ev->id) == 0) { /* a deletion made before */
            put(h, h->events[i]);
            event_unref(ev);
            return;
        }
    }
    h->events = mem_grow(h->events, (h->events_len + 1) * sizeof(struct event *));
    h->events[h->events_len++] = ev;
    put(h, ev);
}

static void do_append_again(struct history *h)
{
    h->doing = "append again";
    if (h->events_len > 0)
        put(h, h->events[history_roll(h, (unsigned)h->events_len)]);
}

/* ---- heartbeats ---- */

static void ask_to_commit_one(struct rig *r, void *arg, struct answer *a)
{
    ask_commit(&r->loop, r->q, arg, 1, a);
}

/* One comes in, perhaps again; or some number is committed, perhaps one that there is not. */
static void do_heartbeat(struct history *h)
{
    struct answer a;
    h->doing = "heartbeat";
    if (history_roll(h, 2) == 0) {
        struct event *ev = make_heartbeat(h->beats + (history_roll(h, 3) > 0));
        history_ask(h, ask_to_append, ev, say_append, &a);
        if (a.e != ERR_NONE || a.append.pos != 0)
            history_fail(h, "a heartbeat was answered %s", err_name(a.e));
        h->beats += !a.append.duplicate;
        event_unref(ev);
    } else {
        struct lane_commit c = {.lane = HEARTBEAT_LANE,
                                .position = h->beats + 1 - history_roll(h, h->beats > 0 ? 3 : 2)};
        history_ask(h, ask_to_commit_one, &c, say_commit, &a);
    }
    answer_free(&a);
}

/* ---- definitions ---- */

static void ask_to_define(struct rig *r, void *arg, struct answer *a)
{
    ask_define_as(&r->loop, r->q, arg, a);
}

/* A list that was in force before may be put back, or left. */
static void put_list(struct history *h)
{
    struct definition defs[HISTORY_RELAYS];
    struct define_call c = {.defs = defs, .by = "op@host"};
    struct answer a;
    for (unsigned i = 0; i < HISTORY_RELAYS; i++) {
        if (h->in_list[i])
            defs[c.len++] = h->relays[i];
    }
    history_ask(h, ask_to_define, &c, say_define, &a);
    if (a.e == ERR_STALE && history_roll(h, 2) == 0) {
        answer_free(&a);
        c.force = true;
        history_ask(h, ask_to_define, &c, say_define, &a);
    }
    if (a.e != ERR_NONE && a.e != ERR_STALE)
        history_fail(h, "a list was answered %s", err_name(a.e));
    h->lanes_made += a.define.added;
    answer_free(&a);
}

static void change_relay(struct history *h, struct definition *d)
{
    switch (history_roll(h, 6)) {
    case 0:
        d->kinds_len = d->kinds_len ? 0 : 2;
        d->kinds[0] = 1;
        d->kinds[1] = 30023;
        break;
    case 1:
        d->except_kinds_len = d->except_kinds_len ? 0 : 1;
        d->except_kinds[0] = (uint16_t)(history_roll(h, 2) ? 0 : 7);
        break;
    case 2:
        d->is_private = !d->is_private;
        break;
    case 3:
        d->hold = !d->hold;
        break;
    case 4:
        d->route = d->route == ROUTE_TOR ? ROUTE_DIRECT : ROUTE_TOR;
        break;
    default:
        d->window = 1 + history_roll(h, 99);
        break;
    }
}

static void do_define(struct history *h)
{
    h->doing = "define";
    unsigned i = history_roll(h, HISTORY_RELAYS);
    if (h->in_list[i] && history_roll(h, 10) > 0) {
        change_relay(h, &h->relays[i]);
    } else if (h->in_list[i] && i > 0 && h->seed % 3 == 0) {
        h->in_list[i] = false;
        if (h->retired_ms == 0)
            h->retired_ms = h->rigs[0]->wall_ms;
    } else if (!h->in_list[i] && h->lanes_made + HISTORY_RELAYS < ACTOR_LANES_MAX) {
        h->relays[i].backfill = history_roll(h, 2) == 0;
        h->in_list[i] = true;
    }
    put_list(h);
}

/* ---- time ---- */

static void forget_ended(struct history *h)
{
    for (size_t lane = 0; lane < ACTOR_LANES_MAX; lane++) {
        int holder = h->lanes[lane].holder;
        if (holder >= 0 && h->renewed_boot_ms[holder] + LEASE_TERM_MS <= h->rigs[0]->boot_ms)
            h->lanes[lane].holder = -1;
    }
}

/* No history is told beyond the retention of a retired lane: what its failed rows held may then be
 * let go at once or later. */
static bool too_late(const struct history *h, int64_t by)
{
    return h->retired_ms != 0 &&
           h->rigs[0]->wall_ms + by >= h->retired_ms + h->rigs[0]->options.retention_ms;
}

/* Backends may put housekeeping off by up to a minute. So in a history the wall clock moves in
 * whole minutes, and all is done in each that is due. */
static void do_pass(struct history *h)
{
    static const int64_t minutes[] = {1, 1, 1, 2, 5, 10, 30, 60};
    int64_t by = minutes[history_roll(h, COUNT_OF(minutes))] * 60000;
    h->doing = "time";
    if (too_late(h, by))
        return;
    for (size_t i = 0; i < h->rigs_len; i++)
        rig_pass(h->rigs[i], by);
    h->truth.now_ms = h->rigs[0]->wall_ms;
    forget_ended(h);
}

/* What leases live by moves on, while nobody has set the wall clock right yet. */
static void do_pass_a_little(struct history *h)
{
    static const uint64_t ms[] = {1, 500, 2000, 5000, 9000, 10000};
    h->doing = "a little time";
    uint64_t by = ms[history_roll(h, COUNT_OF(ms))];
    for (size_t i = 0; i < h->rigs_len; i++)
        rig_set_clocks(h->rigs[i], h->rigs[i]->wall_ms, h->rigs[i]->boot_ms + by);
}

static void do_jump(struct history *h)
{
    h->doing = "a jump of the clock";
    int64_t by = (int64_t)(1 + history_roll(h, 180)) * 60000;
    if (too_late(h, by))
        return;
    for (size_t i = 0; i < h->rigs_len; i++)
        rig_jump(h->rigs[i], by);
    h->truth.now_ms = h->rigs[0]->wall_ms;
    forget_ended(h);
}

static void do_lose_tail(struct history *h)
{
    h->doing = "a tail that misses messages";
    struct rig *r = h->rigs[history_roll(h, (unsigned)h->rigs_len)];
    r->backend->lose_tail(r, 1 + history_roll(h, 4));
}

static void do_restart(struct history *h)
{
    h->doing = "restart";
    for (size_t i = 0; i < h->rigs_len; i++)
        rig_restart(h->rigs[i]);
    forget_ended(h);
    for (int i = 0; i < HISTORY_ACTORS; i++) { /* all get a whole term */
        if (h->renewed_boot_ms[i] > 0)
            h->renewed_boot_ms[i] = h->rigs[0]->boot_ms;
    }
}

void history_step(struct history *h)
{
    static const struct {
        unsigned weight;
        void (*fn)(struct history *h);
    } steps[] = {
        {40, do_append},     {8, do_append_again},  {22, history_lease},  {40, history_commit},
        {4, history_repeat}, {3, history_stale},    {3, history_spoiled}, {3, do_define},
        {8, do_pass},        {8, do_pass_a_little}, {1, do_jump},         {1, do_lose_tail},
        {1, history_crash},  {1, do_restart},       {2, history_hold},    {4, history_replay},
        {3, history_list},   {1, history_purge},    {1, history_cancel},  {3, do_heartbeat},
    };
    unsigned all = 0;
    for (size_t i = 0; i < COUNT_OF(steps); i++)
        all += steps[i].weight;
    unsigned at = history_roll(h, all);
    size_t i = 0;
    while (at >= steps[i].weight)
        at -= steps[i++].weight;
    h->step++;
    steps[i].fn(h);
}

/* ---- beginning and end ---- */

struct history *history_open(uint64_t seed)
{
    struct history *h = mem_zero(1, sizeof *h);
    struct rig_options o = rig_defaults;
    h->seed = seed;
    h->doing = "the beginning";
    truth_init(&h->truth, seed);
    h->truth.now_ms = RIG_WALL_MS;
    o.failed_max = 1000 + history_roll(h, 30000);
    if (seed % 2 == 0)
        o.lane_max = 5000 + history_roll(h, 25000);
    for (size_t i = 0; i < backends_len; i++) {
        if (i == 0 || backend_wanted(&backends[i])) /* the model always: it is the truth */
            h->rigs[h->rigs_len++] = rig_open(&backends[i], &o);
    }
    for (int i = 0; i < HISTORY_ACTORS; i++)
        actor_init(&h->actors[i], h->actors_made++);
    for (size_t lane = 0; lane < ACTOR_LANES_MAX; lane++)
        h->lanes[lane].holder = -1;
    for (unsigned i = 0; i < HISTORY_RELAYS; i++) {
        struct definition *d = &h->relays[i];
        *d = (struct definition){.route = ROUTE_TOR, .family = MODE_AUTO, .window = 256};
        (void)snprintf(d->url, sizeof d->url, "wss://relay%u.example", i);
        h->in_list[i] = i < 3;
    }
    history_listen(h);
    put_list(h);
    return h;
}

void history_close(struct history *h)
{
    history_unlisten(h);
    for (size_t i = 0; i < h->rigs_len; i++)
        rig_close(h->rigs[i]);
    for (size_t i = 0; i < h->events_len; i++)
        event_unref(h->events[i]);
    free(h->events);
    truth_fini(&h->truth);
    free(h);
}
