/* What each call to the model is answered; the rules themselves are in the other model_*.c. */
#include "queue/model_queue.h"

#include <stdlib.h>

static void tell_tail(struct model_queue *q, uint64_t pos)
{
    if (!q->follower.on_tail)
        return;
    if (q->lose_tail > 0) {
        q->lose_tail--;
        return;
    }
    uint64_t superseded[1], deleted[MODEL_TAIL_DELETED_MAX];
    struct queue_tail t = {
        .ev = model_look(&q->model, pos), .superseded = superseded, .deleted = deleted};
    t.superseded_len = model_superseded(&q->model, pos, superseded, COUNT_OF(superseded));
    t.deleted_len = model_deleted(&q->model, pos, deleted, COUNT_OF(deleted));
    t.deleted_more = t.deleted_len > MODEL_TAIL_DELETED_MAX;
    if (t.deleted_more)
        t.deleted_len = MODEL_TAIL_DELETED_MAX;
    q->follower.on_tail(q->follower.arg, &t);
}

static void answer_append(struct model_queue *q, const struct model_call *c)
{
    struct append_result r;
    struct problem why = {0};
    enum err e = model_append(&q->model, c->event, model_wall_ms(q), &r, &why);
    if (e != ERR_NONE) {
        c->fn.append(c->arg, e, NULL, why.text);
        return;
    }
    c->fn.append(c->arg, ERR_NONE, &r, NULL);
    if (!r.duplicate && r.pos != 0)
        tell_tail(q, r.pos);
}

static void answer_read(struct model_queue *q, const struct model_call *c)
{
    uint64_t from = c->from > 0 ? c->from : 1;
    uint64_t to = c->to < q->model.head ? c->to : q->model.head;
    struct queue_event *events = NULL;
    size_t len = 0, bytes = 0;
    for (uint64_t pos = from; pos <= to; pos++) {
        struct queue_event ev = model_look(&q->model, pos);
        bytes += ev.event ? ev.event->len : 0;
        if (len > 0 && bytes > QUEUE_READ_MAX)
            break;
        events = mem_grow(events, (len + 1) * sizeof *events);
        events[len++] = ev;
    }
    c->fn.read(c->arg, ERR_NONE, events, len, q->model.head);
    free(events);
}

static void fill_lease_reply(struct model_queue *q, const struct model_call *c,
                             struct lane_grant *grants, struct lane_kept *kept,
                             struct lease_reply *r)
{
    struct lease_answer a;
    leases_answer(q->model.leases, &c->lease, &a);
    for (size_t i = 0; i < a.released_len; i++)
        model_release(&q->model, a.released[i].lane, a.released[i].epoch);
    for (size_t i = 0; i < a.grants_len; i++) {
        struct model_lane *l = model_lane(&q->model, a.grants[i]);
        model_grant(l, c->lease.publisher, &grants[r->grants_len++]);
        leases_granted(q->model.leases, l->number, c->lease.publisher, l->epoch);
    }
    for (size_t i = 0; i < a.kept_len; i++) {
        struct lane_kept *k = &kept[r->kept_len++];
        model_kept(model_lane(&q->model, a.kept[i].lane), a.kept[i].give_back, k);
        if (!k->held)
            leases_not_held(q->model.leases, k->lane);
    }
    r->lost = a.lost;
    r->lost_len = a.lost_len;
}

void model_release_the_dead(struct model_queue *q)
{
    const struct lease_ref *freed;
    size_t len;
    leases_expire(q->model.leases, model_boot_ms(q), &freed, &len);
    for (size_t i = 0; i < len; i++)
        model_release(&q->model, freed[i].lane, freed[i].epoch);
}

static void answer_lease(struct model_queue *q, const struct model_call *c)
{
    if (c->renewed != ERR_NONE) {
        c->fn.lease(c->arg, c->renewed, NULL);
        return;
    }
    model_release_the_dead(q);
    struct lane_grant *grants = mem_zero(q->model.lanes_len + 1, sizeof *grants);
    struct lane_kept *kept = mem_zero(q->model.lanes_len + 1, sizeof *kept);
    struct lease_reply r = {.now_ms = model_wall_ms(q),
                            .head = q->model.head,
                            .registry_version = q->model.registry_version,
                            .grants = grants,
                            .kept = kept};
    if (heartbeat_is_due(&q->model.heartbeat)) {
        r.heartbeat_number = q->model.heartbeat.number;
        r.heartbeat = q->model.beat;
    }
    fill_lease_reply(q, c, grants, kept, &r);
    c->fn.lease(c->arg, ERR_NONE, &r);
    free(grants);
    free(kept);
}

static void answer_commit(struct model_queue *q, const struct model_call *c)
{
    struct lane_committed *out = mem_zero(c->len + 1, sizeof *out);
    for (size_t i = 0; i < c->len; i++)
        model_commit(&q->model, &c->commits[i], model_wall_ms(q), &out[i]);
    c->fn.commit(c->arg, ERR_NONE, out, c->len);
    free(out);
}

static void answer_define(struct model_queue *q, const struct model_call *c)
{
    struct define_result r;
    struct problem why = {0};
    enum err e = model_define(&q->model, &c->define, model_wall_ms(q), &r, &why);
    if (e != ERR_NONE) {
        c->fn.define(c->arg, e, NULL, why.text);
        return;
    }
    if (r.added + r.changed + r.retired > 0)
        model_load_leases(&q->model, model_boot_ms(q));
    c->fn.define(c->arg, ERR_NONE, &r, NULL);
}

static void answer_depth(struct model_queue *q, const struct model_call *c)
{
    struct queue_depth d;
    model_release_the_dead(q);
    model_depth(&q->model, model_wall_ms(q), model_boot_ms(q), &d);
    c->fn.depth(c->arg, ERR_NONE, &d);
    model_depth_free(&d);
}

static void answer_receipt(struct model_queue *q, const struct model_call *c)
{
    struct queue_receipt r;
    enum err e = model_receipt(&q->model, c->id, &r);
    if (e != ERR_NONE) {
        c->fn.receipt(c->arg, e, NULL);
        return;
    }
    c->fn.receipt(c->arg, ERR_NONE, &r);
    model_receipt_free(&r);
}

static void answer_registry(struct model_queue *q, const struct model_call *c)
{
    struct queue_registry r;
    model_registry(&q->model, &r);
    c->fn.registry(c->arg, ERR_NONE, &r);
    model_registry_free(&r);
}

static void answer_hold(struct model_queue *q, const struct model_call *c)
{
    struct hold_result r;
    enum err e = model_hold(&q->model, &c->hold, model_wall_ms(q), &r);
    c->fn.hold(c->arg, e, e == ERR_NONE ? &r : NULL);
}

static void answer_failed(struct model_queue *q, const struct model_call *c)
{
    struct failed_page p;
    enum err e = model_failed(&q->model, &c->failed, model_wall_ms(q), &p);
    c->fn.failed(c->arg, e, e == ERR_NONE ? &p : NULL);
    if (e == ERR_NONE)
        model_failed_free(&p);
}

static void answer_jobs(struct model_queue *q, const struct model_call *c)
{
    const struct model *m = &q->model;
    struct replay_job *jobs = mem_zero(m->jobs_len + 1, sizeof *jobs);
    for (size_t i = 0; i < m->jobs_len; i++)
        jobs[i] = m->jobs[i].job;
    c->fn.jobs(c->arg, ERR_NONE, jobs, m->jobs_len);
    free(jobs);
}

static void answer_cancel(struct model_queue *q, const struct model_call *c)
{
    c->fn.done(c->arg, model_cancel(&q->model, c->job, model_wall_ms(q)));
}

static void answer_observe(struct model_queue *q, const struct model_call *c)
{
    struct observe_result r;
    enum err e = model_observe(&q->model, &c->observe, model_wall_ms(q), model_boot_ms(q), &r);
    c->fn.observe(c->arg, e, e == ERR_NONE ? &r : NULL);
}

static void answer_statistics(struct model_queue *q, const struct model_call *c)
{
    struct statistics_page p;
    model_statistics(&q->model, &c->statistics, model_wall_ms(q), model_boot_ms(q), &p);
    c->fn.statistics(c->arg, ERR_NONE, &p);
    model_statistics_free(&p);
}

static void answer_lead(struct model_queue *q, const struct model_call *c)
{
    struct lead_result r;
    (void)lead_ask(&q->model.leaders[c->lead.role], &c->lead, model_boot_ms(q), &r);
    r.now_ms = model_wall_ms(q);
    c->fn.lead(c->arg, ERR_NONE, &r);
}

void model_answer(struct model_queue *q, const struct model_call *c)
{
    switch (c->verb) {
    case MODEL_APPEND:
        answer_append(q, c);
        break;
    case MODEL_READ:
        answer_read(q, c);
        break;
    case MODEL_LEASE:
        answer_lease(q, c);
        break;
    case MODEL_COMMIT:
        answer_commit(q, c);
        break;
    case MODEL_DEFINE:
        answer_define(q, c);
        break;
    case MODEL_DEPTH:
        answer_depth(q, c);
        break;
    case MODEL_RECEIPT:
        answer_receipt(q, c);
        break;
    case MODEL_REGISTRY:
        answer_registry(q, c);
        break;
    case MODEL_HOLD:
        answer_hold(q, c);
        break;
    case MODEL_FAILED_PAGE:
        answer_failed(q, c);
        break;
    case MODEL_JOBS:
        answer_jobs(q, c);
        break;
    case MODEL_CANCEL:
        answer_cancel(q, c);
        break;
    case MODEL_OBSERVE:
        answer_observe(q, c);
        break;
    case MODEL_STATISTICS:
        answer_statistics(q, c);
        break;
    case MODEL_LEAD:
        answer_lead(q, c);
        break;
    }
}
