/* The race (race.h) over tries (dial.h). A racer that is connected asks for the websocket; who has
 * the answer first, by the race's rules, is the link.
 *
 * link_open → on_timer → go_on: asks the race what to do until it says wait. Every event (a dial's
 * end, an answer, the timer) changes the race's state and ends in go_on; go_on may end everything,
 * so nothing is touched after it. */
#include "common/net/link.h"

#include "common/base/clock.h"
#include "common/net/dial.h"
#include "common/net/handshake.h"
#include "common/net/plan.h"
#include "common/net/race.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOR_GRACE_MS 100u
#define REQUEST_MAX  4096u
#define READ_LEN     2048u

struct link {
    struct dial *dial;
};

struct racer {
    struct link_open *open;
    enum family lane;  /* the race's name for it: IPv6 or IPv4 */
    struct dial *dial; /* NULL: over */
    enum dial_phase phase;
    uv_poll_t poll;
    bool polling;
    uint64_t websocket_start_us;
    char key[HANDSHAKE_KEY_SIZE];
    struct buf request; /* what is left to send */
    struct buf answer;
    size_t answer_len; /* of the handshake in `answer` */
    struct link_try try;
};

struct link_open {
    struct dialer *dialer;
    struct link_request request; /* its pointers lead to the next two */
    struct socks_ports socks;
    char *socks_user;
    link_fn *fn;
    void *arg;
    struct plan plan;
    struct race race;
    struct racer racers[2]; /* in the order they were started */
    size_t racers_len;
    uint64_t deadline_ms; /* 0: not begun */
    uv_timer_t timer;
    size_t handles;
    bool over;
};

static void go_on(struct link_open *o);

/* --- handles --------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    struct link_open *o = handle->data;
    dialer_release(o->dialer);
    if (--o->handles > 0)
        return;
    free(o->socks_user);
    free(o);
}

static void hold(struct link_open *o)
{
    o->handles++;
    dialer_hold(o->dialer);
}

static void stop_polling(struct racer *r)
{
    if (!r->polling)
        return;
    r->polling = false;
    uv_close((uv_handle_t *)&r->poll, on_closed); /* before the descriptor closes */
}

/* Ends a racer; its try keeps what was measured. */
static void leave(struct racer *r)
{
    stop_polling(r);
    buf_fini(&r->request);
    buf_fini(&r->answer);
    dial_close(r->dial);
    r->dial = NULL;
}

/* Nothing happens any more but the closing of handles. */
static void end(struct link_open *o)
{
    o->over = true;
    for (size_t i = 0; i < o->racers_len; i++)
        leave(&o->racers[i]);
    uv_close((uv_handle_t *)&o->timer, on_closed);
}

/* --- results --------------------------------------------------------------------------------- */

static void measure(struct racer *r)
{
    struct dial_times t;
    dial_look(r->dial, &t);
    r->phase = t.phase;
    r->try.dns_us = t.dns_us;
    r->try.connect_us = t.connect_us;
    r->try.tls_us = t.tls_us;
    dial_address(r->dial, r->try.address, sizeof r->try.address);
}

static void note(struct racer *r, enum err e, const char *text)
{
    measure(r);
    r->try.err = e;
    (void)snprintf(r->try.text, sizeof r->try.text, "%s", text);
}

static void note_timeout(struct racer *r)
{
    static const char *const phases[] = {[DIAL_NAME] = "name",
                                         [DIAL_CONNECT] = "connect",
                                         [DIAL_TLS] = "TLS",
                                         [DIAL_DONE] = "websocket"};
    char text[80];
    uint32_t ms = r->open->request.timeout_ms;
    measure(r);
    if (ms % 1000 == 0)
        (void)snprintf(text, sizeof text, "%s: timeout after %u s", phases[r->phase], ms / 1000);
    else
        (void)snprintf(text, sizeof text, "%s: timeout after %u ms", phases[r->phase], ms);
    note(r, ERR_TIMEOUT, text);
}

/* The error of the one that got furthest, of the first one where they are equal. */
static enum err verdict(const struct link_open *o)
{
    const struct racer *best = &o->racers[0];
    for (size_t i = 1; i < o->racers_len; i++)
        if (o->racers[i].phase > best->phase)
            best = &o->racers[i];
    return best->try.err;
}

static void finish(struct link_open *o, struct racer *winner)
{
    struct link_result result = {.err = ERR_NONE, .tries_len = o->racers_len};
    struct buf answer = {0};
    for (size_t i = 0; i < o->racers_len; i++) {
        struct racer *r = &o->racers[i];
        if (r != winner && r->dial != NULL)
            note(r, ERR_CLOSED, "given up: the other family was faster");
        result.tries[i] = r->try;
    }
    if (winner != NULL) {
        result.link = mem_zero(1, sizeof *result.link);
        result.link->dial = winner->dial;
        result.family = winner->try.family;
        answer = winner->answer;
        result.extra = answer.data + winner->answer_len;
        result.extra_len = answer.len - winner->answer_len;
        winner->dial = NULL;
        buf_init(&winner->answer, 0);
    } else {
        result.err = verdict(o);
    }
    end(o);
    o->fn(o->arg, &result);
    buf_fini(&answer);
}

/* Nothing was started: one try says why. */
static void refuse(struct link_open *o, enum err e, const char *text)
{
    struct link_result result = {.err = e, .tries_len = 1};
    result.tries[0].err = e;
    (void)snprintf(result.tries[0].text, sizeof result.tries[0].text, "%s", text);
    end(o);
    o->fn(o->arg, &result);
}

static void expire(struct link_open *o)
{
    struct racer *complete = NULL;
    if (o->racers_len == 0) {
        refuse(o, ERR_TIMEOUT, "timeout before anything was started");
        return;
    }
    for (size_t i = 0; i < o->racers_len; i++) {
        struct racer *r = &o->racers[i];
        if (r->dial != NULL && r->answer_len > 0)
            complete = r;
        else if (r->dial != NULL) {
            note_timeout(r);
            leave(r);
        }
    }
    finish(o, complete);
}

static void fail(struct racer *r, enum err e, const char *text)
{
    struct link_open *o = r->open;
    if (e == ERR_TIMEOUT)
        note_timeout(r);
    else
        note(r, e, text);
    leave(r);
    race_failed(&o->race, r->lane);
    go_on(o);
}

/* --- the websocket's handshake --------------------------------------------------------------- */

static void complete(struct racer *r, size_t answer_len)
{
    struct link_open *o = r->open;
    stop_polling(r);
    measure(r);
    r->try.websocket_us = clock_boot_us() - r->websocket_start_us;
    r->answer_len = answer_len;
    race_completed(&o->race, r->lane, clock_boot_ms());
    go_on(o);
}

/* The stream ended before the answer did. */
static void cut_off(struct racer *r, int status)
{
    char text[64];
    r->try.http_status = status;
    (void)snprintf(text, sizeof text, "HTTP %d", status);
    if (status != 0 && status != 101)
        fail(r, ERR_HTTP, text);
    else
        fail(r, ERR_CLOSED, "websocket: connection closed without an answer");
}

/* True when more of the answer can be read at once; else the racer may be over. */
static bool read_answer(struct racer *r)
{
    struct handshake_answer a = {0};
    struct problem p = {""};
    struct buf *b = &r->answer;
    if (buf_reserve(b, READ_LEN) != ERR_NONE)
        die("link: an answer grew beyond its limit");
    ssize_t n = dial_recv(r->dial, b->data + b->len, READ_LEN);
    if (n == 0)
        return false;
    b->len += n > 0 ? (size_t)n : 0;
    enum err e = handshake_answer((const char *)b->data, b->len, r->key, &a, &p);
    if (e == ERR_AGAIN && n > 0)
        return true;
    r->try.http_status = e == ERR_HTTP ? a.status : 0;
    r->try.retry_after_ms = a.retry_after_ms;
    if (e == ERR_NONE)
        complete(r, a.len);
    else if (e == ERR_AGAIN)
        cut_off(r, a.status);
    else
        fail(r, e, p.text);
    return false;
}

static void on_poll(uv_poll_t *poll, int status, int events);

/* Sends what is left of the request, reads what is there. The racer may be over afterwards. */
static void converse(struct racer *r)
{
    while (r->request.len > 0) {
        ssize_t n = dial_send(r->dial, r->request.data, r->request.len);
        if (n < 0) {
            fail(r, ERR_CLOSED, "websocket: connection closed before the request was sent");
            return;
        }
        if (n == 0)
            break;
        buf_drop(&r->request, (size_t)n);
    }
    int events = UV_READABLE | (r->request.len > 0 ? UV_WRITABLE : 0);
    if (uv_poll_start(&r->poll, events, on_poll) != 0) {
        fail(r, ERR_IO, "websocket: cannot watch the connection");
        return;
    }
    while (read_answer(r))
        continue;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct link_open *o = poll->data;
    struct racer *r = poll == &o->racers[0].poll ? &o->racers[0] : &o->racers[1];
    (void)status; /* reading tells */
    (void)events;
    converse(r);
}

static void on_dialed(void *arg, enum err e, const char *text)
{
    struct racer *r = arg;
    struct link_open *o = r->open;
    const char *agent = o->request.route == ROUTE_TOR ? NULL : dialer_user_agent(o->dialer);
    if (e != ERR_NONE) {
        fail(r, e, text);
        return;
    }
    r->websocket_start_us = clock_boot_us();
    handshake_key(r->key);
    if (handshake_request(&r->request, &o->request.url, r->key, agent) != ERR_NONE) {
        fail(r, ERR_TOO_BIG, "websocket: the request is too long");
        return;
    }
    if (uv_poll_init(dialer_loop(o->dialer), &r->poll, dial_fd(r->dial)) != 0) {
        fail(r, ERR_IO, "websocket: cannot watch the connection");
        return;
    }
    r->poll.data = o;
    r->polling = true;
    hold(o);
    converse(r);
}

/* --- the race -------------------------------------------------------------------------------- */

static void start(struct link_open *o, enum family lane)
{
    struct racer *r = &o->racers[o->racers_len++];
    *r = (struct racer){.open = o, .lane = lane};
    r->try.family = o->plan.only == FAMILY_COUNT ? lane : o->plan.only;
    buf_init(&r->request, REQUEST_MAX);
    buf_init(&r->answer, HANDSHAKE_ANSWER_MAX + READ_LEN);
    struct dial_request request = {.url = &o->request.url,
                                   .route = o->request.route,
                                   .family = lane,
                                   .socks = o->plan.socks[lane],
                                   .socks_user = o->socks_user,
                                   .timeout_ms = o->request.timeout_ms};
    r->dial = dial_start(o->dialer, &request, on_dialed, r);
    race_started(&o->race, lane);
}

static struct racer *on_lane(struct link_open *o, enum family lane)
{
    return o->racers[0].lane == lane ? &o->racers[0] : &o->racers[1];
}

static void on_timer(uv_timer_t *timer);

static void go_on(struct link_open *o)
{
    for (;;) {
        uint64_t now_ms = clock_boot_ms();
        if (now_ms >= o->deadline_ms) {
            expire(o);
            return;
        }
        struct race_step s = race_next(&o->race, now_ms);
        switch (s.what) {
        case RACE_START:
            start(o, s.family);
            break;
        case RACE_WAIT: {
            uint64_t at_ms = s.at_ms != 0 && s.at_ms < o->deadline_ms ? s.at_ms : o->deadline_ms;
            uv_update_time(dialer_loop(o->dialer));
            (void)uv_timer_start(&o->timer, on_timer, at_ms - now_ms, 0);
            return;
        }
        case RACE_TAKE:
            finish(o, on_lane(o, s.family));
            return;
        case RACE_FAIL:
            finish(o, NULL);
            return;
        }
    }
}

static void begin(struct link_open *o)
{
    const struct link_request *r = &o->request;
    uint64_t now_ms = clock_boot_ms();
    struct race_rules rules = {.ipv4_first = r->ipv4_first,
                               .delay_ms = r->race_delay_ms,
                               .grace_ms = r->route == ROUTE_TOR ? TOR_GRACE_MS : 0};
    const char *why = plan_families(r, &o->plan);
    if (why != NULL) {
        refuse(o, ERR_UNREACHABLE, why);
        return;
    }
    rules.mode = o->plan.mode;
    o->deadline_ms = now_ms + r->timeout_ms;
    race_init(&o->race, &rules, now_ms);
    go_on(o);
}

static void on_timer(uv_timer_t *timer)
{
    struct link_open *o = timer->data;
    if (o->deadline_ms == 0)
        begin(o);
    else
        go_on(o);
}

struct link_open *link_open(struct dialer *d, const struct link_request *r, link_fn *fn, void *arg)
{
    struct link_open *o = mem_zero(1, sizeof *o);
    o->dialer = d;
    o->request = *r;
    if (r->socks != NULL) {
        o->socks = *r->socks;
        o->request.socks = &o->socks;
    }
    if (r->socks_user != NULL)
        o->request.socks_user = o->socks_user = mem_strdup(r->socks_user);
    o->fn = fn;
    o->arg = arg;
    (void)uv_timer_init(dialer_loop(d), &o->timer);
    o->timer.data = o;
    hold(o);
    (void)uv_timer_start(&o->timer, on_timer, 0, 0);
    return o;
}

void link_cancel(struct link_open *o)
{
    if (o != NULL && !o->over)
        end(o);
}

/* --- the link -------------------------------------------------------------------------------- */

ssize_t link_send(void *link, const uint8_t *data, size_t len)
{
    return dial_send(((struct link *)link)->dial, data, len);
}

ssize_t link_recv(void *link, uint8_t *data, size_t len)
{
    return dial_recv(((struct link *)link)->dial, data, len);
}

int link_fd(const struct link *l)
{
    return dial_fd(l->dial);
}

void link_close(struct link *l)
{
    if (l == NULL)
        return;
    dial_close(l->dial);
    free(l);
}
