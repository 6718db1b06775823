/* What the parts of the probe share. Nobody outside probe/ includes it, tests apart. */
#ifndef VOLLEY_PROBE_SERVICE_H
#define VOLLEY_PROBE_SERVICE_H

#include "httpd/listener.h"
#include "probe/asker.h"
#include "probe/form.h"
#include "probe/health.h"
#include "probe/html.h"
#include "probe/page.h"
#include "probe/probe.h"

#define FORM_MAX 8192u /* bytes of a form */

/* One request, from its headers to its answer. Lives in libmicrohttpd's context. */
struct request {
    struct probe *p;
    struct listener *listener;
    struct MHD_Connection *c;
    struct guard_facts facts;
    const char *method;
    const char *path;
    char *form; /* of a POST; owned */
    size_t form_len;
    enum stat_window window; /* what the reader looks at */
    bool window_unknown;     /* there is none of that name */
    bool too_long;
    bool served; /* was handed to its path's function */
    bool waits;  /* suspended: the queue is asked */
    bool done;   /* there is an answer: */
    unsigned status;
    const char *type;
    struct html_stream text;
    void *more; /* what a path keeps while it waits; freed with the request */
};

struct probe {
    uv_loop_t *loop;
    struct queue *queue; /* NULL once it is closed */
    struct httpd http;
    struct listener *listeners[CONFIG_LISTEN_MAX];
    size_t listeners_len;
    uv_prepare_t turn;
    uv_timer_t tick;
    struct guard_rules rules;
    struct knowledge k;
    struct asker asker;
    struct heart *heart; /* not ours; NULL */
    char ingest[CONFIG_LISTEN_MAX][80], listen[CONFIG_LISTEN_MAX][80];
    const char *ingest_list[CONFIG_LISTEN_MAX + 1], *listen_list[CONFIG_LISTEN_MAX + 1];
    char ask[CONFIG_TEXT_SIZE]; /* where ingest is asked; "": nowhere */
    uint64_t refused_ms;        /* when a wrong token was last told in the log */
    bool quiet;                 /* accepts no more, asks no more */
    size_t closing_len;
    void (*on_closed)(void *arg);
    void *closed_arg;
};

/* libmicrohttpd's handlers. */
enum MHD_Result serve_on_request(void *cls, struct MHD_Connection *c, const char *url,
                                 const char *method, const char *version, const char *upload,
                                 size_t *upload_len, void **context);
void serve_on_completed(void *cls, struct MHD_Connection *c, void **context,
                        enum MHD_RequestTerminationCode why);

/* The answer is what was written to r->text.out (opened before the path's function is called). */
void request_done(struct request *r, unsigned status, const char *type);
/* The queue is asked; its callback ends with request_done. */
void request_wait(struct request *r);
/* A parameter of the URL, or NULL. */
const char *request_query(const struct request *r, const char *name);
/* A field of the form that came with a POST: form_get. */
MUST_USE bool request_form(const struct request *r, const char *name, char *out, size_t size);
/* A small page, or for programs a line, that says so. */
void request_fail(struct request *r, unsigned status, const char *why);
/* Why the queue gave no answer. */
void request_no_answer(struct request *r, enum err e);

/* Paths that need the queue, and those that act. */
void api_depth(struct request *r);
void api_relays(struct request *r);
void api_failed(struct request *r);
void api_receipt(struct request *r);
void page_receipt(struct request *r);
void deed_ask(struct request *r);
void deed_do(struct request *r);

/* Which failed deliveries a relay's name and classes mean, by the relays as last known. */
MUST_USE enum err service_filter(struct probe *p, const char *relay, const char *classes,
                                 struct failed_call *call, struct problem *why);
void service_names(const struct probe *p, struct relay_names *out);

#endif
