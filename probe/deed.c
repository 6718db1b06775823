/* What the holder of the token may do: replay, hold, release. Each begins with a page that says
 * what would happen, with a count, and asks for the token; only its form acts. */
#include "common/base/log.h"
#include "common/base/rng.h"
#include "probe/page.h"
#include "probe/page_internal.h"
#include "probe/service.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TYPE_HTML "text/html; charset=utf-8"

enum deed_kind { DEED_REPLAY, DEED_HOLD, DEED_RELEASE, DEED_COUNT };
static const char *const names[DEED_COUNT] = {"replay", "hold", "release"};
static const char *const titles[DEED_COUNT] = {"Replay", "Hold", "Release"};

struct deed {
    enum deed_kind kind;
    char relay[URL_SIZE]; /* as typed; empty: all */
    char classes[128];
    struct failed_call call;
    struct hold_call hold;
    uint64_t count, gone, busy;
    bool doing; /* else only counting */
};

static void say(struct request *r, const struct deed *d, unsigned status, const char *fmt, ...)
    PRINTF(4, 5);
static void say(struct request *r, const struct deed *d, unsigned status, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    page_begin(titles[d->kind], r->window, r->text.out);
    (void)fputs("<section><p role=\"status\">", r->text.out);
    html_text(r->text.out, text);
    (void)fputs("</p></section>\n", r->text.out);
    page_end(r->text.out);
    request_done(r, status, TYPE_HTML);
}

static void hidden(FILE *out, const char *name, const char *value)
{
    (void)fprintf(out, "<input type=\"hidden\" name=\"%s\" value=\"", name);
    html_text(out, value);
    (void)fputs("\">", out);
}

/* The page that asks. `able`: there is something to do. */
static void ask(struct request *r, const struct deed *d, const char *text, bool able)
{
    FILE *out = r->text.out;

    page_begin(titles[d->kind], r->window, out);
    (void)fputs("<section><p>", out);
    html_text(out, text);
    (void)fputs("</p>\n", out);
    if (able && !r->p->rules.token.is_set)
        (void)fprintf(out, "<p>%s</p>\n", guard_words(GUARD_READ_ONLY));
    else if (able) {
        (void)fputs("<form action=\"/act\" method=\"post\">", out);
        hidden(out, "act", names[d->kind]);
        hidden(out, "relay", d->relay);
        hidden(out, "class", d->classes);
        page_keep_window(r->window, out);
        (void)fprintf(out,
                      "<label for=\"token\">Admin token</label><input id=\"token\" name=\"token\" "
                      "type=\"password\" required autocomplete=\"current-password\">"
                      "<button>%s</button></form>",
                      titles[d->kind]);
    }
    (void)fputs("</section>\n", out);
    page_end(out);
    request_done(r, MHD_HTTP_OK, TYPE_HTML);
}

/* ---- replay ---- */

static void on_job(void *arg, enum err e, const struct failed_page *page)
{
    struct request *r = arg;
    struct deed *d = r->more;

    if (e == ERR_FULL || e == ERR_NOT_FOUND) {
        request_fail(r, MHD_HTTP_CONFLICT,
                     e == ERR_FULL ? "Too many replay jobs are not over yet."
                                   : "The job ended while it was made; begin again.");
        return;
    }
    if (e != ERR_NONE) {
        request_no_answer(r, e);
        return;
    }
    for (size_t i = 0; i < page->groups_len; i++)
        d->count += page->groups[i].count - page->groups[i].gone - page->groups[i].busy;
    d->call.job = page->job;
    d->call.after = page->next;
    if (page->more && !r->p->quiet) {
        r->p->queue->ops->failed(r->p->queue, &d->call, on_job, r);
        return;
    }
    LOG(LOG_INFO, "replay asked for by the dashboard", LOG_I("job", page->job),
        LOG_S("filter", d->call.text));
    say(r, d, MHD_HTTP_OK,
        "Job %" PRIu64 ": %" PRIu64 " failed deliveries will be sent again, as relays take them.",
        page->job, d->count);
}

static void begin_job(struct request *r, struct deed *d)
{
    d->count = 0;
    d->call.what = FAILED_REPLAY;
    d->call.after = (struct row_mark){0};
    while (d->call.token == 0)
        rng_secure(&d->call.token, sizeof d->call.token);
    r->p->queue->ops->failed(r->p->queue, &d->call, on_job, r);
}

static void on_counted(void *arg, enum err e, const struct failed_page *page)
{
    struct request *r = arg;
    struct deed *d = r->more;
    char text[1024];

    if (e != ERR_NONE) {
        request_no_answer(r, e);
        return;
    }
    for (size_t i = 0; i < page->groups_len; i++) {
        d->count += page->groups[i].count;
        d->gone += page->groups[i].gone;
        d->busy += page->groups[i].busy;
    }
    d->call.after = page->next;
    if (page->more && !r->p->quiet) {
        r->p->queue->ops->failed(r->p->queue, &d->call, on_counted, r);
        return;
    }
    uint64_t able = d->count - d->gone - d->busy;
    (void)snprintf(text, sizeof text,
                   "%" PRIu64 " failed deliveries would be sent again (%.300s). %" PRIu64
                   " can't be, as they are no longer kept; %" PRIu64 " are in another replay.",
                   able, d->call.text, d->gone, d->busy);
    ask(r, d, text, able > 0);
}

static void begin_replay(struct request *r, struct deed *d)
{
    struct problem why;

    if (service_filter(r->p, d->relay, d->classes, &d->call, &why) != ERR_NONE) {
        request_fail(r, MHD_HTTP_BAD_REQUEST, why.text);
        return;
    }
    request_wait(r);
    if (d->doing) {
        begin_job(r, d);
        return;
    }
    d->call.what = FAILED_COUNT;
    r->p->queue->ops->failed(r->p->queue, &d->call, on_counted, r);
}

/* ---- hold and release ---- */

static void on_held(void *arg, enum err e, const struct hold_result *result)
{
    struct request *r = arg;
    struct deed *d = r->more;

    if (e == ERR_NOT_FOUND) {
        request_fail(r, MHD_HTTP_CONFLICT, "This relay has just retired.");
        return;
    }
    if (e != ERR_NONE) {
        request_no_answer(r, e);
        return;
    }
    LOG(LOG_INFO, "relay held or released by the dashboard", LOG_S("relay", d->hold.url),
        LOG_S("act", names[d->kind]));
    if (d->hold.held)
        say(r, d, MHD_HTTP_OK, "%s is held: nothing is sent there; %" PRIu64 " wait.", d->relay,
            result->waiting);
    else
        say(r, d, MHD_HTTP_OK, "%s is released: %" PRIu64 " wait and are sent in order.", d->relay,
            result->waiting);
}

static void begin_hold(struct request *r, struct deed *d)
{
    const struct queue_depth *depth = &r->p->k.snapshot.depth;
    struct relay_choice choice;
    const struct lane_status *lane = NULL;
    char text[1024], by[OPERATOR_SIZE];

    relay_choose(d->relay, &choice);
    for (size_t i = 0; i < depth->lanes_len && lane == NULL; i++)
        if (!depth->lanes[i].retired && relay_chosen(&choice, &depth->lanes[i].definition))
            lane = &depth->lanes[i];
    if (lane == NULL) {
        request_fail(r, MHD_HTTP_BAD_REQUEST, "There is no such relay.");
        return;
    }
    if (!d->doing) {
        (void)snprintf(text, sizeof text,
                       d->kind == DEED_HOLD
                           ? "Nothing more would be sent to %.500s, until it is released. %" PRIu64
                             " deliveries wait there now, and are kept within retention."
                           : "%.500s would be sent to again, in order: %" PRIu64
                             " deliveries wait there.",
                       d->relay, lane->depth);
        ask(r, d, text, true);
        return;
    }
    d->hold = (struct hold_call){.held = d->kind == DEED_HOLD};
    (void)snprintf(d->hold.url, sizeof d->hold.url, "%s", lane->definition.url);
    operator_name(by);
    (void)snprintf(d->hold.by, sizeof d->hold.by, "dashboard of %.60s", by);
    request_wait(r);
    r->p->queue->ops->hold(r->p->queue, &d->hold, on_held, r);
}

/* ---- both ---- */

static void begin(struct request *r, struct deed *d, const char *act)
{
    while (d->kind < DEED_COUNT && strcmp(act, names[d->kind]) != 0)
        d->kind++;
    if (d->kind == DEED_COUNT)
        request_fail(r, MHD_HTTP_BAD_REQUEST, "act: replay, hold or release.");
    else if (d->kind == DEED_REPLAY)
        begin_replay(r, d);
    else
        begin_hold(r, d);
}

/* An empty relay, or class, means all: what can't be read must not come to that. */
static void begin_if(bool readable, struct request *r, struct deed *d, const char *act)
{
    if (readable)
        begin(r, d, act);
    else
        request_fail(r, MHD_HTTP_BAD_REQUEST, "The relay or the class can't be read.");
}

static bool take(const char *text, char *out, size_t size)
{
    return (size_t)snprintf(out, size, "%s", text != NULL ? text : "") < size;
}

void deed_ask(struct request *r)
{
    struct deed *d = mem_zero(1, sizeof *d);
    const char *act = request_query(r, "act");

    r->more = d;
    bool readable = take(request_query(r, "relay"), d->relay, sizeof d->relay) &&
                    take(request_query(r, "class"), d->classes, sizeof d->classes);
    begin_if(readable, r, d, act != NULL ? act : "");
}

void deed_do(struct request *r)
{
    struct deed *d = mem_zero(1, sizeof *d);
    char act[16];

    r->more = d;
    d->doing = true;
    bool readable = request_form(r, "act", act, sizeof act) &&
                    request_form(r, "relay", d->relay, sizeof d->relay) &&
                    request_form(r, "class", d->classes, sizeof d->classes);
    begin_if(readable, r, d, act);
}
