/* From a request's headers to its path's function, and from there to the answer. A path that needs
 * the queue lets its connection wait (suspended) meanwhile. */
#include "probe/assets.h"
#include "probe/metrics.h"
#include "probe/page.h"
#include "probe/properties.h"
#include "probe/service.h"
#include "probe/vitals.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "httpd/reply.h"

#include <stdlib.h>
#include <string.h>

#define TYPE_HTML  "text/html; charset=utf-8"
#define REFUSED_MS 60000u

/* ---- answers ---- */

/* Nothing from elsewhere, nothing inline, no frame around it; kept by nobody. A referrer policy
 * stricter than same-origin would make browsers send "Origin: null" with our own forms. */
static const char *const headers[][2] = {
    {"Content-Security-Policy",
     "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action "
     "'self'; base-uri 'none'; frame-ancestors 'none'"},
    {"Referrer-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"X-Frame-Options", "DENY"},
    {"Cache-Control", "no-store"},
};

static enum MHD_Result answer(struct request *r)
{
    struct html_stream *s = &r->text;
    struct MHD_Response *response = reply_new_owned(r->type, s->text, s->len);

    s->text = NULL;
    for (size_t i = 0; i < COUNT_OF(headers); i++)
        reply_header(response, headers[i][0], headers[i][1]);
    if (r->status == MHD_HTTP_UNAUTHORIZED)
        reply_header(response, "WWW-Authenticate", "Basic realm=\"volley\", charset=\"UTF-8\"");
    if (r->status == MHD_HTTP_SERVICE_UNAVAILABLE)
        reply_header(response, "Retry-After", "5");
    if (r->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        reply_header(response, "Allow", strcmp(r->path, "/act") == 0 ? "GET, POST" : "GET, HEAD");
    return reply_send(r->c, r->status, response);
}

void request_done(struct request *r, unsigned status, const char *type)
{
    html_close(&r->text);
    r->status = status;
    r->type = type;
    r->done = true;
    if (!r->waits)
        return;
    r->waits = false;
    MHD_resume_connection(r->c);
    listener_kick(r->listener);
}

void request_wait(struct request *r)
{
    r->waits = true;
    MHD_suspend_connection(r->c);
}

static bool is_page(const struct request *r)
{
    static const char *const pages[] = {"/", "/act", "/receipt"};

    for (size_t i = 0; i < COUNT_OF(pages); i++)
        if (strcmp(r->path, pages[i]) == 0)
            return true;
    return false;
}

void request_fail(struct request *r, unsigned status, const char *why)
{
    if (is_page(r)) {
        page_begin("volley", r->window, r->text.out);
        (void)fputs("<section><p class=\"bad\" role=\"alert\">", r->text.out);
        html_text(r->text.out, why);
        (void)fputs("</p></section>\n", r->text.out);
        page_end(r->text.out);
        request_done(r, status, TYPE_HTML);
    } else {
        (void)fprintf(r->text.out, "%s\n", why);
        request_done(r, status, REPLY_TEXT);
    }
}

void request_no_answer(struct request *r, enum err e)
{
    const char *trouble = r->p->queue != NULL ? r->p->queue->trouble.text : "";
    struct problem why;

    if (trouble[0] != '\0')
        (void)problem_set(&why, e, "%s", trouble);
    else if (e == ERR_CLOSED || e == ERR_UNKNOWN || e == ERR_TIMEOUT)
        (void)problem_set(&why, e, "the queue does not answer");
    else
        (void)problem_set(&why, e, "the queue said: %s", err_name(e));
    request_fail(r, MHD_HTTP_SERVICE_UNAVAILABLE, why.text);
}

const char *request_query(const struct request *r, const char *name)
{
    return MHD_lookup_connection_value(r->c, MHD_GET_ARGUMENT_KIND, name);
}

bool request_form(const struct request *r, const char *name, char *out, size_t size)
{
    return form_get(r->form != NULL ? r->form : "", r->form_len, name, out, size);
}

/* ---- paths that need nobody ---- */

static struct page_look look_of(const struct request *r)
{
    return (struct page_look){
        .now_ms = clock_boot_ms(), .admin = r->p->rules.token.is_set, .window = r->window};
}

static void get_dashboard(struct request *r)
{
    const struct page_look look = look_of(r);

    page_dashboard(&r->p->k, &look, r->text.out);
    request_done(r, MHD_HTTP_OK, TYPE_HTML);
}

static void get_sections(struct request *r)
{
    const struct page_look look = look_of(r);

    page_sections(&r->p->k, &look, r->text.out);
    request_done(r, MHD_HTTP_OK, TYPE_HTML);
}

static void get_style(struct request *r)
{
    (void)fputs(asset_style, r->text.out);
    request_done(r, MHD_HTTP_OK, "text/css; charset=utf-8");
}

static void get_script(struct request *r)
{
    (void)fputs(asset_script, r->text.out);
    request_done(r, MHD_HTTP_OK, "text/javascript; charset=utf-8");
}

static void get_metrics(struct request *r)
{
    metrics_all(&r->p->k, r->text.out);
    request_done(r, MHD_HTTP_OK, METRICS_TYPE);
}

static void get_metrics_relays(struct request *r)
{
    metrics_relays(&r->p->k, r->text.out);
    request_done(r, MHD_HTTP_OK, METRICS_TYPE);
}

static void get_properties(struct request *r)
{
    const struct property_links links = {.ingest = r->p->ingest_list, .probe = r->p->listen_list};

    properties_yaml(&r->p->k, &links, r->text.out);
    request_done(r, MHD_HTTP_OK, PROPERTIES_TYPE);
}

/* Whoever may not read hears whether, and not why. */
static void get_health(struct request *r)
{
    const struct knowledge *k = &r->p->k;
    struct problem why;
    bool well = vitals_judge(k->snapshot.known ? &k->snapshot.depth : NULL, k->silent, &why);
    bool told = guard_read(&r->p->rules, &r->facts) == GUARD_YES;

    (void)fprintf(r->text.out, "%s\n", told ? why.text : well ? "ok" : "not well");
    request_done(r, well ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, REPLY_TEXT);
}

/* ---- the table of paths ---- */

struct path {
    const char *path;
    bool prefix; /* more follows */
    bool open;   /* to everybody */
    void (*get)(struct request *r);
    void (*post)(struct request *r); /* NULL: not offered */
};

static const struct path paths[] = {
    {"/", false, false, get_dashboard, NULL},
    {"/sections", false, false, get_sections, NULL},
    {"/style.css", false, false, get_style, NULL},
    {"/script.js", false, false, get_script, NULL},
    {"/receipt", false, false, page_receipt, NULL},
    {"/act", false, false, deed_ask, deed_do},
    {"/api/depth", false, false, api_depth, NULL},
    {"/api/relays", false, false, api_relays, NULL},
    {"/api/failed", false, false, api_failed, NULL},
    {"/api/receipt/", true, false, api_receipt, NULL},
    {"/metrics", false, false, get_metrics, NULL},
    {"/metrics/relays", false, false, get_metrics_relays, NULL},
    {"/properties", false, false, get_properties, NULL},
    {"/healthz", false, true, get_health, NULL},
};

static const struct path *path_of(const char *url)
{
    for (size_t i = 0; i < COUNT_OF(paths); i++)
        if (paths[i].prefix ? strncmp(url, paths[i].path, strlen(paths[i].path)) == 0
                            : strcmp(url, paths[i].path) == 0)
            return &paths[i];
    return NULL;
}

static unsigned status_of(enum guard_answer a)
{
    return a == GUARD_NO_TOKEN || a == GUARD_WRONG_TOKEN ? MHD_HTTP_UNAUTHORIZED
                                                         : MHD_HTTP_FORBIDDEN;
}

/* A zero byte would end a parameter early, and an empty one may mean all. */
static enum MHD_Result on_parameter(void *cls, enum MHD_ValueKind kind, const char *name,
                                    size_t name_len, const char *value, size_t value_len)
{
    bool *readable = cls;

    (void)kind;
    *readable &= strlen(name) == name_len && (value == NULL || strlen(value) == value_len);
    return MHD_YES;
}

static bool query_is_readable(const struct request *r)
{
    bool readable = true;

    (void)MHD_get_connection_values_n(r->c, MHD_GET_ARGUMENT_KIND, on_parameter, &readable);
    return readable;
}

/* Somebody may be guessing. */
static void tell_refused(struct probe *p, enum guard_answer a)
{
    uint64_t now_ms = clock_boot_ms();

    if (a != GUARD_WRONG_TOKEN || (p->refused_ms != 0 && now_ms - p->refused_ms < REFUSED_MS))
        return;
    p->refused_ms = now_ms;
    LOG(LOG_WARN, "a request with a wrong admin token was refused");
}

/* The reader's window, by the form or by the URL: a refusal's page leads back to it, too. */
static void take_window(struct request *r)
{
    char text[8];
    const char *asked = request_query(r, "window");
    bool readable = true;

    if (r->form != NULL) {
        readable = request_form(r, "window", text, sizeof text);
        asked = text[0] != '\0' ? text : NULL;
    }
    r->window_unknown = !readable || !page_window_of(asked, &r->window);
    if (r->window_unknown)
        r->window = PAGE_WINDOW;
}

static void go(struct request *r, void (*path)(struct request *r))
{
    if (r->window_unknown)
        request_fail(r, MHD_HTTP_BAD_REQUEST, "window: 1h, 24h or 7d.");
    else
        path(r);
}

static void serve_post(struct request *r, const struct path *path)
{
    char token[TOKEN_SIZE];

    if (path->post == NULL) {
        request_fail(r, MHD_HTTP_METHOD_NOT_ALLOWED, "This method is not offered here.");
        return;
    }
    if (r->too_long) {
        request_fail(r, MHD_HTTP_CONTENT_TOO_LARGE, "The form is too long.");
        return;
    }
    r->facts.form_token = token;
    if (!request_form(r, "token", token, sizeof token))
        token[0] = '\0'; /* as if there were none */
    enum guard_answer a = guard_act(&r->p->rules, &r->facts);
    explicit_bzero(token, sizeof token);
    r->facts.form_token = NULL;
    tell_refused(r->p, a);
    if (a != GUARD_YES)
        request_fail(
            r, a == GUARD_NO_TOKEN || a == GUARD_WRONG_TOKEN ? MHD_HTTP_FORBIDDEN : status_of(a),
            guard_words(a));
    else
        go(r, path->post);
}

static void serve(struct request *r)
{
    const struct path *path = path_of(r->path);
    enum guard_answer a = guard_read(&r->p->rules, &r->facts);
    bool post = strcmp(r->method, "POST") == 0;

    take_window(r);
    if (r->p->quiet)
        request_fail(r, MHD_HTTP_SERVICE_UNAVAILABLE, "shutting down");
    else if (post && path != NULL)
        serve_post(r, path);
    else if (a != GUARD_YES && !(path != NULL && path->open)) {
        tell_refused(r->p, a);
        request_fail(r, status_of(a), guard_words(a));
    } else if (path == NULL)
        request_fail(r, MHD_HTTP_NOT_FOUND, "There is nothing here. The dashboard is at /.");
    else if (!query_is_readable(r))
        request_fail(r, MHD_HTTP_BAD_REQUEST, "A parameter has a zero byte in it.");
    else if (strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0)
        go(r, path->get);
    else
        request_fail(r, MHD_HTTP_METHOD_NOT_ALLOWED, "This method is not offered here.");
}

/* ---- libmicrohttpd ---- */

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                 const char *value)
{
    (void)kind;
    guard_fact_add(cls, name, value);
    return MHD_YES;
}

static struct request *request_new(struct listener *l, struct MHD_Connection *c, const char *url,
                                   const char *method)
{
    struct request *r = mem_zero(1, sizeof *r);

    r->p = l->http->arg;
    r->listener = l;
    r->c = c;
    r->path = url;
    r->method = method;
    r->facts.not_loopback = !l->loopback;
    connection_of(c)->since_ms = l->http->now_ms;
    (void)MHD_get_connection_values(c, MHD_HEADER_KIND, on_header, &r->facts);
    return r;
}

static void take_form(struct request *r, const char *upload, size_t len)
{
    if (r->too_long || r->form_len + len > FORM_MAX) {
        r->too_long = true;
        return;
    }
    r->form = mem_grow(r->form, r->form_len + len);
    memcpy(r->form + r->form_len, upload, len);
    r->form_len += len;
}

enum MHD_Result serve_on_request(void *cls, struct MHD_Connection *c, const char *url,
                                 const char *method, const char *version, const char *upload,
                                 size_t *upload_len, void **context)
{
    struct request *r = *context;

    (void)version;
    if (r == NULL) {
        *context = request_new(cls, c, url, method);
        return MHD_YES;
    }
    if (*upload_len > 0) {
        take_form(r, upload, *upload_len);
        *upload_len = 0;
        return MHD_YES;
    }
    if (!r->served) {
        r->served = true;
        html_open(&r->text);
        serve(r);
    }
    return r->done ? answer(r) : MHD_YES;
}

void serve_on_completed(void *cls, struct MHD_Connection *c, void **context,
                        enum MHD_RequestTerminationCode why)
{
    struct request *r = *context;

    (void)cls;
    (void)c;
    (void)why;
    *context = NULL;
    if (r == NULL)
        return;
    if (r->form != NULL)
        explicit_bzero(r->form, r->form_len);
    free(r->form);
    free(r->text.text);
    free(r->more);
    free(r);
}
