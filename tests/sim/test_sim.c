/* Lanes against relays that misbehave, with a publisher that crashes: seeded, in virtual time.
 * VOLLEY_SEED runs one seed (a failure prints it), VOLLEY_RUNS so many from 1 on. What must hold:
 *
 * every event ends delivered or in a row; what counts as delivered the relay has; only what
 * deserves it fails; first sends go in order; nothing is sent again without a reason; the window is
 * kept; each commit is one that a queue takes; a dead relay is left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/sim/sim.h"

#define LIMIT_MS (12ull * 3600 * 1000)

#if defined(__SANITIZE_ADDRESS__)
#define RUNS 3000
#else
#define RUNS 10000
#endif

/* ---- the publisher ---- */

static void wake_at(struct sim *s, uint64_t at_ms)
{
    if (at_ms == 0 || (s->wake_ms > s->now_ms && s->wake_ms <= at_ms))
        return;
    s->wake_ms = at_ms;
    happens(s, at_ms - s->now_ms, (struct happens){.what = HAPPENS_WAKE});
}

/* What the link held may have arrived or not. */
static void link_gone(struct sim *s)
{
    for (struct item *it = items_begin(s->lane); it != NULL; it = items_after(s->lane, it))
        if ((it->flags & ITEM_AWAITED) || it->state == ITEM_AUTH)
            s->fates[it->pos].may_repeat = true;
    s->link = s->served = 0;
}

static bool has_read(struct sim *s, uint64_t pos)
{
    if (s->read == pos || chance(s, 80))
        return true;
    if (s->reading != pos)
        happens(s, 1 + below(s, 50), (struct happens){.what = HAPPENS_READ, .pos = pos});
    s->reading = pos;
    return false;
}

/* As route_event would: true when it is to be sent. */
static bool routed(struct sim *s, uint64_t pos)
{
    const struct fate *f = &s->fates[pos];
    if (!lane_admitted(s->lane, pos) && sim_filters(s, s->lane->definition_version, pos))
        lane_pass(s->lane, pos);
    else if (f->deleted)
        lane_skip(s->lane, pos, CLASS_DELETED, s->now_ms);
    else
        return true;
    return false;
}

static void send_event(struct sim *s, uint64_t pos)
{
    struct fate *f = &s->fates[pos];
    struct lane *l = s->lane;
    SIM_CHECK(s, pos >= 1 && pos <= s->queue.head, "sends %" PRIu64 " beyond the head", pos);
    SIM_CHECK(s, l->flying < window_size(l) && l->flying < s->limits.window_max, "window %u passed",
              window_size(l));
    const struct item *it = items_find(l, pos);
    if (it != NULL && (it->flags & ITEM_SUSPECT))
        SIM_CHECK(s,
                  l->flying == 0 &&
                      (sim_attempts(&s->queue, pos) == it->attempts || s->queue.expired[pos]),
                  "suspect %" PRIu64 " goes in company, or unpaid", pos);
    if (f->sent == 0 && it == NULL) {
        SIM_CHECK(s, pos > s->first_sent, "%" PRIu64 " after %" PRIu64, pos, s->first_sent);
        s->first_sent = pos;
    }
    SIM_CHECK(s, f->sent == 0 || f->may_repeat || s->now_ms >= f->sent_ms + s->limits.ok_timeout_ms,
              "%" PRIu64 " sent again without a reason", pos);
    f->sent++;
    f->may_repeat = false;
    f->sent_ms = s->now_ms;
    s->sends++;
    lane_sent(l, pos, 300 + pos % 1000, s->now_ms);
    happens(s, s->latency_ms / 2 + 1,
            (struct happens){.what = HAPPENS_ARRIVAL, .link = s->link, .pos = pos});
}

/* One want. False when there is none, or it must be read first. */
static bool one_want(struct sim *s)
{
    struct want w = lane_want(s->lane, s->now_ms);
    if (w.kind != WANT_SEND)
        s->wants++;
    switch (w.kind) {
    case WANT_NOTHING:
        SIM_CHECK(s, w.at_ms == 0 || w.at_ms > s->now_ms, "wants to be asked in the past");
        wake_at(s, w.at_ms);
        return false;
    case WANT_PEEK:
        if (!has_read(s, w.pos))
            return false;
        if (routed(s, w.pos))
            lane_sendable(s->lane, w.pos);
        break;
    case WANT_CONNECT:
        lane_connecting(s->lane, s->now_ms);
        relay_connect(s);
        break;
    case WANT_AUTH:
        lane_auth_sent(s->lane, s->now_ms);
        happens(s, s->latency_ms, (struct happens){.what = HAPPENS_AUTHED, .link = s->link});
        break;
    case WANT_SEND:
        if (!has_read(s, w.pos))
            return false;
        if (routed(s, w.pos))
            send_event(s, w.pos);
        break;
    case WANT_CLOSE:
        link_gone(s);
        lane_link_lost(s->lane, LINK_CLOSED_BY_US, "", s->now_ms);
        break;
    }
    return true;
}

static void maybe_commit(struct sim *s)
{
    if (s->flying_commit != NULL || !lane_dirty(s->lane))
        return;
    if (!lane_urgent(s->lane) && s->now_ms < s->commit_ms + 50) {
        wake_at(s, s->commit_ms + 50);
        return;
    }
    struct lane_commit c;
    lane_commit_begin(s->lane, &c);
    s->commit_ms = s->now_ms;
    s->flying_commit = commit_copy(&c);
    happens(s, 1 + below(s, 10),
            (struct happens){.what = HAPPENS_COMMIT_ARRIVAL, .epoch = (uint32_t)c.epoch});
}

static void publisher_turn(struct sim *s)
{
    if (s->lane == NULL)
        return;
    for (unsigned i = 0; one_want(s); i++)
        SIM_CHECK(s, i < 3 * SIM_EVENTS_MAX, "it never stops wanting");
    SIM_CHECK(s, s->lane->live <= QUEUE_EXCEPTIONS_MAX, "too many exceptions");
    maybe_commit(s);
    if (s->handing_over && lane_drained(s->lane)) {
        lane_free(s->lane);
        s->lane = NULL;
        happens(s, 10, (struct happens){.what = HAPPENS_GRANT});
    }
}

/* ---- what happens ---- */

static void on_crash(struct sim *s)
{
    if (s->lane == NULL)
        return;
    for (uint32_t pos = 1; pos <= s->total; pos++)
        if (pos > s->queue.position || sim_is_exception(&s->queue, pos) || s->flying_commit != NULL)
            s->fates[pos].may_repeat = true;
    for (size_t i = 0; i < s->queue.requests_len; i++)
        s->fates[s->queue.requests[i].pos].may_repeat = true;
    s->link = s->served = 0;
    s->handing_over = false;
    if (lane_dirty(s->lane) && s->zombie == NULL)
        s->zombie = s->lane;
    else
        lane_free(s->lane);
    s->lane = NULL;
    happens(s, below(s, 12000), (struct happens){.what = HAPPENS_GRANT});
}

static void on_grant(struct sim *s)
{
    s->handing_over = false;
    s->lane = queue_grant(s);
    s->read = s->reading = 0;
    if (s->zombie == NULL)
        return;
    /* The old holder wakes up and commits: it must hear that it holds nothing. */
    struct lane_commit c;
    lane_commit_begin(s->zombie, &c);
    struct lane_committed r = queue_commit(s, &c);
    SIM_CHECK(s, r.status == COMMIT_STALE, "an old epoch committed");
    SIM_CHECK(s, !lane_commit_end(s->zombie, &r), "a stale lane goes on");
    lane_free(s->zombie);
    s->zombie = NULL;
}

/* `link` of the answer: 0 when it was lost, else 1 + status; `pos` is the position. */
static void on_commit_arrival(struct sim *s, const struct happens *h)
{
    bool lost = chance(s, 5);
    struct happens answer = {.what = HAPPENS_COMMIT_ANSWER, .epoch = h->epoch};
    if (!lost) {
        struct lane_committed r = queue_commit(s, s->flying_commit);
        if (!chance(s, 5)) {
            answer.pos = r.position;
            answer.link = 1 + (uint32_t)r.status;
        }
    }
    commit_drop(s->flying_commit);
    s->flying_commit = NULL;
    happens(s, answer.link != 0 ? 1 + below(s, 10) : 500, answer);
}

static void on_commit_answer(struct sim *s, const struct happens *h)
{
    if (s->lane == NULL || lane_epoch(s->lane) != h->epoch)
        return;
    struct lane_committed r = {.lane = 1, .position = h->pos};
    if (h->link != 0)
        r.status = (enum commit_status)(h->link - 1);
    SIM_CHECK(s, lane_commit_end(s->lane, h->link != 0 ? &r : NULL), "the holder was refused");
}

static void on_answer(struct sim *s, const struct happens *h)
{
    static const struct outcome outcomes[] = {
        [OUTCOME_DELIVERED] = {.kind = OUTCOME_DELIVERED},
        [OUTCOME_RETRY] = {.kind = OUTCOME_RETRY, .cls = CLASS_ERROR},
        [OUTCOME_SLOW] = {.kind = OUTCOME_SLOW},
        [OUTCOME_AUTH] = {.kind = OUTCOME_AUTH, .cls = CLASS_AUTH},
        [OUTCOME_FAILED] = {.kind = OUTCOME_FAILED, .cls = CLASS_BLOCKED}};
    if (s->lane == NULL || h->link != s->link)
        return;
    bool taken = lane_answer(s->lane, h->pos, &outcomes[h->outcome], s->now_ms);
    if (taken && h->outcome != OUTCOME_DELIVERED && h->outcome != OUTCOME_FAILED)
        s->fates[h->pos].may_repeat = true;
}

static void on_connected(struct sim *s, const struct happens *h)
{
    if (s->lane == NULL || lane_epoch(s->lane) != h->epoch || s->lane->link != LINK_CONNECTING)
        return;
    if (h->what == HAPPENS_REFUSED) {
        lane_connect_failed(s->lane, 0, "refused", s->now_ms);
        return;
    }
    s->link = s->served = ++s->links;
    s->authed = false;
    lane_connected(s->lane, FAMILY_IPV6, ROUTE_DIRECT, s->now_ms);
}

static void on_link_news(struct sim *s, const struct happens *h)
{
    if (s->lane == NULL || h->link != s->link)
        return;
    if (h->what == HAPPENS_CUT) {
        link_gone(s);
        lane_link_lost(s->lane, LINK_LOST, "hung up", s->now_ms);
        return;
    }
    s->authed = !s->refuses_auth;
    lane_authenticated(s->lane, s->authed, "restricted: not you", s->now_ms);
}

static void on_lease(struct sim *s)
{
    happens(s, 2000, (struct happens){.what = HAPPENS_LEASE});
    if (s->lane != NULL)
        queue_kept(s, s->now_ms < 30000 && s->seed % 11 == 0);
}

static void on_append(struct sim *s)
{
    s->queue.head++;
    if (s->lane != NULL && chance(s, 90)) /* else the tail missed it, and the lease tells */
        lane_head(s->lane, s->queue.head);
}

/* What the run's plan brings from outside. */
static void handle_plan(struct sim *s, const struct happens *h)
{
    switch (h->what) {
    case HAPPENS_CRASH:
        on_crash(s);
        break;
    case HAPPENS_HANDOVER:
        s->handing_over = s->lane != NULL;
        break;
    case HAPPENS_GRANT:
        on_grant(s);
        break;
    case HAPPENS_FLOOR:
        queue_raise_floor(s, below(s, s->queue.head + 1));
        break;
    case HAPPENS_DEFINITION:
        if (s->queue.next_version < 3)
            s->queue.next_version++;
        break;
    case HAPPENS_RESEND:
        queue_resend(s, 1 + below(s, s->total));
        break;
    case HAPPENS_MOOD:
        relay_next_mood(s);
        break;
    default: /* HAPPENS_WAKE: the publisher's turn */
        break;
    }
}

static void handle(struct sim *s, const struct happens *h)
{
    switch (h->what) {
    case HAPPENS_APPEND:
        on_append(s);
        break;
    case HAPPENS_READ:
        s->read = h->pos;
        s->reading = 0;
        break;
    case HAPPENS_CONNECTED:
    case HAPPENS_REFUSED:
        on_connected(s, h);
        break;
    case HAPPENS_ARRIVAL:
        relay_arrival(s, h);
        break;
    case HAPPENS_ANSWER:
        on_answer(s, h);
        break;
    case HAPPENS_CUT:
    case HAPPENS_AUTHED:
        on_link_news(s, h);
        break;
    case HAPPENS_COMMIT_ARRIVAL:
        on_commit_arrival(s, h);
        break;
    case HAPPENS_COMMIT_ANSWER:
        on_commit_answer(s, h);
        break;
    case HAPPENS_LEASE:
        on_lease(s);
        break;
    default:
        handle_plan(s, h);
    }
}

/* ---- one run ---- */

static void draw_fates(struct sim *s)
{
    unsigned worst = (unsigned)below(s, 6); /* fewer than make it the relay's failure */
    for (unsigned i = 0; i < worst; i++) {
        struct fate *f = &s->fates[1 + below(s, s->total)];
        f->hopeless = chance(s, 50);
        f->poison = !f->hopeless;
        f->late_poison = chance(s, 30);
    }
    unsigned errors = chance(s, 50) ? (unsigned)below(s, 20) : 0;
    bool filters = chance(s, 30), deletes = chance(s, 30), blocks = chance(s, 30);
    for (uint32_t pos = 1; pos <= s->total; pos++) {
        struct fate *f = &s->fates[pos];
        f->errors = chance(s, errors) ? (uint8_t)below(s, 4) : 0;
        f->blocked = blocks && !f->poison && !f->hopeless && chance(s, 5);
        f->deleted = deletes && chance(s, 10);
        f->filtered[1] = filters && chance(s, 30);
        f->filtered[2] = filters && chance(s, 30);
    }
}

static void some(struct sim *s, enum happening what, uint64_t percent, unsigned most)
{
    unsigned times = chance(s, percent) ? 1 + (unsigned)below(s, most) : 0;
    while (times-- > 0)
        happens(s, below(s, 200000), (struct happens){.what = what});
}

static void draw(struct sim *s, uint64_t seed)
{
    s->seed = seed;
    rng_init(&s->rng, seed);
    s->now_ms = 1000;
    s->total = chance(s, 2) ? SIM_EVENTS_MAX : 1 + (uint32_t)below(s, chance(s, 50) ? 20 : 300);
    s->queue.version = s->queue.next_version = 1;
    s->limits =
        (struct lane_limits){.window_max = 1 + (uint32_t)below(s, chance(s, 10) ? 2000 : 64),
                             .window_bytes = 1000 + below(s, 300000),
                             .ok_timeout_ms = 5000 + below(s, 25000),
                             .idle_close_ms = 1000 + below(s, 300000),
                             .backoff_min_ms = 1000,
                             .backoff_max_ms = 60000,
                             .max_attempts = 20,
                             .can_auth = true};
    s->wants_auth = chance(s, 15);
    s->refuses_auth = s->wants_auth && chance(s, 20);
    s->moods_left = (uint32_t)below(s, 5);
    draw_fates(s);
    uint64_t spread_ms = chance(s, 50) ? 1 : 1 + below(s, 100000);
    for (uint32_t i = 0; i < s->total; i++)
        happens(s, below(s, spread_ms), (struct happens){.what = HAPPENS_APPEND});
    some(s, HAPPENS_CRASH, 40, 5);
    some(s, HAPPENS_HANDOVER, 20, 3);
    some(s, HAPPENS_FLOOR, 15, 3);
    some(s, HAPPENS_DEFINITION, 30, 2);
    some(s, HAPPENS_RESEND, 40, 20);
    relay_next_mood(s);
    happens(s, below(s, 100), (struct happens){.what = HAPPENS_GRANT});
    happens(s, 2000, (struct happens){.what = HAPPENS_LEASE});
}

static void sim_free(struct sim *s)
{
    lane_free(s->lane);
    lane_free(s->zombie);
    commit_drop(s->flying_commit);
    free(s->heap);
    free(s);
}

static void run_seed(uint64_t seed)
{
    struct sim *s = mem_zero(1, sizeof *s);
    draw(s, seed);
    while (!settled(s)) {
        struct happens h = next_happening(s);
        s->now_ms = h.at_ms;
        SIM_CHECK(
            s,
            s->now_ms<
                LIMIT_MS, "not settled: position %" PRIu64 " of %u, %zu exceptions, first %" PRIu64,
                s->queue.position, s->total, s->queue.exceptions_len, s->queue.exceptions_len> 0
                ? s->queue.exceptions[0].pos
                : 0);
        handle(s, &h);
        publisher_turn(s);
    }
    check_end(s);
    sim_free(s);
}

static uint64_t from_env(const char *name, uint64_t otherwise)
{
    return getenv(name) != NULL ? strtoull(getenv(name), NULL, 10) : otherwise;
}

static void lanes_keep_their_promises_whatever_the_relay_does(void **state)
{
    (void)state;
    uint64_t seed = from_env("VOLLEY_SEED", 0), runs = from_env("VOLLEY_RUNS", RUNS);
    if (seed != 0) {
        run_seed(seed);
        return;
    }
    for (seed = 1; seed <= runs; seed++)
        run_seed(seed);
    print_message("%" PRIu64 " seeds\n", runs);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes_keep_their_promises_whatever_the_relay_does)};
    return cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}
