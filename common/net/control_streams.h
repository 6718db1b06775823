/* What is known of tor's streams and circuits, from its events; and the search for the one a
 * connection of ours became. Pure, and bounded: beyond the limits the oldest is forgotten. */
#ifndef VOLLEY_NET_CONTROL_STREAMS_H
#define VOLLEY_NET_CONTROL_STREAMS_H

#include "common/net/control_event.h"

#define CONTROL_STREAMS_MAX  2048u
#define CONTROL_CIRCUITS_MAX 1024u

struct control_streams;
struct control_streams *control_streams_new(void);
void control_streams_free(struct control_streams *s);
/* tor is another one, or was away: nothing is known any more. */
void control_streams_forget(struct control_streams *s);

void control_streams_take(struct control_streams *s, const struct control_stream_event *e);
void control_streams_take_circuit(struct control_streams *s, const struct control_circuit_event *e);

/* ERR_NONE: `out` is it. ERR_NOT_FOUND: no stream fits (yet). ERR_AGAIN: one that fits is not
 * connected yet. ERR_EXISTS: several fit. `why` says so in words (a constant). */
MUST_USE enum err control_streams_find(const struct control_streams *s,
                                       const struct control_query *q, struct control_path *out,
                                       const char **why);

#endif
