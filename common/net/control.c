/* One step after the other, one command under way at a time:
 *
 *   connect → PROTOCOLINFO → (AUTHCHALLENGE) → AUTHENTICATE → (TAKEOWNERSHIP) → SETEVENTS
 *   → GETINFO status/bootstrap-phase → (GETINFO circuit-status) → idle
 *
 * Idle, it asks for the bootstrap phase now and then: a tor that does not answer is away. Whatever
 * goes wrong ends the connection with words, and the next try comes after a while. */
#include "common/base/backoff.h"
#include "common/base/hex.h"
#include "common/net/control_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MS    15000u
#define ASK_MS       30000u
#define RETRY_MIN_MS 200u
#define RETRY_MAX_MS 5000u
#define COMMAND_MAX  1200u

static void on_timer(uv_timer_t *timer);
static void connect_now(struct control *c);

/* ---- the state as others see it ---- */

const struct control_status *control_bootstrap(const struct control *c)
{
    return &c->status;
}

static void set_status(struct control *c, const struct control_status *s)
{
    bool same = c->status.state == s->state && c->status.percent == s->percent &&
                strcmp(c->status.summary, s->summary) == 0 &&
                strcmp(c->status.problem, s->problem) == 0;
    c->status = *s;
    if (!same && !c->closing && c->on_status != NULL)
        c->on_status(c->arg, &c->status);
}

static void set_bootstrap(struct control *c, const struct control_bootstrap_event *e)
{
    struct control_status s = {.state = e->percent == 100 ? CONTROL_READY : CONTROL_BOOTSTRAPPING,
                               .percent = e->percent};
    (void)snprintf(s.summary, sizeof s.summary, "%s", e->summary);
    if (s.state == CONTROL_BOOTSTRAPPING)
        (void)snprintf(s.problem, sizeof s.problem, "%s", e->warning);
    set_status(c, &s);
}

/* ---- the connection ---- */

void control_release(struct control *c)
{
    if (--c->handles > 0)
        return;
    void (*fn)(void *arg) = c->free_fn;
    void *arg = c->free_arg;
    control_streams_free(c->streams);
    explicit_bzero(c->cookie, sizeof c->cookie);
    free(c->address);
    free(c->password_file);
    free(c);
    if (fn != NULL)
        fn(arg);
}

static void close_wire(struct control *c)
{
    if (c->wire != NULL)
        control_wire_close(c->wire);
    c->wire = NULL;
}

static void fail(struct control *c, const char *fmt, ...) PRINTF(2, 3);
static void fail(struct control *c, const char *fmt, ...)
{
    struct control_status s = {.state = CONTROL_AWAY};
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(s.problem, sizeof s.problem, fmt, ap);
    va_end(ap);
    close_wire(c);
    control_streams_forget(c->streams);
    c->step = STEP_WAIT;
    c->failures++;
    uv_timer_start(&c->timer, on_timer,
                   backoff_ms(c->failures, RETRY_MIN_MS, RETRY_MAX_MS, &c->rng), 0);
    set_status(c, &s);
}

/* Sends a command and waits for its answer. */
static void ask(struct control *c, enum step step, const char *fmt, ...) PRINTF(3, 4);
static void ask(struct control *c, enum step step, const char *fmt, ...)
{
    char text[COMMAND_MAX];
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(text, sizeof text - 2, fmt, ap);
    va_end(ap);
    if (len < 0 || len >= (int)sizeof text - 2)
        die("control: a command is too long");
    memcpy(text + len, "\r\n", 3);
    c->step = step;
    uv_timer_start(&c->timer, on_timer, ANSWER_MS, 0);
    control_wire_send(c->wire, text, (size_t)len + 2);
    explicit_bzero(text, sizeof text);
}

static void on_timer(uv_timer_t *timer)
{
    struct control *c = timer->data;
    if (c->step == STEP_WAIT)
        connect_now(c);
    else if (c->step == STEP_IDLE)
        ask(c, STEP_BOOTSTRAP, "GETINFO status/bootstrap-phase");
    else
        fail(c, "%s: no answer", c->address);
}

/* ---- being let in ---- */

static void authenticate(struct control *c, const uint8_t *data, size_t len)
{
    char hex[2 * CONTROL_COOKIE_LEN + 1];
    ask(c, STEP_AUTH, "AUTHENTICATE %s", hex_str(hex, data, len));
    explicit_bzero(hex, sizeof hex);
}

static void by_password(struct control *c)
{
    char secret[CONTROL_SECRET_MAX];
    struct problem p = {0};
    struct buf quoted;
    if (control_password_load(c->password_file, c->password_may_be_readable, secret, &p) !=
        ERR_NONE) {
        fail(c, "tor.control_password_file: %s", p.text);
        return;
    }
    buf_init(&quoted, COMMAND_MAX);
    if (control_quote(&quoted, secret) != ERR_NONE)
        die("control: a password is too long");
    problem_set(&c->refused, ERR_NONE, "tor refuses the password in %s", c->password_file);
    ask(c, STEP_AUTH, "AUTHENTICATE %s", buf_str(&quoted));
    explicit_bzero(secret, sizeof secret);
    explicit_bzero(quoted.data, quoted.len);
    buf_fini(&quoted);
}

static void by_cookie(struct control *c)
{
    struct problem p = {0};
    if (control_cookie_load(c->methods.cookie_file, c->cookie, &p) != ERR_NONE) {
        fail(c, "tor's cookie: %s%s", p.text,
             c->methods.password ? "; or give tor.control_password_file" : "");
        return;
    }
    problem_set(&c->refused, ERR_NONE, "tor refuses the cookie in %s", c->methods.cookie_file);
    if (!c->methods.safe_cookie) {
        authenticate(c, c->cookie, sizeof c->cookie);
        return;
    }
    char hex[2 * CONTROL_NONCE_LEN + 1];
    rng_secure(c->nonce, sizeof c->nonce);
    ask(c, STEP_CHALLENGE, "AUTHCHALLENGE SAFECOOKIE %s", hex_str(hex, c->nonce, sizeof c->nonce));
}

static void choose_method(struct control *c)
{
    const struct control_methods *m = &c->methods;
    if (m->none)
        ask(c, STEP_AUTH, "AUTHENTICATE");
    else if (m->password && c->password_file[0] != '\0')
        by_password(c);
    else if (m->safe_cookie || m->cookie)
        by_cookie(c);
    else if (m->password)
        fail(c, "%s wants a password: give tor.control_password_file", c->address);
    else
        fail(c, "%s offers no way to be let in that is known here", c->address);
}

static void on_challenge(struct control *c, const char *text)
{
    struct control_challenge challenge;
    uint8_t proof[CONTROL_PROOF_LEN];
    if (control_challenge_parse(text, &challenge) != ERR_NONE)
        fail(c, "%s: a challenge that is none", c->address);
    else if (control_challenge_answer(&challenge, c->cookie, c->nonce, proof) != ERR_NONE)
        fail(c, "%s does not know the cookie in %s: another tor?", c->address,
             c->methods.cookie_file);
    else
        authenticate(c, proof, sizeof proof);
}

/* ---- answers and events ---- */

static void idle(struct control *c)
{
    c->step = STEP_IDLE;
    c->failures = 0;
    uv_timer_start(&c->timer, on_timer, ASK_MS, 0);
    control_look_at_watches(c);
}

static void listen_to_events(struct control *c)
{
    ask(c, STEP_EVENTS, "SETEVENTS STATUS_CLIENT%s", c->with_streams ? " STREAM CIRC" : "");
}

/* The command of this step was answered with 250. */
static void next_step(struct control *c, const char *text)
{
    switch (c->step) {
    case STEP_METHODS:
        choose_method(c);
        break;
    case STEP_CHALLENGE:
        on_challenge(c, text);
        break;
    case STEP_AUTH:
        if (c->own)
            ask(c, STEP_OWN, "TAKEOWNERSHIP");
        else
            listen_to_events(c);
        break;
    case STEP_OWN:
        listen_to_events(c);
        break;
    case STEP_EVENTS:
        ask(c, STEP_BOOTSTRAP, "GETINFO status/bootstrap-phase");
        break;
    case STEP_BOOTSTRAP:
        if (c->with_streams && !c->circuits_known)
            ask(c, STEP_CIRCUITS, "GETINFO circuit-status");
        else
            idle(c);
        break;
    case STEP_CIRCUITS:
        c->circuits_known = true;
        idle(c);
        break;
    case STEP_WAIT:
    case STEP_CONNECT:
    case STEP_IDLE:
        fail(c, "%s: an answer nobody asked for", c->address);
        break;
    }
}

static void refused(struct control *c, const struct control_line *line)
{
    if (c->step == STEP_AUTH && c->refused.text[0] != '\0')
        fail(c, "%s (%d)", c->refused.text, line->status);
    else
        fail(c, "%s: refused: %d %.120s", c->address, line->status, line->text);
}

static void take_bootstrap(struct control *c, const char *text)
{
    struct control_bootstrap_event e;
    if (control_event_bootstrap(text, &e) == ERR_NONE)
        set_bootstrap(c, &e);
}

static void take_circuit(struct control *c, const char *text)
{
    struct control_circuit_event e;
    if (control_event_circuit(text, &e) == ERR_NONE)
        control_streams_take_circuit(c->streams, &e);
}

static const char *behind(const char *text, const char *start)
{
    size_t len = strlen(start);
    return strncmp(text, start, len) == 0 ? text + len : NULL;
}

static void on_event(struct control *c, const char *text)
{
    const char *rest;
    struct control_stream_event e;
    if ((rest = behind(text, "STATUS_CLIENT ")) != NULL) {
        take_bootstrap(c, rest);
    } else if ((rest = behind(text, "CIRC ")) != NULL) {
        take_circuit(c, rest);
    } else if ((rest = behind(text, "STREAM ")) != NULL &&
               control_event_stream(rest, &e) == ERR_NONE) {
        control_streams_take(c->streams, &e);
        control_look_at_watches(c);
    }
}

static void on_reply_part(struct control *c, const struct control_line *line)
{
    const char *rest;
    if (c->step == STEP_METHODS) {
        if (control_methods_take(&c->methods, line->text) != ERR_NONE)
            fail(c, "%s: an answer to PROTOCOLINFO that is none", c->address);
    } else if (c->step == STEP_BOOTSTRAP) {
        if ((rest = behind(line->text, "status/bootstrap-phase=")) != NULL)
            take_bootstrap(c, rest);
    } else if (c->step == STEP_CIRCUITS) {
        if (line->kind == CONTROL_DATA)
            take_circuit(c, line->text);
        else if ((rest = behind(line->text, "circuit-status=")) != NULL && rest[0] != '\0')
            take_circuit(c, rest);
    }
}

static void on_line(void *arg, const struct control_line *line)
{
    struct control *c = arg;
    if (line->status >= 600 && line->status < 700) {
        if (line->kind == CONTROL_END)
            on_event(c, line->text);
    } else if (line->kind != CONTROL_END) {
        on_reply_part(c, line);
    } else if (line->status == 250) {
        next_step(c, line->text);
    } else {
        refused(c, line);
    }
}

/* ---- beginning and ending ---- */

static void on_open(void *arg)
{
    struct control *c = arg;
    c->methods = (struct control_methods){0};
    c->refused.text[0] = '\0';
    ask(c, STEP_METHODS, "PROTOCOLINFO 1");
}

static void on_end(void *arg, const char *text)
{
    struct control *c = arg;
    c->wire = NULL;
    fail(c, "%s", text);
}

static void on_wire_closed(void *arg)
{
    control_release(arg);
}

static void connect_now(struct control *c)
{
    static const struct control_wire_calls calls = {on_open, on_line, on_end, on_wire_closed};
    c->handles++;
    c->circuits_known = false;
    c->step = STEP_CONNECT;
    uv_timer_start(&c->timer, on_timer, ANSWER_MS, 0);
    c->wire = control_wire_open(c->loop, c->address, &calls, c);
}

static void on_timer_closed(uv_handle_t *handle)
{
    control_release(handle->data);
}

struct control *control_new(uv_loop_t *loop, const struct control_options *o)
{
    struct control *c = mem_zero(1, sizeof *c);
    c->loop = loop;
    c->address = mem_strdup(o->address);
    c->password_file = mem_strdup(o->password_file != NULL ? o->password_file : "");
    c->password_may_be_readable = o->password_may_be_readable;
    c->with_streams = o->streams;
    c->own = o->own;
    c->on_status = o->on_status;
    c->arg = o->arg;
    c->streams = control_streams_new();
    rng_init_secure(&c->rng);
    (void)uv_timer_init(loop, &c->timer);
    c->timer.data = c;
    c->handles = 1;
    uv_timer_start(&c->timer, on_timer, 0, 0);
    return c;
}

void control_free(struct control *c, void (*fn)(void *arg), void *arg)
{
    if (c->watches != NULL)
        die("control: freed while a watch is kept");
    c->closing = true;
    c->free_fn = fn;
    c->free_arg = arg;
    close_wire(c);
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}
