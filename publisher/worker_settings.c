/* What the configuration says: the relay list, limits, keys; at start and when it is read again.
 *
 * The list is put in force in the queue, which remembers the lists that were replaced: an old one
 * that merely comes back, because a stale container starts again, is refused there, and told here.
 * Only a list that changed under this very process is somebody's will, and forced. */
#include "publisher/worker.h"

#include "common/base/log.h"

#include <stdlib.h>
#include <string.h>

#define DEFINE_AGAIN_MS   1000u
#define DEFINE_REFUSED_MS 10000u

static void on_define_timer(uv_timer_t *t);

/* ---- the relay list ---- */

static void on_define(void *arg, enum err e, const struct define_result *r, const char *why)
{
    struct worker_call *call = arg;
    struct worker *w = call->worker;
    free(call);
    if (w == NULL)
        return;
    w->defining = NULL;
    worker_saw_queue(w, e);
    if (e == ERR_CLOSED || e == ERR_UNKNOWN) {
        uv_timer_start(&w->define_timer, on_define_timer, DEFINE_AGAIN_MS, 0);
        return;
    }
    if (e == ERR_NONE) {
        LOG(LOG_INFO, "relay list in force", LOG_I("added", r->added), LOG_I("changed", r->changed),
            LOG_I("retired", r->retired), LOG_I("unchanged", r->unchanged));
    } else if (e == ERR_STALE) {
        LOG(LOG_WARN,
            "this relay list was replaced since and is not applied; the queue's is used. "
            "'volley relays apply' puts it in force",
            LOG_I("relays", w->o.relays_len), LOG_S("reason", why != NULL ? why : ""));
    } else {
        LOG(LOG_ERROR, "relay list refused by the queue", LOG_S("error", err_name(e)),
            LOG_S("reason", why != NULL ? why : ""));
        uv_timer_start(&w->define_timer, on_define_timer, DEFINE_REFUSED_MS, 0);
    }
    worker_lease_within(w, 0);
}

void worker_define(struct worker *w)
{
    uv_timer_stop(&w->define_timer);
    worker_let_go(&w->defining); /* of a list that is not ours any more */
    if (w->o.relays_len == 0) {
        worker_lease_within(w, 0);
        return;
    }
    struct worker_call *call = mem_zero(1, sizeof *call);
    call->worker = w;
    w->defining = call;
    struct define_call c = {.defs = w->o.relays, .len = w->o.relays_len, .force = w->force};
    memcpy(c.by, w->name, sizeof c.by);
    w->q->ops->define(w->q, &c, on_define, call);
}

static void on_define_timer(uv_timer_t *t)
{
    worker_define(t->data);
}

static bool same_list(const struct publisher_options *a, const struct publisher_options *b)
{
    uint8_t x[32], y[32];
    definition_list_hash(a->relays, a->relays_len, x);
    definition_list_hash(b->relays, b->relays_len, y);
    return memcmp(x, y, sizeof x) == 0;
}

/* ---- keys and limits ---- */

/* The key a relay's definition names, or the publisher's. A bad one is told, and the lane goes on
 * without. */
const uint8_t *worker_secret(struct worker *w, const struct definition *d)
{
    const char *path = d->auth_key_file[0] != '\0' ? d->auth_key_file : w->o.auth_key_file;
    const uint8_t *secret = NULL;
    struct problem p = {0};
    if (path == NULL || path[0] == '\0')
        return NULL;
    if (keys_get(w->keys, path, &secret, &p) != ERR_NONE)
        LOG(LOG_ERROR, "no AUTH key", LOG_S("relay", d->url), LOG_S("reason", p.text));
    return secret;
}

struct lane_limits worker_limits(const struct holding *h)
{
    const struct worker *w = h->worker;
    struct lane_limits l = w->o.limits;
    l.demote_after = w->o.demote_after;
    l.demote_for_ms = w->o.demote_for_ms;
    l.can_auth = h->secret != NULL;
    return l;
}

void worker_apply_settings(struct holding *h)
{
    h->secret = worker_secret(h->worker, lane_newest(h->lane));
    const struct lane_limits l = worker_limits(h);
    lane_set_limits(h->lane, &l);
}

void worker_reload(struct worker *w, const struct publisher_options *o, struct keys *keys)
{
    bool same = same_list(&w->o, o);
    w->o = *o;
    w->keys = keys;
    if (w->leaving)
        return;
    for (struct holding *h = w->holdings; h != NULL; h = h->hh.next)
        worker_apply_settings(h);
    worker_wake_all(w);
    w->force = !same;
    worker_define(w);
    worker_lease_within(w, 0); /* which routes are served is told so */
}
