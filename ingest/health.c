#include "ingest/health.h"

#include "ingest/service.h"

#include <stdio.h>
#include <stdlib.h>

#define FRESH_MS    1000u  /* an answer is good for so long */
#define APPENDED_MS 30000u /* a failed append is held against the queue for so long */

const char *health_judge(enum err e, const struct queue_depth *d)
{
    size_t lanes_len = 0;

    if (e == ERR_UNKNOWN || e == ERR_TIMEOUT)
        return "the queue does not answer";
    if (e != ERR_NONE)
        return "the queue is out of reach";
    for (size_t n = 0; n < d->lanes_len; n++)
        if (!d->lanes[n].retired)
            lanes_len++;
    if (lanes_len == 0)
        return "no relays are configured";
    if (d->max_bytes > 0 && d->bytes >= d->max_bytes)
        return "the queue is full";
    return "";
}

static void resume_all(struct ingest *i)
{
    struct health_waiter *w = i->health.waiting;

    i->health.waiting = NULL;
    while (w != NULL) {
        struct health_waiter *next = w->next;
        MHD_resume_connection(w->connection);
        listener_kick(w->listener);
        free(w);
        w = next;
    }
}

static void conclude(struct ingest *i, const char *why)
{
    struct health *h = &i->health;

    if (why[0] == '\0' && i->now_ms - h->appended_ms < APPENDED_MS) {
        if (h->appended == ERR_NO_SPACE)
            why = "the queue's disk is full";
        else if (h->appended == ERR_FULL)
            why = "the queue is full";
    }
    (void)snprintf(h->why, sizeof h->why, "%s", why);
    h->known = true;
    h->known_ms = i->now_ms;
    resume_all(i);
}

static void on_depth(void *arg, enum err e, const struct queue_depth *d)
{
    struct ingest *i = arg;

    if (!service_answered(i))
        return;
    i->health.asked = false;
    if (i->drain == DRAIN_NO)
        conclude(i, health_judge(e, d));
}

bool health_ask(struct ingest *i, struct listener *l, struct MHD_Connection *c)
{
    struct health *h = &i->health;

    if (h->known && i->now_ms - h->known_ms < FRESH_MS)
        return true;
    struct health_waiter *w = mem_zero(1, sizeof *w);
    w->listener = l;
    w->connection = c;
    w->next = h->waiting;
    h->waiting = w;
    MHD_suspend_connection(c);
    if (!h->asked) {
        h->asked = true;
        h->asked_ms = i->now_ms;
        i->calls_len++;
        i->queue->ops->depth(i->queue, on_depth, i);
    }
    return false;
}

void health_appended(struct ingest *i, enum err e)
{
    i->health.appended = e;
    i->health.appended_ms = i->now_ms;
    if (e != ERR_NONE)
        i->health.known = false;
}

void health_tick(struct ingest *i)
{
    struct health *h = &i->health;

    if (h->waiting == NULL)
        return;
    if (i->drain != DRAIN_NO)
        conclude(i, "shutting down");
    else if (i->now_ms - h->asked_ms >= i->limits.health_ms)
        conclude(i, "the queue does not answer");
}
