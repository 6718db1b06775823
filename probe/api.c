/* The operators' answers over HTTP: the same JSON lines as `volley depth --json` and its like, made
 * by the same code. And the receipt as a page. */
#include "common/base/hex.h"
#include "common/config/value.h"
#include "common/nostr/nip19.h"
#include "ctl/depth_show.h"
#include "ctl/failed_show.h"
#include "ctl/filter.h"
#include "ctl/receipt_show.h"
#include "ctl/relays_show.h"
#include "ctl/statistics_show.h"
#include "probe/page.h"
#include "probe/service.h"

#include <stdlib.h>
#include <string.h>

#define TYPE_LINES "application/x-ndjson; charset=utf-8"
#define TYPE_HTML  "text/html; charset=utf-8"

/* ---- depth: asked anew, so that it is as fresh as the command's ---- */

static void on_depth(void *arg, enum err e, const struct queue_depth *d)
{
    struct request *r = arg;
    const struct relay_choice all = {0};

    if (e != ERR_NONE) {
        request_no_answer(r, e);
        return;
    }
    depth_json(d, &all, r->text.out);
    request_done(r, MHD_HTTP_OK, TYPE_LINES);
}

void api_depth(struct request *r)
{
    request_wait(r);
    r->p->queue->ops->depth(r->p->queue, on_depth, r);
}

/* ---- relays: as the command prints them, and what the page shows of each ---- */

static void add_statistics(void *arg, uint32_t lane, cJSON *o)
{
    const struct relay_record *r = records_lane(arg, lane);

    cJSON_AddItemToObject(
        o, "statistics",
        statistics_json(r != NULL ? r->paths : NULL, r != NULL ? r->paths_len : 0));
}

static void on_registry(void *arg, enum err e, const struct queue_registry *registry)
{
    struct request *r = arg;
    const struct relays_more more = {.add = add_statistics, .arg = &r->p->k.records};

    if (e != ERR_NONE) {
        request_no_answer(r, e);
        return;
    }
    relays_json(registry, false, &more, r->text.out);
    request_done(r, MHD_HTTP_OK, TYPE_LINES);
}

void api_relays(struct request *r)
{
    request_wait(r);
    r->p->queue->ops->registry(r->p->queue, on_registry, r);
}

/* ---- failed ---- */

#define LIMIT_DEFAULT 100u

struct failed_walk {
    struct failed_call call;
    uint64_t left, shown;
};

static void on_failed(void *arg, enum err e, const struct failed_page *page)
{
    struct request *r = arg;
    struct failed_walk *w = r->more;
    struct relay_names names = {0};

    if (e != ERR_NONE) {
        request_no_answer(r, e);
        return;
    }
    service_names(r->p, &names);
    for (size_t i = 0; i < page->rows_len; i++)
        failed_json(&page->rows[i], &names, r->text.out);
    relay_names_fini(&names);
    w->shown += page->rows_len;
    w->left -= page->rows_len;
    w->call.after = page->next;
    w->call.limit = (uint32_t)w->left;
    if (page->more && w->left > 0 && !r->p->quiet) {
        r->p->queue->ops->failed(r->p->queue, &w->call, on_failed, r);
        return;
    }
    if (page->more)
        (void)fprintf(r->text.out, "{\"more\":true,\"shown\":%llu}\n",
                      (unsigned long long)w->shown);
    request_done(r, MHD_HTTP_OK, TYPE_LINES);
}

void api_failed(struct request *r)
{
    struct failed_walk *w = mem_zero(1, sizeof *w);
    struct problem why;
    const char *limit = request_query(r, "limit");

    r->more = w;
    w->left = LIMIT_DEFAULT;
    if (limit != NULL &&
        (value_uint(limit, &w->left) != ERR_NONE || w->left == 0 || w->left > FAILED_PAGE_MAX)) {
        request_fail(r, MHD_HTTP_BAD_REQUEST, "limit: expected a number from 1 to 1000");
        return;
    }
    if (service_filter(r->p, request_query(r, "relay"), request_query(r, "class"), &w->call,
                       &why) != ERR_NONE) {
        request_fail(r, MHD_HTTP_BAD_REQUEST, why.text);
        return;
    }
    w->call.what = FAILED_LIST;
    w->call.limit = (uint32_t)w->left;
    request_wait(r);
    r->p->queue->ops->failed(r->p->queue, &w->call, on_failed, r);
}

/* ---- receipt ---- */

#define NO_EVENT "no such event: it was never accepted, or is forgotten (queue.retention)"

static void receipt_as_lines(struct request *r, const struct queue_receipt *receipt)
{
    receipt_json(receipt, r->text.out);
    request_done(r, MHD_HTTP_OK, TYPE_LINES);
}

static void receipt_as_page(struct request *r, const struct queue_receipt *receipt)
{
    struct html_stream s;

    page_begin("Receipt", r->window, r->text.out);
    html_open(&s);
    receipt_text(receipt, 0, s.out);
    html_close(&s);
    (void)fputs("<section><pre tabindex=\"0\">", r->text.out);
    for (char *line = s.text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        html_text(r->text.out, line);
        (void)fputc('\n', r->text.out);
    }
    (void)fputs("</pre></section>\n", r->text.out);
    free(s.text);
    page_end(r->text.out);
    request_done(r, MHD_HTTP_OK, TYPE_HTML);
}

static void on_receipt(void *arg, enum err e, const struct queue_receipt *receipt)
{
    struct request *r = arg;

    if (e == ERR_NOT_FOUND)
        request_fail(r, MHD_HTTP_NOT_FOUND, NO_EVENT);
    else if (e != ERR_NONE)
        request_no_answer(r, e);
    else if (strcmp(r->path, "/receipt") == 0)
        receipt_as_page(r, receipt);
    else
        receipt_as_lines(r, receipt);
}

static void ask_receipt(struct request *r, const char *text)
{
    uint8_t id[EVENT_ID_LEN];
    struct problem why;

    if (nip19_event_id(text, id, &why) != ERR_NONE) {
        request_fail(r, MHD_HTTP_BAD_REQUEST, why.text);
        return;
    }
    request_wait(r);
    r->p->queue->ops->receipt(r->p->queue, id, on_receipt, r);
}

void api_receipt(struct request *r)
{
    ask_receipt(r, r->path + strlen("/api/receipt/"));
}

void page_receipt(struct request *r)
{
    const char *id = request_query(r, "id");

    ask_receipt(r, id != NULL ? id + strspn(id, " ") : "");
}
