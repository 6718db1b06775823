/* What the queue's answer to an append becomes in the client's OK message. Pure. */
#ifndef VOLLEY_INGEST_ANSWER_H
#define VOLLEY_INGEST_ANSWER_H

#include "queue/queue.h"

#define ANSWER_DUPLICATE "duplicate: already have this event"

/* Whether the OK says true; `text` is all of its text, with its prefix. `r` is looked at when `e`
 * is ERR_NONE, `why` (may be NULL) otherwise. */
bool answer_append(enum err e, const struct append_result *r, const char *why,
                   struct problem *text);

#endif
