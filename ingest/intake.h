/* The way of an event from a client's frame into the queue, and of the answer back. */
#ifndef VOLLEY_INGEST_INTAKE_H
#define VOLLEY_INGEST_INTAKE_H

#include "ingest/session.h"

/* An event that is verified or appended. It goes on when its client is gone. */
struct submission {
    struct ingest *i;
    struct session *s; /* NULL: the client is gone */
    struct event *ev;
    size_t charge; /* bytes it counts as while under way */
    struct submission *prev, *next;
};

/* `event` is the object of an EVENT message. Answered by an OK, sooner or later. */
void intake_event(struct session *s, struct json_span event);
/* The session ends: its events no longer know it. */
void intake_orphan(struct session *s);

#endif
