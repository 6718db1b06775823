#include "tests/support/holder.h"

#include <stdio.h>
#include <string.h>

void holder_init(struct holder *h, unsigned n)
{
    memset(h, 0, sizeof *h);
    memset(h->id, (int)(n + 1), sizeof h->id);
    (void)snprintf(h->name, sizeof h->name, "host%u:%u", n, 1000 + n);
    h->routes = HOLDER_BOTH;
}

void holder_call(const struct holder *h, struct lease_held held[HOLDER_LANES_MAX],
                 struct lease_call *out)
{
    *out = (struct lease_call){
        .routes = h->routes, .leaving = h->leaving, .held = held, .held_len = h->lanes_len};
    memcpy(out->publisher, h->id, sizeof out->publisher);
    memcpy(out->name, h->name, sizeof out->name);
    for (size_t i = 0; i < h->lanes_len; i++) {
        const struct holder_lane *l = &h->lanes[i];
        held[i] = (struct lease_held){
            .lane = l->lane, .epoch = l->epoch, .live = l->live, .give_back = l->gives};
    }
}

struct holder_lane *holder_lane(struct holder *h, uint32_t lane)
{
    for (size_t i = 0; i < h->lanes_len; i++) {
        if (h->lanes[i].lane == lane)
            return &h->lanes[i];
    }
    return NULL;
}

static void drop(struct holder *h, const struct holder_lane *l)
{
    size_t i = (size_t)(l - h->lanes);
    memmove(&h->lanes[i], &h->lanes[i + 1], (h->lanes_len - i - 1) * sizeof *l);
    h->lanes_len--;
}

static void add(struct holder *h, const struct lane_grant *g)
{
    if (h->lanes_len == HOLDER_LANES_MAX)
        die("a holder with more than %d lanes", HOLDER_LANES_MAX);
    h->lanes[h->lanes_len++] =
        (struct holder_lane){.lane = g->lane,
                             .epoch = g->epoch,
                             .start = g->start,
                             .position = g->position,
                             .floor = g->position,
                             .version = g->definition_version,
                             .live = {.state = LANE_OPEN, .since_ms = RIG_WALL_MS}};
}

void holder_take(struct holder *h, const struct lease_reply *r)
{
    size_t left = 0;
    for (size_t i = 0; i < h->lanes_len; i++) {
        if (!h->lanes[i].gives)
            h->lanes[left++] = h->lanes[i];
    }
    h->lanes_len = left;
    for (size_t i = 0; i < r->lost_len; i++) {
        const struct holder_lane *l = holder_lane(h, r->lost[i]);
        if (l)
            drop(h, l);
    }
    for (size_t i = 0; i < r->kept_len; i++) {
        struct holder_lane *l = holder_lane(h, r->kept[i].lane);
        if (!l)
            die("the queue keeps lane %u, which was not named", r->kept[i].lane);
        l->asked = r->kept[i].give_back;
    }
    for (size_t i = 0; i < r->grants_len; i++)
        add(h, &r->grants[i]);
}

void holder_lease(struct rig *r, struct holder *h, struct answer *a)
{
    struct lease_held held[HOLDER_LANES_MAX];
    struct lease_call call;
    struct answer own;
    struct answer *to = a ? a : &own;
    holder_call(h, held, &call);
    ask_lease(&r->loop, r->q, &call, to);
    if (to->e != ERR_NONE)
        die("a lease call was answered %s", err_name(to->e));
    holder_take(h, &to->lease);
    if (!a)
        answer_free(&own);
}

struct lane_commit holder_next(struct holder *h, uint32_t lane, uint64_t position)
{
    const struct holder_lane *l = holder_lane(h, lane);
    if (!l)
        die("lane %u is not held", lane);
    return (struct lane_commit){.lane = lane,
                                .epoch = l->epoch,
                                .seq = l->seq + 1,
                                .position = position,
                                .floor = l->floor,
                                .definition_version = l->version};
}

struct lane_committed holder_commit(struct rig *r, struct holder *h, const struct lane_commit *c)
{
    struct answer a;
    ask_commit(&r->loop, r->q, c, 1, &a);
    if (a.e != ERR_NONE || a.committed_len != 1)
        die("a commit was answered %s", err_name(a.e));
    struct lane_committed out = a.committed[0];
    struct holder_lane *l = holder_lane(h, c->lane);
    if (out.status == COMMIT_DONE && l && l->epoch == c->epoch) {
        l->seq = c->seq;
        l->position = out.position;
        if (out.position > c->position)
            l->floor = out.position;
        l->version = c->definition_version;
    }
    answer_free(&a);
    return out;
}
