#include "probe/act.h"

#include "common/net/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct act {
    struct act_request request;
    uv_loop_t *loop;
    struct dialer *dialer;
    struct link_open *opening;
    struct peek *peek;
    struct fetch *fetch;
    struct act_result result;
    act_fn *fn;
    void *arg;
};

size_t act_families(const struct relay_url *url, enum route route, const struct socks_ports *socks,
                    enum family_mode out[2])
{
    bool one_port = route == ROUTE_TOR && (socks == NULL || socks->ipv6[0] == '\0');
    if (url->is_onion || url->is_literal || one_port) {
        out[0] = MODE_AUTO;
        return 1;
    }
    out[0] = MODE_IPV6;
    out[1] = MODE_IPV4;
    return 2;
}

static void end(struct act *a)
{
    act_fn *fn = a->fn;
    void *arg = a->arg;
    const struct act_result r = a->result;
    free(a);
    fn(arg, &r);
}

static void on_document(void *arg, const struct fetch_result *f)
{
    struct act *a = arg;
    struct act_result *r = &a->result;
    struct problem p = {""};
    a->fetch = NULL;
    r->nip11_us = f->us;
    r->nip11_status = f->status;
    if (f->err != ERR_NONE) {
        (void)snprintf(r->nip11_text, sizeof r->nip11_text, "%s", f->text);
    } else if (f->status != 200) {
        (void)snprintf(r->nip11_text, sizeof r->nip11_text, "HTTP %d", f->status);
    } else if (nip11_parse((const char *)f->body, f->len, &r->nip11, &p) != ERR_NONE) {
        (void)snprintf(r->nip11_text, sizeof r->nip11_text, "%.150s", p.text);
    } else {
        r->told = true;
    }
    end(a);
}

static struct link_request link_of(const struct act_request *r)
{
    return (struct link_request){.url = r->url,
                                 .route = r->route,
                                 .mode = r->family,
                                 .timeout_ms = r->timeout_ms,
                                 .socks = r->socks};
}

/* However that went, the relay is asked what it is. */
static void on_read(void *arg, const struct peek_result *p)
{
    struct act *a = arg;
    struct link_request r = link_of(&a->request);
    a->peek = NULL;
    a->result.read = *p;
    r.timeout_ms = a->request.nip11_ms;
    a->result.asked = true;
    a->fetch = fetch_start(a->dialer, &r, NIP11_ACCEPT, NIP11_MAX, on_document, a);
}

static void on_link(void *arg, const struct link_result *l)
{
    struct act *a = arg;
    a->opening = NULL;
    a->result.try = l->tries[0];
    if (l->err != ERR_NONE) {
        link_close(l->link);
        end(a);
        return;
    }
    a->result.peeked = true;
    a->peek = peek_start(a->loop, l->link, l->extra, l->extra_len, a->request.read_ms, on_read, a);
}

struct act *act_start(uv_loop_t *loop, struct dialer *d, const struct act_request *r, act_fn *fn,
                      void *arg)
{
    struct act *a = mem_zero(1, sizeof *a);
    a->request = *r;
    a->loop = loop;
    a->dialer = d;
    a->fn = fn;
    a->arg = arg;
    const struct link_request l = link_of(r);
    a->opening = link_open(d, &l, on_link, a);
    return a;
}

void act_cancel(struct act *a)
{
    if (a == NULL)
        return;
    link_cancel(a->opening);
    peek_cancel(a->peek);
    fetch_cancel(a->fetch);
    free(a);
}

bool act_good(const struct act_result *r)
{
    return r->try.err == ERR_NONE && r->peeked && r->read.answered;
}

const char *act_verdict(const struct act_result *r)
{
    static const char *const words[LINK_WHY_COUNT] = {
        [LINK_WHY_NONE] = "ok",
        [LINK_WHY_NO_ADDRESS] = "no address",
        [LINK_WHY_REFUSED] = "refused",
        [LINK_WHY_UNREACHABLE] = "unreachable",
        [LINK_WHY_TOR] = "no tor",
        [LINK_WHY_TIMEOUT] = "timeout",
        [LINK_WHY_TLS] = "TLS failed",
        [LINK_WHY_HTTP] = "HTTP error",
        [LINK_WHY_NO_WEBSOCKET] = "not a relay",
        [LINK_WHY_NOT_TRIED] = "not tried",
    };
    if (r->peeked && !r->read.answered)
        return r->read.timed_out ? "no answer" : "not a relay";
    return words[r->try.why];
}
