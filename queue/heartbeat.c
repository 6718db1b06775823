#include "queue/heartbeat.h"

#include <string.h>

static bool span_is(struct json_span s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.p, text, s.len) == 0;
}

bool heartbeat_is(const struct event *ev)
{
    return ev->kind == HEARTBEAT_KIND && span_is(ev->tags, HEARTBEAT_TAGS) &&
           span_is(ev->content, "\"" HEARTBEAT_TEXT "\"");
}

enum err heartbeat_make(const uint8_t secret[32], uint64_t created_at, struct event **out,
                        struct problem *p)
{
    return event_make(secret, created_at, HEARTBEAT_KIND, HEARTBEAT_TAGS, HEARTBEAT_TEXT, out, p);
}

void heartbeat_next(struct heartbeat *h, int64_t now_ms)
{
    h->number++;
    h->accepted_ms = now_ms;
}

bool heartbeat_is_due(const struct heartbeat *h)
{
    return h->taken < h->number;
}

bool heartbeat_commit(struct heartbeat *h, const struct lane_commit *c, int64_t now_ms,
                      struct lane_committed *out)
{
    *out = (struct lane_committed){.lane = HEARTBEAT_LANE, .position = h->taken};
    out->status = COMMIT_REPEATED;
    if (c->position > h->number)
        out->status = COMMIT_INVALID;
    if (c->position > h->number || c->position <= h->taken)
        return false;
    h->taken = out->position = c->position;
    h->taken_ms = now_ms;
    out->status = COMMIT_DONE;
    return true;
}
