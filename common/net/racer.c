#include "common/net/racer.h"

#include "common/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_MAX 4096u
#define READ_LEN    2048u

/* Closes in its own time, so it stands alone. */
struct racer_poll {
    uv_poll_t poll;
    struct dialer *dialer;
    struct racer *racer; /* valid while it watches */
};

static void on_poll_closed(uv_handle_t *handle)
{
    struct racer_poll *p = handle->data;
    dialer_release(p->dialer);
    free(p);
}

static void stop_polling(struct racer *r)
{
    if (r->poll != NULL)
        uv_close((uv_handle_t *)&r->poll->poll, on_poll_closed); /* before the descriptor closes */
    r->poll = NULL;
}

static bool start_polling(struct racer *r)
{
    struct racer_poll *p = mem_zero(1, sizeof *p);
    if (uv_poll_init(dialer_loop(r->dialer), &p->poll, dial_fd(r->dial)) != 0) {
        free(p);
        return false;
    }
    p->poll.data = p;
    p->dialer = r->dialer;
    p->racer = r;
    dialer_hold(r->dialer);
    r->poll = p;
    return true;
}

void racer_leave(struct racer *r)
{
    stop_polling(r);
    buf_fini(&r->request_left);
    buf_fini(&r->answer);
    dial_close(r->dial);
    r->dial = NULL;
}

/* --- what came of it ------------------------------------------------------------------------- */

static void measure(struct racer *r)
{
    struct dial_times t;
    dial_look(r->dial, &t);
    r->phase = t.phase;
    r->try.dns_us = t.dns_us;
    r->try.connect_us = t.connect_us;
    r->try.tls_us = t.tls_us;
    r->try.took_us = clock_boot_us() - r->started_us;
    r->try.local_port = dial_local_port(r->dial);
    r->try.certificate_end_s = dial_certificate_end_s(r->dial);
    dial_address(r->dial, r->try.address, sizeof r->try.address);
}

static void note(struct racer *r, enum err e, enum link_why why, const char *text)
{
    measure(r);
    r->try.err = e;
    r->try.why = why;
    (void)snprintf(r->try.text, sizeof r->try.text, "%s", text);
}

static void note_timeout(struct racer *r, uint32_t ms)
{
    static const char *const phases[] = {[DIAL_NAME] = "name",
                                         [DIAL_CONNECT] = "connect",
                                         [DIAL_TLS] = "TLS",
                                         [DIAL_DONE] = "websocket"};
    char text[80];
    measure(r);
    if (ms % 1000 == 0)
        (void)snprintf(text, sizeof text, "%s: timeout after %u s", phases[r->phase], ms / 1000);
    else
        (void)snprintf(text, sizeof text, "%s: timeout after %u ms", phases[r->phase], ms);
    note(r, ERR_TIMEOUT, LINK_WHY_TIMEOUT, text);
}

void racer_time_out(struct racer *r, uint32_t after_ms)
{
    note_timeout(r, after_ms);
    racer_leave(r);
}

void racer_note_lost(struct racer *r)
{
    r->try.lost = true;
    note(r, ERR_CLOSED, LINK_WHY_NONE, "given up: the other family was faster");
}

static void fail(struct racer *r, enum err e, enum link_why why, const char *text)
{
    if (e == ERR_TIMEOUT)
        note_timeout(r, r->request->timeout_ms);
    else
        note(r, e, why, text);
    racer_leave(r);
    r->done(r, e);
}

static void complete(struct racer *r, size_t answer_len)
{
    stop_polling(r);
    measure(r);
    r->answer_len = answer_len;
    r->done(r, ERR_NONE);
}

/* --- the websocket's handshake --------------------------------------------------------------- */

static void fail_http(struct racer *r, int status, const char *text)
{
    bool serves = status < 400; /* pages, redirections: something else lives there */
    r->try.http_status = status;
    fail(r, ERR_HTTP, serves ? LINK_WHY_NO_WEBSOCKET : LINK_WHY_HTTP, text);
}

/* The stream ended before the answer did. */
static void cut_off(struct racer *r, int status)
{
    char text[64];
    (void)snprintf(text, sizeof text, "HTTP %d", status);
    if (status != 0 && status != 101)
        fail_http(r, status, text);
    else
        fail(r, ERR_CLOSED, LINK_WHY_NO_WEBSOCKET,
             "websocket: connection closed without an answer");
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
    r->try.retry_after_ms = a.retry_after_ms;
    if (e == ERR_NONE) {
        r->try.websocket_us = clock_boot_us() - r->websocket_start_us;
        complete(r, a.len);
    } else if (e == ERR_AGAIN) {
        cut_off(r, a.status);
    } else if (e == ERR_HTTP) {
        fail_http(r, a.status, p.text);
    } else {
        fail(r, e, LINK_WHY_NO_WEBSOCKET, p.text);
    }
    return false;
}

static void on_poll(uv_poll_t *poll, int status, int events);

/* Sends what is left of the request, reads what is there. The racer may be over afterwards. */
static void converse(struct racer *r)
{
    while (r->request_left.len > 0) {
        ssize_t n = dial_send(r->dial, r->request_left.data, r->request_left.len);
        if (n < 0) {
            fail(r, ERR_CLOSED, LINK_WHY_NO_WEBSOCKET,
                 "websocket: connection closed before the request was sent");
            return;
        }
        if (n == 0)
            break;
        buf_drop(&r->request_left, (size_t)n);
    }
    int events = UV_READABLE | (r->request_left.len > 0 ? UV_WRITABLE : 0);
    if (uv_poll_start(&r->poll->poll, events, on_poll) != 0) {
        fail(r, ERR_IO, LINK_WHY_NOT_TRIED, "websocket: cannot watch the connection");
        return;
    }
    while (read_answer(r))
        continue;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct racer_poll *p = poll->data;
    (void)status; /* reading tells */
    (void)events;
    converse(p->racer);
}

static void on_dialed(void *arg, enum err e, enum link_why why, const char *text)
{
    struct racer *r = arg;
    const char *agent = r->request->route == ROUTE_TOR ? NULL : dialer_user_agent(r->dialer);
    if (e != ERR_NONE) {
        fail(r, e, why, text);
        return;
    }
    if (r->only_connect) {
        complete(r, 0);
        return;
    }
    r->websocket_start_us = clock_boot_us();
    handshake_key(r->key);
    if (handshake_request(&r->request_left, &r->request->url, r->key, agent) != ERR_NONE)
        fail(r, ERR_TOO_BIG, LINK_WHY_NOT_TRIED, "websocket: the request is too long");
    else if (!start_polling(r))
        fail(r, ERR_IO, LINK_WHY_NOT_TRIED, "websocket: cannot watch the connection");
    else
        converse(r);
}

void racer_start(struct racer *r, const struct racer_options *o)
{
    const struct dial_request request = {.url = &o->request->url,
                                         .route = o->request->route,
                                         .family = o->lane,
                                         .socks = o->socks,
                                         .socks_user = o->socks_user,
                                         .timeout_ms = o->request->timeout_ms};
    *r = (struct racer){.done = o->done,
                        .owner = o->owner,
                        .dialer = o->dialer,
                        .request = o->request,
                        .lane = o->lane,
                        .started_ms = clock_boot_ms(),
                        .started_us = clock_boot_us(),
                        .try = {.family = o->family, .started = true}};
    if (o->socks != NULL)
        (void)snprintf(r->try.via, sizeof r->try.via, "%s", o->socks);
    buf_init(&r->request_left, REQUEST_MAX);
    buf_init(&r->answer, HANDSHAKE_ANSWER_MAX + READ_LEN);
    r->dial = dial_start(o->dialer, &request, on_dialed, r);
}
