#include "common/net/fetch.h"

#include "common/base/clock.h"
#include "common/net/plan.h"
#include "common/net/transfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADERS_MAX (64u * 1024u)

struct fetch {
    struct transfer transfer; /* first: its `done` finds the fetch */
    bool started;
    struct curl_slist *headers;
    struct buf body;
    size_t headers_len;
    bool too_big;
    uint64_t start_us;
    const char *refused; /* nothing was started: why */
    uv_timer_t timer;    /* tells that */
    bool over;
    fetch_fn *fn;
    void *arg;
};

static size_t on_body(char *data, size_t one, size_t len, void *arg)
{
    struct fetch *f = arg;
    (void)one;
    f->too_big = buf_add(&f->body, data, len) != ERR_NONE;
    return f->too_big ? 0 : len;
}

static size_t on_header(char *data, size_t one, size_t len, void *arg)
{
    struct fetch *f = arg;
    (void)data;
    (void)one;
    f->headers_len += len;
    f->too_big = f->headers_len > HEADERS_MAX;
    return f->too_big ? 0 : len;
}

static void on_closed(uv_handle_t *handle)
{
    struct fetch *f = handle->data;
    dialer_release(f->transfer.dialer);
    buf_fini(&f->body);
    free(f);
}

static void end(struct fetch *f)
{
    f->over = true;
    if (f->started)
        transfer_end(&f->transfer);
    curl_slist_free_all(f->headers);
    uv_close((uv_handle_t *)&f->timer, on_closed);
}

static void tell(struct fetch *f, const struct fetch_result *r)
{
    end(f);
    f->fn(f->arg, r);
}

static void on_done(struct transfer *t, CURLcode code)
{
    struct fetch *f = (struct fetch *)t;
    struct fetch_result r = {.us = clock_boot_us() - f->start_us};
    long status = 0;
    if (f->too_big) {
        r.err = ERR_TOO_BIG;
        (void)snprintf(r.text, sizeof r.text, "the answer is too long");
    } else if (code == CURLE_OPERATION_TIMEDOUT) {
        r.err = ERR_TIMEOUT;
        (void)snprintf(r.text, sizeof r.text, "timeout");
    } else if (code != CURLE_OK) {
        r.err = ERR_UNREACHABLE;
        (void)snprintf(r.text, sizeof r.text, "%.150s",
                       t->problem[0] != '\0' ? t->problem : curl_easy_strerror(code));
    } else {
        (void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        r.status = (int)status;
        r.body = (const uint8_t *)buf_str(&f->body);
        r.len = f->body.len;
    }
    tell(f, &r);
}

static void on_refused(uv_timer_t *timer)
{
    struct fetch *f = timer->data;
    struct fetch_result r = {.err = ERR_UNREACHABLE};
    (void)snprintf(r.text, sizeof r.text, "%s", f->refused);
    tell(f, &r);
}

static void begin(struct fetch *f, struct dialer *d, const struct link_request *r,
                  const struct plan *plan, const char *accept)
{
    char user[SOCKS_USER_SIZE], header[160];
    enum family lane = plan->mode == MODE_IPV6 ? FAMILY_IPV6 : FAMILY_IPV4;
    const struct transfer_way way = {
        .route = r->route, .family = lane, .socks = plan->socks[lane], .socks_user = user};
    plan_socks_user(&r->url, user);
    (void)snprintf(header, sizeof header, "Accept: %s", accept);
    f->headers = curl_slist_append(NULL, header);
    if (f->headers == NULL)
        die("out of memory (fetch)");
    transfer_init(&f->transfer, d, &r->url, r->url.path, &way);
    TRANSFER_SET(&f->transfer, CURLOPT_HTTPHEADER, f->headers);
    TRANSFER_SET(&f->transfer, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
    TRANSFER_SET(&f->transfer, CURLOPT_FORBID_REUSE, 1L);
    TRANSFER_SET(&f->transfer, CURLOPT_WRITEFUNCTION, on_body);
    TRANSFER_SET(&f->transfer, CURLOPT_WRITEDATA, f);
    TRANSFER_SET(&f->transfer, CURLOPT_HEADERFUNCTION, on_header);
    TRANSFER_SET(&f->transfer, CURLOPT_HEADERDATA, f);
    if (r->route == ROUTE_DIRECT && dialer_user_agent(d) != NULL)
        TRANSFER_SET(&f->transfer, CURLOPT_USERAGENT, dialer_user_agent(d));
    f->started = true;
    transfer_start(&f->transfer);
}

struct fetch *fetch_start(struct dialer *d, const struct link_request *r, const char *accept,
                          size_t body_max, fetch_fn *fn, void *arg)
{
    struct fetch *f = mem_zero(1, sizeof *f);
    struct plan plan;
    f->transfer.done = on_done;
    f->transfer.dialer = d;
    f->start_us = clock_boot_us();
    f->fn = fn;
    f->arg = arg;
    buf_init(&f->body, body_max);
    (void)uv_timer_init(dialer_loop(d), &f->timer);
    f->timer.data = f;
    dialer_hold(d);
    f->refused = plan_families(r, &plan);
    if (f->refused == NULL && plan.mode == MODE_AUTO)
        die("fetch: it asks for two families");
    if (f->refused == NULL)
        begin(f, d, r, &plan, accept);
    else
        (void)uv_timer_start(&f->timer, on_refused, 0, 0);
    return f;
}

void fetch_cancel(struct fetch *f)
{
    if (f != NULL && !f->over)
        end(f);
}
